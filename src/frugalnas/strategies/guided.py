"""Strategies that a predictor guides: what they share, and what somebody who looks on is shown of each of their rounds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import one_of, unknown_name
from frugalnas.predictors import Prediction, Predictor
from frugalnas.predictors.base import fitted
from frugalnas.registry import PREDICTORS
from frugalnas.spaces import BoolArray, IntArray, Population, SearchSpace
from frugalnas.strategies.base import Strategy
from frugalnas.strategies.labels import LABELS, Labels
from frugalnas.tables import known_quantities

ROUNDING = 1e-9
"""Of a growth that decides whether a fit is due."""


@dataclass(frozen=True)
class Round:
    """What happened between two fits, for whoever looks on.

    Attributes:
        number: from 1.
        predictor: fitted in this round.
        labels: what it was fitted to, shape [m].
        values: what those were made from, shape [m].
        labelling: how: rank, standard or raw.
        candidates: the architectures that were predicted; of a large space the nearest of the last whole ranking.
        prediction: what the predictor thinks of them, in the units of `labels`.
        eligible: which of them had not been asked for yet.
        top: size of the predicted top that was drawn from; None where the highest scores were taken.
        chosen: rows of the candidates that are evaluated next.
    """

    number: int
    predictor: Predictor
    labels: NDArray[np.float64]
    values: NDArray[np.float64]
    labelling: Labels
    candidates: Population
    prediction: Prediction
    eligible: BoolArray
    top: int | None
    chosen: IntArray


class Guided(Strategy):
    """A strategy whose predictor, fitted to what was evaluated, says what is evaluated next.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample; None: 10, or all there are.
        predictor: a name, an import path, or a predictor.
        labels: what the predictor is fitted to, see `labels`.

    Attributes:
        observer: is shown every round before its architectures are asked for; None: nobody looks on.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int, initial: int | None, predictor: str | Predictor, labels: Labels
    ) -> None:
        super().__init__(space, seed=seed, initial=initial)
        one_of("labels", labels, LABELS)
        self.labels = labels
        self.predictor: Predictor = (
            predictor if isinstance(predictor, Predictor) else PREDICTORS.create(predictor, given=True)
        )
        if self.predictor.encoding not in (None, *space.encodings):
            raise unknown_name(f"encoding of {space.name}", self.predictor.encoding, space.encodings)
        self.predictor.prepare(space)
        self._known = known_quantities(space, self.predictor.features)
        self.observer: Callable[[Round], None] | None = None

    def newly_fitted(self, population: Population, labels: NDArray[np.float64], seed: int) -> Predictor:
        """The predictor, with this seed, once it has learnt from nothing else than these labels."""
        predictor = copy.copy(self.predictor)
        predictor.seed = seed
        return fitted(predictor, population, labels)
