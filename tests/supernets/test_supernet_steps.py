"""Which paths a supernet is trained on, and what a step does to its weights."""

from __future__ import annotations

from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.supernets import PATHS, SupernetRecipe, SupernetStep, path_sampler, supernet_of
from frugalnas.training import (
    Checkpoints,
    Compute,
    Length,
    Objective,
    Position,
    fit,
    launched,
    optimizer_for,
    schedule_for,
)

SPACE = fn.NASBench201(width=2, cells=1, input_size=8)
RESTRICTED = np.ones((6, 5), bool)
RESTRICTED[:, 3] = False

# -- paths -------------------------------------------------------------------------------------------------------------

FITTING = [
    ("uniform", SPACE, 3),
    ("cell", SPACE, 3),
    ("fair", SPACE, 3),
    ("uniform", SPACE.restrict(RESTRICTED), 3),
    ("cell", SPACE.where("params<=20e3"), 3),
    ("uniform", fn.DARTS(), 20),
    ("cell", fn.DARTS(), 20),
    ("projected", fn.DARTS(none=True), 20),
    ("projected-shared", fn.DARTS(), 20),
    ("uniform", fn.MobileNet(), 1),
    ("depth-uniform", fn.MobileNet(), 1),
    ("depth-uniform", fn.OnceForAll(), 1),
    ("cost-uniform", fn.MobileNet(), 1),
    ("cost-uniform", fn.NASBench201(width=4, cells=1), 3),
    ("fair", fn.FairNAS(), 1),
]


@pytest.mark.typical("cell-*", "uniform-*", "projected-*", "fair-*", "depth-*", "cost-uniform-space13-3")
@pytest.mark.parametrize(("name", "space", "draws"), FITTING)
def test_paths_are_a_function_of_seed_and_step_and_stay_in_their_space(name, space, draws):
    sampler = path_sampler(name, space, draws, 7)
    paths = [sampler(step) for step in range(8)]
    again = path_sampler(name, space, draws, 7)
    for step in (5, 2, 7):
        assert np.array_equal(again(step), paths[step])
    assert not all(np.array_equal(paths[0], path) for path in paths)
    assert not all(np.array_equal(path_sampler(name, space, draws, 8)(step), paths[step]) for step in range(8))
    for path in paths:
        assert path.shape[1:] == (draws if name == "cell" else 1, space.genes)
        assert space.valid(path.reshape(-1, space.genes)).all()


def test_uniform_paths_use_every_operation_equally_often():
    sampler = path_sampler("uniform", SPACE, 3, 0)
    codes = np.concatenate([sampler(step)[0] for step in range(750)])
    counts = np.stack([(codes == value).sum(axis=0) for value in range(5)])
    assert np.abs(counts - 150).max() < 5 * (150 * 0.8) ** 0.5


def test_every_node_of_a_cell_of_its_own_is_fed():
    codes = np.concatenate([path_sampler("cell", SPACE, 15, 0)(step)[0] for step in range(60)])
    present = codes != 0
    assert (present[:, 0] & present[:, 1:3].any(axis=1) & present[:, 3:].any(axis=1)).all()
    # One of 25 draws for node 2 is both none, and drawn again.
    assert np.mean(codes[:, 1] == 0) == pytest.approx(4 / 24, abs=0.05)


def test_fair_paths_use_every_value_once():
    paths = path_sampler("fair", fn.FairNAS(), 1, 0)(3)
    assert paths.shape == (6, 1, 19)
    assert np.array_equal(np.sort(paths[:, 0], axis=0), np.tile(np.arange(6)[:, None], 19))
    assert path_sampler("fair", SPACE.restrict(RESTRICTED), 3, 0)(0).shape == (4, 1, 6)


def test_projected_paths_read_two_different_states():
    for name in ("projected", "projected-shared"):
        for step in range(30):
            code = path_sampler(name, fn.DARTS(none=True), 8, 0)(step)[0, 0]
            states = code.reshape(8, 2) // 8
            assert (states[:, 0] != states[:, 1]).all()
            assert (code % 8 != 0).all()
            if name == "projected-shared":
                assert np.array_equal(code[:8], code[8:])


