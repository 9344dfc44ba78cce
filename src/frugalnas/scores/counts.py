"""What an architecture costs, as a score: the baseline that every other score has to beat."""

from __future__ import annotations

from frugalnas.errors import unknown_name
from frugalnas.scores.base import Score
from frugalnas.spaces import Codes, FloatArray, SearchSpace


class Counted(Score):
    """A quantity that the space counts, larger networks first.

    Args:
        space: whose codes are scored; its sizes are those of the counted network.
        quantity: "params", "macs" or what else the space counts.

    Raises:
        FrugalnasError: where the space does not count it.
    """

    def __init__(self, space: SearchSpace, quantity: str = "params") -> None:
        if quantity not in space.quantities:
            raise unknown_name(f"quantity of {space.name}", quantity, space.quantities or ["(it counts nothing)"])
        self.space = space
        self.name = quantity

    def __call__(self, codes: Codes) -> FloatArray:
        """Parameters, or multiply-adds, of each row, shape [n]."""
        return self.space.count(self.name, codes)
