"""How runs look on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.amounts import shown_amount
from frugalnas.cli.text import print_columns
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.report.runs import Summary

__all__ = ["show_run"]

MOST_ROWS = 20
"""Of a front on the terminal."""


def show_run(run_dir: Path, *, as_json: bool = False) -> int:
    """Print what a run found and write its pictures."""
    from frugalnas.report.runs import run_report, summarise

    summary = summarise(run_dir)
    if as_json:
        print(to_json(summary.to_json(), indent=2))
        return 0
    rows = [
        ("architecture", summary.architecture),
        ("value", f"{_shown_value(summary)} (query {summary.best_query} of {summary.queries})"),
    ]
    trained = summary.objective.startswith("validation accuracy, ")
    if summary.objective.startswith("score ") or trained:
        rows.append(("which is", summary.evaluator))
    standing, oracle = summary.standing, summary.objective == "oracle-test"
    if standing is not None:
        allowed = " allowed" if summary.space != summary.space.partition("(")[0] else ""
        split = "test" if oracle else "validation"
        rows.append(("rank", f"{standing.rank:,} of {standing.rows:,}{allowed} in {standing.table}, {split}"))
        rows.append(("regret", f"{standing.regret:.3f} to the best {split} value, {standing.optimum:.3f}"))
        test = f"{standing.test:.3f}" if standing.test is not None else f"unknown: {standing.table} has no test results"
        rows.append(("oracle study", "test labels were shown to the strategy") if oracle else ("test accuracy", test))
    if summary.pareto is not None:
        rows.append(("front", _size_of_front(summary.pareto)))
    counted_for = f" ({summary.counted_network})" if summary.counted_network else ""
    for name, count in summary.counts.items():
        rows.append((name, shown_amount(name, count) + counted_for))
    if summary.uncounted:
        rows.append(("not counted", summary.uncounted))
    if "training_seconds" in summary.metric_totals:
        hours = summary.metric_totals["training_seconds"] / 3600
        rows.append(("stands for", f"{hours:,.1f} hours of training, had there been no table"))
    failed = f", {summary.failed} failed" if summary.failed else ""
    spent = f"{summary.queries} queries{failed}, {summary.seconds:.1f} s"
    rows.append(("search", f"{summary.strategy}, seed {summary.seed}, {spent}; {summary.stop}"))
    rows.append(("run folder", str(run_dir)))
    rows.append(
        ("pictures", ", ".join(path.relative_to(run_dir.absolute()).as_posix() for path in run_report(run_dir)))
    )
    if trained:
        rows.append(
            ("next", f"frugalnas runs rank {run_dir} shows the order, frugalnas train {run_dir} --id N retrains")
        )
    print_columns(rows)
    if summary.pareto is not None and summary.pareto["front"]:
        _print_front(summary.pareto)
    return 0


def _shown_value(summary: Summary) -> str:
    """The best value, with as many digits as tell values of its kind apart."""
    return f"{summary.value:.6g}" if summary.objective.startswith("score ") else f"{summary.value:.3f}"


def _size_of_front(pareto: dict[str, Any]) -> str:
    size = len(pareto["front"])
    share = (
        "" if pareto["share"] is None else f"; {100 * pareto['share']:.2f} % of the hypervolume of the table's front"
    )
    return f"{size} architecture{'s' * (size != 1)} that no other query beats in value and {', '.join(pareto['costs'])}{share}"


def _print_front(pareto: dict[str, Any]) -> None:
    """The front as a table, the best value first."""
    from frugalnas.strategies.objectives import cost_named

    costs = [cost_named(metric) for metric in pareto["costs"]]
    rows = [
        [
            str(member["query"]),
            f"{member['value']:.3f}",
            *(f"{member[cost.metric] / cost.scale:,.3f}" for cost in costs),
            member["architecture"],
        ]
        for member in pareto["front"]
    ]
    print("\nPareto front:")
    print_columns(rows[:MOST_ROWS], ["query", "value", *(cost.title for cost in costs), "architecture"])
    if len(rows) > MOST_ROWS:
        print(f"and {len(rows) - MOST_ROWS} more (frugalnas show --json RUN has all)")