def test_depth_is_uniform():
    sampler = path_sampler("depth-uniform", fn.MobileNet(), 1, 0)
    left_out = np.array([(sampler(step) == 6).sum() for step in range(400)])
    assert set(left_out) == set(range(16))
    assert np.abs(np.bincount(left_out) - 25).max() < 5 * 25**0.5
    stages = path_sampler("depth-uniform", fn.OnceForAll(), 1, 0)
    depths = np.concatenate([(stages(step) != 9).reshape(5, 4).sum(axis=1) for step in range(100)])
    assert np.abs(np.bincount(depths)[2:] - 500 / 3).max() < 60


@pytest.mark.parametrize(
    ("name", "space", "draws", "message"),
    [
        ("fair", fn.MobileNet(), 1, "genes have from 6 to 7 values.*; take uniform, or leave as many everywhere"),
        ("fair", SPACE.where("params<=20e3"), 3, "cannot keep its limits; take uniform"),
        ("fair", fn.OnceForAll(), 1, "genes have from 9 to 10 values"),
        ("cell", fn.FairNAS(), 1, "one chain, with one code; take uniform"),
        ("projected", SPACE, 3, "only DARTS cells"),
        ("depth-uniform", fn.FairNAS(), 1, "the same depth"),
        ("unifrom", SPACE, 3, "did you mean 'uniform'.* fair"),
    ],
)
def test_paths_that_do_not_fit_say_what_does(name, space, draws, message):
    with pytest.raises(FrugalnasError, match=message):
        path_sampler(name, space, draws, 0)


# -- steps -------------------------------------------------------------------------------------------------------------


