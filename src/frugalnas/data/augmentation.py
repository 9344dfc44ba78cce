"""How training images are changed at random, as plain values that a recipe writes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from frugalnas.errors import FrugalnasError, one_of

_INTERPOLATIONS = ("bilinear", "bicubic", "random")


@dataclass(frozen=True)
class Augmentation:
    """What happens to an image before a network sees it in training; by default nothing but resizing.

    The parts act in the order of their fields. Lists are accepted for tuples, and `true` for a flip's 0.5.

    Attributes:
        resized_crop: smallest share of the area of a crop of random size and shape (3/4 to 4/3), which is resized to the
            input (torchvision's RandomResizedCrop); None for none.
        square_crop: the same for square crops, at most 10 tries, else the whole image padded to a square (ABS, RLNAS).
        random_scale: the short side is resized to a size drawn from (low, high), then a square of the input size is
            cropped at random; None for none.
        interpolation: of crops and resizes: bilinear, bicubic, or random (one of the two for each image).
        color_jitter: (brightness, contrast, saturation[, hue]) of torchvision's ColorJitter; empty for none.
        rand_augment: timm's text for RandAugment, AutoAugment or AugMix, such as "rand-m9-mstd0.5"; empty for none.
        pad: zeros on every side before a crop of the input size at a random place, in pixels (CIFAR: 4).
        flip: probability of mirroring left and right.
        lighting: standard deviation of the noise along the colour's principal components (AlexNet's; ABS: 0.1).
        cutout: side of a square of zeros, centred anywhere, after normalisation, in pixels (DARTS: 16).
        random_erasing: probability of timm's random erasing, with noise per pixel.

    Example:
        >>> Augmentation.of({"pad": 4, "flip": True, "cutout": 16}) == PUBLISHED["darts-cifar"]
        True
    """

    resized_crop: float | None = None
    square_crop: float | None = None
    random_scale: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    color_jitter: tuple[float, ...] = ()
    rand_augment: str = ""
    pad: int = 0
    flip: float = 0.0
    lighting: float = 0.0
    cutout: int = 0
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.flip, bool):
            object.__setattr__(self, "flip", 0.5 if self.flip else 0.0)
        for name in ("random_scale", "color_jitter"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        for names, fits, wanted in _RULES:
            for name in names:
                if not fits(getattr(self, name)):
                    raise FrugalnasError(f"augmentation.{name} is {getattr(self, name)!r}; give {wanted}")
        if sum(part is not None for part in (self.resized_crop, self.square_crop, self.random_scale)) > 1:
            raise FrugalnasError("augmentation: choose one of resized_crop, square_crop and random_scale")
        one_of("interpolation", self.interpolation, _INTERPOLATIONS)

    @property
    def per_image(self) -> bool:
        """Whether a part needs one image at a time, at its own size; the others are done for whole batches."""
        return any(
            part is not None and part != "" and part != ()
            for part in (self.resized_crop, self.square_crop, self.random_scale, self.color_jitter, self.rand_augment)
        )

    @classmethod
    def of(cls, settings: Mapping[str, Any] | Augmentation | str | None) -> Augmentation:
        """The augmentation that a recipe's mapping, or the name of a published one, stands for."""
        if settings is None:
            return cls()
        if isinstance(settings, Augmentation):
            return settings
        if isinstance(settings, str):
            one_of("augmentation", settings, PUBLISHED)
            return PUBLISHED[settings]
        known = [field.name for field in fields(cls)]
        for name in settings:
            one_of("setting of augmentation", name, known)
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """The settings as YAML holds them; `of` makes the same augmentation from it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_RULES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("pad", "cutout"),
        lambda value: _is_number(value) and value == int(value) and value >= 0,
        "a whole number of pixels, 0 or more",
    ),
    (("flip", "random_erasing"), lambda value: _is_number(value) and 0 <= value <= 1, "a probability from 0 to 1"),
    (
        ("resized_crop", "square_crop"),
        lambda share: share is None or (_is_number(share) and 0 < share <= 1),
        "a share of the area above 0 and up to 1, or null",
    ),
    (
        ("random_scale",),
        lambda scale: scale is None or (len(scale) == 2 and all(map(_is_number, scale)) and 0 < scale[0] <= scale[1]),
        "two sizes of the short side, (low, high), or null",
    ),
    (
        ("color_jitter",),
        lambda jitter: (
            isinstance(jitter, tuple)
            and len(jitter) in (0, 3, 4)
            and all(_is_number(each) and each >= 0 for each in jitter)
            and not (len(jitter) == 4 and jitter[3] > 0.5)
        ),
        "[brightness, contrast, saturation] or with a hue up to 0.5",
    ),
    (("lighting",), lambda value: _is_number(value) and value >= 0, "a standard deviation, 0 or more"),
    (
        ("rand_augment",),
        lambda text: (
            isinstance(text, str) and text.startswith(("rand", "augmix", "original", "v0", "3a") if text else "")
        ),
        "timm's text, such as 'rand-m9-mstd0.5' or 'original'",
    ),
)
"""Settings, whether a value of theirs will do, and what will."""


PUBLISHED: dict[str, Augmentation] = {
    "none": Augmentation(),
    # DARTS, RelativeNAS, P-DARTS: networks trained on CIFAR.
    "darts-cifar": Augmentation(pad=4, flip=0.5, cutout=16),
    # NAS-Bench-201 on CIFAR and on ImageNet16.
    "nasbench201": Augmentation(pad=4, flip=0.5),
    "nasbench201-imagenet16": Augmentation(pad=2, flip=0.5),
    # DARTS and RelativeNAS on ImageNet.
    "darts-imagenet": Augmentation(resized_crop=0.08, color_jitter=(0.4, 0.4, 0.4, 0.2), flip=0.5),
    # RLNAS in the MobileNet space.
    "mobilenet": Augmentation(resized_crop=0.08, flip=0.5),
    # ABS on ImageNet, and RLNAS in the DARTS space.
    "abs-imagenet": Augmentation(square_crop=0.08, flip=0.5, lighting=0.1),
    # The timm-style recipe of Once-for-All networks.
    "ofa": Augmentation(
        resized_crop=0.08, interpolation="random", rand_augment="rand-m9-mstd0.5", flip=0.5, random_erasing=0.2
    ),
}
"""The augmentations of the papers' programs, by name."""
