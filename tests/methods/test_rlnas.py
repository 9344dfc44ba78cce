"""RLNAS from end to end: what a run leaves, how it goes on, what it says where something is missing, and its page."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.data import Images
from frugalnas.errors import FrugalnasError
from frugalnas.methods.conclusion import best_of
from frugalnas.methods.kind import MethodRun, load_method
from frugalnas.methods.method import settle
from frugalnas.methods.recipe import load_method_recipe, method_recipes
from frugalnas.methods.rlnas import RLNAS, rlnas
from frugalnas.methods.spaces import alive, spaces_of
from frugalnas.networks.models import card_of, load
from frugalnas.report.certainty import certainty
from frugalnas.report.method_page import doubts_of, method_html
from frugalnas.report.methods import method_report
from frugalnas.runs import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.runs.stages import load_stages
from frugalnas.scores import Angle, AngleTable, Score
from frugalnas.searches import SearchResult
from frugalnas.searches.ledger import Queries
from frugalnas.supernets import SupernetRecipe
from frugalnas.training import Compute, Recipe
from frugalnas.trainings.network import load_training
from frugalnas.trainings.supernet import load_supernet

QUICK = {
    "supernet.epochs": 3,
    "supernet.batch_size": 16,
    "search.generations": 2,
    "search.population": 20,
    "search.parents": 5,
    "search.mutations": 10,
    "search.crossovers": 5,
    "baselines.networks": [],
    "retrain.epochs": 2,
}
SPACE = fn.NASBench201(width=2, cells=1)
CPU = Compute("cpu")
EDGE = "|none~0|+|none~0|none~1|+|{}~0|none~1|none~2|"


@pytest.fixture(scope="module")
def opens():
    """Every time that images are opened, by what is opened."""
    counted, open_images = [], Images.open

    def counting(images, **how):
        counted.append(str(images.spec))
        return open_images(images, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "open", counting)
        yield counted


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory, without_onnx, opens):
    """A run that nothing interrupted, two architectures retrained."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    opens.clear()
    found = rlnas(SPACE, images / "shapes.npz", run_dir=run_dir, settings={**QUICK, "retrain.top": 2}, compute=CPU)
    opens.append("the end of the run")
    return found


@pytest.fixture(scope="module")
def unlabelled(images, tmp_path_factory, without_onnx):
    """A run on images without labels."""
    run_dir = tmp_path_factory.mktemp("runs") / "unlabelled"
    return rlnas(
        SPACE, images / "unlabelled.npz", run_dir=run_dir, settings={**QUICK, "supernet.classes": 4}, compute=CPU
    )


class StopAt(Callback):
    """An interruption of one stage at a step of its training."""

    def __init__(self, stage, step):
        self.stage, self.step, self.under_way = stage, step, ""

    def on_stage(self, name, path, doing):
        self.under_way = name

    def on_progress(self, done, said="", *, left=None, worth_a_line=False):
        if (self.under_way, done) == (self.stage, self.step):
            raise KeyboardInterrupt


def settled(data, settings=None, space=None):
    """RLNAS fitted to images."""
    return settle(RLNAS, space, data, settings=settings, compute=CPU)


# -- what comes out ------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_a_trained_and_exported_network(whole):
    stages = load_stages(whole.run_dir)
    assert [stage.name for stage in stages] == ["supernet", "search", "retrain-1", "retrain-2"]
    assert all(stage.finished for stage in stages)
    assert whole.trained
    assert whole.exported == (whole.run_dir / "export" / "run",)
    card = card_of(load(whole.network))
    assert card.architecture == whole.architecture
    assert card.counts["params"] == whole.params
    assert card.counts["macs"] == whole.macs


def test_images_are_opened_once_for_all_stages(whole, opens):
    assert opens[: opens.index("the end of the run")] == [whole.method.recipe["data"]]


def test_no_label_reaches_the_supernet(whole):
    supernet = load_supernet(whole.run_dir / "stages" / "01-supernet")
    assert supernet.recipe.labels == "random"
    assert supernet.recipe.classes == 3


def test_the_winner_is_the_retrained_network_with_the_best_validation_accuracy(whole):
    trained = [load_training(whole.run_dir / "stages" / name) for name in ("03-retrain-1", "04-retrain-2")]
    validated = [result.epochs[-1]["val_accuracy"] for result in trained]
    best = trained[int(np.argmax(validated))]
    assert np.array_equal(whole.code, best.code)
    assert whole.test == best.test.top1
    assert whole.val == max(validated)


