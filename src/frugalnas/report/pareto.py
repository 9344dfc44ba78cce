"""What a search found when costs count beside the value: its front, and how much of what there is it dominates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Trials
from frugalnas.report.style import COLUMN, GREY, LINES, drawing, shared_legend
from frugalnas.searches import SearchResult
from frugalnas.spaces import FloatArray, IntArray, SearchSpace
from frugalnas.strategies.objectives import Cost, cost_named
from frugalnas.strategies.pareto import hypervolume, non_dominated
from frugalnas.tables import TableEvaluator

MOST_OBJECTIVES = 3
"""With more, exact hypervolumes of whole tables take minutes; reports leave them out."""
HEIGHT = 2.6
FAR = 3.0
"""Interquartile ranges above the third quartile from which a cost is too far off to be drawn."""


@dataclass(frozen=True)
class Fronts:
    """The queries of a search as points, and those of the table that answered.

    Attributes:
        value: what the value is called, with its unit.
        costs: what is minimised beside it.
        points: value and costs of each query, NaN where one is unknown, shape [queries, 1 + costs].
        table: the same of everything that the search was allowed to find; None where no table answered.
    """

    value: str
    costs: tuple[Cost, ...]
    points: FloatArray
    table: FloatArray | None

    @cached_property
    def front(self) -> IntArray:
        """The queries, from 0, that no other dominates; the best value first, equals once."""
        return _front(self.points)

    @cached_property
    def reference(self) -> FloatArray:
        """The worst value and the highest costs, in the table or, where there is none, among the queries, shape [1 + costs].

        Fixed by the table, so that searches of one table compare; without one it moves with the run.
        """
        known = self.points if self.table is None else self.table
        known = known[np.isfinite(known).all(axis=1)]
        if not len(known):
            return np.full(1 + len(self.costs), np.nan)
        return np.concatenate([known[:, :1].min(axis=0), known[:, 1:].max(axis=0)])

    @property
    def measurable(self) -> bool:
        """Whether hypervolumes are reported."""
        return 1 + len(self.costs) <= MOST_OBJECTIVES and len(self.front) > 0

    @cached_property
    def volumes(self) -> FloatArray:
        """The hypervolume dominated after each query, as a share where `table_volume` is known, shape [queries]."""
        upwards, reference = _upwards(self.points), _upwards(self.reference[None])[0]
        front = np.zeros((0, len(reference)))
        volumes = np.zeros(len(upwards))
        for query, point in enumerate(upwards):
            volumes[query] = volumes[query - 1] if query else 0.0
            if np.isfinite(point).all() and not (front >= point).all(axis=1).any():
                front = np.concatenate([front, point[None]])
                front = front[non_dominated(front)]
                volumes[query] = hypervolume(front, reference)
        return volumes / self.table_volume if self.table_volume else volumes

    @cached_property
    def table_volume(self) -> float | None:
        """The hypervolume of the table's front, None without a table, or where it has none."""
        if self.table is None:
            return None
        upwards = _upwards(self.table)
        return hypervolume(upwards[non_dominated(upwards)], _upwards(self.reference[None])[0]) or None

    def to_json(self, result: SearchResult) -> dict[str, Any]:
        """The front and its hypervolume as plain data; `share` is that of the table's own front."""
        names = [cost.metric for cost in self.costs]
        numbers = ["value", *names]
        volume = float(self.volumes[-1]) if self.measurable else None
        known = self.table_volume if self.measurable else None
        return {
            "costs": names,
            "reference": dict(zip(numbers, self.reference.tolist(), strict=True)) if len(self.front) else None,
            "hypervolume": volume if volume is None or known is None else volume * known,
            "share": volume if known is not None else None,
            "front": [
                {
                    "query": query + 1,
                    **dict(zip(numbers, self.points[query].tolist(), strict=True)),
                    "architecture": result.space.format(result.queries[query].code),
                }
                for query in self.front.tolist()
            ],
        }


