"""SS-RL: two encoders learn to tell the graph edit distance of a pair of architectures."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors


class PairEncoder(nn.Module):
    """exp(-distance / scale) of two architectures, by two GINs with weights of their own (SSNENAS, arXiv 2011.00186, 3.2).

    The first one is what is kept in the end.

    Args:
        encoder: the first GIN; the second one is built like it.
        hidden: width between the maps of the pair.
        raw: the distance itself is told, which may be any number.
    """

    def __init__(self, encoder: GINEncoder, hidden: int = 16, *, raw: bool = False) -> None:
        super().__init__()
        width = encoder.width
        self.encoder = encoder
        self.other = GINEncoder(**encoder.config())
        own = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.first, self.second = own, copy.deepcopy(own)
        last = nn.Identity() if raw else nn.Sigmoid()
        self.head = nn.Sequential(nn.Linear(2 * width, hidden), nn.ReLU(), nn.Linear(hidden, 1), last)
        for part in (self.first, self.second, self.head):
            for layer in part:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_uniform_(layer.weight, a=1)
                    nn.init.zeros_(layer.bias)

    def forward(self, left: GraphTensors, right: GraphTensors) -> Tensor:
        """Shape [n], in (0, 1) unless raw."""
        both = [self.first(self.encoder(left)), self.second(self.other(right))]
        return cast(Tensor, self.head(torch.cat(both, dim=1))[:, 0])


def normalised(distances: Tensor, scale: float | None) -> Tensor:
    """The targets of SS-RL, exp(-distance / scale): 1 for equal architectures, near 0 for unlike ones.

    Two cells of NAS-Bench-101 are 18.5 edits apart on average. With the paper's scale, its 7 vertices, 94 % of the targets
    are below 0.2, with a mean of 0.09 and a deviation of 0.06; with the mean distance that is 0.38 and 0.10, and where half of
    the pairs are at most four edits apart 0.48 and 0.15. Without a scale they are the distances.
    """
    if scale is None:
        return distances.to(torch.float32)
    return torch.exp(-distances.to(torch.float32) / scale)
