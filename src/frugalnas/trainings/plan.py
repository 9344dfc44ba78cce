"""What a training would do, and about how long it would take, before anything is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from frugalnas.data import ImageData, Images
from frugalnas.encoders.pretraining import pretraining_for
from frugalnas.encoders.recipe import PretrainingRecipe, load_pretraining_recipe
from frugalnas.errors import expect
from frugalnas.spaces import Architecture, SearchSpace
from frugalnas.supernets import SupernetRecipe
from frugalnas.training import Compute, Objective, Position, Recipe, WeightStep, isolated, watching_memory
from frugalnas.trainings.encoder import exact
from frugalnas.trainings.fitting import Fitted, fitted_network, fitted_supernet
from frugalnas.trainings.images import set_up, training_loader
from frugalnas.trainings.network import build_network, check_compile, counts_of
from frugalnas.trainings.supernet import build_supernet, random_labels, step_of
from frugalnas.trainings.weights import too_large
from frugalnas.trust import give

TIMED_STEPS = 4
"""Of which the median is taken, after one that sets things up; fewer where they take long."""
TIMED_SECONDS = 10.0
"""After which no further step is timed."""
AnyRecipe = TypeVar("AnyRecipe", bound="Recipe | PretrainingRecipe")


@dataclass(frozen=True)
class Plan(Generic[AnyRecipe]):
    """What a training would do.

    Attributes:
        space: with the sizes that the data ask for.
        recipe: with everything settled that depends on the data.
        steps_per_epoch: of the optimiser.
        seconds: estimate of the whole training on this device, from a few steps that are thrown away.
        images: of each part, by name.
        architectures: that an encoder would see.
        params: of a network without auxiliary head, or of a whole supernet.
        macs: of one image.
        notes: what was decided about the data.
    """

    space: SearchSpace
    recipe: AnyRecipe
    steps_per_epoch: int
    seconds: float
    images: Mapping[str, int] = field(default_factory=dict)
    architectures: int = 0
    params: int = 0
    macs: int = 0
    notes: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """In all."""
        return self.steps_per_epoch * (self.recipe.epochs or 0)


def plan(
    architecture: Architecture,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
) -> Plan[Recipe]:
    """What `train` with the same arguments would do, and about how long it would take."""
    compute = compute.here()
    give(settings)
    fitted = fitted_network(architecture, data, recipe, settings, compute.devices)
    check_compile(fitted.recipe, compute)
    network = build_network(Architecture(fitted.space, architecture.code), fitted.recipe, 0)
    counts = counts_of(network, fitted.data.input_size)
    alone = replace(_share(fitted.recipe, compute), teacher=None)
    fabric = _one_device(compute)
    loader = training_loader(fitted.data, alone, 0, fabric)

    def made() -> Callable[..., Any]:
        objective = Objective(alone, len(fitted.data.classes))
        return set_up(WeightStep, fabric, compute, alone, network, objective, len(loader))[0]

    # A validation image takes a third of a training image's time: a forward pass of three passes.
    validation = len(fitted.data.val or ()) / fitted.recipe.batch_size / 3
    planned = _planned(fitted, made, loader.epoch(0), validation)
    notes = (*planned.notes, *too_large(network, fitted.data))
    return replace(planned, params=int(counts["params"]), macs=int(counts["macs"]), notes=notes)


def plan_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
) -> Plan[SupernetRecipe]:
    """What `train_supernet` with the same arguments would do, and about how long it would take."""
    compute = compute.here(channels_last=True)
    fitted = fitted_supernet(space, data, recipe, settings, compute.devices)
    alone, fabric = _share(fitted.recipe, compute), _one_device(compute)
    supernet = build_supernet(fitted.space, 0)
    loader = training_loader(fitted.data, alone, 0, fabric, random_labels(alone, 0))

    def made() -> Callable[..., Any]:
        return step_of(fabric, compute, alone, supernet, 0, len(loader))[0]

    params = sum(parameter.numel() for parameter in supernet.parameters())
    return replace(_planned(fitted, made, loader.epoch(0)), params=params)


def plan_pretraining(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
) -> Plan[PretrainingRecipe]:
    """What `pretrain` would do with these arguments; a few steps are timed on one device, and nothing is written."""
    expect(space, SearchSpace, "search space", "one such as frugalnas.NASBench201()")
    chosen = load_pretraining_recipe(recipe, settings, task=task, space=space.name)
    compute = exact(compute)
    pretraining = pretraining_for(_one_device(compute), space, chosen, seed)
    steps, epochs = pretraining.steps_per_epoch, pretraining.recipe.epochs
    seconds = steps * epochs * seconds_a_step(pretraining, pretraining.batches(0, 0), epochs, steps)
    return Plan(space, pretraining.recipe, steps, seconds / compute.devices, architectures=len(pretraining.codes))


def seconds_a_step(step: Callable[..., Any], batches: Iterable[Any], epochs: int, steps_per_epoch: int) -> float:
    """Median time of a few steps, the first of which is passed over."""
    times: list[float] = []
    with isolated(0):
        for number, batch in enumerate(batches):
            started = time.perf_counter()
            float(step(batch, Position(0, number, epochs, steps_per_epoch))["loss"])
            times.append(time.perf_counter() - started)
            if len(times) == TIMED_STEPS + 1 or sum(times) > TIMED_SECONDS:
                break
    times = sorted(times[1:] or times)
    return times[len(times) // 2]


def _planned(
    fitted: Fitted[Any], made: Callable[[], Callable[..., Any]], batches: Iterable[Any], pause: float = 0.0
) -> Plan[Any]:
    """What a training on images would do; `made` makes its step, and a pause of so many steps ends an epoch."""
    epochs, steps = fitted.recipe.epochs, fitted.steps_per_epoch
    with watching_memory(f"batch_size (now {fitted.recipe.batch_size})"):
        step = seconds_a_step(made(), batches, epochs, steps)
    images = {name: len(part) for name, part in fitted.data.parts.items()}
    return Plan(fitted.space, fitted.recipe, steps, epochs * (steps + pause) * step, images, notes=fitted.notes)


def _share(recipe: Any, compute: Compute) -> Any:
    """A recipe for one device's share of each batch."""
    return replace(recipe, batch_size=recipe.batch_size // compute.devices)


def _one_device(compute: Compute) -> Any:
    """Lightning Fabric on one of the devices, launched."""
    fabric = replace(compute, devices=1).fabric()
    fabric.launch()
    return fabric
