"""Ctrl-C, also through libraries that keep it to themselves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """What Ctrl-C raises inside is raised at the end at the latest.

    scikit-learn's multilayer perceptrons, for one, take Ctrl-C as the end of training and return what they have: a search would go
    on with a half-fitted predictor, and write another journal than it does undisturbed. Python raises KeyboardInterrupt in the main
    thread alone, so that elsewhere there is nothing to guard.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    raised: list[BaseException] = []

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            before(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if raised:
            raise raised[0]
