"""Look on while a search runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from frugalnas.runs.progress import Callback


class NotebookProgress(Callback):
    """A progress bar beneath a notebook's cell, with the best value so far."""

    REFRESH_S = 0.2

    def on_start(self, done: int, total: int | None, notes: Sequence[str] = ()) -> None:
        """Show the bar."""
        from IPython.display import display  # type: ignore[import-not-found]

        self._most, self._shown_at = total, time.monotonic()
        self._cell = display(self._bar(done, "best none yet"), display_id=True)

    def on_progress(self, done: int, said: str = "", *, left: float | None = None, worth_a_line: bool = False) -> None:
        """Advance it, a few times a second."""
        now = time.monotonic()
        if now - self._shown_at > self.REFRESH_S or done == self._most:
            self._shown_at = now
            self._cell.update(self._bar(done, said))

    def _bar(self, done: int, said: str) -> Any:
        from IPython.display import HTML

        length = "" if self._most is None else f' max="{self._most}" value="{done}"'
        of = "" if self._most is None else f" of {self._most:,}"
        return HTML(f"<progress{length}></progress> {done:,}{of} queries, {said}")


def notebook_progress() -> list[Callback]:
    """What looks on where nobody says who should: a bar in a notebook, nothing elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    in_notebook = any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)
    return [NotebookProgress()] if in_notebook else []
