"""Encoders that are pre-trained on architectures alone: losses, runs, the cache, and published ones."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import frugalnas as fn
from frugalnas.encoders import (
    GINEncoder,
    GraphTensors,
    PretrainingRecipe,
    cached_encoder,
    graph_tensors,
    load_encoder,
)
from frugalnas.encoders.pretraining import architectures_for, edit_codes, pretraining_for
from frugalnas.encoders.ssccl import CentralContrast
from frugalnas.errors import FrugalnasError
from frugalnas.runs.kinds import load_run, resume_run
from frugalnas.runs.progress import Callback
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.testing import KindConformance
from frugalnas.training import Compute, Position, launched, read_tensors, write_tensors
from frugalnas.trainings.encoder import pretrain

TINY = {"epochs": 2, "share": 0.02, "batch": 96, "anchors": 40}
"""312 of NAS-Bench-201's architectures, three batches an epoch."""


# -- the loss of SS-CCL ------------------------------------------------------------------------------------------------


def loop(embeddings, codes, anchors, settings):
    """The loss as SSNENAS's program finds it, anchor by anchor."""
    losses, centres = [], []
    for anchor in anchors.tolist():
        distances = (codes - codes[anchor]).abs().sum(dim=1)
        least = distances[torch.arange(len(codes)) != anchor].min()
        positives = distances == least
        positives[anchor] |= settings.anchor_is_positive
        negatives = torch.nonzero(distances >= least + settings.margin)[:, 0]
        if len(negatives) < (settings.min_negatives or 1):
            continue
        away = embeddings[negatives[: settings.min_negatives]]
        centre = functional.normalize(embeddings[positives].mean(dim=0), dim=0)
        centres.append(centre)
        for similar in embeddings[positives] @ centre:
            row = torch.cat([similar[None], away @ centre]) / settings.temperature
            losses.append(torch.logsumexp(row, 0) - row[0])
    between = torch.stack(centres) @ torch.stack(centres).t()
    between = between - torch.diag(torch.diag(between))
    return torch.stack(losses).mean() + settings.regularisation * between.mean() / 2


@pytest.mark.typical("dtype0-paper", "dtype0-few negatives", "dtype1-truncated")
@pytest.mark.parametrize(
    "settings",
    [
        CentralContrast(),
        CentralContrast(margin=0, anchor_is_positive=False),
        CentralContrast(margin=0, anchor_is_positive=False, min_negatives=240),
        CentralContrast(margin=2, temperature=0.2, regularisation=2.0),
        CentralContrast(anchor_is_positive=False, min_negatives=230),
    ],
    ids=["paper", "program", "truncated", "margin", "few negatives"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contrast_in_matrix_form_is_the_loop(settings, dtype, monkeypatch):
    monkeypatch.setattr("frugalnas.encoders.ssccl.BLOCK", 256 * 9)  # blocks of nine anchors, and a smaller last one
    space, rng = fn.NASBench201(), np.random.default_rng(0)
    codes = torch.from_numpy(space.encode(space.sample(256, rng), "position-path")).to(torch.int32)
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(256, 8, dtype=dtype), dim=1)
    anchors = torch.randperm(256)[:60]
    slow, fast = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    wanted = loop(slow, codes, anchors, settings)
    wanted.backward()
    found = settings(fast, codes, anchors)
    found.loss.backward()
    exact = dtype == torch.float64
    assert float((found.loss - wanted).abs().detach()) < (1e-10 if exact else 1e-5)
    assert float((fast.grad - slow.grad).abs().max()) < (1e-10 if exact else 1e-6)


def test_contrast_counts_positives_nearer_than_every_negative():
    codes = torch.tensor([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    apart = functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0]]), dim=1)
    _, rows, hits = CentralContrast()(apart, codes, torch.arange(4))
    assert (int(rows), int(hits)) == (8, 8)  # each anchor and its only neighbour
    _, rows, hits = CentralContrast()(apart[[0, 2, 1, 3]], codes, torch.arange(4))
    assert int(rows) == 8
    assert int(hits) < 8


def test_contrast_needs_negatives():
    codes = torch.eye(4, dtype=torch.int32)  # every architecture is equally far from every other
    with pytest.raises(FrugalnasError, match=r"enough negatives; lower min_negatives"):
        CentralContrast()(functional.normalize(torch.randn(4, 3), dim=1), codes, torch.arange(4))


