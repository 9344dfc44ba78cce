"""Means and covariances of sums over choices, for every choice of a space, exactly, within a limit on what networks cost too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil, floor, gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces import FactoredSpace
from frugalnas.spaces.constraint import Constraint

Floats: TypeAlias = NDArray[np.float64]

MOST_BINS = 2**17
"""Bins into which costs are sorted: 8 kB for each on a path of 20 layers."""

WHOLE = 1e-6
"""By how much a cost that is a whole number may be off."""


@dataclass(frozen=True)
class Moments:
    """What k sums over the choices of an architecture are on average, over the architectures that have a value at a gene.

    Attributes:
        share: of the architectures that have it, shape [genes, values]; 0 where none has.
        mean: of the sums, shape [genes, values, k]; 0 where none has.
        covariance: shape [genes, values, k, k].
        bin: how wide the bins of costs are; 0 where there is no limit.
        doubtful: the share of the architectures that are so near to the limit that bins may put them on its other side.
        within: the share of all combinations that is within the limit.
    """

    share: Floats
    mean: Floats
    covariance: Floats
    bin: float = 0.0
    doubtful: float = 0.0
    within: float = 1.0


@dataclass(frozen=True)
class Bins:
    """Costs as whole numbers of bins above the least.

    Attributes:
        width: of a bin, in the unit of the quantity; 0 where nothing is limited.
        costs: of each option of each factor, in bins.
        first: the least total that is within the limits.
        last: the largest.
        slack: by how many bins rounding may move a total.
    """

    width: float
    costs: list[NDArray[np.intp]]
    first: int
    last: int
    slack: int

    @classmethod
    def of(cls, space: FactoredSpace, most: int = MOST_BINS) -> Bins:
        """The bins of the one quantity that a space limits: as wide as all costs allow, or wide enough to be `most`.

        Costs that are whole numbers have their greatest common divisor for a width, and nothing is rounded.
        """
        groups = space.independent()
        rules = limits_of(space)
        if not rules:
            return cls(0.0, [np.zeros(len(options), np.intp) for _, options in groups], 0, 0, 0)
        fixed, table = space.costs(rules[0].quantity)
        costs = [table[genes, options].sum(axis=1) for genes, options in groups]
        above = [cost - cost.min() for cost in costs]
        least = fixed + sum(float(cost.min()) for cost in costs)
        most_above = sum(float(cost.max()) for cost in above)
        every = np.unique(np.concatenate(above))
        whole = np.abs(every - np.rint(every)).max() < WHOLE
        width = float(reduce(gcd, (int(number) for number in np.rint(every)), 0)) if whole else 0.0
        high = min([most_above, *(rule.bound - least for rule in rules if rule.relation[0] == "<")])
        slack = 0
        if not width or high / width >= most:
            width = max(high, most_above / most) / (most - 1) or 1.0
            slack = -(-sum(bool(np.ptp(cost)) for cost in above) // 2)
        first, last = 0, int(np.rint(most_above / width)) + slack
        for rule in rules:
            place = (rule.bound - least) / width
            near = round(place) if slack or abs(place - round(place)) < WHOLE else None  # a total may lie at the bound
            if rule.relation[0] == "<":
                last = min(last, (near - (rule.relation == "<" and not slack)) if near is not None else floor(place))
            else:
                first = max(first, (near + (rule.relation == ">" and not slack)) if near is not None else ceil(place))
        return cls(width, [np.rint(cost / width).astype(np.intp) for cost in above], first, last, slack)


def limits_of(space: FactoredSpace) -> tuple[Constraint, ...]:
    """The limits of a space, as rules."""
    return Constraint.parse(str(space.limits["where"])) if "where" in space.limits else ()


def moments(space: FactoredSpace, table: Floats, most_bins: int = MOST_BINS) -> Moments:
    """The moments of sums over the genes of an architecture, drawn uniformly from a space, for each of its (gene, value).

    For all paths through the first genes, and for all through the last, the number, the sum of x and the sum of x x^T are kept
    by what the paths cost, in bins. A path through one option of one factor is a path before it and one behind it which
    together cost no more than is left. So nothing is drawn, and nothing is estimated. (The trial in frugalnas's notes,
    November 2026; the counts alone are `spaces.bands`.)

    Args:
        space: which limits one quantity at most.
        table: what each value of each gene adds to each sum, shape [genes, values, k].
        most_bins: beyond which bins are wider than costs allow, and totals are rounded.
    """
    genes, values, sums = table.shape
    groups = space.independent()
    bins = Bins.of(space, most_bins)
    added = [table[members, options].sum(axis=1) for members, options in groups]
    centres = [each.mean(axis=0) for each in added]
    features = _Features(sums)
    levels = [
        _levels(features, each - centre, cost) for each, centre, cost in zip(added, centres, bins.costs, strict=True)
    ]
    found = np.zeros((genes, values, features.size))
    total = doubtful = 0.0
    if bins.last >= bins.first:
        behind = _suffixes(features, levels, bins)
        before = np.zeros((features.size, 1))
        before[0] = 1
        for place, (members, options) in enumerate(groups):
            own = _through(features, before, behind[place + 1], added[place] - centres[place], bins.costs[place])
            for column, gene in enumerate(members):
                np.add.at(found[gene], options[:, column], own / len(options))
            before = _prefix(features, before, levels[place], bins.last)
            behind[place] = np.zeros((features.size, 0))  # is not needed again
        total = float(before[0, bins.first :].sum())
        edges = [*range(bins.last - bins.slack + 1, bins.last + 1)] if bins.slack else []
        edges += [*range(bins.first, bins.first + bins.slack)] if bins.slack and bins.first else []
        doubtful = float(before[0, [edge for edge in edges if bins.first <= edge < before.shape[1]]].sum())
    share, mean, covariance = features.moments(found)
    there = share > 0
    mean[there] += np.sum(centres, axis=0)
    of = total or 1.0
    return Moments(share / of, mean, covariance, bins.width, doubtful / of, total)


class _Features:
    """Number, sum and sum of squares of vectors x of length k as one row: 1, x, and x x^T above its diagonal."""

    def __init__(self, sums: int) -> None:
        self.sums = sums
        self.upper = np.triu_indices(sums)
        self.size = 1 + sums + len(self.upper[0])
        self.square = np.zeros((sums, sums), np.intp)
        self.square[self.upper] = np.arange(len(self.upper[0])) + 1 + sums
        self.square = np.maximum(self.square, self.square.T)

    def adding(self, x: Floats) -> Floats:
        """The linear map from features to those of the same vectors, each plus x, shape [..., size, size] for x of [..., k]."""
        first, second = self.upper
        maps = np.zeros((*x.shape[:-1], self.size, self.size))
        maps[..., range(self.size), range(self.size)] = 1
        ones, squares = np.arange(self.sums) + 1, np.arange(len(first)) + 1 + self.sums
        maps[..., ones, 0] = x
        maps[..., squares, 0] = x[..., first] * x[..., second]
        maps[..., squares, first + 1] += x[..., second]
        maps[..., squares, second + 1] += x[..., first]
        return maps

    def joined(self, products: Floats) -> Floats:
        """Features of sums of two vectors, from the products of the two's features, shape [size, size] to [size]."""
        first, second = self.upper
        joined = products[:, 0] + products[0]
        joined[0] = products[0, 0]
        joined[1 + self.sums :] += products[first + 1, second + 1] + products[second + 1, first + 1]
        return joined

    def moments(self, features: Floats) -> tuple[Floats, Floats, Floats]:
        """Number [...], mean [..., k], covariance [..., k, k]; zeros where there is nothing."""
        number = features[..., 0]
        weights = np.divide(1, number, out=np.zeros_like(number), where=number > 0)[..., None]
        mean = features[..., 1 : 1 + self.sums] * weights
        square = features[..., self.square] * weights[..., None]
        return number.copy(), mean, square - mean[..., :, None] * mean[..., None, :]


