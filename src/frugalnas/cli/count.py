"""`frugalnas count`, `fit` and `measure-latency`: what networks cost."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.architectures import (
    Architecture,
    add_architecture,
    add_sizes,
    find_architecture,
    sized_space,
    sizes_of,
    slug,
    space_settings,
)
from frugalnas.cli.options import add_limit
from frugalnas.cli.text import print_columns, progress, shown_amount
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.networks import NetworkCounts

__all__ = ["add"]

NARROWEST, WIDEST = 16, 2**14
"""Steps in which some network must be buildable, and up to which a width is looked for."""

MULTIPLE = 0.05
"""Step of widths that multiply a network's channels."""
UNCERTAIN = 0.1
"""Error of a latency table, as a share of what a network takes, above which it is to be measured again."""
EVEN = 2
"""Step of the widths of DARTS networks, whose reductions join two halves of the channels; `--step 1` finds odd ones."""


def add(commands: Any) -> None:
    """Add the commands."""
    count = commands.add_parser(
        "count",
        help="parameters and multiply-adds of a network, stage by stage",
        description="Parameters (without auxiliary head) and multiply-adds (of convolutions and linear layers, for one "
        "image) of a network, stage by stage.",
    )
    add_architecture(count)
    _add_set(count)
    count.add_argument(
        "--exported",
        action="store_true",
        help="also what an exported file keeps: operations that nobody reads are dropped",
    )
    count.add_argument("--json", action="store_true", help="as JSON")
    count.set_defaults(run=_count)
    fit = commands.add_parser(
        "fit",
        help="the largest width with which a network stays within a budget",
        description="The largest width with which a network meets a limit such as 'macs<=600M' or 'params<5M', and what "
        "the widths around it cost. Networks of darts are those for ImageNet here, unless --macro cifar or a run's folder "
        "says otherwise, and their widths are even, unless --step 1 says otherwise.",
    )
    add_architecture(fit, macro="imagenet")
    add_limit(fit, "such as 'macs<=600M'; several are joined by commas", required=True)
    _add_set(fit)
    fit.add_argument("--step", type=float, metavar="W", help="between widths [2 in darts, 1 in cells, 0.05 in layers]")
    fit.add_argument("--json", action="store_true", help="as JSON")
    fit.set_defaults(run=_fit)
    latency = commands.add_parser(
        "measure-latency",
        help="a latency table of this machine for a space",
        description="Measure every block of a space on this machine and write a table, with which the space counts, limits "
        "and searches latency in milliseconds.",
    )
    add_sizes(latency)
    _add_set(latency)
    latency.add_argument(
        "--runtime",
        default="torch",
        choices=("torch", "onnxruntime", "openvino"),
        help="what runs the blocks: measure in the one that networks are deployed in [torch]",
    )
    latency.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps [cpu]")
    latency.add_argument("--batch", type=int, default=1, metavar="N", help="images at a time [1]")
    latency.add_argument(
        "--repeats", type=int, default=30, metavar="N", help="turns, of which the median is taken [30]"
    )
    latency.add_argument("--seed", type=int, default=0, help="decides which whole networks are timed [0]")
    latency.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="table to write, .json or .yaml [latency-<space>-<runtime>-<device>.json]",
    )
    latency.add_argument("--quiet", action="store_true", help="no progress, only the result")
    latency.set_defaults(run=_measure)


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="space.NAME=VALUE", help="a further option of the space"
    )


# -- count -------------------------------------------------------------------------------------------------------------


def _count(parsed: argparse.Namespace) -> int:
    found = find_architecture(parsed, space_settings(parsed.set))
    counts = counted(found)
    further = {} if found.own is None else _further(found)
    exported = _exported(found) if parsed.exported else {}
    if parsed.json:
        plain = {"name": found.name, "space": found.space.name, "architecture": found.text, "sizes": found.sizes}
        print(to_json({**plain, **asdict(counts), **further, **exported}, indent=2))
        return 0
    print(f"{found.name}: {found.sizes}\n")
    rows = [
        (stage.name, "x".join(map(str, stage.shape)), f"{stage.params:,}", f"{stage.macs:,}") for stage in counts.stages
    ]
    rows.append(("all", "", f"{counts.params:,}", f"{counts.macs:,}"))
    widths = [max(len(row[column]) for row in rows) for column in (2, 3)]
    rows = [(stage, shape, params.rjust(widths[0]), macs.rjust(widths[1])) for stage, shape, params, macs in rows]
    print_columns(rows, ("stage", "output", "params".rjust(widths[0]), "multiply-adds".rjust(widths[1])))
    print(f"\n{counts.params / 1e6:,.2f} M parameters, {counts.macs / 1e6:,.2f} M multiply-adds")
    print(f"{counts.thop / 1e6:,.2f} M as ABS and RLNAS count (linear layers twice)")
    if exported:
        kept, macs = exported["exported_params"], exported["exported_macs"]
        dropped = f"{100 * (1 - macs / counts.macs):.1f} % of the multiply-adds lead nowhere"
        print(f"{kept / 1e6:,.2f} M parameters, {macs / 1e6:,.2f} M multiply-adds once exported: {dropped}")
    for quantity, value in further.items():
        print(f"{quantity}: {shown_amount(quantity, value)}")
    return 0


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


def _further(found: Architecture) -> dict[str, float]:
    """What the space counts besides parameters and multiply-adds."""
    own = [name for name in found.space.quantities if name not in ("params", "macs", "thop")]
    return {name: float(found.space.count(name, found.code[None])[0]) for name in own}


# -- fit ---------------------------------------------------------------------------------------------------------------


