"""How a score ranks a table, in pictures: score against accuracy at three zooms, and tau over epochs and data sets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from frugalnas.errors import FrugalnasError
from frugalnas.report.style import COLUMN, GREY, INK, LINES, PAGE, drawing, pens, shared_legend
from frugalnas.spaces import BoolArray, FloatArray, IntArray

ANGLE_ZOOMS = ((0.7, 1.6), (1.46, 1.54), (1.5, 1.53))
"""Angles, in radians, between which the three panels of RLNAS's transfer figure lie."""

ZOOM_QUANTILES = (0.025, 0.5, 0.95)
"""Of the scores: where the panels begin if the published limits do not fit."""
ENOUGH = 0.01
"""Share of the architectures that a published zoom must show to be used."""
STRAY = 0.01
"""Share of the accuracies in a panel that may lie below its axis."""
NOTE_POINTS = 6.5
DASHES = ((0, (4, 3)), (0, (1, 1.5)))
COLOURS = "viridis"


@dataclass(frozen=True)
class Truth:
    """What is known of the scored architectures.

    Attributes:
        name: data set or table, above its panels.
        values: accuracy, %, of each architecture, NaN where nobody knows it, shape [n].
        unit: what that is, along the axis.
        tau: of the score with it, shown beside the name; None leaves it out.
    """

    name: str
    values: FloatArray
    unit: str = "test accuracy, %"
    tau: float | None = None


def score_against_accuracy(
    scores: FloatArray,
    truths: Sequence[Truth],
    *,
    score: str = "angle, rad",
    params: FloatArray | None = None,
    zooms: Sequence[tuple[float, float]] = ANGLE_ZOOMS,
    title: str | None = None,
) -> Figure:
    """A figure, two columns wide, of every architecture's score and accuracy, in three panels that zoom in on the best.

    A row for each truth. The rectangle in a panel is the next panel; a star marks the architecture with the largest score
    and a ring the truly best. Dots are coloured by parameters, so that what a score knows beyond size can be seen. What
    lies outside the first panel is counted in its corner.

    Args:
        scores: of each architecture, larger is better, shape [n].
        truths: accuracies of the same architectures.
        score: what the scores are called, with their unit.
        params: parameters of each architecture, shape [n]; None draws all dots in one colour.
        zooms: limits of the panels, used where each shows a hundredth of the architectures and the best score; otherwise
            they are quantiles: nearly all, the better half, the best twentieth.
        title: a line above.

    Raises:
        FrugalnasError: where there is nothing to draw, or the arrays do not fit.
    """
    scores = np.asarray(scores, np.float64)
    if not truths:
        raise FrugalnasError("no truths to draw scores against; pass at least one")
    for truth in truths:
        if len(truth.values) != len(scores) or not np.isfinite(truth.values).any():
            raise FrugalnasError(
                f"{truth.name}: {len(truth.values)} accuracies, {int(np.isfinite(truth.values).sum())} known, for {len(scores)} "
                "scores"
            )
    spans = _spans(scores, zooms)
    with drawing(PAGE, 2.3 * len(truths) + 0.45, title) as figure:
        grid = figure.subplots(len(truths), len(spans), squeeze=False)
        dots = None
        for row, truth in zip(grid, truths, strict=True):
            limits = [_limits(scores, truth.values, span) for span in spans]
            for place, axes in enumerate(row):
                dots = _draw_panel(axes, scores, truth, params, limits[place], last=place + 1 == len(limits))
                if place + 1 < len(limits):
                    _draw_zoom(axes, limits[place + 1])
            row[0].set_ylabel(truth.unit)
            known = truth.name if truth.tau is None else f"{truth.name}: Kendall's tau {truth.tau:.3f}"
            row[0].set_title(known, loc="left", size=8)
            _note_outside(row[0], scores, truth.values, limits[0])
        for axes in grid[-1]:
            axes.set_xlabel(score)
        if params is not None and dots is not None:
            bar = figure.colorbar(dots, ax=grid.ravel().tolist(), aspect=30 * len(truths), fraction=0.03, pad=0.01)
            assert bar.solids is not None
            bar.solids.set_alpha(1)
            bar.outline.set_visible(False)
            bar.set_label("parameters, M")
        shared_legend(figure, grid[0, :1], ncols=2, handletextpad=0.4)
    return figure


