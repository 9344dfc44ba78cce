"""Aligned columns on a terminal, never wrapped, so that what is printed can be copied and piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from frugalnas.errors import worded

__all__ = ["print_columns", "progress", "shown_amount", "unfinished"]


def print_columns(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Print rows of text, each column as wide as its widest cell."""
    lines = [[worded(cell) for cell in line] for line in ([headings, *rows] if headings else rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def shown_amount(quantity: str, amount: float) -> str:
    """What a network costs, in the unit that people read: millions, or milliseconds of latency."""
    return f"{amount:,.3f} ms" if quantity == "latency" else f"{amount / 1e6:,.3f} M"


@contextmanager
def progress(what: str, quiet: bool, *, share: bool = False) -> Iterator[Callable[[int, int], None]]:
    """What is told (done, total) while something goes on; see `runs.progress.Bar`."""
    from frugalnas.runs.progress import Bar

    bar = Bar(what, quiet=quiet, share=share)
    try:
        yield bar.update
    finally:
        bar.close()


def unfinished(run_dir: Path, diverged: str | None = None) -> tuple[str, str]:
    """The row of a run that is not finished: how it diverged, or the line that continues it."""
    return ("diverged", diverged) if diverged else ("unfinished", f"continue it with: frugalnas resume {run_dir}")
