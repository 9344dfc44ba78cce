"""The records of NATS-Bench and NAS-Bench-201: the few numbers kept of each training, and the tables they make."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.nasbench201 import NASBench201
from frugalnas.tables.formats.shown import shown
from frugalnas.tables.formats.watched import how_many
from frugalnas.tables.store import Column, Contents, row_means

EPOCHS = {"12": 12, "200": 200, "less": 12, "full": 200}
"""Of each schedule, as the files name them: NATS-Bench the first two, NAS-Bench-201 the others."""
LICENCE = "MIT"
ARCHITECTURES = 15_625
MENDED_BY = 888
"""The seed whose parameters and multiply-adds count where an architecture's trainings disagree."""
LARGEST = 100.001
"""Accuracies are means over batches of percentages in single precision, which may round past 100."""

SETS = ("x-valid", "x-test", "ori-test")
FIELDS = ("train", *SETS, "seconds", "latency", "params", "flop")


@dataclass(frozen=True)
class Dataset:
    """What was trained on and what the evaluation sets mean: for each role, the set and the images."""

    trained_on: str
    roles: Mapping[str, tuple[str, str]]

    @property
    def sets(self) -> tuple[str, ...]:
        """That a training is evaluated on."""
        return tuple(name for name, _ in self.roles.values())


DATASETS = {
    "cifar10-valid": Dataset(
        "CIFAR-10: 25,000 training images, the benchmark's first half",
        {
            "validation": ("x-valid", "CIFAR-10: 25,000 training images not trained on, the benchmark's second half"),
            "test": ("ori-test", "CIFAR-10: the 10,000 test images, after training on half of the training images"),
        },
    ),
    "cifar10": Dataset(
        "CIFAR-10: all 50,000 training images",
        {"test": ("ori-test", "CIFAR-10: the 10,000 test images, after training on all 50,000 training images")},
    ),
    "cifar100": Dataset(
        "CIFAR-100: the 50,000 training images",
        {
            "validation": ("x-valid", "CIFAR-100: 5,000 of the 10,000 test images, the benchmark's validation half"),
            "test": ("x-test", "CIFAR-100: the other 5,000 test images"),
            "whole_test": ("ori-test", "CIFAR-100: all 10,000 test images, the validation half among them"),
        },
    ),
    "ImageNet16-120": Dataset(
        "ImageNet16-120: the 151,700 training images",
        {
            "validation": (
                "x-valid",
                "ImageNet16-120: 3,000 of the 6,000 held-out images, the benchmark's validation half",
            ),
            "test": ("x-test", "ImageNet16-120: the other 3,000 held-out images"),
            "whole_test": ("ori-test", "ImageNet16-120: all 6,000 held-out images, the validation half among them"),
        },
    ),
}
SECONDS = (
    "sum over the epochs of the training times in the file (train-all-time of the benchmark's API), which the authors "
    "estimated from one mean time an epoch of each architecture; without evaluation"
)
LATENCY = "of a batch of 256 images as the authors measured it, mean of the trainings that state one"
COUNTS = (
    "as the file states them for the network of this dataset; where the trainings of an architecture disagree, what that "
    f"with seed {MENDED_BY} states, as in the benchmark's API"
)


@dataclass(frozen=True)
class Record:
    """All that is kept of an architecture's trainings under one schedule.

    Attributes:
        index: of the architecture.
        architecture: in the benchmark's notation.
        epochs: of each training.
        datasets: of each training, shape [runs].
        seeds: of each training, shape [runs].
        values: shape [runs, fields]: accuracies after the last epoch in %, s, s, millions and millions; NaN if not stated.
    """

    index: int
    architecture: str
    epochs: int
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    values: NDArray[np.float64]


# -- one state ---------------------------------------------------------------------------------------------------------


def take_in(state: object, schedule: str) -> Record:
    """What is kept of a state, the benchmark's dict of all trainings of one architecture under one schedule.

    Raises:
        ValueError: saying what is wrong with it, as the rest of a sentence about the state.
    """
    if not isinstance(state, dict):
        raise ValueError(f"is {shown(state)}, not a dict of results")
    for key, kind in (("arch_index", int), ("arch_str", str), ("all_results", dict), ("dataset_seed", dict)):
        if type(state.get(key)) is not kind:
            raise ValueError(f"has {shown(state.get(key))} where {key} should be")
    architecture, results, epochs = state["arch_str"], state["all_results"], EPOCHS[schedule]
    if not results:
        raise ValueError("has no results")
    datasets, seeds, values = [], [], []
    for key, result in results.items():
        if not (isinstance(key, tuple) and [*map(type, key)] == [str, int] and 0 <= key[1] < 2**31):
            raise ValueError(f"has results under {shown(key)}, which is no dataset and seed")
        dataset, seed = key
        if dataset not in DATASETS:
            raise ValueError(f"has results on {shown(dataset)}; the benchmark has {', '.join(DATASETS)}")
        try:
            values.append(_numbers(result, dataset, seed, architecture, epochs))
        except ValueError as error:
            raise ValueError(f"has a training on {dataset} with seed {seed} that {error}") from None
        datasets.append(
            next(known for known in DATASETS if known == dataset)
        )  # one str for all, whatever was unpickled
        seeds.append(seed)
    _check_listed(state["dataset_seed"], results)
    return Record(state["arch_index"], architecture, epochs, tuple(datasets), tuple(seeds), np.array(values))


