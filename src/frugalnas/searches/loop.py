"""The loop: a strategy asks, an evaluator answers, the journal remembers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

import frugalnas
from frugalnas.errors import FrugalnasError, RunFolderError, surroundings
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.files import scratch
from frugalnas.registry import EXECUTORS, STRATEGIES
from frugalnas.runs.descriptions import build_space, describe_evaluator, describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.budget import Budget
from frugalnas.searches.callbacks import Callback, notebook_progress
from frugalnas.searches.executors import Executor, SerialExecutor
from frugalnas.searches.ledger import Ledger, Queries, Query, read_queries, usual_error
from frugalnas.searches.parts import as_evaluator, check_parts, rebuilt
from frugalnas.searches.result import SearchResult
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import Strategy
from frugalnas.trust import opening

__all__ = ["load_search", "resume", "search"]

STATE_INTERVAL_S = 1.0
"""The state is only a cache of the journal: it is written this often at most, and when the search stops."""
FRUITLESS_ASKS = 1_000
"""A strategy that asks for nothing new this many times in a row has nothing left to find."""


def search(
    strategy: Strategy,
    evaluator: Evaluator | Callable[[str], Any],
    budget: Budget | int,
    *,
    run_dir: Path | str | None = None,
    executor: Executor | None = None,
    callbacks: Sequence[Callback] | None = None,
) -> SearchResult:
    """The result of searching with a strategy until the budget is spent.

    Args:
        strategy: what to try next.
        evaluator: how good it is; a function of an architecture's text is taken as `FunctionEvaluator` takes it.
        budget: when to stop; a number means queries.
        run_dir: a new folder for journal, state and configuration, from which the run can be resumed; None writes nothing. What
            is defined in a script or notebook has to be given to `resume` again.
        executor: where evaluations happen; None: in this process.
        callbacks: are told what happens; None: a progress bar in a notebook, nothing elsewhere.

    Raises:
        FrugalnasError: before anything runs, where the budget does not fit the strategy's initial sample or the space, or
            the folder is taken.
    """
    if not isinstance(budget, Budget):
        budget = Budget(queries=budget)
    if not isinstance(strategy, Strategy):
        raise FrugalnasError(
            f"{strategy!r} is no strategy; give one of a space, such as frugalnas.WeakNAS(space, seed=0)"
        )
    executor = executor or SerialExecutor()
    evaluator = as_evaluator(evaluator, strategy.space)
    check_parts(strategy, evaluator, budget, executor)
    folder = None
    if run_dir is not None:
        config = {
            "frugalnas": frugalnas.__version__,
            "kind": "search",
            "space": describe_space(strategy.space),
            "strategy": STRATEGIES.describe(strategy),
            "evaluator": describe_evaluator(evaluator),
            "budget": asdict(budget),
            "executor": EXECUTORS.describe(executor),
        }
        folder = RunFolder.create(Path(run_dir), config)
    return _Loop(strategy, evaluator, budget, executor, folder, callbacks).run()


@opening
def resume(
    run_dir: Path | str,
    *,
    budget: Budget | None = None,
    callbacks: Sequence[Callback] | None = None,
    evaluator: Evaluator | Callable[[str], Any] | None = None,
    strategy: Strategy | None = None,
    space: SearchSpace | None = None,
    trust: bool = False,
) -> SearchResult:
    """The result of continuing a run, with the same journal as if it had never been interrupted.

    Args:
        run_dir: the run's folder.
        budget: a larger one to go on with; None keeps the run's own.
        callbacks: as in `search`.
        evaluator: the run's own, where it is of a script or notebook and cannot be found by name.
        strategy: likewise, as it was when the search began.
        space: likewise.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where there is no such run, its journal is not one of its configuration, or something of a script or
            notebook is not given, or is another.
    """
    folder = RunFolder(Path(run_dir))
    strategy, evaluator, own = rebuilt(folder, space, strategy, evaluator)
    budget = budget or own
    executor: Executor = EXECUTORS.create(folder.config["executor"])
    check_parts(strategy, evaluator, budget, executor)
    if budget != own:
        with folder.held():
            journalled = sum(1 for _ in folder.lines())
            if budget.queries is not None and budget.queries < journalled:
                raise FrugalnasError(f"{folder.path} already has {journalled} queries; --queries cannot go below that")
            folder.write_config({**folder.config, "budget": asdict(budget)})
    return _Loop(strategy, evaluator, budget, executor, folder, callbacks).run()


@opening
def load_search(run_dir: Path | str, *, space: SearchSpace | None = None, trust: bool = False) -> SearchResult:
    """What a run has found so far, from its journal alone; nothing is evaluated.

    Args:
        run_dir: the run's folder.
        space: the run's own, where it is of a script or notebook and cannot be found by name.
        trust: as in `resume`.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("search")
    space = build_space(folder.config["space"]) if space is None else space
    queries = read_queries(folder, space)  # before the state, which is held against the sums of what was read
    state = folder.read_state() or {}
    return SearchResult(
        space,
        queries,
        state.get("stop") or f"interrupted; continue with: frugalnas resume {folder.path}",
        folder.seconds(),
        state.get("optimum"),
        folder.path,
    )


