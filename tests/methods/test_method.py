"""A method of one's own is a page: what it says by itself, and the command, the plan, resuming and the page that come with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from frugalnas.evaluation import FunctionEvaluator
from frugalnas.methods.conclusion import best_of
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.parts import GeneticSearch, Retraining
from frugalnas.registry import METHODS
from frugalnas.runs.stages import Stages
from frugalnas.scores.base import Counted

QUICK = {"search.generations": 1, "search.population": 12, "search.parents": 4}


def convolutions(architecture: str) -> float:
    return float(architecture.count("conv_3x3"))


# -- the page ------------------------------------------------------------------------------------------------------------


class MostConvolutions(ImageMethod):
    """The network with the most convolutions, trained from scratch."""

    help = "find the network with the most convolutions"
    defaults: ClassVar[Mapping[str, Any]] = {
        "name": "most-convolutions",
        "search": {"population": 12, "parents": 4, "mutations": 6, "crossovers": 6, "generations": 1},
        "retrain": {"top": 1, "epochs": 1},
    }

    search: GeneticSearch
    retrain: Retraining

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Search, retrain the best."""
        space = self.spaces.retrained
        found = self.search.run(stages, FunctionEvaluator(space, function="test_method:convolutions"))
        best = best_of(found, Counted(space), quick=False)
        return self.conclude(stages, best, self.retrain.run(stages, best.codes))


# -- what comes with it --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def registered():
    METHODS.register("most-convolutions", "test_method:MostConvolutions")
    yield
    del METHODS.targets["most-convolutions"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 255, (60, 8, 8, 3), np.uint8), labels=np.arange(60) % 3)
    return path


@pytest.mark.pictures
def test_a_method_of_ones_own_is_a_command_with_a_plan_stages_resume_and_a_page(
    images, tmp_path, cli, monkeypatch, without_onnx
):
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "run"
    command = [
        "most-convolutions", "--data", images, "--space", "nasbench201", "--set", "space.width=2", "--set",
        "space.cells=1", "--device", "cpu", "--retrain-top", 2, "--quiet",
    ]  # fmt: skip
    planned = cli(*command, "--dry-run")
    assert planned.code == 0, planned.err
    assert "search   12 architectures scored by score" in planned.out
    assert "2 from scratch, each 1 epoch," in planned.out
    begun = cli(*command, "--run-dir", run_dir, "--stage", "search")
    assert begun.code == 0, begun.err
    assert "unfinished" in begun.out
    refused = cli("resume", run_dir, "--set", "search.generations=3")
    assert "search.generations cannot be changed: search has begun" in refused.err
    ended = cli("resume", run_dir, "--quiet", "--set", "retrain.batch_size=8")
    assert ended.code == 0, ended.err
    assert "validation" in ended.out
    assert ended.out.replace("time", "") == cli("show", run_dir).out.replace("time", "")
    numbers = json.loads(cli("show", run_dir, "--json").out)
    assert [stage["name"] for stage in numbers["stages"]] == ["search", "retrain-1", "retrain-2"]
    assert "most-convolutions" in cli("runs", "list", "--root", tmp_path).out
    page = (run_dir / "report" / "index.html").read_text()
    for said in ("MOST-CONVOLUTIONS on images.npz", "Genetic search: 12 architectures scored", "What it cost"):
        assert said in page
    assert cli("most-convolutions", "--help").out.startswith("usage: frugalnas most-convolutions")
