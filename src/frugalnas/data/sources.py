"""Piles of images in memory and in files, and what people call the parts of a data set."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from frugalnas.data.preprocessing import CorruptImage, decode, read_file
from frugalnas.errors import Surroundings

IntArray: TypeAlias = NDArray[np.int64]


class ImageSource(ABC):
    """Images that are read one at a time, by position.

    Must be safe to pickle and to use after a fork: workers read from copies.

    Attributes:
        labels: class of each image, shape [n], or None.
        white: the value that is white in images of more than 8 bits; see `depth.white_of`.
    """

    labels: IntArray | None
    white: float | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    def load(self, index: int) -> Image.Image:
        """One picture in RGB.

        Raises:
            CorruptImage: it cannot be decoded.
        """
        content = self.encoded(index)
        try:
            return decode(content, "", self.white)
        except CorruptImage as error:  # only now is the name looked up, among a million
            raise CorruptImage(f"{self.name(index)}{error}") from None

    def wrong_with(self, index: int) -> str:
        """Why a picture cannot be read; empty where it can be."""
        try:
            self.load(index)
        except CorruptImage as error:
            return str(error)
        return ""

    @abstractmethod
    def name(self, index: int) -> str:
        """What to call an image in messages: its file, for example."""

    @abstractmethod
    def digest(self) -> str:
        """A hash of what is there (sizes and names where hashing all bytes would take long)."""

    def encoded(self, index: int) -> bytes:
        """The bytes of the image's file, where it has one.

        Raises:
            CorruptImage: it cannot be read.
        """
        raise TypeError(f"{type(self).__name__} holds no encoded images")

    def relative_name(self, index: int) -> str:
        """The name without what depends on where the data lie."""
        return self.name(index)


class ArrayImages(ImageSource):
    """Images of one size that are all in memory.

    Args:
        pixels: uint8, shape [n, 3, height, width].
        labels: shape [n], or None.
        names: of the images; or a word to put before their numbers; or the source that they were decoded from.
        digest: of the files that they were decoded from, where hashing the pixels can be spared.
    """

    def __init__(
        self,
        pixels: torch.Tensor,
        labels: IntArray | None,
        names: Sequence[str] | str | ImageSource = "image",
        digest: str | None = None,
    ) -> None:
        self.pixels = pixels
        self.labels = labels
        self.names = names
        self._digest = digest
        self._copies: dict[torch.device, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.pixels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copies": {}}  # a worker has no use for what lies on a device

    def on(self, device: torch.device) -> torch.Tensor:
        """The pixels on a device, brought there once."""
        if device.type == "cpu":
            return self.pixels
        if device not in self._copies:
            self._copies[device] = self.pixels.to(device)
        return self._copies[device]

    def load(self, index: int) -> Image.Image:
        """One picture in RGB."""
        return Image.fromarray(self.pixels[index].permute(1, 2, 0).numpy())

    def name(self, index: int) -> str:
        """The image's name, or its number."""
        if isinstance(self.names, ImageSource):
            return self.names.name(index)
        return f"{self.names} {index}" if isinstance(self.names, str) else self.names[index]

    def digest(self) -> str:
        """A hash of all pixels and labels."""
        if self._digest is None:
            hashed = hashlib.sha256(np.ascontiguousarray(self.pixels.numpy()).data)
            hashed.update(b"" if self.labels is None else np.ascontiguousarray(self.labels).data)
            self._digest = hashed.hexdigest()
        return self._digest


class FileImages(ImageSource):
    """Images in files of their own.

    Args:
        paths: of the files.
        labels: shape [n], or None.
        root: the folder above; names are relative to it.
    """

    def __init__(self, paths: Sequence[Path], labels: IntArray | None, root: Path) -> None:
        self.root = root
        self.paths = [str(path.relative_to(root)) for path in paths]
        self.labels = labels

    def __len__(self) -> int:
        return len(self.paths)

    def encoded(self, index: int) -> bytes:
        """The file's bytes."""
        try:
            return read_file(self.root / self.paths[index])
        except CorruptImage:
            if not self.root.is_dir():
                raise Surroundings(f"{self.root}: the images are no longer there; put them back") from None
            raise

    def name(self, index: int) -> str:
        """The file's path."""
        return str(self.root / self.paths[index])

    def relative_name(self, index: int) -> str:
        """The file's path below the folder."""
        return self.paths[index]

    def digest(self) -> str:
        """A hash of all names and sizes."""
        hashed = hashlib.sha256()
        for path in self.paths:
            file = self.root / path
            hashed.update(f"{path}\0{file.stat().st_size if file.exists() else -1}\n".encode())
        return hashed.hexdigest()


@dataclass
class Found:
    """What a specification of data led to, before anything was split, sized or decoded.

    Attributes:
        name: of the data set.
        classes: their names, in the order of their numbers; empty where there are no labels.
        parts: by name: "train", and "val" and "test" where they come apart.
        notes: what a person may want to know.
        kind: "cifar10", "folder", "npz", ...
        input_size: where the kind of data has one.
        mirrored: whether a mirrored image is still one of its class; digits are not; None: nothing says so.
        white: the value that is white in images of more than 8 bits.
        statistics: published mean and standard deviation where measuring is not needed.
        official_order: whether images come in the order that published split files count.
        location: the folder or file, where it is not a named data set.
    """

    name: str
    classes: tuple[str, ...]
    parts: dict[str, ImageSource]
    kind: str
    notes: list[str] = field(default_factory=list)
    input_size: int | None = None
    mirrored: bool | None = None
    white: float | None = None
    statistics: tuple[Sequence[float], Sequence[float]] | None = None
    official_order: bool = False
    location: Path | None = None


PARTS = ("train", "val", "test")

_SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "devel", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_BY_SPELLING = {spelling: part for part, spellings in _SPELLINGS.items() for spelling in spellings}
_AROUND = re.compile(r"(data|dataset|set|split|part|folder|images?|imgs?|pictures|photos|samples)*")


def part_of(name: str) -> str | None:
    """The part, "train", "val" or "test", that a folder, file or array is named after; None for other names.

    Case, separators, digits and words such as "set" or "images" do not count: Training, test_set, VAL-images, train2017.
    """
    letters = re.sub(r"[\W\d_]+", "", name.lower())
    around = _AROUND.match(letters)
    letters = letters[around.end() :] if around and letters not in _BY_SPELLING else letters
    for spelling, part in _BY_SPELLING.items():
        if letters.startswith(spelling) and _AROUND.fullmatch(letters, len(spelling)):
            return part
    return None
