"""The architecture of the largest angle, exactly, where choices add up: layer-wise spaces, under limits too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.scores.angle import AngleTable, cosine_of
from frugalnas.spaces import Codes, FactoredSpace, SearchSpace
from frugalnas.spaces.constraint import Constraint

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

FIRST_DRAWS = 1_000
"""Codes among which the search finds its first incumbent."""

BEAM = 2**10
"""Partial codes that are kept open as long as better incumbents turn up."""

MOST_OPEN = 2**16
"""Partial codes that are kept open in the proof that there is no better one."""

BINS = 2**12
"""Into which what is left of a budget is rounded up."""

SLOPES = 24
"""Lines that bound a square root."""

ROUNDING = 1e-12
"""What sums of floating-point numbers may be wrong by, relative to the largest."""


@dataclass(frozen=True)
class MaximumAngle:
    """The architecture of the largest angle that was found, and what the largest angle may be.

    Attributes:
        code: shape [genes].
        angle: its angle in radians.
        at_most: no architecture of the space has a larger one.
    """

    code: Codes
    angle: float
    at_most: float

    @property
    def certified(self) -> bool:
        """Whether it is proved that no architecture has a larger angle."""
        return self.at_most <= self.angle


def largest_angle(table: AngleTable, space: SearchSpace, *, seed: int = 0) -> MaximumAngle:
    """The architecture of a space with the largest angle, within its limits (`restrict`, `where`).

    The least cosine c of D / sqrt(A B) makes D - c sqrt(A B) zero at its best code, and positive elsewhere (Dinkelbach,
    1967). D, A and B are sums over the layers, and lines in A and B bound the square root: what is left is a multiple-choice
    knapsack, whose optimum over the layers to come is tabled for every rest of the budget. By these bounds codes are completed
    layer by layer: a beam of the most promising, as long as that finds a better incumbent, then all that could beat it.

    Spaces that can be listed are listed instead, cells too.

    Args:
        table: of the angles.
        space: that the table is for, or a smaller one.
        seed: of the first draws; a certified result does not depend on it, equal angles aside.

    Raises:
        FrugalnasError: for a space of cells that is too large to be listed.
    """
    if space.enumerable:
        codes = space.enumerate()
        angles = table.angles(codes)
        best = int(np.argmax(angles))
        return MaximumAngle(codes[best], float(angles[best]), float(angles[best]))
    if table.paths is not None or not isinstance(space, FactoredSpace):
        raise FrugalnasError(
            f"the largest angle of {space.name} cannot be computed exactly, as its choices do not simply add up; search for it, "
            "for example with the strategy 'genetic'"
        )
    return _Search(table, space).run(np.random.default_rng(seed))


@dataclass(frozen=True)
class _Factor:
    """Genes that bind one another, and what they may be.

    Attributes:
        genes: their places.
        options: their combinations, shape [m, genes].
        sums: what each adds to D, A and B, shape [m, 3].
        amounts: what each takes of every budget, not negative, shape [m, budgets].
    """

    genes: list[int]
    options: Codes
    sums: Floats
    amounts: Floats


@dataclass(frozen=True)
class _Bound:
    """Lines through a cosine: each is D - c (a A + b B), where a A + b B bounds sqrt(A B).

    Attributes:
        lines: shape [3, lines], what D, A and B are multiplied by.
        tightest: of several lines' values, what is below D - c sqrt(A B).
    """

    lines: Floats
    tightest: Callable[..., Floats]

    @classmethod
    def at(cls, cosine: float, ratios: Floats) -> _Bound:
        """The bound for codes whose sqrt(B / A) lies between the first and the last ratio.

        The root is concave. All its tangents are above it, so with a positive cosine each line is a bound, and the largest
        counts; with a negative one chords are below, each between its two ratios, and the least of them counts.
        """
        if cosine >= 0:
            roots = np.stack([ratios / 2, 0.5 / ratios])
        else:
            first, second = ratios[:-1], ratios[1:]
            roots = np.stack([first * second, np.ones_like(first)]) / (first + second)
        lines = np.concatenate([np.ones((1, roots.shape[1])), -cosine * roots])
        return cls(lines, np.max if cosine >= 0 else np.min)


class _Search:
    """Looks for the largest angle of one table in one space."""

    def __init__(self, table: AngleTable, space: FactoredSpace) -> None:
        self.table, self.space = table, space
        self.factors, self.budgets = _factors(table, space)
        self.bins = self.budgets / BINS
        parts = [table.fixed[None], *(factor.sums for factor in self.factors)]
        self.shortest = np.sqrt(np.prod(np.sum([part.min(axis=0) for part in parts], axis=0)[1:]))
        if not self.shortest > 0:
            raise FrugalnasError(
                f"some network of {space.name} may have no weight that counts and is not zero: its angle is not defined; take "
                "another rule or epoch"
            )
        ratios = np.geomspace(_least_ratio(parts, 2, 1), 1 / _least_ratio(parts, 1, 2), SLOPES)
        self.ratios = np.sqrt(ratios)

    def run(self, rng: np.random.Generator) -> MaximumAngle:
        """What `largest_angle` returns."""
        code, cosine = self.best(self.space.sample(FIRST_DRAWS, rng))
        most = BEAM
        while True:
            codes, gap = self.completed(code, cosine, most)
            found, value = self.best(np.concatenate([code[None], codes]))
            if value < cosine:
                code, cosine = found, value
            elif gap and most == BEAM:
                most = MOST_OPEN
            else:
                break
        angle = float(self.table.angles(code[None])[0])
        if gap:
            return MaximumAngle(code, angle, float(np.arccos(max(cosine + gap / self.shortest, -1.0))))
        return MaximumAngle(code, angle, angle)

    def best(self, codes: Codes) -> tuple[Codes, float]:
        """The valid code of the least cosine, and that."""
        codes = codes[self.space.valid(codes)]
        cosines = cosine_of(*self.table.sums(codes).T)
        return codes[np.argmin(cosines)], float(cosines.min())

    def completed(self, incumbent: Codes, cosine: float, most: int) -> tuple[Codes, float]:
        """Codes that may have a smaller cosine, and how far below zero D - cosine sqrt(A B) may at most be for others.

        Those are all codes that may have one, and the second is 0, unless more than `most` partial codes were open.
        """
        sums = self.table.sums(incumbent[None])[0]
        ratios = np.sort([*self.ratios, np.sqrt(sums[2] / sums[1])])
        bound = _Bound.at(cosine, ratios)
        close = -ROUNDING * abs(cosine) * np.sqrt(sums[1] * sums[2])
        weights = [factor.sums @ bound.lines for factor in self.factors]
        values, left = self.table.fixed[None] @ bound.lines, self.budgets[None]
        chosen: list[tuple[Places, Places]] = []
        gap = 0.0
        for factor, weight, tails in zip(self.factors, weights, self.tails(weights), strict=True):
            grown = []
            for option, (added, amounts) in enumerate(zip(weight, factor.amounts, strict=True)):
                bounds = self.bounds(values + added, left - amounts, tails, bound)
                kept = np.flatnonzero(bounds < close)
                grown.append((kept, np.full(len(kept), option), bounds[kept]))
            parents, options, bounds = (np.concatenate(column) for column in zip(*grown, strict=True))
            if len(bounds) > most:
                order = np.argpartition(bounds, most)
                gap = min(gap, float(bounds[order[most]]))
                parents, options = parents[order[:most]], options[order[:most]]
            values, left = values[parents] + weight[options], left[parents] - factor.amounts[options]
            chosen.append((parents, options))
        return self.codes(chosen), gap

    def tails(self, weights: Sequence[Floats]) -> list[list[Floats]]:
        """Least sums of the factors behind each one by line and bins left, shape [lines, BINS + 1], for each budget."""
        behind = [np.zeros((weights[0].shape[1], BINS + 1)) for _ in self.budgets]
        tails = [behind]
        for factor, weight in zip(self.factors[:0:-1], weights[:0:-1], strict=True):
            here = [np.full_like(tail, np.inf) for tail in behind]
            for place, (least, tail) in enumerate(zip(here, behind, strict=True)):
                taken = np.floor(factor.amounts[:, place] / self.bins[place]).astype(np.intp)
                for added, bins in zip(weight, taken, strict=True):
                    if bins <= BINS:
                        reached = tail[:, : BINS + 1 - bins] + added[:, None]
                        np.minimum(least[:, bins:], reached, out=least[:, bins:])
            behind = here
            tails.append(behind)
        return tails[::-1]

    def bounds(self, values: Floats, left: Floats, tails: Sequence[Floats], bound: _Bound) -> Floats:
        """What D - cosine sqrt(A B) is at least of every completion, infinite where there is none, shape [n]."""
        bins = np.ceil(left / self.bins).astype(np.intp)
        possible = (bins >= 0).all(axis=1)
        bounds = np.full(len(values), np.inf)
        bounds[possible] = np.max(
            [
                bound.tightest(values[possible].T + tail[:, np.minimum(places, BINS)], axis=0)
                for tail, places in zip(tails, bins[possible].T, strict=True)
            ],
            axis=0,
        )
        return bounds

    def codes(self, chosen: Sequence[tuple[Places, Places]]) -> Codes:
        """The codes that were completed, from what each factor's options were added to."""
        row = np.arange(len(chosen[-1][0]))
        codes = np.empty((len(row), self.space.genes), self.space.code_type)
        for factor, (parents, options) in zip(reversed(self.factors), reversed(chosen), strict=True):
            codes[:, factor.genes] = factor.options[options[row]]
            row = parents[row]
        return codes