class Training:
    """A supernet, its step, and batches that are a function of their number."""

    steps_per_epoch = 3

    def __init__(self, paths: str = "uniform", fabric=None, space=SPACE, **settings) -> None:
        settings = {"epochs": 2, "optimizer": "momentum", "lr": 0.05, "weight_decay": 1e-2} | settings
        recipe = SupernetRecipe(**settings)
        torch.manual_seed(0)
        self.supernet = supernet_of(space)
        optimizer = optimizer_for(recipe, self.supernet)
        if fabric is None:
            fabric = Compute("cpu").fabric()
            fabric.launch()
        network, wrapped = fabric.setup(self.supernet, optimizer)
        self.sampler = path_sampler(paths, space, self.supernet.draws, 0)
        schedule = schedule_for(recipe, optimizer, self.steps_per_epoch)
        self.step = SupernetStep(fabric, network, wrapped, schedule, recipe, Objective(recipe, 10), self.sampler)
        self.state = {"network": self.supernet, "optimizer": optimizer, "step": self.step}
        self.rank = fabric.global_rank

    def batches(self, epoch: int, begin: int):
        for number in range(begin, self.steps_per_epoch):
            generator = torch.Generator().manual_seed(1000 * self.rank + 10 * epoch + number)
            yield torch.randn(6, 3, 8, 8, generator=generator), torch.randint(10, (6,), generator=generator)

    def take(self, steps: int) -> None:
        for step in range(steps):
            epoch, number = divmod(step, self.steps_per_epoch)
            self.step(next(iter(self.batches(epoch, number))), Position(epoch, number, 2, self.steps_per_epoch))

    def run(self, folder=None, stop_after: int | None = None) -> None:
        def on_step(position: Position) -> None:
            if position.done + 1 == stop_after:
                raise KeyboardInterrupt

        fit(
            self.step,
            self.state,
            self.batches,
            length=Length(2, self.steps_per_epoch),
            seed=0,
            checkpoints=None if folder is None else Checkpoints(folder, {}, every=0.0),
            on_step=on_step,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in self.supernet.named_parameters()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def of_path(training: Training, step: int) -> set[str]:
    """Names of the weights that a step uses."""
    used = {
        id(weight)
        for module in training.supernet.path_modules(training.sampler(step)[0])
        for weight in module.parameters()
    }
    prefixes = tuple(f"{choice.prefix}." for choice in training.supernet.choices())
    named = training.supernet.named_parameters()
    return {name for name, weight in named if id(weight) in used or not name.startswith(prefixes)}


@pytest.mark.parametrize("decay_unsampled", [False, True])
def test_weights_off_the_path_move_only_where_the_recipe_says_so(decay_unsampled):
    training = Training("cell", decay_unsampled=decay_unsampled)
    begin = training.weights()
    training.take(1)
    first = training.weights()
    assert moved(begin, first) == of_path(training, 0)
    training.step(next(iter(training.batches(0, 1))), Position(0, 1, 2, 3))
    second = moved(first, training.weights())
    here, before = of_path(training, 1), of_path(training, 0)
    assert before - here
    assert second == (here | before if decay_unsampled else here)


def test_momentum_begins_anew_with_each_cell_that_is_added():
    recipe = {"epochs": 3, "growing_epochs": 2, "weight_decay": 0.0, "decay_unsampled": True}
    training = Training(space=fn.DARTS(layers=5, width=2), **recipe)
    optimizer, anew = training.state["optimizer"], []
    training.step.growing = schedule_for(training.step.recipe.until_addition(2), optimizer, training.steps_per_epoch)
    for step in range(9):
        epoch, number = divmod(step, 3)
        training.step(next(iter(training.batches(epoch, number))), Position(epoch, number, 3, 3))
        kept = {weight: state["momentum_buffer"] for weight, state in optimizer.state.items()}
        anew.append(all(torch.equal(weight.grad, momentum) for weight, momentum in kept.items()))
    assert anew == [True, False, False] * 3


def test_gradients_of_fair_paths_are_added():
    training = Training("fair", lr=0.0)
    images, labels = next(iter(training.batches(0, 0)))
    sums = training.step((images, labels), Position(0, 0, 2, 3))
    found = {name: weight.grad for name, weight in training.supernet.named_parameters()}
    other = Training("fair").supernet
    losses = []
    for path in training.sampler(0):
        loss = F.cross_entropy(other(images, path), labels)
        loss.backward()
        losses.append(loss.detach())
    for name, weight in other.named_parameters():
        if weight.grad is None:
            assert found[name] is None, name
        else:
            assert torch.allclose(weight.grad, found[name], atol=1e-6), name
    assert float(sums["loss"]) / 6 == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


@pytest.mark.typical("decay *")
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, marks=pytest.mark.slow, id="sampled alone"),
        pytest.param({"paths": "cell", "accumulate": 2, "clip_norm": 1.0}, id="clipped parts"),
        pytest.param({"decay_unsampled": True}, marks=pytest.mark.slow, id="decay of all"),
        pytest.param({"decay_unsampled": True, "momentum": 0.0}, id="decay of all without momentum"),
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, settings):
    whole = Training(**settings)
    whole.run()
    for stop in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            Training(**settings).run(tmp_path, stop_after=stop)
    resumed = Training(**settings)
    resumed.run(tmp_path)
    assert not moved(whole.weights(), resumed.weights())


@pytest.mark.typical("momentum-options3")
@pytest.mark.parametrize(
    ("optimizer", "options"), [("momentum", {}), ("sgd", {}), ("adamw", {}), ("momentum", {"weight_decay": 0.0})]
)
def test_fused_steps_are_the_same_though_first_gradients_come_late(optimizer, options, tmp_path):
    plain, fused = (
        Training(optimizer=optimizer, optimizer_options=said, **options)
        for said in ({}, {"fused": True, "foreach": False})
    )
    plain.run()
    assert any(weight.grad is None for weight in plain.supernet.parameters())
    fused.steps_per_epoch = plain.steps_per_epoch
    fused.run(tmp_path)
    for name, weight in plain.weights().items():
        torch.testing.assert_close(fused.weights()[name], weight, rtol=1e-4, atol=1e-6, msg=name)
    resumed = Training(optimizer=optimizer, optimizer_options={"fused": True}, **options)
    (tmp_path / f"step-{plain.steps_per_epoch * 2:09d}.safetensors").unlink()
    resumed.run(tmp_path)
    assert not moved(fused.weights(), resumed.weights())


def test_fused_steps_take_no_damped_momentum():
    with pytest.raises(FrugalnasError, match=r"fused and dampening: .*leave one of them out"):
        SupernetRecipe(optimizer_options={"fused": True, "dampening": 0.1})


