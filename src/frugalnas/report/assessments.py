"""An assessment of predictors as numbers, Markdown, CSV, Parquet and figures."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from frugalnas.errors import FrugalnasError
from frugalnas.report.markdown import markdown_table, shown_difference, shown_interval
from frugalnas.report.style import GREY, LINES, new_figure, paper_style, save_figure
from frugalnas.runs.assessment import LEVELS, METRICS, TOPS, Assessment
from frugalnas.runs.comparison import bootstrap_mean

__all__ = ["assessment_figure", "assessment_numbers", "assessment_report", "assessment_table", "calibration_figure"]

PAGE = 7.16
"""Width of both columns of a two-column paper, inches."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
TESTED = ("tau", "top10")

_SHORT = {
    "spearman": ("Spearman", 3),
    **{f"top{k}": (f"top {k}", 3) for k in TOPS},
    "rank": ("rank of best", 1),
    "regret": ("regret", 3),
    "mae": ("MAE", 3),
    "rmse": ("RMSE", 3),
    **{f"cover{100 * level:g}": (f"in {100 * level:g} %", 3) for level in LEVELS},
    "nll": ("NLL", 2),
    "fit_seconds": ("fit, s", 3),
    "predict_seconds": ("predict, s", 3),
}
"""Heading and digits of each metric in the table of means."""


def assessment_numbers(assessment: Assessment) -> dict[str, Any]:
    """The statistics of an assessment as plain data.

    Intervals are [mean, low, high]: the mean over trials with its 95 % bootstrap interval, None where no trial has the number.
    Tests are of Kendall's tau and of the first ten, at each budget.
    """
    _check(assessment)
    numbers: dict[str, Any] = {
        "subject": assessment.subject,
        "quantity": assessment.quantity,
        "architectures": assessment.architectures,
        "trials": assessment.trials,
        "budgets": list(assessment.budgets),
        "repeated": assessment.repeated,
        "metrics": {
            label: {
                budget: {metric: _estimate(assessment.sample(metric, budget)[label]) for metric in METRICS}
                for budget in assessment.budgets
            }
            for label in assessment.predictors
        },
        "failures": {label: len(assessment.failures(label)) for label in assessment.predictors},
    }
    if len(assessment.predictors) > 1 and assessment.trials > 1:
        numbers["tests"] = {
            metric: {
                budget: [_without_nan(asdict(test)) for test in assessment.tests(metric, budget)]
                for budget in assessment.budgets
            }
            for metric in TESTED
        }
    return numbers


def assessment_table(assessment: Assessment) -> str:
    """The same as Markdown: tau at each budget with intervals, means of everything else, tests of every pair."""
    numbers = assessment_numbers(assessment)
    metrics, budgets = numbers["metrics"], assessment.budgets
    parts = [
        f"# {assessment.subject}: {', '.join(assessment.predictors)}",
        f"Predictors that learned the {assessment.quantity} of so many random networks, held against that of the others of "
        f"{assessment.architectures:,} architectures. Mean over {assessment.trials} random samples with its 95 % bootstrap "
        "interval; all predictors learn from the same samples.",
        "Kendall's tau:",
        markdown_table(
            ["predictor", *(f"{budget} labels" for budget in budgets)],
            [
                [label, *(shown_interval(metrics[label][budget]["tau"], 3) for budget in budgets)]
                for label in assessment.predictors
            ],
        ),
        _means(assessment, metrics),
    ]
    if assessment.repeated:
        rows = f"{assessment.repeated:,} row{'s' * (assessment.repeated > 1)}"
        parts.append(f"{rows} of {assessment.subject} named a network again: its label is the mean.")
    failed = {label: assessment.failures(label) for label in assessment.predictors}
    for label, errors in failed.items():
        if errors:
            fits = assessment.trials * len(budgets)
            parts.append(f"{label} failed in {len(errors)} of {fits} fits, the last time: {errors[-1]}")
    if "tests" in numbers:
        tests = numbers["tests"]["tau"]
        pairs = next(iter(tests.values()))
        parts += [
            "## Are the differences real?",
            "Difference of mean tau and two-sided p-value: Wilcoxon signed-rank tests, paired by sample, with Holm's "
            "correction over the pairs of each column. Where labels are few, samples overlap much, and p is too small.",
            markdown_table(
                ["pair", *(f"{budget} labels" for budget in budgets)],
                [
                    [
                        f"{pair['first']} - {pair['second']}",
                        *(
                            shown_difference(tests[budget][place]["difference"], tests[budget][place]["p"])
                            for budget in budgets
                        ),
                    ]
                    for place, pair in enumerate(pairs)
                ],
            ),
        ]
    return "\n\n".join(parts) + "\n"


def _means(assessment: Assessment, metrics: dict[str, Any]) -> str:
    """Means of all metrics that some predictor has, a row for each budget and predictor, and what the columns are."""
    known = {
        metric
        for label in assessment.predictors
        for budget in assessment.budgets
        for metric in _SHORT
        if metrics[label][budget][metric] is not None
    }
    columns = [metric for metric in _SHORT if metric in known]
    rows = []
    for budget in assessment.budgets:
        for label in assessment.predictors:
            own = metrics[label][budget]
            shown = ["" if own[metric] is None else f"{own[metric][0]:.{_SHORT[metric][1]}f}" for metric in columns]
            rows.append([str(budget), label, *shown])
    explained = "; ".join(f"{_SHORT[metric][0]}: {METRICS[metric]}" for metric in columns if metric != "spearman")
    table = markdown_table(["labels", "predictor", *(_SHORT[metric][0] for metric in columns)], rows)
    return f"Means ({explained}). The best are the best hundredth, and at least as many as are predicted:\n\n{table}"


