"""Genetic search: the best so far are crossed and mutated, a generation at a time (RLNAS, CVPR 2021; SPOS, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError, at_least, one_of
from frugalnas.spaces import DARTS, Codes, IntArray, SearchSpace
from frugalnas.strategies.base import Strategy

PATIENCE = 10
"""Batches of children in a row without a new network after which the next way of breeding takes over."""
SMALLEST_BATCH = 64


class GeneticSearch(Strategy):
    """Generations of children of the best architectures so far, of any generation: crossed, mutated, and some at random.

    A child is always a valid network that was never asked for. Where crossing finds no further one, mutation makes up
    for it, and random architectures for mutation, so that every generation is full until the space is exhausted. A
    generation is bred when the one before is out; whoever asks while trials are pending gets children of those known.

    Crossing takes each gene from either of two parents. Genes that bind one another come from one of them: both inputs of
    a DARTS node, the layers of a Once-for-All stage. Mutation draws each gene anew, from all values allowed there, with
    probability `mutation_rate`; every gene of both DARTS cells may mutate (the program of RLNAS never touches the
    reduction cell).

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample, the first generation; None: `population`, or all there are.
        population: size of every further generation.
        parents: the best so far that have children.
        mutations: children of a generation that are mutated parents.
        crossovers: children that two parents have; the rest of the generation is random.
        mutation_rate: probability that a mutation draws a gene anew.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        initial: int | None = None,
        population: int = 50,
        parents: int = 10,
        mutations: int = 25,
        crossovers: int = 25,
        mutation_rate: float = 0.1,
    ) -> None:
        at_least(1, population=population, parents=parents)
        if mutations < 0 or crossovers < 0 or mutations + crossovers > population:
            raise FrugalnasError(
                f"{mutations} mutations and {crossovers} crossovers do not fit into a population of {population}; "
                "lower `mutations` and `crossovers`: both are at least 0, and together at most the population"
            )
        if not 0 < mutation_rate <= 1:
            raise FrugalnasError(f"mutation_rate is {mutation_rate}; it lies above 0 and is at most 1")
        super().__init__(space, seed=seed, initial=min(population, space.distinct) if initial is None else initial)
        self.population = self.round_size = population
        self.parents, self.mutations, self.crossovers = parents, mutations, crossovers
        self.mutation_rate = mutation_rate
        self._queue: list[Codes] = []  # what of this generation was not yet asked for
        self._unit = _inherited_together(space)
        self._choices = space.allowed.sum(axis=1)
        self._value_of_choice = np.argsort(~space.allowed, axis=1, kind="stable").astype(space.code_type)

    def propose(self, n: int) -> Codes:
        """The next children of this generation; of a new one when it is out."""
        if not self._queue:
            self._queue = list(self._generation(max(n, self.population)))
        batch = self.space.as_codes(self._queue[:n]).reshape(-1, self.space.genes)
        del self._queue[:n]
        return batch

    def _generation(self, size: int) -> Codes:
        best = self._best()
        brood = np.zeros((0, self.space.genes), self.space.code_type)
        if len(best):
            brood = self._grown(brood, self.crossovers, lambda n: self._crossed(best, n))
            brood = self._grown(brood, self.crossovers + self.mutations, lambda n: self._mutated(best, n))
        everyone = np.concatenate([brood, self.draw_new(size, self.rng)])
        return everyone[self.unasked(everyone)][:size]

    def _best(self) -> Codes:
        """The best so far, at most `parents`; among equals those told first."""
        values = self.values
        finite = np.flatnonzero(np.isfinite(values))
        order = np.argsort(-values[finite], kind="stable")[: self.parents]
        return self.codes[finite[order]]

    def _grown(self, brood: Codes, size: int, breed: Callable[[int], Codes]) -> Codes:
        """The brood with new children up to `size`, fewer where breeding finds no more."""
        idle = 0
        while len(brood) < size and idle < PATIENCE:
            born = breed(max(2 * (size - len(brood)), SMALLEST_BATCH))
            candidates = np.concatenate([brood, born[self.space.valid(born)]])
            grown = candidates[self.unasked(candidates)][:size]
            idle = 0 if len(grown) > len(brood) else idle + 1
            brood = grown
        return brood

    def _crossed(self, best: Codes, n: int) -> Codes:
        one, other = self.rng.integers(len(best), size=(2, n))
        from_other = self.rng.random((n, self.space.genes))[:, self._unit] < 0.5
        return np.where(from_other, best[other], best[one])

    def _mutated(self, best: Codes, n: int) -> Codes:
        parents = best[self.rng.integers(len(best), size=n)]
        drawn = self._value_of_choice[
            np.arange(self.space.genes), self.rng.integers(self._choices, size=(n, self.space.genes))
        ]
        return np.where(self.rng.random(parents.shape) < self.mutation_rate, drawn, parents)

    def memory(self) -> dict[str, Any]:
        """What of this generation was not yet asked for."""
        return {"queue": [code.tolist() for code in self._queue]}

    def remember(self, memory: dict[str, Any]) -> None:
        """Restore the generation."""
        self._queue = [self.space.as_codes(code) for code in memory["queue"]]


GENERATIONS = 20
"""How many the papers' programs searched, the initial sample among them."""
_HUNDRED = {"population": 100, "parents": 30, "mutations": 50, "crossovers": 50, "mutation_rate": 0.1}
_FIFTY = {"population": 50, "parents": 10, "mutations": 25, "crossovers": 25, "mutation_rate": 0.1}
PRESETS: dict[str, dict[str, Any]] = {
    "nasbench201": _HUNDRED,
    "darts": _FIFTY,
    "mobilenet": _FIFTY,
    "spos": {**_FIFTY, "mutation_rate": 0.5},
    "fairnas": {**_FIFTY, "mutation_rate": 0.5},
}
"""RLNAS's settings for three spaces, and those with which ABS searched the spaces of SPOS and FairNAS, as options."""


def genetic_paper(
    space: SearchSpace, *, seed: int = 0, initial: int | None = None, preset: str | None = None
) -> GeneticSearch:
    """Genetic search with the settings of RLNAS (nasbench201, darts, mobilenet) or ABS (spos, fairnas).

    Three things differ from their programs, on purpose: both DARTS cells mutate, no network is evaluated twice under
    another spelling, and the search ends instead of turning in circles where nothing is left. RLNAS's mutation never
    draws `none` on NAS-Bench-201: search a space restricted to the other operations for that. The papers' limits are
    those of the space: `space.where("macs<=475e6")`.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: the preset's population.
        preset: a name in `PRESETS`; None: that of the space, or of MobileNet where it has none.
    """
    name = preset or (space.name if space.name in PRESETS else "mobilenet")
    one_of("preset of genetic search", name, PRESETS)
    return GeneticSearch(space, seed=seed, initial=initial, **PRESETS[name])


def _inherited_together(space: SearchSpace) -> IntArray:
    """A number for each gene, equal for those that a child has from one parent, shape [genes]."""
    if isinstance(space, DARTS):
        return np.arange(space.genes) // 2
    unit = np.arange(space.genes)
    for genes, _ in getattr(space, "joint", ()):
        unit[list(genes)] = genes[0]
    return unit
