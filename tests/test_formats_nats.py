"""NATS-Bench's and NAS-Bench-201's files: the numbers that the official API gives, or a refusal with the reason."""

from __future__ import annotations

import bz2
import collections
import copy
import hashlib
import io
import pickle
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.nasbench201 import OPERATIONS, NASBench201
from frugalnas.tables.formats.contents import Contents
from frugalnas.tables.formats.nats import read_folder, read_nasbench201, read_single, read_tar
from frugalnas.tables.store import ROLES, write_table

REAL = "nats-tss-v1_0-3ffb9-simple"
SETS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["ori-test", "x-valid", "x-test"],
    "ImageNet16-120": ["ori-test", "x-valid", "x-test"],
}
Collection = dict[int, dict[str, Any]]

# -- the format, written by hand from its specification ----------------------------------------------------------------

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


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Contents]:
    return read_folder(folder(tmp_path_factory.mktemp("nats"), files(collection())), silent)


@pytest.fixture(scope="session")
def real(shared_data: Path) -> Path:
    if not (shared_data / REAL).is_dir():
        pytest.skip(f"the shared data is not there: no {REAL} in it")
    return shared_data / REAL


# -- the official API is the judge -------------------------------------------------------------------------------------


def assert_official(api: Any, tables: list[Contents], indices: list[int]) -> None:
    """Every number of the tables against `nats_bench`, and that no training is left out."""
    space, checked = NASBench201(), 0
    by_name = {table.name: table for table in tables}
    for dataset in SETS:
        for hp, ending in (("200", ""), ("12", "-12epochs")):
            table = by_name[f"nats/{dataset.lower()}{ending}"]
            columns = {column.role: column for column in table.columns}
            assert sorted(api.query_index_by_arch(space.format(code)) for code in table.codes) == indices
            for row, code in enumerate(table.codes):
                index = api.query_index_by_arch(space.format(code))
                trainings = api.query_by_index(index, dataset, hp)
                cost = api.get_cost_info(index, dataset, hp)
                for role, key, unit in (
                    ("params", "params", 1e6),
                    ("macs", "flops", 1e6),
                    ("latency_ms", "latency", 1e3),
                ):
                    (value,) = columns[role].values[row].tolist()
                    assert np.isnan(value) if cost[key] is None else value == pytest.approx(unit * cost[key], rel=1e-8)
                for place, seed in enumerate(columns["train"].seeds):
                    values = {role: column.values[row, place] for role, column in columns.items() if column.seeds}
                    if int(seed) not in trainings:
                        assert np.isnan(list(values.values())).all()
                        continue
                    info = api.get_more_info(index, dataset, hp=hp, is_random=int(seed))
                    keys = {
                        "validation": "valid-accuracy",
                        "test": "test-accuracy",
                        "whole_test": "valtest-accuracy",
                        "train": "train-accuracy",
                        "training_seconds": "train-all-time",
                    }
                    official = {role: info[key] for role, key in keys.items() if key in info}
                    assert values == official
                    final = trainings[int(seed)]
                    assert (
                        values["test"] == final.get_eval("ori-test" if "10-" in f"{dataset}-" else "x-test")["accuracy"]
                    )
                    checked += len(values)
    assert checked


def test_every_number_of_real_records_is_the_official_apis(real: Path) -> None:
    nats_bench = pytest.importorskip("nats_bench", reason="nats_bench, the judge, is not installed")
    api = nats_bench.create(str(real), "tss", fast_mode=True, verbose=False)
    tables = read_folder(real, silent)
    assert len(tables) == 8
    assert_official(api, tables, [0, 11, 284])


def test_every_number_is_the_official_apis_where_trainings_are_missing_or_disagree(tmp_path: Path) -> None:
    topology = pytest.importorskip("nats_bench.api_topology", reason="nats_bench, the judge, is not installed")
    some = collection()
    results = some[0]["200"]["all_results"]
    results["cifar100", 777]["flop"] = 99.5
    results["cifar100", 999]["params"] = np.float64(0.25)
    results["cifar10", 777]["params"] += 1e-7  # below what the API compares
    results["cifar10", 777]["latency"] = None
    results["cifar10", 888]["latency"] = [-1.0]
    for seed in (777, 888, 999):
        results["ImageNet16-120", seed]["latency"] = None
    some[2]["200"]["all_results"]["cifar10-valid", 777]["latency"] = [0.25, 0.75]
    tables = read_folder(folder(tmp_path, files(some)), silent)
    assert_official(topology.NATStopology(whole(some), verbose=False), tables, [0, 2, 5])


