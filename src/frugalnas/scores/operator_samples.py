"""Scores of operators from one number for each of many architectures: of all of a space, or of some that are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.scores.base import Score
from frugalnas.scores.moments import limits_of, moments
from frugalnas.scores.operators import OperatorScores, Statistic
from frugalnas.spaces import Codes, FactoredSpace, FloatArray, SearchSpace

BEST = 0.1
"""Of the architectures, where the best tenth counts."""


def scores_of(
    codes: Codes, values: FloatArray, space: SearchSpace, *, name: str, statistic: Statistic = "mean"
) -> OperatorScores:
    """The scores of all operators from one number for every architecture: a table's column, predictions, anything.

    Args:
        codes: all architectures of the space, as `enumerate` lists them, shape [n, genes].
        values: of each, shape [n].
        space: whose operators.
        name: of the score.
        statistic: of the values of the architectures that contain an operator.

    Raises:
        FrugalnasError: where a value is not a finite number.
    """
    _refuse_nan(codes, values, space, name)
    shape = space.allowed.shape
    scores, shares = np.full(shape, np.nan), np.zeros(shape)
    for gene, column in enumerate(codes.T):
        number = np.bincount(column, minlength=shape[1])
        shares[gene] = number / len(codes)
        there = number > 0
        if statistic == "mean":
            scores[gene, there] = np.bincount(column, values, minlength=shape[1])[there] / number[there]
            continue
        for value in np.flatnonzero(there):
            scores[gene, value] = best(values[column == value], statistic)[0]
    errors = np.where(np.isnan(scores), np.nan, 0.0)
    return OperatorScores(name, scores, errors, shares, "enumerated", statistic, len(codes))


def sampled_scores(
    score: Score,
    space: SearchSpace,
    *,
    draws: int,
    least: int = 2,
    seed: int = 0,
    statistic: Statistic = "mean",
) -> OperatorScores:
    """The scores of all operators from architectures that are drawn uniformly, with their standard errors.

    Every drawn architecture counts for all operators that it contains. Those that are drawn for one operator only, as it
    is rare, count for that one: they are no uniform sample of what contains another.

    Args:
        score: of architectures.
        space: the score's or a smaller one.
        draws: how many of all.
        least: how many of each operator at least, where there are any; at least two, so that there is an interval.
        seed: of the draws.
        statistic: "mean" or "best-tenth".
    """
    if statistic == "maximum":
        raise FrugalnasError(
            f"the maximum over architectures that are drawn says nothing of the others, and {space.name} is not listed here; "
            "take `statistic` mean or best-tenth"
        )
    least = max(least, 2)
    rng = np.random.default_rng(seed)
    codes = space.sample(draws, rng)
    genes, values = space.allowed.shape
    counts = np.stack([np.bincount(column, minlength=values) for column in codes.T])
    further = {}
    for gene, value in np.argwhere(space.allowed & (counts < least)).tolist():
        rare = _containing(space, gene, value, int(least - counts[gene, value]), rng)
        if rare is not None:
            further[gene, value] = rare
    everything = np.concatenate([codes, *further.values()])
    numbers = np.asarray(score(everything), np.float64)
    _refuse_nan(everything, numbers, space, score.name)
    starts = dict(zip(further, np.cumsum([draws, *map(len, further.values())]), strict=False))
    scores, errors = np.full((genes, values), np.nan), np.full((genes, values), np.nan)
    for gene, value in np.argwhere(space.allowed).tolist():
        own = numbers[:draws][codes[:, gene] == value]
        if (gene, value) in further:
            start = starts[gene, value]
            own = np.concatenate([own, numbers[start : start + len(further[gene, value])]])
        if len(own):
            scores[gene, value], errors[gene, value] = best(own, statistic)
    return OperatorScores(
        score.name, scores, errors, counts / draws, "sampled", statistic, len(everything), _unseen(space, scores)
    )


def best(values: FloatArray, statistic: Statistic) -> tuple[float, float]:
    """A statistic of some values, and its standard error as that of a sample; NaN where that is not known.

    Example:
        >>> best(np.arange(100.0), "best-tenth")[0]
        94.5
    """
    if statistic == "maximum":
        return float(values.max()), np.nan
    if statistic == "mean":
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
    top = -(-len(values) // round(1 / BEST))
    upper = np.partition(values, len(values) - top)[-top:]
    # Of a mean beyond a quantile that is estimated too (Manistre and Hancock, 2005).
    variance = upper.var() + (1 - BEST) * (upper.mean() - upper.min()) ** 2
    return float(upper.mean()), float(np.sqrt(variance / top)) if top > 1 else np.nan


def _containing(space: SearchSpace, gene: int, value: int, n: int, rng: np.random.Generator) -> Codes | None:
    """Architectures with this value at this gene; None where there are none within the limits."""
    mask = space.allowed.copy()
    mask[gene] = np.arange(mask.shape[1]) == value
    try:
        only = space.restrict(mask)
        return only.sample(n, rng) if _possible(only) else None
    except FrugalnasError:
        return None


def _possible(space: SearchSpace) -> bool:
    """Whether there may be an architecture; within one limit that is known sooner than by drawing in vain."""
    if not isinstance(space, FactoredSpace) or len({rule.quantity for rule in limits_of(space)}) != 1:
        return True
    return bool(moments(space, np.zeros((*space.allowed.shape, 0))).share.any())


def _unseen(space: SearchSpace, scores: NDArray[np.float64]) -> str:
    number = int((np.isnan(scores) & space.allowed).sum())
    return f"{number} operators are in no architecture within the limits" if number else ""


def _refuse_nan(codes: Codes, values: FloatArray, space: SearchSpace, name: str) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        first = space.format(codes[int(np.argmax(wrong))])
        raise FrugalnasError(
            f"{name} is no number for {int(wrong.sum()):,} of {len(codes):,} architectures, {first} the first of them: operators "
            "have no mean; take a table or an epoch that has all, or a space without those (`operators`, `where`)"
        )
