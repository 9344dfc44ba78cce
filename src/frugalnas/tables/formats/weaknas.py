"""The dictionaries that WeakNAS's authors preprocessed from NAS-Bench-101 and NAS-Bench-201, saved by torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes
from frugalnas.spaces.cells101 import EDGES, INNER, VERTICES, codes_of, network_keys
from frugalnas.spaces.nasbench201 import OPERATIONS, live_edges
from frugalnas.tables.formats.nats_records import DATASETS
from frugalnas.tables.formats.shown import shown
from frugalnas.tables.formats.watched import Progress, how_many, read_watched_torch
from frugalnas.tables.store import Column, Contents

RUNS = (0, 1, 2)
AVERAGE = "avg"
TOLERANCE = 1e-5
"""By which the stated average may differ from the mean of the runs: files may have been rounded to five decimals."""
FIRST, LAST = {0, "input"}, {4, "output"}
INNER_OPERATIONS = {1: 1, "conv1x1-bn-relu": 1, 2: 0, "conv3x3-bn-relu": 0, 3: 2, "maxpool3x3": 2}
"""NAS-Bench-101's operations as the files write them, by number or by name, and as `codes_of` does."""


class _Kind(NamedTuple):
    """What a file is, by its keys and the sets that it has.

    Attributes:
        name: of the table.
        space: of its architectures.
        epochs: of the trainings.
        roles: for each, the set in the file and the images.
        size: architectures in the benchmark.
        chance: accuracy in % above which a network that gives a constant cannot come; None where there is none.
        licence: of the benchmark that the numbers are from.
    """

    name: str
    space: str
    epochs: int
    roles: Mapping[str, tuple[str, str]]
    size: int
    chance: float | None
    licence: str


_HALVED = "CIFAR-100 or ImageNet16-120, which the file does not tell apart:"
NASBENCH101 = _Kind(
    name="weaknas/nasbench101",
    space="nasbench101",
    epochs=108,
    roles={
        "validation": ("valid", "CIFAR-10: 10,000 images held out of the training set"),
        "test": ("test", "CIFAR-10: the 10,000 test images"),
    },
    size=423_624,
    chance=None,
    licence="Apache-2.0, of NAS-Bench-101; the file states none",
)
NASBENCH201 = [
    _Kind(f"weaknas/{name}", "nasbench201", 200, roles, 15_625, chance, "MIT, of NAS-Bench-201; the file states none")
    for name, chance, roles in [
        *(
            (name, 10.5, {**DATASETS[name].roles, "train": ("train", DATASETS[name].trained_on)})
            for name in ("cifar10-valid", "cifar10")
        ),
        (
            "nasbench201",
            1.5,
            {
                "validation": ("x-valid", f"{_HALVED} the validation half of the test images"),
                "test": ("x-test", f"{_HALVED} the other half of the test images"),
                "whole_test": ("ori-test", f"{_HALVED} all test images, the validation half among them"),
                "train": ("train", f"{_HALVED} the training images"),
            },
        ),
    ]
]


def read_weaknas(path: Path | str, on_progress: Progress) -> list[Contents]:
    """The one table of a file such as `nasbench101_minimal.pth.tar`: a dict with, for each architecture, accuracies.

    It is called `weaknas/nasbench101`, `weaknas/cifar10-valid`, `weaknas/cifar10`, or `weaknas/nasbench201` where the
    sets are those that CIFAR-100 and ImageNet16-120 share, which only whoever has downloaded the file can tell apart.

    Cells of NAS-Bench-201 are six numbers. That they are the operations none, skip_connect, nor_conv_1x1, nor_conv_3x3
    and avg_pool_3x3 on edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2 is the benchmark's own order, which the files do not
    state. It is held against the accuracies: a cell whose input does not reach its output must be at chance.

    Args:
        path: of a dict `{architecture: {"scratch": {set: {"acc": {epochs: {0: .., 1: .., 2: .., "avg": ..}}}}}}` of
            fractions, as torch has saved it. A run may be missing; the average must be the mean of those there.
        on_progress: told the bytes read and the bytes there are.

    Raises:
        FrugalnasError: naming the file, the first architecture concerned and what is wrong with it.
    """
    path = Path(path)
    content, source = read_watched_torch(path, _Digester(path), on_progress)
    if not isinstance(content, dict) or not content:
        raise FrugalnasError(f"{path} holds no dict of architectures; this is not a file of WeakNAS")
    keys, entries = list(content), list(content.values())
    kind = _kind_of(path, keys, entries)
    read: Callable[[Path, list[Any]], Codes] = _cells101 if kind is NASBENCH101 else _cells201
    codes = read(path, keys)
    values = 100.0 * _fractions(path, keys, entries)
    sets = entries[0].sets
    runs = [run for run in RUNS if np.isfinite(values[:, :, run]).any()]
    columns = [
        Column(role, values[:, sets.index(name), :][:, runs], split, tuple(map(str, runs)), kind.epochs)
        for role, (name, split) in kind.roles.items()
        if name in sets
    ]
    if kind.chance is not None:
        _check_constant(path, keys, codes, columns, kind.chance)
        source["codes"] = (
            f"digits {', '.join(f'{digit} {name}' for digit, name in enumerate(OPERATIONS))} on edges 1<-0, 2<-0, 2<-1, "
            "3<-0, 3<-1, 3<-2; the benchmark's order, which the file does not state"
        )
    source["architectures"] = how_many(len(codes), kind.size)
    return [Contents(kind.name, kind.space, codes, columns, source, kind.licence)]


