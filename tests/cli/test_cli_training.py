"""The commands for networks: what they print, what they leave behind, and that bad input is one line."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
from PIL import Image
from sklearn.datasets import load_digits

from frugalnas.data import Images
from frugalnas.spaces import DARTS, KNOWN, NASBench201

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
SMALL = ("--width", 4, "--layers", 1, "--epochs", 1, "--device", "cpu", "--quiet")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a small training, which tests only read."""
    from frugalnas.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["train", CELL, "--data", "digits", "--run-dir", folder, *SMALL]
    assert main([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder with two folders of a few small pictures, red and blue ones."""
    rng = np.random.default_rng(0)
    for name, channel in (("blue", 2), ("red", 0)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 60, (20, 20, 3), dtype=np.uint8)
            pixels[:, :, channel] += 180
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


# -- train, show, evaluate, predict, export ----------------------------------------------------------------------------


@pytest.mark.pictures
def test_training_is_shown_listed_and_resumed(cli, trained):
    said = cli("show", trained)
    assert said.code == 0
    shown = json.loads(cli("show", trained, "--json").out)
    assert (shown["epochs"], shown["total_epochs"], shown["finished"]) == (1, 1, True)
    assert shown["architecture"] == CELL
    assert shown["test"]["images"] == 180
    assert f"{shown['test']['top1']:.2f} %" in said.out
    assert shown["params"] == NASBench201(width=4, cells=1).count("params", NASBench201().parse(CELL)[None])[0]
    for name in ("index.html", "curves.png", "confusion.svg", "classes.png", "architecture.png"):
        assert (trained / "report" / name).stat().st_size > 1_000
    listed = cli("runs", "list", "--root", trained.parent)
    assert re.search(r"training +digits +1 of 1 epochs +[\d.]+ % test", listed.out)
    weights = (trained / "model" / "model.safetensors").read_bytes()
    assert cli("resume", trained, "--quiet", "--device", "cpu").code == 0
    assert (trained / "model" / "model.safetensors").read_bytes() == weights
    assert cli("resume", trained, "--queries", 3).code == 2


def test_evaluation_repeats_the_test_at_the_end(cli, trained):
    said = json.loads(cli("evaluate", trained, "--data", "digits", "--json").out)
    assert said["top1"] == json.loads(cli("show", trained, "--json").out)["test"]["top1"]
    said = cli("evaluate", trained, "--part", "val").out
    assert "val accuracy" in said
    assert "worst classes" in said


def test_prediction_names_classes_as_the_network_does(cli, trained):
    digits = load_digits()
    for number in range(5):
        pixels = (digits.images[number] * 255 / 16).round().astype(np.uint8)
        Image.fromarray(pixels).save(f"{number}.png")
    said = json.loads(cli("predict", trained, ".", "--json", "--top", 10).out)
    assert [each["picture"] for each in said] == [f"{number}.png" for number in range(5)]
    from frugalnas.data import preprocess
    from frugalnas.networks.models import load

    network = load(trained)
    images = torch.stack([preprocess(f"{number}.png", network.card.preprocessing) for number in range(5)])
    with torch.inference_mode():
        expected = network(images).softmax(dim=1).numpy()
    for row, each in zip(expected, said, strict=True):
        assert sum(each["classes"].values()) == pytest.approx(1)
        np.testing.assert_allclose([each["classes"][str(label)] for label in range(10)], row, atol=1e-5)
    said = cli("predict", trained, "0.png", "1.png", "--top", 2)
    assert said.out.splitlines()[0].startswith("0.png  ")
    assert said.out.count("%") == 4


def test_export_puts_the_file_beside_the_run_or_where_it_is_told(cli, trained, photos):
    assert cli("export", trained, "--format", "safetensors").code == 0
    assert (trained / "export" / "safetensors" / "architecture.json").exists()
    assert cli("export", trained, "--format", "safetensors", "--out", "out/net").code == 0
    assert cli("predict", "out/net", photos / "red" / "0.png").code == 0
    assert cli("count", "out/net").out == cli("count", trained).out


def test_random_weights_are_exported_only_where_that_is_asked_for(cli, trained):
    from frugalnas.networks.models import card_of, load, save_model

    network = load(trained)
    save_model(
        "untrained", network, replace(card_of(network), provenance={"weights": "random: this network was not trained"})
    )
    refused = cli("export", "untrained", "--format", "safetensors")
    assert refused.code == 2
    assert "has random weights; train it with: frugalnas train untrained" in refused.err
    assert not Path("untrained/export").exists()
    assert cli("export", "untrained", "--format", "safetensors", "--untrained").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("format", "suffix"), [("onnx", ".onnx"), ("torch-export", ".pt2")])
def test_export_writes_one_file(cli, trained, format, suffix):
    assert cli("export", trained, "--format", format).code == 0
    assert (trained / "export" / f"run{suffix}").stat().st_size > 10_000


@pytest.mark.slow
def test_a_folder_of_pictures_is_trained_on_and_packed(cli, photos):
    said = cli("data", "info", photos)
    assert said.code == 0
    assert "2: blue, red" in said.out
    assert "20x20 pixels" in said.out
    packed = cli("data", "pack", photos, "--to", "lmdb", "--quiet")
    assert packed.code == 0
    folder = photos.with_name("photos-lmdb")
    assert "20" in packed.out
    plain = {each: json.loads(cli("data", "info", each, "--json").out) for each in (photos, folder)}
    assert plain[photos]["parts"] == plain[folder]["parts"]
    assert plain[folder]["classes"] == ["blue", "red"]
    said = cli("train", "DARTS_V2", "--data", folder, "--width", 2, "--layers", 3, "--epochs", 1, "--quiet")
    assert said.code == 0, said.err
    (run,) = Path("runs").iterdir()
    assert run.name == "DARTS_V2-photos-lmdb-seed0"
    assert "DARTS_V2: Genotype(" in cli("show", run).out


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(cli):
    said = cli("train", CELL, "--dry-run", *SMALL[:4], "--epochs", 7, "--batch-size", 50, "--device", "cpu")
    assert said.code == 0, said.err
    for part in ("7 epochs, batches of 50", "8x8 pixels", "10 classes", "180 test", "about"):
        assert part in said.out
    assert not list(Path().iterdir())


@pytest.mark.typical("train *")
@pytest.mark.parametrize("command", [("train", "RelativeNAS"), ("supernet", "train", "--space", "darts")], ids=" ".join)
@pytest.mark.pictures
def test_images_are_opened_once(cli, command, monkeypatch):
    opened, open_images = [], Images.open
    monkeypatch.setattr(Images, "open", lambda self, **how: opened.append(self) or open_images(self, **how))
    assert cli(*command, "--dry-run", "--set", "space.layers=3", "--width", 2, "--device", "cpu").code == 0
    assert len(opened) == 1


def test_weights_are_imported_and_trained_on(cli, trained, photos):
    from frugalnas.networks.models import load

    tensors = {f"module.{name}": tensor for name, tensor in load(trained).state_dict().items()}
    torch.save({"state_dict": tensors}, "published.pth.tar")
    sizes = ("--width", 4, "--layers", 1, "--input", 8, "--classes", 10)
    said = cli("weights", "import", "published.pth.tar", "--arch", CELL, *sizes)
    assert said.code == 0, said.err
    assert (Path("models/published") / "model.safetensors").exists()
    assert cli("weights", "import", "published.pth.tar", "--arch", CELL, *sizes).code == 2
    said = cli("predict", "models/published", photos / "red" / "0.png")
    assert said.code == 2
    assert "--trained-on" in said.err


# -- which architecture is meant ---------------------------------------------------------------------------------------


def counted(cli, *arguments) -> dict:
    said = cli("count", *arguments, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_an_architecture_may_be_named_in_many_ways(cli, trained):
    genotype = DARTS().genotype(DARTS().parse("RelativeNAS"))
    Path("genotype.json").write_text(json.dumps(genotype.to_json()))
    Path("text.txt").write_text(str(genotype) + "\n")
    Path("card.json").write_text(
        json.dumps({"space": {"name": "darts", "options": {"width": 8}}, "architecture": str(genotype)})
    )
    sizes = ("--width", 8, "--layers", 3)
    expected = counted(cli, "RelativeNAS", "--space", "darts", *sizes)
    for written in ("relativenas", "genotype.json", "text.txt", "card.json", str(genotype)):
        found = counted(cli, written, *sizes)
        assert (found["params"], found["macs"], found["architecture"]) == (
            expected["params"],
            expected["macs"],
            expected["architecture"],
        )
    assert counted(cli, "card.json", "--layers", 3)["params"] == expected["params"]
    assert counted(cli, trained)["architecture"] == CELL
    assert counted(cli, trained / "model")["params"] == counted(cli, trained)["params"]


def test_the_best_of_a_search_is_an_architecture(cli):
    assert cli("search", "random", "--queries", 12, "--quiet", "--run-dir", "run").code == 0
    best = json.loads(cli("show", "run", "--json").out)["architecture"]
    assert counted(cli, "run")["architecture"] == best


@pytest.mark.parametrize("name", [name for name, each in KNOWN.items() if each.space != "darts"])
def test_every_known_notation_is_read_without_its_space(cli, name):
    from frugalnas.cli.architectures import find_architecture
    from frugalnas.registry import SPACES

    known = KNOWN[name]
    space = SPACES.create({"name": known.space, "options": known.options})
    text = space.format(space.parse(known.text))
    from argparse import Namespace

    found = find_architecture(Namespace(architecture=text, space=None))
    assert found.space.name == known.space
    np.testing.assert_array_equal(found.code, space.parse(known.text))


@pytest.mark.slow
def test_a_genotype_that_is_typed_is_fitted_as_its_name_is(cli):
    genotype = KNOWN["DARTS_V2"].text
    assert len(genotype) > 255  # more than a file's name may have
    typed, named = (
        cli("fit", text, "--where", "macs<=20M", "--layers", 3, "--json") for text in (genotype, "DARTS_V2")
    )
    assert json.loads(typed.out)["width"] == json.loads(named.out)["width"]


# -- count, fit, draw, measure -----------------------------------------------------------------------------------------


def test_counts_are_the_published_ones(cli):
    said = cli("count", "DARTS_V2", "--width", 36, "--layers", 20, "--input", 32)
    assert said.code == 0
    assert re.search(r"^all +3,349,342 +528,359,040$", said.out, re.MULTILINE)
    assert "cells.19" in said.out
    assert counted(cli, "NASNet")["params"] == 3_830_950


@pytest.mark.typical("params*")
@pytest.mark.parametrize(
    ("limit", "name", "width", "options"),
    [
        ("macs<=600e6", "RelativeNAS", 46, ["--space", "darts"]),
        pytest.param("thop<=547.6e6", "DARTS_ABS", 45, ["--step", "1"], marks=pytest.mark.slow),
        ("params<=1e6", "NB201_best_CIFAR10", 15, []),
        ("macs<=389e6", "FairNAS_A", 1.0, []),
    ],
)
def test_fit_finds_the_width_of_the_papers(cli, limit, name, width, options):
    said = json.loads(cli("fit", name, "--where", limit, *options, "--json").out)
    assert said["width"] == width


@pytest.mark.slow
def test_fit_shows_the_widths_around(cli):
    said = cli("fit", "RLNAS_mobile", "--where", "macs<=80M", "--input", 64)
    assert said.code == 0, said.err
    assert said.out.count(" M") >= 10
    assert "the largest that fits" in said.out


def length(text):
    """What an architecture is worth here."""
    return float(len(text))


@pytest.mark.slow
def test_the_best_of_a_search_is_fitted_to_another_budget(cli, tmp_path, monkeypatch):
    """Limits of the search are not limits of what its architecture is built as; its macro-structure stays."""
    monkeypatch.setattr("frugalnas.report.searches.save_figure", lambda *figure: [])  # pictures take seconds
    said = cli(
        *("search", "random", "--space", "darts", "--where", "macs>=500e6", "--evaluator", f"{__name__}:length"),
        *("--queries", 3, "--initial", 3, "--run-dir", tmp_path / "run", "--quiet"),
    )
    assert said.code == 0, said.err
    said = cli("fit", tmp_path / "run", "--where", "macs<=400e6")
    assert "darts (cifar)" in said.out
    assert "the largest that fits" in said.out


@pytest.mark.typical("NB101_best", "Proxyless_GPU")
@pytest.mark.parametrize("name", ["RelativeNAS", "AmoebaNet", "Proxyless_GPU", "OFA_WeakNAS_800", "NB101_best"])
@pytest.mark.pictures
def test_draw_writes_svg_and_png(cli, name):
    said = cli("draw", name, "--out", "pictures/it.png")
    assert said.code == 0, said.err
    assert said.out.split() == ["pictures/it.svg", "pictures/it.png"]
    assert name in Path("pictures/it.svg").read_text()


@pytest.mark.slow
def test_a_latency_table_is_measured_and_used(cli):
    sizes = ("--width", 0.1, "--input", 32)
    said = cli("measure-latency", "--space", "fairnas", *sizes, "--repeats", 1, "--quiet")
    assert said.code == 0, said.err
    assert Path("latency-fairnas-torch-cpu.json").exists()
    assert "space.latency=latency-fairnas-torch-cpu.json" in said.out
    found = counted(cli, "FairNAS_A", *sizes, "--set", "space.latency=latency-fairnas-torch-cpu.json")
    assert found["latency"] > 0


# -- bad input ---------------------------------------------------------------------------------------------------------

GENOTYPE = str(DARTS().genotype(DARTS().parse("DARTS_V2")))
BAD_INPUT = {
    # architectures
    "an unknown name": (["count", "RelativNAS"], "did you mean 'RelativeNAS'"),
    "an operation": (
        ["count", GENOTYPE.replace("sep_conv_3x3", "sep_conv_9x9")],
        "node 2.*sep_conv_9x9.*choose one of",
    ),
    "an input": (
        ["count", GENOTYPE.replace("('skip_connect', 0)", "('skip_connect', 7)")],
        "reads state 7; it can read",
    ),
    "three edges": (
        ["count", "[[1,1,1,1,1,1,1,0,0,1,1,0,0,0],[1,1,1,1,0,1,1,0,0,1,1,0,0,0]]"],
        "node 3 of the normal cell has 3 operations.*exactly two",
    ),
    "a cell's operation": (["count", "|conv_9x9~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "conv_9x9"),
    "layers": (["count", "1 2 3"], "no space reads '1 2 3'.*--space"),
    "layers of a space": (["count", "1 2 3", "--space", "mobilenet"], "it has 3 layers, the space has 21"),
    "another space": (["count", "RelativeNAS", "--space", "mobilenet"], "architecture of darts, not of mobilenet"),
    "an unknown space": (["count", "RelativeNAS", "--space", "dart"], "did you mean 'darts'"),
    "a missing file": (["count", "genotype.json"], "no file or folder genotype.json"),
    "nothing": (["count", ""], "an architecture is needed"),
    "an empty file": (["count", "empty.json"], "empty.json: an architecture is needed"),
    "a picture": (["count", "noise.json"], "is no text"),
    "a folder": (["count", "empty"], "neither a run nor a model"),
    "five nodes": (["train", "NASNet"], "can be counted and drawn"),
    "a size that is none": (["count", CELL, "--width", "wide"], "--width: 'wide' is not INTEGER"),
    "a size that it has not": (["count", CELL, "--macro", "cifar"], "no such size"),
    "a width of zero": (["count", CELL, "--width", "0"], "width"),
    "strides": (["count", "RLNAS_mobile", "--input", "8"], "too small|input"),
    "a part": (["count", CELL, "--set", "predictor.x=1"], "unknown part"),
    "an option of the space": (["count", CELL, "--set", "space.widht=3"], "space.width"),
    # fit, draw, latency
    "a limit": (["fit", "RelativeNAS", "--where", "macs"], "cannot read the limit"),
    "a limit without end": (["fit", "RelativeNAS", "--where", "macs<=1e999"], "too large a number"),
    "a lower limit": (["fit", "RelativeNAS", "--where", "macs>=3"], "upper limits"),
    "a quantity": (["fit", "RelativeNAS", "--where", "flops<=3"], "unknown quantity 'flops'"),
    "no width": (["fit", "NB201_best_CIFAR10", "--where", "macs<=3"], "no width of"),
    "fit's width": (["fit", "NB201_best_CIFAR10", "--where", "macs<=1e6", "--width", "3"], "leave it out"),
    "a step": (["fit", "RelativeNAS", "--where", "macs<=1e9", "--step", "0.5"], "whole steps"),
    "a step without end": (["fit", "RelativeNAS", "--where", "macs<=1e9", "--step", "inf"], "'inf' is not a number"),
    "no space": (["measure-latency"], "Add --space"),
    "no blocks": (["measure-latency", "--space", "nasbench101"], "no table by block"),
    "a folder for the table": (["measure-latency", "--space", "fairnas", "--out", "no/where.json"], "no folder"),
    "a device for the table": (["measure-latency", "--space", "fairnas", "--device", "tpu9"], "tpu9"),
    # training
    "an unknown data set": (["train", CELL, "--data", "cifar1"], "unknown data 'cifar1'"),
    "data that is not there": (["train", CELL, "--data", "cifar10", "--root", "empty"], "--download"),
    "an empty folder": (["train", CELL, "--data", "./empty"], "empty"),
    "one class": (["train", CELL, "--data", "./one"], "one class|two"),
    "an unreadable image": (["train", CELL, "--data", "./corrupt"], "--max-corrupt"),
    "an unknown recipe": (["train", CELL, "--recipe", "cifra"], "did you mean 'cifar'"),
    "a setting": (["train", CELL, "--set", "lrr=3"], "lr"),
    "a setting without a value": (["train", CELL, "--set", "lr"], "NAME=VALUE"),
    "a value": (["train", CELL, "--set", "lr=fast"], "lr"),
    "a setting twice": (["train", CELL, "--lr", "1", "--set", "lr=2"], "say the same"),
    "epochs": (["train", CELL, "--epochs", "0"], "epochs"),
    "an input that strides cannot take": (
        ["train", "DARTS_V2", "--input", "2", "--width", "2", "--layers", "3"],
        "small|input",
    ),
    "pixels": (["train", CELL, "--input", "big"], "INTEGER|number of pixels"),
    "classes": (["train", CELL, "--classes", "5"], "leave --classes out"),
    "a drawn split": (["train", CELL, "--split", "x.txt", "--split-seed", "1"], "--split-seed"),
    "weights": (["train", CELL, "--weights", "nothing"], "nothing"),
    "a taken folder": (["train", CELL, "--run-dir", "empty"], "already there"),
    # networks
    "a run": (["evaluate", "nothing"], "no trained network at nothing"),
    "no network": (["export", "empty"], "no trained network at empty"),
    "no picture": (["predict", "nothing", "no.png"], "no picture no.png"),
    "top": (["predict", "nothing", "noise.json", "--top", "0"], "--top 0"),
    "no checkpoint": (["weights", "import", "no.pth"], "no file no.pth"),
    "not a checkpoint": (["weights", "import", "noise.json"], "noise.json"),
    "a space without an architecture": (["weights", "import", "noise.json", "--space", "darts"], "--arch"),
    # data
    "no folder": (["data", "pack", "nothing"], "nothing"),
    "nothing to pack": (["data", "pack", "empty"], "empty"),
    "data of no kind": (["data", "info", "what"], "unknown data 'what'"),
    "a corrupt picture": (["data", "info", "corrupt"], "--max-corrupt"),
}


def prepare() -> None:
    Path("empty").mkdir()
    Path("empty.json").write_text("")
    Path("noise.json").write_bytes(bytes(range(256)))
    for folder, classes in (("one", ("a",)), ("corrupt", ("a", "b"))):
        for name in classes:
            (Path(folder) / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (9, 9), (60 * number, 0, 0)).save(Path(folder) / name / f"{number}.png")
    broken = Path("corrupt/a/1.png")
    broken.write_bytes(broken.read_bytes()[:40])


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(cli, case):
    prepare()
    before = sorted(path.as_posix() for path in Path().rglob("*"))
    arguments, expected = BAD_INPUT[case]
    said = cli(*arguments)
    assert said.code == 2, said.out + said.err
    message = said.err.strip()
    assert re.search(expected, message, re.DOTALL), message
    lines = [line for line in message.splitlines() if not line.startswith(("usage", " "))]
    assert lines[-1].startswith("frugalnas")
    assert "Traceback" not in message
    assert sorted(path.as_posix() for path in Path().rglob("*")) == before


def test_cuda_where_there_is_none(cli, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = cli("train", CELL, "--device", "cuda", *SMALL[:4])
    assert said.code == 2
    assert "--device cpu" in said.err
    assert not Path("runs").exists()


def test_a_checkpoint_of_another_architecture(cli, trained):
    other = CELL.replace("avg_pool_3x3", "nor_conv_1x1")
    said = cli("train", other, "--weights", trained / "model" / "model.safetensors", *SMALL)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "cells.0" in said.err or "tensors" in said.err
    assert not Path("runs").exists()


def test_pictures_that_are_none(cli, trained):
    Path("photo.jpg").write_bytes(b"not a picture")
    said = cli("predict", trained, "photo.jpg")
    assert said.code == 2
    assert "frugalnas: none of the 1 pictures can be read (photo.jpg: not an image" in said.err
    Path("some/inner").mkdir(parents=True)
    Image.new("L", (9, 9), 90).save("some/inner/good.png")
    shutil.copy("photo.jpg", "some/bad.jpg")
    os.mkfifo("some/pipe.png")
    said = cli("predict", trained, "some", "--json")
    assert said.code == 0
    assert [each["picture"] for each in json.loads(said.out)] == ["some/inner/good.png"]
    assert "skipped some/bad.jpg: not an image that can be read" in said.err
    said = cli("predict", trained, "some/pipe.png")
    assert said.code == 2
    assert "some/pipe.png: not a file" in said.err
    Path("folder").mkdir()
    assert "has no pictures" in cli("predict", trained, "folder").err


def test_data_with_other_classes_is_refused(cli, trained, photos):
    said = cli("evaluate", trained, "--data", photos)
    assert said.code == 2
    assert "blue" in said.err


@pytest.mark.parametrize(
    "words",
    [
        *(["train"], ["evaluate"], ["predict"], ["export"], ["weights"], ["weights", "import"], ["count"], ["fit"]),
        *(["draw"], ["measure-latency"], ["data"], ["data", "info"], ["data", "pack"], ["data", "list"]),
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(cli, words):
    said = cli(*words, "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: frugalnas {words[0]}")


def test_lists_name_recipes_and_architectures(cli):
    assert "RelativeNAS, train.py" in cli("list", "--recipes").out
    assert "--architectures" in cli("list").out
    said = cli("list", "--architectures")
    assert all(name in said.out for name in KNOWN)
    assert "digits" in cli("data", "list").out
