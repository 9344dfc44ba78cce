"""NAS-Bench-101's cells as feature vectors: the encodings of the papers, and one that knows what a cell computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import BoolArray, Codes, IntArray
from frugalnas.spaces.cells101 import EDGES, INNER, SOURCE, TARGET, VERTICES, live_parts, pruned
from frugalnas.spaces.function101 import function_features
from frugalnas.spaces.paths import path_positions, path_sequences

OUTPUT = VERTICES - 1
Features = NDArray[np.generic]

PATHS = tuple(inner for length in range(INNER + 1) for inner in combinations(range(1, OUTPUT), length))
"""The inner vertices of every path that a cell may have, shorter ones first, then in lexicographic order."""
MOST_PATHS = 8
"""No cell with nine edges has more paths from input to output."""


def paths_of(codes: Codes) -> BoolArray:
    """Which of `PATHS` each cell has, shape [n, 32]."""
    edges = np.asarray(codes)[:, :EDGES] > 0
    present = np.empty((len(edges), len(PATHS)), np.bool_)
    for place, inner in enumerate(PATHS):
        chain = (0, *inner, OUTPUT)
        genes = [source + target * (target - 1) // 2 for source, target in pairwise(chain)]
        present[:, place] = edges[:, genes].all(axis=1)
    return present


def _adjacency(codes: Codes) -> Features:
    """Row-major upper triangle, then one-hot operations, dead vertices as "isolated"."""
    edges, vertices = live_parts(codes)
    row_major = np.lexsort((TARGET, SOURCE))
    operations = np.where(vertices[:, 1:OUTPUT], codes[:, EDGES:], 3)
    onehot = (operations[:, :, None] == np.arange(4)).reshape(len(codes), 4 * INNER)
    return np.concatenate([edges[:, row_major], onehot], axis=1)


# -- encodings that write a cell of V vertices as V vertices --------------------------------------------------------------

WORDS = np.array([2, 1, 3], np.int8)
"""conv3x3, conv1x1 and maxpool3x3 as SemiNAS and LaNAS number them: 1x1 is 1, 3x3 is 2, pooling 3."""
OUTPUT_WORD = 4


def _compact(codes: Codes) -> tuple[BoolArray, IntArray, IntArray]:
    """Live cells with their vertices moved together, the output directly after the last inner one.

    Returns:
        Adjacency [n, 7, 7], words of the vertices [n, 7] (input 0, output 4, absent 0), and how many there are [n].
    """
    edges, vertices = live_parts(codes)
    place = np.cumsum(vertices, axis=1) - 1
    adjacency = np.zeros((len(codes), VERTICES, VERTICES), np.bool_)
    rows, genes = np.nonzero(edges)
    adjacency[rows, place[rows, SOURCE[genes]], place[rows, TARGET[genes]]] = True
    words = np.zeros((len(codes), VERTICES), np.int8)
    rows, inner = np.nonzero(vertices[:, 1:OUTPUT])
    words[rows, place[rows, inner + 1]] = WORDS[codes[rows, EDGES + inner]]
    words[np.arange(len(codes)), place[:, OUTPUT]] = OUTPUT_WORD
    return adjacency, words, vertices.sum(axis=1)


def _sequence(codes: Codes, onehot: bool) -> Features:
    """Vertex by vertex: the edges that may enter it, then its operation; zeros for absent vertices.

    As SemiNAS's tokens (absent 0, no edge 1, edge 2, 1x1 3, 3x3 4, pooling 5, output 6), or with edge bits and one-hot
    operations, as WeakNAS.
    """
    adjacency, words, count = _compact(codes)
    columns: list[NDArray[np.generic]] = []
    for vertex in range(1, VERTICES):
        there = (vertex < count)[:, None]
        inputs = adjacency[:, :vertex, vertex]
        word = words[:, vertex : vertex + 1]
        if onehot:
            columns += [inputs, word == np.arange(1, 5)]
        else:
            columns += [np.where(there, inputs + 1, 0), np.where(there, word + 2, 0)]
    return np.concatenate(columns, axis=1)


def _lanas(codes: Codes, pad: int, where: str, fill: bool) -> Features:
    """The adjacency matrix without its last row, row by row, then the operations: WeakNAS's `lanas_mod`.

    Args:
        codes: shape [n, 26].
        pad: what stands for absent entries.
        where: "middle" pads every row to seven, "end" pads once, behind everything; "size" has a block for each number of
            vertices, of which the cell's own is filled.
        fill: write each edge as the operation that it leads to, instead of appending the operations.
    """
    adjacency, words, count = _compact(codes)
    matrix = np.where(adjacency, words[:, None, :] if fill else 1, 0).astype(np.int8)
    if where == "middle":
        return _padded(matrix, words, count, VERTICES, pad, fill)
    blocks = [_padded(matrix, words, np.full(len(codes), size), size, pad, fill) for size in range(2, VERTICES + 1)]
    if where == "size":
        own = [np.where((count == size)[:, None], block, pad) for size, block in enumerate(blocks, 2)]
        return np.concatenate(own, axis=1)
    result = np.full((len(codes), blocks[-1].shape[1]), pad, np.int8)
    for size, block in enumerate(blocks, 2):
        rows = np.flatnonzero(count == size)
        result[rows, : block.shape[1]] = block[rows]
    return result


def _padded(matrix: Codes, words: IntArray, count: IntArray, size: int, pad: int, fill: bool) -> Codes:
    """Rows 0 to size - 2 of the matrix, and the operations unless they are filled in, flattened, [n, d]."""
    there = np.arange(size) < count[:, None]
    inside = there[:, 1:, None] & there[:, None, :]  # row i is written where vertex i + 1 exists: the last one's is not
    rows = np.where(inside, matrix[:, : size - 1, :size], pad).reshape(len(matrix), (size - 1) * size)
    columns = [rows] if fill else [rows, np.where(there, words[:, :size], pad)]
    return np.concatenate(columns, axis=1).astype(np.int8)


ENCODINGS: dict[str, Callable[[Codes], Features] | None] = {
    "function": function_features,
    "adjacency": _adjacency,
    "path": lambda codes: path_sequences(PATHS, paths_of(codes), codes[:, EDGES:], kinds=3),
    "position-path": lambda codes: path_positions(PATHS, paths_of(codes), codes[:, EDGES:], 3, MOST_PATHS),
    "sequence": partial(_sequence, onehot=False),
    "sequence-onehot": partial(_sequence, onehot=True),
    "lanas": partial(_lanas, pad=0, where="middle", fill=False),
    "lanas-end": partial(_lanas, pad=0, where="end", fill=False),
    "lanas-filled": partial(_lanas, pad=0, where="middle", fill=True),
    "lanas-filled-end": partial(_lanas, pad=0, where="end", fill=True),
    "lanas-minus": partial(_lanas, pad=-1, where="middle", fill=False),
    "lanas-minus-end": partial(_lanas, pad=-1, where="end", fill=False),
    "lanas-filled-minus": partial(_lanas, pad=-1, where="middle", fill=True),
    "lanas-filled-minus-end": partial(_lanas, pad=-1, where="end", fill=True),
    "lanas-onehot": partial(_lanas, pad=0, where="size", fill=False),
    "lanas-onehot-filled": partial(_lanas, pad=0, where="size", fill=True),
    "live": pruned,
    "onehot": None,
    "integer": None,
}
"""How each encoding is computed; None leaves it to the base class.

| name | columns | what |
| --- | --- | --- |
| `function` | 76 | what a cell computes, the same for all codes of a network; see `function101` |
| `adjacency` | 41 | 21 edges, 5 operations one-hot over four |
| `path` | 364 | which operation sequences run from input to output (BANANAS; White et al., AAAI 2021) |
| `position-path` | 120 | the paths by length and vertices, each with its vertices' operations (SSNENAS, NPENAS) |
| `sequence` | 27 | SemiNAS's tokens |
| `sequence-onehot` | 45 | the same with edge bits and one-hot operations (WeakNAS) |
| `lanas`, `lanas-...` | 49 | adjacency rows and operations, each row padded to seven |
| `...-filled` | 42 | operations written into the matrix |
| `...-end` | | padded once, behind everything |
| `...-minus` | | padded with -1 |
| `lanas-onehot`, `lanas-onehot-filled` | 139, 112 | a block for each number of vertices |
| `live` | 26 | the code without its dead parts |
| `onehot`, `integer` | 78, 26 | the code as written |
"""
