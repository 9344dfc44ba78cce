"""Random labels: that they, and not the true ones, are what a loader returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from frugalnas.data import Augmentation, Images, Loader, RandomLabels
from frugalnas.errors import FrugalnasError

SEED = 7


@pytest.fixture(scope="module")
def digits():
    return Images("digits").open().train


def labels_by_image(batches, epoch: int) -> np.ndarray:
    """The labels that an epoch's batches have, in the order of the part's images."""
    labels = torch.cat([labels for _, labels in batches.epoch(epoch)]).numpy()
    ordered = np.empty_like(labels)
    ordered[batches.order(epoch)] = labels
    return ordered


def test_items_carry_the_drawn_label_and_not_their_own(digits):
    drawn = Loader(digits, batch_size=100, labels=RandomLabels(10, SEED))
    true = Loader(digits, batch_size=100)
    labels = labels_by_image(drawn, 0)
    assert np.array_equal(labels_by_image(true, 0), digits.labels)
    assert 0.05 < (labels == digits.labels).mean() < 0.15
    for (images, _), (same, _) in zip(drawn.epoch(0), true.epoch(0), strict=True):
        assert torch.equal(images, same)


def test_the_same_seed_gives_the_labels_of_the_papers_programs(digits):
    expected = np.random.RandomState(SEED).randint(0, 10, len(digits))
    batches = Loader(digits, batch_size=100, augmentation=Augmentation(pad=1), seed=1, labels=RandomLabels(10, SEED))
    for epoch in (0, 1):
        assert np.array_equal(labels_by_image(batches, epoch), expected)
    assert not np.array_equal(RandomLabels(10, SEED + 1)(len(digits), 0), expected)


def test_labels_drawn_anew_depend_on_seed_epoch_and_image_alone(digits):
    batches = Loader(digits, batch_size=100, augmentation=Augmentation(pad=1), labels=RandomLabels(10, SEED, anew=True))
    first, second = labels_by_image(batches, 0), labels_by_image(batches, 1)
    assert 0.05 < (first == second).mean() < 0.15
    again = Loader(digits, batch_size=32, augmentation=Augmentation(), seed=5, labels=RandomLabels(10, SEED, anew=True))
    assert np.array_equal(labels_by_image(again, 1), second)


def test_processes_share_a_batch_with_its_labels(digits):
    whole = Loader(digits, batch_size=64, labels=RandomLabels(100, SEED))
    parts = [Loader(digits, batch_size=64, labels=RandomLabels(100, SEED), share=(rank, 2)) for rank in (0, 1)]
    for (_, labels), (_, even), (_, odd) in zip(whole.epoch(0), *(part.epoch(0) for part in parts), strict=True):
        assert torch.equal(labels[0::2], even)
        assert torch.equal(labels[1::2], odd)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (100, 120, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return Images(folder, input_size=100).open().train


@pytest.mark.typical("True-2", "*-0")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("anew", [False, True])
def test_images_without_labels_stream_with_random_ones(photos, workers, anew):
    assert photos.labels is None
    assert not photos.in_memory
    given = RandomLabels(5, SEED, anew=anew)
    batches = Loader(photos, batch_size=4, augmentation=Augmentation(resized_crop=0.5), workers=workers, labels=given)
    for epoch in (0, 1):
        assert np.array_equal(labels_by_image(batches, epoch), given(12, epoch))


def test_one_class_is_no_choice():
    with pytest.raises(FrugalnasError, match="classes is 1; random labels are drawn from two classes or more"):
        RandomLabels(1, SEED)
