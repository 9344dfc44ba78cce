"""Fixed random functions of 64-bit words, by which networks and rows are told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

BLOCK = 16_384
"""Rows hashed at a time, so that their words take little memory."""


def mixed(words: Words, salt: np.uint64) -> Words:
    """Each word as a fixed random function sees it: the finaliser of SplitMix64, offset by `salt`."""
    words = words + salt
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def row_hashes(features: NDArray[np.float32] | NDArray[np.bool_]) -> Words:
    """A 64-bit hash of each row, shape [n]: sorting numbers is far cheaper than sorting rows.

    Rows of booleans have the hashes of the same rows of ones and zeros, and only their ones are looked at.
    """
    width = features.shape[1]
    odd = np.random.default_rng(width).integers(2**64, size=width, dtype=np.uint64) | np.uint64(1)
    multipliers = np.asarray(odd, np.uint64)
    hashes = np.empty(len(features), np.uint64)
    with np.errstate(over="ignore"):
        if features.dtype == np.bool_:
            of_one = _spread(np.ones(1, np.float32).view(np.uint32).astype(np.uint64), multipliers)
            rows, columns = np.nonzero(features)
            sums = np.concatenate([[np.uint64(0)], np.cumsum(of_one[columns], dtype=np.uint64)])
            ends = np.searchsorted(rows, np.arange(len(features) + 1))
            return sums[ends[1:]] - sums[ends[:-1]]
        for start in range(0, len(features), BLOCK):
            words = features[start : start + BLOCK].view(np.uint32).astype(np.uint64)
            hashes[start : start + BLOCK] = _spread(words, multipliers).sum(axis=1, dtype=np.uint64)
    return hashes


def _spread(words: Words, multipliers: Words) -> Words:
    """What each word adds to its row's hash: nothing where it is zero."""
    spread = (words ^ (words << np.uint64(31))) * multipliers
    spread ^= spread >> np.uint64(29)
    spread *= np.uint64(0x9E3779B97F4A7C15)
    return spread
