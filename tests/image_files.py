"""Small image data sets on disk for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(rng: np.random.Generator, size: tuple[int, int] = (20, 20), colour: int = 128) -> Image.Image:
    """Noise around a colour; size is (width, height)."""
    noise = rng.integers(-40, 40, (size[1], size[0], 3))
    return Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8))


def class_folders(
    root: Path, classes: dict[str, int], size: tuple[int, int] = (20, 20), suffix: str = ".png", seed: int = 0
) -> Path:
    """A folder with so many images of each class, each class of its own brightness."""
    rng = np.random.default_rng(seed)
    for position, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(rng, size, 60 + 60 * position).save(root / name / f"{name}{index:03d}{suffix}")
    return root
