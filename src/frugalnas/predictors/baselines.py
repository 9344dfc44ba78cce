"""What a predictor has to beat: the size of a network, its multiply-adds, and chance. They need no training."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.predictors.base import Prediction, Predictor, check_values
from frugalnas.spaces import Population
from frugalnas.spaces.hashing import mixed


class _Baseline(Predictor):
    """A fixed order, brought to the mean and deviation of the labels; these alone are learnt."""

    @abstractmethod
    def _score(self, population: Population) -> NDArray[np.float64]:
        """By what architectures are ordered, shape [n]."""

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Learn what labels and scores are on average, and how they vary."""
        values, scores = check_values(values), self._score(population)
        self._slope = max(float(values.std()), 1e-12) / max(float(scores.std()), 1e-12)
        self._offset = float(values.mean()) - self._slope * float(scores.mean())
        return self

    def predict(self, population: Population) -> Prediction:
        """The fixed order, without deviations."""
        return Prediction(self._offset + self._slope * self._score(population), np.zeros(len(population)))


class Counted(_Baseline):
    """The more of a quantity that the space counts, the better.

    Args:
        quantity: params, macs, or whatever else the space counts.
        seed: of nothing; every predictor has one.
    """

    def __init__(self, *, quantity: str, seed: int = 0) -> None:
        self.quantity = quantity
        self.seed = seed

    def _score(self, population: Population) -> NDArray[np.float64]:
        return population.quantity(self.quantity).astype(np.float64)


class RandomOrder(_Baseline):
    """A random number for each architecture.

    Args:
        seed: of these numbers.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def _score(self, population: Population) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            salt = np.uint64(self.seed % 2**32 + 1) * np.uint64(0x9E3779B97F4A7C15)
            words = mixed(population.space.keys(population.codes), salt)
        from scipy.special import ndtri  # takes long to import

        return ndtri(((words >> np.uint64(12)) + 0.5) / 2**52)


def params(*, seed: int = 0) -> Counted:
    """The order of sizes: the more parameters, the better. A predictor that does not beat it has learnt nothing else."""
    return Counted(quantity="params", seed=seed)


def macs(*, seed: int = 0) -> Counted:
    """The order of costs: the more multiply-adds, the better."""
    return Counted(quantity="macs", seed=seed)
