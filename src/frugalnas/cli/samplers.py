"""`frugalnas samplers`: how far samples are from the space they are drawn from."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.options import numbers
from frugalnas.cli.text import print_columns
from frugalnas.registry import SPACES
from frugalnas.strict_json import to_json

DEFAULT_TRIALS = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Draw architectures in every way that a space knows and hold how often each path from input to output "
        "occurs against the whole space (Kullback-Leibler divergence): older papers draw cells of NAS-Bench-101 with "
        "random bits, which prefers networks with many codes."
    )
    parser.add_argument("--space", default="nasbench101", metavar="NAME", help="one that can be listed [nasbench101]")
    parser.add_argument(
        "--sizes", type=numbers, metavar="A,B,...", help="architectures drawn [50,100,200,500,1000,2000,5000]"
    )
    parser.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, metavar="N", help=f"samples of each size [{DEFAULT_TRIALS}]"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws [0]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for CSV file and figure [runs/samplers-<space>]")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_samplers)


def _samplers(parsed: argparse.Namespace) -> int:
    from frugalnas.report.landscapes import samplers_report
    from frugalnas.report.markdown import shown_interval
    from frugalnas.studies.landscape import SIZES, read_samplers
    from frugalnas.studies.statistics import estimated

    sizes = SIZES if parsed.sizes is None else tuple(sorted(parsed.sizes))
    found = read_samplers(SPACES.create(parsed.space), sizes=sizes, trials=parsed.trials, seed=parsed.seed)
    written = samplers_report(found, parsed.out or Path("runs") / f"samplers-{parsed.space}")
    if parsed.json:
        names = ("space", "architectures", "sizes", "divergences", "networks")
        print(to_json({name: getattr(found, name) for name in names}, indent=2))
        return 0
    print(
        f"{found.space}, {found.architectures:,} architectures: divergence of the distribution of paths from that of the "
        f"whole, nats, mean of {parsed.trials} samples with its 95 % interval\n"
    )
    rows = [
        [f"{size:,}", *(shown_interval(estimated(values[:, place]), 4) for values in found.divergences.values())]
        for place, size in enumerate(found.sizes)
    ]
    print_columns(rows, ("architectures", *found.divergences))
    known = ", ".join(f"{name} {networks:,.0f}" for name, networks in found.networks.items())
    print(f"\ndistinct networks among {found.sizes[-1]:,}: {known}\n", *written, sep="\n")
    return 0
