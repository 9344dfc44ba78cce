"""Comparisons of strategies, and of predictors, as numbers, Markdown, CSV, Parquet and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from frugalnas.amounts import plural
from frugalnas.files import write_atomically
from frugalnas.report.curves import optimum_found, regret_curves
from frugalnas.report.markdown import markdown_table, markdown_tests, shown_interval
from frugalnas.report.records import page_of, write_csv, write_parquet
from frugalnas.report.style import GREY, PAGE, drawing, pens, save_figure, shared_legend, ticks_at
from frugalnas.runs.kinds import Page
from frugalnas.strategies.objectives import VALUES
from frugalnas.studies.assessment import Assessment
from frugalnas.studies.comparison import Comparison
from frugalnas.studies.metrics import LEVELS, METRICS, TOPS
from frugalnas.studies.references import ReadComparison

SMALL = 4.0
"""Below it values are no percentages, and get more digits."""
CODES = (
    " Samples are of codes, as in papers: some of what is predicted are networks that were learned from under another spelling, "
    "which flatters tau by 0.03 to 0.06 on NAS-Bench-201 (frugalnas compare-predictors --split networks keeps them apart)."
)
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
        tested = [[name, shown_interval(found, 3)] for name, found in numbers["test"].items()]
        parts.append("Test accuracy, %, of the architecture with the best validation value of each search:")
        parts.append(markdown_table(["strategy", "test"], tested))
    if "to_optimum" in numbers:
        rows = []
        for name, found in numbers["to_optimum"].items():
            mean = ("at least " if found["censored"] else "") + shown_interval(found["mean"], 1)
            rows.append([name, mean, f"{found['median']:g}", f"{found['censored']} of {len(seeds)}"])
        parts += [
            "## Queries to the optimum",
            f"A run that had not found the optimum after {comparison.queries} queries is censored: it counts as "
            f"{comparison.queries}, and mean and median are lower bounds.",
            markdown_table(["strategy", "mean", "median", "censored"], rows),
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


def study_page(
    found: Comparison | Assessment, folder: Path | None = None, budgets: Sequence[int] | None = None
) -> Page:
    """What is printed of either: the table, and where its files are.

    Args:
        found: of strategies or of predictors.
        folder: in whose report the files lie; None: its own run's.
        budgets: at which strategies are shown, where not at the usual ones.
    """
    folder = found.folder if folder is None else folder
    assert folder is not None
    if isinstance(found, Comparison):
        return page_of(comparison_report(found, folder / "report", budgets))
    return page_of(assessment_report(found, folder / "report"))


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


# -- predictors --------------------------------------------------------------------------------------------------------


def assessment_table(assessment: Assessment) -> str:
    """The statistics as Markdown: tau at each budget with intervals, means of everything else, tests of every pair."""
    numbers = assessment.numbers
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
            [[label, *(shown_interval(own["tau"], 3) for own in at.values())] for label, at in metrics.items()],
        ),
        _MEANS,
        _means(metrics, budgets),
    ]
    fitted = {
        how: [label for label, own in zip(assessment.predictors, assessment.targets, strict=False) if own == how]
        for how in _TARGETS
    }
    said = [f"{_TARGETS[how]} ({', '.join(labels)})" for how, labels in fitted.items() if labels]
    if said:
        parts.append(f"Fitted to {'; to '.join(said)}. Errors are in the values' unit all the same.")
    if assessment.repeated:
        rows = plural(assessment.repeated, "row")
        parts.append(f"{rows} of {assessment.subject} named a network again: its label is the mean.")
    for label in assessment.predictors:
        errors = assessment.failures(label)
        if errors:
            fits = assessment.trials * len(budgets)
            parts.append(f"{label} failed in {len(errors)} of {fits} fits, the last time: {errors[-1]}")
    if "tests" in numbers:
        tests = {f"{budget} labels": pairs for budget, pairs in numbers["tests"]["tau"].items()}
        best, shown = "", ""
        if len(next(iter(tests.values()))) > MOST_PAIRS:
            last = {label: at[budgets[-1]]["tau"] for label, at in metrics.items()}
            best = max((label for label in last if last[label]), key=lambda label: float(last[label][0]), default="")
            shown = f" Of the pairs those with {best} are shown; frugalnas show --json has all."
        parts += [
            "## Are the differences real?",
            "Difference of mean tau and two-sided p-value: Wilcoxon signed-rank tests, paired by sample, with Holm's "
            "correction over the pairs of each column. Where labels are few, samples overlap much, and p is too small."
            + shown,
            markdown_tests(tests, best),
        ]
    return "\n\n".join(parts) + "\n"


def _means(metrics: Mapping[str, Any], budgets: Sequence[int]) -> str:
    """Means of all metrics that some predictor has, a row for each budget and predictor."""
    fits = [(budget, label, metrics[label][budget]) for budget in budgets for label in metrics]
    columns = [metric for metric in _SHORT if any(own[metric] is not None for _, _, own in fits)]
    rows = []
    for budget, label, own in fits:
        means = ("" if own[metric] is None else f"{own[metric][0]:.{_SHORT[metric][1]}f}" for metric in columns)
        rows.append([str(budget), label, *means])
    return markdown_table(["labels", "predictor", *(_SHORT[metric][0] for metric in columns)], rows)


def assessment_figure(assessment: Assessment) -> Figure:
    """A figure, two columns wide: Kendall's tau and the share of good ones among the ten predicted best, by labels.

    Good is the best hundredth. Lines are means over trials, bars their 95 % bootstrap intervals.
    """
    metrics = assessment.numbers["metrics"]
    tops = any(own["top10"] is not None for at in metrics.values() for own in at.values())
    second = ("top10", "share of the first 10 that are good") if tops else ("spearman", METRICS["spearman"])
    with drawing(PAGE, 2.55, f"{assessment.subject}, {assessment.trials} samples") as figure:
        panels = figure.subplots(1, 2)
        for axes, (metric, title) in zip(panels, [("tau", "Kendall's tau"), second], strict=True):
            _draw(axes, assessment, metric)
            axes.set_ylabel(title)
        shared_legend(figure, panels[:1], loc="outside right center")
    return figure


def calibration_figure(assessment: Assessment) -> Figure | None:
    """A figure, two columns wide, of how often intervals hold at the smallest and largest budget.

    Above the diagonal a predictor is too careful, below it too sure. None where no predictor has standard deviations.
    """
    budgets = sorted({assessment.budgets[0], assessment.budgets[-1]})
    metrics, covers = assessment.numbers["metrics"], [f"cover{100 * level:g}" for level in LEVELS]
    held = {
        (label, budget): [own[0] for own in map(metrics[label][budget].get, covers) if own is not None]
        for label in metrics
        for budget in budgets
    }
    if not any(held.values()):
        return None
    with drawing(PAGE, 2.7, f"{assessment.subject}, {assessment.trials} samples") as figure:
        panels = figure.subplots(1, len(budgets), squeeze=False)[0]
        for axes, budget in zip(panels, budgets, strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
            for label, pen in zip(metrics, pens(), strict=False):
                if held[label, budget]:
                    axes.plot(LEVELS, held[label, budget], marker="o", markersize=3, label=label, **pen)
            axes.set(xlim=(0.4, 1.0), ylim=(0, 1.02), xlabel="interval", title=f"{budget} labels")
            axes.set_ylabel("share of values inside")
            ticks_at(axes.xaxis, LEVELS, lambda level, _: f"{100 * level:g} %")
            axes.grid(True)
        shared_legend(figure, panels[:1], loc="outside right center")
    return figure


def assessment_report(assessment: Assessment, folder: Path) -> list[Path]:
    """The table, its numbers as CSV, every fit as Parquet, and the figures, written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "assessment.md"
    write_atomically(table, assessment_table(assessment))
    estimates = (
        [label, budget, metric, *map(repr, estimate)]
        for label, at in assessment.numbers["metrics"].items()
        for budget, own in at.items()
        for metric, estimate in own.items()
        if estimate is not None
    )
    columns = ("predictor", "budget", "trial", "error", *METRICS)
    written = [
        table,
        write_csv(folder / "assessment.csv", ("predictor", "labels", "metric", "mean", "low", "high"), estimates),
        write_parquet(folder / "fits.parquet", assessment.rows, columns),
        *save_figure(assessment_figure(assessment), folder / "tau"),
    ]
    calibration = calibration_figure(assessment)
    return written if calibration is None else written + save_figure(calibration, folder / "calibration")


def _draw(axes: Axes, assessment: Assessment, metric: str) -> None:
    budgets, count = np.array(assessment.budgets, np.float64), len(assessment.predictors)
    for place, ((label, at), pen) in enumerate(zip(assessment.numbers["metrics"].items(), pens(), strict=False)):
        estimates = np.array([own[metric] or [np.nan] * 3 for own in at.values()])
        known = np.isfinite(estimates[:, 0])
        # Bars that stand beside each other can be told apart.
        x = (budgets * 1.012 ** (place - (count - 1) / 2))[known]
        mean, low, high = estimates[known].T
        bars = [mean - low, high - mean]
        axes.errorbar(x, mean, yerr=bars, elinewidth=0.8, marker="o", markersize=2.2, label=label, **pen)
    axes.set(xscale="log", xlabel="labels")
    ticks_at(axes.xaxis, budgets)
    axes.grid(True)
