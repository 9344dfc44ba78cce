"""What processes that share a batch tell each other, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather, all_reduce


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
    return torch.cat(all_gather(part))  # type: ignore[no-untyped-call]


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
        mean = all_reduce(rows.sum(dim=0)) / count  # type: ignore[no-untyped-call]
        centred = rows - mean
        variance = all_reduce((centred * centred).sum(dim=0)) / count  # type: ignore[no-untyped-call]
        with torch.no_grad():
            momentum = 0.1 if self.momentum is None else self.momentum
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias
