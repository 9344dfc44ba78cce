"""Comparisons: fair starts, the same numbers however they are computed, and statistics that are what they say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import wilcoxon

from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings
from frugalnas.predictors import Ridge
from frugalnas.report.comparisons import comparison_report, comparison_table
from frugalnas.runs.kinds import load_run, resume_run
from frugalnas.runs.progress import Callback
from frugalnas.searches import search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import Evolution
from frugalnas.studies import Comparison, compare
from frugalnas.studies.comparison import ComparisonRun
from frugalnas.studies.statistics import bootstrap_mean, holm
from frugalnas.tables import TableEvaluator
from frugalnas.testing import KindConformance

SPACE = NASBench201()
NAN = np.nan
TABLE = {"name": "table", "options": {"table": "nasbench201/cifar10"}}
NAMES = ["random", "evolution", "regularized-evolution", "local-search"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A comparison of five strategies over four seeds, kept in a folder."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    return compare([*NAMES, "weaknas"], evaluator=TABLE, queries=40, seeds=range(4), run_dir=folder)


def architectures(comparison, strategy, seed):
    return [row["architecture"] for row in comparison.rows if (row["strategy"], row["seed"]) == (strategy, seed)]


class Counted(Callback):
    """Writes down how many are done, of how many."""

    def __init__(self, counts):
        self.counts = counts

    def on_start(self, done, total, notes=()):
        self.total = total
        self.on_progress(done)

    def on_progress(self, done, said="", **more):
        self.counts.append((done, self.total))


# -- running -----------------------------------------------------------------------------------------------------------


def test_on_one_seed_all_start_from_the_same_sample(done):
    for seed in range(4):
        starts = {tuple(architectures(done, name, seed)[:10]) for name in done.values}
        assert len(starts) == 1
    assert len({tuple(architectures(done, "random", seed)[:10]) for seed in range(4)}) == 4


def test_a_comparison_is_of_ordinary_searches(done):
    result = search(Evolution(SPACE, seed=2), TableEvaluator(), 40)
    assert architectures(done, "evolution", 2) == [SPACE.format(code) for code in result.codes]
    np.testing.assert_array_equal(done.values["evolution"][2], result.values)
    np.testing.assert_array_equal(done.best_so_far["evolution"][2], result.best_so_far)


@pytest.mark.slow
def test_two_processes_say_what_one_says(done):
    finished = []
    both = compare(
        [*NAMES, "weaknas"],
        evaluator=TABLE,
        queries=40,
        seeds=range(4),
        jobs=2,
        callbacks=[Counted(finished)],
    )
    assert list(both.rows) == list(done.rows)
    for name, values in done.values.items():
        np.testing.assert_array_equal(both.values[name], values)
    assert finished == [(count, 20) for count in range(21)]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 7.5, 20])
def test_an_interrupted_comparison_resumes_to_the_same_queries(done, tmp_path, keep):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_bytes((done.folder / "config.yaml").read_bytes())
    lines = (done.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[: int(keep)])
    (folder / "journal.jsonl").write_bytes(kept + (lines[int(keep)][:500] if keep % 1 else b""))
    if keep < 20:
        with pytest.raises(RunFolderError, match=f"{int(keep)} of 20.*frugalnas resume"):
            load_run(folder, "comparison")
    again = resume_run(folder)
    assert list(again.rows) == list(done.rows)
    whole, resumed = (
        comparison_report(comparison, tmp_path / name) for name, comparison in (("a", done), ("b", again))
    )
    tables = [pq.read_table(next(path for path in paths if path.suffix == ".parquet")) for paths in (whole, resumed)]
    assert tables[0].equals(tables[1])
    assert load_run(folder, "comparison").values.keys() == done.values.keys()


def mutations(line):
    """A finished search's line, each with one thing wrong."""
    query = line["queries"][2]
    yield from ({**line, key: None} for key in ("strategy", "seed", "queries", "metrics"))
    yield from (
        {key: value for key, value in line.items() if key != lost} for lost in ("strategy", "queries", "optimum")
    )
    yield from ({**line, "strategy": strategy} for strategy in ("another", ["random"], 3))
    yield from ({**line, "seed": seed} for seed in (99, "0", {}))
    yield from ({**line, "optimum": optimum} for optimum in ("95", [95.0]))
    for wrong in (
        {"code": [9] * 6},
        {"code": [0]},
        {"code": "000000"},
        {"code": [0.5] * 6},
        {"value": "high"},
        {"error": 3},
    ):
        yield {**line, "queries": [*line["queries"][:2], {**query, **wrong}, *line["queries"][3:]]}
    yield {**line, "queries": line["queries"] * 2}
    yield {**line, "metrics": {"seconds": [1.0]}}
    yield {**line, "metrics": {"seconds": ["long"] * len(line["queries"])}}


