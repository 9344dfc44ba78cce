"""A comparison as numbers, Markdown, Parquet and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from frugalnas.files import write_atomically
from frugalnas.report.curves import optimum_found, regret_curves
from frugalnas.report.markdown import markdown_table, markdown_tests, shown_interval
from frugalnas.report.records import page_of, write_parquet
from frugalnas.report.style import save_figure
from frugalnas.runs.kinds import Page
from frugalnas.strategies.objectives import VALUES
from frugalnas.studies.comparison import Comparison
from frugalnas.studies.references import ReadComparison

SMALL = 4.0
"""Below it values are no percentages, and get more digits."""


def comparison_table(comparison: Comparison, budgets: Sequence[int] | None = None) -> str:
    """The same as Markdown: values at budgets, queries to the optimum, tests of every pair."""
    numbers = comparison.to_json(budgets)
    values, seeds = numbers["values"], numbers["seeds"]
    header = [f"{budget} queries" for budget in next(iter(values.values()))]
    known = [estimate[0] for at in values.values() for estimate in at.values() if estimate is not None]
    digits = 3 if max(map(abs, known)) >= SMALL else 6  # angles lie close together
    rows = [[name, *(shown_interval(estimate, digits) for estimate in at.values())] for name, at in values.items()]
    parts = [
        f"# {comparison.subject}: {', '.join(values)}",
        f"Mean over {len(seeds)} seeds ({_span(seeds)}) of {comparison.said}, with its 95 % bootstrap interval.",
        markdown_table(["strategy", *header], rows),
    ]
    if comparison.objective == "oracle-test":
        parts.append("Oracle study: test labels were shown to the strategies; the values are test accuracies, %.")
    elif isinstance(comparison, ReadComparison):
        parts.append(comparison.note)
    elif numbers["test"] is None:
        parts.append(f"Test accuracy: {comparison.subject} has no test results.")
    else:
        parts += [
            "Test accuracy, %, of the architecture with the best validation value of each search:",
            markdown_table(
                ["strategy", "test"], [[name, shown_interval(found, 3)] for name, found in numbers["test"].items()]
            ),
        ]
    if "to_optimum" in numbers:
        parts += [
            "## Queries to the optimum",
            f"A run that had not found the optimum after {comparison.queries} queries is censored: it counts as "
            f"{comparison.queries}, and mean and median are lower bounds.",
            markdown_table(
                ["strategy", "mean", "median", "censored"],
                [
                    [
                        name,
                        ("at least " if found["censored"] else "") + shown_interval(found["mean"], 1),
                        f"{found['median']:g}",
                        f"{found['censored']} of {len(seeds)}",
                    ]
                    for name, found in numbers["to_optimum"].items()
                ],
            ),
        ]
    if "tests" in numbers:
        parts += [
            "## Are the differences real?",
            "Difference of means and two-sided p-value: Wilcoxon signed-rank tests, paired by seed, with Holm's correction "
            "over the pairs of each column.",
            markdown_tests(numbers["tests"]),
        ]
    return "\n\n".join(parts) + "\n"


def comparison_report(comparison: Comparison, folder: Path, budgets: Sequence[int] | None = None) -> list[Path]:
    """The table, every query as Parquet, and the figures, written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "comparison.md"
    write_atomically(table, comparison_table(comparison, budgets))
    curves = {name: curve for name, curve in comparison.best_so_far.items() if np.isfinite(curve).any()}
    one_optimum = comparison.knows_optimum and np.ptp(comparison.optimum) == 0
    optimum = float(comparison.optimum[0]) if one_optimum else None
    written = [table, write_parquet(folder / "queries.parquet", comparison.rows)]
    unit = f"{VALUES[comparison.objective]}, %" if comparison.knows_optimum else comparison.unit
    figure = regret_curves(curves, optimum=optimum, unit=unit, title=comparison.subject)
    written += save_figure(figure, folder / "regret")
    if optimum is not None:
        written += save_figure(optimum_found(curves, optimum), folder / "optimum-found")
    return written


def comparison_page(comparison: Comparison, budgets: Sequence[int] | None = None) -> Page:
    """What `show` prints: the table, and where its files are."""
    assert comparison.folder is not None
    return page_of(comparison_report(comparison, comparison.folder / "report", budgets))


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
