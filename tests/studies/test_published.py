"""Rank correlations that others published, and the files that ABS's program keeps them in."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.studies.published import PublishedTau, published_taus, read_taus


def saved(path, content):
    """A file as the torch of ABS's day wrote it."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def test_a_file_over_seeds_comes_back_as_mean_and_deviation(tmp_path):
    angle, accuracy = {0: 0.57, 1: 0.58, 2: 0.575}, {0: np.float64(0.5), 1: np.float64(0.6), 2: np.float64(0.55)}
    path = saved(tmp_path / "seeds.tau", OrderedDict(angle=angle, acc=accuracy, add={0: 0.7}))
    first, second, third = read_taus(path, "seeds")
    assert (first.source, first.score, first.seeds) == ("seeds.tau", "angle", 3)
    assert [first.tau, first.deviation] == pytest.approx([0.575, 0.005])
    assert [second.score, second.tau, second.deviation] == ["accuracy", pytest.approx(0.55), pytest.approx(0.05)]
    assert (third.score, third.deviation) == ("angle+accuracy", None)


def test_epochs_count_from_one_here_and_come_in_order(tmp_path):
    path = saved(tmp_path / "epochs.tau", {"acc_no_rebn": {"19": 0.1, "9": 0.2, 249: -0.5}})
    found = read_taus(path, "epochs")
    assert [(tau.epoch, tau.tau) for tau in found] == [(10, 0.2), (20, 0.1), (250, -0.5)]
    assert found[0].score == "accuracy without recalibration"


def test_sizes_of_the_program_are_those_of_ours_that_are_meant(tmp_path):
    space = fn.NASBench201()
    sizes = np.unique(space.count("params", space.enumerate()))
    found = read_taus(saved(tmp_path / "params.tau", {"angle": {"0.315": 0.6, 0.559: 0.5}}), "params")
    assert [[size for size in sizes if tau.is_of(size)] for tau in found] == [[316346], [559386]]
    assert not any(tau.is_of(316346) for tau in published_taus("nasbench201/cifar10") if tau.params is None)


@pytest.mark.parametrize(
    ("content", "of", "said"),
    [
        ([0.5], "seeds", "no .tau file of ABS"),
        ({"angle": [0.5]}, "seeds", "no .tau file of ABS"),
        ({"angle": {}}, "seeds", "angle has no taus"),
        ({"angle": {0: 1.5}}, "seeds", "a tau between -1 and 1"),
        ({"angle": {0: float("nan")}}, "seeds", "a tau between -1 and 1"),
        ({"angle": {"first": 0.5}}, "seeds", "in place of a whole number"),
        ({"angle": {0.315: 0.5}}, "epochs", "in place of a whole number"),
        ({"angle": {0: torch.ones(1)}}, "seeds", "a tau between -1 and 1"),
        ({"angle": {0: 0.5}}, "seed", "did you mean 'seeds'"),
    ],
)
def test_another_file_is_refused(tmp_path, content, of, said):
    with pytest.raises(FrugalnasError, match=said):
        read_taus(saved(tmp_path / "some.tau", content), of)


def test_a_file_that_would_run_something_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    with pytest.raises(FrugalnasError, match="print"):
        read_taus(saved(tmp_path / "evil.tau", {"angle": {0: Evil()}}), "seeds")


def test_the_published_numbers_say_what_the_paper_concludes():
    for table in ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120"):
        over_seeds = {tau.score: tau for tau in published_taus(table) if tau.seeds == 10}
        assert over_seeds["angle+accuracy"].tau > over_seeds["angle"].tau > over_seeds["accuracy"].tau
        assert over_seeds["accuracy"].deviation > 10 * over_seeds["angle"].deviation
        groups = {
            score: [t.tau for t in published_taus(table) if t.params and t.score == score] for score in over_seeds
        }
        assert all(angle > accuracy for angle, accuracy in zip(groups["angle"], groups["accuracy"], strict=True))
    assert PublishedTau("ABS", "angle", 0.546, seeds=5, epoch=10) in published_taus("nasbench201/cifar10")
    assert published_taus("nasbench101") == []
