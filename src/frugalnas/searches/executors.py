"""Where evaluations happen: in this process, or in others that may crash or hang."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, surroundings, told
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.interruption import interruptible
from frugalnas.searches.processes import Lost, Workers
from frugalnas.spaces import IntArray


class Executor(ABC):
    """Evaluates trials that are submitted and hands back the answers.

    An evaluation that raises costs its row; where the machine failed, as on a full disk, `Surroundings` is raised. Used as
    a context manager around a whole search.

    Attributes:
        workers: evaluations under way at once.
        ordered: whether answers come in the order submitted. A search tells its strategy of whole rounds then. Otherwise answers
            come as they are there, each is told at once, and the strategy is asked for one more whenever a worker is free.
    """

    workers: int = 1
    ordered: bool = True

    @abstractmethod
    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """Take on trials, each with a folder of its own, beside those that are under way."""

    @abstractmethod
    def completed(self) -> tuple[IntArray, Evaluations]:
        """The ids of the trials that are done next, one or more, and their answers; waits for them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        return None


class SerialExecutor(Executor):
    """In this process, one after the other; a vectorised evaluator answers a whole round at once."""

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """Take on trials; those before are done."""
        self._answers = self._evaluated(evaluator, trials, workdirs)

    def completed(self) -> tuple[IntArray, Evaluations]:
        """Evaluates the next one, or the whole round."""
        return next(self._answers)

    def _evaluated(
        self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]
    ) -> Iterator[tuple[IntArray, Evaluations]]:
        if evaluator.vectorised and len(trials) > 1:
            answers = evaluate_safely(evaluator, trials, workdirs[0])
            if answers.ok.any():
                yield trials.ids, answers
                return
            # Where all of a round failed, one bad row may have spoiled the others: ask again, one by one.
        for row in range(len(trials)):
            one = trials.take(slice(row, row + 1))
            yield one.ids, evaluate_safely(evaluator, one, workdirs[row])


class ProcessExecutor(Executor):
    """In a pool of processes. One that crashes, or exceeds the time limit and is killed, costs its row.

    Args:
        workers: processes.
        timeout: seconds that one evaluation may take; None: for ever.
        ordered: whether rounds are told whole, in the order asked, so that the search goes the same way again. Otherwise each
            answer is told as it comes, and no worker waits for another.
    """

    def __init__(self, *, workers: int = 1, timeout: float | None = None, ordered: bool = True) -> None:
        if workers < 1:
            raise FrugalnasError(f"{workers} workers; at least one is needed")
        if timeout is not None and not 0 < timeout < math.inf:
            raise FrugalnasError(f"a time limit of {timeout} s; it has to be positive and finite")
        self.workers = workers
        self.timeout = timeout
        self.ordered = ordered
        self._pool = Workers(workers)
        self._order: deque[int] = deque()

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """As many rows as there are workers are under way at once."""
        ids = trials.ids.tolist()
        rows = range(len(ids))
        tasks = {ids[row]: (evaluator, trials.take(slice(row, row + 1)), workdirs[row]) for row in rows}
        self._pool.submit(evaluate_safely, tasks)
        self._order.extend(ids)

    def completed(self) -> tuple[IntArray, Evaluations]:
        """The next row, in order or as it comes."""
        trial, answer = self._pool.completed(self.timeout, self._order[0] if self.ordered else None)
        self._order.remove(trial)
        if isinstance(answer, Lost):
            answer = Evaluations.failed(1, f"the worker process {answer.why}")
        return np.array([trial]), answer

    def __exit__(self, *raised: object) -> None:
        """End the workers."""
        self._order.clear()
        self._pool.__exit__(*raised)


def evaluate_safely(evaluator: Evaluator, trials: Trials, workdir: Path) -> Evaluations:
    """What the evaluator says; where it raises or answers out of form, failed rows that say why.

    Raises:
        Surroundings: where the machine failed, which says nothing about the architectures.
    """
    try:
        with interruptible():
            answer = evaluator.evaluate(trials, workdir)
        if not isinstance(answer, Evaluations):
            raise FrugalnasError(f"evaluate() returned {type(answer).__name__}; it has to return Evaluations")
        if len(answer) != len(trials):
            raise FrugalnasError(f"evaluate() returned {len(answer)} rows for {len(trials)} trials")
    except (Exception, SystemExit) as error:
        lack = surroundings(error)
        if lack is not None:
            raise lack from error
        return Evaluations.failed(len(trials), told(error))
    return answer
