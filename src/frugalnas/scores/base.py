"""The contract of a score."""

from __future__ import annotations

from abc import ABC, abstractmethod

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
