"""Result files of NPENAS and SSNENAS, as their programs pickle them, read into our own comparisons."""

from __future__ import annotations

import io
import os
import pickle
from collections import defaultdict

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.pickles import read_pickles
from frugalnas.report.comparisons import assessment_table, comparison_table
from frugalnas.studies.references import ReadComparison, read_references

ALGORITHMS = [
    {"algo_name": "random", "total_queries": 30},
    {"algo_name": "gin_predictor_ss_ccl_num_fixed", "total_queries": 30, "training_nums": 20},
    {"algo_name": "gin_predictor_ss_ccl_num_fixed", "total_queries": 30, "training_nums": 50},
    {"algo_name": "local_search", "total_queries": 30, "deterministic": True},
]
ERRORS = [[6.6, 6.4, 6.5], [6.4, 6.1, 5.9], [6.5, 6.0, 5.9], [6.4, 6.4, 6.4]]
PARAMETERS = {"search_space": "nasbench_101", "loss": "mae", "lr": 0.01}


def searches(folder, trials=6, algorithms=ALGORITHMS, errors=ERRORS, queries=(10, 20, 30), protocol=None):
    rng = np.random.default_rng(0)
    for trial in range(trials):
        curves = [np.round(np.stack([queries, error + rng.normal(0, 0.01, len(queries))], 1), 5) for error in errors]
        content = [algorithms, PARAMETERS, curves, [1.5] * len(algorithms)]
        path = folder / f"abc_gpus_0_iter_{trial}_0.pkl"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


def finetuning(folder, trials=4, protocol=None, seconds=True):
    rng = np.random.default_rng(1)
    for trial in range(trials):
        dicts = [defaultdict(list) for _ in range(2 + seconds)]
        for budget in (20, 50):
            for name, tau in (("supervised", 0.4), ("SS_CCL", 0.5)):
                key = f"{name}#{budget}#200"
                value = tau + budget / 500 + rng.normal(0, 0.01)
                dicts[0][key].append(np.float64(value + 0.1))
                dicts[1][key].append(float(value))
                if seconds:
                    dicts[2][key].append(3.25)
        with (folder / f"x_SS_RL_101_0_{trial}.pkl").open("wb") as stream:
            for part in dicts:
                pickle.dump(part, stream, protocol=protocol)
    return folder


@pytest.mark.parametrize("protocol", [2, 5])
def test_searches_become_a_comparison(tmp_path, protocol):
    read = read_references([searches(tmp_path, protocol=protocol)])
    assert isinstance(read, ReadComparison)
    fixed = ["npenas-ssccl-fixed training_nums=20", "npenas-ssccl-fixed training_nums=50"]
    assert list(read.values) == ["random", *fixed, "local_search"]
    assert read.budgets == [10, 20, 30]
    assert read.queries == 30
    random = read.best_so_far["random"]
    assert np.isnan(random[:, :9]).all()
    assert random[:, 9].mean() == pytest.approx(93.4, abs=0.02)
    np.testing.assert_array_equal(random[:, 9], random[:, 18])
    # A test accuracy may fall with more queries, and does here.
    assert read.at(30)["random"].mean() < read.at(20)["random"].mean() - 0.05
    numbers = read.to_json([20, 30])
    best = numbers["values"]["npenas-ssccl-fixed training_nums=20"][30]
    assert best[1] < best[0] < best[2]
    pair = next(test for test in numbers["tests"]["30 queries"] if test["first"] == "random")
    assert pair["difference"] < 0
    table = comparison_table(read)
    assert "test accuracy" in table
    assert "did not start from the same sample" in table
    assert "best value so far, with" not in table.replace("best validation value so far", "")


