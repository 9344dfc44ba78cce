"""The contract of a score, and the baseline that every score has to beat: what an architecture costs."""

from __future__ import annotations

from abc import ABC, abstractmethod

from frugalnas.errors import unknown_name
from frugalnas.spaces import Codes, FloatArray, SearchSpace


class Score(ABC):
    """What a score says about any architectures of a space at once.

    A child class sets `name` and `space` and overrides the call. Whatever is slow (reading weights, building tables) belongs
    into its constructor: a call is made for whole populations, again and again.

    Attributes:
        name: for people and file headers, such as "angle".
        space: whose codes it scores.
    """

    name: str
    space: SearchSpace

    @abstractmethod
    def __call__(self, codes: Codes) -> FloatArray:
        """The score of each row, larger is better, shape [n].

        Args:
            codes: shape [n, genes], valid in `space`.
        """


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