def test_a_line_that_is_no_search_of_the_comparison_is_named(done, tmp_path, rewritten):
    (tmp_path / "config.yaml").write_bytes((done.folder / "config.yaml").read_bytes())
    lines = [json.loads(line) for line in (done.folder / "journal.jsonl").read_text().splitlines()]
    for wrong in mutations(lines[3]):
        (tmp_path / "journal.jsonl").write_bytes(rewritten([*lines[:3], wrong, *lines[4:]]))
        with pytest.raises(RunFolderError, match=r"line 4, is not a search of this comparison; take it out"):
            load_run(tmp_path, "comparison")


@pytest.mark.slow
def test_a_killed_process_costs_its_search_and_resuming_runs_it(tmp_path, monkeypatch):
    evaluator = {"name": "function", "options": {"function": "user_code:treacherous"}}
    first = SPACE.format(Evolution(SPACE, seed=1).ask().codes[0])
    monkeypatch.setenv("USER_CODE_EXITS", f";;{first}")
    options = {"evaluator": evaluator, "queries": 12, "seeds": range(3), "jobs": 2}
    with pytest.raises(Surroundings, match=r"random with seed 1 was killed by SIGKILL.*frugalnas resume"):
        compare(["random"], run_dir=tmp_path / "run", **options)
    with pytest.raises(RunFolderError, match="2 of 3"):
        load_run(tmp_path / "run", "comparison")
    monkeypatch.delenv("USER_CODE_EXITS")
    np.testing.assert_array_equal(
        resume_run(tmp_path / "run").values["random"],
        compare(["random"], **options | {"jobs": 1}).values["random"],
    )


@pytest.mark.slow
def test_each_seed_draws_its_own_random_labels():
    labels = {"name": "table", "options": {"table": "nasbench201/cifar100", "label": "random"}}
    comparison = compare(["random", "evolution"], evaluator=labels, queries=12, seeds=[3, 8])
    expected = [TableEvaluator(table="nasbench201/cifar100", label="random", seed=seed) for seed in (3, 8)]
    assert comparison.optimum.tolist() == [evaluator.optimum for evaluator in expected]
    assert (expected[0].labels != expected[1].labels).mean() > 0.4
    for row, evaluator in enumerate(expected):
        codes = np.array([SPACE.parse(text) for text in architectures(comparison, "random", comparison.seeds[row])])
        known = evaluator.labels[evaluator.opened.rows(codes)]
        np.testing.assert_array_equal(comparison.values["random"][row], known)


@pytest.mark.slow
def test_until_the_optimum_is_the_same_answer_sooner():
    options = {
        "evaluator": {"name": "table", "options": {"table": "nasbench201/cifar100"}},
        "queries": 80,
        "seeds": [0, 1],
    }
    whole, short = (compare(["weaknas"], until_optimum=until, **options) for until in (False, True))
    np.testing.assert_array_equal(whole.to_optimum()["weaknas"], short.to_optimum()["weaknas"])
    assert len(short.rows) < len(whole.rows)
    assert np.isfinite(short.to_optimum()["weaknas"]).any()
    np.testing.assert_array_equal(whole.at(80)["weaknas"], short.at(80)["weaknas"])


def test_options_and_labels_tell_strategies_apart():
    strategies = [
        {"name": "weaknas", "options": {"predictor": "ridge", "round_size": size}, "label": str(size)}
        for size in (5, 30)
    ]
    comparison = compare(strategies, evaluator=TABLE, queries=25, seeds=[0])
    assert list(comparison.values) == ["5", "30"]
    assert architectures(comparison, "5", 0) != architectures(comparison, "30", 0)


def test_a_comparison_in_a_smaller_space_stays_inside():
    comparison = compare(
        ["evolution"],
        evaluator=TABLE,
        space={"name": "nasbench201", "limits": {"where": "params<=0.3e6"}},
        queries=20,
        seeds=[0],
    )
    codes = np.array([SPACE.parse(text) for text in architectures(comparison, "evolution", 0)])
    assert (SPACE.count("params", codes) <= 0.3e6).all()


