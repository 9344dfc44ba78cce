"""Honest accounting: a query is a distinct network evaluated at a fidelity, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import RunFolderError
from frugalnas.evaluation import Evaluations
from frugalnas.runs.folder import RunFolder
from frugalnas.spaces import Codes, FloatArray, IntArray, SearchSpace
from frugalnas.spaces.arrays import Growing, without_nan

Key: TypeAlias = int | tuple[int, float]
Marks: TypeAlias = Mapping[str, NDArray[np.float64]]
MARKS = {"trial": int, "fidelity": float}
_NO_MARKS: Marks = {}


@dataclass(frozen=True)
class Query:
    """One evaluation that was paid for.

    Attributes:
        code: the architecture as it was asked for, shape [genes].
        value: what is maximised, NaN where the evaluation failed.
        metrics: further measurements.
        error: why it failed, None where it did not.
        fidelity: how thoroughly it was evaluated, None: as thoroughly as can be.
    """

    code: Codes
    value: float
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    fidelity: float | None = None


class Queries(Sequence[Query]):
    """Evaluations that were paid for, in order: arrays, of which a `Query` is made where one is looked at.

    Besides its answer a query may have marks: its `fidelity`, and the strategy's number of the `trial` that it answered, which is
    written down where answers are told as they come.

    Args:
        space: of the architectures.

    Attributes:
        errors: why queries failed, by place.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.errors: dict[int, str] = {}
        self._codes = Growing(space.code_type, (space.genes,))
        self._values = Growing(np.float64)
        self._metrics: dict[str, Growing] = {}
        self._marks: dict[str, Growing] = {}
        self._measured: list[tuple[str, ...]] = []
        self._which = Growing(np.uint16)  # of the sets of metrics that evaluations came with

    def extend(
        self,
        codes: Codes,
        values: NDArray[np.float64],
        metrics: Mapping[str, NDArray[np.float64]],
        errors: Sequence[str | None],
        marks: Marks = _NO_MARKS,
    ) -> None:
        """Add evaluations that came with the same metrics, one or more rows."""
        before, names = len(self), tuple(metrics)
        if names not in self._measured:
            self._measured.append(names)
        self._codes.extend(codes)
        self._values.extend(values)
        self._which.extend(np.full(len(codes), self._measured.index(names), np.uint16))
        for table, columns in ((self._metrics, metrics), (self._marks, marks)):
            for name in columns:
                column = table.setdefault(name, Growing(np.float64))
                column.extend(np.full(before - len(column), np.nan))
                column.extend(columns[name])
        self.errors.update((before + row, error) for row, error in enumerate(errors) if error is not None)

    @property
    def codes(self) -> Codes:
        """Architectures as they were asked for, shape [n, genes]."""
        return self._codes.array

    @property
    def values(self) -> NDArray[np.float64]:
        """What they were worth, NaN where the evaluation failed, shape [n]."""
        return self._values.array

    @property
    def names(self) -> list[str]:
        """The metrics that any evaluation came with."""
        return sorted(self._metrics)

    def metric(self, name: str, rows: IntArray | slice = slice(None)) -> NDArray[np.float64]:
        """A metric of some rows or of all, NaN where it was not measured, shape [n]."""
        return self._column(self._metrics, name)[rows]

    def marks(self, rows: slice) -> dict[str, NDArray[np.float64]]:
        """The marks of some rows, those that any query has, NaN where one has none."""
        return {name: self._column(self._marks, name)[rows] for name in self._marks}

    @property
    def levels(self) -> NDArray[np.float64] | None:
        """How thoroughly each was evaluated, infinitely where as thoroughly as can be, shape [n]; None where all were."""
        return _levels(self._column(self._marks, "fidelity")) if "fidelity" in self._marks else None

    def _column(self, columns: Mapping[str, Growing], name: str) -> NDArray[np.float64]:
        column = columns.get(name, Growing(np.float64))
        if len(column) < len(self):
            column.extend(np.full(len(self) - len(column), np.nan))
        return column.array

    def parts(self, start: int, stop: int) -> Iterator[tuple[slice, dict[str, NDArray[np.float64]], list[str | None]]]:
        """Rows from `start` to `stop`, cut where they came with other metrics: the rows, their metrics, their errors."""
        which = self._which.array[start:stop]
        ends = [*(start + 1 + np.flatnonzero(np.diff(which))).tolist(), stop]
        for first, end in zip([start, *ends], ends, strict=False):
            rows = slice(first, end)
            metrics = (
                {name: self.metric(name, rows) for name in self._measured[which[first - start]]} if end > first else {}
            )
            yield rows, metrics, [self.errors.get(row) for row in range(first, end)]

    def evaluations(self, places: Sequence[int]) -> Evaluations:
        """What a strategy is told of some queries, in this order."""
        rows = np.fromiter(places, np.intp, len(places))
        names = sorted({name for which in np.unique(self._which.array[rows]) for name in self._measured[which]})
        columns = {name: self.metric(name, rows) for name in names}
        return Evaluations(self.values[rows], columns, tuple(map(self.errors.get, places)))

    def folder_of(self, row: int) -> str:
        """The name of an evaluation's own folder."""
        return folder_name(row + 1, int(self._column(self._marks, "trial")[row]) if "trial" in self._marks else None)

    def metrics_of(self, row: int) -> dict[str, float]:
        """What one evaluation came with."""
        return {name: float(self._metrics[name][row]) for name in self._measured[self._which[row]]}

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, place: int) -> Query: ...
    @overload
    def __getitem__(self, place: slice) -> list[Query]: ...
    def __getitem__(self, place: int | slice) -> Query | list[Query]:
        if isinstance(place, slice):
            return [self[row] for row in range(*place.indices(len(self)))]
        row = range(len(self))[place]
        metrics, fidelity = self.metrics_of(row), None
        if "fidelity" in self._marks:
            level = float(self._column(self._marks, "fidelity")[row])
            fidelity = None if np.isnan(level) else level
        return Query(self.codes[row].copy(), float(self.values[row]), metrics, self.errors.get(row), fidelity)

    def __repr__(self) -> str:
        return f"<{len(self):,} queries of {self.space!r}>"


