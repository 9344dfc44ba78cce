"""A graph on a page: boxes in layers from left to right, and the wires between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from numpy.typing import NDArray

from frugalnas.report.style import GREY, text_width
from frugalnas.spaces.arrays import BoolArray, FloatArray

Point: TypeAlias = tuple[float, float]
Node: TypeAlias = tuple[int, int]
"""(vertex, layer): the vertex in its own layer; in later layers the place where its edges pass through."""

BOX_HEIGHT = 0.25
BOX_PADDING = 0.07
PASSAGE_HEIGHT = 0.06
SPACING = 0.13
"""Clear distance between neighbours in a layer, inches, like all lengths here."""
HEAD = 0.075
LONGEST_ROW = 6.8
"""A chain that is longer than this goes on in the next row."""
LABEL = 7.5


class Box(NamedTuple):
    """A vertex as it is drawn: what is written in it, its fill, and whether its ends are round."""

    label: str
    colour: str
    round: bool


@dataclass
class Layout:
    """Where everything is: centres of the boxes [k, 2], their widths [k], wires as curves, arrow tips; y points up."""

    boxes: Sequence[Box]
    centres: FloatArray
    widths: FloatArray
    wires: list[Path]
    tips: list[Point]

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """The lower left and the upper right corner."""
        reach = np.column_stack([self.widths, np.full(len(self.widths), BOX_HEIGHT)]) / 2
        points = np.concatenate([self.centres - reach, self.centres + reach, *(wire.vertices for wire in self.wires)])
        return points.min(axis=0), points.max(axis=0)

    def draw(self, axes: Axes, offset: FloatArray) -> None:
        """Draw it on axes in inches, moved by `offset`: wires, arrow heads, boxes with their labels."""
        for wire in self.wires:
            shifted = Path(np.asarray(wire.vertices) + offset, wire.codes)
            axes.add_patch(PathPatch(shifted, facecolor="none", edgecolor=GREY, linewidth=0.9, zorder=1))
        for x, y in np.asarray(self.tips).reshape(-1, 2) + offset:
            head = [(x, y), (x - HEAD, y + 0.42 * HEAD), (x - HEAD, y - 0.42 * HEAD)]
            axes.add_patch(Polygon(head, closed=True, facecolor=GREY, edgecolor="none", zorder=3))
        for box, (x, y), width in zip(self.boxes, self.centres + offset, self.widths, strict=True):
            corners = f"round,pad=0,rounding_size={BOX_HEIGHT / 2 if box.round else 0.05}"
            axes.add_patch(rounded_box(x - width / 2, y, width, BOX_HEIGHT, corners, box.colour))
            axes.text(x, y, box.label, size=LABEL, ha="center", va="center_baseline", zorder=4)


def rounded_box(left: float, y: float, width: float, height: float, corners: str, colour: str) -> FancyBboxPatch:
    """A box whose middle is at height y, its corners in matplotlib's notation."""
    look: dict[str, Any] = {"facecolor": colour, "edgecolor": GREY, "linewidth": 0.7, "zorder": 2}
    return FancyBboxPatch((left, y - height / 2), width, height, boxstyle=corners, **look)


def arranged(edges: BoolArray, boxes: Sequence[Box], *, alike: bool = False) -> Layout:
    """Places for the vertices of a graph (upper triangular, shape [k, k]) and curves for its edges.

    A box is as wide as its text; those without round ends are all alike if so asked. Call it inside `paper_style`.

    The steps are those of Sugiyama, Tagawa and Toda (1981): layers by longest path, an order in each layer with few
    crossings, then heights that keep edges straight.
    """
    count = len(edges)
    widths = np.array([max(text_width(box.label, LABEL) + 2 * BOX_PADDING, 1.2 * BOX_HEIGHT) for box in boxes])
    if alike:
        inner = np.array([not box.round for box in boxes])
        widths[inner] = widths[inner].max(initial=0)
    if not edges.any():
        return _rows(boxes, widths, joined=False)
    depth = np.zeros(count, np.int64)
    for vertex in range(count):
        depth[vertex] = 1 + depth[edges[:, vertex]].max(initial=-1)
    if len(np.unique(depth)) == count and edges.sum() == count - 1:
        return _rows(boxes, widths, joined=True)
    layers: list[list[Node]] = [[] for _ in range(int(depth.max()) + 1)]
    segments: list[tuple[Node, Node]] = []
    for vertex in range(count):
        targets = np.flatnonzero(edges[vertex])
        start, stop = int(depth[vertex]), int(depth[targets].max(initial=depth[vertex] + 1))
        for layer in range(start, stop):
            layers[layer].append((vertex, layer))
        segments += [((vertex, layer - 1), (vertex, layer)) for layer in range(start + 1, stop)]
        segments += [((vertex, int(depth[target]) - 1), (int(target), int(depth[target]))) for target in targets]
    layers = _upright(_ordered(layers, segments))
    return Layout(boxes, *_wired(layers, segments, depth, _heights(layers, segments, depth), widths))


