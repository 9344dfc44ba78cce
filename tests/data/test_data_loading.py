"""Batches: the same for a seed, epoch and step however they are read, and augmented as torchvision does it."""

from __future__ import annotations

import collections
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import class_folders
from scipy.stats import chisquare
from torchvision.transforms import v2

from frugalnas.data import PUBLISHED, Augmentation, Images, Loader, SplitSpec
from frugalnas.errors import FrugalnasError


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "set", {"a": 15, "b": 15}, size=(130, 100), suffix=".jpg")


@pytest.fixture(scope="module")
def digits():
    return Images("digits").open()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """60 images of 12 x 12 pixels in memory."""
    file = tmp_path_factory.mktemp("small") / "small.npz"
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(60) % 3)
    return Images(file, split="all").open()


def epoch(part, number=0, first_step=0, **options):
    return list(Loader(part, **{"batch_size": 8, "seed": 3, **options}).epoch(number, first_step))


def same(some, others) -> bool:
    return len(some) == len(others) and all(
        torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) for one, two in zip(some, others, strict=True)
    )


EVERYTHING = Augmentation(
    resized_crop=0.2,
    interpolation="random",
    color_jitter=(0.4, 0.4, 0.4, 0.1),
    rand_augment="rand-m9-mstd0.5",
    pad=2,
    flip=0.5,
    lighting=0.1,
    cutout=6,
    random_erasing=0.5,
)
WAYS = {"memory": PUBLISHED["darts-cifar"], "everything": EVERYTHING, "abs": PUBLISHED["abs-imagenet"]}


# -- order and repetition ----------------------------------------------------------------------------------------------


def test_evaluation_reads_every_image_once_in_order(digits):
    batches = epoch(digits.test, batch_size=64)
    assert [len(images) for images, _ in batches] == [64, 64, 52]
    assert torch.cat([labels for _, labels in batches]).tolist() == digits.test.labels.tolist()
    mean = torch.cat([images for images, _ in epoch(digits.train)]).mean()
    assert abs(float(mean)) < 1e-4  # normalised by the training part's own statistics


def test_training_sees_every_image_once_an_epoch_in_another_order_each_time(digits):
    made = Loader(digits.train, batch_size=100, augmentation=digits.suggested)
    assert sorted(made.order(0).tolist()) == list(range(len(digits.train)))
    assert made.order(0).tolist() != made.order(1).tolist()
    assert len(made) == 15
    assert len(Loader(digits.train, batch_size=100, augmentation=digits.suggested, drop_last=True)) == 14


@pytest.mark.typical("abs", "memory")
@pytest.mark.parametrize("way", WAYS)
def test_batches_depend_on_seed_epoch_and_step_alone(small, way):
    how = {"augmentation": WAYS[way], "batch_size": 15}
    whole = epoch(small.train, 5, **how)
    assert same(epoch(small.train, 5, **how), whole)
    assert same(epoch(small.train, 5, first_step=2, **how), whole[2:])
    assert not same(epoch(small.train, 6, **how), whole)
    assert not same(epoch(small.train, 5, **{**how, "seed": 4}), whole)


def test_the_number_of_workers_changes_nothing(photos):
    data = Images(photos, input_size=64).open(resize=70)
    assert data.train.in_memory  # at this size; so read it as photos are read
    data = Images(photos, input_size=100).open()
    assert not data.train.in_memory
    alone = epoch(data.train, 2, augmentation=EVERYTHING)
    assert same(epoch(data.train, 2, augmentation=EVERYTHING, workers=2), alone)
    assert same(epoch(data.train, 2, 1, augmentation=EVERYTHING, workers=1), alone[1:])


@pytest.mark.parametrize("way", WAYS)
def test_processes_share_a_batch_without_changing_it(small, way):
    whole = epoch(small.train, 1, augmentation=WAYS[way], batch_size=20)
    shares = [epoch(small.train, 1, augmentation=WAYS[way], batch_size=20, share=(rank, 2)) for rank in range(2)]
    for step, (images, labels) in enumerate(whole):
        for rank, share in enumerate(shares):
            assert torch.equal(share[step][0], images[rank::2])
            assert torch.equal(share[step][1], labels[rank::2])


@pytest.mark.parametrize("way", WAYS)
def test_global_generators_are_left_alone(small, way):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    epoch(small.train, augmentation=WAYS[way])
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_process_without_images_in_the_last_batch_gets_an_empty_one(photos):
    data = Images(photos, input_size=100, split=SplitSpec(test=0.02, val=0)).open()
    assert len(data.train) == 29
    for workers in (0, 1):
        images, labels = epoch(data.train, batch_size=28, share=(1, 2), workers=workers)[-1]
        assert images.shape == (0, 3, 100, 100)
        assert len(labels) == 0


