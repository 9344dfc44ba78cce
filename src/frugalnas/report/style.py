"""How every figure of frugalnas looks, how long its texts are, and how it is written to files."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from frugalnas.files import draft

COLUMN = 3.5
"""Width of one column of a two-column paper, inches."""
PAGE = 7.16
"""Width of both columns."""

FILLS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#44BB99", "#99DDFF", "#BBCC33", "#AAAA00")
"""Box colours that dark text is readable on and colour-blind readers can tell apart (Paul Tol's "light" scheme)."""

LINES = ("#0077BB", "#EE7733", "#009988", "#CC3311", "#33BBEE", "#EE3377", "#777777")
"""Line colours that colour-blind readers can tell apart (Paul Tol's "vibrant" scheme)."""

INK, GREY, PALE = "#1a1a1a", "#5a5a5a", "#dddddd"

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.monospace": ["DejaVu Sans Mono", "Courier New", "monospace"],
    "font.size": 7.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "axes.unicode_minus": False,
    "figure.titlesize": 8.5,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.3,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "frugalnas",
    "savefig.dpi": 200,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """The look of the figures while the block runs, whatever the reader's own matplotlib settings are."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float, *, layout: str | None = None) -> Figure:
    """An empty white figure of this size in inches, with a canvas of its own: it belongs to no window."""
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def drawing(width: float, height: float, title: str | None = None) -> Iterator[Figure]:
    """An empty figure that is drawn while the block runs, in the look of all figures.

    Args:
        width: inches.
        height: inches, to which a title adds its own.
        title: a line above.
    """
    with paper_style():
        figure = new_figure(width, height + (0.2 if title else 0), layout="constrained")
        if title:
            figure.suptitle("\n".join(wrap(title, 0.95 * width, 8.5)))
        yield figure


def pens() -> Iterator[dict[str, Any]]:
    """Colour and dashes of one line after the other: all colours, then the same with other dashes, without end."""
    for dashes in itertools.cycle(("-", "--", "-.")):
        for colour in LINES:
            yield {"color": colour, "linestyle": dashes}


def ticks_at(axis: Axis, values: Iterable[float], text: str | Callable[[float, float], str] = "{x:g}") -> None:
    """Put ticks on an axis at these values alone, written so."""
    axis.set_major_locator(FixedLocator(list(values)))
    axis.set_major_formatter(text)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def shared_legend(figure: Figure, panels: Iterable[Axes], **options: Any) -> None:
    """Put one legend beneath the panels for all that is drawn in them; what has the same name in several is there once."""
    named: dict[str, Any] = {}
    for axes in panels:
        named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True)) | named
    figure.legend(list(named.values()), list(named), **{"loc": "outside lower center", **options})


def save_figure(figure: Figure, path_without_suffix: str | Path) -> list[Path]:
    """The two files written, `<path>.svg` and `<path>.png` (200 dpi); missing folders are made.

    The same figure gives the same bytes each time: there are no dates in the files, and text in the SVG stays text.
    """
    stem = Path(path_without_suffix)
    stem.parent.mkdir(parents=True, exist_ok=True)
    unsigned: dict[str, dict[str, str | None]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    paths = []
    with paper_style():
        layout = figure.get_layout_engine()
        if layout is not None:
            # Here and once: parts stay where they are in both files, and `savefig` draws nothing just to lay out.
            layout.execute(figure)
            figure.set_layout_engine(None)
        for suffix, metadata in unsigned.items():
            # Not `with_suffix`, which would take the ".5" of "rate-0.5" for a suffix.
            path = stem.with_name(f"{stem.name}.{suffix}")
            with draft(path, sync=False) as made:
                figure.savefig(made, format=suffix, metadata=metadata)
            paths.append(path)
    return paths


def text_width(text: str, points: float, family: str = "sans-serif") -> float:
    """How wide one line of text is, in inches. Call it inside `paper_style`."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(family=family, size=points), False)
    return float(width) / 72


def wrap(text: str, inches: float, points: float, family: str = "sans-serif") -> list[str]:
    """The text in lines no wider than `inches`. Call it inside `paper_style`.

    Lines break between the groups of an architecture's notation (after `+`) where that takes no more lines, else also
    after blanks and `, ; |`; a part that is wider than a whole line is cut where the line ends.
    """
    groups = _filled(re.findall(r"[^+]+\+?|\+", text), inches, points, family)
    # A bar that opens a group, as in "+|conv~0|", stays with what follows it.
    parts = re.findall(r"(?:(?<![^+])\|)?[^\s,;|+]*[\s,;|]*\+?", text)
    fine = _filled(
        [cut for part in filter(None, parts) for cut in _cut(part, inches, points, family)], inches, points, family
    )
    fits = all(text_width(line, points, family) <= inches for line in groups)
    return groups if fits and len(groups) <= len(fine) else fine


def _filled(pieces: list[str], inches: float, points: float, family: str) -> list[str]:
    """The pieces in lines, as many on each as fit."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), points, family) > inches:
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines]


def _cut(piece: str, inches: float, points: float, family: str) -> list[str]:
    width = text_width(piece.rstrip(), points, family)
    if width <= inches:
        return [piece]
    widest = max(text_width(letter, points, family) for letter in piece)
    fitting = max(1, math.floor(inches / widest))
    return [piece[start : start + fitting] for start in range(0, len(piece), fitting)]
