"""What a method would cost, stage by stage, before anything is written."""

from __future__ import annotations

import numpy as np

from frugalnas.amounts import shown_amount
from frugalnas.data import ImageData
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.spaces import relimited
from frugalnas.progress import duration
from frugalnas.runs.kinds import Plan, Proposal
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.constraint import Constraint
from frugalnas.spaces.sizes import sizes_of

SAMPLED = 2_000
"""Architectures by which the share that meets the limits is estimated."""


def planned(proposal: Proposal, method: ImageMethod) -> Plan:
    """What a method would do, and about how long it would take; a search by angle takes seconds."""
    space, where = method.spaces.retrained, method.recipe["where"]
    whole = f"{space.size:,}" if space.size < 1e12 else f"{float(space.size):.3g}"
    rows = [("space", f"{sizes_of(space)}: {whole} architectures" + (f" within {where}" if where else ""))]
    if where:
        rows.append(("budget", f"can be met: {_met(space, where)}"))
    images = method.images(method.each_part()[0].settings.get("split"))
    data = images if isinstance(images, ImageData) else images.open()
    rows.append(("images", ", ".join(f"{len(part):,} {name}" for name, part in data.parts.items())))
    stages = [planned for part in method.each_part() if (planned := part.plan()) is not None]
    seconds = sum(stage.seconds for stage in stages)
    rows += [(stage.stage, stage.said) for stage in stages]
    rows.append(("time", f"about {duration(seconds)} in all, from a few steps on this device"))
    rows += [("note", note) for note in proposal.notes]
    return Plan(rows, seconds, stages={stage.stage: stage.seconds for stage in stages})


def _met(space: SearchSpace, where: str) -> str:
    """The share of a space's architectures that meet its limits on cost, and what the smallest ones cost."""
    whole = relimited(space, None)
    if space.enumerable:
        share = len(space.enumerate()) / len(whole.enumerate())
    else:
        share = float(space.valid(whole.sample(SAMPLED, np.random.default_rng(0))).mean())
    limited = dict.fromkeys(rule.quantity for rule in Constraint.parse(where) if rule.relation in ("<", "<="))
    least = ", ".join(f"{name} from {shown_amount(name, whole.extremes(name)[0])}" for name in limited)
    said = f"{100 * share:.3g} %" if share else f"fewer than one in {SAMPLED:,}"
    return f"{said} of the architectures do; {least}"
