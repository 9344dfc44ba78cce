"""The contract of a strategy, and the bookkeeping that every strategy shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.spaces import Codes, SearchSpace

__all__ = ["Strategy"]

INITIAL_BLOCK = 64
"""The initial sample is drawn in blocks of this size, so that a short one is the beginning of a long one."""
PATIENCE = 100
"""Blocks without a new network after which a space that cannot be listed counts as exhausted."""


class Strategy(ABC):
    """Decides which architectures to evaluate next.

    Child classes are only required to override `propose`; those with a memory of their own override `learn`, `memory` and
    `remember` too. The base class draws the initial sample (the same for every strategy of the same seed), numbers
    the trials, guards the protocol, keeps what was told and saves and restores all of it exactly.

    `ask` may be called while trials are pending. Trials may be told in any order, several at once, and failed.
    Constructor arguments besides the space are keyword-only and kept as attributes of the same name.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample of distinct networks.

    Attributes:
        codes: architectures told so far, in the order told, shape [n, genes].
        values: what they were worth, NaN where the evaluation failed, shape [n].
        round_size: how many architectures `ask` gives when not told how many.
    """

    round_size: int = 1

    def __init__(self, space: SearchSpace, *, seed: int = 0, initial: int = 10) -> None:
        if seed < 0:
            raise FrugalnasError(f"seed {seed}: seeds are 0 or more")
        if initial < 1:
            raise FrugalnasError(f"initial sample of {initial}: a strategy starts from at least one architecture")
        if initial > space.size:
            raise FrugalnasError(f"initial sample of {initial} is larger than {space.name}, which has {space.size}")
        self.space = space
        self.seed = seed
        self.initial = initial
        first, later = np.random.SeedSequence(seed).spawn(2)
        self.rng = np.random.default_rng(later)
        self._asked: set[int] = set()
        self._pending: dict[int, Codes] = {}
        self._next_id = 0
        self._codes: list[Codes] = []
        self._values: list[float] = []
        self._first = list(self.draw_new(initial, np.random.default_rng(first), INITIAL_BLOCK))

    # -- what a new strategy writes ------------------------------------------------------------------------------

    @abstractmethod
    def propose(self, n: int) -> Codes:
        """Up to `n` architectures to evaluate next, shape [<= n, genes]; none when the space is exhausted.

        Called once the initial sample is out, and at least one trial has been told.
        """

    def learn(self, codes: Codes, values: NDArray[np.float64]) -> None:  # noqa: B027
        """Take in newly told architectures, NaN where the evaluation failed. By default there is nothing to do."""

    def memory(self) -> dict[str, Any]:
        """What this strategy remembers beyond the base class, as plain data."""
        return {}

    def remember(self, memory: dict[str, Any]) -> None:  # noqa: B027
        """Restore what `memory` returned."""

    # -- ask and tell --------------------------------------------------------------------------------------------

    def ask(self, n: int | None = None) -> Trials:
        """Architectures to evaluate next: at most `n`, by default a round; none when the space is exhausted.

        The initial sample comes first and makes a round of its own.
        """
        if n is not None and n < 1:
            raise FrugalnasError(f"ask({n}): ask for at least one architecture")
        if self._first:
            count = len(self._first) if n is None else min(n, len(self._first))
            codes = np.array(self._first[:count], np.int8)
            del self._first[:count]
        elif not self._values:
            codes = self.draw_new(self.round_size if n is None else n, self.rng)
        else:
            codes = np.asarray(self.propose(self.round_size if n is None else n), np.int8)
        ids = np.arange(self._next_id, self._next_id + len(codes))
        self._next_id += len(codes)
        self._pending.update(zip(ids.tolist(), codes.copy(), strict=True))
        self._asked.update(self.space.networks(codes).tolist())
        return Trials(codes.reshape(-1, self.space.genes), ids)

    def tell(self, trials: Trials, evaluations: Evaluations) -> None:
        """Take in what became of trials.

        Raises:
            FrugalnasError: for a trial that was not asked for, or was already told.
        """
        if len(trials) != len(evaluations):
            raise FrugalnasError(f"tell() got {len(trials)} trials but {len(evaluations)} evaluations")
        for trial, code in zip(trials.ids.tolist(), trials.codes, strict=True):
            if trial not in self._pending or not np.array_equal(self._pending[trial], code):
                raise FrugalnasError(f"tell() got trial {trial}, which is not pending; tell each trial from ask() once")
        if len(set(trials.ids.tolist())) < len(trials):
            raise FrugalnasError("tell() got a trial twice in one call; tell each trial from ask() once")
        codes = np.array([self._pending.pop(trial) for trial in trials.ids.tolist()], np.int8)
        codes = codes.reshape(-1, self.space.genes)
        self._codes.extend(codes)
        self._values.extend(evaluations.values.tolist())
        self.learn(codes, evaluations.values)

    @property
    def codes(self) -> Codes:
        """Architectures told so far, shape [n, genes]."""
        return np.array(self._codes, np.int8).reshape(-1, self.space.genes)

    @property
    def values(self) -> NDArray[np.float64]:
        """What they were worth, NaN where the evaluation failed, shape [n]."""
        return np.array(self._values, np.float64)

    # -- new networks --------------------------------------------------------------------------------------------

    def unasked(self, codes: Codes) -> NDArray[np.bool_]:
        """Which rows are networks that were never asked for and do not repeat an earlier row, shape [n]."""
        networks = self.space.networks(codes)
        fresh = np.zeros(len(codes), np.bool_)
        fresh[np.unique(networks, return_index=True)[1]] = True
        return fresh & np.array([network not in self._asked for network in networks.tolist()], np.bool_)

    def draw_new(self, n: int, rng: np.random.Generator, block: int | None = None) -> Codes:
        """`n` random networks that were never asked for, fewer where the space has no more, shape [<= n, genes]."""
        found = np.zeros((0, self.space.genes), np.int8)
        idle = 0
        while len(found) < n and idle < PATIENCE:
            candidates = np.concatenate([found, self.space.sample(block or max(2 * n, 8), rng)])
            grown = candidates[self.unasked(candidates)][:n]
            idle = 0 if len(grown) > len(found) else idle + 1
            found = grown
        if len(found) < n and self.space.enumerable:
            remaining = np.concatenate([found, rng.permutation(self.space.enumerate())])
            found = remaining[self.unasked(remaining)][:n]
        return found

    # -- state ---------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as plain data that survives JSON exactly."""
        return {
            "rng": self.rng.bit_generator.state,
            "next_id": self._next_id,
            "first": np.array(self._first, np.int8).tolist(),
            "pending": {str(trial): code.tolist() for trial, code in self._pending.items()},
            "codes": self.codes.tolist(),
            "values": [value if np.isfinite(value) else None for value in self._values],
            "memory": self.memory(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.rng.bit_generator.state = state["rng"]
        self._next_id = state["next_id"]
        self._first = [np.array(code, np.int8) for code in state["first"]]
        self._pending = {int(trial): np.array(code, np.int8) for trial, code in state["pending"].items()}
        self._codes = [np.array(code, np.int8) for code in state["codes"]]
        self._values = [np.nan if value is None else value for value in state["values"]]
        known = np.array([*self._codes, *self._pending.values()], np.int8).reshape(-1, self.space.genes)
        self._asked = set(self.space.networks(known).tolist())
        self.remember(state["memory"])