def test_what_people_write_in_python_can_be_kept_in_a_folder(tmp_path):
    comparison = compare(
        [{"name": "weaknas", "options": {"predictor": Ridge(), "initial": np.int64(10)}}, "random"],
        evaluator=TABLE,
        queries=np.int64(12),
        seeds=np.arange(2),
        run_dir=tmp_path / "run",
    )
    assert list(resume_run(tmp_path / "run").rows) == list(comparison.rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": []}, "at least one strategy"),
        ({"strategies": ["random", "random"]}, "random is compared with itself"),
        ({"strategies": ["random", "evolutoin"]}, "unknown strategy 'evolutoin'.*did you mean 'evolution'"),
        ({"strategies": [{"name": "evolution", "options": {"turnament": 3}}]}, "turnament.*tournament"),
        ({"strategies": [{"options": {}}]}, "name"),
        ({"seeds": []}, "one seed"),
        ({"seeds": [1, 2, 1]}, "no seed twice"),
        ({"seeds": [-1]}, "seed"),
        ({"queries": 9}, "initial sample"),
        ({"queries": 6_000}, "5,044"),
        ({"evaluator": {"name": "tabel"}}, "did you mean 'table'"),
        ({"evaluator": {"name": "table", "options": {"table": "nb201"}}}, "unknown table"),
        ({"evaluator": {"name": "user_code:Counting"}}, "stateful"),
        ({"evaluator": {"name": "user_code:NotAnEvaluator"}}, "not an evaluator"),
        ({"evaluator": {"name": "user_code:worth"}, "until_optimum": True}, "knows the optimum"),
        ({"space": "nb301"}, "unknown space"),
        ({"jobs": 0}, "at least one"),
        ({"jobs": -3}, "at least one"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_what_cannot_be_compared_is_said_before_anything_runs(tmp_path, change, message):
    request = {"strategies": ["random"], "evaluator": TABLE, "queries": 20, "seeds": [0, 1], **change}
    with pytest.raises(FrugalnasError, match=message):
        compare(request.pop("strategies"), run_dir=tmp_path / "run", **request)
    assert not (tmp_path / "run").exists()


def test_an_existing_folder_is_never_touched(done):
    before = (done.folder / "journal.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match="already there"):
        compare(["random"], evaluator=TABLE, queries=12, seeds=[0], run_dir=done.folder)
    assert (done.folder / "journal.jsonl").read_bytes() == before


def test_one_can_not_be_taken_for_the_other(done, tmp_path):
    from frugalnas.searches import load_search, resume

    for call in (load_search, resume):
        with pytest.raises(RunFolderError, match="not a search"):
            call(done.folder)
    search(Evolution(SPACE), TableEvaluator(), 12, run_dir=tmp_path / "run")
    for call in (lambda run: load_run(run, "comparison"), ComparisonRun().resume):
        with pytest.raises(RunFolderError, match="not a comparison"):
            call(tmp_path / "run")


# -- numbers -----------------------------------------------------------------------------------------------------------


def constructed(values, optimum=95.0, **others):
    arrays = {name: np.array(rows, np.float64) for name, rows in values.items()}
    seeds = len(next(iter(arrays.values())))
    return Comparison(arrays, tuple(range(seeds)), np.full(seeds, optimum), [], "made up", **others)


def test_queries_to_the_optimum_and_censoring():
    comparison = constructed(
        {"a": [[95, 1, 2], [1, 2, 95], [90, 91, 92]], "b": [[NAN, NAN, NAN], [1, 95, NAN], [1, 2, 3]]}
    )
    found = comparison.to_optimum()
    np.testing.assert_array_equal(found["a"], [1, 3, NAN])
    np.testing.assert_array_equal(found["b"], [NAN, 2, NAN])
    numbers = comparison.to_json()["to_optimum"]
    assert (numbers["a"]["censored"], numbers["b"]["censored"]) == (1, 2)
    assert numbers["a"]["mean"][0] == pytest.approx((1 + 3 + 3) / 3)
    assert numbers["b"]["median"] == 3
    assert "at least" in comparison_table(comparison)
    assert "2 of 3" in comparison_table(comparison)


def test_the_best_so_far_survives_failures_and_early_ends():
    comparison = constructed({"a": [[NAN, 80, NAN, 70, 90], [60, 50, NAN, NAN, NAN]]})
    np.testing.assert_array_equal(comparison.best_so_far["a"], [[NAN, 80, 80, 80, 90], [60, 60, 60, 60, 60]])
    np.testing.assert_array_equal(comparison.at(1)["a"], [NAN, 60])
    for budget in (0, 6):
        with pytest.raises(FrugalnasError, match="outside 1 to 5"):
            comparison.at(budget)


def test_an_unknown_optimum_is_said():
    comparison = constructed({"a": [[1, 2]]}, optimum=NAN)
    with pytest.raises(FrugalnasError, match="not known"):
        comparison.to_optimum()
    assert "to_optimum" not in comparison.to_json()


def test_holm_on_a_textbook_example():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])
    assert holm(np.array([])).size == 0


def test_the_tests_are_wilcoxons_times_holms_factor():
    rng = np.random.default_rng(0)
    samples = {"a": rng.normal(0, 1, 30), "b": rng.normal(0.3, 1, 30), "c": rng.normal(1.5, 1, 30)}
    tests = constructed({name: [[0.0]] for name in samples}).tests(samples)
    raw = {(test.first, test.second): wilcoxon(samples[test.first], samples[test.second]).pvalue for test in tests}
    assert list(raw) == [("a", "b"), ("a", "c"), ("b", "c")]
    largest = 0.0
    for factor, pair in zip((3, 2, 1), sorted(raw, key=raw.get), strict=True):
        largest = max(largest, factor * raw[pair])
        (test,) = [test for test in tests if (test.first, test.second) == pair]
        assert test.p == pytest.approx(min(largest, 1.0), rel=1e-12)
        assert test.difference == pytest.approx(np.mean(samples[pair[0]]) - np.mean(samples[pair[1]]))


def test_equal_strategies_do_not_differ():
    (test,) = constructed({"a": [[1.0]], "b": [[1.0]]}).tests({"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.0])})
    assert (test.p, test.difference) == (1.0, 0.0)


def test_the_bootstrap_interval_is_that_of_the_mean():
    sample = np.random.default_rng(1).normal(10, 2, 400)
    mean, low, high = bootstrap_mean(sample)
    error = sample.std(ddof=1) / 20
    assert mean == pytest.approx(sample.mean())
    np.testing.assert_allclose([low, high], [mean - 1.96 * error, mean + 1.96 * error], atol=0.15 * error)
    assert bootstrap_mean(np.array([3.0, NAN, 3.0])) == (3.0, 3.0, 3.0)
    assert np.isnan(bootstrap_mean(np.array([NAN]))).all()
    assert bootstrap_mean(sample) == bootstrap_mean(sample)


def test_about_nineteen_in_twenty_intervals_hold_the_mean():
    rng = np.random.default_rng(2)
    held = [low <= 5 <= high for _, low, high in (bootstrap_mean(rng.normal(5, 1, 60)) for _ in range(100))]
    assert 85 <= sum(held) <= 100


# -- the report --------------------------------------------------------------------------------------------------------


@pytest.mark.pictures
def test_the_report_has_every_query_and_every_picture(done, tmp_path):
    written = comparison_report(done, tmp_path / "report", [10, 40])
    names = {path.name for path in written}
    assert names == {
        *("comparison.md", "queries.parquet", "regret.svg", "regret.png"),
        *("optimum-found.svg", "optimum-found.png"),
    }
    assert all(path.stat().st_size > 500 for path in written)
    table = pq.read_table(tmp_path / "report" / "queries.parquet").to_pydict()
    assert len(table["query"]) == 5 * 4 * 40
    place = table["strategy"].index("evolution") + 2 * 40
    assert table["value"][place : place + 40] == done.values["evolution"][2].tolist()
    assert table["query"][place : place + 40] == list(range(1, 41))
    evaluator = TableEvaluator()
    codes = np.array([SPACE.parse(text) for text in table["architecture"]])
    np.testing.assert_array_equal(table["value"], evaluator.labels[evaluator.opened.rows(codes)])
    markdown = (tmp_path / "report" / "comparison.md").read_text()
    assert "| strategy" in markdown
    assert "10 queries" in markdown
    assert f"{done.at(40)['weaknas'].mean():.3f}" in markdown


def test_the_numbers_are_plain_data(done):
    numbers = json.loads(json.dumps(done.to_json(), allow_nan=False))
    assert numbers["seeds"] == [0, 1, 2, 3]
    mean, low, high = numbers["values"]["weaknas"]["40"]
    assert low <= mean <= high
    assert mean == pytest.approx(done.at(40)["weaknas"].mean())
    assert len(numbers["tests"]["40 queries"]) == 10


def test_a_comparison_in_which_everything_failed_has_a_report(tmp_path, cli):
    said = cli(
        *("compare", "random,evolution", "--evaluator", "user_code:hopeless", "--queries", 12, "--seeds", 3, "--quiet"),
        *("--run-dir", tmp_path / "run"),
    )
    assert "Traceback" not in said.err
    if said.code == 0:
        shown = cli("show", tmp_path / "run", "--json")
        json.loads(shown.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    else:
        assert "no GPU is free" in said.err or "no evaluation succeeded" in said.err


class TestComparison(KindConformance):
    """Four searches, a line each, which says how long it took."""

    measured = ("seconds",)
    kills = 3

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        how = {"evaluator": "table", "queries": 12, "seeds": 2}
        return compare(["random", "regularized-evolution"], run_dir=run_dir, callbacks=callbacks, **how)