def test_fine_tuning_becomes_an_assessment(tmp_path):
    read = read_references([finetuning(tmp_path)])
    assert read.predictors == ("supervised", "ss-ccl")
    assert read.budgets == (20, 50)
    assert read.sample("tau", 50)["ss-ccl"].mean() == pytest.approx(0.6, abs=0.02)
    assert read.sample("spearman", 50)["ss-ccl"].mean() == pytest.approx(0.7, abs=0.02)
    assert read.sample("fit_seconds", 20)["supervised"].tolist() == [3.25] * 4
    assert read.tests("tau", 20)[0].difference < 0
    assert "held against that of the others of the space" in assessment_table(read)


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([Evil()], "system"),
        ([[ALGORITHMS, PARAMETERS, "results", []]], "no results"),
        ([[ALGORITHMS, PARAMETERS, [np.zeros((3, 3))] * 4, []]], "no rows"),
        ([[ALGORITHMS[:1], PARAMETERS, [np.array([[10, 5.0], [10, 5.0]])], []]], "rising"),
        ([[ALGORITHMS[:1], PARAMETERS, [np.array([[10, 105.0]])], []]], "between 0 and 100"),
        ([[ALGORITHMS[:1], PARAMETERS, [np.array([[10, np.nan]])], []]], "between 0 and 100"),
        ([[ALGORITHMS[:1] * 2, PARAMETERS, [np.array([[10, 5.0]])] * 2, []]], "same parameters"),
        ([[[{"name": "random"}], PARAMETERS, [np.array([[10, 5.0]])], []]], "algo_name"),
        ([{"a": 1}], "no result file"),
        ([{}, {}], "or none"),
        ([{"a#1": [1]}, {}], "predictor#labels#epochs"),
        ([{"a#20#200": [0.5]}, {"a#50#200": [0.5]}], "same keys"),
        ([{"a#20#200": [0.5, 0.4]}, {"a#20#200": [0.5]}], "one number"),
        ([{"a#20#200": [1.5]}, {"a#20#200": [0.5]}], "between -1 and 1"),
        ([{"a#20#200": [np.nan]}, {"a#20#200": [0.5]}], "one number"),
    ],
)
def test_what_is_no_result_is_refused_in_a_line(tmp_path, content, said):
    path = tmp_path / "result.pkl"
    path.write_bytes(b"".join(pickle.dumps(part) for part in content))
    with pytest.raises(FrugalnasError, match=said) as raised:
        read_references([path])
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_do_not_go_together_are_refused(tmp_path):
    (one, two, three) = (tmp_path / name for name in ("one", "two", "three"))
    for folder in (one, two, three):
        folder.mkdir()
    searches(one, trials=1)
    with pytest.raises(FrugalnasError, match="one kind at a time"):
        read_references([one, finetuning(two, trials=1)])
    with pytest.raises(FrugalnasError, match="read them separately"):
        read_references([one, searches(three, trials=1, queries=(10, 20, 40))])
    with pytest.raises(FrugalnasError, match=r"no \.pkl files"):
        read_references([tmp_path])
    with pytest.raises(FrugalnasError, match="cannot be read"):
        read_references([tmp_path / "missing.pkl"])
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(pickle.dumps({"a#20#200": [0.5]}) + pickle.dumps({"a#20#200": [0.5]})[:-5])
    with pytest.raises(FrugalnasError, match="byte"):
        read_references([cut])


def test_pickles_one_behind_the_other():
    content = pickle.dumps({"a": 1}) + pickle.dumps([2], protocol=0) + pickle.dumps("x" * 600_000)
    assert read_pickles(io.BytesIO(content), name="some")[:2] == [{"a": 1}, [2]]
    assert len(read_pickles(io.BytesIO(content), name="some")[2]) == 600_000
    with pytest.raises(FrugalnasError, match="some: byte"):
        read_pickles(io.BytesIO(content + b"?"), name="some")


def test_compare_read_as_typed(cli, tmp_path):
    folder = tmp_path / "searches"
    folder.mkdir()
    said = cli("compare", "--read", str(searches(folder)), "--budgets", "10,30", "--run-dir", str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert "| strategy" in said.out
    assert "30 queries" in said.out
    written = {path.name for path in (tmp_path / "out" / "report").iterdir()}
    assert written == {"comparison.md", "queries.parquet", "regret.svg", "regret.png"}
    for arguments in (
        ("compare",),
        ("compare", "weaknas", "--read", str(folder)),
        ("compare", "--read", str(folder), "--budgets", "99", "--run-dir", str(tmp_path / "new")),
        ("compare", "--read", str(folder), "--run-dir", str(tmp_path / "out")),
    ):
        assert cli(*arguments).code == 2


@pytest.mark.slow
@pytest.mark.pictures
def test_compare_read_of_fine_tuning_as_typed(cli, tmp_path):
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    said = cli("compare", "--read", str(finetuning(tuned)), "--run-dir", str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert "ss-ccl" in said.out
    assert (tmp_path / "out" / "report" / "tau.png").exists()
