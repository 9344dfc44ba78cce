"""Which images train, which validate and which test: drawn from a seed, stratified by class, and written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.data.sources import PARTS, Found, IntArray
from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, at_least, unknown_name
from frugalnas.limits import within


@dataclass(frozen=True)
class SplitSpec:
    """How a data set is split where it does not come split.

    Attributes:
        name: a name for people and run folders.
        seed: of the draw.
        val: share of the training images to hold out for validation, where there is no part for it; 0 for none.
        test: share of all images to hold out for the test, before that, where there is no part for it; 0 for none.
        val_per_class: so many validation images of every class, instead of a share.
        replace_val: hold out validation images even where a part for it comes with the data.
    """

    name: str = "default"
    seed: int = 0
    val: float = 0.1
    test: float = 0.1
    val_per_class: int | None = None
    replace_val: bool = False

    def __post_init__(self) -> None:
        for share in ("val", "test"):
            value = getattr(self, share)
            if not 0 <= value < 1:
                raise FrugalnasError(
                    f"split: {share} is {value!r}; give a share of the images from 0 up to, not including, 1"
                )
        at_least(1, val_per_class=self.val_per_class)


SPLITS: dict[str, SplitSpec] = {
    "default": SplitSpec(),
    # Half of the training images for weights, half for architectures (DARTS, NAS-Bench-201).
    "half": SplitSpec("half", val=0.5, replace_val=True),
    # ABS and SPOS search: 50,000 of ImageNet's training images, 50 of each class.
    "imagenet-50k": SplitSpec("imagenet-50k", val_per_class=50, replace_val=True),
    # Every training image trains; nothing is held out.
    "all": SplitSpec("all", val=0.0, test=0.0),
}
"""The splits that have a name."""


@dataclass(frozen=True)
class Split:
    """Which images belong to which part.

    Attributes:
        spec: how it was drawn.
        sizes: images of each part of the data as it came, by name.
        parts: of each part, by name: which part of the data it is taken from, and which images of that, sorted.
        skipped: images that could not be read, by the part of the data as it came.
    """

    spec: SplitSpec
    sizes: Mapping[str, int]
    parts: Mapping[str, tuple[str, IntArray]]
    skipped: Mapping[str, tuple[int, ...]]

    @property
    def name(self) -> str:
        """The split's name."""
        return self.spec.name

    def to_json(self) -> str:
        """The split as text. One part of each part of the data is written as null where it is all the rest of that."""
        written: dict[str, Any] = {}
        implied: set[str] = set()
        for part, (origin, indices) in self.parts.items():
            others = [images for name, (source, images) in self.parts.items() if name != part and source == origin]
            rest = _rest(self.sizes[origin], self.skipped.get(origin, ()), others)
            is_rest = origin not in implied and np.array_equal(rest, indices)
            implied |= {origin} if is_rest else set()
            written[part] = {"from": origin, "images": None if is_rest else indices.tolist()}
        return json.dumps(
            {
                **{name: value for name, value in asdict(self.spec).items() if name != "replace_val"},
                "sizes": dict(self.sizes),
                "skipped": {name: list(indices) for name, indices in self.skipped.items() if indices},
                "parts": written,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Split:
        """The split that `to_json` wrote."""
        try:
            written = read_json(text, "the split")
            spec = SplitSpec(
                written["name"], written["seed"], written["val"], written["test"], written.get("val_per_class")
            )
            sizes = {str(name): int(size) for name, size in written["sizes"].items()}
            within("images", max(sizes.values(), default=0), "the split")
            skipped = {name: tuple(indices) for name, indices in written.get("skipped", {}).items()}
            listed = {
                name: (part["from"], np.asarray(part["images"], dtype=np.int64))
                for name, part in written["parts"].items()
                if part["images"] is not None
            }
            parts = dict(listed)
            for name, part in written["parts"].items():
                if part["images"] is None:
                    origin = part["from"]
                    taken = [images for source, images in listed.values() if source == origin]
                    parts[name] = (origin, _rest(sizes[origin], skipped.get(origin, ()), taken))
            ordered = {name: parts[name] for name in PARTS if name in parts}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FrugalnasError(f"not a split that frugalnas wrote ({type(error).__name__}: {error})") from None
        for name, (origin, images) in ordered.items():
            if origin not in sizes or (len(images) and not 0 <= images.min() <= images.max() < sizes[origin]):
                raise FrugalnasError(
                    f"the split's part {name!r} lists images that part {origin!r} of the data does not have"
                )
        return cls(spec, sizes, ordered, skipped)


def make_split(
    found: Found, wanted: SplitSpec | Split | str | Path | None, skipped: Mapping[str, tuple[int, ...]]
) -> Split:
    """The split of a data set.

    Args:
        found: the data.
        wanted: a name in `SPLITS`, a specification, a split that was made before, or a file: one that `Split.to_json`
            wrote, or one of NAS-Bench-201's (`cifar-split.txt` has train and valid; the test splits xvalid and xtest).
        skipped: unreadable images by part of the data.

    Raises:
        FrugalnasError: where the data cannot be split so.
    """
    sizes = {name: len(source) for name, source in found.parts.items()}
    if isinstance(wanted, Split):
        return _checked(wanted, sizes, skipped)
    if wanted is None:
        wanted = SplitSpec()
    if isinstance(wanted, str) and wanted in SPLITS:
        wanted = SPLITS[wanted]
    if isinstance(wanted, SplitSpec):
        return _drawn(found, wanted, sizes, skipped)
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise unknown_name("split", str(wanted), SPLITS, ", or give a file of indices")
    text = path.read_text()
    if '"parts"' in text:
        return _checked(Split.from_json(text), sizes, skipped)
    return _official(found, path, text, sizes, skipped)


def _checked(split: Split, sizes: Mapping[str, int], skipped: Mapping[str, tuple[int, ...]]) -> Split:
    if dict(split.sizes) != dict(sizes):
        there, here = (", ".join(f"{size} {name}" for name, size in each.items()) for each in (split.sizes, sizes))
        raise FrugalnasError(
            f"the stored split is of data with {there} images, here are {here}; put back what was there, or draw a split anew"
        )
    gone = {name: frozenset((*split.skipped.get(name, ()), *skipped.get(name, ()))) for name in sizes}
    kept = {
        name: (origin, images[[index not in gone[origin] for index in images.tolist()]] if gone.get(origin) else images)
        for name, (origin, images) in split.parts.items()
    }
    return replace(split, parts=kept, skipped={name: tuple(sorted(indices)) for name, indices in gone.items()})


def _drawn(found: Found, spec: SplitSpec, sizes: Mapping[str, int], skipped: Mapping[str, tuple[int, ...]]) -> Split:
    remaining = _rest(sizes["train"], skipped.get("train", ()), [])
    labels = found.parts["train"].labels
    rng = np.random.default_rng([spec.seed, 0x5917])
    parts: dict[str, tuple[str, IntArray]] = {}
    for part, share, each in (("test", spec.test, None), ("val", spec.val, spec.val_per_class)):
        if part in found.parts and not (part == "val" and spec.replace_val):
            parts[part] = (part, _rest(sizes[part], skipped.get(part, ()), []))
        elif (share or each) and labels is not None:
            held = _stratified(remaining, labels, rng, share=share, each=each)
            parts[part] = ("train", held)
            remaining = np.setdiff1d(remaining, held)
    parts["train"] = ("train", remaining)
    return Split(spec, sizes, {name: parts[name] for name in PARTS if name in parts}, skipped)


def _stratified(
    images: IntArray, labels: IntArray, rng: np.random.Generator, *, share: float, each: int | None = None
) -> IntArray:
    """A share of the images, or `each` of every class, with every class in its proportion; sorted.

    Where the share of a class is not whole, the classes with the largest remainders get one more, ties by lot. One image
    of every class stays.
    """
    classes, of_class = np.unique(labels[images], return_inverse=True)
    counts = np.bincount(of_class, minlength=len(classes))
    if each is not None:
        if (counts <= each).any():
            few = int(classes[np.argmin(counts)])
            raise FrugalnasError(
                f"class {few} has {counts.min()} training images; {each} of every class cannot be held out of them"
            )
        quota = np.full(len(classes), each)
    else:
        exact = counts * share
        quota = np.floor(exact).astype(np.int64)
        more = int(np.rint(exact.sum())) - int(quota.sum())
        by_remainder = np.lexsort((rng.permutation(len(classes)), -(exact - quota)))
        quota[by_remainder[:more]] += 1
        quota = np.minimum(quota, counts - 1)
    if not quota.sum():
        raise FrugalnasError(
            f"{len(images)} images of {len(classes)} classes are too few to hold a share of {share:g} out of; add images, "
            f"or give parts of their own (folders train, val and test)"
        )
    chosen = [
        rng.choice(images[of_class == position], int(wanted), replace=False) for position, wanted in enumerate(quota)
    ]
    return np.sort(np.concatenate(chosen))


def _official(
    found: Found, path: Path, text: str, sizes: Mapping[str, int], skipped: Mapping[str, tuple[int, ...]]
) -> Split:
    """A split file of NAS-Bench-201: lists of numbers, as text or not, under train and valid, or xvalid and xtest."""
    try:
        written = json.loads(text)
        lists = {key: _indices(value) for key, value in written.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise FrugalnasError(f"{path}: not a split file ({error})") from None
    if not found.official_order:
        raise FrugalnasError(
            f"{path}: counts images in the official archive's order, which {found.kind} data does not keep; give the archive"
        )
    if lists.keys() >= {"train", "valid"}:
        origin, taken = "train", {"train": lists["train"], "val": lists["valid"]}
    elif lists.keys() >= {"xvalid", "xtest"} and "test" in found.parts:
        origin, taken = "test", {"val": lists["xvalid"], "test": lists["xtest"]}
    else:
        raise FrugalnasError(
            f"{path}: has {', '.join(map(repr, lists))}; a split file has train and valid, or xvalid and xtest"
        )
    for key, images in taken.items():
        if (
            len(images) == 0
            or images.min() < 0
            or images.max() >= sizes[origin]
            or len(set(images.tolist())) < len(images)
        ):
            raise FrugalnasError(f"{path}: its {key} images are not distinct numbers below {sizes[origin]}")
    first, second = taken.values()
    if np.intersect1d(first, second).size:
        raise FrugalnasError(f"{path}: its two lists share images")
    parts = {key: (origin, images) for key, images in taken.items()}
    for whole in ("train", "test"):
        if whole not in parts and whole in found.parts:
            parts[whole] = (whole, _rest(sizes[whole], skipped.get(whole, ()), []))
    return Split(SplitSpec(path.stem), sizes, {name: parts[name] for name in PARTS if name in parts}, skipped)


def _indices(value: Any) -> IntArray:
    """The benchmark writes a list as ["int", ["0", "1", ...]] or as the list itself."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], list):
        value = value[1]
    return np.sort(np.asarray([int(index) for index in value], dtype=np.int64))


def _rest(size: int, skipped: tuple[int, ...], taken: list[IntArray]) -> IntArray:
    free = np.ones(size, dtype=bool)
    free[list(skipped)] = False
    for images in taken:
        free[images] = False
    return np.flatnonzero(free).astype(np.int64)