def journal_lines(
    space: SearchSpace, first: int, codes: Codes, answers: Evaluations, marks: Marks = _NO_MARKS
) -> list[dict[str, Any]]:
    """What the journal says of evaluations, a line each; `first` is the number of the first query, from 1."""
    columns = {name: without_nan(column) for name, column in answers.metrics.items()}
    marked = [(name, MARKS[name], column.tolist()) for name, column in marks.items()]
    return [
        {
            "query": first + row,
            **{name: kind(column[row]) for name, kind, column in marked if column[row] == column[row]},
            "code": code.tolist(),
            "architecture": space.format(code),
            "value": value,
            "metrics": {name: column[row] for name, column in columns.items()},
            "error": error,
        }
        for row, (code, value, error) in enumerate(zip(codes, without_nan(answers.values), answers.errors, strict=True))
    ]


def read_queries(folder: RunFolder, space: SearchSpace) -> Queries:
    """The queries in the journal of a search, in order.

    Args:
        folder: of the search.
        space: of the architectures.

    Raises:
        RunFolderError: naming the line that is not a query of this space.
    """
    queries, numbered = Queries(space), enumerate(folder.lines(), 1)
    while block := list(islice(numbered, AT_A_TIME)):
        try:
            _read_block(block, queries)
        except _NOT_A_QUERY:
            for number, line in block:  # which of them it is
                try:
                    _read_block([(number, line)], Queries(space))
                except _NOT_A_QUERY:
                    raise RunFolderError(
                        f"{folder.path / 'journal.jsonl'}, line {number}, is not query {number} of this run; cut the file "
                        f"before it and resume to evaluate the rest again"
                    ) from None
            raise
    return queries


AT_A_TIME = 4_096
_NOT_A_QUERY = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def _read_block(block: Sequence[tuple[int, dict[str, Any]]], queries: Queries) -> None:
    """Add lines of a journal.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OverflowError: where one is not a query of the space.
    """
    codes = queries.space.as_codes([line["code"] for _, line in block])
    values = _numbers([line["value"] for _, line in block])
    if any(line["query"] != number for number, line in block) or not queries.space.valid(codes).all():
        raise ValueError("not the query that comes next")
    marks = {name: _numbers([line.get(name) for _, line in block]) for name in MARKS}
    marks = {name: column for name, column in marks.items() if not np.isnan(column).all()}
    for names, rows in groupby(range(len(block)), lambda row: tuple(block[row][1]["metrics"].keys())):
        part = list(rows)
        columns = {str(name): np.array([block[row][1]["metrics"][name] for row in part], np.float64) for name in names}
        errors = [block[row][1]["error"] for row in part]
        if not all(error is None or isinstance(error, str) for error in errors):
            raise TypeError("an error is a text")
        queries.extend(codes[part], values[part], columns, errors, {name: marks[name][part] for name in marks})


