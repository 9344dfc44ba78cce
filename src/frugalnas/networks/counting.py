"""Parameters and multiply-adds: of a module, and of every choice of a space at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.networks.skeleton import skeleton_of
from frugalnas.networks.weightless import INITIALISATIONS, initialised
from frugalnas.spaces import FloatArray, SearchSpace

CONVENTIONS = {
    "params": "trainable parameters, without an auxiliary head",
    "macs": "multiply-adds of convolutions and linear layers, one of each counted as one; no biases",
    "thop": "the same, a linear layer counted as (2 in - 1) out operations: the tables of ABS and RLNAS",
    "abs_lookup": "ABS's tables for FairNAS: thop, and a 1x1 convolution of the stem's channels that no network has",
}
"""What can be counted, by name, and what it means."""


@dataclass(frozen=True)
class StageCounts:
    """One part of a network.

    Attributes:
        name: of the module, such as "cells.6".
        shape: of what it puts out for one image, such as (72, 16, 16); of several outputs the first's.
        params: trainable parameters.
        macs: multiply-adds for one image.
    """

    name: str
    shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class NetworkCounts:
    """What a network costs for one image; see `CONVENTIONS`.

    Attributes:
        params: parameters, without an auxiliary head.
        macs: multiply-adds.
        thop: multiply-adds as ABS and RLNAS count them.
        auxiliary_params: parameters of the auxiliary head.
        stages: the parts that have parameters or multiply-adds, in the order in which they are used.
    """

    params: int
    macs: int
    thop: int
    auxiliary_params: int
    stages: tuple[StageCounts, ...]


def count_network(network: nn.Module, input_size: int | tuple[int, int, int]) -> NetworkCounts:
    """Parameters and multiply-adds of any module, counted while the shape of one image passes through it.

    Nothing is computed: shapes pass through the module's own code in evaluation mode, whatever its device. What is
    counted are convolutions and linear layers, as modules or as functions; other matrix products, attention's included,
    are not.

    Args:
        network: is left as it was.
        input_size: height and width of an RGB image, or the shape of one input.

    Example:
        >>> counts = count_network(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), input_size=32)
        >>> counts.params, counts.macs
        (224, 221184)
    """
    shape = (3, input_size, input_size) if isinstance(input_size, int) else input_size
    meter = _Meter()
    stages = _stages(network, shape, meter)
    return NetworkCounts(
        params=_parameters(network),
        macs=meter.macs,
        thop=meter.thop,
        auxiliary_params=sum(each.numel() for name, each in network.named_parameters() if _is_auxiliary(name)),
        stages=stages,
    )


def exported_counts(network: nn.Module, input_size: int) -> tuple[int, int]:
    """Parameters and multiply-adds of what an exporter keeps of a network: what nobody reads is dropped.

    A cell may hold operations that lead to no output that is read; papers count them, and `count_network` does, but neither an
    exported file nor a counter that traces the network has them: 3.4 % of the multiply-adds of RelativeNAS.

    Args:
        network: is put into evaluation mode; an auxiliary head is left out, as it is only there in training.
        input_size: height and width of an RGB image.
    """
    device = next(network.parameters()).device
    with torch.no_grad():
        program = torch.export.export(network.eval(), (torch.zeros(1, 3, input_size, input_size, device=device),))
    graph, weights = program.graph_module.graph, program.graph_signature.inputs_to_parameters
    graph.eliminate_dead_code()
    params = macs = 0
    for node in graph.nodes:
        if node.name in weights and node.users:
            params += node.meta["val"].numel()
        elif node.target in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default):
            macs += node.meta["val"].numel() * node.args[1].meta["val"][0].numel()
    return params, macs


def cost_table(space: SearchSpace, quantity: str) -> tuple[float, FloatArray]:
    """What every network of a space costs, and what each value of each gene adds: (fixed, table [genes, values]).

    Each distinct block is built once and measured; a value that builds nothing adds nothing. Limits of the space
    (`restrict`, `where`) play no part.

    Args:
        space: its skeleton must offer `blocks`.
        quantity: see `CONVENTIONS`.
    """
    if quantity not in CONVENTIONS:
        raise unknown_name(f"quantity of {space.name}", quantity, CONVENTIONS)
    if space not in _TABLES:
        _TABLES[space] = _tables(space)
    return _TABLES[space][quantity]


_Tables: TypeAlias = dict[str, tuple[float, FloatArray]]
_TABLES: WeakKeyDictionary[SearchSpace, _Tables] = WeakKeyDictionary()
"""Of the spaces in use: one pass measures all quantities."""


def _tables(space: SearchSpace) -> _Tables:
    """What `cost_table` returns for each quantity."""
    skeleton = skeleton_of(space)
    measured: dict[str, _Costs] = {}
    places: list[tuple[int, int, str]] = []
    code = np.zeros(space.genes, space.code_type)
    for block in skeleton.blocks():
        if block.key not in measured:
            measured[block.key] = _measured(block.make, block.input_shape)
        places.append((block.gene, block.value, block.key))
    for gene, value, _ in reversed(places):  # any network will do to learn what all have in common: the first choices
        code[gene] = value
    side = getattr(space, "input_size", None)
    if not isinstance(side, int):
        raise FrugalnasError(f"{space.name} does not say how large its images are; give it an attribute input_size")
    whole = _measured(lambda: skeleton.build(code), (3, side, side))
    tables: _Tables = {}
    for quantity in ("params", "macs", "thop"):
        table = np.zeros(space.allowed.shape)
        for gene, value, key in places:
            table[gene, value] += getattr(measured[key], quantity)
        tables[quantity] = getattr(whole, quantity) - float(table[np.arange(space.genes), code].sum()), table
    tables["abs_lookup"] = tables["thop"][0] + whole.phantom, tables["thop"][1]
    return tables


class _Costs(NamedTuple):
    """Of one module; see `_Meter`."""

    params: int
    macs: int
    thop: int
    phantom: int


def _measured(make: Callable[[], nn.Module], shape: tuple[int, int, int]) -> _Costs:
    """What the module costs that `make` makes."""
    meter = _Meter()
    with torch.device("meta"), meter:
        module = make()
    _pass_shape(module, shape, meter)
    return _Costs(_parameters(module), meter.macs, meter.thop, meter.phantom)


class _Meter(TorchFunctionMode):
    """Counts while it is active; what changes no shape, and convolutions, are not carried out.

    Attributes:
        macs: multiply-adds of convolutions and linear layers.
        thop: the same, with (2 in - 1) out operations for a linear layer.
        phantom: multiply-adds of a 1x1 convolution in front of the first depthwise one that keeps its channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.thop = 0
        self.phantom = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SAME_SHAPE:
            return initialised(args, kwargs)
        if func in _SUMS and _alike(args):
            return args[0]
        if func in _CONVOLUTIONS:
            return self._convolution(func, args, kwargs)
        out = func(*args, **kwargs)
        if func is nn.functional.linear:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            products = weight.shape[1] * out.numel()
            self.macs += products
            self.thop += 2 * products - out.numel()
        return out

    def _convolution(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
        x, weight = given["input"], given["weight"]
        out = _convolved(**given) if func is nn.functional.conv2d else None
        if out is None:
            out = func(*args, **kwargs)
        # Each place of the smaller side of a transposed convolution, its input, meets all weights.
        places = x if func in _TRANSPOSED else out
        products = weight.numel() * math.prod(places.shape[2:]) * x.shape[0]
        self.macs += products
        self.thop += products
        if not self.phantom and given.get("groups", 1) > 1:
            self.phantom = x.shape[1] ** 2 * math.prod(x.shape[2:])
        return out


_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = {nn.functional.conv_transpose1d, nn.functional.conv_transpose2d, nn.functional.conv_transpose3d}
_CONVOLUTIONS = {nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d} | _TRANSPOSED
_SUMS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__}
_SAME_SHAPE = {
    *INITIALISATIONS,
    *(nn.functional.batch_norm, nn.functional.dropout),
    *(nn.functional.relu, nn.functional.relu6, nn.functional.hardtanh),
    *(nn.functional.hardswish, nn.functional.hardsigmoid, nn.functional.silu),
}
"""Functions whose result has the shape of their first argument; torch takes long to find that out."""


