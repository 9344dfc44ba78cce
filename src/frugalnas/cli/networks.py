"""`frugalnas count`, `fit`, `draw` and `measure-latency`: what the networks of architectures cost, and how they look."""

from __future__ import annotations

import argparse
import shlex
from bisect import bisect_left
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.amounts import plural, shown_amount
from frugalnas.cli import architectures
from frugalnas.cli.architectures import Architecture, find_architecture, refuse_outside, slug
from frugalnas.cli.options import add_limit, add_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, one_of
from frugalnas.progress import Bar
from frugalnas.spaces.sizes import sizes_of

if TYPE_CHECKING:
    from frugalnas.networks import NetworkCounts

NARROWEST, WIDEST = 16, 2**14
"""Steps in which some network must be buildable, and up to which a width is looked for."""

MULTIPLE = 0.05
"""Step of widths that multiply a network's channels."""
EVEN = 2
"""Step of the widths of DARTS networks, whose reductions join two halves of the channels; `--step 1` finds odd ones."""
UNCERTAIN = 0.1
"""Error of a latency table, as a share of what a network takes, above which it is to be measured again."""


def add_count(parser: argparse.ArgumentParser) -> None:
    """Add what `count` takes."""
    parser.description = (
        "Parameters (without auxiliary head) and multiply-adds (of convolutions and linear layers, for one "
        "image) of a network, stage by stage."
    )
    architectures.add_architecture(parser)
    add_operators(parser)
    architectures.add_set(parser)
    option(parser, "--exported", "also what an exported file keeps: operations that nobody reads are dropped", bool)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_count)


def _count(parsed: argparse.Namespace) -> None:
    found = find_architecture(parsed)
    refuse_outside(found, parsed)
    counts = counted(found)
    own = [name for name in found.space.quantities if name not in ("params", "macs", "thop")]
    further = {} if found.own is None else {name: float(found.space.count(name, found.code[None])[0]) for name in own}
    exported: dict[str, int] = {}
    if parsed.exported:
        from frugalnas.networks.counting import exported_counts
        from frugalnas.networks.exporting import live_network

        params, macs = exported_counts(live_network(found.build().eval(), found.pixels), found.pixels)
        exported = {"exported_params": params, "exported_macs": macs}
    if parsed.json:
        plain = {"name": found.name, "space": found.space.name, "architecture": found.text, "sizes": found.sizes}
        print_json({**plain, **asdict(counts), **further, **exported})
        return
    print(f"{found.name}: {found.sizes}\n")
    params, macs = len(f"{counts.params:,}"), len(f"{counts.macs:,}")
    stages = [(stage.name, stage.shape, stage.params, stage.macs) for stage in counts.stages]
    rows = [
        (stage, "x".join(map(str, shape)), f"{own_params:{params},}", f"{own_macs:{macs},}")
        for stage, shape, own_params, own_macs in [*stages, ("all", (), counts.params, counts.macs)]
    ]
    print_columns(rows, ("stage", "output", f"{'params':>{params}}", f"{'multiply-adds':>{macs}}"))
    print(f"\n{counts.params / 1e6:,.2f} M parameters, {counts.macs / 1e6:,.2f} M multiply-adds")
    print(f"{counts.thop / 1e6:,.2f} M as ABS and RLNAS count (linear layers twice)")
    if exported:
        params, macs = exported.values()
        dropped = f"{100 * (1 - macs / counts.macs):.1f} % of the multiply-adds lead nowhere"
        print(f"{params / 1e6:,.2f} M parameters, {macs / 1e6:,.2f} M multiply-adds once exported: {dropped}")
    for quantity, value in further.items():
        print(f"{quantity}: {shown_amount(quantity, value)}")


def counted(found: Architecture) -> NetworkCounts:
    """What the network of an architecture costs."""
    from frugalnas.networks import count_network

    return count_network(found.build(), found.pixels)


def add_fit(parser: argparse.ArgumentParser) -> None:
    """Add what `fit` takes."""
    parser.description = (
        "The largest width with which a network meets a limit such as 'macs<=600M' or 'params<5M', and what "
        "the widths around it cost. Networks of darts are those for ImageNet here, unless --macro cifar or a run's folder "
        "says otherwise, and their widths are even, unless --step 1 says otherwise."
    )
    architectures.add_architecture(parser, macro="imagenet")
    add_limit(parser, "such as 'macs<=600M'; several are joined by commas", required=True)
    add_operators(parser)
    architectures.add_set(parser)
    option(parser, "--step W", "between widths [2 in darts, 1 in cells, 0.05 in layers]", float)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_fit)


