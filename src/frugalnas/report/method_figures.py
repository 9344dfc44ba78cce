"""Figures of a method that trains a supernet: how it learned, how the scores lie, who led when, and what size has to do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from frugalnas.report.certainty import Certainty
from frugalnas.report.style import COLUMN, GREY, LINES, drawing
from frugalnas.spaces import FloatArray

HEIGHT = 2.35
BINS = 60
NOTE: dict[str, Any] = {"textcoords": "offset points", "size": 6.5}
FOLLOWED = 5
"""Architectures whose ranks are drawn."""


def supernet_figure(epochs: Sequence[Mapping[str, Any]], classes: int, labels: str) -> Figure:
    """A figure, one column wide, of a supernet's training loss after each epoch; dashed: guessing among the classes."""
    with drawing(COLUMN, HEIGHT) as figure:
        axes = figure.add_subplot()
        places = [record["epoch"] for record in epochs]
        marker = "o" if len(places) == 1 else None
        axes.plot(places, [record["train_loss"] for record in epochs], color=LINES[0], marker=marker, markersize=3)
        chance = float(np.log(classes))
        axes.axhline(chance, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_ylabel(f"training loss ({labels} labels)")
        axes.annotate(
            f"guessing: ln {classes}", (0, chance), (3, 2), ("axes fraction", "data"), color=GREY, ha="left", **NOTE
        )
        axes.grid(axis="y")
        epoch_axis(axes, places)
    return figure


def epoch_axis(axes: Axes, epochs: Sequence[int]) -> None:
    """Have the x axis show epochs, from before the first one on."""
    axes.set_xlabel("epoch")
    axes.set_xlim(0, max(epochs) * 1.015 + 0.2 * (len(epochs) == 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def score_figure(sure: Certainty, name: str) -> Figure:
    """A figure, one column wide, of how the scores of all networks lie; lines mark the winner and those behind it."""
    with drawing(COLUMN, HEIGHT) as figure:
        axes = figure.add_subplot()
        low, high = float(np.quantile(sure.scores, 0.001)), float(sure.scores.max())
        shown = sure.scores[sure.scores >= low]
        axes.hist(shown, bins=BINS, color="#77AADD", linewidth=0)
        for leader in sure.leaders[1:FOLLOWED]:
            axes.axvline(leader.score, ymax=0.12, color=GREY, linewidth=0.7)
        winner = sure.leaders[0].score
        axes.axvline(winner, color=LINES[3], linewidth=1.1)
        right = winner > (low + high) / 2
        axes.annotate(
            "the winner",
            (winner, 1),
            (-3 if right else 3, -2),
            ("data", "axes fraction"),
            color=LINES[3],
            ha="right" if right else "left",
            va="top",
            **NOTE,
        )
        what = "networks" if sure.whole else "networks of a sample"
        axes.set(xlabel=name, ylabel=what)
        axes.set_xlim(right=high + 0.02 * (high - low or 1))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure


def rank_figure(sure: Certainty) -> Figure:
    """A figure, one column wide: the rank that each of the last epoch's best networks had after every epoch."""
    with drawing(COLUMN, HEIGHT) as figure:
        axes = figure.add_subplot()
        apart = {leader.ranks: leader for leader in reversed(sure.leaders)}  # equals would lie on one another
        followed = sorted(apart.values(), key=lambda leader: (leader is not sure.leaders[0], leader.ranks[-1]))[
            :FOLLOWED
        ]
        for place in range(len(followed) - 1, -1, -1):
            colour = LINES[3] if place == 0 else (LINES[0], LINES[1], LINES[2], LINES[6])[(place - 1) % 4]
            said = "the winner" if place == 0 else f"rank {followed[place].ranks[-1]:,} at the end"
            axes.plot(
                sure.epochs,
                followed[place].ranks,
                color=colour,
                linewidth=1.5 if place == 0 else 0.9,
                marker="o",
                markersize=2.2 if len(sure.epochs) < 40 else 0,
                label=said,
            )
        axes.set_yscale("log")
        axes.invert_yaxis()
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="epoch of the supernet", ylabel=f"rank among {len(sure.scores):,}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles[::-1], labels[::-1], loc="outside lower center", ncols=3, handlelength=1.4, columnspacing=1.0
        )
    return figure


def size_figure(sure: Certainty, macs: FloatArray, name: str) -> Figure:
    """A figure, one column wide: the score of every network against its multiply-adds, the winner marked."""
    with drawing(COLUMN, HEIGHT) as figure:
        axes = figure.add_subplot()
        millions = np.asarray(macs) / 1e6
        axes.plot(
            millions, sure.scores, ".", color="#77AADD", markersize=2.6, alpha=0.6, markeredgewidth=0, rasterized=True
        )
        axes.plot(millions[0], sure.scores[0], "D", color=LINES[3], markersize=4, label="the winner", zorder=3)
        axes.set_ylim(bottom=float(np.quantile(sure.scores, 0.001)))
        axes.set(xlabel="multiply-adds an image, millions", ylabel=name)
        axes.legend(loc="lower right", handletextpad=0.2, frameon=True, framealpha=0.85, edgecolor="none")
    return figure
