"""How well encodings tell architectures apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frugalnas.spaces.base import Codes, SearchSpace
from frugalnas.spaces.hashing import row_hashes

__all__ = ["Resolution", "resolutions"]

BLOCK = 50_000
"""Rows encoded at a time: the widest encoding of NAS-Bench-101 would take half a gigabyte at once."""


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
    _, network = np.unique(space.networks(codes), return_inverse=True)
    return [_resolution(space, codes, network.ravel(), encoding) for encoding in space.encodings]


def _resolution(space: SearchSpace, codes: Codes, network: np.ndarray, encoding: str) -> Resolution:
    hashes = []
    for start in range(0, len(codes), BLOCK):
        features = np.ascontiguousarray(space.encode(codes[start : start + BLOCK], encoding))
        hashes.append(row_hashes(features))
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
