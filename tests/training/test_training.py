"""Recipes, schedules, losses and the loop that resumes, on toy modules."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.training import (
    Checkpoints,
    Compute,
    Length,
    Objective,
    Position,
    Recipe,
    WeightStep,
    evaluate,
    fit,
    isolated,
    launched,
    optimizer_for,
    schedule_for,
    watching_memory,
)

# -- recipes -----------------------------------------------------------------------------------------------------------

PUBLISHED = {
    # epochs, batch, rate, weight decay, what decays, schedule, clip, label smoothing, drop path, dropout, auxiliary head
    "cifar": (600, 128, 0.025, 3e-4, "all", "cosine", 5, 0.0, 0.3, 0.0, "darts"),
    "darts-cifar": (600, 96, 0.025, 3e-4, "all", "cosine", 5, 0.0, 0.2, 0.0, "darts"),
    "npenas-darts-search": (50, 64, 0.025, 3e-4, "all", "cosine", 5, 0.0, 0.0, 0.0, None),
    "ssnenas-retrain": (600, 96, 0.025, 3e-4, "all", "cosine", 5, 0.0, 0.2, 0.0, "darts"),
    "darts-imagenet": (250, 1024, 0.5, 3e-5, "all", "linear-tail", None, 0.1, 0.0, 0.0, "darts"),
    "darts-imagenet-original": (250, 128, 0.1, 3e-5, "all", "exponential", 5, 0.1, 0.0, 0.0, "darts"),
    "rlnas-imagenet": (250, 1024, 0.5, 3e-5, "all", "linear-tail", 5, 0.1, 0.0, 0.0, "pdarts"),
    "abs-imagenet": (250, 512, 0.25, 3e-5, "all", "linear-tail", None, 0.1, 0.0, 0.0, "pdarts"),
    "mobilenet": (240, 1024, 0.5, 4e-5, "kernels", "linear", 5, 0.1, 0.0, 0.2, None),
    "abs-mobile": (240, 1024, 0.5, 4e-5, "kernels", "linear", 5, 0.1, 0.0, 0.2, None),
    "proxyless": (300, 256, 0.05, 4e-5, "matrices", "cosine", None, 0.1, 0.0, 0.2, None),
    "ofa": (300, 128, 0.01, 1e-5, "matrices", "cosine", None, 0.1, 0.0, 0.3, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipes_have_the_published_settings(name):
    recipe = Recipe.load(name)
    found = (
        recipe.epochs,
        recipe.batch_size,
        recipe.lr,
        recipe.weight_decay,
        recipe.decayed,
        recipe.schedule,
        recipe.clip_norm,
        recipe.label_smoothing,
        recipe.drop_path,
        recipe.dropout,
        recipe.auxiliary,
    )
    assert found == PUBLISHED[name]


def test_warm_up_is_as_published():
    assert Recipe.load("rlnas-imagenet").warmup_epochs == 5
    assert Recipe.load("abs-imagenet").warmup_epochs == 0  # only with more than 256 images on each of eight GPUs


def test_every_recipe_says_where_it_is_from_and_has_an_optimiser():
    assert {"default", "nasbench201", "spos", *PUBLISHED} == Recipe.sources().keys()
    for name, source in Recipe.sources().items():
        assert source
        recipe = Recipe.load(name).settled(1_000_000)
        assert Recipe.load(recipe.to_json()) == recipe
        assert optimizer_for(recipe, nn.Linear(3, 2))
        Augmentation = pytest.importorskip("frugalnas.data").Augmentation
        assert Augmentation.of({key: value for key, value in recipe.augmentation.items() if key != "base"})


def test_settings_are_read_as_the_type_they_have():
    text = {
        "epochs": "30",
        "lr": "1e-3",
        "ema": "null",
        "nothing": None,
        "augmentation.cutout": "8",
        "per_step": "true",
    }
    del text["nothing"]
    recipe = Recipe.load("cifar", text)
    assert (recipe.epochs, recipe.lr, recipe.ema, recipe.per_step) == (30, 1e-3, None, True)
    assert recipe.augmentation == {"pad": 4, "flip": True, "cutout": 8}
    assert Recipe.load("default", {"augmentation.cutout": 8}).augmentation == {"base": "suggested", "cutout": 8}


def test_a_file_builds_on_another_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: cifar\nname: mine\nepochs: 20\naugmentation: {cutout: 0}\n")
    recipe = Recipe.load(path)
    assert (recipe.name, recipe.epochs, recipe.batch_size) == ("mine", 20, 128)
    assert recipe.augmentation == {"pad": 4, "flip": True, "cutout": 0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"epochs": "many"}, "epochs takes a whole number or null, not 'many'"),
        ({"epochs": 0}, "epochs is 0; it must be from 1"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"lr.x": 1}, "lr has no parts"),
        ({"mixup": 0.2, "batch_size": 5}, "even batch_size"),
        ({"clip_norm": 1, "clip_value": 1}, "set one of them to null"),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(FrugalnasError, match=said):
        Recipe.load("cifar", settings)


def test_unknown_recipes_and_optimisers():
    with pytest.raises(FrugalnasError, match="unknown recipe 'cifra'; did you mean 'cifar'"):
        Recipe.load("cifra")
    with pytest.raises(FrugalnasError, match="unknown optimizer 'addamw'; did you mean 'adamw'"):
        optimizer_for(Recipe(optimizer="addamw"), nn.Linear(2, 2))
    with pytest.raises(FrugalnasError, match="does not take optimizer_options"):
        optimizer_for(Recipe(optimizer="adamw", optimizer_options={"speed": 2}), nn.Linear(2, 2))


def test_what_is_left_open_is_settled_by_the_number_of_images():
    few, many = Recipe.load("default").settled(100), Recipe.load("default").settled(1_000_000)
    assert few.epochs > many.epochs >= 8
    assert Recipe.load("default", {"batch_size": 64}).settled(30).batch_size == 30
    assert Recipe.load("default", {"batch_size": 64}).settled(31, devices=2).batch_size == 30
    with pytest.raises(FrugalnasError, match="fewer than two"):
        Recipe.load("default").settled(3, devices=2)


# -- optimisers and schedules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decayed", "count"), [("all", 4), ("matrices", 2), ("kernels", 1)])
def test_what_decays(decayed, count):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    optimizer = optimizer_for(Recipe(decayed=decayed, weight_decay=0.1), network)
    decaying = [each for group in optimizer.param_groups if group["weight_decay"] == 0.1 for each in group["params"]]
    assert len(decaying) == count
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


def rates(steps_per_epoch: int = 4, **settings: object) -> list[float]:
    recipe = Recipe(**settings)
    optimizer = optimizer_for(recipe, nn.Linear(1, 1))
    schedule = schedule_for(recipe, optimizer, steps_per_epoch)
    found = []
    for epoch in range(recipe.epochs):
        schedule.step(epoch)
        for step in range(steps_per_epoch):
            schedule.step_update(epoch * steps_per_epoch + step)
            found.append(optimizer.param_groups[0]["lr"])
    return found


def test_cosine_is_torchs():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.025)
    judge = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    expected = []
    for _ in range(600):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        judge.step()
    assert rates(1, epochs=600, lr=0.025) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_rule_of_the_imagenet_trainings():
    found = rates(1, epochs=250, lr=0.5, schedule="linear-tail", warmup_epochs=5)
    for epoch, rate in enumerate(found):
        if epoch < 5:
            assert rate == pytest.approx(0.5 * (epoch + 1) / 5)
        elif 250 - epoch > 5:
            assert rate == pytest.approx(0.5 * (250 - 5 - epoch) / 245)
        else:
            assert rate == pytest.approx(0.5 * (250 - epoch) / (245 * 5))


def test_linear_by_steps_and_exponential_by_epochs():
    assert rates(4, epochs=3, lr=1.2, schedule="linear", per_step=True) == pytest.approx(
        [1.2 * (1 - step / 12) for step in range(12)]
    )
    assert rates(2, epochs=3, lr=1.0, schedule="exponential", decay_rate=0.97) == pytest.approx(
        [1, 1, 0.97, 0.97, 0.97**2, 0.97**2]
    )
    assert rates(1, epochs=3, lr=1.0, schedule="constant") == [1.0] * 3


def test_warm_up_climbs_to_the_schedule():
    found = rates(1, epochs=300, lr=0.01, warmup_epochs=3, warmup_lr=1e-6)
    assert found[0] == 1e-6
    assert found[3] == pytest.approx(0.01 * 0.5 * (1 + math.cos(math.pi * 3 / 300)))


# -- losses ------------------------------------------------------------------------------------------------------------


def test_the_loss_adds_up():
    logits, auxiliary = torch.randn(6, 4), torch.randn(6, 4)
    labels, images = torch.tensor([0, 1, 2, 3, 0, 1]), torch.randn(6, 3, 2, 2)
    plain = Objective(Recipe(label_smoothing=0.1), 4)
    smoothed = F.one_hot(labels, 4) * 0.9 + 0.1 / 4
    expected = -(smoothed * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(plain.loss(logits, labels, images), expected)
    headed = Objective(Recipe(label_smoothing=0.1, auxiliary_weight=0.4), 4)
    torch.testing.assert_close(
        headed.loss((logits, auxiliary), labels, images), expected + 0.4 * plain.loss(auxiliary, labels, images)
    )


def test_a_teacher_pulls_towards_its_answers():
    logits, labels, images = torch.randn(6, 4), torch.randint(4, (6,)), torch.randn(6, 3, 2, 2)
    recipe = Recipe(teacher="some", teacher_weight=1.0, teacher_temperature=2.0)
    agreeing = Objective(recipe, 4, teacher=lambda images: logits + 3.0)
    assert agreeing.loss(logits, labels, images).abs() < 1e-6
    other = torch.randn(6, 4)
    soft = (other / 2).softmax(1)
    expected = (soft * (soft.log() - (logits / 2).log_softmax(1))).sum(1).mean() * 4
    torch.testing.assert_close(
        Objective(recipe, 4, teacher=lambda images: other).loss(logits, labels, images), expected
    )
    with pytest.raises(FrugalnasError, match="teacher with the same classes"):
        Objective(recipe, 4, teacher=lambda images: torch.zeros(6, 5)).loss(logits, labels, images)


def test_mixed_targets_are_probabilities():
    mixed = Objective(Recipe(mixup=0.2, cutmix=1.0, label_smoothing=0.1), 4)
    with isolated(3):
        images, targets = mixed.prepare(torch.randn(6, 3, 8, 8), torch.randint(4, (6,)))
    assert images.shape == (6, 3, 8, 8)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


CLASSES, IMAGES = 4, 14


def taken_step(fabric: Fabric | None = None, mine: slice = slice(None), **settings) -> list[torch.Tensor]:
    """The weights after one step on toy images, in float64: a lr of 1 makes them the gradient."""
    settings = {"lr": 1.0, "momentum": 0.0, "schedule": "constant", "weight_decay": 0.0, "epochs": 1, **settings}
    recipe = Recipe(**settings)
    if fabric is None:
        fabric = Fabric(accelerator="cpu", devices=1)
        fabric.launch()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, 2, 2, dtype=torch.float64, generator=generator)
    labels = torch.tensor([0, 0, 0, 1, 3, 0, 1, 2, 0, 0, 1, 0, 3, 2])
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, CLASSES)).double()
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES)).double() if recipe.teacher else None
    optimizer = optimizer_for(recipe, network)
    weights = torch.tensor([0.3, 1.0, 5.0, 2.0], dtype=torch.float64) if recipe.class_weights else None
    objective = Objective(recipe, CLASSES, class_weights=weights, teacher=teacher)
    wrapped, stepped = fabric.setup(network, optimizer)
    step = WeightStep(fabric, wrapped, stepped, schedule_for(recipe, optimizer, 1), recipe, objective)
    with isolated(3):
        sums = step((images[mine], labels[mine]), Position(0, 0, 1, 1))
    return [*network.parameters(), sums["loss"] / sums["images"]]


@pytest.mark.typical("settings0-3", "settings1-2", "settings2-100", "settings3-8")
@pytest.mark.parametrize("parts", [2, 3, 8, 100])
@pytest.mark.parametrize(
    "settings",
    [
        {"class_weights": True},
        {"class_weights": True, "label_smoothing": 0.1},
        {"class_weights": True, "teacher": "some", "teacher_weight": 0.3},
        {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1},
    ],
)
def test_the_gradient_is_the_whole_batchs_in_however_many_parts(settings, parts):
    whole, parted = taken_step(**settings), taken_step(**settings, accumulate=parts)
    for one, other in zip(whole, parted, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-10)


def two_devices_agree(fabric: Fabric) -> bool:
    settings = {"class_weights": True, "label_smoothing": 0.1}
    for shares in ((slice(0, 7), slice(7, 14)), (slice(0, 3), slice(3, 14)), (slice(0, 14), slice(0, 0))):
        mine = shares[fabric.global_rank]
        *weights, _ = taken_step(fabric=fabric, mine=mine, **settings, accumulate=2)
        *whole, _ = taken_step(fabric=None, **settings)
        for one, other in zip(whole, weights, strict=True):
            torch.testing.assert_close(other, one, rtol=0, atol=1e-10)
    return True


@pytest.mark.slow
def test_the_gradient_is_the_whole_batchs_over_devices_also_where_one_has_nothing():
    fabric = Fabric(accelerator="cpu", devices=2, strategy=DDPStrategy(start_method="spawn"))
    assert launched(fabric, two_devices_agree)


def test_no_part_has_one_image_alone():
    seen = []
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))
    network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    recipe = Recipe(accumulate=8, epochs=1)
    optimizer, fabric = optimizer_for(recipe, network), Compute("cpu").fabric()
    fabric.launch()
    wrapped, stepped = fabric.setup(network, optimizer)
    step = WeightStep(fabric, wrapped, stepped, schedule_for(recipe, optimizer, 1), recipe, Objective(recipe, 3))
    for images, parts in ((8, [2, 2, 2, 2]), (9, [3, 2, 2, 2]), (3, [3]), (1, []), (0, [])):
        seen.clear()
        sums = step((torch.randn(images, 3, 1, 1), torch.arange(images) % 3), Position(0, 0, 1, 1))
        assert seen == parts
        assert sums["images"] == sum(parts)


def test_an_evaluation_counts_every_image_once():
    logits = torch.eye(7)[[0, 1, 1, 2, 6]] * 5
    labels = torch.tensor([0, 1, 2, 2, 5])

    class Fixed(nn.Linear):
        def forward(self, x):
            return x

    batches = [(logits[:3], labels[:3]), (logits[3:], labels[3:])]
    names = tuple("abcdefg")
    result = evaluate(Fixed(1, 1), batches, names, "test")
    assert (result.images, result.top1) == (5, 60.0)
    assert result.loss == pytest.approx(float(F.cross_entropy(logits, labels)))
    assert result.confusion[2].tolist() == [0, 1, 1, 0, 0, 0, 0]
    assert result.per_class[2] == 50.0
    assert np.isnan(result.per_class[3])
    again = type(result).from_json(result.to_json())
    assert again.to_json() == result.to_json()
    with pytest.raises(FrugalnasError, match="no labelled image"):
        evaluate(Fixed(1, 1), [(logits, torch.full((5,), -1))], names, "test")


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_random_numbers_outside_are_left_alone():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    with isolated(7, 3):
        first = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    with isolated(7, 3):
        assert first == (random.random(), np.random.rand(), torch.rand(1))  # noqa: NPY002
    assert expected == (random.random(), np.random.rand(), torch.rand(1))  # noqa: NPY002


class Stop(Exception):
    pass


class Toy:
    """A network with dropout and batch norm under Adam, five steps an epoch."""

    def __init__(self, folder, stop_at=None):
        with isolated(0):
            self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
        self.means = []
        self.stop_at = stop_at
        self.checkpoints = Checkpoints(folder, {"architecture": "toy"}, every=0.0)

    def batches(self, epoch, first):
        for step in range(first, 5):
            generator = torch.Generator().manual_seed(epoch * 100 + step)
            yield torch.randn(6, 4, generator=generator), torch.randint(3, (6,), generator=generator)

    def step(self, batch, position):
        if position.done == self.stop_at:
            raise Stop
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        return {"images": torch.tensor(6.0), "loss": loss.detach() * 6}

    def train(self):
        fit(
            self.step,
            {"network": self.network, "optimizer": self.optimizer},
            self.batches,
            length=Length(3, 5),
            seed=1,
            checkpoints=self.checkpoints,
            on_epoch=lambda epoch, means: self.means.append((epoch, means["loss"])),
        )
        return self


@pytest.mark.typical("0", "10")
@pytest.mark.parametrize("stop_at", [0, 1, 7, 10, 14])
def test_stopped_at_any_step_it_ends_the_same(tmp_path, stop_at):
    whole = Toy(tmp_path / "whole").train()
    with pytest.raises(Stop):
        Toy(tmp_path / "halves", stop_at).train()
    resumed = Toy(tmp_path / "halves").train()
    for one, other in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert resumed.means == whole.means[-len(resumed.means) :]
    assert len(list((tmp_path / "halves").glob("*.safetensors"))) == 2


def test_a_checkpoint_holds_whatever_is_nested(tmp_path):
    tensor = torch.arange(3)
    state = {
        "a": {"state": {0: {"x": tensor, "betas": (0.9, 0.999)}}, "list": [1, None, {"t": tensor.t()}]},
        "sums": {},
    }
    checkpoints = Checkpoints(tmp_path, {"seed": 1})
    checkpoints.write(4, state, {"note": "x"})
    found = checkpoints.latest()
    assert (found.step, found.extra, found.state["sums"]) == (4, {"note": "x"}, {})
    assert found.state["a"]["state"][0]["betas"] == (0.9, 0.999)
    assert torch.equal(found.state["a"]["list"][2]["t"], tensor)
    with pytest.raises(TypeError, match="only tensors and plain values"):
        checkpoints.write(5, {"a": object()}, {})


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"seed": 1})
    checkpoints.write(1, {"a": {"x": torch.ones(1000)}}, {})
    newest = checkpoints.write(2, {"a": {"x": torch.zeros(1000)}}, {})
    newest.write_bytes(newest.read_bytes()[:700])
    assert checkpoints.latest().step == 1


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    Checkpoints(tmp_path, {"architecture": "|none~0|", "seed": 1}).write(1, {}, {})
    with pytest.raises(RunFolderError, match=r"another architecture \(\|none~0\|; this one is \|skip~0\|\)"):
        Checkpoints(tmp_path, {"architecture": "|skip~0|", "seed": 1}).latest()


# -- devices -----------------------------------------------------------------------------------------------------------


def test_devices_that_are_not_there():
    if not torch.cuda.is_available():
        with pytest.raises(FrugalnasError, match=r"'cuda' was asked for, but torch .* finds none"):
            Compute("cuda").here()
    with pytest.raises(FrugalnasError, match="needs a GPU"):
        Compute("cpu", 1, "16").here()
    assert Compute("cpu", 2).here().device == "cpu"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"devices": 0}, "`devices` 0: it must be at least 1"),
        ({"devices": "2"}, "devices takes a whole number, not '2'"),
        ({"precision": "64"}, "unknown precision '64'"),
        ({"precision": 32}, "precision takes text, not 32"),
    ],
)
def test_what_no_machine_has_is_refused_when_it_is_written_down(wrong, why):
    with pytest.raises(FrugalnasError, match=why):
        Compute(**wrong)


def test_out_of_memory_says_what_to_lower():
    with pytest.raises(FrugalnasError, match="lower batch_size"), watching_memory("batch_size"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(FrugalnasError, match="lower batch_size"), watching_memory("batch_size"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), watching_memory("batch_size"):
        raise RuntimeError("shape")
