"""`frugalnas shrink`, and what `--operators` does in every command that searches or trains what is left."""

from __future__ import annotations

import json
import re
import shlex
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import yaml

from frugalnas.searches import load_search
from frugalnas.shrinking import read_operators, read_shrinking, write_operators
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench201, SearchSpace, ShuffleNet

TABLE = ("--table", "nasbench201/cifar10")
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    """The folder of a small supernet, which tests only read."""
    pytest.importorskip("torch")
    from frugalnas.cli import main

    folder = tmp_path_factory.mktemp("supernets") / "whole"
    arguments = ["supernet", "train", "--data", "digits", "--run-dir", folder, *SMALL]
    assert main([str(argument) for argument in arguments]) == 0
    return folder


SMALL = ("--width", 4, "--layers", 1, "--epochs", 1, "--device", "cpu", "--quiet")


def left_of(path: Path | str) -> np.ndarray:
    return read_operators(path, NASBench201()).allowed


def without_none() -> Path:
    """A file of NAS-Bench-201 without `none`."""
    space = NASBench201()
    write_operators("left.json", space.restrict(space.allowed & (np.arange(5) != 0)))
    return Path("left.json")


def allowed_in(folder: Path | str) -> list[list[int]]:
    return yaml.safe_load((Path(folder) / "config.yaml").read_text())["space"]["limits"]["allowed"]


def one_line(said, *wanted: str) -> None:
    assert said.code != 0
    assert said.err.strip().count("\n") == 0, said.err
    for words in wanted:
        assert words in said.err


# -- shrink ------------------------------------------------------------------------------------------------------------


def test_a_table_says_what_a_perfect_score_keeps(cli):
    said = cli("shrink", *TABLE, "--score", "accuracy", "--quiet")
    assert said.code == 0
    assert "exact, of all 15,625 architectures" in said.out
    assert "best left" in said.out
    assert "parameters" in said.out
    path = Path("shrunk-nasbench201-accuracy.json")
    assert f"--operators {path}" in said.out
    assert read_operators(path, NASBench201()).size <= 156
    first = read_shrinking(path, NASBench201()).drops[0]
    assert (first.operator, first.round) == ("none", 0)


def test_json_says_what_the_file_says(cli):
    said = cli("shrink", *TABLE, "--until", "2000", "--statistic", "maximum", "--out", "it.json", "--json", "--quiet")
    numbers = json.loads(said.out)
    space = NASBench201()
    left = read_operators("it.json", space)
    assert numbers["architectures"] == {"before": "15625", "after": str(left.size)}
    assert numbers["file"] == "it.json"
    assert [len(names) for names in numbers["left"].values()] == left.allowed.sum(axis=1).tolist()
    assert len(numbers["dropped"]) == 30 - left.allowed.sum()
    assert all(drop["interval"] == [drop["score"]] * 2 for drop in numbers["dropped"])
    assert numbers["best"]["after"] == numbers["best"]["before"], "the maximum never drops the score's own best"
    assert 0 <= numbers["params"]["dropped_too"] <= len(numbers["dropped"])


def test_one_is_left_where_one_is_asked_for(cli):
    said = cli("shrink", *TABLE, "--score", "params", "--until", 1, "--out", "one.json", "--quiet")
    space = read_operators("one.json", NASBench201())
    only = space.format(space.enumerate()[0])
    assert only.count("nor_conv_3x3") == 6
    assert f"frugalnas train '{only}' --space nasbench201" in said.out


def test_rules_of_abs_are_taken_by_name(cli):
    said = cli(
        "shrink",
        *TABLE,
        "--shrinker",
        "abs-nasbench201",
        "--score",
        "random",
        "--seed",
        3,
        "--out",
        "it.json",
        "--json",
    )
    numbers = json.loads(said.out)
    assert len(numbers["dropped"]) == 20
    assert {drop["round"] for drop in numbers["dropped"]} == {1}
    assert "params" in numbers
    again = cli(
        "shrink", *TABLE, "--shrinker", "abs-nasbench201", "--score", "random", "--seed", 3, "--out", "2.json", "--json"
    )
    assert json.loads(again.out)["dropped"] == numbers["dropped"]


