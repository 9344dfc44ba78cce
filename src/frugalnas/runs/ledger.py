"""Honest accounting: a query is a distinct network evaluated, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frugalnas.evaluation import Evaluations
from frugalnas.spaces import Codes, SearchSpace

__all__ = ["Ledger", "Query", "usual_error"]


@dataclass(frozen=True)
class Query:
    """One evaluation that was paid for.

    Attributes:
        code: the architecture as it was asked for, shape [genes].
        value: what is maximised, NaN where the evaluation failed.
        metrics: further measurements.
        error: why it failed, None where it did not.
    """

    code: Codes
    value: float
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def from_row(cls, code: Codes, evaluations: Evaluations, row: int) -> Query:
        """The query that one row of evaluations makes."""
        metrics = {name: float(column[row]) for name, column in evaluations.metrics.items()}
        return cls(np.array(code), float(evaluations.values[row]), metrics, evaluations.errors[row])

    def to_json(self, space: SearchSpace, number: int) -> dict[str, Any]:
        """A journal line's content; `number` counts from 1."""
        finite = {name: value if np.isfinite(value) else None for name, value in self.metrics.items()}
        return {
            "query": number,
            "code": self.code.tolist(),
            "architecture": space.format(self.code),
            "value": self.value if np.isfinite(self.value) else None,
            "metrics": finite,
            "error": self.error,
        }

    @classmethod
    def from_json(cls, line: dict[str, Any], space: SearchSpace) -> Query:
        """The inverse of `to_json`."""
        metrics = {name: np.nan if value is None else float(value) for name, value in line["metrics"].items()}
        value = np.nan if line["value"] is None else float(line["value"])
        return cls(space.as_codes(line["code"]), value, metrics, line["error"])


def usual_error(queries: Sequence[Query]) -> str:
    """The most frequent reason for which queries failed."""
    errors = Counter(query.error for query in queries if query.error is not None)
    return errors.most_common(1)[0][0] if errors else "nothing was evaluated"


class Ledger:
    """The queries of one search, in order.

    The same network asked for again, under whatever code, is answered from the record and costs nothing: the label is that
    of the code first asked for. With a stateful evaluator, whose answers change, every evaluation counts.

    Args:
        space: decides which codes are the same network.
        stateful: whether the evaluator's answers depend on what came before.
    """

    def __init__(self, space: SearchSpace, *, stateful: bool = False) -> None:
        self.space = space
        self.stateful = stateful
        self.queries: list[Query] = []
        self.best: Query | None = None
        self._by_network: dict[int, Query] = {}

    def __len__(self) -> int:
        return len(self.queries)

    def add(self, query: Query) -> None:
        """Count one evaluation."""
        self.queries.append(query)
        self._by_network[int(self.space.networks(query.code[None])[0])] = query
        if np.isfinite(query.value) and (self.best is None or query.value > self.best.value):
            self.best = query

    def known(self, network: int) -> Query | None:
        """The record of a network, None where it has to be evaluated."""
        return None if self.stateful else self._by_network.get(network)
