"""Answers a strategy from a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.spaces import SearchSpace
from frugalnas.tables.catalogue import DEFAULT_TABLE, open_table
from frugalnas.tables.store import Table


class TableEvaluator(Evaluator):
    """The validation accuracy, in %, that a table has for the row asked; test results stay in the table.

    What else the table measured of a row and a search may know, training time and latency, comes as metrics.

    Args:
        space: the space that is searched; the optimum is that of its architectures. None: what the table has of its own, so
            that no query goes to what is not there.
        table: name of the table, or the table.
        label: "mean" over seeds, "random" (one of each architecture's runs, the same for the whole search), or the place of
            one seed: "0", "1", ...
        seed: of the draws of label "random".
        objective: what is maximised: accuracy, which is that on the validation split; or oracle-test, the test accuracy
            itself: no search could know it, and reports say so. It is for tables without validation results and for
            comparison with papers that did this.
    """

    named_by = "table"
    vectorised = True

    def __init__(
        self,
        space: SearchSpace | None = None,
        *,
        table: str | Table = DEFAULT_TABLE,
        label: str = "mean",
        seed: int = 0,
        objective: Literal["accuracy", "oracle-test"] = "accuracy",
    ) -> None:
        self.opened = table if isinstance(table, Table) else open_table(table)
        self.table = self.opened.name
        self.label = str(label)
        self.seed = seed
        self.space = space or self.opened.listed()
        own = self.opened.space
        if (self.space.name, self.space.allowed.shape) != (own.name, own.allowed.shape):
            raise FrugalnasError(
                f"{self.table} describes {own!r}, but {self.space!r} is searched; leave `space` out, choose a table of it with "
                "`table`, or say what else answers: `evaluator` training or your own function, MODULE:NAME"
            )
        one_of("objective of a table", objective, ROLE_OF)
        self.objective = objective
        if ROLE_OF[objective] not in self.opened.columns:
            step = ""
            if objective == "oracle-test" and ROLE_OF["accuracy"] in self.opened.columns:
                step = "; official files have them (frugalnas table import --help says which)"
            elif ROLE_OF["oracle-test"] in self.opened.columns:
                step = "; search it as an oracle study with `objectives` oracle-test"
            raise FrugalnasError(f"{self.table} has no {ROLE_OF[objective]} accuracies{step}")
        self.labels = self.opened.labels(ROLE_OF[objective], self.label, seed)
        self._measured = {role: self.opened.labels(role) for role in MEASURED if role in self.opened.columns}
        self.measures = tuple(self._measured)
        inside = self.labels if not self.space.limits else self.labels[self.space.valid(self.opened.codes)]
        self.optimum = float(np.nanmax(inside)) if np.isfinite(inside).any() else None

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The label of each row; a row without one has failed."""
        rows = self.opened.rows(trials.codes)
        values = np.where(rows >= 0, self.labels[rows], np.nan)
        metrics = {role: np.where(rows >= 0, column[rows], np.nan) for role, column in self._measured.items()}
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
        how = partial(TableEvaluator, table=self.opened, label=self.label, seed=self.seed, objective=self.objective)
        return how, (self.space,)


MEASURED = ("training_seconds", "latency_ms")
"""Columns that are metrics of an evaluation."""
ROLE_OF = {"accuracy": "validation", "oracle-test": "test"}
"""The column behind each objective."""
