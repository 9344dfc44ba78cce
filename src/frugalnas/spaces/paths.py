"""Encodings of a cell by its paths from input to output; the paths that a space can have are few and known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import BoolArray, IntArray

Paths = Sequence[tuple[int, ...]]
"""Inner vertices, numbered from 1, of each path that some cell has, shorter ones first, then lexicographically."""


def path_sequences(paths: Paths, present: BoolArray, operations: IntArray, kinds: int) -> BoolArray:
    """Which operation sequences run from input to output (BANANAS; White et al., AAAI 2021).

    The sequence (o_0, o_1, ...) stands at column sum over i of kinds^i (o_i + 1).

    Args:
        paths: all that a cell may have.
        present: which of them each cell has, shape [n, paths].
        operations: of the inner vertices, 0 to kinds - 1, shape [n, inner].
        kinds: how many operations there are.

    Returns:
        Shape [n, 1 + kinds + kinds^2 + ...], to the longest path.
    """
    found = np.zeros((len(present), sum(kinds**i for i in range(1 + max(map(len, paths))))), np.bool_)
    for place, inner in enumerate(paths):
        rows = np.flatnonzero(present[:, place])
        column = np.zeros(len(rows), np.intp)
        for position, vertex in enumerate(inner):
            column += kinds**position * (operations[rows, vertex - 1].astype(np.intp) + 1)
        found[rows, column] = True
    return found


def path_positions(paths: Paths, present: BoolArray, operations: IntArray, kinds: int, most: int) -> NDArray[np.uint8]:
    """The position-aware path encoding (NPENAS and SSNENAS, arXiv 2003.12857 and 2011.00186).

    Each path is a vector that has the operation of every inner vertex on it, one-hot; the vectors of a cell's paths stand one
    behind the other, shorter paths first, then by vertices, zeros behind the last.

    Args:
        paths: all that a cell may have.
        present: which of them each cell has, shape [n, paths].
        operations: of the inner vertices, 0 to kinds - 1, shape [n, inner].
        kinds: how many operations there are.
        most: paths that a cell has at most.

    Returns:
        0 or 1, shape [n, most * inner * kinds].
    """
    n, inner_vertices = operations.shape
    width = inner_vertices * kinds
    place_of = np.cumsum(present, axis=1, dtype=np.int8) - 1
    encoded = np.zeros((n, most * width), np.uint8)
    flat = encoded.ravel()
    for place, inner in enumerate(paths):
        rows = np.flatnonzero(present[:, place])
        start = rows * (most * width) + place_of[rows, place].astype(np.intp) * width
        for vertex in inner:
            flat[start + (vertex - 1) * kinds + operations[rows, vertex - 1]] = 1
    return encoded
