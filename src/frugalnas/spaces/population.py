"""A code matrix that remembers what was computed from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import unknown_name
from frugalnas.spaces.arrays import Codes, FloatArray, Graphs, IntArray
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.hashing import row_hashes

T = TypeVar("T")


@dataclass(frozen=True)
class Distinct:
    """The feature vectors of a population, each written once.

    Many codes may share a feature vector (NAS-Bench-201's 15,625 have 4,936 under the `function` encoding), and a
    predictor cannot tell such codes apart: it works on `rows` and hands its answers out by `inverse`.

    Attributes:
        rows: distinct feature vectors, float32, shape [m, d].
        inverse: which of them each architecture has, shape [n].
    """

    rows: NDArray[np.float32]
    inverse: IntArray

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Distinct:
        """Of the feature vector of every architecture, shape [n, d]."""
        _, first, inverse = np.unique(row_hashes(features), return_index=True, return_inverse=True)
        return cls(features[first], inverse.ravel())

    @property
    def all(self) -> NDArray[np.float32]:
        """The feature vector of every architecture, shape [n, d]."""
        return self.rows[self.inverse]


class Population:
    """A frozen code matrix that remembers its networks, graphs and encodings.

    Args:
        space: the space the codes belong to.
        codes: shape [n, genes].
        known: quantities of architectures besides those that the space counts: a function of codes [n, genes] to numbers
            [n] by name.
    """

    def __init__(
        self, space: SearchSpace, codes: Codes, known: Mapping[str, Callable[[Codes], FloatArray]] | None = None
    ) -> None:
        self.space = space
        self.known = dict(known or {})
        self.codes = np.array(space.as_codes(codes))
        self.codes.setflags(write=False)
        self._encoded: dict[tuple[str, ...], Distinct] = {}
        self._computed: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def network_ids(self) -> NDArray[np.uint64]:
        """A number that two architectures share exactly when they are the same network, shape [n]."""
        return self.space.network_ids(self.codes)

    @cached_property
    def graphs(self) -> Graphs:
        """The architectures as graphs, as the space draws them."""
        return self.space.graphs(self.codes)

    def quantity(self, name: str) -> FloatArray:
        """A quantity that the space counts, such as "params", or that is known otherwise, shape [n]."""
        if name in self.known:
            return self.known[name](self.codes)
        if name not in self.space.quantities:
            choices = [*self.space.quantities, *self.known] or ["(it counts nothing)"]
            hint = (
                ", or give it to the population as known (frugalnas.tables.known_quantities does for columns of tables)"
            )
            raise unknown_name(f"quantity of {self.space.name}", name, choices, hint)
        return self.space.count(name, self.codes)

    def encoded(self, encoding: str | None = None, quantities: Sequence[str] = ()) -> Distinct:
        """The architectures under one of the space's encodings, and some of their quantities.

        Args:
            encoding: None takes the recommended one.
            quantities: each adds a column, log(1 + quantity), behind the encoding's.
        """
        key = (encoding or self.space.encodings[0], *quantities)
        if key not in self._encoded:
            features = self.space.encode(self.codes, key[0])
            if quantities:
                columns = [np.log1p(self.quantity(name)).astype(np.float32) for name in quantities]
                features = np.column_stack([features, *columns])
            self._encoded[key] = Distinct.of(np.ascontiguousarray(features))
        return self._encoded[key]

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns: called the first time, kept from then on. What it computes depends on the codes and `key` only."""
        if key not in self._computed:
            self._computed[key] = make()
        return cast("T", self._computed[key])

    def take(self, rows: IntArray) -> Population:
        """The architectures in `rows`, with the graphs and encodings that are already known."""
        part = Population(self.space, self.codes[rows], self.known)
        if "network_ids" in self.__dict__:
            part.network_ids = self.network_ids[rows]
        if "graphs" in self.__dict__:
            known = self.graphs
            part.graphs = Graphs(known.adjacency[rows], known.operations[rows], known.names)
        for key, encoded in self._encoded.items():
            kept, inverse = np.unique(encoded.inverse[rows], return_inverse=True)
            part._encoded[key] = Distinct(encoded.rows[kept], inverse.ravel())
        return part
