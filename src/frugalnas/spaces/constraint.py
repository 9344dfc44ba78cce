"""Limits on what an architecture may cost, written as people write them: `params<=0.5M`."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalnas.amounts import LONGEST, number
from frugalnas.errors import FrugalnasError

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_PATTERN = re.compile(r"\s*([a-z_][a-z0-9_-]*)\s*(<=|>=|<|>)([^=<>].*)", re.IGNORECASE)


@dataclass(frozen=True)
class Constraint:
    """One limit on one quantity."""

    quantity: str
    relation: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> tuple[Constraint, ...]:
        """The limits in `text`, which are joined by commas.

        Example:
            >>> [str(rule) for rule in Constraint.parse("params<=0.5M, macs>2e7, latency<=5ms")]
            ['params<=500000', 'macs>20000000', 'latency<=5']
        """
        rules = []
        for part in text.split(","):
            match = _PATTERN.fullmatch(part)
            if match is None:
                raise FrugalnasError(
                    f"cannot read the limit {part!r}; write one like 'params<=0.5M' (quantity, one of <= >= < >, number)"
                )
            try:
                rules.append(cls(match[1], match[2], number(match[3], match[1])))
            except FrugalnasError as error:
                raise FrugalnasError(f"cannot read the limit {part!r}: {error}") from None
        return tuple(rules)

    def met_by(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each value meets the limit, shape [n]."""
        return _COMPARE[self.relation](values, self.bound)

    def __str__(self) -> str:
        positional = np.format_float_positional(self.bound, trim="-")
        return f"{self.quantity}{self.relation}{positional if len(positional) < LONGEST else repr(self.bound)}"
