"""`frugalnas report`: what is made of a run when somebody asks for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from frugalnas.cli.parsing import option


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Figures of a run beyond those of `frugalnas show`."
    kinds = parser.add_subparsers(metavar="COMMAND")
    dynamics = kinds.add_parser(
        "dynamics",
        help="where WeakNAS or NPENAS looked and how its predictors improved",
        description="Replay a run of WeakNAS or NPENAS on a table from its journal, evaluating nothing, and write into its report "
        "folder: tsne, the regions that were sampled, iteration by iteration, on a plane; dynamics, predicted against true "
        "values, errors, and the chance to sample the best; and the numbers behind them (Parquet).",
    )
    option(dynamics, "run_dir RUN", kind=Path)
    dynamics.set_defaults(run=_dynamics)
    operators = kinds.add_parser(
        "operators",
        help="which operators ABS dropped in which round, and by which scores",
        description="Write into the report folder of a run of ABS what it dropped: operators by places, each with its last score, "
        "a 95 % interval where that is not exact, and the round that dropped it.",
    )
    option(operators, "run_dir RUN", kind=Path)
    operators.set_defaults(run=_operators)


def _dynamics(parsed: argparse.Namespace) -> None:
    from frugalnas.report.dynamics_figures import dynamics_report

    print(f"replaying {parsed.run_dir}: every predictor is fitted again", file=sys.stderr)
    for path in dynamics_report(parsed.run_dir, lambda text: print(text, file=sys.stderr)):
        print(path)


def _operators(parsed: argparse.Namespace) -> None:
    from frugalnas.report.operators import operators_report

    for path in operators_report(parsed.run_dir):
        print(path)
