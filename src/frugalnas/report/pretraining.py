"""What a pre-training came to, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from frugalnas.report.style import COLUMN, LINES, new_figure, paper_style, save_figure

if TYPE_CHECKING:
    from frugalnas.runs.pretraining import PretrainingResult

__all__ = ["draw_pretraining"]

HEIGHT = 2.1


def draw_pretraining(result: PretrainingResult) -> Path:
    """The picture of a pre-training in its run's report: loss, and accuracy at its own task, after each epoch."""
    epochs = [record["epoch"] for record in result.epochs]
    with paper_style():
        figure = new_figure(2 * COLUMN, HEIGHT, layout="constrained")
        panels = figure.subplots(1, 2)
        told = "positives told apart (%)" if result.recipe.task == "ss-ccl" else "distances told (%)"
        for axes, key, label, color in zip(panels, ("loss", "accuracy"), ("loss", told), LINES, strict=False):
            values = [record[f"train_{key}"] for record in result.epochs]
            axes.plot(epochs, values, color=color, marker="o" if len(epochs) == 1 else None, markersize=3)
            axes.set(xlabel="epoch", ylabel=label)
            axes.set_xlim(0, max(epochs) * 1.015 + 0.2 * (len(epochs) == 1))
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid(axis="y")
            axes.set_axisbelow(True)
    folder = result.run_dir / "report"
    folder.mkdir(exist_ok=True)
    return save_figure(figure, folder / "pretraining")[0]