def _numbers(result: object, dataset: str, seed: int, architecture: str, epochs: int) -> list[float]:
    """The fields of one training."""
    if not isinstance(result, dict):
        raise ValueError(f"is {shown(result)}, not a dict")
    if result.get("name") != dataset:
        raise ValueError(f"calls itself {shown(result.get('name'))}")
    if not _is_seed(result.get("seed"), seed):
        raise ValueError(f"gives its seed as {shown(result.get('seed'))}")
    if type(result.get("epochs")) is not int or result["epochs"] != epochs:
        raise ValueError(f"has {shown(result.get('epochs'))} epochs, where this schedule has {epochs}")
    config = result.get("arch_config")
    if isinstance(config, dict) and config.get("arch_str", architecture) != architecture:
        raise ValueError(f"trained another architecture, {shown(config['arch_str'])}")
    names, accuracies = result.get("eval_names"), result.get("eval_acc1es")
    if not isinstance(names, list) or not names or not isinstance(accuracies, dict):
        raise ValueError("has no evaluations")
    for name in names:
        if name not in DATASETS[dataset].sets:
            raise ValueError(f"is evaluated on {shown(name)}, where {dataset} has {', '.join(DATASETS[dataset].sets)}")
    evaluated = [
        _accuracy(accuracies, f"{name}@{epochs - 1}", f"accuracy on {name}") if name in names else math.nan
        for name in SETS
    ]
    train = _accuracy(result.get("train_acc1es"), epochs - 1, "training accuracy")
    seconds = _seconds(result.get("train_times"), epochs)
    counts = [_number(result.get(key), key) for key in ("params", "flop")]
    if not (counts[0] > 0 and counts[1] >= 0 and math.isfinite(sum(counts))):
        raise ValueError(f"has {counts[0]:g} million parameters and {counts[1]:g} million FLOPs")
    return [train, *evaluated, seconds, _latency(result.get("latency")), *counts]


def _is_seed(stated: object, seed: int) -> bool:
    """The files write the seed as '0777' in the result and as 777 in its key."""
    if isinstance(stated, str):
        return stated.isdecimal() and len(stated) < 20 and int(stated) == seed
    return isinstance(stated, int) and stated == seed


def _accuracy(values: object, key: object, what: str) -> float:
    if not isinstance(values, dict) or key not in values:
        raise ValueError(f"lacks its {what} after the last epoch")
    value = _number(values[key], what)
    if not 0.0 <= value <= LARGEST:
        raise ValueError(f"has a {what} of {value:g}, outside 0 to 100 %")
    return value


def _seconds(times: object, epochs: int) -> float:
    if times is None:
        return math.nan
    if not isinstance(times, dict) or not all(epoch in times for epoch in range(epochs)):
        raise ValueError("lacks the training time of some of its epochs")
    total = float(sum(_number(times[epoch], "training time") for epoch in range(epochs)))
    if not 0 <= total < math.inf:
        raise ValueError(f"has a training time of {total:g} s")
    return total


def _latency(times: object) -> float:
    if times is None:
        return math.nan
    if not isinstance(times, list) or not times:
        raise ValueError(f"has {shown(times)} where its latencies should be")
    mean = sum(_number(time, "latency") for time in times) / len(times)
    return mean if 0 < mean < math.inf else math.nan  # -1 stands for not measured


def _number(value: object, what: str) -> float:
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise ValueError(f"has {shown(value)} as its {what}")


def _check_listed(listed: Mapping[Any, Any], results: Mapping[Any, Any]) -> None:
    """Refuse a state whose list of seeds of each dataset is not what its results are stored under."""
    lists = [(dataset, seeds if isinstance(seeds, list) else [None]) for dataset, seeds in listed.items()]
    # What is not an int is no seed; hashing a deep tuple would end the process.
    pairs = [(dataset, seed) for dataset, seeds in lists for seed in seeds if type(seed) is int]
    if len(pairs) != len(results) or set(pairs) != set(results):
        raise ValueError(
            f"lists {len(pairs)} trainings in dataset_seed and holds {len(results)}; they are not the same"
        )


# -- all of them -------------------------------------------------------------------------------------------------------


