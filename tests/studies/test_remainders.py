"""What shrinking leaves of a space: judged by a table, by scores that need a supernet and scores that need none."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.studies.remainders import compare_shrinking
from frugalnas.tables import Column, Contents, open_table, write_table
from frugalnas.tables.catalogue import table_folder

CIFAR10 = "nasbench201/cifar10"


@pytest.fixture(scope="module")
def known():
    """Scores that ask no supernet, one operator at a time."""
    return compare_shrinking([], [CIFAR10], ["random", "params", "labels", "labels:100"], trials=3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a small supernet."""
    pytest.importorskip("torch")
    from frugalnas.trainings.supernet import train_supernet

    root = tmp_path_factory.mktemp("supernets")
    settings = {"epochs": 1, "batch_size": 512, "lr": 0.05, "base_epochs": [0], "angle_base": 0}
    for seed in (0, 1):
        space = fn.NASBench201(width=2, cells=1)
        train_supernet(space, run_dir=root / f"{seed}", settings=settings, seed=seed, compute=fn.Compute("cpu"))
    return [root / "0", root / "1"]


def by_score(found, score):
    return [each for each in found.found if each.score == score]


def test_the_first_sub_space_that_is_small_enough_is_judged(known):
    table = open_table(CIFAR10)
    best = np.nanmax(table.labels())
    assert len(known.found) == 3 + 3 + 1 + 3
    for each in known.found:
        assert all(left <= size for left, size in zip(each.sizes, known.sizes, strict=True))
        assert list(each.sizes) == sorted(each.sizes, reverse=True)
        assert list(each.best) == sorted(each.best, reverse=True)
        assert all(share <= left / 156 for share, left in zip(each.share, each.sizes, strict=True))
        assert (np.array(each.best) <= best).all()
        assert len(set(each.ranks)) == len(each.ranks)
        assert set(each.ranks) <= set(range(1, 31))


def test_who_knows_more_keeps_more(known):
    """As measured: labels keep 76 of 100 at 2,000 cells, of which a tenth of a hundredth is known 65, parameters 34, chance 6."""
    shares = {name: np.mean([each.share[0] for each in by_score(known, name)]) for name in ("random", "params")}
    (labels,) = by_score(known, "labels")
    learned = np.mean([each.share[0] for each in by_score(known, "labels:100")])
    assert labels.best[-1] == pytest.approx(91.61, abs=0.01)
    assert labels.share[0] == pytest.approx(0.76, abs=0.02)
    assert labels.share[0] > learned > shares["params"] > shares["random"]


def test_seeds_draw_the_order_of_operators_that_cost_the_same(known):
    first, second, _ = by_score(known, "params")
    assert first.ranks != second.ranks
    again = compare_shrinking([], [CIFAR10], ["params"], trials=1)
    assert again.found == (first,)


def test_the_maximum_never_drops_what_it_knows_to_be_best():
    best = np.nanmax(open_table(CIFAR10).labels())
    (labels,) = compare_shrinking([], [CIFAR10], ["labels"], statistic="maximum", sizes=(500, 1)).found
    assert labels.sizes[-1] == 1
    assert labels.best == (best, best)


def test_at_once_the_truth_drops_operators_in_the_order_of_their_ranks():
    (labels,) = compare_shrinking([], [CIFAR10], ["labels"], shrinker="abs-nasbench201", sizes=(100, 2)).found
    assert len(labels.ranks) == 20
    assert list(labels.ranks) == sorted(labels.ranks, reverse=True)
    assert labels.sizes[-1] is None  # the rule ends before
    assert labels.share[-1] is None


@pytest.mark.slow
def test_supernets_that_differ_in_their_seeds_are_one_line(runs):
    found = compare_shrinking(runs, [CIFAR10], ["angle", "angle+params"], sizes=(1000,))
    lines = found.numbers()
    assert [line["score"] for line in lines] == ["angle", "angle+params"]
    assert all(line["seeds"] == [0, 1] for line in lines)
    mean, deviation = lines[0]["share"][0]
    shares = [each.share[0] for each in by_score(found, "angle")]
    assert [mean, deviation] == pytest.approx([np.mean(shares), np.std(shares, ddof=1)])


