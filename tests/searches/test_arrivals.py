"""Answers that are told as they come: the strategy is asked for one more at once, and a killed run goes on from what was told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import user_code

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.runs.progress import Callback
from frugalnas.searches import Budget, ProcessExecutor, load_search, loop, replay, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import Evolution, LocalSearch, RandomSearch, RegularizedEvolution, WeakNAS
from frugalnas.tables import TableEvaluator
from frugalnas.testing import KindConformance

SPACE = NASBench201()
QUERIES = 22
MAKERS = {
    "random": lambda: RandomSearch(SPACE, seed=1, initial=4),
    "evolution": lambda: Evolution(SPACE, seed=1, initial=4, population=6),
    "regularized-evolution": lambda: RegularizedEvolution(SPACE, seed=1, initial=4, population=6),
    "local-search": lambda: LocalSearch(SPACE, seed=1, initial=4),
    "weaknas": lambda: WeakNAS(SPACE, seed=1, initial=4, predictor="ridge"),
    "rungs": lambda: user_code.Rungs(SPACE, seed=1),
}


def evaluator(name: str):
    return user_code.Halfway() if name == "rungs" else FunctionEvaluator(SPACE, function=user_code.worth)


def journal(run: Path) -> bytes:
    return (run / "journal.jsonl").read_bytes()


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in journal(run).splitlines()]


class States(Callback):
    """Keeps the state file as it was after each query."""

    def __init__(self, run: Path) -> None:
        self.file, self.states = run / "state" / "strategy.json", []

    def on_query(self, query, ledger):
        self.states.append(self.file.read_bytes() if self.file.exists() else None)


class TestArrivals(KindConformance):
    """Killed with a state after every answer."""

    kills = 4

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch):
        monkeypatch.setattr(loop, "STATE_INTERVAL_S", 0.0)

    def begin(self, run_dir, callbacks):
        strategy, executor = MAKERS["regularized-evolution"](), user_code.Arriving()
        return search(strategy, user_code.worth, 14, run_dir=run_dir, executor=executor, callbacks=callbacks)


@pytest.mark.typical("rungs", "local-search")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "weaknas")) for name in MAKERS]
)
def test_a_run_cut_anywhere_goes_on_bit_for_bit(tmp_path, monkeypatch, name):
    monkeypatch.setattr(loop, "STATE_INTERVAL_S", 0.0)
    whole, watch = tmp_path / "whole", States(tmp_path / "whole")
    search(MAKERS[name](), evaluator(name), QUERIES, run_dir=whole, executor=user_code.Arriving(), callbacks=[watch])
    ends = [0, *(np.flatnonzero(np.frombuffer(journal(whole), np.uint8) == ord("\n")) + 1).tolist()]
    for query in (0, 1, 4, 17, QUERIES - 1):
        for state in {None, watch.states[query]}:
            cut = tmp_path / "cut"
            shutil.rmtree(cut, ignore_errors=True)
            shutil.copytree(whole, cut, ignore=shutil.ignore_patterns("state", "journal.jsonl", ".lock"))
            (cut / "journal.jsonl").write_bytes(journal(whole)[: ends[query] + 9])
            if state is not None:
                (cut / "state").mkdir()
                (cut / "state" / "strategy.json").write_bytes(state)
            resume(cut)
            assert journal(cut) == journal(whole), (query, state is None)
            assert (cut / "state/strategy.json").read_bytes() == (whole / "state/strategy.json").read_bytes()


@pytest.mark.parametrize("name", ["random", "rungs"])
def test_a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start(tmp_path, name):
    for run, budgets in (("once", [QUERIES]), ("twice", [13, QUERIES])):
        # One trial is slow enough to be the last of either search, so that what is done first does not depend on the budget.
        executor = user_code.Arriving(slow=2)
        search(MAKERS[name](), evaluator(name), budgets[0], run_dir=tmp_path / run, executor=executor)
        for budget in budgets[1:]:
            resume(tmp_path / run, budget=Budget(budget))
    told = [[line["trial"] for line in lines(tmp_path / run)] for run in ("once", "twice")]
    assert len(told[0]) == len(told[1]) == QUERIES
    assert told[0][:10] == told[1][:10]
    # Without its state the longer run goes the same way from its journal.
    (tmp_path / "twice" / "state" / "strategy.json").unlink()
    before = journal(tmp_path / "twice")
    resume(tmp_path / "twice", budget=Budget(QUERIES + 5))
    assert journal(tmp_path / "twice").startswith(before)


def test_the_strategy_is_told_at_once_and_asked_for_one_more(tmp_path):
    happened = []

    class Watched(RandomSearch):
        def ask(self, n=None):
            trials = super().ask(n)
            happened.append(("ask", trials.ids.tolist()))
            return trials

        def learn(self, trials, evaluations):
            happened.append(("tell", trials.ids.tolist()))

    executor = user_code.Arriving(workers=3, slow=0)
    found = search(Watched(SPACE, initial=5), user_code.worth, 8, executor=executor)
    assert happened[0] == ("ask", [0, 1, 2])
    assert [what for what, _ in happened[1:]] == ["tell", "ask"] * 7 + ["tell"]
    assert all(len(ids) == 1 for _, ids in happened[1:])
    assert happened[-1] == ("tell", [0]), "the slow one comes last, and nobody waits for it"
    assert len(found.queries) == 8
    assert executor.most == 3


def test_a_network_that_is_under_way_is_evaluated_once(tmp_path):
    class Repeating(RandomSearch):
        """Asks for each network three times."""

        asked = 0

        def propose(self, n):
            self.asked += 1
            return networks[[(self.asked + 5) // 3 % 6]]

    networks = SPACE.sample(6, np.random.default_rng(4))
    strategy = Repeating(SPACE, initial=6)
    found = search(strategy, user_code.worth, 20, executor=user_code.Arriving())
    assert len(np.unique(SPACE.network_ids(found.codes))) == len(found.queries)
    assert found.stop == "1,000 asks in a row brought no new network"
    assert strategy.asked < 2_100, "once while there are answers to come, and once when there are none"
    told = [strategy.values[np.flatnonzero((strategy.codes == code).all(axis=1))] for code in networks]
    assert all(len(set(values.tolist())) == 1 for values in told), "whoever waited is told the one answer"


def test_a_space_is_exhausted(tmp_path):
    small = SPACE.restrict(SPACE.allowed & (np.arange(5) < 2)[None])
    found = search(RandomSearch(small, initial=2), user_code.worth, small.distinct, executor=user_code.Arriving())
    assert len(found.queries) == small.distinct
    longer = Budget(queries=None, seconds=60)
    found = search(RandomSearch(small, initial=2), user_code.worth, longer, executor=user_code.Arriving())
    assert (len(found.queries), found.stop) == (small.distinct, "the space is exhausted")


def test_failures_and_costs_are_told_as_they_come(tmp_path):
    found = search(RandomSearch(SPACE), user_code.hopeless, 40, run_dir=tmp_path / "run", executor=user_code.Arriving())
    assert "the first 20 evaluations have all failed" in found.stop
    assert len(load_search(tmp_path / "run").queries) == 20


def test_each_trial_has_a_folder_that_is_its_own_after_a_kill(tmp_path, monkeypatch):
    seen = {}

    def answer(trials, workdir):
        (trial,) = trials.ids.tolist()
        seen.setdefault(trial, set()).add(workdir.name)
        return user_code.Halfway().evaluate(trials, workdir)

    monkeypatch.setattr(user_code.Shifted, "evaluate", lambda self, trials, workdir: answer(trials, workdir))

    class Stop(Callback):
        def on_query(self, query, ledger):
            if len(ledger) == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(
            RandomSearch(SPACE),
            user_code.Shifted(SPACE),
            12,
            run_dir=tmp_path / "run",
            executor=user_code.Arriving(slow=1),
            callbacks=[Stop()],
        )
    resume(tmp_path / "run")
    assert seen[1] == {"trial-000001"}
    assert load_search(tmp_path / "run").queries.folder_of(11) == "trial-000001"


@pytest.mark.slow
def test_rounds_of_a_run_are_seen_again(tmp_path):
    seen = []
    search(
        WeakNAS(SPACE, predictor="ridge"), TableEvaluator(), 24, run_dir=tmp_path / "run", executor=user_code.Arriving()
    )
    assert replay(tmp_path / "run", seen.append) == len(seen) > 10


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_groups_need_an_executor_in_order():
    class Alone(user_code.Paired):
        def propose(self, n):
            return super().propose(n)[:n]

    with pytest.raises(FrugalnasError, match=r"Alone asks for groups.*ordered = True"):
        search(Alone(SPACE), user_code.worth, 10, executor=user_code.Arriving())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.pop("trial"), "query 6 in the journal names no trial"),
        (lambda line: line.update(trial=40), "query 6 in the journal answers trial 40"),
        (lambda line: line.update(code=[0] * 6), "query 6 in the journal is"),
        (lambda line: line.update(trial="x"), "line 6"),
    ],
)
def test_a_journal_that_does_not_follow_is_named(tmp_path, rewritten, change, said):
    run = tmp_path / "run"
    search(MAKERS["random"](), user_code.worth, 12, run_dir=run, executor=user_code.Arriving())
    changed = [{name: value for name, value in line.items() if name != "sum"} for line in lines(run)]
    change(changed[5])
    (run / "journal.jsonl").write_bytes(rewritten(changed))
    (run / "state" / "strategy.json").unlink()
    with pytest.raises(RunFolderError, match=said):
        resume(run)


# -- real processes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_slow_trial_does_not_keep_the_other_worker_idle(tmp_path, monkeypatch):
    first = RandomSearch(SPACE, initial=4).ask().codes
    monkeypatch.setenv("USER_CODE_HANGS", SPACE.format(first[0]))
    executor = ProcessExecutor(workers=2, timeout=5.0, ordered=False)
    strategy = RandomSearch(SPACE, initial=4)
    search(
        strategy,
        FunctionEvaluator(SPACE, function=user_code.treacherous),
        30,
        run_dir=tmp_path / "run",
        executor=executor,
    )
    told = lines(tmp_path / "run")
    assert [line["trial"] for line in told][-1] == 0, "29 others were evaluated while it hung"
    assert "took longer than 5 s" in told[-1]["error"]
    assert sum(line["error"] is not None for line in told) == 1
    resume(tmp_path / "run", budget=Budget(34))
    assert len(lines(tmp_path / "run")) == 34


@pytest.mark.slow
def test_the_command_line_answers_as_they_come(cli, tmp_path):
    run = tmp_path / "run"
    said = cli(
        *("search", "random", "--evaluator", "user_code:worth", "--queries", 12, "--workers", 2, "--quiet"),
        *("--set", "executor.ordered=false", "--run-dir", run),
    )
    assert said.code == 0, said.err
    assert sorted(line["trial"] for line in lines(run))[:10] == list(range(10))
    assert cli("resume", run, "--queries", 15, "--quiet").code == 0
    assert len(lines(run)) == 15