def test_those_retrained_have_the_largest_angles_of_the_whole_space(whole):
    from frugalnas.searches.supernet_scores import open_score

    score = open_score(whole.run_dir, "angle")
    codes = alive(SPACE, SPACE.enumerate())
    result = json.loads((whole.run_dir / "result.json").read_text())
    assert result["candidates"][0]["score"] == pytest.approx(score(codes).max(), abs=1e-12)
    scores = [candidate["score"] for candidate in result["candidates"]]
    assert scores == sorted(scores, reverse=True)
    texts = np.array([SPACE.parse(candidate["architecture"]) for candidate in result["candidates"]], np.int8)
    assert len(set(SPACE.network_ids(texts).tolist())) == len(texts) == 10


@pytest.mark.slow
def test_the_winner_is_exported_as_onnx(images, tmp_path):
    found = rlnas(SPACE, images / "shapes.npz", run_dir=tmp_path / "run", settings=QUICK, compute=CPU)
    assert found.exported == (tmp_path / "run" / "export" / "run.onnx",)
    assert found.exported[0].stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "step"), [("supernet", 3), ("retrain-2", 1)])
def test_an_interrupted_run_comes_to_the_same_end(whole, images, tmp_path, stage, step):
    run_dir = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        rlnas(
            SPACE,
            images / "shapes.npz",
            run_dir=run_dir,
            settings={**QUICK, "retrain.top": 2},
            compute=CPU,
            callbacks=[StopAt(stage, step)],
        )
    with pytest.raises(FrugalnasError, match="has not come to an end; continue it with: frugalnas resume"):
        load_method(run_dir)
    fn.resume_run(run_dir)
    assert (run_dir / "result.json").read_text() == (whole.run_dir / "result.json").read_text()
    for stage_dir in ("01-supernet", "02-search", "03-retrain-1", "04-retrain-2"):
        journal = f"stages/{stage_dir}/journal.jsonl"
        assert (run_dir / journal).read_text() == (whole.run_dir / journal).read_text()


@pytest.mark.slow
def test_without_labels_it_ends_with_an_untrained_network_and_says_so(unlabelled, cli, images):
    assert [stage.name for stage in load_stages(unlabelled.run_dir)] == ["supernet", "search"]
    assert not unlabelled.trained
    assert unlabelled.test is None
    card = card_of(load(unlabelled.network))
    assert card.classes == ("0", "1", "2", "3")
    assert "random" in card.provenance["weights"]
    assert unlabelled.exported == (unlabelled.run_dir / "export" / "unlabelled-untrained",)
    shown = cli("show", unlabelled.run_dir)
    assert "the images have no labels; with labels: frugalnas train" in shown.out
    assert "exported as safetensors: export to ONNX needs onnx" in shown.out
    for command in ("evaluate", "predict"):
        refused = cli(command, unlabelled.run_dir, *(["picture.png"] if command == "predict" else []))
        assert refused.code == 2
        assert refused.err.count("\n") == 1
    assert "has random weights; train it with: frugalnas train" in cli("evaluate", unlabelled.run_dir).err


def test_what_a_run_found_is_an_architecture_for_other_commands(whole, cli):
    assert whole.architecture in cli("count", whole.run_dir, "--json").out or cli("count", whole.run_dir).code == 0
    evaluated = cli("evaluate", whole.run_dir, "--json")
    assert json.loads(evaluated.out)["top1"] == pytest.approx(whole.test)
    listed = cli("runs", "list", "--root", whole.run_dir.parent)
    assert "supernet, search, retrain-1, retrain-2" in listed.out
    assert f"{whole.test:.2f} % test" in listed.out


# -- the command ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.pictures
def test_stages_alone_on_the_command_line(images, tmp_path, cli, without_onnx):
    run_dir = tmp_path / "run"
    tiny = [
        "--set",
        "space.width=2",
        "--set",
        "space.cells=1",
        "--set",
        "supernet.epochs=1",
        "--set",
        "retrain.epochs=1",
    ]
    first = cli(
        "rlnas", "--space", "nasbench201", "--data", images / "shapes.npz", "--stage", "supernet", "--run-dir", run_dir,
        "--device", "cpu", "--quiet", "--set", "search.generations=1", *tiny,
    )  # fmt: skip
    assert first.code == 0, first.err
    assert "unfinished" in first.out
    early = cli("rlnas", "--run-dir", run_dir, "--stage", "retrain", "--quiet")
    assert early.code == 2
    assert "--stage retrain needs search, which is not finished" in early.err
    other = cli("rlnas", "--run-dir", run_dir, "--stage", "search", "--budget", "macs<=1e6")
    assert "keeps the settings that it began with; leave --where out" in other.err
    assert cli("rlnas", "--run-dir", run_dir, "--stage", "search", "--quiet").code == 0
    last = cli("resume", run_dir, "--quiet")
    assert last.code == 0, last.err
    assert "test accuracy" in last.out
    assert json.loads(cli("show", run_dir, "--json").out)["finished"]


