"""Networks on feature vectors and on sequences that end in a value."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.predictors.fitting import Features, Network, loss_of


class Perceptrons(Network):
    """Several fully connected networks of one shape with weights of their own, as one: an output for each.

    Weights are Glorot-uniform and biases zero.

    Args:
        inputs: columns of a feature vector.
        width: units of each hidden layer.
        layers: hidden layers.
        members: networks.
    """

    def __init__(self, inputs: int, width: int, layers: int, members: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * layers, 1]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for before, after in pairwise(sizes):
            most = (6.0 / (before + after)) ** 0.5
            self.weights.append(nn.Parameter(torch.empty(members, before, after).uniform_(-most, most)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, after)))

    def forward(self, inputs: Features) -> Tensor:
        """Values, shape [n, members]."""
        hidden = inputs.rows.expand(len(self.weights[0]), -1, -1)
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden if place == 0 else torch.relu(hidden), weight)
        return hidden[:, :, 0].T

    def loss(self, inputs: Features, targets: Tensor) -> Tensor:
        """The sum of the members' losses, so that each learns as it would alone."""
        answers = self(inputs)
        return answers.shape[1] * loss_of(self.objective, answers, targets[:, None].expand_as(answers))


class EncoderDecoder(Network):
    """A recurrent encoder whose mean state gives the value, and a decoder that writes the sequence again from it.

    Args:
        words: different tokens.
        width: of the tokens' vectors and of both recurrent layers.
        hidden: units of each of the value's two hidden layers.
        dropout: of vectors and hidden units.
        weight_of_value: of the squared error in the loss; the rest is the decoder's.
    """

    def __init__(self, words: int, width: int, hidden: int, dropout: float, weight_of_value: float) -> None:
        super().__init__()
        self.vectors = nn.Embedding(words, width)
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.value = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )
        self.written = nn.Embedding(words + 1, width)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.attended = nn.Linear(2 * width, width)
        self.word = nn.Linear(width, words)
        self.dropout = nn.Dropout(dropout)
        self.weight_of_value = weight_of_value

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States of unit length at every place [n, L, width], and their mean, of unit length too [n, width]."""
        states = functional.normalize(self.encoder(self.dropout(self.vectors(tokens)))[0], dim=-1)
        return states, functional.normalize(states.mean(dim=1), dim=-1)

    def forward(self, inputs: Features) -> Tensor:
        """Values, shape [n, 1]."""
        return self.value(self.encode(inputs.rows)[1])

    def loss(self, inputs: Features, targets: Tensor) -> Tensor:
        """The squared error of values and the negative log-likelihood of the sequences, as weighted."""
        tokens = inputs.rows
        states, summary = self.encode(tokens)
        error = functional.mse_loss(self.value(summary)[:, 0], targets)
        # The decoder reads what it should have written before; a word of its own stands before the first.
        before = functional.pad(tokens[:, :-1], (1, 0), value=self.word.out_features)
        start = summary[None].contiguous()
        written = self.decoder(self.dropout(self.written(before)), (start, torch.zeros_like(start)))[0]
        attention = torch.softmax(written @ states.transpose(1, 2), dim=-1) @ states
        words = self.word(torch.tanh(self.attended(torch.cat([attention, written], dim=-1))))
        spelling = functional.cross_entropy(words.flatten(0, 1), tokens.flatten())
        return self.weight_of_value * error + (1 - self.weight_of_value) * spelling