def test_counts_that_trainings_disagree_about_are_unknown_without_the_seed_that_settles_them(tmp_path: Path) -> None:
    some = collection()
    some[2]["200"]["all_results"]["cifar100", 777]["flop"] = 99.5
    table = next(each for each in read_folder(folder(tmp_path, files(some)), silent) if each.name == "nats/cifar100")
    macs = next(column for column in table.columns if column.role == "macs")
    assert np.isnan(macs.values[:, 0]).tolist() == [False, True, False]
    assert "888" in macs.split


# -- what tables are ---------------------------------------------------------------------------------------------------


def test_each_dataset_and_schedule_is_a_table(expected: list[Contents], tmp_path: Path) -> None:
    names = [f"nats/{dataset}" for dataset in ("cifar10-valid", "cifar10", "cifar100", "imagenet16-120")]
    assert [table.name for table in expected] == [*names, *(f"{name}-12epochs" for name in names)]
    for table in expected:
        epochs = 12 if "epochs" in table.name else 200
        assert {column.epochs for column in table.columns} == {epochs, None}
        assert {column.role for column in table.columns if column.epochs is None} == {"latency_ms", "params", "macs"}
        assert all(column.split for column in table.columns)
        assert table.licence == "MIT"
        made = write_table(
            tmp_path / table.name,
            name=table.name,
            space=NASBench201(),
            codes=table.codes,
            columns=table.columns,
            source=table.source,
            licence=table.licence,
        )
        assert len(made) == 3
        assert set(made.columns) <= set(ROLES)


def test_training_on_all_of_cifar10_is_never_mixed_with_training_on_half_of_it(expected: list[Contents]) -> None:
    half, full, hundred, _ = [{column.role: column for column in table.columns} for table in expected[:4]]
    assert "validation" in half
    assert "validation" not in full
    assert "test" in full
    assert not {"whole_test"} & {*half, *full}
    assert "whole_test" in hundred
    assert "validation half among them" in hundred["whole_test"].split
    assert "half" in half["test"].split
    assert "all 50,000" in full["test"].split
    assert not set(half["test"].values.ravel()) & set(full["test"].values.ravel()) - {np.nan}


def test_columns_have_a_place_for_each_seed_that_occurs(expected: list[Contents]) -> None:
    by_name = {table.name: {column.role: column for column in table.columns} for table in expected}
    validation = by_name["nats/cifar100"]["validation"]
    assert validation.seeds == ("777", "888", "999")
    assert np.isnan(validation.values).tolist() == [[False] * 3, [False, True, False], [False] * 3]
    assert by_name["nats/cifar10-valid-12epochs"]["test"].seeds == ("111", "777")
    assert by_name["nats/cifar10-12epochs"]["test"].seeds == ("111",)


def test_partial_collections_say_how_many_architectures_they_have(tmp_path: Path) -> None:
    some = collection()
    del some[2]["200"]
    for hp in some[5]:
        for seed in some[5][hp]["dataset_seed"].pop("cifar10"):
            del some[5][hp]["all_results"]["cifar10", seed]
    told = {table.name: table.source["architectures"] for table in read_folder(folder(tmp_path, files(some)), silent)}
    assert told["nats/cifar10-valid-12epochs"] == "3 of the benchmark's 15625"
    assert told["nats/cifar100"] == "2 of the benchmark's 15625"
    assert told["nats/cifar10"] == "1 of the benchmark's 15625"


def test_sets_that_a_training_was_not_evaluated_on_are_missing_values(tmp_path: Path) -> None:
    some = collection()
    some[0]["200"]["all_results"]["cifar100", 777]["eval_names"].remove("x-test")
    for result in some[0]["12"]["all_results"].values():
        if "ori-test" in result["eval_names"] and result["name"] == "cifar10-valid":
            result["eval_names"].remove("ori-test")
    for result in (result for states in some.values() for result in states["12"]["all_results"].values()):
        result["train_times"] = None
    tables = {each.name: each for each in read_folder(folder(tmp_path, files(some)), silent)}
    values = {column.role: column.values for column in tables["nats/cifar100"].columns}
    assert np.isnan(values["test"][0]).tolist() == [True, False, False]
    assert not np.isnan(values["validation"][0]).any()
    assert "training_seconds" not in [column.role for column in tables["nats/cifar10-12epochs"].columns]


