"""SPOS and FairNAS from end to end, and the settings of their papers."""

from __future__ import annotations

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.methods.estimates import seconds_of_one
from frugalnas.methods.fairnas import FairNAS, fairnas
from frugalnas.methods.kind import MethodRun
from frugalnas.methods.method import settle
from frugalnas.methods.recipe import load_method_recipe
from frugalnas.methods.spos import SPOS, spos
from frugalnas.supernets import SupernetRecipe
from frugalnas.training import Compute
from frugalnas.trainings.supernet import load_supernet

QUICK = {
    "supernet.epochs": 2,
    "supernet.batch_size": 16,
    "search.generations": 1,
    "search.population": 10,
    "search.parents": 4,
    "search.mutations": 5,
    "search.crossovers": 5,
    "baselines.networks": [],
    "retrain.epochs": 1,
}
SPACE = fn.NASBench201(width=2, cells=1)
CPU = Compute("cpu")


@pytest.mark.typical("spos")
@pytest.mark.parametrize(("method", "paths"), [(spos, "uniform"), (fairnas, "fair")], ids=["spos", "fairnas"])
def test_the_best_by_accuracy_in_the_supernet_is_retrained(images, tmp_path, without_onnx, cli, method, paths):
    found = method(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=QUICK, compute=CPU)
    supernet = load_supernet(tmp_path / "run" / "stages" / "01-supernet")
    assert (supernet.recipe.labels, supernet.recipe.paths) == ("true", paths)
    searched = fn.load_search(tmp_path / "run" / "stages" / "02-search")
    first = found.to_json()["candidates"][0]
    assert first["score"] == searched.best.value
    assert 0 <= found.test <= 100
    assert cli("show", tmp_path / "run").code == 0
    assert "baselines were left out" in (tmp_path / "run" / "report" / "index.html").read_text()


@pytest.mark.parametrize("kind", [SPOS, FairNAS])
def test_a_plan_has_the_time_of_the_search_by_accuracy(images, kind):
    method = settle(kind, SPACE, images / "shapes.npz", settings=QUICK, compute=CPU).method
    plan = MethodRun().proposed(method).plan()
    one = seconds_of_one(method.supernet, "accuracy", 500)
    assert plan.stages["search"] == pytest.approx(10 * one)
    assert plan.seconds > plan.stages["search"] > 0


def test_images_without_labels_are_refused_before_anything_is_written(images, tmp_path):
    with pytest.raises(FrugalnasError, match="label"):
        spos(SPACE, images / "unlabelled.npz", run_dir=tmp_path / "run", settings=QUICK, compute=CPU)
    assert not (tmp_path / "run").exists()


@pytest.mark.typical("8-*")
@pytest.mark.parametrize(("kind", "large"), [(SPOS, "mobilenet"), (FairNAS, "fairnas")])
@pytest.mark.parametrize("size", [8, 96])
def test_the_space_fits_the_images(tmp_path, kind, large, size):
    pictures = np.random.default_rng(0).integers(0, 255, (40, size, size, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    settled = settle(kind, None, tmp_path / "images.npz", compute=CPU)
    method = settled.method
    assert method.spaces.searched.name == ("nasbench201" if size == 8 else large)
    assert "architectures are ranked by 4 images, of which each is 25.0 points" in " ".join(settled.notes)


def test_strict_fairness_needs_equally_many_choices(images, tmp_path):
    allowed = SPACE.allowed.copy()
    allowed[2, 1] = False
    with pytest.raises(FrugalnasError, match="genes have from 4 to 5 values"):
        fairnas(SPACE.restrict(allowed), images / "shapes.npz", run_dir=tmp_path / "run", settings=QUICK, compute=CPU)


def test_the_papers_settings():
    recipe = SupernetRecipe.load("spos-mobilenet")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.min_lr, recipe.clip_value) == (100, 512, 0.25, 0, 5)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.paths, recipe.labels) == (4e-5, 0.1, "uniform", "true")
    fair = SupernetRecipe.load("fairnas")
    assert (fair.epochs, fair.batch_size, fair.lr, fair.paths) == (17, 1024, 0.5, "fair")
    whole = load_method_recipe(SPOS, "spos-imagenet")
    assert (whole.space, whole.where, whole["retrain"]["recipe"]) == ("mobilenet", "macs<=475e6", "abs-mobile")
    published = fn.FairNAS().parse("4 2 4 2 2 2 5 2 4 4 2 2 2 4 5 4 2 2 5")
    limits = load_method_recipe(FairNAS, "fairnas-imagenet").where
    assert fn.FairNAS().where(limits).valid(published[None])[0]


def test_a_recipe_is_for_its_own_method():
    for kind, recipe in ((SPOS, "fairnas"), (FairNAS, "spos"), (SPOS, "rlnas-darts-cifar10")):
        with pytest.raises(FrugalnasError, match=f"take it with: frugalnas {recipe.split('-')[0]}"):
            load_method_recipe(kind, recipe)
