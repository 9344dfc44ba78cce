"""What the training of a supernet would do, and about how long it would take, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frugalnas.data import ImageData, Images
from frugalnas.runs.planning import seconds_a_step
from frugalnas.runs.preparing import training_loader
from frugalnas.runs.supernet_preparing import PreparedSupernet, prepare_supernet
from frugalnas.runs.supernet_trainer import build_supernet, objective_of, paths_of, random_labels
from frugalnas.spaces import SearchSpace
from frugalnas.supernets import SupernetRecipe, SupernetStep
from frugalnas.training import Compute, optimizer_for, schedule_for, watching_memory

__all__ = ["SupernetPlan", "plan_supernet"]


@dataclass(frozen=True)
class SupernetPlan:
    """What the training of a supernet would do (`frugalnas supernet train --dry-run`).

    Attributes:
        space: with the sizes that the data ask for.
        recipe: with everything settled that depends on the data.
        images: of each part, by name.
        params: of the supernet.
        steps_per_epoch: of the optimiser.
        steps: in all.
        seconds: estimate of the whole training on this device, from a few steps that are thrown away.
        notes: what was decided about the data.
    """

    space: SearchSpace
    recipe: SupernetRecipe
    images: Mapping[str, int]
    params: int
    steps_per_epoch: int
    steps: int
    seconds: float
    notes: tuple[str, ...]


def plan_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
) -> SupernetPlan:
    """What `train_supernet` with the same arguments would do, and about how long it would take."""
    compute = compute.here(channels_last=True)
    prepared = prepare_supernet(space, data, recipe, settings, compute.devices)
    settled = prepared.recipe
    epochs, steps_per_epoch = settled.epochs or 0, len(prepared.data.train) // settled.batch_size
    with watching_memory(f"batch_size (now {settled.batch_size})"):
        params, step = _measured(prepared, compute)
    return SupernetPlan(
        space=prepared.space,
        recipe=settled,
        images={name: len(part) for name, part in prepared.data.parts.items()},
        params=params,
        steps_per_epoch=steps_per_epoch,
        steps=epochs * steps_per_epoch,
        seconds=epochs * steps_per_epoch * step,
        notes=tuple(prepared.notes),
    )


def _measured(prepared: PreparedSupernet, compute: Compute) -> tuple[int, float]:
    """(parameters of the supernet, median time of a few steps on one device with its share of the batch)."""
    recipe = replace(prepared.recipe, batch_size=prepared.recipe.batch_size // compute.devices)
    fabric = replace(compute, devices=1).fabric()
    fabric.launch()
    supernet = build_supernet(prepared.space, 0)
    supernet.to(memory_format=compute.memory_format)
    optimizer = optimizer_for(recipe, supernet)
    wrapped, wrapped_optimizer = fabric.setup(supernet, optimizer)
    training = training_loader(prepared.data, recipe, 0, fabric, random_labels(recipe, 0))
    step = SupernetStep(
        fabric,
        wrapped,
        wrapped_optimizer,
        schedule_for(recipe, optimizer, len(training)),
        recipe,
        objective_of(recipe),
        paths_of(recipe, supernet, 0),
        memory_format=compute.memory_format,
    )
    params = sum(parameter.numel() for parameter in supernet.parameters())
    return params, seconds_a_step(step, training, recipe.epochs or 1)
