"""Look on while a network is trained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from frugalnas.errors import worded
from frugalnas.runs.progress import Bar, duration

if TYPE_CHECKING:
    from frugalnas.runs.pretraining import PretrainingResult
    from frugalnas.runs.supernets import SupernetResult
    from frugalnas.runs.training import TrainingResult

__all__ = ["TimeLeft", "TrainingCallback", "TrainingProgress", "duration"]

FIRST_ESTIMATE = 3
"""Steps that are timed before the time left is estimated; the one before them is passed over, as it sets things up."""


class TrainingCallback:
    """Is told what happens in a training; override what is of interest. An exception stops the training."""

    def on_start(self, steps: int, done: int, notes: tuple[str, ...]) -> None:
        """The training begins: so many steps in all, so many of them done before; what was decided about the data."""

    def on_step(self, done: int, seconds_left: float | None) -> None:
        """So many steps are done; an estimate of the time left, from the third step on."""

    def on_epoch(self, record: dict[str, Any]) -> None:
        """An epoch ended; `record` is its line in the journal."""

    def on_stop(self, result: TrainingResult | SupernetResult | PretrainingResult) -> None:
        """The training is over; not called when it is interrupted."""


class TrainingProgress(TrainingCallback):
    """A progress bar with the accuracies and the time left; where there is no terminal, a line an epoch and a minute.

    Args:
        console: a rich console; None makes one on standard error.
        told: notes that were printed before; those printed here join them.
    """

    def __init__(self, console: Any = None, told: set[str] | None = None) -> None:
        self._console = console
        self._told = set() if told is None else told
        self._bar: Bar | None = None

    def on_start(self, steps: int, done: int, notes: tuple[str, ...]) -> None:
        """Print the notes and show the bar."""
        self._bar = Bar("training", console=self._console)
        for note in notes:
            if note not in self._told:
                self._bar.console.print(worded(note), markup=False, highlight=False, soft_wrap=True)
                self._told.add(note)
        self._steps, self._done, self._said = steps, done, ""
        self._bar.update(done, steps)

    def on_step(self, done: int, seconds_left: float | None) -> None:
        """Advance it."""
        assert self._bar is not None
        self._done = done
        self._bar.update(done, self._steps, self._said, left=seconds_left)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Show the epoch's accuracies, and how far a supernet has turned."""
        assert self._bar is not None
        self._said = f"epoch {record['epoch']}: train {record['train_accuracy']:.2f} %"
        if record.get("val_accuracy") is not None:
            self._said += f", val {record['val_accuracy']:.2f} %"
        if "angle" in record:
            self._said += f", turned by {record['angle']:.3f} rad"
        self._bar.update(self._done, self._steps, self._said, line=True)

    def on_stop(self, result: TrainingResult | SupernetResult | PretrainingResult) -> None:
        """Take the bar down."""
        self.close()

    def close(self) -> None:
        """Take the bar down, also after an interruption."""
        if self._bar is not None:
            self._bar.close()


class TimeLeft:
    """How long a training still takes, from the steps of this process."""

    def __init__(self, steps_per_epoch: int, epochs: int, done: int, evaluation_steps: float) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.total = steps_per_epoch * epochs
        self.begun = done
        self.evaluation_steps = evaluation_steps
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
        steps_timed = timed + epochs_timed * self.evaluation_steps
        left = self.total - done
        epochs_left = left / self.steps_per_epoch
        return (now - self.started) / steps_timed * (left + epochs_left * self.evaluation_steps)

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.monotonic()
        seconds, self.lap_started = now - self.lap_started, now
        return round(seconds, 6)
