"""The training of a supernet under way: which weights it keeps, and how far every tensor has turned after each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from frugalnas.data import ImageData, Loader, RandomLabels
from frugalnas.networks.saving import tensors_of
from frugalnas.runs.carrying import first_recipe
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.preparing import initial_weights, training_loader, what_to_lower
from frugalnas.runs.trainer import Trainer
from frugalnas.runs.watching import TrainingCallback
from frugalnas.scores.triples import tensor_names, triples
from frugalnas.spaces import SearchSpace
from frugalnas.supernets import PathSampler, Supernet, SupernetRecipe, SupernetStep, path_sampler, supernet_of
from frugalnas.training import Objective, Recipe, isolated, load_recipe, read_tensors, watching_memory, write_tensors

__all__ = [
    "SupernetTrainer",
    "build_supernet",
    "identity_of",
    "objective_of",
    "paths_of",
    "random_labels",
    "read_weights",
    "run_supernet",
    "triples_file",
    "weights_file",
]


def weights_file(epoch: int) -> str:
    """Where a run keeps the weights after an epoch; epoch 0 has the initial ones, written once and never again."""
    return f"weights/epoch-{epoch:06d}.safetensors"


def triples_file(epoch: int) -> str:
    """Where a run keeps how far each tensor has turned after an epoch, by the epoch that is measured from."""
    return f"triples/epoch-{epoch:06d}.safetensors"


def build_supernet(space: SearchSpace, seed: int) -> Supernet:
    """The supernet as it is before training, a function of the seed."""
    with isolated(seed), watching_memory("the supernet's width"):
        return supernet_of(space)


def random_labels(recipe: SupernetRecipe, seed: int) -> RandomLabels | None:
    """The labels that a recipe draws in place of the images' own; None where it takes those."""
    if recipe.labels == "true":
        return None
    assert recipe.classes is not None
    return RandomLabels(recipe.classes, seed, anew=recipe.labels == "random-access")


def objective_of(recipe: SupernetRecipe) -> Objective:
    """The loss of a settled recipe."""
    assert recipe.classes is not None
    return Objective(recipe, recipe.classes)


def paths_of(recipe: SupernetRecipe, supernet: Supernet, seed: int) -> PathSampler:
    """Which path each step of a settled recipe takes."""
    assert recipe.paths is not None
    return path_sampler(recipe.paths, supernet.space, supernet.draws, seed)


def identity_of(folder: RunFolder) -> dict[str, Any]:
    """What a checkpoint must agree with to be one of this run's."""
    config = folder.config
    return {
        "space": config["space"],
        "recipe": first_recipe(folder, SupernetRecipe),
        "seed": int(config["seed"]),
        "initial weights": config["initial"],
    }


def read_weights(folder: RunFolder, epoch: int) -> dict[str, Tensor]:
    """The weights that a run kept after an epoch, the initial ones after epoch 0; they are what was written then.

    Raises:
        FrugalnasError: where they are not there, or no longer what they were.
    """
    if epoch == 0:
        return initial_weights(folder, weights_file(0))
    return read_tensors(folder.path / weights_file(epoch), "put it back, or train the supernet again")[0]


class SupernetTrainer(Trainer):
    """One training of one supernet under way in one process; see `Trainer`."""

    recipe_class: ClassVar[type[Recipe]] = SupernetRecipe
    recipe: SupernetRecipe
    bare: Supernet
    step: SupernetStep

    def _set_up(self) -> None:
        super()._set_up()
        self.state["step"] = self.step

    def _network(self) -> nn.Module:
        supernet = build_supernet(self.space, self.seed)
        supernet.load_state_dict(read_weights(self.folder, 0))
        self.names = tensor_names(supernet)
        return supernet

    def _batches(self) -> Loader:
        labels = random_labels(self.recipe, self.seed)
        return training_loader(self.data, self.recipe, self.seed, self.fabric, labels)

    def _scheduled(self, begun: int) -> Recipe:
        if begun:
            return super()._scheduled(begun)
        return replace(self.recipe, epochs=self.recipe.schedule_epochs or self.recipe.epochs)

    def _step(self, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Scheduler) -> SupernetStep:
        return SupernetStep(
            self.fabric,
            network,
            optimizer,
            schedule,
            self.recipe,
            objective_of(self.recipe),
            paths_of(self.recipe, self.bare, self.seed),
            memory_format=self.compute.memory_format,
        )

    def _identity(self) -> dict[str, Any]:
        return identity_of(self.folder)

    # -- what is written ---------------------------------------------------------------------------------------------

    def _finished(self) -> bool:
        assert self.recipe.epochs is not None
        return (self.folder.path / weights_file(self.recipe.epochs)).exists()

    def _measured(self, epoch: int) -> dict[str, Any]:
        """The "angle" between all weights and the initial ones, in radians; in the first process alone."""
        if not self.first:
            return {}
        weights = tensors_of(self.bare)
        assert self.recipe.epochs is not None
        if epoch in self.recipe.kept_epochs and epoch < self.recipe.epochs:
            self._write(weights, epoch)
        turned = {
            str(base): torch.from_numpy(triples(self.names, read_weights(self.folder, base), weights))
            for base in self.recipe.kept_epochs
            if base < epoch
        }
        path = self.folder.path / triples_file(epoch)
        path.parent.mkdir(exist_ok=True)
        write_tensors(path, turned, {})
        dot, before, after = turned["0"].sum(dim=0).tolist()
        return {"angle": float(np.arccos(np.clip(dot / np.sqrt(before * after), -1.0, 1.0)))}

    def _write(self, weights: Mapping[str, Tensor], epoch: int) -> None:
        assert epoch > 0  # the initial weights are never written again
        write_tensors(self.folder.path / weights_file(epoch), weights, {})

    def _finish(self) -> None:
        if self.first:
            assert self.recipe.epochs is not None
            self._write(tensors_of(self.bare), self.recipe.epochs)
        self.fabric.barrier()


def run_supernet(
    fabric: Fabric, path: Path, callbacks: Sequence[TrainingCallback], data: ImageData | None = None
) -> None:
    """Carry the training of a supernet in a folder to its end, in each of the fabric's processes."""
    folder = RunFolder(path)
    with watching_memory(what_to_lower(load_recipe(folder.config["recipe"], kind=SupernetRecipe))):
        try:
            SupernetTrainer(fabric, folder, callbacks, data).run()
        finally:
            folder.close()
