"""What spaces return: arrays of architectures and of what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "Codes", "FloatArray", "Graphs", "IntArray"]

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
