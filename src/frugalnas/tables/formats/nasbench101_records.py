"""The records of NAS-Bench-101's files, taken in one by one and given back as arrays."""

from __future__ import annotations

import base64
import json
import math
import re
from array import array
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes, IntArray
from frugalnas.spaces.cells101 import EDGES, INNER, MAX_EDGES, VERTICES, codes_of
from frugalnas.tables.formats.tfrecord import BYTES, DOUBLE, VARINT, decode

BUDGETS = (108, 4, 12, 36)
"""Epochs."""
REPEATS = 3
OPERATIONS = {"conv3x3-bn-relu": 0, "conv1x1-bn-relu": 1, "maxpool3x3": 2}


class Trainings:
    """All that is kept of the records: under 50 bytes a training, some 300 a cell."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.runs: dict[int, _Runs] = {}
        self.graphs: dict[str, int] = {}  # of each distinct adjacency string, its place among the matrices
        self.matrices: list[NDArray[np.bool_]] = []
        self.lists: dict[str, int] = {}
        self.operations: list[list[int]] = []
        self.graph_of, self.list_of, self.params_of = array("i"), array("i"), array("q")

    def add(self, payload: bytes) -> None:
        """Take in one record.

        Raises:
            ValueError: saying what is wrong with it, as the rest of a sentence about the record.
        """
        try:
            record = json.loads(payload.decode())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON ({error})") from None
        if type(record) is not list or [*map(type, record)] != [str, int, str, str, str]:
            raise ValueError("is not a list of hash, epochs, adjacency, operations and metrics")
        fingerprint, epochs, adjacency, operations, metrics = record
        if epochs not in BUDGETS:
            raise ValueError(f"has {epochs} epochs; the benchmark has 4, 12, 36 and 108")
        graph = self.graphs.get(adjacency)
        if graph is None:
            graph = self.graphs.setdefault(adjacency, len(self.matrices))
            self.matrices.append(_matrix(adjacency))
        listed = self.lists.get(operations)
        if listed is None:
            listed = self.lists.setdefault(operations, len(self.operations))
            self.operations.append(_operations(operations))
        params, values = _metrics(metrics)
        place = self.places.get(fingerprint)
        if place is None:
            place = self._add_cell(fingerprint, graph, listed, params)
        elif self.graph_of[place] != graph or self.list_of[place] != listed:
            raise ValueError(f"gives hash {fingerprint} another cell than an earlier record does")
        elif self.params_of[place] != params:
            raise ValueError(f"gives {fingerprint} {params} parameters, an earlier record {self.params_of[place]}")
        runs = self.runs.get(epochs)
        if runs is None:
            runs = self.runs[epochs] = _Runs()
        runs.cells.append(place)
        runs.values.extend(values)

    def _add_cell(self, fingerprint: str, graph: int, listed: int, params: int) -> int:
        if not re.fullmatch("[0-9a-f]{32}", fingerprint):
            raise ValueError(f"has {fingerprint[:40]!r} where the hash, 32 hexadecimal digits, should be")
        vertices, named = len(self.matrices[graph]), len(self.operations[listed]) + 2
        if vertices != named:
            raise ValueError(f"names {named} operations for {vertices} vertices")
        self.graph_of.append(graph)
        self.list_of.append(listed)
        self.params_of.append(params)
        return self.places.setdefault(fingerprint, len(self.places))

    def codes(self) -> Codes:
        """Of all cells by place, shape [cells, 26]."""
        graphs, lists = np.array(self.graph_of, np.intp), np.array(self.list_of, np.intp)
        codes: Codes = np.zeros((len(graphs), EDGES + INNER), np.int8)
        sizes = np.array([len(matrix) for matrix in self.matrices])
        for vertices in np.unique(sizes[graphs]).tolist():
            rows = np.flatnonzero(sizes[graphs] == vertices)
            matrices = np.zeros((len(self.matrices), vertices, vertices), np.bool_)
            operations = np.zeros((len(self.operations), vertices - 2), np.int8)
            for place in np.flatnonzero(sizes == vertices).tolist():
                matrices[place] = self.matrices[place]
            for place, listed in enumerate(self.operations):
                if len(listed) == vertices - 2:
                    operations[place] = listed
            codes[rows] = codes_of(matrices[graphs[rows]], operations[lists[rows]])
        return codes

    def results(self, epochs: int) -> tuple[IntArray, NDArray[np.float64], IntArray]:
        """Of the cells that were trained for so long: places [rows], results [rows, 3 repeats, 4] and parameters [rows].

        Results are training, validation and test accuracy (fractions) and seconds.

        Raises:
            ValueError: where a cell does not have three repeats.
        """
        runs = self.runs[epochs]
        cells = np.array(runs.cells, np.intp)
        counts = np.bincount(cells, minlength=len(self.places))
        odd = np.flatnonzero((counts != REPEATS) & (counts > 0))
        if odd.size:
            fingerprint = next(name for name, place in self.places.items() if place == odd[0])
            raise ValueError(
                f"{odd.size} of {np.count_nonzero(counts)} cells do not have {REPEATS} repeats of {epochs} epochs, "
                f"first {fingerprint} with {counts[odd[0]]}"
            )
        present = np.flatnonzero(counts)
        order = np.argsort(cells, kind="stable").reshape(-1, REPEATS)
        return present, np.array(runs.values).reshape(-1, 4)[order], np.array(self.params_of)[present]


class _Runs:
    """The trainings of one budget: the place of each one's cell, and its four numbers."""

    def __init__(self) -> None:
        self.cells, self.values = array("i"), array("d")


