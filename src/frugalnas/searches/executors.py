"""Where evaluations happen: in this process, or in others that may crash or hang."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from frugalnas.errors import FrugalnasError, surroundings, told
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.interruption import interruptible
from frugalnas.searches.processes import Lost, Workers


class Executor(ABC):
    """Evaluates trials that are submitted and hands the answers back in the order submitted.

    An evaluation that raises costs its row; where the machine failed, as on a full disk, `Surroundings` is raised. Used as
    a context manager around a whole search.

    Attributes:
        workers: evaluations under way at once.
    """

    workers: int = 1

    @abstractmethod
    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """Take on trials, each with a folder of its own; what was under way before and not asked for is dropped."""

    @abstractmethod
    def completed(self) -> Evaluations:
        """The answers that come next, one row or more; waits for them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class SerialExecutor(Executor):
    """In this process, one after the other; a vectorised evaluator answers a whole round at once."""

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """Take on trials."""
        self._answers = self._evaluated(evaluator, trials, workdirs)

    def completed(self) -> Evaluations:
        """Evaluates the next one, or the whole round."""
        return next(self._answers)

    def _evaluated(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> Iterator[Evaluations]:
        if evaluator.vectorised and len(trials) > 1:
            answers = evaluate_safely(evaluator, trials, workdirs[0])
            if answers.ok.any():
                yield answers
                return
            # Where all of a round failed, one bad row may have spoiled the others: ask again, one by one.
        for row in range(len(trials)):
            yield evaluate_safely(evaluator, trials.take(slice(row, row + 1)), workdirs[row])


class ProcessExecutor(Executor):
    """In a pool of processes. One that crashes, or exceeds the time limit and is killed, costs its row.

    Args:
        workers: processes.
        timeout: seconds that one evaluation may take; None: for ever.
    """

    def __init__(self, *, workers: int = 1, timeout: float | None = None) -> None:
        if workers < 1:
            raise FrugalnasError(f"{workers} workers; at least one is needed")
        if timeout is not None and not 0 < timeout < math.inf:
            raise FrugalnasError(f"a time limit of {timeout} s; it has to be positive and finite")
        self.workers = workers
        self.timeout = timeout
        self._pool = Workers(workers)

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """As many rows as there are workers are under way at once."""
        tasks = [(evaluator, trials.take(slice(row, row + 1)), workdirs[row]) for row in range(len(trials))]
        self._answers = self._pool.run(evaluate_safely, tasks, self.timeout)

    def completed(self) -> Evaluations:
        """The next row."""
        answer = next(self._answers)
        return Evaluations.failed(1, f"the worker process {answer.why}") if isinstance(answer, Lost) else answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self._pool.__exit__(kind, error, trace)


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
