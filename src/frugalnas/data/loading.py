"""Batches in an order, and with random changes, that depend on nothing but the seed, the epoch and the step."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from frugalnas.data.augmentation import Augmentation
from frugalnas.data.batches import augment_batch, restoring_generators
from frugalnas.data.image_data import Part
from frugalnas.data.labels import RandomLabels
from frugalnas.data.preprocessing import CorruptImage, fit_square, normalise, to_tensor
from frugalnas.data.sources import ArrayImages, IntArray
from frugalnas.errors import FrugalnasError, at_least, surroundings

_ORDER, _BATCH, _IMAGE = 1, 2, 3  # which draws a generator is for; random labels have 4


class Loader:
    """Batches of one part of a data set, the same for a seed, epoch and step wherever and however they are read.

    Small images are in memory: their batches are cut, flipped and normalised at once on the device. Others stream through
    worker processes and torchvision's transforms, one seed per image, and are finished on the device. The length is the
    number of steps in an epoch.

    Args:
        part: of `ImageData`.
        batch_size: images in one step, over all processes.
        augmentation: None for evaluation: images as they are, in order.
        seed: of order and changes.
        device: where the batches are wanted.
        workers: processes that read and transform; 0 for none. Images in memory need none.
        drop_last: leave out an incomplete last batch.
        shuffle: by default where there is an augmentation.
        share: (rank, processes) where several processes share every batch.
        labels: drawn in place of the images' own; None keeps those.
    """

    def __init__(
        self,
        part: Part,
        *,
        batch_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = 0,
        drop_last: bool = False,
        shuffle: bool | None = None,
        share: tuple[int, int] = (0, 1),
        labels: RandomLabels | None = None,
    ) -> None:
        rank, processes = share
        at_least(1, batch_size=batch_size)
        at_least(0, seed=seed, workers=workers)
        if batch_size % processes or not 0 <= rank < processes:
            raise FrugalnasError(f"a batch of {batch_size} images cannot be shared evenly by {processes} processes")
        if not len(part):
            raise FrugalnasError(f"the {part.name} part has no images")
        self.part = part
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.device = torch.device(device)
        self.workers = workers
        self.shuffle = augmentation is not None if shuffle is None else shuffle
        self.share = share
        self.labels = labels
        # A set smaller than one batch still makes one.
        self.drop_last = drop_last and len(part) >= batch_size
        self.on_device = part.in_memory and not (augmentation is not None and augmentation.per_image)
        self._pixels: torch.Tensor | None = None
        self._labels = torch.from_numpy(np.full(len(part), -1) if part.labels is None else part.labels)
        if self.on_device:
            assert isinstance(part.source, ArrayImages)
            self._pixels = part.source.on(self.device)
            self._labels = self._labels.to(self.device)

    def __len__(self) -> int:
        count = len(self.part)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of one epoch from a step on: (images float32 [b, 3, s, s], labels int64 [b]), on the loader's device.

        Labels are -1 where there are none. A batch lacks its unreadable images (and may so be empty).

        Args:
            number: of the epoch, from 0; decides the order and the changes.
            first_step: steps before it are skipped without being read.

        Raises:
            FrugalnasError: where more images are unreadable than the user allowed.
        """
        order = self.order(number)
        labels = self._labels
        if self.labels is not None:
            drawn = torch.from_numpy(self.labels(len(self.part), number))
            labels = drawn.to(self.device) if self.on_device else drawn
        steps = range(first_step, len(self))
        batches = [order[step * self.batch_size : (step + 1) * self.batch_size] for step in steps]
        if self.on_device:
            for step, chosen in zip(steps, batches, strict=True):
                rows = self._rows(len(chosen))
                positions = torch.from_numpy(self.part.indices[chosen[rows]]).to(self.device)
                assert self._pixels is not None
                pixels = self._pixels.index_select(0, positions)
                images = self._finished(pixels, number, step, rows, len(chosen))
                yield images, labels.index_select(0, torch.from_numpy(chosen[rows]).to(self.device))
            return
        try:
            yield from self._streamed(number, steps, batches, labels)
        except (RuntimeError, OSError) as error:
            if lacking := surroundings(error):
                raise lacking from None
            if "DataLoader worker" not in str(error):
                raise
            raise FrugalnasError(
                f"a process that reads images ended ({str(error).splitlines()[0]}); lower `workers`, or give more shared "
                f"memory (/dev/shm)"
            ) from None

    def order(self, number: int) -> IntArray:
        """Positions of the part's images in the order of an epoch."""
        if not self.shuffle:
            return np.arange(len(self.part))
        return np.random.default_rng([self.seed, number, _ORDER]).permutation(len(self.part))

    def _rows(self, count: int) -> IntArray:
        """Which images of a batch of `count` this process has."""
        rank, processes = self.share
        return np.arange(rank, count, processes)

    def _finished(self, images: torch.Tensor, number: int, step: int, rows: IntArray, count: int) -> torch.Tensor:
        how = dict(self.part.preprocessing)
        if self.augmentation is None:
            return normalise(images, how)
        rng = np.random.default_rng([self.seed, number, _BATCH, step])
        return augment_batch(images, self.augmentation, how, rng, rows, count)

    def _streamed(
        self, number: int, steps: range, batches: Sequence[IntArray], labels: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        shares = [chosen[self._rows(len(chosen))] for chosen in batches]
        made = DataLoader(
            _Images(self.part, self.augmentation, self.seed, number),
            batch_sampler=[share.tolist() for share in shares],
            num_workers=self.workers,
            collate_fn=partial(_collate, self.part.size),
            pin_memory=self.device.type == "cuda",
            # DataLoader draws a base seed for its workers; left to the global generator it would move it.
            generator=torch.Generator().manual_seed(0),
        )
        for step, whole, share, (images, kept, wrong) in zip(steps, batches, shares, made, strict=True):
            for index, error in wrong:
                if not isinstance(error, CorruptImage):
                    raise error
                self._skip(int(self.part.indices[index]), str(error))
            rows = self._rows(len(whole))[kept.numpy()]
            given = labels[torch.from_numpy(share)[kept]].to(self.device, non_blocking=True)
            images = images.to(self.device, non_blocking=True)
            yield self._finished(images, number, step, rows, len(whole)), given

    def _skip(self, position: int, reason: str) -> None:
        """Go on without an image; no note was made of it, since it could be read, or nobody tried, when the data were opened."""
        corruption = self.part.corruption
        if (self.part.origin, position) not in corruption.reasons:
            corruption.add(self.part.origin, position, reason)
            warnings.warn(f"skipped an image that cannot be read: {reason}", stacklevel=2)


Item = tuple[torch.Tensor | None, FrugalnasError | None]


class _Images(Dataset[tuple[int, Item]]):
    """The images of one epoch, uint8 [3, s, s], with the random changes that need one image at a time."""

    def __init__(self, part: Part, augmentation: Augmentation | None, seed: int, number: int) -> None:
        self.part = part
        self.seed = seed
        self.number = number
        how = part.preprocessing
        self.change: Callable[[Image.Image], Image.Image] | None = None
        if augmentation is not None and augmentation.per_image:
            self.change = _per_image(augmentation, part.size, how["resize"], how["interpolation"])

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[int, Item]:
        try:
            if self.change is None:
                return index, (self.part.read([index])[0], None)
            image = self.part.source.load(int(self.part.indices[index]))
        except FrugalnasError as error:  # raised in a worker it would come with a traceback
            return index, (None, error)
        number = int(np.random.SeedSequence([self.seed, self.number, _IMAGE, index]).generate_state(1)[0])
        with restoring_generators() as seed:
            seed(number)
            return index, (to_tensor(self.change(image)), None)


def _collate(
    size: int, items: list[tuple[int, Item]]
) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, FrugalnasError]]]:
    """(images, which of the batch's rows they are, what went wrong with others)."""
    images = [image for _, (image, _) in items if image is not None]
    kept = [row for row, (_, (image, _)) in enumerate(items) if image is not None]
    wrong = [(index, error) for index, (_, error) in items if error is not None]
    stacked = torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
    return stacked, torch.tensor(kept, dtype=torch.int64), wrong