@pytest.mark.slow
def test_distances_of_nasbench101_are_those_of_the_program():
    """Of two cells 18.5 on average, with these quantiles; of 40,000 a cell has 1.94 nearest ones, at 1 to 16 edits."""
    space, rng = fn.NASBench101(), np.random.default_rng(0)
    codes = edit_codes(space, space.enumerate()[rng.choice(space.size, 40_000, replace=False)])
    words, pairs = packed(codes), rng.integers(len(codes), size=(2, 100_000))
    distances = edit_distances(words[pairs[0]], words[pairs[1]])
    assert np.quantile(distances, [0.01, 0.1, 0.5, 0.9, 0.99]).tolist() == [8, 12, 18, 25, 31]
    assert distances.mean() == pytest.approx(18.5, abs=0.1)
    ones = torch.from_numpy(codes).float()
    counts = ones.sum(dim=1)
    near = counts[:400, None] + counts - 2 * ones[:400] @ ones.t()
    near[torch.arange(400), torch.arange(400)] = torch.inf
    least = near.amin(dim=1, keepdim=True)
    assert float((near == least).sum(dim=1).float().mean()) == pytest.approx(1.94, abs=0.25)
    assert 1 <= float(least.min()) <= float(least.max()) <= 16


# -- runs --------------------------------------------------------------------------------------------------------------


