"""How many paths from a cell's inputs to its output run through each of its edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces import DARTS, BoolArray, Codes, NASBench201, SearchSpace
from frugalnas.spaces import darts as darts_cells
from frugalnas.spaces import nasbench201 as nasbench201_cells


@dataclass(frozen=True)
class LivePaths:
    """The multigraph that a code makes of the nodes of its cells: an edge for each gene.

    Genes are in the order of the nodes that they lead to, and nodes read earlier ones. Node `nodes` is nowhere: it is what
    an operation `none` reads, and no path comes from there.

    Attributes:
        nodes: how many there are, of all cells.
        source: the node that each gene reads under each value, shape [genes, values].
        target: the node that each gene leads to.
        inputs: where paths begin.
        ends: where paths end; they may go on.
    """

    nodes: int
    source: NDArray[np.intp]
    target: tuple[int, ...]
    inputs: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, space: SearchSpace, ends: tuple[int, ...] | None = None) -> LivePaths | None:
        """The graph of a cell space; None for chains, and other spaces where every choice of a code is used once.

        Args:
            space: NAS-Bench-201 or DARTS have cells.
            ends: nodes of a cell at which paths end; None: those that make its output.
        """
        if isinstance(space, NASBench201):
            live = np.arange(space.allowed.shape[1]) != nasbench201_cells.NONE
            source = np.where(live, np.array(nasbench201_cells.SOURCE)[:, None], 4)
            return cls(4, source, nasbench201_cells.TARGET, (0,), ends or (3,))
        if isinstance(space, DARTS):
            each, cell = darts_cells.STATES, np.repeat([0, 1], darts_cells.CELL)
            state, operation = np.divmod(np.arange(space.allowed.shape[1]), darts_cells.OPS)
            live = (operation != darts_cells.NONE) & (state < darts_cells.NODE[:, None])
            source = np.where(live, state + each * cell[:, None], 2 * each)
            return cls(
                2 * each,
                source,
                tuple((darts_cells.NODE + each * cell).tolist()),
                (0, 1, each, each + 1),
                tuple(first + end for first in (0, each) for end in ends or darts_cells.CONCAT),
            )
        return None

    def possible(self, allowed: BoolArray) -> bool:
        """Whether any path can run from an input to an end with these values, shape [genes, values]."""
        reached = np.zeros(self.nodes + 1, np.bool_)
        reached[list(self.inputs)] = True
        for source, target, values in zip(self.source, self.target, allowed, strict=True):
            reached[target] |= reached[source[values]].any()
        return bool(reached[list(self.ends)].any())

    def through(self, codes: Codes) -> NDArray[np.float64]:
        """How many paths run through each gene's edge, whole numbers, shape [genes, n]."""
        n = len(codes)
        rows = np.arange(n)
        # Places of the nodes that are read, in arrays of shape [nodes + 1, n].
        read = [nodes.take(values) * n + rows for nodes, values in zip(self.source, codes.T, strict=True)]
        arriving = np.zeros((self.nodes + 1, n))
        arriving[list(self.inputs)] = 1
        paths = np.empty((len(read), n))
        for gene, target in enumerate(self.target):
            paths[gene] = arriving.take(read[gene])
            arriving[target] += paths[gene]
        leaving = np.zeros((self.nodes + 1, n))
        leaving[list(self.ends)] = 1
        for gene, target in reversed(list(enumerate(self.target))):
            paths[gene] *= leaving[target]
            leaving.ravel()[read[gene]] += leaving[target]
        return paths
