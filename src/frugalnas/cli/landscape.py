"""`frugalnas landscape` and `frugalnas samplers`: what lies in a search space, and what ways of drawing make of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frugalnas.cli.text import print_columns
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.strict_json import to_json

__all__ = ["add"]

MOST_DISTANCES = 24
"""On the terminal; the CSV file has all."""
DEFAULT_TRIALS = 10


def add(commands: Any) -> None:
    """Add the commands."""
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    landscape = commands.add_parser(
        "landscape",
        help="how accuracies differ with distance in a table's space",
        description="The mean difference in accuracy of two architectures at each edit distance, and Kendall's tau of "
        "validation and test accuracy among the best: how far a search can trust what is near, and what it measures.",
    )
    landscape.add_argument("--table", default=DEFAULT_TABLE, metavar="NAME", help=f"[{DEFAULT_TABLE}]")
    landscape.add_argument(
        "--encoding", metavar="NAME", help="of zeros and ones, whose differing bits are distances [position-path]"
    )
    landscape.add_argument(
        "--sample", type=int, metavar="N", help="architectures, of which all pairs are looked at [all, 16,000 at most]"
    )
    landscape.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample [0]")
    landscape.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for CSV files and figure [runs/landscape-<table>]"
    )
    landscape.add_argument("--json", action="store_true", help="as JSON")
    landscape.set_defaults(run=_landscape)
    samplers = commands.add_parser(
        "samplers",
        help="how far samples are from the space they are drawn from",
        description="Draw architectures in every way that a space knows and hold how often each path from input to output "
        "occurs against the whole space (Kullback-Leibler divergence): older papers draw cells of NAS-Bench-101 with "
        "random bits, which prefers networks with many codes.",
    )
    samplers.add_argument("--space", default="nasbench101", metavar="NAME", help="one that can be listed [nasbench101]")
    samplers.add_argument("--sizes", metavar="A,B,...", help="architectures drawn [50,100,200,500,1000,2000,5000]")
    samplers.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, metavar="N", help=f"samples of each size [{DEFAULT_TRIALS}]"
    )
    samplers.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws [0]")
    samplers.add_argument("--out", type=Path, metavar="FOLDER", help="for CSV file and figure [runs/samplers-<space>]")
    samplers.add_argument("--json", action="store_true", help="as JSON")
    samplers.set_defaults(run=_samplers)


def _landscape(parsed: argparse.Namespace) -> int:
    from frugalnas.report.landscapes import landscape_report
    from frugalnas.studies.landscape import read_landscape

    found = read_landscape(parsed.table, encoding=parsed.encoding, sample=parsed.sample, seed=parsed.seed)
    written = landscape_report(found, parsed.out or Path("runs") / f"landscape-{parsed.table.replace('/', '-')}")
    roles = list(found.differences)
    if parsed.json:
        print(
            to_json(
                {
                    "table": found.table,
                    "encoding": found.encoding,
                    "architectures": found.architectures,
                    "distances": found.distances.tolist(),
                    "pairs": found.pairs.tolist(),
                    "differences": {role: values.tolist() for role, values in found.differences.items()},
                    "random": found.random,
                    "agreement": [
                        {key: None if value != value else value for key, value in known.items()}
                        for known in found.agreement
                    ],
                },
                indent=2,
            )
        )
        return 0
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
        print_columns(
            [
                [
                    f"{100 * known['share']:g} %",
                    f"{known['architectures']:,}",
                    f"{known['validation_at_least']:.2f} %",
                    f"{known['tau']:.3f}",
                ]
                for known in found.agreement
            ],
            ("best", "architectures", "validation at least", "tau"),
        )
    else:
        print(f"\n{found.table} does not know both validation and test accuracy: their agreement is left out")
    print()
    for path in written:
        print(path)
    return 0


def _samplers(parsed: argparse.Namespace) -> int:
    from frugalnas.cli.compare import numbers_in
    from frugalnas.report.landscapes import samplers_report
    from frugalnas.studies.landscape import SIZES, read_samplers
    from frugalnas.studies.statistics import bootstrap_mean

    sizes = SIZES if parsed.sizes is None else tuple(sorted(numbers_in(parsed.sizes, "--sizes")))
    space = SPACES.create(parsed.space)
    if not space.enumerable:
        raise FrugalnasError(
            f"{parsed.space} cannot be listed, so that nobody knows what the whole of it looks like; take nasbench101 or "
            "nasbench201"
        )
    found = read_samplers(space, sizes=sizes, trials=parsed.trials, seed=parsed.seed)
    written = samplers_report(found, parsed.out or Path("runs") / f"samplers-{parsed.space}")
    if parsed.json:
        print(
            to_json(
                {
                    "space": found.space,
                    "architectures": found.architectures,
                    "sizes": list(found.sizes),
                    "divergences": {name: values.tolist() for name, values in found.divergences.items()},
                    "networks": found.networks,
                },
                indent=2,
            )
        )
        return 0
    print(
        f"{found.space}, {found.architectures:,} architectures: divergence of the distribution of paths from that of the "
        f"whole, nats, mean of {parsed.trials} samples with its 95 % interval\n"
    )
    rows = []
    for place, size in enumerate(found.sizes):
        estimates = [bootstrap_mean(values[:, place]) for values in found.divergences.values()]
        rows.append([f"{size:,}", *(f"{mean:.4f} [{low:.4f}, {high:.4f}]" for mean, low, high in estimates)])
    print_columns(rows, ("architectures", *found.divergences))
    known = ", ".join(f"{name} {networks:,.0f}" for name, networks in found.networks.items())
    print(f"\ndistinct networks among {found.sizes[-1]:,}: {known}\n")
    for path in written:
        print(path)
    return 0
