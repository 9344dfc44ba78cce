"""What shrinking a space took from it, as a picture: every operator at its place, its last score, and the round that dropped it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.methods.shrinking import OPERATORS, Rounds
from frugalnas.report.style import GREY, INK, PAGE, drawing, save_figure
from frugalnas.runs.kinds import load_run
from frugalnas.shrinking import Shrinking, read_shrinking

if TYPE_CHECKING:
    from frugalnas.methods.kind import MethodResult

ROW = 0.3
"""Height of a place, inches."""


def operators_figure(shrinking: Shrinking) -> Figure:
    """A figure, two columns wide: places by operators, coloured by the last score that each had; those left have a frame.

    Written in each is the round that dropped it, from 1, and its score, with how far the expectation may be from it
    where it is not exact: a 95 % interval of a sample, what an expansion leaves out of its own.
    """
    operators = shrinking.operators
    scores, margins, rounds = shrinking.history()
    names = list(dict.fromkeys(operators.names))
    grid = np.full((len(operators.places), len(names)), np.nan)
    columns = [names.index(name) for name in operators.names]
    grid[operators.place, columns] = scores
    with drawing(PAGE, ROW * len(operators.places) + 0.7) as figure:
        axes = figure.add_subplot()
        shown = axes.imshow(grid, cmap="Blues", aspect="auto", alpha=0.4)
        digits = _digits(scores)
        for place, column, score, margin, number in zip(
            operators.place.tolist(), columns, scores, margins, rounds.tolist(), strict=True
        ):
            if number == -2:
                continue
            said = [] if np.isnan(score) else [f"{score:.{digits}f}"]
            if margin > 0:
                said[0] += f" ± {margin:.{digits}f}"
            if number >= 0:
                said.insert(0, f"round {number + 1}")
            colour = GREY if number >= 0 else INK
            weight = "normal" if number >= 0 else "bold"
            axes.text(column, place, "\n".join(said), ha="center", va="center", size=5.5, color=colour, weight=weight)
            if number == -1:
                axes.add_patch(_frame(column, place))
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(operators.places)), operators.places)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.colorbar(shown, ax=axes, label=f"last score: {shrinking.steps[-1].scores.name}", pad=0.01, fraction=0.03)
    return figure


def operators_report(run_dir: Path | str) -> list[Path]:
    """The files of the figure, written into the report folder of a method's run that shrank its space.

    Raises:
        FrugalnasError: where the run shrank nothing, or nothing yet.
    """
    shrinking = shrinking_of(load_run(run_dir, "method"))
    if shrinking is None:
        raise FrugalnasError(
            f"{run_dir} has dropped no operators; frugalnas abs makes runs that do, and frugalnas resume {run_dir} goes on with one"
        )
    return save_figure(operators_figure(shrinking), Path(run_dir) / "report" / "operators")


def shrinking_of(run: MethodResult) -> Shrinking | None:
    """How far a method has shrunk its space; None where it does not, or has not begun to."""
    rounds, path = getattr(run.method, "shrinking", None), run.run_dir / OPERATORS
    return read_shrinking(path, rounds.start) if isinstance(rounds, Rounds) and path.is_file() else None


def _digits(scores: NDArray[np.float64]) -> int:
    """Decimals by which the scores of operators can be told apart."""
    finite = scores[np.isfinite(scores)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    return 0 if spread <= 0 else int(np.clip(2 - np.floor(np.log10(spread)), 0, 6))


def _frame(column: int, place: int) -> Rectangle:
    return Rectangle((column - 0.47, place - 0.45), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.0)
