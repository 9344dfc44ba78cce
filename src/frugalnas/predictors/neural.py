"""What predictors that are trained by gradient descent share: options, members, the units of values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.predictors.base import Prediction, Predictor, check_numbers, check_values, line_through, normal_values
from frugalnas.spaces import Population, SearchSpace

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network

BLOCK = 8192
"""Architectures answered for at a time."""


@dataclass(kw_only=True, eq=False)
class Neural(Predictor):
    """A predictor trained by Adam, its learning rate following half a cosine that ends at zero with the last step.

    An epoch's labels are shared out over as many batches of nearly equal size as `batch` asks for, so that the schedule
    knows its steps and no batch is left with one label; fewer labels than a batch are one batch. Values are standardised
    with the mean and deviation of those that `fit` is given. Child classes say what one network is and what it reads, and
    document the options that they add to these.

    Args:
        epochs: passes over the labels.
        batch: labels a step at most.
        lr: learning rate at the first step; half a cosine takes it to zero.
        weight_decay: L2 penalty of the weights, as part of the gradient; biases have none.
        betas: Adam's.
        clip: gradients are scaled down to this norm; 0 leaves them.
        members: networks with seeds of their own, all fitted to all labels; their disagreement is the standard deviation.
        ranks: learn what a normal sample of the same mean and deviation would have at the values' ranks, instead of the
            values: a few architectures that failed to train do not take all attention then.
        canonical: read every architecture in its space's canonical form, so that all codes of a network are one, and what
            reaches no output is gone.
        seed: of every random choice.
    """

    epochs: int = 200
    batch: int = 64
    lr: float = 5e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    members: int = 1
    ranks: bool = True
    canonical: bool = True
    seed: int = 0

    bias_rate = 1.0
    """Learning rate of biases in units of the weights'."""

    def __post_init__(self) -> None:
        self.betas = tuple(self.betas)  # type: ignore[assignment] # YAML has lists
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise FrugalnasError(f"betas is {self.betas}; give two numbers from 0 up to but not including 1")
        check_numbers(vars(self))

    def prepare(self, space: SearchSpace) -> None:
        """Load torch, which takes seconds, before anything is timed or told how many threads it has."""
        from frugalnas.predictors import fitting  # noqa: F401

    @abstractmethod
    def _inputs(self, population: Population) -> Inputs:
        """What a network reads of each architecture."""

    @abstractmethod
    def _network(self, inputs: Inputs) -> Network:
        """A network that is not trained yet; its random numbers come from torch's global generator, which is seeded."""

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Train every member on `values`, shape [n]."""
        from frugalnas.predictors import fitting

        values = self._labels(values)
        targets = self._targets(values)
        inputs = self._inputs(self._read(population))
        self._fitted: list[tuple[Network, float, float]] = []
        for stream in np.random.SeedSequence(self.seed).spawn(self.members):
            with fitting.seeded(stream):
                network = fitting.train(self._network(inputs), inputs, targets, self)
            self._fitted.append((network, *self._units(network, inputs, targets)))
        return self

    @property
    def networks(self) -> list[Network]:
        """The trained network of each member, once fitted."""
        return [network for network, _, _ in self._fitted]

    def predict(self, population: Population) -> Prediction:
        """The members' mean and disagreement; one member alone has no standard deviation."""
        return Prediction.of_members(np.stack([answer[:, 0] for answer in self._answers(population)]))

    def mean(self, population: Population) -> NDArray[np.float64]:
        """The members' mean, without keeping what each of them says, shape [n]."""
        total = np.zeros(len(population))
        for answer in self._answers(population):
            total += answer[:, 0]
        return total / self.members

    def _answers(self, population: Population) -> Iterator[NDArray[np.float64]]:
        """What each member says, in the units of the values, shape [n, outputs]; the first output is the value."""
        read = self._read(population)
        for network, slope, offset in self._fitted:
            answer = self._outputs(network, read)
            answer[:, 0] = offset + slope * answer[:, 0]
            yield answer

    def _outputs(self, network: Network, population: Population) -> NDArray[np.float64]:
        """What a trained network says, shape [n, outputs]."""
        from frugalnas.predictors import fitting

        return fitting.outputs(network, self._inputs(population), BLOCK)

    def _read(self, population: Population) -> Population:
        """The architectures as the networks read them; remembered by the population."""

        def canonical() -> Population:
            codes = population.space.canonical(population.codes)
            same = np.array_equal(codes, population.codes)
            return population if same else Population(population.space, codes, population.known)

        return population.remembered("canonical", canonical) if self.canonical else population

    def _labels(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values, or what stands for their ranks, checked."""
        values = check_values(values)
        return normal_values(values) if self.ranks else values

    def _targets(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """What a network is trained towards, shape [n]: by default standardised values."""
        self._offset, self._scale = float(values.mean()), max(float(values.std()), 1e-12)
        return ((values - self._offset) / self._scale).astype(np.float32)

    def _units(self, network: Network, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[float, float]:
        """Slope and offset of the line that brings a trained network's outputs to the units of the values."""
        return self._scale, self._offset

    def _line(self, network: Network, inputs: Inputs, targets: NDArray[np.float32]) -> tuple[float, float]:
        """The same for outputs that only order: the least-squares line through the labels, never falling."""
        from frugalnas.predictors import fitting

        slope, offset = line_through(fitting.outputs(network, inputs, BLOCK)[:, 0], targets)
        return self._scale * slope, self._offset + self._scale * offset