class Killed(Callback):
    """Stops a pre-training after a number of steps, as a kill does."""

    def __init__(self, step):
        self.step = step

    def on_progress(self, done, said="", **how):
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.typical("ss-ccl")
@pytest.mark.parametrize("task", ["ss-ccl", "ss-rl"])
def test_a_killed_pretraining_ends_as_if_it_had_not_been(task, tmp_path, monkeypatch):
    monkeypatch.setattr("frugalnas.trainings.session.SAVE_EVERY_S", 0.0)
    space = fn.NASBench201()
    whole = pretrain(space, task, run_dir=tmp_path / "whole", settings=TINY, seed=3)
    with pytest.raises(KeyboardInterrupt):
        pretrain(space, task, run_dir=tmp_path / "cut", settings=TINY, seed=3, callbacks=[Killed(4)])
    with pytest.raises(FrugalnasError, match=r"has not finished; continue it with: frugalnas resume"):
        load_encoder(tmp_path / "cut", space)
    assert not load_run(tmp_path / "cut").finished
    resumed = resume_run(tmp_path / "cut")
    assert resumed.finished
    assert resumed.epochs == whole.epochs
    weights = [read_tensors(tmp_path / name / "encoder.safetensors")[0] for name in ("whole", "cut")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ccl"
    pretrain(fn.NASBench201(), "ss-ccl", run_dir=folder, settings=TINY | {"width": 16})
    return folder


def test_an_encoder_comes_back_with_its_card(finished):
    space = fn.NASBench201(classes=100).where("params<=0.9e6")
    encoder, card = load_encoder(finished, space, width=16, layers=3)
    assert not encoder.training
    assert (card.task, card.seed, card.isolated_edges) == ("ss-ccl", 0, False)
    assert card.recipe["epochs"] == 2
    assert card.encoder["width"] == 16
    fresh = GINEncoder(**card.encoder).state_dict()
    assert not torch.equal(fresh["layers.0.first.weight"], encoder.state_dict()["layers.0.first.weight"])


@pytest.mark.parametrize(
    ("space", "expected", "said"),
    [
        (fn.NASBench101(), {}, r"reads architectures of nasbench201, not of nasbench101; pre-train one with"),
        (fn.NASBench201(), {"width": 64}, r"has width 16, and 64 was asked for; leave width out"),
    ],
)
def test_an_encoder_of_another_space_or_width_is_refused(finished, space, expected, said):
    with pytest.raises(FrugalnasError, match=said):
        load_encoder(finished, space, **expected)


def test_a_damaged_encoder_is_refused(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    weights = tmp_path / "copy" / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FrugalnasError, match=r"is damaged"):
        load_encoder(tmp_path / "copy", fn.NASBench201())
    card = json.loads((finished / "card.json").read_text())
    for odd in ({}, [], card | {"space": {}}, card | {"encoder": None}, card | {"operations": 3}):
        (tmp_path / "copy" / "card.json").write_text(json.dumps(odd))
        with pytest.raises(FrugalnasError, match=r"card.json is damaged .*; delete .*copy, and pre-train"):
            load_encoder(tmp_path / "copy", fn.NASBench201())
    with pytest.raises(FrugalnasError, match=r"there is no encoder in .*frugalnas pretrain ss-ccl"):
        load_encoder(tmp_path, fn.NASBench201())


def test_spaces_without_paths_and_spaces_too_large_to_list_are_drawn_from(tmp_path):
    space = fn.DARTS()
    recipe = PretrainingRecipe.load("default", {"pool": 60, "epochs": 1, "batch": 30}, task="ss-rl", space=space.name)
    drawn = architectures_for(space, recipe, 5)
    assert np.array_equal(drawn, architectures_for(space, recipe, 5))
    assert len(np.unique(space.network_ids(drawn))) == len(drawn) == 60
    raw = {"scale": "raw"}  # distances themselves, which are beyond a sigmoid
    result = pretrain(space, "ss-rl", recipe.to_json(), run_dir=tmp_path / "darts", settings=raw, seed=5)
    assert len(result.epochs) == 1
    load_encoder(tmp_path / "darts", space)


def test_scaled_targets_and_near_pairs_leave_something_to_learn():
    """NAS-Bench-101's targets lie near 0 in the paper's program (mean 0.09): that is why it fails there."""
    space = fn.NASBench201()
    fabric = Compute("cpu").fabric()
    fabric.launch()
    spread = []
    for settings in ({"near": 0.0, "scale": "vertices"}, {"near": 0.5, "scale": "mean", "edits": 2}):
        recipe = PretrainingRecipe.load("default", {**settings, "share": 0.1}, task="ss-rl", space="nasbench201")
        pretraining = pretraining_for(fabric, space, recipe, 0)
        distances = torch.cat([batch.distances for batch in pretraining.batches(0, 0)]).float()
        spread.append(float(torch.exp(-distances / pretraining.scale).std()))
    assert spread[1] > 1.2 * spread[0]


# -- recipes -----------------------------------------------------------------------------------------------------------


def test_the_papers_settings():
    recipe = PretrainingRecipe.load("paper", task="ss-ccl", space="nasbench101")
    assert (recipe.batch, recipe.anchors, recipe.anchors_per_step, recipe.epochs) == (40_000, 20_000, 1_000, 300)
    assert (recipe.temperature, recipe.regularisation, recipe.beta1, recipe.beta2) == (0.07, 0.5, 0.0, 0.9)
    recipe = PretrainingRecipe.load("paper", task="ss-rl", space="nasbench201")
    assert (recipe.epochs, recipe.lr, recipe.batch, recipe.near, recipe.scale) == (1_000, 1e-4, 64, 0.0, "vertices")


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("paper", {}, r"says nothing of mobilenet; choose default or one of ssccl-paper-darts"),
        ("ssrl-default", {}, r"ssrl-default is of ss-rl, not of ss-ccl"),
        ("default", {"widht": 3}, r"unknown setting 'widht'; did you mean 'width'"),
        ("default", {"temperature": 0}, r"temperature is 0\.0; it must be from 0\.02"),
        ("default", {"anchors": 5_000}, r"anchors is 5000, more than the 4000 of a batch; lower it"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(name, settings, said):
    with pytest.raises(FrugalnasError, match=said):
        PretrainingRecipe.load(name, settings, task="ss-ccl", space="mobilenet")


@pytest.mark.parametrize(
    ("devices", "settings", "said"),
    [
        (0, {}, "devices"),
        (1, {"share": 1e-5}, r"1 architectures, batch 4,000, and each device needs two; raise share"),
        (1, {"min_negatives": 4_000}, r"min_negatives is 4000.*fewer in a batch of 4000; lower it"),
    ],
)
def test_what_no_step_can_be_made_of_is_refused_before_anything_is_written(devices, settings, said, tmp_path):
    with pytest.raises(FrugalnasError, match=said):
        pretrain(
            fn.NASBench201(), "ss-ccl", run_dir=tmp_path / "run", settings=settings, compute=Compute(devices=devices)
        )
    assert not (tmp_path / "run").exists()


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_the_cache_pretrains_once_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FRUGALNAS_CACHE", str(tmp_path))
    recipe = {"task": "ss-rl", "epochs": 1, "share": 0.01, "batch": 50}
    folder = cached_encoder(fn.NASBench201(), "ss-rl", recipe)
    assert "pre-training an encoder of nasbench201 (ss-rl" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "encoder.safetensors"]
    load_encoder(folder, fn.NASBench201())
    assert cached_encoder(fn.NASBench201(classes=100).where("params<=0.9e6"), "ss-rl", recipe) == folder
    assert capsys.readouterr().err == ""
    assert cached_encoder(fn.NASBench201(), "ss-rl", recipe, seed=1) != folder


# -- published encoders ------------------------------------------------------------------------------------------------

THEIRS = {
    6: (fn.NASBench101(), ("input", "conv 3x3", "conv 1x1", "max pool", "output", "isolated")),
    8: (fn.NASBench201(), ("input", "-", "skip", "conv 1x1", "conv 3x3", "avg pool", "none", "output")),
}
"""The order of SSNENAS's one-hot vectors, in our words; NAS-Bench-201 has a column that no vertex has."""


def published(task, kinds, generator):
    """A checkpoint in the layout of SSNENAS's program, and the three layers of the branch that predictors take."""

    def layer(inputs):
        shapes = {"nn.0.weight": (32, inputs), "nn.0.bias": (32,), "nn.2.weight": (32, 32), "nn.2.bias": (32,)}
        conv = {name: torch.randn(*shape, generator=generator) * 0.3 for name, shape in shapes.items()}
        norm = {
            name: torch.rand(32, generator=generator) + 0.5
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        return conv | {"eps": torch.zeros(1)}, norm | {"num_batches_tracked": torch.tensor(9)}

    layers = [layer(inputs) for inputs in (kinds, 32, 32)]
    state = {}
    for number, (conv, norm) in enumerate(layers, 1):
        base = "_base" if task == "ss-rl" and number > 1 else ""
        prefix = "" if task == "ss-rl" else "module.encoder_q."
        state |= {f"{prefix}conv{number}{base}.{name}": tensor for name, tensor in conv.items()}
        state |= {f"{prefix}bn{number}{base}.{name}": tensor for name, tensor in norm.items()}
        if task == "ss-rl":  # the other branch
            other = layer((kinds, 32, 32)[number - 1])
            for part, tensors in zip(("conv", "bn"), other, strict=True):
                state |= {f"{part}{number}_residual.{name}": tensor for name, tensor in tensors.items()}
    if task == "ss-rl":
        return state | {"fc.weight": torch.randn(1, 32)}, layers
    rest = {"epoch": 282, "arch": "gin", "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "centers": []}
    return {**rest, "state_dict": state}, layers


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        pytest.param("ss-rl", 6, marks=pytest.mark.slow),
        ("ss-ccl", 6),
        pytest.param("ss-ccl", 8, marks=pytest.mark.slow),
    ],
)
def test_published_encoders_answer_as_in_their_program(task, kinds, cli, tmp_path):
    content, layers = published(task, kinds, torch.Generator().manual_seed(kinds))
    torch.save(content, tmp_path / "their.pth.tar")
    said = cli("weights", "import", tmp_path / "their.pth.tar", "--out", tmp_path / "encoder")
    assert said.code == 0, said.err
    space, columns = THEIRS[kinds]
    assert f" {space.name}" in said.out.partition("frugalnas search npenas")[2], "a command that can be typed"
    encoder, card = load_encoder(tmp_path / "encoder", space)
    assert (card.task, card.isolated_edges) == (task, True)
    graphs = space.graphs(space.sample(20, np.random.default_rng(0)))
    reads = torch.from_numpy(graphs.adjacency).float()
    alone = ~(graphs.adjacency.any(axis=1) | graphs.adjacency.any(axis=2))
    reads[:, 0] = torch.maximum(reads[:, 0], torch.from_numpy(alone).float())  # from the input to whatever is alone
    reads[:, 0, 0] = 0
    order = torch.tensor([columns.index(name) for name in graphs.names])
    features = functional.one_hot(order[torch.from_numpy(graphs.operations.astype(np.int64))], kinds).float()
    for conv, norm in layers:
        sums = features + reads.transpose(1, 2) @ features
        hidden = torch.relu(sums @ conv["nn.0.weight"].t() + conv["nn.0.bias"])
        hidden = torch.relu(hidden @ conv["nn.2.weight"].t() + conv["nn.2.bias"])
        scale = norm["weight"] / torch.sqrt(norm["running_var"] + 1e-5)
        features = (hidden - norm["running_mean"]) * scale + norm["bias"]
    with torch.no_grad():
        found = encoder(graph_tensors(graphs, isolated_edges=card.isolated_edges))
    assert torch.allclose(found, features.mean(dim=1), rtol=1e-4, atol=1e-4)


def test_a_published_encoder_of_another_space_is_refused(cli, tmp_path):
    torch.save(published("ss-ccl", 6, torch.Generator().manual_seed(0))[0], tmp_path / "their.pth.tar")
    said = cli("weights", "import", tmp_path / "their.pth.tar", "--space", "nasbench201", "--out", tmp_path / "encoder")
    assert said.code == 2
    assert "is one of nasbench101, not of nasbench201; leave --space out" in said.err


# -- several processes -------------------------------------------------------------------------------------------------


def _one_step(fabric, settings, file):
    """Write sums, gradients and statistics of the first batch; in one of the fabric's processes."""
    recipe = PretrainingRecipe.load("default", settings, task=settings["task"], space="nasbench201")
    pretraining = pretraining_for(fabric, fn.NASBench201(), recipe, 0)
    pretraining.optimizer.step = lambda: None
    # In doubles: where rounding puts a unit on the other side of a ReLU, whole gradients differ.
    graphs = pretraining.graphs
    pretraining.graphs = GraphTensors(graphs.adjacency.double(), graphs.operations, graphs.kinds)
    pretraining.network.double()
    batch = next(iter(pretraining.batches(0, 0)))
    sums = pretraining(batch, Position(0, 0, 1, pretraining.steps_per_epoch))
    found = {name: value.double() for name, value in sums.items()}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in pretraining.network.named_parameters()}
    found |= dict(pretraining.network.named_buffers())
    if fabric.global_rank == 0:
        write_tensors(file, found, {})


