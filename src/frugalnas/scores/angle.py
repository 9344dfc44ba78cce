"""The angle between the weights that a network started from and those it has come to (ABS, ECCV 2020; RLNAS, CVPR 2021).

The weight vector of an architecture concatenates the weights of its fixed parts and of its choices, each as often as live
paths run through it. So its dot product and squared norms are sums over choices: three numbers for each choice, taken from
the weights once, give the angle of every architecture, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.scores.base import Score
from frugalnas.scores.live_paths import LivePaths
from frugalnas.scores.rules import AngleRule
from frugalnas.scores.triples import labelled_tensors
from frugalnas.spaces import Codes, FloatArray, IntArray, SearchSpace

if TYPE_CHECKING:
    from frugalnas.supernets import Supernet

BLOCK = 2**13
"""Codes scored at a time, so that what is computed of them stays in the processor's cache."""

DECIMALS = 12
"""Of an angle: those beyond depend on the order of summation, and would tell apart what is equal."""


@dataclass(frozen=True)
class AngleTable:
    """All that the angles of a whole space need.

    Attributes:
        fixed: (w0 . wt, |w0|^2, |wt|^2) of the parts that every network has, shape [3].
        table: the same of each value of each gene, shape [genes, values, 3].
        paths: how often each gene counts; None: once.
        repeated: whether a gene on several live paths counts as often, or once.
        dead: angle of a network without live path; None: that of its fixed parts.
    """

    fixed: NDArray[np.float64]
    table: NDArray[np.float64]
    paths: LivePaths | None = None
    repeated: bool = True
    dead: float | None = None

    def multiplicity(self, codes: Codes) -> IntArray:
        """How often each gene counts, shape [n, genes]."""
        blocks = [self._multiplicity(block).T for block in self._blocks(codes)]
        return np.concatenate([*blocks, np.zeros((0, len(self.table)))]).astype(np.intp)

    def sums(self, codes: Codes) -> NDArray[np.float64]:
        """(w0 . wt, |w0|^2, |wt|^2) of each architecture's weight vector, shape [n, 3]."""
        blocks = [self._sums(block, self._multiplicity(block)).T for block in self._blocks(codes)]
        return np.concatenate([*blocks, np.zeros((0, 3))])

    def angles(self, codes: Codes) -> NDArray[np.float64]:
        """The angle of each architecture in radians, shape [n], in [0, pi]; 0 where nothing has a length."""
        angles = np.empty(len(codes))
        for start, block in zip(range(0, len(codes), BLOCK), self._blocks(codes), strict=True):
            times = self._multiplicity(block)
            angles[start : start + BLOCK] = np.arccos(cosine_of(*self._sums(block, times))).round(DECIMALS)
            if self.dead is not None:
                angles[start : start + BLOCK][~times.any(axis=0)] = self.dead
        return angles

    def _blocks(self, codes: Codes) -> Iterator[Codes]:
        if codes.ndim != 2 or codes.shape[1] != len(self.table):
            raise FrugalnasError(f"codes to score have shape [n, {len(self.table)}], not {list(codes.shape)}")
        for start in range(0, len(codes), BLOCK):
            yield codes[start : start + BLOCK]

    def _multiplicity(self, codes: Codes) -> NDArray[np.float64]:
        """Shape [genes, n]."""
        if self.paths is None:
            return np.ones((len(self.table), len(codes)))
        times = self.paths.through(codes)
        return times if self.repeated else np.minimum(times, 1)

    def _sums(self, codes: Codes, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape [3, n]."""
        sums = np.tile(self.fixed[:, None], len(codes))
        for triples, values, often in zip(self.table, codes.T, times, strict=True):
            added = triples.T.take(values, axis=1)
            sums += added if self.paths is None else added * often
        return sums


def cosine_of(dot: FloatArray, before: FloatArray, after: FloatArray) -> NDArray[np.float64]:
    """The cosine between vectors of this dot product and these squared norms; 1 where one of them has no length."""
    lengths = np.sqrt(before * after)
    return np.divide(dot, lengths, out=np.ones_like(lengths), where=lengths > 0).clip(-1, 1)


class Weighting:
    """A rule applied to a supernet: the linear map from tensors' triples to an `AngleTable`.

    Args:
        supernet: names and shapes are all that is looked at; one on the meta device will do.
        rule: what counts; see `rule_for`.

    Attributes:
        names: of the tensors, in the order of the triples.
    """

    def __init__(self, supernet: Supernet, rule: AngleRule) -> None:
        genes, values = self._shape = supernet.space.allowed.shape
        choices = supernet.choices()
        tensors = list(labelled_tensors(supernet, choices))
        self.names = tuple(tensor.name for tensor in tensors)
        self._rule = rule
        self._paths = LivePaths.of(supernet.space, rule.ends)
        # Tensors are added up in places: one for each value of each gene, the last for the fixed parts.
        counted = {label: (rule.times(label), rule.stays(label)) for label in {tensor.label for tensor in tensors}}
        entries = [
            (index, place, *counted[label])
            for index, (_, label, choice) in enumerate(tensors)
            if counted[label][0]
            for place in ([genes * values] if choice is None else [g * values + v for g, v in choice.genes])
        ]
        self._tensors = np.array([index for index, *_ in entries], np.intp)
        self._places = np.array([place for _, place, _, _ in entries], np.intp)
        self._times = np.array([times for _, _, times, _ in entries], np.float64)
        self._still = np.array([still for *_, still in entries], np.bool_)
        self._constants = np.zeros((genes, values))
        for choice in choices:
            for gene, value in choice.genes:
                self._constants[gene, value] += rule.share(choice.operation, choice.stride) * choice.channels

    def table(self, triples: FloatArray) -> AngleTable:
        """The table of all angles.

        Args:
            triples: of all tensors, shape [tensors, 3]; see `triples`.

        Raises:
            FrugalnasError: where there are not as many as the supernet has tensors, or a tensor that counts is not finite.
        """
        if triples.shape != (len(self.names), 3):
            raise FrugalnasError(
                f"triples of this supernet have shape [{len(self.names)}, 3], not {list(triples.shape)}; "
                "take them from a run of the same space and sizes"
            )
        counted = np.asarray(triples, np.float64)[self._tensors]
        if not (finite := np.isfinite(counted).all(axis=1)).all():
            name = self.names[self._tensors[np.argmin(finite)]]
            raise FrugalnasError(f"the weights of {name} are not finite: there is no angle; take an earlier epoch")
        counted[self._still] = counted[self._still, 1:2]
        genes, values = self._shape
        sums = np.zeros((genes * values + 1, 3))
        np.add.at(sums, self._places, self._times[:, None] * counted)
        table = sums[:-1].reshape(genes, values, 3) + self._constants[:, :, None]
        return AngleTable(sums[-1], table, self._paths, self._rule.repeated, self._rule.dead)


def angle_table(supernet: Supernet, triples: FloatArray, rule: AngleRule) -> AngleTable:
    """The table of all angles of a supernet's space; to make many of one supernet keep its `Weighting`.

    Args:
        supernet: one on the meta device will do.
        triples: of all its tensors, shape [tensors, 3]; see `triples`.
        rule: what counts; see `rule_for`.
    """
    return Weighting(supernet, rule).table(triples)


class Angle(Score):
    """The angle of every architecture between a supernet's weights at two times, in radians.

    A network whose weights have turned further has learned more; RLNAS and ABS rank architectures by it. A million codes
    take well under a second.

    Args:
        space: the supernet's, or a smaller one of the same genes.
        table: see `angle_table`.
    """

    name = "angle"

    def __init__(self, space: SearchSpace, table: AngleTable) -> None:
        if table.table.shape[:2] != space.allowed.shape:
            raise FrugalnasError(
                f"an angle table of shape {list(table.table.shape[:2])} is of another space than {space.name}, whose codes "
                f"have {space.genes} genes of {space.allowed.shape[1]} values"
            )
        self.space = space
        self.table = table

    def __call__(self, codes: Codes) -> FloatArray:
        """Angles in radians, shape [n]."""
        return self.table.angles(self.space.as_codes(codes))
