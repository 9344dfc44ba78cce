"""ABS from end to end: rounds that drop operators, what goes on after them, what interrupts them, and its settings."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.methods.abs import ABS, abs
from frugalnas.methods.estimates import seconds_of_one, seconds_of_scoring
from frugalnas.methods.kind import MethodRun
from frugalnas.methods.method import settle
from frugalnas.methods.recipe import load_method_recipe, method_recipes
from frugalnas.methods.shrinking import Shrunk
from frugalnas.runs.progress import Callback
from frugalnas.runs.stages import load_stages, network_of
from frugalnas.scores import operator_scores
from frugalnas.searches.supernet_scores import open_score
from frugalnas.shrinking import read_operators, read_shrinking
from frugalnas.supernets import SupernetRecipe
from frugalnas.training import Compute
from frugalnas.trainings.supernet import load_supernet

QUICK = {
    "supernet.epochs": 2,
    "supernet.batch_size": 16,
    "shrinking.drop": 9,
    "shrinking.epochs": 1,
    "shrunk.epochs": 1,
    "shrunk.batch_size": 16,
    "score.images": 8,
    "search.generations": 1,
    "search.population": 8,
    "search.parents": 4,
    "search.mutations": 4,
    "search.crossovers": 4,
    "baselines.networks": [],
    "retrain.epochs": 1,
}
SPACE = fn.NASBench201(width=2, cells=1)
CPU = Compute("cpu")


class StopAt(Callback):
    """An interruption of one stage: where it begins, or at a step of its training."""

    def __init__(self, stage, step=None):
        self.stage, self.step, self.under_way = stage, step, ""

    def on_stage(self, name, path, doing):
        self.under_way = name
        if name == self.stage and self.step is None:
            raise KeyboardInterrupt

    def on_progress(self, done, said="", *, left=None, worth_a_line=False):
        if (self.under_way, done) == (self.stage, self.step):
            raise KeyboardInterrupt


def settled(data, settings=None, space=SPACE, recipe="default", **how):
    return settle(ABS, space, data, recipe, settings=settings, compute=CPU, **how)


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory, without_onnx):
    """A run that nothing interrupted."""
    return abs(
        SPACE, images / "shapes.npz", run_dir=tmp_path_factory.mktemp("runs") / "run", settings=QUICK, compute=CPU
    )


# -- what comes out ------------------------------------------------------------------------------------------------------


def test_rounds_are_stages_and_what_is_left_is_searched_and_trained(whole):
    names = [stage.name for stage in load_stages(whole.run_dir)]
    assert names == ["supernet-1", "supernet-2", "shrunk", "search", "retrain-1"]
    left = read_operators(whole.run_dir / "operators.json", whole.space)
    assert left.size <= 100
    assert left.valid(whole.code[None])[0]
    for stage, kind in (("03-shrunk", load_supernet), ("04-search", fn.load_search)):
        assert np.array_equal(kind(whole.run_dir / "stages" / stage).space.allowed, left.allowed)
    drops = whole.concluded["shrinking"]["drops"]
    assert len(drops) == 30 - left.allowed.sum()
    assert {drop["round"] for drop in drops} == {1, 2}
    assert whole.trained


@pytest.mark.slow
def test_drops_follow_the_angles_since_the_same_weights_in_all_rounds(whole):
    first, second = (load_supernet(whole.run_dir / "stages" / f"0{place}-supernet-{place}") for place in (1, 2))
    steps = read_shrinking(whole.run_dir / "operators.json", whole.method.shrinking.start).steps
    expected = operator_scores(open_score(first.run_dir, "angle", space=whole.space)).scores
    np.testing.assert_allclose(steps[0].scores.scores, expected, rtol=1e-12)
    assert first.default_base == 1
    assert (first.recipe.schedule_epochs, second.recipe.schedule_epochs, second.recipe.schedule_after) == (3, 3, 2)
    rates = [record["lr"] for run in (first, second) for record in run.epochs]
    assert rates == pytest.approx([0.001 + 0.024 * (1 + np.cos(np.pi * epoch / 3)) / 2 for epoch in range(3)])
    assert all(
        np.array_equal(tensor, first.weights()[name].numpy())
        for name, tensor in ((name, tensor.numpy()) for name, tensor in second.weights(0).items())
    )


@pytest.mark.slow
@pytest.mark.parametrize("stop", [("supernet-2", None), ("supernet-2", 3)], ids=["between rounds", "in a round"])
def test_a_run_that_was_killed_comes_to_the_same_end(whole, images, tmp_path, stop):
    run_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        abs(SPACE, images / "shapes.npz", run_dir=run_dir, settings=QUICK, compute=CPU, callbacks=[StopAt(*stop)])
    MethodRun().resume(run_dir)
    for name in ("result.json", "operators.json"):
        assert (run_dir / name).read_bytes() == (whole.run_dir / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop", [("supernet-1", 3), ("shrunk", None), ("shrunk", 2), ("search", None), ("retrain-1", 1)]
)
def test_a_run_that_was_killed_anywhere_comes_to_the_same_end(whole, images, tmp_path, stop):
    test_a_run_that_was_killed_comes_to_the_same_end(whole, images, tmp_path, stop)


@pytest.mark.slow
def test_one_architecture_may_be_left_which_nobody_searches(images, tmp_path, without_onnx, cli):
    settings = {**QUICK, "shrinking.until": 1, "shrinking.drop": 24, "shrinking.score": "macs"}
    found = abs(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=settings, compute=CPU)
    assert [stage.name for stage in found.stages] == ["supernet-1", "retrain-1"]
    assert found.architecture.count("nor_conv_3x3") == 6
    assert found.concluded["how"] == "the only one that shrinking left"
    assert np.isnan(found.score)
    shown = cli("show", tmp_path / "run")
    assert shown.code == 0, shown.err
    assert "the only one that shrinking left" in shown.out


def test_drawn_scores_are_a_baseline(images, tmp_path, without_onnx):
    settings = {**QUICK, "shrinking.until": 1, "shrinking.drop": 24, "shrinking.score": "random", "retrain.top": 0}
    found = abs(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=settings, compute=CPU)
    shrinking = read_shrinking(tmp_path / "run" / "operators.json")
    assert {step.scores.said for step in shrinking.steps} == {"drawn at random"}
    assert shrinking.drops == found.method.shrinking.foreseen.drops
    assert seconds_of_scoring(found.method.shrinking) == 0


def test_what_is_left_meets_the_limits_of_the_search_too(images, tmp_path, without_onnx):
    settings = {**QUICK, "shrinking.until": 1, "shrinking.drop": 24, "shrinking.score": "macs"}
    settings |= {"shrinking.where": "macs<=45e3", "baselines.networks": [], "retrain.top": 0}
    found = abs(
        SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=settings, where="macs<=20e3", compute=CPU
    )
    assert 15e3 < found.macs <= 20e3, "what costs most is worth most, and the search may have less"
    assert found.space.restrict(read_operators(tmp_path / "run" / "operators.json", found.space).allowed).size == 1


def test_a_space_with_nothing_left_has_no_only_architecture(whole):
    rest = Shrunk(whole.method.shrinking.begun, None, SPACE)
    assert rest.only is None
    empty = SPACE.restrict(SPACE.allowed)
    empty.__dict__["size"] = 0
    assert Shrunk(whole.method.shrinking.begun, None, empty).only is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "rule"),
    [
        (fn.DARTS(), "one-by-one"),
        (fn.DARTS(duplicates=False), "abs-darts"),
        (fn.MobileNet(width=0.1), "abs-spos"),
        (fn.FairNAS(width=0.1), "abs-fairnas"),
    ],
    ids=["darts", "darts as abs has it", "mobilenet", "fairnas"],
)
def test_every_space_with_a_supernet_shrinks_to_a_single_architecture(tmp_path, without_onnx, space, rule):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    settings = {**QUICK, "shrinking.until": 1, "shrinking.shrinker": rule, "shrinking.score": "macs", "retrain.top": 0}
    settings |= {"shrinking.drop": {"abs-spos": 60, "one-by-one": 120}.get(rule, 3)}
    if space.name == "darts":
        settings |= {"supernet.space.width": 4, "supernet.space.layers": 3, "retrain.space.width": 4}
        settings |= {"retrain.space.layers": 3}
    found = abs(space, tmp_path / "images.npz", run_dir=tmp_path / "run", settings=settings, compute=CPU)
    assert found.concluded["shrinking"]["left"] == "1"
    assert found.concluded["how"] == "the only one that shrinking left"
    assert len([stage for stage in found.stages if stage.group == "supernet"]) > 1
    assert read_operators(tmp_path / "run" / "operators.json", found.space).valid(found.code[None])[0]


@pytest.mark.slow
def test_a_method_that_ends_after_shrinking_says_so(images, tmp_path, cli):
    settings = {**QUICK, "shrinking.drop": 24, "shrinking.only": True}
    found = abs(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=settings, compute=CPU)
    assert found.finished
    assert not found.architecture
    shown = cli("show", tmp_path / "run")
    assert "it ends after shrinking: gradient searches on what is left are not built yet" in shown.out
    with pytest.raises(FrugalnasError, match="was to end without a network"):
        network_of(tmp_path / "run")


@pytest.mark.slow
def test_angles_may_be_measured_anew_after_some_drops(whole, images, tmp_path, without_onnx):
    settings = {**QUICK, "shrinking.rebase": 8, "shrunk.fresh": False}
    run_dir = tmp_path / "run"
    abs(SPACE, images / "shapes.npz", run_dir=run_dir, settings=settings, compute=CPU)
    steps, others = (
        read_shrinking(folder / "operators.json", whole.method.shrinking.start).steps
        for folder in (run_dir, whole.run_dir)
    )
    assert np.array_equal(steps[0].scores.scores, others[0].scores.scores, equal_nan=True)
    second = open_score(run_dir / "stages" / "02-supernet-2", "angle", base=0)
    expected = operator_scores(second).scores
    np.testing.assert_allclose(steps[9].scores.scores, expected, rtol=1e-12)
    assert [stage.name for stage in load_stages(run_dir)][:3] == ["supernet-1", "supernet-2", "search"]


# -- its page ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_the_page_and_the_report_show_what_was_dropped(whole, tmp_path, cli):
    run_dir = shutil.copytree(whole.run_dir, tmp_path / "run")
    assert "operators dropped in 2 rounds" in cli("show", run_dir).out
    page = (run_dir / "report" / "index.html").read_text()
    assert "the round that dropped it" in page
    assert "baselines were left out" in page
    for said in (
        "holds all of them",
        "random labels",
        "holds what was left, trained anew",
        "accuracy in the last supernet.",
    ):
        assert said in page
    drawn = cli("report", "operators", run_dir)
    assert drawn.code == 0, drawn.err
    svg = (run_dir / "report" / "operators.svg").read_text()
    first = whole.concluded["shrinking"]["drops"][0]
    for said in ("round 1", "round 2", first["place"].replace("<", "&lt;"), first["operator"]):
        assert said in svg
    assert json.loads((run_dir / "operators.json").read_text())["shrinking"]["shrinker"]["drop"] == 9
    assert cli("report", "operators", run_dir / "operators.json").code == 0
    assert (run_dir / "operators.svg").read_text() == svg


def test_a_run_that_dropped_nothing_has_no_such_figure(whole, cli):
    told = cli("report", "operators", whole.run_dir / "stages" / "04-search")
    assert told.code != 0
    assert "not a method" in told.err


def test_what_it_would_do_is_said_before_it_begins(images, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("abs", "--data", images / "shapes.npz", "--set", "shrinking.epochs=1", "--dry-run", "--until", "1e3")
    assert said.code == 0, said.err
    assert "about 2 rounds by angle, shrinker one-by-one: 6 operators a round; after the first 1 epoch each" in said.out
    assert "until 1,000 architectures are left" in said.out
    alone = cli("abs", "--data", images / "shapes.npz", "--dry-run", "--until", 1)
    assert "until a single one is left" in alone.out
    assert "architectures scored by" not in alone.out


def test_a_plan_has_the_time_of_scores_that_are_drawn(images):
    method = settled(images / "shapes.npz", {**QUICK, "shrinking.score": "accuracy", "shrinking.draws": 50}).method
    one = seconds_of_one(method.supernet, "accuracy", 1_000)
    looked_at = 50 * len(method.shrinking.foreseen.steps)
    assert one > 0
    assert 0.9 * looked_at * one < seconds_of_scoring(method.shrinking) < looked_at * one  # some are drawn twice
    plan = MethodRun().proposed(method).plan()
    assert plan.seconds > plan.stages["shrinking"] > seconds_of_scoring(method.shrinking)


# -- bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shrinking.until": 1e6}, "nothing to shrink: 15,625 architectures are left; lower `shrinking.until`"),
        ({"shrinking.shrinker": "halves"}, "unknown shrinker 'halves'"),
        ({"shrinking.until": 0}, "shrinking.until is 0"),
        ({"shrinking.until": 1.5}, "shrinking.until is 1.5; it is a whole number"),
        ({"shrinking.where": "macs<=10"}, "no architecture of nasbench201 meets macs<=10: the smallest has"),
        ({"shrinking.base": 7}, "measures the angle after epoch"),
        ({"shrunk.paths": "fair"}, "shrunk.paths fair needs equally many operators in every layer"),
        ({"supernet.paths": "fair"}, "supernet.paths fair needs equally many operators in every layer"),
        (
            {"shrunk.recipe": "fairnas", "shrunk.epochs": 1},
            "shrunk.paths fair needs equally many operators in every layer, but the shrinker one-by-one drops the least of all",
        ),
        ({"shrinking.statistic": "median"}, "unknown statistic 'median'"),
        (
            {"shrinking.statistic": "maximum", "shrinking.score": "accuracy"},
            "`shrinking.statistic` maximum needs the accuracy of all architectures of nasbench201",
        ),
        (
            {"where": "macs<=20e3", "shrinking.where": "macs>=30e3"},
            "no architecture of nasbench201 meets both `shrinking.where` (macs>=30e3), by which operators are dropped, and `where` "
            "(macs<=20e3), which is searched: within the first there are macs from 0.031 M to 0.052 M",
        ),
        ({"shrinking.score": "luck"}, "unknown score 'luck'"),
        ({"shrinking.score": "randm"}, "unknown score 'randm'; did you mean 'random'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(images, settings, said):
    with pytest.raises(FrugalnasError, match=re.escape(said)):
        settled(images / "shapes.npz", settings)


@pytest.mark.slow
def test_layers_that_may_be_unequally_wide_have_no_fair_paths(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    settings = {**QUICK, "shrinking.shrinker": "abs-fairnas", "shrinking.drop": 1, "shrunk.paths": "fair"}
    settings |= {"shrinking.until": 1e7, "shrinking.score": "macs"}
    settled(tmp_path / "images.npz", settings, fn.FairNAS(width=0.1))
    with pytest.raises(
        FrugalnasError, match=r"paths 'fair' do not fit mobilenet: its genes have from 6 to 7 .*layer 0 has 6"
    ):
        settled(tmp_path / "images.npz", settings, fn.MobileNet(width=0.1))


@pytest.mark.slow
def test_cells_that_share_operators_cannot_go_on_by_gene(images):
    own = {"shrinking.shrinker": "abs-darts", "shrinking.drop": 3, "shrinking.until": 1, "shrinking.score": "macs"}
    own |= {"supernet.space.width": 4, "supernet.space.layers": 2, "shrinking.epochs": 1}
    darts = fn.DARTS(duplicates=False)
    settled(images / "shapes.npz", own | {"supernet.paths": "projected"}, darts)
    with pytest.raises(FrugalnasError, match=r"supernet\.paths projected-shared read two states at every node"):
        settled(images / "shapes.npz", own | {"supernet.paths": "projected-shared"}, darts)
    with pytest.raises(FrugalnasError, match="the best tenth of max_pool_3x3 at 0->2 cannot be made"):
        settled(images / "shapes.npz", own | {"shrinking.statistic": "best-tenth"}, darts)


def test_twenty_operators_cannot_go_of_a_smaller_space(images):
    allowed = SPACE.allowed.copy()
    allowed[:, 4] = allowed[:, 3] = False
    with pytest.raises(FrugalnasError, match="abs-nasbench201 drops 20 operators, but nasbench201 has"):
        settled(images / "shapes.npz", {"shrinking.shrinker": "abs-nasbench201"}, SPACE.restrict(allowed))


# -- settings ------------------------------------------------------------------------------------------------------------


def test_the_papers_settings():
    recipes = {name: load_method_recipe(ABS, name) for name in method_recipes() if name.startswith("abs")}
    assert recipes.keys() == {
        "abs", "abs-nasbench201", *(f"abs-{name}-imagenet" for name in ("spos", "fairnas", "darts"))
    }  # fmt: skip
    for recipe in recipes.values():
        for part in ("supernet", "shrunk"):
            SupernetRecipe.load(recipe[part].get("recipe", "default"))
    spos = recipes["abs-spos-imagenet"]
    assert (spos.where, spos["shrinking"]["where"], spos["shrinking"]["epochs"]) == ("macs<=475e6", "macs<=600e6", 5)
    published = fn.FairNAS().parse("4 2 4 2 2 2 5 2 4 4 2 2 2 4 5 4 2 2 5")
    fair = recipes["abs-fairnas-imagenet"]
    assert fn.FairNAS().where(fair["shrinking"]["where"]).where(fair.where).valid(published[None])[0]


@pytest.mark.slow
def test_half_of_cifar_is_shrunk_at_once(images):
    own = {f"{part}.split": None for part in ("supernet", "retrain")}
    method = settled(images / "shapes.npz", own, None, "abs-nasbench201").method
    assert (method.shrinking.rounds, method.shrinking.shrinker.drop) == (1, 20)
    assert method.shrinking.foreseen.space.allowed.sum() == 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rounds", "left"), [("spos", 14, None), ("fairnas", 4, 2**19), ("darts", None, None)])
def test_recipes_for_imagenet_settle(tmp_path, name, rounds, left):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pictures, labels=np.arange(40) % 2)
    own = {f"{part}.split": None for part in ("supernet", "shrunk", "retrain")} | {"score.images": 4}
    if name == "fairnas":  # whose limits are of larger images
        own |= {"where": None, "shrinking.where": None}
    method = settled(tmp_path / "images.npz", own, None, f"abs-{name}-imagenet").method
    assert rounds in (None, method.shrinking.rounds)
    assert left in (None, method.shrinking.foreseen.space.size)
    assert method.shrinking.only is (name == "darts")
