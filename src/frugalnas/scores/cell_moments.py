"""The moments of a DARTS cell's angle: how often an operation counts depends on what the nodes read, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from frugalnas.scores.angle import AngleTable
from frugalnas.scores.moments import Floats, Moments
from frugalnas.spaces import DARTS, Codes
from frugalnas.spaces.darts import CELL, NONE, OPS

GENES = 2 * CELL


def cell_moments(space: DARTS, table: AngleTable) -> Moments | None:
    """The moments of (w0 . wt, |w0|^2, |wt|^2) for each (gene, value), exactly; None where they are not known.

    A node reads two states. All that its two choices of a state decide about the angle is how many paths run through each edge,
    and given those the operations are independent. So moments are summed over what the nodes of a cell may read: 14,400
    ways (129,600 where inputs may be `none`). The two cells are independent of one another.

    Not known are those of a space whose inputs may be `none` and must read two states, and of one with limits, unless every
    choice counts once: then they are plain sums (`moments.moments`).

    Args:
        space: without limits.
        table: of its angles.
    """
    if (space.none and space.joint) or "where" in space.limits:
        return None
    sums = table.table.shape[2]
    cells = [_Cell.of(space, table, first) for first in (0, CELL)]
    share = np.zeros(space.allowed.shape)
    mean = np.zeros((*space.allowed.shape, sums))
    covariance = np.zeros((*space.allowed.shape, sums, sums))
    for cell, other in zip(cells, reversed(cells), strict=True):
        for gene in range(CELL):
            for reads in np.unique(cell.reads[:, gene]).tolist():
                values = np.flatnonzero(cell.kinds[gene] == reads)
                part = cell.through(gene, reads, table.table[cell.first + gene, values])
                share[cell.first + gene, values], mean[cell.first + gene, values] = part[0], part[1] + other.mean
                covariance[cell.first + gene, values] = part[2] + other.covariance
    return Moments(share, mean, covariance)


def counts_once(space: DARTS, table: AngleTable) -> bool:
    """Whether every choice of every code counts exactly once, so that angles are functions of plain sums."""
    if table.paths is None:
        return True
    if space.none or table.repeated:
        return False
    return all(bool((_Cell.of(space, table, first).times == 1).all()) for first in (0, CELL))


@dataclass(frozen=True)
class _Cell:
    """What the nodes of one cell may read, and what follows.

    Attributes:
        first: its first gene in a code.
        kinds: what a gene reads under each value: a state, or `nowhere` for none; -1 where not allowed; shape [8, values].
        reads: the same of each gene in each way that the nodes may read, shape [ways, 8].
        weights: the share of the cells that read so, shape [ways].
        times: how often each gene counts, shape [ways, 8].
        centres: of what a gene adds when it reads something, shape [8, kinds, k].
        spreads: the covariance of that, shape [8, kinds, k, k].
    """

    first: int
    kinds: NDArray[np.intp]
    reads: NDArray[np.intp]
    weights: Floats
    times: Floats
    centres: Floats
    spreads: Floats

    @classmethod
    def of(cls, space: DARTS, table: AngleTable, first: int) -> _Cell:
        """The cell whose first gene this is."""
        allowed = space.allowed[first : first + CELL]
        state, operation = np.divmod(np.arange(allowed.shape[1]), OPS)
        nowhere = int(state.max()) + 1
        kinds = np.where(allowed, np.where(operation == NONE, nowhere, state), -1)
        options = np.stack([(kinds == kind).sum(axis=1) for kind in range(nowhere + 1)], axis=1)
        pairs = []
        for node in range(0, CELL, 2):
            both = np.argwhere(options[node][:, None] * options[node + 1])
            pairs.append(both[both[:, 0] != both[:, 1]] if space.joint else both)
        ways = np.indices([len(pair) for pair in pairs]).reshape(len(pairs), -1)
        reads = np.concatenate([pair[way] for pair, way in zip(pairs, ways, strict=True)], axis=1)
        weights = options[np.arange(CELL), reads].prod(axis=1, dtype=np.float64)
        sums = table.table.shape[2]
        centres, spreads = np.zeros((CELL, nowhere + 1, sums)), np.zeros((CELL, nowhere + 1, sums, sums))
        for gene, kind in np.argwhere(options):
            added = table.table[first + gene, kinds[gene] == kind]
            centres[gene, kind] = added.mean(axis=0)
            spreads[gene, kind] = np.cov(added.T, bias=True)
        return cls(
            first, kinds, reads, weights / weights.sum(), cls._times(table, kinds, reads, first), centres, spreads
        )

    @staticmethod
    def _times(table: AngleTable, kinds: NDArray[np.intp], reads: NDArray[np.intp], first: int) -> Floats:
        codes: Codes = np.zeros((len(reads), GENES), np.int8)  # the other cell does not matter
        for gene in range(CELL):
            value = np.array([np.argmax(kinds[gene] == kind) for kind in range(kinds.max() + 1)])
            codes[:, first + gene] = value[reads[:, gene]]
        return table.multiplicity(codes)[:, first : first + CELL].astype(np.float64)

    @cached_property
    def means(self) -> Floats:
        """Of the sums, by what is read, shape [ways, k]."""
        return np.einsum("wg,wgk->wk", self.times, self.centres[np.arange(CELL), self.reads])

    @cached_property
    def covariances(self) -> Floats:
        """Of the sums, by what is read, shape [ways, k, k]."""
        return np.einsum("wg,wgkl->wkl", self.times**2, self.spreads[np.arange(CELL), self.reads])

    @cached_property
    def mean(self) -> Floats:
        """Of the sums, shape [k]."""
        return self.weights @ self.means

    @cached_property
    def covariance(self) -> Floats:
        """Of the sums, shape [k, k]."""
        apart = self.means - self.mean
        return np.einsum("w,wkl->kl", self.weights, self.covariances + apart[:, :, None] * apart[:, None, :])

    def through(self, gene: int, reads: int, added: Floats) -> tuple[Floats, Floats, Floats]:
        """Share, means and covariances of the cells in which a gene reads something by these operations, which add so much."""
        ways = np.flatnonzero(self.reads[:, gene] == reads)
        weights, times = self.weights[ways], self.times[ways, gene]
        total = weights.sum()
        weights = weights / total
        others = self.means[ways] - times[:, None] * self.centres[gene, reads]
        inside = self.covariances[ways] - (times**2)[:, None, None] * self.spreads[gene, reads]
        mean, often = weights @ others, weights @ times
        apart, more = others - mean, times - often
        spread = np.einsum("w,wkl->kl", weights, inside) + (weights[:, None] * apart).T @ apart
        # An operation that counts more often where other things add more, too: shape [operations, k, k].
        along = added[:, :, None] * ((weights * more) @ apart)
        spread = spread + along + along.swapaxes(1, 2) + weights @ more**2 * added[:, :, None] * added[:, None, :]
        return np.full(len(added), total / len(added)), mean + often * added, spread
