"""What an operator is worth: the record of a score for every choice of a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.documents import misfit
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces.arrays import with_nan, without_nan

Statistic = Literal["mean", "best-tenth", "maximum"]
Way = Literal["enumerated", "summed", "second order", "sampled", "drawn"]
STATISTICS = ("mean", "best-tenth", "maximum")
NORMAL = {0.9: 1.6449, 0.95: 1.96, 0.99: 2.5758}
"""Standard errors on either side of a mean."""

FIELDS: dict[str, Any] = {
    "name": str,
    "statistic": Statistic,
    "way": Way,
    "architectures": int,
    "note": str,
    "scores": list,
    "errors": list,
    "shares": list,
}


@dataclass(frozen=True)
class OperatorScores:
    """A number for every (gene, value) of a space: what the architectures that contain it are worth.

    Attributes:
        name: of the score, such as "angle".
        scores: shape [genes, values]; NaN where the space does not allow it, or no architecture within the limits has it.
        errors: shape [genes, values]. Of what was drawn, standard errors. Where an expansion left something out, how much,
            as the root mean square over a sample. 0 where nothing is uncertain, NaN where nothing is known.
        shares: of the space's architectures that contain it, shape [genes, values]; 0 where none does. Of what was drawn,
            shares of the sample.
        way: how the scores came about: "enumerated" or "summed", which are exact; "second order", from exact moments;
            "sampled"; "drawn" at random, as a baseline.
        statistic: of the architectures' scores: their "mean", the mean of the "best-tenth" of them, or their "maximum".
        architectures: that were looked at; 0 where none was.
        note: what else there is to say of the numbers, for people; may be empty.
    """

    name: str
    scores: NDArray[np.float64]
    errors: NDArray[np.float64]
    shares: NDArray[np.float64]
    way: Way
    statistic: Statistic = "mean"
    architectures: int = 0
    note: str = ""

    @property
    def exact(self) -> bool:
        """Whether the numbers are the expectations themselves."""
        return self.way in ("enumerated", "summed") and not self.note

    def margin(self, errors: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
        """How far from the numbers the expectations may be: an interval of a sample, what an expansion leaves out of its own.

        Args:
            errors: of the numbers, as `errors` has them.
            level: 0.9, 0.95 or 0.99, of a sample.
        """
        if level not in NORMAL:
            raise unknown_name("level of an interval", level, map(str, NORMAL))
        return errors if self.way == "second order" else NORMAL[level] * errors

    def interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the numbers may be, lowest and highest, shapes [genes, values].

        Args:
            level: 0.9, 0.95 or 0.99 of what is drawn.
        """
        margin = self.margin(self.errors, level)
        return self.scores - margin, self.scores + margin

    @property
    def said(self) -> str:
        """How the numbers came about, for people."""
        words = {
            "enumerated": f"exact, of all {self.architectures:,} architectures",
            "summed": "exact, by sums",
            "second order": "exact moments, expanded to second order",
            "drawn": "drawn at random",
            "sampled": f"a sample of {self.architectures:,} architectures",
        }[self.way]
        statistic = {"mean": "", "best-tenth": "mean of the best tenth, ", "maximum": "maximum, "}[self.statistic]
        return statistic + words + (f"; {self.note}" if self.note else "")

    def to_json(self) -> dict[str, Any]:
        """It as plain data; None where there is no number."""
        return {
            "name": self.name,
            "statistic": self.statistic,
            "way": self.way,
            "architectures": self.architectures,
            "note": self.note,
            "scores": [without_nan(row) for row in self.scores],
            "errors": [without_nan(row) for row in self.errors],
            "shares": [without_nan(row) for row in self.shares],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], shape: tuple[int, ...], where: str) -> OperatorScores:
        """The same back again.

        Args:
            data: what `to_json` made.
            shape: [genes, values] of the space.
            where: they stand, for the error.
        """
        wrong = misfit(data, FIELDS)
        arrays: dict[str, Any] = {}
        for field in ("scores", "errors", "shares") if not wrong else ():
            try:
                arrays[field] = np.stack([with_nan(row) for row in data[field]])
            except (TypeError, ValueError):
                wrong = wrong or f"{field} are no numbers"
            else:
                if arrays[field].shape != shape:
                    wrong = wrong or f"{field} have the shape {list(arrays[field].shape)}, not {list(shape)}"
        if wrong:
            raise FrugalnasError(f"{where} has no operator scores of this space: {wrong}; make them again")
        return cls(**arrays, **{field: data[field] for field in ("name", "way", "statistic", "architectures", "note")})
