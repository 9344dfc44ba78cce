"""NPENAS: evolution whose children a predictor ranks before any is evaluated (Wei et al., 2020, arXiv 2003.12857)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, at_least, one_of, unknown_name
from frugalnas.predictors import Predictor
from frugalnas.predictors.base import predicted
from frugalnas.spaces import Codes, IntArray, Population, SearchSpace
from frugalnas.spaces.npenas_mutations import PAPER_MUTATIONS, paper_mutants
from frugalnas.strategies.acquisition import ACQUISITIONS, best_batch
from frugalnas.strategies.failures import chance_of_success, with_worst
from frugalnas.strategies.guided import ROUNDING, Guided, Round
from frugalnas.strategies.labels import LABELS, Labels

Acquisition = Literal["ei", "ucb", "pi", "mean", "percentile", "confidence", "ts", "its"]
Mutation = Literal["edits", "paper", "paper-padded"]

GUESSES = 20
"""Random edits that are tried for each child; a parent has many."""
FURTHER = 3
"""Where the children of all parents are known already, mutation changes so many genes more, one after another."""


class NPENAS(Guided):
    """The best architectures have many children; a predictor ranks them; the best predicted are evaluated; again.

    Each round takes parents from the best so far, mutates each many times, keeps children that were never asked for until
    there are `candidates`, and evaluates the `round_size` that the predictor likes best. Nothing is looked up while children
    are made. The defaults are chosen by measurement (`benchmarks/README.md`); the paper's own settings are the strategies
    `npenas-paper`, `npenas-bo` and their variants.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: 10, or all there are.
        round_size: architectures evaluated between two rankings.
        predictor: a name (frugalnas list shows them), an import path, or a predictor.
        acquisition: how predicted children are ranked: `mean`, or one that weighs uncertainty too.
        candidates: children that are ranked in each round.
        parents: the best so far that have children, best first, until there are enough.
        tournament: each parent is the best of so many drawn from all that were evaluated; None: the best, in order.
        mutations: children of each parent that are looked at.
        children: new children of a parent that are kept at most; None: all.
        mutation: `edits` changes one gene to `edits`, uniformly; `paper` is the operator of NPENAS's program for
            NAS-Bench-101, NAS-Bench-201 and DARTS; `paper-padded` lets cells of NAS-Bench-101 grow. None: `paper-padded` on
            NAS-Bench-101, where single edits of cells that are mostly dead find less, and `edits` elsewhere.
        edits: genes that a child of mutation `edits` differs in at most.
        labels: what the predictor is fitted to: normal scores of the ranks (rank), labels standardised by the mean and
            deviation of those queried (standard), or as they come (raw).
        fixed: evaluations after which the predictor is not fitted again; None: it always is.
        refit_growth: it is fitted again once there are so many times the evaluations of the last fit, which at 1.1 is in
            every round of ten up to a hundred, and makes a search linear in its queries after that; 1 for every round.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        initial: int | None = None,
        round_size: int = 10,
        predictor: str | Predictor = "gin",
        acquisition: Acquisition = "mean",
        candidates: int = 100,
        parents: int = 50,
        tournament: int | None = None,
        mutations: int = 100,
        children: int | None = None,
        mutation: Mutation | None = None,
        edits: int = 1,
        labels: Labels = "rank",
        fixed: int | None = None,
        refit_growth: float = 1.1,
    ) -> None:
        self.round_size, self.candidates, self.parents = round_size, candidates, parents
        self.tournament, self.mutations, self.children = tournament, mutations, children
        self.edits, self.refit_growth = edits, refit_growth
        at_least(1, **{name: getattr(self, name) for name in _COUNTS})
        if candidates < round_size:
            raise FrugalnasError(
                f"{candidates} candidates are too few for rounds of {round_size}; rank at least as many"
            )
        if fixed is not None and fixed < 2:
            raise FrugalnasError(f"fixed is {fixed}; a predictor is fitted to at least 2 evaluations")
        one_of("acquisition", acquisition, ACQUISITIONS)
        if mutation not in (None, *_MUTATIONS):
            raise unknown_name("mutation", mutation, _MUTATIONS)
        if mutation not in (None, "edits") and space.name not in PAPER_MUTATIONS:
            raise FrugalnasError(
                f"mutation {mutation} is for {', '.join(PAPER_MUTATIONS)}; search {space.name} with mutation edits"
            )
        super().__init__(space, seed=seed, initial=initial, predictor=predictor, labels=labels)
        self.acquisition = acquisition
        self.mutation = mutation
        self._operator = mutation or ("paper-padded" if space.name == "nasbench101" else "edits")
        self.fixed = fixed
        self._round = 0
        self._told_at_fit = 0  # how much of the history the predictor knows, 0 before its first fit
        self._fit_seed = 0
        self._fitted: tuple[Predictor, NDArray[np.float64]] | None = None  # made again from the two above where missing

    def propose(self, n: int) -> Codes:
        """The children that the predictor likes best; random architectures where there are none, or nothing to fit to."""
        if np.isfinite(self.values).sum() < 2:
            return self.draw_new(n, self.rng)
        predictor, labels = self._predictor()
        codes = self._children(max(self.candidates, n))
        if len(codes) < n:
            codes = np.concatenate([codes, self.draw_new(n, self.rng)])
            codes = codes[self.unasked(codes)][:n]
        if not len(codes):
            return codes
        candidates = Population(self.space, codes, self._known)
        prediction = predicted(predictor, candidates)
        eligible = np.ones(len(codes), np.bool_)
        best = labels.max()
        chance = chance_of_success(self.codes, self.values, candidates)
        rows = best_batch(
            self.acquisition, prediction, best, candidates.network_ids, eligible, n, self.rng, chance, labels.min()
        )
        self._round += 1
        if self.observer is not None:
            values = self._learnt()
            self.observer(
                Round(self._round, predictor, labels, values, self.labels, candidates, prediction, eligible, None, rows)
            )
        return codes[rows]

    # -- the predictor -------------------------------------------------------------------------------------------

    def _predictor(self) -> tuple[Predictor, NDArray[np.float64]]:
        """The predictor of this round, fitted anew where that is due, and the labels that it was fitted to."""
        before, now = self._told_at_fit, len(self._values)
        grown = now > before and now >= self.refit_growth * before * (1 - ROUNDING)
        if not before or (grown and (self.fixed is None or before < self.fixed)):
            self._told_at_fit, self._fit_seed = len(self._values), int(self.rng.integers(2**31))
            self._fitted = None
        if self._fitted is None:
            labels = LABELS[self.labels](self._learnt())
            known = Population(self.space, self.codes[: self._told_at_fit], self._known)
            self._fitted = self.newly_fitted(known, labels, self._fit_seed), labels
        return self._fitted

    def _learnt(self) -> NDArray[np.float64]:
        """What the predictor was told that the first architectures are worth, shape [told at the last fit]."""
        return with_worst(self.values[: self._told_at_fit])

    # -- children ------------------------------------------------------------------------------------------------

    def _children(self, most: int) -> Codes:
        """New children of the parents, those of the first parents first, at most so many, shape [<= most, genes]."""
        parents = self._parents()
        found = np.zeros((0, self.space.genes), self.space.code_type)
        for further in range(FURTHER + 1):
            start, size = 0, 1
            while start < len(parents) and len(found) < most:
                found = np.concatenate([found, self._brood(parents[start : start + size], further)])
                found = found[self.unasked(found)][:most]
                start, size = start + size, 2 * size
        return found

    def _parents(self) -> Codes:
        """Who has children, in this order, shape [<= parents, genes]."""
        values = self.values
        finite = np.flatnonzero(np.isfinite(values))
        if self.tournament is None:
            return self.codes[finite[np.argsort(-values[finite], kind="stable")[: self.parents]]]
        entrants = finite[self.rng.integers(len(finite), size=(self.parents, self.tournament))]
        return self.codes[entrants[np.arange(self.parents), np.argmax(values[entrants], axis=1)]]

    def _brood(self, parents: Codes, further: int) -> Codes:
        """Children of each parent, at most `children` new ones of each, shape [m, genes]."""
        born, parent = self._mutants(parents, further)
        if self.children is None:
            return born
        fresh = np.flatnonzero(self.unasked(born))
        parent = parent[fresh]
        place = np.arange(len(fresh)) - np.searchsorted(parent, parent)
        return born[fresh[place < self.children]]

    def _mutants(self, parents: Codes, further: int) -> tuple[Codes, IntArray]:
        """At most `mutations` children of each parent, in random order, and the parent of each, in rising order.

        Where no child was found the parent stands in for it, which is not new.
        """
        edits = min(self.edits + further, self.space.genes)
        if self._operator == "edits" and edits == 1:  # all there are, which random edits would find one by one
            born, parent = self.space.neighbours(parents)
            order = np.lexsort((self.rng.random(len(born)), parent))
            born, parent = born[order], parent[order]
            place = np.arange(len(born)) - np.searchsorted(parent, parent)
            return born[place < self.mutations], parent[place < self.mutations]
        parent = np.repeat(np.arange(len(parents)), self.mutations)
        if self._operator != "edits" and not further:
            return paper_mutants(self.space, parents[parent], self.rng, padded=self._operator == "paper-padded"), parent
        if not (self.space.allowed.sum(axis=1) > 1).any():
            return parents, np.arange(len(parents))
        return self.space.guessed_children(parents[parent], self.rng, edits, GUESSES)[0], parent

    # -- state ---------------------------------------------------------------------------------------------------

    def memory(self) -> dict[str, Any]:
        """How many rounds there were, and what the predictor was last fitted to."""
        return {"round": self._round, "told_at_fit": self._told_at_fit, "fit_seed": self._fit_seed}

    def remember(self, memory: dict[str, Any]) -> None:
        """Restore the rounds; the predictor is fitted again when it is needed."""
        self._round, self._told_at_fit, self._fit_seed = memory["round"], memory["told_at_fit"], memory["fit_seed"]
        self._fitted = None


_COUNTS = ("round_size", "candidates", "parents", "tournament", "mutations", "children", "edits", "refit_growth")
_MUTATIONS = ("edits", "paper", "paper-padded")
