"""How searches went: regret by queries, when the optimum was found, one run query by query."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from frugalnas.amounts import plural
from frugalnas.errors import FrugalnasError
from frugalnas.report.style import COLUMN, GREY, INK, LINES, drawing, pens, shared_legend, wrap
from frugalnas.spaces.arrays import FloatArray, IntArray

ACCURACY = "validation accuracy, %"
RESAMPLES = 1_000
DRAWN = 500
"""Queries that a line is drawn through; of longer searches this many, spaced as the axis is."""
LABEL_POINTS = 7.0
NOTE_POINTS = 6.5
HEIGHT = 2.45
NARROW = 2.0
"""Ratio of the largest to the smallest regret below which a linear scale shows them."""
DASH = 3.0
"""Length, in widths of the line, of the dashes of lines that lie on one another."""


@dataclass(frozen=True)
class _Line:
    """Mean and interval over seeds at `queries`; NaN where no seed has a value, no interval where not all have one."""

    name: str
    queries: IntArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    seeds: int
    complete: NDArray[np.bool_]

    @property
    def end(self) -> tuple[float, float]:
        """The last point drawn: queries and mean."""
        last = np.flatnonzero(np.isfinite(self.mean))[-1]
        return float(self.queries[last]), float(self.mean[last])


def regret_curves(
    curves: Mapping[str, FloatArray], *, optimum: float | None, unit: str = ACCURACY, title: str | None = None
) -> Figure:
    """A figure, one column wide, of how far the best network found is from the optimum after each query.

    Lines are means over seeds, shaded are 95 % bootstrap intervals of the mean (1,000 resamples of the seeds, seed 0).
    Where some seeds have no value, because they began with failures or ended early, the mean is over the others and its
    line dotted, without an interval. The names stand at the ends of their lines, ordered by final value.

    Regret is on a log scale. Where a mean is zero the scale goes on below the last power of ten, shaded, linearly
    down to a tick labelled 0. Without an optimum the best value itself is shown, on the range that the second half of
    the x axis needs. Queries are on a log scale where there are more than 100.

    Args:
        curves: best value so far after each query, shape [seeds, queries], NaN where a run had ended or had nothing
            yet. Strategies may differ in both numbers; a place in the mapping has the same colour in every figure.
        optimum: the best value there is in the space; None where nobody knows.
        unit: what the values are.
        title: a line above the axes.

    Raises:
        FrugalnasError: where a curve is above the optimum or has no values at all.
    """
    table = _checked(curves, optimum)
    values = {name: curve if optimum is None else _regret(curve, optimum) for name, curve in table.items()}
    queries = max(curve.shape[1] for curve in values.values())
    lines = [_line(name, curve, log=queries > 100) for name, curve in values.items()]
    with _axes(queries, title, names=len(lines)) as axes:
        if optimum is None:
            axes.set_ylabel(f"best {unit}")
            _focus(axes, lines, queries)
        else:
            axes.set_ylabel(f"simple regret in {unit}")
            _regret_scale(axes, lines)
        for line, pen in zip(lines, pens(), strict=False):
            solid = np.where(line.complete, line.mean, np.nan)
            axes.fill_between(line.queries, line.low, line.high, color=pen["color"], alpha=0.18, linewidth=0)
            axes.plot(line.queries, solid, label=line.name, zorder=3, **pen)
            if not line.complete.all():
                axes.plot(line.queries, line.mean, color=pen["color"], linestyle=":", linewidth=1.0, zorder=2)
        _show_all(axes, [(line.queries, np.where(line.complete, line.mean, np.nan)) for line in lines])
        _note(axes, lines)
        _name_ends(axes, [(line.name, line.end) for line in lines])
    return cast(Figure, axes.figure)


def optimum_found(curves: Mapping[str, FloatArray], optimum: float, *, title: str | None = None) -> Figure:
    """A figure, one column wide, of the share of seeds that have found the optimum after each query.

    A seed that found it keeps it after its run has ended; one that ended before, or never succeeded, has not found it.

    Args:
        curves: best value so far after each query, shape [seeds, queries], NaN where there is none.
        optimum: the best value there is in the space.
        title: a line above the axes.

    Raises:
        FrugalnasError: where a curve is above the optimum or has no values at all.
    """
    table = _checked(curves, optimum)
    queries = max(curve.shape[1] for curve in table.values())
    with _axes(queries, title, names=len(table)) as axes:
        axes.set(ylim=(-0.02, 1.02), ylabel="share of seeds that found the optimum")
        ends, steps = [], []
        for (name, curve), pen in zip(table.items(), pens(), strict=False):
            # NaN compares as not found.
            found = np.maximum.accumulate(_regret(curve, optimum) == 0, axis=1).mean(axis=0)
            x = np.arange(1, queries + 1)
            share = np.append(found, np.full(queries - len(found), found[-1]))
            axes.plot(x, share, drawstyle="steps-post", label=name, **pen)
            steps.append((x, share))
            ends.append((name, (float(queries), float(share[-1]))))
        _show_all(axes, steps, drawstyle="steps-post")
        axes.set_title(_seed_note([len(curve) for curve in table.values()]), loc="left", size=NOTE_POINTS, color=GREY)
        _name_ends(axes, ends)
    return cast(Figure, axes.figure)


def search_progress(
    values: ArrayLike,
    *,
    best: ArrayLike | None = None,
    optimum: float | None = None,
    rank: tuple[int, int] | None = None,
    unit: str = ACCURACY,
    title: str | None = None,
) -> Figure:
    """A figure, one column wide, of one run: a dot for each query and a line for the best so far.

    Failed queries are crosses at the bottom. Values far below the others (roughly: more than 1.5 interquartile ranges
    under the first quartile) are triangles at the bottom; the legend says how many there are, and below what.

    Args:
        values: the value of each query in order, NaN where it failed, shape [queries].
        best: the best so far, shape [queries]; None: the highest of the values so far.
        optimum: the best value there is in the space, a dashed line; None where nobody knows.
        rank: place of the best network found (1 for the optimum) and among how many; None where nobody knows.
        unit: what the values are.
        title: a line above the axes.

    Raises:
        FrugalnasError: where `values` is not one run.
    """
    run = np.asarray(values, np.float64)
    if run.ndim != 1:
        raise FrugalnasError(f"search_progress() draws one run of shape [queries], not {list(run.shape)}")
    query = np.arange(1, len(run) + 1)
    failed = ~np.isfinite(run)
    known = run[~failed]
    with _axes(len(run), title, log=False) as axes:
        axes.set_ylabel(unit)
        floor = _floor(known)
        low = ~failed & (run < floor)
        usual = ~failed & ~low
        bottom = axes.get_xaxis_transform()
        if known.size:
            top = max(known.max(), -np.inf if optimum is None else optimum)
            pad = 0.06 * (top - floor) or 0.5
            axes.set_ylim(floor - 1.8 * pad, top + pad)
            axes.scatter(query[usual], run[usual], s=9, color=LINES[0], alpha=0.6, linewidth=0, label="query", zorder=2)
        else:
            axes.set_yticks([])
            axes.text(0.5, 0.7, "no query has succeeded", transform=axes.transAxes, ha="center", color=GREY)
        for rows, marker, colour, said in (
            (low, "v", LINES[0], f"{low.sum()} below {_plain(floor)}"),
            (failed, "x", INK, f"{failed.sum()} failed"),
        ):
            if rows.any():
                foot = np.full(rows.sum(), 0.035)
                axes.scatter(
                    query[rows], foot, s=9, color=colour, marker=marker, linewidth=0.7, transform=bottom, label=said
                )
        if known.size:
            line = np.maximum.accumulate(np.where(failed, -np.inf, run)) if best is None else np.asarray(best)
            said = f"best so far: {_plain(line[-1])}" + (f" (rank {rank[0]:,} of {rank[1]:,})" if rank else "")
            begun = np.isfinite(line)
            axes.step(query[begun], line[begun], where="post", color=LINES[1], label=said, zorder=3)
        if optimum is not None:
            said = f"optimum {_plain(optimum)}"
            axes.axhline(optimum, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), label=said, zorder=1)
        if axes.get_legend_handles_labels()[1]:
            shared_legend(cast(Figure, axes.figure), [axes], ncols=2, columnspacing=1.2, handlelength=1.6)
    return cast(Figure, axes.figure)


def _checked(curves: Mapping[str, FloatArray], optimum: float | None) -> dict[str, NDArray[np.float64]]:
    """The curves as arrays, infinities as NaN, after the checks that the figures promise."""
    if not curves:
        raise FrugalnasError("no curves to draw; pass at least one, as {name: values of shape [seeds, queries]}")
    table = {}
    for name, curve in curves.items():
        array = np.array(curve, np.float64)
        array[~np.isfinite(array)] = np.nan
        if array.ndim != 2:
            raise FrugalnasError(f"curve {name!r} has shape {list(array.shape)}; pass [seeds, queries]")
        if not np.isfinite(array).any():
            raise FrugalnasError(f"curve {name!r} has no values at all; leave it out")
        if optimum is not None and np.nanmax(array) > optimum + _tolerance(optimum):
            raise FrugalnasError(
                f"curve {name!r} reaches {np.nanmax(array):.8g}, above the optimum {optimum:.8g}; "
                "pass the best value of the same metric, or optimum=None"
            )
        table[name] = array
    return table


def _tolerance(optimum: float) -> float:
    """Differences that only single precision makes: nobody's regret."""
    return 1e-6 * max(1.0, abs(optimum))


