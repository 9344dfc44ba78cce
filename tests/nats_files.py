"""Files of NATS-Bench and NAS-Bench-201 in the official layout, written by hand from its specification."""

from __future__ import annotations

import bz2
import collections
import io
import pickle
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugalnas.spaces.nasbench201 import OPERATIONS
from frugalnas.tables.store import Contents

SETS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["ori-test", "x-valid", "x-test"],
    "ImageNet16-120": ["ori-test", "x-valid", "x-test"],
}
Collection = dict[int, dict[str, Any]]

CELLS = [
    f"|{a}~0|+|{b}~0|{c}~1|+|skip_connect~0|none~1|{a}~2|"
    for a in OPERATIONS[1:3]
    for b in OPERATIONS[2:4]
    for c in OPERATIONS[3:]
]


def training(index: int, dataset: str, seed: int, epochs: int) -> dict[str, Any]:
    draw = random.Random(f"{index} {dataset} {seed} {epochs}")
    # Older trainings were evaluated on some sets after the last epoch only.
    evaluated = [(name, n) for name in SETS[dataset] for n in range(epochs) if name != "x-test" or n == epochs - 1]
    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": {n: draw.uniform(10, 100) for n in range(epochs)},
        "train_acc5es": None,
        "train_losses": {n: draw.random() for n in range(epochs)},
        "train_times": collections.OrderedDict((n, 7.25 + index) for n in range(epochs)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": CELLS[index], "class_num": 10},
        "params": np.float64(0.129306 + index),
        "flop": 15.64737 + index,
        "seed": f"{seed:04d}",
        "epochs": epochs,
        "latency": [np.float64(0.0139) * (index + 1)],
        "eval_names": list(SETS[dataset]),
        "eval_acc1es": {f"{name}@{n}": draw.uniform(10, 95) for name, n in evaluated},
        "eval_times": {f"{name}@{n}": 2.5 for name in SETS[dataset] for n in range(epochs)},
        "eval_losses": {f"{name}@{n}": draw.random() for name, n in evaluated},
    }


def state(index: int, epochs: int, seeds: dict[str, list[int]]) -> dict[str, Any]:
    pairs = [(dataset, seed) for dataset, listed in seeds.items() for seed in reversed(listed)]
    return {
        "arch_index": index,
        "arch_str": CELLS[index],
        "all_results": {(dataset, seed): training(index, dataset, seed, epochs) for dataset, seed in pairs},
        "dataset_seed": {dataset: list(listed) for dataset, listed in seeds.items()},
        "clear_net_done": True,
    }


def collection() -> Collection:
    """Three of eight architectures; the second has fewer seeds."""
    short = {dataset: [111, 777] if dataset == "cifar10-valid" else [111] for dataset in SETS}
    seeds = {0: [777, 888, 999], 2: [777, 999], 5: [777, 888, 999]}
    return {
        index: {"12": state(index, 12, short), "200": state(index, 200, dict.fromkeys(SETS, listed))}
        for index, listed in seeds.items()
    }


def small() -> Collection:
    """One architecture with one seed."""
    seeds = [777]
    return {0: {"12": state(0, 12, dict.fromkeys(SETS, seeds)), "200": state(0, 200, dict.fromkeys(SETS, seeds))}}


def squeezed(content: object) -> bytes:
    return bz2.compress(pickle.dumps(content, protocol=4), compresslevel=1)


def meta() -> dict[str, Any]:
    return {"meta_archs": CELLS, "total_archs": len(CELLS), "arch2infos": None, "evaluated_indexes": set()}


def files(architectures: Collection) -> dict[str, bytes]:
    numbered = {f"{index:06d}.pickle.pbz2": squeezed(states) for index, states in architectures.items()}
    return {**numbered, "meta.pickle.pbz2": squeezed(meta())}


def whole(architectures: Collection) -> dict[str, Any]:
    return {"meta_archs": CELLS, "arch2infos": architectures, "evaluated_indexes": set(architectures)}


def folder(at: Path, contents: dict[str, bytes]) -> Path:
    path = at / "NATS-tss-simple"
    path.mkdir()
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def tarred(contents: dict[str, bytes], **how: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", **how) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name if "/" in name else f"NATS-tss-simple/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def written(at: Path, content: bytes) -> Path:
    at.write_bytes(content)
    return at


def renamed(architectures: Collection) -> Collection:
    """The states as NAS-Bench-201's file calls them."""
    return {index: {"less": states["12"], "full": states["200"]} for index, states in architectures.items()}


def saved(at: Path, content: object, *, archive: bool = True) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(content, at, _use_new_zipfile_serialization=archive)
    return at


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def assert_same(found: list[Contents], expected: list[Contents]) -> None:
    assert [table.name.partition("/")[2] for table in found] == [table.name.partition("/")[2] for table in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.codes.tolist() == other.codes.tolist()
        for column, known in zip(one.columns, other.columns, strict=True):
            assert (column.role, column.split, column.seeds, column.epochs) == (
                *(known.role, known.split, known.seeds, known.epochs),
            )
            np.testing.assert_array_equal(column.values, known.values)
