"""A trained network is saved with its card, given back, and leaves as ONNX, torch.export program or safetensors."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks import Skeleton, build
from frugalnas.networks import exporting as exporting_module
from frugalnas.networks.exporting import FORMATS, TOLERANCE, export, inference_network, live_network
from frugalnas.networks.models import (
    CARD_FILE,
    WEIGHTS_FILE,
    ModelCard,
    build_from_card,
    card_of,
    described,
    load,
    load_tensors,
    model_folder,
    read_card,
    save_model,
    tensors_of,
)
from frugalnas.registry import SPACES
from frugalnas.spaces import SearchSpace


class ToySpace(SearchSpace):
    """Two convolutions, each with kernel 1, 3 or 5."""

    name = "toy"
    skeleton = "test_export:ToySkeleton"

    def __init__(self, *, width: int = 4, input_size: int = 8, classes: int = 3) -> None:
        self.width, self.input_size, self.classes = width, input_size, classes
        self.allowed = np.ones((2, 3), np.bool_)

    def format(self, code):
        return " ".join(str(2 * value + 1) for value in code)

    def parse(self, text):
        return np.array([int(part) // 2 for part in text.split()], np.int8)


class ToyNetwork(nn.Module):
    def __init__(self, kernels, width, classes, auxiliary):
        super().__init__()
        layers, inputs = [], 3
        for kernel in kernels:
            layers += [nn.Conv2d(inputs, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)
        self.auxiliary_head = nn.Linear(width, classes) if auxiliary else None

    def forward(self, images):
        pooled = self.features(images).mean((2, 3))
        if self.training and self.auxiliary_head is not None:
            return self.classifier(pooled), self.auxiliary_head(pooled)
        return self.classifier(pooled)


class ToySkeleton(Skeleton):
    def build(self, code, *, auxiliary=None, drop_path=0.0, dropout=0.0):
        return ToyNetwork([2 * int(value) + 1 for value in code], self.space.width, self.space.classes, auxiliary)


PREPROCESSING = {"input_size": 8, "resize": 9, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.25] * 3}


def trained(auxiliary="toy", text="1 3", **sizes):
    """A network whose weights and statistics are its own, and its card."""
    space = ToySpace(**sizes)
    network = build(space, space.parse(text), auxiliary=auxiliary)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        outputs = network(torch.randn(4, 3, space.input_size, space.input_size))
        loss = sum(part.square().sum() for part in (outputs if isinstance(outputs, tuple) else (outputs,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    card = ModelCard(
        space=SPACES.describe(space),
        architecture=text,
        build={"auxiliary": auxiliary},
        classes=("a cat", "ein Käfer", "犬"),
        preprocessing=PREPROCESSING,
        counts={"params": 1.0, "macs": 2.0},
        provenance={"data": str(Path.home() / "toys"), "epochs": 2, "recipe": {"teacher": [str(Path.home() / "t")]}},
    )
    return network, card


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# -- saving and loading ------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(tmp_path):
    network, card = trained()
    assert save_model(tmp_path / "new" / "model", network, card) == tmp_path / "new" / "model"
    assert {path.name for path in (tmp_path / "new" / "model").iterdir()} == {WEIGHTS_FILE, CARD_FILE}
    found = load(tmp_path / "new" / "model")
    assert not found.training
    assert card_of(found) == card == read_card(tmp_path / "new" / "model")
    assert same(tensors_of(found), tensors_of(network))
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(found(images), network.eval()(images))


def test_loading_leaves_the_generator_alone(tmp_path):
    save_model(tmp_path, *trained())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load(tmp_path)
    assert torch.equal(torch.rand(1), expected)


def test_a_training_run_is_where_its_model_is(tmp_path):
    network, card = trained()
    (tmp_path / "config.yaml").write_text("kind: training\n")
    with pytest.raises(FrugalnasError, match=r"holds no trained network: it is a training; .*frugalnas resume"):
        load(tmp_path)
    (tmp_path / "config.yaml").write_text("kind: search\n")
    with pytest.raises(FrugalnasError, match=r"it is a search; train what it found: frugalnas train"):
        load(tmp_path)
    save_model(tmp_path / "model", network, card)
    assert model_folder(tmp_path) == tmp_path / "model"
    assert card_of(load(tmp_path)) == card


def test_the_weights_travel_alone(tmp_path):
    network, card = trained()
    save_model(tmp_path, network, card)
    os.rename(tmp_path / WEIGHTS_FILE, tmp_path / "alone.safetensors")
    (tmp_path / CARD_FILE).unlink()
    assert card_of(load(tmp_path / "alone.safetensors")) == card


def test_wrappers_and_memory_formats_leave_no_trace(tmp_path):
    network, card = trained()
    wrapped = nn.DataParallel(network.to(memory_format=torch.channels_last))
    save_model(tmp_path, wrapped, card)
    assert same(tensors_of(load(tmp_path)), tensors_of(network))


@pytest.mark.slow
def test_compiling_leaves_no_trace():
    network, _ = trained()
    assert same(tensors_of(torch.compile(network)), tensors_of(network))


def test_a_card_names_no_file_of_this_machine():
    plain = SPACES.create({"name": "nasbench201", "options": {"width": 4}})
    with_table = SPACES.create({"name": "nasbench201", "options": {"width": 4, "latency": "latency-here.json"}})
    assert described(with_table) == described(plain)


def test_a_killed_save_leaves_a_network_with_its_own_card(tmp_path, monkeypatch):
    old, old_card = trained()
    new, new_card = trained(auxiliary=None, text="5 5", width=6)
    replace = os.replace
    for step in range(2):
        save_model(tmp_path, old, old_card)
        moves = iter(range(10))

        def killed(source, target, *, moves=moves, step=step):
            if next(moves) == step:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_model(tmp_path, new, new_card)
        monkeypatch.setattr(os, "replace", replace)
        assert card_of(load(tmp_path)) == (old_card, new_card)[step]
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_saving_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save_model(tmp_path, *trained())
    save_model(tmp_path, *trained())
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_of_another_architecture_are_refused(tmp_path):
    network, card = trained()
    save_model(tmp_path, network, card)
    (tmp_path / CARD_FILE).write_text(card.to_json().replace('"1 3"', '"1 5"'))
    with pytest.raises(
        FrugalnasError, match=r"1 5: features\.3\.weight has shape \[4, 4, 3, 3\] instead of \[4, 4, 5, 5\]$"
    ):
        load(tmp_path)
    (tmp_path / CARD_FILE).write_text(card.to_json().replace('"auxiliary": "toy"', '"auxiliary": null'))
    with pytest.raises(
        FrugalnasError, match=r"auxiliary_head\.bias has no place; auxiliary_head\.weight has no place$"
    ):
        load(tmp_path)


def test_a_refused_load_changes_nothing():
    network, _ = trained()
    before = tensors_of(network)
    others = {name: tensor + 1 for name, tensor in before.items() if name != "classifier.bias"}
    with pytest.raises(FrugalnasError, match=r"classifier\.bias is missing"):
        load_tensors(network, others)
    assert same(tensors_of(network), before)


def test_damage_is_named(tmp_path):
    save_model(tmp_path, *trained())
    content = (tmp_path / WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(FrugalnasError, match=f"{WEIGHTS_FILE} is damaged"):
        load(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(content)
    for text, message in (
        ("{", "is not JSON"),
        ("[]", "does not describe a network"),
        ('{"space": {}}', "needs 'space' and 'architecture'"),
        ('{"space": "toy", "architecture": "1 3"}', "'space' must be a dict"),
        ('{"space": {"name": "toi"}, "architecture": "1 3"}', "unknown space 'toi'"),
    ):
        (tmp_path / CARD_FILE).write_text(text)
        with pytest.raises(FrugalnasError, match=message):
            load(tmp_path)


def test_a_folder_without_a_network_says_so(tmp_path):
    with pytest.raises(FrugalnasError, match="there is no trained network at"):
        load(tmp_path / "nothing")
    save_file({"a": torch.zeros(1)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(FrugalnasError, match=r"does not say which network it holds.*frugalnas weights import"):
        load(tmp_path)
    with pytest.raises(FrugalnasError, match="has no card"):
        card_of(nn.Linear(1, 1))


# -- export ------------------------------------------------------------------------------------------------------------


def answers_alike(path: Path, format: str, network: nn.Module, size: int = 8) -> None:
    """Compare, for batches that the exporter has not seen, as a user's program would that knows no frugalnas."""
    for batch in (1, 2, 5):
        images = torch.randn(batch, 3, size, size)
        with torch.no_grad():
            wanted = network.eval()(images)
        if format == "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        elif format == "torch-export":
            found = torch.export.load(path).module()(images)
        else:
            found = load(path)(images)
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max().clamp(min=1)


