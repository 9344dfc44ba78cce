"""Batch norms of one path: what they remember of training is of all paths that came by."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from frugalnas.spaces import Codes
from frugalnas.supernets.base import Supernet


@torch.no_grad()
def recalibrate(supernet: Supernet, codes: Codes, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of the batch norms on a path to their means over some batches; no others change.

    ABS and Single Path One-Shot weigh each batch with 0.1 against those before, which takes dozens of batches to forget
    where it began; here all batches count the same.

    Args:
        supernet: left in evaluation mode.
        codes: the path, shape [genes] or [draws, genes].
        batches: of images, each shape [n, 3, height, width], on the supernet's device.
    """
    choices = _within(supernet.get_submodule(choice.prefix) for choice in supernet.choices())
    others = choices - _within(supernet.path_modules(codes))
    norms = [module for module in supernet.modules() if isinstance(module, _BatchNorm) and module not in others]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    supernet.train()
    try:
        for images in batches:
            supernet(images, codes)
    finally:
        supernet.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _within(modules: Iterable[nn.Module]) -> set[nn.Module]:
    return {part for module in modules for part in module.modules()}
