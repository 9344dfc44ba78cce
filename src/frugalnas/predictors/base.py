"""The contract of a predictor and of its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.spaces import IntArray, Population

__all__ = ["Prediction", "Predictor"]


@dataclass(frozen=True)
class Prediction:
    """What a predictor thinks of n architectures.

    Attributes:
        mean: expected value, shape [n].
        std: standard deviation, shape [n]; zeros from a predictor that gives none.
        members: the answers of an ensemble's members, shape [m, n]; None where there are no members.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    members: NDArray[np.float64] | None = None

    @classmethod
    def of_members(cls, members: NDArray[np.float64]) -> Prediction:
        """The prediction of an ensemble, `members` of shape [m, n]."""
        return cls(members.mean(axis=0), members.std(axis=0), members)

    def take(self, rows: IntArray) -> Prediction:
        """The prediction for the architectures in `rows`."""
        members = None if self.members is None else self.members[:, rows]
        return Prediction(self.mean[rows], self.std[rows], members)

    def supposing(self, row: int) -> Prediction:
        """The prediction once `row` had been evaluated and turned out as its mean.

        This is how a batch is chosen without waiting for its first answers (kriging believer; Ginsbourger et al., 2010).
        Here only `row` itself becomes certain; a predictor that knows how architectures hang together does better.
        """
        std = self.std.copy()
        std[row] = 0.0
        members = self.members
        if members is not None:
            members = members.copy()
            members[:, row] = self.mean[row]
        return replace(self, std=std, members=members)


class Predictor(ABC):
    """Learns from evaluated architectures what others are worth.

    Child classes are only required to override `fit` and `predict`. Constructor arguments are keyword-only and kept as
    attributes of the same name. Fitting is a pure function of its arguments and the seed: no state survives a refit, so
    that a resumed run continues exactly.

    Attributes:
        encoding: the space's encoding that serves as features; None takes the space's recommendation.
        seed: of every random choice inside; a strategy sets it before each fit.
    """

    encoding: str | None = None
    seed: int = 0

    @abstractmethod
    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Learn from `values`, shape [n], of the architectures in `population`; larger is better."""

    @abstractmethod
    def predict(self, population: Population) -> Prediction:
        """What the architectures in `population` are worth, in the units of the values."""
