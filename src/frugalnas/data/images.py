"""Any data a user names, opened: found, split, sized, measured."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.cache import cached_array
from frugalnas.data.augmentation import Augmentation
from frugalnas.data.depth import ValueRange, is_deep, range_of, white_of
from frugalnas.data.finding import find, located
from frugalnas.data.image_data import Corruption, ImageData, Part
from frugalnas.data.parquet import ParquetImages
from frugalnas.data.preprocessing import RESAMPLING, CorruptImage, fit_square, identify, open_image, to_tensor
from frugalnas.data.sources import ArrayImages, Found, ImageSource
from frugalnas.data.splits import Split, SplitSpec, make_split
from frugalnas.data.statistics import statistics
from frugalnas.errors import FrugalnasError, one_of
from frugalnas.limits import within

T = TypeVar("T")

PHOTO_SIZE = 224
_SMALL = 96  # pixels; images up to this side live in memory
_TINY = 16  # pixels, below which the larger input is offered; measured, see benchmarks/README.md
_LARGEST_IN_MEMORY = 2 * 2**30  # bytes
_LOOKED_AT = 64  # images that are opened to see how large they are
_THREADS = 8
_AT_ONCE = 4096  # images that threads are given
_IN_A_ROW = 16  # of them, that one thread reads: a task costs as much as half a small image


@dataclass(frozen=True)
class Images:
    """Which images are meant, and how they are read; `open` brings them in.

    A path may be a folder of class folders; a folder with folders train, val and test of class folders; a folder of images
    (no labels); a folder of Parquet files in Hugging Face's image layout; an .npz file; a folder with an LMDB
    (`pack_lmdb`'s, or RelativeNAS's).

    Attributes:
        spec: a name in `DATASETS`, or a path.
        root: where the files of a named data set lie.
        download: fetch CIFAR into `root`, or the cache without one, where it is not there.
        input_size: side of the square images that networks get; None decides by the images: the (median) short side of
            small ones, 224 for photos; a note says so.
        split: a name in `SPLITS`, a specification, a stored split, or a file of one; see `make_split`. None is the data's own.
        max_corrupt: unreadable images that are skipped, and named in the notes, before it is an error. Where some may be,
            all images are read once to find them, unless a stored split says which they are.
        workers: threads that decode while small images are brought into memory, at least one a core, up to 8; and processes
            that read large images while a network is trained.
    """

    spec: str | Path
    root: str | Path | None = None
    download: bool = False
    input_size: int | None = None
    split: str | Path | SplitSpec | Split | None = None
    max_corrupt: int = 0
    workers: int = 0

    def located(self) -> Images:
        """The same images, to be found from any folder."""
        root = None if self.root is None else str(Path(self.root).expanduser().resolve())
        return replace(self, spec=located(self.spec), root=root)

    def to_json(self) -> dict[str, Any]:
        """Plain data, by the names of the arguments.

        Raises:
            FrugalnasError: where the split has neither a name nor a file.
        """
        if not isinstance(self.split, (str, Path, type(None))):
            raise FrugalnasError("a split is written down by its name or its file; give `split` as one of these")
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in ((each.name, getattr(self, each.name)) for each in fields(self))
        }

    def open(
        self,
        *,
        resize: int | None = None,
        interpolation: str = "bilinear",
        normalisation: str | Mapping[str, Any] = "measured",
        white: float | None = None,
    ) -> ImageData:
        """The images, split and sized and ready to train on.

        Args:
            resize: what the short side is resized to before the centre is cut out in evaluation; None is the size itself
                for small images, 8/7 of it for photos (256 for 224).
            interpolation: of that resize: bilinear or bicubic.
            normalisation: "measured" takes mean and standard deviation from the training part; "imagenet", "unit" (0..1 as
                is) and "bgr255" (ABS's published networks) are fixed; or a mapping with mean and std, by channel.
            white: the value that is white in images of more than 8 bits a value; None takes, for all images alike, 1 where
                they hold floats up to 1, and else the largest number of the bits that are used; a note says so.

        Raises:
            FrugalnasError: where nothing usable is found; it says what to do.
        """
        if self.input_size is not None and self.input_size < 1:
            raise FrugalnasError(f"`input_size` {self.input_size}: give the side of the square input in pixels")
        one_of("interpolation", interpolation, RESAMPLING)
        if white is not None and not 0 < white < float("inf"):
            raise FrugalnasError(f"white is {white}; give the value that is white, above 0")
        again = partial(self.open, resize=resize, interpolation=interpolation, white=white)
        within("image-pixels", (self.input_size or 1) ** 2, "input_size")
        found = find(self.spec, None if self.root is None else Path(self.root).expanduser(), self.download)
        corruption = Corruption(self.max_corrupt)
        notes = list(found.notes)
        side, small, deep, typical = _looked_at(found)
        if deep:
            _set_white(found, white, self.workers)
        if found.white is not None:
            notes.append(f"images of more than 8 bits a value: 0 is black and {found.white:,g} white in all of them")
        size = self.input_size or found.input_size or side
        if not self.input_size and not found.input_size:
            notes.append(f"networks get images of {size} x {size} pixels (`input_size` changes it)")
        if not self.input_size and not small and 1.5 * typical < size:
            fitting = max(32, 32 * round(typical / 32))  # networks for photos halve their input five times
            notes.append(
                f"half of the images are {typical} pixels or less on their short side, and are enlarged: `input_size`={fitting} "
                f"takes {100 * (fitting / size) ** 2:.0f} % of the work"
            )
        if not self.input_size and size < _TINY:
            notes.append(
                f"enlarged images of {size} x {size} pixels are often learnt a little better: `input_size`={_TINY}, at "
                f"{round((_TINY / size) ** 2)} times the work"
            )
        little = small or size <= _SMALL
        resize = resize or (size if little else round(size * 8 / 7))
        if resize < size:
            raise FrugalnasError(
                f"resize is {resize}, below the input size {size} that is cut out of the resized image"
            )
        whitened = {} if found.white is None else {"white": found.white}
        how: dict[str, Any] = {"input_size": size, "resize": resize, "interpolation": interpolation, **whitened}
        if little and sum(map(len, found.parts.values())) * 3 * size**2 <= _LARGEST_IN_MEMORY:
            found.parts = {
                name: _in_memory(name, part, how, corruption, self.workers) for name, part in found.parts.items()
            }
        elif self.max_corrupt and not isinstance(self.split, Split):
            for name, part in found.parts.items():
                for index, reason in enumerate(_for_each(part, part.wrong_with, self.workers)):
                    if reason:
                        corruption.add(name, index, reason)
        skipped = {
            name: tuple(sorted(index for origin, index in corruption.reasons if origin == name)) for name in found.parts
        }
        if corruption.reasons and len(skipped["train"]) == len(found.parts["train"]):
            raise FrugalnasError(f"none of the training images of {found.name} can be read; {corruption.note()}")
        made = make_split(found, self.split, skipped)
        for name, gone in made.skipped.items():
            for position in gone:
                corruption.reasons.setdefault((name, position), found.parts[name].name(position))
        if corruption.note():
            notes.append(corruption.note())
        parts = {}
        for name, (origin, indices) in made.parts.items():
            source = found.parts[origin]
            labels = None if source.labels is None else source.labels[indices]
            parts[name] = Part(name, origin, source, indices, labels, how, corruption)
        how.update(statistics(parts["train"], found, normalisation, notes, corruption))
        if "val" in parts and "val" not in found.parts:
            notes.append(
                f"{len(parts['val'])} training images held out for validation (split {made.name!r}, seed {made.spec.seed})"
            )
        if "test" in parts and "test" not in found.parts:
            notes.append(f"{len(parts['test'])} images held out for the test")
        description = {
            "spec": str(found.location or self.spec),
            "root": None if self.root is None else str(Path(self.root).expanduser().absolute()),
            "input_size": size,
            "resize": resize,
            "interpolation": interpolation,
            "normalisation": {key: how[key] for key in ("mean", "std", "channels") if key in how},
            "max_corrupt": self.max_corrupt,
            **whitened,
        }
        return ImageData(
            name=found.name,
            classes=found.classes,
            parts=parts,
            split=made,
            preprocessing=how,
            fingerprint=_fingerprint(found),
            notes=notes,
            description=description,
            normalisation=normalisation,
            again=again,
            workers=self.workers,
            suggested=Augmentation(
                pad=max(1, size // 8) if little else 0,
                resized_crop=None if little else 0.08,
                flip=0.5 if found.mirrored else 0.0,
            ),
            mirrored=found.mirrored,
            corruption=corruption,
        )


def reopened(description: Mapping[str, Any], split: Split | None = None, workers: int = 0) -> ImageData:
    """The images that an `ImageData` described, with its split, as a run finds them again."""
    described = dict(description)
    how = {
        name: described.pop(name) for name in ("resize", "interpolation", "normalisation", "white") if name in described
    }
    return Images(**described, split=split, workers=workers).open(**how)


def opened(data: Images | ImageData | str | Path, normalisation: str = "measured") -> ImageData:
    """The images that are meant, normalised as a recipe has it; those that are open already are taken as they are.

    What is open but normalised otherwise is opened again.
    """
    if isinstance(data, ImageData):
        return data if data.normalisation == normalisation else data.again(normalisation=normalisation)
    return (data if isinstance(data, Images) else Images(data)).located().open(normalisation=normalisation)


def _looked_at(found: Found) -> tuple[int, bool, bool, int]:
    """(a side for square inputs, whether all images are small, whether some have more than 8 bits a value, a usual short side).

    From the headers of a few images of each part. The side is the median of the short sides of small images, and 224 for
    photos.
    """
    sizes: list[tuple[int, ...]] = []
    deep = False
    for source in found.parts.values():
        if isinstance(source, ArrayImages):
            sizes.append(tuple(source.pixels.shape[2:]))
            continue
        for index in np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int)).tolist():
            try:
                *size, more = identify(source.encoded(index), "")
            except CorruptImage:
                continue  # noted where it is read in earnest
            sizes.append(tuple(size))
            deep |= more
    typical = int(np.median([min(size) for size in sizes])) if sizes else PHOTO_SIZE
    if not sizes or max(map(max, sizes)) > _SMALL:
        return PHOTO_SIZE, False, deep, typical
    return typical, True, deep, typical


def _set_white(found: Found, white: float | None, workers: int) -> None:
    """Decide for all images together which value is white, from those of more than 8 bits."""

    def one(source: ImageSource, index: int) -> ValueRange | None:
        try:
            with open_image(source.encoded(index), "") as image:
                return range_of(image, source.name(index)) if is_deep(image) else None
        except CorruptImage:
            return None  # noted where it is read in earnest

    sources = [source for source in found.parts.values() if not isinstance(source, ArrayImages)]
    if white is None:
        ranges = [each for source in sources for each in _for_each(source, partial(one, source), workers) if each]
        white = white_of(ranges) if ranges else None
    found.white = white
    for source in sources:
        source.white = white


def _for_each(source: ImageSource, one: Callable[[int], T], workers: int) -> Iterator[T]:
    """What a function says of each image, in order, by several threads."""
    pool = ThreadPoolExecutor(max(workers, min(_THREADS, os.cpu_count() or 1)))

    def some(first: int) -> list[T]:
        return [one(index) for index in range(first, min(first + _IN_A_ROW, len(source)))]

    try:
        for start in range(0, len(source), _AT_ONCE):  # an error does not wait for the rest
            for answers in pool.map(some, range(start, min(start + _AT_ONCE, len(source)), _IN_A_ROW)):
                yield from answers
    finally:
        pool.shutdown(cancel_futures=True)


def _in_memory(
    name: str, source: ImageSource, how: Mapping[str, Any], corruption: Corruption, workers: int
) -> ArrayImages:
    """The images decoded at the input size; unreadable ones are black, and noted."""
    size = how["input_size"]
    if isinstance(source, ArrayImages) and tuple(source.pixels.shape[2:]) == (size, size):
        return source
    wrong: dict[int, str] = {}

    def one(index: int) -> NDArray[np.uint8]:
        try:
            image = source.load(index)
        except CorruptImage as error:
            wrong[index] = str(error)
            return np.zeros((3, size, size), dtype=np.uint8)
        return to_tensor(fit_square(image, size, how["resize"], how["interpolation"])).numpy()

    def whole() -> NDArray[np.uint8]:
        pixels = np.empty((len(source), 3, size, size), dtype=np.uint8)
        for index, image in enumerate(_for_each(source, one, workers)):
            pixels[index] = image
        for index in sorted(wrong):
            corruption.reasons[(name, index)] = wrong[index]
        corruption.refuse()
        if wrong:
            raise _Incomplete(pixels)
        return pixels

    names: str | ImageSource = source
    try:
        if isinstance(source, ParquetImages):  # which take long for what they are, and need not stay for their names
            names = f"{name} image"
            key = "-".join(str(how[part]) for part in ("input_size", "resize", "interpolation", "white") if part in how)
            pixels = np.array(cached_array(f"pixels-1-{source.digest()[:24]}-{key}", whole), dtype=np.uint8)
        else:
            pixels = whole()
    except _Incomplete as incomplete:
        pixels = incomplete.pixels
    return ArrayImages(torch.from_numpy(pixels), source.labels, names, source.digest())


class _Incomplete(Exception):
    """Decoded images of which some could not be read, which is said each time: they are not for the cache."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels


def _fingerprint(found: Found) -> str:
    hashed = hashlib.sha256(repr(found.classes).encode())
    for name, source in sorted(found.parts.items()):
        hashed.update(f"{name} {len(source)} {source.digest()}".encode())
        hashed.update(b"" if source.labels is None else np.ascontiguousarray(source.labels).data)
    return hashed.hexdigest()[:32]