def test_a_dry_run_says_what_each_stage_costs(images, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--space", "nasbench201", "--set", "space.width=2", "--set", "space.cells=1", "--device", "cpu"]
    planned = cli(
        "rlnas", "--data", images / "shapes.npz", "--budget", "macs<=2e4", "--retrain-top", 3, "--dry-run", *small
    )
    assert planned.code == 0, planned.err
    assert re.search(r"budget +can be met: [\d.]+ % of the architectures do; macs from 0\.\d+ M", planned.out)
    assert re.search(r"supernet .* about \d+ \w+", planned.out)
    assert re.search(r"retrain +3 from scratch, each 8 epochs|retrain +3 from scratch", planned.out)
    assert not list(tmp_path.iterdir())
    without = cli("rlnas", "--data", images / "unlabelled.npz", "--dry-run", *small)
    assert "nothing: the images have no labels; the network is exported untrained" in without.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "macs<=10"], "the smallest has macs="),
        pytest.param(["--budget", "watts<=10"], "watts", marks=pytest.mark.slow),
        (["--recipe", "rlnas-nasbench201"], "did you mean 'rlnas-nasbench201-cifar10'"),
        pytest.param(["--set", "supernet.epoch=3"], "epochs", marks=pytest.mark.slow),
        (["--set", "search.generation=3"], "did you mean 'generations'"),
        pytest.param(["--set", "retrain.epochs=many"], "epochs takes a whole number", marks=pytest.mark.slow),
        (["--set", "epochs=3"], "is not of the form STAGE.NAME=VALUE"),
        (["--set", "space.width=4"], "which space? Add --space NAME"),
        pytest.param(["--space", "nasbench101"], "nasbench101", marks=pytest.mark.slow),
        (["--retrain-top", "-1"], "retrain.top is -1"),
        (["--data", "nowhere"], "nowhere"),
        (["--classes", "1"], "two classes or more"),
        (["--split-seed", "3"], "write the split to a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_one_line_with_the_way_out(tmp_path, cli, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    refused = cli("rlnas", "--quiet", *arguments)
    assert refused.code == 2
    assert said in refused.err
    assert refused.err.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_refused(tmp_path, cli):
    (tmp_path / "empty").mkdir()
    refused = cli("rlnas", "--data", tmp_path / "empty", "--run-dir", tmp_path / "run")
    assert refused.code == 2
    assert refused.err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_limit_may_leave_fewer_networks_than_a_search_asks_for(images):
    """The search's budget and its first sample are no more than there are, counted as the search counts."""
    settings = {**QUICK, "search.population": 60, "where": "params<=1269"}
    method = settled(images / "shapes.npz", settings, SPACE).method
    space = method.spaces.retrained
    few = len(np.unique(space.network_ids(space.enumerate())))
    strategy = method.search.strategy
    assert few < len(space.enumerate())
    assert few < 60
    assert strategy.initial == method.search.evaluations(strategy) == few
    fn.Budget(few).check(strategy)
    assert len(strategy.ask()) == few


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"score.name": "anlge"}, "did you mean 'angle'"),
        ({"score.rule": "abs-darts"}, "is for darts, not for nasbench201"),
        ({"score.base": 3}, "after epoch 3 from epoch 0 or 1, not 3"),
        ({"score.name": "accuracy", "supernet.split": "all"}, "no images held out"),
    ],
)
def test_what_would_fail_after_the_supernet_is_refused_before_it(images, setting, said):
    with pytest.raises(FrugalnasError, match=said):
        settled(images / "shapes.npz", {**QUICK, **setting}, SPACE)


@pytest.mark.slow
@pytest.mark.pictures
def test_a_failed_stage_says_why_and_goes_on_with_other_settings(whole, tmp_path, cli):
    run_dir = tmp_path / "failed"
    shutil.copytree(whole.run_dir, run_dir, ignore=shutil.ignore_patterns("result.json", "0[234]-*", "report"))

    class Failing(Callback):
        def on_stage(self, name, path, doing):
            if name == "search":
                raise FrugalnasError("no <such> luck")

    with pytest.raises(FrugalnasError, match="luck"):
        fn.resume_run(run_dir, callbacks=[Failing()])
    assert json.loads(cli("show", run_dir, "--json").out)["failure"] == {"stage": "search", "error": "no <such> luck"}
    assert re.search("failed +stage search: no <such> luck", cli("show", run_dir).out)
    assert "Stage search failed: no &lt;such&gt; luck" in (run_dir / "report" / "index.html").read_text()
    begun = cli("resume", run_dir, "--set", "supernet.epochs=9")
    assert begun.code == 2
    assert "supernet.epochs cannot be changed: supernet has begun" in begun.err
    refused = cli("resume", run_dir, "--where", "params<=1")
    assert "raise the budget" in refused.err
    found = fn.resume_run(run_dir, where="params<=0.0015M", settings={"search.generations": "1", "retrain.top": "0"})
    assert found.params <= 1500
    assert len(fn.load_search(run_dir / "stages" / "02-search").queries) <= 20
    assert "failure" not in {path.stem for path in run_dir.iterdir()}


