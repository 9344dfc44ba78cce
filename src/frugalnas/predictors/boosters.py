"""XGBoost and LightGBM as predictors; each comes with an extra of its name and is imported by its constructor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.predictors.base import line_through
from frugalnas.predictors.ensembles import Ensemble
from frugalnas.spaces.arrays import ranks

XGBoostLoss = Literal["squared", "pairwise"]
LightGBMLoss = Literal["l2", "lambdarank"]
Boosters = Literal["gbdt", "rf", "dart"]

GRADES = 31
"""How many grades of relevance LightGBM's ranking knows by default."""


@dataclass(kw_only=True, eq=False)
class XGBoost(Ensemble):
    """Gradient-boosted trees of XGBoost; needs the extra `xgboost`.

    WeakNAS's program has one member of 1,000 trees, 20 deep, at a learning rate of 0.3.

    Args:
        trees: per member.
        depth: of each tree.
        learning_rate: weight of each tree.
        loss: squared, the squared error; or pairwise, the order of pairs, whose scores are brought to the scale of the
            labels by a straight line.
        members: boosted models, on bootstrap resamples where there are several.
    """

    trees: int = 100
    depth: int = 3
    learning_rate: float = 0.1
    loss: XGBoostLoss = "squared"
    members: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("loss", self.loss, get_args(XGBoostLoss))
        _package("xgboost")

    def _member(self, seed: int) -> Any:
        xgboost = _package("xgboost")
        parameters = {
            "n_estimators": self.trees,
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "subsample": 0.8,
            "colsample_bynode": 1 / 3,
            "random_state": seed,
            "n_jobs": 1,
            "verbosity": 0,
        }
        if self.loss == "squared":
            return xgboost.XGBRegressor(**parameters)
        # Pairs from the whole ranking instead of its top: a search has not seen the top yet.
        pairs = {"objective": "rank:pairwise", "lambdarank_pair_method": "mean", "lambdarank_num_pair_per_sample": 10}
        return _Ranking(xgboost.XGBRanker(**parameters, **pairs))


@dataclass(kw_only=True, eq=False)
class LightGBM(Ensemble):
    """Gradient-boosted trees of LightGBM; needs the extra `lightgbm`.

    WeakNAS's program has one member of 5,000 trees of 31 leaves at a learning rate of 0.05.

    Args:
        trees: per member.
        leaves: of each tree at most.
        learning_rate: weight of each tree; a forest has none.
        boosting: gbdt, gradient boosting; rf, a random forest; dart, gradient boosting that drops earlier trees at random.
        loss: l2, the squared error; or lambdarank, the order, best first. It wants whole grades: labels are shared
            out by rank over 31, or as many as there are labels; its scores are brought to the scale of the labels by a
            straight line.
        members: boosted models, on bootstrap resamples where there are several.
    """

    trees: int = 200
    leaves: int = 7
    learning_rate: float = 0.05
    boosting: Boosters = "gbdt"
    loss: LightGBMLoss = "l2"
    members: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("boosting", self.boosting, get_args(Boosters))
        one_of("loss", self.loss, get_args(LightGBMLoss))
        if self.leaves < 2:
            raise FrugalnasError(f"leaves is {self.leaves}; a tree that says anything has at least 2")
        _package("lightgbm")

    def _member(self, seed: int) -> Any:
        lightgbm = _package("lightgbm")
        parameters = {
            "n_estimators": self.trees,
            "boosting_type": self.boosting,
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "colsample_bytree": 0.5,
            "subsample": 0.8,
            "subsample_freq": 1 if self.boosting == "rf" else 5,
            # The library's defaults are made for thousands of labels; with ten of them no tree would split.
            "min_child_samples": 3,
            "min_data_in_bin": 1,
            "lambdarank_truncation_level": 1_000,
            "random_state": seed,
            "n_jobs": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        if self.loss == "l2":
            return lightgbm.LGBMRegressor(**parameters)
        return _Ranking(lightgbm.LGBMRanker(**parameters))


class _Ranking:
    """A model that learns an order, whose scores a line brings to the scale of what was ordered."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, features: NDArray[np.float32], targets: NDArray[np.float32]) -> Self:
        self.model.fit(features, _grades(targets), group=[len(targets)])
        self.slope, self.offset = line_through(self.model.predict(features).astype(np.float64), targets)
        return self

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        return self.offset + self.slope * self.model.predict(features)


def _grades(targets: NDArray[np.float32]) -> NDArray[np.int64]:
    """Whole grades 0, 1, ... by rank, equal labels alike, shape [n]."""
    highest = min(GRADES, len(targets)) - 1
    places = (ranks(targets, lowest=True) - 1) / max(len(targets) - 1, 1)
    return np.rint(places * highest).astype(np.int64)


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise FrugalnasError(
            f"the predictor {name} needs the package {name} ({error}); "
            f"install it: python -m pip install 'frugalnas[{name}]'"
        ) from None
