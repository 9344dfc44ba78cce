"""The graph isomorphism network with which NPENAS and SSNENAS read an architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.encoders.graphs import DIRECTIONS, GraphTensors
from frugalnas.errors import at_least, one_of

ACTIVATIONS = {"relu": torch.relu, "celu": torch.celu}
IN_PLACE = {"relu": torch.relu_, "celu": torch.celu_}


class GINLayer(nn.Module):
    """Neighbourhoods through two linear maps, then an activation and batch norm over all vertices of the batch."""

    def __init__(self, inputs: int, width: int, activation: str) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.activation = IN_PLACE[activation]

    def forward(self, sums: Tensor) -> Tensor:
        """Features [n x V, width] of vertices from the sums over their neighbourhoods [n x V, inputs]."""
        # A batch of labels is small: calling a module costs more than what it computes, and these are called most of all.
        first, second, norm = self.first, self.second, self.norm
        hidden = self.activation(functional.linear(sums, first.weight, first.bias))
        active = self.activation(functional.linear(hidden, second.weight, second.bias))
        if type(norm) is not nn.BatchNorm1d:  # one that several processes share
            return norm(active)
        return torch.batch_norm(
            active,
            norm.weight,
            norm.bias,
            norm.running_mean,
            norm.running_var,
            norm.training,
            norm.momentum or 0.0,
            norm.eps,
            torch.backends.cudnn.enabled,
        )


class GINEncoder(nn.Module):
    """One vector for each architecture: the mean of its vertices' features after some rounds of summing neighbours.

    Xu et al. (2019) as NPENAS and SSNENAS use it: in each layer h <- BN(act(MLP(h + sum of its neighbours' h))), with
    eps 0, on operations as one-hot vectors. The first layer works on how often each operation occurs in a
    neighbourhood, which `GraphTensors` knows: no table of one-hot vectors is multiplied.

    Args:
        kinds: operations of the space's graphs, `len(graphs.names)`.
        width: features of a vertex.
        layers: rounds of summing.
        directions: "in" sums over the vertices that a vertex reads, as in the papers. After three rounds that leaves 408,546
            of NAS-Bench-101's 423,624 cells apart. "both" gives the maps two sums, over the vertices it reads and
            over those that read it, and tells all of them apart; neighbourhoods are then seldom equal, so that a whole space
            takes ten times as long.
        activation: "relu", or "celu" as in NPENAS-BO.
    """

    def __init__(
        self, kinds: int, *, width: int = 32, layers: int = 3, directions: str = "in", activation: str = "relu"
    ) -> None:
        super().__init__()
        at_least(1, kinds=kinds, width=width, layers=layers)
        one_of("directions of edges", directions, DIRECTIONS)
        one_of("activation", activation, ACTIVATIONS)
        self.kinds, self.width, self.depth = kinds, width, layers
        self.directions, self.activation = directions, activation
        read = 1 + DIRECTIONS.index(directions)
        self.layers = nn.ModuleList(
            GINLayer(read * (width if layer else kinds), width, activation) for layer in range(layers)
        )

    def config(self) -> dict[str, Any]:
        """The arguments that build this encoder again."""
        return {
            "kinds": self.kinds,
            "width": self.width,
            "layers": self.depth,
            "directions": self.directions,
            "activation": self.activation,
        }

    def vertices(self, graphs: GraphTensors) -> Tensor:
        """Features of every vertex, shape [n, V, width]."""
        graphs.check_kinds(self.kinds)
        matrix, sums = graphs.sums(self.directions)
        shape = len(graphs), graphs.vertices, self.width
        read = self.width * matrix.shape[1] // graphs.vertices
        features = self.layers[0](sums.flatten(0, 1))
        for layer in self.layers[1:]:
            sums = torch.bmm(matrix, features.view(shape))
            features = layer(sums.view(len(features), read))
        return features.view(shape)

    def forward(self, graphs: GraphTensors) -> Tensor:
        """One vector for each architecture, shape [n, width]."""
        return self.vertices(graphs).mean(dim=1)
