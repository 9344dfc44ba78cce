"""DARTS's supernets, for CIFAR and for ImageNet: every operation on every edge of every cell, as in RLNAS and ABS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalnas.networks.darts import (
    INPUTS,
    STEM_MULTIPLIER,
    cifar_stem,
    imagenet_stems,
    reduction_layers,
    refuse_small_network,
)
from frugalnas.networks.operations import FactorizedReduce, ReLUConvBN, Zero
from frugalnas.spaces import DARTS, Codes
from frugalnas.spaces.darts import EDGES
from frugalnas.spaces.genotype import PRIMITIVES
from frugalnas.supernets.base import Choice, Supernet
from frugalnas.supernets.states import State, added, choice_module

NODES = 4
POOLS = ("max_pool_3x3", "avg_pool_3x3")


class SearchCell(nn.Module):
    """A cell with every operation that a space allows on each of its 14 edges.

    Args:
        space: says which those are.
        inputs: channels of the two cells before.
        channels: of each node.
        reduction: whether the cell halves height and width.
        reduction_before: whether the last cell did.
        affine: whether batch norms have weights.
        normed_pools: whether a batch norm follows each pooling.
    """

    def __init__(
        self,
        space: DARTS,
        inputs: tuple[int, int],
        channels: int,
        reduction: bool,
        reduction_before: bool,
        affine: bool,
        normed_pools: bool,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.channels = channels
        self.reduction = reduction
        first = FactorizedReduce if reduction_before else ReLUConvBN
        self.preprocess0 = first(inputs[0], channels, affine=affine)
        self.preprocess1 = ReLUConvBN(inputs[1], channels, affine=affine)
        self.zero = Zero(self.stride(0))
        self.edges = nn.ModuleList()
        for edge, (source, _) in enumerate(EDGES):
            operations = nn.ModuleDict()
            for index in self.uses(space, edge):
                made = choice_module(PRIMITIVES[index], channels, self.stride(source), affine=affine)
                if normed_pools and PRIMITIVES[index] in POOLS:
                    made = nn.Sequential(made, nn.BatchNorm2d(channels, affine=affine))
                operations[str(index)] = made
            self.edges.append(operations)

    def stride(self, source: int) -> int:
        """Of the operations on a state."""
        return 2 if self.reduction and source < INPUTS else 1

    def uses(self, space: DARTS, edge: int) -> dict[int, list[tuple[int, int]]]:
        """The operations that a space allows on an edge, and the (gene, value) pairs that put each there."""
        source, node = EDGES[edge]
        first = 2 * (node - INPUTS) + (space.genes // 2 if self.reduction else 0)
        found: dict[int, list[tuple[int, int]]] = {}
        for index in range(len(PRIMITIVES)):
            value = source * len(PRIMITIVES) + index
            pairs = [(gene, value) for gene in (first, first + 1) if space.allowed[gene, value]]
            if pairs:
                found[index] = pairs
        return found

    def paths(self, code: Sequence[int]) -> list[list[tuple[int, nn.Module]]]:
        """For each node, the states that it reads and the operations on them; `none` is left out."""
        half = len(code) // 2
        own = code[half:] if self.reduction else code[:half]
        nodes: list[list[tuple[int, nn.Module]]] = [[] for _ in range(NODES)]
        for gene, value in enumerate(own):
            source, index = divmod(value, len(PRIMITIVES))
            operations = self.edges[EDGES.index((source, INPUTS + gene // 2))]
            assert isinstance(operations, nn.ModuleDict)
            if PRIMITIVES[index] != "none":
                nodes[gene // 2].append((source, operations[str(index)]))
        return nodes

    def forward(self, s0: State, s1: State, code: Sequence[int]) -> State:
        """The nodes, concatenated, shape [n, 4 * channels, height, width]."""
        states = [State(s0.through(self.preprocess0)), State(s1.through(self.preprocess1))]
        for parts in self.paths(code):
            if not parts:
                states.append(State(self.zero(states[1].features)))
            elif len(parts) == 2 and parts[0] == parts[1]:  # one operation, used twice
                source, module = parts[0]
                states.append(State(states[source].through(module) * 2))
            else:
                states.append(State(added([states[source].through(module) for source, module in parts])))
        return State(torch.cat([state.features for state in states[INPUTS:]], dim=1))


class DARTSSupernet(Supernet):
    """Stem, cells with all operations, two of them reductions, classifier.

    The network for CIFAR starts as PyTorch's modules do, that for ImageNet by `he_fan_in`.

    Args:
        space: with macro-structure, width, layers and classes; its restrictions leave operations out.
        affine: whether batch norms behind the stem have weights. RLNAS's and ABS's have, DARTS's own have none.
        normed_pools: whether a batch norm follows each pooling.
    """

    space: DARTS

    def __init__(self, space: DARTS, *, affine: bool = True, normed_pools: bool = True) -> None:
        super().__init__(space)
        refuse_small_network(space.macro, space.width, space.layers, space.input_size)
        self.draws = space.layers
        channels, reduced = space.width, space.macro == "imagenet"
        if reduced:
            self.stem0, self.stem1 = imagenet_stems(channels)
            inputs = (channels, channels)
        else:
            self.stem = cifar_stem(STEM_MULTIPLIER * channels)
            inputs = (STEM_MULTIPLIER * channels, STEM_MULTIPLIER * channels)
        self.cells = nn.ModuleList()
        for layer in range(space.layers):
            reduction = layer in reduction_layers(space.layers)
            channels *= 2 if reduction else 1
            self.cells.append(SearchCell(space, inputs, channels, reduction, reduced, affine, normed_pools))
            inputs, reduced = (inputs[1], NODES * channels), reduction
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs[1], space.classes)
        if space.macro == "imagenet":
            he_fan_in(self)

    def forward(self, images: Tensor, codes: Codes) -> Tensor:
        """Logits, shape [n, classes]; see `Supernet.forward`."""
        if self.space.macro == "imagenet":
            s0 = State(self.stem0(images))
            s1 = State(self.stem1(s0.features))
        else:
            s0 = s1 = State(self.stem(images))
        absent = () if self.added is None else self.additions[self.added :]
        for cell, code in zip(self.search_cells(), self.rows(codes), strict=True):
            if cell in absent:
                continue
            if s0.features.shape[1] != cell.inputs[0]:  # a reduction whose first input is not there yet
                s0 = s1
            s0, s1 = s1, cell(s0, s1, code)
        return self.classifier(self.global_pooling(s1.features).flatten(1))

    def choices(self) -> tuple[Choice, ...]:
        """Every operation on every edge of every cell; see `Supernet.choices`."""
        return tuple(
            Choice(
                f"cells.{layer}.edges.{edge}.{index}",
                tuple(pairs),
                layer,
                PRIMITIVES[index],
                cell.channels,
                cell.channels,
                cell.stride(source),
            )
            for layer, cell in enumerate(self.search_cells())
            for edge, (source, _) in enumerate(EDGES)
            for index, pairs in cell.uses(self.space, edge).items()
        )

    def path_modules(self, codes: Codes) -> list[nn.Module]:
        """The operations that are not `none`, each once; see `Supernet.path_modules`."""
        used = [
            module
            for cell, code in zip(self.search_cells(), self.rows(codes), strict=True)
            for parts in cell.paths(code)
            for _, module in parts
        ]
        return list(dict.fromkeys(used))

    @property
    def additions(self) -> list[SearchCell]:
        """All normal cells but the first: in turn one before the second reduction, at the end and before the first, as in ABS."""
        placed: list[tuple[int, int, SearchCell]] = []
        third = rank = 0
        for cell in self.search_cells():
            if cell.reduction:
                third, rank = third + 1, 0
            else:
                placed.append((rank, third, cell))
                rank += 1
        return [cell for _, _, cell in sorted(placed, key=lambda each: each[:2])][1:]

    def search_cells(self) -> list[SearchCell]:
        """All cells, in order."""
        return [cell for cell in self.cells if isinstance(cell, SearchCell)]


@torch.no_grad()
def he_fan_in(network: nn.Module) -> None:
    """Convolutions from U(-b, b) with b^2 = 6 / fan-in, linear layers from N(0, 0.01) with bias 0, as in RLNAS and ABS."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
