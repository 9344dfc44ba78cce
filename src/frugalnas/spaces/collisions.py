"""How well encodings tell architectures apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.hashing import row_hashes

BLOCK = 2**22
"""Numbers encoded at a time: the widest encodings would take gigabytes at once."""


@dataclass(frozen=True)
class Resolution:
    """What one encoding tells apart among some architectures.

    Attributes:
        encoding: its name.
        dimension: columns.
        distinct: different feature vectors.
        colliding: architectures whose feature vector another network has too.
        largest: architectures that share the most common feature vector.
        split: networks that have more than one feature vector, under different codes.
    """

    encoding: str
    dimension: int
    distinct: int
    colliding: int
    largest: int
    split: int


def resolutions(space: SearchSpace, codes: Codes) -> list[Resolution]:
    """What each of the space's encodings tells apart among these architectures, in the space's order.

    Args:
        space: whose encodings.
        codes: distinct architectures, shape [n, genes].
    """
    _, network = np.unique(space.network_ids(codes), return_inverse=True)
    return [_resolution(space, codes, network.ravel(), encoding) for encoding in space.encodings]


def _resolution(space: SearchSpace, codes: Codes, network: np.ndarray, encoding: str) -> Resolution:
    hashes = []
    rows = max(BLOCK // space.features(codes[:1], encoding).shape[1], 1)
    for start in range(0, len(codes), rows):
        features = np.ascontiguousarray(space.features(codes[start : start + rows], encoding))
        hashes.append(row_hashes(features if features.dtype == np.bool_ else features.astype(np.float32)))
    _, vector, architectures = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    vector = vector.ravel()
    pairs = np.unique(np.stack([vector, network], axis=1), axis=0)
    networks_of_vector = np.bincount(pairs[:, 0])
    vectors_of_network = np.bincount(pairs[:, 1])
    return Resolution(
        encoding=encoding,
        dimension=features.shape[1],
        distinct=len(architectures),
        colliding=int((networks_of_vector[vector] > 1).sum()),
        largest=int(architectures.max()),
        split=int((vectors_of_network > 1).sum()),
    )
