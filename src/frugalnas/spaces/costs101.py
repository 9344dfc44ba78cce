"""What NAS-Bench-101's networks cost: parameters and multiply-adds of many cells at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import Codes, FloatArray, IntArray
from frugalnas.spaces.cells101 import EDGES, INNER, SOURCE, TARGET, VERTICES, live_parts

STACKS = 3
CONV3X3, CONV1X1 = 0, 1
OUTPUT = VERTICES - 1
Counts = NDArray[np.int64]


def network_costs(
    codes: Codes, width: int = 128, cells: int = 3, input_size: int = 32, classes: int = 10
) -> tuple[FloatArray, FloatArray]:
    """Trainable parameters and multiply-adds of each cell's network on one image, shapes [n].

    The network (Ying et al., ICML 2019): a 3x3 convolution to 128 channels, three stacks of three cells with channels
    doubled and the map halved between them, global pooling, a linear layer with bias. Convolutions have no bias, and a
    batch norm of two parameters a channel. Multiply-adds are those of convolutions and the linear layer.

    Args:
        codes: shape [n, 26].
        width: channels of the first stack.
        cells: in each stack.
        input_size: side of the square image.
        classes: of the linear layer.
    """
    edges, _ = live_parts(codes)
    joined = np.zeros((VERTICES, VERTICES, len(edges)), np.bool_)
    joined[SOURCE, TARGET] = edges.T
    last = width << (STACKS - 1)
    params = np.full(len(edges), 3 * 9 * width + 2 * width + (last + 1) * classes, np.int64)
    macs = np.full(len(edges), 3 * 9 * width * input_size**2 + last * classes, np.int64)
    for stack in range(STACKS):
        channels, side = width << stack, -(-input_size >> stack)
        inside = vertex_channels(joined, channels)
        weights, norms = _cell_weights(joined, np.asarray(codes)[:, EDGES:].T, inside)
        # What reads the cell's input is projected to the reader's channels: interior vertices, and the output.
        read = np.where(joined[0, 1:OUTPUT], inside, 0).sum(axis=0) + np.where(joined[0, OUTPUT], channels, 0)
        first = channels if stack == 0 else channels // 2
        inputs = first + (cells - 1) * channels
        params += cells * (weights + norms) + read * inputs + cells * 2 * read
        macs += (cells * weights + read * inputs) * side**2
    return params.astype(np.float64), macs.astype(np.float64)


def vertex_channels(joined: NDArray[np.bool_], channels: int) -> IntArray:
    """Channels of the interior vertices in a cell with this many output channels, shape [5, n]; dead ones have none.

    The vertices that the output concatenates share its channels, the first of them taking what does not divide; every
    other vertex has as many as the widest of its interior users.

    Args:
        joined: live edges, shape [7, 7, n].
        channels: of the cell's output.
    """
    last = joined[1:OUTPUT, OUTPUT]
    users = np.maximum(last.sum(axis=0), 1)
    share, spare = channels // users, channels % users
    inside = np.where(last, share + (np.cumsum(last, axis=0) <= spare), 0)
    for vertex in range(INNER - 1, 0, -1):
        wanted = np.where(joined[vertex, vertex + 1 : OUTPUT], inside[vertex:], 0).max(axis=0, initial=0)
        inside[vertex - 1] = np.where(last[vertex - 1], inside[vertex - 1], wanted)
    return inside


def _cell_weights(joined: NDArray[np.bool_], operations: Codes, inside: IntArray) -> tuple[Counts, Counts]:
    """Weights, and batch-norm parameters, of the vertices' own operations in one cell, shapes [n]."""
    taps = np.where(operations == CONV3X3, 9, np.where(operations == CONV1X1, 1, 0))
    weights = (taps * inside.astype(np.int64) ** 2).sum(axis=0)
    norms = (2 * inside * (taps > 0)).sum(axis=0, dtype=np.int64)
    return weights, norms
