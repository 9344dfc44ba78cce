"""Architectures as batched dense tensors: one small matrix of edges and one row of operations for each."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.spaces import BoolArray, Graphs, Population

DIRECTIONS = ("in", "both")
"""Whose features a vertex sums: those of the vertices it reads, as the papers do, or also of those that read it."""


class GraphTensors:
    """A batch of architectures as graphs, and what every graph network computes from them first.

    Args:
        adjacency: 1 where an edge runs from row vertex to column vertex, float32, shape [n, V, V].
        operations: of each vertex, int64, shape [n, V].
        kinds: how many operations there are.
    """

    def __init__(self, adjacency: Tensor, operations: Tensor, kinds: int) -> None:
        self.adjacency = adjacency
        self.operations = operations
        self.kinds = kinds
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def vertices(self) -> int:
        """Vertices of each graph."""
        return self.operations.shape[1]

    def check_kinds(self, kinds: int) -> None:
        """Refuses the graphs for an encoder that reads another number of operations."""
        if kinds != self.kinds:
            raise FrugalnasError(
                f"the encoder reads graphs with {kinds} operations, and these have {self.kinds}: they are of another space"
            )

    def sums(self, directions: str) -> tuple[Tensor, Tensor]:
        """What sums the features of each vertex and its neighbours, and these sums for the operations themselves.

        Computed once for a batch: `take` hands out the rows of what is there already.

        Args:
            directions: "in" sums over the vertices that a vertex reads, "both" also over those that read it, apart.

        Returns:
            A matrix to multiply features [n, V, w] by, shape [n, V x d, V], whose product is [n, V, d x w] when its
            memory is viewed so; and how often each operation occurs in each neighbourhood, [n, V, d x kinds]; d is the number
            of directions.
        """
        if directions not in self._sums:
            one_of("directions of edges", directions, DIRECTIONS)
            itself = torch.eye(self.vertices, device=self.adjacency.device)
            matrix = self.adjacency.transpose(1, 2) + itself
            if directions == "both":
                # Rows of one vertex follow each other, so that its two sums lie side by side in the product.
                matrix = torch.stack([matrix, self.adjacency + itself], dim=2).flatten(1, 2)
            ones = functional.one_hot(self.operations, self.kinds).to(matrix.dtype)
            columns = self.kinds * matrix.shape[1] // self.vertices
            self._sums[directions] = matrix.contiguous(), (matrix @ ones).view(len(self), self.vertices, columns)
        return self._sums[directions]

    def take(self, rows: Tensor | slice) -> GraphTensors:
        """The graphs in `rows`: indices, shape [m], or a slice."""
        part = GraphTensors(self.adjacency[rows], self.operations[rows], self.kinds)
        part._sums = {key: (matrix[rows], counts[rows]) for key, (matrix, counts) in self._sums.items()}
        return part


def graph_tensors(
    architectures: Population | Graphs, *, isolated_edges: bool = False, device: torch.device | str = "cpu"
) -> GraphTensors:
    """The graphs of architectures as tensors.

    Args:
        architectures: a population, whose graphs are computed once and remembered, or graphs.
        isolated_edges: join each vertex that no edge touches to the first vertex, as the programs of SSNENAS and
            NPENAS do: encoders trained by them need it.
        device: where the tensors are.
    """
    graphs = architectures.graphs if isinstance(architectures, Population) else architectures
    return GraphTensors(
        torch.from_numpy(edges_of(graphs, isolated_edges).astype(np.float32)).to(device),
        torch.from_numpy(graphs.operations.astype(np.int64)).to(device),
        len(graphs.names),
    )


def edges_of(graphs: Graphs, isolated_edges: bool) -> BoolArray:
    """The edges along which features are summed, shape [n, V, V]: those of the graphs, and of isolated vertices if asked."""
    adjacency: BoolArray = graphs.adjacency
    if not isolated_edges:
        return adjacency
    alone: BoolArray = ~np.asarray(adjacency.any(axis=1) | adjacency.any(axis=2))
    first = np.arange(alone.shape[1]) == 0
    return adjacency | (first[:, None] & (alone & ~first)[:, None])
