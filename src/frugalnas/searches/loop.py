"""The loop: a strategy asks, an evaluator answers, the journal remembers."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import reduce
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
from frugalnas.searches.ledger import Ledger, Queries, journal_lines, read_queries, usual_error
from frugalnas.searches.result import SearchResult
from frugalnas.searches.state import read_state, restore_evaluator, write_state
from frugalnas.strategies import Strategy

STATE_INTERVAL_S = 1.0
"""The state is only a cache of the journal: it is written this often at most, and when the search stops."""
FRUITLESS_ASKS = 1_000
"""A strategy that asks for nothing new this many times in a row has nothing left to find."""


class Loop:
    """One search under way, new or resumed.

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

    def __init__(
        self,
        strategy: Strategy,
        evaluator: Evaluator,
        budget: Budget,
        executor: Executor,
        folder: RunFolder | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.strategy = strategy
        self.evaluator = evaluator
        self.budget = budget
        self.executor = executor
        self.folder = folder
        self.callbacks = callbacks
        self.ledger = Ledger(strategy.space, stateful=evaluator.stateful)
        self.journal = Queries(strategy.space)
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
        self.threads = ThreadpoolController()  # of what is loaded, which the strategy's constructor sees to
        held = nullcontext() if self.folder is None else self.folder.held()
        with held, scratch() as workdirs, self.executor:
            self.workdirs, over = workdirs, None
            if self.folder is not None:
                self.workdirs = self.folder.path / "evaluations"
                over = self._pick_up(self.folder)
            for callback in self.callbacks:
                callback.on_start(len(self.ledger), self.budget.queries)
            try:
                stop = over or self._rounds()
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
                self.strategy.load_state_dict(state["strategy"])
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

    def _rounds(self) -> str:
        """Ask, evaluate and tell until the reason to stop, which is returned."""
        fruitless = 0
        self._take_state()
        while True:
            stop = self._stop()
            if stop is not None:
                self._take_state()
                return stop
            rounds = self._ask()
            trials = reduce(Trials.joined, rounds)
            if not len(trials):
                return "the space is exhausted"
            before = len(self.ledger)
            evaluations = self._evaluate(trials)
            if evaluations is None:
                # The budget ended inside the round: the journal has its beginning, and a larger budget asks for it again.
                return self._stop() or "the budget is spent"
            start = 0
            for asked in [trials] if trials.group is None else rounds:  # groups under the strategy's own numbers
                self.strategy.tell(asked, evaluations.take(slice(start, start + len(asked))))
                start += len(asked)
            fruitless = fruitless + 1 if len(self.ledger) == before else 0
            if fruitless == FRUITLESS_ASKS:
                return f"{FRUITLESS_ASKS:,} asks in a row brought no new network"
            self._after_round()

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

    def _ask(self) -> list[Trials]:
        """A round, or as many rounds as keep every worker busy; none follows one that has groups."""
        # One thread, so that a trajectory does not depend on how many cores the machine has.
        with self.threads.limit(limits=1):
            if self.unplayed and self.executor.workers == 1:
                return [self.strategy.ask_rounds(len(self.journal) - self.played)]
            rounds = [self.strategy.ask()]
            idle = self.executor.workers - len(rounds[0])
            while len(rounds[0]) and rounds[-1].group is None and idle > 0:
                more = self.strategy.ask(idle)
                if not len(more):
                    break
                rounds.append(more)
                idle -= len(more)
        if not self.evaluator.stateful and any(trials.fidelity is not None for trials in rounds):
            raise FrugalnasError(
                f"{type(self.strategy).__name__} asks for a fidelity, but ledger and journal know a query by its network alone: "
                f"asked for again at another fidelity, it would be answered from the record. An evaluator with stateful = True, "
                f"of which every answer counts, takes fidelities; its state_dict may be empty"
            )
        return rounds

    def _evaluate(self, trials: Trials) -> Evaluations | None:
        """The answers to a round, new networks in order; None where the budget ended before the last of them."""
        networks = self.strategy.network_ids(trials.codes)
        numbers, new = networks.tolist(), {}
        for row, network in enumerate(numbers):
            if self.ledger.stateful:
                new[row] = row
            elif self.ledger.row_of(network) is None:
                new.setdefault(network, row)
        before, rows = len(self.ledger), list(new.values())
        if not self._answer(trials.take(rows), networks[rows]):
            return None
        if self.ledger.stateful:
            return self.ledger.queries.evaluations(range(before, len(self.ledger)))
        places = map(self.ledger.row_of, numbers)
        return self.ledger.queries.evaluations([place for place in places if place is not None])

    # -- answers -------------------------------------------------------------------------------------------------

    @property
    def unplayed(self) -> bool:
        """Whether the journal still answers in the evaluator's place."""
        return self.played < len(self.journal)

    def _at_once(self, left: int) -> int:
        """How many answers are counted in one go: one where somebody looks on, or it may end the search."""
        return 1 if self.callbacks or self.budget.until_optimum or self.ledger.best_value is None else left

    def _answer(self, trials: Trials, networks: NDArray[np.uint64]) -> bool:
        """Count what a round asks anew, from the journal as far as it goes; whether the budget sufficed for all of it."""
        done = 0
        while done < len(trials) and self.unplayed:
            if self._stop() is not None:
                return False
            left = min(len(trials) - done, len(self.journal) - self.played)
            if self.budget.queries is not None:
                left = min(left, self.budget.queries - len(self.ledger))
            rows = slice(done, done + self._at_once(left))
            self._play(trials.codes[rows], networks[rows])
            done = rows.stop
        unspent = len(trials) if self.budget.queries is None else done + self.budget.queries - len(self.ledger)
        todo = trials.take(slice(done, max(unspent, done)))
        for answers in self._answers(todo):
            start = 0
            while start < len(answers):
                if self._stop() is not None:
                    return False
                rows = slice(start, start + self._at_once(len(answers) - start))
                part, places = answers.take(rows), slice(done, done + rows.stop - start)
                self._count(trials.codes[places], part, networks[places])
                start, done = rows.stop, places.stop
        return done == len(trials)

    def _answers(self, todo: Trials) -> Iterator[Evaluations]:
        """What the executor says of trials, in their order; the next ones are waited for only when they are wanted."""
        first, given = len(self.ledger) + 1, 0
        if len(todo):
            self.executor.submit(
                self.evaluator, todo, [self.workdirs / f"{first + row:06d}" for row in range(len(todo))]
            )
        while given < len(todo) and self._stop() is None:
            answers = self.executor.completed()
            given += len(answers)
            yield answers

    def _play(self, codes: NDArray[Any], networks: NDArray[np.uint64]) -> None:
        """Count queries that the journal has answered."""
        end = self.played + len(codes)
        known = self.journal.codes[self.played : end]
        for place in np.flatnonzero((known != codes).any(axis=1)).tolist():
            raise RunFolderError(
                f"query {self.played + place + 1} in the journal is {self.strategy.space.format(known[place])}, but the "
                f"strategy now asks for {self.strategy.space.format(codes[place])}; the run was made by "
                f"another version of frugalnas or its configuration was edited"
            )
        self.ledger.take(self.journal, self.played, end, networks)
        self.played = end
        self._counted()

    def _count(self, codes: NDArray[Any], answers: Evaluations, networks: NDArray[np.uint64]) -> None:
        """Count queries that were just answered."""
        if self.folder is not None:  # first, as what cannot be written has not happened
            lines = journal_lines(self.strategy.space, len(self.ledger) + 1, codes, answers)
            self.folder.extend(lines)
            for callback in self.callbacks:
                callback.on_record(lines[-1])
        self.ledger.add(codes, answers.values, answers.metrics, answers.errors, networks)
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
        """Note where the run can be taken up again, which is between rounds only."""
        if self.folder is not None:
            self.state = {"queries": len(self.ledger), "strategy": self.strategy.state_dict()}
            if self.evaluator.stateful:
                self.state["evaluator"] = self.evaluator.state_dict()

    def _after_round(self) -> None:
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
