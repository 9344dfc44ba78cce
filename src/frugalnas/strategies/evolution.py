"""Evolution by tournament: who dies is all that distinguishes the two kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError, at_least
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies.base import Strategy

ATTEMPTS = 40
ATTEMPTS_PER_EDIT = 10
"""A mutation that finds no new network is tried again; every ten times it may change one gene more."""


class Evolution(Strategy):
    """The best of a random tournament has a mutated child; when the population is full, its worst member dies.

    A child is always a network that was never asked for: a repeat would cost nothing and teach nothing, and a
    population that has converged would repeat itself for ever. Where mutation finds nothing new, it changes more genes.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: 10, or all there are.
        population: members kept alive; the population grows to it from the initial sample.
        tournament: members drawn, without replacement, to find each parent.
        edits: genes that a mutation changes at most (more once nothing new is that close).
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        initial: int | None = None,
        population: int = 30,
        tournament: int = 10,
        edits: int = 1,
    ) -> None:
        super().__init__(space, seed=seed, initial=initial)
        at_least(1, population=population, tournament=tournament, edits=edits)
        self.population = population
        self.tournament = tournament
        self.edits = edits
        self._alive: list[int] = []  # places in the told history, oldest first
        self._told = 0

    def propose(self, n: int) -> Codes:
        """One child for each of `n` tournaments."""
        children = np.zeros((0, self.space.genes), self.space.code_type)
        if self._alive and not self.exhausted:
            values = np.array([self._values[member] for member in self._alive])
            alive = np.array([self._codes[member] for member in self._alive])
            size = min(self.tournament, len(values))
            attempt = 0
            while attempt < ATTEMPTS:
                entrants = np.argsort(self.rng.random((n, len(values))), axis=1)[:, :size]
                winners = entrants[np.arange(n), np.argmax(values[entrants], axis=1)]
                edits = min(self.edits + attempt // ATTEMPTS_PER_EDIT, self.space.genes)
                try:
                    born = self.space.mutate(alive[winners], self.rng, edits=edits)
                except FrugalnasError:  # a winner has no valid child so close by
                    attempt += ATTEMPTS_PER_EDIT
                    continue
                attempt += 1
                children = np.concatenate([children, born])
                children = children[self.unasked(children)][:n]
                if len(children) == n:
                    return children
        children = np.concatenate([children, self.draw_new(n, self.rng)])
        return children[self.unasked(children)][:n]

    def learn(self, trials: Trials, evaluations: Evaluations) -> None:
        """New members join, one dies for each beyond the population's size; failures are never born."""
        for value in evaluations.values:
            if np.isfinite(value):
                self._alive.append(self._told)
                if len(self._alive) > self.population:
                    del self._alive[self._dying()]
            self._told += 1

    def _dying(self) -> int:
        return int(np.argmin([self._values[member] for member in self._alive]))

    def memory(self) -> dict[str, Any]:
        """Who is alive."""
        return {"alive": list(self._alive), "told": self._told}

    def remember(self, memory: dict[str, Any]) -> None:
        """Restore who is alive."""
        self._alive, self._told = list(memory["alive"]), memory["told"]


class RegularizedEvolution(Evolution):
    """Tournament evolution in which the oldest member dies, not the worst (Real et al., AAAI 2019).

    Arguments are those of `Evolution`.
    """

    def _dying(self) -> int:
        return 0
