"""What a table measured, as a score: a perfect one, which says what shrinking can come to."""

from __future__ import annotations

from frugalnas.errors import FrugalnasError
from frugalnas.scores.base import Score
from frugalnas.spaces import Codes, FloatArray, SearchSpace
from frugalnas.tables.evaluator import ROLE_OF
from frugalnas.tables.store import Table


class TableScore(Score):
    """Accuracies of a table, in %.

    Args:
        space: the table's, or a smaller one.
        table: that knows them.
        objective: "accuracy", that on the validation split, or "oracle-test", which no search could know.
        label: "mean" over seeds, or the place of one.

    Raises:
        FrugalnasError: where the table has no such accuracies.
    """

    def __init__(self, space: SearchSpace, table: Table, objective: str = "accuracy", label: str = "mean") -> None:
        if ROLE_OF[objective] not in table.columns:
            other = next((name for name, role in ROLE_OF.items() if role in table.columns), "params")
            raise FrugalnasError(f"{table.name} has no {ROLE_OF[objective]} accuracies; take `score` {other}")
        self.name = objective
        self.space = space
        self.table = table
        self._labels = table.labels(ROLE_OF[objective], label)

    def __call__(self, codes: Codes) -> FloatArray:
        """Accuracies, shape [n]; NaN where the table has none."""
        rows = self.table.rows(codes)
        values: FloatArray = self._labels[rows].copy()
        values[rows < 0] = float("nan")
        return values
