"""BRP-NAS: which of two architectures is better (Dudziak et al., NeurIPS 2020, arXiv 2007.08668)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frugalnas.predictors.neural import Neural
from frugalnas.spaces import Population

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network

__all__ = ["BRPNAS"]


@dataclass(kw_only=True, eq=False)
class BRPNAS(Neural):
    """Graph convolutions that learn which of two architectures is better (BRP-NAS, 2020).

    A linear map of both graphs' vectors gives the log-odds that the first is better, so that the mean log-odds of an
    architecture against any others, each pair asked both ways, is a linear map of its own vector: n architectures are
    ranked with n vectors instead of n^2 comparisons. These scores are brought to the scale of the labels by a straight line.
    All pairs of a batch are learnt from; sizes, learning rate and decay are the program's.

    Args:
        width: features of a vertex.
        layers: convolutions.
        dropout: after each convolution.
        epochs: passes over the labels.
        batch: labels a step at most.
        lr: learning rate at the first step; half a cosine takes it to zero.
        weight_decay: of weights.
        betas: Adam's.
        clip: largest norm of a gradient; 0 leaves it.
        members: networks with seeds of their own.
        ranks: bring scores to the values' order instead of to the values; see `Neural`.
        canonical: read the space's canonical form of every architecture.
        seed: of every random choice.
    """

    width: int = 600
    layers: int = 4
    dropout: float = 0.2
    epochs: int = 100
    batch: int = 64
    lr: float = 3.5e-4
    weight_decay: float = 5e-4

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.encoders import graph_tensors

        return graph_tensors(population)

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.encoders import GraphTensors
        from frugalnas.encoders.gcn import GlobalVertexGCN
        from frugalnas.predictors.graph_networks import Relation

        assert isinstance(inputs, GraphTensors)
        encoder = GlobalVertexGCN(inputs.kinds, width=self.width, layers=self.layers, dropout=self.dropout)
        return Relation(encoder, self.width)

    def _units(self, network: Network, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[float, float]:
        return self._line(network, inputs, targets)
