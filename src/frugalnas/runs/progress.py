"""Look on while a run goes on: what callbacks are told, and the line of progress that all kinds of runs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas.errors import worded
from frugalnas.progress import Bar


class Callback:
    """Is told what happens in a run of any kind; override what is of interest. An exception stops the run.

    One that defines `on_query(query, ledger)` besides is told by a search of every query that was evaluated (or, while
    resuming, read back) and counted: a `searches.Query`, and the `searches.Ledger` that it is the last of.
    """

    def on_start(self, done: int, total: int | None, notes: Sequence[str] = ()) -> None:
        """The run begins.

        Args:
            done: queries, steps or fits that were done before.
            total: of them, None where it is not known.
            notes: what was decided, for the user.
        """

    def on_stage(self, name: str, path: Path, doing: str) -> None:
        """A stage of a run that has several begins, or goes on; what follows is of it, up to `on_stop`.

        Args:
            name: of the stage.
            path: its folder.
            doing: what goes on in it.
        """

    def on_progress(self, done: int, said: str = "", *, left: float | None = None, worth_a_line: bool = False) -> None:
        """So many are done.

        Args:
            done: of the total.
            said: how it goes.
            left: an estimate of the seconds left, where the run has a better one than proportion.
            worth_a_line: whether a log should have it.
        """

    def on_record(self, record: Mapping[str, Any]) -> None:
        """A line has joined the journal."""

    def on_stop(self, result: Any) -> None:
        """The run is over; not called when it is interrupted."""


class Progress(Callback):
    """A bar with how it goes; where there is no terminal, a line now and then.

    Args:
        what: goes on.
        console: a rich console; None makes one on standard error.
        told: notes that were printed before; those printed here join them.
    """

    def __init__(self, what: str = "searching", *, console: Any = None, told: set[str] | None = None) -> None:
        self._bar = Bar(what, console=console)
        self._told = set() if told is None else told
        self._total: int | None = None

    def on_stage(self, name: str, path: Path, doing: str) -> None:
        """Print which, and begin a bar of its own."""
        self.close()
        self._bar = Bar(doing, console=self._bar.console)
        self._bar.console.print(f"stage {name}: {path}", markup=False, highlight=False, soft_wrap=True)

    def on_start(self, done: int, total: int | None, notes: Sequence[str] = ()) -> None:
        """Print the notes and show the bar."""
        for note in notes:
            if note not in self._told:
                self._bar.console.print(worded(note), markup=False, highlight=False, soft_wrap=True)
                self._told.add(note)
        self._total = total
        self._bar.update(done, total)

    def on_progress(self, done: int, said: str = "", *, left: float | None = None, worth_a_line: bool = False) -> None:
        """Advance it."""
        self._bar.update(done, self._total, said, left=left, line=worth_a_line)

    def on_stop(self, result: Any) -> None:
        """Take the bar down."""
        self.close()

    def close(self) -> None:
        """Take the bar down, also after an interruption."""
        self._bar.close()
