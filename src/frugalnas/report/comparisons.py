"""A comparison as numbers, Markdown, Parquet and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.files import write_atomically
from frugalnas.report.curves import optimum_found, regret_curves
from frugalnas.report.markdown import markdown_table, shown_difference, shown_interval
from frugalnas.report.style import save_figure
from frugalnas.strategies.objectives import VALUES
from frugalnas.studies.comparison import Comparison, bootstrap_mean
from frugalnas.studies.references import ReadComparison

__all__ = ["comparison_numbers", "comparison_report", "comparison_table"]

SMALL = 4.0
"""Below it values are no percentages, and get more digits."""


def comparison_numbers(comparison: Comparison, budgets: Sequence[int] | None = None) -> dict[str, Any]:
    """The statistics of a comparison as plain data.

    Intervals are [mean, low, high]: the mean over seeds with its 95 % bootstrap interval. In `to_optimum` a run that had
    not found the optimum (censored) counts as the whole budget, so that mean and median are lower bounds then.

    Args:
        comparison: finished.
        budgets: queries at which values are reported; None takes an eighth, a quarter, a half and all.
    """
    if not any(np.isfinite(values).any() for values in comparison.values.values()):
        last = comparison.rows[-1]["error"] if comparison.rows else "nothing was evaluated"
        raise FrugalnasError(f"no evaluation succeeded; the last one said: {last}")
    budgets = sorted(budgets or comparison.default_budgets())
    samples: dict[str, Mapping[str, NDArray[np.float64]]] = {
        f"{budget} queries": comparison.at(budget) for budget in budgets
    }
    numbers: dict[str, Any] = {
        "subject": comparison.subject,
        "objective": comparison.objective,
        "seeds": list(comparison.seeds),
        "queries": comparison.queries,
        "values": {
            name: {budget: _estimate(comparison.at(budget)[name]) for budget in budgets} for name in comparison.values
        },
        "test": None
        if comparison.test is None
        else {name: _estimate(accuracies) for name, accuracies in comparison.test.items()},
    }
    if comparison.knows_optimum:
        found = comparison.to_optimum()
        counted = {name: np.where(np.isfinite(runs), runs, comparison.queries) for name, runs in found.items()}
        samples["queries to optimum"] = counted
        numbers["to_optimum"] = {
            name: {
                "mean": _estimate(counted[name]),
                "median": float(np.median(counted[name])),
                "censored": int(np.isnan(found[name]).sum()),
            }
            for name in found
        }
    if len(comparison.values) > 1 and len(comparison.seeds) > 1:
        numbers["tests"] = {
            what: [_without_nan(asdict(test)) for test in comparison.tests(sample)] for what, sample in samples.items()
        }
    return numbers


def comparison_table(comparison: Comparison, budgets: Sequence[int] | None = None) -> str:
    """The same as Markdown: values at budgets, queries to the optimum, tests of every pair."""
    numbers = comparison_numbers(comparison, budgets)
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
        tests = numbers["tests"]
        pairs = next(iter(tests.values()))
        parts += [
            "## Are the differences real?",
            "Difference of means and two-sided p-value: Wilcoxon signed-rank tests, paired by seed, with Holm's correction "
            "over the pairs of each column.",
            markdown_table(
                ["pair", *tests],
                [
                    [
                        f"{pair['first']} - {pair['second']}",
                        *(
                            shown_difference(column[place]["difference"], column[place]["p"])
                            for column in tests.values()
                        ),
                    ]
                    for place, pair in enumerate(pairs)
                ],
            ),
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
    written = [table, _write_parquet(comparison, folder / "queries.parquet")]
    unit = f"{VALUES[comparison.objective]}, %" if comparison.knows_optimum else comparison.unit
    figure = regret_curves(curves, optimum=optimum, unit=unit, title=comparison.subject)
    written += save_figure(figure, folder / "regret")
    if optimum is not None:
        written += save_figure(optimum_found(curves, optimum), folder / "optimum-found")
    return written


def _write_parquet(comparison: Comparison, path: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(comparison.rows)), path, compression="zstd")
    return path


def _estimate(sample: NDArray[np.float64]) -> list[float] | None:
    """[mean, low, high], None where no seed has a value."""
    estimate = bootstrap_mean(sample)
    return list(estimate) if np.isfinite(estimate[0]) else None


def _without_nan(record: dict[str, Any]) -> dict[str, Any]:
    """The same with None for NaN, which JSON does not know."""
    return {key: None if value != value else value for key, value in record.items()}


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