def paths_in(content: bytes) -> list[str]:
    """Folders of this machine that a file names."""
    folders = [Path.home(), Path(__file__).parent, Path(torch.__file__).parent, Path(exporting_module.__file__).parent]
    return [str(folder) for folder in folders if str(folder).encode() in content]


FAMILIES = {
    "nasbench201": (
        {"width": 4, "cells": 1},
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    ),
    "nasbench101": ({"width": 8, "cells": 1}, None),
    "darts": ({"width": 4, "layers": 3}, "DARTS_V2"),
    "darts imagenet": ({"macro": "imagenet", "width": 4, "layers": 3, "input_size": 64, "classes": 7}, "PDARTS"),
    "mobilenet": ({"width": 0.25, "input_size": 32}, "SPOS_ABS"),
    "fairnas": ({"width": 0.25, "input_size": 32}, "FairNAS_A"),
    "shufflenet": ({"width": 0.25, "input_size": 32}, "SPOS_ShuffleNet"),
    "once-for-all": ({"width": 0.25, "input_size": 32}, "OFA_WeakNAS_800"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "format"),
    [(family, format) for family in FAMILIES for format in ("onnx", "torch-export")],
)
def test_every_family_is_exported(tmp_path, family, format):
    options, text = FAMILIES[family]
    space = SPACES.create({"name": family.split(" ")[0], "options": options})
    code = space.sample(1, np.random.default_rng(0))[0] if text is None else space.parse(text)
    auxiliary = "darts" if family == "darts" else None
    network = build(space, code, auxiliary=auxiliary).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, space.input_size, space.input_size))
    card = ModelCard(SPACES.describe(space), space.format(code), {"auxiliary": auxiliary, "drop_path": 0.0})
    path = export(network, card, tmp_path / f"out{FORMATS[format]}", format)
    answers_alike(path, format, network, space.input_size)
    save_model(tmp_path / "model", network, card)
    assert same(tensors_of(load(tmp_path / "model")), tensors_of(network))


