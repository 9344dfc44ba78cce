"""NAS-Bench-101's published files, `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`, and the same as Parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes
from frugalnas.spaces.cells101 import EDGES, INNER, VERTICES, codes_of, graph_hashes
from frugalnas.tables.formats.nasbench101_records import BUDGETS, REPEATS, Trainings
from frugalnas.tables.formats.parquet import is_text, read_parquet
from frugalnas.tables.formats.tfrecord import read_records
from frugalnas.tables.formats.watched import Progress, Watched, how_many
from frugalnas.tables.store import Column, Contents

CELLS = 423_624
LICENCE = "Apache-2.0"
SPLITS = {
    "validation": "CIFAR-10: 10,000 images held out of the training set",
    "test": "CIFAR-10: the 10,000 test images",
    "train": "CIFAR-10: images among the 40,000 trained on",
}


def read_tfrecord(path: Path | str, on_progress: Progress) -> list[Contents]:
    """One table per budget of epochs in the file, of 108 epochs first: validation, test, train, seconds and parameters.

    The accuracies and the time are those of the last of each training's three evaluations. The three repeats stand in the
    file's order; the benchmark does not name their seeds. Everything is checked: both checksums of each record, that each
    cell is allowed, has the graph hash that the file gives it, and has three repeats that agree in its parameters.

    Args:
        path: of the file, which is streamed.
        on_progress: told the bytes read and the bytes there are, now and then.

    Raises:
        FrugalnasError: naming the file, the byte where the first bad record starts, and what is wrong with it.
    """
    path, trainings, records = Path(path), Trainings(), 0
    with Watched(path, on_progress) as file:
        stream = io.BufferedReader(file, 1 << 20)
        for offset, payload in read_records(path, stream):
            try:
                trainings.add(payload)
            except ValueError as error:
                raise FrugalnasError(
                    f"{path}: the record at byte {offset} {error}; this is not a file of NAS-Bench-101, or a damaged one"
                ) from None
            records += 1
        source = file.source()
    codes = trainings.codes()
    _check_hashes(path, codes, list(trainings.places))
    tables = []
    for epochs in BUDGETS:
        if epochs not in trainings.runs:
            continue
        try:
            places, results, params = trainings.results(epochs)
        except ValueError as error:
            raise FrugalnasError(f"{path}: {error}; records are missing or stand there twice") from None
        columns = [
            Column("validation", 100.0 * results[:, :, 1], split=SPLITS["validation"], epochs=epochs),
            Column("test", 100.0 * results[:, :, 2], split=SPLITS["test"], epochs=epochs),
            Column("train", 100.0 * results[:, :, 0], split=SPLITS["train"], epochs=epochs),
            Column("training_seconds", results[:, :, 3], epochs=epochs),
            Column("params", params[:, None].astype(np.float64)),
        ]
        told = {**source, "records": str(records), "cells": how_many(len(places), CELLS)}
        name = "nasbench101" if epochs == BUDGETS[0] else f"nasbench101-{epochs}epochs"
        tables.append(Contents(name, "nasbench101", codes[places], columns, told, LICENCE))
    return tables


def read_columns(path: Path | str, on_progress: Progress) -> list[Contents]:
    """The table in a Parquet file of one row per cell: mean test accuracy of the three repeats, and parameters.

    Such files leave out the validation accuracies or have them for some cells only, so that the table can be searched by
    its test accuracies alone, as an oracle study.

    Args:
        path: of a file with the columns `hash` (the benchmark's), `num_vertices`, `adj_bits` (bit x + y (y - 1) / 2 is
            edge x to y, x < y), `ops` (of the inner vertices, a digit each: 0 conv3x3, 1 conv1x1, 2 maxpool3x3), `params`
            and `test108_mean` (a fraction). Others are ignored.
        on_progress: told the rows read and the rows there are.

    Raises:
        FrugalnasError: naming the file, the column or row, and what is wrong with it.
    """
    path = Path(path)
    frame = _read_parquet(path)
    codes = _codes_of_columns(path, frame)
    rows = len(codes)
    on_progress(0, rows)
    fingerprints = frame["hash"].tolist()
    if len(set(fingerprints)) < rows:
        raise FrugalnasError(f"{path}: {rows - len(set(fingerprints))} of {rows} rows repeat the hash of another one")
    _check_hashes(path, codes, fingerprints)
    params, test = frame["params"], frame["test108_mean"].astype(np.float64)
    for column, wrong in (("params", params <= 0), ("test108_mean", ~((test >= 0) & (test <= 1)))):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FrugalnasError(
                f"{path}: {int(wrong.sum())} values of {column} are out of range, first {frame[column][row]} in row {row}"
            )
    columns = [
        Column("test", 100.0 * test[:, None], split=f"{SPLITS['test']}; mean of {REPEATS} trainings", epochs=108),
        Column("params", params[:, None].astype(np.float64)),
    ]
    with Watched(path, lambda done, total: on_progress(rows, rows)) as file:
        source = {**file.source(), "records": str(rows), "cells": how_many(rows, CELLS)}
    return [Contents("nasbench101-test", "nasbench101", codes, columns, source, LICENCE)]


# -- columns -----------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of the layout; strings as Python's, shape [rows] each."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "hash": is_text,
        "num_vertices": pa.types.is_integer,
        "adj_bits": pa.types.is_integer,
        "ops": is_text,
        "params": pa.types.is_integer,
        "test108_mean": pa.types.is_floating,
    }
    try:
        there = pq.read_schema(path).names
        for column in kinds:
            if there.count(column) != 1:
                raise FrugalnasError(f"{path}: the column {column} is missing; there are {', '.join(there)}")
        frame = read_parquet(path, str(path), [*kinds])
        for column, fits in kinds.items():
            kind, missing = frame.schema.field(column).type, frame.column(column).null_count
            if not fits(kind):
                raise FrugalnasError(f"{path}: the column {column} holds {kind} values")
            if missing:
                raise FrugalnasError(f"{path}: {missing} values of {column} are missing")
        if not frame.num_rows:
            raise FrugalnasError(f"{path} has no rows")
        return {column: frame.column(column).to_numpy() for column in kinds}
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise FrugalnasError(f"cannot read {path} as Parquet: {error}") from None


def _codes_of_columns(path: Path, frame: Mapping[str, NDArray[Any]]) -> Codes:
    vertices, bits = frame["num_vertices"].astype(np.int64), frame["adj_bits"].astype(np.int64)
    codes: Codes = np.zeros((len(vertices), EDGES + INNER), np.int8)
    if not ((vertices >= 2) & (vertices <= VERTICES)).all():
        raise FrugalnasError(f"{path}: cells have 2 to {VERTICES} vertices, not {vertices.min()} to {vertices.max()}")
    for count in np.unique(vertices).tolist():
        rows = np.flatnonzero(vertices == count)
        edges = count * (count - 1) // 2
        if not ((bits[rows] >= 0) & (bits[rows] < 1 << edges)).all():
            raise FrugalnasError(f"{path}: adj_bits of cells with {count} vertices go from 0 to {(1 << edges) - 1}")
        adjacency = np.zeros((len(rows), count, count), np.bool_)
        for target in range(count):
            for source in range(target):
                adjacency[:, source, target] = (bits[rows] >> source + target * (target - 1) // 2) & 1
        names = frame["ops"][rows].tolist()
        if any(len(name) != count - 2 or name.strip("012") for name in names):
            raise FrugalnasError(f"{path}: ops of cells with {count} vertices are {count - 2} digits 0 to 2 each")
        digits = np.frombuffer("".join(names).encode(), np.uint8).reshape(len(rows), count - 2) - ord("0")
        try:
            codes[rows] = codes_of(adjacency, digits)
        except FrugalnasError as error:
            raise FrugalnasError(f"{path}: among the cells of {count} vertices, {error}") from None
    return codes


# -- both --------------------------------------------------------------------------------------------------------------


def _check_hashes(path: Path, codes: Codes, fingerprints: list[str]) -> None:
    """Refuse cells that do not have the graph hash that the file gives them."""
    expected = [fingerprint.decode() for fingerprint in graph_hashes(codes).tolist()]
    wrong = [pair for pair in zip(fingerprints, expected, strict=True) if pair[0] != pair[1]]
    if wrong:
        raise FrugalnasError(
            f"{path}: {len(wrong)} of {len(codes)} cells do not have the graph hash that the file gives them, first "
            f"{wrong[0][0]}, whose cell has {wrong[0][1]}; the cells or the hashes are not those of NAS-Bench-101"
        )
