"""A training under way, new or resumed: everything comes from its folder, and everything goes back there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from frugalnas.data import ImageData, Loader
from frugalnas.errors import Diverged
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import DIVERGED, RunFolder
from frugalnas.runs.preparing import open_described
from frugalnas.runs.watching import TimeLeft, TrainingCallback
from frugalnas.spaces import SearchSpace
from frugalnas.training import (
    Checkpoints,
    Compute,
    Position,
    Recipe,
    WeightStep,
    compiled,
    fit,
    load_recipe,
    optimizer_for,
    schedule_for,
)

__all__ = ["Book", "Trainer", "note_divergence", "same_journal"]

SAVE_EVERY_S = 60.0


class Book:
    """What a training remembers beside weights: the epochs' records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def add(self, record: dict[str, Any]) -> None:
        """Note the record of an epoch; those of later epochs, which are gone, are forgotten."""
        del self.records[record["epoch"] - 1 :]
        self.records.append(record)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"records": self.records}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take them up again."""
        self.records = list(state_dict["records"])


def same_journal(folder: RunFolder, records: list[dict[str, Any]]) -> None:
    """Have the journal say what a checkpoint says: a crash may have taken lines, or come between a line and its checkpoint."""
    if list(folder.lines()) != records:
        folder.rewrite(records)


def note_divergence(folder: RunFolder, book: Book, lr: float, error: Diverged) -> None:
    """Write the line of the epoch in which a training diverged: what was to be measured is null."""
    unknown = dict.fromkeys(book.records[-1] if book.records else ("epoch", "lr", "train_loss", "train_accuracy"))
    folder.append({**unknown, "epoch": len(book.records) + 1, "lr": lr, DIVERGED: str(error)})


class Trainer(ABC):
    """One training under way in one process.

    Child classes say what is trained (`_network`, `_batches`, `_step`), whose checkpoints are taken (`_identity`), what an
    epoch's record has beside loss and accuracy (`_measured`), and what comes at the end (`_finished`, `_finish`).

    Args:
        fabric: launched.
        folder: the run's.
        callbacks: are told what happens, in the first process.
        data: already opened; None opens it.
    """

    recipe_class: ClassVar[type[Recipe]] = Recipe

    def __init__(
        self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[TrainingCallback], data: ImageData | None = None
    ) -> None:
        config = folder.config
        self.fabric = fabric
        self.folder = folder
        self.first = fabric.global_rank == 0
        self.callbacks = list(callbacks) if self.first else []
        self.recipe = load_recipe(config["recipe"], kind=self.recipe_class)
        self.space: SearchSpace = build_space(config["space"])
        self.seed = int(config["seed"])
        self.data = data or open_described(folder)
        self.compute = Compute(**config["device"])
        self.book = self._book()
        self._set_up()

    def _set_up(self) -> None:
        recipe, fabric = self.recipe, self.fabric
        bare = self._network()
        if self.compute.channels_last:
            bare.to(memory_format=torch.channels_last)
        optimizer = optimizer_for(recipe, bare)
        module = compiled(bare) if self.compute.compile else bare
        network, wrapped = fabric.setup(module, optimizer)
        self.bare = bare
        self.train_loader = self._batches()
        self.state: dict[str, Any] = {"network": bare, "optimizer": _Optimizer(optimizer, bare), "book": self.book}
        if self.compute.precision == "16":
            self.state["precision"] = fabric.strategy.precision  # its gradient scaler
        begun = (0, *self.folder.config.get("restarts", ()))[-1]
        schedule = schedule_for(self._scheduled(begun), optimizer, len(self.train_loader))
        self.step = self._step(network, wrapped, schedule)
        self.step.begun = begun
        self.checkpoints = Checkpoints(self.folder.path / "checkpoints", self._identity())

    # -- what child classes say --------------------------------------------------------------------------------------

    @abstractmethod
    def _network(self) -> nn.Module:
        """What is trained, with the weights that it starts from."""

    @abstractmethod
    def _batches(self) -> Loader:
        """What it is trained on."""

    @abstractmethod
    def _step(self, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Scheduler) -> WeightStep:
        """How; network and optimiser are wrapped."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be this training's."""

    def _scheduled(self, begun: int) -> Recipe:
        """The recipe whose epochs the learning rate's schedule goes by, which starts after so many of them."""
        assert self.recipe.epochs is not None
        return replace(self.recipe, epochs=self.recipe.epochs - begun)

    def _book(self) -> Book:
        return Book()

    @abstractmethod
    def _finished(self) -> bool:
        """Whether nothing is left to do."""

    @abstractmethod
    def _measured(self, epoch: int) -> dict[str, Any]:
        """What the record of an epoch (from 1) has beside the means over its training images."""

    def _keep(self, record: dict[str, Any]) -> None:
        """Note the record of an epoch."""
        self.book.add(record)

    @abstractmethod
    def _finish(self) -> None:
        """What comes after the last epoch."""

    def _pause(self) -> float:
        """What comes between epochs, in training steps."""
        return 0.0

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end."""
        assert self.recipe.epochs is not None
        if not self._finished():
            self._fit(self.recipe.epochs)
            self._finish()

    def _fit(self, epochs: int) -> None:
        found = self.checkpoints.latest()
        done = 0 if found is None else found.step
        if self.first:
            same_journal(self.folder, [] if found is None else found.state["book"]["records"])
        self._watch = TimeLeft(len(self.train_loader), epochs, done, self._pause())
        self._writer = self._tensorboard(done)
        for callback in self.callbacks:
            callback.on_start(epochs * len(self.train_loader), done, tuple(self.folder.config.get("notes", ())))
        try:
            fit(
                self.step,
                self.state,
                self.train_loader.epoch,
                epochs=epochs,
                steps_per_epoch=len(self.train_loader),
                seed=self.seed,
                checkpoints=self.checkpoints,
                save_every=SAVE_EVERY_S,
                on_epoch=self._on_epoch,
                on_step=self._on_step,
                writes=self.first,
                stream=self.fabric.global_rank,
                mend=self._mend,
            )
        except Diverged as error:
            if self.first:
                note_divergence(self.folder, self.book, self.step.lr, error)
            raise
        finally:
            if self._writer is not None:
                self._writer.close()

    def _on_step(self, position: Position) -> None:
        left = self._watch.step(position.done + 1)
        for callback in self.callbacks:
            callback.on_step(position.done + 1, left)

    def _on_epoch(self, epoch: int, means: dict[str, float]) -> None:
        means = {name: self._mean(value) for name, value in means.items()}
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "lr": self.step.lr,
            "train_loss": means["loss"],
            "train_accuracy": means["accuracy"],
            **self._measured(epoch + 1),
        }
        wrong = next((name for name, value in record.items() if value is not None and not math.isfinite(value)), None)
        if wrong is not None:
            raise Diverged(f"the {wrong} of epoch {epoch + 1} is {record[wrong]}{self._mend()}")
        self._keep(record)
        if not self.first:
            return
        self.folder.append(record)
        self.folder.append({"epoch": record["epoch"], "seconds": self._watch.lap()}, "timing.jsonl")
        self._draw(record)
        for callback in self.callbacks:
            callback.on_epoch(record)

    def _mend(self) -> str:
        """What is said of a divergence, and what to do about it."""
        return (
            f" at learning rate {self.step.lr:g}: the training has diverged; lower lr (now {self.recipe.lr:g}), set "
            "clip_norm, or take precision bf16 or 32; the last good checkpoint, where there is one, is kept"
        )

    def _mean(self, value: float) -> float:
        if self.fabric.world_size == 1:
            return value
        own = torch.tensor(value, device=self.fabric.device)
        return float(cast(Tensor, self.fabric.all_reduce(own, reduce_op="mean")))

    # -- what is written ---------------------------------------------------------------------------------------------

    def _tensorboard(self, done: int) -> Any:
        if not self.first:
            return None
        from torch.utils.tensorboard import SummaryWriter

        epoch = done // len(self.train_loader) + 1
        return SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=epoch)

    def _draw(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch" and value is not None:
                kind = name if name == "lr" else "/".join(reversed(name.split("_")))
                self._writer.add_scalar(kind, value, record["epoch"])
        self._writer.flush()


class _Optimizer:
    """An optimiser whose state has the memory format of the weights after a checkpoint is taken up, too."""

    def __init__(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        self.optimizer = optimizer
        self.network = network

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up; tensors of a weight's shape are laid out as the weight is."""
        self.optimizer.load_state_dict(state_dict)
        for weight, state in self.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                    state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