def _ordered(layers: list[list[Node]], segments: list[tuple[Node, Node]]) -> list[list[Node]]:
    """The nodes of each layer from top to bottom, in the order with the fewest crossings that was seen.

    Barycentres, forwards and backwards in turn, with exchanges of neighbours in between; again from shuffled orders,
    because two layers that would have to turn over together hold each other in place.
    """
    before: dict[Node, list[Node]] = {node: [] for layer in layers for node in layer}
    after: dict[Node, list[Node]] = {node: [] for layer in layers for node in layer}
    for left, right in segments:
        before[right].append(left)
        after[left].append(right)
    rng = np.random.default_rng(0)
    best, fewest = layers, _all_crossings(layers, after)
    for start in range(12 if len(before) < 60 else 3):
        current = [list(layer) if start == 0 else [layer[i] for i in rng.permutation(len(layer))] for layer in layers]
        for sweep in range(8):
            if fewest == 0:
                return best
            forwards = sweep % 2 == 0
            joined = before if forwards else after
            for at in range(1, len(layers)) if forwards else range(len(layers) - 2, -1, -1):
                place = {node: i for i, node in enumerate(current[at - 1 if forwards else at + 1])}
                # Every node but the input is reached from the layer before, every one but the output reaches the next.
                mean = {node: sum(place[other] for other in joined[node]) / len(joined[node]) for node in current[at]}
                current[at].sort(key=mean.__getitem__)
                _exchange(current, at, after)
            crossings = _all_crossings(current, after)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in current], crossings
    return best


def _upright(layers: list[list[Node]]) -> list[list[Node]]:
    """The layers, turned over if that brings more of the vertices into their own order: similar cells look alike."""
    rising = sum(np.sign(b[0] - a[0]) for layer in layers for i, a in enumerate(layer) for b in layer[i + 1 :])
    return layers if rising >= 0 else [layer[::-1] for layer in layers]


def _exchange(layers: list[list[Node]], at: int, after: dict[Node, list[Node]]) -> None:
    """Swap neighbours in one layer, in place, as long as that removes crossings."""

    def around() -> int:
        return _all_crossings(layers[max(at - 1, 0) : at + 2], after)

    layer = layers[at]
    crossings, improved = around(), True
    while improved:
        improved = False
        for i in range(len(layer) - 1):
            layer[i], layer[i + 1] = layer[i + 1], layer[i]
            swapped = around()
            if swapped < crossings:
                crossings, improved = swapped, True
            else:
                layer[i], layer[i + 1] = layer[i + 1], layer[i]


def _all_crossings(layers: list[list[Node]], after: dict[Node, list[Node]]) -> int:
    return sum(_crossings(left, right, after) for left, right in pairwise(layers))


def _crossings(left: list[Node], right: list[Node], after: dict[Node, list[Node]]) -> int:
    """How often the segments between two neighbouring layers cross."""
    place = {node: i for i, node in enumerate(right)}
    ends = [place[target] for node in left for target in sorted(after[node], key=place.__getitem__)]
    return sum(later < end for i, end in enumerate(ends) for later in ends[i + 1 :])


def _heights(
    layers: list[list[Node]], segments: list[tuple[Node, Node]], depth: NDArray[np.int64]
) -> dict[Node, float]:
    """How high each node lies: segments as level as the order and the clear distances allow.

    Least squares over the differences in height along the segments; passages weigh more, so that long edges run
    straight. The unknowns are the top of each layer and the slack between its neighbours, which is never negative.
    """
    nodes = [node for layer in layers for node in layer]
    row = {node: i for i, node in enumerate(nodes)}
    half = {node: (BOX_HEIGHT if depth[node[0]] == node[1] else PASSAGE_HEIGHT) / 2 for node in nodes}
    spread = np.zeros((len(nodes), len(nodes)))
    least = np.zeros(len(nodes))
    free = np.zeros(len(nodes), np.bool_)
    for layer in layers:
        first = row[layer[0]]
        free[first] = True
        for upper, node in pairwise(layer):
            least[row[node]] = least[row[upper]] + half[upper] + half[node] + SPACING
        for i in range(len(layer)):
            spread[first + i, first : first + i + 1] = 1
    left = [row[node] for node, _ in segments]
    right = [row[node] for _, node in segments]
    passages = [sum(int(depth[node[0]]) != node[1] for node in segment) for segment in segments]
    weight = np.array([1.0, 1.3, 40.0])[passages]
    # The last equation pins the input, from which everything hangs.
    matrix = np.vstack([weight[:, None] * (spread[right] - spread[left]), spread[:1]])
    wanted = np.append(weight * (least[left] - least[right]), 0.0)
    heights = np.round(spread @ _least_squares(matrix, wanted, free) + least, 4)
    return {node: -float(heights[i]) for node, i in row.items()}


