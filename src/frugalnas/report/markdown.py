"""Tables in Markdown, and how estimates and tests are written in them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown_table", "shown_difference", "shown_interval"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under a header, each column as wide as its widest cell."""
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def shown_interval(estimate: Sequence[float] | None, digits: int) -> str:
    """A mean with its interval, [mean, low, high]; None where nothing was estimated."""
    if estimate is None:
        return "every evaluation failed"
    mean, low, high = estimate
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def shown_difference(difference: float | None, p: float) -> str:
    """A difference of two means with the p-value of its test; None where nothing could be paired."""
    return "no pairs" if difference is None else f"{difference:+.3g} (p {'< 0.0001' if p < 1e-4 else f'{p:.4f}'})"
