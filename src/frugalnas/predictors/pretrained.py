"""Encoders that have learnt a space without accuracies, as predictors take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from frugalnas.spaces import Distinct, Population, SearchSpace

if TYPE_CHECKING:
    from frugalnas.encoders import GINEncoder


@dataclass(frozen=True, eq=False)
class Pretrained:
    """An encoder and what it reads.

    Attributes:
        space: name of the space that it has learnt.
        encoder: in evaluation mode; nobody changes it.
        isolated_edges: as `frugalnas.encoders.graph_tensors` takes it.
    """

    space: str
    encoder: GINEncoder
    isolated_edges: bool

    def embedded(self, population: Population) -> Distinct:
        """The encoder's vector of every network in its canonical form, each once; remembered by the population."""

        def vectors() -> Distinct:
            from frugalnas.encoders.sharing import embed

            _, first, inverse = np.unique(population.network_ids, return_index=True, return_inverse=True)
            networks = Population(population.space, population.space.canonical(population.codes[first]))
            rows = embed(self.encoder, networks, isolated_edges=self.isolated_edges)
            return Distinct(rows.numpy(), inverse.ravel())

        return population.remembered(("embedded", self), vectors)


def read_pretrained(
    source: str | None, space: SearchSpace, known: Pretrained | None, **expected: object
) -> Pretrained | None:
    """The encoder of a pretext task, ss-ccl or ss-rl, pre-trained now where nobody did before, or that in a folder.

    Args:
        source: name of the task, or folder; None for none.
        space: that it has to have learnt.
        known: that was read before; where it has learnt this space it will do.
        expected: sizes that it has to have, such as `width=32`.

    Raises:
        FrugalnasError: where it is of another space or size, or cannot be read.
    """
    if source is None or (known is not None and known.space == space.name):
        return known
    from frugalnas.encoders import TASKS, cached_encoder, load_encoder

    folder = cached_encoder(space, source) if source in TASKS else source
    encoder, card = load_encoder(folder, space, **expected)
    return Pretrained(space.name, encoder, card.isolated_edges)