def _regret(curve: NDArray[np.float64], optimum: float) -> NDArray[np.float64]:
    regret = optimum - curve
    regret[regret < _tolerance(optimum)] = 0.0
    return regret


def _line(name: str, values: NDArray[np.float64], *, log: bool) -> _Line:
    """Mean and 95 % bootstrap interval over the rows of `values`, shape [seeds, queries]."""
    seeds, count = values.shape
    queries = np.arange(1, count + 1)
    if count > DRAWN:
        spaced = np.geomspace(1, count, DRAWN) if log else np.linspace(1, count, DRAWN)
        queries = np.unique(np.round(spaced).astype(np.int64))
    shown = values[:, queries - 1]
    present = np.isfinite(shown)
    number = present.sum(axis=0)
    mean = np.full(len(queries), np.nan)
    np.divide(np.where(present, shown, 0).sum(axis=0), number, out=mean, where=number > 0)
    low, high = np.full((2, len(queries)), np.nan)
    complete = number == seeds
    if seeds > 1 and complete.any():
        from frugalnas.studies.statistics import bootstrap_interval  # a single search needs no studies

        low[complete], high[complete] = bootstrap_interval(shown[:, complete], RESAMPLES)
    return _Line(name, queries, mean, low, high, seeds, complete)


@contextmanager
def _axes(queries: int, title: str | None, *, names: int = 0, log: bool | None = None) -> Iterator[Axes]:
    """The axes of a figure, one column wide, that is drawn while the block runs."""
    # Room for a line of text for each name beside the axes.
    with drawing(COLUMN, max(HEIGHT, 0.75 + 1.2 * LABEL_POINTS / 72 * names), title) as figure:
        axes = figure.add_subplot()
        axes.set_xlabel("queries")
        axes.grid(axis="y")
        if queries > 100 if log is None else log:
            axes.set_xscale("log")
            axes.set_xlim(1, queries)
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_xlim(0, 1.015 * max(queries, 1))
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_formatter(_plain)
        yield axes


