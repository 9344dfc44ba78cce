"""Trainings as run folders: what they leave, how they resume, what they refuse."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

import frugalnas as fn
from frugalnas import progress as run_progress
from frugalnas.data import Images
from frugalnas.errors import Diverged, FrugalnasError, RunFolderError
from frugalnas.evaluation import Trials
from frugalnas.networks.models import load, read_card
from frugalnas.progress import duration
from frugalnas.report.training_figures import learning_curves
from frugalnas.runs import RunFolder
from frugalnas.runs.kinds import resume_run
from frugalnas.runs.progress import Callback, Progress
from frugalnas.spaces import DARTS
from frugalnas.testing import KindConformance
from frugalnas.training import read_tensors
from frugalnas.trainings import session as trainer_module
from frugalnas.trainings.encoder import pretrain
from frugalnas.trainings.evaluation import evaluate_run
from frugalnas.trainings.evaluator import TrainingEvaluator
from frugalnas.trainings.network import load_training, proposed_training, train
from frugalnas.trainings.weights import too_large

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
QUICK = {"epochs": 2, "batch_size": 512, "lr": 0.02, "ema": 0.5}


def tiny(width: int = 4) -> fn.Architecture:
    space = fn.NASBench201(width=width, cells=1)
    return fn.Architecture(space, space.parse(CELL))


class Watcher(Callback):
    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.steps: list[int] = []
        self.left: list[float | None] = []
        self.epochs: list[dict] = []
        self.notes: tuple[str, ...] = ()
        self.result = None

    def on_start(self, done, total, notes=()):
        self.total, self.done, self.notes = total, done, notes

    def on_progress(self, done, said="", *, left=None, worth_a_line=False):
        if worth_a_line:
            return
        self.steps.append(done)
        self.left.append(left)
        if done == self.stop_at:
            raise KeyboardInterrupt

    def on_record(self, record):
        self.epochs.append(record)

    def on_stop(self, result):
        self.result = result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    watcher = Watcher()
    return train(tiny(), run_dir=path, settings=QUICK, seed=3, callbacks=[watcher]), watcher


def lines(path, name="journal.jsonl"):
    records = [json.loads(line) for line in (path / name).read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "sum"} for record in records]


def test_a_training_leaves_a_run(finished):
    result, watcher = finished
    path = result.run_dir
    assert [line["epoch"] for line in lines(path)] == [1, 2]
    assert list(result.epochs) == lines(path) == watcher.epochs
    assert len(lines(path, "timing.jsonl")) == 2
    assert result.finished
    assert result.total_epochs == 2
    assert result.test.images == 180
    assert result.test.confusion.sum(1).tolist() == evaluate_run(path).confusion.sum(1).tolist()
    assert RunFolder(path).config["kind"] == "training"
    assert any((path / "tensorboard").iterdir())
    assert result.params == read_card(path).counts["params"]
    assert watcher.result.test.to_json() == result.test.to_json()
    assert watcher.steps == list(range(1, watcher.total + 1))
    assert watcher.left[-1] == 0.0
    assert load_training(path).seconds > 0


def test_the_model_is_what_was_tested(finished):
    result, _ = finished
    assert evaluate_run(result.run_dir).to_json() == result.test.to_json()
    assert evaluate_run(result.run_dir, "digits").to_json() == result.test.to_json()
    val = evaluate_run(result.run_dir, part="val")
    assert val.top1 == pytest.approx(result.epochs[result.selected - 1]["val_accuracy"])
    assert load(result.run_dir).card.classes == tuple("0123456789")


def test_other_data_are_evaluated_on_whole(finished, tmp_path):
    result, _ = finished
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(30) % 10)
    assert evaluate_run(result.run_dir, tmp_path / "mine.npz").images == 30
    np.savez(tmp_path / "three.npz", images=images, labels=np.arange(30) % 3)
    some = evaluate_run(result.run_dir, tmp_path / "three.npz")  # matched by name
    assert some.classes == tuple("0123456789")
    assert some.confusion.sum(1).tolist() == [10] * 3 + [0] * 7
    assert some.absent == tuple("3456789")
    named = {"images": images, "labels": np.arange(30) % 2, "classes": ["9", "2"]}  # in another order
    np.savez(tmp_path / "named.npz", **named)
    assert evaluate_run(result.run_dir, tmp_path / "named.npz").confusion.sum(1)[[2, 9]].tolist() == [15, 15]
    np.savez(tmp_path / "other.npz", **{**named, "classes": ["9", "zebra"]})
    with pytest.raises(
        FrugalnasError, match=r"has the classes 9, zebra, but .* 0, 1, 2, 3, 4, .*: 'zebra' is not among"
    ):
        evaluate_run(result.run_dir, tmp_path / "other.npz")
    with pytest.raises(FrugalnasError, match="has no part 'val'"):
        evaluate_run(result.run_dir, tmp_path / "mine.npz", part="val")


def test_a_finished_training_resumes_to_itself(finished):
    result, _ = finished
    before = (result.run_dir / "test.json").read_text()
    assert resume_run(result.run_dir).test.to_json() == result.test.to_json()
    assert (result.run_dir / "test.json").read_text() == before


@pytest.mark.typical("1")
@pytest.mark.parametrize("stop_at", [1, 3])
def test_interrupted_anywhere_it_ends_with_the_same_weights(finished, tmp_path, monkeypatch, stop_at):
    whole, _ = finished
    monkeypatch.setattr(trainer_module, "SAVE_EVERY_S", 0.0)
    path = tmp_path / "halves"
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), run_dir=path, settings=QUICK, seed=3, callbacks=[Watcher(stop_at)])
    assert not load_training(path).finished
    watcher = Watcher()
    resumed = resume_run(path, callbacks=[watcher])
    assert watcher.done > 0 or stop_at == 1
    same_run(whole.run_dir, path)
    assert resumed.test.to_json() == whole.test.to_json()


def same_run(one, other):
    assert (one / "journal.jsonl").read_text() == (other / "journal.jsonl").read_text()
    last = [sorted((path / "checkpoints").glob("step-*"))[-1] for path in (one, other)]
    for name in (last[0].relative_to(one), "model/model.safetensors"):
        (left, _), (right, _) = read_tensors(one / name), read_tensors(other / name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_initial_weights_stay_and_foreign_ones_are_refused(finished, tmp_path):
    result, _ = finished
    (step, *_) = sorted((result.run_dir / "checkpoints").glob("step-*"))
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), run_dir=tmp_path / "other", settings=QUICK, seed=4, callbacks=[Watcher(1)])
    target = tmp_path / "other" / "checkpoints"
    assert (target / "initial.safetensors").exists()
    (target / step.name).write_bytes(step.read_bytes())
    with pytest.raises(RunFolderError, match="is a checkpoint of another seed"):
        resume_run(tmp_path / "other")


@pytest.mark.slow
def test_a_finished_training_goes_on_for_longer(finished, tmp_path):
    first, _ = finished
    shutil.copytree(first.run_dir, tmp_path / "on")
    for options, said in (
        ({"epochs": 2}, "has done 2; give more"),
        ({"lr": 0.1}, "has done 2; give more"),
        ({"epochs": 5, "lr": -1.0}, "lr is -1"),
    ):
        with pytest.raises(FrugalnasError, match=said):
            resume_run(tmp_path / "on", **options)
    assert load_training(tmp_path / "on").finished
    result = resume_run(tmp_path / "on", epochs=5, lr=0.03)
    assert lines(tmp_path / "on")[:2] == lines(first.run_dir)
    assert [record["epoch"] for record in result.epochs] == [1, 2, 3, 4, 5]
    cosine = 0.015 + 0.015 * np.cos(
        np.pi * np.array([1, 3, 5]) / 6
    )  # of three epochs of two steps, by the last step of each
    np.testing.assert_allclose([record["lr"] for record in result.epochs[2:]], cosine)
    assert result.finished
    assert result.restarts == (2,)
    assert (
        "2 epochs became 5 after epoch 2: schedule cosine starts anew at learning rate 0.03 for 3 epochs"
        in result.notes[-1]
    )
    assert f"the test images were looked at before ({first.test.top1:.2f} %)" in result.notes[-1]
    assert " restart: epoch 2" in [text.get_text() for text in learning_curves(result).axes[0].texts]
    assert read_card(result.model).provenance["epoch"] == 5


@pytest.mark.slow
def test_a_finished_training_that_is_killed_while_it_goes_on_ends_the_same(finished, tmp_path):
    for name in ("on", "killed"):
        shutil.copytree(finished[0].run_dir, tmp_path / name)
    resume_run(tmp_path / "on", epochs=5, lr=0.03)
    with pytest.raises(KeyboardInterrupt):
        resume_run(tmp_path / "killed", epochs=5, lr=0.03, callbacks=[Watcher(7)])
    resume_run(tmp_path / "killed")
    same_run(tmp_path / "on", tmp_path / "killed")


def test_runs_that_others_rest_on_keep_their_epochs(finished, tmp_path):
    inner = tmp_path / "search" / "evaluations" / "000001" / "training"
    shutil.copytree(finished[0].run_dir, inner)
    (inner.parents[2] / "config.yaml").write_text("kind: search")
    with pytest.raises(FrugalnasError, match=r"is a part of .*search, whose result rests on it"):
        resume_run(inner, epochs=5)


def test_what_a_space_lacks_is_noted_or_refused(tmp_path):
    settings = {"epochs": 1, "batch_size": 512}
    watcher = Watcher(1)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), recipe="cifar", settings=settings, run_dir=tmp_path / "a", callbacks=[watcher])
    assert sum("left out" in note for note in watcher.notes) == 2
    with pytest.raises(FrugalnasError, match="auxiliary"):
        train(tiny(), recipe="cifar", settings={**settings, "auxiliary": "darts"}, run_dir=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_saved_weights_are_where_a_finer_training_begins(finished, tmp_path):
    result, _ = finished
    path = tmp_path / "finer"
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), run_dir=path, settings=QUICK, weights=result.run_dir, callbacks=[Watcher(1)])
    initial, _ = read_tensors(path / "checkpoints" / "initial.safetensors")
    for name, tensor in load(result.run_dir).state_dict().items():
        assert torch.equal(initial[name], tensor)
    with pytest.raises(FrugalnasError, match=r"of another architecture: .* has shape"):
        train(tiny(8), run_dir=tmp_path / "wider", settings=QUICK, weights=result.run_dir)
    with pytest.raises(FrugalnasError, match="there are no weights at"):
        train(tiny(), run_dir=tmp_path / "none", settings=QUICK, weights=tmp_path / "nothing.pt")


@pytest.mark.slow
def test_a_training_that_diverges_before_its_first_checkpoint_is_there_to_be_looked_at(tmp_path):
    settings = {"epochs": 1, "batch_size": 128, "optimizer": "momentum", "lr": 1e3, "clip_norm": None, "momentum": 1.0}
    with pytest.raises(FrugalnasError, match=r"diverged; lower lr \(now 1000\)"):
        train(tiny(), run_dir=tmp_path / "run", settings={**settings, "weight_decay": 10, "warmup_epochs": 0})
    result = load_training(tmp_path / "run")
    assert "diverged" in result.diverged
    assert not result.finished


ABSURD = {"epochs": 6, "batch_size": 512, "momentum": 0.0, "weight_decay": 10, "schedule": "constant", "clip_norm": 1}
SAID = r"running_var after step 6 \(epoch 3\) is not finite at learning rate 3: the training has diverged; lower lr \(now 3\)"


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "diverged"
    with pytest.raises(Diverged, match=SAID):
        train(tiny(), run_dir=path, settings={**ABSURD, "lr": 3.0}, compute=fn.Compute("cpu"))
    return path


def test_infinite_running_statistics_are_a_divergence_though_every_loss_is_finite(diverged, cli):
    result = load_training(diverged)
    assert not result.finished
    assert [record["epoch"] for record in result.epochs] == [1, 2]
    assert re.search(SAID, result.diverged)
    assert lines(diverged)[2]["val_loss"] is lines(diverged)[2]["train_loss"] is None
    assert not (diverged / "model").exists()
    for tensors, _ in map(read_tensors, (diverged / "checkpoints").glob("step-*")):
        assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert re.search(f"diverged +.*{SAID}", cli("show", str(diverged)).out)
    assert "2 of 6 epochs, diverged" in cli("runs", "list", "--root", str(diverged.parent)).out
    outcome = cli("export", str(diverged))
    assert outcome.code == 2
    assert "holds no trained network" in outcome.err


@pytest.mark.slow
def test_a_diverged_training_goes_on_at_another_rate_only(diverged, tmp_path):
    path = tmp_path / "mended"
    shutil.copytree(diverged, path)
    with pytest.raises(Diverged, match=SAID + r".*; frugalnas resume .* --lr X goes on from there"):
        resume_run(path)
    with pytest.raises(Diverged, match=r"epoch [34]\) is not finite"):
        resume_run(path, lr=2.9)
    result = resume_run(path, lr=1e-6)
    assert result.finished
    assert [record["epoch"] for record in lines(path)] == [1, 2, 3, 4, 5, 6]
    assert [record["lr"] for record in lines(path)[2:]] == pytest.approx([1e-6] * 4)


def test_a_validation_loss_that_is_no_number_is_a_divergence(tmp_path):
    how = {"settings": {**ABSURD, "epochs": 1, "lr": 1000.0}, "sizes": {"width": 4}, "compute": fn.Compute("cpu")}
    told = TrainingEvaluator(tiny().space, **how).evaluate(Trials(tiny().code[None], np.zeros(1, np.int64)), tmp_path)
    assert np.isnan(told.values).all()
    assert re.match(r"the val_loss of epoch 1 is nan at learning rate 1000: the training has diverged", told.errors[0])


def test_bad_requests_leave_nothing(tmp_path, finished):
    result, _ = finished
    path = tmp_path / "run"
    for how, said in (
        ({"compute": fn.Compute("cuda" if not torch.cuda.is_available() else "gpu")}, "device"),
        ({"recipe": "cifra"}, "unknown recipe"),
        ({"data": tmp_path / "nowhere"}, "nowhere"),
        ({"recipe": "darts-cifar", "settings": {"epochs": 1, "drop_path": 0.1, "auxiliary": None}}, "drop"),
    ):
        with pytest.raises(FrugalnasError, match=said):
            train(tiny(), run_dir=path, **how)
        assert not path.exists()
    with pytest.raises(RunFolderError, match="already there"):
        train(tiny(), run_dir=result.run_dir)
    with pytest.raises(RunFolderError, match="is a training, not a search"):
        fn.load_search(result.run_dir)


@pytest.mark.slow
def test_a_network_beyond_memory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FRUGALNAS_LIMIT_WIDTH", "1e9")
    with pytest.raises(FrugalnasError, match="memory does not suffice; lower the network's width"):
        train(tiny(10_000_000), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_growing_drop_path_is_not_compiled_anew_every_epoch(tmp_path):
    space = DARTS(width=4, layers=3)
    code = space.sample(1, np.random.default_rng(0))[0]
    settings = {"epochs": 2, "auxiliary": None}
    data, compute = fn.Images("digits", input_size=16), fn.Compute(compile=True)
    with pytest.raises(FrugalnasError, match="`drop_path_ramp`=false"):
        train(fn.Architecture(space, code), data, "cifar", settings=settings, run_dir=tmp_path / "c", compute=compute)


def test_a_plan_says_what_would_happen():
    proposal = proposed_training(tiny(), settings=QUICK)
    found = proposal.plan()
    said = dict(found.rows)
    assert said["images"] == "1,455 train, 162 val, 180 test"
    assert (said["steps"], found.steps) == ("4: 2 an epoch", 4)
    assert "8x8 pixels" in said["network"]
    assert found.seconds > 0
    assert proposal.config["recipe"]["augmentation"]["pad"] == 1


def test_a_network_far_too_large_for_its_images_is_warned_of():
    data = Images("digits").open()
    assert too_large(torch.nn.Linear(1000, 1000), data) == []
    (note,) = too_large(torch.nn.Linear(3000, 5000, device="meta"), data)
    assert note.startswith("15.0 M parameters for 1455 training images: it will learn them by heart; a smaller network")


def test_a_note_is_printed_once_whatever_stages_have_it():
    from rich.console import Console

    console, told = Console(file=io.StringIO(), width=200), {"said before"}
    for notes in (("said before", "new"), ("new", "newer")):
        progress = Progress("training", console=console, told=told)
        progress.on_start(0, 1, notes)
        progress.close()
    printed = console.file.getvalue()
    assert [printed.count(f"{note}\n") for note in ("said before", "new", "newer")] == [0, 1, 1]


@pytest.mark.parametrize("content", [None, b"\xff{}"])
def test_a_run_without_its_split_says_so(finished, tmp_path, monkeypatch, content):
    result, _ = finished
    run = shutil.copytree(result.run_dir, tmp_path / "run")
    (run / "split.json").unlink() if content is None else (run / "split.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"split.json is .* put it back"):
        evaluate_run(run)
    monkeypatch.setattr(RunFolder, "kept", lambda self, name: self.path / name)  # a run without digests
    with pytest.raises(RunFolderError, match=r"split.json is gone or damaged; put it back"):
        evaluate_run(run)


def test_a_log_shows_a_line_an_epoch_and_a_line_a_minute(monkeypatch):
    log = io.StringIO()
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: float(next(clock)))  # 25 s a look
    progress = Progress("training", console=Console(file=log, width=60))
    progress.on_start(0, 20, ("what was decided",))
    for done in range(1, 9):
        progress.on_progress(done)
    progress.on_progress(8, "epoch 1: train 50.00 %, val 40.00 %", worth_a_line=True)
    progress.close()
    shown = log.getvalue().splitlines()
    assert shown[0] == "what was decided"
    assert [line.split(";")[0] for line in shown[1:]] == [f"training: {done} of 20" for done in (2, 5, 8, 8)]
    assert shown[1] == "training: 2 of 20; 50 s; about 8 min left"
    assert shown[-1].startswith("training: 8 of 20; epoch 1: train 50.00 %, val 40.00 %")


def test_durations_as_people_say_them():
    said = [duration(seconds) for seconds in (5, 89, 120, 3 * 3600 + 1200, 40 * 3600)]
    assert said == ["5 s", "89 s", "2 min", "3 h 20 min", "1 day 16 h"]


@pytest.mark.slow
def test_the_default_settings_learn_the_digits(tmp_path):
    space = fn.NASBench201()
    result = train(fn.Architecture(space, space.parse(CELL)), run_dir=tmp_path / "digits")
    assert result.test.top1 >= 97.0


KILLED = """
import frugalnas as fn
from frugalnas.trainings import session
from frugalnas.trainings.network import train
session.SAVE_EVERY_S = 0.0
space = fn.NASBench201(width=4, cells=1)
train(fn.Architecture(space, space.parse({cell!r})), run_dir={path!r}, settings={settings!r}, seed=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 12])
def test_killed_at_any_moment_it_ends_with_the_same_weights(tmp_path, steps):
    settings = {**QUICK, "epochs": 6, "batch_size": 128}
    whole = train(tiny(), run_dir=tmp_path / "whole", settings=settings, seed=3)
    path = tmp_path / "killed"
    script = KILLED.format(cell=CELL, path=str(path), settings=settings)
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(path.glob(f"checkpoints/step-{steps:07d}*")):
        if any(int(found.stem[5:]) >= steps for found in path.glob("checkpoints/step-*")):
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not load_training(path).finished
    resume_run(path)
    same_run(whole.run_dir, path)


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    result = train(
        tiny(),
        run_dir=tmp_path / "two",
        settings={**QUICK, "epochs": 4, "select": "best"},
        compute=fn.Compute("cpu", 2),
    )
    assert result.finished
    assert len(result.epochs) == 4
    assert result.test.images == 180
    assert result.test.to_json()["confusion"] == evaluate_run(result.run_dir).to_json()["confusion"]
    diverging = {
        "epochs": 1,
        "batch_size": 128,
        "optimizer": "momentum",
        "lr": 1e3,
        "momentum": 1.0,
        "warmup_epochs": 0,
    }
    with pytest.raises(Diverged, match=r"^the loss of step \d+ \(epoch 1\) is [a-z]+ at .*diverged"):
        train(tiny(), run_dir=tmp_path / "no", settings={**diverging, "clip_norm": None}, compute=fn.Compute("cpu", 2))
    assert "diverged" in load_training(tmp_path / "no").diverged  # as in one process, it is there to be looked at


