"""Searches whose architectures are trained for real: what they leave, how they resume, how they are ranked and retrained."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

import frugalnas as fn
from frugalnas.data import Images
from frugalnas.errors import FrugalnasError, Surroundings
from frugalnas.evaluation import Trials
from frugalnas.runs import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.runs.seal import Seal
from frugalnas.searches import ProcessExecutor, load_search, resume, search
from frugalnas.spaces import DARTS, MobileNet, known
from frugalnas.strategies import RandomSearch
from frugalnas.testing import EvaluatorConformance
from frugalnas.training import Recipe
from frugalnas.trainings.evaluator import TrainingEvaluator
from frugalnas.trainings.network import NetworkSession, load_training, train

QUERIES = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three classes of 40 noisy pictures, each of its own brightness."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    pixels = rng.integers(0, 120, (120, 8, 8, 3)) + 60 * labels[:, None, None, None]
    path = tmp_path_factory.mktemp("images") / "shades.npz"
    np.savez(path, images=pixels.clip(0, 255).astype(np.uint8), labels=labels)
    return path


def space() -> fn.NASBench201:
    return fn.NASBench201(width=2, cells=1)


def evaluator(path, **options) -> TrainingEvaluator:
    settings = {"epochs": 2, "batch_size": 32}
    return TrainingEvaluator(
        space(), **{"images": str(path), "settings": settings, "compute": fn.Compute("cpu"), **options}
    )


@pytest.fixture
def opens(monkeypatch):
    """What was opened, in order."""
    seen, open_images = [], Images.open
    monkeypatch.setattr(Images, "open", lambda self, **how: seen.append(str(self.spec)) or open_images(self, **how))
    return seen


def strategy():
    return RandomSearch(space(), seed=1, initial=1)


def journal(path):
    return (path / "journal.jsonl").read_text()


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whole"
    search(strategy(), evaluator(images), QUERIES, run_dir=path)
    return path


def test_every_query_is_a_training_of_its_own_that_no_test_image_has_met(finished):
    result = load_search(finished)
    assert len(result.queries) == QUERIES
    for number, query in enumerate(result.queries, 1):
        own = load_training(finished / "evaluations" / f"{number:06d}" / "training")
        assert own.finished
        assert own.test is None
        np.testing.assert_array_equal(own.code, query.code)
        accuracies = [record["val_accuracy"] for record in own.epochs]
        assert query.value == query.metrics["best"] == max(accuracies)
        assert query.metrics["last5"] == pytest.approx(np.mean(accuracies))
        assert (query.metrics["params"], query.metrics["macs"]) == (own.params, own.macs)
        assert own.params == space().with_options(classes=3, input_size=8).count("params", query.code[None])[0]
    assert "test" not in journal(finished)


@pytest.mark.slow
def test_a_search_killed_in_a_training_ends_as_if_it_had_not_been(finished, images, tmp_path, monkeypatch):
    measured = NetworkSession.measured
    epochs = []

    def killed(self, epoch):
        epochs.append(epoch)
        if len(epochs) == 4:  # in the second training's second epoch
            raise KeyboardInterrupt
        return measured(self, epoch)

    path = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(NetworkSession, "measured", killed)
        with pytest.raises(KeyboardInterrupt):
            search(strategy(), evaluator(images), QUERIES, run_dir=path)
    half = path / "evaluations" / "000002" / "training"
    assert not load_training(half).finished
    assert len(load_search(path).queries) == 1
    resume(path)
    assert journal(path) == journal(finished)
    assert load_training(half).finished


def test_what_was_trained_is_not_trained_again_and_is_worth_what_is_asked(finished, images, monkeypatch):
    monkeypatch.setattr(NetworkSession, "measured", None)
    first = load_search(finished).queries[0]
    trials, folder = Trials(first.code[None], np.zeros(1, np.int64)), finished / "evaluations" / "000001"
    assert evaluator(images).evaluate(trials, folder).values.tolist() == [first.metrics["best"]]
    assert evaluator(images, select="last5").evaluate(trials, folder).values.tolist() == [first.metrics["last5"]]


@pytest.mark.slow
def test_images_are_opened_once_for_all_architectures(finished, images, tmp_path, opens):
    moved = tmp_path / "mine.npz"
    moved.write_bytes(images.read_bytes())
    lost = [moved]

    class Loses(Callback):
        def on_query(self, query, ledger):
            while lost:
                lost.pop().rename(tmp_path / "away.npz")

    search(strategy(), evaluator(moved), QUERIES, run_dir=tmp_path / "run", callbacks=[Loses()])
    assert not moved.exists()
    assert opens == [str(moved)]
    assert journal(tmp_path / "run") == journal(finished)


@pytest.mark.slow
def test_files_that_are_gone_stop_the_search_and_are_waited_for(tmp_path):
    """Large images are read while networks are trained."""
    rng, lost = np.random.default_rng(0), [tmp_path / "photos"]
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 255, (100, 100, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")

    class Loses(Callback):
        def on_query(self, query, ledger):
            while lost:
                lost.pop().rename(tmp_path / "away")

    how = {"images": fn.Images(tmp_path / "photos", input_size=100), "settings": {"epochs": 1, "batch_size": 4}}
    asked = TrainingEvaluator(space(), compute={"device": "cpu"}, **how)
    with pytest.raises(Surroundings, match=r"photos.*then go on"):
        search(strategy(), asked, QUERIES, run_dir=tmp_path / "run", callbacks=[Loses()])
    assert len(load_search(tmp_path / "run").queries) == 1
    with pytest.raises(FrugalnasError, match="photos"):
        resume(tmp_path / "run")
    (tmp_path / "away").rename(tmp_path / "photos")
    assert [query.error for query in resume(tmp_path / "run").queries] == [None, None]


def test_another_process_opens_images_once_for_all_architectures(finished, images, tmp_path, opens):
    sent = pickle.dumps(evaluator(images, seed=1))
    assert len(sent) < 10_000
    code = load_search(finished).queries[0].code
    del opens[:]
    for number in range(2):  # a process is sent the evaluator with every architecture
        told = pickle.loads(sent).evaluate(Trials(code[None], np.zeros(1, np.int64)), tmp_path / str(number))
        assert told.ok.all()
    assert opens == [str(images)]


IN_A_ROW = """
    data: {data}
    recipe: default
    epochs: 2
    batch_size: null
    lr: null
    settings:
      batch_size: '32'
    select: best
    width: null
    layers: null
    root: null
    download: false
    split: null
    input_size: null
    max_corrupt: 0
    loaders: 0
    seed: 0
    device: cpu
    precision: '32'
    channels_last: false
