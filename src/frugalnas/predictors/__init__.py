"""What a few evaluated architectures say about all the others: performance predictors.

A predictor is fitted on a population and its values and answers for any population: a mean, and where it has them a
standard deviation or the answers of its members. A new one overrides `fit` and `predict`.

- `GaussianProcess`: Matern kernel on the space's features; the default, chosen by measurement.
- `MLP`, `Forest`, `ExtraTrees`, `Bagging`, `Boosting`, `AdaBoost`, `Tree`, `SVR`, `Nearest`, `Linear`: scikit-learn's
  regressors in ensembles; `mlp_paper` is WeakNAS's network; `Ridge` has a posterior instead of members.
- `XGBoost`, `LightGBM`: where these packages are installed.
- `GIN`, `GINUncertainty`: graph networks, from scratch or pre-trained without accuracies; `gin_paper`,
  `gin_fine_tuned_paper` and `gin_bo_paper` are those of NPENAS and SSNENAS. They need the extra `torch` to be fitted.
- `Counted` (`params`, `macs`) and `RandomOrder`: what all of them have to beat.
- `BANANAS`, `BRPNAS`, `NeuralPredictor`, `SemiNAS`: the predictors of these papers, trained with torch too.
"""

from frugalnas.predictors.bananas import BANANAS
from frugalnas.predictors.base import Prediction, Predictor
from frugalnas.predictors.baselines import Counted, RandomOrder, macs, params
from frugalnas.predictors.boosters import LightGBM, XGBoost
from frugalnas.predictors.convolutional import BRPNAS, NeuralPredictor
from frugalnas.predictors.gaussian_process import GaussianProcess
from frugalnas.predictors.gin import GIN, GINUncertainty, gin_bo_paper, gin_fine_tuned_paper, gin_paper
from frugalnas.predictors.regressors import (
    MLP,
    SVR,
    AdaBoost,
    Bagging,
    Boosting,
    ExtraTrees,
    Forest,
    Linear,
    Nearest,
    Ridge,
    Tree,
    mlp_paper,
)
from frugalnas.predictors.seminas import SemiNAS

__all__ = [
    "BANANAS",
    "BRPNAS",
    "GIN",
    "MLP",
    "SVR",
    "AdaBoost",
    "Bagging",
    "Boosting",
    "Counted",
    "ExtraTrees",
    "Forest",
    "GINUncertainty",
    "GaussianProcess",
    "LightGBM",
    "Linear",
    "Nearest",
    "NeuralPredictor",
    "Prediction",
    "Predictor",
    "RandomOrder",
    "Ridge",
    "SemiNAS",
    "Tree",
    "XGBoost",
    "gin_bo_paper",
    "gin_fine_tuned_paper",
    "gin_paper",
    "macs",
    "mlp_paper",
    "params",
]
