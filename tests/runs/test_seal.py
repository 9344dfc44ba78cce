"""The files of a run vouch for each other: what was damaged or edited is refused with the mend, or made again."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.runs import RunFolder, accept_config, restore_config
from frugalnas.runs.kinds import load_run
from frugalnas.searches import Budget, load_search, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RegularizedEvolution
from frugalnas.studies import compare
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()


def run_of(folder: Path, seed: int = 0, queries: int = 30) -> Path:
    search(RegularizedEvolution(SPACE, seed=seed, population=8), TableEvaluator(), queries, run_dir=folder)
    return folder


def journal(folder: Path) -> bytes:
    return (folder / "journal.jsonl").read_bytes()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("sealed") / "run")


@pytest.fixture
def run(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "run"))


def halved(run: Path) -> None:
    lines = journal(run).splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:15]))


def edited(run: Path, before: str, after: str, name: str = "config.yaml") -> None:
    text = (run / name).read_text()
    assert before in text
    (run / name).write_text(text.replace(before, after))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("damage", ["another seed's", "one digit"])
def test_a_state_that_is_not_this_runs_is_made_again_from_the_journal(run, tmp_path, damage, cut):
    whole = journal(run)
    state = run / "state" / "strategy.json"
    if damage == "another seed's":
        shutil.copy(run_of(tmp_path / "other", seed=1) / "state" / "strategy.json", state)
    else:
        text = state.read_text()
        place = next(place for place, character in enumerate(text) if character.isdigit() and place > len(text) // 2)
        state.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    if cut:
        halved(run)
    assert "interrupted" in load_search(run).stop  # what it says of how the search ended is not believed, either
    result = resume(run)
    assert len(result.queries) == 30
    assert journal(run) == whole


def test_a_configuration_that_was_edited_is_refused_until_the_edit_is_undone(run, cli):
    halved(run)
    edited(run, "nasbench201/cifar10", "nasbench201/cifar100")
    for command in ("show", "resume"):
        said = cli(command, run)
        assert said.code == 2
        assert "evaluator.options.table was" in said.err
        assert f"frugalnas resume {run} --restore-config" in said.err
    said = cli("resume", run, "--accept-config")  # would be two data sets in one journal
    assert said.code == 2
    assert f"put it back with: frugalnas resume {run} --restore-config" in said.err
    assert cli("resume", run, "--restore-config", "--quiet").code == 0
    assert len(load_search(run).queries) == 30


def test_an_edit_that_a_run_can_go_on_with_is_accepted(run, cli):
    edited(run, "queries: 30", "queries: 35")
    assert "budget.queries was 30 and is 35" in cli("resume", run).err
    assert cli("resume", run, "--accept-config", "--quiet").code == 0
    assert len(load_search(run).queries) == 35


def test_before_the_first_query_everything_may_be_edited(run):
    (run / "journal.jsonl").unlink()
    edited(run, "nasbench201/cifar10", "nasbench201/cifar100")
    accept_config(run)
    assert resume(run).queries[0].value < 80  # of CIFAR-100


def test_comments_and_order_are_no_edit(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text("# mine\n" + yaml.safe_dump(config, sort_keys=True))
    assert len(load_search(run).queries) == 30


def test_a_configuration_that_cannot_be_read_is_put_back(run):
    (run / "config.yaml").write_bytes(b"kind: search\n\xff{")
    with pytest.raises(RunFolderError, match="--restore-config"):
        load_search(run)
    restore_config(run)
    assert len(load_search(run).queries) == 30


def test_a_kill_between_seal_and_configuration_loses_nothing(run, monkeypatch):
    from frugalnas.runs import folder as module

    def killed(path, content, **how):
        if path.name == "config.yaml":
            raise KeyboardInterrupt
        write(path, content, **how)

    write = module.write_atomically
    monkeypatch.setattr(module, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        resume(run, budget=Budget(queries=40))
    monkeypatch.undo()
    assert load_search(run).stop.startswith("30")
    assert len(resume(run, budget=Budget(queries=40)).queries) == 40


@pytest.mark.parametrize("what", ["value", "order"])
def test_a_journal_that_was_changed_is_refused_by_line(run, what):
    lines = journal(run).splitlines(keepends=True)
    if what == "value":
        value = f'"value": {json.loads(lines[9])["value"]}'.encode()
        lines[9] = lines[9].replace(value, b'"value": 99.5')
    else:
        lines[9], lines[10] = lines[10], lines[9]
    (run / "journal.jsonl").write_bytes(b"".join(lines))
    for reader in (load_search, resume):
        with pytest.raises(RunFolderError, match="line 10, is damaged; cut the file before it and resume"):
            reader(run)
    (run / "journal.jsonl").write_bytes(b"".join(lines[:9]))
    resume(run)
    assert len(load_search(run).queries) == 30


@pytest.mark.parametrize("place", [1, 7, 8, 14, 30])
def test_a_damaged_line_of_any_block_is_named(run, monkeypatch, place):
    monkeypatch.setattr("frugalnas.runs.folder.AT_A_TIME", 7)
    monkeypatch.setattr("frugalnas.searches.ledger.AT_A_TIME", 4)
    lines = journal(run).splitlines(keepends=True)
    asked = load_search(run)
    assert [query.code.tolist() for query in asked.queries] == [json.loads(line)["code"] for line in lines]
    lines[place - 1] = lines[place - 1].replace(b'"query"', b'"Query"')
    (run / "journal.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(RunFolderError, match=f"line {place}, is damaged"):
        load_search(run)


def test_a_last_line_that_was_cut_short_is_no_damage_and_one_whose_end_has_changed_is(run):
    whole = journal(run)
    for cut in (1, 2, 20):
        (run / "journal.jsonl").write_bytes(whole[:-cut])
        assert len(load_search(run).queries) == 29
        resume(run)
        assert journal(run) == whole
    (run / "journal.jsonl").write_bytes(whole[:-1] + b"x")
    with pytest.raises(RunFolderError, match="line 30, is damaged"):
        load_search(run)


def test_a_run_of_an_older_version_is_sealed_when_it_is_resumed(run, capsys):
    def bare(line: bytes) -> bytes:
        return (json.dumps({name: value for name, value in json.loads(line).items() if name != "sum"}) + "\n").encode()

    halved(run)
    (run / "journal.jsonl").write_bytes(b"".join(map(bare, journal(run).splitlines())))
    (run / "seal.json").unlink()
    (run / "state" / "strategy.json").unlink()
    assert len(load_search(run).queries) == 15
    resume(run)
    assert "older frugalnas" in capsys.readouterr().err
    assert len(load_search(run).queries) == 30
    resume(run)
    assert capsys.readouterr().err == ""
    edited(run, "nasbench201/cifar10", "nasbench201/cifar100")
    with pytest.raises(RunFolderError, match="was edited"):
        resume(run)


def test_a_comparison_is_bound_the_same_way(tmp_path):
    compare(["random"], evaluator={"name": "table"}, queries=10, seeds=[0, 1], run_dir=tmp_path / "run")
    edited(tmp_path / "run", '"value": ', '"value": 1', "journal.jsonl")
    with pytest.raises(FrugalnasError, match="line 1, is damaged"):
        load_run(tmp_path / "run", "comparison")


def test_one_bad_run_does_not_hide_the_others(run, cli, monkeypatch):
    for name in ("edited", "journal", "yaml", "foreign"):
        shutil.copytree(run, run.parent / name)
    edited(run.parent / "edited", "nasbench201/cifar10", "nasbench201/cifar100")
    (run.parent / "journal" / "journal.jsonl").write_bytes(b"nonsense\n")
    (run.parent / "yaml" / "config.yaml").write_bytes(b"{{")
    (run.parent / "foreign" / "config.yaml").write_text("optimiser: adam\n")
    (run.parent / "foreign" / "seal.json").unlink()
    said = cli("runs", "list", "--root", run.parent)
    assert said.code == 0
    assert "30 of 30 queries" in said.out
    for name, why in (("edited", "was edited"), ("journal", "line 1, is damaged"), ("yaml", "is not YAML")):
        assert any(name in line and why in line for line in said.out.splitlines() if line.startswith("unreadable"))
    assert "foreign" not in said.out


def test_no_damage_of_one_byte_is_believed(tmp_path):
    """A small sample of benchmarks/damage.py."""
    place = Path(__file__).parents[2] / "benchmarks" / "damage.py"
    spec = importlib.util.spec_from_file_location("damage", place)
    damage = importlib.util.module_from_spec(spec)
    sys.modules["damage"] = damage  # where dataclasses look for it
    spec.loader.exec_module(damage)
    outcomes = damage.damages(damage.kinds()["search"], 16, tmp_path, random.Random())
    assert outcomes["refused"] + outcomes["rebuilt"] == 16, outcomes


def test_what_was_written_with_a_folder_is_checked(tmp_path):
    config = {"kind": "method", "method": {"name": "none", "options": {}}}
    folder = RunFolder.create(tmp_path / "run", config, lambda draft: (draft / "split.json").write_text("[1]") and None)
    assert folder.kept("split.json").read_text() == "[1]"
    (tmp_path / "run" / "split.json").write_text("[2]")
    with pytest.raises(RunFolderError, match=r"split\.json is damaged: it is not what the run began with"):
        folder.kept("split.json")
