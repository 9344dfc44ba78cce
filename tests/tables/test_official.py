"""Official files on the command line: recognised by content, all of their tables or none, searchable at once."""

from __future__ import annotations

import bz2
import shutil
from collections.abc import Callable
from pathlib import Path

import nats_files as nats
import numpy as np
import pytest
import test_formats_nasbench101 as nb101
from hypothesis import given
from hypothesis import strategies as st
from test_importing import snapshot

from frugalnas.errors import FrugalnasError
from frugalnas.tables import (
    Contents,
    Table,
    hpobench,
    import_benchmark,
    is_benchmark,
    official,
    open_table,
    table_names,
)

NATS_TABLES = {
    f"{dataset}{schedule}"
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "imagenet16-120")
    for schedule in ("", "-12epochs")
}


def tfrecord(at: Path) -> Path:
    path = at / "nasbench_full.tfrecord"
    path.write_bytes(b"".join(nb101.framed(record) for record in nb101.GOOD))
    return path


def weaknas(at: Path) -> Path:
    accuracies = {108: {0: 0.9, 1: 0.91, 2: 0.92, "avg": 0.91}}
    cell = (((0, 1, 1), (0, 0, 1), (0, 0, 0)), (0, 2, 4))
    entry = {"scratch": {name: {"acc": accuracies} for name in ("valid", "test")}}
    return nats.saved(at / "nasbench101_minimal.pth.tar", {cell: entry})


def parquet(at: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"hash": [nb101.THREE["hash"]], "num_vertices": [3], "adj_bits": [0b111], "ops": ["1"]}
    path = at / "cells.parquet"
    pq.write_table(pa.table({**columns, "params": [2_793_866], "test108_mean": [0.93]}), path)
    return path


FILES: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "tfrecord": (tfrecord, {"nasbench101", "nasbench101-12epochs"}),
    "parquet of cells": (parquet, {"nasbench101-test"}),
    "folder": (lambda at: nats.folder(at, nats.files(nats.collection())), {f"nats/{name}" for name in NATS_TABLES}),
    "tar": (
        lambda at: nats.written(at / "nats.tar", nats.tarred(nats.files(nats.collection()))),
        {f"nats/{name}" for name in NATS_TABLES},
    ),
    "single pickle": (
        lambda at: nats.written(at / "NATS.pickle.pbz2", nats.squeezed(nats.whole(nats.collection()))),
        {f"nats/{name}" for name in NATS_TABLES},
    ),
    "torch file": (
        lambda at: nats.saved(at / "NAS-Bench-201-v1_1-096897.pth", nats.whole(nats.renamed(nats.collection()))),
        {f"nasbench201-v1.1/{name}" for name in NATS_TABLES},
    ),
    "WeakNAS": (weaknas, {"weaknas/nasbench101"}),
}


@pytest.mark.typical("torch file", "tfrecord", "parquet of cells", "WeakNAS")
@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_known_by_its_content_and_becomes_tables(kind: str, tmp_path: Path, fresh_cache: Path) -> None:
    make, names = FILES[kind]
    path = make(tmp_path)
    assert is_benchmark(path)
    told: list[tuple[int, int]] = []
    tables = import_benchmark(path, on_progress=lambda done, total: told.append((done, total)))
    assert {table.name for table in tables} == names
    assert names <= set(table_names())
    assert told[-1][0] == told[-1][1] > 0
    for table in tables:
        again = open_table(table.name)
        np.testing.assert_array_equal(again.codes, table.codes)
        assert (again.rows(again.codes) == np.arange(len(again))).all()


@pytest.mark.slow
def test_the_command_imports_searches_and_says_how(tmp_path: Path, fresh_cache: Path, cli) -> None:
    said = cli("table", "import", tfrecord(tmp_path))
    assert said.code == 0
    assert "frugalnas search --table nasbench101\n" in said.out
    found = cli(
        "search", "--table", "nasbench101", "--run-dir", tmp_path / "run", "--quiet", "--queries", "5", "--initial", "5"
    )
    assert "has 5 of the 423,624 architectures of nasbench101: only these are searched" in found.err
    assert found.code == 0
    said = cli("table", "import", nats.folder(tmp_path, nats.files(nats.collection())), "--jobs", "2", "--name", "mine")
    assert "mine/cifar10-valid-12epochs" in said.out
    assert "oracle study at most, frugalnas search --table mine/cifar10 --objectives oracle-test" in said.out
    assert "has no validation accuracies" in cli("search", "--table", "mine/cifar10", "--run-dir", tmp_path / "x").err


def test_a_cell_is_looked_up_by_its_network(tmp_path: Path, fresh_cache: Path) -> None:
    table = import_benchmark(tfrecord(tmp_path))[0]
    code = table.space.parse("conv1x1(0)+output(0,1)")
    spelled = table.space.parse("conv3x3()+conv1x1(0)+output(0,2)")
    assert not np.array_equal(code, spelled)
    assert table.lookup(code) == table.lookup(spelled) > 0


