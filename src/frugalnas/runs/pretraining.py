"""Pre-train the encoder of a space, carry on where it stopped, and read what it came to.

Everything here is in a run's folder, which `frugalnas.encoders.load_encoder` takes once it is finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

import frugalnas
from frugalnas.encoders.pretraining import Pretraining, pretraining_for
from frugalnas.encoders.recipe import PretrainingRecipe, load_pretraining_recipe
from frugalnas.encoders.saved import CARD_FILE
from frugalnas.errors import Diverged, FrugalnasError
from frugalnas.runs.carrying import begun, carried_out, moved, refuse_diverged, refuse_taken
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.trainer import Book, note_divergence, same_journal
from frugalnas.runs.watching import TimeLeft, TrainingCallback
from frugalnas.spaces import SearchSpace
from frugalnas.training import Compute, Position, watching_memory
from frugalnas.trust import opening

__all__ = [
    "PretrainingPlan",
    "PretrainingResult",
    "load_pretraining",
    "plan_pretraining",
    "pretrain",
    "resume_pretraining",
]

TIMED_STEPS = 3
"""Of a plan, after a first one that sets things up."""


@dataclass(frozen=True)
class PretrainingResult:
    """What the pre-training of an encoder has come to.

    Attributes:
        space: whose architectures the encoder reads.
        recipe: as it was asked for; batches are smaller where the space is.
        epochs: of each epoch the learning rate at its end, the mean "train_loss", and "train_accuracy" in percent: of
            positives nearer to their centre than every negative (ss-ccl), or of pairs whose distance was told to less than
            one edit (ss-rl).
        seed: of weights, order, anchors and pairs.
        seconds: wall time spent so far.
        finished: whether the encoder is there.
        diverged: how the pre-training diverged after these epochs; None where it did not.
        run_dir: the run's folder.
    """

    space: SearchSpace
    recipe: PretrainingRecipe
    epochs: tuple[Mapping[str, Any], ...]
    seed: int
    seconds: float
    finished: bool
    run_dir: Path
    diverged: str | None = None


@dataclass(frozen=True)
class PretrainingPlan:
    """What a pre-training would do.

    Attributes:
        space: whose architectures.
        recipe: with batches as large as there are architectures for.
        architectures: that the encoder would see.
        steps_per_epoch: optimiser steps.
        seconds: an estimate of the whole, from a few steps.
    """

    space: SearchSpace
    recipe: PretrainingRecipe
    architectures: int
    steps_per_epoch: int
    seconds: float


def pretrain(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    callbacks: Sequence[TrainingCallback] = (),
) -> PretrainingResult:
    """The result of pre-training an encoder on the architectures of a space; no accuracy is looked at.

    Args:
        space: may be restricted; a space that is too large to be listed is drawn from.
        task: "ss-ccl", central contrastive learning, or "ss-rl", regression of edit distances.
        recipe: "default", "paper", another name (`pretraining_recipes`), a YAML file, or what `PretrainingRecipe.to_json`
            gave.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30}; text is read as YAML.
        compute: where; several devices encode their shares of every batch and take their shares of the anchors.
        seed: of weights, order, anchors and pairs.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.

    Example:
        >>> import frugalnas as fn
        >>> result = pretrain(fn.NASBench201(), "ss-ccl", run_dir="runs/ccl201")  # doctest: +SKIP
        >>> encoder, card = load_encoder(result.run_dir, fn.NASBench201())  # doctest: +SKIP
    """
    path = Path(run_dir)
    refuse_taken(path)
    chosen = load_pretraining_recipe(recipe, settings, task=task, space=space.name)
    compute = _exact(compute)
    if space.enumerable:
        chosen.settled(max(1, round(chosen.share * space.size)), compute.devices)
    if seed < 0:
        raise FrugalnasError(f"seed {seed}: seeds are 0 or more")
    folder = RunFolder.create(
        path,
        {
            "frugalnas": frugalnas.__version__,
            "kind": "pretraining",
            "space": describe_space(space),
            "task": chosen.task,
            "recipe": chosen.to_json(),
            "seed": seed,
            "device": compute.to_json(),
        },
    )
    with begun(folder):
        return _carry_on(folder, callbacks)


def plan_pretraining(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
) -> PretrainingPlan:
    """What `pretrain` would do with these arguments; a few steps are timed on one device, and nothing is written."""
    chosen = load_pretraining_recipe(recipe, settings, task=task, space=space.name)
    compute = _exact(compute)
    fabric = replace(compute, devices=1).fabric()
    fabric.launch()
    pretraining = pretraining_for(fabric, space, chosen, seed)
    steps = pretraining.steps_per_epoch * pretraining.recipe.epochs
    seconds = steps * pretraining.seconds_per_step(TIMED_STEPS) / compute.devices
    return PretrainingPlan(space, pretraining.recipe, len(pretraining.codes), pretraining.steps_per_epoch, seconds)


@opening
def resume_pretraining(
    run_dir: Path | str, *, device: str | None = None, callbacks: Sequence[TrainingCallback] = (), trust: bool = False
) -> PretrainingResult:
    """The result of carrying on with a pre-training, as if it had never stopped (on a CPU bit for bit).

    Args:
        run_dir: the run's folder.
        device: another than it began on, from now on; None keeps it.
        callbacks: are told what happens.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where there is no such run, or its checkpoints are another's.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("pretraining")
    moved(folder, device)
    if device is None:
        refuse_diverged(folder, "pre-train anew at a lower rate")
    return _carry_on(folder, callbacks)


