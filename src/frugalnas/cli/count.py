"""`frugalnas count`: parameters and multiply-adds of a network, stage by stage."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from frugalnas.amounts import shown_amount
from frugalnas.cli.architectures import (
    Architecture,
    add_architecture,
    find_architecture,
    refuse_outside,
    space_settings,
)
from frugalnas.cli.options import add_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json

if TYPE_CHECKING:
    from frugalnas.networks import NetworkCounts


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Parameters (without auxiliary head) and multiply-adds (of convolutions and linear layers, for one "
        "image) of a network, stage by stage."
    )
    add_architecture(parser)
    add_operators(parser)
    add_set(parser)
    option(parser, "--exported", "also what an exported file keeps: operations that nobody reads are dropped", bool)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_count)


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add the option for further options of a space."""
    option(parser, "--set space.NAME=VALUE", "a further option of the space", list)


def _count(parsed: argparse.Namespace) -> None:
    found = find_architecture(parsed, space_settings(parsed.set))
    refuse_outside(found, parsed)
    counts = counted(found)
    own = [name for name in found.space.quantities if name not in ("params", "macs", "thop")]
    further = {} if found.own is None else {name: float(found.space.count(name, found.code[None])[0]) for name in own}
    exported = _exported(found) if parsed.exported else {}
    if parsed.json:
        plain = {"name": found.name, "space": found.space.name, "architecture": found.text, "sizes": found.sizes}
        print_json({**plain, **asdict(counts), **further, **exported})
        return
    print(f"{found.name}: {found.sizes}\n")
    params, macs = len(f"{counts.params:,}"), len(f"{counts.macs:,}")
    rows = [
        (stage, "x".join(map(str, shape)), f"{own_params:{params},}", f"{own_macs:{macs},}")
        for stage, shape, own_params, own_macs in [
            *((stage.name, stage.shape, stage.params, stage.macs) for stage in counts.stages),
            ("all", (), counts.params, counts.macs),
        ]
    ]
    print_columns(rows, ("stage", "output", f"{'params':>{params}}", f"{'multiply-adds':>{macs}}"))
    print(f"\n{counts.params / 1e6:,.2f} M parameters, {counts.macs / 1e6:,.2f} M multiply-adds")
    print(f"{counts.thop / 1e6:,.2f} M as ABS and RLNAS count (linear layers twice)")
    if exported:
        kept, macs = exported["exported_params"], exported["exported_macs"]
        dropped = f"{100 * (1 - macs / counts.macs):.1f} % of the multiply-adds lead nowhere"
        print(f"{kept / 1e6:,.2f} M parameters, {macs / 1e6:,.2f} M multiply-adds once exported: {dropped}")
    for quantity, value in further.items():
        print(f"{quantity}: {shown_amount(quantity, value)}")


def counted(found: Architecture) -> NetworkCounts:
    """What the network of an architecture costs."""
    from frugalnas.networks import count_network

    space: Any = found.space
    return count_network(found.build(), int(space.input_size))


def _exported(found: Architecture) -> dict[str, int]:
    """What an exported file of the network has."""
    from frugalnas.networks.counting import exported_counts
    from frugalnas.networks.exporting import live_network

    space: Any = found.space
    size = int(space.input_size)
    params, macs = exported_counts(live_network(found.build().eval(), size), size)
    return {"exported_params": params, "exported_macs": macs}
