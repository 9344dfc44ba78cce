"""Where evaluations happen: in this process, or in others that may crash or hang."""

from __future__ import annotations

import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as EvaluationTimeout
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials

__all__ = ["Executor", "ProcessExecutor", "SerialExecutor"]


class Executor(ABC):
    """Evaluates the trials of a round and hands the answers back one by one, in the order asked.

    An evaluation that raises costs its row. Used as a context manager around a whole search.

    Attributes:
        workers: evaluations under way at once.
    """

    workers: int = 1

    @abstractmethod
    def run(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> Iterator[Evaluations]:
        """One row after the other, in the order of the trials; `workdirs` has one folder for each."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class SerialExecutor(Executor):
    """In this process, one after the other; a vectorised evaluator answers a whole round at once."""

    def run(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> Iterator[Evaluations]:
        """One row after the other."""
        if evaluator.vectorised and len(trials) > 1:
            answers = evaluate_safely(evaluator, trials, workdirs[0])
            if answers.ok.any():
                for row in range(len(trials)):
                    metrics = {name: column[row : row + 1] for name, column in answers.metrics.items()}
                    yield Evaluations(answers.values[row : row + 1], metrics, answers.errors[row : row + 1])
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
        self._pool: Any = None

    def run(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> Iterator[Evaluations]:
        """All rows are under way at once; answers come in order."""
        if self._pool is None:
            from pebble import ProcessPool

            self._pool = ProcessPool(max_workers=self.workers, context=get_context("spawn"))
        tasks = [(evaluator, trials.take(slice(row, row + 1)), workdirs[row]) for row in range(len(trials))]
        try:
            # Packed here and unpacked by our own function: a pool whose workers fail to unpack a task hangs.
            packed = [pickle.dumps(task) for task in tasks]
        except Exception as error:
            raise FrugalnasError(f"the evaluator cannot be sent to worker processes: {error}") from None
        futures = [self._pool.schedule(_evaluate_packed, args=(task,), timeout=self.timeout) for task in packed]
        try:
            for future in futures:
                yield self._answer(future)
        finally:
            for future in futures:
                future.cancel()

    def _answer(self, future: Any) -> Evaluations:
        try:
            answer: Evaluations | str = future.result()
        except EvaluationTimeout:
            return Evaluations.failed(1, f"took longer than {self.timeout:g} s and was stopped")
        except Exception as error:  # the worker died, or its answer cannot be sent
            return Evaluations.failed(1, f"the worker process failed: {error}")
        if isinstance(answer, str):
            raise FrugalnasError(f"the worker processes cannot load the evaluator: {answer}")
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers, at once where the search was interrupted."""
        if self._pool is not None:
            self._pool.close() if kind is None else self._pool.stop()
            self._pool.join()
            self._pool = None


def _evaluate_packed(task: bytes) -> Evaluations | str:
    """The answer of a worker process, or why it cannot load the evaluator."""
    try:
        evaluator, trials, workdir = pickle.loads(task)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return evaluate_safely(evaluator, trials, workdir)


def evaluate_safely(evaluator: Evaluator, trials: Trials, workdir: Path) -> Evaluations:
    """What the evaluator says; where it raises or answers out of form, failed rows that say why."""
    try:
        answer = evaluator.evaluate(trials, workdir)
        if not isinstance(answer, Evaluations):
            raise FrugalnasError(f"evaluate() returned {type(answer).__name__}; it has to return Evaluations")
        if len(answer) != len(trials):
            raise FrugalnasError(f"evaluate() returned {len(answer)} rows for {len(trials)} trials")
    except (Exception, SystemExit) as error:
        return Evaluations.failed(len(trials), f"{type(error).__name__}: {error}")
    return answer
