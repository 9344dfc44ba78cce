"""Predictors as somebody else would write them, so small that assessments of them are quick."""

from __future__ import annotations

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import Prediction, Predictor


class Scaled(Predictor):
    """The mean of the labels plus the share of one operation, with a deviation of one."""

    def __init__(self, *, value: int = 3, deviation: float = 1.0, seed: int = 0):
        self.value, self.deviation, self.seed = value, deviation, seed

    def fit(self, population, values):
        self.offset = values.mean()
        self.learned = population.codes.copy(), values.copy()
        return self

    def predict(self, population):
        mean = self.offset + (population.codes == self.value).mean(axis=1)
        return Prediction(mean, np.full(len(mean), self.deviation))


class Flat(Scaled):
    """Says the same of all."""

    def predict(self, population):
        return Prediction(np.full(len(population), self.offset), np.zeros(len(population)))


class Fussy(Scaled):
    """Wants thirty labels."""

    def fit(self, population, values):
        if len(values) < 30:
            raise FrugalnasError(f"{len(values)} labels are too few")
        return super().fit(population, values)


class Unsure(Scaled):
    """Knows nothing, and says so in no number."""

    def predict(self, population):
        return Prediction(np.full(len(population), np.nan), np.zeros(len(population)))
