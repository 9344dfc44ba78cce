"""Look on while a run goes on: what callbacks are told, and one line of progress for all kinds of runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas.errors import worded

LINE_EVERY_S = 60.0
"""Seconds between lines where there is no terminal."""
DRAW_EVERY_S = 0.1


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


class Bar:
    """How far something has come, on standard error.

    At a terminal it is a bar (rich). Where there is none, it prints a line a minute, one whenever `update` is told to, and one
    at the end, so that a log shows that something goes on.

    Args:
        what: goes on.
        console: a rich console; None makes one on standard error.
        quiet: show nothing.
        share: show percent in place of numbers.
    """

    def __init__(self, what: str, *, console: Any = None, quiet: bool = False, share: bool = False) -> None:
        from rich.console import Console

        self.what, self.quiet, self.share = what, quiet, share
        self.console = console or Console(stderr=True)
        self.drawn = self.console.is_terminal or self.console.is_jupyter
        self._bar: Any = None
        self._begun: tuple[float, float] | None = None
        self._at = self._line_at = time.monotonic()
        self._unsaid: tuple[float, float | None, str, float | None] | None = None

    def update(
        self, done: float, total: float | None = None, said: str = "", *, left: float | None = None, line: bool = False
    ) -> None:
        """Show how far it has come.

        Args:
            done: of `total`.
            total: None where it is not known.
            said: how it goes.
            left: seconds; None estimates them from what was done since the first call.
            line: whether this is worth a line of its own.
        """
        if self.quiet:
            return
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, done
        self._unsaid = done, total, said, left
        if self.drawn:
            if line or now - self._at >= DRAW_EVERY_S or self._bar is None:
                self._draw(now)
        elif line or now - self._line_at >= LINE_EVERY_S:
            self._print(now)

    def close(self) -> None:
        """The last of it, also after an interruption."""
        if self._unsaid is not None:
            (self._draw if self.drawn else self._print)(time.monotonic())
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, now: float) -> None:
        done, total, said, left = self._taken(now)
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = ("{task.description}", "{task.fields[count]}", "{task.fields[left]}")
            told, count, rest = (TextColumn(text, markup=False) for text in columns)
            self._bar = Progress(told, BarColumn(), count, TimeElapsedColumn(), rest, console=self.console)
            self._task = self._bar.add_task(self.what, total=total, count="", left="")
            self._bar.start()
        about = "" if left is None else f"about {duration(left)} left"
        self._bar.update(
            self._task,
            completed=done,
            total=total,
            description=said or self.what,
            count=self._count(done, total),
            left=about,
        )

    def _print(self, now: float) -> None:
        assert self._begun is not None
        began = self._begun[0]
        done, total, said, left = self._taken(now)
        self._line_at = now
        parts = [f"{self.what}: {self._count(done, total)}", said, duration(now - began)]
        if left:
            parts.append(f"about {duration(left)} left")
        self.console.print("; ".join(filter(None, parts)), markup=False, highlight=False, soft_wrap=True)

    def _taken(self, now: float) -> tuple[float, float | None, str, float | None]:
        """What was to be shown, with the time that is left."""
        assert self._unsaid is not None
        assert self._begun is not None
        (done, total, said, left), (began, first) = self._unsaid, self._begun
        self._unsaid, self._at = None, now
        if left is None and total is not None and done > first:
            left = (now - began) / (done - first) * (total - done)
        return done, total, said, left

    def _count(self, done: float, total: float | None) -> str:
        if total is None:
            return f"{done:,.0f}"
        return f"{100 * done / max(total, 1):.0f} %" if self.share else f"{done:,.0f} of {total:,.0f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "45 s", "12 min", "3 h 20 min", "2 days 4 h"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    if hours < 36:
        return f"{minutes // 60} h {minutes % 60} min"
    days = hours // 24
    return f"{days} day{'s' if days > 1 else ''} {hours % 24} h"