def _numbers(column: list[Any]) -> NDArray[np.float64]:
    """A column of a journal; null is NaN."""
    numbers = np.array(column, np.float64)
    if numbers.ndim != 1:
        raise ValueError("each line has one number")
    return numbers


def usual_error(queries: Queries) -> str:
    """The most frequent reason for which queries failed."""
    errors = Counter(queries.errors.values())
    return errors.most_common(1)[0][0] if errors else "nothing was evaluated"


def folder_name(query: int = 0, trial: int | None = None) -> str:
    """The folder of an evaluation among `evaluations/`: of its query, or where answers are told as they come of its trial."""
    return f"{query:06d}" if trial is None else f"trial-{trial:06d}"


def rank(line: Mapping[str, Any]) -> tuple[float, float]:
    """How good a query that succeeded is, by its line in the journal: first how thoroughly it was evaluated, then its value."""
    return line.get("fidelity", np.inf), line["value"]


class Ledger:
    """The queries of one search, in order.

    The same network asked for again at the same fidelity, under whatever code, is answered from the record and costs nothing: the
    label is that of the code first asked for. With a stateful evaluator, whose answers change, every evaluation counts.

    Args:
        space: decides which codes are the same network.
        stateful: whether the evaluator's answers depend on what came before.
    """

    def __init__(self, space: SearchSpace, *, stateful: bool = False) -> None:
        self.space = space
        self.stateful = stateful
        self.queries = Queries(space)
        self._row_of: dict[Key, int] = {}
        self._best: int | None = None
        self._level = -np.inf

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def best(self) -> Query | None:
        """The query with the highest value among those of the highest fidelity at which any succeeded, the earliest of equals.

        None where none succeeded.
        """
        return None if self._best is None else self.queries[self._best]

    @property
    def best_value(self) -> float | None:
        """What that is worth."""
        return None if self._best is None else float(self.queries.values[self._best])

    def add(
        self,
        codes: Codes,
        values: NDArray[np.float64],
        metrics: Mapping[str, NDArray[np.float64]],
        errors: Sequence[str | None],
        networks: NDArray[np.uint64] | None = None,
        marks: Marks = _NO_MARKS,
    ) -> None:
        """Count evaluations.

        Args:
            codes: shape [k, genes].
            values: shape [k].
            metrics: that all of them came with, each of shape [k].
            errors: why they failed, None where they did not; length k.
            networks: of the codes, shape [k], where they are known.
            marks: that they have, see `Queries`.
        """
        if not len(codes):
            return
        networks = self.space.network_ids(codes) if networks is None else networks
        before = len(self)
        self._row_of.update(zip(keys(networks, marks.get("fidelity")), range(before, before + len(codes)), strict=True))
        self.queries.extend(codes, values, metrics, errors, marks)
        considered, level = np.where(np.isfinite(values), values, -np.inf), np.inf
        if "fidelity" in marks:
            levels = _levels(marks["fidelity"])
            level = levels[np.isfinite(values)].max(initial=-np.inf)
            considered[levels < level] = -np.inf
        top, best = int(np.argmax(considered)), self.best_value
        if np.isfinite(considered[top]) and (best is None or (level, considered[top]) > (self._level, best)):
            self._best, self._level = before + top, level

    def take(self, queries: Queries, start: int, stop: int, networks: NDArray[np.uint64] | None = None) -> None:
        """Count queries from `start` to `stop` of others; `networks` are theirs, where they are known."""
        if networks is None:
            networks = self.space.network_ids(queries.codes[start:stop])
        for rows, metrics, errors in queries.parts(start, stop):
            known = networks[rows.start - start : rows.stop - start]
            self.add(queries.codes[rows], queries.values[rows], metrics, errors, known, queries.marks(rows))

    def row_of(self, key: Key) -> int | None:
        """The place of the query of a key, None where it has to be evaluated."""
        return None if self.stateful else self._row_of.get(key)


def _levels(fidelity: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(fidelity), np.inf, fidelity)


def keys(networks: NDArray[np.uint64], fidelity: FloatArray | None) -> list[Key]:
    """What tells queries apart, length n: the network, with its fidelity where it has one."""
    if fidelity is None:
        return list(networks.tolist())
    return [
        number if level != level else (number, level)
        for number, level in zip(networks.tolist(), fidelity.tolist(), strict=True)
    ]
