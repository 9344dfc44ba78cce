"""A network at another fidelity is another query, and the best is looked for where evaluations were most thorough."""

from __future__ import annotations

import json

import numpy as np
import pytest
import user_code

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.searches import Budget, Ledger, SearchResult, load_search, resume, search
from frugalnas.searches.ledger import Queries
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch
from frugalnas.studies import compare
from frugalnas.testing import KindConformance

SPACE = NASBench201()


def lines(run):
    return [json.loads(line) for line in (run / "journal.jsonl").read_bytes().splitlines()]


class TestRungs(KindConformance):
    """Killed at any query it goes on to the same bytes."""

    kills = 4

    def begin(self, run_dir, callbacks):
        return search(user_code.Rungs(SPACE), user_code.Halfway(), 24, run_dir=run_dir, callbacks=callbacks)


def test_each_fidelity_of_a_network_is_a_query(tmp_path):
    found = search(user_code.Rungs(SPACE), user_code.Halfway(), 40, run_dir=tmp_path / "run")
    assert len(found.queries) == 40
    asked = [
        (network, query.fidelity) for network, query in zip(SPACE.network_ids(found.codes), found.queries, strict=True)
    ]
    assert len(set(asked)) == 40
    assert len({network for network, _ in asked}) < 30
    assert {level for _, level in asked} == {1.0, 3.0, None}
    assert [line.get("fidelity") for line in lines(tmp_path / "run")] == [level for _, level in asked]
    again = load_search(tmp_path / "run")
    assert [query.fidelity for query in again.queries] == [level for _, level in asked]
    np.testing.assert_array_equal(again.values, found.values)


def test_the_same_network_at_the_same_fidelity_is_answered_from_the_record():
    told = []

    class Twice(user_code.Rungs):
        """Asks for one network at two fidelities again and again."""

        def propose(self, n):
            return self.codes[:1]

        def learn(self, trials, evaluations):
            told.extend(zip(trials.fidelity.tolist(), evaluations.values.tolist(), strict=True))
            super().learn(trials, evaluations)

    found = search(Twice(SPACE, initial=1, levels=(1, 3)), user_code.Halfway(), 5)
    assert (len(found.queries), found.stop) == (2, "1,000 asks in a row brought no new network")
    assert len(told) > 1_000
    assert len(set(told)) == 2


def test_the_best_is_the_best_of_the_most_thorough():
    codes = SPACE.sample(6, np.random.default_rng(0))
    values, levels = np.array([[9.0, np.nan, 5.0, 8.0, 6.0, 4.0], [1.0, np.nan, 3.0, 1.0, 3.0, 3.0]])
    queries = Queries(SPACE)
    queries.extend(codes, values, {}, [None] * 6, {"fidelity": levels})
    result = SearchResult(SPACE, queries, "", 0.0)
    assert result.best_row == 4
    assert result.best.value == 6.0
    assert result.best_so_far.tolist() == [9, 9, 5, 5, 6, 6]
    for parts in ([6], [1, 5], [3, 2, 1], [1] * 6):
        ledger, start = Ledger(SPACE), 0
        for part in parts:
            ledger.take(queries, start, start + part)
            start += part
        assert ledger.best_value == 6.0
    queries.extend(codes[:1], np.array([2.0]), {}, [None])
    assert result.best.value == 2.0, "none is as thorough as one without a fidelity"


def test_a_run_shows_its_most_thorough(tmp_path, cli):
    run = tmp_path / "run"
    found = search(user_code.Rungs(SPACE), user_code.Halfway(), 30, run_dir=run)
    assert found.best.fidelity is None
    assert found.values.max() > found.best.value
    said = cli("runs", "list", "--root", tmp_path)
    assert f"{found.best.value:.3f}" in said.out, said.err
    numbers = json.loads(cli("show", run, "--json").out)
    assert (numbers["value"], numbers["best_query"]) == (found.best.value, found.best_row + 1)
    ranked = json.loads(cli("runs", "rank", run, "--json").out)
    assert ranked[0]["id"] == found.best_row + 1


def test_a_larger_budget_goes_on_and_may_exceed_the_number_of_networks(tmp_path):
    small = SPACE.restrict(SPACE.allowed & (np.arange(5) < 2)[None])
    budget = small.distinct + 3
    for name, budgets in (("once", [budget]), ("twice", [4, budget])):
        search(user_code.Rungs(small), user_code.Halfway(), budgets[0], run_dir=tmp_path / name)
        for more in budgets[1:]:
            resume(tmp_path / name, budget=Budget(more))
    assert len(lines(tmp_path / "once")) == budget
    assert (tmp_path / "once/journal.jsonl").read_bytes() == (tmp_path / "twice/journal.jsonl").read_bytes()


@pytest.mark.parametrize(("change", "said"), [(5.0, "query 5 in the journal is of fidelity 5"), (None, "query 5")])
def test_a_fidelity_that_was_edited_is_noticed(tmp_path, rewritten, change, said):
    run = tmp_path / "run"
    search(user_code.Rungs(SPACE), user_code.Halfway(), 12, run_dir=run)
    changed = [{name: value for name, value in line.items() if name != "sum"} for line in lines(run)]
    changed[4]["fidelity"] = change
    (run / "journal.jsonl").write_bytes(rewritten(changed))
    (run / "state" / "strategy.json").unlink()
    with pytest.raises(RunFolderError, match=said):
        resume(run)


def test_an_evaluator_that_takes_none_is_not_asked_with_one():
    with pytest.raises(
        FrugalnasError, match=r"Rungs asks for a fidelity, and FunctionEvaluator takes none.*takes_fidelity"
    ):
        search(user_code.Rungs(SPACE), FunctionEvaluator(SPACE, function=user_code.worth), 10)
    with pytest.raises(FrugalnasError, match="fidelity of inf"):
        search(user_code.Rungs(SPACE, levels=(float("inf"),)), user_code.Halfway(), 10)


def test_a_comparison_counts_queries_that_are_alike():
    with pytest.raises(FrugalnasError, match="Rungs asks for fidelities"):
        compare(["user_code:Rungs"], evaluator={"name": "user_code:Halfway"}, queries=12, seeds=[0])


def test_without_fidelities_journals_have_none(tmp_path):
    search(RandomSearch(SPACE), user_code.Halfway(), 12, run_dir=tmp_path / "run")
    assert all(
        set(line) == {"query", "code", "architecture", "value", "metrics", "error", "sum"}
        for line in lines(tmp_path / "run")
    )
