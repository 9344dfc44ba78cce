"""Aligned columns on a terminal, never wrapped, so that what is printed can be copied and piped."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["print_columns"]


def print_columns(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Print rows of text, each column as wide as its widest cell."""
    lines = [headings, *rows] if headings else list(rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
