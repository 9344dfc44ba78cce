"""The networks of DARTS's cells, for CIFAR and for ImageNet (Liu et al., ICLR 2019), and of any genotype.

Parameters have the names that the papers' published weights use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.networks.operations import (
    DropPath,
    FactorizedReduce,
    ReLUConvBN,
    Zero,
    halved,
    operation,
    refuse_small_input,
)
from frugalnas.networks.skeleton import Block, Skeleton
from frugalnas.spaces import DARTS, Codes
from frugalnas.spaces.genotype import PRIMITIVES, Genotype

AUXILIARY_HEADS = ("darts", "pdarts")
"""Kinds of auxiliary head. They differ on ImageNet only, where DARTS and RelativeNAS left out the last batch norm, and
P-DARTS, ABS and RLNAS did not."""
STEM_MULTIPLIER = 3
"""The CIFAR stem has three times the width."""
INPUTS = 2
"""A cell reads the outputs of the two cells before it."""

Pairs = Sequence[tuple[str, int]]
Macro = Literal["cifar", "imagenet"]


class Cell(nn.Module):
    """A cell: every two (operation, input) pairs are summed into a node, and the nodes of `concat` concatenated.

    Args:
        pairs: operation and input of each; inputs 0 and 1 are the outputs of the cell before last and of the last cell,
            the others the nodes before.
        concat: the inputs, so numbered, that make the output.
        inputs: channels of the two cells before.
        channels: of each node.
        reduction: whether the cell halves height and width.
        reduction_before: whether the last cell did, so that the one before it gave twice the height and width.
        drop_path: probability of dropping a path for one image; paths without operation are kept.
    """

    def __init__(
        self,
        pairs: Pairs,
        concat: Sequence[int],
        inputs: tuple[int, int],
        channels: int,
        reduction: bool,
        reduction_before: bool,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.sources = [source for _, source in pairs]
        self.concat = list(concat)
        self.preprocess0 = (
            FactorizedReduce(inputs[0], channels) if reduction_before else ReLUConvBN(inputs[0], channels)
        )
        self.preprocess1 = ReLUConvBN(inputs[1], channels)
        self._ops = nn.ModuleList(
            operation(name, channels, 2 if reduction and source < INPUTS else 1) for name, source in pairs
        )
        self.droppable = [not isinstance(module, nn.Identity) for module in self._ops]
        self.drop_path = DropPath(drop_path)
        self.zeros = [False] * len(self._ops)

    def keep_live(self) -> None:
        """Leave out zeros that are added to something."""
        zeros = [isinstance(module, Zero) for module in self._ops]
        self.zeros = [zero and not zeros[place ^ 1] for place, zero in enumerate(zeros)]

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        """The cell's output, shape [n, channels * len(concat), height, width]."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        paths: list[Tensor] = []
        for place, (layer, source) in enumerate(zip(self._ops, self.sources, strict=True)):
            if not self.zeros[place]:
                path = layer(states[source])
                paths.append(self.drop_path(path) if self.droppable[place] else path)
            if place % 2:
                states.append(paths[0] + paths[1] if len(paths) == 2 else paths[0])
                paths.clear()
        return torch.cat([states[node] for node in self.concat], dim=1)


class AuxiliaryHead(nn.Module):
    """A second classifier, behind the second reduction, that is trained along and then left out."""

    def __init__(self, inputs: int, classes: int, stride: int, last_norm: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride, padding=0, count_include_pad=False),
            nn.Conv2d(inputs, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if last_norm else []),
            nn.ReLU(),
        )
        # The papers' images leave one pixel here; larger ones leave more.
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape [n, classes]."""
        return self.classifier(self.global_pooling(self.features(x)).flatten(1))


class CellNetwork(nn.Module):
    """Stem, cells, of which those at one and two thirds of the depth halve the image, and classifier.

    Args:
        genotype: the cells.
        macro: "cifar", whose stem is a 3x3 convolution, or "imagenet", which has three with stride 2.
        width: channels of a node in the first third; they double twice.
        layers: number of cells.
        classes: how many.
        drop_path: probability of dropping a path for one image.
        dropout: before the classifier.
    """

    def __init__(
        self,
        genotype: Genotype,
        macro: Macro,
        width: int,
        layers: int,
        classes: int,
        drop_path: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.macro = macro
        reductions = reduction_layers(layers)
        self.auxiliary_layer = 2 * layers // 3
        self.cells = nn.ModuleList()
        stem = STEM_MULTIPLIER * width if macro == "cifar" else width
        inputs, channels, reduction_before = (stem, stem), width, macro == "imagenet"
        for layer in range(layers):
            reduction = layer in reductions
            channels *= 2 if reduction else 1
            pairs, concat = (
                (genotype.reduce, genotype.reduce_concat) if reduction else (genotype.normal, genotype.normal_concat)
            )
            self.cells.append(Cell(pairs, concat, inputs, channels, reduction, reduction_before, drop_path))
            inputs, reduction_before = (inputs[1], channels * len(concat)), reduction
            if layer == self.auxiliary_layer:
                self.auxiliary_inputs = inputs[1]
        self.auxiliary_head: AuxiliaryHead | None = None
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(inputs[1], classes)
        if macro == "cifar":
            self.stem = cifar_stem(stem)
        else:
            self.stem0, self.stem1 = imagenet_stems(stem)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits [n, classes] of images [n, 3, height, width]; in training mode with the auxiliary head's, if any."""
        s0 = self.stem(x) if self.macro == "cifar" else self.stem0(x)
        s1 = s0 if self.macro == "cifar" else self.stem1(s0)
        second: Tensor | None = None
        for layer, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if layer == self.auxiliary_layer and self.training and self.auxiliary_head is not None:
                second = self.auxiliary_head(s1)
        first: Tensor = self.classifier(self.dropout(self.global_pooling(s1).flatten(1)))
        return first if second is None else (first, second)


