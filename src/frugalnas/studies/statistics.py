"""How sure a mean is, and whether two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces import FloatArray

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairTest:
    """A Wilcoxon signed-rank test of two samples, paired by place.

    Attributes:
        first: name of a sample.
        second: of another.
        difference: mean of first minus second over the places where both have a value, NaN where there is none.
        p: two-sided, after Holm's correction over all pairs; 1 where all differences are zero.
    """

    first: str
    second: str
    difference: float
    p: float

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, None for NaN."""
        return {**asdict(self), "difference": None if np.isnan(self.difference) else self.difference}


def paired_tests(samples: Mapping[str, FloatArray]) -> list[PairTest]:
    """Wilcoxon's signed-rank test of every pair of names, on numbers paired by place, with Holm's correction over the pairs."""
    from scipy.stats import wilcoxon  # takes half a second to import

    names = list(samples)
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    raw, differences = [], []
    for a, b in pairs:
        both = np.isfinite(samples[a]) & np.isfinite(samples[b])
        difference = samples[a][both] - samples[b][both]
        differences.append(float(difference.mean()) if difference.size else np.nan)
        raw.append(float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0)
    corrected = holm(np.array(raw))
    return [PairTest(*pair, found, float(p)) for pair, found, p in zip(pairs, differences, corrected, strict=True)]


def bootstrap_interval(sample: FloatArray, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """Low and high end of the 95 % percentile-bootstrap interval of the mean of each column.

    Args:
        sample: shape [n, columns]; all columns are resampled alike.
        resamples: how many.
        seed: of the resamples.

    Returns:
        Shape [2, columns].
    """
    draws = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    means = np.array([column[draws].mean(axis=1) for column in sample.T])
    return np.percentile(means, [2.5, 97.5], axis=1)


def bootstrap_mean(sample: FloatArray, seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval of a sample, whose NaNs are left out.

    Example:
        >>> bootstrap_mean(np.array([2.0, 2.0, 2.0]))
        (2.0, 2.0, 2.0)
    """
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.nan, np.nan, np.nan
    low, high = bootstrap_interval(sample[:, None], seed=seed)[:, 0]
    return float(sample.mean()), float(low), float(high)


def estimated(sample: FloatArray) -> list[float] | None:
    """[mean, low, high] of a sample as plain data, None where it has no value; see `bootstrap_mean`."""
    return list(bootstrap_mean(sample)) if np.isfinite(sample).any() else None


def mean_and_deviation(values: Sequence[float | None]) -> list[float | None]:
    """[mean, standard deviation of a sample] as plain data; None for what one value, or a missing one, does not define.

    Example:
        >>> mean_and_deviation([1.0, 3.0]), mean_and_deviation([1.0]), mean_and_deviation([1.0, None])
        ([2.0, 1.4142135623730951], [1.0, None], [None, None])
    """
    sample = np.array(values, np.float64)
    if not sample.size or not np.isfinite(sample).all():
        return [None, None]
    return [float(sample.mean()), float(sample.std(ddof=1)) if len(sample) > 1 else None]


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values corrected for multiple testing (Holm, 1979), shape [tests].

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
