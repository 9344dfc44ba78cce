"""What a method would cost, stage by stage, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from frugalnas.methods.preparing import Settled, evaluations, genetic_search, images_of, smallest
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.supernet_planning import SupernetPlan, plan_supernet
from frugalnas.runs.training import TrainingPlan, plan
from frugalnas.spaces import Architecture, SearchSpace
from frugalnas.spaces.constraint import Constraint
from frugalnas.training import Compute

__all__ = ["SAMPLED", "MethodPlan", "plan_method"]

SAMPLED = 2_000
"""Architectures among which one of middle cost is found, and the share that meets the limits."""


@dataclass(frozen=True)
class MethodPlan:
    """What a method would do (`frugalnas rlnas --dry-run`).

    Attributes:
        settled: recipe, spaces and data.
        supernet: the first stage.
        evaluations: of the search, at most.
        retrained: one network of middle cost; None where none is retrained.
        top: how many are.
        share: of the space's architectures that meet the limits; estimated where the space cannot be listed.
        least: of every quantity that is limited from above, the smallest value there is.
    """

    settled: Settled
    supernet: SupernetPlan
    evaluations: int
    retrained: TrainingPlan | None
    top: int
    share: float
    least: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Of the trainings; a search by angle takes seconds."""
        return self.supernet.seconds + self.top * (0.0 if self.retrained is None else self.retrained.seconds)


def plan_method(settled: Settled, reading: Mapping[str, Any], device: Mapping[str, Any]) -> MethodPlan:
    """What a method would do with a settled recipe, and about how long it would take.

    Args:
        settled: what `settle` returned.
        reading: how the data are opened.
        device: `device`, `devices`, `precision`.
    """
    recipe, networks = settled.recipe, settled.networks
    compute = Compute(**device)
    supernet = plan_supernet(networks.supernet, settled.data, compute=compute, **recipe.on_random_labels)
    retrained, top = None, recipe.top if settled.data.labelled else 0
    rng = np.random.default_rng(0)
    codes = networks.retrained.sample(SAMPLED, rng)
    if top:
        middle = codes[np.argsort(networks.retrained.count("macs", codes))[len(codes) // 2]]
        images = images_of(recipe, recipe.retrain, reading)
        retrained = plan(Architecture(networks.retrained, middle), images, compute=compute, **recipe.from_scratch)
    return MethodPlan(
        settled=settled,
        supernet=supernet,
        evaluations=evaluations(recipe, genetic_search(recipe, networks.retrained, 0)),
        retrained=retrained,
        top=top,
        share=_share(networks.retrained, rng),
        least={
            rule.quantity: smallest(_unlimited(networks.retrained), rule.quantity)
            for rule in (Constraint.parse(recipe.where) if recipe.where else ())
            if rule.relation in ("<", "<=")
        },
    )


def _share(space: SearchSpace, rng: np.random.Generator) -> float:
    """The share of a space's architectures that meet its limits on cost."""
    whole = _unlimited(space)
    if space.enumerable:
        return len(space.enumerate()) / len(whole.enumerate())
    return float(space.valid(whole.sample(SAMPLED, rng)).mean())


def _unlimited(space: SearchSpace) -> SearchSpace:
    """The space without limits on cost."""
    described = describe_space(space)
    limits = {name: limit for name, limit in space.limits.items() if name != "where"}
    return build_space({**described, "limits": limits})