def cifar_stem(channels: int) -> nn.Module:
    """A 3x3 convolution at full size."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def imagenet_stems(width: int) -> tuple[nn.Module, nn.Module]:
    """Two 3x3 convolutions with stride 2, which the first cell reads as the cell before last, and a third."""
    first = nn.Sequential(
        nn.Conv2d(3, width // 2, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, 2, padding=1, bias=False),
        nn.BatchNorm2d(width),
    )
    second = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, 2, padding=1, bias=False), nn.BatchNorm2d(width))
    return first, second


STEM_HALVINGS = {"cifar": 0, "imagenet": 3}
_AUXILIARY_STRIDE = {"cifar": 3, "imagenet": 2}


def reduction_layers(layers: int) -> set[int]:
    """The cells that halve the image and double the channels."""
    return {layers // 3, 2 * layers // 3}


def network_from_genotype(
    genotype: Genotype,
    *,
    macro: Macro = "cifar",
    width: int = 36,
    layers: int = 20,
    input_size: int = 32,
    classes: int = 10,
    auxiliary: str | None = None,
    drop_path: float = 0.0,
    dropout: float = 0.0,
) -> nn.Module:
    """The network of any genotype, with as many nodes as it has and all operations of `operations.OPERATIONS`.

    NASNet's and AmoebaNet's cells, which the DARTS space does not hold, are built by this alone. Weights start as
    PyTorch's modules do, as in the papers' programs.

    Args:
        genotype: the cells.
        macro: "cifar", or "imagenet", which has three convolutions with stride 2 in front.
        width: channels of a node in the first third of the network.
        layers: number of cells.
        input_size: height and width of the images, to refuse what is too small; the network itself takes others too.
        classes: how many.
        auxiliary: kind of auxiliary head, see `AUXILIARY_HEADS`; None builds none.
        drop_path: probability of dropping a path for one image.
        dropout: before the classifier.

    Raises:
        FrugalnasError: where the images are too small, for the network or for its auxiliary head.
    """
    if macro not in STEM_HALVINGS:
        raise unknown_name("macro-structure", macro, STEM_HALVINGS)
    refuse_small_network(macro, width, layers, input_size)
    network = CellNetwork(genotype, macro, width, layers, classes, drop_path, dropout)
    if auxiliary is not None:
        network.auxiliary_head = _auxiliary_head(network, auxiliary, macro, layers, input_size, classes)
    return network


def refuse_small_network(macro: str, width: int, layers: int, input_size: int) -> None:
    """Refuse a width, a depth or images that leave nothing; see `network_from_genotype`."""
    if width < (least := 2 if macro == "imagenet" else 1) or layers < 1:
        raise FrugalnasError(f"a network of width {width} with {layers} layers is none; choose {least} and 1 or more")
    halvings = STEM_HALVINGS[macro] + len(reduction_layers(layers))
    refuse_small_input(f"{layers} layers of cells behind the {macro} stem", input_size, halvings)


def _auxiliary_head(
    network: CellNetwork, kind: str, macro: Macro, layers: int, input_size: int, classes: int
) -> AuxiliaryHead:
    if kind not in AUXILIARY_HEADS:
        raise unknown_name("auxiliary head", kind, AUXILIARY_HEADS, ", or leave it out")
    stride = _AUXILIARY_STRIDE[macro]
    halvings = STEM_HALVINGS[macro] + len(reduction_layers(layers))
    least = 5 + stride  # the pooled map, of windows of 5 pixels, must have two rows for a 2x2 convolution
    if halved(input_size, halvings) < least:
        raise FrugalnasError(
            f"an input of {input_size}x{input_size} is too small for the auxiliary head, which needs "
            f"{least}x{least} pixels behind the last reduction; take `input_size`={(least - 1) * 2**halvings + 1} or more, or "
            f"leave the auxiliary head out"
        )
    return AuxiliaryHead(network.auxiliary_inputs, classes, stride, macro == "cifar" or kind == "pdarts")


class DARTSSkeleton(Skeleton):
    """DARTS's networks: the stem of the space's macro-structure, `layers` cells, two of them reductions, classifier."""

    space: DARTS
    supernet = "darts"

    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one code; see `network_from_genotype`."""
        further: dict[str, Any] = {"auxiliary": auxiliary, "drop_path": drop_path, "dropout": dropout}
        return self.of_genotype(self.space.genotype(code), **further)

    def of_genotype(self, genotype: Genotype, **further: Any) -> nn.Module:
        """The network of any genotype at the space's sizes; see `network_from_genotype`."""
        sizes = {name: getattr(self.space, name) for name in ("macro", "width", "layers", "input_size", "classes")}
        return network_from_genotype(genotype, **sizes, **further)

    def blocks(self) -> Iterator[Block]:
        """Every operation on every edge of every cell; those of a reduction cell's inputs have stride 2."""
        space = self.space
        side, channels = halved(space.input_size, STEM_HALVINGS[space.macro]), space.width
        half = space.genes // 2
        for layer in range(space.layers):
            reduction = layer in reduction_layers(space.layers)
            before = side
            if reduction:
                side, channels = halved(side), 2 * channels
            for place in range(half):
                for source in range(INPUTS + place // 2):
                    stride = 2 if reduction and source < INPUTS else 1
                    entered = before if stride == 2 else side
                    for index, name in enumerate(PRIMITIVES):
                        key = f"{name} {channels}x{entered}x{entered} stride {stride}"
                        make = partial(operation, name, channels, stride)
                        value = source * len(PRIMITIVES) + index
                        yield Block(place + half * reduction, value, key, make, (channels, entered, entered))
