"""WeakNAS's dictionaries: every number where it belongs, or a refusal with the place and the reason."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.cells101 import graph_hashes
from frugalnas.spaces.nasbench201 import NASBench201
from frugalnas.tables.formats.weaknas import read_weaknas
from frugalnas.tables.store import Contents, write_table

torch = pytest.importorskip("torch")

# -- the format, written by hand from its specification ----------------------------------------------------------------

INPUT, CONV1, CONV3, POOL, OUTPUT = range(5)
NAMES = {
    INPUT: "input",
    CONV1: "conv1x1-bn-relu",
    CONV3: "conv3x3-bn-relu",
    POOL: "maxpool3x3",
    OUTPUT: "output",
}


def cell(adjacency: str, *operations: int) -> tuple[Any, ...]:
    return tuple(tuple(map(int, row)) for row in adjacency.split()), (INPUT, *operations, OUTPUT)


# Cells of the benchmark with the hashes that it published for them.
CELLS = {
    "00005c142e6f48ac74fdcf73e3439874": cell(
        "0100110 0010000 0001001 0000010 0000010 0000001 0000000", *(CONV3, POOL, CONV3, CONV3, CONV1)
    ),
    "00040b38293651f17fb665401c671bbb": cell("010110 001001 000100 000011 000001 000000", CONV3, CONV3, POOL, CONV3),
    "001ea832563f8d635ef7d0af25926274": cell("01111 00111 00010 00001 00000", POOL, CONV3, CONV3),
    "09fc2d10bdd6225e167a6f81a22a3f06": cell("011 001 000", CONV1),
    "043721b9c7fe8c5fad811d47d83132ec": cell("01 00"),
}
DEAD = (0, 3, 0, 0, 2, 0)
"""Of NAS-Bench-201: nothing reaches the output."""
KEYS201 = [(3, 3, 3, 1, 3, 2), (1, 1, 1, 0, 2, 0), (4, 2, 1, 2, 1, 1), DEAD]
SETS = {
    "weaknas/cifar10-valid": ("train", "x-valid", "ori-test"),
    "weaknas/cifar10": ("train", "ori-test"),
    "weaknas/nasbench201": ("train", "x-valid", "x-test", "ori-test"),
}


def runs(*values: float) -> dict[Any, float]:
    return {**dict(enumerate(values)), "avg": sum(values) / len(values)}


def entry(place: int, sets: tuple[str, ...], epochs: int) -> dict[str, Any]:
    return {
        "scratch": {
            name: {"acc": {epochs: runs(*(0.9 - place / 16 - at / 64 + run / 256 for run in range(3)))}}
            for at, name in enumerate(sets)
        }
    }


def cells101() -> dict[Any, Any]:
    return {key: entry(place, ("valid", "test"), 108) for place, key in enumerate(CELLS.values())}


def cells201(name: str = "weaknas/cifar10-valid") -> dict[Any, Any]:
    made = {key: entry(place, SETS[name], 200) for place, key in enumerate(KEYS201)}
    for measured in made[DEAD]["scratch"].values():
        measured["acc"][200] = runs(*[0.01 if name == "weaknas/nasbench201" else 0.1] * 3)
    return made


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def saved(at: Path, content: object, *, archive: bool = True) -> Path:
    path = at / "minimal.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path


def read(at: Path, content: object) -> Contents:
    (table,) = read_weaknas(saved(at, content), silent)
    return table


def columns(table: Contents) -> dict[str, np.ndarray]:
    return {column.role: column.values for column in table.columns}


def refusal(at: Path, content: object) -> str:
    with pytest.raises(FrugalnasError) as refused:
        read(at, content)
    assert "minimal.pth.tar" in str(refused.value)
    return str(refused.value)


# -- what a good file gives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_cells_of_nasbench101_are_the_benchmarks(tmp_path: Path, archive: bool, named: bool) -> None:
    content = cells101()
    if named:
        content = {(key[0], tuple(map(NAMES.__getitem__, key[1]))): value for key, value in content.items()}
    path = saved(tmp_path, content, archive=archive)
    (table,) = read_weaknas(path, silent)
    assert (table.name, table.space) == ("weaknas/nasbench101", "nasbench101")
    assert [fingerprint.decode() for fingerprint in graph_hashes(table.codes)] == list(CELLS)
    for role, name in (("validation", "valid"), ("test", "test")):
        expected = [[100 * value["scratch"][name]["acc"][108][run] for run in range(3)] for value in content.values()]
        np.testing.assert_allclose(columns(table)[role], expected, atol=1e-12)
    assert {column.epochs for column in table.columns} == {108}
    assert {column.seeds for column in table.columns} == {("0", "1", "2")}
    assert table.source == {
        "file": "minimal.pth.tar",
        "bytes": str(path.stat().st_size),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "architectures": "5 of the benchmark's 423624",
    }
    made = write_table(tmp_path / "table", table)
    assert len(made) == 5


@pytest.mark.parametrize("name", SETS)
def test_sets_tell_which_benchmark_a_file_of_nasbench201_is(tmp_path: Path, name: str) -> None:
    content = cells201(name)
    table = read(tmp_path, content)
    assert (table.name, table.space) == (name, "nasbench201")
    assert [tuple(code) for code in table.codes.tolist()] == KEYS201
    test = "x-test" if name == "weaknas/nasbench201" else "ori-test"
    roles = {"train": "train", "x-valid": "validation", test: "test"}
    if name == "weaknas/nasbench201":
        roles["ori-test"] = "whole_test"
    assert {column.role for column in table.columns} == {roles[each] for each in SETS[name]}
    for measured in SETS[name]:
        expected = [
            [100 * value["scratch"][measured]["acc"][200][run] for run in range(3)] for value in content.values()
        ]
        np.testing.assert_allclose(columns(table)[roles[measured]], expected, atol=1e-12)
    assert {column.epochs for column in table.columns} == {200}
    assert "order, which the file does not state" in table.source["codes"]
    assert table.source["architectures"] == "4 of the benchmark's 15625"


def test_training_on_all_of_cifar10_has_no_validation_accuracies(tmp_path: Path) -> None:
    assert "validation" not in columns(read(tmp_path, cells201("weaknas/cifar10")))


def test_what_a_file_does_not_tell_apart_is_said(tmp_path: Path) -> None:
    table = read(tmp_path, cells201("weaknas/nasbench201"))
    assert all("CIFAR-100 or ImageNet16-120" in column.split for column in table.columns)


def test_missing_runs_are_missing_values(tmp_path: Path) -> None:
    content = cells201()
    for measured in content[KEYS201[1]]["scratch"].values():
        measured["acc"][200] = {1: 0.5, "avg": 0.5}
    table = read(tmp_path, content)
    assert np.isnan(columns(table)["validation"]).tolist() == [[False] * 3, [True, False, True], *[[False] * 3] * 2]
    assert columns(table)["test"][1, 1] == 50.0


def test_runs_that_no_architecture_has_are_no_columns(tmp_path: Path) -> None:
    content = cells201()
    for value in content.values():
        for measured in value["scratch"].values():
            first = measured["acc"][200][0]
            measured["acc"][200] = {0: first, "avg": first}
    assert {column.seeds for column in read(tmp_path, content).columns} == {("0",)}


def test_numpys_numbers_and_rounded_averages_are_fine(tmp_path: Path) -> None:
    content = cells201()
    for value in content.values():
        for measured in value["scratch"].values():
            accuracies = measured["acc"][200]
            measured["acc"][200] = {key: np.float32(round(accuracy, 5)) for key, accuracy in accuracies.items()}
    expected = columns(read(tmp_path, cells201()))
    for role, values in columns(read(tmp_path, content)).items():
        np.testing.assert_allclose(values, expected[role], atol=1e-3)


def test_entries_may_say_more_than_accuracies(tmp_path: Path) -> None:
    content = cells101()
    for value in content.values():
        value["params"] = 7
        value["scratch"]["valid"]["loss"] = {108: runs(1.5, 2.5, 3.5)}
        value["scratch"]["valid"]["acc"][4] = runs(0.1, 0.1, 0.1)
    expected = columns(read(tmp_path, cells101()))
    for role, values in columns(read(tmp_path, content)).items():
        np.testing.assert_array_equal(values, expected[role])


def test_progress_ends_with_the_whole_file(tmp_path: Path) -> None:
    path = saved(tmp_path, cells101())
    told: list[tuple[int, int]] = []
    read_weaknas(path, lambda done, total: told.append((done, total)))
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [7, None, [], {}, "scratch", {"scratch": {}}, {(1, 2): 3}, {KEYS201[0]: {}}])
def test_files_of_something_else_are_refused(tmp_path: Path, content: object) -> None:
    refusal(tmp_path, content)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FrugalnasError, match=r"nowhere\.pth\.tar"):
        read_weaknas(tmp_path / "nowhere.pth.tar", silent)


def changed(change: Callable[[dict[Any, Any]], object]) -> dict[Any, Any]:
    """A file in which the sets of the second architecture are changed."""
    content = cells201()
    change(content[KEYS201[1]]["scratch"])
    return content


def accuracies(**values: object) -> Callable[[dict[Any, Any]], None]:
    """Other values for the validation accuracies; run numbers are written r0, r1, r2."""

    def change(scratch: dict[Any, Any]) -> None:
        for key, value in values.items():
            scratch["x-valid"]["acc"][200][int(key[1]) if key[0] == "r" else key] = value

    return change


REFUSED: list[tuple[Callable[[dict[Any, Any]], object], str]] = [
    (accuracies(avg=0.5), "1 of 4 architectures state an average that is not the mean of their runs"),
    (accuracies(r0=math.nan), "nan for an accuracy on 'x-valid'"),
    (accuracies(r0=91.5), "91.5 for an accuracy on 'x-valid', where fractions from 0 to 1"),
    (accuracies(r0=-0.1), "-0.1 for an accuracy"),
    (accuracies(r2=None), "nothing for an accuracy"),
    (accuracies(r1="0.5"), "'0.5' for an accuracy"),
    (accuracies(r3=0.5), "a run 3 on 'x-valid'"),
    (accuracies(avg=True), "True for an accuracy"),
    (lambda scratch: scratch["x-valid"]["acc"][200].pop("avg"), "no runs 0, 1, 2 and their average"),
    (lambda scratch: scratch["x-valid"]["acc"].update({200: {"avg": 0.5}}), "no runs 0, 1, 2"),
    (lambda scratch: scratch["x-valid"]["acc"].update({200: 0.5}), "no runs 0, 1, 2"),
    (lambda scratch: scratch["x-valid"].update(acc={12: runs(0.5)}), "no accuracies on 'x-valid' after"),
    (lambda scratch: scratch["x-valid"].update(acc={108: runs(0.5)}), "no accuracies on 'x-valid' after 200"),
    (lambda scratch: scratch["x-valid"].update(acc=[0.5]), "no accuracies, 'acc', on 'x-valid'"),
    (lambda scratch: scratch.update({"x-valid": 0.5}), "no accuracies, 'acc', on 'x-valid'"),
    (lambda scratch: scratch.pop("train"), "1 of 4 architectures have other sets or epochs"),
    (lambda scratch: scratch.clear(), "no sets"),
    (lambda scratch: scratch.update({7: {}}), "no sets"),
]


@pytest.mark.parametrize(("change", "why"), REFUSED)
def test_entries_that_cannot_be_are_refused_with_the_architecture(
    tmp_path: Path, change: Callable[[dict[Any, Any]], object], why: str
) -> None:
    said = refusal(tmp_path, changed(change))
    assert why in said
    assert "(1, 1, 1, 0, 2, 0)" in said


def test_an_architecture_without_results_is_refused(tmp_path: Path) -> None:
    content = {**cells201(), KEYS201[2]: {"finetuned": {}}}
    assert "(4, 2, 1, 2, 1, 1) has no results 'scratch'" in refusal(tmp_path, content)


@pytest.mark.parametrize("sets", [("valid", "test"), ("x-valid", "x-test"), ("train",), ("train", "ori-test", "valid")])
def test_unknown_sets_are_refused(tmp_path: Path, sets: tuple[str, ...]) -> None:
    assert "has the sets" in refusal(tmp_path, {KEYS201[0]: entry(0, sets, 200)})


def test_the_other_benchmarks_epochs_are_refused(tmp_path: Path) -> None:
    assert "after 108 epochs" in refusal(tmp_path, {KEYS201[0]: entry(0, ("train", "ori-test"), 108)})
    key = next(iter(CELLS.values()))
    assert "after 200 epochs" in refusal(tmp_path, {key: entry(0, ("valid", "test"), 200)})


@pytest.mark.parametrize(
    "key", [(3, 3, 3, 1, 3), (3, 3, 3, 1, 3, 5), (3, 3, 3, 1, 3, -1), (3, 3, 3, 1, 0, 2.0), "331", 7]
)
def test_keys_that_are_no_cell_of_nasbench201_are_refused(tmp_path: Path, key: object) -> None:
    assert "is not six operations of 0 to 4" in refusal(
        tmp_path, {**cells201(), key: entry(0, SETS["weaknas/cifar10-valid"], 200)}
    )


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (cell("01 00", CONV1), "is no adjacency matrix"),
        (cell("0 0 0"), "is no adjacency matrix"),
        (cell("021 001 000", CONV1), "is no adjacency matrix"),
        (cell("011 001 000", OUTPUT), "is no adjacency matrix"),
        (cell("011 001 000", 7), "is no adjacency matrix"),
        ((cell("011 001 000")[0], ("input", "sep_conv", "output")), "is no adjacency matrix"),
        ((cell("011 001 000")[0], (OUTPUT, CONV1, INPUT)), "is no adjacency matrix"),
        ((((0, 1), (0,)), (INPUT, OUTPUT)), "is no adjacency matrix"),
        (("01", "00"), "is no adjacency matrix"),
        ((7, 7), "is no adjacency matrix"),
        (cell("0" * 8 + " " + " ".join(["0" * 8] * 7), *[CONV1] * 6), "is no adjacency matrix"),
        (cell("011 100 000", CONV1), "does not lead to a later vertex"),
        (cell("010 000 000", CONV1), "no path from input to output"),
        (cell("01111 00111 00011 00001 00000", *[CONV1] * 3), "more than 9 edges"),
    ],
)
def test_keys_that_are_no_cell_of_nasbench101_are_refused(tmp_path: Path, key: object, why: str) -> None:
    assert why in refusal(tmp_path, {**cells101(), key: entry(0, ("valid", "test"), 108)})


def test_two_cells_that_are_one_network_are_refused_with_their_count(tmp_path: Path) -> None:
    twins = [
        cell("01100 00010 00001 00001 00000", CONV1, CONV3, CONV1),
        cell("01100 00001 00010 00001 00000", CONV3, CONV1, CONV1),
        cell("010 001 000", CONV3),
        cell("0110 0001 0000 0000", CONV3, POOL),
    ]
    content = {key: entry(place, ("valid", "test"), 108) for place, key in enumerate(twins)}
    assert "2 of 4 cells are another one's network" in refusal(tmp_path, content)


def test_accuracies_that_contradict_the_presumed_order_of_edges_are_refused(tmp_path: Path) -> None:
    content = cells201()
    content[DEAD] = entry(3, SETS["weaknas/cifar10-valid"], 200)
    said = refusal(tmp_path, content)
    assert "1 of 1 cells whose input does not reach their output have more than 10.5 %" in said
    assert "another order" in said


def test_the_presumed_chance_is_what_disconnected_cells_have_in_the_benchmark(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from frugalnas.spaces.nasbench201 import live_edges

    path = shared_data / "nasbench201.parquet"
    if not path.is_file():
        pytest.skip("the shared data is not there: no nasbench201.parquet in it")
    table = parquet.read_table(path).to_pydict()
    space = NASBench201()
    live = live_edges(np.array([space.parse(text) for text in table["arch_str"]], np.int8)).any(axis=1)
    for column, chance in (("cifar10_val200", 10.5), ("cifar10_test200", 10.5), ("cifar100_test200", 1.5)):
        assert ((np.array(table[column]) > chance) == live).all()


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["archive", "older"])
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(tmp_path_factory.mktemp("weaknas"), cells101(), archive=request.param).read_bytes()


@given(where=st.floats(0, 1, exclude_max=True))
def test_files_cut_short_are_refused_or_read_unchanged(tmp_path: Path, packed: bytes, where: float) -> None:
    path = tmp_path / "cut.pth.tar"
    path.write_bytes(packed[: int(where * len(packed))])
    refused, tables = None, []
    try:
        tables = read_weaknas(path, silent)
    except FrugalnasError as error:
        refused = str(error)
    assert (refused is None) == bool(tables)
    if refused is not None:
        assert "cut.pth.tar" in refused
    else:
        assert len(tables[0].codes) == len(CELLS)


@pytest.mark.typical("archive")
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_flipped_bits_are_refused_or_give_a_table_in_range(
    tmp_path: Path, packed: bytes, where: float, bit: int
) -> None:
    """The format before the zip archive has no checksums: what remains a possible table cannot be refused."""
    spoiled = bytearray(packed)
    spoiled[int(where * len(packed))] ^= 1 << bit
    path = tmp_path / "flipped.pth.tar"
    path.write_bytes(spoiled)
    refused, tables = None, []
    try:
        tables = read_weaknas(path, silent)
    except FrugalnasError as error:
        refused = str(error)
    if refused is not None:
        assert "flipped.pth.tar" in refused
    for table in tables:
        for column in table.columns:
            assert ((column.values >= 0) & (column.values <= 100.001) | np.isnan(column.values)).all()


def test_an_archive_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    content = saved(tmp_path, cells101()).read_bytes()
    at = content.index(b"scratch")
    spoiled = copy.copy(bytearray(content))
    spoiled[at + 40] ^= 1
    (tmp_path / "minimal.pth.tar").write_bytes(spoiled)
    with pytest.raises(FrugalnasError, match=r"minimal\.pth\.tar"):
        read_weaknas(tmp_path / "minimal.pth.tar", silent)