def test_data_in_memory_are_not_changed_by_what_is_done_to_batches(small):
    before = small.train.read(range(50)).clone()
    for augmentation in (
        PUBLISHED["darts-cifar"],
        Augmentation(flip=1.0),
        Augmentation(lighting=0.5, random_erasing=1.0),
    ):
        epoch(small.train, augmentation=augmentation)
    assert torch.equal(small.train.read(range(50)), before)


# -- the distribution of augmented images ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_image(tmp_path_factory):
    """A data set of one image over and over, all of whose pixels differ, so that what was done to it can be seen."""
    pixels = (1 + np.arange(64, dtype=np.uint8)).reshape(8, 8)
    file = tmp_path_factory.mktemp("one") / "one.npz"
    np.savez(file, images=np.repeat(pixels[None], 5000, axis=0), labels=np.arange(5000) % 2)
    return Images(file, split="all").open(normalisation={"mean": [0.0] * 3, "std": [1 / 255] * 3})


def outcomes(images: torch.Tensor) -> collections.Counter:
    return collections.Counter(image.round().byte().numpy().tobytes() for image in images)


class CutoutByHand:
    """DARTS: a square around a uniformly drawn pixel, clipped at the border, is zero."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        size, half = image.shape[-1], self.length // 2
        y, x = (int(torch.randint(size, ())) for _ in range(2))
        image = image.clone()
        image[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
        return image


@pytest.mark.typical("crop", "flip", "cutout")
@pytest.mark.parametrize(
    ("augmentation", "transforms", "count"),
    [
        (Augmentation(pad=2), [v2.RandomCrop(8, padding=2)], 25),
        (Augmentation(flip=0.5), [v2.RandomHorizontalFlip()], 2),
        (Augmentation(pad=1, flip=0.5), [v2.RandomCrop(8, padding=1), v2.RandomHorizontalFlip()], 18),
        (Augmentation(cutout=4), [CutoutByHand(4)], 64),
    ],
    ids=["crop", "flip", "crop and flip", "cutout"],
)
def test_batches_are_augmented_with_torchvisions_distribution(one_image, augmentation, transforms, count):
    batches = epoch(one_image.train, augmentation=augmentation, batch_size=1000)
    ours = outcomes(torch.cat([images for images, _ in batches]))
    torch.manual_seed(0)
    transform, image = v2.Compose(transforms), one_image.train.read([0])[0]
    theirs = outcomes(torch.stack([transform(image) for _ in range(3000)]).float())
    assert ours.keys() == theirs.keys()
    assert len(ours) == count
    # Both are uniform over the same images.
    assert chisquare(list(ours.values())).pvalue > 0.001
    assert chisquare(list(theirs.values())).pvalue > 0.001


def test_other_devices_crop_and_flip_as_the_cpu_does(small):
    from frugalnas.data import batches

    images, rng = small.train.read(range(60)), np.random.default_rng(0)
    offsets, flips = rng.integers(0, 5, (2, 60)), np.flatnonzero(rng.random(60) < 0.5)
    padded = torch.nn.functional.pad(images, (2,) * 4)
    assert torch.equal(batches.crop_on_device(padded, torch.from_numpy(offsets), 12), batches.crop(padded, offsets, 12))
    mirrored = batches.flip_on_device(images.clone(), torch.from_numpy(flips))
    assert torch.equal(mirrored, batches.flip(images.clone(), flips))


@pytest.mark.slow
def test_random_crops_have_torchvisions_distribution_of_places_and_sizes(tmp_path):
    # Red grows to the right and green downwards: means tell where a crop lay, spreads how large it was.
    y, x = np.mgrid[0:90, 0:120]
    image = np.stack([x * 2, y * 2, np.full_like(x, 9)], axis=2).astype(np.uint8)
    np.savez(tmp_path / "one.npz", images=np.repeat(image[None], 500, axis=0), labels=np.arange(500) % 2)
    data = Images(tmp_path / "one.npz", split="all", input_size=16).open(normalisation="unit")
    from PIL import Image

    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(16, scale=(0.08, 1.0))
    source = Image.fromarray(np.asarray(data.train.source.load(0)))
    theirs = torch.stack([v2.functional.pil_to_tensor(transform(source)) for _ in range(500)]).float()
    ours = 255 * epoch(data.train, augmentation=Augmentation(resized_crop=0.08), batch_size=500)[0][0]
    for statistic in (lambda x: x.mean((2, 3)), lambda x: x.std((2, 3))):
        one, two = statistic(ours)[:, :2].double(), statistic(theirs)[:, :2].double()
        error = ((one.var(0) + two.var(0)) / 500).sqrt()
        assert ((one.mean(0) - two.mean(0)).abs() < 4 * error).all()
        assert torch.allclose(one.std(0), two.std(0), rtol=0.15)


def test_square_crops_are_squares_of_a_uniformly_drawn_area(tmp_path):
    # Colours that rise evenly from pixel to pixel: how fast they do after resizing tells the sides of a crop.
    y, x = np.mgrid[0:64, 0:64]
    image = np.stack([3 * x, 3 * y, np.zeros_like(x)], axis=2).astype(np.uint8)
    np.savez(tmp_path / "one.npz", images=np.repeat(image[None], 500, axis=0), labels=np.arange(500) % 2)
    data = Images(tmp_path / "one.npz", split="all").open(normalisation="unit")
    cropped = 255 * epoch(data.train, augmentation=Augmentation(square_crop=0.08), batch_size=500)[0][0].numpy()
    width = (cropped[:, 0, :, 55] - cropped[:, 0, :, 8]).mean(axis=1) / 47 / 3
    height = (cropped[:, 1, 55] - cropped[:, 1, 8]).mean(axis=1) / 47 / 3
    np.testing.assert_allclose(width, height, atol=0.02)
    areas = width * height
    assert areas.mean() == pytest.approx(0.54, abs=0.02)
    assert np.quantile(areas, [0.0, 0.25, 0.75, 1.0]) == pytest.approx([0.08, 0.31, 0.77, 1.0], abs=0.03)


def test_where_no_square_fits_the_image_is_padded_to_one(tmp_path):
    from PIL import Image

    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("RGB", (400, 20), "white").save(tmp_path / label / "wide.png")
    data = Images(tmp_path, split="all", input_size=100).open(normalisation="unit")  # smaller ones are resized at once
    for image in epoch(data.train, augmentation=Augmentation(square_crop=0.9), batch_size=2)[0][0]:
        assert image.mean().item() == pytest.approx(20 / 400, abs=0.005)
        assert image[:, 49:51].mean().item() == pytest.approx(1, abs=0.01)


def test_lighting_moves_a_whole_image_along_the_colours_principal_components(one_image):
    plain = epoch(one_image.train, augmentation=Augmentation(), batch_size=5000)[0][0]
    lit = epoch(one_image.train, augmentation=Augmentation(lighting=0.1), batch_size=5000)[0][0]
    moved = (lit - plain) / 255
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-5)
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    expected = 0.01 * (vectors * np.array([0.2175, 0.0188, 0.0045]) ** 2) @ vectors.T
    assert np.allclose(np.cov(moved[:, :, 0, 0].double().numpy().T), expected, rtol=0.1, atol=1e-7)


def test_random_erasing_erases_its_share_of_the_images(one_image):
    made = Loader(one_image.train, batch_size=500, augmentation=Augmentation(random_erasing=0.3))
    images, _ = next(made.epoch(0))
    plain, _ = next(Loader(one_image.train, batch_size=500, augmentation=Augmentation()).epoch(0))
    assert float((images != plain).flatten(1).any(1).float().mean()) == pytest.approx(0.3, abs=0.06)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_round_trip_through_a_recipe():
    for augmentation in (*PUBLISHED.values(), EVERYTHING):
        assert Augmentation.of(augmentation.to_dict()) == augmentation
    assert (
        Augmentation.of({"flip": True, "pad": 4, "cutout": 16})
        == PUBLISHED["darts-cifar"]
        == Augmentation.of("darts-cifar")
    )
    assert Augmentation.of({"flip": False}) == Augmentation.of(None) == Augmentation()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutuot": 16}, "did you mean 'cutout'"),
        ({"flip": 2}, "augmentation.flip is 2"),
        ({"pad": -1}, "augmentation.pad is -1"),
        ({"pad": 1.5}, "whole number"),
        ({"resized_crop": 0}, "share of the area"),
        ({"resized_crop": 0.1, "square_crop": 0.1}, "choose one of"),
        ({"color_jitter": [0.1]}, "brightness, contrast"),
        ({"color_jitter": [0.1, 0.1, 0.1, 0.9]}, "hue up to 0.5"),
        ({"random_scale": [480, 256]}, "low, high"),
        ({"interpolation": "nearest"}, "unknown interpolation"),
        ({"rand_augment": "strong"}, "timm's text"),
        ({"lighting": -1}, "standard deviation"),
        ("darts", "unknown augmentation 'darts'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(FrugalnasError, match=message):
        Augmentation.of(settings)


def test_loaders_that_cannot_work_are_refused(digits):
    for options, message in [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 8, "seed": -1}, "seed is -1; it is at least 0"),
        ({"batch_size": 9, "share": (0, 2)}, "shared evenly by 2"),
        ({"batch_size": 8, "workers": -1}, "workers is -1"),
    ]:
        with pytest.raises(FrugalnasError, match=message):
            Loader(digits.train, **options)
    with pytest.raises(FrugalnasError, match="timm does not read"):
        epoch(digits.test, augmentation=Augmentation(rand_augment="rand-m9-zz1"))