# -- every packing -----------------------------------------------------------------------------------------------------


def test_a_folder_says_its_checksum(tmp_path: Path) -> None:
    contents = files(collection())
    path = folder(tmp_path, {**contents, "README.txt": b"not a record"})
    told: list[tuple[int, int]] = []
    table = read_folder(path, lambda done, total: told.append((done, total)))[0]
    lines = "".join(f"{hashlib.sha256(contents[name]).hexdigest()}  {name}\n" for name in sorted(contents))
    assert table.source["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert table.source["files"] == "4"
    assert table.source["bytes"] == str(sum(map(len, contents.values())))
    assert told[-1] == (4, 4)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_of_the_folder_gives_the_same_tables(tmp_path: Path, expected: list[Contents], form: int) -> None:
    contents = {"./NATS-tss-simple/README.txt": b"not a record", **files(collection())}
    path = written(tmp_path / "nats.tar", tarred(contents, format=form))
    told: list[tuple[int, int]] = []
    tables = read_tar(path, lambda done, total: told.append((done, total)))
    assert_same(tables, expected)
    content = path.read_bytes()
    assert tables[0].source["sha256"] == hashlib.sha256(content).hexdigest()
    assert tables[0].source["bytes"] == str(len(content))
    assert told[-1] == (len(content), len(content))


def test_links_and_members_outside_the_archive_are_no_records(tmp_path: Path, expected: list[Contents]) -> None:
    contents, stream = files(collection()), io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("/tmp/000001.pickle.pbz2", "../000001.pickle.pbz2", "simple/../../000001.pickle.pbz2"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo("simple/000001.pickle.pbz2")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert_same(read_tar(written(tmp_path / "nats.tar", stream.getvalue()), silent), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nats.tar"]


def test_one_pickle_of_everything_gives_the_same_tables(tmp_path: Path, expected: list[Contents]) -> None:
    path = written(tmp_path / "nats.pickle.pbz2", squeezed(whole(collection())))
    told: list[tuple[int, int]] = []
    tables = read_single(path, lambda done, total: told.append((done, total)))
    assert_same(tables, expected)
    assert tables[0].source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_other_pickle_protocols_are_read_too(tmp_path: Path, expected: list[Contents], protocol: int) -> None:
    content = bz2.compress(pickle.dumps(whole(collection()), protocol=protocol))
    assert_same(read_single(written(tmp_path / "nats.pickle.pbz2", content), silent), expected)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("weights", [True, False])
def test_what_torch_saved_gives_the_same_tables(
    tmp_path: Path, expected: list[Contents], archive: bool, weights: bool
) -> None:
    some = renamed(collection())
    if weights:
        torch = pytest.importorskip("torch")
        for result in some[0]["full"]["all_results"].values():
            result["net_state_dict"] = collections.OrderedDict(weight=torch.ones(3, 4), bias=torch.zeros(3))
    content = {**whole(some), "evaluated_indexes": list(some)}
    path = saved(tmp_path / "NAS-Bench-201-v1_1-096897.pth", content, archive=archive)
    tables = read_nasbench201(path, silent)
    assert_same(tables, expected)
    assert tables[0].name == "nasbench201-v1.1/cifar10-valid"
    assert tables[0].source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("file", "prefix"),
    [("NAS-Bench-201-v1_0-e61699.pth", "nasbench201-v1.0"), ("renamed.pth", "nasbench201-file")],
)
def test_versions_stand_in_the_names_of_tables(tmp_path: Path, file: str, prefix: str) -> None:
    tables = read_nasbench201(saved(tmp_path / file, whole(renamed(collection()))), silent)
    assert {table.name.split("/")[0] for table in tables} == {prefix}


def test_real_records_give_the_same_tables_in_every_packing(real: Path, tmp_path: Path) -> None:
    known = read_folder(real, silent)
    with tarfile.open(tmp_path / "nats.tar", "w") as archive:
        archive.add(real, REAL)
    assert_same(read_tar(tmp_path / "nats.tar", silent), known)
    names = pickle.loads(bz2.decompress((real / "meta.pickle.pbz2").read_bytes()))["meta_archs"]
    numbers = (0, 11, 284)
    states = {n: pickle.loads(bz2.decompress((real / f"{n:06d}.pickle.pbz2").read_bytes())) for n in numbers}
    content = {"meta_archs": names, "arch2infos": states, "evaluated_indexes": set(numbers)}
    assert_same(read_single(written(tmp_path / "nats.pickle.pbz2", squeezed(content)), silent), known)
    for archive in (True, False):
        path = saved(tmp_path / f"v1_1-{archive}.pth", {**content, "arch2infos": renamed(states)}, archive=archive)
        assert_same(read_nasbench201(path, silent), known)


def test_several_processes_read_the_same(tmp_path: Path, expected: list[Contents]) -> None:
    assert_same(read_folder(folder(tmp_path, files(collection())), silent, jobs=2), expected)


def test_several_processes_refuse_the_same(tmp_path: Path) -> None:
    contents = {**files(collection()), "000002.pickle.pbz2": b"BZh9 nonsense"}
    with pytest.raises(FrugalnasError, match=r"000002\.pickle\.pbz2"):
        read_folder(folder(tmp_path, contents), silent, jobs=2)


def test_states_are_emptied_once_their_numbers_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import frugalnas.tables.formats.nats as nats

    seen: list[dict[Any, Any]] = []

    def watching(state: Any, schedule: str) -> Any:
        assert sum(bool(earlier) for earlier in seen) <= 2, "more than one architecture is in memory"
        seen.append(state)
        return nats_take_in(state, schedule)

    nats_take_in = nats.take_in
    monkeypatch.setattr(nats, "take_in", watching)
    read_single(written(tmp_path / "nats.pickle.pbz2", squeezed(whole(collection()))), silent)
    assert len(seen) == 6
    assert not any(seen)


# -- what is refused ---------------------------------------------------------------------------------------------------


def refusal(read: Callable[..., object], path: Path) -> str:
    with pytest.raises(FrugalnasError) as refused:
        read(path, silent)
    assert path.name in str(refused.value)
    return str(refused.value)


def test_folders_that_are_no_collection_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    assert "no meta.pickle.pbz2" in refusal(read_folder, folder(tmp_path, {}))
    for name, content in contents.items():
        if name != "meta.pickle.pbz2":
            (tmp_path / "NATS-tss-simple" / name).write_bytes(content)
    assert "no meta.pickle.pbz2" in refusal(read_folder, tmp_path / "NATS-tss-simple")
    (tmp_path / "only").mkdir()
    only = folder(tmp_path / "only", {"meta.pickle.pbz2": contents["meta.pickle.pbz2"]})
    assert "no results" in refusal(read_folder, only)
    assert "cannot read" in refusal(read_folder, tmp_path / "nowhere")
    with pytest.raises(FrugalnasError, match="jobs"):
        read_folder(only, silent, jobs=0)


def test_archives_that_are_no_collection_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    path = tmp_path / "nats.tar"
    assert "cannot read" in refusal(read_tar, path)
    assert "tar" in refusal(read_tar, written(path, b""))
    assert "tar" in refusal(read_tar, written(path, b"nonsense" * 500))
    assert "no meta.pickle.pbz2" in refusal(read_tar, written(path, tarred({"README.txt": b""})))
    assert "no results" in refusal(read_tar, written(path, tarred({"meta.pickle.pbz2": contents["meta.pickle.pbz2"]})))
    twice = {**contents, "again/meta.pickle.pbz2": contents["meta.pickle.pbz2"]}
    assert "twice" in refusal(read_tar, written(path, tarred(twice)))
    again = {**contents, "again/000002.pickle.pbz2": contents["000002.pickle.pbz2"]}
    assert "architecture 2 twice" in refusal(read_tar, written(path, tarred(again)))


def test_the_same_architecture_in_two_files_is_refused(tmp_path: Path) -> None:
    contents = files(collection())
    contents["2.pickle.pbz2"] = contents["000002.pickle.pbz2"]
    assert "architecture 2 twice" in refusal(read_folder, folder(tmp_path, contents))


def result_of(some: Collection, dataset: str, seed: int = 777) -> dict[str, Any]:
    return some[0]["200"]["all_results"][dataset, seed]


def swapped(some: Collection) -> None:
    """Training on all of CIFAR-10 under the name of training on half of it, and the other way round."""
    result_of(some, "cifar10")["eval_names"].append("x-valid")


def without(dataset: str, field: str, key: object) -> Callable[[Collection], None]:
    def drop(some: Collection) -> None:
        del result_of(some, dataset)[field][key]

    return drop


def changed(dataset: str, field: str, value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        result_of(some, dataset)[field] = value

    return change


def accuracy(value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        result_of(some, "cifar100")["eval_acc1es"]["x-valid@199"] = value

    return change


def moved(some: Collection) -> None:
    results = some[0]["200"]["all_results"]
    results["svhn", 777] = results.pop(("cifar10", 777))


def state_changed(key: str, value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        some[0]["200"][key] = value

    return change


def other_schedule(some: Collection) -> None:
    some[0]["90"] = some[0].pop("200")


def exchanged(some: Collection) -> None:
    some[0]["12"], some[0]["200"] = some[0]["200"], some[0]["12"]


REFUSED: list[tuple[Callable[[Collection], object], str]] = [
    (without("cifar100", "eval_acc1es", "x-test@199"), "777 that lacks its accuracy on x-test after the last epoch"),
    (without("cifar10", "train_acc1es", 199), "lacks its training accuracy after the last epoch"),
    (without("cifar10", "train_times", 3), "lacks the training time of some of its epochs"),
    (changed("cifar10", "epochs", 90), "90 epochs, where this schedule has 200"),
    (changed("cifar10", "epochs", 12), "12 epochs, where this schedule has 200"),
    (exchanged, "epochs, where this schedule has"),
    (changed("cifar10", "epochs", None), "nothing epochs"),
    (changed("cifar10", "name", "cifar10-valid"), "calls itself 'cifar10-valid'"),
    (changed("cifar10", "seed", "0888"), "gives its seed as '0888'"),
    (changed("cifar10", "eval_names", []), "no evaluations"),
    (changed("cifar10", "eval_acc1es", None), "no evaluations"),
    (changed("cifar10", "params", None), "nothing as its params"),
    (changed("cifar10", "params", 0.0), "0 million parameters"),
    (changed("cifar10", "flop", float("nan")), "nan million FLOPs"),
    (changed("cifar10", "latency", []), "where its latencies should be"),
    (changed("cifar10", "train_times", {0: 1.0}), "training time of some"),
    (changed("cifar10", "arch_config", {"arch_str": CELLS[1]}), "trained another architecture"),
    (swapped, "is evaluated on 'x-valid', where cifar10 has ori-test"),
    (moved, "has results on 'svhn'"),
    (accuracy(100.5), "accuracy on x-valid of 100.5, outside 0 to 100"),
    (accuracy(-0.5), "outside 0 to 100"),
    (accuracy(float("nan")), "nan, outside 0 to 100"),
    (accuracy("91"), "a str as its accuracy"),
    (accuracy(True), "a bool as its accuracy"),
    (state_changed("arch_str", None), "nothing where arch_str should be"),
    (state_changed("arch_index", "0"), "a str where arch_index should be"),
    (state_changed("all_results", []), "a list where all_results should be"),
    (state_changed("all_results", {}), "no results"),
    (state_changed("all_results", {"cifar10": {}}), "no dataset and seed"),
    (state_changed("all_results", {("cifar10", 777): 7}), "a int, not a dict"),
    (state_changed("dataset_seed", {"cifar10": [777]}), "dataset_seed"),
    (state_changed("dataset_seed", {"cifar10": 777}), "dataset_seed"),
    (other_schedule, "'90'"),
]


@pytest.mark.parametrize(("spoil", "why"), REFUSED)
def test_results_that_cannot_be_are_refused_in_every_packing(
    tmp_path: Path, spoil: Callable[[Collection], object], why: str
) -> None:
    some = small()
    spoil(some)
    assert why in refusal(read_tar, written(tmp_path / "nats.tar", tarred(files(some))))
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some))))
    assert why in said or "is not one of the states" in said


def test_architectures_that_are_not_the_lists_are_refused_with_their_count(tmp_path: Path) -> None:
    some = collection()
    for index in (0, 5):
        for one in some[index].values():
            one["arch_str"] = CELLS[index + 1]
            for result in one["all_results"].values():
                result["arch_config"]["arch_str"] = CELLS[index + 1]
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some))))
    assert "4 of 6 records" in said
    assert CELLS[0] in said


