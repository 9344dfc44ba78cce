"""WeakNAS: many weak predictors instead of one strong one (Wu et al., NeurIPS 2021, arXiv 2102.10490)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, at_least, each_once, one_of, unknown_name
from frugalnas.predictors import Prediction, Predictor
from frugalnas.predictors.base import predicted, predicted_mean
from frugalnas.spaces import BoolArray, Codes, FloatArray, IntArray, Population, SearchSpace
from frugalnas.strategies.acquisition import ACQUISITIONS, best_batch, scores
from frugalnas.strategies.failures import chance_of_success, weighed, with_worst
from frugalnas.strategies.guided import ROUNDING, Guided, Round
from frugalnas.strategies.labels import LABELS, Labels
from frugalnas.strategies.pareto import front_batch, pareto_ranks

Acquisition = Literal["ei", "ucb", "pi", "mean", "percentile", "confidence", "ts", "its", "uniform"]
KeepOld = Literal["all", "top", "none"]

_Fitted: TypeAlias = tuple[Predictor, NDArray[np.float64]]

LARGE = 2**15
NEAR = 2**13
OPEN = 2**9
TUNE_AGAIN = 1.25
SMALL_ROUND = 10
"""Where rounds are smaller than this, a predictor that can take in labels without a fit (`Predictor.extended`) is fitted as a whole
again when a quarter is new: what it tunes hardly changes with one label."""
RANK_AGAIN = 1.25
"""A space of more than `LARGE` networks is ranked whole only when the labels have grown by a quarter. In between, the best
`NEAR` of that ranking are predicted anew every round, the best `OPEN` that were not yet asked for always among them; with costs
its first fronts that have `OPEN`. A new label moves the top of the ranking, not its bottom."""


class WeakNAS(Guided):
    """Fit a weak predictor to everything evaluated, evaluate what it likes best, refit, and so on.

    Each round ranks the whole space (a large one every few rounds, and its best 8,192 in between), or, where the space
    cannot be listed, a pool of random architectures and mutations of the best ones. The defaults are chosen by measurement
    (`benchmarks/README.md`); the paper's own settings are the strategy `weaknas-paper`.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: 10, or all there are.
        round_size: architectures evaluated between two fits.
        predictor: a name (frugalnas list shows them), an import path, or a predictor.
        acquisition: how the next architectures are chosen: `uniform` draws from the predicted top, the others take
            the highest scores. Without ensemble members (gaussian-process, ridge) `ts` equals `its`, and `percentile` is
            mean + std.
        top_start: uniform only: size of the predicted top in the first round.
        top_end: uniform only: its size in round `top_rounds` and later; None keeps `top_start`.
        top_decay: uniform only: base of the exponential by which it shrinks.
        top_rounds: uniform only: rounds over which it shrinks.
        keep_old: which evaluations the predictor is fitted to: all, those of architectures it still ranks in its top
            `top_start` (top), or the last round's alone (none).
        labels: what the predictor is fitted to: normal scores of the ranks (rank), labels standardised by the mean and
            deviation of those queried (standard), or as they come (raw).
        refit_growth: the predictor is fitted again once it would have so many times the labels of its last fit; 1 for every
            round.
        pool: architectures ranked per round where the space cannot be listed.
        costs: metrics of an evaluation (latency_ms, training_seconds) or quantities that the space counts (params, macs)
            to minimise beside the value. Each measured one has a predictor of its own, counted ones are exact; a round
            takes the front of the predictions. `ei`, which knows one best value, then stands for `ucb`.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        initial: int | None = None,
        round_size: int = 10,
        predictor: str | Predictor = "gaussian-process",
        acquisition: Acquisition = "ei",
        top_start: int = 100,
        top_end: int | None = None,
        top_decay: float = 0.96,
        top_rounds: int = 20,
        keep_old: KeepOld = "all",
        labels: Labels = "rank",
        refit_growth: float = 1.0,
        pool: int = 10_000,
        costs: tuple[str, ...] = (),
    ) -> None:
        at_least(1, round_size=round_size, top_start=top_start, top_rounds=top_rounds, refit_growth=refit_growth)
        if refit_growth > 1 and keep_old != "all":
            raise FrugalnasError(f"refit_growth {refit_growth} needs keep_old all: what keeps {keep_old} does not grow")
        if top_end is not None and not 1 <= top_end <= top_start:
            raise FrugalnasError(f"top_end is {top_end}; it lies between 1 and top_start, {top_start}")
        if not 0 < top_decay < 1:
            raise FrugalnasError(f"top_decay is {top_decay}; it lies between 0 and 1")
        if pool < 2 * round_size:
            raise FrugalnasError(f"a pool of {pool} is too small for rounds of {round_size}; take at least twice that")
        if acquisition != "uniform" and acquisition not in ACQUISITIONS:
            raise unknown_name("acquisition", acquisition, [*ACQUISITIONS, "uniform"])
        one_of("keep_old", keep_old, ("all", "top", "none"))
        super().__init__(space, seed=seed, initial=initial, predictor=predictor, labels=labels)
        self.round_size, self.acquisition, self.keep_old = round_size, acquisition, keep_old
        self.top_start, self.top_end, self.top_decay, self.top_rounds = top_start, top_end, top_decay, top_rounds
        self.refit_growth, self.pool = refit_growth, pool
        self.costs = each_once("costs", costs, "metrics, such as ('latency_ms',)")
        if self.costs and acquisition in ("uniform", "pi"):
            raise FrugalnasError(f"acquisition {acquisition} knows one objective; with costs choose ucb, mean, ts, ...")
        self._tops = top_schedule(top_start, top_start if top_end is None else top_end, top_decay, top_rounds)
        self._whole = Population(space, space.enumerate(), self._known) if space.enumerable else None
        self._order: tuple[IntArray, NDArray[np.uint64]] | None = (
            None  # of the whole space by keys, and its keys in this order
        )
        self._near: IntArray | None = None  # rows of a large space that are predicted in full until it is ranked again
        self._ranked_with = 0
        self._round = 0
        self._kept: list[int] = []  # places in the told history that the predictor is fitted to
        self._seen = 0
        self._learnt: NDArray[np.intp] = np.zeros(0, np.intp)  # places that the predictors were last fitted to
        self._tuned = 0  # how many of them the predictors were fitted to as a whole; they were extended by the others
        self._fit_seeds: list[int] = []
        self._fits: list[_Fitted] | None = None  # made again from the two above where missing

    def propose(self, n: int) -> Codes:
        """The next round: fit, rank, choose."""
        candidates = self._whole or Population(self.space, self._draw_pool(), self._known)
        kept = self._training_set()
        if np.isfinite(self.values[kept]).sum() < 2:
            return self.draw_new(n, self.rng)
        fits = self._fitted_to(kept)
        predictor, labels = fits[0]
        if len(candidates) > LARGE:
            candidates = self._nearest(candidates, fits, n)
        if self.acquisition == "uniform" and len(candidates) > NEAR:  # deviations of so many would be for nothing
            prediction = Prediction(predicted_mean(predictor, candidates), np.zeros(len(candidates)))
        else:
            prediction = predicted(predictor, candidates)
        eligible = self._eligible(candidates)
        chance, worst = chance_of_success(self.codes, self.values, candidates), float(labels.min())
        if self.costs:
            rows = self._towards_the_front(candidates, fits, prediction, eligible, n, chance)
        elif self.acquisition == "uniform":
            mean = weighed(prediction.mean, chance, worst)
            rows = self._from_the_top(mean, candidates, eligible, n)
        else:
            networks = candidates.network_ids
            rows = best_batch(
                self.acquisition, prediction, labels.max(), networks, eligible, n, self.rng, chance, worst
            )
        if self.observer is not None:
            self.observer(
                Round(
                    self._round + 1,
                    predictor,
                    labels,
                    with_worst(self.values[self._learnt]),
                    self.labels,
                    candidates,
                    prediction,
                    eligible,
                    self._top_size if self.acquisition == "uniform" else None,
                    rows,
                )
            )
        self._round += 1
        self._forget(predictor, prediction)
        return candidates.codes[rows]

    @property
    def _top_size(self) -> int:
        """How many architectures the predicted top of this round has."""
        return int(self._tops[min(self._round, len(self._tops) - 1)])

    def _fitted_to(self, kept: NDArray[np.intp]) -> list[_Fitted]:
        """A predictor of the value and of each measured cost with the labels that it was fitted to, anew where due."""
        if not len(self._learnt) or len(kept) >= self.refit_growth * len(self._learnt) * (1 - ROUNDING):
            few = len(kept) - len(self._learnt) < SMALL_ROUND and len(kept) < TUNE_AGAIN * self._tuned
            fits = (self._fits or self._fit()) if few and self.keep_old == "all" else None
            self._learnt = kept
            self._fits = self._extended(fits) if fits else None
            if self._fits is None:
                measured = [cost for cost in self.costs if cost not in self.space.quantities]
                self._fit_seeds = [int(self.rng.integers(2**31)) for _ in range(1 + len(measured))]
                self._tuned = len(kept)
        if self._fits is None:
            self._fits = self._fit()
            if self._tuned < len(self._learnt):
                self._fits = self._extended(self._fits)
                assert self._fits is not None  # as it was before the state was taken
        return self._fits

    def _fit(self) -> list[_Fitted]:
        """Predictors fitted to what was known when they last were."""
        fits = []
        population, columns = self._lessons(self._learnt[: self._tuned])
        for labels, seed in zip(columns, self._fit_seeds, strict=True):
            fits.append((self.newly_fitted(population, labels, seed), labels))
        return fits

    def _extended(self, fits: Sequence[_Fitted]) -> list[_Fitted] | None:
        """The same predictors with all that is known now; None where they cannot be extended."""
        population, columns = self._lessons(self._learnt)
        more = [
            (before.extended(population, labels), labels) for (before, _), labels in zip(fits, columns, strict=True)
        ]
        return [(predictor, labels) for predictor, labels in more if predictor is not None] if more[0][0] else None

    def _lessons(self, places: NDArray[np.intp]) -> tuple[Population, list[NDArray[np.float64]]]:
        """Architectures to learn from, and labels of their value and of each measured cost."""
        measured = [column for column, cost in enumerate(self.costs) if cost not in self.space.quantities]
        columns = [self.values[places], *(-self.cost_values[places, column] for column in measured)]
        labels = [LABELS[self.labels](with_worst(column)) for column in columns]
        return self._evaluated(self.codes[places]), labels

    def _evaluated(self, codes: Codes) -> Population:
        """Evaluated architectures, with the encodings that are already known where the whole space is."""
        if self._whole is not None and self.space.listed_by == "code":
            if self._order is None:
                keys = self.space.keys(self._whole.codes)
                self._order = np.argsort(keys), np.sort(keys)
            order, keys = self._order
            rows = order[np.searchsorted(keys, self.space.keys(codes))]
            return self._whole.take(rows)
        return Population(self.space, codes, self._known)

    def _eligible(self, candidates: Population) -> BoolArray:
        """Which candidates are networks that were never asked for, shape [n]."""
        return ~np.isin(candidates.network_ids, np.fromiter(self._asked, np.uint64, len(self._asked)))

    def _nearest(self, candidates: Population, fits: Sequence[_Fitted], n: int) -> Population:
        """The best predicted of a large space, ranked whole whenever labels have grown by a quarter or little is left.

        With costs, the first fronts of the predicted means: the cheap end of a front is not among the best values.
        """
        size = min(max(NEAR, 2 * self._top_size), len(candidates))
        left = max(OPEN, 2 * n)
        labels = len(self._values)
        if (
            self._near is not None
            and (self.costs or len(self._near) >= size)
            and labels < RANK_AGAIN * self._ranked_with
        ):
            near = candidates.take(self._near)
            if len(np.unique(near.network_ids[self._eligible(near)])) >= left // 2:
                return near
        means = [predicted_mean(predictor, candidates) for predictor, _ in fits]
        eligible = np.flatnonzero(self._eligible(candidates))
        fresh = eligible[np.unique(candidates.network_ids[eligible], return_index=True)[1]]
        if self.costs:
            exact = [-candidates.quantity(cost) for cost in self.costs if cost in self.space.quantities]
            points = np.column_stack([*means, *exact])[fresh]
            self._near = fresh[np.flatnonzero(pareto_ranks(points, enough=left))]
        else:
            best = np.argpartition(-means[0], size - 1)[:size]
            self._near = np.union1d(best, fresh[np.argsort(-means[0][fresh], kind="stable")[:left]])
        self._ranked_with = labels
        return candidates.take(self._near)

    def _training_set(self) -> NDArray[np.intp]:
        """Places in the history to fit to: failures too, and what succeeded without one of its costs not."""
        new = range(self._seen, len(self._values))
        self._kept.extend(new)
        self._seen = len(self._values)
        kept = np.array(self._kept, np.intp)
        return kept[~np.isfinite(self.values[kept]) | np.isfinite(self.cost_values[kept]).all(axis=1)]

    def _towards_the_front(
        self,
        candidates: Population,
        fits: Sequence[_Fitted],
        prediction: Prediction,
        eligible: NDArray[np.bool_],
        n: int,
        chance: NDArray[np.float64] | None,
    ) -> IntArray:
        """Candidates of the predicted front; each measured cost has its own predictor, fitted as that of the value is."""
        name = "ucb" if self.acquisition == "ei" else self.acquisition
        columns: list[NDArray[np.float64]] = [scores(name, prediction, fits[0][1].max(), self.rng)]
        worst = [fits[0][1].min()]
        measured = iter(fits[1:])
        for cost in self.costs:
            if cost in self.space.quantities:
                columns.append(-candidates.quantity(cost).astype(np.float64))
                worst.append(columns[-1].min())
                continue
            predictor, labels = next(measured)
            columns.append(scores(name, predicted(predictor, candidates), labels.max(), self.rng))
            worst.append(labels.min())
        weighted = [weighed(column, chance, least) for column, least in zip(columns, worst, strict=True)]
        return front_batch(np.column_stack(weighted), candidates.network_ids, eligible, n, self.rng)

    def _from_the_top(self, mean: FloatArray, candidates: Population, eligible: NDArray[np.bool_], n: int) -> IntArray:
        """Uniform choice from the predicted top; where too few are left there, the best predicted of the others."""
        order = np.argsort(-mean, kind="stable")
        size = self._top_size
        top = order[:size]
        drawn = self.rng.permutation(top[eligible[top]])
        ranked = np.concatenate([drawn, order[size:][eligible[order[size:]]]])
        _, first = np.unique(candidates.network_ids[ranked], return_index=True)
        return ranked[np.sort(first)[:n]]

    def _forget(self, predictor: Predictor, prediction: Prediction) -> None:
        if self.keep_old == "none":
            self._kept = []
        elif self.keep_old == "top":
            size = min(self.top_start, len(prediction.mean))
            least = -np.partition(-prediction.mean, size - 1)[size - 1]
            known = predicted(predictor, Population(self.space, self.codes[self._kept], self._known)).mean
            self._kept = np.array(self._kept, np.intp)[known >= least].tolist()

    def _draw_pool(self) -> Codes:
        """Half random, half mutations of the best hundred, one to three edits away, shape [pool, genes]."""
        half = self.pool // 2
        values = np.where(np.isfinite(self.values), self.values, -np.inf)
        best = self.codes[np.argsort(-values, kind="stable")[: min(100, int(np.isfinite(self.values).sum()))]]
        drawn = [self.space.sample(self.pool if not len(best) else self.pool - half, self.rng)]
        if len(best):
            parents = best[self.rng.integers(len(best), size=half)]
            thirds = np.array_split(parents, 3)
            drawn += [self._mutants(part, edits + 1) for edits, part in enumerate(thirds)]
        return np.concatenate(drawn)

    def _mutants(self, parents: Codes, edits: int) -> Codes:
        """Children of the parents; random architectures where one of them has no valid child so close by."""
        try:
            return self.space.mutate(parents, self.rng, edits=edits)
        except FrugalnasError:
            return self.space.sample(len(parents), self.rng)

    def memory(self) -> dict[str, Any]:
        """How many rounds were fitted, what the next one is fitted to, and what of a large space it looks at."""
        near = None if self._near is None else self._near.tolist()
        return {
            "round": self._round,
            "kept": list(self._kept),
            "seen": self._seen,
            "near": near,
            "ranked_with": self._ranked_with,
            "learnt": self._learnt.tolist(),
            "tuned": self._tuned,
            "fit_seeds": list(self._fit_seeds),
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """Restore the rounds."""
        self._round, self._kept, self._seen = memory["round"], list(memory["kept"]), memory["seen"]
        self._near = None if memory["near"] is None else np.array(memory["near"], np.intp)
        self._ranked_with = memory["ranked_with"]
        self._learnt, self._fit_seeds = np.array(memory["learnt"], np.intp), list(memory["fit_seeds"])
        self._tuned = memory["tuned"]
        self._fits = None


def top_schedule(start: int, end: int, decay: float, rounds: int) -> NDArray[np.int64]:
    """Size of the predicted top in each round: exponential decay from `start` to `end`, shape [rounds].

    Example:
        >>> top_schedule(80_000, 500, 0.96, 91)[[0, 1, 10, 90]].tolist()
        [80000, 76446, 50725, 500]
    """
    if rounds == 1 or start == end:
        return np.full(rounds, start)
    curve = decay ** np.linspace(0, 99, rounds)
    share = (curve - curve.min()) / (curve.max() - curve.min())
    return (share * (start - end) + end).astype(np.int64)