def test_tables_of_one_file_are_made_together_or_not_at_all(tmp_path: Path, fresh_cache: Path, monkeypatch) -> None:
    path = nats.folder(tmp_path, nats.files(nats.collection()))
    before = snapshot()
    written: list[str] = []
    write = official.write_table

    def failing(folder: Path, contents: Contents) -> Table:
        if len(written) == 3:
            raise OSError("the disk is full")
        written.append(contents.name)
        return write(folder, contents)

    monkeypatch.setattr(official, "write_table", failing)
    with pytest.raises(OSError, match="the disk is full"):
        import_benchmark(path)
    left = {name: content for name, content in snapshot().items() if content and "arrays" not in name}
    assert left == {name: content for name, content in before.items() if content and "arrays" not in name}
    assert not any(name.startswith("nats/") for name in table_names())


def test_a_name_that_is_taken_is_refused_before_anything_is_written(tmp_path: Path, fresh_cache: Path) -> None:
    path = nats.folder(tmp_path, nats.files(nats.small()))
    import_benchmark(path)
    before = snapshot()
    with pytest.raises(FrugalnasError, match=r"'nats/cifar10-valid' is taken .* choose another `name`, such as mine,"):
        import_benchmark(path)
    assert snapshot() == before
    assert {table.name.partition("/")[0] for table in import_benchmark(path, name="again")} == {"again"}
    with pytest.raises(FrugalnasError, match=r"'again' is taken .* such as again-2,"):
        import_benchmark(path, name="again")


def test_what_the_file_says_itself_cannot_be_said_otherwise(tmp_path: Path, fresh_cache: Path, cli) -> None:
    said = cli("table", "import", tfrecord(tmp_path), "--epochs", "36", "--split", "test")
    assert said.code == 2
    assert "says so itself: leave --epochs, --split out" in said.err
    own = tmp_path / "own.csv"
    own.write_text("arch_str,validation\n")
    assert "--jobs is for a folder" in cli("table", "import", own, "--name", "x", "--jobs", "2").err
    assert "what is the new table called? Add --name" in cli("table", "import", own).err
    assert "at least one process" in cli("table", "import", tfrecord(tmp_path), "--jobs", "0").err


@pytest.mark.parametrize("content", [b"", b"\x00" * 600, b"hello", b"PK\x03\x04", b"BZh", b"PAR1", b"\x80\x02}q\x00."])
@pytest.mark.parametrize("suffix", [".pth", ".pickle.pbz2", ".tfrecord", ".tar", ".bin", ""])
def test_files_of_nothing_known_are_refused_and_the_cache_is_as_before(
    tmp_path: Path, fresh_cache: Path, cli, content: bytes, suffix: str
) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    before = snapshot()
    said = cli("table", "import", path, "--name", "x")
    assert said.code == 2
    assert str(path) in said.err
    assert snapshot() == before


def test_folders_and_paths_that_are_no_benchmark_are_refused(tmp_path: Path, fresh_cache: Path, cli) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nothing"):
        said = cli("table", "import", path)
        assert said.code == 2
        assert str(path) in said.err


def test_an_unknown_table_of_a_benchmark_says_which_file_has_it(fresh_cache: Path, cli) -> None:
    said = cli("search", "weaknas", "--table", "nasbench101", "--queries", "1000")
    assert said.code == 2
    assert "frugalnas table import nasbench_only108.tfrecord" in said.err
    assert "NATS-tss-v1_0-3ffb9-simple" in cli("search", "--table", "nats/cifar10-valid").err


@given(
    kind=st.sampled_from([kind for kind in FILES if kind != "folder"]),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    cut=st.booleans(),
)
def test_a_damaged_file_is_refused_or_read_and_never_half_imported(
    kind: str, place: float, bit: int, cut: bool, good_files: Path, tmp_path_factory, monkeypatch
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    monkeypatch.setenv("FRUGALNAS_CACHE", str(folder / "cache"))
    source = good_files / kind.replace(" ", "-")
    path = folder / next(source.iterdir()).name
    content = bytearray(next(source.iterdir()).read_bytes())
    if cut:
        del content[int(place * len(content)) :]
    else:
        content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    refusal, tables = "", []
    try:
        tables = import_benchmark(path)
    except FrugalnasError as error:
        refusal = str(error)
    assert tables or str(path) in refusal
    assert {table.name for table in tables} == set(table_names()) - {*hpobench.TABLES}
    assert all(table.space.valid(table.codes).all() for table in tables)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each file in a folder of its kind."""
    root = tmp_path_factory.mktemp("good")
    for kind, (make, _) in FILES.items():
        if kind != "folder":
            (root / kind.replace(" ", "-")).mkdir()
            make(root / kind.replace(" ", "-"))
    return root


def test_a_hostile_pickle_does_nothing(tmp_path: Path, fresh_cache: Path, cli) -> None:
    canary = tmp_path / "canary"
    hostile = b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    path = tmp_path / "NATS.pickle.pbz2"
    path.write_bytes(bz2.compress(hostile))
    said = cli("table", "import", path)
    assert said.code == 2
    assert "posix" in said.err
    assert not canary.exists()