def read_fronts(
    result: SearchResult, costs: tuple[str, ...], *, value: str, evaluator: TableEvaluator | None
) -> Fronts:
    """The points of a search that minimised `costs`.

    Args:
        result: the search.
        costs: metrics of its evaluations or quantities that the space counts.
        value: what its value is called, with its unit.
        evaluator: the table that answered, None where none did.
    """
    metrics = {name: result.queries.metric(name) for name in result.queries.names}
    table = None
    if evaluator is not None:
        codes = evaluator.opened.codes
        if result.space.limits:
            codes = codes[result.space.valid(codes)]
        known = evaluator.evaluate(Trials(codes, np.arange(len(codes))), Path())
        table = _points(result.space, codes, known.values, known.metrics, costs)
    points = _points(result.space, result.codes, result.values, metrics, costs)
    return Fronts(value, tuple(map(cost_named, costs)), points, table)


def front_figure(fronts: Fronts, *, title: str | None = None) -> Figure:
    """A figure, one column wide, of every query and the front; one panel for each cost.

    Queries are faint dots, the front is a step line with markers; the thin grey line is the front of the whole table.
    With several costs the front is that of all of them together, which no line joins in one panel. A triangle marks the
    better corner. The lowest and the most costly tenth of the front may lie outside the axes, and so do queries whose cost is
    far beyond the others'; the legend says how many of each do.

    Raises:
        FrugalnasError: where no query has a value and all costs.
    """
    if not len(fronts.front):
        raise FrugalnasError("no query has a value and every cost: there is no front to draw")
    panels = len(fronts.costs)
    with drawing(COLUMN, HEIGHT * panels + 0.4, title) as figure:
        for place, axes in enumerate(np.ravel(figure.subplots(panels, 1)).tolist()):
            _draw_front(axes, fronts, place + 1, fronts.costs[place])
        shared_legend(figure, figure.axes[:1], handlelength=1.6)
    return figure


def hypervolume_figure(fronts: Fronts, *, title: str | None = None) -> Figure:
    """A figure, one column wide, of the hypervolume that is dominated after each query.

    With a table it is a share of what the table's front dominates, and the reference point is the worst value and the
    highest costs in the table. Without one it is in the units of value and costs, from the worst of the run itself.

    Raises:
        FrugalnasError: where no query has a value and all costs, or there are more than two costs.
    """
    if not fronts.measurable:
        raise FrugalnasError(f"a hypervolume needs a front in at most {MOST_OBJECTIVES} objectives")
    with drawing(COLUMN, 2.3, title) as figure:
        axes = figure.add_subplot()
        volumes = 100 * fronts.volumes if fronts.table_volume else fronts.volumes
        queries = np.arange(1, len(volumes) + 1)
        axes.step(queries, volumes, where="post", color=LINES[1])
        axes.grid(axis="y")
        axes.set_xlabel("queries")
        axes.set_xlim(0, 1.015 * len(volumes))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if fronts.table_volume:
            axes.set_ylabel("hypervolume,\n% of the table's front")
            # The first queries reach most of it; what follows is the search.
            floor = min(float(volumes[min(9, len(volumes) - 1)]), 98.0)
            axes.set_ylim(max(floor - 0.1 * (100 - floor), 0), 100 + 0.05 * (100 - floor))
            axes.axhline(100, color=GREY, linewidth=0.8, zorder=1)
        else:
            axes.set_ylabel("hypervolume")
        whose = "the run" if fronts.table is None else "the table"
        worst, *most = fronts.reference.tolist()
        paid = [f"{each / cost.scale:.4g} {cost.unit}".strip() for each, cost in zip(most, fronts.costs, strict=True)]
        corner = ", ".join([f"{worst:.4g}", *paid])
        axes.set_title(f"from the worst in {whose}: {corner}", loc="left", size=6.5, color=GREY)
    return figure


