"""Networks on graphs that end in a value: an encoder, and a head that is trained with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.encoders import GINEncoder, GraphTensors
from frugalnas.encoders.gin import ACTIVATIONS
from frugalnas.encoders.sharing import embed
from frugalnas.predictors.fitting import Features, Network, decayed
from frugalnas.predictors.neural import Neural
from frugalnas.spaces import Population

SMALLEST_DEVIATION = 1e-2
"""Of the labels' deviation: a likelihood that grows without bound around labels met exactly is of no use."""


class GraphRegressor(Network):
    """An encoder, at most one hidden layer, and a value.

    Args:
        encoder: of graphs.
        head: hidden units; 0 is a linear map.
        dropout: of the hidden units.
        rate: None gives any value; otherwise this times a sigmoid.
        encoder_lr: learning rate of the encoder; None takes that of everything else, 0 leaves it as it is.
    """

    def __init__(
        self,
        encoder: GINEncoder,
        head: int,
        dropout: float,
        *,
        rate: float | None = None,
        encoder_lr: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.first = nn.Linear(encoder.width, head or 1)
        self.last = nn.Linear(head, 1) if head else None
        self.dropout = dropout
        self.rate = rate
        self.encoder_lr = encoder_lr
        if encoder_lr == 0:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> GraphRegressor:
        """Training mode, in which an encoder that stays as it is keeps its batch norms' statistics too."""
        super().train(mode)
        if self.encoder_lr == 0:
            self.encoder.eval()
        return self

    def forward(self, inputs: GraphTensors | Features) -> Tensor:
        """Values, shape [n, 1]."""
        return self.finish(self.first(self.encoder(inputs)))

    def finish(self, hidden: Tensor) -> Tensor:
        """Values [n, 1] from the first linear map's output, shape [n, head or 1]."""
        if self.last is not None:
            hidden = ACTIVATIONS[self.encoder.activation](hidden)
            hidden = self.last(functional.dropout(hidden, self.dropout, self.training))
        return hidden if self.rate is None else self.rate * torch.sigmoid(hidden)

    def groups(self, options: Neural) -> list[dict[str, Any]]:
        """The encoder's parameters with its own learning rate, and the head's."""
        heads = nn.ModuleList(module for name, module in self.named_children() if name != "encoder")
        return decayed(self.encoder, options, self.encoder_lr) + decayed(heads, options)


class GaussianGraphRegressor(GraphRegressor):
    """A second head gives the standard deviation; the loss is the Gaussian likelihood.

    Args:
        encoder: of graphs.
        head: hidden units of each head.
        dropout: of the mean's hidden units.
        bounded: put the log-variance through a CELU.
        encoder_lr: as in `GraphRegressor`.
    """

    def __init__(self, encoder: GINEncoder, head: int, dropout: float, bounded: bool, encoder_lr: float | None) -> None:
        super().__init__(encoder, head, dropout, encoder_lr=encoder_lr)
        # One map for both heads, so that a whole space's vectors are multiplied once.
        self.first = nn.Linear(encoder.width, 2 * head)
        self.deviation = nn.Linear(head, 1)
        self.bounded = bounded

    def finish(self, hidden: Tensor) -> Tensor:
        """Means and standard deviations, shape [n, 2]."""
        for_mean, for_deviation = hidden.chunk(2, dim=1)
        mean = super().finish(for_mean)
        log_variance = self.deviation(ACTIVATIONS[self.encoder.activation](for_deviation))
        if self.bounded:
            return torch.cat([mean, torch.exp(functional.celu(log_variance) / 2)], dim=1)
        # Softplus, and not exp, above the least deviation: means come first while the fit is still poor.
        return torch.cat([mean, SMALLEST_DEVIATION + functional.softplus(log_variance)], dim=1)

    def loss(self, inputs: GraphTensors | Features, targets: Tensor) -> Tensor:
        """Negative log-likelihood of the targets, the mean over them."""
        mean, deviation = self(inputs).unbind(dim=1)
        return (0.5 * ((targets - mean) / deviation) ** 2 + torch.log(deviation)).mean() + 0.5 * math.log(2 * math.pi)


class Convolutional(Network):
    """A graph convolutional encoder, one hidden layer and a value.

    Args:
        encoder: gives a vector for each graph.
        width: of that vector.
        hidden: units of the hidden layer.
        dropout: of these.
    """

    def __init__(self, encoder: nn.Module, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, inputs: GraphTensors) -> Tensor:
        """Values, shape [n, 1]."""
        return self.head(self.encoder(inputs))


class Relation(Network):
    """A graph encoder, and log-odds that the first of two architectures is better, linear in their vectors.

    Args:
        encoder: gives a vector for each graph.
        width: of that vector.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.parts = nn.Linear(width, 2)
        """What a vector adds to the log-odds as the first of a pair and as the second."""

    def forward(self, inputs: GraphTensors) -> Tensor:
        """Mean log-odds against any others, each pair asked both ways, up to a constant, shape [n, 1]."""
        first, second = self.parts(self.encoder(inputs)).chunk(2, dim=1)
        return 0.5 * (first - second)

    def loss(self, inputs: GraphTensors, targets: Tensor) -> Tensor:
        """Cross-entropy over all ordered pairs whose targets differ."""
        first, second = self.parts(self.encoder(inputs)).unbind(dim=1)
        wanted = torch.sign(targets[:, None] - targets)
        losses = functional.softplus(-wanted * (first[:, None] + second)) * wanted.abs()
        return losses.sum() / wanted.abs().sum().clamp_min(1.0)


def values_of(network: GraphRegressor, population: Population, *, isolated_edges: bool) -> NDArray[np.float64]:
    """What a trained network says of a population, shape [n, outputs]; each distinct neighbourhood is computed once."""
    with torch.inference_mode():
        hidden = embed(network.encoder, population, network.first, isolated_edges=isolated_edges)
        return network.finish(hidden).numpy().astype(np.float64)
