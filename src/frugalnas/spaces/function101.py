"""Features of a NAS-Bench-101 cell that say what it computes, the same for every code of a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.cache import cached_array
from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.cells101 import EDGES, SOURCE, TARGET, VERTICES, all_cells, live_parts, representatives
from frugalnas.spaces.costs101 import network_costs, vertex_channels

OUTPUT = VERTICES - 1
CONV3X3, CONV1X1, POOL, INPUT, OUT, DEAD = range(6)
CHUNK = 16_384
WIDTH = 128
"""Output channels of the cell whose channel shares are looked at; the shares hardly depend on it."""
Features = NDArray[np.float32]


def function_features(codes: Codes) -> Features:
    """The features of each cell, in units of their standard deviation over all cells, shape [n, 76].

    Logarithms of parameters and multiply-adds; edges, vertices, paths, shortest and longest path; how often each
    operation occurs, on all of the cell, at most and at least on one path, weighted by its share of the channels, and
    between input and output directly; how often each operation reads each other one, also weighted by channels; how many
    vertices feed the output and read the input. Chosen for how well a Gaussian process on them ranks the cells
    (`benchmarks/README.md`).
    """
    scale = cached_array("nasbench101-function-scale-1", _scale)
    return (_raw(representatives(codes)) - scale[0]) / scale[1]


def _scale() -> Features:
    """Mean and standard deviation of every feature over all cells, shape [2, 76]."""
    raw = _raw(all_cells()[0]).astype(np.float64)
    return np.stack([raw.mean(axis=0), raw.std(axis=0)]).astype(np.float32)


def _raw(codes: Codes) -> Features:
    parts = [_raw_of_chunk(codes[start : start + CHUNK]) for start in range(0, len(codes), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, _raw_of_chunk(all_cells()[0][:1]).shape[1]), np.float32)


def _raw_of_chunk(codes: Codes) -> Features:
    edges, vertices = live_parts(codes)
    n = len(codes)
    joined = np.zeros((VERTICES, VERTICES, n), np.bool_)
    joined[SOURCE, TARGET] = edges.T
    words = np.full((VERTICES, n), INPUT, np.int8)
    words[1:OUTPUT] = np.where(vertices[:, 1:OUTPUT], codes[:, EDGES:], DEAD).T
    words[OUTPUT] = OUT
    channels = np.ones((VERTICES, n), np.float32)
    channels[1:OUTPUT] = vertex_channels(joined, WIDTH) / np.float32(WIDTH)
    feeding, reading = joined[1:OUTPUT, OUTPUT].sum(axis=0), joined[0].sum(axis=0)
    shortest, longest, paths, extremes = _along_paths(joined, words)
    columns = [
        *np.log(network_costs(codes)),
        edges.sum(axis=1),
        vertices.sum(axis=1),
        longest,
        shortest,
        paths,
        joined[0, OUTPUT],
        feeding + joined[0, OUTPUT],
        reading,
        *extremes,
        *(feeding == count for count in range(5)),
        *(longest == count for count in range(1, 7)),
        *(vertices.sum(axis=1) == count for count in range(2, 8)),
    ]
    inner, shares = words[1:OUTPUT], channels[1:OUTPUT]
    direct = joined[0, 1:OUTPUT] & joined[1:OUTPUT, OUTPUT]
    for operation in (CONV3X3, CONV1X1, POOL):
        here = inner == operation
        columns += [here.sum(axis=0), np.where(here, shares, 0).sum(axis=0), (here & direct).sum(axis=0)]
    columns += _readings(joined, words, channels)
    return np.stack([column.astype(np.float32) for column in columns], axis=1)


def _along_paths(
    joined: NDArray[np.bool_], words: NDArray[np.int8]
) -> tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic], list[NDArray[np.generic]]]:
    """Edges on the shortest and on the longest path, number of paths, and the most and fewest operations on one path.

    The last are of 3x3, of 1x1, of pooling, and of convolutions of both kinds: most, then fewest, of each, eight columns.
    """
    n, far = words.shape[1], np.int8(100)
    steps = [np.ones_like(words), words == CONV3X3, words == CONV1X1, words == POOL, words <= CONV1X1]
    most = np.full((len(steps), VERTICES, n), -far, np.int8)
    fewest = np.full((len(steps), VERTICES, n), far, np.int8)
    paths = np.zeros((VERTICES, n), np.int16)
    most[:, 0] = fewest[:, 0] = 0
    paths[0] = 1
    for target in range(1, VERTICES):
        for source in range(target):
            there = joined[source, target]
            paths[target] += np.where(there, paths[source], np.int16(0))
            for kind in range(len(steps)):
                here = most[kind, target], fewest[kind, target]
                np.maximum(here[0], most[kind, source], out=here[0], where=there)
                np.minimum(here[1], fewest[kind, source], out=here[1], where=there)
        for kind, step in enumerate(steps):
            most[kind, target] += step[target]
            fewest[kind, target] += step[target]
    extremes = [bound[kind, OUTPUT] for kind in range(1, len(steps)) for bound in (most, fewest)]
    return fewest[0, OUTPUT], most[0, OUTPUT], paths[OUTPUT], extremes


def _readings(
    joined: NDArray[np.bool_], words: NDArray[np.int8], channels: NDArray[np.float32]
) -> list[NDArray[np.generic]]:
    """How many edges lead from each kind of vertex to each, and their channels in all, 32 columns."""
    counts = np.zeros((4, 5, words.shape[1]), np.float32)
    widths = np.zeros_like(counts)
    rows = np.arange(words.shape[1])
    for source, target in zip(SOURCE, TARGET, strict=True):
        there = rows[joined[source, target]]
        place = words[source, there], words[target, there], there
        counts[place] += 1
        widths[place] += np.minimum(channels[source, there], channels[target, there])
    ends = (CONV3X3, CONV1X1, POOL, OUT)
    return [table[source, target] for table in (counts, widths) for source in range(4) for target in ends]
