"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.runs.shown import Shown
from frugalnas.searches.ledger import Queries, Query, usual_error
from frugalnas.spaces import Codes, SearchSpace


@dataclass(frozen=True, repr=False)
class SearchResult(Shown):
    """The queries of a search, in order.

    Attributes:
        space: what was searched.
        queries: every evaluation that was paid for.
        stop: why the search ended.
        seconds: wall time, summed over interruptions.
        optimum: the best value that any architecture has, where the evaluator knows it.
        run_dir: the run's folder, None where nothing was written.
    """

    space: SearchSpace
    queries: Queries
    stop: str
    seconds: float
    optimum: float | None = None
    run_dir: Path | None = None

    @property
    def codes(self) -> Codes:
        """Architectures as they were asked for, shape [queries, genes]."""
        return self.queries.codes

    @property
    def values(self) -> NDArray[np.float64]:
        """What they were worth, NaN where the evaluation failed, shape [queries]."""
        return self.queries.values

    @property
    def best(self) -> Query:
        """The query with the highest value among those of the highest fidelity at which any succeeded, the earliest of equals.

        Raises:
            FrugalnasError: where every evaluation failed.
        """
        if not np.isfinite(self.values).any():
            why = usual_error(self.queries)
            raise FrugalnasError(f"no evaluation succeeded: {self.stop if why in self.stop else why}")
        return self.queries[self.best_row]

    @property
    def best_row(self) -> int:
        """The place of the best query, from 0."""
        return int(np.argmax(self._standing))

    @property
    def architecture(self) -> str:
        """The best architecture in the space's notation."""
        return self.space.format(self.best.code)

    @property
    def best_so_far(self) -> NDArray[np.float64]:
        """What the best query so far is worth after each query, NaN before the first success, shape [queries].

        It falls where a higher fidelity begins.
        """
        standing = self._standing
        best = np.maximum.accumulate(np.where(standing == np.maximum.accumulate(standing), np.arange(len(standing)), 0))
        return self.values[best]

    @property
    def _standing(self) -> NDArray[np.float64]:
        """A number that is the larger the better a query is, minus infinity where it failed, shape [queries]."""
        found, levels = np.isfinite(self.values), self.queries.levels
        if levels is None:
            return np.where(found, self.values, -np.inf)
        order = np.unique(np.column_stack([levels, np.where(found, self.values, 0.0)]), axis=0, return_inverse=True)[1]
        return np.where(found, order.ravel(), -np.inf)

    @property
    def queries_to_optimum(self) -> int | None:
        """How many queries it took to find the optimum, None where it is unknown or was not found."""
        if self.optimum is None:
            return None
        found = np.flatnonzero(self.values >= self.optimum)
        return int(found[0]) + 1 if found.size else None

    def facts(self) -> dict[str, str]:
        """The best architecture, how many queries it took, and why the search ended."""
        failed = int(np.isnan(self.values).sum())
        found = {}
        if failed < len(self.values):
            found = {"best": f"{self.best.value:.6g}", "architecture": self.architecture}
        asked = f"{len(self.values):,}" + (f" ({failed:,} failed)" if failed else "")
        where = {} if self.run_dir is None else {"run_dir": str(self.run_dir)}
        return {**found, "queries": asked, "seconds": f"{self.seconds:.1f}", "stop": self.stop, **where}
