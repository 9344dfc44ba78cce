"""Kinds of run that are carried through without torch: what every kind promises, killed at every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import user_code

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.searches import Budget, ProcessExecutor, load_search, resume, search
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
    """A state is written after every round."""

    kills = 5

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop_module, "STATE_INTERVAL_S", 0.0)

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        strategy = RegularizedEvolution(SPACE, initial=4, population=4)
        return search(strategy, user_code.Counting(), 16, run_dir=run_dir, callbacks=callbacks)


@pytest.mark.slow
class TestStatefulSearchKilledAtEveryQuery(TestStatefulSearch):
    kills = 40


class TestPairedSearch(KindConformance):
    """Pairs are told as pairs, also where there is room for two of them at once."""

    kills = 5

    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop_module, "STATE_INTERVAL_S", 0.0)

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        strategy, executor = user_code.Paired(SPACE), user_code.InFours()
        return search(strategy, user_code.worth, 10, run_dir=run_dir, executor=executor, callbacks=callbacks)


class TestSearchByFidelity(TestPairedSearch):
    """Each pair is evaluated more thoroughly than those before."""

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        strategy = user_code.Paired(SPACE, thorough=True)
        return search(strategy, user_code.Thorough(), 10, run_dir=run_dir, callbacks=callbacks)


@pytest.mark.slow
class TestPairedSearchKilledAtEveryQuery(TestPairedSearch):
    kills = 40


@pytest.mark.slow
class TestSearchByFidelityKilledAtEveryQuery(TestSearchByFidelity):
    kills = 40


@pytest.mark.slow
def test_pairs_go_the_same_way_whatever_the_number_of_workers(tmp_path):
    ways = [
        search(user_code.Paired(SPACE), user_code.worth, 20, run_dir=tmp_path / name, executor=executor).codes.tolist()
        for name, executor in (("1", None), ("2", ProcessExecutor(workers=2)), ("in fours", user_code.InFours()))
    ]
    assert ways[0] == ways[1] == ways[2]


def test_pairs_are_told_under_their_own_numbers_beside_trials_without_a_group():
    """A round without groups leaves room, which is filled by a round that has some."""
    told = []

    class Mixed(user_code.Paired):
        def ask(self, n=None):
            trials = super().ask(n)
            return trials if trials.ids[0] < 5 else replace(trials, group=np.full(len(trials), 7))

        def learn(self, trials, evaluations):
            told.append(None if trials.group is None else trials.group.tolist())
            super().learn(trials, evaluations)

    class InSevens(user_code.InFours):
        workers = 7

    search(Mixed(SPACE, initial=5), user_code.worth, 9, executor=InSevens())
    assert told == [None, [7, 7], [7, 7]]


def test_groups_have_fidelities():
    found = search(user_code.Paired(SPACE, thorough=True), user_code.Thorough(), 10)
    assert found.values.tolist() == [0, 0, 0, 0, 4, 4, 6, 6, 8, 8]


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


DATA = {"spec": "digits", "fingerprint": "0"}
ON_IMAGES = {
    "space": {"name": "nasbench201"},
    "data": DATA,
    "recipe": {"name": "default", "epochs": 2, "batch_size": 8},
    "seed": 0,
    "device": {"device": "cpu", "devices": 1, "precision": "32"},
}
CONFIGS = {
    "training": {**ON_IMAGES, "architecture": "0", "name": "0", "counts": {"params": 1.0, "macs": 1.0}},
    "supernet": {**ON_IMAGES, "initial": "0"},
    "pretraining": {**ON_IMAGES, "task": "ss-ccl"},
    "method": {"method": {"name": "rlnas", "options": {}}},
    "comparison": {
        "space": {"name": "nasbench201"},
        "strategies": [{"name": "random"}],
        "evaluator": {"name": "table"},
        "queries": 20,
        "seeds": [0],
        "until_optimum": False,
    },
    "assessment": {
        "space": {"name": "nasbench201"},
        "predictors": [{"name": "gin"}],
        "truth": {"column": None},
        "budgets": [20],
        "trials": 1,
        "seed": 0,
        "held_out": None,
    },
}


@pytest.mark.parametrize(
    ("kind", "change", "way"),
    [
        (
            "training",
            "--queries",
            "run is a training, which cannot change --queries; it has none; --epochs has it go on",
        ),
        ("supernet", "--seconds", "which cannot change --seconds; it has none; --epochs has it go on for longer"),
        ("pretraining", "--epochs", "cannot change --epochs; it keeps its recipe; start another one for more"),
        ("method", "--queries", "its search ends with its generations: --set search.generations=N, as long as"),
        ("method", "--epochs", "--set supernet.epochs=N, --set retrain.epochs=N"),
        ("method", "--lr", "which cannot change --lr; it takes --set, --where, --device, --stage"),
        ("assessment", "--queries", "run is an assessment, which cannot change --queries; predictors are compared at"),
        ("assessment", "--device=cpu", "which cannot change --device; it takes --jobs"),
        ("training", "--jobs", "which cannot change --jobs; it takes --device, --epochs, --lr"),
    ],
)
def test_what_a_kind_cannot_change_is_refused_with_the_way_out(kind, change, way, tmp_path, cli):
    RunFolder.create(tmp_path / "run", {"frugalnas": "0", "kind": kind, **CONFIGS[kind]})
    said = cli("resume", tmp_path / "run", change, *([] if "=" in change else [9]))
    assert said.code == 2
    assert way in said.err


def test_a_kind_of_ones_own_is_told_its_own_changes(tmp_path, cli):
    user_code.Drawing().start(tmp_path / "run", {"draws": 2})
    said = cli("resume", tmp_path / "run", "--set", "draws=4", "--trust")
    assert said.code == 0, said.err
    assert len(list(RunFolder(tmp_path / "run").lines())) == 4
    assert "it takes --set draws" in cli("resume", tmp_path / "run", "--epochs", 3).err
    assert "cannot change drawn; it takes --set draws" in cli("resume", tmp_path / "run", "--set", "drawn=4").err


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        ("training", {"seed": -1}, "seed is -1, not a whole number of 0 or more"),
        (
            "assessment",
            {"trials": 10**6},
            r"trials is 1000000, not a whole number of 0 to 100,000 \(set FRUGALNAS_LIMIT_TRIALS",
        ),
        ("comparison", {"seeds": [0, -1]}, "seeds is .*, not a list, each a whole number of 0 or more"),
        ("comparison", {"queries": 10**9}, "set FRUGALNAS_LIMIT_QUERIES"),
    ],
)
def test_a_kind_says_which_numbers_its_configuration_takes(kind, change, why, tmp_path):
    with pytest.raises(FrugalnasError, match=why):
        RunFolder.create(tmp_path / "run", {"kind": kind, **CONFIGS[kind], **change})


def test_a_run_of_a_kind_that_cannot_be_imported_is_listed_by_what_its_folder_says(tmp_path, cli):
    user_code.Drawing().start(tmp_path / "mine", {"draws": 2})
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "config.yaml").write_text("kind: nowhere:Kind\n")
    for why in ("which loading would import and run", "cannot import 'nowhere'"):
        said = cli("runs", "list", "--root", tmp_path)
        assert said.code == 0, said.err
        assert "unreadable" not in said.out
        assert any(str(tmp_path / "lost") in line and "nowhere:Kind" in line for line in said.out.splitlines())
        assert f"not opened: {tmp_path / 'lost'}: " in said.out
        assert why in said.out
        cli("resume", tmp_path / "lost", "--trust")  # after which it is known to be trusted