def _least_squares(matrix: FloatArray, wanted: FloatArray, free: BoolArray) -> FloatArray:
    """The x that brings `matrix @ x` closest to `wanted` and is negative at most where it is free, shape [n].

    The active set of Lawson and Hanson (1974), in few lines: scipy.optimize would double the time that a command takes to start.
    """
    square, aim = matrix.T @ matrix, matrix.T @ wanted
    x, moved = np.zeros(len(free)), free.copy()
    while True:
        found = np.zeros(len(free))
        found[moved] = np.linalg.lstsq(square[np.ix_(moved, moved)], aim[moved])[0]
        below = moved & ~free & (found < 0)
        if below.any():
            x = x + (x[below] / (x[below] - found[below])).min() * (found - x)
            moved &= free | (x > 1e-12)
            continue
        x = found
        gain = np.where(moved, 0.0, aim - square @ x)
        if gain.max(initial=0.0) < 1e-6:
            return x
        moved[int(gain.argmax())] = True


def _wired(
    layers: list[list[Node]],
    segments: list[tuple[Node, Node]],
    depth: NDArray[np.int64],
    heights: dict[Node, float],
    widths: FloatArray,
) -> tuple[FloatArray, FloatArray, list[Path], list[Point]]:
    """A `Layout` without its boxes: columns, wider apart where the wires between them climb, and the curves between them."""
    column = np.array([max(widths[v] for v, layer in nodes if depth[v] == layer) for nodes in layers])
    climb = np.zeros(len(layers))
    for start, end in segments:
        climb[end[1]] = max(climb[end[1]], abs(heights[start] - heights[end]))
    gap = np.clip(0.24 + 0.35 * climb, 0.32, 0.75)
    left = np.cumsum(np.append(0.0, column[:-1] + gap[1:]))
    right = left + column
    count = len(widths)
    centres = np.array([[left[depth[v]] + column[depth[v]] / 2, heights[v, int(depth[v])]] for v in range(count)])
    strokes: dict[int, tuple[list[Point], list[np.uint8]]] = {}
    tips = {}
    for start, end in segments:
        points, codes = strokes.setdefault(start[0], ([], []))
        y0, y1 = heights[start], heights[end]
        arrives = depth[end[0]] == end[1]
        x0, x1 = right[start[1]], left[end[1]] - HEAD
        inset = (column[end[1]] - widths[end[0]]) / 2 if arrives else column[end[1]]
        out = (column[start[1]] - widths[start[0]]) / 2 if depth[start[0]] == start[1] else 0.0
        middle = (x0 + x1) / 2
        points += [(x0 - out, y0), (x0, y0), (middle, y0), (middle, y1), (x1, y1)]
        # An arrow's line ends inside its head, a passing one at the far side of the column.
        points.append((x1 + inset + (0.1 * HEAD if arrives else HEAD), y1))
        codes += [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
        if arrives:
            tips[end[0]] = (x1 + inset + HEAD, y1)
    return centres, widths, [Path(points, codes) for points, codes in strokes.values()], list(tips.values())


def _rows(boxes: Sequence[Box], widths: FloatArray, joined: bool) -> Layout:
    """A chain: one row, or as many rows of equal number as keep each shorter than `LONGEST_ROW`."""
    count, gap, drop = len(widths), 0.3, BOX_HEIGHT + 0.24
    rows = int(np.ceil((widths.sum() + gap * (count - 1)) / LONGEST_ROW))
    length = int(np.ceil(count / rows))
    centres = np.zeros((count, 2))
    for first in range(0, count, length):
        in_row = widths[first : first + length]
        centres[first : first + length, 0] = np.cumsum(in_row + gap) - gap - in_row / 2
        centres[first : first + length, 1] = -drop * (first // length)
    wires, tips = [], []
    for vertex in range(1, count if joined else 1):
        (x0, y0), (x1, y1) = centres[vertex - 1], centres[vertex]
        x0, x1 = x0 + widths[vertex - 1] / 2, x1 - widths[vertex] / 2
        tips.append((x1, y1))
        if y0 == y1:
            wires.append(Path([(x0, y0), (x1 - 0.9 * HEAD, y1)]))
        else:
            out, back, between = x0 + 0.12, x1 - 0.22, (y0 + y1) / 2
            corners = [(x0, y0), (out, y0), (out, between), (back, between), (back, y1), (x1 - 0.9 * HEAD, y1)]
            wires.append(_rounded(corners, 0.08))
    return Layout(boxes, centres, widths, wires, tips)


def _rounded(corners: Sequence[Point], radius: float) -> Path:
    """A line through the corners, each of them rounded off."""
    points, codes = [np.asarray(corners[0])], [Path.MOVETO]
    for previous, corner, following in zip(corners, corners[1:], corners[2:], strict=False):
        at = np.asarray(corner)
        for other in (previous, following):
            direction = np.asarray(other) - at
            points.append(at + direction / np.hypot(*direction) * radius)
        points.insert(-1, at)
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*points, np.asarray(corners[-1])], [*codes, Path.LINETO])