def _factors(table: AngleTable, space: FactoredSpace) -> tuple[list[_Factor], Floats]:
    """The independent choices of a space, in the order of their genes, and how large its budgets are."""
    groups = space.independent()
    amounts: list[list[Floats]] = []
    budgets: list[float] = []
    for rule in Constraint.parse(str(space.limits["where"])) if "where" in space.limits else ():
        fixed, costs = space.costs(rule.quantity)
        sign = 1 if rule.relation[0] == "<" else -1
        taken = [sign * costs[genes, options].sum(axis=1) for genes, options in groups]
        budget = sign * (rule.bound - fixed) - sum(each.min() for each in taken)
        amounts.append([each - each.min() for each in taken])
        budgets.append(budget + ROUNDING * abs(rule.bound))
    if not budgets:  # one of which nothing is taken
        amounts, budgets = [[np.zeros(len(options)) for _, options in groups]], [1.0]
    factors = [
        _Factor(
            genes, options.astype(space.code_type), table.table[genes, options].sum(axis=1), np.stack(taken, axis=1)
        )
        for (genes, options), *taken in zip(groups, *amounts, strict=True)
    ]
    return factors, np.array(budgets)


def _least_ratio(parts: Sequence[Floats], above: int, below: int) -> float:
    """The least ratio of two sums, to which each part adds one of its rows (Dinkelbach)."""
    ratio = np.inf
    rows = [part[np.argmin(part[:, above])] for part in parts]
    while (found := sum(row[above] for row in rows) / sum(row[below] for row in rows)) < ratio:
        ratio = float(found)
        rows = [part[np.argmin(part[:, above] - ratio * part[:, below])] for part in parts]
    return ratio
