"""Where the architectures of a space lie on a plane."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from frugalnas.cache import cached_array
from frugalnas.registry import SPACES
from frugalnas.spaces import Codes, Population, SearchSpace

SUBSAMPLE = 15_625
"""Architectures that are embedded: all of NAS-Bench-201, a fixed sample of a larger space."""
PERPLEXITY = 30.0


class Embedding:
    """A t-SNE embedding of a search space on a plane, made once and kept in the cache.

    It is of the encoding that the space recommends for predictors, each distinct feature vector once: cells that such a
    predictor cannot tell apart lie at one point. One-hot codes of a complete space are no use here: all architectures
    have equally many neighbours at equal distances, and the embedding is a shapeless cloud.

    Of a space with more than 15,625 architectures a fixed sample is embedded; any other architecture is placed at the
    nearest vector of that sample, nearest in the encoding.

    Args:
        space: one that can be listed; limits do not matter, it is the whole space that is embedded.
        say: is told before the embedding is made, which takes a minute or two.

    Raises:
        SpaceTooLarge: where the space cannot be listed.
    """

    def __init__(self, space: SearchSpace, say: Callable[[str], None] = lambda text: None) -> None:
        self.space: SearchSpace = SPACES.create(SPACES.describe(space))
        self.encoding = self.space.encodings[0]
        codes = self.space.enumerate()
        self.complete = len(codes) <= SUBSAMPLE
        if not self.complete:
            codes = codes[np.sort(np.random.default_rng(0).choice(len(codes), SUBSAMPLE, replace=False))]
        self._vectors = Population(self.space, codes).encoded(self.encoding).rows
        digest = hashlib.sha256(self._vectors.tobytes()).hexdigest()[:12]
        name = f"tsne-{self.space.name}-{self.encoding}-{len(codes)}-{digest}"
        self.sample = codes
        self._positions = cached_array(name, lambda: self._embed(say))

    def place(self, codes: Codes) -> NDArray[np.float64]:
        """Where architectures lie, shape [n, 2]."""
        from sklearn.neighbors import NearestNeighbors

        if not len(codes):
            return np.zeros((0, 2))
        wanted = Population(self.space, codes).encoded(self.encoding)
        nearest = NearestNeighbors(n_neighbors=1).fit(self._vectors).kneighbors(wanted.rows, return_distance=False)
        return np.asarray(self._positions, np.float64)[nearest[:, 0]][wanted.inverse]

    def _embed(self, say: Callable[[str], None]) -> NDArray[np.float32]:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        say(
            f"embedding {len(self._vectors):,} distinct cells of {self.space.name}, a minute or two; kept for next time"
        )
        perplexity = min(PERPLEXITY, (len(self._vectors) - 1) / 3)
        # One thread, so that sums have one order and the picture does not depend on the machine's cores.
        with threadpool_limits(limits=1):
            made = TSNE(init="pca", perplexity=perplexity, random_state=0, n_jobs=1).fit_transform(self._vectors)
        return np.asarray(made, np.float32)
