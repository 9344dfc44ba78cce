"""Regressors on feature vectors, and ensembles of them: what the predictors of this folder share."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import each_once
from frugalnas.interruption import interruptible
from frugalnas.predictors.base import FEATURES, Prediction, Predictor, check_numbers
from frugalnas.spaces import Population


@dataclass(kw_only=True, eq=False)
class Regressor(Predictor):
    """A predictor on feature vectors: a dataclass, whose fields are its options.

    What its numbers may be is that of `check_numbers`.

    Args:
        encoding: the space's encoding that serves as features; None takes the space's recommendation.
        features: quantities beside it, such as params and macs; see `Predictor`.
        seed: of every random choice.
    """

    encoding: str | None = None
    features: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        self.features = each_once("features", self.features, FEATURES)
        check_numbers(vars(self))


@dataclass(kw_only=True, eq=False)
class Ensemble(Regressor):
    """Several regressors of a kind, whose disagreement is the standard deviation.

    Members have different seeds, and several are fitted to bootstrap resamples; one alone is fitted to everything and has
    no standard deviation. Child classes only say what one member is.

    Args:
        members: fitted models in the ensemble.
    """

    members: int = 10

    @abstractmethod
    def _member(self, seed: int) -> Any:
        """An unfitted regressor with scikit-learn's `fit` and `predict`."""

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Fit every member to the values, shape [n], or to a resample of them.

        Members see standardised values, whose scale their learning rates and tolerances are made for.
        """
        from sklearn.exceptions import ConvergenceWarning  # takes long to import

        inputs = self.training_inputs(population)
        self._offset, self._scale = float(np.mean(values)), max(float(np.std(values)), 1e-12)
        targets = ((values - self._offset) / self._scale).astype(np.float32)
        self._fitted = []
        for stream in np.random.SeedSequence(self.seed).spawn(self.members):
            rng = np.random.default_rng(stream)
            rows = rng.integers(len(values), size=len(values)) if self._resamples() else np.arange(len(values))
            member = self._member(int(rng.integers(2**31)))
            with interruptible(), warnings.catch_warnings():
                # A weak predictor that stops at its iteration limit is what was asked for.
                warnings.filterwarnings("ignore", category=ConvergenceWarning)
                self._fitted.append(member.fit(inputs[rows], targets[rows]))
        return self

    def predict(self, population: Population) -> Prediction:
        """The members' answers, each computed once per distinct feature vector."""
        candidates = self.inputs(population)
        answers = np.stack([_in_blocks(member, candidates.rows) for member in self._members()])
        return Prediction.of_members(self._offset + self._scale * answers[:, candidates.inverse])

    def mean(self, population: Population) -> NDArray[np.float64]:
        """The members' mean, without keeping what each of them says, shape [n]."""
        candidates = self.inputs(population)
        members = self._members()
        total = np.zeros(len(candidates.rows))
        for member in members:
            total += _in_blocks(member, candidates.rows)
        return (self._offset + self._scale / len(members) * total)[candidates.inverse]

    def _resamples(self) -> bool:
        return self.members > 1

    def _members(self) -> Sequence[Any]:
        return self._fitted


@dataclass(kw_only=True, eq=False)
class Trees(Ensemble):
    """One scikit-learn ensemble, whose own estimators are the members."""

    members: int = field(default=1, init=False, repr=False)

    def _members(self) -> Sequence[Any]:
        return self._fitted[0].estimators_


def _in_blocks(member: Any, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """A member's answers, a block of rows at a time: the layers of a wide network would take gigabytes at once."""
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)] or [rows]
    return np.concatenate([np.asarray(member.predict(block), np.float64) for block in blocks])


BLOCK = 2**14
