"""Runs made of stages: each is carried out once, an interrupted one goes on, one alone can be asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from frugalnas import FrugalnasError, NASBench201, RandomSearch
from frugalnas.errors import RunFolderError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.methods.kind import MethodRun
from frugalnas.runs import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.runs.stages import (
    Method,
    Stages,
    load_stages,
    read_result,
    trained_run,
)
from frugalnas.searches import search
from frugalnas.testing import KindConformance

calls: list[str] = []


def convolutions(architecture: str) -> float:
    """A value that needs no table."""
    calls.append(architecture)
    return float(architecture.count("conv"))


class TwoSearches(Method):
    """A broad search, and a second one whose seed is what the first found: a stage that needs the one before."""

    stages = ("broad", "narrow", "report")

    def __init__(self, *, queries: int = 6) -> None:
        self.queries = queries

    def carry_out(self, stages: Stages) -> dict:
        def found(name, seed):
            space = NASBench201()
            evaluator = FunctionEvaluator(space, function="test_stages:convolutions")
            return stages.run(
                name, "search", search, RandomSearch(space, seed=seed, initial=2), evaluator, self.queries
            )

        first = int(found("broad", 0).best.value)
        better = [found(f"narrow-{place}", first + place) for place in (1, 2)]
        stages.begin("report")
        return {"best": max(result.best.value for result in better), "network": "stages/02-narrow-1"}


def begun(method, run_dir, stage=None, callbacks=()):
    return MethodRun().proposed(method, stage=stage).start(run_dir=run_dir, callbacks=callbacks)


class Interrupting(Callback):
    """An interruption of one stage after so many queries."""

    def __init__(self, stage: str, after: int) -> None:
        self.stage, self.after = stage, after
        self.under_way = ""

    def on_stage(self, name, path, doing) -> None:
        self.under_way = name

    def on_query(self, query, ledger) -> None:
        if self.under_way == self.stage and len(ledger) == self.after:
            raise KeyboardInterrupt


def journals(run_dir: Path) -> dict[str, str]:
    return {str(path.relative_to(run_dir)): path.read_text() for path in sorted(run_dir.rglob("journal.jsonl"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    concluded = begun(TwoSearches(), run_dir).concluded
    return run_dir, concluded


def test_stages_are_runs_in_folders_of_their_own(whole):
    run_dir, concluded = whole
    assert [path.name for path in sorted((run_dir / "stages").iterdir())] == ["01-broad", "02-narrow-1", "03-narrow-2"]
    stages = load_stages(run_dir)
    assert [(stage.name, stage.group, stage.kind, stage.finished) for stage in stages] == [
        ("broad", "broad", "search", True),
        ("narrow-1", "narrow", "search", True),
        ("narrow-2", "narrow", "search", True),
    ]
    assert read_result(run_dir) == concluded
    assert RunFolder(run_dir).config["method"] == {"name": "test_stages:TwoSearches", "options": {"queries": 6}}
    assert trained_run(run_dir) == run_dir / "stages/02-narrow-1"
    assert trained_run(run_dir / "stages/01-broad") == run_dir / "stages/01-broad"


@pytest.mark.typical("1-broad", "4-narrow-1")
@pytest.mark.parametrize("stage", ["broad", "narrow-1", "narrow-2"])
@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_stage_goes_on_and_the_others_are_not_repeated(whole, tmp_path, stage, after):
    run_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        begun(TwoSearches(), run_dir, callbacks=[Interrupting(stage, after)])
    assert read_result(run_dir) is None
    with pytest.raises(RunFolderError, match="has no network yet; continue it with: frugalnas resume"):
        trained_run(run_dir)
    done = sum(len(list(RunFolder(each.path).lines())) for each in load_stages(run_dir))
    calls.clear()
    assert MethodRun().resume(run_dir).concluded == whole[1]
    assert len(calls) == 18 - done
    assert journals(run_dir) == journals(whole[0])


def test_a_finished_run_is_only_read(whole):
    calls.clear()
    before = journals(whole[0])
    assert MethodRun().resume(whole[0]).concluded == whole[1]
    assert not calls
    assert journals(whole[0]) == before


@pytest.mark.slow
def test_one_stage_alone(whole, tmp_path):
    run_dir = tmp_path / "run"
    assert begun(TwoSearches(), run_dir, stage="broad").concluded is None
    assert [stage.name for stage in load_stages(run_dir)] == ["broad"]
    with pytest.raises(
        FrugalnasError, match="`stage` report needs narrow-1, which is not finished; run `stage` narrow"
    ):
        MethodRun().resume(run_dir, stage="report")
    assert MethodRun().resume(run_dir, stage="narrow").concluded is None
    assert [stage.name for stage in load_stages(run_dir)] == ["broad", "narrow-1", "narrow-2"]
    assert read_result(run_dir) is None
    assert MethodRun().resume(run_dir, stage="report").concluded == whole[1]


def test_a_stage_whose_folder_is_removed_is_carried_out_again(whole, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(whole[0], run_dir)
    shutil.rmtree(run_dir / "stages" / "03-narrow-2")
    calls.clear()
    assert MethodRun().resume(run_dir).concluded == whole[1]
    assert len(calls) == 6


def test_bad_requests_say_what_to_do(whole, tmp_path):
    with pytest.raises(FrugalnasError, match="unknown stage 'narow'; did you mean 'narrow'"):
        begun(TwoSearches(), tmp_path / "run", stage="narow")
    with pytest.raises(
        FrugalnasError, match="`stage` narrow needs broad, which is not finished; run `stage` broad first"
    ):
        begun(TwoSearches(), tmp_path / "run", stage="narrow")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunFolderError, match="is already there; continue it with: frugalnas resume"):
        begun(TwoSearches(), whole[0])
    with pytest.raises(RunFolderError, match="is a search, not a method"):
        MethodRun().resume(whole[0] / "stages" / "01-broad")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "result.json").write_text(json.dumps([1]))
    with pytest.raises(RunFolderError, match="is damaged; remove it and run"):
        read_result(damaged)


def test_nothing_stays_behind_where_nothing_has_begun(tmp_path):
    with pytest.raises(FrugalnasError):
        begun(TwoSearches(queries=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TestMethod(KindConformance):
    """A method of three searches, killed in any of them."""

    kept = ("journal.jsonl", "result.json", "stages/*/journal.jsonl")
    kills = 4

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        return begun(TwoSearches(queries=4), run_dir, callbacks=callbacks)
