"""Cells of the DARTS family as feature vectors: by their paths from the inputs to the nodes, and by their graphs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise, product

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import BoolArray, Codes, Graphs
from frugalnas.spaces.genotype import PRIMITIVES

OPS = len(PRIMITIVES)
NONE = PRIMITIVES.index("none")
NODES = 4
CELL = 2 * NODES
INPUTS = (0, 1)
STATES = range(2, 2 + NODES)

PATHS = tuple(
    (source, *nodes)
    for length in range(1, 1 + NODES)
    for source, nodes in sorted(product(INPUTS, combinations(STATES, length)))
)
"""The states on every path that a cell may have from one of its inputs to a node, shorter ones first, then in
lexicographic order. A path to a node is one to the output, as the output joins all nodes."""
MOST_PATHS = 18
"""No cell has more: a node reads two states, so there are at most 2, 3, 5 and 8 paths to the four nodes."""
WIDTH = len(INPUTS) + NODES * OPS
SEQUENCES = sum(OPS**length for length in range(1 + NODES))
"""Sequences of at most four operations."""


def darts_position_paths(codes: Codes) -> NDArray[np.uint8]:
    """The position-aware path encoding of both cells, normal cell first, 0 or 1, shape [n, 2 * 18 * 34].

    Each path is a vector: which input it begins at, then for every node the operation by which it enters it, one-hot; the
    vectors of a cell's paths stand one behind the other in the order of `PATHS`, zeros behind the last (NPENAS and
    SSNENAS, arXiv 2003.12857 and 2011.00186). Their program pairs each path's operations with another path's nodes; here
    they are aligned. Cells are taken as they are written, `none` carries nothing, and where a node reads one state twice
    the path has both operations.

    Args:
        codes: of the DARTS space, shape [n, 16].
    """
    return np.concatenate([_position_paths(cell) for cell in _cells(codes)], axis=1)


def _position_paths(cell: Codes) -> NDArray[np.uint8]:
    operations = _operations_by_edge(cell)
    encoded = np.zeros((len(cell), MOST_PATHS, WIDTH), np.uint8)
    place = np.zeros(len(cell), np.intp)
    for path in PATHS:
        present = np.ones(len(cell), np.bool_)
        for source, node in pairwise(path):
            present &= operations[source, node].any(axis=1)
        rows = np.flatnonzero(present)
        encoded[rows, place[rows], path[0]] = 1
        for source, node in pairwise(path):
            start = len(INPUTS) + (node - STATES[0]) * OPS
            encoded[rows, place[rows], start : start + OPS] = operations[source, node][rows]
        place[rows] += 1
    return encoded.reshape(len(cell), MOST_PATHS * WIDTH)


def _operations_by_edge(cell: Codes) -> dict[tuple[int, int], BoolArray]:
    """Which operations stand on each edge of a cell, `none` left out, each of shape [n, 8]."""
    found = {}
    for node in STATES:
        for source in range(node):
            there = np.zeros((len(cell), OPS), np.bool_)
            for gene in _genes_of(node):
                reads = (cell[:, gene] // OPS == source) & (cell[:, gene] % OPS != NONE)
                there[reads, cell[reads, gene] % OPS] = True
            found[source, node] = there
    return found


def darts_paths(codes: Codes) -> BoolArray:
    """Which sequences of operations lead from each input to a node, for both cells, shape [n, 18724].

    There is a block of 1 + 8 + 64 + 512 + 4096 columns for each input of the normal cell, then of the reduction cell; the
    sequence (o_0, o_1, ...) stands at column sum over i of 8^i (o_i + 1) in it (BANANAS; White et al., AAAI 2021).

    Args:
        codes: of the DARTS space, shape [n, 16].
    """
    found = np.zeros((len(codes), 2 * len(INPUTS) * SEQUENCES), np.bool_)
    for place, cell in enumerate(_cells(codes)):
        for path in PATHS:
            start = (place * len(INPUTS) + path[0]) * SEQUENCES
            for genes in product(*(_genes_of(node) for node in path[1:])):
                values = cell[:, list(genes)].astype(np.intp)
                rows = np.flatnonzero(((values // OPS == path[:-1]) & (values % OPS != NONE)).all(axis=1))
                found[rows, start + (values[rows] % OPS + 1) @ OPS ** np.arange(len(genes))] = True
    return found


def darts_adjacency(graphs: Graphs) -> BoolArray:
    """The upper triangle of each cell's graph row by row, then each operation's kind one-hot, shape [n, 2 * (105 + 64)].

    Args:
        graphs: of the DARTS space: fifteen vertices for each cell.
    """
    each = graphs.operations.shape[1] // 2
    rows, columns = np.triu_indices(each, 1)
    inner = [2 + 3 * node + side for node in range(NODES) for side in range(2)]
    parts = []
    for offset in (0, each):
        cell = graphs.adjacency[:, offset : offset + each, offset : offset + each]
        kinds = graphs.operations[:, [offset + vertex for vertex in inner]]
        onehot = (kinds[:, :, None] == np.arange(OPS)).reshape(len(kinds), CELL * OPS)
        parts += [cell[:, rows, columns], onehot]
    return np.concatenate(parts, axis=1)


def _cells(codes: Codes) -> Iterator[Codes]:
    codes = np.asarray(codes, np.int8)
    yield codes[:, :CELL]
    yield codes[:, CELL:]


def _genes_of(node: int) -> tuple[int, int]:
    first = 2 * (node - STATES[0])
    return first, first + 1
