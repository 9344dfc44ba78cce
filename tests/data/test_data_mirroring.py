"""Images are mirrored where that does no harm, and who decided it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import class_folders
from sklearn.datasets import load_digits

from frugalnas.data import Images, mirrored_is_no_loss
from frugalnas.training import Recipe
from frugalnas.trainings.subject import settled_for


def arrays(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(path, images=images, labels=labels)
    return path


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """The digits under no name that says what they are."""
    loaded = load_digits()
    pixels = np.rint(loaded.images * (255 / 16)).astype(np.uint8)
    return arrays(tmp_path_factory.mktemp("mirroring") / "set.npz", pixels[:400], loaded.target[:400])


def skies(path: Path, count: int = 400) -> Path:
    """Noise, a little brighter in the upper half for class 0, in the lower half for class 1."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 120, (count, 2, 8, 16), dtype=np.uint8), np.arange(count) % 2
    images[np.arange(count), labels] += 6
    return arrays(path, images.reshape(count, 16, 16), labels)


def test_digits_are_not_mirrored_and_that_is_said(digits, fresh_cache):
    data = Images(digits).open()
    mirrored, note = mirrored_is_no_loss(data)
    assert not mirrored
    assert note.startswith("images are not mirrored in training: of 324 training images a linear classifier told ")
    assert note.endswith("(`augmentation.flip`=0.5 changes it)")
    recipe, notes = settled_for(Recipe.load("default"), data, 1)
    assert recipe.augmentation["flip"] == 0  # written into the run, so that a resume decides nothing
    assert notes == [note]


def test_what_a_mirror_does_not_change_is_mirrored(tmp_path, fresh_cache):
    data = Images(skies(tmp_path / "set.npz")).open()
    recipe, (note,) = settled_for(Recipe.load("default"), data, 1)
    assert recipe.augmentation["flip"] == 0.5
    assert note.startswith("images are mirrored in training")


def test_who_says_what_he_wants_gets_it_without_a_check(digits):
    data = Images(digits).open()
    for wanted in ({"base": "suggested", "flip": 0.5}, {"base": "darts-cifar"}):
        recipe, notes = settled_for(Recipe.load("default", {"augmentation": wanted}), data, 1)
        assert recipe.augmentation["flip"] == 0.5
        assert not notes


@pytest.mark.slow
def test_what_cannot_be_told_is_not_mirrored(tmp_path, fresh_cache):
    few = Images(class_folders(tmp_path / "few", {"a": 20, "b": 20})).open()
    assert mirrored_is_no_loss(few)[0] is False
    assert "32 training images are too few" in mirrored_is_no_loss(few)[1]
    noise = np.random.default_rng(0).integers(0, 256, (400, 12, 12), dtype=np.uint8)
    data = Images(arrays(tmp_path / "noise.npz", noise, np.arange(400) % 2)).open()
    assert mirrored_is_no_loss(data)[0] is False
    assert "learns too little" in mirrored_is_no_loss(data)[1]
    flat = Images(class_folders(tmp_path, {"flat": 8}) / "flat").open()
    assert "no labels" in mirrored_is_no_loss(flat)[1]