def test_a_rule_that_drops_several_at_once_says_how_far_it_fell(cli):
    said = cli("shrink", *TABLE, "--shrinker", "abs-spos", "--until", "1e2", "--out", "it.json", "--quiet")
    left = read_operators("it.json", NASBench201()).size
    assert left < 50
    assert f"{left} architectures are left, fewer than the 100 that are enough: abs-spos drops 7 at once" in said.out
    assert re.search(rf"operators, too; \d+ architectures would be left, not {left}\b", said.out)


def test_a_single_round_is_one(cli):
    said = cli("shrink", *TABLE, "--shrinker", "abs-nasbench201", "--out", "it.json", "--quiet")
    assert "20 operators in 1 round: 1 round is over; " in said.out


def test_a_limit_counts_what_is_within_it(cli):
    assert cli("shrink", *TABLE, "--where", "params<=0.3M", "--until", 100, "--out", "it.json", "--quiet").code == 0
    space = read_operators("it.json", NASBench201())
    assert space.limits.keys() == {"allowed"}
    assert 1 <= space.where("params<=0.3M").size <= 100


@pytest.mark.pictures
def test_a_supernet_shrinks_its_space_and_a_search_stays_in_it(cli, supernet):
    assert cli("shrink", supernet, "--until", 300, "--out", "shrunk.json", "--quiet").code == 0
    allowed = left_of("shrunk.json")
    restricted = ("--operators", "shrunk.json", "--run-dir", "found", "--quiet")
    options = ("--queries", 30, "--initial", 10, "--population", 10, "--mutations", 5, "--crossovers", 5)
    assert cli("search", "genetic", *options, *restricted, "--supernet", supernet, "--score", "angle").code == 0
    queries = load_search("found").queries
    assert allowed[np.arange(6), queries.codes].all()
    assert allowed_in("found") == [np.flatnonzero(row).tolist() for row in allowed]
    Path("shrunk.json").unlink()
    assert cli("resume", "found").code == 0


@pytest.mark.slow
@pytest.mark.pictures
def test_a_supernet_of_what_is_left_is_scored_and_shrunk_further(cli, supernet):
    left = without_none()
    assert cli("supernet", "train", "--data", "digits", "--run-dir", "sn", "--operators", left, *SMALL).code == 0
    assert len(allowed_in("sn")) == 6
    said = cli("score", "sn", "--operators", left, "--json")
    assert json.loads(said.out)["architectures"] == 4**6
    assert json.loads(cli("score", supernet, "--operators", left, "--json").out)["architectures"] == 4**6
    assert cli("shrink", "sn", "--until", 100, "--out", "further.json", "--quiet").code == 0
    assert not left_of("further.json")[:, 0].any()
    one_line(cli("shrink", "sn", "--until", 4096), "the space of sn is too small", "set a smaller --until")
    space = NASBench201()
    write_operators("other.json", space.restrict(space.allowed & (np.arange(5) < 1)))
    one_line(cli("score", "sn", "--operators", "other.json"), "other.json leaves no operator at")


@pytest.fixture(scope="module")
def layers(tmp_path_factory, seen):
    """The folder of a small supernet of layers with a cheap, a dear and no block, which tests only read."""
    space = MobileNet(width=0.1)
    some = space.restrict(space.allowed & np.isin(np.arange(7), [0, 5, 6]))
    return trained(tmp_path_factory.mktemp("layers") / "run", some, seen)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A few images that five strides fit in."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), np.uint8)
    np.savez(path, images=pictures, labels=np.arange(24) % 2)
    return path


SIMPLE = DARTS(width=4, layers=3)
SIMPLE = SIMPLE.restrict(SIMPLE.allowed & np.isin(np.arange(SIMPLE.allowed.shape[1]) % 8, [3, 4]))
"""Cells of two operations, which are shrunk in less time."""


def trained(folder: Path, space: SearchSpace, images: Path) -> Path:
    pytest.importorskip("torch")
    from frugalnas.trainings.supernet import train_supernet

    train_supernet(space, images, settings={"epochs": 1, "batch_size": 20}, run_dir=folder)
    return folder


