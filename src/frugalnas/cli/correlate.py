"""`frugalnas correlate` and `robustness`: how supernets rank a table, and how one score ranks several tables."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.options import SCORE_HELP
from frugalnas.cli.parsing import option
from frugalnas.cli.score import add_accuracy
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.studies.published import PublishedTau
    from frugalnas.studies.rankings import Study

MOST_EPOCHS = 12
"""Of one score on the terminal, evenly spaced; the CSV file has all."""
SHOWN_TOPS = (10, 100)


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Hold what trained supernets say against the accuracies of a table: Kendall's tau (ties known, tau-b), "
        "the tau that RLNAS and ABS publish (of places in sorted lists), Spearman's correlation, tau among networks with "
        "equally many parameters, and how many of the best are among the first; after every epoch and from every base. "
        "Several runs are seeds where they differ in nothing else. Parameters and multiply-adds stand beside them. Test "
        "accuracies serve this comparison alone: nothing that searches sees them."
    )
    parser.epilog = "Example: frugalnas correlate runs/supernet-seed0 runs/supernet-seed1 --table nasbench201/cifar10"
    _add_common(parser, "nasbench201/cifar10", "name of a table (frugalnas table list)")
    option(parser, "--base N", "epoch an angle starts from, may be repeated [all kept]", int, action="append")
    option(
        parser,
        "--epoch N",
        "epoch to look after, may be repeated [each; of other scores the last]",
        int,
        action="append",
    )
    option(
        parser,
        "--reference KIND=FILE",
        "a .tau file of ABS's program to show beside, may be repeated; KIND is what its keys are: seeds, epochs or params",
        list,
    )
    parser.set_defaults(run=_correlate)


def add_robustness(parser: argparse.ArgumentParser) -> None:
    """Add what `robustness` takes."""
    parser.description = (
        "Hold one score of trained supernets against all data sets of a benchmark: how well an architecture "
        "that was found on one of them transfers to the others (the transfer figure of RLNAS)."
    )
    parser.epilog = "Example: frugalnas robustness runs/supernet --table nasbench201"
    _add_common(parser, "nasbench201", "a benchmark, whose tables NAME/... are all taken, or tables joined by commas")
    option(parser, "--base N", "epoch an angle starts from [the recipe's]", int)
    option(parser, "--epoch N", "epoch to look after [the last]", int)
    parser.set_defaults(run=_robustness)


def _add_common(parser: argparse.ArgumentParser, table: str, what: str) -> None:
    """Add the options that both commands have."""
    option(parser, "run_dirs RUN", "folders of supernets of one space", Path, nargs="+")
    option(parser, "--table NAME", f"{what} [{table}]", default=table)
    option(parser, "--against COLUMN", "test, validation or whole_test accuracies [test, where the table has them]")
    option(parser, "--score NAME", SCORE_HELP, default="angle")
    option(parser, "--rule NAME", "which weights an angle counts [default]")
    option(parser, "--sample N", "architectures of the table [all; 200 where a score takes long for each]", int)
    add_accuracy(parser)
    option(parser, "--out FOLDER", "for CSV file and figures [the first run's report]", Path)
    option(parser, "--json", "as JSON", bool)


def _options_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """What both commands pass on."""
    from frugalnas.searches.supernet_scores import Looking

    if parsed.sample is not None and parsed.sample < 2:
        raise FrugalnasError(f"--sample {parsed.sample}: a ranking needs two architectures at least")
    looking = Looking(parsed.recalibrate, parsed.images, parsed.seed, parsed.device)
    return {name: getattr(parsed, name) for name in ("score", "against", "rule", "sample")} | {"looking": looking}


def _folder(parsed: argparse.Namespace) -> Path:
    """Where files are written."""
    from frugalnas.searches.supernet_scores import supernet_folder

    return parsed.out or supernet_folder(parsed.run_dirs[0]) / "report"


def _correlate(parsed: argparse.Namespace) -> None:
    from frugalnas.report.rankings import ranking_numbers, ranking_report
    from frugalnas.studies.correlation import correlate
    from frugalnas.studies.published import published_taus

    read = [tau for typed in parsed.reference for tau in _read(typed)]
    study = correlate(parsed.run_dirs, parsed.table, bases=parsed.base, epochs=parsed.epoch, **_options_of(parsed))
    scores = {part for ranking in study.rankings for part in (ranking.score, *ranking.score.split("+"))}
    published = [*(tau for tau in published_taus(study.table, study.alone) if tau.score in scores), *read]
    written = ranking_report(study, _folder(parsed))
    numbers = ranking_numbers(study, published)
    if parsed.json:
        print_json(numbers)
        return
    which = "all" if study.whole else "a sample of"
    split = f" ({study.split})" if study.split else ""
    print(f"{study.table}, {study.column} accuracy{split}: {which} {len(study.codes):,} architectures")
    print(_rule_of(study))
    lines: dict[str, list[dict[str, Any]]] = {}
    for record in numbers["rankings"]:
        lines.setdefault(record["name"], []).append(record)
    shown = [record for records in lines.values() for record in _spaced(records)]
    print_columns(_rows(shown, numbers["baselines"]), _heading(shown[0]))
    _print_groups(lines, published)
    _print_published(published, "50 cells, each trained by itself" if study.alone else "supernets, all cells")
    _print_files(written)


def _robustness(parsed: argparse.Namespace) -> None:
    from frugalnas.report.rankings import ranking_numbers, transfer_report
    from frugalnas.studies.correlation import tables_named, transfer

    tables = tables_named(parsed.table)
    studies = transfer(parsed.run_dirs, tables, base=parsed.base, epoch=parsed.epoch, **_options_of(parsed))
    written = transfer_report(studies, _folder(parsed))
    numbers = {name: ranking_numbers(study) for name, study in studies.items()}
    if parsed.json:
        print_json(numbers)
        return
    print(_rule_of(next(iter(studies.values()))))
    rows = [
        [name, known["accuracy"], *row]
        for name, known in numbers.items()
        for row in _rows(known["rankings"], known["baselines"])
    ]
    print_columns(rows, ("table", "accuracy", *_heading(next(iter(numbers.values()))["rankings"][0])))
    _print_files(written)


def _rule_of(study: Study) -> str:
    """Which weights the angles count, for people; empty where there are none."""
    rules = dict.fromkeys(ranking.rule for ranking in study.rankings if ranking.rule)
    return f"angles by the rule {', '.join(rules)}\n" if rules else ""


def _spaced(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some of many, the first and the last among them."""
    if len(records) <= MOST_EPOCHS:
        return records
    step = (len(records) - 1) / (MOST_EPOCHS - 1)
    return [records[round(place * step)] for place in range(MOST_EPOCHS)]