def _fit(parsed: argparse.Namespace) -> None:
    from frugalnas.spaces.constraint import Constraint

    limits = Constraint.parse(parsed.where)
    found = find_architecture(parsed, macro="imagenet")
    refuse_outside(found, parsed)
    if parsed.width is not None:
        raise FrugalnasError("--width is what fit looks for; leave it out, or count the network at that width")
    ladder = _Ladder(found, limits, parsed.step)
    best = ladder.largest()
    if parsed.json:
        print_json({"name": found.name, "architecture": found.text, **ladder.costs(best)})
        return
    space: Any = ladder.at(best).space
    print(f"{found.name} with {parsed.where}: {sizes_of(space)}\n")
    names = list(ladder.costs(best))
    rows = []
    for rung in range(max(best - 2, ladder.least), best + 3):
        costs = ladder.costs(rung)
        shown = [shown_amount(name, costs[name]) for name in names[1:]]
        rows.append([f"{costs['width']:g}", *shown, "<- the largest that fits" if rung == best else ""])
    print_columns(rows, (*names, ""))
    macro = f" --macro {space.macro}" if hasattr(space, "macro") else ""
    print(
        f"\nTrain it with: frugalnas train {shlex.quote(parsed.architecture)}{macro} --width {ladder.costs(best)['width']:g} ..."
    )


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
        known = ("params", "macs", "thop", *found.space.quantities)
        for limit in limits:
            one_of("quantity", limit.quantity, dict.fromkeys(known))
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
        return low + bisect_left(range(low + 1, low + stride), True, key=lambda rung: not self.fits(rung))

    def _guess(self) -> int:
        """About where the limits are reached."""
        own: Any = self.found.space
        rung = max(round(own.width / self.step), self.least)
        costs = self.costs(rung)
        room = min(limit.bound / max(costs[limit.quantity], 1e-9) for limit in self.limits)
        return min(int(rung * max(room, 0.0) ** 0.5), WIDEST)


def add_draw(parser: argparse.ArgumentParser) -> None:
    """Add what `draw` takes."""
    parser.description = (
        "Draw an architecture: the normal and reduction cell of darts, the layers of a network as a strip of "
        "blocks, or a cell as a graph; SVG and PNG."
    )
    architectures.add_architecture(parser)
    architectures.add_set(parser)
    option(parser, "--out PATH", "files to write, without suffix [./<name>]", Path)
    option(parser, "--title", "line above the picture; '' for none [the name]")
    parser.set_defaults(run=_draw)


def _draw(parsed: argparse.Namespace) -> None:
    from frugalnas.report.architectures import draw_architecture, draw_genotype
    from frugalnas.report.style import save_figure

    found = find_architecture(parsed)
    title = (found.called if parsed.title is None else parsed.title) or None
    path = parsed.out or Path(slug(found.called))
    if path.suffix in (".png", ".svg"):
        path = path.with_suffix("")
    if found.genotype is None:
        figure = draw_architecture(found.space, found.code, title=title)
    else:
        figure = draw_genotype(found.genotype, title=title)
    try:
        written = save_figure(figure, path)
    except OSError as error:
        raise FrugalnasError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    print(*written, sep="\n")


def add_measure_latency(parser: argparse.ArgumentParser) -> None:
    """Add what `measure-latency` takes."""
    parser.description = (
        "Measure every block of a space on this machine and write a table, with which the space counts, limits "
        "and searches latency in milliseconds."
    )
    architectures.add_sizes(parser)
    architectures.add_set(parser)
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

    space = architectures.sized_space(parsed)
    path = parsed.out or Path(f"latency-{slug(space.name)}-{parsed.runtime}-{slug(parsed.device)}.json")
    if not path.parent.is_dir():
        raise FrugalnasError(f"--out {path}: there is no folder {path.parent}; make it, or choose another file")
    options = {name: getattr(parsed, name) for name in ("runtime", "device", "batch", "repeats", "seed")}
    with closing(Bar("measuring", quiet=parsed.quiet)) as bar:
        table = measure_latency(space, **options, progress=bar.update)
    table.save(path)
    taken = sorted(table.blocks.values())
    assert table.networks is not None
    assert table.error is not None
    images = plural(table.batch, "image")
    error = f"{table.error:.3f} ms, {table.error / table.networks:.0%} of that"
    rows = [
        ("space", sizes_of(space)),
        ("runtime", table.runtime),
        ("device", f"{table.device}, {plural(table.threads, 'thread')} of the processor"),
        ("blocks", f"{len(taken)}, {taken[0]:.3f} to {taken[-1]:.3f} ms for {images}"),
        ("besides", f"{table.fixed:.3f} ms in every network"),
        ("networks", f"{table.networks:.3f} ms, the median of those that were timed whole"),
        ("error", f"{error}: how far the table is from whole networks"),
        ("table", str(path)),
    ]
    print_columns(rows)
    if table.error > UNCERTAIN * table.networks:
        print("\nThe table is uncertain: measure again on an idle machine, with more --repeats.")
    print(f"\nUse it with: --set space.latency={path} --where 'latency<={table.networks:.3g}'")
