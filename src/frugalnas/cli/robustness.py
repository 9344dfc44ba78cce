"""`frugalnas robustness`: how one supernet ranks several data sets."""

from __future__ import annotations

import argparse

from frugalnas.cli.correlate import add_common, heading, options_of, print_files, row_of, rule_of, study_folder
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Hold one score of trained supernets against all data sets of a benchmark: how well an architecture "
        "that was found on one of them transfers to the others (the transfer figure of RLNAS)."
    )
    parser.epilog = "Example: frugalnas robustness runs/supernet --table nasbench201"
    add_common(parser, "nasbench201", "a benchmark, whose tables NAME/... are all taken, or tables joined by commas")
    option(parser, "--base N", "epoch an angle starts from [the recipe's]", int)
    option(parser, "--epoch N", "epoch to look after [the last]", int)
    parser.set_defaults(run=_robustness)


def _robustness(parsed: argparse.Namespace) -> None:
    from frugalnas.report.rankings import ranking_numbers, transfer_report
    from frugalnas.studies.correlation import tables_named, transfer

    tables = tables_named(parsed.table)
    studies = transfer(parsed.run_dirs, tables, base=parsed.base, epoch=parsed.epoch, **options_of(parsed))
    written = transfer_report(studies, study_folder(parsed))
    numbers = {name: ranking_numbers(study) for name, study in studies.items()}
    if parsed.json:
        print_json(numbers)
        return
    rows = []
    for name, known in numbers.items():
        for record in known["rankings"]:
            rows.append([name, known["accuracy"], *row_of(record["name"], str(record["epoch"]), record)])
        rows += [[name, known["accuracy"], *row_of(cost, "", one)] for cost, one in known["baselines"].items()]
    print(rule_of(next(iter(studies.values()))))
    first = next(iter(numbers.values()))["rankings"][0]
    print_columns(rows, ("table", "accuracy", *heading(first)))
    print()
    print_files(written)
