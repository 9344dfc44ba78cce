"""What lies in a search space, as numbers, CSV and figures: differences by distance, and what samplers draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from frugalnas.report.records import write_csv
from frugalnas.report.style import GREY, LINES, PAGE, drawing, save_figure, ticks_at
from frugalnas.studies.landscape import Landscape, Samplers
from frugalnas.studies.statistics import bootstrap_interval, bootstrap_mean

FEW = 30
"""Pairs below which a mean difference is drawn pale."""


def landscape_figure(landscape: Landscape) -> Figure:
    """A figure, two columns wide: mean difference in accuracy by distance, and how many pairs have each distance.

    Where validation and test are known, a third panel has Kendall's tau of the two among the best by validation. Dashed
    lines are the mean differences of all pairs; what comes from less than 30 pairs is pale.
    """
    title = f"{landscape.table}, {landscape.architectures:,} architectures"
    distances, bits = landscape.distances, f"differing bits of {landscape.encoding}"
    with drawing(PAGE, 2.4, title) as figure:
        panels = figure.subplots(1, 3 if landscape.agreement else 2)
        enough = landscape.pairs >= FEW
        for (role, found), colour in zip(landscape.differences.items(), LINES, strict=False):
            panels[0].plot(distances, found, color=colour, alpha=0.3, linewidth=1)
            split = f"{role.replace('_', ' ')} accuracy"
            panels[0].plot(distances, np.where(enough, found, np.nan), color=colour, label=split)
            panels[0].axhline(landscape.random[role], color=colour, linewidth=0.7, linestyle=(0, (4, 3)))
        panels[0].set(xlabel=bits, ylabel="mean difference, points", ylim=(0, None))
        panels[0].legend()
        panels[1].bar(distances, landscape.pairs / landscape.pairs.sum(), width=0.9, color=GREY)
        panels[1].set(xlabel=bits, ylabel="share of pairs")
        for axes in panels[:2]:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if landscape.agreement:
            shares, taus = zip(*((known["share"], known["tau"]) for known in landscape.agreement), strict=True)
            panels[2].plot(shares, taus, color=LINES[2], marker="o", markersize=3)
            panels[2].set(xscale="log", xlabel="best by validation, %", ylabel="tau of validation and test")
            ticks_at(panels[2].xaxis, shares, lambda share, _: f"{100 * share:g}")
        for axes in panels:
            axes.grid(True)
    return figure


def landscape_report(landscape: Landscape, folder: Path) -> list[Path]:
    """The differences and the agreement as CSV, and the figure, written into `folder`."""
    differences = landscape.differences
    header = ("distance", "pairs", *(f"{role}_difference" for role in differences))
    columns = [column.tolist() for column in (landscape.distances, landscape.pairs, *differences.values())]
    written = [write_csv(folder / "differences.csv", header, zip(*columns, strict=True))]
    if landscape.agreement:
        rows = [list(known.values()) for known in landscape.agreement]
        written.append(write_csv(folder / "agreement.csv", list(landscape.agreement[0]), rows))
    return written + save_figure(landscape_figure(landscape), folder / "landscape")


def samplers_figure(samplers: Samplers) -> Figure:
    """A figure, two columns wide: divergence by size of the sample, and how often each path is drawn.

    Lines are means over trials, bars their 95 % bootstrap intervals. Dots are paths; on the diagonal a path is drawn as often
    as it occurs in the whole space. Paths that are never drawn lie at the lower edge.
    """
    trials = len(next(iter(samplers.divergences.values())))
    title = f"{samplers.space}, {samplers.architectures:,} architectures, {trials} samples of each size"
    with drawing(PAGE, 2.7, title) as figure:
        sizes, paths = figure.subplots(1, 2)
        positive = samplers.whole > 0
        low = samplers.whole[positive].min()
        for (name, found), colour in zip(samplers.divergences.items(), LINES, strict=False):
            mean = found.mean(axis=0)
            bars = np.abs(bootstrap_interval(found) - mean)
            sizes.errorbar(samplers.sizes, mean, yerr=bars, color=colour, marker="o", markersize=2.5, label=name)
            drawn = np.maximum(samplers.shares[name][positive], low / 3)
            paths.scatter(samplers.whole[positive], drawn, s=5, color=colour, alpha=0.6, linewidths=0)
        ends = [low, samplers.whole.max()]
        paths.plot(ends, ends, color=GREY, linewidth=0.6)
        sizes.set(xlabel="architectures drawn", ylabel="divergence of paths, nats")
        paths.set(xlabel="share of paths in the whole space", ylabel="share in samples")
        for axes in (sizes, paths):
            axes.set(xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
            axes.grid(True)
        ticks_at(sizes.xaxis, _apart(samplers.sizes))
        sizes.legend()
    return figure


def samplers_report(samplers: Samplers, folder: Path) -> list[Path]:
    """Divergences as CSV, and the figure, written into `folder`."""
    rows = [
        [name, size, *map(repr, bootstrap_mean(found[:, place]))]
        for name, found in samplers.divergences.items()
        for place, size in enumerate(samplers.sizes)
    ]
    written = [write_csv(folder / "divergences.csv", ["sampler", "architectures", "mean", "low", "high"], rows)]
    return written + save_figure(samplers_figure(samplers), folder / "samplers")


def _apart(numbers: Sequence[int]) -> list[int]:
    """Those that are far enough from each other on a logarithmic axis to be written beside each other."""
    kept: list[int] = []
    for number in sorted(numbers):
        if not kept or number >= 1.8 * kept[-1]:
            kept.append(number)
    return kept
