"""How far architectures are from each other: differing bits of an encoding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import IntArray

Words = NDArray[np.uint64]
BLOCK = 2**16
"""Pairs looked at together, which keeps what is between them in a processor's cache."""


def edit_distances(left: Words, right: Words) -> IntArray:
    """How many bits of an encoding differ between each pair of rows, shape [n].

    On `position-path` codes this is the graph edit distance of SSNENAS (arXiv 2011.00186, section 3.2).

    Args:
        left: packed codes, shape [n, words]; see `packed`.
        right: as many.
    """
    distances = np.empty(len(left), np.int32)
    for start in range(0, len(left), BLOCK):
        rows = slice(start, start + BLOCK)
        distances[rows] = _set_bits(left[rows] ^ right[rows]).sum(axis=1, dtype=np.int32)
    return distances


def packed(features: NDArray[np.generic]) -> Words:
    """Zeros and ones, shape [n, d], as bits of 64-bit words, shape [n, ceil(d / 64)].

    Example:
        >>> codes = packed(np.array([[1, 0, 1], [1, 1, 0]]))
        >>> edit_distances(codes[:1], codes[1:]).tolist()
        [2]
    """
    bits = np.packbits(np.asarray(features) != 0, axis=1)
    bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
    return np.ascontiguousarray(bits).view(np.uint64)


def _set_bits(words: Words) -> NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.bitwise_count(words)
    counts: NDArray[np.uint8] = (
        _BITS_OF_BYTE[words.view(np.uint8)].reshape(*words.shape, 8).sum(axis=-1, dtype=np.uint8)
    )
    return counts


_BITS_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
