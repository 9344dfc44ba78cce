"""The accuracy of a supernet's paths as a score."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from frugalnas.errors import FrugalnasError
from frugalnas.scores.accuracy import SupernetAccuracy
from frugalnas.spaces import DARTS, MobileNet, NASBench201
from frugalnas.supernets import supernet_of
from frugalnas.supernets.calibration import recalibrate

SPACE = NASBench201(width=4, cells=1, input_size=16)
CODES = SPACE.sample(6, np.random.default_rng(0))


def batches(size=16, images=40, seed=0):
    """Two batches, whose classes differ in brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (2, images // 2), generator=generator)
    pixels = torch.randn(2, images // 2, 3, size, size, generator=generator) + labels[:, :, None, None, None]
    return list(zip(pixels, labels, strict=True))


def supernet(space=SPACE):
    torch.manual_seed(0)
    return supernet_of(space)


def test_accuracy_is_that_of_the_path_in_percent() -> None:
    made, data = supernet(), batches()
    score = SupernetAccuracy(made, data)
    made.eval()
    with torch.no_grad():
        for code, value in zip(CODES, score(CODES), strict=True):
            code = SPACE.canonical(code[None])[0]
            right = sum(int((made(images, code).argmax(1) == labels).sum()) for images, labels in data)
            assert value == 100.0 * right / 40


@pytest.mark.typical("nasbench201")
@pytest.mark.parametrize(
    "space",
    [
        SPACE,
        pytest.param(DARTS(width=4, layers=3, input_size=16), marks=pytest.mark.slow),
        MobileNet(width=0.1, input_size=32, classes=10).restrict(np.tile([True, *[False] * 5, True], (21, 1))),
    ],
    ids=["nasbench201", "darts", "mobilenet"],
)
def test_recalibrated_accuracy_leaves_the_supernet_as_it_was(space) -> None:
    made, data = supernet(space).train(), batches(space.input_size)
    before = copy.deepcopy(made.state_dict())
    codes = space.sample(3, np.random.default_rng(0))
    calibration = [images for images, _ in batches(space.input_size, seed=1)]
    values = SupernetAccuracy(made, data, [*calibration, calibration[0][:1]])(codes)  # what is left of a data set
    assert made.training
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for code, value in zip(codes, values, strict=True):
        code = space.canonical(code[None])[0]
        recalibrate(made, code, calibration)
        made.eval()
        with torch.no_grad():
            right = sum(int((made(images, code).argmax(1) == labels).sum()) for images, labels in data)
        assert value == 100.0 * right / 40


@pytest.mark.slow
def test_accuracy_does_not_depend_on_what_was_asked_before() -> None:
    made, data = supernet(), batches()
    calibration = [images for images, _ in batches(seed=1)]
    together = SupernetAccuracy(made, data, calibration)(CODES)
    alone = [SupernetAccuracy(made, data, calibration)(code[None])[0] for code in CODES[::-1]]
    np.testing.assert_array_equal(together, alone[::-1])


def test_what_accuracy_cannot_do_without_is_said() -> None:
    made, data = supernet(), batches()
    refused = {
        "none were given": ([], None),
        "without labels": ([(data[0][0], torch.full((20,), -1))], None),
        "needs images": (data, []),
        "two a batch at least": (data, [data[0][0][:1]]),
    }
    for why, (held_out, calibration) in refused.items():
        with pytest.raises(FrugalnasError, match=why):
            SupernetAccuracy(made, held_out, calibration)
