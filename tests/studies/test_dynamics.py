"""The dynamics of WeakNAS: runs replayed from their journals, the numbers that are read off them, and both figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from scipy.stats import kendalltau

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.predictors import Ridge
from frugalnas.report import embedding as embedding_module
from frugalnas.report.dynamics import read_dynamics
from frugalnas.report.dynamics_figures import dynamics_figure, embedding_figure
from frugalnas.report.embedding import Embedding
from frugalnas.searches import Budget, SerialExecutor, load_search, replay, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch, WeakNAS
from frugalnas.strategies.guided import Round
from frugalnas.strategies.weaknas import top_schedule
from frugalnas.studies.metrics import in_units
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()
SMALL = SPACE.where("params<=0.3e6")


def run_of(folder: Path, *, space=SPACE, queries=45, **options) -> Path:
    """A run in `folder`, by default five rounds of which the last is cut short; returns the folder."""
    strategy = WeakNAS(space, **{"predictor": Ridge(), **options})
    search(strategy, TableEvaluator(space), queries, run_dir=folder)
    return folder


def rounds_of(folder: Path) -> list[Round]:
    rounds: list[Round] = []
    assert replay(folder, rounds.append) == len(rounds)
    return rounds


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture
def small_embedding(monkeypatch, fresh_cache):
    """Embeddings of 150 architectures, which take a second."""
    monkeypatch.setattr(embedding_module, "SUBSAMPLE", 150)


# -- replay ------------------------------------------------------------------------------------------------------------


@pytest.mark.typical("options0")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"acquisition": "uniform", "labels": "standard", "keep_old": "top"},
        {"space": SMALL, "labels": "raw", "keep_old": "none"},
    ],
)
def test_the_rounds_choose_what_the_journal_says(tmp_path, options):
    folder = run_of(tmp_path / "run", **options)
    rounds = rounds_of(folder)
    assert [one.number for one in rounds] == [1, 2, 3, 4]
    chosen = np.concatenate([one.candidates.codes[one.chosen] for one in rounds])
    queried = load_search(folder).codes
    assert len(queried) == 45
    assert np.array_equal(chosen[:35], queried[10:])
    assert all(one.eligible[one.chosen].all() for one in rounds)


def test_a_run_with_several_workers_is_replayed_with_its_own_rounds(tmp_path, monkeypatch):
    monkeypatch.setattr(SerialExecutor, "workers", 2)
    folder = run_of(tmp_path / "run", initial=4, round_size=1, queries=8)
    # Two rounds of one architecture are under way at once: the second is fitted to the same labels.
    assert [len(one.labels) for one in rounds_of(folder)] == [4, 4, 6, 6]


def test_a_replay_changes_nothing_and_evaluates_nothing(tmp_path, monkeypatch):
    folder = run_of(tmp_path / "run")
    before = contents(folder)

    def refuse(*arguments):
        raise AssertionError("something was evaluated")

    monkeypatch.setattr(TableEvaluator, "evaluate", refuse)
    assert replay(folder, lambda one: None) == 4
    read_dynamics(folder)
    assert contents(folder) == before


def test_a_search_is_the_same_whether_or_not_somebody_looks_on(tmp_path):
    watched, alone = (WeakNAS(SPACE, predictor=Ridge()) for _ in range(2))
    seen: list[Round] = []
    watched.observer = seen.append
    results = [search(strategy, TableEvaluator(SPACE), 40) for strategy in (watched, alone)]
    assert len(seen) == 3
    assert np.array_equal(results[0].codes, results[1].codes)


def test_a_query_whose_worker_failed_is_no_contradiction(tmp_path, rewritten):
    folder = run_of(tmp_path / "run", queries=20)
    *lines, last = records(folder)
    failed = {**last, "value": None, "error": "the worker process failed"}
    (folder / "journal.jsonl").write_bytes(rewritten([*lines, failed]))
    assert len(read_dynamics(folder).steps) == 1


def test_a_journal_of_another_run_is_refused(tmp_path):
    folder, other = run_of(tmp_path / "run"), run_of(tmp_path / "other", seed=1)
    (folder / "journal.jsonl").write_bytes((other / "journal.jsonl").read_bytes())
    with pytest.raises(FrugalnasError, match=r"query 1 in the journal is .* but the strategy now asks for"):
        replay(folder, lambda one: None)


def test_values_that_are_not_the_tables_are_refused(tmp_path, rewritten):
    folder = run_of(tmp_path / "run")
    others = [{**line, "value": line["value"] + 1.0} for line in records(folder)]
    (folder / "journal.jsonl").write_bytes(rewritten(others))
    with pytest.raises(FrugalnasError, match="other values than the table nasbench201/cifar10"):
        read_dynamics(folder)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.typical("space1-*")
@pytest.mark.parametrize(
    ("space", "options"),
    [
        (SPACE, {"acquisition": "uniform", "labels": "standard", "top_start": 120, "top_end": 60, "top_rounds": 4}),
        (SMALL, {"labels": "rank"}),
    ],
)
def test_the_numbers_are_those_of_the_table(tmp_path, space, options):
    folder = run_of(tmp_path / "run", space=space, **options)
    dynamics = read_dynamics(folder)
    table = TableEvaluator(space)
    codes = space.enumerate()
    truth = table.labels[table.opened.rows(codes)]
    assert np.array_equal(dynamics.codes, codes)
    assert np.array_equal(dynamics.truth, truth)
    assert truth[dynamics.optimum] == table.optimum
    best = np.argsort(-truth, kind="stable")[:50]
    queried = load_search(folder).codes
    tops = top_schedule(120, 60, 0.96, 4)
    for one, step in zip(rounds_of(folder), dynamics.steps, strict=True):
        mean = one.prediction.mean
        if one.labelling == "standard":
            values = one.values.mean() + mean * one.values.std()
        else:
            values = np.interp(mean, np.sort(one.labels), np.sort(one.values))
        order = np.argsort(-mean, kind="stable")
        assert step.best == order[0]
        assert step.best_predicted == pytest.approx(values[order[0]])
        assert step.optimum_predicted == pytest.approx(values[dynamics.optimum])
        assert step.errors == pytest.approx(np.sort(np.abs(values - truth)[order[:200]]))
        assert step.tau == pytest.approx(kendalltau(mean[best], truth[best]).statistic)
        assert np.array_equal(codes[step.evaluated], queried[10 * step.number : 10 * step.number + 10])
        fresh = ~np.isin(space.network_ids(codes[order]), space.network_ids(queried[: 10 * step.number]))
        if one.labelling == "standard":
            assert step.top == one.top == tops[step.number - 1]
            assert np.array_equal(step.region, order[: step.top][fresh[: step.top]])
            assert step.chance == len(set(step.region) & set(best)) / len(step.region)
        else:
            assert step.chance == len(set(one.chosen) & set(best)) / 10
            assert np.array_equal(step.region, order[fresh][:100])


def test_predicted_ranks_are_read_off_the_evaluated_and_end_with_them(tmp_path):
    one = rounds_of(run_of(tmp_path / "run", queries=20))[0]
    means = np.array([-9.0, *np.sort(one.labels), 9.0])
    assert in_units(means, one.labels, one.values, one.labelling) == pytest.approx(
        [one.values.min(), *np.sort(one.values), one.values.max()]
    )


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_runs_without_dynamics_are_refused_with_the_reason(tmp_path, cli):
    search(RandomSearch(SPACE), TableEvaluator(SPACE), 12, run_dir=tmp_path / "random")
    search(WeakNAS(SPACE), FunctionEvaluator(SPACE, function="builtins:len"), 12, run_dir=tmp_path / "function")
    search(WeakNAS(SPACE, predictor=Ridge(), costs=("params",)), TableEvaluator(SPACE), 12, run_dir=tmp_path / "costs")
    search(WeakNAS(SPACE), TableEvaluator(SPACE), Budget(queries=10), run_dir=tmp_path / "initial")
    for name, why in {
        "random": "is a run of random, which has no rounds of predictors",
        "function": "was not answered by a table",
        "costs": "minimises params beside the value",
        "initial": "has no iteration yet, only the initial sample; continue it with: frugalnas resume",
        "nothing": "there is no run at",
    }.items():
        outcome = cli("report", "dynamics", tmp_path / name)
        assert outcome.code == 2
        assert why in outcome.err
        assert not (tmp_path / name / "report" / "dynamics.png").exists()


# -- figures -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_the_command_writes_both_figures_and_their_numbers_and_embeds_once(tmp_path, cli, small_embedding, monkeypatch):
    folder = run_of(tmp_path / "run")
    before = contents(folder)
    first = cli("report", "dynamics", folder)
    assert first.code == 0
    assert "embedding" in first.err
    names = ["tsne.svg", "tsne.png", "dynamics.svg", "dynamics.png", "dynamics.parquet"]
    assert first.out.split() == [str(folder / "report" / name) for name in names]
    written = contents(folder / "report")
    assert {name: content for name, content in contents(folder).items() if name in before} == before
    monkeypatch.setattr("sklearn.manifold.TSNE.fit_transform", None)  # a second embedding would fail
    second = cli("report", "dynamics", folder)
    assert second.code == 0
    assert "embedding" not in second.err
    assert contents(folder / "report") == written
    rows = pyarrow.parquet.read_table(folder / "report" / "dynamics.parquet").to_pylist()
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert all(len(row["errors_of_predicted_top"]) == 200 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(("queries", "columns"), [(15, 1), (60, 4)])
@pytest.mark.pictures
def test_the_figures_say_what_they_show(tmp_path, small_embedding, queries, columns):
    dynamics = read_dynamics(run_of(tmp_path / "run", queries=queries, acquisition="uniform", labels="standard"))
    looked = embedding_figure(dynamics, Embedding(dynamics.space))
    *panels, bar = looked.axes
    assert len(panels) == 2 * columns
    titles = ["iteration 1", "iteration 2", "iteration 3", "iteration 5 (last)"][:columns]
    assert [axes.get_title() for axes in panels[:columns]] == titles
    assert panels[0].get_xlabel() == "100 left of the predicted top 100"
    assert bar.get_ylabel() == "true rank by validation accuracy"
    legend = [text.get_text() for text in looked.legends[0].get_texts()]
    assert legend == ["150 random architectures", "optimum", "predicted best"]
    left, middle, right, other = dynamics_figure(dynamics).axes
    assert left.get_xlabel() == "true validation accuracy, %"
    assert left.get_ylabel() == "predicted validation accuracy, %"
    assert middle.get_xlabel() == "|predicted - true|, percentage points"
    assert middle.get_ylabel() == "share of the predicted top 200"
    assert right.get_ylabel() == "chance to draw from the true top 50"
    assert right.get_ylim()[0] == 0
    assert other.get_ylabel() == "Kendall's tau within the true top 50"


@pytest.mark.slow
def test_a_larger_space_is_placed_by_nearest_neighbours(small_embedding):
    embedding = Embedding(SMALL)
    assert len(embedding.sample) == 150
    assert not embedding.complete
    own = embedding.place(embedding.sample)
    others = embedding.place(SPACE.enumerate()[::50])
    assert {tuple(place) for place in others} <= {tuple(place) for place in own}
    assert len(np.unique(own, axis=0)) > 100
