"""Look on while a search runs."""

from __future__ import annotations

from typing import Any

from frugalnas.runs.budget import Budget
from frugalnas.runs.ledger import Ledger, Query
from frugalnas.runs.result import SearchResult

__all__ = ["Callback", "Progress"]


class Callback:
    """Is told what happens in a search; override what is of interest. An exception stops the search."""

    def on_start(self, ledger: Ledger, budget: Budget) -> None:
        """The search begins; a resumed one has queries in its ledger."""

    def on_query(self, query: Query, ledger: Ledger) -> None:
        """A query was evaluated (or, while resuming, read back) and counted."""

    def on_stop(self, result: SearchResult) -> None:
        """The search is over; not called when it is interrupted."""


class Progress(Callback):
    """A progress bar with the best value so far (rich).

    Args:
        console: a rich console; None makes one on standard error.
    """

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )

    def on_start(self, ledger: Ledger, budget: Budget) -> None:
        """Show the bar."""
        self._task = self._bar.add_task("searching", total=budget.queries, completed=len(ledger))
        self._bar.start()

    def on_query(self, query: Query, ledger: Ledger) -> None:
        """Advance it."""
        best = "none yet" if ledger.best is None else f"{ledger.best.value:.3f}"
        self._bar.update(self._task, completed=len(ledger), description=f"best {best}")

    def on_stop(self, result: SearchResult) -> None:
        """Take the bar down."""
        self.close()

    def close(self) -> None:
        """Take the bar down, also after an interruption."""
        if self._bar.live.is_started:  # else it would print an empty line
            self._bar.stop()