def test_files_that_hold_another_architecture_than_their_number_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    contents["000003.pickle.pbz2"] = contents.pop("000002.pickle.pbz2")
    path = folder(tmp_path, contents)
    assert "000003.pickle.pbz2 holds architecture 2" in refusal(read_folder, path)


def test_architectures_that_the_list_does_not_name_are_refused(tmp_path: Path) -> None:
    contents = {**files(collection()), "meta.pickle.pbz2": squeezed({**meta(), "meta_archs": CELLS[:4]})}
    assert "architecture 5, which meta_archs, a list of 4" in refusal(read_folder, folder(tmp_path, contents))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([*CELLS[:-1], CELLS[0]], "1 of the 8 architectures in meta_archs occur twice"),
        ([], "no list meta_archs"),
        (None, "no list meta_archs"),
        ([*CELLS[:-1], 7], "no list meta_archs"),
    ],
)
def test_lists_of_architectures_that_cannot_be_are_refused(tmp_path: Path, names: object, why: str) -> None:
    contents = {**files(small()), "meta.pickle.pbz2": squeezed({**meta(), "meta_archs": names})}
    assert why in refusal(read_folder, folder(tmp_path, contents))
    single = squeezed({**whole(small()), "meta_archs": names})
    assert why in refusal(read_single, written(tmp_path / "nats.pickle.pbz2", single))


