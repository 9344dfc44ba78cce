"""What spaces return: arrays of architectures and of what is known about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Codes: TypeAlias = NDArray[np.signedinteger]
"""Architectures, one per row, shape [n, genes], in `SearchSpace.code_type`."""
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.floating]
IntArray: TypeAlias = NDArray[np.integer]


@dataclass(frozen=True)
class Graphs:
    """Architectures as directed acyclic graphs with an operation at each vertex.

    Attributes:
        adjacency: True where an edge runs from row vertex to column vertex, shape [n, V, V], upper triangular.
        operations: index into `names` of each vertex, shape [n, V].
        names: what the operation ids mean, in the reader's words.
    """

    adjacency: BoolArray
    operations: IntArray
    names: tuple[str, ...]


class Growing:
    """Rows that only become more, in one array.

    Args:
        kind: type of the numbers.
        shape: of a row.
    """

    def __init__(self, kind: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._room = np.empty((16, *shape), kind)
        self._rows = 0

    def extend(self, rows: ArrayLike) -> None:
        """Add rows, shape [k, ...]."""
        added = np.asarray(rows, self._room.dtype)
        end = self._rows + len(added)
        if end > len(self._room):
            room = np.empty((max(end, len(self._room) + len(self._room) // 2), *self._room.shape[1:]), self._room.dtype)
            room[: self._rows] = self.array
            self._room = room
        self._room[self._rows : end] = added
        self._rows = end

    @property
    def array(self) -> NDArray[Any]:
        """All rows, shape [n, ...]; no copy, and not to be written to."""
        return self._room[: self._rows]

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> Any:
        return self.array[row]


def ranks(values: ArrayLike, *, lowest: bool = False) -> FloatArray:
    """The rank of each value, 1 for the smallest, shape [n]; NaN throughout where one is NaN.

    As `scipy.stats.rankdata`, whose module takes longer to import than a search of 200 queries takes.

    Args:
        values: shape [n].
        lowest: equals share the lowest of their ranks; otherwise the mean.
    """
    given = np.asarray(values)
    if np.isnan(given).any():
        return np.full(len(given), np.nan)
    order = np.argsort(given, kind="stable")
    ordered = given[order]
    starts = np.flatnonzero(np.concatenate([np.ones(min(len(given), 1), np.bool_), ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(given))
    shared = starts + 1.0 if lowest else 0.5 * (starts + 1 + ends)
    found = np.empty(len(given))
    found[order] = np.repeat(shared, ends - starts)
    return found


def without_nan(values: ArrayLike) -> list[float | None]:
    """Numbers as JSON knows them: None in place of what is not finite."""
    given = np.asarray(values, np.float64)
    return [number if fine else None for number, fine in zip(given.tolist(), np.isfinite(given), strict=True)]


def with_nan(values: Iterable[float | None]) -> NDArray[np.float64]:
    """The same back again, with NaN for None."""
    return np.array(list(values), np.float64)