def test_the_command_writes_each_seed_and_shows_what_abs_dropped(cli, tmp_path):
    arguments = ("compare-shrinking", "--table", CIFAR10, "--trials", "2", "--sizes", "500,100", "--out", tmp_path)
    said = cli(*arguments, "--scores", "random,params", "--shrinker", "abs-nasbench201")
    assert said.code == 0, said.err
    assert ["ABS:", "angle", "3", "-", "-", "9", "9", "9"] in [line.split() for line in said.out.splitlines()]
    with (tmp_path / "shrinking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2
    assert len(rows[0]["ranks"].split()) == 20
    numbers = json.loads(cli(*arguments, "--scores", "random", "--json").out)
    assert [line["score"] for line in numbers] == ["random"]
    assert numbers[0]["sizes"] == [500, 100]


def test_torch_is_not_needed_without_supernets(tmp_path):
    command = f"""
import sys
from frugalnas.cli import main
assert main(["compare-shrinking", "--table", "{CIFAR10}", "--scores", "random", "--out", "{tmp_path}"]) == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", command], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scores", "angle"], "angle is a score of supernets; name their folders"),
        (["--scores", "labels:1"], "labels:1 needs a number of labels"),
        (["--scores", "labels:20000"], "has 15,625 labels, not 20,000"),
        (["--sizes", "10,0"], "size is 0; it is at least 1"),
        (["--table", "nasbench202"], "unknown table"),
        (["--shrinker", "one"], "unknown shrinker 'one'"),
        (["--against", "test"], "unknown column"),
        (["--trials", "0"], "trials is 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_refused_in_one_line(cli, arguments, said):
    outcome = cli("compare-shrinking", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_table_of_another_space_is_refused(fresh_cache):
    for space in (fn.NASBench201(), fn.MobileNet()):
        codes, name = space.sample(3, np.random.default_rng(0)), f"{space.name}/toy"
        columns = [Column("validation", np.ones((3, 1)))]
        contents = Contents(
            name=name, space=space, codes=codes, columns=columns, source={"file": "none"}, licence="none"
        )
        write_table(table_folder(name), contents)
    with pytest.raises(FrugalnasError, match="mobilenet/toy is of mobilenet, not of nasbench201"):
        compare_shrinking([], ["nasbench201/toy", "mobilenet/toy"], ["random"])


@pytest.mark.slow
def test_accuracies_of_a_supernet_are_drawn(runs):
    (found,) = compare_shrinking(runs[:1], [CIFAR10], ["accuracy"], draws=5, sizes=(8000,)).found
    assert 0 < found.sizes[0] <= 8000
    assert len(found.ranks) < 20


def test_operators_that_are_dropped_by_gene_are_not_taken_for_those_of_places():
    from frugalnas.scores import drawn_scores
    from frugalnas.shrinking import Shrinking, shrinker_for
    from frugalnas.studies.remainders import shrunk, sub_spaces

    space = fn.DARTS()
    end = shrunk(Shrinking(space, replace(shrinker_for(space), until=1, drop=50)), lambda left: drawn_scores(left, 0))
    assert {step.by for step in end.steps} == {"place", "gene"}
    found = sub_spaces(end)
    assert len(found) == len(end.drops) + 1
    np.testing.assert_array_equal(found[-1].allowed, end.space.allowed)
    assert found[-1].size == 1


def test_what_is_given_twice_or_misspelt_is_refused():
    with pytest.raises(FrugalnasError, match="params"):
        compare_shrinking([], [CIFAR10], ["params", "params"])
    with pytest.raises(FrugalnasError, match="unknown score 'labelz'; did you mean 'labels'"):
        compare_shrinking([], [CIFAR10], ["labelz"])
