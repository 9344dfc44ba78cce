"""A search in rounds: the strategy is told of a whole round before it is asked again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.evaluation import Evaluations, Trials
from frugalnas.searches.ledger import Key, folder_name, keys
from frugalnas.searches.loop import FRUITLESS_ASKS, NOTHING_NEW, Loop


class Rounds(Loop):
    """Answers are counted and told in the order asked, so that the journal is the same however long each takes.

    The journal has the beginning of a round that was cut off; resumed, the strategy asks for it again.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fruitless = 0
        """Rounds in a row that brought no new network."""

    def _turn(self) -> str | None:
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
        self.fruitless = self.fruitless + 1 if len(self.ledger) == before else 0
        return NOTHING_NEW if self.fruitless == FRUITLESS_ASKS else None

    def _ask(self) -> list[Trials]:
        """A round, or as many rounds as keep every worker busy; none follows one that has groups."""
        # One thread, so that a trajectory does not depend on how many cores the machine has.
        with self.threads.limit(limits=1):
            if self.unplayed and self.executor.workers == 1:
                return [self._checked(self.strategy.ask_rounds(len(self.journal) - self.played))]
            rounds = [self.strategy.ask()]
            idle = self.executor.workers - len(rounds[0])
            while len(rounds[0]) and rounds[-1].group is None and idle > 0:
                more = self.strategy.ask(idle)
                if not len(more):
                    break
                rounds.append(more)
                idle -= len(more)
        return [self._checked(trials) for trials in rounds]

    def _evaluate(self, trials: Trials) -> Evaluations | None:
        """The answers to a round, new networks in order; None where the budget ended before the last of them."""
        networks = self.strategy.network_ids(trials.codes)
        asked = keys(networks, trials.fidelity)
        new: dict[Key, int] = {}
        for row, key in enumerate(asked):
            if self.ledger.stateful:
                new[row] = row
            elif self.ledger.row_of(key) is None:
                new.setdefault(key, row)
        before, rows = len(self.ledger), list(new.values())
        if not self._answer(trials.take(rows), networks[rows]):
            return None
        if self.ledger.stateful:
            return self.ledger.queries.evaluations(range(before, len(self.ledger)))
        places = map(self.ledger.row_of, asked)
        return self.ledger.queries.evaluations([place for place in places if place is not None])

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
            self._play(trials.take(rows), networks[rows])
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
                self._count(trials.take(places), part, networks[places])
                start, done = rows.stop, places.stop
        return done == len(trials)

    def _answers(self, todo: Trials) -> Iterator[Evaluations]:
        """What the executor says of trials, in their order; the next ones are waited for only when they are wanted."""
        first, given = len(self.ledger) + 1, 0
        if len(todo):
            self.executor.submit(
                self.evaluator, todo, [self.workdirs / folder_name(first + row) for row in range(len(todo))]
            )
        while given < len(todo) and self._stop() is None:
            _, answers = self.executor.completed()
            given += len(answers)
            yield answers
