"""`frugalnas list`: what there is, one line each."""

from __future__ import annotations

import argparse
from typing import Any

from frugalnas.cli.tabling import table_states
from frugalnas.cli.text import print_columns

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
    from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES
    from frugalnas.strategies.acquisition import ACQUISITIONS

    for registry, heading in ((SPACES, "spaces"), (STRATEGIES, "strategies"), (PREDICTORS, "predictors")):
        print(f"{heading}:")
        print_columns([[f"  {name}", registry.summary(name)] for name in registry.targets])
        print()
    print("tables:")
    print_columns([[f"  {name}", detail] for name, _, detail in table_states()])
    print(f"\nacquisitions: {', '.join([*ACQUISITIONS, 'uniform'])}")
    return 0
