"""Pictures of a WeakNAS run: where it looked, and how its predictors improved (WeakNAS, figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from frugalnas.report.dynamics import BEST, Dynamics, Step, dynamics_rows, read_dynamics
from frugalnas.report.embedding import Embedding
from frugalnas.report.records import write_parquet
from frugalnas.report.style import GREY, INK, LINES, PALE, drawing, save_figure, shared_legend
from frugalnas.runs import RunFolder
from frugalnas.spaces import FloatArray

CURVES = 5
"""Iterations whose errors are drawn."""
COLUMNS = 4
"""Iterations that are shown on the plane."""
STAR, RANKS = "#CC3311", "viridis_r"


def dynamics_report(run_dir: Path | str, say: Callable[[str], None] = lambda text: None) -> list[Path]:
    """The files written into the run's report folder: both figures and `dynamics.parquet`, the numbers behind them.

    Args:
        run_dir: a run of WeakNAS or NPENAS on a table.
        say: is told before the space is embedded, which takes a minute the first time.

    Raises:
        FrugalnasError: where the run has no dynamics to show (`read_dynamics`), or its space cannot be listed.
    """
    dynamics = read_dynamics(run_dir)
    embedding = Embedding(dynamics.space, say)
    folder = RunFolder(Path(run_dir)).report
    folder.mkdir(exist_ok=True)
    return [
        *save_figure(embedding_figure(dynamics, embedding), folder / "tsne"),
        *save_figure(dynamics_figure(dynamics), folder / "dynamics"),
        write_parquet(folder / "dynamics.parquet", dynamics_rows(dynamics)),
    ]


def dynamics_figure(dynamics: Dynamics) -> Figure:
    """A figure, two columns wide, of how the predictors improved.

    Left: predicted against true value of the optimum and of the predicted best. Middle: how large the errors of the
    predicted top are. Right: the chance that the next architecture is among the true top, and how well those are
    ordered.
    """
    with drawing(7.0, 2.65) as figure:
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.05))
        _draw_trajectories(left, dynamics)
        _draw_errors(middle, dynamics)
        _draw_chances(right, dynamics)
        if dynamics.labelling == "rank":
            figure.supxlabel(
                "The predictors rank: their scores are read as accuracies off the architectures evaluated so far, so that no "
                "prediction lies beyond the best of those.",
                size=6,
                color=GREY,
            )
    return figure


def embedding_figure(dynamics: Dynamics, embedding: Embedding) -> Figure:
    """A figure, two columns wide, of where a search looked: its first three iterations and its last.

    The upper row has the architectures that the next ones were drawn from, the lower those that were evaluated, each
    coloured by its true rank; the star is the optimum, the triangle what the predictor thinks best.
    """
    steps = dynamics.steps if len(dynamics.steps) <= COLUMNS else (*dynamics.steps[: COLUMNS - 1], dynamics.steps[-1])
    known = dynamics.codes if embedding.complete else embedding.sample
    ground = np.unique(embedding.place(known), axis=0)
    label = "all architectures" if embedding.complete else f"{len(known):,} random architectures"
    colours = LogNorm(1, max(len(dynamics.codes), 2))
    with drawing(7.0, 3.9) as figure:
        grid = figure.subplots(2, len(steps), squeeze=False)
        for column, step in enumerate(steps):
            for axes, rows in zip(grid[:, column], (step.region, step.evaluated), strict=True):
                _draw_ground(axes, ground, label)
                _draw_found(axes, dynamics, embedding, step, rows, colours)
            last = column == len(steps) - 1 and column > 0
            grid[0, column].set_title(f"iteration {step.number}{' (last)' if last else ''}", size=8)
            left = f"{len(step.region):,} left of the predicted top {step.top:,}" if step.top else ""
            grid[0, column].set_xlabel(left, size=6.5, color=GREY)
            grid[1, column].set_xlabel(f"{len(step.evaluated)} evaluated", size=6.5, color=GREY)
        uniform = steps[0].top is not None
        upper = "sampled from" if uniform else f"{len(steps[0].region)} best predicted,\nnot yet evaluated"
        grid[0, 0].set_ylabel(upper)
        grid[1, 0].set_ylabel("evaluated in\nthis iteration")
        bar = figure.colorbar(ScalarMappable(colours, RANKS), ax=grid, aspect=35, pad=0.01)
        bar.outline.set_visible(False)
        bar.set_label(f"true rank by {dynamics.value}")
        bar.set_ticks(_rank_ticks(len(dynamics.codes)))
        bar.minorticks_off()
        bar.ax.yaxis.set_major_formatter("{x:,.0f}")
        bar.ax.invert_yaxis()
        shared_legend(figure, grid[0, :1], ncols=3, handletextpad=0.3)
    return figure


def _draw_ground(axes: Axes, ground: FloatArray, label: str) -> None:
    axes.scatter(ground[:, 0], ground[:, 1], s=1.5, color=PALE, linewidth=0, rasterized=True)
    axes.scatter([], [], s=8, color="#bbbbbb", linewidth=0, label=label)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.margins(0.03)


def _draw_found(
    axes: Axes, dynamics: Dynamics, embedding: Embedding, step: Step, rows: NDArray[np.intp], colours: LogNorm
) -> None:
    worst_first = rows[np.argsort(-dynamics.ranks[rows], kind="stable")]
    across, up = embedding.place(dynamics.codes[worst_first]).T
    ranks = dynamics.ranks[worst_first]
    axes.scatter(across, up, s=9, c=ranks, cmap=RANKS, norm=colours, edgecolor=INK, linewidth=0.2, zorder=3)
    # The star is so much larger that it shows beneath the triangle where the predictor is right.
    marks = (("*", 150, dynamics.optimum, "optimum"), ("^", 22, step.best, "predicted best"))
    for marker, size, row, label in marks:
        across, up = embedding.place(dynamics.codes[[row]]).T
        axes.scatter(
            across, up, s=size, marker=marker, color=STAR, edgecolor="white", linewidth=0.6, zorder=5, label=label
        )


def _rank_ticks(ranks: int) -> list[int]:
    """Powers of ten and the last rank."""
    powers = [10**power for power in range(10) if 2 * 10**power < ranks]
    return [*powers, ranks]


def _draw_trajectories(axes: Axes, dynamics: Dynamics) -> None:
    steps, truth = dynamics.steps, dynamics.truth
    optimum = [(truth[dynamics.optimum], step.optimum_predicted) for step in steps]
    best = [(truth[step.best], step.best_predicted) for step in steps]
    points = np.array([*optimum, *best])
    low, high = float(points.min()), float(points.max())
    pad = 0.06 * (high - low) or 0.5
    axes.axline((low, low), slope=1, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    colours = [_colour(place, len(steps)) for place in range(len(steps))]
    for marker, size, path, label in (("*", 40, optimum, "optimum"), ("^", 20, best, "predicted best")):
        across, up = np.array(path).T
        axes.plot(across, up, color=GREY, linewidth=0.5, zorder=2)
        axes.scatter(across, up, s=size, marker=marker, c=colours, edgecolor="white", linewidth=0.3, zorder=3)
        axes.scatter([], [], s=size, marker=marker, color=INK, linewidth=0, label=label)
    axes.set(xlim=(low - pad, high + pad), ylim=(low - pad, high + pad))
    axes.set(xlabel=f"true {dynamics.value}, %", ylabel=f"predicted {dynamics.value}, %")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.legend(loc="upper left", handletextpad=0.3)


def _draw_errors(axes: Axes, dynamics: Dynamics) -> None:
    steps = dynamics.steps
    places = np.unique(np.geomspace(1, len(steps), CURVES).round().astype(int)) - 1
    for place in places.tolist():
        step = steps[place]
        share = np.arange(len(step.errors) + 1) / len(step.errors)
        axes.step([0.0, *step.errors], share, where="post", color=_colour(place, len(steps)), label=str(step.number))
    furthest = max(float(np.quantile(steps[place].errors, 0.95)) for place in places)
    axes.set(xlim=(0, furthest or 1), ylim=(0, 1.02))
    axes.set(xlabel="|predicted - true|, percentage points")
    axes.set_ylabel(f"share of the predicted top {len(steps[0].errors)}")
    axes.grid()
    axes.legend(title="iteration", title_fontsize=7, loc="lower right", handlelength=1.2)


def _draw_chances(axes: Axes, dynamics: Dynamics) -> None:
    steps = dynamics.steps
    numbers = [step.number for step in steps]
    best = min(BEST, len(dynamics.truth))
    chances, taus = LINES[0], LINES[1]
    other = axes.twinx()
    axes.plot(numbers, [step.chance for step in steps], "o-", color=chances, markersize=3, markeredgewidth=0)
    other.plot(numbers, [step.tau for step in steps], "s-", color=taus, markersize=3, markeredgewidth=0)
    batch = f"true top {best} in the chosen batch, share"
    axes.set_ylabel(batch if steps[0].top is None else f"chance to draw from the true top {best}", color=chances)
    other.set_ylabel(f"Kendall's tau within the true top {best}", color=taus)
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    for one, colour in ((axes, chances), (other, taus)):
        one.tick_params(axis="y", labelcolor=colour)
        one.update_datalim([(numbers[0], 0.0)])  # both scales show zero
        one.autoscale_view()
    axes.set_ylim(0, max(0.01, 1.05 * max(step.chance for step in steps)))  # a share is never negative
    other.spines["right"].set_visible(True)
    axes.grid(axis="x")


def _colour(place: int, steps: int) -> tuple[float, float, float, float]:
    """Light for the first iteration, dark for the last."""
    return colormaps["plasma_r"](0.15 + 0.85 * place / max(steps - 1, 1))