def test_architectures_outside_the_space_are_refused(tmp_path: Path) -> None:
    some, odd = small(), CELLS[0].replace("none", "sep_conv_3x3")
    for one in some[0].values():
        one["arch_str"] = odd
        for result in one["all_results"].values():
            del result["arch_config"]
    content = squeezed({**whole(some), "meta_archs": [odd, *CELLS[1:]]})
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", content))
    assert "architecture 0" in said
    assert "sep_conv_3x3" in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"evaluated_indexes": {0, 2}}, "names 2 architectures and arch2infos holds 3; 1 are in one of them only"),
        ({"evaluated_indexes": {0, 2, 5, 6}}, "1 are in one of them only"),
        ({"evaluated_indexes": None}, "lacks arch2infos or evaluated_indexes"),
        ({"arch2infos": None}, "lacks arch2infos or evaluated_indexes"),
        ({"arch2infos": {0: 7}}, "no dict of states"),
        ({"arch2infos": {0: {"200": 7}}}, "not one of the states '12' and '200'"),
        ({"arch2infos": {}, "evaluated_indexes": []}, "has no results"),
    ],
)
def test_a_pickle_of_everything_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    content = squeezed({**whole(collection()), **change})
    assert why in refusal(read_single, written(tmp_path / "nats.pickle.pbz2", content))
    path = saved(tmp_path / "v1_1.pth", {**whole(renamed(collection())), **change})
    assert why.replace("'12' and '200'", "'less' and 'full'") in refusal(read_nasbench201, path)