def _regret_scale(axes: Axes, lines: Sequence[_Line]) -> None:
    """A log scale over the positive means; where some mean is zero, with a linear floor down to a tick "0"."""
    means = np.concatenate([line.mean[np.isfinite(line.mean)] for line in lines])
    highs = np.concatenate([line.high[np.isfinite(line.high)] for line in lines])
    positive = means[means > 0]
    if not positive.size:
        axes.set_ylim(-0.05, 1)
        axes.set_yticks([0])
        return
    top = max(means.max(), highs.max(initial=0)) * 1.25
    if (means > 0).all() and top < NARROW * positive.min():
        # A log scale would have hardly a round number to write beside it.
        low = min([positive.min(), *(float(np.nanmin(line.low)) for line in lines if np.isfinite(line.low).any())])
        room = 0.08 * (top / 1.25 - low) or 0.08 * low
        axes.set_ylim(low - room, top / 1.25 + room)
    elif (means > 0).all():
        axes.set_yscale("log")
        axes.set_ylim(positive.min() / 1.6, top)
        few = top < 30 * positive.min()
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 3.0, 5.0) if few else (1.0,), numticks=12))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        last = 10.0 ** max(np.floor(np.log10(positive.min())), np.ceil(np.log10(top)) - 5)
        axes.set_yscale("symlog", linthresh=last, linscale=0.45)
        axes.set_ylim(-0.12 * last, top)
        decades = last * 10.0 ** np.arange(int(np.log10(top / last)) + 1)
        axes.yaxis.set_major_locator(FixedLocator([0.0, *decades]))
        minor = np.outer(decades, np.arange(2, 10)).ravel()
        axes.yaxis.set_minor_locator(FixedLocator(minor[minor < top].tolist()))
        axes.axhspan(-0.12 * last, last, color="#f3f3f3", linewidth=0, zorder=0)
    axes.yaxis.set_major_formatter(_plain)


