"""NAS-Bench-101's networks (Ying et al., ICML 2019): three stacks of equal cells, max pooling between them."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, cat, nn

from frugalnas.networks.nasbench201 import StackedCells
from frugalnas.networks.skeleton import Skeleton
from frugalnas.spaces import Codes, NASBench101
from frugalnas.spaces.cells101 import EDGES, SOURCE, TARGET, VERTICES, live_parts
from frugalnas.spaces.costs101 import vertex_channels

OUTPUT = VERTICES - 1
STACKS = 3
KERNELS = (3, 1)
"""Of the operations conv3x3 and conv1x1; the third operation is 3x3 max pooling."""


class _ConvBNReLU(nn.Sequential):
    """Convolution, batch norm with TensorFlow's momentum 0.997 and epsilon 1e-5, ReLU."""

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels, eps=1e-5, momentum=0.003),
            nn.ReLU(),
        )


class _Cell(nn.Module):
    """The live part of a cell.

    The input is projected to the channels of whatever reads it. An inner vertex sums what it reads, of which only its
    own first channels count, and applies its operation. The output concatenates the vertices that it reads, and adds
    the projected input where it reads that too.
    """

    def __init__(self, code: Codes, inputs: int, channels: int) -> None:
        super().__init__()
        edges = live_parts(code[None])[0][0]
        joined = np.zeros((VERTICES, VERTICES), np.bool_)
        joined[SOURCE, TARGET] = edges
        inside = vertex_channels(joined[:, :, None], channels)[:, 0]
        self.channels = [inputs, *(int(count) for count in inside), channels]
        self.readers = [
            (target, [int(source) for source in np.flatnonzero(joined[1:target, target]) + 1])
            for target in range(1, VERTICES)
            if joined[:, target].any()
        ]
        self.projections = nn.ModuleDict()
        self.operations = nn.ModuleDict()
        for target, _ in self.readers:
            own = self.channels[target]
            if joined[0, target]:
                self.projections[str(target)] = _ConvBNReLU(inputs, own, 1)
            if target < OUTPUT:
                kind = int(code[EDGES + target - 1])
                pool = nn.MaxPool2d(3, 1, padding=1)
                self.operations[str(target)] = _ConvBNReLU(own, own, KERNELS[kind]) if kind < len(KERNELS) else pool

    def forward(self, x: Tensor) -> Tensor:
        vertices: dict[int, Tensor] = {}
        for target, sources in self.readers:
            name, own = str(target), self.channels[target]
            read = [self.projections[name](x)] if name in self.projections else []
            if target == OUTPUT and sources:
                read.append(cat([vertices[source] for source in sources], dim=1))
            elif target < OUTPUT:
                # A slice of everything would still be an operation of an exported network.
                read.extend(
                    vertices[source] if self.channels[source] == own else vertices[source][:, :own]
                    for source in sources
                )
            total = read[0]
            for addend in read[1:]:
                total = total + addend
            vertices[target] = self.operations[name](total) if target < OUTPUT else total
        return vertices[OUTPUT]


class NASBench101Skeleton(Skeleton):
    """Stem, three stacks of `cells` cells with max pooling between them, classifier.

    Channels double from stack to stack. Weights start as the benchmark's did: convolutions from a normal distribution of
    variance 1 / fan-in, cut at two standard deviations, the classifier uniformly (Glorot).
    """

    space: NASBench101

    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one cell; without auxiliary head and drop path, which this space does not have."""
        self.refuse(auxiliary, drop_path)
        inputs = self.space.width
        stem = _ConvBNReLU(3, inputs, 3)
        cells: list[nn.Module] = []
        for stack in range(STACKS):
            channels = self.space.width * 2**stack
            if stack:
                cells.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            for _ in range(self.space.cells):
                cells.append(_Cell(code, inputs, channels))
                inputs = channels
        network = StackedCells(stem, cells, nn.Identity(), inputs, self.space.classes, dropout)
        return network.apply(_as_in_tensorflow)


def _as_in_tensorflow(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        deviation = math.sqrt(1 / fan_in) / 0.87962566103423978  # what cutting at two deviations leaves of 1
        nn.init.trunc_normal_(module.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