def _draw_front(axes: Axes, fronts: Fronts, column: int, cost: Cost) -> None:
    scaled = np.array([1.0, *(other.scale for other in fronts.costs)])
    queries = fronts.points[np.isfinite(fronts.points).all(axis=1)] / scaled
    found = fronts.points[fronts.front] / scaled
    true = None if fronts.table is None else fronts.table[_front(fronts.table)] / scaled
    floor = _floor(found[:, 0], queries[:, 0])
    points = queries if true is None else np.concatenate([queries, true])
    right = _ceiling(found[:, column], points[points[:, 0] >= floor, column])
    shown = points[(points[:, 0] >= floor) & (points[:, column] <= right)]
    left, top = shown[:, column].min(), shown[:, 0].max()

    def counted(what: str, points: FloatArray) -> str:
        """How many points there are, and how many of them lie outside the axes."""
        low = points[:, 0] < floor
        below, beyond = int(low.sum()), int(((points[:, column] > right) & ~low).sum())
        outside = f", {below} below {floor:.4g}" * (below > 0)
        outside += f", {beyond} beyond {f'{right:.4g} {cost.unit}'.strip()}" * (beyond > 0)
        return f"{what} ({len(points)}{outside})"

    label = counted("query", queries)
    axes.scatter(queries[:, column], queries[:, 0], s=8, color=LINES[0], alpha=0.3, linewidth=0, label=label)
    if true is not None:
        label = counted("the table's front", true)
        if len(fronts.costs) > 1:
            axes.scatter(true[:, column], true[:, 0], s=6, marker="+", color=GREY, linewidth=0.5, label=label)
        else:
            _step(axes, true, right, color=GREY, linewidth=0.8, zorder=3, label=label)
    if len(fronts.costs) == 1:
        _step(axes, found, right, color=LINES[1], zorder=4)
    label = counted("front found", found)
    axes.plot(found[:, column], found[:, 0], "o", markersize=3, color=LINES[1], label=label, zorder=5)
    pad, rise = 0.05 * (right - left) or 0.5, 0.1 * (top - floor) or 0.5
    axes.set(xlim=(left - pad, right + pad), ylim=(floor - 0.3 * rise, top + rise))
    axes.set(xlabel=cost.title, ylabel=fronts.value)
    axes.grid()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:.5g}"))
    axes.text(0.012, 0.985, "◤ better", transform=axes.transAxes, ha="left", va="top", size=6.5, color=GREY)


def _step(axes: Axes, front: FloatArray, right: float, **pen: Any) -> None:
    """The border of what a front of value and one cost dominates, up to the right edge."""
    rising = front[np.argsort(front[:, 1], kind="stable")]
    axes.step(np.append(rising[:, 1], right), np.append(rising[:, 0], rising[-1, 0]), where="post", **pen)


def _floor(front: FloatArray, values: FloatArray) -> float:
    """Where the axis of values ends: such that it shows nine of ten members of the front, and no values below all."""
    low, top = float(np.quantile(front, 0.1, method="lower")), float(front.max())
    floor = low - 0.05 * (top - low)
    if floor <= values.min():
        return float(values.min())
    step = 10.0 ** np.floor(np.log10(top - floor)) / 2 if top > floor else 1.0
    return float(np.floor(floor / step) * step)


def _ceiling(front: FloatArray, costs: FloatArray) -> float:
    """Where the axis of costs ends: it shows nine of ten members of the front, and leaves out costs far beyond the others."""
    first, third = np.quantile(costs, [0.25, 0.75])
    fence = max(third + FAR * (third - first), float(np.quantile(front, 0.9, method="lower")))
    within = costs[costs <= fence]
    return float(within.max()) if within.size else float(costs.max())


def _points(
    space: SearchSpace, codes: Any, values: FloatArray, metrics: Mapping[str, FloatArray], costs: tuple[str, ...]
) -> FloatArray:
    """Value and costs of each architecture, NaN throughout where one is unknown, shape [n, 1 + costs]."""
    unknown = np.full(len(codes), np.nan)
    columns = [space.count(cost, codes) if cost in space.quantities else metrics.get(cost, unknown) for cost in costs]
    points = np.column_stack([values, *columns]).astype(np.float64)
    points[~np.isfinite(points).all(axis=1)] = np.nan
    return points


def _upwards(points: FloatArray) -> FloatArray:
    """The same with costs negated, so that more is better throughout."""
    return np.concatenate([points[:, :1], -points[:, 1:]], axis=1)


def _front(points: FloatArray) -> IntArray:
    """Rows of the front, the best value first; of equal points the first row alone."""
    rows = np.flatnonzero(non_dominated(_upwards(points)))
    if not rows.size:
        return rows
    rows = np.sort(rows[np.unique(points[rows], axis=0, return_index=True)[1]])
    return rows[np.argsort(-points[rows, 0], kind="stable")]
