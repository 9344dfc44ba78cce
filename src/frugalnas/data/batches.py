"""Random changes to a whole batch at once, on the device where it lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from frugalnas.data.augmentation import Augmentation
from frugalnas.data.preprocessing import normalise
from frugalnas.data.sources import IntArray

# AlexNet (Krizhevsky et al. 2012, section 4.1): eigenvalues and eigenvectors of ImageNet's pixels, in units of 0..1.
_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@contextmanager
def restoring_generators(device: torch.device | None = None) -> Iterator[Callable[[int], None]]:
    """A function that seeds Python's, NumPy's and torch's global generators; afterwards they go on as if nothing had been.

    `torch.manual_seed` seeds every kind of device, by a queue that grows where there is none: here it is the CPU's
    generator and that of `device`.
    """
    generators = [torch.default_generator]
    if device is not None and device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - timm draws from it
    states = [generator.get_state() for generator in generators]

    def seed(number: int) -> None:
        random.seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        for generator in generators:
            generator.manual_seed(number)

    try:
        yield seed
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def augment_batch(
    images: torch.Tensor,
    augmentation: Augmentation,
    preprocessing: dict[str, Any],
    rng: np.random.Generator,
    rows: IntArray | None = None,
    count: int | None = None,
) -> torch.Tensor:
    """The normalised training batch, float32 [n, 3, s, s] on the images' device.

    The parts of the augmentation that concern batches are applied: pad and crop, flip, lighting, cutout, random erasing.
    The draws come from `rng` on the CPU, so that they are the same on every device.

    Args:
        images: uint8, shape [n, 3, s, s].
        augmentation: what to do.
        preprocessing: see `preprocess`.
        rng: advanced by draws for `count` images.
        rows: which of the `count` images of the whole batch these are, where processes share it; all by default.
        count: images of the whole batch.
    """
    count = len(images) if count is None else count
    rows = np.arange(len(images)) if rows is None else rows
    device, size = images.device, images.shape[-1]
    if augmentation.pad:
        offsets = rng.integers(0, 2 * augmentation.pad + 1, size=(2, count))[:, rows]
        images = crop(functional.pad(images, (augmentation.pad,) * 4), offsets, size)
    if augmentation.flip:
        flips = np.flatnonzero(rng.random(count)[rows] < augmentation.flip)
        images = flip(images if augmentation.pad else images.clone(), flips)
    batch = normalise(images, preprocessing)
    if augmentation.lighting:
        alphas = rng.normal(0.0, augmentation.lighting, size=(count, 3))[rows]
        shift = (alphas * _EIGENVALUES) @ np.asarray(_EIGENVECTORS).T
        if preprocessing.get("channels", "RGB") == "BGR":
            shift = shift[:, ::-1]
        shift = shift / np.asarray(preprocessing["std"])
        batch += torch.from_numpy(np.ascontiguousarray(shift)).to(device, torch.float32)[:, :, None, None]
    if augmentation.cutout:
        centres = rng.integers(0, size, size=(2, count))[:, rows]
        batch *= torch.from_numpy(_outside(centres, augmentation.cutout, size)).to(device)
    if augmentation.random_erasing:
        erased = rng.random(count)[rows] < augmentation.random_erasing
        seeds = rng.integers(0, 2**31, size=count)[rows]
        _erase(batch, np.flatnonzero(erased), seeds)
    return batch


def crop(padded: torch.Tensor, offsets: IntArray, size: int) -> torch.Tensor:
    """A window [size, size] of every image, at its own (row, column)."""
    if padded.device.type == "cpu":  # NumPy gathers windows several times faster than torch does
        every = np.arange(len(padded))
        windows = np.lib.stride_tricks.sliding_window_view(padded.numpy(), (size, size), axis=(2, 3))
        return torch.from_numpy(windows[every, :, offsets[0], offsets[1]])
    return crop_on_device(padded, torch.from_numpy(offsets).to(padded.device), size)


def crop_on_device(padded: torch.Tensor, offsets: torch.Tensor, size: int) -> torch.Tensor:
    """What `crop` gives, computed where the images are."""
    rows, columns = offsets
    views = padded.unfold(2, size, 1).unfold(3, size, 1)  # [n, 3, rows, columns, size, size]
    return views[torch.arange(len(padded), device=padded.device), :, rows, columns]


def flip(images: torch.Tensor, chosen: IntArray) -> torch.Tensor:
    """The images, the chosen ones of them mirrored in place."""
    if images.device.type == "cpu":
        array = images.numpy()
        array[chosen] = array[chosen][..., ::-1]
        return images
    return flip_on_device(images, torch.from_numpy(chosen).to(images.device))


def flip_on_device(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """What `flip` gives, computed where the images are."""
    images[chosen] = images[chosen].flip(3)
    return images


def _outside(centres: IntArray, length: int, size: int) -> NDArray[np.float32]:
    """0 in a square of every image, 1 around it, float32 [n, 1, size, size].

    The square goes from centre - length // 2 to centre + length // 2 - 1 in rows and columns, clipped at the border (DARTS).
    """
    place, half = np.arange(size), length // 2
    inside = (place >= (centres - half)[:, :, None]) & (place < (centres + half)[:, :, None])  # [2, n, size]
    rows, columns = inside.astype(np.float32)
    return (1 - rows[:, :, None] * columns[:, None, :])[:, None]


def _erase(batch: torch.Tensor, chosen: IntArray, seeds: IntArray) -> None:
    """Erase the chosen images at random as timm does, each from its own seed."""
    erase = _random_erasing(str(batch.device))
    with restoring_generators(batch.device) as seed:
        for row in chosen.tolist():
            seed(int(seeds[row]))
            erase(batch[row])


@lru_cache(maxsize=4)
def _random_erasing(device: str) -> Any:
    from timm.data import random_erasing

    kind: Any = random_erasing.RandomErasing
    return kind(probability=1.0, mode="pixel", device=device)
