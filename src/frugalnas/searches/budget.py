"""How much a search may spend, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.strategies import Strategy


@dataclass(frozen=True)
class Budget:
    """When a search stops: at whichever limit comes first.

    Attributes:
        queries: distinct networks evaluated, each at each fidelity anew; failed ones count.
        seconds: wall time, summed over interruptions.
        until_optimum: stop as soon as the best known value is found, where the evaluator knows it.
        failures: stop when all of so many first evaluations have failed; None: never for that.
    """

    queries: int | None = None
    seconds: float | None = None
    until_optimum: bool = False
    failures: int | None = 20

    def __post_init__(self) -> None:
        if self.queries is None and self.seconds is None:
            raise FrugalnasError("a search needs a budget: queries, seconds, or both")
        # NumPy's numbers are numbers too, but YAML does not know them.
        for name, kind in (("queries", int), ("failures", int), ("seconds", float)):
            given = getattr(self, name)
            if given is None:
                continue
            number = isinstance(given, Real) and not isinstance(given, bool)
            if not number or (kind is int and given % 1 != 0):
                raise FrugalnasError(f"a budget of {given!r} {name}; give a {'whole ' * (kind is int)}number")
            object.__setattr__(self, name, kind(given))
        if self.queries is not None and self.queries < 1:
            raise FrugalnasError(f"a budget of {self.queries} queries; it has to be positive")
        if self.seconds is not None and not 0 < self.seconds < np.inf:
            raise FrugalnasError(f"a budget of {self.seconds} seconds; it has to be positive and finite")

        if self.failures is not None and self.failures < 1:
            raise FrugalnasError(f"stop after {self.failures} failures; it has to be positive")

    def check(self, strategy: Strategy, *, again: bool = False) -> None:
        """Refuse, before anything runs, a budget that this strategy cannot spend or that spends nothing on search.

        Args:
            strategy: that spends it.
            again: whether a network may be a query more than once, as at several fidelities.
        """
        if self.queries is None:
            return
        if self.queries < strategy.initial:
            raise FrugalnasError(
                f"a budget of {self.queries} queries does not cover the initial sample of {strategy.initial}; "
                f"raise `queries` or lower `initial`"
            )
        space = strategy.space
        if self.queries > space.distinct and not again:
            raise FrugalnasError(
                f"a budget of {self.queries} queries is more than {space.name} has networks here ({space.distinct:,}); "
                f"lower `queries`"
            )

    def spent(self, queries: int, seconds: float) -> str | None:
        """Why the search is over, None while it is not."""
        if self.queries is not None and queries >= self.queries:
            return f"{self.queries} queries spent"
        if self.seconds is not None and seconds >= self.seconds:
            return f"{self.seconds:g} seconds spent"
        return None
