"""How well a score ranks architectures whose accuracy is known: tau, Spearman, top-k, and within groups of equal size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import FloatArray
from frugalnas.spaces.arrays import ranks

TOP = (1, 10, 100, 1000)
"""Sizes of the tops that are looked at, where there are at least twice as many architectures."""
GROUPS = 5
"""Groups of equal parameters that are reported one by one, the largest."""


@dataclass(frozen=True)
class TopCorrelation:
    """The k architectures that a score puts first.

    Attributes:
        k: how many.
        precision: the share of them that are among the k truly best.
        value: their mean true value.
    """

    k: int
    precision: float
    value: float


@dataclass(frozen=True)
class GroupCorrelation:
    """Architectures of the same size.

    Attributes:
        params: parameters of each.
        architectures: how many there are.
        tau: Kendall's tau-b among them, NaN where the score or the truth tells none of them apart.
    """

    params: float
    architectures: int
    tau: float


@dataclass(frozen=True)
class Correlation:
    """How a score ranks.

    Attributes:
        architectures: how many were compared.
        tau: Kendall's tau-b, which knows ties; NaN where the score or the truth is the same throughout.
        position_tau: tau as the programs of RLNAS and ABS compute it: of the places in two sorted lists.
        spearman: Spearman's rank correlation, ties with their mean rank.
        within: tau-b over the pairs of equal parameters alone, NaN without such pairs: what a score knows beyond size.
        groups: the largest groups of equal parameters, smaller networks first.
        top: the first 1, 10, 100, 1,000 by score.
        winner: the row with the largest score, of equal ones the first.
    """

    architectures: int
    tau: float
    position_tau: float
    spearman: float
    within: float
    groups: tuple[GroupCorrelation, ...]
    top: tuple[TopCorrelation, ...]
    winner: int


def correlation(
    scores: FloatArray, truth: FloatArray, params: FloatArray | None = None, *, top: Sequence[int] = TOP
) -> Correlation:
    """How the scores rank what has those true values.

    Args:
        scores: larger is better, shape [n].
        truth: larger is better, shape [n].
        params: parameters of each network, shape [n]; None where size does not matter.
        top: tops to report; those of more than half of the architectures are left out.

    Raises:
        FrugalnasError: where the arrays do not fit, or a number is missing.
    """
    scores, truth = _checked(scores, truth)
    within, groups = (float("nan"), ()) if params is None else within_groups(scores, truth, params)
    tops = []
    for k in (k for k in top if 2 * k <= len(scores)):
        chosen, best = _membership(scores, k), _membership(truth, k)
        tops.append(TopCorrelation(k, float((chosen * best).sum()) / k, float((chosen * truth).sum()) / k))
    return Correlation(
        len(scores),
        kendall_tau(scores, truth),
        position_tau(scores, truth),
        spearman(scores, truth),
        within,
        groups,
        tuple(tops),
        int(np.argmax(scores)),
    )


def kendall_tau(scores: FloatArray, truth: FloatArray) -> float:
    """Kendall's tau-b, in which pairs tied on one side count for neither; NaN where one side is the same throughout.

    Example:
        >>> round(kendall_tau(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])), 4)
        0.9129
    """
    scores, truth = _checked(scores, truth)
    return _tau(scores, truth)


def position_tau(scores: FloatArray, truth: FloatArray) -> float:
    """Tau as the programs of RLNAS and ABS compute it, for comparison with what they publish.

    Both sides are sorted downwards and replaced by places 1, 2, 3, ...; of equal values the one listed first comes
    first. Ties become an order that nothing measured: with the published angles, of which 3,850 among 15,625 are
    distinct, it moves with the order in which the space is listed.

    Example:
        >>> round(position_tau(np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])), 4)
        0.6667
    """
    scores, truth = _checked(scores, truth)
    return _tau(_places(scores), _places(truth))


def spearman(scores: FloatArray, truth: FloatArray) -> float:
    """Spearman's rank correlation, ties with their mean rank; NaN where one side is the same throughout."""
    scores, truth = _checked(scores, truth)
    first, second = (ranks(values) - (len(values) + 1) / 2 for values in (scores, truth))
    norm = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / norm if norm else float("nan")


