"""Architectures of cells and of layers as pictures: two cells side by side, or a strip of blocks from input to classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from frugalnas.errors import FrugalnasError
from frugalnas.report.cells import canvas, draw_cell, on_a_path
from frugalnas.report.layout import LABEL, Box, arranged, rounded_box
from frugalnas.report.style import FILLS, GREY, PALE, paper_style, text_width
from frugalnas.spaces import DARTS, BoolArray, Codes, FloatArray, Genotype, LayerSpace, OnceForAll, SearchSpace
from frugalnas.trust import import_object

Edges: TypeAlias = Sequence[tuple[str, int]]
"""(operation, predecessor) of a cell, two for each node in turn, as genotypes list them."""

OPERATIONS = (
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    *("max_pool_3x3", "avg_pool_3x3", "sep_conv_7x7", "conv_7x1_1x7"),
)
"""In the order of their colours."""
ACROSS = 7.2
"""Two cells that are wider than this together stand one above the other, inches, like all lengths here."""
CELL_GAP = 0.45
HEADING = 0.3

SMALL = 6.5
NARROW, BETWEEN, STAGE_GAP = 0.24, 0.045, 0.15
"""Width of a block in a strip, from one to the next, and from one stage to the next."""
LOWEST, HIGHEST = 0.34, 0.78
"""Heights of the blocks that expand least and most."""


def draw_architecture(space: SearchSpace, code: ArrayLike, *, title: str | None = None) -> Figure:
    """A picture of one architecture of any space: two cells, a strip of layers, or the space's own graph.

    Args:
        space: what the code belongs to.
        code: one architecture, shape [genes].
        title: a line above it.
    """
    row = space.as_codes(code)
    if row.shape != (space.genes,):
        return draw_cell(space, row, title=title)  # says which shape is meant
    if isinstance(space, DARTS):
        return draw_genotype(space.genotype(row), title=title)
    if isinstance(space, (LayerSpace, OnceForAll)):
        stages, headings = _stages_of(space, row)
        return draw_layers(stages, headings=headings, notation=space.format(row), title=title)
    return draw_cell(space, row, title=title)


def _stages_of(space: SearchSpace, row: Codes) -> tuple[list[list[str]], dict[str, list[str]] | None]:
    """Names of the layers of each stage, with the stages' channels and resolutions where the skeleton can be asked."""
    graphs = space.graphs(row[None])
    names = [graphs.names[operation] for operation in graphs.operations[0].tolist()[1:-1]]
    places: Sequence[Any] = ()
    with suppress(FrugalnasError):  # torch is not installed, or nothing builds these networks
        places = getattr(import_object("frugalnas.networks:skeleton_of")(space), "places", ())
    if [place.gene for place in places] != list(range(space.genes)):
        return [names], {"layers": [str(len(names))]}
    stages: list[list[str]] = [[] for _ in range(places[-1].stage + 1)]
    channels, pixels = [""] * len(stages), [""] * len(stages)
    for place, name in zip(places, names, strict=True):
        stages[place.stage].append(name)
        channels[place.stage] = str(place.outputs)
        pixels[place.stage] = str(-(-place.size // place.stride))
    return stages, {"channels": channels, "pixels": pixels}


def draw_genotype(genotype: Genotype, *, title: str | None = None) -> Figure:
    """A picture of a genotype: its normal and its reduction cell, side by side or one above the other.

    Round boxes are the two cells before (c_{k-2} and c_{k-1}), the nodes 2, 3, ... that add up what they receive, and
    the cell's output (c_{k}), which concatenates nodes. What does not lie on a way to the output is left out: an input
    that no operation reads, nodes that lead nowhere, and the operation none. The genotype stands below.

    Args:
        genotype: with any number of nodes.
        title: a line above the cells.
    """
    with paper_style():
        cells = [
            _Cell(genotype.normal, genotype.normal_concat, "normal cell"),
            _Cell(genotype.reduce, genotype.reduce_concat, "reduction cell"),
        ]
        sizes = [cell.size for cell in cells]
        (normal, tall), (reduction, low) = sizes
        if normal + CELL_GAP + reduction <= ACROSS:
            heights = [max(tall, low)] * 2
            corners = [np.array([0.0, -heights[0]]), np.array([normal + CELL_GAP, -heights[0]])]
        else:
            heights = [tall, low]
            left, right = max(reduction - normal, 0.0) / 2, max(normal - reduction, 0.0) / 2
            corners = [np.array([left, -tall]), np.array([right, -tall - CELL_GAP - low])]
        ends = [corner + size for corner, size in zip(corners, sizes, strict=True)]
        axes, offset = canvas(
            np.min(corners, axis=0),
            np.append(np.max(ends, axis=0)[:1], 0.0),
            title,
            str(genotype).replace(", normal_concat=", ",\nnormal_concat="),
        )
        for cell, corner, height in zip(cells, corners, heights, strict=True):
            cell.draw(axes, corner + offset, height)
    return cast(Figure, axes.figure)


class _Cell:
    """One cell, arranged; its lower left corner is the origin."""

    def __init__(self, edges: Edges, concat: Sequence[int], heading: str) -> None:
        self.heading = heading
        boxes, adjacency = _graph(edges, concat)
        self.layout = arranged(adjacency, boxes)
        low, high = self.layout.bounds
        self.low = low
        self.size = high - low + [0, HEADING]
        self.size[0] = max(self.size[0], text_width(heading, LABEL))

    def draw(self, axes: Axes, corner: FloatArray, height: float) -> None:
        """Draw it with its lower left corner here, its heading on top of this height."""
        inside = (height - self.size[1]) / 2
        axes.text(corner[0], corner[1] + height - 0.06, self.heading, size=LABEL, va="top", color=GREY)
        self.layout.draw(axes, corner + np.array([0, inside]) - self.low)


def draw_layers(
    stages: Sequence[Sequence[str]],
    *,
    headings: Mapping[str, Sequence[str]] | None = None,
    notation: str = "",
    title: str | None = None,
) -> Figure:
    """A picture of a network of layers: a strip of blocks from the image to the classes, stage by stage.

    The colour of a block is its kernel, its height how much it expands, and both are written in it; a layer that passes
    its input on is a short bar.

    Args:
        stages: the names of the choices, such as "mb6_k5", "e4_k3" or "identity"; others are written as they are.
        headings: lines under the stages, such as {"channels": ["32", "56"]}; None numbers the stages.
        notation: the architecture as text, below.
        title: a line above.
    """
    under = headings or {"stage": [str(number) for number in range(1, len(stages) + 1)]}
    with paper_style():
        blocks = [[_Block.named(name) for name in stage] for stage in stages]
        expansions = sorted({block.expansion for stage in blocks for block in stage if block.expansion is not None})
        margin = max(text_width(line, SMALL) for line in ("image", *under)) + 0.16
        rows = _rows(blocks, margin)
        end = text_width("classes", LABEL) + 0.2
        drop = HIGHEST + 0.3 + 0.13 * len(under)
        wide = max(sum(_stage_width(stage) + STAGE_GAP for stage in row) for row in rows) + margin + end
        foot = -drop * (len(rows) - 1) - HIGHEST / 2 - 0.13 * len(under) - 0.08
        axes, offset = canvas(np.array([0.0, foot]), np.array([wide, HIGHEST / 2]), title, notation)
        first = 0
        for number, row in enumerate(rows):
            lines = {name: values[first : first + len(row)] for name, values in under.items()}
            last = number == len(rows) - 1
            _draw_row(axes, offset - [0, drop * number], row, lines, expansions, margin, (number == 0, last))
            first += len(row)
    return cast(Figure, axes.figure)


@dataclass(frozen=True)
class _Block:
    """A layer as it is drawn: kernel and expansion where its name says so, else its name."""

    name: str
    kernel: int | None
    expansion: float | None
    passes: bool

    @classmethod
    def named(cls, name: str) -> _Block:
        kernel = re.search(r"k(\d+)|(\d+)x\2(?!\d)", name)
        expansion = re.search(r"(?:mb|e)(\d+(?:\.\d+)?)(?![\dx])", name)
        return cls(
            name,
            int(kernel[1] or kernel[2]) if kernel else None,
            float(expansion[1]) if expansion else None,
            name in ("identity", "none", "zero", "skip", "-1"),
        )

    @property
    def lines(self) -> list[str]:
        """What is written in it."""
        if self.kernel is None or self.expansion is None:
            return re.split(r"[_ ]+", self.name)
        return [f"k{self.kernel}", f"e{self.expansion:g}"]

    @property
    def width(self) -> float:
        """Its width. Call it inside `paper_style`."""
        return NARROW if self.passes else max(NARROW, *(text_width(line, SMALL) + 0.08 for line in self.lines))

    @property
    def colour(self) -> str:
        """Its fill: kernels 3, 5, 7 have colours of their own in all pictures."""
        return FILLS[(self.kernel or 1) // 2 % len(FILLS)]

    def height(self, expansions: Sequence[float]) -> float:
        """Its height among blocks that expand so much."""
        if self.expansion is None or len(expansions) < 2:
            return (LOWEST + HIGHEST) / 2
        return LOWEST + (HIGHEST - LOWEST) * expansions.index(self.expansion) / (len(expansions) - 1)


def _stage_width(stage: Sequence[_Block]) -> float:
    return sum(block.width for block in stage) + BETWEEN * (len(stage) - 1)


def _rows(stages: Sequence[Sequence[_Block]], margin: float) -> list[list[Sequence[_Block]]]:
    """The stages in rows that are no longer than `ACROSS`, where they can be."""
    rows: list[list[Sequence[_Block]]] = [[]]
    used = margin
    for stage in stages:
        width = _stage_width(stage) + STAGE_GAP
        if rows[-1] and used + width > ACROSS + 0.6:
            rows.append([])
            used = margin
        rows[-1].append(stage)
        used += width
    return rows


def _draw_row(
    axes: Axes,
    offset: FloatArray,
    stages: Sequence[Sequence[_Block]],
    headings: Mapping[str, Sequence[str]],
    expansions: Sequence[float],
    margin: float,
    ends: tuple[bool, bool],
) -> None:
    """One row of stages; `ends` says whether the image and the classes stand at its ends."""
    start = x = offset[0] + margin
    y = offset[1]
    foot = y - HIGHEST / 2 - 0.05
    under: dict[str, Any] = {"size": SMALL, "va": "top", "color": GREY}
    for line, name in enumerate(headings):
        axes.text(offset[0], foot - 0.13 * line, name, **under)
    for place, stage in enumerate(stages):
        left = x
        for block in stage:
            _draw_block(axes, x, y, block, expansions)
            x += block.width + BETWEEN
        right = x - BETWEEN
        axes.plot([left, right], [foot + 0.015] * 2, color=GREY, linewidth=0.6, solid_capstyle="butt")
        for line, values in enumerate(headings.values()):
            axes.text((left + right) / 2, foot - 0.13 * line, values[place], ha="center", **under)
        x = right + STAGE_GAP
    axes.plot([start - 0.1, x - STAGE_GAP + 0.1], [y, y], color=GREY, linewidth=0.9, zorder=1)
    if ends[0]:
        axes.text(start - 0.14, y, "image", size=SMALL, ha="right", va="center_baseline")
    if ends[1]:
        axes.text(x - STAGE_GAP + 0.14, y, "classes", size=SMALL, va="center_baseline")


def _draw_block(axes: Axes, left: float, y: float, block: _Block, expansions: Sequence[float]) -> None:
    height = 0.09 if block.passes else block.height(expansions)
    colour = PALE if block.passes else block.colour
    axes.add_patch(rounded_box(left, y, block.width, height, "round,pad=0,rounding_size=0.04", colour))
    if block.passes:
        return
    middle = left + block.width / 2
    for line, text in enumerate(block.lines):
        rise = 0.062 * (len(block.lines) - 1 - 2 * line)
        axes.text(middle, y + rise, text, size=SMALL, ha="center", va="center_baseline", zorder=4)


def _graph(edges: Edges, concat: Sequence[int]) -> tuple[list[Box], BoolArray]:
    """Every vertex that lies on a way to the output, and the edges between them, shape [k, k]."""
    nodes = len(edges) // 2
    output = 2 + 3 * nodes
    place = [0, 1, *(2 + 3 * node + 2 for node in range(nodes))]
    boxes = [Box("c_{k-2}", "#ffffff", True), Box("c_{k-1}", "#ffffff", True)]
    adjacency = np.zeros((output + 1, output + 1), np.bool_)
    for edge, (operation, source) in enumerate(edges):
        vertex = len(boxes)
        if operation != "none":
            adjacency[place[source], vertex] = True
            adjacency[vertex, place[2 + edge // 2]] = True
        boxes.append(Box(*_label_and_colour(operation), False))
        if edge % 2:
            boxes.append(Box(str(2 + edge // 2), "#ffffff", True))
    boxes.append(Box("c_{k}", "#ffffff", True))
    adjacency[[place[node] for node in concat], output] = True
    shown = np.flatnonzero(on_a_path(adjacency, np.arange(output + 1) < 2) | (np.arange(output + 1) == output))
    return [boxes[vertex] for vertex in shown], adjacency[np.ix_(shown, shown)]


def _label_and_colour(operation: str) -> tuple[str, str]:
    """An operation of a genotype in a reader's words ("sep conv 3x3"), and its fill, the same in all pictures."""
    label = "skip" if operation == "skip_connect" else operation.replace("_", " ")
    if operation in ("skip_connect", "none"):
        return label, PALE
    return label, FILLS[OPERATIONS.index(operation) % len(FILLS)] if operation in OPERATIONS else FILLS[-1]
