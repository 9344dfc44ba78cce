"""NAS-Bench-201's networks (Dong and Yang, ICLR 2020): three stages of equal cells, residual blocks between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
from torch import Tensor, nn

from frugalnas.networks.operations import ReLUConvBN, Zero, halved, operation
from frugalnas.networks.skeleton import Block, Skeleton
from frugalnas.spaces import Codes, NASBench201
from frugalnas.spaces.nasbench201 import OPERATIONS, SOURCE, TARGET

STAGES = 3


class _Cell(nn.Module):
    """A cell as written: edges that lead nowhere are there too, as in the networks that the benchmark trained."""

    def __init__(self, code: Codes, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(operation(OPERATIONS[value], channels) for value in code)
        self.edges = tuple(range(len(SOURCE)))

    def forward(self, x: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {0: x}
        for edge in self.edges:
            source, target = SOURCE[edge], TARGET[edge]
            out = self.layers[edge](nodes[source] if source in nodes else x * 0.0)
            nodes[target] = nodes[target] + out if target in nodes else out
        return nodes[3] if 3 in nodes else x * 0.0

    def keep_live(self) -> None:
        """Leave out the edges that change nothing: zeros, what is made of zeros, and what nothing reads.

        A convolution of zeros is not nothing, as its batch norm has a bias.
        """
        reached, live = {0}, []
        for edge, layer in enumerate(self.layers):
            if not isinstance(layer, Zero) and (SOURCE[edge] in reached or isinstance(layer, ReLUConvBN)):
                live.append(edge)
                reached.add(TARGET[edge])
        read = {3}
        for edge in reversed(live):
            if TARGET[edge] in read:
                read.add(SOURCE[edge])
        self.edges = tuple(edge for edge in live if TARGET[edge] in read)
        for edge in set(range(len(SOURCE))) - set(self.edges):
            self.layers[edge] = nn.Identity()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first with stride 2, added to the average-pooled and projected input."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, channels, 3, stride=2)
        self.conv_b = ReLUConvBN(channels, channels, 3)
        # An odd side is rounded up, as the convolution does; the benchmark has even ones only. A window that overhangs has
        # the same mean either way, but torch.compile gets its gradient wrong where padding counts (pytorch issue 198119).
        pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.downsample = nn.Sequential(pool, nn.Conv2d(inputs, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, channels, ceil(height / 2), ceil(width / 2)]."""
        return self.downsample(x) + self.conv_b(self.conv_a(x))


class StackedCells(nn.Module):
    """Stem, cells and what stands between their stacks, global pooling, classifier: the networks of both benchmarks.

    Args:
        stem: takes the images.
        cells: in order, with what makes the channels double between two stacks.
        last: follows the cells.
        channels: that come out.
        classes: how many.
        dropout: before the classifier.
    """

    def __init__(
        self, stem: nn.Module, cells: Iterable[nn.Module], last: nn.Module, channels: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.lastact = last
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, 3, height, width]."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        x = self.global_pooling(self.lastact(x)).flatten(1)
        return self.classifier(self.dropout(x))


class NASBench201Skeleton(Skeleton):
    """Stem, three stages of `cells` cells with residual blocks between them, classifier.

    Channels double from stage to stage. Batch norms have weights, as in the networks that the benchmark trained; weights
    start as PyTorch's modules do.
    """

    space: NASBench201
    supernet = "nasbench201"

    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one cell; without auxiliary head and drop path, which this space does not have."""
        self.refuse(auxiliary, drop_path)
        width = self.space.width
        stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        cells: list[nn.Module] = []
        for stage in range(STAGES):
            channels = width * 2**stage
            if stage:
                cells.append(ResidualBlock(channels // 2, channels))
            cells.extend(_Cell(code, channels) for _ in range(self.space.cells))
        last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        return StackedCells(stem, cells, last, channels, self.space.classes, dropout)

    def blocks(self) -> Iterator[Block]:
        """The five operations on each edge of each cell."""
        for stage in range(STAGES):
            channels, side = self.space.width * 2**stage, halved(self.space.input_size, stage)
            for gene in np.tile(np.arange(len(SOURCE)), self.space.cells):
                for value, name in enumerate(OPERATIONS):
                    key = f"{name} {channels}x{side}x{side}"
                    yield Block(int(gene), value, key, partial(operation, name, channels), (channels, side, side))
