"""Supernets as run folders: what they leave, how they resume, what they refuse."""

from __future__ import annotations

import json
import os
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
from PIL import Image

import frugalnas as fn
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks.weightless import weightless
from frugalnas.runs import RunFolder
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.kinds import resume_run
from frugalnas.runs.progress import Callback
from frugalnas.spaces import DARTS
from frugalnas.supernets import SupernetRecipe, path_sampler, supernet_of
from frugalnas.testing import KindConformance
from frugalnas.training import read_tensors, write_tensors
from frugalnas.trainings import session as trainer_module
from frugalnas.trainings.kinds import weights_file
from frugalnas.trainings.network import load_training
from frugalnas.trainings.supernet import SupernetSession, load_supernet, proposed_supernet, train_supernet

SPACE = fn.NASBench201(width=2, cells=1)
CPU = fn.Compute("cpu")
QUICK = {"epochs": 3, "batch_size": 512, "lr": 0.05, "base_epochs": [0, 1], "angle_base": 1, "decay_unsampled": True}


DIVERGING = {"epochs": 2, "batch_size": 256, "optimizer": "momentum", "lr": 1e3, "momentum": 1.0, "weight_decay": 10}


class Stop(Callback):
    """Interrupts a training after so many steps."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_progress(self, done, said="", **how):
        if done == self.at:
            raise KeyboardInterrupt


def interrupted(path, at=1, **how):
    options = {"space": SPACE, "run_dir": path, "settings": QUICK, "seed": 3, "compute": CPU, **how}
    with pytest.raises(KeyboardInterrupt):
        train_supernet(callbacks=[Stop(at)], **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    return train_supernet(SPACE, run_dir=path, settings=QUICK, seed=3, compute=CPU)


def content(path):
    """What a finished run holds, but for times."""
    names = ["journal.jsonl", "split.json"]
    names += sorted(
        f"{found.parent.name}/{found.name}" for kind in ("weights", "triples") for found in (path / kind).iterdir()
    )
    return {name: (path / name).read_bytes() for name in names}


def test_a_supernet_leaves_a_run(finished):
    path = finished.run_dir
    assert [record["epoch"] for record in finished.epochs] == [1, 2, 3]
    assert finished.finished
    assert RunFolder(path).config["kind"] == "supernet"
    assert sorted(found.name for found in (path / "weights").iterdir()) == [
        f"epoch-00000{epoch}.safetensors" for epoch in (0, 1, 3)
    ]
    assert (finished.bases, finished.default_base) == ((0, 1), 1)
    assert load_supernet(path).epochs == finished.epochs
    assert 0 < finished.epochs[0]["angle"] < finished.epochs[2]["angle"] < np.pi / 2
    with pytest.raises(RunFolderError, match="is a supernet, not a training"):
        load_training(path)


def test_its_weights_and_its_triples_agree(finished):
    names = [name for name, _ in finished.supernet().named_parameters()]
    for base in finished.bases:
        before, after = finished.weights(base), finished.weights()
        pairs = [(before[name].double().flatten(), after[name].double().flatten()) for name in names]
        expected = [[float(w0 @ wt), float(w0 @ w0), float(wt @ wt)] for w0, wt in pairs]
        np.testing.assert_allclose(finished.triples(3, base), expected, rtol=1e-12)
    np.testing.assert_array_equal(finished.triples(), finished.triples(3, 1))
    np.testing.assert_array_equal(finished.triples(1), finished.triples(1, 0))


def test_a_supernet_is_built_with_the_weights_of_an_epoch(finished):
    initial = finished.supernet(0)
    state = initial.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in finished.weights(0).items())
    code = SPACE.sample(1, np.random.default_rng(0))[0]
    images = torch.zeros(2, 3, 8, 8)
    assert finished.supernet()(images, code).shape == (2, 10)


def test_what_was_not_kept_is_refused(finished):
    with pytest.raises(FrugalnasError, match=r"keeps weights after epochs 0, 1, 3, not 2; .* `base_epochs`=\[0,2\]"):
        finished.weights(2)
    with pytest.raises(FrugalnasError, match="measures the angle after epoch 3 from epoch 0 or 1, not 2"):
        finished.triples(3, 2)
    with pytest.raises(FrugalnasError, match="has done 3 of 3 epochs, so there is no angle after epoch 4"):
        finished.triples(4)


@pytest.mark.typical("random-access-False", "true-True")
@pytest.mark.parametrize(("mode", "own"), [("random", False), ("random-access", False), ("true", True)])
def test_the_recipes_labels_are_what_the_supernet_is_trained_on(tmp_path, mode, own):
    interrupted(tmp_path / "run", settings={**QUICK, "labels": mode})
    trainer = SupernetSession(CPU.fabric(), RunFolder(tmp_path / "run"), [])
    drawn = torch.cat([labels for _, labels in trainer.train_loader.epoch(0)]).numpy()
    true = trainer.data.train.labels[trainer.train_loader.order(0)][: len(drawn)]
    assert ((drawn == true).mean() > 0.9) == own
    if mode == "random":
        expected = np.random.RandomState(3).randint(0, 10, len(trainer.data.train))
        assert np.array_equal(drawn, expected[trainer.train_loader.order(0)][: len(drawn)])


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "decay_unsampled"),
    [(3, True), *(pytest.param(at, unsampled, marks=pytest.mark.slow) for at, unsampled in ((1, True), (5, False)))],
)
def test_interrupted_anywhere_it_ends_the_same(finished, tmp_path, monkeypatch, at, decay_unsampled):
    monkeypatch.setattr(trainer_module, "SAVE_EVERY_S", 0.0)
    settings = {**QUICK, "decay_unsampled": decay_unsampled}
    whole = finished
    if not decay_unsampled:
        whole = train_supernet(SPACE, run_dir=tmp_path / "whole", settings=settings, seed=3, compute=CPU)
    path = tmp_path / "halves"
    interrupted(path, at, settings=settings)
    before = (path / weights_file(0)).stat()
    assert not load_supernet(path).finished
    assert resume_run(path).epochs == whole.epochs
    assert content(path) == content(whole.run_dir)
    after = (path / weights_file(0)).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.slow
def test_an_unfinished_run_answers_with_its_last_checkpoint(tmp_path):
    interrupted(tmp_path / "run", at=5)
    run = load_supernet(tmp_path / "run")
    assert len(run.epochs) == 2
    assert run.triples(2, 1).shape == run.triples(1, 0).shape
    latest, initial = run.weights(), run.weights(0)
    assert any(not torch.equal(latest[name], initial[name]) for name in initial)
    with pytest.raises(FrugalnasError, match=r"has done 2 of 3 epochs; .* continue it with: frugalnas resume"):
        run.weights(3)


@pytest.mark.slow
def test_initial_weights_that_changed_are_refused(tmp_path):
    path = tmp_path / "run"
    interrupted(path, at=3)
    weights, metadata = read_tensors(path / weights_file(0))
    name = next(iter(weights))
    write_tensors(path / weights_file(0), {**weights, name: weights[name] + 1}, metadata)
    said = r"does not hold the weights that the run began with \(sha256 .*put it back"
    with pytest.raises(RunFolderError, match=said):
        resume_run(path)
    with pytest.raises(RunFolderError, match=said):
        load_supernet(path).supernet(0)
    (path / weights_file(0)).unlink()
    with pytest.raises(FrugalnasError, match="is not there; put it back"):
        resume_run(path)


@pytest.mark.slow
def test_a_checkpoint_from_other_initial_weights_is_refused(tmp_path, cli):
    path = tmp_path / "run"
    interrupted(path, at=3)
    (checkpoint,) = (path / "checkpoints").glob("step-*")
    tensors, metadata = read_tensors(checkpoint)
    header = json.loads(metadata["frugalnas"])
    assert header["identity"]["initial weights"] == load_supernet(path).initial
    header["identity"]["initial weights"] = "0" * 64
    write_tensors(checkpoint, tensors, {"frugalnas": json.dumps(header)})
    said = cli("resume", path, "--quiet")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "is a checkpoint of another initial weights (000" in said.err
    assert "take it away" in said.err
    with pytest.raises(RunFolderError, match="is a checkpoint of another initial weights"):
        load_supernet(path).weights()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_and_the_last_good_checkpoint_stays(tmp_path):
    path = tmp_path / "run"
    settings = {**DIVERGING, "epochs": 4, "warmup_epochs": 2, "warmup_lr": 0.0}
    said = r"^the loss of step \d+ \(epoch [234]\) is (nan|inf) at learning rate [\d.e+]+: .* lower lr .* is kept$"
    with pytest.raises(FrugalnasError, match=said):
        train_supernet(SPACE, run_dir=path, settings=settings, compute=CPU)
    assert len(load_supernet(path).epochs) >= 1
    assert all(tensor.isfinite().all() for tensor in load_supernet(path).weights().values())
    with pytest.raises(FrugalnasError, match=said[:-1] + ".* --lr X"):
        resume_run(path)


@pytest.mark.slow  # a training that goes on is tested by default
def test_a_finished_supernet_goes_on_for_longer(finished, tmp_path):
    path = tmp_path / "on"
    shutil.copytree(finished.run_dir, path)
    result = resume_run(path, epochs=4)
    assert result.finished
    assert [record["epoch"] for record in result.epochs] == [1, 2, 3, 4]
    assert result.epochs[:3] == finished.epochs
    assert result.epochs[3]["lr"] == pytest.approx(0.05)
    assert result.notes[-1].startswith("3 epochs became 4 after epoch 3: schedule ")
    assert all(torch.equal(result.weights(3)[name], tensor) for name, tensor in finished.weights().items())
    assert result.triples(4, 3).shape == finished.triples().shape


# -- data and settings -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_images_without_labels_are_enough(photos, tmp_path):
    settings = {"epochs": 1, "batch_size": 4}
    result = train_supernet(SPACE, photos, run_dir=tmp_path / "ten", settings=settings, compute=CPU)
    assert result.space.classes == 10
    assert any("random labels of 10 classes" in note for note in result.notes)
    result = train_supernet(SPACE, photos, run_dir=tmp_path / "four", settings={**settings, "classes": 4}, compute=CPU)
    assert result.weights()["classifier.bias"].shape == (4,)
    with pytest.raises(
        FrugalnasError, match=r"has no labels; put its images into one folder per class, or .* random ones"
    ):
        train_supernet(SPACE, photos, run_dir=tmp_path / "true", settings={**settings, "labels": "true"})
    assert not (tmp_path / "true").exists()


def test_what_does_not_fit_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for how, said in (
        ({"data": tmp_path / "empty"}, "no images in it"),
        ({"recipe": "rlnas-nasbench"}, "did you mean 'rlnas-nasbench201'"),
        ({"settings": {"ema": 0.9}}, "ema is not for supernets"),
        ({"settings": {"labels": "false"}}, "choose one of: true, random, random-access"),
        ({"settings": {"labels": "true", "classes": 7}}, "has 10 classes, not 7"),
        ({"settings": {"classes": 1}}, "two classes or more"),
        ({"settings": {"base_epochs": "[0, -1]"}}, "none may be below 0"),
        ({"settings": {"base_epochs": "soon"}}, "base_epochs takes whole numbers"),
        ({"settings": {"paths": "fare"}}, "did you mean 'fair'"),
        ({"settings": {"paths": "projected"}}, "only DARTS cells"),
        ({"settings": {"schedule_epochs": 3, "epochs": 4}}, "schedule_epochs is 3, fewer than the 4 epochs"),
        ({"space": fn.NASBench101()}, "has no supernet"),
        ({"seed": -1}, "seed -1: seeds are 0 or more"),
    ):
        options = {"space": SPACE, "run_dir": tmp_path / "run", "compute": CPU, **how}
        with pytest.raises(FrugalnasError, match=said):
            train_supernet(**options)
        assert not (tmp_path / "run").exists()


def test_a_restricted_space_trains_the_supernet_of_what_is_left(tmp_path):
    allowed = SPACE.allowed.copy()
    allowed[:, 0] = False
    settings = {"epochs": 1, "batch_size": 512}
    result = train_supernet(SPACE.restrict(allowed), run_dir=tmp_path / "run", settings=settings, compute=CPU)
    assert result.space.size == 4**6
    assert load_supernet(tmp_path / "run").supernet().space.size == 4**6


@pytest.mark.slow
def test_a_shrunk_supernet_begins_where_the_last_one_ended(finished, tmp_path):
    allowed = SPACE.allowed.copy()
    allowed[:3, 3] = False
    settings = {**QUICK, "epochs": 1}
    how = {"settings": settings, "compute": CPU, "seed": 4}
    second = train_supernet(SPACE.restrict(allowed), run_dir=tmp_path / "2", continue_from=finished.run_dir, **how)
    left = second.weights(0)
    assert set(left) < set(finished.weights())
    assert all(torch.equal(tensor, finished.weights()[name]) for name, tensor in left.items())
    allowed[3:, 3] = False
    interrupted(tmp_path / "3", space=SPACE.restrict(allowed), continue_from=second.run_dir, settings=settings)
    third = resume_run(tmp_path / "3")
    assert third.initial != second.initial
    names = [name for name, _ in third.supernet().named_parameters()]
    for base, before in (("origin", finished.weights(0)), (0, second.weights())):
        after = third.weights()
        expected = [
            [float((u.double() * v.double()).sum()) for u, v in ((w0, wt), (w0, w0), (wt, wt))]
            for w0, wt in ((before[name], after[name]) for name in names)
        ]
        np.testing.assert_allclose(third.triples(1, base), expected, rtol=1e-12)
    with pytest.raises(FrugalnasError, match="continues no other run"):
        finished.triples(1, "origin")
    with pytest.raises(FrugalnasError, match="continue a supernet of the same sizes that has all choices"):
        train_supernet(SPACE, run_dir=tmp_path / "4", continue_from=second.run_dir, **how)
    assert not (tmp_path / "4").exists()


@pytest.mark.slow
def test_a_schedule_may_be_laid_out_for_more_epochs(tmp_path):
    settings = {**QUICK, "epochs": 2, "schedule": "linear", "min_lr": 0.0, "schedule_epochs": 10}
    result = train_supernet(SPACE, run_dir=tmp_path / "run", settings=settings, compute=CPU)
    assert [record["lr"] for record in result.epochs] == pytest.approx([0.05, 0.045])


@pytest.mark.slow
def test_a_supernet_of_darts_grows_as_abs_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "SAVE_EVERY_S", 0.0)
    convolutions = np.isin(np.arange(40) % 8, (3, 4))
    space = DARTS(layers=4, width=2, duplicates=False)
    space = space.restrict(space.allowed & convolutions)
    settings = {"epochs": 3, "growing_epochs": 2, "schedule_epochs": 2, "schedule": "linear", "per_step": False}
    settings |= {"lr": 0.1, "min_lr": 0.0, "batch_size": 512, "base_epochs": [0, 2], "decay_unsampled": False}
    how = {"space": space, "settings": settings, "seed": 3, "compute": CPU}
    whole = train_supernet(run_dir=tmp_path / "whole", **how)
    assert [record["lr"] for record in whole.epochs] == pytest.approx([0.1, 0.05, 0.1])
    before, grown, after = (whole.weights(epoch) for epoch in (0, 2, 3))
    for weights, cells in ((grown, {"0", "1", "2"}), (after, {"0", "1", "2", "3"})):
        moved = {name for name, weight in weights.items() if not torch.equal(weight, before[name])}
        assert {name.split(".")[1] for name in moved if name.startswith("cells.")} == cells
    for at in (3, 5):
        path = tmp_path / str(at)
        interrupted(path, at, **how)
        assert resume_run(path).epochs == whole.epochs
        assert content(path) == content(whole.run_dir)


@pytest.mark.parametrize(
    ("space", "growing", "said"),
    [
        (DARTS(layers=5, width=2), 3, "2 cells that can be added; take a multiple of 2, or 0"),
        (DARTS(layers=5, width=2), 4, "growing_epochs is 4, but there are 4 epochs"),
        (SPACE, 2, "0 cells that can be added; set it to 0"),
    ],
)
def test_a_supernet_that_cannot_grow_says_so(space, growing, said):
    with pytest.raises(FrugalnasError, match=said):
        proposed_supernet(space, settings={"epochs": 4, "growing_epochs": growing}, compute=CPU)


def test_the_published_settings_fit_their_spaces():
    spaces = {
        "nasbench201": fn.NASBench201(),
        "darts-cifar10": DARTS(layers=8, width=16),
        "darts-imagenet": DARTS(macro="imagenet"),
        "darts": DARTS(macro="imagenet"),
        "mobilenet": fn.MobileNet(),
        "spos": fn.MobileNet(),
        "fairnas": fn.FairNAS(),
    }
    published = {name: SupernetRecipe.load(name) for name in SupernetRecipe.sources() if name != "default"}
    assert published.keys() == {
        *(f"rlnas-{name}" for name in ("nasbench201", "darts-cifar10", "darts-imagenet", "mobilenet")),
        *(f"abs-{name}" for name in ("nasbench201", "darts", "spos", "fairnas")),
        *("spos-mobilenet", "fairnas"),
    }
    for name, recipe in published.items():
        method, _, about = name.partition("-")
        assert (recipe.labels == "random") is (method == "rlnas")
        path_sampler(recipe.paths, spaces[about or method], 15 if about == "nasbench201" else 1, 0)
    assert published["rlnas-nasbench201"].decay_unsampled
    assert not published["abs-spos"].decay_unsampled
    assert SupernetRecipe.load(published["abs-darts"].to_json()) == published["abs-darts"]


@pytest.mark.typical("space0-*")
@pytest.mark.parametrize(
    ("space", "pixels", "paths"),
    [
        (SPACE, None, "cell"),
        (DARTS(layers=3, width=2), None, "projected"),
        pytest.param(fn.FairNAS(), 32, "uniform", marks=pytest.mark.slow),
    ],
)
def test_without_a_word_paths_are_what_fits_the_space(space, pixels, paths):
    recipe = proposed_supernet(space, fn.Images("digits", input_size=pixels), compute=CPU).config["recipe"]
    assert recipe["paths"] == paths
    assert recipe["classes"] == 10


@pytest.mark.parametrize(("epochs", "base"), [(1, 1), (7, 1), (8, 2), (100, 25)])
def test_without_a_word_an_angle_starts_after_a_quarter_of_the_epochs(epochs, base):
    settled = SupernetRecipe(epochs=epochs, angle_base=None).settled(1000)
    assert settled.angle_base == base
    assert settled.kept_epochs == tuple(sorted({0, 1, base}))
    assert SupernetRecipe(epochs=epochs).settled(1000).angle_base == 0


def test_a_plan_says_what_would_happen():
    proposal = proposed_supernet(SPACE, settings=QUICK, compute=CPU)
    found = proposal.plan()
    assert (dict(found.rows)["steps"], found.steps) == ("6: 2 an epoch", 6)
    with weightless():
        whole = supernet_of(build_space(proposal.config["space"]))
    assert proposal.config["params"] == sum(weight.numel() for weight in whole.parameters())
    assert found.seconds > 0


@pytest.mark.slow
def test_the_commands(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = ("--width", 2, "--layers", 1, "--device", "cpu", "--batch-size", 512)
    planned = cli("supernet", "train", *sizes, "--dry-run", "--labels", "true", "--classes", 10)
    assert planned.code == 0, planned.err
    assert "true (10 classes)" in planned.out
    trained = cli("supernet", "train", *sizes, "--epochs", 2, "--seed", 5, "--quiet")
    assert trained.code == 0, trained.err
    run = "runs/supernet-nasbench201-digits-seed5"
    assert f"frugalnas score {run} --score angle" in trained.out
    assert cli("resume", run, "--quiet").out == trained.out
    assert json.loads(cli("show", run, "--json").out)["bases"] == [0, 1]
    listed = cli("runs", "list").out
    assert "supernet" in listed
    assert "2 of 2 epochs" in listed
    assert "abs-spos" in cli("list", "--recipes").out
    refused = cli("supernet", "train", "--space", "nasbench101", "--quiet")
    assert refused.code == 2
    assert refused.err.count("\n") == 1


# -- slow --------------------------------------------------------------------------------------------------------------

KILLED = """
import frugalnas as fn
from frugalnas.trainings import session
from frugalnas.trainings.supernet import train_supernet
session.SAVE_EVERY_S = 0.0
train_supernet(fn.NASBench201(width=2, cells=1), run_dir={path!r}, settings={settings!r}, seed=3, compute=fn.Compute("cpu"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 12])
@pytest.mark.parametrize("decay_unsampled", [False, True])
def test_killed_at_any_moment_it_ends_the_same(tmp_path, steps, decay_unsampled):
    settings = {**QUICK, "epochs": 6, "batch_size": 128, "decay_unsampled": decay_unsampled}
    whole = train_supernet(SPACE, run_dir=tmp_path / "whole", settings=settings, seed=3, compute=CPU)
    path = tmp_path / "killed"
    script = KILLED.format(path=str(path), settings=settings)
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(int(found.stem[5:]) >= steps for found in path.glob("checkpoints/step-*")):
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not load_supernet(path).finished
    assert load_supernet(path).initial == whole.initial
    resume_run(path)
    assert content(path) == content(whole.run_dir)


