"""Acquisition functions: how promising a prediction makes each architecture. Larger is better throughout.

WeakNAS's program names eight (its source minimises negated accuracies; here everything is maximised):

| name | score |
| --- | --- |
| `ei` | expected improvement over the best value so far, in log space |
| `ucb` | mean + 0.5 std |
| `pi` | log probability of improvement |
| `mean` | mean |
| `percentile` | the most optimistic member; mean + std of a predictor without members (gaussian-process, ridge) |
| `confidence` | mean - 2 std: a lower confidence bound |
| `ts` | one random member (Thompson sampling); the same as `its` for a predictor without members |
| `its` | an independent normal draw for each architecture |
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import one_of
from frugalnas.predictors import Prediction
from frugalnas.spaces import IntArray
from frugalnas.strategies.failures import weighed

Values = NDArray[np.float64]

SHORTLIST = 50
"""Networks per place in a batch that are still looked at after the first choice."""
ROUNDING = 1e-9
SMALLEST_STD = 1e-9
"""Standard deviations are taken as at least this, so that a certain prediction has a defined improvement."""


def log_expected_improvement(mean: Values, std: Values, best: float) -> Values:
    """Logarithm of E[max(value - best, 0)] for normal values, shape [n].

    In log space the order survives where the improvement itself underflows to zero (Ament et al., NeurIPS 2023). WeakNAS's
    program compares with the worst observed value where it means the best, which makes nearly all improvements zero; this
    is what its paper means.
    """
    from scipy.special import erfcx, ndtr  # scipy takes half a second to import

    std = np.maximum(std, SMALLEST_STD)
    z = (np.asarray(mean, np.float64) - best) / std
    result = np.empty_like(z)
    near = z > -5.0  # where phi(z) + z Phi(z) keeps 14 digits; further out it cancels
    result[near] = np.log(np.exp(-0.5 * z[near] ** 2) / np.sqrt(2 * np.pi) + z[near] * ndtr(z[near]))
    # phi(z) + z Phi(z) = phi(z) (1 + z R(z)), where R = Phi / phi is a scaled complementary error function.
    far = z[~near]
    with np.errstate(invalid="ignore", divide="ignore"):
        remainder = 1.0 + far * np.sqrt(np.pi / 2) * erfcx(-far / np.sqrt(2))
    # Below -1e3 the remainder cancels to rounding noise; its series 1/z^2 - 3/z^4 takes over.
    remainder = np.where(far < -1e3, far**-2.0 * (1 - 3 * far**-2.0), remainder)
    result[~near] = -0.5 * far**2 - 0.5 * np.log(2 * np.pi) + np.log(remainder)
    return result + np.log(std)


def _may_improve_most(mean: Values, std: Values, best: float, networks: NDArray[np.uint64], n: int) -> IntArray:
    """The rows, few of many, among which the `n` networks with the largest expected improvements are, and what ties with them.

    The improvement std h(z) grows with z, so that each is at most what the next larger z of a short list makes of the row.
    """
    std = np.maximum(std, SMALLEST_STD)
    z = (mean - best) / std
    promising = np.argpartition(-(mean + std), min(4 * n, len(mean)) - 1)[: 4 * n]
    some = log_expected_improvement(mean[promising], std[promising], best)
    order = np.argsort(-some)
    first = np.sort(np.unique(networks[promising[order]], return_index=True)[1])
    if len(first) < n:
        return np.arange(len(mean))
    last = order[first[n - 1]]
    steps = z[promising[last]] + np.linspace(-8.0, 8.0, 257)
    at_most = np.append(log_expected_improvement(steps, np.ones(len(steps)), 0.0), np.inf)
    return np.flatnonzero(at_most[np.searchsorted(steps, z)] + np.log(std) >= some[last] - ROUNDING)


def _random_member(prediction: Prediction, best: float, rng: np.random.Generator) -> Values:
    if prediction.members is None:
        return rng.normal(prediction.mean, prediction.std)
    return prediction.members[rng.integers(len(prediction.members))]


def _log_chance_of_improvement(prediction: Prediction, best: float, rng: np.random.Generator) -> Values:
    from scipy.special import log_ndtr

    return log_ndtr((prediction.mean - best) / np.maximum(prediction.std, SMALLEST_STD))


ACQUISITIONS: dict[str, Callable[[Prediction, float, np.random.Generator], Values]] = {
    "ei": lambda p, best, rng: log_expected_improvement(p.mean, p.std, best),
    "ucb": lambda p, best, rng: p.mean + 0.5 * p.std,
    "pi": _log_chance_of_improvement,
    "mean": lambda p, best, rng: p.mean,
    "percentile": lambda p, best, rng: p.mean + p.std if p.members is None else p.members.max(axis=0),
    "confidence": lambda p, best, rng: p.mean - 2.0 * p.std,
    "ts": _random_member,
    "its": lambda p, best, rng: rng.normal(p.mean, p.std),
}


def scores(
    name: str,
    prediction: Prediction,
    best: float,
    rng: np.random.Generator,
    chance: Values | None = None,
    worst: float = 0.0,
) -> Values:
    """The acquisition score of every architecture, shape [n].

    Args:
        name: a key of `ACQUISITIONS`.
        prediction: what a predictor thinks of n architectures.
        best: the best value so far, in the predictor's units.
        rng: for the two that draw.
        chance: logarithm of each architecture's to succeed, shape [n]; None: all do.
        worst: what a failure is worth, in the predictor's units.
    """
    one_of("acquisition", name, ACQUISITIONS)
    score = ACQUISITIONS[name](prediction, best, rng)
    return weighed(score, chance, worst, name)


def best_batch(
    name: str,
    prediction: Prediction,
    best: float,
    networks: NDArray[np.uint64],
    eligible: NDArray[np.bool_],
    n: int,
    rng: np.random.Generator,
    chance: Values | None = None,
    worst: float = 0.0,
) -> IntArray:
    """The rows of up to `n` architectures to evaluate together, all of different networks.

    They are chosen one by one; before the next, the prediction supposes that the last turned out as predicted, which
    spreads a batch out where a predictor knows that neighbours go together. Only the best `SHORTLIST * n` networks at the
    start are looked at again: a supposed result can raise the best value and lower uncertainty, so that expected
    improvements only fall.

    Args:
        name: a key of `ACQUISITIONS`.
        prediction: what a predictor thinks of m architectures.
        best: the best value so far, in the predictor's units.
        networks: the network of each architecture, shape [m].
        eligible: which may be chosen, shape [m].
        n: how many.
        rng: for ties, which are broken at random, and the two acquisitions that draw.
        chance: logarithm of each architecture's to succeed, shape [m]; None: all do.
        worst: what a failure is worth, in the predictor's units.
    """
    shuffled = rng.permutation(np.flatnonzero(eligible))
    most = 1 if n == 1 else SHORTLIST * n
    if name == "ei" and chance is None and len(shuffled):
        means, stds = prediction.mean[shuffled], prediction.std[shuffled]
        kept = _may_improve_most(means, stds, best, networks[shuffled], most)
        shuffled, score = shuffled[kept], log_expected_improvement(means[kept], stds[kept], best)
    else:
        score = scores(name, prediction, best, rng, chance, worst)[shuffled]
    if n == 1:
        return shuffled[[np.argmax(score)]] if len(shuffled) else shuffled
    ranked = shuffled[np.argsort(-score, kind="stable")]
    _, first = np.unique(networks[ranked], return_index=True)
    shortlist = ranked[np.sort(first)[:most]]
    if len(shortlist) <= 1:
        return shortlist
    prediction, chance = prediction.take(shortlist), None if chance is None else chance[shortlist]
    left = np.ones(len(shortlist), np.bool_)
    chosen = [0]
    while len(chosen) < min(n, len(shortlist)):
        left[chosen[-1]] = False
        prediction = prediction.supposing(chosen[-1])
        best = max(best, float(prediction.mean[chosen[-1]]))
        chosen.append(int(np.argmax(np.where(left, scores(name, prediction, best, rng, chance, worst), -np.inf))))
    return shortlist[chosen]
