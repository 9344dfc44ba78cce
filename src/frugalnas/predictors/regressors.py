"""scikit-learn's regressors as predictors: one thin wrapper, one entry each."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.predictors.base import Prediction, Predictor
from frugalnas.spaces import Population

__all__ = ["MLP", "Boosting", "Forest", "Ridge", "mlp_paper"]


class _Ensemble(Predictor):
    """Several regressors of a kind with different seeds, whose disagreement is the standard deviation.

    Child classes only say what one member is.
    """

    members: int
    bootstrap = False

    @abstractmethod
    def _member(self, seed: int) -> Any:
        """An unfitted scikit-learn regressor."""

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Fit every member to the values, shape [n]; with `bootstrap`, to a resample of them.

        Members see standardised values, whose scale their learning rates and tolerances are made for.
        """
        features = population.encoded(self.encoding).all
        self._offset, self._scale = float(np.mean(values)), max(float(np.std(values)), 1e-12)
        targets = ((values - self._offset) / self._scale).astype(np.float32)
        self._fitted = []
        for stream in np.random.SeedSequence(self.seed).spawn(self.members):
            rng = np.random.default_rng(stream)
            rows = rng.integers(len(values), size=len(values)) if self.bootstrap else np.arange(len(values))
            member = self._member(int(rng.integers(2**31)))
            with warnings.catch_warnings():
                # A weak predictor that stops at its iteration limit is what was asked for.
                warnings.filterwarnings("ignore", category=_convergence_warning())
                self._fitted.append(member.fit(features[rows], targets[rows]))
        return self

    def predict(self, population: Population) -> Prediction:
        """The members' answers, each computed once per distinct feature vector."""
        candidates = population.encoded(self.encoding)
        answers = np.stack([np.asarray(member.predict(candidates.rows), np.float64) for member in self._members()])
        return Prediction.of_members(self._offset + self._scale * answers[:, candidates.inverse])

    def _members(self) -> Sequence[Any]:
        return self._fitted


class MLP(_Ensemble):
    """Fully connected networks trained with Adam on the squared error, in float32 (scikit-learn's MLPRegressor).

    Args:
        hidden: width of each hidden layer.
        epochs: passes over the data at most; training stops early when the loss stalls for ten.
        members: networks in the ensemble, which differ in their initial weights.
        encoding: features; None takes the space's recommendation.
        seed: of the initial weights and shuffling.
    """

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] = (128, 128, 128, 128),
        epochs: int = 100,
        members: int = 5,
        encoding: str | None = None,
        seed: int = 0,
    ) -> None:
        if not hidden or min(hidden) < 1:
            raise FrugalnasError(f"hidden {tuple(hidden)}: give the width of each hidden layer, 1 or more")
        _at_least_one(epochs=epochs, members=members)
        self.hidden = tuple(hidden)
        self.epochs = epochs
        self.members = members
        self.encoding = encoding
        self.seed = seed

    def _member(self, seed: int) -> Any:
        from sklearn.neural_network import MLPRegressor

        return MLPRegressor(hidden_layer_sizes=self.hidden, max_iter=self.epochs, random_state=seed)


def mlp_paper(*, members: int = 1, seed: int = 0) -> MLP:
    """WeakNAS's own predictor: one MLP of four layers of 1,000, 100 epochs, on one-hot codes (arXiv 2102.10490)."""
    return MLP(hidden=(1000,) * 4, epochs=100, members=members, encoding="onehot", seed=seed)


class Forest(_Ensemble):
    """Random forest; its trees are the members (scikit-learn's RandomForestRegressor).

    Args:
        trees: how many.
        depth: of each tree at most; None lets them grow.
        encoding: features; None takes the space's recommendation.
        seed: of resampling and splits.
    """

    members = 1

    def __init__(
        self, *, trees: int = 200, depth: int | None = None, encoding: str | None = None, seed: int = 0
    ) -> None:
        _at_least_one(trees=trees, depth=1 if depth is None else depth)
        self.trees = trees
        self.depth = depth
        self.encoding = encoding
        self.seed = seed

    def _member(self, seed: int) -> Any:
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(self.trees, max_depth=self.depth, max_features=1 / 3, random_state=seed)

    def _members(self) -> Sequence[Any]:
        trees: Sequence[Any] = self._fitted[0].estimators_
        return trees


class Boosting(_Ensemble):
    """Gradient-boosted trees, each member fitted to a bootstrap resample (scikit-learn's GradientBoostingRegressor).

    Args:
        trees: per member.
        depth: of each tree.
        learning_rate: weight of each tree.
        members: boosted models in the ensemble.
        encoding: features; None takes the space's recommendation.
        seed: of resampling and splits.
    """

    bootstrap = True

    def __init__(
        self,
        *,
        trees: int = 100,
        depth: int = 3,
        learning_rate: float = 0.1,
        members: int = 5,
        encoding: str | None = None,
        seed: int = 0,
    ) -> None:
        _at_least_one(trees=trees, depth=depth, members=members)
        if not 0 < learning_rate <= 1:
            raise FrugalnasError(f"learning_rate is {learning_rate}; it lies between 0 and 1")
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.members = members
        self.encoding = encoding
        self.seed = seed

    def _member(self, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        return GradientBoostingRegressor(
            n_estimators=self.trees,
            max_depth=self.depth,
            learning_rate=self.learning_rate,
            subsample=0.8,
            max_features=1 / 3,
            random_state=seed,
        )


class Ridge(Predictor):
    """Linear regression whose penalty and noise maximise the evidence (scikit-learn's BayesianRidge).

    Args:
        encoding: features; None takes the space's recommendation.
        seed: not used, the fit is deterministic.
    """

    def __init__(self, *, encoding: str | None = None, seed: int = 0) -> None:
        self.encoding = encoding
        self.seed = seed

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Fit the weights to `values`, shape [n]."""
        from sklearn.linear_model import BayesianRidge

        self._model = BayesianRidge().fit(population.encoded(self.encoding).all.astype(np.float64), values)
        return self

    def predict(self, population: Population) -> Prediction:
        """Posterior mean and predictive standard deviation."""
        candidates = population.encoded(self.encoding)
        mean, std = self._model.predict(candidates.rows.astype(np.float64), return_std=True)
        return Prediction(mean[candidates.inverse], std[candidates.inverse])


def _at_least_one(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise FrugalnasError(f"{name} is {count}; it is at least 1")


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    warning: type[Warning] = ConvergenceWarning
    return warning