def assessment_figure(assessment: Assessment) -> Figure:
    """A figure, two columns wide: Kendall's tau and the share of good ones among the first ten, by labels.

    Lines are means over trials, bars their 95 % bootstrap intervals.
    """
    _check(assessment)
    with paper_style():
        figure = new_figure(PAGE, 2.75, layout="constrained")
        panels = figure.subplots(1, 2)
        titles = {"tau": "Kendall's tau", "top10": "share of the 10 predicted best that are truly best"}
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            _draw(axes, assessment, metric)
            axes.set_ylabel(title)
        figure.suptitle(f"{assessment.subject}, {assessment.trials} samples", size=8.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def calibration_figure(assessment: Assessment) -> Figure | None:
    """A figure, two columns wide, of how often intervals hold at the smallest and largest budget.

    Above the diagonal a predictor is too careful, below it too sure. None where no predictor has standard deviations.
    """
    _check(assessment)
    budgets = sorted({assessment.budgets[0], assessment.budgets[-1]})
    with paper_style():
        figure = new_figure(PAGE, 2.9, layout="constrained")
        panels = figure.subplots(1, len(budgets), squeeze=False)[0]
        drawn = False
        for axes, budget in zip(panels, budgets, strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
            for place, label in enumerate(assessment.predictors):
                held = [
                    bootstrap_mean(assessment.sample(f"cover{100 * level:g}", budget)[label])[0] for level in LEVELS
                ]
                if np.isfinite(held).all():
                    drawn = True
                    axes.plot(LEVELS, held, marker="o", markersize=3, label=label, **_pen(place))
            axes.set(xlim=(0.4, 1.0), ylim=(0, 1.02), xlabel="interval", title=f"{budget} labels")
            axes.set_ylabel("share of values inside")
            axes.xaxis.set_major_locator(FixedLocator(list(LEVELS)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{100 * level:g} %"))
            axes.grid(True)
        if not drawn:
            return None
        figure.suptitle(f"{assessment.subject}, {assessment.trials} samples", size=8.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def assessment_report(assessment: Assessment, folder: Path) -> list[Path]:
    """The table, its numbers as CSV, every fit as Parquet, and the figures, written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "assessment.md"
    table.write_text(assessment_table(assessment), encoding="utf-8")
    written = [
        table,
        _write_csv(assessment, folder / "assessment.csv"),
        _write_parquet(assessment, folder / "fits.parquet"),
    ]
    written += save_figure(assessment_figure(assessment), folder / "tau")
    calibration = calibration_figure(assessment)
    return written if calibration is None else written + save_figure(calibration, folder / "calibration")


def _check(assessment: Assessment) -> None:
    errors = [row["error"] for row in assessment.rows]
    if all(error is not None for error in errors):
        raise FrugalnasError(f"no predictor could be fitted; the last one said: {errors[-1]}")


def _draw(axes: Axes, assessment: Assessment, metric: str) -> None:
    budgets, count = np.array(assessment.budgets, np.float64), len(assessment.predictors)
    for place, label in enumerate(assessment.predictors):
        estimates = np.array(
            [bootstrap_mean(assessment.sample(metric, budget)[label]) for budget in assessment.budgets]
        )
        known = np.isfinite(estimates[:, 0])
        # Bars that stand beside each other can be told apart.
        x = (budgets * 1.012 ** (place - (count - 1) / 2))[known]
        mean, low, high = estimates[known].T
        axes.errorbar(
            x,
            mean,
            yerr=[mean - low, high - mean],
            elinewidth=0.8,
            marker="o",
            markersize=2.2,
            label=label,
            **_pen(place),
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(budgets)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda budget, _: f"{budget:g}"))
    axes.set_xlabel("labels")
    axes.grid(True)


def _pen(place: int) -> dict[str, Any]:
    return {"color": LINES[place % len(LINES)], "linestyle": DASHES[place // len(LINES) % len(DASHES)]}


def _write_csv(assessment: Assessment, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["predictor", "labels", "metric", "mean", "low", "high", "trials"])
        for budget in assessment.budgets:
            for metric in METRICS:
                for label, sample in assessment.sample(metric, budget).items():
                    if np.isfinite(sample).any():
                        trials = int(np.isfinite(sample).sum())
                        writer.writerow([label, budget, metric, *map(repr, bootstrap_mean(sample)), trials])
    return path


def _write_parquet(assessment: Assessment, path: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    columns = ("predictor", "budget", "trial", "error", *METRICS)
    table = pyarrow.Table.from_pydict({column: [row.get(column) for row in assessment.rows] for column in columns})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return path


def _estimate(sample: Any) -> list[float] | None:
    estimate = bootstrap_mean(sample)
    return list(estimate) if np.isfinite(estimate[0]) else None


def _without_nan(record: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in record.items()}
