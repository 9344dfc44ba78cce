"""A data set that is ready to train on: classes, parts, statistics, and how an image becomes a network's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.data.augmentation import Augmentation
from frugalnas.data.preprocessing import fit_square, to_tensor
from frugalnas.data.sources import ArrayImages, ImageSource, IntArray
from frugalnas.data.splits import Split
from frugalnas.errors import FrugalnasError, at_least

_FIRST_NAMED = 3
_SKIPPED_NAMED = 20


class Corruption:
    """The unreadable images of a data set: each is named once, and too many are refused.

    Args:
        limit: how many may be skipped.
    """

    def __init__(self, limit: int) -> None:
        at_least(0, max_corrupt=limit)
        self.limit = limit
        self.reasons: dict[tuple[str, int], str] = {}

    def add(self, origin: str, index: int, reason: str) -> None:
        """Note an unreadable image.

        Args:
            origin: the part of the data it lies in.
            index: its position there.
            reason: names the image.

        Raises:
            FrugalnasError: where there are more than the limit; it names the first ones.
        """
        self.reasons[(origin, index)] = reason
        self.refuse()

    def refuse(self) -> None:
        """Raise the error that names the first unreadable images, where there are more than the limit."""
        if len(self.reasons) <= self.limit:
            return
        first = "; ".join(list(self.reasons.values())[:_FIRST_NAMED])
        many = f"{len(self.reasons)} unreadable image{'s' if len(self.reasons) > 1 else ''}"
        raise FrugalnasError(
            f"{many}, {self.limit} may be skipped: {first}{'; ...' if len(self.reasons) > _FIRST_NAMED else ''}; "
            f"mend or remove them, or allow more with `max_corrupt`"
        )

    def note(self) -> str:
        """One line on what was skipped; empty where nothing was."""
        if not self.reasons:
            return ""
        named = "; ".join(list(self.reasons.values())[:_SKIPPED_NAMED])
        dots = "; ..." if len(self.reasons) > _SKIPPED_NAMED else ""
        return f"skipped {len(self.reasons)} unreadable image{'s' if len(self.reasons) > 1 else ''}: {named}{dots}"


@dataclass(frozen=True)
class Part:
    """The training, validation or test images of a data set.

    Attributes:
        name: "train", "val" or "test".
        origin: the part of the data as it came from which they are taken.
        source: the images of `origin`.
        indices: which of them, shape [n].
        labels: class of each, int64, shape [n]; None where there are none.
        preprocessing: how they become a network's input; see `preprocess`.
        corruption: where unreadable images are noted; shared by the parts.
    """

    name: str
    origin: str
    source: ImageSource
    indices: IntArray
    labels: IntArray | None
    preprocessing: Mapping[str, Any]
    corruption: Corruption

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def size(self) -> int:
        """Side of the square images, in pixels."""
        return int(self.preprocessing["input_size"])

    @property
    def in_memory(self) -> bool:
        """Whether the images lie decoded in memory, all of the input size."""
        return isinstance(self.source, ArrayImages) and tuple(self.source.pixels.shape[2:]) == (self.size, self.size)

    def read(self, indices: Sequence[int] | IntArray) -> torch.Tensor:
        """The images at positions of this part, as a network sees them in evaluation before they are normalised.

        Args:
            indices: positions, each from 0 to len - 1.

        Returns:
            uint8, shape [len(indices), 3, size, size].

        Raises:
            CorruptImage: where one cannot be decoded.
        """
        positions = self.indices[np.asarray(indices, dtype=np.int64)]
        if self.in_memory:
            assert isinstance(self.source, ArrayImages)
            return self.source.pixels[torch.from_numpy(positions)]
        resize, interpolation = self.preprocessing["resize"], self.preprocessing["interpolation"]
        pictures = (self.source.load(position) for position in positions.tolist())
        return torch.stack([to_tensor(fit_square(each, self.size, resize, interpolation)) for each in pictures])

    def name_of(self, index: int) -> str:
        """What to call the image at a position of this part."""
        return self.source.name(int(self.indices[index]))

    def check(self) -> list[str]:
        """Read every image; what could not be read, with the reason. Nothing is raised."""
        return list(filter(None, map(self.source.wrong_with, self.indices.tolist())))


@dataclass
class ImageData:
    """A data set that is ready to train on; `Images.open` makes one.

    Attributes:
        name: for people.
        classes: names of the classes, in the order of their numbers; empty where there are no labels.
        parts: by name; "train" always, "val" and "test" where images are held out.
        split: which images belong to which part; a run keeps `split.to_json()`.
        preprocessing: how an image becomes a network's input; plain values (see `preprocess`).
        fingerprint: changes where the images, their labels or their order change; not where they lie.
        notes: what was decided and what was skipped, a sentence each, for the user to see.
        description: what opens the same data again, with `split` beside it; see `reopened`.
        normalisation: that was asked for.
        again: opens the same images, normalised otherwise.
        workers: processes that read large images.
        suggested: the augmentation that suits the data where a recipe names none.
        mirrored: whether mirrored images are still ones of their class; None: nothing says so (see `mirroring`).
        corruption: the unreadable images met so far.
    """

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    split: Split
    preprocessing: dict[str, Any]
    fingerprint: str
    notes: list[str]
    description: dict[str, Any]
    normalisation: str | Mapping[str, Any]
    again: Callable[..., ImageData] = field(repr=False)
    workers: int
    suggested: Augmentation
    mirrored: bool | None
    corruption: Corruption = field(repr=False)

    @property
    def train(self) -> Part:
        """The images to train on."""
        return self.parts["train"]

    @property
    def val(self) -> Part | None:
        """The images held out of training to choose by, or None."""
        return self.parts.get("val")

    @property
    def test(self) -> Part | None:
        """The images to touch once, at the end, or None."""
        return self.parts.get("test")

    @property
    def input_size(self) -> int:
        """Side of the square images that a network gets, in pixels."""
        return int(self.preprocessing["input_size"])

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training part, in units of 0..1."""
        return tuple(self.preprocessing["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training part, in units of 0..1."""
        return tuple(self.preprocessing["std"])

    @property
    def kept(self) -> dict[str, Any]:
        """What a run writes down of the data, to find them again and notice where they have changed; plain values."""
        return {**self.description, "workers": self.workers, "fingerprint": self.fingerprint}

    @property
    def labelled(self) -> bool:
        """Whether the images have classes."""
        return self.train.labels is not None

    def class_counts(self, part: str = "train") -> IntArray:
        """Images of each class in a part, shape [classes]."""
        if part not in self.parts:
            raise FrugalnasError(f"{self.name} has no part {part!r}; it has {', '.join(self.parts)}")
        labels = self.parts[part].labels
        if labels is None:
            raise FrugalnasError(f"{self.name} has no labels; put the images into one folder per class")
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    def class_weights(self) -> NDArray[np.float32]:
        """Weights that make every class count the same in the training loss: inverse to its images, mean 1 over images.

        Shape [classes]; a class without training images weighs 0.
        """
        counts = self.class_counts()
        present = counts > 0
        weights = np.zeros(len(counts))
        weights[present] = counts.sum() / (present.sum() * counts[present])
        return weights.astype(np.float32)
