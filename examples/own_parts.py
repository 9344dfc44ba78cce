"""A space and a predictor of your own, searched with WeakNAS: everything that is new is on this page.

python examples/own_parts.py
pytest examples/test_own_parts.py        # frugalnas's conformance suites on both
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from typing_extensions import Self

import frugalnas as fn
from frugalnas.spaces import Codes

BLOCKS = ("k3e3", "k3e6", "k5e3", "k5e6", "skip")


class Layers(fn.SearchSpace):
    """Eight layers of one block each; the first of every pair must not be skipped."""

    name = "layers"

    def __init__(self) -> None:
        self.allowed = np.ones((8, len(BLOCKS)), np.bool_)
        self.allowed[::2, BLOCKS.index("skip")] = False

    def format(self, code: Codes) -> str:
        """Block names joined by dashes."""
        return "-".join(BLOCKS[value] for value in code)

    def parse(self, text: str) -> Codes:
        """The inverse of `format`."""
        words = text.split("-")
        unknown = [word for word in words if word not in BLOCKS]
        if unknown or len(words) != 8:
            raise fn.FrugalnasError(f"{text!r} is not eight of {', '.join(BLOCKS)} joined by dashes")
        return self.as_codes([BLOCKS.index(word) for word in words])


class Neighbours(fn.Predictor):
    """The mean of the nearest evaluated architectures; their spread says how sure it is."""

    def __init__(self, *, k: int = 5, encoding: str | None = None, seed: int = 0) -> None:
        self.k, self.encoding, self.seed = k, encoding, seed

    def fit(self, population: fn.Population, values: NDArray[np.float64]) -> Self:
        """Remember what was evaluated."""
        self.known, self.values = population.encoded(self.encoding).all, values
        return self

    def predict(self, population: fn.Population) -> fn.Prediction:
        """Mean and spread of the k nearest by features."""
        candidates = population.encoded(self.encoding)
        nearest = np.argsort(cdist(candidates.rows, self.known), axis=1, kind="stable")[:, : self.k]
        return fn.Prediction.of_members(self.values[nearest].T[:, candidates.inverse])


def accuracy(architecture: str) -> float:
    """A stand-in for training the network and measuring it."""
    blocks = architecture.split("-")
    gain = sum({"skip": 0.0, "k3e3": 1.0, "k3e6": 1.5, "k5e3": 1.4, "k5e6": 1.2}[block] for block in blocks)
    return 70 + gain - abs(blocks.count("skip") - 2)


def main() -> None:
    """Search the layers with the neighbours."""
    space = Layers()
    strategy = fn.WeakNAS(space, predictor=Neighbours(k=3), seed=0)
    result = fn.search(strategy, fn.FunctionEvaluator(space, function=accuracy), 100)
    print(f"{result.best.value:.1f} {result.architecture}")


if __name__ == "__main__":
    main()
