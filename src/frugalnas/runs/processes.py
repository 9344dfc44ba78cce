"""Many like tasks in processes of one thread each, answered in the order of the tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from frugalnas.errors import FrugalnasError

__all__ = ["Finished", "check_jobs", "in_order"]

Answer = TypeVar("Answer")

Finished = Callable[[int, int], None]
"""Is told how many tasks are done, and how many there are: at the start and after each."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def in_order(function: Callable[..., Answer], tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Answer]:
    """What `function` returns for the arguments of each task, in the order of the tasks.

    Args:
        function: of a module, so that another process finds it.
        tasks: arguments of each call.
        jobs: processes; with one the calls happen here.
    """
    if jobs == 1:
        for task in tasks:
            yield function(*task)
        return
    from pebble import ProcessPool

    with _one_thread_each(), ProcessPool(max_workers=jobs, context=get_context("spawn")) as pool:
        futures = [pool.schedule(function, args=task) for task in tasks]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def check_jobs(jobs: int) -> None:
    """Refuse less than one process."""
    if jobs < 1:
        raise FrugalnasError(f"--jobs {jobs}: at least one process is needed")


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