# -- entries -----------------------------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """Accuracies of one architecture: for each set, those of the three runs and their average, NaN where missing."""

    sets: tuple[str, ...]
    epochs: int
    values: tuple[float, ...]


class _Digester:
    """Puts an entry in the place of each architecture's dicts once they are complete, and empties them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sets: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __call__(self, container: dict[Any, Any], key: object, value: object) -> None:
        if not (isinstance(value, dict) and isinstance(value.get("scratch"), dict)):
            return
        try:
            entry = _entry(value["scratch"])
        except ValueError as error:
            raise FrugalnasError(f"{self.path}: architecture {shown(key)} {error}") from None
        container[key] = entry._replace(sets=self.sets.setdefault(entry.sets, entry.sets))
        for measured in value["scratch"].values():
            measured["acc"].clear()


def _entry(scratch: dict[Any, Any]) -> _Entry:
    """What the dict of sets says.

    Raises:
        ValueError: saying what is wrong with it, as the rest of a sentence about the architecture.
    """
    epochs, values = None, []
    if not scratch or not all(isinstance(name, str) for name in scratch):
        raise ValueError("has no sets that it was evaluated on")
    names = sorted(scratch)
    for name in names:
        measured = scratch[name]
        by_epochs = measured.get("acc") if isinstance(measured, dict) else None
        if not isinstance(by_epochs, dict):
            raise ValueError(f"has no accuracies, 'acc', on {name[:20]!r}")
        last = next((last for last in (108, 200) if last in by_epochs), None)
        if last is None or (epochs is not None and last != epochs):
            raise ValueError(f"has no accuracies on {name[:20]!r} after {epochs or '108 or 200'} epochs")
        epochs, runs = last, by_epochs[last]
        if not isinstance(runs, dict) or AVERAGE not in runs or not any(run in runs for run in RUNS):
            raise ValueError(f"has no runs 0, 1, 2 and their average, {AVERAGE!r}, on {name[:20]!r}")
        unknown = [key for key in runs if key not in (*RUNS, AVERAGE)]
        if unknown:
            raise ValueError(f"has a run {shown(unknown[0])} on {name[:20]!r}; known are 0, 1, 2 and {AVERAGE!r}")
        values += [_fraction(runs[run], name) if run in runs else math.nan for run in (*RUNS, AVERAGE)]
    assert epochs is not None
    return _Entry(tuple(names), epochs, tuple(values))


def _fraction(value: object, name: str) -> float:
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and 0 <= value <= 1 + 1e-6
    ):
        return float(value)
    raise ValueError(f"has {shown(value)} for an accuracy on {name[:20]!r}, where fractions from 0 to 1 stand")


def _kind_of(path: Path, keys: list[Any], entries: list[Any]) -> _Kind:
    """What the file is; its entries are all of one form then."""
    for key, entry in zip(keys, entries, strict=True):
        if not isinstance(entry, _Entry):
            raise FrugalnasError(
                f"{path}: architecture {shown(key)} has no results 'scratch'; this is no file of WeakNAS"
            )
    first: _Entry = entries[0]
    other = [place for place, entry in enumerate(entries) if entry[:2] != first[:2]]
    if other:
        raise FrugalnasError(
            f"{path}: {len(other)} of {len(keys)} architectures have other sets or epochs than the first one, first "
            f"{shown(keys[other[0]])}"
        )
    cells = isinstance(keys[0], tuple) and len(keys[0]) == 2
    sets = set(first.sets)
    for kind in [NASBENCH101] if cells else NASBENCH201:
        named = {name for name, _ in kind.roles.values()}
        if named - {"train"} <= sets <= named:
            if first.epochs != kind.epochs:
                raise FrugalnasError(
                    f"{path} has accuracies after {first.epochs} epochs, {kind.name} after {kind.epochs}"
                )
            return kind
    raise FrugalnasError(
        f"{path} has the sets {', '.join(first.sets)[:80]}; WeakNAS's files have valid and test for NAS-Bench-101; train, "
        "x-valid and ori-test, train and ori-test, or train, x-valid, x-test and ori-test for NAS-Bench-201"
    )


def _fractions(path: Path, keys: list[Any], entries: list[_Entry]) -> NDArray[np.float64]:
    """Shape [architectures, sets, runs]; NaN where a run is missing."""
    values = np.array([entry.values for entry in entries], np.float64).reshape(len(entries), -1, len(RUNS) + 1)
    runs, stated = values[:, :, :-1], values[:, :, -1]
    wrong = (np.abs(np.nanmean(runs, axis=2) - stated) > TOLERANCE).any(axis=1)
    if wrong.any():
        raise FrugalnasError(
            f"{path}: {int(wrong.sum())} of {len(keys)} architectures state an average that is not the mean of their runs, "
            f"first {shown(keys[int(np.argmax(wrong))])}"
        )
    return runs


# -- architectures -----------------------------------------------------------------------------------------------------


def _cells101(path: Path, keys: list[Any]) -> Codes:
    """The codes of keys (adjacency, operations), each network once."""
    by_size: dict[int, list[int]] = {}
    for row, key in enumerate(keys):
        if not _is_cell(key):
            raise FrugalnasError(
                f"{path}: architecture {shown(key)} is no adjacency matrix of 2 to {VERTICES} vertices and a list of their "
                "operations, input and output among them"
            )
        by_size.setdefault(len(key[0]), []).append(row)
    codes: Codes = np.zeros((len(keys), EDGES + INNER), np.int8)
    for vertices, rows in sorted(by_size.items()):
        adjacency = np.array([keys[row][0] for row in rows], np.bool_)
        operations = np.array([[INNER_OPERATIONS[name] for name in keys[row][1][1:-1]] for row in rows], np.int64)
        try:
            codes[rows] = codes_of(adjacency, operations.reshape(len(rows), vertices - 2))
        except FrugalnasError as error:
            raise FrugalnasError(f"{path}: among the cells of {vertices} vertices, {error}") from None
    _, place, times = np.unique(network_keys(codes), return_index=True, return_counts=True)
    if len(place) < len(keys):
        first = shown(keys[int(place[np.argmax(times > 1)])])
        raise FrugalnasError(
            f"{path}: {len(keys) - len(place)} of {len(keys)} cells are another one's network, as {first}"
        )
    return codes


def _is_cell(key: Any) -> bool:
    if not (isinstance(key, tuple) and len(key) == 2 and all(isinstance(part, (tuple, list)) for part in key)):
        return False
    matrix, operations = key
    count = len(matrix)
    if not (2 <= count <= VERTICES and len(operations) == count):
        return False
    if not all(isinstance(row, (tuple, list)) and len(row) == count for row in matrix):
        return False
    numbers = (int, float, np.integer, np.floating, np.bool_)
    if not all(isinstance(bit, numbers) and bit in (0, 1) for row in matrix for bit in row):
        return False
    if not all(isinstance(name, (int, str, np.integer)) for name in operations):
        return False
    ends = operations[0] in FIRST and operations[-1] in LAST
    return ends and all(name in INNER_OPERATIONS for name in operations[1:-1])


def _cells201(path: Path, keys: list[Any]) -> Codes:
    for key in keys:
        whole = isinstance(key, tuple) and len(key) == 6 and all(isinstance(gene, (int, np.integer)) for gene in key)
        if not whole or not all(0 <= gene < len(OPERATIONS) for gene in key):
            raise FrugalnasError(
                f"{path}: architecture {shown(key)} is not six operations of 0 to {len(OPERATIONS) - 1}"
            )
    return np.array(keys, np.int8)


def _check_constant(path: Path, keys: Sequence[Any], codes: Codes, columns: Sequence[Column], chance: float) -> None:
    """Refuse accuracies that a cell cannot have if its operations and edges are in the presumed order."""
    constant = ~live_edges(codes).any(axis=1)
    for column in columns:
        wrong = constant & (np.nan_to_num(column.values).max(axis=1) > chance)
        if wrong.any():
            raise FrugalnasError(
                f"{path}: {int(wrong.sum())} of {int(constant.sum())} cells whose input does not reach their output have "
                f"more than {chance:g} % on {column.split}, first {shown(keys[int(np.argmax(wrong))])}; its operations or "
                "edges stand in another order than the benchmark's"
            )
