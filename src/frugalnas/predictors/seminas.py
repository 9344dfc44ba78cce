"""SemiNAS's encoder-decoder on architectures as sequences (Luo et al., NeurIPS 2020, arXiv 2002.10389)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.predictors.neural import BLOCK, Neural
from frugalnas.spaces import Distinct, Population, SearchSpace

if TYPE_CHECKING:
    from frugalnas.predictors.fitting import Inputs, Network


@dataclass(kw_only=True, eq=False)
class SemiNAS(Neural):
    """Recurrent encoder and decoder: the encoder's state predicts the value, the decoder must write the cell from it.

    Sizes and schedule are those of SSNENAS's comparison. Values are standardised and predicted by a linear map, where the
    program brings them to [0, 1] and predicts a sigmoid.

    Args:
        encoding: tokens, one for each column; None takes sequence where the space has it and the genes elsewhere.
        width: of the tokens' vectors and recurrent states.
        hidden: units of each of the value's two hidden layers.
        dropout: of vectors and hidden units.
        weight_of_value: of the squared error of values in the loss; the rest is the sequences' likelihood.
        unlabelled: architectures drawn from the space that, once the network is trained, get its own predictions as labels;
            it is then trained again on these and the true labels, half of each step being true. This is what
            makes SemiNAS semi-supervised. The predictions are never counted as evaluated.
    """

    encoding: str | None = None
    width: int = 16
    hidden: int = 64
    dropout: float = 0.1
    weight_of_value: float = 0.8
    unlabelled: int = 0
    batch: int = 100
    lr: float = 1e-3
    clip: float = 5.0

    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Train every member on `values`, shape [n], and where asked for on predictions of others too."""
        super().fit(population, values)
        if not self.unlabelled:
            return self
        from frugalnas.predictors import fitting

        values = self._labels(values)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(self.members + 1)[-1])
        others = self._read(Population(population.space, population.space.sample(self.unlabelled, rng)))
        repeated = np.resize(np.arange(len(values)), max(self.unlabelled, len(values)))
        inputs = fitting.features_of(
            np.concatenate([self._tokens(each).all for each in (self._read(population).take(repeated), others)]).astype(
                np.int64
            )
        )
        for place, stream in enumerate(np.random.SeedSequence(self.seed).spawn(2 * self.members + 1)[-self.members :]):
            network, slope, offset = self._fitted[place]
            guessed = self._outputs(network, others)[:, 0]
            targets = np.concatenate([(values[repeated] - offset) / slope, guessed]).astype(np.float32)
            with fitting.seeded(stream):
                fitting.train(network, inputs, targets, self)
        return self

    def _tokens(self, population: Population) -> Distinct:
        """Tokens as numbers from 0 on, shape [n, L], each distinct sequence once."""
        space = population.space
        return population.encoded(self.encoding or ("sequence" if "sequence" in space.encodings else "integer"))

    def _inputs(self, population: Population) -> Inputs:
        from frugalnas.predictors import fitting

        self._words = _words(population.space, self._tokens(population))
        return fitting.features_of(self._tokens(population).all.astype(np.int64))

    def _outputs(self, network: Network, population: Population) -> NDArray[np.float64]:
        from frugalnas.predictors import fitting

        tokens = self._tokens(population)
        answers = fitting.outputs(network, fitting.features_of(tokens.rows.astype(np.int64)), BLOCK)
        return answers[tokens.inverse]

    def _network(self, inputs: Inputs) -> Network:
        from frugalnas.predictors.vector_networks import EncoderDecoder

        return EncoderDecoder(self._words, self.width, self.hidden, self.dropout, self.weight_of_value)


SEQUENCE_WORDS = 7
"""Tokens of the encoding `sequence`."""


def _words(space: SearchSpace, tokens: Distinct) -> int:
    """How many tokens there are, whichever of them these architectures have.

    Raises:
        FrugalnasError: where the encoding is not one of tokens.
    """
    rows = tokens.rows
    if len(rows) and (rows.min() < 0 or (rows != np.floor(rows)).any()):
        raise FrugalnasError(
            "SemiNAS reads tokens, whole numbers from 0 on; choose an encoding of such, for example integer"
        )
    most = int(rows.max()) + 1 if len(rows) else 1
    return max(space.allowed.shape[1], SEQUENCE_WORDS, most)