# -- what is searched ----------------------------------------------------------------------------------------------------


def test_recipes_of_the_paper_are_whole():
    of_rlnas = {name for name in method_recipes() if name.startswith("rlnas")}
    assert of_rlnas == {
        "rlnas-nasbench201-cifar10",
        "rlnas-darts-cifar10",
        "rlnas-darts-imagenet",
        "rlnas-mobilenet-imagenet",
    }
    for name in of_rlnas | {"default"}:
        recipe = load_method_recipe(RLNAS, name)
        assert load_method_recipe(RLNAS, recipe.to_json()) == recipe
        assert SupernetRecipe.load(recipe["supernet"]["recipe"]).labels == "random"
        Recipe.load(recipe["retrain"]["recipe"])


@pytest.mark.parametrize(
    ("name", "input_size", "classes", "width", "where"),
    [
        ("rlnas-darts-imagenet", 224, 1000, (48, 48), "macs<=600000000"),
        ("rlnas-darts-cifar10", 32, 10, (16, 36), None),
        ("rlnas-mobilenet-imagenet", 224, 1000, (1.0, 1.0), "macs<=475000000"),
        ("rlnas-nasbench201-cifar10", 32, 10, (16, 16), None),
    ],
)
def test_limits_are_about_the_networks_that_are_retrained(name, input_size, classes, width, where):
    spaces = spaces_of(load_method_recipe(RLNAS, name), input_size, classes)
    assert (spaces.searched.width, spaces.retrained.width) == width
    assert spaces.retrained.limits.get("where") == where
    assert not getattr(spaces.retrained, "duplicates", False)  # two inputs of a node are two, as in the paper
    assert not spaces.searched.limits


@pytest.mark.slow
def test_large_images_are_searched_in_mobilenet(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "large.npz", images=rng.integers(0, 255, (40, 80, 80, 3), np.uint8), labels=np.arange(40) % 2)
    found = settled(tmp_path / "large.npz")
    assert found.method.spaces.retrained.name == "mobilenet"
    assert found.method.spaces.retrained.input_size == 80
    assert any("are searched in mobilenet (`space` chooses another)" in note for note in found.notes)
    spaces = settled(tmp_path / "large.npz", space="darts").method.spaces
    assert (spaces.searched.macro, spaces.retrained.macro) == ("imagenet", "imagenet")


def test_the_smallest_of_a_space_that_cannot_be_listed():
    space = fn.MobileNet()
    drawn = space.count("macs", space.sample(500, np.random.default_rng(0)))
    # The smallest kernel and expansion wherever a layer is needed, and no layer where it may be left out.
    least = np.where(space.allowed[:, 6], 6, 0)[None].astype(np.int8)
    found, _ = space.extremes("macs")
    assert found < drawn.min()
    assert found == min(found, *space.count("macs", least)) or not space.valid(least)[0]


def test_an_estimate_of_the_whole_plan_is_the_sum_of_its_stages(images):
    planned = MethodRun().proposed(settled(images / "shapes.npz", {**QUICK, "retrain.top": 2}, SPACE).method).plan()
    assert list(planned.stages) == ["supernet", "search", "retrain"]
    assert planned.seconds == pytest.approx(planned.stages["supernet"] + planned.stages["retrain"])
    assert min(planned.stages["supernet"], planned.stages["retrain"]) > 0
    said = dict(planned.rows)
    assert said["retrain"].startswith("2 from scratch, each 2 epochs")
    assert "40 architectures" in said["search"]
    assert "budget" not in said


# -- who wins ------------------------------------------------------------------------------------------------------------


class Skips(Score):
    """Likes edges that do nothing, most of all a network that has no other."""

    name = "skips"

    def __init__(self, space):
        self.space = space

    def __call__(self, codes):
        return (np.asarray(codes) == 0).sum(axis=1).astype(float)


