"""What a method would cost, stage by stage, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from frugalnas.methods.method import Settled
from frugalnas.methods.parts import StagePlan
from frugalnas.methods.spaces import smallest
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.constraint import Constraint

SAMPLED = 2_000
"""Architectures by which the share that meets the limits is estimated."""


@dataclass(frozen=True)
class MethodPlan:
    """What a method would do, before it is done.

    Attributes:
        settled: method and data.
        stages: in order.
        share: of the space's architectures that meet the limits; estimated where the space cannot be listed.
        least: of every quantity that is limited from above, the smallest value there is.
    """

    settled: Settled
    stages: tuple[StagePlan, ...]
    share: float
    least: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Of all stages; a search by angle takes seconds."""
        return sum(stage.seconds for stage in self.stages)


def plan_method(settled: Settled) -> MethodPlan:
    """What a method would do, and about how long it would take."""
    method = settled.method
    limited, where = method.spaces.retrained, method.recipe["where"]
    whole = _unlimited(limited)
    rules = Constraint.parse(where) if where else ()
    return MethodPlan(
        settled,
        tuple(planned for part in method.each_part() if (planned := part.plan()) is not None),
        _share(limited, whole),
        {rule.quantity: smallest(whole, rule.quantity) for rule in rules if rule.relation in ("<", "<=")},
    )


def _share(space: SearchSpace, whole: SearchSpace) -> float:
    """The share of a space's architectures that meet its limits on cost."""
    if space.enumerable:
        return len(space.enumerate()) / len(whole.enumerate())
    return float(space.valid(whole.sample(SAMPLED, np.random.default_rng(0))).mean())


def _unlimited(space: SearchSpace) -> SearchSpace:
    """The space without limits on cost."""
    limits = {name: limit for name, limit in space.limits.items() if name != "where"}
    return build_space({**describe_space(space), "limits": limits})
