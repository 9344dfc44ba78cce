"""A training under way, new or resumed: everything comes from its folder, and everything goes back there."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from frugalnas.errors import Diverged
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.training import Checkpoints, Length, Position, Stateful, fit, watching_memory
from frugalnas.training.fit import Batches
from frugalnas.trainings.result import DIVERGED

SAVE_EVERY_S = 60.0
FIRST_ESTIMATE = 3
"""Steps that are timed before the time left is estimated; the one before them is passed over, as it sets things up."""


class Stepping(Protocol):
    """A step of `frugalnas.training.fit` that knows the learning rate of the last one."""

    @property
    def lr(self) -> float:
        """The learning rate."""

    def __call__(self, batch: Any, position: Position) -> Mapping[str, Tensor]:
        """Train on one batch."""


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


class Session(ABC):
    """One training under way in one process: steps on batches, checkpoints, a journal with a line an epoch.

    Child classes set up what is trained in their constructor, and say what an epoch's record has beside loss and accuracy
    (`measured`), and what comes at the end (`finish`).

    Args:
        fabric: launched.
        folder: the run's.
        callbacks: are told what happens, in the first process.

    Attributes:
        step: trains on one batch; see `frugalnas.training.fit`.
        batches: of an epoch from a step on.
        epochs: in all.
        steps_per_epoch: of the optimisers.
        identity: what a checkpoint must agree with to be one of the run's.
        notes: what was decided, for the user.
        state: all that steps change, by name: networks, optimisers, averages; and `book`, the records of epochs.
        lr: the recipe's learning rate.
        pause: what comes between epochs, in training steps.
        shared: whether one process takes a device's share of each batch even where it is the only one.
    """

    step: Stepping
    batches: Batches
    epochs: int
    steps_per_epoch: int
    identity: Mapping[str, Any]
    notes: Sequence[str]
    lr: float
    pause = 0.0
    shared = True

    def __init__(self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[Callback]) -> None:
        self.fabric = fabric
        self.folder = folder
        self.first = fabric.global_rank == 0
        self.callbacks = list(callbacks) if self.first else []
        self.seed = int(folder.config["seed"])
        self.book = self.records()
        self.state: dict[str, Stateful] = {}
        self.notes = tuple(folder.config.get("notes", ()))

    # -- what child classes say --------------------------------------------------------------------------------------

    def records(self) -> Book:
        """What it remembers of its epochs."""
        return Book()

    @classmethod
    @abstractmethod
    def to_lower(cls, folder: RunFolder) -> str:
        """The settings that make a run need less memory, for `watching_memory`."""

    @abstractmethod
    def about(self) -> list[tuple[str, str]]:
        """What is trained, on what, and by which recipe, in two columns for people."""

    def mean(self, value: float) -> float:
        """The mean over all processes of what an epoch's steps summed up in one of them."""
        if self.fabric.world_size == 1:
            return value
        own = torch.tensor(value, device=self.fabric.device)
        return float(cast(Tensor, self.fabric.all_reduce(own, reduce_op="mean")))

    def measured(self, epoch: int) -> dict[str, Any]:
        """What the record of an epoch (from 1) has beside the means over what it was trained on."""
        return {}

    def keep(self, record: dict[str, Any]) -> None:
        """Note the record of an epoch."""
        self.book.add(record)

    def draw(self, record: Mapping[str, Any]) -> None:  # noqa: B027  # not every training is drawn
        """Show the record of an epoch elsewhere than in the journal, in the first process."""

    @abstractmethod
    def finish(self) -> None:
        """What comes after the last epoch."""

    def close(self) -> None:  # noqa: B027  # not every training has files open
        """Close what was opened, also after an interruption."""

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end."""
        checkpoints = Checkpoints(
            self.folder.path / "checkpoints", self.identity, every=SAVE_EVERY_S, writes=self.first
        )
        found = checkpoints.latest()
        done = 0 if found is None else found.step
        records = [] if found is None else found.state["book"]["records"]
        # A crash may have taken lines of the journal, or come between a line and its checkpoint.
        if self.first and list(self.folder.lines()) != records:
            self.folder.rewrite(records)
        self._watch, self._said = TimeLeft(self.steps_per_epoch, self.epochs, done, self.pause), ""
        for callback in self.callbacks:
            callback.on_start(done, self.epochs * self.steps_per_epoch, self.notes)
        try:
            fit(
                self.step,
                self.state,
                self.batches,
                length=Length(self.epochs, self.steps_per_epoch),
                seed=self.seed,
                checkpoints=checkpoints,
                on_epoch=self._on_epoch,
                on_step=self._on_step,
                stream=self.fabric.global_rank,
                mend=self.mend,
            )
        except Diverged as error:
            if self.first:
                self._note_divergence(error)
            raise
        finally:
            self.close()
        self.finish()
        self.fabric.barrier()

    def mend(self) -> str:
        """What is said of a divergence, and what to do about it."""
        return (
            f" at learning rate {self.step.lr:g}: the training has diverged; lower lr (now {self.lr:g}), set "
            "clip_norm, or take precision bf16 or 32; the last good checkpoint, where there is one, is kept"
        )

    def _on_step(self, position: Position) -> None:
        left = self._watch.step(position.done + 1)
        for callback in self.callbacks:
            callback.on_progress(position.done + 1, self._said, left=left)

    def _on_epoch(self, epoch: int, means: dict[str, float]) -> None:
        means = {name: self.mean(value) for name, value in means.items()}
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "lr": self.step.lr,
            "train_loss": means["loss"],
            "train_accuracy": means["accuracy"],
            **self.measured(epoch + 1),
        }
        wrong = next((name for name, value in record.items() if value is not None and not math.isfinite(value)), None)
        if wrong is not None:
            raise Diverged(f"the {wrong} of epoch {epoch + 1} is {record[wrong]}{self.mend()}")
        self.keep(record)
        if not self.first:
            return
        self.folder.append(record)
        self.folder.append({"epoch": record["epoch"], "seconds": self._watch.lap()}, "timing.jsonl")
        self.draw(record)
        self._said = _words(record)
        for callback in self.callbacks:
            callback.on_record(record)
            callback.on_progress(record["epoch"] * self.steps_per_epoch, self._said, worth_a_line=True)

    def _note_divergence(self, error: Diverged) -> None:
        """Write the line of the epoch in which the training diverged: what was to be measured is null."""
        records = self.book.records
        unknown = dict.fromkeys(records[-1] if records else ("epoch", "lr", "train_loss", "train_accuracy"))
        self.folder.append({**unknown, "epoch": len(records) + 1, "lr": self.step.lr, DIVERGED: str(error)})


def run_session(
    fabric: Fabric, session: type[Session], path: Path, callbacks: Sequence[Callback], handed: Mapping[str, Any]
) -> None:
    """Carry the training in a folder to its end, in each of the fabric's processes.

    Args:
        fabric: launched.
        session: the class of the training.
        path: of the run's folder.
        callbacks: are told what happens.
        handed: further arguments of the session, such as images that are open already.
    """
    folder = RunFolder(path)
    with watching_memory(session.to_lower(folder)):
        try:
            session(fabric, folder, callbacks, **handed).run()
        finally:
            folder.close()


def _words(record: Mapping[str, Any]) -> str:
    """How an epoch went: its accuracies, and how far a supernet has turned."""
    said = f"epoch {record['epoch']}: train {record['train_accuracy']:.2f} %"
    if record.get("val_accuracy") is not None:
        said += f", val {record['val_accuracy']:.2f} %"
    if "angle" in record:
        said += f", turned by {record['angle']:.3f} rad"
    return said


class TimeLeft:
    """How long a training still takes, from the steps of this process.

    Args:
        steps_per_epoch: of the training.
        epochs: in all.
        done: steps before this process.
        pause: what comes between epochs, in steps.
    """

    def __init__(self, steps_per_epoch: int, epochs: int, done: int, pause: float) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.total = steps_per_epoch * epochs
        self.begun = done
        self.pause = pause
        self.started: float | None = None
        self.lap_started = time.monotonic()

    def step(self, done: int) -> float | None:
        """Seconds left after so many steps; None while it is too early to say."""
        now = time.monotonic()
        if self.started is None:
            self.started, self.begun = now, done
            return None
        timed = done - self.begun
        if timed < FIRST_ESTIMATE:
            return None
        epochs_timed = done // self.steps_per_epoch - self.begun // self.steps_per_epoch
        # A validation ends an epoch, so the one after step `done` is not in the time yet.
        if done % self.steps_per_epoch == 0 and epochs_timed:
            epochs_timed -= 1
        steps_timed = timed + epochs_timed * self.pause
        left = self.total - done
        epochs_left = left / self.steps_per_epoch
        return (now - self.started) / steps_timed * (left + epochs_left * self.pause)

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.monotonic()
        seconds, self.lap_started = now - self.lap_started, now
        return round(seconds, 6)