def _matrix(adjacency: str) -> NDArray[np.bool_]:
    """The matrix that a string of 0 and 1 spells, row by row, shape [V, V]."""
    vertices = math.isqrt(len(adjacency))
    if vertices * vertices != len(adjacency) or not 2 <= vertices <= VERTICES:
        raise ValueError(
            f"has an adjacency of {len(adjacency)} characters, where V x V with V from 2 to {VERTICES} belong"
        )
    if adjacency.strip("01"):
        raise ValueError("has an adjacency of other characters than 0 and 1")
    matrix = np.array([*map(int, adjacency)], np.bool_).reshape(vertices, vertices)
    if np.tril(matrix).any():
        raise ValueError("has an adjacency that is not upper triangular")
    if matrix.sum() > MAX_EDGES:
        raise ValueError(f"has {matrix.sum()} edges; the benchmark has at most {MAX_EDGES}")
    try:
        codes_of(matrix[None], np.zeros((1, vertices - 2), np.intp))
    except FrugalnasError as error:
        raise ValueError(f"has a cell that cannot be: {error}") from None
    return matrix


def _operations(names: str) -> list[int]:
    """Of the inner vertices."""
    listed = names.split(",")
    if listed[0] != "input" or listed[-1] != "output":
        raise ValueError("has operations that do not start with input and end with output")
    for name in listed[1:-1]:
        if name not in OPERATIONS:
            raise ValueError(f"has an unknown operation {name[:40]!r}; there are {', '.join(OPERATIONS)}")
    return [OPERATIONS[name] for name in listed[1:-1]]


_MODEL = {1: BYTES, 2: VARINT, 3: DOUBLE}
_EVALUATION = {1: DOUBLE, 2: DOUBLE, 3: DOUBLE, 4: DOUBLE, 5: DOUBLE, 6: BYTES}
_USUAL = Struct("<" + "3sdsdsdsdsd" * 3)
_USUAL_TAGS = (b"\x0a\x2d\x09", b"\x11", b"\x19", b"\x21", b"\x29") * 3
"""Three evaluations of five numbers each, in order: how the benchmark's own messages begin."""


def _metrics(encoded: str) -> tuple[int, tuple[float, ...]]:
    """Parameters, and training, validation and test accuracy (fractions) and seconds of the last evaluation."""
    if "\n" in encoded:  # as MIME would have it
        encoded = encoded.replace("\n", "")
    try:
        message = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ValueError(f"has metrics that are not base64 ({error})") from None
    evaluations: list[tuple[float, ...]] = []
    params = 0
    if len(message) >= _USUAL.size:
        start = _USUAL.unpack_from(message)
        if start[::2] == _USUAL_TAGS:
            numbers = start[1::2]
            evaluations = [numbers[:5], numbers[5:10], numbers[10:]]
            message = message[_USUAL.size :]
    for number, value in decode(message, _MODEL):
        if number == 1:
            evaluations.append(_evaluation(value))
        elif number == 2:
            params = value
    if len(evaluations) != 3:
        raise ValueError(f"has {len(evaluations)} evaluations, not 3")
    if not 0 < params < 2**31:
        raise ValueError("does not say how many parameters the network has")
    (before, *_), (halfway, *_), (epoch, seconds, train, validation, test) = evaluations
    if not before <= halfway <= epoch:
        raise ValueError("has evaluations out of order")
    if not (0.0 <= train <= 1.0 and 0.0 <= validation <= 1.0 and 0.0 <= test <= 1.0):
        raise ValueError(f"has accuracies {train}, {validation}, {test}, not all of them between 0 and 1")
    if not 0.0 <= seconds < math.inf:
        raise ValueError(f"has a training of {seconds} seconds")
    return params, (train, validation, test, seconds)


def _evaluation(message: bytes) -> tuple[float, ...]:
    """Epoch (0 where it is not said), seconds, and training, validation and test accuracy (NaN where not said)."""
    values = [0.0, *[math.nan] * 4]
    for number, value in decode(message, _EVALUATION):
        if number <= len(values):
            values[number - 1] = value
    return tuple(values)
