"""Modules without weights: all names and shapes of a network, and none of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

INITIALISATIONS = {
    *(Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_),
    *(nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.constant_, nn.init.ones_, nn.init.zeros_),
    *(nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.xavier_normal_),
}
"""Functions that give a tensor its numbers and return it."""


@contextmanager
def weightless() -> Iterator[None]:
    """Within, modules are made on the meta device; their tensors are not initialised, which there takes longer than all else."""
    with torch.device("meta"), _Uninitialised():
        yield


class _Uninitialised(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in INITIALISATIONS:
            return initialised(args, kwargs or {})
        return func(*args, **kwargs or {})


def initialised(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The tensor among the arguments of one of these functions."""
    return args[0] if args else kwargs["tensor" if "tensor" in kwargs else "input"]