def tau_by_epoch(
    lines: Mapping[str, Mapping[str, FloatArray]],
    epochs: Sequence[int],
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """A figure of how a ranking changes while the supernet trains; a panel for each statistic.

    Lines are means over seeds, shaded from the lowest to the highest seed. Baselines are dashed.

    Args:
        lines: for each panel, such as "Kendall's tau", the value of each score after each epoch, NaN where there is none,
            shape [seeds, epochs].
        epochs: shape [epochs].
        baselines: for each panel the value of scores that do not change, such as parameters.
        title: a line above.

    Raises:
        FrugalnasError: where a panel has no value.
    """
    for panel, curves in lines.items():
        if not any(np.isfinite(curve).any() for curve in curves.values()):
            raise FrugalnasError(f"{panel}: there is no value to draw at any epoch")
    seeds = max(len(curve) for curves in lines.values() for curve in curves.values())
    with drawing(COLUMN * len(lines), 2.6, title) as figure:
        panels = figure.subplots(1, len(lines), squeeze=False)[0]
        for axes, (panel, curves) in zip(panels, lines.items(), strict=True):
            for (name, curve), pen in zip(curves.items(), pens(), strict=False):
                _draw_line(axes, np.asarray(epochs), np.asarray(curve, np.float64), name, pen)
            constant = _distinct((baselines or {}).get(panel, {}))
            for (name, value), dashes in zip(constant.items(), itertools.cycle(DASHES), strict=False):
                axes.axhline(value, color=INK, linewidth=0.8, linestyle=dashes, label=name, zorder=1)
            axes.set(xlabel="epochs of supernet training", ylabel=panel)
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            if len(epochs) == 1:
                axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        if seeds > 1:
            note = f"mean of {seeds} seeds; shaded: lowest to highest"
            panels[0].set_title(note, loc="left", size=NOTE_POINTS, color=GREY)
        shared_legend(figure, panels, ncols=2 * len(lines), handlelength=1.8)
    return figure


def tau_by_data_set(
    taus: Mapping[str, Mapping[str, FloatArray]], *, unit: str = "Kendall's tau", title: str | None = None
) -> Figure:
    """A figure, one column wide, of how well each score ranks each data set: the transfer of one supernet.

    Dots are means over seeds, bars reach from the lowest to the highest seed.

    Args:
        taus: for each data set the tau of each score, one per seed, shape [seeds].
        unit: the statistic.
        title: a line above.
    """
    names = list(dict.fromkeys(name for scores in taus.values() for name in scores))
    if not names:
        raise FrugalnasError("there are no taus to draw; pass {data set: {score: taus of shape [seeds]}}")
    note: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "size": NOTE_POINTS}
    with drawing(COLUMN, 0.95 + 0.17 * len(taus) * (len(names) + 1), title) as figure:
        axes = figure.add_subplot()
        places = np.arange(len(taus), dtype=np.float64)
        for rank, (name, colour) in enumerate(zip(names, itertools.cycle(LINES), strict=False)):
            height = places + (rank - (len(names) - 1) / 2) / (len(names) + 1)
            seeds = [np.asarray(scores.get(name, [np.nan]), np.float64) for scores in taus.values()]
            means = np.array([values.mean() for values in seeds])
            reach = np.array([[values.mean() - values.min(), values.max() - values.mean()] for values in seeds]).T
            axes.errorbar(means, height, xerr=reach, fmt="o", markersize=4, color=colour, elinewidth=1.2, label=name)
            for mean, right, at in zip(means, means + reach[1], height, strict=True):
                if np.isfinite(mean):
                    axes.annotate(f"{mean:.3f}", (right, at), **note)
        axes.set_yticks(places, list(taus))
        axes.set_ylim(len(taus) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        for between in places[1:] - 0.5:
            axes.axhline(between, color="#e6e6e6", linewidth=0.6, zorder=0)
        axes.margins(x=0.15)
        axes.set_xlabel(unit)
        most = max(len(values) for scores in taus.values() for values in scores.values())
        if most > 1:
            said = f"mean of {most} seeds; bars: lowest to highest"
            axes.set_title(said, loc="left", size=NOTE_POINTS, color=GREY)
        axes.grid(axis="x")
        shared_legend(figure, [axes], ncols=min(len(names), 3), handletextpad=0.4)
    return figure


Limits = tuple[tuple[float, float], tuple[float, float]]


def _spans(scores: FloatArray, zooms: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The limits of the panels along the score."""
    best = scores.max()
    shares = [((scores >= low) & (scores <= high)).mean() for low, high in zooms]
    if zooms and all(low < best < high for low, high in zooms) and min(shares) >= ENOUGH:
        return list(zooms)
    spans: list[tuple[float, float]] = []
    for quantile in ZOOM_QUANTILES:
        low = float(np.quantile(scores, quantile))
        # Where the best are all equal a panel is half as wide as the one that it is in.
        pad = 0.04 * (best - low) or (0.5 * (spans[-1][1] - best) if spans else 0.05 * max(abs(best), 1e-9))
        spans.append((low - pad, float(best) + pad))
    return spans


def _limits(scores: FloatArray, truth: FloatArray, span: tuple[float, float]) -> Limits:
    """Both limits of a panel: all accuracies that belong to these scores but the lowest few, the winner's among them."""
    inside = truth[(scores >= span[0]) & (scores <= span[1]) & np.isfinite(truth)]
    if not inside.size:
        inside = truth[np.isfinite(truth)]
    low, high = min(float(np.quantile(inside, STRAY)), float(truth[_winner(scores, truth)])), float(inside.max())
    pad = 0.05 * (high - low) or 0.5
    return span, (low - pad, high + pad)


def _winner(scores: FloatArray, truth: FloatArray) -> int:
    """The largest score of which the truth is known."""
    return int(np.nanargmax(np.where(np.isfinite(truth), scores, np.nan)))


def _inside(scores: FloatArray, truth: FloatArray, limits: Limits) -> BoolArray:
    (left, right), (low, high) = limits
    return (scores >= left) & (scores <= right) & (truth >= low) & (truth <= high)


def _draw_panel(
    axes: Axes, scores: FloatArray, truth: Truth, params: FloatArray | None, limits: Limits, last: bool
) -> PathCollection:
    rows = np.flatnonzero(_inside(scores, truth.values, limits))
    # In any order of the space the last architectures would cover the others.
    rows = np.random.default_rng(0).permutation(rows)
    size = float(np.clip(60 / np.sqrt(max(len(rows), 1)), 1.2, 9))
    pen: dict[str, Any] = {"color": LINES[0]} if params is None else _coloured(params, rows)
    dots = axes.scatter(
        scores[rows], truth.values[rows], s=size, alpha=0.6, linewidth=0, rasterized=True, zorder=2, **pen
    )
    winner = _winner(scores, truth.values)
    best = int(np.nanargmax(truth.values))
    accuracies = truth.values[np.isfinite(truth.values)]
    place = 1 + int((accuracies > truth.values[winner]).sum())
    found = f"\N{BLACK STAR} {truth.values[winner]:.2f}, place {place:,} of {len(accuracies):,}"
    star: dict[str, Any] = {"marker": "*", "s": 60, "color": LINES[3], "edgecolor": "white", "linewidth": 0.5}
    ring: dict[str, Any] = {"marker": "o", "s": 22, "facecolor": "none", "edgecolor": INK, "linewidth": 0.9}
    axes.scatter(scores[winner], truth.values[winner], label="largest score", zorder=5, **star)
    axes.scatter(scores[best], truth.values[best], label="truly best", zorder=4, **ring)
    axes.set(xlim=limits[0], ylim=limits[1])
    if last:
        axes.set_title(found, loc="right", size=7, color=LINES[3])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:.5g}")
    axes.grid()
    return dots


def _coloured(params: FloatArray, rows: IntArray) -> dict[str, Any]:
    """The same colours in every panel."""
    millions = np.asarray(params) / 1e6
    return {"c": millions[rows], "cmap": COLOURS, "vmin": millions.min(), "vmax": millions.max()}


def _draw_zoom(axes: Axes, limits: Limits) -> None:
    (left, right), (low, high) = limits
    axes.add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor=INK, linewidth=0.7, zorder=6))


