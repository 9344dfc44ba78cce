"""`frugalnas fit`: the largest width with which a network stays within a budget."""

from __future__ import annotations

import argparse
import os
import shlex
from bisect import bisect_left
from functools import cached_property
from typing import Any

from frugalnas.amounts import shown_amount
from frugalnas.cli.architectures import (
    Architecture,
    add_architecture,
    find_architecture,
    refuse_outside,
    space_settings,
)
from frugalnas.cli.count import add_set, counted
from frugalnas.cli.options import add_limit, add_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces.sizes import sizes_of

NARROWEST, WIDEST = 16, 2**14
"""Steps in which some network must be buildable, and up to which a width is looked for."""

MULTIPLE = 0.05
"""Step of widths that multiply a network's channels."""
EVEN = 2
"""Step of the widths of DARTS networks, whose reductions join two halves of the channels; `--step 1` finds odd ones."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "The largest width with which a network meets a limit such as 'macs<=600M' or 'params<5M', and what "
        "the widths around it cost. Networks of darts are those for ImageNet here, unless --macro cifar or a run's folder "
        "says otherwise, and their widths are even, unless --step 1 says otherwise."
    )
    add_architecture(parser, macro="imagenet")
    add_limit(parser, "such as 'macs<=600M'; several are joined by commas", required=True)
    add_operators(parser)
    add_set(parser)
    option(parser, "--step W", "between widths [2 in darts, 1 in cells, 0.05 in layers]", float)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_fit)


def _fit(parsed: argparse.Namespace) -> None:
    from frugalnas.spaces.constraint import Constraint

    limits = Constraint.parse(parsed.where)
    settings = space_settings(parsed.set)
    found = find_architecture(parsed, settings)
    of_a_run = os.path.isdir(os.path.expanduser(parsed.architecture))
    if hasattr(found.space, "macro") and not (parsed.macro or "macro" in settings or of_a_run):
        found = find_architecture(parsed, settings, {"macro": "imagenet"})
    refuse_outside(found, parsed)
    if parsed.width is not None:
        raise FrugalnasError("--width is what fit looks for; leave it out, or count the network at that width")
    ladder = _Ladder(found, limits, parsed.step)
    best = ladder.largest()
    around = range(max(best - 2, ladder.least), best + 3)
    if parsed.json:
        print_json({"name": found.name, "architecture": found.text, **ladder.costs(best)})
        return
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
        return low + bisect_left(range(low + 1, low + stride), True, key=lambda rung: not self.fits(rung))

    def _guess(self) -> int:
        """About where the limits are reached."""
        own: Any = self.found.space
        rung = max(round(own.width / self.step), self.least)
        costs = self.costs(rung)
        room = min(limit.bound / max(costs[limit.quantity], 1e-9) for limit in self.limits)
        return min(int(rung * max(room, 0.0) ** 0.5), WIDEST)
