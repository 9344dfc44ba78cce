"""Several objectives: dominance and hypervolume, the fronts that searches find, and oracle studies called by their name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, FunctionEvaluator
from frugalnas.predictors import Ridge
from frugalnas.report.pareto import Fronts, front_figure, hypervolume_figure, read_fronts
from frugalnas.searches import Budget, load_search, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch, WeakNAS
from frugalnas.strategies.objectives import cost_named, parse_objectives
from frugalnas.strategies.pareto import crowding, front_batch, hypervolume, non_dominated, pareto_ranks
from frugalnas.tables import TableEvaluator, open_table
from frugalnas.tables.store import Column, Contents, write_table
from frugalnas.testing import StrategyConformance

SPACE = NASBench201()
QUERIES = 40


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def journal(folder: Path) -> bytes:
    return (folder / "journal.jsonl").read_bytes()


@pytest.fixture
def small_table(tmp_path, fresh_cache):
    """A table of 500 cells with test results; the roles of its columns are given."""

    def make(*roles: str):
        rng = np.random.default_rng(0)
        codes = SPACE.enumerate()[np.sort(rng.choice(SPACE.size, 500, replace=False))]
        columns = [Column(role, rng.uniform(60, 90, (500, 1))) for role in roles]
        folder = fresh_cache / "tables" / "small"
        return write_table(
            folder, Contents(name="small", space=SPACE, codes=codes, columns=columns, source={}, licence="made up")
        )

    return make


# -- dominance and hypervolume, against their definitions --------------------------------------------------------------


def dominates(a, b) -> bool:
    return bool((a >= b).all() and (a > b).any())


def points_of(k: int, most: int = 12):
    shape = st.integers(0, most).map(lambda n: (n, k))
    return shape.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(0, 6).map(float)))


@given(st.integers(1, 4).flatmap(points_of))
def test_the_front_is_what_nobody_dominates(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert non_dominated(points).tolist() == expected


@given(st.integers(1, 4).flatmap(points_of))
def test_ranks_peel_front_after_front(points):
    ranks = pareto_ranks(points)
    for place, point in enumerate(points):
        better = [ranks[other] for other in range(len(points)) if dominates(points[other], point)]
        assert ranks[place] == max(better, default=0) + 1


@given(points_of(2), st.integers(0, 12))
def test_ranking_some_gives_them_the_ranks_of_ranking_all(points, enough):
    some, everything = pareto_ranks(points, enough), pareto_ranks(points)
    assert (some > 0).sum() >= min(enough, len(points))
    assert (some[some > 0] == everything[some > 0]).all()
    assert (some[some == 0] == 0).all()


@given(st.integers(1, 4).flatmap(lambda k: points_of(k, 6)))
def test_hypervolume_counts_the_cubes_that_are_dominated(points):
    k = points.shape[1]
    corners = np.stack(np.meshgrid(*[np.arange(1, 7)] * k, indexing="ij"), axis=-1).reshape(-1, k)
    covered = (points[:, None] >= corners).all(axis=2).any(axis=0) if len(points) else np.zeros(1)
    assert hypervolume(points, np.zeros(k)) == pytest.approx(covered.sum())


def test_a_point_with_an_unknown_coordinate_is_on_no_front():
    points = np.array([[1.0, 1.0], [9.0, np.nan], [0.0, 2.0]])
    assert non_dominated(points).tolist() == [True, False, True]
    assert pareto_ranks(points).tolist() == [1, 0, 1]
    assert hypervolume(points, np.array([-1.0, -1.0])) == 5.0


def test_the_ends_of_a_front_have_infinite_room_and_the_rest_that_between_their_neighbours():
    room = crowding(np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [4.0, 0.0]]))
    assert np.isinf(room[[0, 3]]).all()
    assert room[1:3].tolist() == [1.0, 1.5]


def test_hypervolume_needs_a_reference_of_as_many_objectives():
    with pytest.raises(FrugalnasError, match="reference for 2 objectives"):
        hypervolume(np.ones((3, 2)), np.zeros(3))


def test_a_batch_is_of_eligible_distinct_networks_front_by_front():
    rng = np.random.default_rng(0)
    scores = np.column_stack([np.arange(20.0), -np.arange(20.0)])
    scores[10:] -= 30  # a second front
    networks = np.repeat(np.arange(10, dtype=np.uint64), 2)
    eligible = np.arange(20) > 1
    rows = front_batch(scores, networks, eligible, 6, rng)
    assert len(set(networks[rows].tolist())) == 6
    assert eligible[rows].all()
    assert (rows[:4] < 10).all()
    assert len(front_batch(scores, networks, eligible, 50, rng)) == 9


@pytest.mark.slow
def test_the_whole_of_a_large_space_is_ranked_in_three_objectives():
    points = np.random.default_rng(0).normal(size=(423_624, 3))
    points[:, 2] -= points[:, 0]
    ranks = pareto_ranks(points, enough=10)
    assert (ranks > 0).sum() >= 10
    front = points[ranks == 1]
    assert non_dominated(front).all()


# -- the search --------------------------------------------------------------------------------------------------------


def share(strategy) -> float:
    evaluator = TableEvaluator()
    result = search(strategy, evaluator, 100)
    return float(read_fronts(result, strategy.costs, value="accuracy", evaluator=evaluator).volumes[-1])


@pytest.mark.slow
@pytest.mark.parametrize("costs", [("latency_ms",), ("params",), ("latency_ms", "params")], ids="+".join)
def test_a_search_dominates_more_than_a_random_one(costs):
    for seed in (0, 1):
        found = share(WeakNAS(SPACE, seed=seed, costs=costs))
        assert share(RandomSearch(SPACE, seed=seed, costs=costs)) < found <= 1


OTHERS = (
    pytest.param(name, marks=pytest.mark.slow) for name in ("ucb", "its", "mean", "ts", "percentile", "confidence")
)


@pytest.mark.parametrize("acquisition", ["ei", *OTHERS])
def test_every_acquisition_that_scores_one_objective_alone_serves_several(acquisition):
    strategy = WeakNAS(SPACE, acquisition=acquisition, costs=("latency_ms", "macs"))
    assert len(search(strategy, TableEvaluator(), 30).queries) == 30


@pytest.mark.parametrize("acquisition", ["uniform", "pi"])
def test_an_acquisition_of_one_best_value_is_refused(acquisition):
    with pytest.raises(FrugalnasError, match=f"{acquisition} knows one objective; with costs choose ucb"):
        WeakNAS(SPACE, acquisition=acquisition, costs=("params",))


def test_counted_costs_are_those_of_the_space_whatever_the_evaluator_says():
    strategy = RandomSearch(SPACE, costs=("params", "latency_ms"))
    trials = strategy.ask()
    nothing = np.full(len(trials), -1.0)
    strategy.tell(trials, Evaluations(nothing, {"params": nothing, "latency_ms": nothing}))
    np.testing.assert_array_equal(strategy.cost_values[:, 0], SPACE.count("params", trials.codes))
    np.testing.assert_array_equal(strategy.cost_values[:, 1], nothing)


def test_costs_survive_in_the_state_exactly():
    strategy = WeakNAS(SPACE, seed=3, costs=("latency_ms", "params"))
    table = TableEvaluator()
    for _ in range(3):
        trials = strategy.ask()
        answers = table.evaluate(trials, Path())
        answers.metrics["latency_ms"][0] = np.nan
        strategy.tell(trials, answers)
    state = json.loads(json.dumps(strategy.state_dict()))
    again = WeakNAS(SPACE, seed=3, costs=("latency_ms", "params"))
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.cost_values, strategy.cost_values)
    assert np.isnan(again.cost_values[:, 0]).sum() == 3
    np.testing.assert_array_equal(again.ask().codes, strategy.ask().codes)


@pytest.mark.typical("10")
@pytest.mark.parametrize("shorter", [10, 25])
def test_a_run_with_costs_resumes_to_the_same_journal(tmp_path, shorter):
    for name, queries in (("whole", QUERIES), ("part", shorter)):
        search(WeakNAS(SPACE, costs=("latency_ms",)), TableEvaluator(), queries, run_dir=tmp_path / name)
    (tmp_path / "part" / "state" / "strategy.json").unlink()
    resume(tmp_path / "part", budget=Budget(queries=QUERIES))
    assert journal(tmp_path / "part") == journal(tmp_path / "whole")


def test_an_evaluator_that_never_says_the_cost_is_found_out_after_its_first_round():
    evaluator = FunctionEvaluator(SPACE, function="user_code:worth")
    with pytest.raises(FrugalnasError, match="no evaluation has said what latency_ms is"):
        search(WeakNAS(SPACE, costs=("latency_ms",)), evaluator, QUERIES)


def test_a_table_without_the_cost_is_refused_before_anything_runs(small_table, tmp_path, cli):
    asked = TableEvaluator(table=small_table("validation"))
    with pytest.raises(FrugalnasError, match="small has no latency_ms to minimise; choose among: params, macs"):
        search(WeakNAS(asked.space, costs=("latency_ms",)), asked, QUERIES, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    said = cli("search", "--table", "small", "--objectives", "accuracy,latency")
    assert said.code == 2
    assert "no latency_ms" in said.err
    assert not Path("runs").exists()


class TestWithCosts(StrategyConformance):
    """What every strategy promises holds with costs too, which here are counted."""

    rounds = 2

    def make(self, seed: int) -> WeakNAS:
        return WeakNAS(SPACE, seed=seed, predictor=Ridge(), costs=("params", "macs"))


# -- names -------------------------------------------------------------------------------------------------------------


def test_objectives_by_name():
    assert parse_objectives("accuracy") == ("accuracy", ())
    assert parse_objectives("latency, accuracy,params") == ("accuracy", ("latency_ms", "params"))
    assert parse_objectives("oracle-test,training-time,macs") == ("oracle-test", ("training_seconds", "macs"))
    assert cost_named("latency_ms").title == "latency, ms"
    assert cost_named("energy_mj").title == "energy_mj"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("weaknas", "--objectives", "accuracy,speed"),
            "'speed'.*accuracy, oracle-test, latency, training-time, params",
        ),
        (("weaknas", "--objectives", "latency"), "one objective is accuracy or oracle-test"),
        (("weaknas", "--objectives", "accuracy,oracle-test"), "one objective is accuracy or oracle-test"),
        (("weaknas", "--objectives", "accuracy,latency,latency"), "names latency twice"),
        (("evolution", "--objectives", "accuracy,latency"), "evolution has one objective.*random, weaknas"),
        (("weaknas-paper", "--objectives", "accuracy,params"), "weaknas-paper has one objective"),
        (("random", "--objectives", "oracle-test"), "no test accuracies"),
        (("random", "--objectives", "oracle-test", "--evaluator", "user_code:worth"), "no meaning with --evaluator"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(cli, arguments, message):
    said = cli("search", *arguments)
    assert said.code == 2
    assert re.search(message, said.err)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [("random,weaknas", "--objectives", "accuracy,latency"), ("random,weaknas", "--set", "weaknas.costs=params")],
)
def test_compare_has_one_objective(cli, arguments):
    said = cli("compare", *arguments, "--queries", 20, "--seeds", 1)
    assert said.code == 2
    assert "compare ranks searches by one number" in said.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("costs", ["params", ("params", "params")])
def test_costs_are_a_tuple_of_names_each_once(costs):
    for strategy in (WeakNAS, RandomSearch):
        with pytest.raises(FrugalnasError, match="costs"):
            strategy(SPACE, costs=costs)


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_a_search_ends_with_its_front_shown_and_drawn(cli):
    said = cli("search", "weaknas", "--objectives", "accuracy,latency", "--queries", 120, "--quiet")
    assert said.code == 0
    (run,) = Path("runs").iterdir()
    written = yaml.safe_load((run / "config.yaml").read_text())
    assert written["strategy"]["options"]["costs"] == ["latency_ms"]
    assert written["evaluator"]["options"]["objective"] == "accuracy"
    for picture in ("pareto.svg", "pareto.png", "hypervolume.svg", "hypervolume.png"):
        assert (run / "report" / picture).stat().st_size > 1_000
    pareto = json.loads(cli("show", "--json", run).out)["pareto"]
    result = load_search(run)
    points = np.array([[query.value, -query.metrics["latency_ms"]] for query in result.queries])
    expected = set((np.flatnonzero(non_dominated(points)) + 1).tolist())
    assert {member["query"] for member in pareto["front"]} == expected
    table = open_table()
    everything = np.column_stack([table.labels(), -table.labels("latency_ms")])
    reference = everything.min(axis=0)
    assert pareto["share"] == pytest.approx(hypervolume(points, reference) / hypervolume(everything, reference))
    assert [member["value"] for member in pareto["front"]] == sorted(points[np.array(list(expected)) - 1, 0])[::-1]
    assert f"{len(expected)} architectures that no other query beats" in said.out
    for member in pareto["front"][:20]:
        assert f"{member['value']:.3f}  {member['latency_ms']:,.3f}" in said.out
        assert member["architecture"] in said.out
    more = len(expected) - 20
    assert (f"and {more} more" in said.out) == (more > 0)


def test_a_search_without_costs_has_no_front(cli):
    said = cli("search", "random", "--queries", 20, "--quiet")
    (run,) = Path("runs").iterdir()
    assert "front" not in said.out
    assert json.loads(cli("show", "--json", run).out)["pareto"] is None
    assert not (run / "report" / "pareto.png").exists()


def test_hypervolume_of_a_run_without_a_table_is_its_own(tmp_path):
    evaluator = FunctionEvaluator(SPACE, function="user_code:worth")
    result = search(RandomSearch(SPACE, costs=("macs",)), evaluator, QUERIES, run_dir=tmp_path / "run")
    fronts = read_fronts(result, ("macs",), value="value", evaluator=None)
    assert fronts.table_volume is None
    assert (np.diff(fronts.volumes) >= 0).all()
    assert fronts.reference[1] == SPACE.count("macs", result.codes).max()
    assert front_figure(fronts).axes[0].get_xlabel() == "multiply-adds, M"
    assert hypervolume_figure(fronts).axes[0].get_ylabel() == "hypervolume"


def test_costs_far_beyond_the_others_are_counted_and_do_not_squeeze_the_front():
    rng = np.random.default_rng(0)
    points = np.column_stack([90 + rng.normal(0, 1, 50), rng.uniform(5, 20, 50)])
    points[:3] = [[89, 2_000], [97, 900], [96, 19]]
    axes = front_figure(Fronts("value", (cost_named("latency_ms"),), points, None)).axes[0]
    assert axes.get_xlim()[1] < 25
    said = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert re.fullmatch(r"query \(50, (\d+ below \S+, )?[12] beyond [\d.]+ ms\)", said[0])
    assert re.fullmatch(r"front found \(\d+, (\d+ below \S+, )?1 beyond [\d.]+ ms\)", said[1])


def test_failed_queries_are_on_no_front():
    points = np.array([[np.nan, np.nan], [80.0, 5.0], [90.0, 6.0], [70.0, 6.0]])
    fronts = Fronts("value", (cost_named("latency_ms"),), points, None)
    assert fronts.front.tolist() == [2, 1]
    assert fronts.volumes[0] == 0
    front_figure(fronts)
    nothing = Fronts("value", fronts.costs, points[:1], None)
    assert not nothing.measurable
    for figure in (front_figure, hypervolume_figure):
        with pytest.raises(FrugalnasError, match="front"):
            figure(nothing)


# -- oracle studies ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_an_oracle_study_is_called_one_everywhere(small_table, cli):
    table = small_table("validation", "test", "latency_ms")
    said = cli(
        "search", "weaknas", "--table", "small", "--objectives", "oracle-test,latency", "--queries", 30, "--quiet"
    )
    assert said.code == 0
    assert "test labels were shown to the strategy" in said.out
    assert "validation" not in said.out
    (run,) = Path("runs").iterdir()
    summary = json.loads(cli("show", "--json", run).out)
    assert summary["objective"] == "oracle-test"
    assert summary["standing"]["optimum"] == table.labels("test").max()
    assert summary["standing"]["rank"] == 1 + int((table.labels("test") > summary["value"]).sum())
    for picture in (run / "report").glob("*.svg"):
        assert "validation" not in picture.read_text()
    assert "oracle test accuracy, %" in (run / "report" / "progress.svg").read_text()
    assert "oracle test accuracy, %" in (run / "report" / "pareto.svg").read_text()


@pytest.mark.slow
@pytest.mark.pictures
def test_a_comparison_of_an_oracle_study_says_so(small_table, cli):
    small_table("validation", "test")
    arguments = ("--table", "small", "--objectives", "oracle-test", "--queries", 20, "--seeds", 2, "--quiet")
    said = cli("compare", "random,evolution", *arguments)
    assert said.code == 0
    (run,) = Path("runs").iterdir()
    assert "test labels were shown to the strategies" in said.out
    assert "validation" not in said.out
    for picture in (run / "report").glob("*.svg"):
        assert "validation" not in picture.read_text()
    assert "oracle test accuracy" in (run / "report" / "regret.svg").read_text()
    numbers = json.loads(cli("show", "--json", run).out)
    assert numbers["objective"] == "oracle-test"
    assert numbers["test"] is None
