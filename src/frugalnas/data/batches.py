"""Random changes to a whole batch at once, on the device where it lies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from frugalnas.data.augmentation import Augmentation
from frugalnas.data.preprocessing import normalise
from frugalnas.data.sources import IntArray

__all__ = ["augment_batch", "isolated"]

# AlexNet (Krizhevsky et al. 2012, section 4.1): eigenvalues and eigenvectors of ImageNet's pixels, in units of 0..1.
_EIGENVALUES = (0.2175, 0.0188, 0.0045)
_EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@contextmanager
def isolated(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Python's, NumPy's and torch's global generators start from `seed` inside, and outside go on as if nothing had been."""
    devices = [device] if device is not None and device.type == "cuda" else []
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - timm draws from it
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


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
        images = _crop(functional.pad(images, (augmentation.pad,) * 4), torch.from_numpy(offsets).to(device), size)
    if augmentation.flip:
        flips = np.flatnonzero(rng.random(count)[rows] < augmentation.flip)
        if not augmentation.pad:
            images = images.clone()
        chosen = torch.from_numpy(flips).to(device)
        images[chosen] = images[chosen].flip(3)
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
        _cut_out(batch, torch.from_numpy(centres).to(device), augmentation.cutout)
    if augmentation.random_erasing:
        erased = rng.random(count)[rows] < augmentation.random_erasing
        seeds = rng.integers(0, 2**31, size=count)[rows]
        _erase(batch, np.flatnonzero(erased), seeds)
    return batch


def _crop(padded: torch.Tensor, offsets: torch.Tensor, size: int) -> torch.Tensor:
    """A window [size, size] of every image, at its own (row, column)."""
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # a view [n, 3, rows, columns, size, size]
    every = torch.arange(len(padded), device=padded.device)
    return windows[every, :, offsets[0], offsets[1]]


def _cut_out(batch: torch.Tensor, centres: torch.Tensor, length: int) -> None:
    """Zero a square in every image, clipped at the border: rows from centre - length // 2 to centre + length // 2 - 1."""
    place = torch.arange(batch.shape[-1], device=batch.device)
    half = length // 2
    inside = (place >= (centres - half)[:, :, None]) & (place < (centres + half)[:, :, None])  # [2, n, size]
    batch.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)


def _erase(batch: torch.Tensor, chosen: IntArray, seeds: IntArray) -> None:
    """timm's random erasing of the chosen images, each from its own seed."""
    erase = _random_erasing(batch.device.type)
    with isolated(0, batch.device):
        for row in chosen.tolist():
            random.seed(int(seeds[row]))
            torch.manual_seed(int(seeds[row]))
            erase(batch[row])


@lru_cache(maxsize=4)
def _random_erasing(device: str) -> Any:
    from timm.data.random_erasing import RandomErasing

    return RandomErasing(probability=1.0, mode="pixel", device=device)
