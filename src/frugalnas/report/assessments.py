"""An assessment of predictors as numbers, Markdown, CSV, Parquet and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from frugalnas.files import write_atomically
from frugalnas.report.markdown import markdown_table, shown_difference, shown_interval
from frugalnas.report.records import page_of, write_csv, write_parquet
from frugalnas.report.style import GREY, LINES, new_figure, paper_style, save_figure
from frugalnas.runs.kinds import Page
from frugalnas.studies.assessment import Assessment
from frugalnas.studies.metrics import LEVELS, METRICS, TOPS

__all__ = ["assessment_figure", "assessment_page", "assessment_report", "assessment_table", "calibration_figure"]

PAGE = 7.16
"""Width of both columns of a two-column paper, inches."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
CODES = (
    " Samples are of codes, as in papers: some of what is predicted are networks that were learned from under another spelling, "
    "which flatters tau by 0.03 to 0.06 on NAS-Bench-201 (--split networks keeps them apart)."
)
TESTED = ("tau", "top10")
MOST_PAIRS = 15
"""On the terminal; JSON has all."""

_MEANS = (
    "Means. top 10: share of the 10 predicted best that are truly good, which are the best hundredth and at least 10; rank and "
    "regret: of the predicted best, 1 and 0 are perfect; MAE, RMSE: errors in the values' unit; in 80 %: share of values inside "
    "80 % intervals; NLL: negative log density; seconds: medians."
)

_TARGETS = {
    "rank": "normal scores of the labels' ranks",
    "standard": "standardised labels",
    "raw": "the labels as they are",
}

_SHORT = {
    "spearman": ("Spearman", 3),
    **{f"top{k}": (f"top {k}", 3) for k in TOPS},
    "rank": ("rank", 1),
    "regret": ("regret", 3),
    "mae": ("MAE", 3),
    "rmse": ("RMSE", 3),
    **{f"cover{100 * level:g}": (f"in {100 * level:g} %", 3) for level in LEVELS},
    "nll": ("NLL", 2),
    "fit_seconds": ("fit, s", 3),
    "predict_seconds": ("predict, s", 3),
}
"""Heading and digits of each metric in the table of means."""


def assessment_table(assessment: Assessment) -> str:
    """The same as Markdown: tau at each budget with intervals, means of everything else, tests of every pair."""
    return _table(assessment, assessment.to_json())


