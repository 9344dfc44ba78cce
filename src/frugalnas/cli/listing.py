"""`frugalnas list`: what there is, one line each."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "list",
        help="spaces, strategies, predictors and tables, one line each",
        description="What there is, one line each.",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print every registered name with the first line of its documentation."""
    from rich.console import Console
    from rich.table import Table as Grid

    from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES
    from frugalnas.strategies.acquisition import ACQUISITIONS
    from frugalnas.tables import examine, table_names

    grid = Grid(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for registry, heading in ((SPACES, "spaces"), (STRATEGIES, "strategies"), (PREDICTORS, "predictors")):
        grid.add_row(f"[bold]{heading}[/]", "")
        for name in registry.targets:
            grid.add_row(f"  {name}", registry.summary(name))
    grid.add_row("[bold]tables[/]", "")
    names = table_names()
    for finding in examine():
        if finding.subject in names:
            grid.add_row(f"  {finding.subject}", finding.detail)
    grid.add_row("[bold]acquisitions[/]", ", ".join([*ACQUISITIONS, "uniform"]))
    Console().print(grid)
    return 0
