"""What processes that share a batch tell each other, with gradients."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, without a gradient."""
    if not distributed.is_initialized():
        return tensor
    total = tensor.detach().clone()
    distributed.all_reduce(total)
    return total


def gathered(part: Tensor) -> Tensor:
    """Every process's rows one behind the other, shape [n x processes, d]; all have as many.

    The gradient of a row is the sum of what all processes found for it.
    """
    return cast(Tensor, _Gathered.apply(part))


def share_norms(network: nn.Module) -> None:
    """Have each batch norm of a network take mean and variance over all processes' rows; the weights stay what they are."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm1d):
            setattr(network, name, SharedNorm(child))
        else:
            share_norms(child)


class SharedNorm(nn.BatchNorm1d):
    """Batch norm over the rows of all processes; torch's own synchronised one is for GPUs alone.

    Args:
        like: whose weights and statistics it takes over.
    """

    def __init__(self, like: nn.BatchNorm1d) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.load_state_dict(like.state_dict())
        self.to(like.weight.device)
        self.train(like.training)

    def forward(self, rows: Tensor) -> Tensor:
        """Shape [n, features], as the rows have it."""
        if not self.training:
            return super().forward(rows)
        count = len(rows) * distributed.get_world_size()
        mean = _summed_with_gradient(rows.sum(dim=0)) / count
        centred = rows - mean
        variance = _summed_with_gradient((centred * centred).sum(dim=0)) / count
        with torch.no_grad():
            momentum = 0.1 if self.momentum is None else self.momentum
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def _summed_with_gradient(tensor: Tensor) -> Tensor:
    return cast(Tensor, _Summed.apply(tensor))


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        total = summed(upstream[0].contiguous())
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return summed(tensor)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        return summed(upstream[0])
