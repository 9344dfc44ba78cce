"""How well a predictor knows what it does not know: intervals that hold, and the likelihood of the truth."""

from __future__ import annotations

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import FloatArray

SMALLEST = 1e-6
"""A standard deviation below this part of the truth's spread counts as this: certainty that is wrong costs much, not
infinitely much."""


def coverage(mean: FloatArray, std: FloatArray, truth: FloatArray, level: float) -> float:
    """The share of true values inside the central interval of a Gaussian; where it equals `level`, intervals hold.

    Args:
        mean: shape [n].
        std: shape [n].
        truth: shape [n].
        level: of the interval, above 0 and below 1.

    Example:
        >>> coverage(np.zeros(4), np.ones(4), np.array([-3.0, -0.5, 0.5, 1.0]), 0.8)
        0.75
    """
    if not 0 < level < 1:
        raise FrugalnasError(f"the level of an interval is {level}; it lies between 0 and 1")
    from scipy.special import ndtri  # takes long to import

    return float(np.mean(np.abs(truth - mean) <= ndtri((1 + level) / 2) * std))


def gaussian_nll(mean: FloatArray, std: FloatArray, truth: FloatArray) -> float:
    """Mean negative log density of the true values, in nats, under Gaussians; smaller is better.

    Args:
        mean: shape [n].
        std: shape [n].
        truth: shape [n].

    Example:
        >>> round(gaussian_nll(np.zeros(1), np.ones(1), np.zeros(1)), 4)
        0.9189
    """
    std = np.maximum(std, SMALLEST * max(float(np.std(truth)), SMALLEST))
    return float(np.mean(0.5 * ((truth - mean) / std) ** 2 + np.log(std)) + 0.5 * np.log(2 * np.pi))
