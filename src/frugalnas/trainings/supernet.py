"""Train the supernet of a space: its session, the weights that it keeps, and the run that holds it.

Everything here is in a run's folder. The initial weights are written once, together with the folder, and their hash is checked
whenever they are read; each checkpoint carries it too, and one with another is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalnas.data import ImageData, Images, RandomLabels
from frugalnas.errors import FrugalnasError
from frugalnas.networks import weightless
from frugalnas.networks.models import tensors_of
from frugalnas.runs.descriptions import describe_space
from frugalnas.runs.folder import RunFolder, fresh
from frugalnas.runs.kinds import Proposal, load_run
from frugalnas.runs.progress import Callback
from frugalnas.scores.triples import tensor_names, triples
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.sizes import sizes_of
from frugalnas.supernets import Supernet, SupernetRecipe, SupernetStep, path_sampler, supernet_of
from frugalnas.tensors import digest
from frugalnas.training import (
    Checkpoints,
    Compute,
    Objective,
    Recipe,
    isolated,
    read_tensors,
    schedule_for,
    watching_memory,
    write_tensors,
)
from frugalnas.trainings.images import ImageSession, open_described, proposed_on_images, set_up
from frugalnas.trainings.kinds import SupernetKind, weights_file
from frugalnas.trainings.origin import ORIGIN, ORIGIN_FILE, continued, read_origin
from frugalnas.trainings.restart import identity_of
from frugalnas.trainings.result import Trained, facts_of
from frugalnas.trainings.subject import fit_supernet, subject
from frugalnas.trainings.weights import initial_weights


@dataclass(frozen=True, kw_only=True)
class SupernetResult(Trained):
    """What the training of a supernet has come to.

    Records of epochs also have "angle", in radians between all weights and the initial ones.

    Attributes:
        recipe: with everything settled.
        initial: SHA-256 of the initial weights.
    """

    recipe: SupernetRecipe
    initial: str

    def to_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "space": self.space.name,
            **{name: getattr(self, name) for name in ("finished", "diverged", "epochs", "total_epochs")},
            **{name: getattr(self.recipe, name) for name in ("labels", "classes", "paths")},
            **{name: getattr(self, name) for name in ("bases", "initial", "seconds")},
        }

    @property
    def bases(self) -> tuple[int, ...]:
        """Epochs whose weights are kept and from which an angle to the last epoch's weights can be measured."""
        return tuple(base for base in self.recipe.kept_epochs if base < len(self.epochs))

    @property
    def default_base(self) -> int:
        """The epoch that the recipe measures angles from; 0 as long as no epoch after it is done."""
        base = self.recipe.angle_base or 0
        return base if base < len(self.epochs) else 0

    def weights(self, epoch: int | Literal["origin"] | None = None) -> dict[str, Tensor]:
        """Weights and buffers by name, on the CPU.

        Args:
            epoch: 0 for the initial weights, one of those that the run keeps, or the last one; None for the latest there
                are: of a run that is not finished, those of its last checkpoint. "origin": of a run that continues
                others, what the first of them began with.

        Raises:
            RunFolderError: where they are not what was written, or the last checkpoint is of another training.
            FrugalnasError: where that epoch's weights were not kept.
        """
        folder = RunFolder(self.run_dir)
        if isinstance(epoch, str):
            origin = read_origin(folder)
            if origin is None:
                raise FrugalnasError(f"{self.run_dir} continues no other run; its angles start from its own weights")
            return origin
        if epoch is None and not self.finished:
            return self._latest()
        epoch = self.total_epochs if epoch is None else epoch
        kept = sorted({*self.recipe.kept_epochs, self.total_epochs})
        if epoch not in kept:
            raise FrugalnasError(
                f"{self.run_dir} keeps weights after epochs {', '.join(map(str, kept))}, not {epoch}; a training keeps others "
                f"with `base_epochs`=[0,{epoch}]"
            )
        if epoch > len(self.epochs) or (epoch == self.total_epochs and not self.finished):
            raise FrugalnasError(
                f"{self.run_dir} has done {len(self.epochs)} of {self.total_epochs} epochs; for the weights after epoch "
                f"{epoch}, continue it with: frugalnas resume {self.run_dir}"
            )
        return read_weights(folder, epoch)

    def _latest(self) -> dict[str, Tensor]:
        """The weights in the newest checkpoint that can be read; the initial ones where there is none."""
        folder = RunFolder(self.run_dir)
        found = Checkpoints(self.run_dir / "checkpoints", identity_of(folder, SupernetRecipe)).latest()
        return read_weights(folder, 0) if found is None else found.state["network"]

    def supernet(self, epoch: int | None = None, device: str | torch.device = "cpu") -> Supernet:
        """The supernet with the weights after an epoch (see `weights`), in eval mode."""
        with weightless():
            supernet = supernet_of(self.space)
        supernet.load_state_dict(self.weights(epoch), assign=True)
        return supernet.eval().to(device)

    def triples(self, epoch: int | None = None, base: int | Literal["origin"] | None = None) -> NDArray[np.float64]:
        """(w0 . wt, |w0|^2, |wt|^2) of every tensor (see `scores.triples`), float64, shape [tensors, 3].

        Args:
            epoch: whose weights are wt, from 1; None is the last one that is done.
            base: whose weights are w0, one of `bases` and before `epoch`; None is `default_base`, or 0 where that is not
                before `epoch`. "origin": of a run that continues others, what the first of them began with.

        Raises:
            FrugalnasError: where there are none for these epochs.
        """
        done = len(self.epochs)
        epoch = done if epoch is None else epoch
        if not 1 <= epoch <= done:
            raise FrugalnasError(
                f"{self.run_dir} has done {done} of {self.total_epochs} epochs, so there is no angle after epoch {epoch}"
            )
        if base is None:
            base = self.default_base if self.default_base < epoch else 0
        if isinstance(base, str):
            self.weights(base)  # says where there are none
        else:
            self.recipe.check_base(base, epoch, str(self.run_dir))
        tensors, _ = read_tensors(self.run_dir / triples_file(epoch))
        found: NDArray[np.float64] = tensors[str(base)].numpy()
        return found


