"""What a comparison says: accuracy at budgets, queries to the optimum, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from frugalnas.errors import FrugalnasError
from frugalnas.runs.shown import Shown

__all__ = ["Comparison", "PairTest", "bootstrap_mean", "holm", "paired_tests"]

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairTest:
    """A Wilcoxon signed-rank test of two strategies, paired by seed.

    Attributes:
        first: a strategy.
        second: another.
        difference: mean of first minus second over the seeds where both have a value, NaN where there is none.
        p: two-sided, after Holm's correction over all pairs; 1 where all differences are zero.
    """

    first: str
    second: str
    difference: float
    p: float


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Strategies over the same seeds.

    Attributes:
        values: for each strategy, the value of every query, NaN where it failed or a run ended early, [seeds, queries].
        seeds: the seeds, in the order of the rows.
        optimum: the best value there is for each seed, NaN where it is unknown, shape [seeds]; it differs between seeds
            only where labels are drawn at random.
        rows: one dict per query, for the Parquet file.
        subject: what was searched, for titles.
        test: for each strategy, the test accuracy in % of each seed's best architecture by validation, shape [seeds]; looked
            up after the searches. None where the table has no test results, or no table answered.
        objective: what the values are, where a table answered: accuracy, or oracle-test, for which `test` is None.
        folder: where the comparison is kept, None where it is not.
    """

    said: ClassVar[str] = "the best value so far"
    """What stands at a budget, for people."""
    unit: ClassVar[str] = "value"
    """What it is on an axis, where no table answered."""

    values: Mapping[str, NDArray[np.float64]]
    seeds: tuple[int, ...]
    optimum: NDArray[np.float64]
    rows: Sequence[Mapping[str, Any]]
    subject: str
    test: Mapping[str, NDArray[np.float64]] | None = None
    folder: Path | None = None
    objective: str = "accuracy"

    @property
    def queries(self) -> int:
        """The budget."""
        return next(iter(self.values.values())).shape[1]

    @property
    def best_so_far(self) -> dict[str, NDArray[np.float64]]:
        """The best value after each query, NaN before the first success, [seeds, queries] for each strategy.

        A run that ended early keeps its best value: its space was exhausted.
        """
        curves = {}
        for name, values in self.values.items():
            running = np.maximum.accumulate(np.where(np.isfinite(values), values, -np.inf), axis=1)
            curves[name] = np.where(np.isfinite(running), running, np.nan)
        return curves

    def at(self, budget: int) -> dict[str, NDArray[np.float64]]:
        """The best value after `budget` queries, shape [seeds], for each strategy."""
        if not 1 <= budget <= self.queries:
            raise FrugalnasError(f"budget {budget} is outside 1 to {self.queries}")
        return {name: curve[:, budget - 1] for name, curve in self.best_so_far.items()}

    @property
    def knows_optimum(self) -> bool:
        """Whether the best possible value is known for every seed."""
        return bool(np.isfinite(self.optimum).all())

    def to_optimum(self) -> dict[str, NDArray[np.float64]]:
        """Queries until the optimum was found, NaN where the budget ended first (censored), shape [seeds]."""
        if not self.knows_optimum:
            raise FrugalnasError(f"the optimum of {self.subject} is not known")
        found = {}
        for name, values in self.values.items():
            hit = values >= self.optimum[:, None]
            found[name] = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.nan)
        return found

    def tests(self, samples: Mapping[str, NDArray[np.float64]]) -> list[PairTest]:
        """Every pair of strategies, compared on one number per seed."""
        return paired_tests(samples)

    def facts(self) -> dict[str, str]:
        """What was compared, and the mean over the seeds of each strategy's best value."""
        last = self.at(self.queries)
        means = {name: f"{bootstrap_mean(best)[0]:.6g}" for name, best in last.items()}
        return {"on": self.subject, "seeds": str(len(self.seeds)), "queries": f"{self.queries:,}", **means}

    def default_budgets(self) -> list[int]:
        """Budgets to report: the whole, a half, a quarter and an eighth."""
        return sorted({max(self.queries // part, 1) for part in (8, 4, 2, 1)})


def paired_tests(samples: Mapping[str, NDArray[np.float64]]) -> list[PairTest]:
    """Wilcoxon's signed-rank test of every pair of names, on numbers paired by place, with Holm's correction over the pairs."""
    names = list(samples)
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    raw, differences = [], []
    for a, b in pairs:
        both = np.isfinite(samples[a]) & np.isfinite(samples[b])
        difference = samples[a][both] - samples[b][both]
        differences.append(float(difference.mean()) if difference.size else np.nan)
        raw.append(float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0)
    corrected = holm(np.array(raw))
    return [
        PairTest(a, b, difference, float(p))
        for (a, b), difference, p in zip(pairs, differences, corrected, strict=True)
    ]


def bootstrap_mean(sample: NDArray[np.float64], seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % percentile-bootstrap interval of a sample, whose NaNs are left out.

    Example:
        >>> bootstrap_mean(np.array([2.0, 2.0, 2.0]))
        (2.0, 2.0, 2.0)
    """
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.nan, np.nan, np.nan
    draws = np.random.default_rng(seed).integers(sample.size, size=(RESAMPLES, sample.size))
    low, high = np.percentile(sample[draws].mean(axis=1), [2.5, 97.5])
    return float(sample.mean()), float(low), float(high)


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
