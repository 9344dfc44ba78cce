"""`frugalnas compare-shrinking`: what several scores leave of a space, judged by a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.options import numbers
from frugalnas.cli.parsing import option
from frugalnas.cli.score import add_accuracy
from frugalnas.cli.text import print_columns, print_json

if TYPE_CHECKING:
    from frugalnas.studies.remainders import Remainders

ALONE, OF_SUPERNETS = "random,params,labels", "random,params,angle"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Drop operators of a space by several scores, and let a table judge what is left: the best accuracy, and how many of the "
        "best hundredth of all, at the first sub-space that is as small as is asked; and how good the dropped operators truly "
        "were. Supernets that differ in their seeds alone are one line."
    )
    parser.epilog = (
        "Example: frugalnas compare-shrinking runs/supernet-seed0 runs/supernet-seed1 --table nasbench201/cifar10"
    )
    option(parser, "run_dirs RUN", "folders of supernets of one space", Path, nargs="*")
    option(
        parser,
        "--table NAME",
        "a table, several joined by commas, or a benchmark, whose tables NAME/... are all taken [nasbench201]",
        default="nasbench201",
    )
    option(parser, "--against COLUMN", "test, validation or whole_test accuracies [test, where the table has them]")
    option(
        parser,
        "--scores A,B,...",
        "random; params, macs; labels, a table's own validation accuracies; labels:100, what a Gaussian process makes of 100 of "
        f"them; of supernets angle, accuracy, or what else frugalnas score takes [{ALONE}; of supernets {OF_SUPERNETS}]",
    )
    option(
        parser, "--sizes A,B,...", "architectures that are few enough [2000,500,100]", numbers, default=[2000, 500, 100]
    )
    option(parser, "--shrinker NAME", "who is dropped: one-by-one, or abs-nasbench201 and others of ABS [one-by-one]")
    option(
        parser,
        "--statistic NAME",
        "mean, best-tenth or maximum of the architectures with an operator [mean]",
        default="mean",
    )
    option(parser, "--trials N", "seeds of what is drawn, and of the order of equal operators [5]", int, default=5)
    option(
        parser,
        "--draws N",
        "architectures to draw for each scoring by what looks at one network after the other [1000]",
        int,
    )
    group = parser.add_argument_group("which angle")
    option(group, "--rule NAME", "which weights an angle counts, such as abs-nasbench201 [default]")
    option(group, "--base N", "epoch whose weights an angle starts from [the recipe's]", int)
    option(group, "--epoch N", "epoch of the supernet's training [the last]", int)
    add_accuracy(parser)
    option(parser, "--out FOLDER", "for a CSV file with each seed [runs/compare-shrinking]", Path)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> None:
    from frugalnas.report.records import write_csv
    from frugalnas.runs.folder import unused_name
    from frugalnas.searches.supernet_scores import Looking
    from frugalnas.studies.correlation import tables_named
    from frugalnas.studies.remainders import compare_shrinking

    named = parsed.scores or (OF_SUPERNETS if parsed.run_dirs else ALONE)
    found = compare_shrinking(
        parsed.run_dirs,
        tables_named(parsed.table),
        [name.strip() for name in named.split(",")],
        sizes=parsed.sizes,
        looking=Looking(parsed.recalibrate, parsed.images, parsed.seed, parsed.device),
        **{
            name: getattr(parsed, name)
            for name in ("shrinker", "statistic", "against", "trials", "draws", "rule", "base", "epoch")
        },
    )
    out = (parsed.out or unused_name(Path("runs"), "compare-shrinking")) / "shrinking.csv"
    rows = found.rows()
    write_csv(out, list(rows[0]), (row.values() for row in rows))
    if parsed.json:
        print_json(found.numbers())
        return
    _show(found)
    print(f"\n{out}")


def _show(found: Remainders) -> None:
    from frugalnas.studies.published import DROPPED

    print(
        f"{found.shrinker.name}, by the {found.statistic} of the architectures with an operator: best accuracy that is left, % / "
        "share of the best hundredth, %; mean ±deviation over seeds"
    )
    heading = ("score", "seeds", *(f"at most {size:,}" for size in found.sizes), "best rank dropped")
    tables: dict[tuple[str, str], list[list[str]]] = {}
    for line in found.numbers():
        left = [
            f"{_shown(best, 2)} / {_shown(share, 0, 100)}"
            for best, share in zip(line["best"], line["share"], strict=True)
        ]
        rows = tables.setdefault((line["table"], line["column"]), [])
        rows.append([line["score"], str(len(line["seeds"])), *left, _least(line["ranks"])])
    for (table, column), rows in tables.items():
        published = found.shrinker.name == "abs-nasbench201" and table == "nasbench201/cifar10"
        if published:
            nothing = ["-"] * len(found.sizes)
            rows += [[f"ABS: {score}", str(len(ranks)), *nothing, _least(ranks)] for score, ranks in DROPPED.items()]
        print(f"\n{table}, {column} accuracy")
        print_columns(rows, heading)
        if published:
            print("ABS's ranks are by mean test accuracy, of its own trainings.")


def _shown(value: list[float | None], digits: int, by: float = 1) -> str:
    mean, deviation = value
    if mean is None:
        return "-"
    return f"{by * mean:.{digits}f}" + (f" ±{by * deviation:.{digits}f}" if deviation else "")


def _least(ranks: Any) -> str:
    """The best rank among the operators that each seed dropped, of so many seeds as fit."""
    best = [str(min(of_seed, default="-")) for of_seed in ranks]
    return " ".join([*best[:5], *(["..."] if len(best) > 5 else [])])
