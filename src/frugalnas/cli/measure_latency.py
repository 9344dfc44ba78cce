"""`frugalnas measure-latency`: a latency table of this machine for a space."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.architectures import add_sizes, sized_space, slug, space_settings
from frugalnas.cli.count import add_set
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, progress
from frugalnas.errors import FrugalnasError
from frugalnas.spaces.sizes import sizes_of

UNCERTAIN = 0.1
"""Error of a latency table, as a share of what a network takes, above which it is to be measured again."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Measure every block of a space on this machine and write a table, with which the space counts, limits "
        "and searches latency in milliseconds."
    )
    add_sizes(parser)
    add_set(parser)
    option(
        parser,
        "--runtime",
        "what runs the blocks: measure in the one that networks are deployed in [torch]",
        ("torch", "onnxruntime", "openvino"),
        default="torch",
    )
    option(parser, "--device", "cpu, cuda, cuda:1, mps [cpu]", default="cpu")
    option(parser, "--batch N", "images at a time [1]", int, default=1)
    option(parser, "--repeats N", "turns, of which the median is taken [30]", int, default=30)
    option(parser, "--seed", "decides which whole networks are timed [0]", int, default=0)
    option(parser, "--out FILE", "table to write, .json or .yaml [latency-<space>-<runtime>-<device>.json]", Path)
    option(parser, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=_measure)


def _measure(parsed: argparse.Namespace) -> None:
    from frugalnas.networks.latency import measure_latency

    space = sized_space(parsed, space_settings(parsed.set))
    path = parsed.out or Path(f"latency-{slug(space.name)}-{parsed.runtime}-{slug(parsed.device)}.json")
    if not path.parent.is_dir():
        raise FrugalnasError(f"--out {path}: there is no folder {path.parent}; make it, or choose another file")
    options = {name: getattr(parsed, name) for name in ("runtime", "device", "batch", "repeats", "seed")}
    with progress("measuring", parsed.quiet) as on_progress:
        table = measure_latency(space, **options, progress=on_progress)
    table.save(path)
    taken = sorted(table.blocks.values())
    assert table.networks is not None
    assert table.error is not None
    images = f"{table.batch} image{'s' * (table.batch > 1)}"
    rows = [
        ("space", sizes_of(space)),
        ("runtime", table.runtime),
        ("device", f"{table.device}, {table.threads} thread{'s' * (table.threads > 1)} of the processor"),
        ("blocks", f"{len(taken)}, {taken[0]:.3f} to {taken[-1]:.3f} ms for {images}"),
        ("besides", f"{table.fixed:.3f} ms in every network"),
        ("networks", f"{table.networks:.3f} ms, the median of those that were timed whole"),
        (
            "error",
            f"{table.error:.3f} ms, {table.error / table.networks:.0%} of that: how far the table is from whole networks",
        ),
        ("table", str(path)),
    ]
    print_columns(rows)
    if table.error > UNCERTAIN * table.networks:
        print("\nThe table is uncertain: measure again on an idle machine, with more --repeats.")
    print(f"\nUse it with: --set space.latency={path} --where 'latency<={table.networks:.3g}'")