def test_results_under_another_index_are_refused(tmp_path: Path) -> None:
    some = collection()
    some[1] = some.pop(0)
    path = written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some)))
    assert "has architecture 0 under 1" in refusal(read_single, path)


@pytest.mark.parametrize("content", [7, [], {}, "text", {"meta_archs": 1}, None])
def test_pickles_of_something_else_are_refused(tmp_path: Path, content: object) -> None:
    refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(content)))
    refusal(read_nasbench201, saved(tmp_path / "v1_1.pth", content))
    contents = {**files(small()), "000002.pickle.pbz2": squeezed(content)}
    assert "000002.pickle.pbz2" in refusal(read_folder, folder(tmp_path, contents))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {**files(collection()), "000002.pickle.pbz2": squeezed(Evil())}
    refusal(read_folder, folder(tmp_path, contents))
    refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole({0: {"200": Evil()}}))))
    refusal(read_nasbench201, saved(tmp_path / "v1_1.pth", whole({0: {"full": Evil()}})))
    assert not (tmp_path / "touched").exists()


def test_a_file_that_is_not_bzip2_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nats.pickle.pbz2"
    for content in (b"", b"nonsense", pickle.dumps(whole(collection())), b"BZh9" + b"x" * 100):
        refusal(read_single, written(path, content))
    assert "cannot read" in refusal(read_single, tmp_path / "nowhere.pbz2")


# -- damage ------------------------------------------------------------------------------------------------------------

DAMAGED = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("flip"), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1)),
    st.tuples(st.just("zero"), st.floats(0, 1, exclude_max=True)),
)


