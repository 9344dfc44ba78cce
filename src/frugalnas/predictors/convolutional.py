"""Graph convolutional networks as predictors: Neural Predictor's, and BRP-NAS's, which learns which of two is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frugalnas.predictors.neural import Neural
from frugalnas.spaces import Population

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network


class _OnGraphs(Neural):
    """What reads the architectures' graphs."""

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.encoders import graph_tensors

        return graph_tensors(population)


@dataclass(kw_only=True, eq=False)
class NeuralPredictor(_OnGraphs):
    """Graph convolutions along and against the edges, then two fully connected layers (Neural Predictor, 2020).

    Sizes, batch and epochs are those of Wen et al. (ECCV 2020, arXiv 1912.00848). Values are standardised and predicted by a
    linear map, where the paper's program predicts a sigmoid of accuracies, and the learning rate is ten times the paper's 1e-4:
    from 50 labels of NAS-Bench-201 that ranks the others better.

    Args:
        width: features of a vertex.
        layers: convolutions.
        hidden: units between the graph's vector and the value.
        dropout: after each layer.
    """

    width: int = 144
    layers: int = 3
    hidden: int = 128
    dropout: float = 0.1
    epochs: int = 300
    batch: int = 10
    lr: float = 1e-3
    weight_decay: float = 1e-3

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.encoders import GraphTensors
        from frugalnas.encoders.gcn import BidirectionalGCN
        from frugalnas.predictors.graph_networks import Convolutional

        assert isinstance(inputs, GraphTensors)
        encoder = BidirectionalGCN(inputs.kinds, width=self.width, layers=self.layers, dropout=self.dropout)
        return Convolutional(encoder, self.width, self.hidden, self.dropout)


@dataclass(kw_only=True, eq=False)
class BRPNAS(_OnGraphs):
    """Graph convolutions that learn which of two architectures is better (BRP-NAS, 2020).

    A linear map of both graphs' vectors gives the log-odds that the first is better, so that the mean log-odds of an
    architecture against any others, each pair asked both ways, is a linear map of its own vector: n architectures are
    ranked with n vectors instead of n^2 comparisons. These scores are brought to the scale of the labels by a straight line.
    All pairs of a batch are learnt from; sizes, learning rate and decay are those of the program of Dudziak et al. (NeurIPS
    2020, arXiv 2007.08668).

    Args:
        width: features of a vertex.
        layers: convolutions.
        dropout: after each convolution.
    """

    width: int = 600
    layers: int = 4
    dropout: float = 0.2
    epochs: int = 100
    batch: int = 64
    lr: float = 3.5e-4
    weight_decay: float = 5e-4

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.encoders import GraphTensors
        from frugalnas.encoders.gcn import GlobalVertexGCN
        from frugalnas.predictors.graph_networks import Relation

        assert isinstance(inputs, GraphTensors)
        encoder = GlobalVertexGCN(inputs.kinds, width=self.width, layers=self.layers, dropout=self.dropout)
        return Relation(encoder, self.width)

    def _units(self, network: Network, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[float, float]:
        return self._line(network, inputs, targets)
