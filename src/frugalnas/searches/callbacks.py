"""Look on while a search runs."""

from __future__ import annotations

import sys
import time
from typing import Any

from frugalnas.runs.progress import Bar
from frugalnas.searches.budget import Budget
from frugalnas.searches.ledger import Ledger, Query
from frugalnas.searches.result import SearchResult

__all__ = ["Callback", "NotebookProgress", "Progress", "notebook_progress"]


class Callback:
    """Is told what happens in a search; override what is of interest. An exception stops the search."""

    def on_start(self, ledger: Ledger, budget: Budget) -> None:
        """The search begins; a resumed one has queries in its ledger."""

    def on_query(self, query: Query, ledger: Ledger) -> None:
        """A query was evaluated (or, while resuming, read back) and counted."""

    def on_stop(self, result: SearchResult) -> None:
        """The search is over; not called when it is interrupted."""


class Progress(Callback):
    """A progress bar with the best value so far; where there is no terminal, a line a minute.

    Args:
        console: a rich console; None makes one on standard error.
    """

    def __init__(self, console: Any = None) -> None:
        self._bar = Bar("searching", console=console)

    def on_start(self, ledger: Ledger, budget: Budget) -> None:
        """Show the bar."""
        self._most = budget.queries
        self._bar.update(len(ledger), self._most)

    def on_query(self, query: Query, ledger: Ledger) -> None:
        """Advance it."""
        best = "none yet" if ledger.best is None else f"{ledger.best.value:.3f}"
        self._bar.update(len(ledger), self._most, f"best {best}")

    def on_stop(self, result: SearchResult) -> None:
        """Take the bar down."""
        self.close()

    def close(self) -> None:
        """Take the bar down, also after an interruption."""
        self._bar.close()


class NotebookProgress(Callback):
    """A progress bar beneath a notebook's cell, with the best value so far."""

    REFRESH_S = 0.2

    def on_start(self, ledger: Ledger, budget: Budget) -> None:
        """Show the bar."""
        from IPython.display import display  # type: ignore[import-not-found]

        self._most, self._shown_at = budget.queries, time.monotonic()
        self._cell = display(self._bar(ledger), display_id=True)

    def on_query(self, query: Query, ledger: Ledger) -> None:
        """Advance it, a few times a second."""
        now = time.monotonic()
        if now - self._shown_at > self.REFRESH_S or len(ledger) == self._most:
            self._shown_at = now
            self._cell.update(self._bar(ledger))

    def _bar(self, ledger: Ledger) -> Any:
        from IPython.display import HTML

        best = "none yet" if ledger.best is None else f"{ledger.best.value:.6g}"
        length = "" if self._most is None else f' max="{self._most}" value="{len(ledger)}"'
        of = "" if self._most is None else f" of {self._most:,}"
        return HTML(f"<progress{length}></progress> {len(ledger):,}{of} queries, best {best}")


def notebook_progress() -> list[Callback]:
    """What looks on where nobody says who should: a bar in a notebook, nothing elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    in_notebook = any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)
    return [NotebookProgress()] if in_notebook else []
