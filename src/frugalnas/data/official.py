"""CIFAR's official archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from frugalnas.data.parquet import find_parquet, parquet_folder
from frugalnas.data.sources import ArrayImages, Found, ImageSource
from frugalnas.errors import FrugalnasError

__all__ = ["IMAGENET_STATISTICS", "find_cifar"]

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
    kind = _torchvision(name)
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


def _torchvision(name: str) -> Any:
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
