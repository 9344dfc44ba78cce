"""`frugalnas measure-latency`: a latency table of this machine for a space."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.architectures import (
    add_sizes,
    sized_space,
    slug,
    space_settings,
)
from frugalnas.cli.count import add_set
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
    parser.add_argument(
        "--runtime",
        default="torch",
        choices=("torch", "onnxruntime", "openvino"),
        help="what runs the blocks: measure in the one that networks are deployed in [torch]",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps [cpu]")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images at a time [1]")
    parser.add_argument("--repeats", type=int, default=30, metavar="N", help="turns, of which the median is taken [30]")
    parser.add_argument("--seed", type=int, default=0, help="decides which whole networks are timed [0]")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="table to write, .json or .yaml [latency-<space>-<runtime>-<device>.json]",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=_measure)


def _measure(parsed: argparse.Namespace) -> int:
    from frugalnas.networks.latency import measure_latency

    space = sized_space(parsed, space_settings(parsed.set))
    path = parsed.out or Path(f"latency-{slug(space.name)}-{parsed.runtime}-{slug(parsed.device)}.json")
    if not path.parent.is_dir():
        raise FrugalnasError(f"--out {path}: there is no folder {path.parent}; make it, or choose another file")
    with progress("measuring", parsed.quiet) as on_progress:
        table = measure_latency(
            space,
            runtime=parsed.runtime,
            device=parsed.device,
            batch=parsed.batch,
            repeats=parsed.repeats,
            seed=parsed.seed,
            progress=on_progress,
        )
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
    return 0