def _note_outside(axes: Axes, scores: FloatArray, truth: FloatArray, limits: Limits) -> None:
    outside = int((np.isfinite(truth) & ~_inside(scores, truth, limits)).sum())
    if outside:
        said = f"{outside:,} outside"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        axes.text(0.02, 0.02, said, transform=axes.transAxes, size=NOTE_POINTS, color=GREY, bbox=box, zorder=7)


def _distinct(baselines: Mapping[str, float]) -> dict[str, float]:
    """The baselines that have a value; those that rank alike under one name."""
    values: dict[str, float] = {}
    for name, value in baselines.items():
        same = next((other for other, known in values.items() if abs(known - value) < 1e-9), None)
        if same is not None:
            values = {(f"{same} and {name}" if other == same else other): known for other, known in values.items()}
        elif np.isfinite(value):
            values[name] = value
    return values


def _draw_line(axes: Axes, epochs: FloatArray, curve: FloatArray, name: str, pen: Mapping[str, Any]) -> None:
    shown = np.isfinite(curve).any(axis=0)
    if not shown.any():
        return
    known, epochs = curve[:, shown], epochs[shown]
    marker = "o" if shown.sum() <= 20 else ""
    low, high = np.nanmin(known, axis=0), np.nanmax(known, axis=0)
    axes.fill_between(epochs, low, high, color=pen["color"], alpha=0.18, linewidth=0)
    axes.plot(epochs, np.nanmean(known, axis=0), marker=marker, markersize=3, label=name, zorder=3, **pen)
