"""Random search, the baseline that every other strategy has to beat."""

from __future__ import annotations

from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies.base import Strategy
from frugalnas.strategies.objectives import checked_costs

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Uniformly random codes, never the same network twice.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the sample that all strategies of one seed share; what follows is no different.
        costs: kept beside the values, so that its front can be compared; they decide nothing.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, initial: int = 10, costs: tuple[str, ...] = ()) -> None:
        super().__init__(space, seed=seed, initial=initial)
        self.costs = checked_costs(costs)

    def propose(self, n: int) -> Codes:
        """`n` networks never asked before."""
        return self.draw_new(n, self.rng)
