"""Running a search: what counts as a query, what a failure costs, when it stops, and what the run folder says."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter

import numpy as np
import pytest
import user_code
import yaml

from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings
from frugalnas.evaluation import Evaluations, Evaluator, FunctionEvaluator
from frugalnas.predictors import MLP, Boosting, GaussianProcess
from frugalnas.registry import STRATEGIES
from frugalnas.runs import RunFolder
from frugalnas.runs.descriptions import build_evaluator, build_space
from frugalnas.runs.folder import unused_name
from frugalnas.runs.progress import Callback
from frugalnas.searches import Budget, ProcessExecutor, load_search, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import Evolution, LocalSearch, RandomSearch, RegularizedEvolution, Strategy, WeakNAS
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()
STRATEGY_CLASSES = [RandomSearch, Evolution, RegularizedEvolution, LocalSearch, WeakNAS]


class OtherSpellings(Strategy):
    """Asks for other codes of the networks that it knows, then for one that it does not."""

    round_size = 5

    def __init__(self, space, **options):
        super().__init__(space, **options)
        self.again = []

    def propose(self, n):
        everything = self.space.enumerate()
        first = np.array([self.codes[0]])
        same = everything[self.space.network_ids(everything) == self.space.network_ids(first)[0]]
        return np.concatenate([same[:3], first, self.draw_new(1, self.rng)])


def first_codes(n, **options):
    return RandomSearch(SPACE, initial=n, **options).ask().codes


def failing_on(bad, how):
    """An evaluator that answers every architecture but one, for which `how` is called."""
    spelled = SPACE.format(bad)

    def answer(architecture):
        return how() if architecture == spelled else user_code.worth(architecture)

    return FunctionEvaluator(SPACE, function=answer)


# -- what counts -------------------------------------------------------------------------------------------------------


def test_two_spellings_of_a_network_cost_one_query_and_have_one_label():
    # This seed begins with a network that has several spellings, whose labels in the table differ.
    spellings = Counter(SPACE.network_ids(SPACE.enumerate()).tolist())
    firsts = (RandomSearch(SPACE, seed=seed, initial=2).ask().codes for seed in range(100))
    seed = next(seed for seed, codes in enumerate(firsts) if spellings[int(SPACE.network_ids(codes)[0])] > 3)
    strategy = OtherSpellings(SPACE, seed=seed, initial=2)
    table = TableEvaluator()
    result = search(strategy, table, 5)
    networks = SPACE.network_ids(result.codes)
    assert len(set(networks.tolist())) == len(networks) == 5
    same = SPACE.network_ids(strategy.codes) == networks[0]
    assert same.sum() > 3
    assert len({tuple(code) for code in strategy.codes[same].tolist()}) > 2
    assert set(strategy.values[same].tolist()) == {result.queries[0].value}
    assert len(set(table.labels[table.opened.rows(strategy.codes[same])].tolist())) > 1


@pytest.mark.typical("WeakNAS", "RandomSearch")
@pytest.mark.parametrize("kind", STRATEGY_CLASSES)
def test_no_strategy_pays_twice_for_a_network(kind):
    result = search(kind(SPACE, seed=1), TableEvaluator(), 70)
    assert len(result.queries) == 70
    assert len(set(SPACE.network_ids(result.codes).tolist())) == 70
    assert result.stop == "70 queries spent"


def test_answers_of_a_stateful_evaluator_all_count():
    strategy = OtherSpellings(SPACE, initial=2)
    result = search(strategy, user_code.Counting(), 12)
    assert result.values.tolist() == list(range(12))
    assert len(set(SPACE.network_ids(result.codes).tolist())) < 12


def raises():
    raise ValueError("out of memory")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (raises, "ValueError: out of memory"),
        (sys.exit, "SystemExit"),
        (lambda: float("nan"), "nan"),
        (lambda: float("inf"), "inf"),
        (lambda: float("-inf"), "inf"),
        (lambda: "good", "ValueError"),
        (lambda: [1.0, 2.0], "returned a list; return a number"),
        (lambda: (1.0, 2.0), "returned a tuple; return a number"),
        (lambda: None, "returned None; return a number"),
        (lambda: {"accuracy": 1.0}, "'value'"),
        (lambda: 1j, "TypeError|complex"),
    ],
)
def test_a_failed_evaluation_costs_one_row_and_the_search_goes_on(tmp_path, how, why):
    bad = first_codes(10)[3]
    evaluator = failing_on(bad, how)
    result = search(RandomSearch(SPACE), evaluator, 30)
    assert len(result.queries) == 30
    assert [place for place, query in enumerate(result.queries) if query.error] == [3]
    assert any(part in result.queries[3].error for part in why.split("|"))
    assert np.isnan(result.values[3])
    assert result.best.value == np.nanmax(result.values)


class Unprintable(Exception):
    """Fails where it is printed."""

    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unprintable(), "Unprintable (its message cannot be printed)"),
        (ValueError("half a character: \ud800"), "ValueError: half a character: \\ud800"),
        (ValueError("x" * 3_000_000), f"ValueError: {'x' * 1975}... (cut off)"),
    ],
)
def test_whatever_an_exception_says_can_be_kept_and_shown(tmp_path, error, said):
    def fails():
        raise error

    evaluator = Shaped(lambda trials: fails() if 3 in trials.ids else Evaluations(np.ones(len(trials))))
    result = search(RandomSearch(SPACE, initial=4), evaluator, 6, run_dir=tmp_path / "run")
    assert load_search(tmp_path / "run").queries[3].error == result.queries[3].error == said
    said.encode()
    assert Evaluations(np.array([np.nan]), {}, (str(ValueError("\ud800")),)).errors == ("\\ud800",)


def test_a_metric_that_is_no_number_is_named_and_the_value_kept(tmp_path):
    bad = first_codes(10)[3]
    with pytest.warns(UserWarning, match="the metric 'note' is no number"):
        result = search(RandomSearch(SPACE), failing_on(bad, lambda: {"value": 1.0, "note": "fine", "size": 3}), 10)
    assert result.queries[3].value == 1.0
    assert result.queries[3].metrics == {"size": 3.0}
    with pytest.warns(UserWarning, match="the metric 'note' is no number"):
        assert not Evaluations(np.ones(2), {"note": np.array(["a", "b"])}).metrics


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device", "/data"), MemoryError(), PermissionError(13, "Permission denied")]
)
def test_a_fault_of_the_machine_stops_the_search_and_is_tried_again(tmp_path, monkeypatch, fault, vectorised):
    faults = [fault]

    def answer(trials):
        if 7 in trials.ids and faults:
            raise RuntimeError("while it was written") from faults.pop()
        return Evaluations(trials.codes.sum(axis=1).astype(float))

    monkeypatch.setattr(user_code.Summed, "answer", staticmethod(answer), raising=False)
    evaluator = user_code.Summed(vectorised=vectorised)
    with pytest.raises(Surroundings):
        search(RandomSearch(SPACE), evaluator, 20, run_dir=tmp_path / "run")
    assert len(load_search(tmp_path / "run").queries) == (0 if vectorised else 7)
    result = resume(tmp_path / "run")
    assert len(result.queries) == 20
    assert not any(query.error for query in result.queries)
    assert result.values.tolist() == result.codes.sum(axis=1).tolist()


class Shaped(Evaluator):
    """Gives an answer of its own making."""

    def __init__(self, answer, vectorised=False):
        self.answer = answer
        self.vectorised = vectorised

    def evaluate(self, trials, workdir):
        return self.answer(trials)


@pytest.mark.parametrize("vectorised", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        lambda trials: Evaluations(np.ones(len(trials) + 1)),
        lambda trials: Evaluations(np.zeros(0)),
        lambda trials: np.ones(len(trials)),
        lambda trials: [1.0] * len(trials),
        lambda trials: None,
        lambda trials: 3,
        lambda trials: Evaluations(np.ones(len(trials)), {"length": np.ones(7)}),
    ],
    ids=["one too many", "none", "an array", "a list", "nothing", "a number", "a metric of another length"],
)
def test_an_answer_out_of_form_is_a_failure_that_says_so(answer, vectorised):
    result = search(RandomSearch(SPACE), Shaped(answer, vectorised), 12)
    assert len(result.queries) == 12
    assert all(query.error for query in result.queries)
    with pytest.raises(FrugalnasError, match="no evaluation succeeded"):
        _ = result.best


def test_a_vectorised_evaluator_that_chokes_on_one_row_loses_one_row():
    bad = first_codes(10)[3].tolist()

    def answer(trials):
        if bad in trials.codes.tolist():
            raise RuntimeError("cannot build it")
        return Evaluations(trials.codes.sum(axis=1).astype(float))

    result = search(RandomSearch(SPACE), Shaped(answer, vectorised=True), 20)
    assert [place for place, query in enumerate(result.queries) if query.error] == [3]


def test_when_everything_fails_the_last_reason_is_given(tmp_path, cli):
    result = search(
        Evolution(SPACE), FunctionEvaluator(SPACE, function=user_code.hopeless), 15, run_dir=tmp_path / "run"
    )
    assert len(result.queries) == 15
    with pytest.raises(FrugalnasError, match="no GPU is free"):
        _ = result.best
    assert np.isnan(result.best_so_far).all()
    shown = cli("show", tmp_path / "run")
    assert shown.code == 2
    assert "no GPU is free" in shown.err


@pytest.mark.typical("Evolution", "RandomSearch", "LocalSearch")
@pytest.mark.parametrize("kind", STRATEGY_CLASSES)
def test_every_strategy_survives_failures(kind):
    def moody(architecture):
        if architecture.startswith("|none"):
            raise RuntimeError("no")
        return float("nan") if architecture.startswith("|avg") else user_code.worth(architecture)

    result = search(kind(SPACE, seed=2), FunctionEvaluator(SPACE, function=moody), 60)
    assert len(result.queries) == 60
    assert not result.architecture.startswith(("|none", "|avg"))
    assert any("RuntimeError: no" in (query.error or "") for query in result.queries)


def test_every_query_reaches_the_callbacks_in_order(tmp_path):
    seen = []

    class Watch(Callback):  # any callback will do
        def on_start(self, done, total, notes=()):
            seen.append(("start", done, total))

        def on_query(self, query, ledger):
            seen.append((query.code.tolist(), query.value, len(ledger)))

        def on_stop(self, result):
            seen.append(("stop", len(result.queries), result.stop))

    result = search(WeakNAS(SPACE, predictor="ridge"), TableEvaluator(), 33, callbacks=[Watch()])
    assert seen[0] == ("start", 0, 33)
    assert seen[-1] == ("stop", 33, "33 queries spent")
    assert seen[1:-1] == [(query.code.tolist(), query.value, place + 1) for place, query in enumerate(result.queries)]


def test_metrics_are_kept_with_each_query(tmp_path):
    result = search(
        RandomSearch(SPACE), FunctionEvaluator(SPACE, function=user_code.slow), 12, run_dir=tmp_path / "run"
    )
    for query in load_search(tmp_path / "run").queries:
        assert query.metrics == {"length": len(SPACE.format(query.code))}
    assert result.queries[0].metrics == load_search(tmp_path / "run").queries[0].metrics


# -- when it stops -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (5, "initial sample of 10"),
        (5_045, "has networks here .5,044."),
        (Budget(queries=9, seconds=100), "initial sample"),
    ],
)
def test_a_budget_that_does_not_fit_is_said_before_anything_runs(tmp_path, budget, message):
    asked = []
    evaluator = FunctionEvaluator(SPACE, function=asked.append)
    with pytest.raises(FrugalnasError, match=message):
        search(RandomSearch(SPACE), evaluator, budget)
    with pytest.raises(FrugalnasError, match=message):
        search(RandomSearch(SPACE), TableEvaluator(), budget, run_dir=tmp_path / "run")
    assert not asked
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"queries": 0},
        {"queries": -1},
        {"seconds": 0},
        {"seconds": -2},
        {"seconds": float("nan")},
        {"until_optimum": True},
    ],
)
def test_a_budget_that_is_none_is_refused(arguments):
    with pytest.raises(FrugalnasError, match="budget"):
        Budget(**arguments)


def test_the_whole_space_may_be_searched():
    small = SPACE.restrict([[False, True, False, True, False]] * 6)
    networks = len(set(small.network_ids(small.enumerate()).tolist()))
    result = search(RandomSearch(small), TableEvaluator(small), networks)
    assert len(result.queries) == networks
    assert result.best.value == TableEvaluator(small).optimum


@pytest.mark.parametrize("kind", STRATEGY_CLASSES)
def test_an_exhausted_space_ends_the_search(kind):
    small = SPACE.restrict([[False, True, False, True, False]] * 3 + [[False, True, False, False, False]] * 3)
    networks = set(small.network_ids(small.enumerate()).tolist())
    result = search(kind(small, initial=3), TableEvaluator(small), Budget(seconds=30))
    assert set(small.network_ids(result.codes).tolist()) == networks
    assert "exhausted" in result.stop or "no new network" in result.stop


def test_the_search_stops_at_the_query_that_finds_the_optimum():
    evaluator = TableEvaluator()
    result = search(WeakNAS(SPACE), evaluator, Budget(queries=500, until_optimum=True))
    assert result.best.value == result.values[-1] == evaluator.optimum
    assert (result.values[:-1] < evaluator.optimum).all()
    assert result.stop == "the optimum was found"
    assert result.queries_to_optimum == len(result.queries) < 500


def test_the_optimum_of_a_smaller_space_is_its_own():
    small = SPACE.where("params<=0.3e6")
    result = search(WeakNAS(small), TableEvaluator(small), Budget(queries=500, until_optimum=True))
    labels = TableEvaluator().labels[small.valid(SPACE.enumerate())]
    assert result.stop == "the optimum was found"
    assert result.best.value == labels.max() < TableEvaluator().optimum


def test_an_optimum_that_nobody_knows_cannot_be_waited_for(tmp_path):
    evaluator = FunctionEvaluator(SPACE, function=user_code.worth)
    with pytest.raises(FrugalnasError, match="knows the optimum"):
        search(RandomSearch(SPACE), evaluator, Budget(queries=20, until_optimum=True), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_budget_of_seconds_ends_the_search(monkeypatch):
    monkeypatch.setenv("USER_CODE_SECONDS", "0.02")
    began = time.monotonic()
    result = search(RandomSearch(SPACE), FunctionEvaluator(SPACE, function=user_code.slow), Budget(seconds=0.3))
    assert 0.3 <= time.monotonic() - began < 3
    assert 1 <= len(result.queries) <= 15
    assert result.stop == "0.3 seconds spent"


def test_seconds_are_counted_over_interruptions(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_CODE_SECONDS", "0.01")
    evaluator = FunctionEvaluator(SPACE, function=user_code.slow)
    first = search(RandomSearch(SPACE), evaluator, Budget(queries=1_000, seconds=0.2), run_dir=tmp_path / "run")
    again = resume(tmp_path / "run")
    assert len(again.queries) == len(first.queries)
    longer = resume(tmp_path / "run", budget=Budget(queries=1_000, seconds=0.4))
    assert len(longer.queries) > len(first.queries)
    np.testing.assert_array_equal(longer.codes[: len(first.queries)], first.codes)
    assert load_search(tmp_path / "run").seconds >= 0.4


# -- smaller spaces ----------------------------------------------------------------------------------------------------


@pytest.mark.typical("WeakNAS", "LocalSearch", "RandomSearch")
@pytest.mark.parametrize("kind", STRATEGY_CLASSES)
def test_a_search_stays_inside_its_space(kind, tmp_path):
    small = SPACE.restrict([[True, True, True, True, False]] * 6).where("params<=0.5e6, macs>2e7")
    result = search(kind(small), TableEvaluator(small), 60, run_dir=tmp_path / "run")
    assert small.valid(result.codes).all()
    assert (SPACE.count("params", result.codes) <= 0.5e6).all()
    assert (SPACE.count("macs", result.codes) > 2e7).all()
    assert not (result.codes == 4).any()
    assert load_search(tmp_path / "run").space.limits == small.limits


# -- the folder --------------------------------------------------------------------------------------------------------


def test_an_existing_folder_is_never_touched(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"already there.*frugalnas resume"):
        search(RandomSearch(SPACE), TableEvaluator(), 20, run_dir=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]
    search(RandomSearch(SPACE), TableEvaluator(), 20, run_dir=tmp_path / "other")
    before = {path: path.read_bytes() for path in (tmp_path / "other").rglob("*") if path.is_file()}
    with pytest.raises(RunFolderError, match="already there"):
        search(RandomSearch(SPACE, seed=1), TableEvaluator(), 20, run_dir=tmp_path / "other")
    assert before == {path: path.read_bytes() for path in (tmp_path / "other").rglob("*") if path.is_file()}


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another `run_dir`"):
        search(RandomSearch(SPACE), TableEvaluator(), 20, run_dir=tmp_path / "file" / "run")


def test_the_journal_has_one_line_a_query(tmp_path):
    result = search(Evolution(SPACE), TableEvaluator(), 25, run_dir=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert [line["query"] for line in lines] == list(range(1, 26))
    assert [line["value"] for line in lines] == result.values.tolist()
    for line, query in zip(lines, result.queries, strict=True):
        assert line["architecture"] == SPACE.format(query.code)
        assert SPACE.parse(line["architecture"]).tolist() == line["code"] == query.code.tolist()
        assert "time" not in json.dumps(line).replace("training", "")


def test_what_was_written_can_be_read(tmp_path):
    result = search(RandomSearch(SPACE), TableEvaluator(), 25, run_dir=tmp_path / "run")
    again = load_search(tmp_path / "run")
    np.testing.assert_array_equal(again.values, result.values)
    np.testing.assert_array_equal(again.codes, result.codes)
    assert (again.stop, again.optimum, again.architecture) == (result.stop, result.optimum, result.architecture)


STRATEGIES_WITH_OPTIONS = [
    RandomSearch(SPACE, seed=3, initial=12),
    Evolution(SPACE, seed=4, initial=11, population=20, tournament=5, edits=2),
    RegularizedEvolution(SPACE, population=15),
    LocalSearch(SPACE, seed=5, whole_neighbourhood=True),
    WeakNAS(SPACE, seed=6, predictor=MLP(hidden=(16, 8), epochs=5, members=2, encoding="live"), round_size=15),
    WeakNAS(SPACE, predictor=Boosting(trees=7, members=2), acquisition="ucb", keep_old="top", labels="standard"),
    WeakNAS(SPACE, predictor=GaussianProcess(smoothness=0.5), acquisition="uniform", top_start=50, top_end=20),
    WeakNAS(SPACE.where("params<=0.4e6").restrict([[True, True, False, True, True]] * 6), predictor="ridge"),
    Evolution(SPACE.restrict([[False, True, True, True, True]] * 6), seed=np.int64(8)),
]


@pytest.mark.typical("WeakNAS3", "Evolution1", "RandomSearch", "LocalSearch")
@pytest.mark.parametrize("strategy", STRATEGIES_WITH_OPTIONS, ids=lambda strategy: type(strategy).__name__)
def test_a_configuration_builds_the_same_search_again(tmp_path, strategy):
    evaluator = TableEvaluator(strategy.space, table="nasbench201/cifar100", label="random", seed=9)
    result = search(strategy, evaluator, 30, run_dir=tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    space = build_space(config["space"])
    again = STRATEGIES.create(config["strategy"], space)
    assert type(again) is type(strategy)
    assert space.limits == strategy.space.limits
    assert STRATEGIES.describe(again) == STRATEGIES.describe(strategy)
    if isinstance(strategy, WeakNAS):
        assert type(again.predictor) is type(strategy.predictor)
        if isinstance(strategy.predictor, MLP):
            assert again.predictor.hidden == (16, 8)
    rebuilt = build_evaluator(config["evaluator"], space)
    np.testing.assert_array_equal(rebuilt.labels, evaluator.labels)
    assert rebuilt.optimum == evaluator.optimum
    search(again, rebuilt, 30, run_dir=tmp_path / "again")
    journals = [(tmp_path / name / "journal.jsonl").read_bytes() for name in ("run", "again")]
    assert journals[0] == journals[1]
    assert len(result.queries) == 30


def test_ones_own_evaluator_is_built_again_with_its_options(tmp_path):
    evaluator = user_code.Shifted(SPACE, shift=2.5, names=("a", "b"))
    search(RandomSearch(SPACE), evaluator, 12, run_dir=tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    again = build_evaluator(config["evaluator"], SPACE)
    assert isinstance(again, user_code.Shifted)
    assert (again.shift, again.names) == (2.5, ("a", "b"))


def local_function():
    def evaluate(architecture):
        return 1.0

    return evaluate


class CallableThing:
    def __call__(self, architecture):
        return 1.0

    def method(self, architecture):
        return 2.0


@pytest.mark.typical("lambda", "bound method")
@pytest.mark.parametrize(
    "function",
    [lambda architecture: 1.0, local_function(), CallableThing(), CallableThing().method],
    ids=["lambda", "closure", "object", "bound method"],
)
def test_a_function_that_cannot_be_found_again_is_given_to_resume(tmp_path, cli, function):
    whole = search(RandomSearch(SPACE), function, 20, run_dir=tmp_path / "whole")
    assert len(whole.queries) == 20
    search(RandomSearch(SPACE), FunctionEvaluator(SPACE, function=function), 12, run_dir=tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"go on in Python with: frugalnas\.resume\('.*', evaluator=\.\.\.\)"):
        resume(tmp_path / "run")
    said = cli("resume", tmp_path / "run", "--queries", 20, "--quiet")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "evaluator=..." in said.err
    with pytest.raises(RunFolderError, match="was searched with the evaluator"):
        resume(tmp_path / "run", evaluator=user_code.worth)
    resume(tmp_path / "run", evaluator=function, budget=Budget(20))
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()
    assert cli("show", tmp_path / "run").code == 0


def test_classes_and_objects_of_a_script_are_given_to_resume(tmp_path, cli):
    class Mine(RandomSearch):
        """A strategy of a script."""

    class Plane(NASBench201):
        """A space of a script."""

    class Held(Evaluator):
        """Holds what no file can."""

        def __init__(self, *, model):
            self.model = model

        def evaluate(self, trials, workdir):
            return Evaluations(self.model[trials.codes].sum(axis=1))

    space, held = Plane(), Held(model=np.arange(5.0))
    search(Mine(space), held, 12, run_dir=tmp_path / "run")
    own = {"space": space, "strategy": Mine(space), "evaluator": held}
    with pytest.raises(
        RunFolderError, match=r"Plane and .*Mine and .*Held.* space=\.\.\., strategy=\.\.\., evaluator="
    ):
        resume(tmp_path / "run")
    for part in ("strategy", "evaluator"):
        with pytest.raises(RunFolderError, match=rf"', {part}=\.\.\.\)"):
            resume(tmp_path / "run", **{name: value for name, value in own.items() if name != part})
    used = Mine(space)
    used.tell(trials := used.ask(), Evaluations(np.ones(len(trials))))
    with pytest.raises(RunFolderError, match="has searched already"):
        resume(tmp_path / "run", **{**own, "strategy": used})
    assert len(resume(tmp_path / "run", **own, budget=Budget(20)).queries) == 20
    assert len(load_search(tmp_path / "run", space=space).queries) == 20
    said = cli("show", tmp_path / "run")
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_results_show_themselves(tmp_path):
    result = search(
        RandomSearch(SPACE), lambda architecture: float("nan") if "|none~0|+" in architecture else 1 / 3, 12
    )
    failed = int(np.isnan(result.values).sum())
    assert repr(result).startswith("<SearchResult: best 0.333333, architecture |")
    assert f"queries 12 ({failed} failed)" in repr(result)
    assert "<th>best</th><td>0.333333</td>" in result._repr_html_()
    assert len(result._repr_html_()) < 1_000


def test_a_search_that_only_fails_stops_with_the_usual_reason(tmp_path, cli):
    def fails(architecture):
        raise RuntimeError("the driver is too old" if "none" in architecture else "no GPU")

    evaluator = FunctionEvaluator(SPACE, function=fails)
    result = search(RandomSearch(SPACE), evaluator, 100, run_dir=tmp_path / "run")
    assert len(result.queries) == 20
    assert (
        "the first 20 evaluations have all failed, most often because of: RuntimeError: the driver is too old"
        in result.stop
    )
    assert f"frugalnas resume {tmp_path / 'run'} --max-failures 200" in result.stop
    with pytest.raises(FrugalnasError, match=r"the driver is too old.*--max-failures 200"):
        _ = result.best
    more = resume(tmp_path / "run", evaluator=evaluator, budget=Budget(100, failures=30))
    assert len(more.queries) == 30
    assert len(search(RandomSearch(SPACE), evaluator, Budget(40, failures=None)).queries) == 40
    # One success, and the search goes on to its end.
    lucky = iter(range(100))
    assert len(search(RandomSearch(SPACE), lambda code: 1.0 if next(lucky) == 15 else fails(code), 60).queries) == 60
    arguments = ("search", "random", "--evaluator", "user_code:hopeless", "--quiet", "--run-dir")
    assert "all of the first" not in cli(*arguments, tmp_path / "a", "--queries", 15).err
    said = cli(*arguments, tmp_path / "b", "--queries", 40, "--max-failures", 12)
    assert said.code == 2
    assert "the first 12 evaluations have all failed, most often because of: RuntimeError: no GPU is free" in said.err


def test_an_evaluator_that_changes_the_working_folder_harms_nothing(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_code.Summed, "answer", staticmethod(wanders), raising=False)
    arguments = ("search", "random", "--evaluator", "user_code:Summed", "--quiet", "--run-dir", "run")
    assert cli(*arguments, "--queries", 12).code == 0
    monkeypatch.chdir(tmp_path)
    assert cli("resume", "run", "--queries", 14, "--quiet").code == 0
    monkeypatch.chdir(tmp_path)
    result = search(RandomSearch(SPACE), user_code.Summed(), 14, run_dir="again")
    assert result.run_dir == tmp_path / "again"
    same = [(tmp_path / name / "journal.jsonl").read_bytes() for name in ("run", "again")]
    assert same[0] == same[1]


def wanders(trials):
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    return Evaluations(trials.codes.sum(axis=1).astype(float))


def test_a_journal_is_strict_json_and_an_older_one_is_read(tmp_path):
    def answer(trials):
        return Evaluations(np.ones(len(trials)), {"val_loss": np.full(len(trials), np.nan)})

    search(RandomSearch(SPACE), Shaped(answer), 12, run_dir=tmp_path / "run")
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    assert "NaN" not in journal
    assert json.loads(journal.splitlines()[0])["metrics"] == {"val_loss": None}
    folder = RunFolder(tmp_path / "run")
    folder.append({"loss": float("nan"), "deep": [{"far": float("-inf")}]}, "other.jsonl")
    assert (tmp_path / "run" / "other.jsonl").read_text() == '{"loss": null, "deep": [{"far": null}]}\n'
    folder.close()
    older = re.sub(r', "sum": "\w+"}', "}", journal)
    (tmp_path / "run" / "journal.jsonl").write_text(older.replace('"val_loss": null', '"val_loss": NaN'))
    (tmp_path / "run" / "seal.json").unlink()
    assert np.isnan(load_search(tmp_path / "run").queries[0].metrics["val_loss"])


def test_a_name_too_long_for_a_folder_is_cut(tmp_path):
    path = unused_name(tmp_path, "run-" + "ü" * 300)
    assert 190 < len(path.name.encode()) <= 200
    search(RandomSearch(SPACE), Shaped(lambda trials: Evaluations(np.ones(len(trials)))), 12, run_dir=path)
    assert unused_name(tmp_path, "run-" + "ü" * 300).name == f"{path.name}-2"


def test_numpy_numbers_are_numbers(tmp_path):
    result = search(RandomSearch(SPACE, seed=np.int64(1)), TableEvaluator(), np.int64(12), run_dir=tmp_path / "a")
    assert len(result.queries) == 12
    search(RandomSearch(SPACE), TableEvaluator(), Budget(queries=np.int64(12)), run_dir=tmp_path / "b")
    assert len(resume(tmp_path / "b").queries) == 12


def test_a_stateful_evaluator_and_processes_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(FrugalnasError, match="stateful"):
        search(
            RandomSearch(SPACE),
            user_code.Counting(),
            20,
            run_dir=tmp_path / "run",
            executor=ProcessExecutor(workers=2),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"3",
        b"kind: search\n",
        b"kind: comparison\n",
        b"kind: nonsense\n",
        b"\xff\xfe\x00",
        b"!!python/name:os.system ''",
    ],
)
@pytest.mark.parametrize("what", ["show", "resume"])
def test_a_folder_without_a_readable_configuration_is_said(tmp_path, cli, content, what):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_bytes(content)
    said = cli(what, tmp_path / "run")
    assert said.code == 2
    assert "config.yaml" in said.err or "no run" in said.err or "nonsense" in said.err


def test_one_broken_folder_does_not_hide_the_other_runs(tmp_path, cli):
    search(RandomSearch(SPACE), TableEvaluator(), 12, run_dir=tmp_path / "good")
    for name, content in (("a", b"["), ("b", b"kind: search\n"), ("c", b"\xff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_bytes(content)
    said = cli("runs", "list", "--root", tmp_path)
    assert "good" in said.out
    assert "12 of 12 queries" in said.out


def test_a_run_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(RunFolderError, match="runs list"):
            RunFolder(path)
        with pytest.raises(RunFolderError):
            load_search(path)
        with pytest.raises(RunFolderError):
            resume(path)


def test_a_folder_in_place_of_a_file_of_a_run_is_said(tmp_path):
    folder = search(RandomSearch(SPACE), TableEvaluator(), 12, run_dir=tmp_path / "run").run_dir
    for name in ("journal.jsonl", "config.yaml", "seal.json"):
        (folder / name).unlink()
        (folder / name).mkdir()
        with pytest.raises(RunFolderError, match=name):
            load_search(folder)
