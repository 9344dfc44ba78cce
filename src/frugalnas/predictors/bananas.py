"""BANANAS's ensemble of narrow, deep networks on path encodings (White et al., AAAI 2021, arXiv 1910.11858)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import each_once, one_of
from frugalnas.predictors.base import FEATURES, Prediction
from frugalnas.predictors.neural import BLOCK, Neural
from frugalnas.spaces import Population

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network

Loss = Literal["mae", "mse", "mape"]


@dataclass(kw_only=True, eq=False)
class BANANAS(Neural):
    """Ensemble of fully connected networks on path encodings, as in BANANAS; its acquisition is `its`.

    The members are trained together, on the same batches; they differ in their initial weights. The papers have ten
    layers of 20 units, on NAS-Bench-201 with the encoding path of 200, 150 or 200 epochs and learning rates of 0.01 and 0.001.

    Args:
        encoding: path; position-path and adjacency are the variants in NPENAS and SSNENAS.
        features: quantities beside the encoding, such as params; see `Predictor`.
        layers: hidden layers of each network.
        width: units of each hidden layer.
        loss: mae, the absolute error; mse, the squared one; mape, the absolute error in units of the error rate, for
            which values have to be accuracies in percent.
        members: networks in the ensemble.
    """

    encoding: str | None = "path"
    features: tuple[str, ...] = ()
    layers: int = 10
    width: int = 20
    loss: Loss = "mae"
    members: int = 5
    epochs: int = 150
    batch: int = 32
    lr: float = 0.01
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.features = each_once("features", self.features, FEATURES)
        one_of("loss", self.loss, get_args(Loss))

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Train all members on `values`, shape [n]."""
        from frugalnas.predictors import fitting

        values = self._labels(values)
        inputs = fitting.features_of(self.training_inputs(self._read(population)))
        with fitting.seeded(np.random.SeedSequence(self.seed)):
            self._together = fitting.train(self._network(inputs), inputs, self._targets(values), self)
        return self

    def predict(self, population: Population) -> Prediction:
        """The members' answers, each computed once per distinct feature vector."""
        from frugalnas.predictors import fitting

        candidates = self.inputs(self._read(population))
        answers = fitting.outputs(self._together, fitting.features_of(candidates.rows), BLOCK)
        slope, offset = (-1.0, 100.0) if self.loss == "mape" else (self._scale, self._offset)
        return Prediction.of_members(offset + slope * answers[candidates.inverse].T)

    def mean(self, population: Population) -> NDArray[np.float64]:
        """The members' mean, shape [n]."""
        return self.predict(population).mean

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.predictors import fitting

        return fitting.features_of(self.inputs(population).all)

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.predictors.fitting import Features
        from frugalnas.predictors.vector_networks import Perceptrons

        assert isinstance(inputs, Features)
        network = Perceptrons(inputs.rows.shape[1], self.width, self.layers, self.members)
        network.objective = self.loss
        return network

    def _targets(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        return (100.0 - values).astype(np.float32) if self.loss == "mape" else super()._targets(values)
