"""Images per second of CIFAR-10's training batches: ours in memory against a torchvision Dataset and DataLoader.

python benchmarks/input_pipeline.py ROOT        ROOT holds CIFAR-10, as Parquet files or the official archive

Both pad by 4 and crop, flip, and normalise, in batches of 128, with the same torchvision v2 transforms on the other side; that side
is run with 0, 1 and 2 workers, on PIL images and on tensors, and its best counts. Every arrangement runs in turn, and the median of
its rounds is shown.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import statistics
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import VisionDataset
from torchvision.transforms import v2

from frugalnas.data import PUBLISHED, ImageData, Images, Loader

BATCH = 128
IMAGES = 5_000


class Pictures(VisionDataset):
    """What torchvision.datasets.CIFAR10 does for an image: an array in memory becomes a PIL image, which is transformed."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], transform: Any) -> None:
        super().__init__(root="", transform=transform)
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def arrangements(data: ImageData) -> dict[str, Any]:
    """What is timed: a name and a function that gives an epoch's batches."""
    changes = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(data.mean, data.std)]
    transforms = {"PIL": [*changes, v2.ToImage(), *finish], "tensors": [v2.ToImage(), *changes, *finish]}
    images = data.train.read(range(IMAGES)).permute(0, 2, 3, 1).contiguous().numpy()
    assert data.train.labels is not None
    found: dict[str, Any] = {}
    for kind, steps in transforms.items():
        pictures = Pictures(images, data.train.labels[:IMAGES], v2.Compose(steps))
        for workers in (0, 1, 2):
            made: Iterable[Any] = DataLoader(
                pictures, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0, drop_last=True
            )
            found[f"torchvision, {kind}, {workers} workers"] = made
    return found


def speed(batches: Iterable[Any]) -> float:
    """Images per second of a pass over batches."""
    started, count = time.perf_counter(), 0
    for images, _ in batches:
        count += len(images)
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Images("cifar10", root=options.root, workers=2).open()
    others = arrangements(data)
    ours = Loader(data.train, batch_size=BATCH, augmentation=PUBLISHED["nasbench201"], drop_last=True)
    with_cutout = Loader(data.train, batch_size=BATCH, augmentation=PUBLISHED["darts-cifar"], drop_last=True)
    speeds: dict[str, list[float]] = {}
    for number in range(options.rounds + 1):
        found = {name: speed(batches) for name, batches in others.items()}
        found["frugalnas"] = speed(ours.epoch(number))
        found["frugalnas, with cutout 16"] = speed(with_cutout.epoch(number))
        for name, value in found.items():
            if number:  # the first round starts workers
                speeds.setdefault(name, []).append(value)
    for name, values in speeds.items():
        print(f"{name:32} {statistics.median(values):9,.0f} images/s ({min(values):,.0f} to {max(values):,.0f})")
    best = max(others, key=lambda name: statistics.median(speeds[name]))
    ratios = [a / b for a, b in zip(speeds["frugalnas"], speeds[best], strict=True)]
    print(
        f"frugalnas / best of the others ({best}): {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    )


if __name__ == "__main__":
    main()
