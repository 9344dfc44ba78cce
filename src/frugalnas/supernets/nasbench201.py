"""NAS-Bench-201's supernet: five operations on every edge of every cell, as in RLNAS and ABS."""

from __future__ import annotations

from functools import cache

from torch import Tensor, nn

from frugalnas.networks.nasbench201 import STAGES, ResidualBlock
from frugalnas.spaces import Codes, NASBench201
from frugalnas.spaces.nasbench201 import OPERATIONS, SOURCE, TARGET
from frugalnas.supernets.base import Choice, Supernet
from frugalnas.supernets.states import State, added, choice_module

OUTPUT = max(TARGET)


class SearchCell(nn.Module):
    """A cell with every operation that a space allows on every edge.

    Args:
        space: says which those are.
        channels: in and out.
    """

    def __init__(self, space: NASBench201, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.edges = nn.ModuleList(
            nn.ModuleDict(
                {str(value): choice_module(OPERATIONS[value], channels, affine=False) for value in allowed.nonzero()[0]}
            )
            for allowed in space.allowed
        )

    def forward(self, x: Tensor, code: tuple[int, ...]) -> Tensor:
        """What reaches the output, shape as `x`; zeros where nothing does."""
        states = {0: State(x)}
        arriving: dict[int, list[Tensor]] = {}
        for edge in live_edges(code):
            source, target = SOURCE[edge], TARGET[edge]
            if source not in states:
                states[source] = State(added(arriving[source]))
            arriving.setdefault(target, []).append(states[source].through(self.choice(edge, code)))
        return added(arriving[OUTPUT]) if OUTPUT in arriving else x * 0.0

    def choice(self, edge: int, code: tuple[int, ...]) -> nn.Module:
        """The operation that a code has on an edge."""
        operations = self.edges[edge]
        assert isinstance(operations, nn.ModuleDict)
        return operations[str(code[edge])]


@cache
def live_edges(code: tuple[int, ...]) -> tuple[int, ...]:
    """The edges without `none` on a path from the cell's input to its output, in an order in which they can be computed.

    The others change nothing: operations make zeros of zeros, as their batch norms have no bias.
    """
    present = [edge for edge, value in enumerate(code) if OPERATIONS[value] != "none"]
    reached, needed = {0}, {OUTPUT}
    for edge in present:
        if SOURCE[edge] in reached:
            reached.add(TARGET[edge])
    for edge in reversed(present):
        if TARGET[edge] in needed:
            needed.add(SOURCE[edge])
    return tuple(edge for edge in present if SOURCE[edge] in reached and TARGET[edge] in needed)


class NASBench201Supernet(Supernet):
    """Stem, three stages of search cells with residual blocks between them, classifier.

    Batch norms of search cells have no weights, so that equal operations differ by their convolutions alone; weights start
    as PyTorch's modules do.

    Args:
        space: with width, cells a stage and classes; its restrictions leave operations out.
    """

    space: NASBench201

    def __init__(self, space: NASBench201) -> None:
        super().__init__(space)
        width = space.width
        self.draws = STAGES * space.cells
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        for stage in range(STAGES):
            channels = width * 2**stage
            if stage:
                self.cells.append(ResidualBlock(channels // 2, channels))
            self.cells.extend(SearchCell(space, channels) for _ in range(space.cells))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, space.classes)

    def forward(self, images: Tensor, codes: Codes) -> Tensor:
        """Logits, shape [n, classes]; see `Supernet.forward`."""
        x: Tensor = self.stem(images)
        rows = iter(self.rows(codes))
        for cell in self.cells:
            x = cell(x, next(rows)) if isinstance(cell, SearchCell) else cell(x)
        return self.classifier(self.global_pooling(self.lastact(x)).flatten(1))

    def search_cells(self) -> dict[int, SearchCell]:
        """The cells that a code decides, by their place among all cells."""
        return {place: cell for place, cell in enumerate(self.cells) if isinstance(cell, SearchCell)}

    def choices(self) -> tuple[Choice, ...]:
        """Every operation on every edge of every cell; see `Supernet.choices`."""
        return tuple(
            Choice(
                f"cells.{place}.edges.{edge}.{value}",
                ((edge, int(value)),),
                draw,
                OPERATIONS[value],
                cell.channels,
                cell.channels,
                stride=1,
            )
            for draw, (place, cell) in enumerate(self.search_cells().items())
            for edge, allowed in enumerate(self.space.allowed)
            for value in allowed.nonzero()[0]
        )

    def path_modules(self, codes: Codes) -> list[nn.Module]:
        """The operations on live edges; see `Supernet.path_modules`."""
        return [
            cell.choice(edge, code)
            for cell, code in zip(self.search_cells().values(), self.rows(codes), strict=True)
            for edge in live_edges(code)
        ]
