"""Answers a strategy from a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.spaces import SearchSpace
from frugalnas.tables.catalogue import DEFAULT_TABLE, open_table
from frugalnas.tables.store import Table

__all__ = ["TableEvaluator"]


class TableEvaluator(Evaluator):
    """The validation accuracy, in %, that a table has for the row asked; test results stay in the table.

    Args:
        space: the space that is searched; the optimum is that of its architectures. None: all of the table's.
        table: name of the table, or the table.
        label: "mean" over seeds, "random" (one of each architecture's runs, the same for the whole search), or the place of
            one seed: "0", "1", ...
        seed: of the draws of label "random".
    """

    vectorised = True

    def __init__(
        self,
        space: SearchSpace | None = None,
        *,
        table: str | Table = DEFAULT_TABLE,
        label: str = "mean",
        seed: int = 0,
    ) -> None:
        self.opened = table if isinstance(table, Table) else open_table(table)
        self.table = self.opened.name
        self.label = str(label)
        self.seed = seed
        self.space = space or self.opened.space
        if self.space.name != self.opened.space.name:
            raise FrugalnasError(
                f"{self.table} describes {self.opened.space.name}, but {self.space.name} is searched; "
                f"leave --space out, or choose another table"
            )
        self.labels = self.opened.labels("validation", self.label, seed)
        self._seconds = self.opened.labels("training_seconds") if "training_seconds" in self.opened.columns else None
        inside = self.labels if not self.space.limits else self.labels[self.space.valid(self.opened.codes)]
        self.optimum = float(np.nanmax(inside)) if np.isfinite(inside).any() else None

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The label of each row; a row without one has failed."""
        rows = self.opened.rows(trials.codes)
        values = np.where(rows >= 0, self.labels[rows], np.nan)
        metrics = (
            {} if self._seconds is None else {"training_seconds": np.where(rows >= 0, self._seconds[rows], np.nan)}
        )
        if np.isfinite(values).all():
            return Evaluations(values, metrics)
        errors = tuple(
            None
            if np.isfinite(value)
            else f"{self.table} does not have this architecture"
            if row < 0
            else f"{self.table} has no run of seed {self.label} for this architecture"
            for value, row in zip(values, rows, strict=True)
        )
        return Evaluations(values, metrics, errors)

    def __reduce__(self) -> tuple[object, ...]:
        # Other processes map the files themselves instead of receiving a copy.
        return _reopen, (self.space, self.opened.folder, self.label, self.seed)


def _reopen(space: SearchSpace, folder: Path, label: str, seed: int) -> TableEvaluator:
    return TableEvaluator(space, table=Table(folder), label=label, seed=seed)
