"""Uniform draws among the combinations whose costs add up to a total within a band, by dynamic programming."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_BINS = 2**10
MOST_BINS = 2**18
MOST_WORK = 4e8
"""Additions that counting the ways may take: a second or less."""

ENTRIES_AT_ONCE = 2**20
"""Entries of the table of weights from which draws are made, at a time."""


class BandSampler:
    """Draws one option of each factor such that the costs add up to a total within a band, or a little outside.

    Costs are rounded to bins, so that the number of ways in which the last factors add up to each total can be counted
    backwards; a draw takes a total of the band, widened by what rounding may have moved, in proportion to its ways, and
    walks forwards through the counts. Every combination within the band is drawn equally often, and so are those
    outside that are drawn too: who keeps those within alone has a uniform sample of the band. Bins are narrow enough
    that most draws can be kept.

    Args:
        costs: of each option of each factor.
        low: the least total, which may be minus infinity.
        high: the largest total, which may be infinity.

    Attributes:
        log_ways: logarithm of the number of combinations that may be drawn; minus infinity where there are none.
    """

    def __init__(self, costs: Sequence[NDArray[np.float64]], low: float, high: float) -> None:
        least = sum(float(cost.min()) for cost in costs)
        most = sum(float(cost.max()) for cost in costs)
        low, high = max(low, least) - least, min(high, most) - least
        self._options: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]] = []
        self.log_ways = -math.inf
        if high < low:
            return
        varied = sum(bool(np.ptp(cost)) for cost in costs)
        width = self._bin_width(costs, high, high - low, varied)
        # Totals are kept in bins up to the last that rounding may have moved into the band.
        last = math.floor(high / width + varied / 2)
        first = max(math.ceil(low / width - varied / 2), 0)
        for cost in costs:
            bins = np.rint((cost - cost.min()) / width).astype(np.intp)
            order = np.argsort(bins, kind="stable")
            levels, start, size = np.unique(bins[order], return_index=True, return_counts=True)
            self._options.append((levels, start, size, order))
        scale = 0.0
        ways = np.zeros(last + 1)
        ways[0] = 1
        self._ways = [ways]
        for levels, _, size, _ in reversed(self._options):
            ways = np.zeros(last + 1)
            for level, count in zip(levels, size, strict=True):
                if level <= last:
                    ways[level:] += count * self._ways[-1][: last + 1 - level]
            largest = float(ways.max())
            scale += math.log(largest)
            ways /= largest  # so that spaces of any size fit into floats
            self._ways.append(ways)
        self._ways.reverse()
        self._first = first
        self._totals = np.cumsum(self._ways[0][first:])
        if len(self._totals) and self._totals[-1] > 0:
            self.log_ways = scale + math.log(self._totals[-1])

    def _bin_width(self, costs: Sequence[NDArray[np.float64]], high: float, band: float, varied: int) -> float:
        """Bins that together move a total by less than half of the band, as far as counting them is affordable."""
        if high <= 0:
            return 1.0
        affordable = MOST_WORK / sum(len(cost) for cost in costs)
        wanted = max(FEWEST_BINS, 2 * varied * high / band if band > 0 else math.inf)
        return high / max(min(wanted, affordable, MOST_BINS), 16)

    def draw(self, n: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
        """`n` independent combinations: the chosen option of each factor, shapes [n].

        Combinations must exist: `log_ways` is finite.
        """
        left = self._first + _places(self._totals, rng.random(n))
        picks = []
        for (levels, start, size, order), ways in zip(self._options, self._ways[1:], strict=True):
            chosen = np.zeros(n, np.intp)
            if len(levels) > 1:
                chunk = max(1, ENTRIES_AT_ONCE // len(levels))
                for begin in range(0, n, chunk):
                    rest = left[begin : begin + chunk, None] - levels
                    weights = np.where(rest >= 0, ways[np.maximum(rest, 0)], 0) * size
                    reached = np.cumsum(weights, axis=1)
                    mark = rng.random(len(rest)) * reached[:, -1]
                    chosen[begin : begin + chunk] = (reached <= mark[:, None]).sum(axis=1)
                left = left - levels[chosen]
            picks.append(order[start[chosen] + rng.integers(size[chosen])])
        return picks


def _places(cumulated: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where each share of the whole sum falls."""
    return np.searchsorted(cumulated, shares * cumulated[-1], side="right")
