"""Graph convolutional networks: those of Neural Predictor and of BRP-NAS."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.encoders.graphs import GraphTensors
from frugalnas.errors import FrugalnasError, at_least


class BidirectionalGCN(nn.Module):
    """One vector for each architecture by convolutions along and against the edges (Wen et al., 2020, arXiv 1912.00848).

    A layer averages over a vertex and those it reads, and apart over a vertex and those that read it; each average has
    a linear map and a ReLU of its own, and the layer's output is their mean. The vector is the mean over the vertices that an edge
    touches: isolated ones are no part of the network.

    Args:
        kinds: operations of the space's graphs, `len(graphs.names)`.
        width: features of a vertex; 144 in the paper.
        layers: convolutions; 3 in the paper.
        dropout: after each layer.
    """

    def __init__(self, kinds: int, *, width: int = 144, layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        _check(kinds, width, layers, dropout)
        self.kinds, self.width, self.dropout = kinds, width, dropout
        # Both maps of a layer stand side by side: one product instead of two.
        self.maps = nn.ModuleList(
            nn.Linear(width if layer else kinds, 2 * width, bias=False) for layer in range(layers)
        )

    def forward(self, graphs: GraphTensors) -> Tensor:
        """One vector for each architecture, shape [n, width]."""
        features = _ones(graphs, self.kinds)
        itself = torch.eye(graphs.vertices, device=features.device)
        reads = functional.normalize(graphs.adjacency.transpose(1, 2) + itself, p=1, dim=2)
        read_by = functional.normalize(graphs.adjacency + itself, p=1, dim=2)
        for linear in self.maps:
            along, against = linear(features).chunk(2, dim=2)
            features = 0.5 * (torch.relu(torch.bmm(reads, along)) + torch.relu(torch.bmm(read_by, against)))
            features = functional.dropout(features, self.dropout, self.training)
        touched = _touched(graphs)
        return torch.bmm(touched[:, None], features)[:, 0] / touched.sum(dim=1, keepdim=True)


class GlobalVertexGCN(nn.Module):
    """One vector for each architecture, collected by a vertex that reads all others (BRP-NAS, arXiv 2007.08668).

    A layer is a linear map, the sum over a vertex and those it reads, and a ReLU. The additional vertex has an operation of
    its own and reads every vertex that an edge touches; the vector is what it holds at the end.

    Args:
        kinds: operations of the space's graphs, `len(graphs.names)`.
        width: features of a vertex; 600 in the paper.
        layers: convolutions; 4 in the paper.
        dropout: after each layer; 0.2 in the paper.
    """

    def __init__(self, kinds: int, *, width: int = 600, layers: int = 4, dropout: float = 0.2) -> None:
        super().__init__()
        _check(kinds, width, layers, dropout)
        self.kinds, self.width, self.dropout = kinds, width, dropout
        self.maps = nn.ModuleList(
            nn.Linear(width if layer else kinds + 1, width, bias=False) for layer in range(layers)
        )
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in range(layers))

    def forward(self, graphs: GraphTensors) -> Tensor:
        """One vector for each architecture, shape [n, width]."""
        n, vertices = len(graphs), graphs.vertices
        # The last vertex is the additional one.
        features = functional.pad(_ones(graphs, self.kinds), (0, 1, 0, 1))
        features[:, -1, -1] = 1
        reads = functional.pad(graphs.adjacency.transpose(1, 2), (0, 1, 0, 1)) + torch.eye(
            vertices + 1, device=features.device
        )
        reads[:, -1, :-1] = _touched(graphs)
        for place, (linear, shift) in enumerate(zip(self.maps, self.shifts, strict=True)):
            if place == len(self.maps) - 1:
                reads = reads[:, -1:]
            features = torch.relu(torch.bmm(reads, linear(features)) + shift)
            features = functional.dropout(features, self.dropout, self.training)
        return features.view(n, self.width)


def _check(kinds: int, width: int, layers: int, dropout: float) -> None:
    at_least(1, kinds=kinds, width=width, layers=layers)
    if not 0 <= dropout < 1:
        raise FrugalnasError(f"dropout is {dropout!r}; it has to be at least 0 and below 1")


def _ones(graphs: GraphTensors, kinds: int) -> Tensor:
    """Operations as one-hot vectors, shape [n, V, kinds]."""
    graphs.check_kinds(kinds)
    return functional.one_hot(graphs.operations, kinds).to(graphs.adjacency.dtype)


def _touched(graphs: GraphTensors) -> Tensor:
    """1 for the vertices that an edge touches, shape [n, V]; for all of them in a graph without edges."""
    touched = (graphs.adjacency.amax(dim=1) + graphs.adjacency.amax(dim=2)).clamp(max=1)
    return torch.where(touched.any(dim=1, keepdim=True), touched, 1.0)
