"""`frugalnas landscape`: how accuracies differ with distance in a table's space."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json

MOST_DISTANCES = 24
"""On the terminal; the CSV file has all."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    parser.description = (
        "The mean difference in accuracy of two architectures at each edit distance, and Kendall's tau of "
        "validation and test accuracy among the best: how far a search can trust what is near, and what it measures."
    )
    option(parser, "--table NAME", f"[{DEFAULT_TABLE}]", default=DEFAULT_TABLE)
    option(parser, "--encoding NAME", "of zeros and ones, whose differing bits are distances [position-path]")
    option(parser, "--sample N", "architectures, of which all pairs are looked at [all, 16,000 at most]", int)
    option(parser, "--seed N", "of the sample [0]", int, default=0)
    option(parser, "--out FOLDER", "for CSV files and figure [runs/landscape-<table>]", Path)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_landscape)


def _landscape(parsed: argparse.Namespace) -> None:
    from frugalnas.report.landscapes import landscape_report
    from frugalnas.studies.landscape import read_landscape

    found = read_landscape(parsed.table, encoding=parsed.encoding, sample=parsed.sample, seed=parsed.seed)
    written = landscape_report(found, parsed.out or Path("runs") / f"landscape-{parsed.table.replace('/', '-')}")
    roles = list(found.differences)
    if parsed.json:
        print_json(vars(found))
        return
    print(
        f"{found.table}: all pairs of {found.architectures:,} architectures; distances are bits of {found.encoding}\n"
    )
    rows = [
        [str(distance), f"{pairs:,}", *(f"{found.differences[role][place]:.3f}" for role in roles)]
        for place, (distance, pairs) in enumerate(zip(found.distances, found.pairs, strict=True))
    ]
    rows = rows[:MOST_DISTANCES]
    rows.append(["all", f"{found.pairs.sum():,}", *(f"{found.random[role]:.3f}" for role in roles)])
    print_columns(rows, ("distance", "pairs", *(f"difference in {role}" for role in roles)))
    if len(found.distances) > MOST_DISTANCES:
        print(f"and {len(found.distances) - MOST_DISTANCES} longer distances (in {written[0]})")
    if found.agreement:
        print("\nKendall's tau of validation and test among the best by validation:")
        shown = ("{share:g} %", "{architectures:,}", "{validation_at_least:.2f} %", "{tau:.3f}")
        best = [{**known, "share": 100 * known["share"]} for known in found.agreement]
        rows = [[text.format(**known) for text in shown] for known in best]
        print_columns(rows, ("best", "architectures", "validation at least", "tau"))
    else:
        print(f"\n{found.table} does not know both validation and test accuracy: their agreement is left out")
    print("", *written, sep="\n")