def _table(assessment: Assessment, numbers: Mapping[str, Any]) -> str:
    metrics, budgets = numbers["metrics"], assessment.budgets
    number = f"of {assessment.architectures:,} architectures" if assessment.architectures else "of the space"
    parts = [
        f"# {assessment.subject}: {', '.join(assessment.predictors)}",
        f"Predictors that learned the {assessment.quantity} of so many random networks, held against that of the others "
        f"{number}. Mean over {assessment.trials} random samples with its 95 % bootstrap "
        "interval; all predictors learn from the same samples." + ("" if assessment.split == "networks" else CODES),
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
    fitted = {
        how: [label for label, own in zip(assessment.predictors, assessment.targets, strict=False) if own == how]
        for how in _TARGETS
    }
    said = [f"{_TARGETS[how]} ({', '.join(labels)})" for how, labels in fitted.items() if labels]
    if said:
        parts.append(f"Fitted to {'; to '.join(said)}. Errors are in the values' unit all the same.")
    if assessment.repeated:
        rows = f"{assessment.repeated:,} row{'s' * (assessment.repeated > 1)}"
        parts.append(f"{rows} of {assessment.subject} named a network again: its label is the mean.")
    failed = {label: assessment.failures(label) for label in assessment.predictors}
    for label, errors in failed.items():
        if errors:
            fits = assessment.trials * len(budgets)
            parts.append(f"{label} failed in {len(errors)} of {fits} fits, the last time: {errors[-1]}")
    if "tests" in numbers:
        parts += ["## Are the differences real?", *_tests(assessment, numbers)]
    return "\n\n".join(parts) + "\n"


def _tests(assessment: Assessment, numbers: Mapping[str, Any]) -> list[str]:
    """What the tests of tau are, and a row for each pair; of many predictors those with the best one."""
    budgets, tests = assessment.budgets, numbers["tests"]["tau"]
    pairs = list(enumerate(next(iter(tests.values()))))
    shown = ""
    if len(pairs) > MOST_PAIRS:
        last = {label: at[budgets[-1]]["tau"] for label, at in numbers["metrics"].items()}
        best = max(
            (label for label in last if last[label] is not None), key=lambda label: float(last[label][0]), default=""
        )
        pairs = [(place, pair) for place, pair in pairs if best in (pair["first"], pair["second"])]
        shown = f" Of the pairs those with {best} are shown; frugalnas show --json has all."
    said = (
        "Difference of mean tau and two-sided p-value: Wilcoxon signed-rank tests, paired by sample, with Holm's "
        "correction over the pairs of each column. Where labels are few, samples overlap much, and p is too small."
    )
    rows = [
        [
            f"{pair['first']} - {pair['second']}",
            *(shown_difference(tests[budget][place]["difference"], tests[budget][place]["p"]) for budget in budgets),
        ]
        for place, pair in pairs
    ]
    return [said + shown, markdown_table(["pair", *(f"{budget} labels" for budget in budgets)], rows)]


def _means(assessment: Assessment, metrics: Mapping[str, Any]) -> str:
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
    table = markdown_table(["labels", "predictor", *(_SHORT[metric][0] for metric in columns)], rows)
    return f"{_MEANS}\n\n{table}"


def assessment_figure(assessment: Assessment) -> Figure:
    """A figure, two columns wide: Kendall's tau and the share of good ones among the ten predicted best, by labels.

    Good is the best hundredth. Lines are means over trials, bars their 95 % bootstrap intervals.
    """
    return _figure(assessment, assessment.to_json()["metrics"])


def _figure(assessment: Assessment, metrics: Mapping[str, Any]) -> Figure:
    with paper_style():
        figure = new_figure(PAGE, 2.75, layout="constrained")
        panels = figure.subplots(1, 2)
        tops = any(own["top10"] is not None for at in metrics.values() for own in at.values())
        second = ("top10", "share of the first 10 that are good") if tops else ("spearman", METRICS["spearman"])
        titles = dict([("tau", "Kendall's tau"), second])
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            _draw(axes, assessment, metrics, metric)
            axes.set_ylabel(title)
        figure.suptitle(f"{assessment.subject}, {assessment.trials} samples", size=8.5)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center")
    return figure


def calibration_figure(assessment: Assessment) -> Figure | None:
    """A figure, two columns wide, of how often intervals hold at the smallest and largest budget.

    Above the diagonal a predictor is too careful, below it too sure. None where no predictor has standard deviations.
    """
    return _calibration(assessment, assessment.to_json()["metrics"])


def _calibration(assessment: Assessment, metrics: Mapping[str, Any]) -> Figure | None:
    budgets = sorted({assessment.budgets[0], assessment.budgets[-1]})
    with paper_style():
        figure = new_figure(PAGE, 2.9, layout="constrained")
        panels = figure.subplots(1, len(budgets), squeeze=False)[0]
        drawn = False
        for axes, budget in zip(panels, budgets, strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
            for place, label in enumerate(assessment.predictors):
                held = [metrics[label][budget][f"cover{100 * level:g}"] for level in LEVELS]
                if None not in held:
                    drawn = True
                    axes.plot(
                        LEVELS, [share[0] for share in held], marker="o", markersize=3, label=label, **_pen(place)
                    )
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
    numbers = assessment.to_json()
    metrics = numbers["metrics"]
    write_atomically(table, _table(assessment, numbers))
    written = [
        table,
        write_csv(
            folder / "assessment.csv", ["predictor", "labels", "metric", "mean", "low", "high"], _estimates(metrics)
        ),
        write_parquet(folder / "fits.parquet", assessment.rows, ("predictor", "budget", "trial", "error", *METRICS)),
    ]
    written += save_figure(_figure(assessment, metrics), folder / "tau")
    calibration = _calibration(assessment, metrics)
    return written if calibration is None else written + save_figure(calibration, folder / "calibration")


def assessment_page(assessment: Assessment) -> Page:
    """What `show` prints: the table, and where its files are."""
    assert assessment.folder is not None
    return page_of(assessment_report(assessment, assessment.folder / "report"))


def _estimates(metrics: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The rows of the CSV file."""
    for label, at in metrics.items():
        for budget, own in at.items():
            for metric, estimate in own.items():
                if estimate is not None:
                    yield [label, budget, metric, *map(repr, estimate)]


def _draw(axes: Axes, assessment: Assessment, metrics: Mapping[str, Any], metric: str) -> None:
    budgets, count = np.array(assessment.budgets, np.float64), len(assessment.predictors)
    for place, label in enumerate(assessment.predictors):
        found = [metrics[label][budget][metric] for budget in assessment.budgets]
        estimates = np.array([[np.nan] * 3 if estimate is None else estimate for estimate in found])
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
