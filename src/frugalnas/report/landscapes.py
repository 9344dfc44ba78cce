"""What lies in a search space, as numbers, CSV and figures: differences by distance, and what samplers draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from frugalnas.report.records import write_csv
from frugalnas.report.style import GREY, LINES, new_figure, paper_style, save_figure
from frugalnas.studies.landscape import Landscape, Samplers
from frugalnas.studies.statistics import bootstrap_mean

__all__ = ["landscape_figure", "landscape_report", "samplers_figure", "samplers_report"]

PAGE = 7.16
"""Width of both columns of a two-column paper, inches."""
FEW = 30
"""Pairs below which a mean difference is drawn pale."""
SPLITS = {"validation": "validation", "test": "test", "whole_test": "whole test"}


def landscape_figure(landscape: Landscape) -> Figure:
    """A figure, two columns wide: mean difference in accuracy by distance, and how many pairs have each distance.

    Where validation and test are known, a third panel has Kendall's tau of the two among the best by validation. Dashed
    lines are the mean differences of all pairs; what comes from less than 30 pairs is pale.
    """
    panels = 3 if landscape.agreement else 2
    with paper_style():
        figure = new_figure(PAGE, 2.6, layout="constrained")
        axes = figure.subplots(1, panels)
        enough = landscape.pairs >= FEW
        for (role, found), colour in zip(landscape.differences.items(), LINES, strict=False):
            axes[0].plot(landscape.distances, found, color=colour, alpha=0.3, linewidth=1)
            axes[0].plot(
                landscape.distances, np.where(enough, found, np.nan), color=colour, label=f"{SPLITS[role]} accuracy"
            )
            axes[0].axhline(landscape.random[role], color=colour, linewidth=0.7, linestyle=(0, (4, 3)))
        axes[0].set(xlabel=f"differing bits of {landscape.encoding}", ylabel="mean difference, points", ylim=(0, None))
        axes[0].legend()
        axes[1].bar(landscape.distances, landscape.pairs / landscape.pairs.sum(), width=0.9, color=GREY)
        axes[1].set(xlabel=f"differing bits of {landscape.encoding}", ylabel="share of pairs")
        if landscape.agreement:
            shares = [known["share"] for known in landscape.agreement]
            axes[2].plot(
                shares, [known["tau"] for known in landscape.agreement], color=LINES[2], marker="o", markersize=3
            )
            axes[2].set_xscale("log")
            axes[2].xaxis.set_major_locator(FixedLocator(shares))
            axes[2].xaxis.set_minor_locator(NullLocator())
            axes[2].xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}"))
            axes[2].set(xlabel="best by validation, %", ylabel="tau of validation and test")
        for panel in axes:
            panel.grid(True)
            panel.set_axisbelow(True)
        for panel in axes[:2]:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(f"{landscape.table}, {landscape.architectures:,} architectures", size=8.5)
    return figure


def landscape_report(landscape: Landscape, folder: Path) -> list[Path]:
    """The differences and the agreement as CSV, and the figure, written into `folder`."""
    roles = list(landscape.differences)
    columns = zip(
        landscape.distances.tolist(),
        landscape.pairs.tolist(),
        *(landscape.differences[role].tolist() for role in roles),
        strict=True,
    )
    written = [
        write_csv(folder / "differences.csv", ["distance", "pairs", *(f"{role}_difference" for role in roles)], columns)
    ]
    if landscape.agreement:
        rows = [list(known.values()) for known in landscape.agreement]
        written.append(write_csv(folder / "agreement.csv", list(landscape.agreement[0]), rows))
    return written + save_figure(landscape_figure(landscape), folder / "landscape")


def samplers_figure(samplers: Samplers) -> Figure:
    """A figure, two columns wide: divergence by size of the sample, and how often each path is drawn.

    Lines are means over trials, bars their 95 % bootstrap intervals. Dots are paths; on the diagonal a path is drawn as often
    as it occurs in the whole space. Paths that are never drawn lie at the lower edge.
    """
    with paper_style():
        figure = new_figure(PAGE, 2.9, layout="constrained")
        sizes, paths = figure.subplots(1, 2)
        positive = samplers.whole > 0
        low = samplers.whole[positive].min()
        for (name, found), colour in zip(samplers.divergences.items(), LINES, strict=False):
            estimates = np.array([bootstrap_mean(column) for column in found.T])
            mean = estimates[:, 0]
            bars = np.abs(estimates[:, 1:].T - mean)
            sizes.errorbar(samplers.sizes, mean, yerr=bars, color=colour, marker="o", markersize=2.5, label=name)
            drawn = np.maximum(samplers.shares[name][positive], low / 3)
            paths.scatter(samplers.whole[positive], drawn, s=5, color=colour, alpha=0.6, linewidths=0)
        ends = [low, samplers.whole.max()]
        paths.plot(ends, ends, color=GREY, linewidth=0.6)
        sizes.set(xscale="log", yscale="log", xlabel="architectures drawn", ylabel="divergence of paths, nats")
        sizes.xaxis.set_major_locator(FixedLocator(_apart(samplers.sizes)))
        paths.set(xscale="log", yscale="log", xlabel="share of paths in the whole space", ylabel="share in samples")
        for panel in (sizes, paths):
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
            panel.grid(True)
        sizes.xaxis.set_minor_locator(NullLocator())
        sizes.legend()
        trials = len(next(iter(samplers.divergences.values())))
        figure.suptitle(
            f"{samplers.space}, {samplers.architectures:,} architectures, {trials} samples of each size", size=8.5
        )
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
