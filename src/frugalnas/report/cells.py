"""An architecture as a picture: a graph in layers from left to right, its notation beneath."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from frugalnas.errors import FrugalnasError
from frugalnas.report.layout import LABEL, LONGEST_ROW, Box, arranged
from frugalnas.report.style import FILLS, GREY, INK, PALE, new_figure, paper_style, text_width, wrap
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, IntArray
from frugalnas.spaces.base import SearchSpace

MARGIN = 0.1
"""Inches, like all lengths here."""
NOTATION, TITLE = 6.0, 8.5
LINE_HEIGHT = 1.35 / 72


def draw_cell(space: SearchSpace, code: ArrayLike, *, title: str | None = None) -> Figure:
    """A picture of one architecture, as large as its graph needs.

    Boxes are operations, arrows show what each one reads; edges that leave the same box share a line as long as they
    run together. Only what lies on a path from the input (the first vertex, and others whose operation is called
    "input...") to the output (the last vertex) is drawn. The same operation has the same colour in all pictures of a
    space; skip connections are light grey. The space's own notation stands below.

    Args:
        space: what the code belongs to; it says which graph and which notation a code has.
        code: one architecture, shape [genes].
        title: a line above the graph.

    Raises:
        FrugalnasError: where `code` is not one row.
    """
    row = space.as_codes(code)
    if row.shape != (space.genes,):
        raise FrugalnasError(
            f"draw_cell() draws one {space.name} code of shape [{space.genes}], not {list(row.shape)}; pass one row"
        )
    graphs = space.graphs(row[None])
    adjacency, operations, names = graphs.adjacency[0], graphs.operations[0], graphs.names
    inputs = np.array([names[operation].startswith("input") for operation in operations])
    inputs[0], inputs[-1] = True, False
    live = np.flatnonzero(on_a_path(adjacency, inputs))
    connected = live.size > 0
    shown = live if connected else np.array([0, len(operations) - 1])
    ends = {int(operations[0]), int(operations[-1]), *(i for i, name in enumerate(names) if name.startswith("input"))}
    colours = _colours(names, ends)
    choices = _choices(space, row, names, operations)
    boxes = [
        Box(choices[vertex], colours[operation], operation in ends)
        for vertex, operation in zip(shown.tolist(), operations[shown].tolist(), strict=True)
    ]
    with paper_style():
        layout = arranged(adjacency[np.ix_(shown, shown)], boxes, alike=True)
        note = None if connected else "no path from input to output"
        axes, offset = canvas(*layout.bounds, title, space.format(row), note)
        layout.draw(axes, offset)
    return cast(Figure, axes.figure)


def _choices(space: SearchSpace, row: Codes, names: Sequence[str], operations: IntArray) -> list[str]:
    """What is written into each box: the operation's name, or in a space that has none the gene's word in its notation."""
    if type(space).graphs is SearchSpace.graphs:
        words = re.findall(r"[\w.]+", space.format(row))
        if len(words) == space.genes:
            return ["input", *words, "output"]
    return [names[operation] for operation in operations]


def on_a_path(adjacency: BoolArray, inputs: BoolArray) -> BoolArray:
    """Which vertices lie on a path from an input to the last vertex, shape [V]; all False where there is none."""
    vertices = len(adjacency)
    reached, reaches = inputs.copy(), np.arange(vertices) == vertices - 1
    for vertex in range(vertices):
        reached[vertex] |= (adjacency[:, vertex] & reached).any()
    for vertex in range(vertices - 1, -1, -1):
        reaches[vertex] |= (adjacency[vertex] & reaches).any()
    return np.asarray(reached & reaches)


def _colours(names: Sequence[str], ends: set[int]) -> dict[int, str]:
    """The fill of every operation id: it depends on the space's list of operations only, not on the architecture."""
    colours = {}
    used = 0
    for operation, name in enumerate(names):
        if operation in ends or name in ("concat", "sum", "add"):
            colours[operation] = "#ffffff"
        elif name.startswith(("skip", "identity", "none", "zero")):
            colours[operation] = PALE
        else:
            colours[operation] = FILLS[used % len(FILLS)]
            used += 1
    return colours


def canvas(
    low: FloatArray, high: FloatArray, title: str | None, notation: str, note: str | None = None
) -> tuple[Axes, FloatArray]:
    """Axes in inches over the whole of a new figure with all texts around a drawing, and the drawing's shift on them.

    Args:
        low: the lower left corner of the drawing, shape [2].
        high: its upper right corner.
        title: a line above it.
        notation: the architecture as text, below it.
        note: a remark, between the two.
    """
    # A long notation makes the figure wider before it takes more than four lines.
    paragraphs = notation.split("\n")
    longest = max(text_width(paragraph, NOTATION, "monospace") for paragraph in paragraphs)
    inner = max(float(high[0] - low[0]), 2.2, min(longest / 3.8, LONGEST_ROW))
    above = wrap(title, inner, TITLE) if title else []
    below = [line for paragraph in paragraphs for line in wrap(paragraph, inner, NOTATION, "monospace")]
    notes = [note] if note else []
    foot = 0.6 * MARGIN + LINE_HEIGHT * (NOTATION * len(below) + 1.3 * LABEL * len(notes)) + 0.1
    height = foot + float(high[1] - low[1]) + MARGIN + (LINE_HEIGHT * TITLE * len(above) + 0.06) * bool(above)
    width = inner + 2 * MARGIN
    axes = new_figure(width, height).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    y = height - MARGIN * 0.6
    for line in above:
        axes.text(width / 2, y, line, size=TITLE, ha="center", va="top")
        y -= LINE_HEIGHT * TITLE
    y = foot - 0.1
    for line in notes:
        axes.text(width / 2, y, line, size=LABEL, ha="center", va="top", style="italic", color=INK)
        y -= 1.3 * LINE_HEIGHT * LABEL
    for line in below:
        axes.text(width / 2, y, line, size=NOTATION, ha="center", va="top", family="monospace", color=GREY)
        y -= LINE_HEIGHT * NOTATION
    middle = (low + high) / 2
    return axes, np.array([width / 2 - middle[0], foot - low[1]])
