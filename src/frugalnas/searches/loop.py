"""The loop: a strategy asks, an evaluator answers, the journal remembers."""

from __future__ import annotations

import copy
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from frugalnas.errors import FrugalnasError, RunFolderError, surroundings
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.files import scratch
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.searches.budget import Budget
from frugalnas.searches.executors import Executor
from frugalnas.searches.ledger import Ledger, Marks, Queries, journal_lines, read_queries, usual_error
from frugalnas.searches.result import SearchResult
from frugalnas.searches.state import read_state, restore_evaluator, write_state
from frugalnas.strategies import Strategy

STATE_INTERVAL_S = 1.0
"""The state is only a cache of the journal: it is written this often at most, and when the search stops."""
FRUITLESS_ASKS = 1_000
"""A strategy that asks for nothing new this many times in a row has nothing left to find."""
NOTHING_NEW = f"{FRUITLESS_ASKS:,} asks in a row brought no new network"


@dataclass(eq=False)
class Loop(ABC):
    """One search under way, new or resumed; child classes say when the strategy is asked and told.

    Resuming is no special case: the strategy continues from its last state (or from the beginning), and what the journal
    has already answered is taken from there instead of from the evaluator. A stateful evaluator cannot be passed over: it
    continues from the same state, and what came after that is evaluated again.

    Args:
        strategy: what to try next.
        evaluator: how good it is.
        budget: when to stop.
        executor: where evaluations happen.
        folder: the run's, None where nothing is written.
        callbacks: are told what happens, but for the end.
    """

    strategy: Strategy
    evaluator: Evaluator
    budget: Budget
    executor: Executor
    folder: RunFolder | None = None
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.strategy.space, stateful=self.evaluator.stateful)
        self.journal = Queries(self.strategy.space)
        """What was answered before, in an earlier process."""
        self.played = 0
        """How much of it the strategy has been told again."""
        self.earlier_seconds = 0.0
        self.saved_at = -np.inf
        self.saving_s = 0.0
        self.state: dict[str, Any] | None = None

    def run(self) -> SearchResult:
        """What was found once the budget is spent, or nothing is left to try."""
        self.started = self.round_started = time.perf_counter()
        self.threads = _threads(len(sys.modules))  # the strategy's constructor sees to it that libraries are loaded
        held = nullcontext() if self.folder is None else self.folder.held()
        with held, scratch() as workdirs, self.executor:
            self.workdirs, over = workdirs, None
            if self.folder is not None:
                self.workdirs = self.folder.path / "evaluations"
                over = self._pick_up(self.folder)
            for callback in self.callbacks:
                callback.on_start(len(self.ledger), self.budget.queries)
            try:
                stop = over or self._go()
                self._leave(stop)
            except BaseException as error:
                with suppress(OSError):  # the state is only a cache, and what stopped the search is what has to be said
                    self._leave(None)
                lack = surroundings(error)
                if lack is None or lack is error:
                    raise
                raise lack from error
        run_dir = None if self.folder is None else self.folder.path
        space, optimum = self.strategy.space, self.evaluator.optimum
        return SearchResult(space, self.ledger.queries, stop, self._seconds(), optimum, run_dir)

    def _go(self) -> str:
        """Ask, evaluate and tell until the reason to stop, which is returned."""
        self._take_state()
        while True:
            stop = self._stop()
            if stop is not None:
                self._take_state()
                return stop
            over = self._turn()
            if over is not None:
                return over
            self._after_tell()

    @abstractmethod
    def _turn(self) -> str | None:
        """Ask, evaluate and tell once; the reason to stop where there is nothing further to do."""

    def _pick_up(self, folder: RunFolder) -> str | None:
        """Go back to where the run was; the reason to stop where a stateful evaluator has nothing left to do."""
        self.journal = read_queries(folder, self.strategy.space)
        self.earlier_seconds = folder.seconds()
        state = read_state(folder)
        if self.evaluator.stateful:
            self.ledger.take(self.journal, 0, len(self.journal))
            self.played = len(self.journal)
            over = self._stop()
            if over is not None:
                return over
            self.ledger, self.played = Ledger(self.strategy.space, stateful=True), 0
            state = state if state and restore_evaluator(folder, self.evaluator, state) else None
        if state is not None and state["queries"] <= len(self.journal):
            fresh = copy.deepcopy(self.strategy)
            try:
                self._restore(state)
            except Exception:  # not this strategy's state: the journal is enough
                if self.evaluator.stateful:
                    raise
                self.strategy = fresh
            else:
                self.state, self.played = state, state["queries"]
                self.ledger.take(self.journal, 0, self.played)
        if self.evaluator.stateful:
            folder.cut(self.played)
            self.journal, self.played = Queries(self.strategy.space), 0
        return None

    def _leave(self, stop: str | None) -> None:
        """Write down how far the search has come."""
        self._write_state(stop)
        self._write_timing()
        if self.folder is not None:
            self.folder.close()

    def _stop(self) -> str | None:
        best, optimum = self.ledger.best_value, self.evaluator.optimum
        if self.budget.until_optimum and best is not None and optimum is not None and best >= optimum:
            return "the optimum was found"
        if best is None and self.budget.failures is not None and len(self.ledger) >= self.budget.failures:
            return self._hopeless()
        return self.budget.spent(len(self.ledger), 0.0 if self.unplayed else self._seconds())

    def _hopeless(self) -> str:
        """Nothing has succeeded so far: the reason to stop, and how to go on all the same."""
        tried, most = len(self.ledger), 10 * len(self.ledger)
        way = f"Budget(failures={most})"
        if self.folder is not None:
            way = f"frugalnas resume {self.folder.path} --max-failures {most}"
        return (
            f"the first {tried} evaluations have all failed, most often because of: {usual_error(self.ledger.queries)}; mend "
            f"that and search anew, or go on with: {way}"
        )

    def _seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started

    # -- answers -------------------------------------------------------------------------------------------------

    @property
    def unplayed(self) -> bool:
        """Whether the journal still answers in the evaluator's place."""
        return self.played < len(self.journal)

    def _checked(self, trials: Trials) -> Trials:
        """What the strategy asks for, where the evaluator can answer it."""
        if trials.fidelity is None:
            return trials
        if not self.evaluator.takes_fidelity:
            raise FrugalnasError(
                f"{type(self.strategy).__name__} asks for a fidelity, and {type(self.evaluator).__name__} takes none; an evaluator "
                f"that reads Trials.fidelity says so by takes_fidelity = True"
            )
        if np.isinf(trials.fidelity).any():
            raise FrugalnasError(
                f"{type(self.strategy).__name__} asks for a fidelity of inf; NaN means as thoroughly as it can"
            )
        return trials

    def _marks(self, trials: Trials) -> Marks:
        """What the journal says of trials besides their answers."""
        return {} if trials.fidelity is None else {"fidelity": np.asarray(trials.fidelity, np.float64)}

    def _play(self, trials: Trials, networks: NDArray[np.uint64]) -> None:
        """Count queries that the journal has answered."""
        end, given = self.played + len(trials), self._marks(trials)
        known, asked = self.journal.codes[self.played : end], trials.codes
        for place in np.flatnonzero((known != asked).any(axis=1)).tolist():
            raise self._other(place, self.strategy.space.format(known[place]), self.strategy.space.format(asked[place]))
        for name, column in self.journal.marks(slice(self.played, end)).items():
            now = given.get(name, np.full(len(trials), np.nan))
            for place in np.flatnonzero((column != now) & ~(np.isnan(column) & np.isnan(now))).tolist():
                raise self._other(place, f"of {name} {column[place]:g}", f"{name} {now[place]:g}")
        self.ledger.take(self.journal, self.played, end, networks)
        self.played = end
        self._counted()

    def _other(self, place: int, known: str, asked: str) -> RunFolderError:
        return RunFolderError(
            f"query {self.played + place + 1} in the journal is {known}, but the strategy now asks for {asked}; the run was made "
            f"by another version of frugalnas, on a processor that rounds otherwise (which a fitted predictor can tell), or its "
            f"configuration was edited; frugalnas show reads it all the same"
        )

    def _count(self, trials: Trials, answers: Evaluations, networks: NDArray[np.uint64]) -> None:
        """Count queries that were just answered."""
        codes, marks = trials.codes, self._marks(trials)
        if self.folder is not None:  # first, as what cannot be written has not happened
            lines = journal_lines(self.strategy.space, len(self.ledger) + 1, codes, answers, marks)
            self.folder.extend(lines)
            for callback in self.callbacks:
                callback.on_record(lines[-1])
        self.ledger.add(codes, answers.values, answers.metrics, answers.errors, networks, marks)
        self._counted()

    def _counted(self) -> None:
        """Queries were counted: tell those who look on."""
        if time.perf_counter() - self.round_started > STATE_INTERVAL_S:
            self._write_timing()
        best = self.ledger.best_value
        for callback in self.callbacks:
            if hasattr(callback, "on_query"):
                callback.on_query(self.ledger.queries[-1], self.ledger)
            callback.on_progress(len(self.ledger), f"best {'none yet' if best is None else format(best, '.3f')}")

    # -- state ---------------------------------------------------------------------------------------------------

    def _take_state(self) -> None:
        """Note where the run can be taken up again, which is where all that is answered was told."""
        if self.folder is not None:
            self.state = self._state()
            if self.evaluator.stateful:
                self.state["evaluator"] = self.evaluator.state_dict()

    def _state(self) -> dict[str, Any]:
        return {"queries": len(self.ledger), "strategy": self.strategy.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        """Go back to what `_state` returned."""
        self.strategy.load_state_dict(state["strategy"])

    def _after_tell(self) -> None:
        # A long search has a large state, which may not take more than a twentieth of the time.
        due = self.saved_at + STATE_INTERVAL_S * max(1.0, 20 * self.saving_s)
        if time.perf_counter() > due and not self.unplayed:
            started = time.perf_counter()
            self._take_state()
            self._write_state(None)
            self._write_timing()
            self.saving_s = time.perf_counter() - started

    def _write_state(self, stop: str | None) -> None:
        if self.folder is not None and self.state is not None:
            told = {"stop": stop, "optimum": self.evaluator.optimum, "budget": asdict(self.budget)}
            write_state(self.folder, {**self.state, **told})
        self.saved_at = time.perf_counter()

    def _write_timing(self) -> None:
        if self.folder is not None:
            now = time.perf_counter()
            self.folder.append(
                {"queries": len(self.ledger), "seconds": round(now - self.round_started, 6)}, "timing.jsonl"
            )
            self.round_started = now


@lru_cache(maxsize=1)
def _threads(modules: int) -> ThreadpoolController:
    """Threads of the libraries that are loaded, looked for anew when more modules are."""
    return ThreadpoolController()