@pytest.mark.slow
@pytest.mark.parametrize("decay_unsampled", [False, True])
def test_two_processes_take_the_same_paths(tmp_path, decay_unsampled):
    """Weights off the path have no gradient in either process, so with a path apiece more of them would move."""
    settings = {"epochs": 1, "batch_size": 1454, "decay_unsampled": decay_unsampled, "weight_decay": 0.0}
    results = [
        train_supernet(
            SPACE, run_dir=tmp_path / str(count), settings=settings, seed=3, compute=fn.Compute("cpu", count)
        )
        for count in (1, 2)
    ]
    moved = []
    for result in results:
        initial, trained = result.weights(0), result.weights()
        names = [name for name, _ in result.supernet().named_parameters()]
        moved.append({name for name in names if not torch.equal(initial[name], trained[name])})
    assert moved[0] == moved[1]
    assert 0 < len(moved[0]) < len(names)
    assert results[0].initial == results[1].initial


@pytest.mark.slow
def test_two_processes_train_one_supernet(tmp_path):
    result = train_supernet(SPACE, run_dir=tmp_path / "two", settings=QUICK, seed=3, compute=fn.Compute("cpu", 2))
    assert result.finished
    assert result.triples(3, 0).shape == result.triples(3, 1).shape
    with pytest.raises(FrugalnasError, match=r"^the loss of step \d+ .* checkpoint, where there is one, is kept$"):
        train_supernet(SPACE, run_dir=tmp_path / "no", settings=DIVERGING, compute=fn.Compute("cpu", 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    "space", [DARTS(layers=3, width=4), fn.MobileNet(width=0.25), fn.FairNAS(width=0.25), fn.ShuffleNet(width=0.25)]
)
def test_supernets_of_other_spaces_train(space, tmp_path):
    settings = {"epochs": 1, "batch_size": 128}
    result = train_supernet(
        space, fn.Images("digits", input_size=32), run_dir=tmp_path / "run", settings=settings, compute=CPU
    )
    assert result.finished
    assert result.epochs[0]["angle"] > 0


@pytest.mark.slow
class TestSupernetKind(KindConformance):
    kept = ("journal.jsonl", "split.json", "weights/*", "triples/*")
    kills = 3

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        return train_supernet(SPACE, run_dir=run_dir, settings=QUICK, compute=CPU, callbacks=callbacks)
