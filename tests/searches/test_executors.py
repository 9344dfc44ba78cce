"""Evaluating in other processes: the same journal, and a process that hangs or dies costs one row."""

from __future__ import annotations

import time

import numpy as np
import pytest
import user_code

from frugalnas.errors import FrugalnasError, Surroundings
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.runs import RunFolder
from frugalnas.searches import ProcessExecutor, SerialExecutor, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch, WeakNAS
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()


def journal(folder):
    return (folder / "journal.jsonl").read_bytes()


@pytest.mark.slow
def test_two_workers_write_the_journal_of_one(tmp_path):
    for name, executor in (("serial", SerialExecutor()), ("processes", ProcessExecutor(workers=2))):
        evaluator = FunctionEvaluator(SPACE, function=user_code.slow)
        result = search(WeakNAS(SPACE), evaluator, 40, run_dir=tmp_path / name, executor=executor)
        assert len(result.queries) == 40
    assert journal(tmp_path / "processes") == journal(tmp_path / "serial")
    # The folder remembers its workers; what is left is evaluated by them.
    content = journal(tmp_path / "serial")
    (tmp_path / "processes" / "journal.jsonl").write_bytes(content[: len(content) // 2])
    resume(tmp_path / "processes")
    assert journal(tmp_path / "processes") == content


@pytest.mark.slow
def test_a_table_answers_other_processes_the_same(tmp_path):
    small = SPACE.where("params<=0.8e6")
    serial = search(RandomSearch(small, seed=1), TableEvaluator(small, label="1"), 15)
    with_workers = search(
        RandomSearch(small, seed=1), TableEvaluator(small, label="1"), 15, executor=ProcessExecutor(workers=1)
    )
    np.testing.assert_array_equal(with_workers.codes, serial.codes)
    np.testing.assert_array_equal(with_workers.values, serial.values)


@pytest.mark.slow
def test_hanging_dying_and_raising_each_cost_one_row(tmp_path, monkeypatch):
    first = RandomSearch(SPACE, initial=10).ask().codes
    monkeypatch.setenv("USER_CODE_HANGS", SPACE.format(first[2]))
    monkeypatch.setenv("USER_CODE_EXITS", ";".join(SPACE.format(first[place]) for place in (3, 5, 8)))
    evaluator = FunctionEvaluator(SPACE, function=user_code.treacherous)
    began = time.monotonic()
    executor = ProcessExecutor(workers=2, timeout=2.0)
    result = search(RandomSearch(SPACE, initial=10), evaluator, 14, run_dir=tmp_path / "run", executor=executor)
    assert time.monotonic() - began < 120  # a hang would be of ten minutes
    assert len(result.queries) == 14
    assert [place for place, query in enumerate(result.queries) if query.error] == [2, 3, 5, 8]
    assert "took longer than 2 s" in result.queries[2].error
    ends = {3: "ended with exit code 0", 5: "ended with exit code 3", 8: "was killed by SIGKILL"}
    assert {place: result.queries[place].error for place in ends} == {
        place: f"the worker process {end}" for place, end in ends.items()
    }
    # The rows beside them are as they would be in one process.
    search(
        RandomSearch(SPACE, initial=10),
        FunctionEvaluator(SPACE, function=user_code.worth),
        14,
        run_dir=tmp_path / "one",
    )
    alone, beside = (list(RunFolder(tmp_path / name).lines()) for name in ("one", "run"))
    assert [place for place, (one, two) in enumerate(zip(alone, beside, strict=True)) if one != two] == [2, 3, 5, 8]


@pytest.mark.slow
def test_a_worker_that_starts_slowly_is_not_too_late(tmp_path):
    # Starting Python and importing the library takes longer than this limit; evaluating does not.
    evaluator = FunctionEvaluator(SPACE, function=user_code.worth)
    result = search(RandomSearch(SPACE), evaluator, 12, executor=ProcessExecutor(timeout=0.25))
    assert not [query.error for query in result.queries if query.error]


@pytest.mark.slow
def test_the_command_line_survives_an_evaluator_that_hangs(cli, tmp_path, monkeypatch):
    first = RandomSearch(SPACE, initial=10).ask().codes
    monkeypatch.setenv("USER_CODE_HANGS", SPACE.format(first[0]))
    said = cli(
        *("search", "random", "--evaluator", "user_code:treacherous", "--queries", 12, "--timeout", 1, "--quiet"),
        *("--run-dir", tmp_path / "run"),
    )
    assert said.code == 0, said.err
    assert "1 failed" in said.out


BREAKS_IN_WORKERS = """
import multiprocessing

if multiprocessing.current_process().name != "MainProcess":
    raise ImportError("no GPU in a worker")


def f(architecture):
    return 1.0
"""


@pytest.mark.slow
def test_workers_that_cannot_load_the_evaluator_do_not_hang_the_search(command, tmp_path):
    (tmp_path / "breaks.py").write_text(BREAKS_IN_WORKERS)
    said = command(
        *("search", "random", "--evaluator", "breaks:f", "--queries", 12, "--workers", 2, "--quiet"),
        *("--run-dir", "run"),
    ).end(seconds=25)
    assert said.code == 2
    assert "cannot load what they are to do: ImportError: no GPU in a worker" in said.err
    assert "Traceback" not in said.err


@pytest.mark.slow
def test_workers_meet_a_fault_of_the_machine_and_a_script_without_a_guard(python, tmp_path):
    full = FunctionEvaluator(SPACE, function=user_code.on_a_full_disk)
    with pytest.raises(Surroundings, match="make room"):
        search(RandomSearch(SPACE), full, 12, run_dir=tmp_path / "run", executor=ProcessExecutor(workers=2))
    assert journal(tmp_path / "run").count(b"\n") < 10
    assert b"No space" not in journal(tmp_path / "run")
    (tmp_path / "script.py").write_text(
        "import frugalnas as fn, user_code\n"
        "space = fn.NASBench201()\n"
        "evaluator = fn.FunctionEvaluator(space, function=user_code.worth)\n"
        "fn.search(fn.RandomSearch(space), evaluator, 12, executor=fn.ProcessExecutor(workers=2))\n"
    )
    said = python(tmp_path / "script.py").end(seconds=60)
    assert "if __name__ == '__main__'" in said.err.splitlines()[-1]


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": -1}, {"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}],
)
def test_workers_and_limits_that_make_no_sense_are_refused(options):
    with pytest.raises(FrugalnasError):
        ProcessExecutor(**options)


def test_a_stateful_evaluator_stays_in_one_process():
    with pytest.raises(FrugalnasError, match="stateful"):
        search(RandomSearch(SPACE), user_code.Counting(), 20, executor=ProcessExecutor(workers=2))
    result = search(RandomSearch(SPACE), user_code.Counting(), 20)
    assert result.values.tolist() == list(range(20))