@opening
def load_pretraining(run_dir: Path | str, *, trust: bool = False) -> PretrainingResult:
    """What a pre-training has come to so far, from its folder alone; nothing is computed."""
    folder = RunFolder(Path(run_dir))
    folder.expect("pretraining")
    config = folder.config
    epochs, diverged = folder.epochs()
    return PretrainingResult(
        space=build_space(config["space"]),
        recipe=load_pretraining_recipe(config["recipe"]),
        epochs=epochs,
        diverged=diverged,
        seed=int(config["seed"]),
        seconds=folder.seconds(),
        finished=(folder.path / CARD_FILE).exists(),
        run_dir=folder.path,
    )


def _exact(compute: Compute) -> Compute:
    """Where an encoder is trained, which is always in full precision."""
    if compute.precision != "32" or compute.channels_last or compute.compile:
        raise FrugalnasError("encoders train in precision 32, in no layout of images, and uncompiled")
    return compute.here()


def _carry_on(folder: RunFolder, callbacks: Sequence[TrainingCallback]) -> PretrainingResult:
    carried_out(folder, folder.path / CARD_FILE, _run, callbacks)
    result = load_pretraining(folder.path)
    for callback in callbacks:
        callback.on_stop(result)
    return result


def _run(fabric: Fabric, path: Path, callbacks: Sequence[TrainingCallback]) -> None:
    """Carry the pre-training in a folder to its end, in each of the fabric's processes."""
    folder = RunFolder(path)
    recipe = load_pretraining_recipe(folder.config["recipe"])
    space = build_space(folder.config["space"])
    with watching_memory(f"batch (now {recipe.batch:,})"):
        try:
            pretraining = pretraining_for(fabric, space, recipe, int(folder.config["seed"]))
            _Journal(folder, pretraining, callbacks).run()
        finally:
            folder.close()


class _Journal:
    """Carries a pre-training out, and writes down what happens, in the first process alone."""

    def __init__(self, folder: RunFolder, pretraining: Pretraining, callbacks: Sequence[TrainingCallback]) -> None:
        self.folder, self.pretraining = folder, pretraining
        self.callbacks = callbacks if pretraining.first else ()
        self.book = Book()

    def run(self) -> None:
        """Train to the end."""
        steps, epochs = self.pretraining.steps_per_epoch, self.pretraining.recipe.epochs
        found = self.pretraining.checkpoints(self.folder.path).latest()
        if self.pretraining.first:
            same_journal(self.folder, [] if found is None else found.state["book"]["records"])
        done = 0 if found is None else found.step
        self.watch = TimeLeft(steps, epochs, done, 0.0)
        for callback in self.callbacks:
            callback.on_start(steps * epochs, done, self._notes())
        try:
            self.pretraining.run(
                self.folder.path, on_epoch=self._on_epoch, on_step=self._on_step, state={"book": self.book}
            )
        except Diverged as error:
            if self.pretraining.first:
                note_divergence(self.folder, self.book, self.pretraining.lr, error)
            raise

    def _notes(self) -> tuple[str, ...]:
        given, taken = self.folder.config["recipe"]["batch"], self.pretraining.recipe.batch
        architectures = f"{len(self.pretraining.codes):,} architectures of {self.pretraining.space.name}"
        return (architectures if given == taken else f"{architectures}; batches of {taken:,} instead of {given:,}",)

    def _on_step(self, position: Position) -> None:
        left = self.watch.step(position.done + 1)
        for callback in self.callbacks:
            callback.on_step(position.done + 1, left)

    def _on_epoch(self, epoch: int, means: dict[str, float]) -> None:
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "lr": self.pretraining.lr,
            "train_loss": means["loss"],
            "train_accuracy": means["accuracy"],
        }
        self.book.add(record)
        if not self.pretraining.first:
            return
        self.folder.append(record)
        self.folder.append({"epoch": record["epoch"], "seconds": self.watch.lap()}, "timing.jsonl")
        for callback in self.callbacks:
            callback.on_epoch(record)
