"""A loop over training steps that can be killed at any moment and carried on to the same end.

Everything random in a step is a function of the seed and the step's number, so no generator's state needs to be kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from frugalnas.errors import FrugalnasError
from frugalnas.training.checkpoint import Checkpoints, Stateful

__all__ = ["Batches", "Position", "Step", "fit", "isolated", "reseed"]

_WORDS = 2**32


@dataclass(frozen=True)
class Position:
    """Where in a training a step stands.

    Attributes:
        epoch: from 0.
        step: within the epoch, from 0.
        epochs: in all.
        steps_per_epoch: how many steps an epoch has.
    """

    epoch: int
    step: int
    epochs: int
    steps_per_epoch: int

    @property
    def done(self) -> int:
        """Steps before this one, of all epochs."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def total(self) -> int:
        """Steps of all epochs."""
        return self.epochs * self.steps_per_epoch


Step = Callable[[Any, Position], Mapping[str, torch.Tensor]]
"""Trains on one batch; answers sums over the batch's images by name, "images" among them, as detached scalars."""
Batches = Callable[[int, int], Iterable[Any]]
"""The batches of an epoch from a step on: a function of these two numbers alone."""


def fit(
    step: Step,
    state: Mapping[str, Stateful],
    batches: Batches,
    *,
    epochs: int,
    steps_per_epoch: int,
    seed: int,
    checkpoints: Checkpoints | None = None,
    save_every: float = 60.0,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, means: None,
    on_step: Callable[[Position], None] = lambda position: None,
    writes: bool = True,
    stream: int = 0,
) -> None:
    """Train to the end, from the last checkpoint on where there is one.

    Args:
        step: what one batch does; several optimisers, accumulated gradients, architecture steps are its own affair.
        state: all that steps change, by name: network, optimisers, averages, and what `on_epoch` remembers.
        batches: of an epoch, from a step on.
        epochs: in all.
        steps_per_epoch: how many batches an epoch has.
        seed: of everything random within steps.
        checkpoints: where the state is kept; None keeps nothing.
        save_every: seconds between checkpoints within an epoch; there is one at the end of each epoch too.
        on_epoch: is told the epoch (from 0) and the means over its images of what `step` answered, before the checkpoint
            that ends it: after a kill it may be told of the last epoch again.
        on_step: is told after every step where it was.
        writes: whether this process writes the checkpoints; one of several that train together does.
        stream: of random numbers; processes that train together have different ones.
    """
    first, sums = _take_up(state, checkpoints, steps_per_epoch)
    saved = time.monotonic()
    with isolated(seed, first, stream):
        for epoch in range(first // steps_per_epoch, epochs):
            begin = first - epoch * steps_per_epoch if epoch == first // steps_per_epoch else 0
            for number, batch in enumerate(batches(epoch, begin), begin):
                position = Position(epoch, number, epochs, steps_per_epoch)
                reseed(seed, position.done, stream)
                for name, value in step(batch, position).items():
                    sums[name] = sums[name] + value if name in sums else value.to(_exact(value))
                on_step(position)
                last = number + 1 == steps_per_epoch
                if checkpoints is not None and writes and not last and time.monotonic() - saved > save_every:
                    _save(checkpoints, state, position.done + 1, sums)
                    saved = time.monotonic()
            totals = {name: float(value) for name, value in sums.items()}
            images = totals.pop("images")
            on_epoch(epoch, {name: value / images for name, value in totals.items()})
            sums = {}
            if checkpoints is not None and writes:
                _save(checkpoints, state, (epoch + 1) * steps_per_epoch, sums)
                saved = time.monotonic()


def _take_up(
    state: Mapping[str, Stateful], checkpoints: Checkpoints | None, steps_per_epoch: int
) -> tuple[int, dict[str, torch.Tensor]]:
    """The step to begin with and the sums of its epoch so far; the state is what it was then."""
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        return 0, {}
    for name, part in state.items():
        part.load_state_dict(found.state[name])
    return found.step, found.state["sums"]


def _save(checkpoints: Checkpoints, state: Mapping[str, Stateful], done: int, sums: Mapping[str, torch.Tensor]) -> None:
    checkpoints.write(done, {**{name: part.state_dict() for name, part in state.items()}, "sums": sums}, {})


def _exact(value: torch.Tensor) -> torch.dtype:
    """The type to sum in; Apple's GPUs have no doubles."""
    return torch.float32 if value.device.type == "mps" else torch.float64


def reseed(seed: int, step: int, stream: int = 0) -> None:
    """Set the global generators of Python, NumPy and torch to what this step draws from.

    Raises:
        FrugalnasError: for a seed below 0.
    """
    if seed < 0:
        raise FrugalnasError(f"seed {seed}: seeds are 0 or more")
    words = np.random.SeedSequence((seed, step, stream)).generate_state(2)
    number = int(words[0]) | int(words[1]) << 32
    random.seed(number)
    np.random.seed(number % _WORDS)  # noqa: NPY002 - timm draws from the global generator
    torch.manual_seed(number >> 1)


@contextmanager
def isolated(seed: int, step: int = 0, stream: int = 0) -> Iterator[None]:
    """The global generators seeded by `reseed` within, and as they were before afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=devices):
        reseed(seed, step, stream)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
