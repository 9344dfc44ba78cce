"""Local search: uphill by single edits, and again from somewhere else (White et al., UAI 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np

from frugalnas.evaluation import Evaluations, Trials
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies.base import Strategy


class LocalSearch(Strategy):
    """From the best of the initial sample, move to a better neighbour until there is none; then restart at random.

    Neighbours differ in one gene and are tried in random order; networks that are already known are not tried again.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: 10, or all there are.
        whole_neighbourhood: evaluate every neighbour before moving to the best one, instead of moving at the first
            improvement.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int = 0, initial: int | None = None, whole_neighbourhood: bool = False
    ) -> None:
        super().__init__(space, seed=seed, initial=initial)
        self.whole_neighbourhood = whole_neighbourhood
        self._here: tuple[Codes, float] | None = None
        self._better: tuple[Codes, float] | None = None
        self._queue: list[Codes] = []

    def propose(self, n: int) -> Codes:
        """The next neighbours in the queue; at a local optimum, a random network to restart from."""
        if not self._queue:
            if self._pending and self._here is not None:
                return self.draw_new(n, self.rng)
            self._here = self._better = None
            return self.draw_new(1, self.rng)
        batch = np.array(self._queue[:n])
        del self._queue[:n]
        return batch

    def learn(self, trials: Trials, evaluations: Evaluations) -> None:
        """Move uphill as soon as there is something better (or when the neighbourhood is done)."""
        for code, value in zip(trials.codes, evaluations.values, strict=True):
            best = self._better or self._here
            if np.isfinite(value) and (best is None or value > best[1]):
                self._better = (code, float(value))
        unfinished = self.whole_neighbourhood and self._here is not None and (self._queue or self._pending)
        waiting = len(self._values) < self.initial or unfinished
        if self._better is not None and not waiting:
            self._here, self._better = self._better, None
            around = self.space.neighbours(self._here[0][None])[0]
            around = around[self.rng.permutation(len(around))]
            self._queue = list(around[self.unasked(around)])

    def memory(self) -> dict[str, Any]:
        """Where the search stands, the best step found from there, and what is left to try."""
        return {
            "here": _plain(self._here),
            "better": _plain(self._better),
            "queue": [code.tolist() for code in self._queue],
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """Restore the search's place."""
        self._here, self._better = self._place(memory["here"]), self._place(memory["better"])
        self._queue = [self.space.as_codes(code) for code in memory["queue"]]

    def _place(self, plain: list[Any] | None) -> tuple[Codes, float] | None:
        return None if plain is None else (self.space.as_codes(plain[0]), plain[1])


def _plain(place: tuple[Codes, float] | None) -> list[Any] | None:
    return None if place is None else [place[0].tolist(), place[1]]
