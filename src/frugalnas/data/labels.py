"""Labels drawn at random in place of the images' own (RLNAS, section 3.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from frugalnas.data.sources import IntArray
from frugalnas.errors import FrugalnasError

LabelMode = Literal["true", "random", "random-access"]
"""The images' own labels; one drawn for every image; one drawn every time an image is seen."""

_LABELS = 4  # which draws a generator is for; `loading` has the others
_MOST = 2**31


class RandomLabels:
    """Labels of a part's images, independent of what the images show.

    Labels that stay are `numpy.random.RandomState(seed).randint(0, classes, images)`, which RLNAS's programs draw too.
    Labels drawn anew are a function of seed, epoch and image: in an epoch each image is seen once.

    Args:
        classes: to draw from, at least two.
        seed: of the draw.
        anew: whether every epoch has its own.
    """

    def __init__(self, classes: int, seed: int, *, anew: bool = False) -> None:
        if not 2 <= classes < _MOST:
            raise FrugalnasError(f"classes is {classes}; random labels are drawn from two classes or more")
        self.classes = classes
        self.seed = seed
        self.anew = anew

    def __call__(self, images: int, epoch: int) -> IntArray:
        """The labels of so many images in an epoch (from 0), int64, shape [images]."""
        if self.anew:
            return np.random.default_rng([self.seed, epoch, _LABELS]).integers(0, self.classes, images)
        return np.random.RandomState(self.seed % 2**32).randint(0, self.classes, images).astype(np.int64)
