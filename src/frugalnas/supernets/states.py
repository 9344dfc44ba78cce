"""A cell's states and their sums, computed once however many operations read them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

from frugalnas.networks.operations import AveragePool, operation

LARGE = 24
"""Pixels a side of the maps on which pooling is faster as a convolution."""


class State:
    """What stands at a node of a cell.

    Operations begin with a ReLU; those that read one state share it.

    Args:
        features: shape [n, channels, height, width].
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._activated: Tensor | None = None

    def through(self, operation: nn.Module) -> Tensor:
        """What an operation makes of the state."""
        steps = list(getattr(operation, "op", ()))
        if not steps or not isinstance(steps[0], nn.ReLU):
            return operation(self.features)
        if self._activated is None:
            self._activated = steps[0](self.features)
        out = self._activated
        for step in steps[1:]:
            out = step(out)
        return out


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    total = parts[0]
    for place, part in enumerate(parts[1:]):
        total = total.add_(part) if place else total + part  # in place once it is nobody else's
    return total


class FastAveragePool(AveragePool):
    """3x3 average pooling over the pixels that are there, on processors for large maps as a convolution with ones.

    Only there is it the faster one, by a fifth or so (`benchmarks/pooling.py`, torch 2.14.1, channels-last, forward and
    backward); on small maps torch's own is, up to twice. Sums of nine numbers may differ in the last bit. What is not float32
    and channels-last takes torch's own everywhere.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Shape [n, channels, ceil(height / stride), ceil(width / stride)]."""
        plain = features.is_cpu and features.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
        large = min(features.shape[2:]) >= LARGE
        if large and plain and features.is_contiguous(memory_format=torch.channels_last):
            return pooled_by_convolution(features, self.stride)
        return super().forward(features)


def pooled_by_convolution(features: Tensor, stride: int | tuple[int, int]) -> Tensor:
    """What `AveragePool` gives, as a depthwise convolution with ones over the number of pixels in each window."""
    channels, *size = features.shape[1:]
    ones = features.new_ones(channels, 1, 3, 3)
    pixels = F.conv2d(features.new_ones(1, 1, *size), ones[:1], stride=stride, padding=1)
    return F.conv2d(features, ones, stride=stride, padding=1, groups=channels) * pixels.reciprocal()


def choice_module(name: str, channels: int, stride: int = 1, *, affine: bool) -> nn.Module:
    """`networks.operations.operation`, pooling as supernets do it."""
    return FastAveragePool(stride) if name == "avg_pool_3x3" else operation(name, channels, stride, affine=affine)
