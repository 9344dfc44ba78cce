"""What an assessment of predictors says: how well each ranks what it has not seen, by the labels that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from frugalnas.errors import unknown_name
from frugalnas.predictors import Prediction
from frugalnas.scores.calibration import coverage, gaussian_nll
from frugalnas.scores.correlation import kendall_tau, spearman, top_precision
from frugalnas.spaces import FloatArray
from frugalnas.strategies.labels import Labels
from frugalnas.studies.comparison import PairTest, paired_tests

__all__ = ["LEVELS", "METRICS", "TOPS", "Assessment", "calibrated", "in_units", "judged"]

TOPS = (10, 50, 100)
LEVELS = (0.5, 0.8, 0.95)
"""Of the intervals whose coverage is measured."""
BEST = 0.01
"""Share of the architectures that count as the truly best."""

METRICS = {
    "tau": "Kendall's tau-b",
    "spearman": "Spearman's rank correlation",
    **{f"top{k}": f"share of the {k} predicted best that are among the truly best" for k in TOPS},
    "rank": "true rank of the predicted best, 1 is the best",
    "regret": "best value less that of the predicted best",
    "mae": "mean absolute error",
    "rmse": "root of the mean squared error",
    **{f"cover{100 * level:g}": f"share of values inside {100 * level:g} % intervals" for level in LEVELS},
    "nll": "mean negative log density, nats",
    "fit_seconds": "time to learn, s",
    "predict_seconds": "time to predict all others, s",
}
"""What is measured of each fitted predictor on the architectures that it has not seen."""


@dataclass(frozen=True)
class Assessment:
    """Predictors that learned from the same labels, and how well they did.

    Attributes:
        rows: one dict per predictor, budget and trial: these three, "error" where it failed, and the `METRICS`.
        predictors: labels.
        budgets: numbers of labels, ascending; in a trial the larger sample contains the smaller one.
        trials: how many random samples.
        architectures: how many there are; those of the sample, and other forms of its networks, are not predicted.
        subject: table or file.
        quantity: what is predicted.
        targets: what each predictor was fitted to: raw values, standard or rank; see `strategies.labels`.
        repeated: rows of a file that named a network again: its label is the mean.
        split: what samples are of: networks, which are then not predicted under another spelling, or codes.
        folder: where the assessment is kept, None where it is not.
    """

    rows: Sequence[Mapping[str, Any]]
    predictors: tuple[str, ...]
    budgets: tuple[int, ...]
    trials: int
    architectures: int
    subject: str
    quantity: str
    repeated: int = 0
    targets: tuple[Labels, ...] = ()
    folder: Path | None = None
    split: str = "networks"

    def sample(self, metric: str, budget: int) -> dict[str, NDArray[np.float64]]:
        """One metric of each predictor at one budget, shape [trials], NaN where it is not known."""
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if budget not in self.budgets:
            raise unknown_name("budget", budget, [str(known) for known in self.budgets])
        found = {label: np.full(self.trials, np.nan) for label in self.predictors}
        for row in self.rows:
            value = row.get(metric)
            if row["budget"] == budget and value is not None:
                found[row["predictor"]][row["trial"]] = value
        return found

    def failures(self, label: str, budget: int | None = None) -> list[str]:
        """What a predictor said where it failed."""
        return [
            row["error"]
            for row in self.rows
            if row["predictor"] == label and budget in (None, row["budget"]) and row["error"] is not None
        ]

    def tests(self, metric: str, budget: int) -> list[PairTest]:
        """Every pair of predictors, paired by trial: both learned from the same labels."""
        return paired_tests(self.sample(metric, budget))


def in_units(
    prediction: Prediction, targets: NDArray[np.float64], values: NDArray[np.float64], how: Labels
) -> Prediction:
    """A prediction of targets in the units of the values that they were made from.

    Normal scores of ranks are read off the labels, between which the values lie on straight lines, and none beyond the largest
    and smallest; they have no deviation then.

    Args:
        prediction: of the targets.
        targets: what the predictor was fitted to, shape [m].
        values: what they were made from, shape [m].
        how: rank, standard or raw.
    """
    if how == "raw":
        return prediction
    if how == "standard":
        middle, spread = values.mean(), max(float(values.std()), 1e-12)
        return Prediction(middle + spread * prediction.mean, spread * prediction.std)
    order = np.argsort(targets)
    return Prediction(np.interp(prediction.mean, targets[order], values[order]), np.zeros(len(prediction.mean)))


def judged(mean: FloatArray, truth: FloatArray, answers: FloatArray | None = None) -> dict[str, float]:
    """How predicted values rank and meet the true ones: the metrics that need no standard deviation.

    A prediction that is the same throughout ranks nothing: its correlations are 0, what ties broken by lot come to on
    average. A top of more than half of the architectures is left out. The truly best are a hundredth of them, and at least as
    many as the top.

    Args:
        mean: what is ranked, shape [n].
        truth: shape [n].
        answers: the same predictions in the units of the truth, shape [n]; None: `mean` is.

    Raises:
        FrugalnasError: where a number is missing.
    """
    constant = np.ptp(mean) == 0
    errors = (mean if answers is None else answers) - truth
    first = truth[mean == mean.max()]
    tops = {
        f"top{k}": top_precision(mean, truth, k, max(k, round(BEST * len(truth)))) for k in TOPS if 2 * k <= len(truth)
    }
    return {
        "tau": 0.0 if constant else kendall_tau(mean, truth),
        "spearman": 0.0 if constant else spearman(mean, truth),
        **tops,
        "rank": float(1 + len(truth) - np.searchsorted(np.sort(truth), first, side="right").mean()),
        "regret": float(truth.max() - first.mean()),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
    }


def calibrated(
    prediction: Prediction,
    truth: NDArray[np.float64],
    targets: NDArray[np.float64],
    values: NDArray[np.float64],
    how: Labels = "raw",
) -> dict[str, float]:
    """Coverage and likelihood of a prediction with standard deviations; nothing of one without.

    The ends of an interval of ranks are read off the labels; one beyond them is no bound. Ranks have no likelihood.

    Args:
        prediction: of the targets.
        truth: shape [n].
        targets: what the predictor was fitted to, shape [m].
        values: what they were made from, shape [m].
        how: rank, standard or raw.
    """
    if not np.any(prediction.std > 0):
        return {}
    if how != "rank":
        found = in_units(prediction, targets, values, how)
        covered = {level: coverage(found.mean, found.std, truth, level) for level in LEVELS}
        return {**_named(covered), "nll": gaussian_nll(found.mean, found.std, truth)}
    order = np.argsort(targets)
    known, worth = targets[order], values[order]
    shares = {}
    for level in LEVELS:
        reach = float(ndtri((1 + level) / 2)) * prediction.std
        low = np.interp(prediction.mean - reach, known, worth, left=-np.inf)
        high = np.interp(prediction.mean + reach, known, worth, right=np.inf)
        shares[level] = float(np.mean((low <= truth) & (truth <= high)))
    return _named(shares)


def _named(shares: Mapping[float, float]) -> dict[str, float]:
    return {f"cover{100 * level:g}": share for level, share in shares.items()}
