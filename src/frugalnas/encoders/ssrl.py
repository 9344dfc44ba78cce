"""SS-RL: two encoders learn to tell the graph edit distance of a pair of architectures."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors

__all__ = ["PairEncoder", "normalised"]


class PairEncoder(nn.Module):
    """exp(-distance / scale) of two architectures, from two GINs of different weights (SSNENAS, arXiv 2011.00186, section 3.2).

    The first one is what is kept in the end.

    Args:
        encoder: the first GIN; the second one is built like it.
        hidden: width between the maps of the pair.
    """

    def __init__(self, encoder: GINEncoder, hidden: int = 16) -> None:
        super().__init__()
        width = encoder.width
        self.encoder = encoder
        self.other = GINEncoder(**encoder.config())
        own = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.first, self.second = own, copy.deepcopy(own)
        self.head = nn.Sequential(nn.Linear(2 * width, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())
        for part in (self.first, self.second, self.head):
            for layer in part:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_uniform_(layer.weight, a=1)
                    nn.init.zeros_(layer.bias)

    def forward(self, left: GraphTensors, right: GraphTensors) -> Tensor:
        """Shape [n], in (0, 1)."""
        both = [self.first(self.encoder(left)), self.second(self.other(right))]
        return cast(Tensor, self.head(torch.cat(both, dim=1))[:, 0])


def normalised(distances: Tensor, scale: float | None) -> Tensor:
    """The targets of SS-RL, exp(-distance / scale): 1 for equal architectures, near 0 for unlike ones.

    With the paper's scale, the number of vertices, that is 0.09 on average for pairs of NAS-Bench-101's cells, whose mean
    distance is 18.5, so that there is next to nothing to learn; with the mean distance it is 0.37 or more. Without a scale
    they are the distances.
    """
    if scale is None:
        return distances.to(torch.float32)
    return torch.exp(-distances.to(torch.float32) / scale)
