"""The graph isomorphism network of NPENAS and SSNENAS as a predictor, from scratch or pre-trained without accuracies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.predictors.base import Prediction
from frugalnas.predictors.neural import Neural
from frugalnas.predictors.pretrained import Pretrained, read_pretrained
from frugalnas.spaces import Population, SearchSpace

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network

Directions = Literal["in", "both"]
Activation = Literal["relu", "celu"]
Loss = Literal["mse", "mae", "rank"]
Output = Literal["linear", "sigmoid", "sigmoid-error"]


@dataclass(kw_only=True, eq=False)
class GIN(Neural):
    """Graph isomorphism network on the architectures' graphs (Xu et al., 2019; NPENAS-NP, arXiv 2003.12857).

    An encoder makes one vector of each graph, a small head the value of it. The encoder may have learnt the space before,
    without any accuracy (SSNENAS, arXiv 2011.00186); every fit starts from what it knew then. `prepare` makes or
    reads it, which `fit` does itself where nobody did before.

    Args:
        pretrained: None starts from random weights; ss-ccl or ss-rl from the encoder of this pretext task, which is
            pre-trained and kept the first time it is needed; otherwise the folder of a run of `frugalnas pretrain`.
        encoder_lr: learning rate of a pre-trained encoder; None takes `lr`, 0 leaves the encoder as it is and trains the head
            alone.
        width: features of a vertex; None takes the pre-trained encoder's, or 32.
        layers: rounds of summing neighbours; None takes the encoder's, or 3.
        directions: in, a vertex sums those it reads, as in the papers; both, also those that read it; None takes the
            encoder's, or both.
        activation: relu or celu; None takes the encoder's, or relu.
        head: hidden units between the encoder's vector and the value; 0 is one linear map.
        dropout: of the hidden units.
        loss: mse, the squared error; mae, the absolute one; rank, the order of pairs, whose scores are brought to
            the scale of the labels by a straight line.
        output: linear, for standardised values; sigmoid, `rate` times a sigmoid is the accuracy in percent;
            sigmoid-error, it is 100 minus the accuracy, as in NPENAS. The last two want accuracies as values.
        rate: the largest value of a sigmoid's output.
        bias_rate: learning rate of biases in units of the weights'.
    """

    epochs: int = 100
    batch: int = 256
    lr: float = 1e-2
    betas: tuple[float, float] = (0.0, 0.9)
    pretrained: str | None = None
    encoder_lr: float | None = None
    width: int | None = None
    layers: int | None = None
    directions: Directions | None = None
    activation: Activation | None = None
    head: int = 16
    dropout: float = 0.1
    loss: Loss = "mse"
    output: Output = "linear"
    rate: float = 100.0
    bias_rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pretrained = None if self.pretrained is None else os.fspath(self.pretrained)
        for name, choices in (("directions", Directions), ("activation", Activation)):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), get_args(choices))
        one_of("loss", self.loss, get_args(Loss))
        one_of("output", self.output, get_args(Output))
        if self.loss == "rank" and self.output != "linear":
            raise FrugalnasError(
                f"a ranking loss has no units, so that output={self.output!r} says nothing; use linear"
            )
        if self.encoder_lr is not None and self.pretrained is None:
            raise FrugalnasError(
                "encoder_lr is for a pre-trained encoder; name it (pretrained), or leave encoder_lr out"
            )
        self._learnt: Pretrained | None = None

    def prepare(self, space: SearchSpace) -> None:
        """Read the pre-trained encoder, or pre-train it where it is named by its task and nobody did before.

        Raises:
            FrugalnasError: where the encoder is of another space, width or depth than asked for, or cannot be read.
        """
        super().prepare(space)
        asked = {name: getattr(self, name) for name in ("width", "layers", "directions", "activation")}
        expected = {name: value for name, value in asked.items() if value is not None}
        self._learnt = read_pretrained(self.pretrained, space, self._learnt, **expected)

    def fit(self, population: Population, values: NDArray[np.float64]) -> GIN:
        """Train every member on `values`, shape [n], from the pre-trained encoder where there is one."""
        self.prepare(population.space)
        return super().fit(population, values)

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.encoders import graph_tensors

        graphs = graph_tensors(population, isolated_edges=bool(self._learnt and self._learnt.isolated_edges))
        graphs.sums(self._encoder_options()["directions"])
        return graphs

    def _outputs(self, network: Network, population: Population) -> NDArray[np.float64]:
        from frugalnas.predictors.graph_networks import GraphRegressor, values_of

        assert isinstance(network, GraphRegressor)
        return values_of(network, population, isolated_edges=bool(self._learnt and self._learnt.isolated_edges))

    def _encoder_options(self) -> dict[str, Any]:
        if self._learnt:
            return {key: value for key, value in self._learnt.encoder.config().items() if key != "kinds"}
        return {
            "width": self.width or 32,
            "layers": self.layers or 3,
            "directions": self.directions or "both",
            "activation": self.activation or "relu",
        }

    def _network(self, inputs: Inputs) -> Network:
        import copy

        from frugalnas.encoders import GINEncoder, GraphTensors
        from frugalnas.predictors.graph_networks import GraphRegressor

        assert isinstance(inputs, GraphTensors)
        encoder = (
            copy.deepcopy(self._learnt.encoder) if self._learnt else GINEncoder(inputs.kinds, **self._encoder_options())
        )
        rate = None if self.output == "linear" else self.rate
        network = GraphRegressor(encoder, self.head, self.dropout, rate=rate, encoder_lr=self.encoder_lr)
        network.objective = self.loss
        return network

    def _targets(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.output == "linear":
            return super()._targets(values)
        return (values if self.output == "sigmoid" else 100.0 - values).astype(np.float32)

    def _units(self, network: Network, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[float, float]:
        if self.output == "sigmoid":
            return 1.0, 0.0
        if self.output == "sigmoid-error":
            return -1.0, 100.0
        if self.loss == "rank":
            return self._line(network, inputs, targets)
        return super()._units(network, inputs, targets)


@dataclass(kw_only=True, eq=False)
class GINUncertainty(GIN):
    """Graph isomorphism network whose second head says how sure it is (NPENAS-BO, arXiv 2003.12857).

    Mean and variance maximise the Gaussian likelihood of the labels. With several members the variance is that of
    their mixture.

    Args:
        bounded: put the log-variance through a CELU as the program of NPENAS does, so that no standard deviation is
            below exp(-1/2) of the labels' unit.
        standardised: whether labels are standardised first; NPENAS's are not.
    """

    bounded: bool = False
    standardised: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss != "mse" or self.output != "linear":
            raise FrugalnasError("the loss is the Gaussian likelihood of values: leave loss and output out")
        if not self.head:
            raise FrugalnasError("head is 0; mean and deviation need hidden units of their own, at least 1")

    def predict(self, population: Population) -> Prediction:
        """Mean and standard deviation; members where there are several."""
        answers = list(self._answers(population))
        means = np.stack([answer[:, 0] for answer in answers])
        variances = np.stack([answer[:, 1] ** 2 for answer in answers])
        std = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
        return Prediction(means.mean(axis=0), std, means if self.members > 1 else None)

    def _answers(self, population: Population) -> Iterator[NDArray[np.float64]]:
        for answer in super()._answers(population):
            answer[:, 1] *= self._scale
            yield answer

    def _targets(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.standardised:
            return super()._targets(values)
        self._offset, self._scale = 0.0, 1.0
        return values.astype(np.float32)

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.predictors.graph_networks import GaussianGraphRegressor, GraphRegressor

        network = super()._network(inputs)
        assert isinstance(network, GraphRegressor)
        return GaussianGraphRegressor(network.encoder, self.head, self.dropout, self.bounded, network.encoder_lr)


def gin_paper(*, rate: float = 100.0, activation: Activation = "relu", seed: int = 0) -> GIN:
    """NPENAS-NP's predictor (arXiv 2003.12857): 300 epochs, ten labels a step, an error rate through a sigmoid.

    Args:
        rate: the largest error in percent. The program has 10 for NAS-Bench-101, 100 for NAS-Bench-201, 15 for DARTS.
        activation: relu, or celu as in NPENAS-BO.
        seed: of every random choice.
    """
    options = {**_IN_PAPERS, "activation": activation}
    return GIN(
        **options, epochs=300, batch=10, lr=5e-3, output="sigmoid-error", rate=rate, seed=seed, weight_decay=1e-4
    )


def gin_fine_tuned_paper(*, pretrained: str | None = None, epochs: int = 200, lr: float = 5e-3, seed: int = 0) -> GIN:
    """SSNENAS's predictor (arXiv 2011.00186): 64 labels a step, one linear map, an accuracy through a sigmoid.

    Its squared error is that of fractions with a weight decay of 1e-4; on percent the same is a weight decay of 1.

    Args:
        pretrained: ss-ccl, ss-rl, a folder, or None for the supervised predictor.
        epochs: the paper compares 50 to 300.
        lr: 5e-3; 1e-3 for the supervised predictor and for ss-rl on NAS-Bench-201, 5e-4 for ss-rl on NAS-Bench-101.
        seed: of every random choice.
    """
    return GIN(
        **(_IN_PAPERS if pretrained is None else _OF_ENCODER),
        pretrained=pretrained,
        epochs=epochs,
        batch=64,
        lr=lr,
        weight_decay=1.0,
        head=0,
        output="sigmoid",
        rate=100.0,
        seed=seed,
    )


def gin_bo_paper(*, activation: Activation = "celu", seed: int = 0) -> GINUncertainty:
    """NPENAS-BO's predictor (arXiv 2003.12857): CELU, 1,000 epochs, ten labels a step, labels as they are.

    Args:
        activation: celu, or relu as in NPENAS-NP.
        seed: of every random choice.
    """
    options = {**_IN_PAPERS, "activation": activation}
    return GINUncertainty(
        **options, epochs=1000, batch=10, lr=5e-3, weight_decay=1e-4, bounded=True, standardised=False, seed=seed
    )


_IN_PAPERS: dict[str, Any] = {
    "width": 32,
    "layers": 3,
    "directions": "in",
    "activation": "relu",
    "betas": (0.0, 0.9),
    "bias_rate": 2.0,
    "ranks": False,
    "canonical": False,
}

_OF_ENCODER = {
    key: value for key, value in _IN_PAPERS.items() if key not in ("width", "layers", "directions", "activation")
}
"""The same where a pre-trained encoder decides what it looks like."""
