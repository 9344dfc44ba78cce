"""How well predicted values rank and meet the true ones, and whether their intervals hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from frugalnas.predictors import Prediction
from frugalnas.scores.calibration import coverage, gaussian_nll
from frugalnas.scores.correlation import kendall_tau, spearman, top_precision
from frugalnas.spaces import FloatArray
from frugalnas.strategies.labels import Labels

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


def in_units(means: FloatArray, targets: FloatArray, values: FloatArray, how: Labels) -> FloatArray:
    """Predictions of targets in the units of the values that they were made from, shape [n].

    Normal scores of ranks are read off the labels, between which the values lie on straight lines; what is predicted beyond
    the largest or smallest counts as that, since ranks say nothing of distances.

    Args:
        means: predicted targets, shape [n].
        targets: what the predictor was fitted to, shape [m].
        values: what they were made from, shape [m].
        how: rank, standard or raw.
    """
    if how == "rank":
        order = np.argsort(targets, kind="stable")
        return np.interp(means, targets[order], values[order])
    return values.mean() + _spread(values, how) * means if how == "standard" else means


def _spread(values: FloatArray, how: Labels) -> float:
    """How many units of the values one of the targets is."""
    return max(float(values.std()), 1e-12) if how == "standard" else 1.0


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
    prediction: Prediction, truth: FloatArray, targets: FloatArray, values: FloatArray, how: Labels = "raw"
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
        mean = in_units(prediction.mean, targets, values, how)
        std = _spread(values, how) * prediction.std
        covered = {level: coverage(mean, std, truth, level) for level in LEVELS}
        return {**_named(covered), "nll": gaussian_nll(mean, std, truth)}
    order = np.argsort(targets)
    known, worth = targets[order], values[order]
    shares = {}
    for level in LEVELS:
        from scipy.special import ndtri  # takes long to import

        reach = float(ndtri((1 + level) / 2)) * prediction.std
        low = np.interp(prediction.mean - reach, known, worth, left=-np.inf)
        high = np.interp(prediction.mean + reach, known, worth, right=np.inf)
        shares[level] = float(np.mean((low <= truth) & (truth <= high)))
    return _named(shares)


def _named(shares: Mapping[float, float]) -> dict[str, float]:
    return {f"cover{100 * level:g}": share for level, share in shares.items()}
