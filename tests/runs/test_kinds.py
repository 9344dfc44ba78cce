"""Kinds of run that are carried through without torch: what every kind promises, killed at every query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import user_code

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.progress import Callback
from frugalnas.searches import Budget, load_search, resume, search
from frugalnas.searches import loop as loop_module
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RegularizedEvolution, WeakNAS
from frugalnas.tables import TableEvaluator
from frugalnas.testing import KindConformance

SPACE = NASBench201()


class TestSearch(KindConformance):
    kills = 5

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        return search(WeakNAS(SPACE, predictor="ridge"), TableEvaluator(), 24, run_dir=run_dir, callbacks=callbacks)


class TestStatefulSearch(KindConformance):
    """A state is written after every round, and the run is killed at every query."""

    kills = 40

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop_module, "STATE_INTERVAL_S", 0.0)

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        strategy = RegularizedEvolution(SPACE, initial=4, population=4)
        return search(strategy, user_code.Counting(), 16, run_dir=run_dir, callbacks=callbacks)


def test_a_stateful_search_without_its_state_begins_anew(tmp_path):
    """An evaluator that starts from nothing answers as it did at the beginning."""
    strategy = RegularizedEvolution(SPACE, initial=4, population=4)
    search(strategy, user_code.Counting(), 12, run_dir=tmp_path / "run")
    journal = tmp_path / "run" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "run" / "state" / "strategy.json").unlink()
    assert resume(tmp_path / "run").values.tolist() == list(range(12))
    assert journal.read_bytes() == whole


def test_a_stateful_search_goes_on_to_a_larger_budget(tmp_path):
    for name, budgets in (("once", [16]), ("twice", [7, 16])):
        strategy = RegularizedEvolution(SPACE, initial=4, population=4)
        search(strategy, user_code.Counting(), budgets[0], run_dir=tmp_path / name)
        for budget in budgets[1:]:
            resume(tmp_path / name, budget=Budget(budget))
    once, twice = (load_search(tmp_path / name) for name in ("once", "twice"))
    np.testing.assert_array_equal(once.codes, twice.codes)
    np.testing.assert_array_equal(once.values, twice.values)


class Forgetful(Evaluator):
    """Depends on the past, and cannot say how."""

    stateful = True

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        return Evaluations(np.zeros(len(trials)))


def test_a_stateful_evaluator_that_keeps_no_state_is_refused_where_the_run_is_kept(tmp_path):
    with pytest.raises(FrugalnasError, match="state_dict"):
        search(WeakNAS(SPACE), Forgetful(), 20, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(search(RegularizedEvolution(SPACE), Forgetful(), 12).queries) == 12


def test_tensors_of_an_evaluator_lie_beside_the_state(tmp_path):
    torch = pytest.importorskip("torch")
    strategy = RegularizedEvolution(SPACE, initial=4, population=4)
    whole = search(strategy, user_code.Weighing(), 12, run_dir=tmp_path / "run")
    (kept,) = (tmp_path / "run" / "state").glob("evaluator-*.safetensors")
    assert torch.is_tensor(user_code.Weighing().weights)
    assert kept.stat().st_size
    longer = resume(tmp_path / "run", budget=Budget(20))
    assert longer.values[:12].tolist() == whole.values.tolist()
    assert longer.values.tolist() == sorted(longer.values.tolist())
