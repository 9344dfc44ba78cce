"""Limits on what an architecture may cost, written as people write them: `params<=0.5e6`."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError

__all__ = ["Constraint"]

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_PATTERN = re.compile(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*", re.IGNORECASE)


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
            >>> [str(rule) for rule in Constraint.parse("params<=0.5e6, macs>2e7")]
            ['params<=500000', 'macs>20000000']
        """
        rules = []
        for part in text.split(","):
            match = _PATTERN.fullmatch(part)
            try:
                bound = float(match[3]) if match else math.nan
            except ValueError:
                bound = math.nan
            if match is None or not math.isfinite(bound):
                raise FrugalnasError(f"cannot read the constraint {part!r}; write one like 'params<=0.5e6'")
            rules.append(cls(match[1], match[2], bound))
        return tuple(rules)

    def met_by(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each value meets the limit, shape [n]."""
        met: NDArray[np.bool_] = _COMPARE[self.relation](values, self.bound)
        return met

    def __str__(self) -> str:
        return f"{self.quantity}{self.relation}{self.bound:.17g}"