TOGETHER = ("ss-ccl", "ss-rl")


def _a_step_of_each(fabric, folder):
    """Of each task: starting the processes takes longer than the steps."""
    for task in TOGETHER:
        settings = {"task": task, "batch": 256, "anchors": 64, "share": 0.05, "near": 0.0}
        _one_step(fabric, settings, folder / f"{task}-{fabric.world_size}.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo's processes are started as on Unix")
def test_two_processes_find_what_one_does(tmp_path):
    for devices in (1, 2):
        launched(Compute("cpu", devices).fabric(), _a_step_of_each, tmp_path)
    for task in TOGETHER:
        alone, together = (read_tensors(tmp_path / f"{task}-{devices}.safetensors")[0] for devices in (1, 2))
        assert alone.keys() == together.keys()
        # Equal similarities are told apart by their last bits, so that the count of hits may move by a few.
        assert float(together.pop("accuracy")) == pytest.approx(float(alone.pop("accuracy")), abs=300), task
        for name, wanted in alone.items():
            assert torch.allclose(together[name], wanted, rtol=1e-9, atol=1e-9), f"{task}: {name}"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.pictures
def test_the_command_pretrains_shows_and_lists(cli, tmp_path):
    run = tmp_path / "runs" / "rl"
    options = ("--epochs", "1", "--set", "share=0.02", "--set", "batch=50", "--quiet")
    said = cli("pretrain", "ss-rl", "--space", "nasbench201", "--out", run, *options)
    assert said.code == 0, said.err
    assert "ss-rl, recipe ssrl-default-nasbench201" in said.out
    assert json.loads(cli("show", run, "--json").out)["finished"]
    assert "1 of 1 epochs" in cli("runs", "list", "--root", tmp_path / "runs").out


@pytest.mark.slow
class TestPretrainingKind(KindConformance):
    kept = ("journal.jsonl", "card.json", "*.safetensors")
    kills = 3

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        return pretrain(fn.NASBench201(), run_dir=run_dir, settings=TINY, callbacks=callbacks)
