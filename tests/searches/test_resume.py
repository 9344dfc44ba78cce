"""Resuming: whatever happened to a run, its journal ends as if nothing had."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import user_code
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import Evaluations, FunctionEvaluator
from frugalnas.runs.progress import Callback
from frugalnas.searches import Budget, load_search, loop, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import Evolution, LocalSearch, RandomSearch, RegularizedEvolution, WeakNAS
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()
QUERIES = 47

MAKERS = {
    "random": lambda: RandomSearch(SPACE, seed=1),
    "evolution": lambda: Evolution(SPACE, seed=1, population=12),
    "regularized-evolution": lambda: RegularizedEvolution(SPACE, seed=1, population=12),
    "local-search": lambda: LocalSearch(SPACE, seed=1),
    "local-search-whole": lambda: LocalSearch(SPACE, seed=1, whole_neighbourhood=True),
    "weaknas-gaussian-process": lambda: WeakNAS(SPACE, seed=1),
    "weaknas-ridge": lambda: WeakNAS(SPACE, seed=1, predictor="ridge", acquisition="ts", keep_old="top"),
}


def journal(folder: Path) -> bytes:
    return (folder / "journal.jsonl").read_bytes()


class Snapshots(Callback):
    """Keeps the state file as it was after each query."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state" / "strategy.json"
        self.states: list[bytes | None] = []

    def on_query(self, query, ledger):
        self.states.append(self.file.read_bytes() if self.file.exists() else None)


class InterruptAt(Callback):
    """Ctrl-C once so many queries are counted."""

    def __init__(self, query: int) -> None:
        self.query = query

    def on_query(self, query, ledger):
        if len(ledger) == self.query:
            raise KeyboardInterrupt


