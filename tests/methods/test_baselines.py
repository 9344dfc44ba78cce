"""What nobody searched, beside the winner: of its cost, trained as it was, shown also where it wins."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from torchvision.models import mobilenet_v3_large

import frugalnas as fn
from frugalnas.cli import main
from frugalnas.errors import FrugalnasError
from frugalnas.methods.baselines import as_costly
from frugalnas.methods.kind import load_method
from frugalnas.methods.method import settle
from frugalnas.methods.rlnas import RLNAS
from frugalnas.networks import weightless
from frugalnas.networks.counting import count_network
from frugalnas.shrinking import write_operators
from frugalnas.trainings.network import proposed_training

SPACE = fn.NASBench201(width=4, cells=1, input_size=8, classes=3)
QUICK = (
    "supernet.epochs=1", "supernet.batch_size=16", "search.generations=1", "search.population=8", "search.parents=4",
    "search.mutations=4", "search.crossovers=4", "retrain.epochs=1",
)  # fmt: skip
SCORED = ("score.images=8",)
OF = {
    "rlnas": (),
    "abs": (*SCORED, "shrinking.drop=20", "shrinking.epochs=1", "shrunk.epochs=1", "shrunk.batch_size=16"),
    "spos": SCORED,
    "fairnas": SCORED,
}
"""Settings of each method."""


def arguments(method, data, run_dir, *options):
    """Of a command that is over in a moment."""
    sizes = ("--space", "nasbench201", "--set", "space.width=4", "--set", "space.cells=1")
    own = [part for setting in (*QUICK, *OF[method]) for part in ("--set", setting)]
    said = [method, "--data", data, "--run-dir", run_dir, *sizes, *own, "--device", "cpu", "--quiet", *options]
    return [str(each) for each in said]


@pytest.fixture(scope="module", params=OF)
def compared(request, images, tmp_path_factory, without_onnx):
    """A run of each method within the operators of a file: no cell has `none`."""
    folder = tmp_path_factory.mktemp("runs")
    write_operators(folder / "left.json", SPACE.restrict(SPACE.allowed & (np.arange(5) != 0)))
    how = ("--operators", folder / "left.json")
    assert main(arguments(request.param, images / "shapes.npz", folder / "run", *how)) == 0
    (folder / "left.json").unlink()
    return load_method(folder / "run")


def trained_in(run, group):
    return [stage.load() for stage in run.stages if stage.group == group]


@pytest.mark.typical("rlnas")
def test_a_method_stays_within_the_operators_of_a_file(compared):
    assert not compared.space.allowed[:, 0].any()
    for group in ("supernet", "shrunk", "search"):
        for each in trained_in(compared, group):
            assert not each.space.allowed[:, 0].any()
            assert group != "search" or (each.codes > 0).all()
    (found,) = trained_in(compared, "retrain")
    drawn, _ = trained_in(compared, "baseline")
    assert (found.code > 0).all()
    assert (drawn.code > 0).all()


@pytest.mark.typical("rlnas")
def test_baselines_are_trained_as_the_winner_was(compared):
    (winner,) = trained_in(compared, "retrain")
    assert [each["name"] for each in compared.concluded["baselines"]] == ["random", "resnet18"]
    for each, trained in zip(compared.concluded["baselines"], trained_in(compared, "baseline"), strict=True):
        assert (trained.total_epochs, trained.seed) == (winner.total_epochs, winner.seed)
        assert (each["macs"], each["test"]) == (trained.macs, trained.test.top1)
        low, high = each["test_interval"]
        assert low <= each["test"] <= high


@pytest.mark.typical("rlnas")
def test_they_are_shown_and_told(compared, cli):
    said = cli("show", compared.run_dir)
    assert "against random" in said.out
    assert "against resnet18" in said.out
    told = json.loads(cli("show", compared.run_dir, "--json").out)
    assert told["baselines"] == compared.concluded["baselines"]
    assert "They do not say how much another training seed would change it." in told["intervals"]
    page = (compared.run_dir / "report" / "index.html").read_text()
    assert "Against what nobody searched" in page
    assert "Deep residual learning" in page
    assert told["intervals"] in page


@pytest.mark.typical("rlnas")
def test_they_are_shown_where_they_win(compared, tmp_path, cli):
    run_dir = shutil.copytree(compared.run_dir, tmp_path / "run")
    concluded = json.loads((run_dir / "result.json").read_text())
    concluded["candidates"][concluded["winner"]] |= {"test": 30.0, "test_interval": [20.0, 40.0]}
    concluded["baselines"][0] |= {"test": 70.0, "test_interval": [60.0, 80.0]}
    concluded["baselines"][1] |= {"test": 45.0, "test_interval": [35.0, 55.0]}
    (run_dir / "result.json").write_text(json.dumps(concluded))
    assert "70.00 % (60.0 to 80.0)" in cli("show", run_dir).out
    page = (run_dir / "report" / "index.html").read_text()
    assert "Against random: the winner is below it." in page
    assert "Against resnet18: the test images do not tell the winner from it." in page


@pytest.mark.slow
def test_without_them_the_page_says_so(images, tmp_path, without_onnx, cli):
    run_dir = tmp_path / "run"
    assert cli(*arguments("rlnas", images / "shapes.npz", run_dir, "--no-baselines")).code == 0
    assert load_method(run_dir).concluded["baselines"] == []
    assert "baselines were left out" in (run_dir / "report" / "index.html").read_text()


@pytest.mark.typical("0")
@pytest.mark.parametrize("seed", range(2))
def test_they_cost_as_much_as_the_winner(seed):
    space = fn.MobileNet(input_size=224, classes=10)
    winner = space.where("macs<=475e6").sample(1, np.random.default_rng(seed))[0]
    macs = space.count("macs", winner[None])[0]
    for name in ("resnet18", "mobilenetv3"):
        plain = as_costly(name, space, winner, seed)
        assert (plain.space.input_size, plain.space.classes) == (224, 10)
        assert plain.space.count("macs", plain.code[None])[0] == pytest.approx(macs, rel=0.03)
    drawn = as_costly("random", SPACE, SPACE.sample(1, np.random.default_rng(seed))[0], seed)
    assert SPACE.valid(drawn.code[None])[0]


def test_mobilenetv3_costs_what_torchvisions_does():
    space = fn.OnceForAll(width=1.0, input_size=224, classes=1000)
    code = space.parse("MobileNetV3")
    with weightless():
        theirs = count_network(mobilenet_v3_large(), 224)
    assert space.count("macs", code[None])[0] == pytest.approx(theirs.macs, rel=0.025)
    assert space.count("params", code[None])[0] == pytest.approx(theirs.params, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["mobilenet", "once-for-all"])
def test_mobile_networks_are_compared_with_a_mobile_one(space, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    method = settle(RLNAS, space, tmp_path / "images.npz", compute=fn.Compute("cpu")).method
    assert method.baselines.networks == ("random", "mobilenetv3")


@pytest.mark.slow
def test_an_auxiliary_head_is_for_networks_that_have_one(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    space, settings = fn.DARTS(width=4, layers=3), {"retrain.auxiliary": "darts"}
    method = settle(RLNAS, space, tmp_path / "images.npz", settings=settings, compute=fn.Compute("cpu")).method
    space = method.spaces.retrained
    winner = space.sample(1, np.random.default_rng(0))[0]
    for name, head in (("random", "darts"), ("resnet18", None)):
        architecture = as_costly(name, space, winner, 0)
        proposal = proposed_training(architecture, method.images(None), seed=0, **method.baselines.how(name))
        assert proposal.config["recipe"]["auxiliary"] == head


def test_a_random_baseline_is_another_network_of_the_cost():
    codes = SPACE.enumerate()
    winner = codes[9_000]
    drawn = [as_costly("random", SPACE, winner, seed).code for seed in range(5)]
    assert len(np.unique(drawn, axis=0)) > 1
    for code in drawn:
        assert SPACE.network_ids(code[None]) != SPACE.network_ids(winner[None])
        macs = SPACE.count("macs", np.stack([code, winner]))
        assert macs[0] == pytest.approx(macs[1], rel=0.02)


def test_an_unknown_baseline_is_refused(images):
    with pytest.raises(FrugalnasError, match="choose one of: random, resnet18, resnet34, mobilenetv3"):
        settle(RLNAS, SPACE, images / "shapes.npz", settings={"baselines.networks": ["vgg"]})
