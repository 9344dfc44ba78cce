"""`frugalnas encodings`: what each encoding of a space tells apart."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES

DRAWN = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "For every encoding of a space: its columns, how many different feature vectors the architectures "
        "have, how many architectures share theirs with another network, how many share the most common one, and how "
        "many networks are written in more than one way."
    )
    option(parser, "space SPACE", "such as nasbench201 (frugalnas list)")
    option(parser, "--sample N", f"look at N random architectures [all; {DRAWN:,} of an endless space]", int)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Print the table."""
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
    rows = [
        [
            each.encoding,
            *(f"{number:,}" for number in (each.dimension, each.distinct, each.colliding, each.largest)),
            f"{each.split:,}" if space.listed_by == "code" else "-",
        ]
        for each in found
    ]
    if space.listed_by == "network":
        print("Each network is listed under one code, so that splits are not seen.\n")
    print_columns(rows, ("encoding", "columns", "distinct", "colliding", "largest group", "networks split"))
