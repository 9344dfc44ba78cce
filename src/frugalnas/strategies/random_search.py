"""Random search, the baseline that every other strategy has to beat."""

from __future__ import annotations

from frugalnas.spaces import Codes
from frugalnas.strategies.base import Strategy

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Uniformly random codes, never the same network twice.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the sample that all strategies of one seed share; what follows is no different.
    """

    def propose(self, n: int) -> Codes:
        """`n` networks never asked before."""
        return self.draw_new(n, self.rng)
