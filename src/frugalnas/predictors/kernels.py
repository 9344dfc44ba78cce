"""Edit distances between architectures as squared distances between vectors, which is what kernels are computed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import one_of
from frugalnas.spaces import Distinct, Graphs, Population

HALF = np.float32(0.5**0.5)
"""Two one-hot vectors times this are at a squared distance of 1, as one different operation counts."""


def edit_features(population: Population, distance: str) -> Distinct:
    """Vectors whose squared Euclidean distances are an edit distance, each once.

    Counts are written in unary, so that their differences are numbers of bits that differ: with that every distance here
    is a Hamming distance.

    Args:
        population: whose architectures.
        distance: adjacency, edges and operations that differ between the graphs' matrices; nasbot, the absolute differences of
            sorted in- and out-degrees and of how often each operation occurs (the OTMANN distance of Kandasamy et al., 2018,
            as simplified in NPENAS); path or position-path, differing bits of these encodings.

    Raises:
        FrugalnasError: for the last two in a space that has no such encoding.
    """
    if distance in ("path", "position-path"):
        one_of(f"encoding of {population.space.name}", distance, population.space.encodings)
        return population.encoded(distance)
    graphs = population.graphs
    return Distinct.of(_adjacency(graphs) if distance == "adjacency" else _degrees(graphs))


def _adjacency(graphs: Graphs) -> NDArray[np.float32]:
    """Edges as bits, and the operation of each vertex one-hot, shape [n, V (V - 1) / 2 + V x kinds]."""
    n, vertices = graphs.operations.shape
    source, target = np.triu_indices(vertices, 1)
    edges = graphs.adjacency[:, source, target]
    operations = graphs.operations[:, :, None] == np.arange(len(graphs.names))
    return np.concatenate([edges.astype(np.float32), HALF * operations.reshape(n, -1)], axis=1)


def _degrees(graphs: Graphs) -> NDArray[np.float32]:
    """Sorted in- and out-degrees and counts of operations in unary, shape [n, d]."""
    vertices = graphs.operations.shape[1]
    degrees = [np.sort(graphs.adjacency.sum(axis=axis), axis=1) for axis in (1, 2)]
    operations = (graphs.operations[:, :, None] == np.arange(len(graphs.names))).sum(axis=1)
    counts = np.concatenate([*degrees, operations], axis=1)
    unary = counts[:, :, None] > np.arange(vertices)
    return np.ascontiguousarray(unary.reshape(len(counts), -1), np.float32)
