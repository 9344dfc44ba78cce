"""scikit-learn's regressors as predictors: a few options and a constructor each.

The fields of a class are its options, besides `encoding`, `features` and `seed`, which all have (`Regressor`). Those without
`members` among their options either are ensembles themselves (`Trees`) or have a posterior (`Ridge`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.predictors.base import Prediction
from frugalnas.predictors.ensembles import Ensemble, Regressor, Trees
from frugalnas.spaces import Population

Kernel = Literal["rbf", "linear", "poly", "sigmoid"]


@dataclass(kw_only=True, eq=False)
class MLP(Ensemble):
    """Fully connected networks trained with Adam on the squared error, in float32 (scikit-learn's MLPRegressor).

    Args:
        hidden: width of each hidden layer.
        epochs: passes over the data at most; training stops early when the loss stalls for ten.
        members: networks in the ensemble, which differ in their initial weights alone.
    """

    hidden: tuple[int, ...] = (128, 128, 128, 128)
    epochs: int = 100
    members: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)
        if not self.hidden or min(self.hidden) < 1:
            raise FrugalnasError(f"hidden {self.hidden}: give the width of each hidden layer, 1 or more")

    def _member(self, seed: int) -> Any:
        return _sklearn("neural_network").MLPRegressor(
            hidden_layer_sizes=self.hidden, max_iter=self.epochs, random_state=seed
        )

    def _resamples(self) -> bool:
        return False


def mlp_paper(*, members: int = 1, encoding: str = "onehot", features: tuple[str, ...] = (), seed: int = 0) -> MLP:
    """WeakNAS's own predictor: one MLP of four layers of 1,000, 100 epochs, on one-hot codes (arXiv 2102.10490).

    Its NAS-Bench-101 codes are the encoding `sequence-onehot`.
    """
    return MLP(hidden=(1000,) * 4, epochs=100, members=members, encoding=encoding, features=features, seed=seed)


@dataclass(kw_only=True, eq=False)
class Forest(Trees):
    """Random forest; its trees are the members (scikit-learn's RandomForestRegressor).

    Args:
        trees: how many; WeakNAS's program has 1,000.
        depth: of each tree at most; None lets them grow; WeakNAS's are 10 deep.
    """

    trees: int = 200
    depth: int | None = None

    def _member(self, seed: int) -> Any:
        return _sklearn("ensemble").RandomForestRegressor(
            self.trees, max_depth=self.depth, max_features=1 / 3, random_state=seed
        )


@dataclass(kw_only=True, eq=False)
class ExtraTrees(Trees):
    """Extremely randomised trees, on all labels, split at random places (scikit-learn's ExtraTreesRegressor).

    Args:
        trees: how many; they are the members.
        depth: of each tree at most; None lets them grow.
    """

    trees: int = 200
    depth: int | None = None

    def _member(self, seed: int) -> Any:
        # On 0/1 features all places are one: a third of the features at each split is what makes trees differ.
        return _sklearn("ensemble").ExtraTreesRegressor(
            self.trees, max_depth=self.depth, max_features=1 / 3, random_state=seed
        )


@dataclass(kw_only=True, eq=False)
class Bagging(Trees):
    """Regression trees on bootstrap resamples and all features (scikit-learn's BaggingRegressor).

    Args:
        trees: how many; they are the members. WeakNAS's program has 100.
    """

    trees: int = 100

    def _member(self, seed: int) -> Any:
        return _sklearn("ensemble").BaggingRegressor(n_estimators=self.trees, random_state=seed)


@dataclass(kw_only=True, eq=False)
class Boosting(Ensemble):
    """Gradient-boosted trees, each member fitted to a bootstrap resample (scikit-learn's GradientBoostingRegressor).

    Args:
        trees: per member.
        depth: of each tree.
        learning_rate: weight of each tree.
        members: boosted models in the ensemble; a single one sees a resample too.
    """

    trees: int = 100
    depth: int = 3
    learning_rate: float = 0.1
    members: int = 5

    def _member(self, seed: int) -> Any:
        return _sklearn("ensemble").GradientBoostingRegressor(
            n_estimators=self.trees,
            max_depth=self.depth,
            learning_rate=self.learning_rate,
            subsample=0.8,
            max_features=1 / 3,
            random_state=seed,
        )

    def _resamples(self) -> bool:
        return True


@dataclass(kw_only=True, eq=False)
class AdaBoost(Ensemble):
    """Boosted trees that dwell on the worst predicted labels (AdaBoost.R2; scikit-learn's AdaBoostRegressor).

    Args:
        trees: per member at most; WeakNAS's program has 100.
        depth: of each tree.
        learning_rate: weight of each tree.
        members: boosted models, on bootstrap resamples where there are several.
    """

    trees: int = 100
    depth: int = 3
    learning_rate: float = 1.0
    members: int = 5

    def _member(self, seed: int) -> Any:
        tree = _sklearn("tree").DecisionTreeRegressor(max_depth=self.depth)
        return _sklearn("ensemble").AdaBoostRegressor(
            tree, n_estimators=self.trees, learning_rate=self.learning_rate, random_state=seed
        )


@dataclass(kw_only=True, eq=False)
class Tree(Ensemble):
    """Regression tree (scikit-learn's DecisionTreeRegressor).

    Args:
        depth: at most; None lets it grow.
        members: trees, on bootstrap resamples where there are several.
    """

    depth: int | None = None

    def _member(self, seed: int) -> Any:
        return _sklearn("tree").DecisionTreeRegressor(max_depth=self.depth, random_state=seed)


@dataclass(kw_only=True, eq=False)
class SVR(Ensemble):
    """Support vector regression on standardised features (scikit-learn's SVR).

    Args:
        kernel: of the features.
        penalty: C, the price of errors beyond the margin.
        margin: epsilon, the errors that cost nothing, in standard deviations of the labels.
        members: regressors, on bootstrap resamples where there are several.
    """

    kernel: Kernel = "rbf"
    penalty: float = 1.0
    margin: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("kernel", self.kernel, get_args(Kernel))

    def _member(self, seed: int) -> Any:
        return _sklearn("pipeline").make_pipeline(
            _sklearn("preprocessing").StandardScaler(),
            _sklearn("svm").SVR(kernel=self.kernel, C=self.penalty, epsilon=self.margin),
        )


@dataclass(kw_only=True, eq=False)
class Nearest(Ensemble):
    """Mean of the nearest labels, weighted by inverse distance (scikit-learn's KNeighborsRegressor).

    Args:
        neighbours: how many; where there are fewer labels, all.
        members: regressors, on bootstrap resamples where there are several.
    """

    neighbours: int = 5

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Remember the values, shape [n], once a member."""
        self._count = min(self.neighbours, len(values))
        return super().fit(population, values)

    def _member(self, seed: int) -> Any:
        return _sklearn("neighbors").KNeighborsRegressor(self._count, weights="distance")


@dataclass(kw_only=True, eq=False)
class Linear(Ensemble):
    """Ordinary least squares, of least norm where labels are few (scikit-learn's LinearRegression).

    Args:
        members: regressions, on bootstrap resamples where there are several.
    """

    def _member(self, seed: int) -> Any:
        return _sklearn("linear_model").LinearRegression()


@dataclass(kw_only=True, eq=False)
class Ridge(Regressor):
    """Linear regression whose penalty and noise maximise the evidence (scikit-learn's BayesianRidge)."""

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Fit the weights to `values`, shape [n]."""
        inputs = self.training_inputs(population).astype(np.float64)
        self._model = _sklearn("linear_model").BayesianRidge().fit(inputs, values)
        return self

    def predict(self, population: Population) -> Prediction:
        """Posterior mean and predictive standard deviation."""
        candidates = self.inputs(population)
        mean, std = self._model.predict(candidates.rows.astype(np.float64), return_std=True)
        return Prediction(mean[candidates.inverse], std[candidates.inverse])


def _sklearn(room: str) -> Any:
    """A module of scikit-learn; all of them take long to import."""
    return import_module(f"sklearn.{room}")
