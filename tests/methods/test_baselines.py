"""What nobody searched, beside the winner: of its cost, trained as it was, shown also where it wins."""

from __future__ import annotations

import json

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.methods.baselines import as_costly
from frugalnas.methods.kind import load_method
from frugalnas.methods.rlnas import rlnas
from frugalnas.trainings.network import load_training

SPACE = fn.NASBench201(width=4, cells=1, input_size=8, classes=3)
QUICK = {
    "supernet.epochs": 1,
    "search.generations": 1,
    "search.population": 20,
    "search.mutations": 10,
    "search.crossovers": 10,
    "retrain.epochs": 1,
}


@pytest.fixture(scope="module")
def compared(images, tmp_path_factory, without_onnx):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return rlnas(SPACE, images / "shapes.npz", run_dir=run_dir, settings=QUICK, compute=fn.Compute("cpu"))


def test_baselines_are_trained_as_the_winner_was(compared):
    winner = load_training(compared.run_dir / "stages" / "03-retrain-1")
    assert [each["name"] for each in compared.concluded["baselines"]] == ["random", "resnet18"]
    for place, each in enumerate(compared.concluded["baselines"], 1):
        trained = load_training(compared.run_dir / "stages" / f"{3 + place:02d}-baseline-{place}")
        assert (trained.total_epochs, trained.seed) == (winner.total_epochs, winner.seed)
        assert (each["macs"], each["test"]) == (trained.macs, trained.test.top1)
        low, high = each["test_interval"]
        assert low <= each["test"] <= high


def test_they_are_shown_and_told(compared, cli):
    said = cli("show", compared.run_dir)
    assert "against random" in said.out
    assert "against resnet18" in said.out
    assert json.loads(cli("show", compared.run_dir, "--json").out)["baselines"] == compared.concluded["baselines"]
    page = (compared.run_dir / "report" / "index.html").read_text()
    assert "Against what nobody searched" in page


def test_without_them_the_page_says_so(images, tmp_path, without_onnx, cli):
    run_dir = tmp_path / "run"
    settings = {**QUICK, "baselines.networks": []}
    rlnas(SPACE, images / "shapes.npz", run_dir=run_dir, settings=settings, compute=fn.Compute("cpu"))
    assert load_method(run_dir).concluded["baselines"] == []
    assert cli("show", run_dir).code == 0
    assert "baselines were left out" in (run_dir / "report" / "index.html").read_text()


@pytest.mark.parametrize("seed", range(3))
def test_they_cost_as_much_as_the_winner(seed):
    space = fn.MobileNet(input_size=224, classes=10)
    winner = space.where("macs<=475e6").sample(1, np.random.default_rng(seed))[0]
    macs = space.count("macs", winner[None])[0]
    residual = as_costly("resnet18", space, winner, seed)
    assert residual.space.count("macs", residual.code[None])[0] == pytest.approx(macs, rel=0.03)
    drawn = as_costly("random", SPACE, SPACE.sample(1, np.random.default_rng(seed))[0], seed)
    assert SPACE.valid(drawn.code[None])[0]


def test_a_random_baseline_is_another_network_of_the_cost():
    codes = SPACE.enumerate()
    winner = codes[9_000]
    drawn = [as_costly("random", SPACE, winner, seed).code for seed in range(5)]
    assert len(np.unique(drawn, axis=0)) > 1
    for code in drawn:
        assert SPACE.network_ids(code[None]) != SPACE.network_ids(winner[None])
        macs = SPACE.count("macs", np.stack([code, winner]))
        assert macs[0] == pytest.approx(macs[1], rel=0.02)


def test_an_unknown_baseline_is_refused(images, tmp_path):
    with pytest.raises(FrugalnasError, match="choose one of: random, resnet18"):
        rlnas(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings={"baselines.networks": ["vgg"]})
