"""Ways to draw architectures from a space, and how far what they draw is from the space itself (NPENAS, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.arrays import Codes, FloatArray
from frugalnas.spaces.base import SearchSpace

Draw = Callable[[int, np.random.Generator], Codes]

ENCODING = "path"
BLOCK = 20_000
"""Architectures encoded at a time: the paths of NAS-Bench-101 are 364 columns."""


def sampling_pipelines(space: SearchSpace) -> dict[str, Draw]:
    """The ways of drawing that a space knows, by name.

    A space with an option `sampler` has each of its values; every other one "codes", in which networks with many codes come
    more often. Of a space that lists codes there is also "networks", each network equally often.
    """
    if space.samplers:
        made = {name: type(space)(sampler=name) for name in space.samplers}  # type: ignore[call-arg]
        return {name: each.sample for name, each in made.items()}
    drawn: dict[str, Draw] = {"codes": space.sample}
    if space.listed_by == "code" and space.enumerable:
        codes = space.enumerate()
        networks = codes[np.unique(space.network_ids(codes), return_index=True)[1]]
        drawn["networks"] = lambda n, rng: networks[rng.integers(len(networks), size=n)]
    return drawn


def path_shares(space: SearchSpace, codes: Codes) -> NDArray[np.float64]:
    """How often each path from input to output occurs among all paths of these architectures, shape [paths].

    Raises:
        FrugalnasError: where the space has no path encoding, or the architectures have no paths.
    """
    if ENCODING not in space.encodings:
        raise FrugalnasError(f"{space.name} has no path encoding; it has {', '.join(space.encodings)}")
    blocks = (codes[start : start + BLOCK] for start in range(0, len(codes), BLOCK))
    counts = sum(space.encode(block, ENCODING).sum(axis=0, dtype=np.float64) for block in blocks)
    total = np.sum(counts)
    if not total:
        raise FrugalnasError(f"{len(codes)} architectures of {space.name} have no path from input to output")
    return np.asarray(counts / total)


def divergence(sample: FloatArray, whole: FloatArray) -> float:
    """Kullback-Leibler divergence of a sample's distribution from that of the whole, in nats; 0 where they are equal.

    Example:
        >>> round(divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 4)
        0.6931
    """
    seen = sample > 0
    if np.any(whole[seen] == 0):
        raise FrugalnasError(
            "the sample has what the whole has not; a divergence is from a whole that contains the sample"
        )
    return max(float(np.sum(sample[seen] * np.log(sample[seen] / whole[seen]))), 0.0)