@pytest.mark.typical("darts-options2-6-9", "nasbench101-*")
@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(
    ("name", "options", "codes"),
    [
        ("nasbench201", {"width": 4, "cells": 1}, 20),
        ("nasbench101", {"width": 8, "cells": 1}, 3),
        ("darts", {"width": 2, "layers": 3, "none": True}, 6),
    ],
)
def test_live_networks_answer_the_same(name, options, codes, size):
    space = SPACES.create({"name": name, "options": {**options, "input_size": size}})
    torch.manual_seed(0)
    images = torch.randn(2, 3, size, size)
    for code in space.sample(codes, np.random.default_rng(0)):
        network = build(space, code).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # a bias makes something of zeros
                nn.init.normal_(module.bias)
        with torch.no_grad():
            wanted, found = network(images), live_network(network, size)(images)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6, msg=space.format(code))


@pytest.mark.slow
def test_exports_carry_no_dead_work(tmp_path):
    space = SPACES.create({"name": "nasbench201", "options": {"width": 4, "cells": 1, "input_size": 8}})
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"  # only 0 to 2 to 3 matters
    network = build(space, space.parse(cell))
    path = export(network, ModelCard(SPACES.describe(space), cell), tmp_path / "out.pt2", "torch-export")
    program = torch.export.load(path)
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert (
        sum("conv2d" in name for name in called) == 1 + 3 + 2 * 3
    )  # stem, one in each cell, three in each residual block
    assert not any("slice" in name or "mul" in name for name in called)
    assert not any(True in node.args for node in program.graph.nodes if "avg_pool2d.default" in str(node.target))