def damaged(content: bytes, how: tuple[str, Any]) -> bytes:
    kind, where = how
    if kind == "cut":
        return content[: int(where * len(content))]
    spoiled = bytearray(content)
    if kind == "zero":
        at = int(where * len(content)) // 512 * 512
        spoiled[at : at + 512] = bytes(len(spoiled[at : at + 512]))
    else:
        for place, bit in where:
            spoiled[int(place * len(content))] ^= 1 << bit
    return bytes(spoiled)


def assert_refused_or_same(
    read: Callable[..., list[Contents]], path: Path, named: str, undamaged: list[Contents]
) -> None:
    refused = None
    try:
        tables = read(path, silent)
    except FrugalnasError as error:
        refused = str(error)
    if refused is None:
        assert_same(tables, undamaged)
    else:
        assert named in refused


@pytest.fixture(scope="module")
def packed() -> dict[str, bytes]:
    some = {index: states for index, states in collection().items() if index != 5}
    for states in some.values():
        del states["200"]
    contents = files(some)
    return {"tar": tarred(contents), "single": squeezed(whole(some)), **contents}


@pytest.fixture(scope="module")
def undamaged(packed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> list[Contents]:
    return read_tar(written(tmp_path_factory.mktemp("tar") / "nats.tar", packed["tar"]), silent)


@given(how=DAMAGED)
def test_damaged_archives_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any]
) -> None:
    path = written(tmp_path / "nats.tar", damaged(packed["tar"], how))
    assert_refused_or_same(read_tar, path, "nats.tar", undamaged)


@given(how=DAMAGED)
def test_damaged_files_of_everything_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any]
) -> None:
    path = written(tmp_path / "nats.pickle.pbz2", damaged(packed["single"], how))
    assert_refused_or_same(read_single, path, "nats.pickle.pbz2", undamaged)


@settings(max_examples=50)
@given(how=DAMAGED, name=st.sampled_from(["000000.pickle.pbz2", "000002.pickle.pbz2", "meta.pickle.pbz2"]))
def test_damaged_files_of_a_folder_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any], name: str
) -> None:
    path = tmp_path / "simple"
    path.mkdir(exist_ok=True)
    for each in ("000000.pickle.pbz2", "000002.pickle.pbz2", "meta.pickle.pbz2"):
        (path / each).write_bytes(damaged(packed[each], how) if each == name else packed[each])
    assert_refused_or_same(read_folder, path, name, undamaged)


@settings(max_examples=50)
@given(how=DAMAGED)
def test_damage_before_compression_is_refused_or_gives_possible_tables(tmp_path: Path, how: tuple[str, Any]) -> None:
    """Whoever compresses a damaged pickle hides the damage from bzip2; what remains a possible table stays one."""
    content = damaged(pickle.dumps(whole({0: {"12": small()[0]["12"]}}), protocol=4), how)
    path = written(tmp_path / "nats.pickle.pbz2", bz2.compress(content, compresslevel=1))
    try:
        tables = read_single(path, silent)
    except FrugalnasError:
        return
    for table in tables:
        for column in table.columns:
            assert column.values.shape[0] == 1
            if column.role in ("validation", "test", "whole_test", "train"):
                assert ((column.values >= 0) & (column.values <= 100.001)).all()


def test_a_damaged_header_is_not_taken_for_the_end_of_an_archive(tmp_path: Path, packed: dict[str, bytes]) -> None:
    content = packed["tar"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        last = archive.getmembers()[-1].offset
    path = tmp_path / "nats.tar"
    for spoiled in (
        content[:last],
        content[:last] + bytes([content[last] ^ 1]) + content[last + 1 :],
        content[:last] + bytes(512) + content[last + 512 :],
        content + content,
    ):
        refusal(read_tar, written(path, spoiled))


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_torch_files_are_refused(tmp_path: Path, archive: bool) -> None:
    some = {index: {"less": states["12"]} for index, states in collection().items()}
    content = saved(tmp_path / "v1_1.pth", whole(some), archive=archive).read_bytes()
    for cut in (0, 1, 100, len(content) // 2, len(content) - 100):
        refusal(read_nasbench201, written(tmp_path / "cut.pth", content[:cut]))
    if archive:
        spoiled = copy.copy(bytearray(content))
        spoiled[len(content) // 2] ^= 16
        assert "cut.pth" in refusal(read_nasbench201, written(tmp_path / "cut.pth", bytes(spoiled)))
