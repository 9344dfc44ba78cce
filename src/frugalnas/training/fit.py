"""A loop over training steps that can be killed at any moment and carried on to the same end.

Everything random in a step is a function of the seed and the step's number, so no generator's state needs to be kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from frugalnas.errors import Diverged, FrugalnasError
from frugalnas.training.checkpoint import Checkpoints, Stateful

_WORDS = 2**32
CHECK_EVERY = 64
"""Steps between looks at the losses, for which a GPU must be waited for."""


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


class Length(NamedTuple):
    """How long a training is.

    Attributes:
        epochs: in all.
        steps: of each, which are its batches.
    """

    epochs: int
    steps: int


Step = Callable[[Any, Position], Mapping[str, Tensor]]
"""Trains on one batch; answers sums over the batch's images by name, "images" among them, as detached scalars."""
Batches = Callable[[int, int], Iterable[Any]]
"""The batches of an epoch from a step on: a function of these two numbers alone."""


def fit(
    step: Step,
    state: Mapping[str, Stateful],
    batches: Batches,
    *,
    length: Length,
    seed: int,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, means: None,
    on_step: Callable[[Position], None] = lambda position: None,
    stream: int = 0,
    mend: Callable[[], str] = lambda: ": the training has diverged; lower lr",
) -> None:
    """Train to the end, from the last checkpoint on where there is one.

    Losses are looked at every few steps, modules before every checkpoint, so that none has anything that is not finite.

    Args:
        step: what one batch does; several optimisers, accumulated gradients, architecture steps are its own affair.
        state: all that steps change, by name: network, optimisers, averages, and what `on_epoch` remembers.
        batches: of an epoch, from a step on.
        length: how many epochs of how many steps.
        seed: of everything random within steps.
        checkpoints: where the state is kept; None keeps nothing.
        on_epoch: is told the epoch (from 0) and the means over its images of what `step` answered, before the checkpoint
            that ends it: after a kill it may be told of the last epoch again.
        on_step: is told after every step where it was.
        stream: of random numbers; processes that train together have different ones.
        mend: what is said of a divergence and what to do about it, at the time.

    Raises:
        Diverged: where a loss, a weight or a running statistic is not finite.
    """
    epochs, steps_per_epoch = length
    writing = checkpoints if checkpoints is not None and checkpoints.writes else None
    first, sums = _take_up(state, checkpoints, steps_per_epoch)
    saved = time.monotonic()
    losses = _Losses(mend)
    with isolated(seed, first, stream):
        for epoch in range(first // steps_per_epoch, epochs):
            begin = first - epoch * steps_per_epoch if epoch == first // steps_per_epoch else 0
            for number, batch in enumerate(batches(epoch, begin), begin):
                position = Position(epoch, number, epochs, steps_per_epoch)
                reseed(seed, position.done, stream)
                values = step(batch, position)
                for name, value in values.items():
                    sums[name] = sums[name] + value if name in sums else value.to(_exact(value))
                losses.add(position, values)
                on_step(position)
                last = number + 1 == steps_per_epoch
                if writing is not None and not last and time.monotonic() - saved > writing.every:
                    losses.check(state)
                    _save(writing, state, position.done + 1, sums)
                    saved = time.monotonic()
            losses.check(state)
            totals = {name: float(value) for name, value in sums.items()}
            images = totals.pop("images")
            on_epoch(epoch, {name: value / images for name, value in totals.items()})
            sums = {}
            if writing is not None:
                _save(writing, state, (epoch + 1) * steps_per_epoch, sums)
                saved = time.monotonic()


def _take_up(
    state: Mapping[str, Stateful], checkpoints: Checkpoints | None, steps_per_epoch: int
) -> tuple[int, dict[str, Tensor]]:
    """The step to begin with and the sums of its epoch so far; the state is what it was then."""
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        return 0, {}
    for name, part in state.items():
        part.load_state_dict(found.state[name])
    return found.step, found.state["sums"]


def _save(checkpoints: Checkpoints, state: Mapping[str, Stateful], done: int, sums: Mapping[str, Tensor]) -> None:
    checkpoints.write(done, {**{name: part.state_dict() for name, part in state.items()}, "sums": sums}, {})


class _Losses:
    """The losses of the last steps, and whether they and what they made of the modules are finite."""

    def __init__(self, mend: Callable[[], str]) -> None:
        self.mend = mend
        self.unseen: list[tuple[Position, Tensor]] = []

    def add(self, position: Position, values: Mapping[str, Tensor]) -> None:
        """Note a step's; now and then look at them."""
        self.unseen.append((position, values.get("loss", values["images"])))
        if len(self.unseen) >= CHECK_EVERY:
            self.check({})

    def check(self, state: Mapping[str, Stateful]) -> None:
        """Raise where a loss since the last look is not finite, or the state's modules are not."""
        seen, self.unseen = self.unseen, self.unseen[-1:]
        if not seen:
            return
        finite = torch.stack([loss for _, loss in seen]).isfinite().tolist()
        position, loss = seen[-1] if all(finite) else seen[finite.index(False)]
        step = f"step {position.done + 1} (epoch {position.epoch + 1})"
        if not all(finite):
            raise Diverged(f"the loss of {step} is {float(loss)}{self.mend()}")
        modules = [part for part in state.values() if isinstance(part, nn.Module)]
        tensors = [
            (name, each) for part in modules for name, each in part.state_dict().items() if each.is_floating_point()
        ]
        if tensors and not torch.stack([each.isfinite().all() for _, each in tensors]).all():
            name = next(name for name, each in tensors if not each.isfinite().all())
            raise Diverged(f"{name} after {step} is not finite{self.mend()}")


def _exact(value: Tensor) -> torch.dtype:
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