def test_data_that_changed_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(60) % 3)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "mine.npz", run_dir=tmp_path / "run", settings={"epochs": 1}, callbacks=[Watcher(1)])
    np.savez(tmp_path / "mine.npz", images=images[:59], labels=np.arange(59) % 3)
    with pytest.raises(FrugalnasError, match="60 train images, here are 59 train; put back what was there"):
        resume_run(tmp_path / "run")
    np.savez(tmp_path / "mine.npz", images=images[::-1], labels=np.arange(60) % 3)
    with pytest.raises(RunFolderError, match="have changed since"):
        resume_run(tmp_path / "run")


@pytest.mark.slow
class TestTrainingKind(KindConformance):
    kept = ("journal.jsonl", "split.json", "test.json")
    kills = 3

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        return train(tiny(), run_dir=run_dir, settings=QUICK, callbacks=callbacks)


@pytest.mark.parametrize(
    ("begin", "given", "why"),
    [
        (fn.train, fn.NASBench201(), "is no architecture; give one of a space"),
        (fn.train_supernet, "nasbench201", "'nasbench201' is no search space; give one such as"),
        (pretrain, 201, "201 is no search space"),
        (fn.rlnas, 201, "201 is no search space; give one such as .*, its name"),
    ],
)
def test_another_first_argument_is_refused(begin, given, why, tmp_path):
    with pytest.raises(FrugalnasError, match=why):
        begin(given, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
