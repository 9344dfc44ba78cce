"""How runs and comparisons look on a terminal."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["show_comparison", "show_run"]


def show_run(run_dir: Path, *, as_json: bool = False) -> int:
    """Print what a run found and write its pictures."""
    from rich.console import Console
    from rich.table import Table as Grid

    from frugalnas.report import run_report, summarise

    summary = summarise(run_dir)
    if as_json:
        print(json.dumps(summary.to_json(), indent=2))
        return 0
    grid = Grid(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("architecture", summary.architecture)
    grid.add_row("value", f"{summary.value:.3f} (query {summary.best_query} of {summary.queries})")
    standing = summary.standing
    if standing is not None:
        grid.add_row("rank", f"{standing.rank:,} of {standing.rows:,} in {standing.table}, validation")
        grid.add_row("regret", f"{standing.regret:.3f} to the best validation value, {standing.optimum:.3f}")
        test = f"{standing.test:.3f}" if standing.test is not None else f"{standing.table} has no test results"
        grid.add_row("test accuracy", test)
    for name, count in summary.counts.items():
        grid.add_row(name, f"{count / 1e6:,.3f} M")
    if "training_seconds" in summary.metric_totals:
        hours = summary.metric_totals["training_seconds"] / 3600
        grid.add_row("stands for", f"{hours:,.1f} hours of training, had there been no table")
    failed = f", {summary.failed} failed" if summary.failed else ""
    grid.add_row(
        "search",
        f"{summary.strategy}, seed {summary.seed}, {summary.queries} queries{failed}, {summary.seconds:.1f} s; {summary.stop}",
    )
    grid.add_row("run folder", str(run_dir))
    grid.add_row("pictures", ", ".join(path.relative_to(run_dir).as_posix() for path in run_report(run_dir)))
    Console().print(grid)
    return 0


def show_comparison(run_dir: Path, budgets: list[int] | None = None, *, as_json: bool = False) -> int:
    """Print a finished comparison and write its table, Parquet file and figures."""
    from frugalnas.report import comparison_numbers, comparison_report, comparison_table
    from frugalnas.runs import load_comparison

    comparison = load_comparison(run_dir)
    if as_json:
        print(json.dumps(comparison_numbers(comparison, budgets), indent=2))
        return 0
    print(comparison_table(comparison, budgets))
    for path in comparison_report(comparison, run_dir / "report", budgets):
        print(path)
    return 0