def _alike(terms: tuple[Any, ...]) -> bool:
    """Whether these are two tensors of one shape."""
    return len(terms) == 2 and all(isinstance(term, Tensor) for term in terms) and terms[0].shape == terms[1].shape


def _convolved(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    """An empty tensor of the shape that a convolution gives; None where PyTorch should say what it thinks of it."""
    if input.dim() != 4 or input.shape[1] != weight.shape[1] * groups or isinstance(padding, str):
        return None
    sides = []
    for axis in range(2):
        step, pad, gap = (each if isinstance(each, int) else each[axis] for each in (stride, padding, dilation))
        sides.append((input.shape[axis + 2] + 2 * pad - gap * (weight.shape[axis + 2] - 1) - 1) // step + 1)
    return input.new_empty((input.shape[0], weight.shape[0], *sides)) if min(sides) > 0 else None


def _pass_shape(network: nn.Module, shape: tuple[int, int, int], meter: _Meter) -> None:
    """Call the module in evaluation mode on an input without content."""
    modes = [(module, module.training) for module in network.modules()]
    tensors = [*network.named_parameters(), *network.named_buffers()]
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors if not tensor.is_meta}
    network.eval()
    try:
        with torch.no_grad(), meter:
            torch.func.functional_call(network, empty, (torch.empty(1, *shape, device="meta"),))
    finally:
        for module, training in modes:
            module.training = training


def _stages(network: nn.Module, shape: tuple[int, int, int], meter: _Meter) -> tuple[StageCounts, ...]:
    """What each part of a network that has something to count costs, in the order of the calls as a shape passes."""
    modules, shapes = dict(_parts(network)), dict[str, tuple[int, ...]]()
    macs = dict.fromkeys(modules, 0)

    def before(name: str, *_: object) -> None:
        macs[name] -= meter.macs

    def after(name: str, _module: nn.Module, _inputs: object, output: Any) -> None:
        macs[name] += meter.macs
        first = output[0] if isinstance(output, tuple | list) else output
        shapes[name] = tuple(first.shape[1:]) if isinstance(first, Tensor) else ()

    hooks = [module.register_forward_pre_hook(partial(before, name)) for name, module in modules.items()]
    hooks += [module.register_forward_hook(partial(after, name)) for name, module in modules.items()]
    try:
        _pass_shape(network, shape, meter)
    finally:
        for hook in hooks:
            hook.remove()
    stages = (StageCounts(name, shape, _parameters(modules[name]), macs[name]) for name, shape in shapes.items())
    return tuple(stage for stage in stages if stage.params or stage.macs)


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The children; of a list or row of compound modules its members instead."""
    for name, child in module.named_children():
        row = isinstance(child, nn.Sequential | nn.ModuleList)
        if row and any(next(part.children(), None) is not None for part in child.children()):
            yield from _parts(child, f"{prefix}{name}.")
        elif not _is_auxiliary(name):
            yield prefix + name, child


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for name, each in module.named_parameters() if not _is_auxiliary(name))


def _is_auxiliary(name: str) -> bool:
    return "auxiliary" in name
