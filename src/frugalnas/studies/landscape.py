"""How a table's accuracies lie in its space: how far near architectures differ, and how far validation tells test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.scores.correlation import kendall_tau
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.spaces.pipelines import divergence, path_shares, sampling_pipelines
from frugalnas.tables import open_table

Values = NDArray[np.float64]

SAMPLE = 16_000
"""Architectures whose pairs are all looked at; NAS-Bench-201 has fewer."""
ACCURACIES = ("validation", "test", "whole_test")
DISTANCES = ("position-path", "live", "onehot")
"""Encodings whose differing bits are distances, the first that a space has. SSNENAS takes position-path."""
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Of the best by validation among which validation and test are compared."""
SIZES = (50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Landscape:
    """A table seen from the distances in its space.

    Attributes:
        table: its name.
        encoding: whose differing bits are distances.
        architectures: how many were compared, each with each.
        distances: those that occur, ascending, shape [k].
        pairs: how many pairs have each, shape [k].
        differences: mean absolute difference in accuracy at each, in points, by column, shape [k].
        random: mean absolute difference of all pairs, by column.
        agreement: where validation and test are known: for each share of the best by validation the validation accuracy that
            they have at least, how many they are, and Kendall's tau of validation and test among them.
    """

    table: str
    encoding: str
    architectures: int
    distances: NDArray[np.intp]
    pairs: NDArray[np.intp]
    differences: dict[str, Values]
    random: dict[str, float]
    agreement: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Samplers:
    """What ways of drawing draw, held against the whole space.

    Attributes:
        space: its name.
        architectures: in the whole space.
        sizes: of the samples, shape [k].
        divergences: of the distribution of paths, from that of the whole, in nats, by way of drawing, shape [trials, k].
        whole: how often each path occurs among all paths of the whole space, shape [paths].
        shares: the same of the largest samples, by way of drawing, mean over trials.
        networks: distinct networks in a sample of the largest size, by way of drawing, mean over trials.
    """

    space: str
    architectures: int
    sizes: tuple[int, ...]
    divergences: dict[str, Values]
    whole: Values
    shares: dict[str, Values]
    networks: dict[str, float]


def read_landscape(table: str, *, encoding: str | None = None, sample: int | None = None, seed: int = 0) -> Landscape:
    """How accuracies differ at each distance, and how validation and test agree among the best.

    Args:
        table: name of a table with accuracies.
        encoding: of zeros and ones, whose differing bits are distances; None: position-path where the space has it.
        sample: architectures drawn; None: all up to 16,000, of more so many.
        seed: of the draw.

    Raises:
        FrugalnasError: where the table has no accuracies, or the space no such encoding.
    """
    _check_seed(seed)
    opened = open_table(table)
    space = opened.space
    columns = {role: opened.labels(role) for role in ACCURACIES if role in opened.columns}
    if not columns:
        raise FrugalnasError(f"{opened.name} has no accuracies; it has {', '.join(opened.columns)}")
    encoding = encoding or next((name for name in DISTANCES if name in space.encodings), "onehot")
    if encoding not in space.encodings:
        raise unknown_name(f"encoding of {space.name}", encoding, space.encodings)
    known = np.flatnonzero(np.isfinite(np.column_stack(list(columns.values()))).all(axis=1))
    if len(known) < 2:
        raise FrugalnasError(f"{opened.name} has {len(known)} architectures with all accuracies; two are a pair")
    size = min(len(known), SAMPLE if sample is None else sample)
    if size < 2:
        raise FrugalnasError(f"`sample` {sample}: two architectures at least are a pair")
    rows = np.sort(np.random.default_rng(seed).choice(known, size, replace=False))
    features = space.encode(np.asarray(opened.codes[rows]), encoding)
    if not np.isin(features, (0, 1)).all():
        raise FrugalnasError(f"{encoding} is not of zeros and ones, whose differences count edits; take {DISTANCES[0]}")
    values = {role: column[rows] for role, column in columns.items()}
    distances, pairs, differences = _by_distance(packed(features), values)
    return Landscape(
        opened.name,
        encoding,
        size,
        distances,
        pairs,
        differences,
        {role: float((found * pairs).sum() / pairs.sum()) for role, found in differences.items()},
        _agreement({role: column[known] for role, column in columns.items()}),
    )


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise FrugalnasError(f"`seed` {seed}: a seed is 0 or more")


def _by_distance(
    words: NDArray[np.uint64], values: dict[str, Values]
) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, Values]]:
    """The distances that occur among all pairs, how often, and the mean absolute differences of the values."""
    n, most = len(words), 64 * words.shape[1] + 1
    counts = np.zeros(most, np.intp)
    sums = {role: np.zeros(most) for role in values}
    for row in range(n - 1):
        others = words[row + 1 :]
        found = edit_distances(others, np.broadcast_to(words[row], others.shape))
        counts += np.bincount(found, minlength=most)
        for role, column in values.items():
            sums[role] += np.bincount(found, np.abs(column[row + 1 :] - column[row]), minlength=most)
    occurring = np.flatnonzero(counts)
    return occurring, counts[occurring], {role: total[occurring] / counts[occurring] for role, total in sums.items()}


def _agreement(columns: dict[str, Values]) -> tuple[dict[str, Any], ...]:
    test = next((role for role in ("test", "whole_test") if role in columns), None)
    if test is None or "validation" not in columns:
        return ()
    order = np.argsort(-columns["validation"], kind="stable")
    found = []
    for share in SHARES:
        best = order[: max(round(share * len(order)), 2)]
        found.append(
            {
                "share": share,
                "validation_at_least": float(columns["validation"][best[-1]]),
                "architectures": len(best),
                "tau": kendall_tau(columns["validation"][best], columns[test][best]),
            }
        )
    return tuple(found)


def read_samplers(space: SearchSpace, *, sizes: tuple[int, ...] = SIZES, trials: int = 10, seed: int = 0) -> Samplers:
    """How far samples are from the space that they are drawn from, by the paths of their architectures.

    Args:
        space: one that can be listed.
        sizes: of the samples.
        trials: samples of each size.
        seed: of the draws.

    Raises:
        FrugalnasError: where the space has no path encoding, or cannot be listed.
    """
    _check_seed(seed)
    if trials < 1 or not sizes or min(sizes) < 1:
        raise FrugalnasError(f"samples of sizes {', '.join(map(str, sizes))} in {trials} trials: one at least of each")
    if not space.enumerable:
        raise FrugalnasError(
            f"{space.name} cannot be listed, so that nobody knows what the whole of it looks like; take nasbench101 or "
            "nasbench201"
        )
    codes = space.enumerate()
    whole = path_shares(space, codes)
    pipelines = sampling_pipelines(space)
    divergences = {name: np.empty((trials, len(sizes))) for name in pipelines}
    shares = {name: np.zeros(len(whole)) for name in pipelines}
    networks = dict.fromkeys(pipelines, 0.0)
    for stream, (name, draw) in zip(np.random.SeedSequence(seed).spawn(len(pipelines)), pipelines.items(), strict=True):
        rng = np.random.default_rng(stream)
        for trial in range(trials):
            drawn = draw(max(sizes), rng)
            networks[name] += len(np.unique(space.network_ids(drawn))) / trials
            for place, size in enumerate(sizes):
                found = path_shares(space, drawn[:size])
                divergences[name][trial, place] = divergence(found, whole)
            shares[name] += path_shares(space, drawn) / trials
    return Samplers(space.name, len(codes), tuple(sizes), divergences, whole, shares, networks)
