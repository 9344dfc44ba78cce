"""What a few evaluated architectures say about all the others: performance predictors.

A predictor is fitted on a population and its values and answers for any population: a mean, and where it has them a
standard deviation or the answers of its members. A new one overrides `fit` and `predict`.

- `GaussianProcess`: Matern kernel on the space's features; the default, chosen by measurement.
- `MLP`, `Forest`, `Boosting`, `Ridge`: scikit-learn's regressors in ensembles; `mlp_paper` is WeakNAS's network.
"""

from frugalnas.predictors.base import Prediction, Predictor
from frugalnas.predictors.gaussian_process import GaussianProcess
from frugalnas.predictors.regressors import MLP, Boosting, Forest, Ridge, mlp_paper

__all__ = ["MLP", "Boosting", "Forest", "GaussianProcess", "Prediction", "Predictor", "Ridge", "mlp_paper"]