def _levels(features: _Features, added: Floats, costs: NDArray[np.intp]) -> list[tuple[int, Floats]]:
    """For each cost in bins, the mean map of a factor's options that cost so much, weighted by their share."""
    maps = features.adding(added) / len(added)
    found, place = np.unique(costs, return_inverse=True)
    levels = np.zeros((len(found), features.size, features.size))
    np.add.at(levels, place.ravel(), maps)
    return list(zip(found.tolist(), levels, strict=True))


def _prefix(features: _Features, before: Floats, levels: Sequence[tuple[int, Floats]], last: int) -> Floats:
    """Features by cost of the paths through one factor more, shape [size, bins]."""
    length = min(before.shape[1] + levels[-1][0], last + 1)
    grown = np.zeros((features.size, length))
    for cost, level in levels:
        kept = min(before.shape[1], length - cost)
        if kept > 0:
            grown[:, cost : cost + kept] += level @ before[:, :kept]
    return grown


def _suffixes(features: _Features, levels: Sequence[Sequence[tuple[int, Floats]]], bins: Bins) -> list[Floats]:
    """For each factor, features of the paths from there to the end within the limits, by what came before; shapes [size, bins]."""
    end = np.zeros((features.size, bins.last + 1))
    end[0, bins.first :] = 1
    suffixes = [end]
    # No path before a factor costs more than the factors there do at most.
    lengths = np.cumsum([0, *(level[-1][0] for level in levels)])[:-1] + 1
    for level, length in zip(reversed(levels), reversed(lengths.tolist()), strict=True):
        behind = suffixes[-1]
        here = np.zeros((features.size, min(length, bins.last + 1)))
        for cost, each in level:
            reached = behind[:, cost : cost + here.shape[1]]
            here[:, : reached.shape[1]] += each @ reached
        suffixes.append(here)
    return suffixes[::-1]


def _through(features: _Features, before: Floats, behind: Floats, added: Floats, costs: NDArray[np.intp]) -> Floats:
    """Features of the paths through each option of a factor, shape [options, size]."""
    joined = {}
    for cost in np.unique(costs).tolist():
        reached = behind[:, cost : cost + before.shape[1]]
        joined[cost] = features.joined(before[:, : reached.shape[1]] @ reached.T)
    rows = np.array([joined[cost] for cost in costs.tolist()])
    return np.einsum("oij,oj->oi", features.adding(added), rows)
