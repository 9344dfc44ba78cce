"""Tasks in other processes, answered in order or as they come; a process that dies or hangs costs its own task alone."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from typing_extensions import Self

from frugalnas.errors import FrugalnasError, Surroundings, surroundings, told

Answer = TypeVar("Answer")

Finished = Callable[[int, int], None]
"""Is told how many tasks are done, and how many there are: at the start and after each."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LOOK_S = 0.5
"""A process that dies usually closes its pipe; one whose own children keep it open is noticed after this time."""
GRACE_S = 5.0
"""How long a process that was told to stop may take."""


@dataclass(frozen=True)
class Lost:
    """What stands in place of an answer.

    Attributes:
        why: what became of the process, such as "was killed by SIGKILL".
    """

    why: str


class Workers:
    """Processes of one task at a time, each with a pipe of its own, so that none takes another's answer with it.

    They start when they are first needed, keep what they have imported, and end with the context.

    Args:
        most: processes at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._answers: dict[int, Any] = {}

    def run(
        self, function: Callable[..., Answer], tasks: Sequence[tuple[Any, ...]], timeout: float | None = None
    ) -> Iterator[Answer | Lost]:
        """What `function` returns for the arguments of each task, in their order; as `submit` and `completed` have it."""
        try:
            self.submit(function, dict(enumerate(tasks)))
            for number in range(len(tasks)):
                yield self.completed(timeout, number)[1]
        finally:
            self.drop()

    def submit(self, function: Callable[..., Any], tasks: Mapping[int, tuple[Any, ...]]) -> None:
        """Take on tasks beside those that are under way.

        Args:
            function: of a module, so that another process finds it. What it raises, `completed` raises.
            tasks: arguments of each call, by a number of its own.

        Raises:
            FrugalnasError: where tasks cannot be sent.
        """
        try:
            self._waiting.extend([(number, pickle.dumps((function, task))) for number, task in tasks.items()])
        except Exception as error:
            raise FrugalnasError(f"this cannot be sent to worker processes: {told(error)}") from None

    def completed(self, timeout: float | None = None, number: int | None = None) -> tuple[int, Any]:
        """The number of a task that is done, and its answer: `Lost` where the process died or took too long.

        Args:
            timeout: seconds that one call may take, loading its arguments not counted; None: for ever.
            number: the task that is waited for; None: whichever is done first.

        Raises:
            FrugalnasError: where tasks cannot be loaded, or no process can be started.
        """
        while not self._answers if number is None else number not in self._answers:
            while self._waiting and len(self._busy) < self.most:
                place, task = self._waiting.popleft()
                self._busy[place] = self._worker()
                self._busy[place].give(task)
            wait([worker.pipe for worker in self._busy.values()], _patience(self._busy.values(), timeout))
            for place, worker in list(self._busy.items()):
                heard = worker.look(timeout)
                if heard is not None:
                    (self._answers[place],) = heard
                    del self._busy[place]
                    if worker.idle:
                        self._idle.append(worker)
        done = next(iter(self._answers)) if number is None else number
        answer = self._answers.pop(done)
        if isinstance(answer, _Raised):
            raise answer.error
        return done, answer

    def drop(self) -> None:
        """Forget what is under way."""
        for worker in self._busy.values():
            worker.stop()
        for kept in (self._busy, self._waiting, self._answers):
            kept.clear()

    def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.process.is_alive():
                return worker
        try:
            return _Worker()
        except OSError as error:
            raise surroundings(error) or Surroundings(
                f"no worker process can be started ({error.strerror}); use fewer workers"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """End the processes."""
        self.drop()
        for worker in self._idle:
            worker.pipe.close()
        for worker in self._idle:
            worker.stop()
        self._idle.clear()


@dataclass(frozen=True)
class _Raised:
    """An exception on its way to the parent."""

    error: BaseException


class _Worker:
    """One process and the task that it has."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.ready = self.idle = False
        self.task = b""
        self.began: float | None = None

    def give(self, task: bytes) -> None:
        """Send a task, now or once the process is ready."""
        self.idle, self.task = False, task
        if self.ready:
            with suppress(OSError):  # it has died, which is seen next
                self.pipe.send_bytes(task)

    def look(self, timeout: float | None) -> tuple[Any] | None:
        """What became of the task, None while it is under way."""
        alive = self.process.is_alive()  # before the pipe is looked into: a last word may be there
        try:
            if self.pipe.poll():
                return self._heard(*pickle.loads(self.pipe.recv_bytes()))
        except (EOFError, OSError):
            alive = False
        if not alive:
            return (self._dead(),)
        if timeout is not None and self.began is not None and time.monotonic() > self.began + timeout:
            self.stop()
            return (Lost(f"took longer than {timeout:g} s and was stopped"),)
        return None

    def _heard(self, what: str, content: Any) -> tuple[Any] | None:
        if what == "ready":
            self.ready = True
            self.give(self.task)
        elif what == "begun":
            self.began = time.monotonic()
        else:
            self.idle, self.began = True, None
            return (content,)
        return None

    def _dead(self) -> Lost:
        self.stop()
        code = self.process.exitcode or 0
        killed = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
        why = f"was killed by {killed}" if code < 0 else f"ended with exit code {code}"
        if not self.ready:
            raise FrugalnasError(
                f"a worker process {why} while it started; a script that uses workers does its work under "
                f"if __name__ == '__main__':"
            )
        return Lost(why)

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        if not self.idle:
            self.process.terminate()  # an idle one ends with its pipe
        self.process.join(GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _patience(busy: Any, timeout: float | None) -> float:
    """How long to wait for word, until the next one is late at most."""
    began = [worker.began for worker in busy if worker.began is not None]
    if timeout is None or not began:
        return LOOK_S
    return max(min(LOOK_S, min(began) + timeout - time.monotonic()), 0.0)


def _serve(pipe: Connection) -> None:
    """A worker's life: load a task, say so, do it, answer; it ends when nobody is left to answer to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and decides
    signal.signal(signal.SIGTERM, _leave)
    try:
        pipe.send_bytes(pickle.dumps(("ready", None)))
        while True:
            task = pipe.recv_bytes()
            try:
                function, arguments = pickle.loads(task)
            except Exception as error:
                said = FrugalnasError(f"the worker processes cannot load what they are to do: {told(error)}")
                pipe.send_bytes(pickle.dumps(("answer", _Raised(said))))
                continue
            pipe.send_bytes(pickle.dumps(("begun", None)))
            try:
                answer = pickle.dumps(("answer", function(*arguments)))
            except (Exception, SystemExit) as error:
                answer = _packed(error)
            pipe.send_bytes(answer)
    except (EOFError, OSError):
        return


def _packed(error: BaseException) -> bytes:
    """An exception for the parent; one that cannot travel, in words."""
    try:
        packed = pickle.dumps(("answer", _Raised(error)))
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(("answer", _Raised(RuntimeError(told(error)))))
    return packed


def _leave(*_: object) -> None:
    """End at once, with the processes that an evaluation has started."""
    for child in active_children():
        child.terminate()
    os._exit(128 + signal.SIGTERM)


def in_order(
    function: Callable[..., Answer],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int,
    named: Callable[[tuple[Any, ...]], str],
    again: str,
) -> Iterator[Answer]:
    """What `function` returns for the arguments of each task, in the order of the tasks.

    A process that dies does not keep the other tasks from being done.

    Args:
        function: of a module, so that another process finds it.
        tasks: arguments of each call.
        jobs: processes; with one the calls happen here.
        named: what people call a task.
        again: how what was lost is done again.

    Raises:
        Surroundings: in the end, where processes died, naming their tasks.
    """
    if jobs == 1:
        for task in tasks:
            yield function(*task)
        return
    lost = []
    with _one_thread_each(), Workers(jobs) as workers:
        for task, answer in zip(tasks, workers.run(function, tasks), strict=True):
            if isinstance(answer, Lost):
                lost.append(f"{named(task)} {answer.why}")
            else:
                yield answer
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise Surroundings(f"the process of {lost[0]}{more}; {again}, with fewer `jobs` if memory is short")


def check_jobs(jobs: int) -> None:
    """Refuse less than one process."""
    if jobs < 1:
        raise FrugalnasError(f"`jobs` {jobs}: at least one process is needed")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children started inside use one thread each: more would fight over the cores."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