@pytest.mark.parametrize("format", ["torch-export", "safetensors"])
def test_exports_answer_like_the_network(tmp_path, format):
    network, card = trained()
    before = tensors_of(network)
    path = export(network, card, tmp_path / f"out{FORMATS[format]}", format)
    assert list(tmp_path.iterdir()) == [path]
    answers_alike(path, format, network)
    assert same(tensors_of(network), before)


@pytest.mark.slow
def test_onnx_carries_the_card(tmp_path):
    import onnx

    network, card = trained()
    path = export(network.train(), card, tmp_path / "deep" / "toy.onnx")
    assert network.training
    assert list(path.parent.iterdir()) == [path]
    answers_alike(path, "onnx", network)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["classes"]) == list(card.classes)
    assert json.loads(said["preprocessing"]) == PREPROCESSING
    assert ModelCard.from_json(said["card"]).architecture == "1 3"
    (images,), (logits,) = model.graph.input, model.graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert [axis.dim_param or axis.dim_value for axis in images.type.tensor_type.shape.dim] == ["batch", 3, 8, 8]
    assert [axis.dim_param or axis.dim_value for axis in logits.type.tensor_type.shape.dim] == ["batch", 3]
    assert not [weight.name for weight in model.graph.initializer if "auxiliary" in weight.name]
    assert not paths_in(path.read_bytes())


def test_a_program_carries_the_card(tmp_path):
    network, card = trained()
    said = {"classes.json": "", "preprocessing.json": "", "card.json": ""}
    path = export(network, card, tmp_path / "toy.pt2", "torch-export")
    program = torch.export.load(path, extra_files=said)
    assert json.loads(said["classes.json"]) == list(card.classes)
    assert json.loads(said["preprocessing.json"]) == PREPROCESSING
    assert ModelCard.from_json(said["card.json"]).space == card.space
    assert not [name for name in program.state_dict if "auxiliary" in name]
    with zipfile.ZipFile(path) as archive:
        assert not [name for name in archive.namelist() if paths_in(archive.read(name))]


def test_safetensors_carry_the_card(tmp_path):
    network, card = trained()
    found = card_of(load(export(network, card, tmp_path / "toy", "safetensors")))
    assert (found.classes, found.preprocessing) == (card.classes, card.preprocessing)
    assert found.provenance == {"data": "toys", "epochs": 2, "recipe": {"teacher": ["t"]}}
    assert found.build["auxiliary"] is None
    assert inference_network(network, card)[1] == found


def test_an_export_that_answers_differently_is_not_written(tmp_path, monkeypatch):
    network, card = trained()
    monkeypatch.setattr(exporting_module, "TOLERANCE", -1.0)
    (tmp_path / "toy.pt2").write_text("the one before")
    with pytest.raises(FrugalnasError, match="was not written: the exported network's logits differ"):
        export(network, card, tmp_path / "toy.pt2", "torch-export")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.pt2"]
    assert (tmp_path / "toy.pt2").read_text() == "the one before"


@pytest.mark.slow
def test_impossible_exports_say_what_to_do(tmp_path, monkeypatch):
    network, card = trained()
    with pytest.raises(FrugalnasError, match="unknown export format 'onx'; did you mean 'onnx'"):
        export(network, card, tmp_path / "toy.onnx", "onx")
    with pytest.raises(FrugalnasError, match=r"is a folder; name the file, such as .*network\.onnx"):
        export(network, card, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FrugalnasError, match="is a file; safetensors are written as a folder"):
        export(network, card, tmp_path / "file", "safetensors")
    with pytest.raises(FrugalnasError, match="cannot be written"):
        export(network, card, tmp_path / "file" / "toy.pt2", "torch-export")
    with pytest.raises(
        FrugalnasError, match=r"the weights in the network are not of 5 5: features\.0\.weight has shape"
    ):
        export(network, ModelCard(card.space, "5 5"), tmp_path / "toy.pt2", "torch-export")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(FrugalnasError, match=r"needs onnxscript; install it with: .*frugalnas\[torch\]"):
        export(network, card, tmp_path / "toy.onnx")


def test_build_from_card_takes_changes():
    _, card = trained()
    assert build_from_card(card).auxiliary_head is not None
    assert build_from_card(card, auxiliary=None).auxiliary_head is None