def test_a_loss_that_is_not_finite_stops_the_training_and_keeps_the_last_checkpoint(tmp_path):
    training = Training(lr=0.05)
    good = training.batches

    def batches(epoch: int, begin: int):
        for number, (images, labels) in enumerate(good(epoch, begin), begin):
            yield images * (float("nan") if (epoch, number) == (1, 1) else 1.0), labels

    training.batches = batches
    with pytest.raises(
        FrugalnasError, match=r"^the loss of step 5 \(epoch 2\) is nan: the training has diverged; lower lr"
    ):
        training.run(tmp_path)
    kept = Checkpoints(tmp_path, {}).latest()
    assert kept is not None
    assert kept.step == 4
    assert all(tensor.isfinite().all() for tensor in kept.state["network"].values())


def test_weights_that_are_not_finite_are_not_kept_though_the_loss_is(tmp_path):
    training = Training(lr=0.05)
    good = training.batches

    def batches(epoch: int, begin: int):
        for number, batch in enumerate(good(epoch, begin), begin):
            if (epoch, number) == (1, 2):  # the last step: no loss will tell
                training.supernet.classifier.weight.register_hook(lambda gradient: gradient * float("inf"))
            yield batch

    training.batches = batches
    with pytest.raises(FrugalnasError, match=r"^classifier.weight after step 6 \(epoch 2\) is not finite"):
        training.run(tmp_path)
    kept = Checkpoints(tmp_path, {}).latest()
    assert kept is not None
    assert kept.step == 5


def note_group(path: Path) -> None:
    path.write_text("alive" if torch.distributed.is_initialized() else "parted")


TOGETHER = [("cell", False), ("uniform", True), ("fair", False)]
"""Samplers, and whether unsampled weights decay."""


def train_in_process(fabric, folder: Path) -> list[tuple[str, bool]]:
    """Those of the trainings whose weights differ between the processes; starting these takes longer than all of them."""
    Finalize(None, note_group, [folder / str(fabric.global_rank)], exitpriority=0)
    differing = []
    for paths, decay_unsampled in TOGETHER:
        training = Training(paths, fabric, decay_unsampled=decay_unsampled)
        training.run()
        # All are compared, also after the first that differs: the other process sends every one.
        alike = [torch.equal(weight, fabric.broadcast(weight, src=1)) for weight in training.weights().values()]
        if not all(alike):
            differing.append((paths, decay_unsampled))
    return differing


@pytest.mark.slow
def test_two_processes_draw_the_same_paths_and_end_with_the_same_weights(tmp_path):
    assert launched(Compute("cpu", 2).fabric(unused=True), train_in_process, tmp_path) == []
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["parted", "parted"]  # else gloo aborts now and then


def test_cells_are_drawn_where_a_node_has_lost_all_its_inputs():
    allowed = SPACE.allowed.copy()
    allowed[0, 1:] = False  # node 1 reads nothing
    allowed[3:, 1:] &= np.arange(1, 5) < 3
    codes = np.concatenate([path_sampler("cell", SPACE.restrict(allowed), 15, 0)(step)[0] for step in range(20)])
    assert (codes[:, 0] == 0).all()
    assert (codes[:, 1:3] != 0).any(axis=1).all()
    assert (codes[:, 3:] != 0).any(axis=1).all()


def test_all_samplers_are_tested():
    assert {name for name, *_ in FITTING} == set(PATHS)


@pytest.mark.typical("nasbench201")
@pytest.mark.parametrize(
    ("space", "low", "high"),
    [
        (fn.ShuffleNet().where("macs>=290e6,macs<=360e6"), 290e6, 360e6),
        (fn.NASBench201(), 7.78e6, 220.1e6),
    ],
    ids=["shufflenet", "nasbench201"],
)
def test_paths_can_be_spread_evenly_over_their_cost(space, low, high):
    sampler = path_sampler("cost-uniform", space, 1, 0)
    codes = np.concatenate([sampler(step)[0] for step in range(280)]).astype(np.int8)
    assert space.valid(codes).all()
    macs = space.count("macs", codes)
    assert macs.min() >= low * 0.999
    assert macs.max() <= high * 1.001
    shares, _ = np.histogram(macs, np.linspace(low, high, 8))
    reached = shares[shares > 0]
    assert len(reached) >= 5
    assert reached.min() > 0.5 * reached.mean()
