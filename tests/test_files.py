"""Files are whole or not there at all, leftovers of the dead are cleared away, and what the machine lacks is one line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml

from frugalnas import files
from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings
from frugalnas.evaluation import Evaluator, Trials
from frugalnas.files import alone, draft, sweep, write_atomically
from frugalnas.runs import RunFolder
from frugalnas.searches import load_search, search
from frugalnas.searches.executors import evaluate_safely
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch
from frugalnas.tables import TableEvaluator

SPACE = NASBench201()
CONFIG = {"kind": "method", "method": {"name": "none", "options": {}}}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.draft")]


def dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with suppress(KeyboardInterrupt), draft(path) as made:
        made.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_a_file_can_be_read_by_whom_the_folder_says(tmp_path):
    with draft(tmp_path / "file") as made:
        made.write_text("x")
        made.chmod(0o600)  # as safetensors does
    (tmp_path / "other").write_text("x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_neither_folders_nor_devices_are_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("folder", "is a folder"), ("pipe", "is no regular file")):
        with pytest.raises(FrugalnasError, match=f"{name} {said}"):
            write_atomically(tmp_path / name, "x")


def test_drafts_of_dead_processes_are_cleared_away_and_no_others(tmp_path):
    dead, host = dead_pid(), files.HOST
    names = {
        f".{dead}@{host}.0.draft": True,
        f".{os.getpid()}@{host}.999.draft": True,  # of a process before that had our number
        f".1@{host}.0.draft": False,  # lives
        f".{dead}@elsewhere.0.draft": False,  # may live there
        f".notes.{dead}": False,
    }
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("half")
    with draft(tmp_path / "new") as made:
        made.write_text("x")
        sweep(tmp_path)  # as another thread may
        assert made.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"new"} | {name for name, gone in names.items() if not gone}


def test_the_next_command_clears_away_what_a_killed_one_left_in_a_run(tmp_path):
    folder = RunFolder.create(tmp_path / "run", CONFIG)
    stale = [place / f".{dead_pid()}@{files.HOST}.3.draft" for place in (folder.path, folder.path / "checkpoints")]
    for path in stale:
        path.mkdir(parents=True)
    with folder.held():
        assert leftovers(tmp_path) == []


def test_a_lock_keeps_others_out_and_says_so(tmp_path):
    folder = RunFolder.create(tmp_path / "run", CONFIG)
    with (
        folder.held(),
        pytest.raises(RunFolderError, match="is being run by another process"),
        RunFolder(folder.path).held(),
    ):
        pass
    with folder.held():
        pass


def test_without_locks_a_living_owner_is_respected_and_a_dead_one_is_not(tmp_path, monkeypatch, capsys):
    def unsupported(file, how):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    lock = tmp_path / ".lock"
    for _ in range(2):
        with alone(lock, lambda: None):
            assert "start no other process" in capsys.readouterr().err
            with pytest.raises(Surroundings, match="has no locks to tell; remove"), alone(lock, lambda: None):
                pass
    lock.write_text(f"{dead_pid()}@{files.HOST}\n")
    with alone(lock, lambda: None):
        pass
    lock.write_text(f"{dead_pid()}@elsewhere\n")
    with pytest.raises(Surroundings, match="elsewhere"), alone(lock, lambda: None):
        pass


# -- what the machine lacks --------------------------------------------------------------------------------------------


@pytest.fixture
def full():
    """A disk without room for so many bytes more."""

    def limit(bytes_left: int) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
        undo.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))

    resource = pytest.importorskip("resource")
    undo: list = []
    yield limit
    for back in undo:
        back()


def test_a_line_that_does_not_fit_is_not_half_there(tmp_path, full):
    folder = RunFolder.create(tmp_path / "run", CONFIG)
    stage = {"kind": "search", "folder": "01-search"}
    folder.append({**stage, "stage": "a" * 500})
    whole = (folder.path / "journal.jsonl").read_bytes()
    full(800)
    with pytest.raises(Surroundings, match=r"journal\.jsonl: "):
        folder.append({**stage, "stage": "b" * 500})
    assert (folder.path / "journal.jsonl").read_bytes() == whole
    folder.append({**stage, "stage": "c"})
    folder.close()
    assert [line["stage"][0] for line in RunFolder(folder.path).lines()] == ["a", "c"]


def test_safetensors_own_error_names_the_file_and_the_mend(tmp_path, full):
    torch = pytest.importorskip("torch")
    from frugalnas.tensors import write_tensors

    full(1000)
    with pytest.raises(Surroundings, match=r"weights\.safetensors: File too large; allow larger files"):
        write_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1000)}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_new_run_that_does_not_fit_is_named_and_leaves_nothing(tmp_path, full):
    class Begins(Evaluator):  # a run of its own for every architecture, as training does
        def evaluate(self, trials, workdir):
            RunFolder.create(workdir, CONFIG)

    full(50)
    named = rf"^{tmp_path}/run/seal\.json: File too large; .*choose another `run_dir`"
    with pytest.raises(Surroundings, match=named):  # no property of what was to be evaluated
        evaluate_safely(Begins(), Trials(np.zeros((1, 2), np.int8), np.arange(1)), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_in_a_file_of_tensors_is_noticed(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from frugalnas.tensors import read_tensors, write_tensors

    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"a": torch.arange(10.0), "b": torch.ones(())}, {"epoch": "3"})
    assert read_tensors(path)[1] == {"epoch": "3"}
    monkeypatch.setenv("FRUGALNAS_LIMIT_TENSORS", "1")
    with pytest.raises(FrugalnasError, match=r"asks for 2 tensors .* limit is 1"):
        read_tensors(path)
    monkeypatch.delenv("FRUGALNAS_LIMIT_TENSORS")
    content = path.read_bytes()
    believed = []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with suppress(FrugalnasError):
            tensors, metadata = read_tensors(path)
            if metadata.get("epoch") != "3" or not torch.equal(tensors["a"], torch.arange(10.0)):
                believed.append(place)
    assert believed == []


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float8_e4m3fn", "int64", "bool"])
def test_tensors_of_every_type_come_back_as_they_were(tmp_path, kind):
    torch = pytest.importorskip("torch")
    from frugalnas.tensors import read_tensors, write_tensors

    tensors = {name: made.to(getattr(torch, kind)) for name, made in (("a", torch.ones(2, 3)), ("b", torch.ones(())))}
    write_tensors(tmp_path / "weights.safetensors", tensors, {})
    found, _ = read_tensors(tmp_path / "weights.safetensors")
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name].float(), tensor.float())
    found["a"].zero_()  # they are the reader's own


def test_a_run_folder_that_is_removed_meanwhile_is_named_and_does_not_come_back(tmp_path):
    import shutil

    from frugalnas.runs.progress import Callback

    class Remove(Callback):
        def on_query(self, query, ledger):
            if len(ledger) == 3:
                shutil.rmtree(tmp_path / "run")

    with pytest.raises(Surroundings, match=r"run.* (was removed while the run went on|is not there)"):
        search(RandomSearch(SPACE), TableEvaluator(), 10, run_dir=tmp_path / "run", callbacks=[Remove()])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.EROFS, "choose another folder"), (errno.EMFILE, "ulimit -n"), (errno.EIO, "check the disk")],
)
def test_a_run_that_cannot_be_written_is_one_line(tmp_path, cli, monkeypatch, number, mend):
    search(RandomSearch(SPACE), TableEvaluator(), 10, run_dir=tmp_path / "run")

    def refused(path, *arguments, **options):
        if path.name == ".lock":
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    real = Path.open
    monkeypatch.setattr(Path, "open", refused)
    said = cli("resume", tmp_path / "run", "--quiet")
    assert said.code == 2
    assert said.err.startswith("frugalnas: ")
    assert said.err.count("\n") == 1
    assert ".lock: " in said.err
    assert mend in said.err


def test_names_that_are_too_long_or_no_utf8(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("search", "random", "--queries", 12, "--quiet", "--run-dir", "n" * 256)
    assert said.code == 2
    assert "choose a shorter name" in said.err
    assert said.err.count("\n") == 1
    longest = "n" * 255  # the draft has no longer name
    name = os.fsdecode(b"caf\xe9")
    for run in (longest, name):
        search(RandomSearch(SPACE), TableEvaluator(), 10, run_dir=tmp_path / run)
        assert len(load_search(tmp_path / run).queries) == 10
    write_atomically(tmp_path / "note.yaml", yaml.safe_dump({"run": name}))
    assert yaml.safe_load((tmp_path / "note.yaml").read_text())["run"] == name
    said = cli("runs", "list", "--root", ".")
    assert said.code == 0
    assert "caf" in said.out


def test_a_bug_still_has_a_traceback(cli, monkeypatch):
    def broken(root, unreadable):
        raise RuntimeError("a bug")

    monkeypatch.setattr("frugalnas.runs.list_runs", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli("runs", "list")
