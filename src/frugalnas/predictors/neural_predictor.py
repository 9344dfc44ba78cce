"""Neural Predictor: a graph convolutional network (Wen et al., ECCV 2020, arXiv 1912.00848)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugalnas.predictors.neural import Neural
from frugalnas.spaces import Population

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network

__all__ = ["NeuralPredictor"]


@dataclass(kw_only=True, eq=False)
class NeuralPredictor(Neural):
    """Graph convolutions along and against the edges, then two fully connected layers (Neural Predictor, 2020).

    Sizes, batch and epochs are the paper's. Values are standardised and predicted by a linear map, where the paper's program
    predicts a sigmoid of accuracies, and the learning rate is ten times the paper's 1e-4: from 50 labels of
    NAS-Bench-201 that ranks the others better.

    Args:
        width: features of a vertex.
        layers: convolutions.
        hidden: units between the graph's vector and the value.
        dropout: after each layer.
        epochs: passes over the labels.
        batch: labels a step at most.
        lr: learning rate at the first step; half a cosine takes it to zero.
        weight_decay: of weights.
        betas: Adam's.
        clip: largest norm of a gradient; 0 leaves it.
        members: networks with seeds of their own.
        ranks: learn from the order of the values alone; see `Neural`.
        canonical: read the space's canonical form of every architecture.
        seed: of every random choice.
    """

    width: int = 144
    layers: int = 3
    hidden: int = 128
    dropout: float = 0.1
    epochs: int = 300
    batch: int = 10
    lr: float = 1e-3
    weight_decay: float = 1e-3

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.encoders import graph_tensors

        return graph_tensors(population)

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.encoders import GraphTensors
        from frugalnas.encoders.gcn import BidirectionalGCN
        from frugalnas.predictors.graph_networks import Convolutional

        assert isinstance(inputs, GraphTensors)
        encoder = BidirectionalGCN(inputs.kinds, width=self.width, layers=self.layers, dropout=self.dropout)
        return Convolutional(encoder, self.width, self.hidden, self.dropout)