@pytest.mark.slow
def test_layers_of_a_supernet_are_shrunk_within_a_limit(cli, layers):
    limit, rule = "macs<=0.45M", ("--shrinker", "abs-spos", "--until", 1)
    said = cli("shrink", layers, "--where", limit, *rule, "--out", "it.json", "--json", "--quiet")
    numbers = json.loads(said.out)
    assert numbers["said"].startswith("exact moments, expanded to second order")
    assert numbers["ended"] == "a single architecture is left"
    sized = MobileNet(width=0.1, input_size=32, classes=2)
    only = read_operators("it.json", sized).sample(1, np.random.default_rng(0))
    assert sized.where(limit).valid(only).all()
    assert sized.format(only[0]) == numbers["architecture"]
    assert any(drop["score"] is None for drop in numbers["dropped"]), "some fit nowhere"


@pytest.mark.slow
def test_a_limit_that_no_operator_of_any_layer_meets_is_one_line(cli, layers):
    one_line(
        cli("shrink", layers, "--where", "macs<=1"),
        "no architecture of mobilenet",
        "between 280024 and",
        "set the limit",
    )
    space = MobileNet()
    write_operators("dear.json", space.restrict(space.allowed & (np.arange(7) == 5)))
    said = cli("shrink", layers, "--operators", "dear.json", "--where", "macs<=0.45M")
    one_line(said, "no architecture of mobilenet", "macs lie between 1.56093e+06 and 1.56093e+06; set the limit there")
    assert not list(Path().glob("shrunk*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "rule"),
    [
        (SIMPLE, "one-by-one"),
        (DARTS(width=4, layers=3, duplicates=False), "abs-darts"),
        (FairNAS(width=0.1), "abs-fairnas"),
        (NASBench201(width=2, cells=1), "one-by-one"),
        (ShuffleNet(width=0.5), "one-by-one"),
    ],
    ids=["darts", "darts as abs has it", "fairnas", "nasbench201", "shufflenet"],
)
def test_every_supernet_is_shrunk_to_a_single_architecture(cli, tmp_path, seen, space, rule):
    run = trained(tmp_path / "run", space, seen)
    said = cli("shrink", run, "--shrinker", rule, "--until", 1, "--out", "one.json", "--json", "--quiet")
    numbers = json.loads(said.out)
    assert numbers["ended"] == "a single architecture is left"
    only = read_operators("one.json", space)
    assert only.size == 1
    assert only.format(only.sample(1, np.random.default_rng(0))[0]) == numbers["architecture"]


@pytest.mark.slow
def test_accuracy_of_a_supernet_is_drawn_with_an_interval(cli, supernet):
    how = (
        "--score",
        "accuracy",
        "--draws",
        6,
        "--images",
        20,
        "--no-recalibrate",
        "--until",
        6000,
        "--json",
        "--quiet",
    )
    numbers = json.loads(cli("shrink", supernet, *how).out)
    assert "a sample of" in numbers["said"]
    assert all(None in drop["interval"] or np.diff(drop["interval"]) >= 0 for drop in numbers["dropped"])


# -- what is left, everywhere ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_a_table_is_searched_and_compared_within_it(cli):
    left = without_none()
    assert cli("search", "evolution", "--queries", 60, "--operators", left, "--run-dir", "s", "--quiet").code == 0
    assert (load_search("s").queries.codes > 0).all()
    said = cli(
        "compare", "random,evolution", "--queries", 60, "--seeds", 2, "--operators", left, "--run-dir", "c", "--quiet"
    )
    assert said.code == 0
    assert allowed_in("c") == [[1, 2, 3, 4]] * 6
    for found in Path("c").rglob("queries.parquet"):
        import pyarrow.parquet as pq

        texts = pq.read_table(found)["architecture"].to_pylist()
        assert texts
        assert not any("none" in text for text in texts)


def test_a_supernet_and_an_encoder_see_it_alone(cli):
    pytest.importorskip("torch")
    left = without_none()
    assert cli("pretrain", "ss-rl", "--operators", left, "--epochs", 1, "--out", "e", "--quiet").code == 0
    assert allowed_in("e") == [[1, 2, 3, 4]] * 6


def test_predictors_are_compared_within_it(cli):
    left = without_none()
    how = ("--budgets", 20, "--trials", 2, "--held-out", 200, "--run-dir", "p", "--quiet")
    assert cli("compare-predictors", "ridge", "--operators", left, *how).code == 0
    assert allowed_in("p") == [[1, 2, 3, 4]] * 6


def test_labels_outside_it_are_not_learnt_from(cli):
    left, space = without_none(), NASBench201()
    codes = space.sample(200, np.random.default_rng(0))
    inside = codes[(codes > 0).all(axis=1)]
    assert 30 < len(inside) < len(codes)
    how = ("compare-predictors", "ridge", "--space", "nasbench201", "--operators", left, "--budgets", 10, "--trials", 1)
    for name, rows in (("all.csv", codes), ("inside.csv", inside)):
        lines = [f"{space.format(code)},{code.sum()}" for code in rows]
        Path(name).write_text("\n".join(["architecture,value", *lines]))
    said = cli(*how, "--labels", "all.csv", "--run-dir", "p", "--quiet")
    first = int(np.argmax((codes == 0).any(axis=1)))
    one_line(said, f"all.csv, row {first + 1}: {space.format(codes[first])} is not in what is left of nasbench201")
    assert not Path("p").exists()
    assert cli(*how, "--labels", "inside.csv", "--run-dir", "p", "--quiet").code == 0
    assert allowed_in("p") == [[1, 2, 3, 4]] * 6


def test_rows_of_a_table_outside_it_are_left_out(cli):
    said = cli(
        "compare-predictors", "ridge", "--operators", without_none(), "--budgets", 10, "--trials", 1, "--run-dir", "p"
    )
    assert said.code == 0
    assert "4,096" in said.out


def test_networks_outside_are_not_counted(cli):
    pytest.importorskip("torch")
    left = without_none()
    for command in (("count", CELL), ("fit", CELL, "--where", "macs<=100M")):
        one_line(cli(*command, "--operators", left), "has none at 3<-0, which left.json does not leave")
        assert cli(*command[:1], CELL.replace("none", "skip_connect"), *command[2:], "--operators", left).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rlnas", "abs"])
def test_methods_plan_within_it(cli, method):
    pytest.importorskip("torch")
    left = without_none()
    said = cli(method, "--data", "digits", "--space", "nasbench201", "--operators", left, "--dry-run")
    assert said.code == 0
    assert "4,096 architectures" in said.out


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_one_line(cli):
    Path("there.json").touch()
    one_line(cli("shrink"), "give one")
    one_line(cli("shrink", *TABLE, "--out", "there.json"), "there.json is already there; choose another --out")
    one_line(
        cli("shrink", *TABLE, "--out", "missing/it.json"), "missing is not there; make it, or choose another --out"
    )
    one_line(cli("shrink", *TABLE, "--until", 20_000), "is too small", "15,625 architectures are left")
    one_line(cli("shrink", *TABLE, "--until", 0), "until is 0; it is at least 1")
    one_line(cli("shrink", *TABLE, "--until", 1.5), "'1.5' is not a whole number")
    one_line(cli("shrink", *TABLE, "--score", "accurracy"), "accuracy")
    one_line(cli("shrink", *TABLE, "--shrinker", "spos"), "unknown shrinker 'spos'", "abs-spos")
    one_line(cli("shrink", *TABLE, "--rule", "abs-spos"), "--rule abs-spos says which angle of a supernet is meant")
    one_line(cli("shrink", *TABLE, "--statistic", "median"), "mean, best-tenth")
    one_line(cli("shrink", *TABLE, "--epoch", 3), "--epoch 3")
    one_line(cli("shrink", *TABLE, "--where", "params<=1"), "params lie between 73306")
    one_line(cli("shrink", "runs/nothing"), "runs/nothing")
    one_line(cli("report", "operators", "it.json", "--json"), "(frugalnas report operators --help lists what there is)")
    one_line(cli("shrink", "runs/nothing", *TABLE), "frugalnas: runs/nothing and --table both say", "give one")
    assert list(Path().iterdir()) == [Path("there.json")]


def test_rules_that_drop_more_than_there_is_are_refused(cli):
    said = cli("shrink", *TABLE, "--shrinker", "abs-nasbench201", "--operators", without_none(), "--out", "it.json")
    one_line(said, "abs-nasbench201 drops 20 operators, but nasbench201 has 24 at 6 places")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fairnas", "abs"])
def test_layers_that_cannot_be_trained_fairly_are_named(cli, seen, method):
    space = FairNAS()
    left = space.allowed.copy()
    left[3, 2:] = False
    write_operators("ragged.json", space.restrict(left))
    rule = ("--set", "shrinking.shrinker=abs-fairnas", "--set", "shrunk.recipe=fairnas", "--until", "1e7")
    how = ("--space", "fairnas", "--data", seen, "--operators", "ragged.json", "--set", "space.width=0.1", "--dry-run")
    said = cli(method, *how, *(rule if method == "abs" else ()))
    assert "most have 6, layer 3 has 2; take uniform" in said.err.splitlines()[-1]
    assert said.code != 0


def test_files_that_do_not_fit_are_one_line(cli):
    write_operators("mobile.json", MobileNet())
    one_line(cli("search", "--operators", "mobile.json"), "mobile.json is of mobilenet, not of nasbench201")
    one_line(cli("search", "--operators", "nothing.json"), "nothing.json: cannot be read")
    data = json.loads(without_none().read_text())
    data["places"][2]["operators"] = []
    Path("empty.json").write_text(json.dumps(data))
    one_line(cli("compare", "random", "--operators", "empty.json"), "leaves no operator at")
    data["places"][2]["operators"] = [{"name": "conv9", "id": 9}]
    Path("unknown.json").write_text(json.dumps(data))
    one_line(cli("rlnas", "--data", "digits", "--operators", "unknown.json", "--dry-run"), "the operator 'conv9' at")


def test_scores_that_are_no_numbers_are_one_line(cli, supernet, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(supernet, broken)
    for path in broken.rglob("*.safetensors"):
        state = load_file(path)
        save_file(
            {name: value * float("nan") if value.is_floating_point() else value for name, value in state.items()}, path
        )
    said = cli("shrink", broken, "--quiet")
    one_line(said, "are not finite: there is no angle; take an earlier epoch")
    assert not list(Path().glob("*.json"))


def test_what_is_left_is_searched_by_the_command_that_is_printed_however_little_it_is(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for until in (10, 1):
        shrunk = cli(
            "shrink", *TABLE, "--score", "params", "--until", until, "--out", f"{until}.json", "--json", "--quiet"
        )
        assert int(json.loads(shrunk.out)["architectures"]["after"]) <= until
        for strategy in ("random", "genetic"):
            found = cli("search", strategy, "--operators", f"{until}.json", "--quiet")
            assert 1 <= int(re.search(r"(\d+) queries spent", found.out)[1]) <= until
    printed = cli("shrink", *TABLE, "--score", "params", "--until", 20, "--out", "20 of them.json", "--quiet").out
    command = shlex.split(printed.splitlines()[-1].removeprefix("Search what is left: "))
    assert cli(*command[1:], "--quiet", "--run-dir", "printed").code == 0
    compared = cli("compare", "random,evolution", "--operators", "10.json", "--seeds", 2, "--quiet")
    assert compared.code == 0
    one_line(
        cli("search", "random", "--operators", "1.json", "--queries", 5), "more than nasbench201 has networks here (1)"
    )


def test_one_architecture_stands_for_its_operators_however_long_it_is():
    from frugalnas.cli.options import within_operators

    space = DARTS()
    code = space.sample(1, np.random.default_rng(0))[0]
    left = within_operators(space, Namespace(operators=Path(space.format(code))))
    np.testing.assert_array_equal(left.enumerate(), code[None])