def _focus(axes: Axes, lines: Sequence[_Line], queries: int) -> None:
    """Limits of the best value such that what happens in the second half of the x axis fills a third of the figure."""
    middle = np.sqrt(queries) if queries > 100 else queries / 2
    means = [line.mean[np.isfinite(line.mean)] for line in lines]
    later = [line.mean[np.isfinite(line.mean) & (line.queries >= min(middle, line.end[0]))] for line in lines]
    least, worst = (min(float(values.min()) for values in part) for part in (means, later))
    top = max(float(values.max()) for values in means)
    high = max([top, *(float(np.nanmax(line.high)) for line in lines if np.isfinite(line.high).any())])
    low = max(least, top - 3 * (top - worst)) if top > worst else least
    pad = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - pad, high + pad)


def _show_all(axes: Axes, lines: Sequence[tuple[IntArray, FloatArray]], **pen: Any) -> None:
    """Draw what several lines share in dashes of each in turn, so that none hides another; NaN is where a line is not."""
    places = np.unique(np.concatenate([x for x, _ in lines]))
    heights = np.full((len(lines), len(places)), np.nan)
    for row, (x, y) in enumerate(lines):
        heights[row, np.searchsorted(places, x)] = y
    for row, own in zip(range(len(lines)), pens(), strict=False):
        equal = np.isclose(heights, heights[row], rtol=1e-9, atol=1e-12)
        company = np.where(equal.sum(axis=0) > 1, equal, False)
        starts = np.flatnonzero(np.append(True, (company[:, 1:] != company[:, :-1]).any(axis=0)))
        for start, end in itertools.pairwise([*starts.tolist(), len(places)]):
            together = company[:, start]
            if together.any() and end - start > 1:
                turn, others = int(together[:row].sum()), int(together.sum()) - 1
                dashes = (-DASH * turn, (DASH, DASH * others))
                axes.plot(
                    places[start:end], heights[row, start:end], color=own["color"], linestyle=dashes, zorder=3.5,
                    dash_capstyle="butt", **pen,
                )  # fmt: skip


