"""The expected score of the architectures that contain an operator, exactly wherever that is possible."""

from __future__ import annotations

import numpy as np

from frugalnas.errors import FrugalnasError, at_least, unknown_name
from frugalnas.scores.angle import Angle
from frugalnas.scores.base import Counted, Score
from frugalnas.scores.cached import CachedScore
from frugalnas.scores.cell_moments import cell_moments, counts_once
from frugalnas.scores.expected_angle import expected_angles, left_out
from frugalnas.scores.moments import Moments, limits_of, moments
from frugalnas.scores.operator_samples import sampled_scores, scores_of
from frugalnas.scores.operators import STATISTICS, OperatorScores, Statistic
from frugalnas.spaces import DARTS, Codes, FactoredSpace, SearchSpace

DRAWS = 100_000
"""Architectures drawn where a score has a table, which answers a million a second."""

FEW_DRAWS = 1_000
"""Architectures drawn where a score looks at one network after the other."""

RANDOM = "random"
"""What the baseline is called, whose scores are drawn."""

CHECKED = 2**13
"""Architectures drawn to see what an expansion leaves out."""


def operator_scores(
    score: Score,
    space: SearchSpace | None = None,
    *,
    statistic: Statistic = "mean",
    draws: int | None = None,
    least: int = 2,
    seed: int = 0,
) -> OperatorScores:
    """The expected score of the architectures that contain each operator, exactly wherever that is possible.

    Spaces that can be listed are listed. Elsewhere, means of parameters and other costs are sums, and means of angles come from
    the exact moments of three sums, within a limit on one quantity too. What is left is drawn: the best tenth, scores that
    look at one network after the other, limits on two quantities, and angles that count live paths of DARTS's cells
    within a limit.

    Args:
        score: of architectures.
        space: the score's, or a smaller one (`restrict`, `where`); None: the score's.
        statistic: "mean" is what ABS takes.
        draws: draw so many, uniformly from the space; None: none where the numbers can be had without, else 100,000, or
            1,000 of a score that looks at one network after the other.
        least: for an operator that fewer of the drawn contain, draw more that do.
        seed: of the draws.

    Raises:
        FrugalnasError: where no architecture meets the limits, or a score is not a finite number.
    """
    space = score.space if space is None else space
    if (space.name, space.allowed.shape) != (score.space.name, score.space.allowed.shape):
        raise FrugalnasError(
            f"the score {score.name} is of {score.space.name}, not of {space.name}; take a space that was made of its own"
        )
    if statistic not in STATISTICS:
        raise unknown_name("statistic of operators", statistic, STATISTICS)
    at_least(1, draws=draws)
    listed = space.enumerable and not isinstance(score, CachedScore)
    if draws is None and listed:
        codes = listing(space)
        return scores_of(codes, score(codes), space, name=score.name, statistic=statistic)
    if draws is None and statistic == "mean" and isinstance(space, FactoredSpace):
        found = _from_moments(score, space, seed)
        if found is not None:
            return found
    if draws is None:
        draws = FEW_DRAWS if isinstance(score, CachedScore) else DRAWS
    return sampled_scores(score, space, draws=draws, least=least, seed=seed, statistic=statistic)


def listing(space: SearchSpace) -> Codes:
    """All architectures of a space that can be listed, shape [size, genes].

    Raises:
        FrugalnasError: where there is none within the limits.
    """
    codes = space.enumerate()
    return codes if len(codes) else space.sample(1, np.random.default_rng(0))  # which says what the limits are


def drawn_scores(space: SearchSpace, seed: int) -> OperatorScores:
    """A number drawn for each operator, the baseline that every score has to beat."""
    scores = np.where(space.allowed, np.random.default_rng(seed).random(space.allowed.shape), np.nan)
    shares = space.allowed / space.allowed.sum(axis=1, keepdims=True)
    return OperatorScores(RANDOM, scores, np.where(space.allowed, 0.0, np.nan), shares, "drawn")


def _from_moments(score: Score, space: FactoredSpace, seed: int) -> OperatorScores | None:
    """Scores that need no draws; None where they are not known."""
    if len({rule.quantity for rule in limits_of(space)}) > 1:
        return None
    if isinstance(score, Counted):
        fixed, table = space.costs(score.name)
        found = _feasible(space, moments(space, table[:, :, None]))
        there = found.share > 0
        scores = np.where(there, found.mean[:, :, 0] + fixed, np.nan)
        errors = np.where(there, 0.0, np.nan)
        return OperatorScores(score.name, scores, errors, found.share, "summed", note=_bins_said(space, found))
    if not isinstance(score, Angle) or (score.table.dead is not None and score.table.paths is not None):
        return None
    if not isinstance(space, DARTS) or counts_once(space, score.table):
        if score.table.paths is not None and not isinstance(space, DARTS):
            return None
        of_cells = moments(space, score.table.table)
    elif (known := cell_moments(space, score.table)) is not None:
        of_cells = known
    else:
        return None
    found = _feasible(space, of_cells)
    scores = expected_angles(score.table, found)
    off = left_out(score.table, found, space.sample(CHECKED, np.random.default_rng(seed)))
    note = "; ".join(filter(None, [f"that leaves out {off:.1e} rad", _bins_said(space, found)]))
    errors = np.where(np.isnan(scores), np.nan, off)
    return OperatorScores(score.name, scores, errors, found.share, "second order", note=note)


def _feasible(space: FactoredSpace, found: Moments) -> Moments:
    """The same moments, unless there is no architecture of which they could be."""
    if found.share.any():
        return found
    rule = limits_of(space)[0]
    least, most = space.extremes(rule.quantity)
    raise FrugalnasError(
        f"no operator of any layer of {space.name} is in an architecture within {space.limits['where']}: the least "
        f"{rule.quantity} of one are {least:,.0f}, the most {most:,.0f}; raise the limit to {least:.0f} at least, or restrict less"
    )


def _bins_said(space: FactoredSpace, found: Moments) -> str:
    if not found.doubtful:
        return ""
    quantity = limits_of(space)[0].quantity
    return (
        f"{quantity} in bins of {found.bin:,.0f}: {100 * found.doubtful:.2g} % of the architectures are so near to the limit that "
        "they may be on its other side"
    )
