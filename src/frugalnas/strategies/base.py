"""The contract of a strategy, and the bookkeeping that every strategy shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, at_least
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.predictors.base import shown
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.spaces.arrays import Growing, with_nan, without_nan

INITIAL = 10
"""Size of the initial sample, where nobody says it."""
INITIAL_BLOCK = 64
"""The initial sample is drawn in blocks of this size, so that a short one is the beginning of a long one."""
REMEMBERED = 256
"""Rows at a time whose networks are remembered until others are looked at."""
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
        initial: size of the initial random sample of distinct networks; None: `INITIAL`, or all there are.

    Attributes:
        codes: architectures told so far, in the order told, shape [n, genes].
        values: what they were worth, NaN where the evaluation failed, shape [n].
        costs: metrics of an evaluation, or quantities that the space counts, that are minimised beside the value; only
            strategies with this constructor argument have any.
        round_size: how many architectures `ask` gives when not told how many.
    """

    round_size: int = 1
    costs: tuple[str, ...] = ()

    def __init__(self, space: SearchSpace, *, seed: int = 0, initial: int | None = None) -> None:
        at_least(0, seed=seed)
        at_least(1, initial=initial)
        initial = min(INITIAL, space.distinct) if initial is None else initial
        if initial > space.distinct:
            raise FrugalnasError(
                f"initial sample of {initial} is larger than {space.name}, which has {space.distinct:,} distinct networks here; "
                "lower `initial`"
            )
        self.space = space
        self.seed = seed
        self.initial = initial
        first, later = np.random.SeedSequence(seed).spawn(2)
        self.rng = np.random.default_rng(later)
        self._asked: set[int] = set()
        self._pending: dict[int, Codes] = {}
        self._next_id = 0
        self._codes = Growing(space.code_type, (space.genes,))
        self._values = array("d")
        self._numbers: dict[bytes, int] = {}
        self._measured: dict[str, list[float]] = {}
        self._first = list(self.draw_new(initial, np.random.default_rng(first), INITIAL_BLOCK))

    # -- what a new strategy writes ------------------------------------------------------------------------------

    @abstractmethod
    def propose(self, n: int) -> Codes:
        """Up to `n` architectures to evaluate next, shape [<= n, genes]; none when the space is exhausted.

        Called once the initial sample is out, and at least one trial has been told.
        """

    def learn(self, trials: Trials, evaluations: Evaluations) -> None:  # noqa: B027
        """Take in what became of trials that were told; their arrays are the strategy's own. By default nothing is to do."""

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
            codes = self.space.as_codes(self._first[:count])
            del self._first[:count]
        elif not self._values:
            codes = self.draw_new(self.round_size if n is None else n, self.rng)
        else:
            wanted = self.round_size if n is None else n
            codes = self._checked(self.propose(wanted), wanted)
        return self._issued(codes)

    def ask_rounds(self, most: int) -> Trials:
        """Rounds of which none depends on what is told of those before, `most` architectures at most if they are several.

        The loop asks so where a journal has the answers. By default it is one round.
        """
        return self.ask()

    def _issued(self, codes: Codes) -> Trials:
        """Trials of architectures that are asked for."""
        ids = np.arange(self._next_id, self._next_id + len(codes))
        self._next_id += len(codes)
        self._pending.update(zip(ids.tolist(), codes.copy(), strict=True))
        self._asked.update(self.network_ids(codes).tolist())
        return Trials(codes.reshape(-1, self.space.genes), ids)

    def _checked(self, proposed: Codes, n: int) -> Codes:
        """What `propose` returned, where it is at most `n` architectures of the space."""
        where, space = f"{type(self).__name__}.propose", self.space
        try:
            codes = np.asarray(proposed)
        except ValueError:  # rows of several lengths
            codes = np.empty(0, np.object_)
        if not codes.size and codes.dtype != np.object_:
            return np.zeros((0, space.genes), space.code_type)
        if codes.shape[1:] != (space.genes,) or codes.ndim != 2 or codes.dtype.kind not in "iu" or len(codes) > n:
            raise FrugalnasError(
                f"{where}({n}) returned {shown(proposed)}; it returns whole numbers of shape [m, {space.genes}], m at most {n}"
            )
        wrong = np.flatnonzero(~space.valid(codes))
        if len(wrong):
            raise FrugalnasError(
                f"{where}({n}) returned {codes[wrong[0]].tolist()} in row {wrong[0]}, which is no architecture of {space!r}"
            )
        return space.as_codes(codes)

    def tell(self, trials: Trials, evaluations: Evaluations) -> None:
        """Take in what became of trials.

        Raises:
            FrugalnasError: for a trial that was not asked for, or was already told; and where no evaluation has said what
                a cost is that the strategy is to minimise.
        """
        if len(trials) != len(evaluations):
            raise FrugalnasError(f"tell() got {len(trials)} trials but {len(evaluations)} evaluations")
        for trial, code in zip(trials.ids.tolist(), trials.codes, strict=True):
            if trial not in self._pending or not np.array_equal(self._pending[trial], code):
                raise FrugalnasError(f"tell() got trial {trial}, which is not pending; tell each trial from ask() once")
        if len(set(trials.ids.tolist())) < len(trials):
            raise FrugalnasError("tell() got a trial twice in one call; tell each trial from ask() once")
        measured = self._costs_in(evaluations)
        codes = self.space.as_codes([self._pending.pop(trial) for trial in trials.ids.tolist()])
        codes = codes.reshape(-1, self.space.genes)
        self._codes.extend(codes)
        self._values.extend(evaluations.values)
        for cost, column in measured.items():
            self._measured.setdefault(cost, []).extend(column)
        self.learn(replace(trials, codes=codes), evaluations)

    @property
    def codes(self) -> Codes:
        """Architectures told so far, shape [n, genes]."""
        return self._codes.array.copy()

    @property
    def values(self) -> NDArray[np.float64]:
        """What they were worth, NaN where the evaluation failed, shape [n]."""
        return np.array(self._values, np.float64)

    @property
    def cost_values(self) -> NDArray[np.float64]:
        """What they cost, NaN where that was not measured, shape [n, costs]; counted quantities are those of the space."""
        table = np.full((len(self._values), len(self.costs)), np.nan)
        for column, cost in enumerate(self.costs):
            known = self.space.count(cost, self.codes) if self._counts(cost) else self._measured.get(cost, np.nan)
            table[:, column] = known
        return table

    def _counts(self, cost: str) -> bool:
        return cost in self.space.quantities

    def _costs_in(self, evaluations: Evaluations) -> dict[str, list[float]]:
        """The costs that evaluations measured, NaN where they did not, by name."""
        columns = {}
        for cost in self.costs:
            if self._counts(cost):
                continue
            told = np.isfinite(self._measured.get(cost, [])).any()
            if cost not in evaluations.metrics and evaluations.ok.any() and not told:
                raise FrugalnasError(
                    f"no evaluation has said what {cost} is; the evaluator returns "
                    f"{', '.join(evaluations.metrics) or 'no metrics'}, and {self.space.name} counts "
                    f"{', '.join(self.space.quantities) or 'nothing'}"
                )
            column = evaluations.metrics.get(cost, np.full(len(evaluations), np.nan))
            columns[cost] = np.asarray(column, np.float64).tolist()
        return columns

    # -- new networks --------------------------------------------------------------------------------------------

    def network_ids(self, codes: Codes) -> NDArray[np.uint64]:
        """As the space's, shape [n]; of a few rows that were just looked at they are remembered, as some spaces take long."""
        few = len(codes) <= REMEMBERED
        if few:
            texts = [code.tobytes() for code in codes]
            known = [self._numbers.get(text) for text in texts]
            if None not in known:
                return np.array(known, np.uint64)
        networks = self.space.network_ids(codes)
        if few:
            self._numbers = dict(zip(texts, networks.tolist(), strict=True))
        return networks

    def unasked(self, codes: Codes) -> NDArray[np.bool_]:
        """Which rows are networks that were never asked for and do not repeat an earlier row, shape [n]."""
        networks = self.network_ids(codes)
        fresh = np.zeros(len(codes), np.bool_)
        fresh[np.unique(networks, return_index=True)[1]] = True
        return fresh & np.array([network not in self._asked for network in networks.tolist()], np.bool_)

    @property
    def exhausted(self) -> bool:
        """Whether every network of the space was asked for."""
        return len(self._asked) >= self.space.distinct

    def draw_new(self, n: int, rng: np.random.Generator, block: int | None = None) -> Codes:
        """`n` random networks that were never asked for, fewer where the space has no more, shape [<= n, genes]."""
        found = np.zeros((0, self.space.genes), self.space.code_type)
        if self.exhausted:
            return found
        idle = 0
        while len(found) < n and idle < PATIENCE:
            candidates = np.concatenate([found, self.space.sample(block or drawn_for(n), rng)])
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
            "first": [code.tolist() for code in self._first],
            "pending": {str(trial): code.tolist() for trial, code in self._pending.items()},
            "codes": self.codes.tolist(),
            "values": without_nan(self._values),
            "costs": {cost: without_nan(column) for cost, column in self._measured.items()},
            "memory": self.memory(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.rng.bit_generator.state = state["rng"]
        self._next_id = state["next_id"]
        self._first = [self.space.as_codes(code) for code in state["first"]]
        self._pending = {int(trial): self.space.as_codes(code) for trial, code in state["pending"].items()}
        self._codes, self._values = Growing(self.space.code_type, (self.space.genes,)), array("d")
        self._codes.extend(self.space.as_codes(state["codes"]).reshape(-1, self.space.genes))
        self._values.extend(with_nan(state["values"]))
        self._measured = {cost: with_nan(column).tolist() for cost, column in state["costs"].items()}
        pending = self.space.as_codes(list(self._pending.values())).reshape(-1, self.space.genes)
        self._asked = set(self.space.network_ids(np.concatenate([self._codes.array, pending])).tolist())
        self.remember(state["memory"])


def drawn_for(n: int) -> int:
    """How many codes are drawn at a time where `n` new networks are wanted."""
    return max(2 * n, 8)
