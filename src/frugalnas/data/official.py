"""Data sets from their official archives: CIFAR, and ImageNet at 16 x 16, 32 x 32 or 64 x 64 pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.data.parquet import find_parquet, parquet_folder
from frugalnas.data.sources import ArrayImages, Found, ImageSource, IntArray
from frugalnas.errors import FrugalnasError
from frugalnas.pickles import read_pickle

_ARCHIVES = {
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
}
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's training images, as everyone writes them."""


def find_cifar(name: str, root: Path | None, download: bool) -> Found:
    """CIFAR-10 or CIFAR-100 from the official archive, unpacked or not, or from Parquet files in `root`.

    torchvision reads the archive after comparing the checksums of its files.
    """
    if root is None:
        raise FrugalnasError(f"{name} is not here yet: give `root`, the folder that holds it, or `download`=True")
    folder, archive = _ARCHIVES[name]
    if not (root / folder).is_dir() and not (root / archive).is_file():
        parquet = parquet_folder(root, name, name.replace("cifar", "cifar-"))
        if parquet is not None:
            found = find_parquet(parquet, name)
            found.mirrored = True
            return found
        if not download:
            raise FrugalnasError(
                f"{name} is not in {root} (neither {folder}, {archive} nor train-*.parquet); name its folder with `root`, or "
                f"add `download`=True"
            )
    from torchvision import datasets

    kind: Any = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    parts: dict[str, ImageSource] = {}
    classes: tuple[str, ...] = ()
    for part in ("train", "test"):
        try:
            # An archive that is there is unpacked, not fetched again.
            made = kind(str(root), train=part == "train", download=download or not (root / folder).is_dir())
        except OSError as error:  # the network, or the disk
            raise FrugalnasError(
                f"{name} could not be fetched into {root} ({error}); fetch {archive} by other means and put it there"
            ) from None
        except Exception as error:  # checksums, damaged archives
            raise FrugalnasError(
                f"{name} in {root} cannot be read ({error}); remove {root / folder} and fetch it again with `download`=True"
            ) from None
        pixels = torch.from_numpy(np.ascontiguousarray(made.data.transpose(0, 3, 1, 2)))
        parts[part] = ArrayImages(pixels, np.asarray(made.targets, dtype=np.int64), f"{name} {part} image")
        classes = tuple(made.classes)
    return Found(name, classes, parts, name, input_size=32, official_order=True, mirrored=True)


_TRAIN = [f"train_data_batch_{number}" for number in range(1, 11)]
_CLASSES = 1000


def find_downsampled(name: str, root: Path | None) -> Found:
    """ImageNet16-k: the images of the first k classes, from the files train_data_batch_1 to 10 and val_data.

    The pickles are read without executing anything. The validation images are the test set, which NAS-Bench-201 halves
    (its file imagenet-16-120-test-split.txt is a split that `Images` takes).

    Args:
        name: imagenet16, imagenet16-120, imagenet32-1000, ...
        root: the folder with the files, or the one with a folder ImageNet16 of them.
    """
    matched = re.fullmatch(r"imagenet(16|32|64)(?:-(\d+))?", name)
    if matched is None or not 2 <= int(matched[2] or _CLASSES) <= _CLASSES:
        raise FrugalnasError(
            f"unknown data {name!r}; downsampled ImageNets are imagenet16, imagenet16-120, -150, -200, imagenet32, ..."
        )
    side, count = int(matched[1]), int(matched[2] or _CLASSES)
    if root is None:
        raise FrugalnasError(
            f"{name} needs `root`, the folder with train_data_batch_1 to train_data_batch_10 and val_data"
        )
    folder = next((at for at in (root, root / f"ImageNet{side}") if (at / _TRAIN[0]).is_file()), root)
    missing = [file for file in [*_TRAIN, "val_data"] if not (folder / file).is_file()]
    if missing:
        raise FrugalnasError(
            f"{folder}: {', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''} not there; {name} needs all 11 files"
        )
    parts: dict[str, ImageSource] = {}
    for part, files in (("train", _TRAIN), ("test", ["val_data"])):
        batches = [_batch(folder / file, side, count) for file in files]
        pixels = torch.from_numpy(np.concatenate([images for images, _ in batches]))
        parts[part] = ArrayImages(pixels, np.concatenate([labels for _, labels in batches]), f"{name} {part} image")
    classes = tuple(str(number) for number in range(1, count + 1))
    return Found(name, classes, parts, "imagenet16", input_size=side, official_order=True, mirrored=True)


def _batch(path: Path, side: int, count: int) -> tuple[NDArray[np.uint8], IntArray]:
    """Images [n, 3, side, side] and labels from 0 of the first `count` classes; the file counts from 1."""
    with path.open("rb") as stream:
        content: Any = read_pickle(stream, name=str(path))
    try:
        images, labels = np.asarray(content["data"]), np.asarray(content["labels"])
        if images.dtype != np.uint8 or images.shape != (len(labels), 3 * side * side) or labels.dtype.kind not in "iu":
            raise ValueError(f"data {images.dtype} {images.shape}, labels {labels.dtype} {labels.shape}")
        if len(labels) and not 1 <= labels.min() <= labels.max() <= _CLASSES:
            raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise FrugalnasError(
            f"{path}: not a batch of {side} x {side} images, uint8 data [n, {3 * side * side}] and labels 1 to {_CLASSES} ({error})"
        ) from None
    kept = labels <= count
    return images[kept].reshape(-1, 3, side, side), labels[kept].astype(np.int64) - 1
