"""How supernets rank tables, as numbers and files: every run and epoch as CSV, means over seeds, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from frugalnas.report.correlations import Truth, score_against_accuracy, tau_by_data_set, tau_by_epoch
from frugalnas.report.records import write_csv
from frugalnas.report.style import save_figure
from frugalnas.scores.correlation import Correlation
from frugalnas.searches.scoring import score_title
from frugalnas.spaces import FloatArray
from frugalnas.studies.published import PublishedTau
from frugalnas.studies.rankings import Study, TableRanking
from frugalnas.studies.statistics import mean_and_deviation

STATISTICS = {"tau": "Kendall's tau", "within": "tau within equal parameters"}
"""What the figures over epochs show."""
BASELINES = {"params": "parameters", "macs": "multiply-adds"}


def ranking_rows(study: Study) -> list[dict[str, Any]]:
    """One record for every run, epoch and base, and one for each baseline, with all statistics."""
    rows = []
    for ranking in study.rankings:
        rows.append(
            {
                "table": study.table,
                "accuracy": study.column,
                "run": str(ranking.run),
                **{name: getattr(ranking, name) for name in ("group", "seed", "score", "base", "rule", "epoch")},
                **_statistics(ranking.correlation),
                "winner": study.space.format(study.codes[ranking.correlation.winner]),
                "winner_accuracy": ranking.value,
                "winner_place": ranking.place,
            }
        )
    for name, known in study.baselines.items():
        rows.append({"table": study.table, "accuracy": study.column, "score": name, **_statistics(known)})
    return rows


def ranking_numbers(study: Study, published: Sequence[PublishedTau] = ()) -> dict[str, Any]:
    """The study as plain data: mean and standard deviation over seeds of each line and epoch, baselines, and what others published.

    The standard deviation is that of a sample (None of one seed); NaN, where a statistic is not defined, is None.
    """
    lines = []
    for line, rankings in study.lines.items():
        for epoch in sorted({ranking.epoch for ranking in rankings}):
            members = [ranking for ranking in rankings if ranking.epoch == epoch]
            lines.append(
                {
                    "name": study.name(line),
                    **dict(zip(("group", "score", "base"), line, strict=True)),
                    "rule": members[0].rule,
                    "epoch": epoch,
                    "seeds": [ranking.seed for ranking in members],
                    **_over_seeds(members),
                    "winner_accuracy": mean_and_deviation([ranking.value for ranking in members]),
                    "winner_place": [ranking.place for ranking in members],
                }
            )
    return {
        "table": study.table,
        "accuracy": study.column,
        "split": study.split,
        "architectures": len(study.codes),
        "whole": study.whole,
        "rankings": lines,
        "baselines": {name: _without_nan(_statistics(known)) for name, known in study.baselines.items()},
        "published": [asdict(tau) for tau in published],
    }


def ranking_report(study: Study, folder: Path) -> list[Path]:
    """A CSV file with every run and epoch, and the figures: score against accuracy, and tau over epochs if there are several."""
    stem = f"correlation-{study.table.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    written = [_written(ranking_rows(study), folder / f"{stem}.csv")]
    written += save_figure(_against_accuracy([study]), folder / stem)
    if len(study.epochs) > 1:
        written += save_figure(_by_epoch(study), folder / f"{stem}-epochs")
    return written


def transfer_report(studies: Mapping[str, Study], folder: Path) -> list[Path]:
    """A CSV file with every table and run, and the figures: score against accuracy of each table, and all taus."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for study in studies.values() for row in ranking_rows(study)]
    written = [_written(rows, folder / "robustness.csv")]
    first = next(iter(studies.values()))
    alike = [study for study in studies.values() if np.array_equal(study.codes, first.codes)]
    written += save_figure(_against_accuracy(alike, f", {len(alike)} data sets"), folder / "robustness")
    taus = {
        f"{name}\n{study.column.replace('_', ' ')} accuracy": {
            **{study.name(line): study.seeds(line)[:, -1] for line in study.lines},
            **{BASELINES[name]: np.array([known.tau]) for name, known in study.baselines.items()},
        }
        for name, study in studies.items()
    }
    return [*written, *save_figure(tau_by_data_set(taus), folder / "robustness-taus")]


def _against_accuracy(studies: Sequence[Study], more: str = "") -> Figure:
    """What the first study looks at first, against the accuracies of each."""
    first, main, same = studies[0], studies[0].main, attrgetter("run", "score", "base", "epoch")
    truths = []
    for study in studies:
        tau = next(each.correlation.tau for each in study.rankings if same(each) == same(main))
        truths.append(Truth(study.table, study.truth, f"{study.column.replace('_', ' ')} accuracy, %", tau))
    return score_against_accuracy(
        first.scores[main.run, main.score, main.base],
        truths,
        score=score_title(main.score),
        params=first.params if first.params.any() else None,
        title=f"{_whose(first, main)}{more}",
    )


def _by_epoch(study: Study) -> Any:
    panels: dict[str, dict[str, FloatArray]] = {}
    constant: dict[str, dict[str, float]] = {}
    for statistic, title in STATISTICS.items():
        curves = {study.name(line): study.seeds(line, statistic) for line in study.lines}
        if any(np.isfinite(curve).any() for curve in curves.values()):
            panels[title] = curves
            constant[title] = {BASELINES[name]: getattr(known, statistic) for name, known in study.baselines.items()}
    return tau_by_epoch(panels, study.epochs, constant, title=f"{study.table}, {study.column} accuracy")


def _whose(study: Study, ranking: TableRanking) -> str:
    """Which score of which supernet a figure shows."""
    group = "" if len({other.group for other in study.rankings}) > 1 else f"{ranking.group}, "
    rule = f", rule {ranking.rule}" if ranking.rule else ""
    return f"{group}seed {ranking.seed}: {study.name(ranking.line)}, after epoch {ranking.epoch}{rule}"


def _statistics(known: Correlation) -> dict[str, Any]:
    """Every statistic by a name that fits a column."""
    return {
        **{name: getattr(known, name) for name in ("architectures", "tau", "position_tau", "spearman", "within")},
        **{f"within_{group.params:.0f}": group.tau for group in known.groups},
        **{f"top{top.k}_precision": top.precision for top in known.top},
        **{f"top{top.k}_accuracy": top.value for top in known.top},
    }


def _over_seeds(members: list[TableRanking]) -> dict[str, Any]:
    """Mean and standard deviation of every statistic."""
    records = [_statistics(ranking.correlation) for ranking in members]
    names = [name for name in records[0] if name != "architectures"]
    return {name: mean_and_deviation([record.get(name, np.nan) for record in records]) for name in names}


def _without_nan(record: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in record.items()}


def _written(rows: list[dict[str, Any]], path: Path) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return write_csv(path, names, (map(_without_nan(row).get, names) for row in rows))