class Whole:
    """An uninterrupted run: its folder, its journal and its state after each query."""

    def __init__(self, folder: Path, make) -> None:
        self.folder = folder
        watch = Snapshots(folder)
        search(make(), TableEvaluator(), QUERIES, run_dir=folder, callbacks=[watch])
        self.journal = journal(folder)
        self.states = watch.states

    def cut(self, folder: Path, place: int, state: bytes | None) -> Path:
        """The run as it was when its journal had `place` bytes."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("config.yaml", "seal.json"):
            shutil.copy(self.folder / name, folder)
        (folder / "journal.jsonl").write_bytes(self.journal[:place])
        if state is not None:
            (folder / "state").mkdir()
            (folder / "state" / "strategy.json").write_bytes(state)
        return folder

    def state_at(self, place: int) -> bytes | None:
        """The latest state that there was then."""
        lines = self.journal[:place].count(b"\n")
        return self.states[lines - 1] if lines else None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    runs = {}

    def get(name: str) -> Whole:
        if name not in runs:
            interval, loop.STATE_INTERVAL_S = loop.STATE_INTERVAL_S, 0.0
            try:
                runs[name] = Whole(tmp_path_factory.mktemp(name) / "run", MAKERS[name])
            finally:
                loop.STATE_INTERVAL_S = interval
        return runs[name]

    return get


STATES = {
    "kept": lambda run, place: run.state_at(place),
    "gone": lambda run, place: None,
    "from an older point": lambda run, place: next((state for state in run.states if state), None),
    "from a later point": lambda run, place: (run.folder / "state" / "strategy.json").read_bytes(),
    "cut short": lambda run, place: (run.state_at(place) or b"{")[:-30],
    "empty": lambda run, place: b"",
    "of something else": lambda run, place: b'{"queries": 3}',
    "of no strategy": lambda run, place: b'{"queries": 0, "strategy": {}, "stop": null, "optimum": null}',
    "of other types": lambda run, place: b'{"queries": "ten", "strategy": []}',
    "not even text": lambda run, place: b"\xff\x00\xfe",
}


QUICK = ("evolution", "weaknas-ridge")  # with these in every state, and with no state in all of them; the rest is slow
CUTS = [
    pytest.param(name, state, marks=() if name in QUICK or state == "gone" else pytest.mark.slow)
    for name in MAKERS
    for state in STATES
]


@pytest.mark.typical(
    "weaknas-ridge-kept",
    "random-gone",
    "evolution-from an older point",
    "weaknas-ridge-empty",
    "weaknas-ridge-cut short",
    "evolution-of *",
)
@pytest.mark.parametrize(("name", "state"), CUTS)
def test_a_journal_cut_anywhere_ends_the_same(whole, tmp_path, name, state):
    run = whole(name)
    # Between rounds and inside them, at the end of a line and in the middle of one.
    ends = np.flatnonzero(np.frombuffer(run.journal, np.uint8) == ord("\n")) + 1
    places = [int(ends[22]) + 31, 7, int(ends[9]), int(ends[-1]) - 1, 0]
    for place in places if state in ("kept", "gone", "from an older point") else places[:1]:
        folder = run.cut(tmp_path / "cut", place, STATES[state](run, place))
        result = resume(folder)
        assert journal(folder) == run.journal, f"cut at byte {place}"
        assert len(result.queries) == QUERIES
        assert result.stop == f"{QUERIES} queries spent"


@pytest.mark.slow
@given(name=st.sampled_from(sorted(MAKERS)), share=st.floats(0, 1), state=st.sampled_from(sorted(STATES)))
def test_a_journal_cut_at_any_byte_ends_the_same(whole, tmp_path, name, share, state):
    run = whole(name)
    place = int(share * len(run.journal))
    folder = run.cut(tmp_path / "cut", place, STATES[state](run, place))
    resume(folder)
    assert journal(folder) == run.journal


@pytest.mark.typical("weaknas-ridge-11", "regularized-evolution-24", "random-1", "local-search-whole-11")
@pytest.mark.parametrize("query", [1, 11, 24])
@pytest.mark.parametrize("name", MAKERS)
def test_an_interrupted_run_ends_the_same(whole, tmp_path, name, query):
    with pytest.raises(KeyboardInterrupt):
        search(MAKERS[name](), TableEvaluator(), QUERIES, run_dir=tmp_path / "run", callbacks=[InterruptAt(query)])
    assert journal(tmp_path / "run").count(b"\n") == query
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", callbacks=[InterruptAt(min(query + 5, QUERIES))])
    resume(tmp_path / "run")
    assert journal(tmp_path / "run") == whole(name).journal


@pytest.mark.typical("weaknas-ridge-10", "random-25", "evolution-10", "local-search-whole-10")
@pytest.mark.parametrize("shorter", [10, 25])
@pytest.mark.parametrize("name", MAKERS)
def test_a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start(whole, tmp_path, name, shorter):
    search(MAKERS[name](), TableEvaluator(), shorter, run_dir=tmp_path / "run")
    result = resume(tmp_path / "run", budget=Budget(queries=QUERIES))
    assert journal(tmp_path / "run") == whole(name).journal
    assert len(result.queries) == QUERIES


def test_resuming_a_finished_run_changes_nothing(whole, tmp_path):
    run = whole("weaknas-ridge")
    folder = shutil.copytree(run.folder, tmp_path / "copy")
    result = resume(folder)
    assert journal(folder) == run.journal
    assert result.stop == f"{QUERIES} queries spent"
    assert [query.value for query in result.queries] == [json.loads(line)["value"] for line in run.journal.splitlines()]


def test_failures_are_read_back_and_not_tried_again(tmp_path):
    evaluator = FunctionEvaluator(SPACE, function=user_code.hopeless)
    search(Evolution(SPACE), evaluator, 20, run_dir=tmp_path / "run")
    before = journal(tmp_path / "run")
    (tmp_path / "run" / "journal.jsonl").write_bytes(before[: len(before) // 2])
    result = resume(tmp_path / "run")
    assert journal(tmp_path / "run") == before
    assert all("no GPU is free" in query.error for query in result.queries)


def test_nothing_is_evaluated_twice(tmp_path, monkeypatch):
    search(RandomSearch(SPACE), FunctionEvaluator(SPACE, function=user_code.worth), 40, run_dir=tmp_path / "run")
    lines = journal(tmp_path / "run").splitlines(keepends=True)
    (tmp_path / "run" / "journal.jsonl").write_bytes(b"".join(lines[:25]))
    (tmp_path / "run" / "state" / "strategy.json").unlink()
    asked = []
    monkeypatch.setattr(user_code, "worth", lambda architecture: asked.append(architecture) or 1.0)
    resume(tmp_path / "run")
    assert asked == [json.loads(line)["architecture"] for line in lines[25:]]


@pytest.mark.slow
def test_a_random_label_is_the_same_after_resuming(tmp_path, cli):
    arguments = ("search", "random", "--label", "random", "--seed", 5, "--quiet", "--run-dir")
    for name in ("whole", "part"):
        assert cli(*arguments, tmp_path / name, "--queries", 30 if name == "whole" else 20).code == 0
    assert cli("resume", tmp_path / "part", "--queries", 30, "--quiet").code == 0
    assert journal(tmp_path / "whole") == journal(tmp_path / "part")


@pytest.mark.slow
def test_random_search_looks_ahead_without_a_trace():
    """Whatever is asked in between, the trajectory is that of one call at a time, each with draws of its own."""

    class Plain(RandomSearch):
        def propose(self, n):
            return self.draw_new(n, self.rng)

    plain, ahead = Plain(SPACE, seed=3), RandomSearch(SPACE, seed=3)
    rng = np.random.default_rng(0)
    for step in range(400):
        n = None if rng.random() < 0.8 else int(rng.integers(1, 4))
        if step % 50 == 20:
            state = json.loads(json.dumps(ahead.state_dict()))
            assert state == json.loads(json.dumps(plain.state_dict()))
            ahead = RandomSearch(SPACE, seed=3)
            ahead.load_state_dict(state)
        trials = [strategy.ask(n) for strategy in (plain, ahead)]
        np.testing.assert_array_equal(trials[0].codes, trials[1].codes)
        for strategy, asked in zip((plain, ahead), trials, strict=True):
            strategy.tell(asked, Evaluations(np.ones(len(asked))))
        if step % 7 == 3:
            rounds = ahead.ask_rounds(1 + step % 5)
            singly = [plain.ask() for _ in range(len(rounds))]
            np.testing.assert_array_equal(rounds.codes, np.concatenate([asked.codes for asked in singly]))
            ahead.tell(rounds, Evaluations(np.ones(len(rounds))))
            for asked in singly:
                plain.tell(asked, Evaluations(np.ones(1)))


@pytest.mark.slow
@pytest.mark.parametrize("callbacks", [(), (Callback(),)])
def test_a_replayed_random_search_has_the_same_state_and_ends_where_it_ended(tmp_path, callbacks):
    run = tmp_path / "run"
    search(RandomSearch(SPACE, seed=5), TableEvaluator(), 700, run_dir=run)
    state, lines = run / "state" / "strategy.json", journal(run)
    before = state.read_bytes()
    state.unlink()
    resume(run, callbacks=callbacks)
    assert state.read_bytes() == before
    assert journal(run) == lines
    state.unlink()
    (run / "journal.jsonl").write_bytes(b"".join(lines.splitlines(keepends=True)[:-30]))
    resume(run, callbacks=callbacks)
    assert journal(run) == lines
    assert state.read_bytes() == before


def test_a_journal_with_changing_metrics_is_read_as_it_was_written(tmp_path, monkeypatch):
    def answer(trials):
        row = int(trials.ids[0])
        if row % 5 == 0:
            raise ValueError("no")
        names = ("a", "b")[: row % 3]
        return Evaluations(np.array([float(row)]), {name: np.array([row / 2]) for name in names})

    monkeypatch.setattr(user_code.Summed, "answer", staticmethod(answer), raising=False)
    result = search(RandomSearch(SPACE), user_code.Summed(), 30, run_dir=tmp_path / "run")
    again = load_search(tmp_path / "run")
    for whole in (result, again):
        assert [query.metrics for query in whole.queries[1:5]] == [{"a": 0.5}, {"a": 1.0, "b": 1.0}, {}, {"a": 2.0}]
        assert [place for place, query in enumerate(whole.queries) if query.error] == list(range(0, 30, 5))
        assert np.isnan(whole.queries.metric("b")[:2]).all()
    np.testing.assert_array_equal(result.codes, again.codes)
    before = journal(tmp_path / "run")
    (tmp_path / "run" / "journal.jsonl").write_bytes(b"".join(before.splitlines(keepends=True)[:17]))
    resume(tmp_path / "run")
    assert journal(tmp_path / "run") == before


# -- what cannot be resumed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["gone", "from an older point"])
@pytest.mark.parametrize("name", ["random", "evolution", "weaknas-gaussian-process"])
def test_a_query_that_the_strategy_never_asked_for_is_named(whole, tmp_path, rewritten, name, state):
    run = whole(name)
    lines = [json.loads(line) for line in run.journal.splitlines()]
    lines[29]["code"] = [0, 0, 0, 0, 0, 0]
    folder = run.cut(tmp_path / "edited", 0, STATES[state](run, 0))
    edited = rewritten(lines[:40])
    (folder / "journal.jsonl").write_bytes(edited)
    with pytest.raises(RunFolderError, match="query 30 in the journal"):
        resume(folder)
    assert journal(folder) == edited


def test_a_query_that_was_taken_out_is_noticed(whole, tmp_path):
    run = whole("random")
    lines = run.journal.splitlines(keepends=True)
    folder = run.cut(tmp_path / "edited", 0, None)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:20] + lines[21:40]))
    with pytest.raises(RunFolderError, match="line 21, is damaged"):
        resume(folder)


def test_a_label_that_was_edited_leads_elsewhere_and_is_noticed(whole, tmp_path, rewritten):
    run = whole("evolution")
    lines = [json.loads(line) for line in run.journal.splitlines()]
    lines[3]["value"] = 100.0
    folder = run.cut(tmp_path / "edited", 0, None)
    (folder / "journal.jsonl").write_bytes(rewritten(lines))
    with pytest.raises(RunFolderError, match="in the journal"):
        resume(folder)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"{}",
        b"[]",
        b"null",
        b"\x00\x00\x00",
        b'{"query": 13}',
        b"",
        b'{"query": 13, "code": "none", "architecture": "", "value": 1, "metrics": {}, "error": null}',
        b'{"query": 13, "code": [1, 2], "architecture": "", "value": 1, "metrics": {}, "error": null}',
        b'{"query": 13, "code": [99, 2, 1, 1, 1, 1], "architecture": "", "value": 1, "metrics": {}, "error": null}',
        b'{"query": 13, "code": [3, 2, 1, 1, 1, 1], "architecture": "", "value": "x", "metrics": {}, "error": null}',
        b'{"query": 13, "code": [3, 2, 1, 1, 1, 1], "architecture": "", "value": 1, "metrics": 3, "error": null}',
    ],
)
def test_a_damaged_line_in_the_middle_is_named(whole, tmp_path, cli, line):
    run = whole("random")
    lines = run.journal.splitlines(keepends=True)
    folder = run.cut(tmp_path / "damaged", 0, None)
    damaged = b"".join([*lines[:12], line + b"\n", *lines[13:30]])
    (folder / "journal.jsonl").write_bytes(damaged)
    with pytest.raises(RunFolderError, match=r"line 13|query 13"):
        resume(folder)
    for command in ("resume", "show"):
        said = cli(command, folder)
        assert said.code == 2 or command == "show"
        assert "Traceback" not in said.err
    assert journal(folder) == damaged


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_damaged_journal_is_resumed_or_refused(whole, tmp_path, place, flip):
    run = whole("random")
    content = bytearray(run.journal[:4_000])
    content[place % len(content)] ^= flip
    folder = run.cut(tmp_path / "damaged", 0, None)
    (folder / "journal.jsonl").write_bytes(content)
    try:
        resume(folder)
    except FrugalnasError:
        assert journal(folder).startswith(bytes(content)[: bytes(content).rfind(b"\n") + 1])


def test_a_configuration_of_an_older_version_that_was_edited_is_noticed(whole, tmp_path):
    run = whole("evolution")
    for before, after, message in (
        ("seed: 1", "seed: 2", "query 1 in the journal"),
        ("name: evolution", "name: evolutoin", "unknown strategy 'evolutoin'.*did you mean 'evolution'"),
        ("tournament: 10", "turnament: 10", "turnament"),
        ("table: nasbench201/cifar10", "table: nasbench201/cifar11", "unknown table"),
        ("queries: 47", "queries: 4", "initial sample"),
        ("budget:", "bugdet:", "config.yaml|budget"),
    ):
        folder = run.cut(tmp_path / "edited", 9_000, None)
        text = (folder / "config.yaml").read_text()
        assert before in text
        (folder / "config.yaml").write_text(text.replace(before, after))
        (folder / "seal.json").unlink()
        with pytest.raises(FrugalnasError, match=message):
            resume(folder)


# -- real processes ----------------------------------------------------------------------------------------------------


def slow_search(strategy: str, folder: str, queries: int, seed: int = 0) -> tuple[object, ...]:
    evaluator = ("--evaluator", "user_code:slow")
    return "search", strategy, *evaluator, "--queries", queries, "--seed", seed, "--run-dir", folder, "--quiet"


def uninterrupted(strategy: str, folder: Path, queries: int, seed: int = 0) -> bytes:
    kind = {"evolution": Evolution, "weaknas": WeakNAS, "local-search": LocalSearch}[strategy]
    search(kind(SPACE, seed=seed), FunctionEvaluator(SPACE, function=user_code.slow), queries, run_dir=folder)
    return journal(folder)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["weaknas"])
def test_a_killed_process_resumes_to_the_same_journal(command, tmp_path, strategy):
    expected = uninterrupted(strategy, tmp_path / "whole", 60)
    process = command(*slow_search(strategy, "run", 60), USER_CODE_SECONDS="0.02")
    process.wait_for(tmp_path / "run" / "journal.jsonl", random.randrange(5, 45))
    process.kill()
    assert 0 < len(journal(tmp_path / "run")) < len(expected)
    resumed = command("resume", "run", "--quiet").end()
    assert resumed.code == 0, resumed.err
    assert "60 queries" in resumed.out
    assert journal(tmp_path / "run") == expected


def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_journal(command, tmp_path):
    expected = uninterrupted("evolution", tmp_path / "whole", 60)
    process = command(*slow_search("evolution", "run", 60), USER_CODE_SECONDS="0.02")
    process.wait_for(tmp_path / "run" / "journal.jsonl", 20)
    said = process.interrupt()
    assert said.code == 130
    assert "frugalnas resume run" in said.err
    assert "Traceback" not in said.err
    assert 0 < len(journal(tmp_path / "run")) < len(expected)
    resume(tmp_path / "run")
    assert journal(tmp_path / "run") == expected


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["evolution", "weaknas"])
def test_ten_kills_at_random_moments(command, tmp_path, strategy):
    rng = random.Random()
    kills = seed = 0
    while kills < 10:
        run, seed = tmp_path / f"run{seed}", seed + 1
        expected = uninterrupted(strategy, tmp_path / f"whole{seed}", 120, seed)
        arguments = slow_search(strategy, run.name, 120, seed)
        patience, before = 2.0, 0
        while True:
            process = command(*arguments, USER_CODE_SECONDS="0.01")
            began = time.monotonic()
            limit = rng.uniform(0.2, patience) if kills < 10 else 120.0
            while process.child.poll() is None and time.monotonic() - began < limit:
                time.sleep(0.005)
            if process.child.poll() is not None:
                assert process.end().code == 0
                break
            process.kill()
            lines = len(journal(run)) if (run / "journal.jsonl").exists() else 0
            assert lines >= before - 300, "more than a line that was cut short has gone"
            kills += lines > 0
            # On a busy machine Python alone may take longer to start than a process lived: it would never get on.
            patience, before = patience if lines > before else 1.5 * patience, lines
            if (run / "config.yaml").exists():
                arguments = ("resume", run.name, "--quiet")
            else:
                shutil.rmtree(run, ignore_errors=True)
        assert journal(run) == expected
