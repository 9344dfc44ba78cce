"""NAS-Bench-201's networks (Dong and Yang, ICLR 2020): three stages of equal cells, residual blocks between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks.operations import ReLUConvBN, Zero, halved, operation
from frugalnas.networks.skeleton import Block, Skeleton
from frugalnas.spaces import Codes, NASBench201

__all__ = ["NASBench201Network", "NASBench201Skeleton", "ResidualBlock"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SOURCES = (0, 0, 1, 0, 1, 2)
TARGETS = (1, 2, 2, 3, 3, 3)
STAGES = 3


class _Cell(nn.Module):
    """A cell as written: edges that lead nowhere are there too, as in the networks that the benchmark trained."""

    def __init__(self, code: Codes, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(operation(OPERATIONS[value], channels) for value in code)
        self.edges = tuple(range(len(SOURCES)))

    def forward(self, x: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {0: x}
        for edge in self.edges:
            source, target = SOURCES[edge], TARGETS[edge]
            out = self.layers[edge](nodes[source] if source in nodes else x * 0.0)
            nodes[target] = nodes[target] + out if target in nodes else out
        return nodes[3] if 3 in nodes else x * 0.0

    def keep_live(self) -> None:
        """Leave out the edges that change nothing: zeros, what is made of zeros, and what nothing reads.

        A convolution of zeros is not nothing, as its batch norm has a bias.
        """
        reached, live = {0}, []
        for edge, layer in enumerate(self.layers):
            if not isinstance(layer, Zero) and (SOURCES[edge] in reached or isinstance(layer, ReLUConvBN)):
                live.append(edge)
                reached.add(TARGETS[edge])
        read = {3}
        for edge in reversed(live):
            if TARGETS[edge] in read:
                read.add(SOURCES[edge])
        self.edges = tuple(edge for edge in live if TARGETS[edge] in read)
        for edge in set(range(len(SOURCES))) - set(self.edges):
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
        out: Tensor = self.downsample(x) + self.conv_b(self.conv_a(x))
        return out


class NASBench201Network(nn.Module):
    """The network of one cell.

    Args:
        code: operation of each of the six edges, shape [6].
        width: channels of the first stage; they double twice.
        cells: of each stage.
        classes: how many.
        dropout: before the classifier.
    """

    def __init__(self, code: Codes, width: int, cells: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        for stage in range(STAGES):
            channels = width * 2**stage
            if stage:
                self.cells.append(ResidualBlock(channels // 2, channels))
            self.cells.extend(_Cell(code, channels) for _ in range(cells))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, 3, height, width]."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        x = self.global_pooling(self.lastact(x)).flatten(1)
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


class NASBench201Skeleton(Skeleton):
    """Stem, three stages of `cells` cells with residual blocks between them, classifier.

    Batch norms have weights, as in the networks that the benchmark trained; weights start as PyTorch's modules do.
    """

    space: NASBench201
    supernet = "frugalnas.supernets.nasbench201:NASBench201Supernet"

    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one cell; without auxiliary head and drop path, which this space does not have."""
        refuse_extras(self.space.name, auxiliary, drop_path)
        return NASBench201Network(code, self.space.width, self.space.cells, self.space.classes, dropout)

    def blocks(self) -> Iterator[Block]:
        """The five operations on each edge of each cell."""
        for stage in range(STAGES):
            channels, side = self.space.width * 2**stage, halved(self.space.input_size, stage)
            for gene in np.tile(np.arange(len(SOURCES)), self.space.cells):
                for value, name in enumerate(OPERATIONS):
                    key = f"{name} {channels}x{side}x{side}"
                    yield Block(int(gene), value, key, partial(operation, name, channels), (channels, side, side))


def refuse_extras(name: str, auxiliary: str | None, drop_path: float) -> None:
    """Refuse an auxiliary head and drop path for networks that have neither."""
    if auxiliary is not None:
        raise FrugalnasError(f"{name}'s networks have no auxiliary head ({auxiliary!r}); leave it out")
    if drop_path:
        raise FrugalnasError(f"{name}'s networks have no paths to drop; set drop_path to 0, not {drop_path:g}")
