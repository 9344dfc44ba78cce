"""How far each tensor has turned: dot product and squared norms of its weights before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from frugalnas.supernets import Choice, Supernet


def tensor_names(supernet: nn.Module) -> tuple[str, ...]:
    """The names of the trainable floating-point tensors, in the order of the state dict."""
    return tuple(f"{layer}.{leaf}".lstrip(".") for layer, _, leaf, _ in _parameters(supernet))


def triples(names: Sequence[str], base: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """(w0 . wt, |w0|^2, |wt|^2) of every tensor, float64, shape [tensors, 3].

    That is all that any angle needs of the weights. The sums are made in float64, on the device of the trained weights.

    Args:
        names: see `tensor_names`.
        base: the weights from which the angle is measured, by name, such as a state dict; others may be there too.
        trained: the weights to which it is measured.

    Raises:
        FrugalnasError: where a tensor is missing on one side, or has another shape there.
    """
    import torch

    with torch.no_grad():
        sums = [term for name in names for term in _triple(name, base, trained)]
        return torch.stack(sums).cpu().numpy().reshape(-1, 3) if sums else np.zeros((0, 3))


def _triple(name: str, base: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    for weights, words in ((base, "base weights"), (trained, "trained weights")):
        if name not in weights:
            raise FrugalnasError(f"the {words} have no {name!r}; are they of a supernet of another space or size?")
    after = trained[name]
    if after.device.type == "mps":  # which has no float64
        after = after.cpu()
    before = base[name].to(after.device)
    if before.shape != after.shape:
        raise FrugalnasError(
            f"{name} has the shape {list(before.shape)} in the base weights and {list(after.shape)} in the trained ones; "
            "take both from one supernet"
        )
    before, after = before.double().flatten(), after.double().flatten()
    return before @ after, before @ before, after @ after


class LabelledTensor(NamedTuple):
    """What a tensor of a supernet is.

    Attributes:
        name: in the state dict.
        label: as `AngleRule` describes labels.
        choice: to which it belongs; None for a part that every network has.
    """

    name: str
    label: str
    choice: Choice | None


def labelled_tensors(supernet: Supernet, choices: Sequence[Choice]) -> Iterator[LabelledTensor]:
    """What each tensor is, in the order of `tensor_names`.

    Args:
        supernet: whose tensors.
        choices: all that it has.
    """
    owners = {choice.prefix: choice for choice in choices}
    layers: dict[tuple[str, str], list[str]] = {}
    for layer, module, leaf, tensor in _parameters(supernet):
        name, kind = f"{layer}.{leaf}".lstrip("."), _kind(module, tensor.dim())
        choice = next((owners[prefix] for prefix in _prefixes(layer) if prefix in owners), None)
        if choice is None:
            yield LabelledTensor(name, f"fixed/{kind}.{leaf}", None)
            continue
        alike = layers.setdefault((choice.prefix, kind), [])
        if layer not in alike:
            alike.append(layer)
        number = alike.index(layer) + 1
        yield LabelledTensor(name, f"{choice.operation}@{choice.stride}/{kind}{number}.{leaf}", choice)


def _parameters(supernet: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Module and its name, floating-point parameter and its name there."""
    modules = dict(supernet.named_modules())
    for name, tensor in supernet.named_parameters():
        layer, _, leaf = name.rpartition(".")
        if tensor.is_floating_point():
            yield layer, modules[layer], leaf, tensor


def _kind(module: nn.Module, dimensions: int) -> str:
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd

    if isinstance(module, _ConvNd):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, _NormBase | nn.GroupNorm | nn.LayerNorm):
        return "norm"
    return "matrix" if dimensions > 1 else "vector"


def _prefixes(name: str) -> Iterator[str]:
    """The name, and those of the modules around it, from the inside out."""
    while name:
        yield name
        name = name.rpartition(".")[0]