def top_precision(scores: FloatArray, truth: FloatArray, k: int, best: int | None = None) -> float:
    """The share of the k architectures with the largest scores that are among the truly best.

    Where ties leave open who belongs to a top, it is the expectation under fair draws among them.

    Args:
        scores: larger is better, shape [n].
        truth: larger is better, shape [n].
        k: how many are chosen.
        best: how many count as the truly best; None: k.

    Example:
        >>> top_precision(np.array([4.0, 3.0, 2.0, 1.0]), np.array([9.0, 1.0, 8.0, 2.0]), 2)
        0.5
    """
    scores, truth = _checked(scores, truth)
    best = k if best is None else best
    for size in (k, best):
        if not 1 <= size <= len(scores):
            raise FrugalnasError(f"the top {size} of {len(scores)} architectures: choose 1 to {len(scores)}")
    return float((_membership(scores, k) * _membership(truth, best)).sum()) / k


def within_groups(
    scores: FloatArray, truth: FloatArray, params: FloatArray, *, largest: int = GROUPS
) -> tuple[float, tuple[GroupCorrelation, ...]]:
    """Tau-b over the pairs of networks with equally many parameters, and that of the largest groups one by one.

    The first is (concordant - discordant pairs) / sqrt(pairs untied by score * pairs untied by truth), each counted inside
    the groups and summed over all of them: tau-b of what size does not decide.

    Args:
        scores: shape [n].
        truth: shape [n].
        params: shape [n].
        largest: groups that are returned one by one, smaller networks first.
    """
    scores, truth = _checked(scores, truth)
    sizes, group, members = np.unique(np.asarray(params), return_inverse=True, return_counts=True)
    if group.shape != scores.shape:
        raise FrugalnasError(f"{len(scores)} scores need as many parameter counts, not {len(group)}")
    rows = np.split(np.argsort(group, kind="stable"), np.cumsum(members)[:-1])
    balance, by_score, by_truth = 0.0, 0.0, 0.0
    taus = np.full(len(sizes), np.nan)
    for place, inside in enumerate(rows):
        pairs = _untied(scores[inside]), _untied(truth[inside])
        taus[place] = _tau(scores[inside], truth[inside])
        balance += np.nan_to_num(taus[place]) * np.sqrt(pairs[0] * pairs[1])
        by_score, by_truth = by_score + pairs[0], by_truth + pairs[1]
    shown = np.sort(np.argsort(-members, kind="stable")[:largest])
    groups = tuple(
        GroupCorrelation(float(sizes[place]), int(members[place]), float(taus[place]))
        for place in shown
        if members[place] > 1
    )
    norm = np.sqrt(by_score * by_truth)
    return (float(balance / norm) if norm else float("nan")), groups


def _checked(scores: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape or len(scores) < 2:
        raise FrugalnasError(
            f"a correlation is of two rows of at least two numbers, not of shapes {list(scores.shape)} and {list(truth.shape)}"
        )
    for name, values in (("scores", scores), ("true values", truth)):
        missing = int((~np.isfinite(values)).sum())
        if missing:
            raise FrugalnasError(f"{missing} of {len(values)} {name} are not finite; leave those architectures out")
    return scores, truth


def _tau(first: FloatArray, second: FloatArray) -> float:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    from scipy.stats import kendalltau  # takes half a second to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of p-values, which nobody asks for
        return float(kendalltau(first, second).statistic)


def _places(values: FloatArray) -> FloatArray:
    places = np.empty(len(values))
    places[np.argsort(-values, kind="stable")] = np.arange(len(values), 0, -1)
    return places


def _untied(values: FloatArray) -> float:
    """How many pairs of values differ."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(len(values) * (len(values) - 1) / 2 - (counts * (counts - 1) / 2).sum())


def _membership(values: FloatArray, k: int) -> FloatArray:
    """The probability of each row to be among the k largest, ties broken by fair draws, shape [n]."""
    bound = np.partition(values, len(values) - k)[len(values) - k]
    above, tied = values > bound, values == bound
    return np.where(above, 1.0, np.where(tied, (k - above.sum()) / tied.sum(), 0.0))
