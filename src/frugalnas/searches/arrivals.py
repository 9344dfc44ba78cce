"""A search that tells each answer as it comes, while others are under way."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.searches.ledger import Key, Marks, folder_name, keys
from frugalnas.searches.loop import FRUITLESS_ASKS, NOTHING_NEW, Loop


class Arrivals(Loop):
    """Whenever a worker is free, the strategy is asked for one more.

    So what was asked when follows from what was told when: the journal needs the id of the trial that each query answers, and
    nothing else. For that, trials are asked for whatever is left of the budget, which only keeps the last of them from being
    evaluated. Trials that were under way when a run was killed are asked for again and evaluated again, in the folder
    of their id.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.waiting: dict[Key, Trials] = {}
        """Trials without an answer, by what they ask for: the first is evaluated, others of the same network wait for it."""
        self.key_of: dict[int, Key] = {}
        """Of those that are evaluated, by their id."""
        self.fruitless = 0
        """Asks in a row that brought no new network."""
        self.begun: set[int] = set()
        self.arrived: deque[tuple[int, Evaluations]] = deque()

    def _turn(self) -> str | None:
        nothing = self._fill()
        if not self.waiting:
            return nothing
        trials = self._replayed() if self.unplayed else self._answered()
        answer = self.ledger.queries.evaluations([len(self.ledger) - 1] * len(trials))
        self.strategy.tell(trials, answer)
        return None

    def _fill(self) -> str:
        """Ask until every worker has something to do, or the strategy nothing to ask for, and why.

        A strategy that has found nothing new so often is asked but once after each further answer, from which it may have
        learned, and as often again when no answer is to come.
        """
        if not self.waiting:
            self.fruitless = 0
        while len(self.waiting) < self.executor.workers:
            before = len(self.waiting)
            with self.threads.limit(limits=1):  # so that a trajectory does not depend on the machine's cores
                trials = self._checked(self.strategy.ask(self.executor.workers - before))
            if not len(trials):
                return "the space is exhausted"
            if trials.group is not None:
                raise FrugalnasError(
                    f"{type(self.strategy).__name__} asks for groups, which are told whole; search with an executor that has "
                    f"ordered = True"
                )
            for row, key in enumerate(keys(self.strategy.network_ids(trials.codes), trials.fidelity)):
                self._wait(key, trials.take(slice(row, row + 1)))
            self.fruitless = 0 if len(self.waiting) > before else self.fruitless + 1
            if self.fruitless >= FRUITLESS_ASKS:
                break
        return NOTHING_NEW

    def _wait(self, key: Key, trial: Trials) -> None:
        """A trial that was asked for; it is told at once where its answer is known."""
        place = self.ledger.row_of(key)
        if place is not None:
            self.strategy.tell(trial, self.ledger.queries.evaluations([place]))
        elif key in self.waiting:
            self.waiting[key] = self.waiting[key].joined(trial)
        else:
            self.waiting[key] = trial
            self.key_of[int(trial.ids[0])] = key

    def _replayed(self) -> Trials:
        """The trials that the next query in the journal answers."""
        (number,) = self.journal.marks(slice(self.played, self.played + 1)).get("trial", np.array([np.nan]))
        trial = -1 if np.isnan(number) else int(number)
        if trial not in self.key_of:
            which = "names no trial" if trial < 0 else f"answers trial {trial}, which the strategy does not ask for now"
            raise RunFolderError(
                f"query {self.played + 1} in the journal {which}; the run was made by another version of frugalnas or its "
                f"configuration was edited"
            )
        trials, network = self._taken(trial)
        self._play(trials.take(slice(0, 1)), network)
        return trials

    def _answered(self) -> Trials:
        """The trials that are answered next, counted."""
        self._submit()
        while not self.arrived:
            ids, answers = self.executor.completed()
            self.arrived += [(trial, answers.take(slice(row, row + 1))) for row, trial in enumerate(ids.tolist())]
        trial, answer = self.arrived.popleft()
        self.begun.remove(trial)
        trials, network = self._taken(trial)
        self._count(trials.take(slice(0, 1)), answer, network)
        return trials

    def _taken(self, trial: int) -> tuple[Trials, Any]:
        key = self.key_of.pop(trial)
        return self.waiting.pop(key), np.array([key[0] if isinstance(key, tuple) else key], np.uint64)

    def _submit(self) -> None:
        """Have the executor begin what it has not begun, as far as the budget goes."""
        most = np.inf if self.budget.queries is None else self.budget.queries - len(self.ledger)
        for trial, key in self.key_of.items():
            if trial not in self.begun and len(self.begun) < most:
                self.begun.add(trial)
                folder = self.workdirs / folder_name(trial=trial)
                self.executor.submit(self.evaluator, self.waiting[key].take(slice(0, 1)), [folder])

    def _marks(self, trials: Trials) -> Marks:
        return {"trial": trials.ids.astype(np.float64), **super()._marks(trials)}

    def _state(self) -> dict[str, Any]:
        waiting = [trials.take(slice(row, row + 1)) for trials in self.waiting.values() for row in range(len(trials))]
        pending = [
            {"trial": int(one.ids[0]), "code": one.codes[0].tolist(), "fidelity": _number(one)} for one in waiting
        ]
        return {**super()._state(), "pending": pending, "fruitless": self.fruitless}

    def _restore(self, state: dict[str, Any]) -> None:
        pending = []  # all of them first, so that a state that is none leaves nothing
        for known in state["pending"]:
            codes = self.strategy.space.as_codes([known["code"]])
            fidelity = None if known["fidelity"] is None else np.array([known["fidelity"]], np.float64)
            (key,) = keys(self.strategy.network_ids(codes), fidelity)
            pending.append((key, Trials(codes, np.array([known["trial"]]), None, fidelity)))
        self.fruitless = int(state.get("fruitless", 0))
        super()._restore(state)
        for key, trial in pending:
            self._wait(key, trial)


def _number(trial: Trials) -> float | None:
    """The fidelity of one trial, None where it has none."""
    level = np.nan if trial.fidelity is None else float(trial.fidelity[0])
    return None if np.isnan(level) else level