def _note(axes: Axes, lines: Sequence[_Line]) -> None:
    """Above the axes: over how many seeds, and what shades and dots mean."""
    note = "mean of " + _seed_note([line.seeds for line in lines])
    if any(np.isfinite(line.low).any() for line in lines):
        note += "; shaded: 95 % interval"
    if not all(line.complete.all() for line in lines):
        note += "\ndotted: mean of the seeds that have a value"
    axes.set_title(note, loc="left", size=NOTE_POINTS, color=GREY)


def _seed_note(seeds: Sequence[int]) -> str:
    few, many = min(seeds), max(seeds)
    return f"{few} to {many} seeds" if few < many else plural(few, "seed")


def _name_ends(axes: Axes, ends: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Each name, given with the end of its line, to the right of the axes, in the order of the ends, joined to them."""
    last = axes.get_xlim()[1]
    texts = []
    for (name, end), pen in zip(ends, pens(), strict=False):
        # A broken joint is not taken for the line itself where a search ended early.
        early = end[0] < 0.95 * last
        joint = {"arrowstyle": "-", "color": pen["color"], "lw": 0.6, "ls": (0, (1.5, 2.5)) if early else "-"}
        texts.append(
            axes.annotate(
                "\n".join(wrap(name, 1.15, LABEL_POINTS)),
                end,
                xytext=(1.07, 0.5),
                textcoords="axes fraction",
                size=LABEL_POINTS,
                va="center",
                annotation_clip=False,
                arrowprops={**joint, "shrinkA": 2, "shrinkB": 0, "relpos": (0, 0.5), "patchA": None},
            )
        )
        if early or last < 2:
            axes.plot(*end, marker="o", markersize=3, color=pen["color"], label="_end")
    figure = cast(Figure, axes.figure)
    layout = figure.get_layout_engine()
    assert layout is not None  # see `paper_figure`
    layout.execute(figure)
    # Heights in inches from the bottom of the axes, the lowest first; of equal ones the first name stands on top.
    room = float(axes.get_window_extent().height) / figure.dpi
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = np.array([np.clip(to_axes.transform(end)[1], 0, 1) * room for _, end in ends])
    upwards = np.argsort(-wanted, kind="stable")[::-1]
    tall = np.array([(text.get_text().count("\n") + 1) * 1.2 * LABEL_POINTS / 72 for text in texts])
    for i, height in zip(upwards, _spread(wanted[upwards], tall[upwards], room), strict=True):
        texts[i].set_position((1.07, height / room))


def _spread(wanted: FloatArray, tall: FloatArray, room: float) -> FloatArray:
    """Heights nearest to those wanted, in this order, at which labels this tall do not overlap, shape [n].

    Least squares under an order: pooled means of what is left when everything below is stacked without gaps. Labels
    that do not fit into the room stand over at its top.
    """
    stacked = np.concatenate([[0.0], np.cumsum((tall[1:] + tall[:-1]) / 2)])
    pools: list[list[float]] = []
    for value in wanted - stacked:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    base = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])
    return np.maximum(np.minimum(base, room - stacked[-1]), 0.0) + stacked


def _floor(values: NDArray[np.float64]) -> float:
    """Where the axis may end: a round number near Tukey's lower fence, or the least value if that is above."""
    if not values.size:
        return 0.0
    first, third = np.percentile(values, [25, 75])
    fence = first - 1.5 * (third - first)
    if fence <= values.min() or first == third:
        return float(values.min())
    step = 10.0 ** (np.floor(np.log10(values.max() - fence)) - 1)
    return max(float(np.floor(fence / step) * step), float(values.min()))


def _plain(value: float, place: float = 0) -> str:
    """A number as one would write it: no exponent where it needs no more than five decimals."""
    return f"{value:.5g}" if value == 0 or 1e-5 <= abs(value) < 1e5 else f"{value:.3g}"