class _Loop:
    """One search under way, new or resumed.

    Resuming is no special case: the strategy continues from its last state (or from the beginning), and what the journal
    has already answered is taken from there instead of from the evaluator.
    """

    def __init__(
        self,
        strategy: Strategy,
        evaluator: Evaluator,
        budget: Budget,
        executor: Executor,
        folder: RunFolder | None,
        callbacks: Iterable[Callback] | None,
    ) -> None:
        self.strategy = strategy
        self.evaluator = evaluator
        self.budget = budget
        self.executor = executor
        self.folder = folder
        self.callbacks = list(notebook_progress() if callbacks is None else callbacks)
        self.ledger = Ledger(strategy.space, stateful=evaluator.stateful)
        self.journal = Queries(strategy.space)
        """What was answered before, in an earlier process."""
        self.played = 0
        """How much of it the strategy has been told again."""
        self.earlier_seconds = 0.0
        self.saved_at = -np.inf
        self.saving_s = 0.0
        self.state: dict[str, Any] | None = None

    def _pick_up(self, folder: RunFolder) -> None:
        self.journal = read_queries(folder, self.strategy.space)
        self.earlier_seconds = folder.seconds()
        self.state = folder.read_state()
        if self.state is not None and self.state["queries"] <= len(self.journal):
            fresh = copy.deepcopy(self.strategy)
            try:
                self.strategy.load_state_dict(self.state["strategy"])
            except Exception:  # not this strategy's state: the journal is enough
                self.strategy, self.state = fresh, None
                return
            self.played = self.state["queries"]
            self.ledger.take(self.journal, 0, self.played)

    def run(self) -> SearchResult:
        self.started = self.round_started = time.perf_counter()
        self.threads = ThreadpoolController()  # of what is loaded, which the strategy's constructor sees to
        held = nullcontext() if self.folder is None else self.folder.held()
        with held, scratch() as workdirs, self.executor:
            self.workdirs = workdirs
            if self.folder is not None:
                self.workdirs = self.folder.path / "evaluations"
                self._pick_up(self.folder)
            for callback in self.callbacks:
                callback.on_start(self.ledger, self.budget)
            try:
                stop = self._rounds()
                self._leave(stop)
            except BaseException as error:
                with suppress(OSError):  # the state is only a cache, and what stopped the search is what has to be said
                    self._leave(None)
                lack = surroundings(error)
                if lack is None or lack is error:
                    raise
                raise lack from error
        result = SearchResult(
            self.strategy.space,
            self.ledger.queries,
            stop,
            self._seconds(),
            self.evaluator.optimum,
            None if self.folder is None else self.folder.path,
        )
        for callback in self.callbacks:
            callback.on_stop(result)
        return result

    def _leave(self, stop: str | None) -> None:
        """Write down how far the search has come."""
        self._write_state(stop)
        self._write_timing()
        if self.folder is not None:
            self.folder.close()

    def _rounds(self) -> str:
        """Ask, evaluate and tell until the reason to stop, which is returned."""
        fruitless, between_rounds = 0, True
        self._take_state()
        while True:
            stop = self._stop()
            if stop is not None:
                if between_rounds:
                    self._take_state()
                return stop
            trials = self._ask()
            if not len(trials):
                return "the space is exhausted"
            before = len(self.ledger)
            evaluations = self._evaluate(trials)
            if evaluations is None:
                # The budget ended inside the round: the journal has its beginning, and a larger budget asks for it again.
                between_rounds = False
                continue
            self.strategy.tell(trials, evaluations)
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
        if self.unplayed:
            return None if self.budget.queries is None else self.budget.spent(len(self.ledger), 0.0)
        return self.budget.spent(len(self.ledger), self._seconds())

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

    def _ask(self) -> Trials:
        """A round, or as many rounds as keep every worker busy."""
        # One thread, so that a trajectory does not depend on how many cores the machine has.
        with self.threads.limit(limits=1):
            if self.unplayed and self.executor.workers == 1:
                return self.strategy.ask_rounds(len(self.journal) - self.played)
            trials = self.strategy.ask()
            while 0 < len(trials) < self.executor.workers:
                more = self.strategy.ask(self.executor.workers - len(trials))
                if not len(more):
                    break
                trials = Trials(np.concatenate([trials.codes, more.codes]), np.concatenate([trials.ids, more.ids]))
        return trials

    def _evaluate(self, trials: Trials) -> Evaluations | None:
        """The answers to a round, new networks in order; None where the budget ended before the last of them."""
        networks = self.strategy.network_ids(trials.codes)
        numbers, new = networks.tolist(), {}
        for row, network in enumerate(numbers):
            if self.ledger.stateful:
                new[row] = row
            elif self.ledger.row_of(network) is None:
                new.setdefault(network, row)
        before = len(self.ledger)
        if self._answer(trials, networks, list(new.values())):
            return None
        if self.ledger.stateful:
            return self.ledger.queries.evaluations(range(before, len(self.ledger)))
        places = map(self.ledger.row_of, numbers)
        return self.ledger.queries.evaluations([place for place in places if place is not None])

    @property
    def unplayed(self) -> bool:
        """Whether the journal still answers in the evaluator's place."""
        return self.played < len(self.journal)

    @property
    def _replayable(self) -> int:
        """How many queries of the journal may be counted in one go: one where somebody looks on, or it may end the search."""
        if self.callbacks or self.budget.until_optimum or self.ledger.best_value is None:
            return 1
        known = len(self.journal) - self.played
        return known if self.budget.queries is None else min(known, self.budget.queries - len(self.ledger))

    def _answer(self, trials: Trials, networks: NDArray[np.uint64], rows: list[int]) -> bool:
        """Count the queries of a round, from the journal as far as it goes; whether the budget ended before the last."""
        replayed = 0
        while self.unplayed and replayed < len(rows):
            if self._stop() is not None:
                return True
            at_once = rows[replayed : replayed + self._replayable]
            known = self.journal.codes[self.played : self.played + len(at_once)]
            for place in np.flatnonzero((known != trials.codes[at_once]).any(axis=1)).tolist():
                raise RunFolderError(
                    f"query {self.played + place + 1} in the journal is {self.strategy.space.format(known[place])}, but the "
                    f"strategy now asks for {self.strategy.space.format(trials.codes[at_once[place]])}; the run was made by "
                    f"another version of frugalnas or its configuration was edited"
                )
            self.ledger.take(self.journal, self.played, self.played + len(at_once), networks[at_once])
            self.played += len(at_once)
            replayed += len(at_once)
            self._counted()
        rows = rows[replayed:]
        unspent = len(rows) if self.budget.queries is None else self.budget.queries - len(self.ledger)
        affordable = max(min(unspent, len(rows)), 0)
        todo, identities = trials.take(rows[:affordable]), networks[rows[:affordable]]
        first = len(self.ledger) + 1
        workdirs = [self.workdirs / f"{first + place:06d}" for place in range(len(todo))]
        answers = self.executor.run(self.evaluator, todo, workdirs)
        for place in range(len(todo)):
            if self._stop() is not None:
                return True
            answer, one = next(answers), slice(place, place + 1)
            if self.folder is not None:  # first, as what cannot be written has not happened
                metrics = {name: float(column[0]) for name, column in answer.metrics.items()}
                query = Query(todo.codes[place], float(answer.values[0]), metrics, answer.errors[0])
                self.folder.append(query.to_json(self.strategy.space, len(self.ledger) + 1))
            self.ledger.add(todo.codes[one], answer.values, answer.metrics, answer.errors, identities[one])
            self._counted()
        return affordable < len(rows)

    def _counted(self) -> None:
        """A query was counted: tell those who look on."""
        if time.perf_counter() - self.round_started > STATE_INTERVAL_S:
            self._write_timing()
        if self.callbacks:
            query = self.ledger.queries[-1]
            for callback in self.callbacks:
                callback.on_query(query, self.ledger)

    # -- state ---------------------------------------------------------------------------------------------------

    def _take_state(self) -> None:
        """Note where the run can be taken up again, which is between rounds only."""
        if self.folder is not None:
            self.state = {"queries": len(self.ledger), "strategy": self.strategy.state_dict()}

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
            self.folder.write_state({**self.state, "stop": stop, "optimum": self.evaluator.optimum})
        self.saved_at = time.perf_counter()

    def _write_timing(self) -> None:
        if self.folder is not None:
            now = time.perf_counter()
            self.folder.append(
                {"queries": len(self.ledger), "seconds": round(now - self.round_started, 6)}, "timing.jsonl"
            )
            self.round_started = now
