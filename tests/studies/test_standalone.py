"""Networks that were trained by themselves, ranked by the angles of their own weights."""

from __future__ import annotations

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.cli.experiment import read_experiment, steps_of
from frugalnas.searches.supernet_scores import open_score
from frugalnas.studies.correlation import correlate
from frugalnas.studies.published import published_taus
from frugalnas.tables import open_table

TABLE = "nasbench201/cifar10"
CELLS = (
    "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|",
    "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|none~2|",
    "|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A supernet of each cell alone, as a person trains one."""
    from frugalnas.cli import main

    root = tmp_path_factory.mktemp("alone")
    for place, cell in enumerate(CELLS):
        typed = ["supernet", "train", "--space", "nasbench201", "--width", 2, "--layers", 1, "--operators", cell]
        typed += [
            "--paths",
            "uniform",
            "--labels",
            "true",
            "--epochs",
            1,
            "--batch-size",
            512,
            "--device",
            "cpu",
            "--quiet",
        ]
        assert main([str(word) for word in [*typed, "--run-dir", root / f"{place}"]]) == 0
    return [root / f"{place}" for place in range(len(CELLS))]


def test_each_is_asked_for_its_own_architecture(runs):
    study = correlate(runs, TABLE, bases=[0])
    assert study.alone
    space, table = fn.NASBench201(), open_table(TABLE)
    assert {space.format(code) for code in study.codes} == set(CELLS)
    (ranking,) = study.rankings
    angles = study.scores[ranking.run, "angle", 0]
    for run, cell in zip(runs, CELLS, strict=True):
        (row,) = [row for row, code in enumerate(study.codes) if space.format(code) == cell]
        code = space.parse(cell)
        assert angles[row] == open_score(run, base=0)(code[None])[0]
        assert study.truth[row] == table.lookup(code)
    assert len(set(angles)) == 3
    assert ranking.value == study.truth[np.argmax(angles)]


def test_what_abs_says_of_fifty_stands_beside(runs, cli, tmp_path):
    said = cli("correlate", *runs, "--table", TABLE, "--base", "0", "--out", tmp_path)
    assert said.code == 0, said.err
    assert "each trained by itself" in said.out
    assert ["ABS:", "angle", "last", "0.833", "1"] in [line.split() for line in said.out.splitlines()]
    assert [tau.tau for tau in published_taus("nasbench201/cifar100", alone=True)] == [0.822]


def test_a_wrong_architecture_is_no_file_of_operators(cli, tmp_path):
    drawn = ("search", "random", "--table", TABLE, "--queries", "1", "--initial", "1", "--quiet", "--run-dir")
    assert cli(*drawn, tmp_path / "one", "--operators", CELLS[0]).code == 0
    assert CELLS[0] in (tmp_path / "one" / "journal.jsonl").read_text()
    refused = cli(*drawn, tmp_path / "other", "--operators", CELLS[0].replace("3x3", "4x4"))
    assert refused.code != 0
    assert "cannot be read" in refused.err


def test_the_fifty_cells_of_abs_are_five_networks(tmp_path):
    steps = steps_of(read_experiment("abs-standalone-nasbench201"), tmp_path)
    cells = [command[command.index("--operators") + 1] for name, command in steps.items() if name != "angle"]
    space, table = fn.NASBench201(), open_table(TABLE)
    codes = np.stack([space.parse(cell) for cell in cells])
    np.testing.assert_array_equal(codes, space.enumerate()[:10000:200])
    assert not codes[:, 4:].any()
    accuracies = table.labels()[table.rows(codes)]
    groups = [accuracies[codes[:, 3] == operation] for operation in range(5)]
    assert [len(group) for group in groups] == [10] * 5
    assert all(np.ptp(group) < 1.1 for group in groups)