def train_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    continue_from: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
) -> SupernetResult:
    """The result of training the supernet of a space.

    Args:
        space: may be restricted; its sizes are kept, but for the classes and the input size, which data and recipe decide.
        data: a name, a path, or more about how they are read; with random labels also a folder of images without any.
        recipe: a name (`frugalnas list --recipes`), a YAML file, or what `SupernetRecipe.to_json` gave.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30, "labels": "true"}; text is read as YAML.
        compute: where, and how exactly; several devices see their shares of every batch on the same path.
        seed: of weights, paths, random labels, order and augmentation; a split has its own.
        continue_from: a finished run whose last weights this one begins with, of the same space or one with more choices. Angles
            are then measured from these weights as base 0, and from those that the other run began with as base "origin".
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.

    Example:
        >>> import frugalnas as fn
        >>> result = train_supernet(fn.NASBench201(), "digits", run_dir="runs/supernet")  # doctest: +SKIP
        >>> result.triples().shape  # doctest: +SKIP
        (201, 3)
    """
    fresh(run_dir)
    how: dict[str, Any] = {"settings": settings, "compute": compute, "seed": seed, "continue_from": continue_from}
    proposal = proposed_supernet(space, data, recipe, **how)
    result: SupernetResult = proposal.start(run_dir=run_dir, callbacks=callbacks)
    return result


def proposed_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    continue_from: Path | str | None = None,
) -> Proposal:
    """What `train_supernet` with the same arguments would begin."""
    compute = compute.here(channels_last=True)
    if compute.compile:
        raise FrugalnasError("supernets, whose path changes with every step, are not compiled; leave `compile` out")
    fitted = subject(SupernetRecipe, partial(fit_supernet, space), data, recipe, settings, compute.devices)
    supernet = build_supernet(fitted.space, seed, grows=fitted.recipe.growing_epochs > 0)
    first, origin = ({}, {}) if continue_from is None else _continued(supernet, load_supernet(continue_from))
    begun = {weights_file(0): tensors_of(supernet), **({ORIGIN_FILE: origin} if origin else {})}
    config = {
        "space": describe_space(fitted.space),
        "recipe": fitted.recipe.to_json(),
        "seed": seed,
        "device": compute.to_json(),
        "initial": digest(begun[weights_file(0)]),
        "params": sum(parameter.numel() for parameter in supernet.parameters()),
        "notes": list(fitted.notes),
        **first,
    }
    return proposed_on_images(SupernetKind(), fitted.data, config, begun)


def _continued(supernet: Supernet, run: SupernetResult) -> tuple[dict[str, str], dict[str, Tensor]]:
    """See `continued`; a run that is to be continued is finished."""
    if not run.finished:
        raise FrugalnasError(f"{run.run_dir} is not finished; continue it with: frugalnas resume {run.run_dir}")
    return continued(supernet, run.run_dir, run.weights(), run.weights(0))


def load_supernet(run_dir: Path | str, *, trust: bool = False) -> SupernetResult:
    """What the training of a supernet has come to so far, from its folder alone; nothing is computed."""
    result: SupernetResult = load_run(run_dir, "supernet", trust=trust)
    return result


def read_supernet(folder: RunFolder) -> SupernetResult:
    """See `load_supernet`."""
    recipe = SupernetRecipe.load(folder.config["recipe"])
    return SupernetResult(**facts_of(folder), recipe=recipe, initial=str(folder.config["initial"]))


def supernet_data(run_dir: Path | str) -> ImageData:
    """The images that a supernet was trained on, with their split; labels are the images' own."""
    folder = RunFolder(Path(run_dir))
    folder.expect("supernet")
    return open_described(folder)


# -- under way -----------------------------------------------------------------------------------------------------------


def triples_file(epoch: int) -> str:
    """Where a run keeps how far each tensor has turned after an epoch, by the epoch that is measured from."""
    return f"triples/epoch-{epoch:06d}.safetensors"


