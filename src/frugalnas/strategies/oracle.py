"""The truth as a predictor: how well a search would do whose predictor were perfect."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import Prediction, Predictor
from frugalnas.spaces import Population, SearchSpace
from frugalnas.tables import TableEvaluator


class Oracle(Predictor):
    """Answers from a table, without counting: for studies alone, as no search could know what it says.

    NPENAS calls the search that ranks candidates so NPENAS-GT; it bounds what a better predictor is worth.

    Args:
        table: whose values are told, mean over seeds.
        objective: accuracy, on the validation split, or oracle-test.
        seed: of nothing; every predictor has one.
    """

    def __init__(
        self, *, table: str, objective: Literal["accuracy", "oracle-test"] = "accuracy", seed: int = 0
    ) -> None:
        self._truth = TableEvaluator(table=table, objective=objective)
        self.table = table
        self.objective = objective
        self.seed = seed

    def prepare(self, space: SearchSpace) -> None:
        """Refuse a space that the table does not describe."""
        if space.name != self._truth.space.name:
            raise FrugalnasError(
                f"{self.table} describes {self._truth.space.name}, but {space.name} is searched; name a table of {space.name}"
            )

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Nothing is left to learn."""
        return self

    def predict(self, population: Population) -> Prediction:
        """The table's values; what it does not have comes last."""
        rows = self._truth.opened.rows(population.codes)
        values = np.where(rows >= 0, self._truth.labels[rows], np.nan)
        return Prediction(np.where(np.isfinite(values), values, -np.inf), np.zeros(len(values)))
