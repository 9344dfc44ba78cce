"""What a training would do, and about how long it would take, before anything is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from frugalnas.data import ImageData, Images, Loader
from frugalnas.runs.preparing import (
    Prepared,
    build_network,
    check_compile,
    counts_of,
    prepare,
    too_large,
    training_loader,
)
from frugalnas.spaces import Architecture, SearchSpace
from frugalnas.training import (
    Compute,
    Objective,
    Position,
    WeightStep,
    compiled,
    isolated,
    optimizer_for,
    schedule_for,
    watching_memory,
)
from frugalnas.trust import give

__all__ = ["TrainingPlan", "plan", "seconds_a_step"]

TIMED_STEPS = 4
"""Of which the median is taken, after one that sets things up; fewer where they take long."""
TIMED_SECONDS = 10.0
"""After which no further step is timed."""


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would do (`frugalnas train --dry-run`).

    Attributes:
        space: with the sizes that the data ask for.
        recipe: with everything settled that depends on the data, as plain values.
        images: of each part, by name.
        classes: their names.
        input_size: pixels.
        params: without auxiliary head.
        macs: of one image.
        steps_per_epoch: of the optimiser.
        steps: in all.
        seconds: estimate of the whole training on this device, from a few steps that are thrown away.
        notes: what was decided about the data.
    """

    space: SearchSpace
    recipe: Mapping[str, Any]
    images: Mapping[str, int]
    classes: tuple[str, ...]
    input_size: int
    params: int
    macs: int
    steps_per_epoch: int
    steps: int
    seconds: float
    notes: tuple[str, ...]


def plan(
    architecture: Architecture,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
) -> TrainingPlan:
    """What `train` with the same arguments would do, and about how long it would take."""
    compute = compute.here()
    give(settings)
    prepared = prepare(architecture, data, recipe, settings, compute.devices)
    check_compile(prepared.recipe, compute.compile)
    network = build_network(prepared.space, prepared.code, prepared.recipe, 0)
    counts = counts_of(network, prepared.data.input_size)
    images = {name: len(part) for name, part in prepared.data.parts.items()}
    epochs = prepared.recipe.epochs or 0
    steps_per_epoch = len(prepared.data.train) // prepared.recipe.batch_size
    with watching_memory(f"batch_size (now {prepared.recipe.batch_size})"):
        step = _seconds_of_network(prepared, network, compute)
    # A validation image takes a third of a training image's time: a forward pass of three passes.
    steps = epochs * (steps_per_epoch + images.get("val", 0) / prepared.recipe.batch_size / 3)
    return TrainingPlan(
        space=prepared.space,
        recipe=prepared.recipe.to_json(),
        images=images,
        classes=prepared.data.classes,
        input_size=prepared.data.input_size,
        params=int(counts["params"]),
        macs=int(counts["macs"]),
        steps_per_epoch=steps_per_epoch,
        steps=epochs * steps_per_epoch,
        seconds=steps * step,
        notes=(*prepared.notes, *too_large(network, prepared.data)),
    )


def _seconds_of_network(prepared: Prepared, network: nn.Module, compute: Compute) -> float:
    """Median of a few steps that train a copy of the network, on one device with its share of the batch."""
    recipe = replace(prepared.recipe, batch_size=prepared.recipe.batch_size // compute.devices)
    fabric = replace(compute, devices=1).fabric()
    fabric.launch()
    network.to(memory_format=compute.memory_format)
    optimizer = optimizer_for(recipe, network)
    wrapped, wrapped_optimizer = fabric.setup(compiled(network) if compute.compile else network, optimizer)
    training = training_loader(prepared.data, recipe, 0, fabric)
    step = WeightStep(
        fabric,
        wrapped,
        wrapped_optimizer,
        schedule_for(recipe, optimizer, len(training)),
        replace(recipe, teacher=None),
        Objective(replace(recipe, teacher=None), len(prepared.data.classes)),
        memory_format=compute.memory_format,
    )
    return seconds_a_step(step, training, recipe.epochs or 1)


def seconds_a_step(step: WeightStep, training: Loader, epochs: int) -> float:
    """Median time of a few steps, the first of which is passed over."""
    times = []
    with isolated(0):
        for number, batch in enumerate(training.epoch(0)):
            started = time.perf_counter()
            float(step(batch, Position(0, number, epochs, len(training)))["loss"])
            times.append(time.perf_counter() - started)
            if len(times) == TIMED_STEPS + 1 or sum(times) > TIMED_SECONDS:
                break
    times = sorted(times[1:] or times)
    return times[len(times) // 2]