def build_supernet(space: SearchSpace, seed: int, *, grows: bool = False) -> Supernet:
    """The supernet as it is before training, a function of the seed; the cells that are added where it grows start as ABS's."""
    with isolated(seed), watching_memory("the supernet's width"):
        supernet = supernet_of(space)
        for module in (each for cell in supernet.additions for each in cell.modules()) if grows else ():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        return supernet


def read_weights(folder: RunFolder, epoch: int) -> dict[str, Tensor]:
    """The weights that a run kept after an epoch, the initial ones after epoch 0; they are what was written then.

    Raises:
        FrugalnasError: where they are not there, or no longer what they were.
    """
    if epoch == 0:
        return initial_weights(folder, weights_file(0))
    return read_tensors(folder.path / weights_file(epoch), "put it back, or train the supernet again")[0]


class SupernetSession(ImageSession):
    """One training of one supernet in one process: what it keeps, and how far every tensor has turned after each epoch."""

    recipe_class: ClassVar[type[Recipe]] = SupernetRecipe
    recipe: SupernetRecipe
    bare: Supernet
    step: SupernetStep

    def __init__(
        self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[Callback], data: ImageData | None = None
    ) -> None:
        super().__init__(fabric, folder, callbacks, data)
        self.names = tensor_names(self.bare)
        self.state["step"] = self.step

    def about(self) -> list[tuple[str, str]]:
        """See `Session.about`: the space and its sizes, labels and paths."""
        recipe, params = self.recipe, self.folder.config["params"]
        return [
            ("supernet", sizes_of(self.space)),
            ("parameters", f"{params / 1e6:,.3f} M, of all choices"),
            *super().about(),
            ("labels", recipe.labels_said),
            ("paths", str(recipe.paths)),
            *([("cells", f"added one by one in the first {n} epochs")] if (n := recipe.growing_epochs) else []),
        ]

    def network(self) -> nn.Module:
        """The supernet with the weights that the run began with."""
        supernet = build_supernet(self.space, self.seed)
        supernet.load_state_dict(read_weights(self.folder, 0))
        return supernet

    def labels(self) -> RandomLabels | None:
        """See `ImageSession.labels`."""
        if self.recipe.labels == "true":
            return None
        assert self.recipe.classes is not None
        return RandomLabels(self.recipe.classes, self.seed, anew=self.recipe.labels == "random-access")

    @property
    def begun(self) -> int:
        """See `ImageSession.begun`; below 0 where the schedule began in runs that this one continues."""
        return super().begun or self.recipe.growing_epochs - self.recipe.schedule_after

    @property
    def scheduled(self) -> Recipe:
        """The recipe whose epochs the learning rate's schedule goes by."""
        if super().begun:
            return super().scheduled
        laid_out = self.recipe.schedule_epochs or self.epochs - self.recipe.growing_epochs
        return replace(self.recipe, epochs=laid_out, growing_epochs=0)

    def made(self) -> tuple[SupernetStep, torch.optim.Optimizer]:
        """Its step, which is a state itself: it knows which weights have been used."""
        recipe, bare, steps = self.recipe, self.bare, self.steps_per_epoch
        assert recipe.classes is not None
        assert recipe.paths is not None
        paths = path_sampler(recipe.paths, bare.space, bare.draws, self.seed)
        how: dict[str, Any] = {"scheduled": self.scheduled, "paths": paths}
        objective = Objective(recipe, recipe.classes)
        step, optimizer = set_up(SupernetStep, self.fabric, self.compute, recipe, bare, objective, steps, **how)
        if recipe.growing_epochs:
            step.growing = schedule_for(recipe.until_addition(len(bare.additions)), optimizer, steps)
        return step, optimizer

    def measured(self, epoch: int) -> dict[str, Any]:
        """The "angle" between all weights and the initial ones, in radians; in the first process alone."""
        if not self.first:
            return {}
        weights = tensors_of(self.bare)
        if epoch in self.recipe.kept_epochs and epoch < self.epochs:
            self._write(weights, epoch)
        bases = {str(base): read_weights(self.folder, base) for base in self.recipe.kept_epochs if base < epoch}
        origin = read_origin(self.folder)
        bases |= {} if origin is None else {ORIGIN: origin}
        turned = {base: torch.from_numpy(triples(self.names, before, weights)) for base, before in bases.items()}
        path = self.folder.path / triples_file(epoch)
        path.parent.mkdir(exist_ok=True)
        write_tensors(path, turned, {})
        dot, before, after = turned["0"].sum(dim=0).tolist()
        return {"angle": float(np.arccos(np.clip(dot / np.sqrt(before * after), -1.0, 1.0)))}

    def _write(self, weights: Mapping[str, Tensor], epoch: int) -> None:
        assert epoch > 0  # the initial weights are never written again
        write_tensors(self.folder.path / weights_file(epoch), weights, {})

    def finish(self) -> None:
        """Keep the weights."""
        if self.first:
            self._write(tensors_of(self.bare), self.epochs)
