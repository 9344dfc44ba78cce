"""Tables in plain text and in Markdown, and how estimates and tests are written in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def aligned(rows: Sequence[Sequence[str]], between: str = "  ") -> list[str]:
    """A line for each row of text, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [between.join(map(str.ljust, row, widths)) for row in rows]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of text under a header, each column as wide as its widest cell."""
    rules = ["-" * max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(f"| {line} |" for line in aligned([header, rules, *rows], " | "))


def shown_interval(estimate: Sequence[float] | None, digits: int) -> str:
    """A mean with its interval, [mean, low, high]; None where nothing was estimated."""
    if estimate is None:
        return "every evaluation failed"
    mean, low, high = estimate
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def markdown_tests(tests: Mapping[str, Sequence[Mapping[str, Any]]], of: str = "") -> str:
    """A table of differences of means with the p-values of their tests, a row for each pair of names.

    Args:
        tests: columns, each with the same pairs: "first", "second", "difference", None where nothing could be paired, and "p".
        of: the name whose pairs are shown; empty: all are.
    """
    rows = []
    for pair in zip(*tests.values(), strict=True):
        names = [pair[0]["first"], pair[0]["second"]]
        if not of or of in names:
            rows.append([" - ".join(names), *(_shown_difference(test["difference"], test["p"]) for test in pair)])
    return markdown_table(["pair", *tests], rows)


def _shown_difference(difference: float | None, p: float) -> str:
    return "no pairs" if difference is None else f"{difference:+.3g} (p {'< 0.0001' if p < 1e-4 else f'{p:.4f}'})"
