"""Importing a file of results: right row by row, or refused with the cache as it was."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import user_code
from hypothesis import example, given, settings
from hypothesis import strategies as st

from frugalnas.cache import cache_folder
from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Trials
from frugalnas.registry import SPACES
from frugalnas.searches import Budget, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.spaces.listed import listed_space
from frugalnas.strategies import GeneticSearch, LocalSearch, RandomSearch, RegularizedEvolution, WeakNAS
from frugalnas.studies import compare
from frugalnas.tables import Table, TableEvaluator, examine, import_table, open_table, read_labels, table_names

SPACE = NASBench201()
CELLS = [SPACE.format(code) for code in SPACE.enumerate()[[300, 7_000, 12_345, 15_000]]]


def snapshot() -> dict[str, bytes]:
    """Every file and folder of the cache."""
    root = cache_folder()
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in root.rglob("*")}


# -- the real file -----------------------------------------------------------------------------------------------------

MAPPINGS = {
    "shared/cifar10": {
        "validation": ["cifar10_val200"],
        "test": ["cifar10_test200_seed0", "cifar10_test200_seed1", "cifar10_test200_seed2"],
        "params": ["params_M_cifar10"],
    },
    "shared/cifar100": {"validation": ["cifar100_val200"], "test": ["cifar100_test200"]},
}


@pytest.fixture(scope="module")
def frame(shared_data: Path) -> dict[str, list[object]]:
    return pq.read_table(shared_data / "nasbench201.parquet").to_pydict()


@pytest.fixture(scope="module")
def imported(shared_data: Path) -> dict[str, Table]:
    return {
        name: import_table(
            shared_data / "nasbench201.parquet",
            name=name,
            columns=columns,
            scale={"params": 1e6} if "params" in columns else {},
            epochs=200,
            split="cifar10-valid",
        )
        for name, columns in MAPPINGS.items()
    }


def test_every_row_has_the_numbers_of_the_file(imported, frame):
    codes = np.array([SPACE.parse(text) for text in frame["arch_str"]])
    for name, columns in MAPPINGS.items():
        table = imported[name]
        rows = table.rows(codes)
        assert sorted(rows.tolist()) == list(range(15_625))
        for role, used in columns.items():
            expected = np.array([frame[column] for column in used], np.float64).T
            np.testing.assert_array_equal(table.column(role)[rows], expected * (1e6 if role == "params" else 1.0))


def test_seeds_that_were_not_run_are_known_to_be_missing(imported, frame):
    table = imported["shared/cifar10"]
    runs = np.isfinite(table.column("test")).sum(axis=1)
    assert set(runs.tolist()) == {1, 2, 3}
    described = table.manifest["columns"]["test"]
    assert described["seeds"] == MAPPINGS["shared/cifar10"]["test"]
    assert described["architectures_by_number_of_runs"] == np.bincount(runs).tolist()
    means = table.labels("test")
    code = table.codes[123]
    assert table.lookup(code, "test") == pytest.approx(means[123])


@pytest.mark.parametrize(
    ("name", "validation", "test"), [("shared/cifar10", 91.607, None), ("shared/cifar100", 73.493, 73.513)]
)
def test_the_best_numbers_are_the_published_ones(imported, frame, name, validation, test):
    table = imported[name]
    assert table.labels().max() == pytest.approx(validation, abs=5e-4)
    if test is not None:
        assert table.labels("test").max() == pytest.approx(test, abs=5e-4)


def test_the_best_test_accuracy_on_cifar10_is_the_published_one(shared_data, fresh_cache):
    table = import_table(
        shared_data / "nasbench201.parquet",
        name="means",
        columns={"validation": ["cifar10_val200"], "test": ["cifar10_test200"]},
    )
    assert table.labels("test").max() == pytest.approx(94.373, abs=5e-4)


def test_validation_agrees_with_the_default_table(imported):
    for name in ("cifar10", "cifar100"):
        ours, theirs = open_table(f"nasbench201/{name}"), imported[f"shared/{name}"]
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        assert (np.abs(ours.labels() - theirs.labels()) < 0.001).mean() > 0.8
        # Where they differ, the file's mean is over fewer of the same runs.
        runs = ours.column("validation")
        means = [runs[:, some].mean(axis=1) for count in (1, 2, 3) for some in combinations(range(3), count)]
        assert (np.abs(np.array(means) - theirs.labels()) < 0.02).any(axis=0).mean() > 0.99


def test_test_results_never_reach_a_strategy_and_are_shown_at_the_end(imported, cli, tmp_path):
    table = imported["shared/cifar10"]
    evaluator = TableEvaluator(table=table)
    answer = evaluator.evaluate(Trials(table.codes, np.arange(len(table))), tmp_path)
    assert not answer.metrics
    result = search(WeakNAS(SPACE, predictor="ridge"), evaluator, 40, run_dir=tmp_path / "run")
    accuracies = set(np.round(table.column("test")[table.rows(result.codes)].ravel(), 9).tolist())
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record["metrics"] == {}
        assert round(record["value"], 9) not in accuracies
    assert not any("test" in path.read_text() for path in files)
    standing = json.loads(cli("show", tmp_path / "run", "--json").out)["standing"]
    assert standing["test"] == pytest.approx(table.lookup(result.best.code, "test"))
    assert standing["rank"] == 1 + (table.labels() > result.best.value).sum()
    assert f"{standing['test']:.3f}" in cli("show", tmp_path / "run").out


def test_the_command_line_imports_the_same(shared_data, fresh_cache, cli):
    said = cli(
        *("table", "import", shared_data / "nasbench201.parquet", "--name", "mine/c10"),
        *("--column", "validation=cifar10_val200"),
        *("--column", "test=cifar10_test200_seed0,cifar10_test200_seed1,cifar10_test200_seed2"),
        *("--column", "params=params_M_cifar10", "--scale", "params=1e6", "--epochs", 200, "--licence", "MIT"),
    )
    assert said.code == 0, said.err
    assert "frugalnas search --table mine/c10" in said.out
    table = open_table("mine/c10")
    assert table.manifest["licence"] == "MIT"
    assert table.manifest["columns"]["validation"]["epochs"] == 200
    assert table.has_test
    listed = cli("table", "list").out
    assert "mine/c10" in listed
    assert "validation and test" in listed


# -- small files -------------------------------------------------------------------------------------------------------


def write_csv(folder: Path, text: str | bytes, name: str = "results.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(values: list[object], cells: list[str] = CELLS) -> str:
    return "".join(f"{cell},{value}\n" for cell, value in zip(cells, values, strict=False))


def test_csv_and_parquet_make_the_same_table(tmp_path, fresh_cache):
    rng = np.random.default_rng(0)
    rows = rng.permutation(5**6)[:500]
    frame = pa.table(
        {
            "cell": [SPACE.format(code) for code in SPACE.enumerate()[rows]],
            "a": rng.uniform(10, 90, 500),
            "b": [None if draw < 0.3 else 100 * draw for draw in rng.random(500)],
            "sec": rng.integers(100, 10_000, 500),
        }
    )
    pq.write_table(frame, tmp_path / "results.parquet")
    pa.csv.write_csv(frame, tmp_path / "results.csv")
    mapping = {"validation": ["a", "b"], "training_seconds": ["sec"]}
    tables = [
        import_table(tmp_path / f"results.{kind}", name=kind, architecture="cell", columns=mapping)
        for kind in ("parquet", "csv")
    ]
    for role in ("validation", "training_seconds"):
        np.testing.assert_array_equal(tables[0].column(role), tables[1].column(role))
    np.testing.assert_array_equal(tables[0].codes, tables[1].codes)
    np.testing.assert_array_equal(
        tables[0].column("validation")[tables[0].rows(SPACE.enumerate()[rows]), 0], frame["a"]
    )


def test_columns_with_the_names_of_roles_need_no_mapping(tmp_path, fresh_cache):
    table = import_table(
        write_csv(tmp_path, "architecture,validation,test\n" + rows_of(["91.5,92.5", "80,81"])), name="m"
    )
    assert table.columns == ("validation", "test")
    assert table.lookup(SPACE.parse(CELLS[0]), "test") == 92.5


def test_fractions_become_percentages_when_told_to(tmp_path, fresh_cache):
    file = write_csv(tmp_path, "arch,acc\n" + rows_of([0.5, 0.75]))
    table = import_table(file, name="m", columns={"validation": ["acc"]}, scale={"validation": 100})
    assert sorted(table.labels().tolist()) == [50.0, 75.0]


# -- architectures are text ---------------------------------------------------------------------------------------------

DIGITS = {"name": "user_code:Digits", "options": {"choices": 130}}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.with_suffix(".csv").write_text("architecture,validation\n007012,50\n129000,60\n"),
        lambda path: path.with_suffix(".CSV").write_text('architecture,validation\n"007012",50\n129000,60\n'),
        lambda path: path.with_suffix(".tsv").write_text("architecture\tvalidation\n007012\t50\n129000\t60\n"),
        lambda path: pq.write_table(
            pa.table({"architecture": ["007012", "129000"], "validation": [50, 60]}), path.with_suffix(".parquet")
        ),
        lambda path: pq.write_table(
            pa.table({"architecture": [b"007012", b"129000"], "validation": [50, 60]}), path.with_suffix(".Parquet")
        ),
        lambda path: pq.write_table(
            pa.table({"architecture": pa.array(["007012", "129000"]).dictionary_encode(), "validation": [50, 60]}),
            path.with_suffix(".parquet"),
        ),
    ],
    ids=["csv", "CSV", "tsv", "text", "bytes", "dictionary"],
)
def test_architectures_keep_their_zeros_in_every_file(tmp_path, fresh_cache, write):
    write(tmp_path / "results")
    (file,) = tmp_path.glob("results.*")
    table = import_table(file, name="digits", space=DIGITS)
    assert [table.space.format(code) for code in table.codes] == ["007012", "129000"]
    labels = read_labels(file, table.space)
    assert (labels.codes.tolist(), labels.values.tolist()) == ([[7, 12], [129, 0]], [50, 60])


def test_numbers_in_place_of_architectures_are_refused(tmp_path, fresh_cache):
    file = tmp_path / "results.parquet"
    pq.write_table(pa.table({"cell": [7012, 129000], "validation": [50, 60]}), file)
    with pytest.raises(FrugalnasError, match=r"'cell' holds numbers \(int64\), which have no leading zeros"):
        import_table(file, name="digits", space=DIGITS, architecture="cell")


@pytest.mark.parametrize(
    "columns", [{"cell": ["007012"] * 2_000}, {"validation": [50.0] * 20_000}], ids=["texts", "rows"]
)
def test_a_small_file_of_equal_values_is_refused_before_it_is_unpacked(tmp_path, fresh_cache, monkeypatch, columns):
    file = tmp_path / "results.parquet"
    pq.write_table(pa.table(columns), file)
    assert file.stat().st_size < 2_000
    monkeypatch.setenv("FRUGALNAS_LIMIT_TABLE_BYTES", "11e3" if "cell" in columns else "1e5")
    with pytest.raises(
        FrugalnasError, match=r"results\.parquet asks for 1.* bytes of a table, .*FRUGALNAS_LIMIT_TABLE_BYTES"
    ):
        import_table(file, name="digits", space=DIGITS, architecture="cell")


# -- spaces of one's own ------------------------------------------------------------------------------------------------


def test_a_table_of_an_own_space_with_options_opens_wherever_its_module_is_found(
    tmp_path, fresh_cache, cli, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{one:03d}{other:03d},{50 + one / 10}\n" for one in range(30) for other in range(30))
    write_csv(tmp_path, HEADER + rows, "own.csv")
    how = ("--space", "user_code:Digits", "--set", "space.choices=30")
    assert "Table('mine', 900 architectures" in cli("table", "import", "own.csv", "--name", "mine", *how).out
    assert json.loads(cli("table", "info", "mine").out)["space"] == {**DIGITS, "options": {"choices": 30}}
    assert open_table("mine").space.choices == 30
    assert "900 architectures of digits" in cli("table", "doctor").out
    searched = cli("search", "random", "--table", "mine", "--queries", "12", "--quiet", "--run-dir", "run")
    assert searched.code == 0
    assert len(resume("run", budget=Budget(queries=14)).queries) == 14
    how = {"evaluator": {"name": "table", "options": {"table": "mine"}}, "space": open_table("mine").description}
    assert len(compare(["random"], **how, queries=10, seeds=[0]).rows) == 10
    with pytest.raises(FrugalnasError, match=r"describes Digits\(choices=30\), but Digits\(\) is searched"):
        TableEvaluator(user_code.Digits(), table="mine")
    monkeypatch.setitem(sys.modules, "user_code", None)  # as from a folder without the module
    absent = next(finding for finding in examine() if finding.subject == "mine")
    assert absent.state == "absent"
    assert "user_code:Digits" in absent.next_step
    assert "cannot import 'user_code'" in cli("table", "info", "mine").err


def test_a_space_that_cannot_be_made_again_leaves_no_table(tmp_path, fresh_cache):
    class Local(user_code.Digits):
        pass

    file = write_csv(tmp_path, HEADER + "007012,50\n100000,60\n")
    other = user_code.Digits()
    other.allowed = other.allowed[:, :200]
    for space, said in ((Local(), "no name finds it again"), (other, "is another space than this one")):
        with pytest.raises(FrugalnasError, match=said):
            import_table(file, name="mine", space=space)
    assert "mine" not in table_names()
    assert len(import_table(file, name="mine", space=user_code.Digits())) == 2


HEADER = "architecture,validation\n"
CUT_PARQUET = "cut.parquet"

BAD_FILES = {
    "an empty file": ("results.csv", "", r"results\.csv.*(empty|Empty)"),
    "an empty table": ("results.csv", HEADER, "no rows"),
    "a wrong suffix": ("results.txt", HEADER + rows_of([90, 80]), r"\.parquet, \.csv and \.tsv"),
    "no suffix": ("results", HEADER + rows_of([90, 80]), r"\.parquet, \.csv and \.tsv"),
    "no architecture column": ("results.csv", "cell,validation\n" + rows_of([90, 80]), "--architecture.*cell"),
    "no validation column": ("results.csv", "architecture,acc\n" + rows_of([90, 80]), "--column validation=.*acc"),
    "text for numbers": ("results.csv", HEADER + rows_of(["good", "bad"]), "'validation' holds 'good', not a number"),
    "dates for numbers": ("results.csv", HEADER + rows_of(["2020-01-01", "2020-01-02"]), "'validation' holds date"),
    "an architecture twice": ("results.csv", HEADER + rows_of([90, 80], [CELLS[0]] * 2), "twice"),
    "an unreadable cell": ("results.csv", HEADER + rows_of([90, 80], [CELLS[0], "|conv~0|"]), "row 2.*character 2"),
    "an empty cell": ("results.csv", HEADER + rows_of([90, 80], [CELLS[0], ""]), "row 2"),
    "a number for a cell": ("results.csv", HEADER + rows_of([90, 80], ["17", "18"]), "row 1"),
    "fractions": ("results.csv", HEADER + rows_of([0.91, 0.8]), "fractions.*--scale validation=100"),
    "more than 100 %": ("results.csv", HEADER + rows_of([91, 101]), "outside 0 to 100"),
    "less than 0 %": ("results.csv", HEADER + rows_of([91, -1]), "outside 0 to 100"),
    "infinite values": ("results.csv", HEADER + rows_of([91, "inf"]), "infinite"),
    "nothing but infinite values": ("results.csv", HEADER + rows_of(["inf", "-inf"]), "infinite|no numbers"),
    "no number at all": ("results.csv", HEADER + rows_of(["", ""]), "no numbers"),
    "a column twice": ("results.csv", "architecture,validation,validation\n" + rows_of(["90,91"]), "validation"),
    "a header in another encoding": ("results.csv", b"architecture,validation,\xe9t\xe9\n", "results"),
    "rows of different lengths": ("results.csv", HEADER + CELLS[0] + ",90\n" + CELLS[1] + ",80,70\n", "cannot be read"),
    "binary rubbish as CSV": ("results.csv", bytes(range(256)), "results"),
    "binary rubbish as Parquet": ("results.parquet", bytes(range(256)), r"results\.parquet"),
    "an empty Parquet file": ("results.parquet", b"", r"results\.parquet"),
    "CSV called Parquet": ("results.parquet", HEADER + rows_of([90, 80]), r"results\.parquet"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_refused_and_the_cache_is_as_before(tmp_path, fresh_cache, cli, what):
    name, content, message = BAD_FILES[what]
    file = write_csv(tmp_path, content, name)
    import_table(write_csv(tmp_path, HEADER + rows_of([90, 80]), "good.csv"), name="good")
    before = snapshot()
    with pytest.raises(FrugalnasError, match=re.sub(r"--(\w+)", r"`\1s?`=?", message)):
        import_table(file, name="mine")
    refused = cli("table", "import", file, "--name", "mine")
    assert refused.code == 2
    assert refused.err.startswith("frugalnas: ")
    assert re.search(message, refused.err)
    assert snapshot() == before


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"columns": {"validation": ["accuracy"]}}, "'accuracy'.*architecture, validation, other"),
        ({"architecture": "cell"}, "'cell'.*architecture, validation, other"),
        ({"columns": {"accuracy": ["validation"]}}, "unknown column role 'accuracy'.*validation, test"),
        ({"scale": {"accuracy": 100}}, "unknown column role 'accuracy'"),
        ({"scale": {"validation": float("nan")}}, "validation"),
        ({"scale": {"validation": float("inf")}}, "validation"),
        (
            {"columns": {"validation": ["validation", "other"], "test": ["architecture"]}},
            "'architecture' holds .*, not a number",
        ),
        ({"columns": {"validation": []}}, "validation"),
        ({"space": "nasbench999"}, "unknown space 'nasbench999'.*nasbench201"),
        ({"name": "../x"}, "cannot name a table"),
        ({"name": "/x"}, "cannot name a table"),
        ({"name": ""}, "cannot name a table"),
        ({"name": "a/./b"}, "cannot name a table"),
        ({"name": "good"}, "good"),
        ({"name": "nasbench201/cifar100"}, "nasbench201/cifar100"),
        ({"name": "good/part"}, "good"),
        ({"name": "good/manifest.json/part"}, "good"),
        ({"name": "x" * 300}, "x"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_request_is_refused_and_the_cache_is_as_before(tmp_path, fresh_cache, how, message):
    file = write_csv(tmp_path, "architecture,validation,other\n" + rows_of(["90,91", "80,81"]))
    import_table(file, name="good")
    before = snapshot()
    with pytest.raises(FrugalnasError, match=message):
        import_table(file, **{"name": "mine", **how})
    assert snapshot() == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_parquet_file_is_refused(tmp_path, fresh_cache, share):
    file = tmp_path / "results.parquet"
    pq.write_table(pa.table({"architecture": CELLS, "validation": [90.0, 80.0, 70.0, 60.0]}), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FrugalnasError, match=r"results\.parquet"):
        import_table(file, name="mine")
    assert not snapshot()


@pytest.mark.parametrize(
    "values",
    [
        [[90.0, 91.0], [80.0, 81.0], [70.0, 71.0], [60.0, 61.0]],
        [{"a": 90.0}] * 4,
        [None] * 4,
    ],
    ids=["lists", "records", "nothing"],
)
def test_a_parquet_column_of_anything_but_numbers_is_refused(tmp_path, fresh_cache, values):
    file = tmp_path / "results.parquet"
    pq.write_table(pa.table({"architecture": CELLS, "validation": values}), file)
    with pytest.raises(FrugalnasError, match="validation"):
        import_table(file, name="mine")
    assert not snapshot()


def test_a_file_that_is_not_there_is_said(tmp_path, fresh_cache, cli):
    assert "no.csv" in cli("table", "import", tmp_path / "no.csv", "--name", "mine").err
    with pytest.raises(FrugalnasError, match=r"no\.csv"):
        import_table(tmp_path / "no.csv", name="mine")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FrugalnasError, match=r"folder\.csv"):
        import_table(tmp_path / "folder.csv", name="mine")


def test_a_file_may_be_named_by_a_string(tmp_path, fresh_cache):
    assert len(import_table(str(write_csv(tmp_path, HEADER + rows_of([90, 80]))), name="mine")) == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--column", "validation"],
        ["--column", "=x"],
        ["--column", "validation="],
        ["--column", "nonsense=validation"],
        ["--scale", "validation=much"],
        ["--epochs", "many"],
        ["--name"],
    ],
)
def test_bad_options_of_the_command_are_refused(tmp_path, fresh_cache, cli, options):
    file = write_csv(tmp_path, HEADER + rows_of([90, 80]))
    refused = cli("table", "import", file, "--name", "mine", *options)
    assert refused.code == 2
    assert refused.err
    assert "Traceback" not in refused.err
    assert not snapshot()


# -- anything at all ---------------------------------------------------------------------------------------------------


def imports_or_refuses(file: Path) -> None:
    """A file is a table or a FrugalnasError, and then nothing has changed."""
    before = snapshot()
    try:
        table = import_table(file, name="fuzzed")
    except FrugalnasError:
        assert snapshot() == before
    else:
        assert len(table) > 0
        assert "fuzzed" in table_names()
        shutil.rmtree(table.folder)


@settings(max_examples=2 * settings().max_examples)
@given(content=st.binary(max_size=300), suffix=st.sampled_from(["csv", "parquet"]))
@example(content=b"\xff\xfe", suffix="csv")
@example(content=b"PAR1PAR1", suffix="parquet")
@example(content=b"PAR1\xff\xff\xff\xffPAR1", suffix="parquet")
def test_random_bytes_are_refused(tmp_path, fresh_cache, content, suffix):
    file = tmp_path / f"results.{suffix}"
    file.write_bytes(content)
    imports_or_refuses(file)


WORDS = st.one_of(
    st.sampled_from(
        ["architecture", "validation", "test", "params", *CELLS, "", '"', "1e400", "nan", "NULL", "true", "7"]
    ),
    st.floats(0, 100).map(str),
    st.text(max_size=6),
)


@settings(max_examples=2 * settings().max_examples)
@given(rows=st.lists(st.lists(WORDS, min_size=1, max_size=4), max_size=5), header=st.booleans())
def test_any_csv_is_a_table_or_refused(tmp_path, fresh_cache, rows, header):
    lines = [["architecture", "validation", "test", "params"]] * header + rows
    text = "\n".join(",".join(line) for line in lines)
    imports_or_refuses(write_csv(tmp_path, text.encode("utf-8", "replace")))


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_damaged_parquet_file_is_a_table_or_refused(tmp_path, fresh_cache, place, flip):
    file = tmp_path / "results.parquet"
    pq.write_table(pa.table({"architecture": CELLS, "validation": [90.0, 80.0, 70.0, 60.0]}), file)
    content = bytearray(file.read_bytes())
    content[place % len(content)] ^= flip
    file.write_bytes(content)
    imports_or_refuses(file)


def test_a_partial_table_is_searched_where_it_has_rows(tmp_path, fresh_cache, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).permutation(5**6)[:400]
    cells = [SPACE.format(code) for code in SPACE.enumerate()[rows]]
    lines = "".join(f"{cell},{50 + place % 40}\n" for place, cell in enumerate(cells))
    imported = cli("table", "import", write_csv(tmp_path, HEADER + lines), "--name", "part").out
    assert "400 of 15,625 architectures: only these are searched" in imported
    evaluator = TableEvaluator(table="part")
    space = evaluator.space
    assert (space.size, evaluator.optimum, repr(space)) == (400, 89.0, "NASBench201(table='part')")
    small = space.where("params<=0.5e6")
    assert 0 < small.size < 400
    for strategy in (RandomSearch, RegularizedEvolution, LocalSearch, GeneticSearch, WeakNAS):
        found = search(strategy(space, seed=0, initial=10), evaluator, 30)
        assert not any(query.error for query in found.queries)
        assert np.isin(SPACE.keys(found.codes), SPACE.keys(space.enumerate())).all()
    found = search(RandomSearch(small), TableEvaluator(small, table="part"), small.distinct)
    assert found.optimum == max(found.values)
    with pytest.raises(FrugalnasError, match=r"search the evaluator's space \(evaluator.space\)"):
        search(RandomSearch(SPACE), evaluator, 60)
    said = cli("search", "random", "--table", "part", "--queries", "20", "--quiet", "--run-dir", "run")
    assert "part has 400 of the 15,625 architectures of nasbench201: only these are searched" in said.err
    continued = resume("run", budget=Budget(queries=40))
    assert continued.space.limits == {"table": "part"}
    assert np.isfinite(continued.values).all()


def test_a_limit_on_latency_is_kept_where_the_table_has_measured_it(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = open_table("nasbench201/cifar10")
    within = table.labels("latency_ms")[table.rows(SPACE.enumerate())] <= 12
    run = ("search", "random", "--queries", "20", "--quiet", "--run-dir", "run", "--where")
    said = cli(*run, "latency<=12ms,params<=0.5M")
    assert re.search(r"latency +[\d.]+ ms", said.out)
    continued = resume("run", budget=Budget(queries=30))
    space = continued.space
    assert space.limits == {"where": "latency<=12,params<=500000", "table": "nasbench201/cifar10"}
    assert np.array_equal(
        space.enumerate(), SPACE.enumerate()[within & (SPACE.count("params", SPACE.enumerate()) <= 5e5)]
    )
    assert [query.metrics["latency_ms"] for query in continued.queries] == list(space.count("latency", continued.codes))
    assert space.valid(continued.codes).all()
    assert space.with_options(width=16).limits == space.limits
    assert "latency<=12,params<=500000" in cli("runs", "list", "--root", ".").out
    assert "latency lie between 7" in cli(*run, "latency<=0.1").err


def test_lists_of_spaces_of_layers_are_limited_by_what_was_measured():
    space = SPACES.create("mobilenet")
    codes = space.sample(40, np.random.default_rng(0))
    codes = codes[np.unique(space.identities(codes), return_index=True)[1]]
    milliseconds = np.linspace(1.0, 2.0, len(codes))
    milliseconds[3] = np.nan
    listed = listed_space(space, codes, "part", {"latency": milliseconds})
    np.testing.assert_array_equal(listed.count("latency", codes), milliseconds)
    np.testing.assert_array_equal(listed.where("latency<=1.5").valid(codes), milliseconds <= 1.5)
    with pytest.raises(FrugalnasError, match="latency lie between 1 and 2"):
        listed.where("latency<=0.5")


def test_a_list_of_a_space_keeps_what_spaces_promise():
    codes = NASBench201().enumerate()[np.random.default_rng(1).permutation(5**6)[:3_000]]
    space = listed_space(NASBench201(), codes, "part")
    assert type(pickle.loads(pickle.dumps(space))) is type(space)
    assert space.with_options(width=8).where("params<=1e5").limits == {"where": "params<=100000", "table": "part"}
    parents = space.sample(50, np.random.default_rng(2))
    near, rows = space.neighbours(parents)
    everything, origin = NASBench201().neighbours(parents)
    listed = space.valid(everything)
    pairs = [{*zip(rows.tolist(), SPACE.keys(near).tolist(), strict=True)}]
    pairs.append({*zip(origin[listed].tolist(), SPACE.keys(everything[listed]).tolist(), strict=True)})
    assert pairs[0] == pairs[1]
    children = space.mutate(parents, np.random.default_rng(3), edits=2)
    assert space.valid(children).all()
    assert {*(children != parents).sum(axis=1).tolist()} <= {1, 2}


def test_a_stray_percentage_among_fractions_is_named_by_its_row(tmp_path, fresh_cache):
    cells = [SPACE.format(code) for code in SPACE.enumerate()[:10]]
    file = write_csv(tmp_path, HEADER + rows_of([0.91, 0.93, 1.5, *[0.9] * 7], cells))
    said = "9 of 10 values of validation lie between 0 and 1, as fractions do, but others above, in row 3"
    with pytest.raises(FrugalnasError, match=said):
        import_table(file, name="mine")
    with pytest.raises(FrugalnasError, match=said):
        read_labels(file, SPACE)
    with pytest.raises(FrugalnasError, match="outside 0 to 100 %, in row 3"):
        import_table(file, name="mine", scale={"validation": 100})
