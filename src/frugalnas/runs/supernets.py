"""Train the supernet of a space, carry on where it stopped, and read what it kept.

Everything here is in a run's folder, as in `runs.training`. The initial weights are written once, together with the folder,
and their hash is checked whenever they are read; each checkpoint carries it too, and one with another is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import frugalnas
from frugalnas.data import ImageData, Images
from frugalnas.errors import FrugalnasError
from frugalnas.networks.saving import tensors_of
from frugalnas.runs.carrying import begun, carried_out, moved, refuse_diverged, refuse_taken, restated
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.preparing import fill, open_described
from frugalnas.runs.supernet_preparing import prepare_supernet
from frugalnas.runs.supernet_trainer import (
    build_supernet,
    identity_of,
    read_weights,
    run_supernet,
    triples_file,
    weights_file,
)
from frugalnas.runs.watching import TrainingCallback
from frugalnas.spaces import SearchSpace
from frugalnas.supernets import Supernet, SupernetRecipe, supernet_of
from frugalnas.tensors import digest, read_tensors
from frugalnas.training import Checkpoints, Compute, load_recipe
from frugalnas.trust import opening

__all__ = [
    "SupernetResult",
    "load_supernet",
    "resume_supernet",
    "supernet_data",
    "train_supernet",
]


@dataclass(frozen=True)
class SupernetResult:
    """What the training of a supernet has come to.

    Attributes:
        space: with the sizes of the supernet (width, input size, classes).
        recipe: with everything settled.
        epochs: one record per epoch: "epoch" (from 1), "lr", "train_loss", "train_accuracy", "angle" (radians between all
            weights and the initial ones).
        total_epochs: how many the recipe asks for.
        initial: SHA-256 of the initial weights.
        seed: of weights, paths, random labels, order and augmentation.
        seconds: wall time so far.
        notes: what was decided about the data.
        finished: whether all epochs are done.
        diverged: how the training diverged after these epochs; None where it did not.
        run_dir: the run's folder.
    """

    space: SearchSpace
    recipe: SupernetRecipe
    epochs: tuple[dict[str, Any], ...]
    total_epochs: int
    initial: str
    seed: int
    seconds: float
    notes: tuple[str, ...]
    finished: bool
    run_dir: Path
    diverged: str | None = None

    @property
    def bases(self) -> tuple[int, ...]:
        """Epochs whose weights are kept and from which an angle to the last epoch's weights can be measured."""
        return tuple(base for base in self.recipe.kept_epochs if base < len(self.epochs))

    @property
    def default_base(self) -> int:
        """The epoch that the recipe measures angles from; 0 as long as no epoch after it is done."""
        base = self.recipe.angle_base or 0
        return base if base < len(self.epochs) else 0

    def weights(self, epoch: int | None = None) -> dict[str, Tensor]:
        """Weights and buffers by name, on the CPU.

        Args:
            epoch: 0 for the initial weights, one of those that the run keeps, or the last one; None for the latest there
                are: of a run that is not finished, those of its last checkpoint.

        Raises:
            RunFolderError: where they are not what was written, or the last checkpoint is of another training.
            FrugalnasError: where that epoch's weights were not kept.
        """
        folder = RunFolder(self.run_dir)
        if epoch is None and not self.finished:
            return self._latest()
        epoch = self.total_epochs if epoch is None else epoch
        kept = sorted({*self.recipe.kept_epochs, self.total_epochs})
        if epoch not in kept:
            raise FrugalnasError(
                f"{self.run_dir} keeps weights after epochs {', '.join(map(str, kept))}, not {epoch}; a training keeps others "
                f"with --set base_epochs=[0,{epoch}]"
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
        found = Checkpoints(self.run_dir / "checkpoints", identity_of(folder)).latest()
        return read_weights(folder, 0) if found is None else found.state["network"]

    def supernet(self, epoch: int | None = None, device: str | torch.device = "cpu") -> Supernet:
        """The supernet with the weights after an epoch (see `weights`), in eval mode."""
        with torch.device("meta"):
            supernet = supernet_of(self.space)
        supernet.load_state_dict(self.weights(epoch), assign=True)
        return supernet.eval().to(device)

    def triples(self, epoch: int | None = None, base: int | None = None) -> NDArray[np.float64]:
        """(w0 . wt, |w0|^2, |wt|^2) of every tensor (see `scores.triples`), float64, shape [tensors, 3].

        Args:
            epoch: whose weights are wt, from 1; None is the last one that is done.
            base: whose weights are w0, one of `bases` and before `epoch`; None is `default_base`, or 0 where that is not
                before `epoch`.

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
    callbacks: Sequence[TrainingCallback] = (),
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
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.

    Example:
        >>> import frugalnas as fn
        >>> result = train_supernet(fn.NASBench201(), "digits", run_dir="runs/supernet")  # doctest: +SKIP
        >>> result.triples().shape  # doctest: +SKIP
        (201, 3)
    """
    path = Path(run_dir)
    refuse_taken(path)
    compute = compute.here(channels_last=True)
    if compute.compile:
        raise FrugalnasError("supernets, whose path changes with every step, are not compiled; set `compile` to false")
    prepared = prepare_supernet(space, data, recipe, settings, compute.devices)
    supernet = build_supernet(prepared.space, seed)
    opened = prepared.data
    folder = RunFolder.create(
        path,
        {
            "frugalnas": frugalnas.__version__,
            "kind": "supernet",
            "space": describe_space(prepared.space),
            "data": {**opened.description, "workers": opened.workers, "fingerprint": opened.fingerprint},
            "recipe": prepared.recipe.to_json(),
            "seed": seed,
            "device": compute.to_json(),
            "initial": digest(tensors_of(supernet)),
            "params": sum(parameter.numel() for parameter in supernet.parameters()),
            "notes": prepared.notes,
        },
        lambda draft: fill(draft, opened, supernet, weights_file(0)),
    )
    with begun(folder):
        return _carry_on(folder, callbacks, opened)


@opening
def resume_supernet(
    run_dir: Path | str,
    *,
    device: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    callbacks: Sequence[TrainingCallback] = (),
    trust: bool = False,
) -> SupernetResult:
    """The result of carrying on with the training of a supernet, as if it had never stopped (on a CPU bit for bit).

    Args:
        run_dir: the run's folder.
        device: another than it began on, from now on; None keeps it.
        epochs: in all, where the training is to go on for longer: the learning rate's schedule is then stated anew for the
            epochs that are left (a warm restart), and the run's notes say so. A finished run goes on from its end.
        lr: at which it starts anew; None is the recipe's.
        callbacks: are told what happens.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where there is no such run, its data or initial weights have changed, or its checkpoints are another's.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("supernet")
    moved(folder, device)
    restated(
        folder,
        SupernetRecipe,
        epochs,
        lr,
        folder.path / weights_file(folder.config["recipe"]["epochs"]),
        identity_of(folder),
    )
    if device is None and epochs is None and lr is None:
        refuse_diverged(folder, f"frugalnas resume {folder.path} --lr X goes on from there at another rate")
    return _carry_on(folder, callbacks, None)


@opening
def load_supernet(run_dir: Path | str, *, trust: bool = False) -> SupernetResult:
    """What the training of a supernet has come to so far, from its folder alone; nothing is computed."""
    folder = RunFolder(Path(run_dir))
    folder.expect("supernet")
    config = folder.config
    recipe = load_recipe(config["recipe"], kind=SupernetRecipe)
    assert recipe.epochs is not None
    epochs, diverged = folder.epochs()
    return SupernetResult(
        space=build_space(config["space"]),
        recipe=recipe,
        epochs=epochs,
        diverged=diverged,
        total_epochs=recipe.epochs,
        initial=str(config["initial"]),
        seed=int(config["seed"]),
        seconds=folder.seconds(),
        notes=tuple(config["notes"]),
        finished=(folder.path / weights_file(recipe.epochs)).exists(),
        run_dir=folder.path,
    )


def supernet_data(run_dir: Path | str) -> ImageData:
    """The images that a supernet was trained on, with their split; labels are the images' own."""
    folder = RunFolder(Path(run_dir))
    folder.expect("supernet")
    return open_described(folder)


def _carry_on(folder: RunFolder, callbacks: Sequence[TrainingCallback], data: ImageData | None) -> SupernetResult:
    several = folder.config["device"]["devices"] > 1
    finished = folder.path / weights_file(folder.config["recipe"]["epochs"])
    carried_out(folder, finished, run_supernet, callbacks, None if several else data, unused=True)
    result = load_supernet(folder.path)
    for callback in callbacks:
        callback.on_stop(result)
    return result