def make_tables(
    where: object, architectures: Sequence[str], records: Iterable[Record], *, prefix: str, source: Mapping[str, str]
) -> list[Contents]:
    """One table per dataset and schedule that the records have, of 200 epochs first.

    Args:
        where: the file or folder, for messages.
        architectures: the benchmark's list, in which an architecture's index is its place.
        records: in any order.
        prefix: of the tables' names, such as "nats/".
        source: what is said of all tables.

    Raises:
        FrugalnasError: where records and list disagree, with the count, or an architecture occurs twice.
    """
    found = sorted(records, key=lambda record: (record.index, record.epochs))
    _check_places(where, architectures, found)
    space, codes_of = NASBench201(), {}
    for record in found:
        if record.index not in codes_of:
            try:
                codes_of[record.index] = space.parse(record.architecture)
            except FrugalnasError as error:
                raise FrugalnasError(f"{where}: architecture {record.index}: {error}") from None
    indices = np.array(sorted(codes_of))
    codes = np.array([codes_of[index] for index in indices.tolist()], np.int8)
    count = len(indices)
    if len(np.unique(space.keys(codes))) < count:
        raise FrugalnasError(f"{where}: {count - len(np.unique(space.keys(codes)))} architectures occur twice")
    tables = []
    for epochs in (200, 12):
        chosen = [record for record in found if record.epochs == epochs]
        if not chosen:
            continue
        values = np.concatenate([record.values for record in chosen])
        places = np.searchsorted(indices, np.repeat([r.index for r in chosen], [len(r.seeds) for r in chosen]))
        on = np.array([dataset for record in chosen for dataset in record.datasets])
        seeds = np.array([seed for record in chosen for seed in record.seeds])
        for dataset in DATASETS:
            of = on == dataset
            if not of.any():
                continue
            rows, row = np.unique(places[of], return_inverse=True)
            columns = _columns(dataset, epochs, row, seeds[of], values[of])
            name = f"{prefix}{dataset.lower()}" + ("" if epochs == 200 else f"-{epochs}epochs")
            told = {
                **source,
                "architectures": how_many(len(rows), ARCHITECTURES),
                "dataset": dataset,
                "schedule": f"{epochs} epochs",
            }
            tables.append(Contents(name, space.name, codes[rows], columns, told, LICENCE))
    return tables


def _check_places(where: object, architectures: Sequence[str], records: Sequence[Record]) -> None:
    if not records:
        raise FrugalnasError(f"{where} has no results")
    if len(set(architectures)) < len(architectures):
        twice = len(architectures) - len(set(architectures))
        raise FrugalnasError(f"{where}: {twice} of the {len(architectures)} architectures in meta_archs occur twice")
    for record in records:
        if not 0 <= record.index < len(architectures):
            raise FrugalnasError(
                f"{where} has results of architecture {record.index}, which meta_archs, a list of {len(architectures)}, "
                "does not name"
            )
    wrong = [record for record in records if record.architecture != architectures[record.index]]
    if wrong:
        raise FrugalnasError(
            f"{where}: {len(wrong)} of {len(records)} records are of another architecture than meta_archs has at their "
            f"index, first {wrong[0].index}: {shown(wrong[0].architecture)}, not {architectures[wrong[0].index]!r}"
        )
    for first, second in pairwise(records):
        if (first.index, first.epochs) == (second.index, second.epochs):
            raise FrugalnasError(f"{where} has architecture {first.index} twice ({first.epochs} epochs)")


def _columns(
    dataset: str, epochs: int, row: NDArray[Any], seeds: NDArray[Any], values: NDArray[np.float64]
) -> list[Column]:
    """The columns of one table; those without a single number are left out."""
    named, place = np.unique(seeds, return_inverse=True)
    cube = np.full((int(row.max()) + 1, len(named), len(FIELDS)), np.nan)
    cube[row, place] = values
    by_field = {field: cube[:, :, at] for at, field in enumerate(FIELDS)}
    each = tuple(map(str, named.tolist()))
    columns = [
        Column(role, by_field[name], split, each, epochs) for role, (name, split) in DATASETS[dataset].roles.items()
    ]
    columns.append(Column("train", by_field["train"], DATASETS[dataset].trained_on, each, epochs))
    columns.append(Column("training_seconds", by_field["seconds"], SECONDS, each, epochs))
    columns.append(Column("latency_ms", 1e3 * row_means(by_field["latency"])[:, None], LATENCY))
    for role, field in (("params", "params"), ("macs", "flop")):
        # Counts are whole numbers; a thousandth is far above what the way through millions has rounded.
        counts = np.round(1e6 * _agreed(by_field[field], named), 3)
        columns.append(Column(role, counts[:, None], COUNTS))
    return [column for column in columns if np.isfinite(column.values).any()]


def _agreed(millions: NDArray[np.float64], seeds: NDArray[Any]) -> NDArray[np.float64]:
    """What an architecture's trainings state, shape [rows]; where they disagree, see `COUNTS`, NaN without that seed.

    The benchmark's API compares five decimals too.
    """
    agreed = row_means(millions)
    spread = np.nanmax(millions, axis=1) - np.nanmin(millions, axis=1)
    mended = np.flatnonzero(seeds == MENDED_BY)
    for row in np.flatnonzero(spread > 0).tolist():
        if len({f"{value:.5f}" for value in millions[row].tolist() if value == value}) > 1:
            agreed[row] = millions[row, mended[0]] if mended.size else np.nan
    return agreed
