"""What a table's repeated trainings say of one another: whether one run is as good as the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.tables.store import Table

COLLAPSED = 20.0
"""Points of accuracy below the best run of the same architecture from which a run counts as collapsed."""
CERTAIN = 4.0
"""Standard errors from which a mean difference is no accident."""


def repeat_notes(table: Table, role: str = "validation") -> list[str]:
    """In words, how the first runs differ from the second, and architectures with few runs from those with more."""
    if role not in table.columns:
        return []
    values = table.column(role)
    present, notes = np.isfinite(values), []
    shift = first_run_shift(values)
    if shift:
        better = "better" if shift > 0 else "worse"
        notes.append(
            f"first runs are {abs(shift):.2f} points {better} than second ones, on average over the same architectures"
        )
    counts = present.sum(axis=1)
    means = table.labels(role)
    of_count = [f"{means[counts == count].mean():.1f} with {count} runs" for count in np.unique(counts[counts > 0])]
    if len(of_count) > 1:
        notes.append(f"architectures do not have equally many runs; their means differ: {', '.join(of_count)}")
    collapsed = collapsed_runs(table, role)
    if collapsed:
        notes.append(f"{len(collapsed)} single runs have collapsed: {'; '.join(collapsed[:3])}")
    return notes


def first_run_shift(values: NDArray[np.float64]) -> float:
    """How much better first runs are than second ones, 0 where that may be chance; values of shape [rows, seeds]."""
    if values.shape[1] < 2:
        return 0.0
    difference = (values[:, 0] - values[:, 1])[np.isfinite(values[:, :2]).all(axis=1)]
    if len(difference) < 30:
        return 0.0
    error = float(difference.std()) / np.sqrt(len(difference))
    shift = float(difference.mean())
    return shift if abs(shift) > CERTAIN * error else 0.0


def collapsed_runs(table: Table, role: str = "validation") -> list[str]:
    """The architectures of which a run ended far below another one, each with its runs."""
    if role not in table.columns:
        return []
    values = table.column(role)
    best = np.where(np.isfinite(values), values, -np.inf).max(axis=1, keepdims=True)
    rows = np.flatnonzero((best - values > COLLAPSED).any(axis=1))
    return [
        f"{table.space.format(table.codes[row])} has runs of {', '.join(f'{run:.1f}' for run in values[row] if run == run)} %"
        for row in rows
    ]
