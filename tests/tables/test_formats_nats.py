"""NATS-Bench's and NAS-Bench-201's files: the numbers that the official API gives, or a refusal with the reason."""

from __future__ import annotations

import bz2
import collections
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats_files import (
    SETS,
    assert_same,
    collection,
    files,
    folder,
    renamed,
    saved,
    silent,
    squeezed,
    tarred,
    whole,
    written,
)

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.nasbench201 import NASBench201
from frugalnas.tables.formats.nats import read_folder, read_nasbench201, read_single, read_tar
from frugalnas.tables.store import ROLES, Contents, write_table

REAL = "nats-tss-v1_0-3ffb9-simple"


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
        made = write_table(tmp_path / table.name, table)
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


@pytest.mark.typical("2")
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


@pytest.mark.slow
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


@pytest.mark.typical("5")
@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_other_pickle_protocols_are_read_too(tmp_path: Path, expected: list[Contents], protocol: int) -> None:
    content = bz2.compress(pickle.dumps(whole(collection()), protocol=protocol))
    assert_same(read_single(written(tmp_path / "nats.pickle.pbz2", content), silent), expected)


@pytest.mark.typical("False-True", "True-False")
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_several_processes_read_the_same(tmp_path: Path, expected: list[Contents]) -> None:
    assert_same(read_folder(folder(tmp_path, files(collection())), silent, jobs=2), expected)


@pytest.mark.slow
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
