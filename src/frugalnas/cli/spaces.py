"""`frugalnas encodings`, `landscape` and `samplers`: what lies in a search space, before anything is searched."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from frugalnas.cli.options import numbers
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES

DRAWN = 100_000
"""Architectures of an endless space whose encodings are looked at, where nobody says how many."""
MOST_DISTANCES = 24
"""On the terminal; the CSV file has all."""
DEFAULT_TRIALS = 10


def add_encodings(parser: argparse.ArgumentParser) -> None:
    """Add what `encodings` takes."""
    parser.description = (
        "For every encoding of a space: its columns, how many different feature vectors the architectures "
        "have, how many architectures share theirs with another network, how many share the most common one, and how "
        "many networks are written in more than one way."
    )
    option(parser, "space SPACE", "such as nasbench201 (frugalnas list)")
    option(parser, "--sample N", f"look at N random architectures [all; {DRAWN:,} of an endless space]", int)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_encodings)


def _encodings(parsed: argparse.Namespace) -> None:
    import numpy as np

    from frugalnas.spaces.collisions import resolutions

    if parsed.sample is not None and parsed.sample < 1:
        raise FrugalnasError(f"--sample {parsed.sample}: look at least at one architecture")
    space = SPACES.create(parsed.space)
    if parsed.sample is None and space.enumerable:
        codes, subject = space.enumerate(), "all"
    else:
        codes = space.sample(parsed.sample or DRAWN, np.random.default_rng(0))
        codes = codes[np.unique(space.keys(codes), return_index=True)[1]]
        subject = "a random sample of"
    found = resolutions(space, codes)
    networks = len(np.unique(space.network_ids(codes)))
    if parsed.json:
        content = {"space": space.name, "architectures": len(codes), "networks": networks}
        print_json({**content, "encodings": [asdict(resolution) for resolution in found]})
        return
    print(f"{space.name}: {subject} {len(codes):,} architectures, {networks:,} networks\n")
    rows = []
    for each in found:
        counts = (each.dimension, each.distinct, each.colliding, each.largest)
        split = f"{each.split:,}" if space.listed_by == "code" else "-"
        rows.append([each.encoding, *(f"{count:,}" for count in counts), split])
    if space.listed_by == "network":
        print("Each network is listed under one code, so that splits are not seen.\n")
    print_columns(rows, ("encoding", "columns", "distinct", "colliding", "largest group", "networks split"))


def add_landscape(parser: argparse.ArgumentParser) -> None:
    """Add what `landscape` takes."""
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
    columns = [found.differences[role] for role in roles]
    rows = [
        [str(distance), f"{pairs:,}", *(f"{each:.3f}" for each in differences)]
        for distance, pairs, *differences in zip(found.distances, found.pairs, *columns, strict=True)
    ][:MOST_DISTANCES]
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


def add_samplers(parser: argparse.ArgumentParser) -> None:
    """Add what `samplers` takes."""
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
