"""One line on how far something has come, for whoever waits for it."""

from __future__ import annotations

import time
from typing import Any

LINE_EVERY_S = 60.0
"""Seconds between lines where there is no terminal."""
DRAW_EVERY_S = 0.1


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