"""


def test_a_run_whose_options_stand_in_a_row_goes_on(cli, finished, images, tmp_path):
    """Older versions wrote them so."""
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["evaluator"]["options"] = yaml.safe_load(IN_A_ROW.format(data=images))
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    Seal(config).write(path)
    whole = (path / "journal.jsonl").read_bytes()
    (path / "journal.jsonl").write_bytes(whole[: whole.index(b"\n") + 9])
    shutil.rmtree(path / "evaluations" / "000002")
    assert len(load_search(path).queries) == 1
    assert len(resume(path, evaluator=evaluator(images, settings={"batch_size": "32", "epochs": 2})).queries) == QUERIES
    assert whole == (path / "journal.jsonl").read_bytes()
    shown = cli("show", str(path))
    assert f"training on {images}, recipe default, best validation accuracy, %" in shown.out
    assert f"--data {images}" in cli("runs", "rank", str(path)).out
    folder = RunFolder(path)
    assert folder.kind.row(folder).on == "training:shades.npz"


def test_failures_are_rows(images, tmp_path, monkeypatch):
    codes = space().sample(2, np.random.default_rng(0))
    how = {"settings": {"epochs": 1}, "compute": fn.Compute("cpu")}
    train(fn.Architecture(space(), codes[1]), images, run_dir=tmp_path / "training", **how)

    def diverged(self, epoch):
        raise RuntimeError("the loss is not finite")

    monkeypatch.setattr(NetworkSession, "measured", diverged)
    told = evaluator(images).evaluate(Trials(codes, np.arange(2)), tmp_path)
    assert np.isnan(told.values).all()
    assert np.isnan(told.metrics["best"]).all()
    assert "a folder of its own" in told.errors[0]  # the folder has another architecture's training
    assert told.errors[1] == "RuntimeError: the loss is not finite"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "nowhere/images"}, "nowhere"),
        ({"images": {"spec": "cifar10", "root": "nowhere"}}, "`evaluator.root`"),
        ({"images": {"spec": "digits", "colour": True}}, "input_size"),
        ({"images": {"spec": "digits", "max_corrupt": "none"}}, "evaluator.images: max_corrupt takes a whole number"),
        ({"recipe": "npenas"}, "npenas-darts-search"),
        ({"images": {"spec": "digits", "split": "all"}}, "`evaluator.split`=default"),
        ({"settings": "clip_norm"}, "NAME=VALUE"),
        ({"settings": "clip=5"}, "clip_norm"),
        ({"select": "first"}, "best, last5"),
        ({"settings": {"epochs": 0}}, "epochs"),
        ({"sizes": {"width": 0}}, "width"),
        ({"sizes": {"depth": 0}}, "layers"),
        ({"compute": {"device": "tpu"}}, "cpu"),
        ({"compute": "cpu"}, "fields by name"),
    ],
)
def test_what_would_fail_for_every_architecture_is_refused_at_once(images, options, said):
    with pytest.raises(FrugalnasError, match=said) as raised:
        evaluator(images, **options)
    assert "\n" not in str(raised.value)


def test_sizes_that_a_space_lacks_are_refused(images):
    with pytest.raises(FrugalnasError, match="leave it out"):
        TrainingEvaluator(MobileNet(), images=str(images), sizes={"layers": 4})


def test_cells_of_darts_are_compared_in_the_papers_small_networks(images):
    own = TrainingEvaluator(DARTS(), images=fn.Images(images, split="half"), recipe="npenas-darts-search")
    assert (own.trained.width, own.trained.layers) == (16, 8)
    assert (own.space.width, own.space.layers) == (36, 20)
    recipe = Recipe.load("npenas-darts-search")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.min_lr) == (50, 64, 0.025, 1e-6)
    assert (recipe.weight_decay, recipe.clip_norm, recipe.per_step, recipe.auxiliary) == (3e-4, 5, False, None)
    retrain = Recipe.load("ssnenas-retrain")
    assert (retrain.epochs, retrain.batch_size, retrain.drop_path, retrain.auxiliary) == (600, 96, 0.2, "darts")
    assert retrain.select == "best"
    assert known("SSNENAS").options == {"none": True}


@pytest.mark.slow
class TestTraining(EvaluatorConformance):
    draws = 2

    @pytest.fixture(autouse=True)
    def _images(self, images):
        self.images = images

    def make(self):
        return evaluator(self.images, settings={"epochs": 1, "batch_size": 32})

    def space(self):
        return space()


@pytest.mark.slow
def test_trainings_in_processes_leave_the_same_journal(finished, images, tmp_path):
    path = tmp_path / "processes"
    search(strategy(), evaluator(images), QUERIES, run_dir=path, executor=ProcessExecutor(workers=2))
    assert journal(path) == journal(finished)


# -- the command line ----------------------------------------------------------------------------------------------------


def test_ranking_and_counting_by_id(cli, finished):
    ranked = json.loads(cli("runs", "rank", str(finished), "--by", "last5", "--json").out)
    order = [row["metrics"]["last5"] for row in ranked]
    assert order == sorted(order, reverse=True)
    assert sorted(row["id"] for row in ranked) == [1, 2]
    assert all(row["seconds"] > 0 for row in ranked)
    smallest = json.loads(cli("runs", "rank", str(finished), "--by", "params", "--json").out)
    assert smallest[0]["metrics"]["params"] == min(row["metrics"]["params"] for row in ranked)
    shown = cli("runs", "rank", str(finished), "--top", "1")
    assert "and 1 more" in shown.out
    assert f"frugalnas train {finished} --id" in shown.out
    chosen = ranked[-1]
    counted = cli("count", str(finished), "--id", str(chosen["id"]))
    assert f"query {chosen['id']} of" in counted.out
    for arguments, hint in (
        (("runs", "rank", str(finished), "--by", "bst"), "best"),
        (("count", str(finished), "--id", "9"), "1 to 2"),
        (("count", "NB201_best_CIFAR10", "--id", "1"), "leave --id out"),
    ):
        refused = cli(*arguments)
        assert refused.code == 2
        assert hint in refused.err


@pytest.mark.slow
def test_search_and_retrain_as_typed(cli, images, tmp_path):
    run_dir = tmp_path / "search"
    options = (
        "data=" + str(images),
        "epochs=1",
        "batch_size=32",
        "width=4",
        "layers=3",
        "settings=augmentation.flip=true",
    )
    settings = [part for option in options for part in ("--set", f"evaluator.{option}")]
    said = cli(
        "search", "random", "--space", "darts", "--set", "space.width=4", "--set", "space.layers=3",
        "--evaluator", "training", *settings, "--queries", "3", "--run-dir", str(run_dir), "--quiet",
        "--initial", "2",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "best validation accuracy, %" in said.out
    assert "test accuracy" not in said.out
    config = RunFolder(run_dir).config
    assert config["evaluator"]["name"] == "training"
    options = config["evaluator"]["options"]
    assert options["settings"] == {"augmentation.flip": "true", "epochs": 1, "batch_size": 32}
    assert options["sizes"] == {"width": 4, "layers": 3}
    assert options["images"]["spec"] == str(images)
    final = tmp_path / "final"
    said = cli(
        "train", str(run_dir), "--id", "2", "--data", str(images), "--epochs", "1", "--batch-size", "32",
        "--run-dir", str(final), "--quiet",
    )  # fmt: skip
    assert said.code == 0, said.err
    retrained = load_training(final)
    assert retrained.test is not None
    np.testing.assert_array_equal(retrained.code, load_search(run_dir).queries[1].code)