def test_a_network_that_does_not_see_its_images_never_wins():
    found = SearchResult(SPACE, Queries(SPACE), "nothing was searched", 0.0)
    best = best_of(found, Skips(SPACE))
    assert len(alive(SPACE, best.codes)) == len(best.codes)
    assert SPACE.format(best.codes[0]) in {EDGE.format("skip_connect"), EDGE.format("avg_pool_3x3")}
    assert not best.found


def test_in_layers_the_largest_angle_is_computed_and_not_only_searched():
    space = fn.MobileNet().where("macs<=475e6")
    rng = np.random.default_rng(0)
    genes, values = space.allowed.shape
    table = rng.uniform(0.1, 1.0, (genes, values, 3)) + np.array([0.0, 1.0, 1.0])
    score = Angle(space, AngleTable(np.array([1.0, 2.0, 2.0]), table))
    codes = space.sample(30, rng)
    queries = Queries(space)
    queries.extend(codes, score(codes), {}, [None] * len(codes))
    best = best_of(SearchResult(space, queries, "done", 0.0), score)
    assert best.scores[0] > score(codes).max()
    assert space.valid(best.codes).all()
    assert not best.found


# -- how sure it is --------------------------------------------------------------------------------------------------------


def test_certainty_of_a_ranking_that_is_known():
    codes = SPACE.enumerate()
    winner = SPACE.parse(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    size = SPACE.count("params", codes).max()

    def after(epoch):
        # The winner leads by 0.1, 0.2, 0.3, ... of the largest network's parameters, but is behind at first.
        lead = (-0.5, 0.1, 0.2, 0.3)[epoch]
        return lambda asked: SPACE.count("params", asked) / size + lead * (asked == winner).all(axis=1)

    sure = certainty(SPACE, winner[None], [after(epoch) for epoch in range(4)], [1, 2, 3, 4])
    assert sure.whole
    assert np.array_equal(sure.leaders[0].code, winner)
    assert sure.leaders[0].ranks[0] > 1
    assert sure.leaders[0].ranks[1:] == (1, 1, 1)
    assert sure.led == 3
    assert sure.lead == pytest.approx(1.3 - sure.leaders[1].score)
    assert sure.leaders[1].fluctuation == pytest.approx(np.std([0.1, 0.2, 0.3], ddof=1))
    assert sure.lead_in_fluctuations == pytest.approx(sure.lead / sure.leaders[1].fluctuation)
    assert sure.taus[-1] == pytest.approx(1)
    assert sure.size["params"] == pytest.approx(1, abs=1e-3)


def test_a_search_that_missed_larger_scores_is_not_excused_by_accuracy():
    worst = SPACE.parse("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    sure = certainty(SPACE, worst[None], [lambda asked: SPACE.count("params", asked).astype(float)], [1])
    assert "missed larger scores" in doubts_of(sure, "radians", by_accuracy=False)[0]
    assert "highest validation accuracy" in doubts_of(sure, "radians", by_accuracy=True)[0]


@pytest.mark.slow
def test_the_page_stands_alone(whole):
    page, *figures = method_report(whole)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "<script" not in text
    for said in (
        whole.architecture.replace("|", "|"),
        f"{whole.test:.2f} %",
        "(95 %)",  # what so few test images leave open
        "How sure the ranking is",
        "What it cost",
    ):
        assert said in text
    assert {path.stem for path in figures} == {
        "supernet",
        "architecture",
        "scores",
        "size",
        "ranks",
        "retrain-1",
        "retrain-2",
    }


def test_the_page_escapes_every_field(whole):
    word = "<b id='x'>&</b>"

    def hostile(value):
        if isinstance(value, dict):
            return {name: hostile(each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [hostile(each) for each in value]
        return f"{value}{word}" if isinstance(value, str) else value

    run = replace(
        whole,
        config=hostile(dict(whole.config)),
        concluded=hostile(dict(whole.concluded)),
        failure={"stage": word, "error": word},
        architecture=word,
        stages=tuple(replace(stage, name=stage.name + word) for stage in whole.stages),
    )
    run.method.recipe.update(name=word, data=word, where=word)
    page = method_html(run, None, {})
    assert "<b id" not in page
    assert page.count("&lt;b id") > 20


def test_the_page_of_a_run_that_is_not_finished(whole, tmp_path):
    run_dir = tmp_path / "begun"
    shutil.copytree(whole.run_dir, run_dir, ignore=shutil.ignore_patterns("result.json", "03-*", "04-*", "report"))
    page = method_report(MethodRun().load(RunFolder(run_dir)))[0].read_text(encoding="utf-8")
    assert "not finished yet" in page
    assert "How sure" not in page
