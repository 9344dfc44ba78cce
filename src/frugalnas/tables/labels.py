"""A file of architectures that somebody has evaluated, for whoever learns from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.tables.importing import (
    ARCHITECTURE_NAMES,
    numbers_of,
    parse_architectures,
    read_columns,
    refuse_stray_percentages,
)

VALUE_NAMES = ("value", "accuracy", "validation", "val_accuracy", "label")
"""Columns in which values are looked for."""
ACCURACIES = ("accuracy", "validation", "val_accuracy")


@dataclass(frozen=True)
class Labels:
    """Networks and what they are worth.

    Attributes:
        codes: one of each network, in the order of the file, shape [n, genes].
        values: larger is better, shape [n].
        column: the file's column that they come from.
        repeated: rows of the file that name a network again; its value is the mean.
    """

    codes: Codes
    values: NDArray[np.float64]
    column: str
    repeated: int = 0


def read_labels(
    file: Path | str, space: SearchSpace, *, column: str | None = None, architecture: str | None = None
) -> Labels:
    """The architectures of a CSV, TSV or Parquet file with their values.

    Args:
        file: with a column of architectures in the space's notation (architecture, arch_str or arch) and one of values.
        space: of the architectures.
        architecture: column of the architectures; None looks for the three names above.
        column: of the values; None looks for value, accuracy, validation, val_accuracy or label.

    Raises:
        FrugalnasError: naming the column, or the row that holds no architecture or no number.
    """
    file = Path(file)
    names = ARCHITECTURE_NAMES if architecture is None else (architecture,)
    _, columns = read_columns(file, names)
    named = next((name for name in names if name in columns), None)
    valued = column or next((name for name in VALUE_NAMES if name in columns), None)
    wrong = ""
    if named is None:
        wrong = f"there is no column {' or '.join(names)}; name the column of architectures with `architecture`"
    elif valued is None:
        wrong = "which column holds the values? Add `column`=NAME"
    elif valued not in columns:
        wrong = f"there is no column {valued!r}"
    if named is None or valued is None or wrong:
        raise FrugalnasError(f"{file}: {wrong}; its columns are {', '.join(columns)}")
    codes = parse_architectures(file, space, columns[named])
    values = numbers_of(file, valued, columns[valued])
    missing = np.flatnonzero(~np.isfinite(values))
    if missing.size:
        raise FrugalnasError(
            f"{file}, row {missing[0] + 1}: {valued} is {values[missing[0]]:g}, not a number to learn from; remove the row, "
            "or train this architecture again"
        )
    if valued in ACCURACIES:
        refuse_stray_percentages(file, valued, values)
    return distinct_labels(space, codes, values, valued)


def distinct_labels(space: SearchSpace, codes: Codes, values: NDArray[np.float64], column: str) -> Labels:
    """Architectures with values as labels of networks; one that is there more than once has the mean.

    Args:
        space: of the architectures.
        codes: shape [n, genes].
        values: finite, shape [n].
        column: what the values are.
    """
    _, first, network, times = np.unique(
        space.network_ids(codes), return_index=True, return_inverse=True, return_counts=True
    )
    means = np.bincount(network.ravel(), values) / times
    order = np.argsort(first)
    return Labels(codes[first[order]], means[order], column, len(codes) - len(first))