def _fit(parsed: argparse.Namespace) -> int:
    from frugalnas.spaces.constraint import Constraint

    limits = Constraint.parse(parsed.where)
    settings = space_settings(parsed.set)
    found = find_architecture(parsed, settings)
    of_a_run = os.path.isdir(os.path.expanduser(parsed.architecture))
    if hasattr(found.space, "macro") and not (parsed.macro or "macro" in settings or of_a_run):
        found = find_architecture(parsed, settings, {"macro": "imagenet"})
    if parsed.width is not None:
        raise FrugalnasError("--width is what fit looks for; leave it out, or count the network at that width")
    ladder = _Ladder(found, limits, parsed.step)
    best = ladder.largest()
    around = range(max(best - 2, ladder.least), best + 3)
    if parsed.json:
        print(to_json({"name": found.name, "architecture": found.text, **ladder.costs(best)}, indent=2))
        return 0
    space: Any = ladder.at(best).space
    print(f"{found.name} with {parsed.where}: {sizes_of(space)}\n")
    names = list(ladder.costs(best))
    rows = []
    for rung in around:
        costs = ladder.costs(rung)
        shown = [shown_amount(name, costs[name]) for name in names[1:]]
        rows.append([f"{costs['width']:g}", *shown, "<- the largest that fits" if rung == best else ""])
    print_columns(rows, (*names, ""))
    macro = f" --macro {space.macro}" if hasattr(space, "macro") else ""
    print(
        f"\nTrain it with: frugalnas train {_quoted(parsed.architecture)}{macro} --width {ladder.costs(best)['width']:g} ..."
    )
    return 0


class _Ladder:
    """An architecture at the widths 1, 2, 3, ... times a step."""

    def __init__(self, found: Architecture, limits: Any, step: float | None) -> None:
        if not hasattr(found.space, "width"):
            raise FrugalnasError(f"networks of {found.space.name} have no width to fit")
        self.found = found
        self.limits = limits
        self.whole = isinstance(found.space.width, int)
        usual = MULTIPLE if not self.whole else EVEN if found.space.name == "darts" else 1
        self.step = usual if step is None else step
        if not 0 < self.step <= WIDEST or (self.whole and self.step != int(self.step)):
            raise FrugalnasError(
                f"--step {step:g}: widths of {found.space.name} go up in {'whole ' * self.whole}steps above 0"
            )
        known = ("params", "macs", "thop", *(name for name in found.space.quantities))
        for limit in limits:
            if limit.quantity not in known:
                raise unknown_name("quantity", limit.quantity, dict.fromkeys(known))
            if limit.relation.startswith(">"):
                raise FrugalnasError(f"{limit}: a width is fitted to upper limits, such as macs<=600e6")
        self._costs: dict[int, dict[str, float]] = {}

    def at(self, rung: int) -> Architecture:
        """It at one width."""
        found = self.found
        width = int(self.step) * rung if self.whole else round(self.step * rung, 6)
        return Architecture(found.name, found.space.with_options(width=width), found.own, found.genotype, found.why)

    def costs(self, rung: int) -> dict[str, float]:
        """Its width, parameters and multiply-adds, and what else the limits name."""
        if rung not in self._costs:
            at = self.at(rung)
            counts = counted(at)
            costs: dict[str, float] = {"width": at.space.width, "params": counts.params, "macs": counts.macs}  # type: ignore[attr-defined]
            for limit in self.limits:
                if limit.quantity == "thop":
                    costs["thop"] = counts.thop
                elif limit.quantity not in costs:
                    costs[limit.quantity] = float(at.space.count(limit.quantity, at.code[None])[0])
            self._costs[rung] = costs
        return self._costs[rung]

    def fits(self, rung: int) -> bool:
        """Whether it meets the limits at one width."""
        import numpy as np

        costs = self.costs(rung)
        return all(bool(limit.met_by(np.array([costs[limit.quantity]]))[0]) for limit in self.limits)

    @cached_property
    def least(self) -> int:
        """The narrowest width of which there is a network."""
        for rung in range(1, NARROWEST):
            try:
                self.costs(rung)
            except FrugalnasError:
                continue
            return rung
        self.costs(NARROWEST)  # says what keeps it from being built
        return NARROWEST

    def largest(self) -> int:
        """The largest width that meets the limits, by bisection: a wider network costs more."""
        rules = ",".join(map(str, self.limits))
        if not self.fits(self.least):
            least = self.costs(self.least)
            shown = ", ".join(f"{limit.quantity} {least[limit.quantity]:,.0f}" for limit in self.limits)
            raise FrugalnasError(
                f"no width of {self.found.name} meets {rules}: with width {least['width']:g} it has {shown}; raise the limit, "
                f"or lower --layers or --input"
            )
        # Costs grow with about the square of the width: the guess is close, and a few steps up or down enclose the end.
        low = max(self._guess(), self.least)
        stride = 1
        while not self.fits(low):
            low, stride = max(low - stride, self.least), 2 * stride
        stride = 1
        while self.fits(low + stride):
            low, stride = low + stride, 2 * stride
            if low > WIDEST:
                raise FrugalnasError(f"{rules} limits no width of {self.found.name}; lower it")
        high = low + stride
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.fits(middle) else (low, middle)
        return low

    def _guess(self) -> int:
        """About where the limits are reached."""
        own: Any = self.found.space
        rung = max(round(own.width / self.step), self.least)
        costs = self.costs(rung)
        room = min(limit.bound / max(costs[limit.quantity], 1e-9) for limit in self.limits)
        return min(int(rung * max(room, 0.0) ** 0.5), WIDEST)


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


# -- measure-latency ---------------------------------------------------------------------------------------------------


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
