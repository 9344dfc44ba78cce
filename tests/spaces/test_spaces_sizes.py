"""What the tabular spaces count is what networks of any size have."""

from __future__ import annotations

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import DARTS, MobileNet, NASBench101, NASBench201
from frugalnas.spaces.sizes import sizes_of


@pytest.mark.parametrize(
    "space",
    [
        NASBench201(width=6, cells=1, input_size=9, classes=3),
        NASBench201(width=4, cells=2, input_size=16, classes=7),
        NASBench101(sampler="random-bits", width=11, cells=2, input_size=9, classes=3),
        NASBench101(width=6, cells=1, input_size=14, classes=5),
    ],
    ids=repr,
)
def test_counts_follow_the_sizes_of_the_networks(space):
    pytest.importorskip("torch")
    from frugalnas.networks import build
    from frugalnas.networks.counting import count_network

    codes = space.sample(3, np.random.default_rng(0))
    counted = [count_network(build(space, code), space.input_size) for code in codes]
    assert space.count("params", codes).tolist() == [each.params for each in counted]
    assert space.count("macs", codes).tolist() == [each.macs for each in counted]


def test_default_sizes_are_the_benchmarks_own():
    assert NASBench201().counted_for == NASBench101().counted_for == "CIFAR-10 network"
    assert "width 8" in NASBench201(width=8).counted_for
    assert repr(NASBench201()) == "NASBench201()"
    assert repr(NASBench201(width=8).where("params<=1e5")) == "NASBench201(width=8, where='params<=100000')"


def test_one_is_no_plural():
    assert sizes_of(NASBench201(width=2, cells=1)) == "nasbench201, width 2, 1 cell, 32x32 pixels, 10 classes"
    assert "1 cell a stage" in NASBench201(cells=1).counted_for
    assert "20 layers" in sizes_of(DARTS())


def test_a_space_of_another_size_keeps_its_limits():
    mask = np.ones((6, 5), np.bool_)
    mask[:, 0] = False
    space = NASBench201().restrict(mask).where("params<=1e6").with_options(width=8, classes=100)
    assert (space.width, space.classes, space.input_size) == (8, 100, 32)
    assert not space.allowed[:, 0].any()
    assert (space.count("params", space.enumerate()) <= 1e6).all()
    with pytest.raises(FrugalnasError, match="params lie between"):
        space.with_options(width=512)
    with pytest.raises(FrugalnasError, match="unknown setting of nasbench201 'widht'; did you mean 'width'"):
        space.with_options(widht=8)


def test_latency_without_a_table_says_how_to_make_one():
    with pytest.raises(FrugalnasError, match="frugalnas measure-latency writes"):
        MobileNet().where("latency<=20")
