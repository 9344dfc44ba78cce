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
from frugalnas.report.style import INK, PAGE, drawing, paper_style, save_figure, text_width
from frugalnas.runs.kinds import load_run
from frugalnas.searches.scoring import score_title
from frugalnas.shrinking import Shrinking, read_shrinking

if TYPE_CHECKING:
    from frugalnas.methods.kind import MethodResult

LINE, POINTS = 0.1, 5.5
"""Of what is written in a cell: height of a line, inches, and size."""


def operators_figure(shrinking: Shrinking) -> Figure:
    """A figure, two columns wide where that is enough: places by operators, coloured by the last score that each had.

    Those that are left have a frame. Written in each is the round that dropped it, from 1, its score, and how far the
    expectation may be from it where it is not exact: a 95 % interval of a sample, what an expansion leaves out of its own.
    """
    operators = shrinking.operators
    scores, margins, rounds = shrinking.history()
    names = list(dict.fromkeys(operators.names))
    columns = [names.index(name) for name in operators.names]
    grid = np.full((len(operators.places), len(names)), np.nan)
    grid[operators.place, columns] = scores
    digits = _digits(scores)
    told = [
        [
            *([f"round {number + 1}"] if number >= 0 else []),
            *([] if np.isnan(score) else [f"{score:.{digits}f}"]),
            *([f"± {margin:.{digits}f}"] if margin > 0 else []),
        ]
        for score, margin, number in zip(scores, margins, rounds.tolist(), strict=True)
    ]
    with paper_style():
        cell = 1.4 * max(text_width(line, POINTS) for lines in told for line in lines)  # bold letters are wider
        beside = 1 + max(text_width(place, 7) for place in operators.places)
        width = max(PAGE, beside + cell * len(names))
        crowded = max(text_width(name, 7) for name in names) > 0.9 * (width - beside) / len(names)
    height = LINE * (1 + max(map(len, told))) * len(operators.places) + 0.7
    with drawing(width, height) as figure:
        axes = figure.add_subplot()
        shown = axes.imshow(grid, cmap="Blues", aspect="auto", alpha=0.4)
        for place, column, lines, number in zip(operators.place.tolist(), columns, told, rounds.tolist(), strict=True):
            left = number == -1
            weight = "bold" if left else "normal"
            axes.text(column, place, "\n".join(lines), ha="center", va="center", size=POINTS, weight=weight)
            if left:
                axes.add_patch(Rectangle((column - 0.47, place - 0.45), 0.94, 0.9, fill=False, edgecolor=INK))
        axes.set_xticks(range(len(names)), names, rotation=90 if crowded else 0)
        axes.set_yticks(range(len(operators.places)), operators.places)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        label = f"last score: {score_title(shrinking.steps[-1].scores.name)}"
        figure.colorbar(shown, ax=axes, label=label, pad=0.01, fraction=0.03)
    return figure


def operators_report(path: Path | str) -> list[Path]:
    """The files of the figure: in the report folder of a method's run, or beside a file that `frugalnas shrink` wrote.

    Raises:
        FrugalnasError: where nothing was dropped, or nothing yet.
    """
    path = Path(path)
    if path.is_file():
        shrinking: Shrinking | None = read_shrinking(path)
        drawn, more = path.with_suffix(""), "frugalnas shrink writes files that have"
    else:
        shrinking, drawn = shrinking_of(load_run(path, "method")), path / "report" / "operators"
        more = f"frugalnas abs makes runs that do, and frugalnas resume {path} goes on with one"
    if shrinking is None or not shrinking.steps:
        raise FrugalnasError(f"{path} has dropped no operators; {more}")
    return save_figure(operators_figure(shrinking), drawn)


def shrinking_of(run: MethodResult) -> Shrinking | None:
    """How far a method has shrunk its space; None where it does not, or has not begun to."""
    rounds, path = getattr(run.method, "shrinking", None), run.run_dir / OPERATORS
    return read_shrinking(path, rounds.start) if isinstance(rounds, Rounds) and path.is_file() else None


def _digits(scores: NDArray[np.float64]) -> int:
    """Decimals by which the scores of operators can be told apart."""
    finite = scores[np.isfinite(scores)]
    spread = float(np.ptp(finite)) if len(finite) else 0.0
    return 0 if spread <= 0 else int(np.clip(2 - np.floor(np.log10(spread)), 0, 6))