def _tops(known: Mapping[str, Any]) -> list[int]:
    """The tops that are shown, of those that were looked at."""
    return [k for k in SHOWN_TOPS if f"top{k}_precision" in known]


def _heading(known: Mapping[str, Any]) -> tuple[str, ...]:
    """Over the columns of `_rows`."""
    statistics = ("tau", "of places", "Spearman", "equal params")
    return ("score", "epoch", *statistics, *(f"top {k}" for k in _tops(known)), "first by score")


def _rows(rankings: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> list[list[str]]:
    """Lines of the table, those of costs last; statistics are [mean, deviation] over seeds, or a number."""
    rows = []
    costs = ({"name": name, "epoch": "", **known} for name, known in baselines.items())
    for known in [*rankings, *costs]:
        statistics = [_shown(known[key]) for key in ("tau", "position_tau", "spearman", "within")]
        found = [_share(known[f"top{k}_precision"]) for k in _tops(known)]
        first = _shown(known["winner_accuracy"] if "winner_accuracy" in known else known.get("top1_accuracy"), 2)
        places = known.get("winner_place")
        said = "" if not places else f", place {' and '.join(f'{place:,}' for place in places[:3])}"
        said += " ..." if places and len(places) > 3 else ""
        rows.append([known["name"], str(known["epoch"]), *statistics, *found, f"{first} %{said}"])
    return rows


def _shown(value: Any, digits: int = 3) -> str:
    """A number, or mean and standard deviation over seeds."""
    mean, deviation = value if isinstance(value, list) else (value, None)
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + (f" ±{deviation:.{digits}f}" if deviation is not None else "")


def _share(value: Any) -> str:
    mean = value[0] if isinstance(value, list) else value
    return "-" if mean is None else f"{100 * mean:.0f} %"


def _read(typed: str) -> list[PublishedTau]:
    """The taus of a file that was typed as KIND=FILE."""
    from frugalnas.studies.published import KINDS, read_taus

    kind, _, path = typed.partition("=")
    of = next((known for known in KINDS if known == kind), None)
    if of is None or not path:
        raise FrugalnasError(
            f"--reference {typed}: write what the keys of the file are, {'=, '.join(KINDS)}=, before its path"
        )
    return read_taus(path, of)


def _print_groups(lines: Mapping[str, list[dict[str, Any]]], published: Sequence[PublishedTau]) -> None:
    """Tau within each of the largest groups of equal parameters, after the last epoch of each line."""
    last = {name: records[-1] for name, records in lines.items()}
    sizes = [key for key in next(iter(last.values())) if key.startswith("within_")]
    if not sizes:
        return
    print("\nKendall's tau among networks with equally many parameters:")
    rows = [
        [f"{name}, epoch {record['epoch']}", *(_shown(record[size]) for size in sizes)] for name, record in last.items()
    ]
    groups = [float(size.removeprefix("within_")) for size in sizes]
    for source, score in dict.fromkeys((tau.source, tau.score) for tau in published):
        own = [tau for tau in published if (tau.source, tau.score) == (source, score)]
        taus = [next((tau.tau for tau in own if tau.is_of(group)), None) for group in groups]
        if any(tau is not None for tau in taus):
            rows.append([f"{source}: {score}", *map(_shown, taus)])
    print_columns(rows, ("score", *(f"{group / 1e6:.3f} M" for group in groups)))


def _print_published(published: Sequence[PublishedTau], of: str) -> None:
    """What others measured, of places, after their epochs."""
    shown = [tau for tau in published if tau.params is None]
    if shown:
        print(f"\nPublished, of places; of ABS's paper with true labels and test accuracies, {of}:")
        rows = []
        for tau in shown:
            epoch = "last" if tau.epoch is None else str(tau.epoch)
            rows.append([f"{tau.source}: {tau.score}", epoch, _shown([tau.tau, tau.deviation]), str(tau.seeds)])
        print_columns(rows, ("score", "epoch", "of places", "seeds"))


def _print_files(paths: list[Path]) -> None:
    """Print which files were written."""
    figures = ", ".join(str(path) for path in paths[1:] if path.suffix == ".png")
    print()
    print_columns([("numbers", str(paths[0])), ("figures", figures)])
