"""`frugalnas samplers`: how far samples are from the space they are drawn from."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.options import numbers
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.registry import SPACES

DEFAULT_TRIALS = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Draw architectures in every way that a space knows and hold how often each path from input to output "
        "occurs against the whole space (Kullback-Leibler divergence): older papers draw cells of NAS-Bench-101 with "
        "random bits, which prefers networks with many codes."
    )
    option(parser, "--space NAME", "one that can be listed [nasbench101]", default="nasbench101")
    option(parser, "--sizes A,B,...", "architectures drawn [50,100,200,500,1000,2000,5000]", numbers)
    option(parser, "--trials N", f"samples of each size [{DEFAULT_TRIALS}]", int, default=DEFAULT_TRIALS)
    option(parser, "--seed N", "of the draws [0]", int, default=0)
    option(parser, "--out FOLDER", "for CSV file and figure [runs/samplers-<space>]", Path)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_samplers)


def _samplers(parsed: argparse.Namespace) -> None:
    from frugalnas.report.landscapes import samplers_report
    from frugalnas.report.markdown import shown_interval
    from frugalnas.studies.landscape import SIZES, read_samplers
    from frugalnas.studies.statistics import estimated

    sizes = SIZES if parsed.sizes is None else tuple(sorted(parsed.sizes))
    found = read_samplers(SPACES.create(parsed.space), sizes=sizes, trials=parsed.trials, seed=parsed.seed)
    written = samplers_report(found, parsed.out or Path("runs") / f"samplers-{parsed.space}")
    if parsed.json:
        names = ("space", "architectures", "sizes", "divergences", "networks")
        print_json({name: getattr(found, name) for name in names})
        return
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