def _per_image(
    augmentation: Augmentation, size: int, resize: int, interpolation: str
) -> Callable[[Image.Image], Image.Image]:
    """The changes, in order, that need one image at its own size."""
    from torchvision.transforms import v2

    steps: list[Callable[[Image.Image], Image.Image]] = [_Cut(augmentation, size, resize, interpolation)]
    if augmentation.color_jitter:
        steps.append(v2.ColorJitter(*augmentation.color_jitter))
    if augmentation.rand_augment:
        steps.append(_timm(augmentation, size))
    return v2.Compose(steps)


class _Cut:
    """A random part of the image at the input size, from torch's and Python's global generators."""

    def __init__(self, augmentation: Augmentation, size: int, resize: int, interpolation: str) -> None:
        from torchvision.transforms import InterpolationMode, v2

        self.how = augmentation
        self.size, self.resize, self.interpolation = size, resize, interpolation
        self.modes = {
            "bilinear": (InterpolationMode.BILINEAR, Image.Resampling.BILINEAR),
            "bicubic": (InterpolationMode.BICUBIC, Image.Resampling.BICUBIC),
        }
        self.crops = {
            name: v2.RandomResizedCrop(size, scale=(augmentation.resized_crop or 1.0, 1.0), interpolation=mode)
            for name, (mode, _) in self.modes.items()
        }

    def __call__(self, image: Image.Image) -> Image.Image:
        how = self.how
        mode = random.choice(("bilinear", "bicubic")) if how.interpolation == "random" else how.interpolation
        if how.resized_crop is not None:
            return self.crops[mode](image)
        if how.square_crop is not None:
            return _random_square(image, how.square_crop).resize((self.size, self.size), self.modes[mode][1])
        if how.random_scale is not None:
            return self._scaled(image, *how.random_scale, mode)
        return fit_square(image, self.size, self.resize, self.interpolation)

    def _scaled(self, image: Image.Image, low: int, high: int, mode: str) -> Image.Image:
        short = max(random.randint(low, high), self.size)
        width, height = image.size
        scale = short / min(width, height)
        width, height = max(short, round(width * scale)), max(short, round(height * scale))
        left, top = random.randint(0, width - self.size), random.randint(0, height - self.size)
        return image.resize((width, height), self.modes[mode][1]).crop((left, top, left + self.size, top + self.size))


def _random_square(image: Image.Image, share: float) -> Image.Image:
    """A square with an area drawn from [share, 1] of the image's, anywhere in it.

    After ten squares that do not fit, the whole image on a black square (ABS).
    """
    width, height = image.size
    for _ in range(10):
        side = round((random.uniform(share, 1.0) * width * height) ** 0.5)
        if 0 < side <= min(width, height):
            left, top = random.randint(0, width - side), random.randint(0, height - side)
            return image.crop((left, top, left + side, top + side))
    side = max(width, height)
    square = Image.new("RGB", (side, side))
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _timm(augmentation: Augmentation, size: int) -> Any:
    from timm.data.auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform

    text = augmentation.rand_augment
    # timm's own factory translates by up to 45 % of the input and fills with ImageNet's mean.
    options = {"translate_const": int(size * 0.45), "img_mean": (124, 116, 104)}
    make: Any
    if text.startswith("rand"):
        make = rand_augment_transform
    else:
        make = augment_and_mix_transform if text.startswith("augmix") else auto_augment_transform
    try:
        return make(text, options)
    except (AssertionError, ValueError) as error:
        raise FrugalnasError(f"augmentation.rand_augment is {text!r}, which timm does not read ({error})") from None
