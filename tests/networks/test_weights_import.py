"""Published checkpoints are read: files in the exact layouts of RelativeNAS, ABS, RLNAS and SSNENAS, made here.

Names, shapes and what the tensors do are written out from the papers' programs, apart from frugalnas's own networks.
"""

from __future__ import annotations

import argparse
import collections
import os

import numpy as np
import pytest
import torch
from torch.nn import functional

from frugalnas.errors import FrugalnasError
from frugalnas.networks import build
from frugalnas.networks.checkpoints import TRAINED_ON, import_weights, read_checkpoint, recognise
from frugalnas.networks.models import load, save_model, tensors_of
from frugalnas.registry import SPACES
from frugalnas.spaces import KNOWN

RELATIVE_NAS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 1), ('avg_pool_3x3', 2), ('sep_conv_3x3', 4), ('sep_conv_3x3', 4)], normal_concat=range(2, 6), "
    "reduce=[('skip_connect', 0), ('dil_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_3x3', 2), ('skip_connect', 1), "
    "('avg_pool_3x3', 3), ('sep_conv_5x5', 0), ('skip_connect', 2)], reduce_concat=range(2, 6))"
)
"""A cell in RelativeNAS's manner: one edge is used twice, by two modules."""


class Reference:
    """A network of the DARTS programs: its tensors in their order, and what they do to images in evaluation."""

    def __init__(self, genotype, width, layers, classes, macro, auxiliary):
        self.genotype, self.width, self.layers, self.macro = genotype, width, layers, macro
        self.tensors = collections.OrderedDict()
        generator = torch.Generator().manual_seed(width + layers)
        self.random = lambda *shape: torch.randn(*shape, generator=generator) * 0.3
        self._stem()
        self._cells()
        if auxiliary is not None:
            self._auxiliary(classes, auxiliary)
        self._linear("classifier", self.outputs, classes)

    def _conv(self, name, *shape):
        self.tensors[f"{name}.weight"] = self.random(*shape)

    def _norm(self, name, channels):
        self.tensors[f"{name}.weight"] = self.random(channels) + 1
        self.tensors[f"{name}.bias"] = self.random(channels)
        self.tensors[f"{name}.running_mean"] = self.random(channels)
        self.tensors[f"{name}.running_var"] = self.random(channels).abs() + 0.5
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def _linear(self, name, inputs, outputs):
        self._conv(name, outputs, inputs)
        self.tensors[f"{name}.bias"] = self.random(outputs)

    def _stem(self):
        C = self.width
        if self.macro == "cifar":
            self._conv("stem.0", 3 * C, 3, 3, 3)
            self._norm("stem.1", 3 * C)
            self.before, self.outputs, self.halved = 3 * C, 3 * C, False
        else:
            self._conv("stem0.0", C // 2, 3, 3, 3)
            self._norm("stem0.1", C // 2)
            self._conv("stem0.3", C, C // 2, 3, 3)
            self._norm("stem0.4", C)
            self._conv("stem1.1", C, C, 3, 3)
            self._norm("stem1.2", C)
            self.before, self.outputs, self.halved = C, C, True

    def reductions(self):
        return {self.layers // 3, 2 * self.layers // 3}

    def _reduce(self, name, inputs, channels):
        self._conv(f"{name}.conv_1", channels // 2, inputs, 1, 1)
        self._conv(f"{name}.conv_2", channels - channels // 2, inputs, 1, 1)
        self._norm(f"{name}.bn", channels)

    def _cells(self):
        C = self.width
        for layer in range(self.layers):
            reduction = layer in self.reductions()
            C *= 2 if reduction else 1
            cell = f"cells.{layer}"
            if self.halved:
                self._reduce(f"{cell}.preprocess0", self.before, C)
            else:
                self._conv(f"{cell}.preprocess0.op.1", C, self.before, 1, 1)
                self._norm(f"{cell}.preprocess0.op.2", C)
            self._conv(f"{cell}.preprocess1.op.1", C, self.outputs, 1, 1)
            self._norm(f"{cell}.preprocess1.op.2", C)
            for place, (name, source) in enumerate(self.genotype.reduce if reduction else self.genotype.normal):
                self._operation(f"{cell}._ops.{place}", name, C, 2 if reduction and source < 2 else 1)
            self.before, self.outputs, self.halved = self.outputs, 4 * C, reduction
            if layer == 2 * self.layers // 3:
                self.auxiliary_inputs = self.outputs

    def _operation(self, name, kind, C, stride):
        if "conv" in kind:
            k = int(kind[-1])
            for first in (1, 5) if kind.startswith("sep") else (1,):
                self._conv(f"{name}.op.{first}", C, 1, k, k)
                self._conv(f"{name}.op.{first + 1}", C, C, 1, 1)
                self._norm(f"{name}.op.{first + 2}", C)
        elif kind == "skip_connect" and stride == 2:
            self._reduce(name, C, C)

    def _auxiliary(self, classes, last_norm):
        self._conv("auxiliary_head.features.2", 128, self.auxiliary_inputs, 1, 1)
        self._norm("auxiliary_head.features.3", 128)
        self._conv("auxiliary_head.features.5", 768, 128, 2, 2)
        if last_norm:
            self._norm("auxiliary_head.features.6", 768)
        self._linear("auxiliary_head.classifier", 768, classes)

    # what they do

    def __call__(self, x):
        if self.macro == "cifar":
            before = last = self.norm(self.conv(x, "stem.0", padding=1), "stem.1")
        else:
            x = self.norm(self.conv(x, "stem0.0", stride=2, padding=1), "stem0.1").relu()
            before = self.norm(self.conv(x, "stem0.3", stride=2, padding=1), "stem0.4")
            last = self.norm(self.conv(before.relu(), "stem1.1", stride=2, padding=1), "stem1.2")
        halved = self.macro == "imagenet"
        for layer in range(self.layers):
            reduction = layer in self.reductions()
            cell = f"cells.{layer}"
            first = f"{cell}.preprocess0"
            states = [self.reduce(before, first) if halved else self.pointwise(before, first)]
            states.append(self.pointwise(last, f"{cell}.preprocess1"))
            edges = self.genotype.reduce if reduction else self.genotype.normal
            for node in range(4):
                total = 0
                for place in (2 * node, 2 * node + 1):
                    kind, source = edges[place]
                    stride = 2 if reduction and source < 2 else 1
                    total = total + self.operation(states[source], f"{cell}._ops.{place}", kind, stride)
                states.append(total)
            before, last, halved = last, torch.cat(states[2:], 1), reduction
        return functional.linear(last.mean((2, 3)), self.tensors["classifier.weight"], self.tensors["classifier.bias"])

    def conv(self, x, name, **options):
        return functional.conv2d(x, self.tensors[f"{name}.weight"], **options)

    def norm(self, x, name):
        mean, variance, weight, bias = (
            self.tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, weight, bias)

    def pointwise(self, x, name):
        return self.norm(self.conv(x.relu(), f"{name}.op.1"), f"{name}.op.2")

    def reduce(self, x, name):
        x = x.relu()
        both = [self.conv(x, f"{name}.conv_1", stride=2), self.conv(x[:, :, 1:, 1:], f"{name}.conv_2", stride=2)]
        return self.norm(torch.cat(both, 1), f"{name}.bn")

    def operation(self, x, name, kind, stride):
        if kind == "none":
            return x[:, :, ::stride, ::stride] * 0
        if kind == "max_pool_3x3":
            return functional.max_pool2d(x, 3, stride, 1)
        if kind == "avg_pool_3x3":
            return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        if kind == "skip_connect":
            return x if stride == 1 else self.reduce(x, name)
        k, dilation = int(kind[-1]), 2 if kind.startswith("dil") else 1
        for first, step in ((1, stride), (5, 1)) if dilation == 1 else ((1, stride),):
            x = self.conv(
                x.relu(),
                f"{name}.op.{first}",
                stride=step,
                padding=dilation * (k // 2),
                dilation=dilation,
                groups=x.shape[1],
            )
            x = self.norm(self.conv(x, f"{name}.op.{first + 1}"), f"{name}.op.{first + 2}")
        return x


def reference(text=RELATIVE_NAS, *, width=4, layers=3, classes=10, macro="cifar", auxiliary=True, **options):
    """A reference network, and the space and code that frugalnas is told: of the default size, not of the file's."""
    space = SPACES.create({"name": "darts", "options": {"macro": macro, **options}})
    code = space.parse(text)
    return Reference(space.genotype(code), width, layers, classes, macro, auxiliary), space, code


def wrapped(tensors):
    return collections.OrderedDict((f"module.{name}", tensor) for name, tensor in tensors.items())


def agree(imported, expected, size=32):
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(imported.network(images), expected(images), rtol=1e-4, atol=1e-4)


# -- cells -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [10, 100])
def test_relativenas_cifar(tmp_path, classes):
    net, space, code = reference(classes=classes)
    torch.save(wrapped(net.tensors), tmp_path / "cifar_model.pt")
    imported = import_weights(tmp_path / "cifar_model.pt", space, code)
    agree(imported, net)
    card = imported.card
    assert card.space["options"]["width"] == 4
    assert card.space["options"]["layers"] == 3
    assert len(card.classes) == classes
    assert (card.classes[0], card.classes[-1]) == {10: ("airplane", "truck"), 100: ("apple", "worm")}[classes]
    assert card.preprocessing["mean"] == list(TRAINED_ON[f"cifar{classes}"].mean)
    assert card.build["auxiliary"] == "darts"
    assert card.counts["params"] == sum(
        tensor.numel()
        for name, tensor in net.tensors.items()
        if name.endswith(("weight", "bias")) and not name.startswith("auxiliary")
    )
    assert card.provenance["imported"] == "cifar_model.pt"
    assert any("taken to be trained on cifar" in note for note in imported.notes)


def test_relativenas_imagenet(tmp_path):
    net, _, code = reference(macro="imagenet", width=6, classes=1000, auxiliary=False)
    torch.save(wrapped(net.tensors), tmp_path / "imagenet_model.pt")
    told = SPACES.create({"name": "darts"})  # the file says that it is ImageNet's macro-structure
    imported = import_weights(tmp_path / "imagenet_model.pt", told, code, trained_on="imagenet")
    agree(imported, net, size=64)
    assert imported.card.build["auxiliary"] == "darts"
    assert imported.card.space["options"]["macro"] == "imagenet"
    assert imported.card.preprocessing == {
        "input_size": 224,
        "resize": 256,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "channels": "RGB",
    }


def test_abs_cells_at_an_odd_width(tmp_path):
    net, space, code = reference(macro="imagenet", width=5, classes=1000)
    checkpoint = {"epoch": 249, "state_dict": wrapped(net.tensors), "best_acc_top1": 75.6, "optimizer": {"state": {}}}
    torch.save(checkpoint, tmp_path / "checkpoint.pth.tar")
    imported = import_weights(tmp_path / "checkpoint.pth.tar", space, code, trained_on="imagenet-abs")
    agree(imported, net, size=64)
    assert imported.card.build["auxiliary"] == "pdarts"
    assert imported.card.preprocessing["channels"] == "BGR"


def test_ssnenas(tmp_path):
    text = RELATIVE_NAS.replace("('skip_connect', 0), ('dil_conv_5x5', 1)", "('none', 1), ('avg_pool_3x3', 0)")
    net, space, code = reference(text, none=True, auxiliary=None)
    checkpoint = {
        "epoch": 600,
        "state_dict": net.tensors,  # on one GPU it is not wrapped
        "best_acc_top1": np.float64(97.4),
        "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1, momentum=0.9).state_dict(),
        "args": argparse.Namespace(layers=20),
    }
    torch.save(checkpoint, tmp_path / "model_best.pth.tar")
    imported = import_weights(tmp_path / "model_best.pth.tar", space, code)
    agree(imported, net)
    assert imported.card.build["auxiliary"] is None


def test_files_of_the_oldest_pytorch(tmp_path):
    net, space, code = reference()
    old = {name: tensor for name, tensor in net.tensors.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    agree(import_weights(tmp_path / "old.pt", space, code), net)


def test_an_import_is_saved_and_given_back(tmp_path):
    net, space, code = reference()
    torch.save(wrapped(net.tensors), tmp_path / "model.pt")
    imported = import_weights(tmp_path / "model.pt", space, code, classes=list("abcdefghij"))
    save_model(tmp_path / "model", imported.network, imported.card)
    again = load(tmp_path / "model")
    assert again.card == imported.card
    assert again.card.classes == tuple("abcdefghij")
    assert "auxiliary_head.classifier.bias" in tensors_of(again)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), imported.network(images))


# -- which architecture a file is of -----------------------------------------------------------------------------------


def checkpoint_of(name, path):
    """A checkpoint of a known architecture, small where its space allows."""
    known = KNOWN[name]
    if known.space == "darts":
        net, *_ = reference(known.text, auxiliary=True, **known.options)
        torch.save(wrapped(net.tensors), path)
        return
    size = {} if known.space == "resnet" else {"input_size": 32}  # residual networks for small images have another stem
    space = SPACES.create({"name": known.space, "options": {**known.options, **size}})
    tensors = build(space, space.parse(known.text)).state_dict()
    torch.save({"state_dict": {f"module.layer{n}.{k}": tensor for n, (k, tensor) in enumerate(tensors.items())}}, path)


BY_TENSORS = [
    known.name for known in KNOWN.values() if known.searchable and known.space not in ("nasbench101", "nasbench201")
]
QUICK = ("RelativeNAS", "PDARTS_ABS")


@pytest.mark.typical("RelativeNAS")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BY_TENSORS]
)
def test_known_architectures_are_told_by_their_tensors(tmp_path, name):
    checkpoint_of(name, tmp_path / "some.pt")
    assert recognise(tmp_path / "some.pt") == (name,)
    if name in QUICK:
        imported = import_weights(tmp_path / "some.pt")
        space = imported.card.make_space()
        assert np.array_equal(space.parse(imported.card.architecture), space.parse(name))
        assert any(f"taken for {name}" in note for note in imported.notes)


def test_an_unknown_architecture_must_be_named(tmp_path):
    net, *_ = reference()
    torch.save(net.tensors, tmp_path / "own.pt")
    with pytest.raises(FrugalnasError, match="it is none of the known ones; name the architecture"):
        import_weights(tmp_path / "own.pt")


# -- chains of layers --------------------------------------------------------------------------------------------------


def mobile(tmp_path, space_name, text, options):
    """A network of a chain, saved under other names and with thop's counters, as ABS's programs do."""
    space = SPACES.create({"name": space_name, "options": options})
    code = space.parse(text)
    network = build(space, code).eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    renamed = collections.OrderedDict()
    for number, (name, tensor) in enumerate(network.state_dict().items()):
        part = name.rpartition(".")[2]
        renamed[f"module.features.{number}.{part}"] = tensor
        if part == "weight":
            renamed[f"module.features.{number}.total_ops"] = torch.zeros(1)
            renamed[f"module.features.{number}.total_params"] = torch.zeros(1)
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"iters": 300000, "state_dict": renamed, "best_acc_top1": 74.4}, path)
    return network, space, code, path


@pytest.mark.typical("fairnas-*")
@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("mobilenet", "2 2 -1 0 0 -1 -1 0 5 -1 4 4 0 0 4 2 3 4 4 4 3", {"width": 0.25, "input_size": 32}),
        ("fairnas", "4 2 4 2 2 2 5 2 4 4 2 2 2 4 5 4 2 2 5", {"width": 0.25, "input_size": 32}),
        pytest.param(
            *("shufflenet", "2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3", {"width": 0.25, "input_size": 32}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_chains_are_matched_by_order(tmp_path, name, text, options):
    network, space, code, path = mobile(tmp_path, name, text, {**options, "classes": 12})
    imported = import_weights(path, space.with_options(classes=1000), code)
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(imported.network(images), network(images))
    assert imported.card.space["options"]["classes"] == 12
    assert [note.split(" ")[1] for note in imported.notes if "thop" in note] == ["counters"]
    assert any("matched by the order" in note for note in imported.notes)
    assert any("how it saw its images is not known" in note for note in imported.notes)
    assert not imported.card.preprocessing


@pytest.mark.slow
def test_chains_of_another_architecture_are_refused(tmp_path):
    text = "2 2 -1 0 0 -1 -1 0 5 -1 4 4 0 0 4 2 3 4 4 4 3"
    _, space, _, path = mobile(tmp_path, "mobilenet", text, {"width": 0.25, "input_size": 32})
    with pytest.raises(
        FrugalnasError, match=r"are not of .*: features\.\d+\.weight \[.*\] comes where stages.* should"
    ):
        import_weights(path, space, space.parse(text.replace("2 2 -1", "2 5 -1")))
    with pytest.raises(FrugalnasError, match=r"are missing|classifier|comes where|tensors instead of"):
        import_weights(path, space, space.parse("2 " * 20 + "2"))
    with pytest.raises(FrugalnasError, match=r"stem\.\S+ is missing"):
        import_weights(path, space, space.parse(text), match="names")


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_another_cell_is_refused_by_name(tmp_path):
    net, space, code = reference()
    torch.save(wrapped(net.tensors), tmp_path / "model.pt")
    other = space.parse(RELATIVE_NAS.replace("[('sep_conv_3x3', 1)", "[('sep_conv_5x5', 1)"))
    message = r"of Genotype.*: cells\.0\._ops\.0\.op\.1\.weight has shape \[4, 1, 3, 3\] instead of \[4, 1, 5, 5\]"
    with pytest.raises(FrugalnasError, match=message):
        import_weights(tmp_path / "model.pt", space, other)
    del net.tensors["classifier.bias"]
    torch.save(net.tensors, tmp_path / "model.pt")
    with pytest.raises(FrugalnasError, match=r"classifier\.bias is missing$"):
        import_weights(tmp_path / "model.pt", space, code)


def test_nothing_in_a_file_is_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {"a": torch.zeros(1)}, "bomb": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(FrugalnasError, match=r"holds a Python object of posix\.mkdir, and reading it would run code"):
        read_checkpoint(tmp_path / "bomb.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.pt")
    with pytest.raises(FrugalnasError, match=r"object of torch\.nn\.modules\.linear\.Linear.*save only the weights"):
        read_checkpoint(tmp_path / "whole.pt")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint_says_so(tmp_path):
    file = tmp_path / "some.pt"
    with pytest.raises(FrugalnasError, match="there is no file"):
        read_checkpoint(file)
    for content in (b"", b"not a checkpoint", b"PK\x03\x04 cut"):
        file.write_bytes(content)
        with pytest.raises(FrugalnasError, match=r"some\.pt is damaged or not a checkpoint"):
            read_checkpoint(file)
    torch.save({"a": torch.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(FrugalnasError, match="is damaged"):
        read_checkpoint(file)
    file.with_suffix(".safetensors").write_bytes(b"\x10")
    with pytest.raises(FrugalnasError, match="is damaged or not a safetensors file"):
        read_checkpoint(file.with_suffix(".safetensors"))
    torch.save([1, 2], file)
    with pytest.raises(FrugalnasError, match="holds a list instead of"):
        read_checkpoint(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(FrugalnasError, match="holds no weights; its entries are epoch"):
        read_checkpoint(file)


def test_sets_of_tensors_are_told_apart(tmp_path):
    ones, zeros = {"a": torch.ones(1)}, {"a": torch.zeros(1)}
    torch.save({"teacher": ones, "student": zeros}, tmp_path / "two.pt")
    with pytest.raises(FrugalnasError, match="several sets of tensors: teacher, student; say which one"):
        read_checkpoint(tmp_path / "two.pt")
    assert read_checkpoint(tmp_path / "two.pt", key="student") == zeros
    with pytest.raises(FrugalnasError, match=r"unknown set of tensors in .* 'studnet'; did you mean 'student'"):
        read_checkpoint(tmp_path / "two.pt", key="studnet")
    torch.save({"state_dict": ones, "state_dict_ema": zeros}, tmp_path / "ema.pt")
    assert read_checkpoint(tmp_path / "ema.pt") == ones


def test_data_must_fit_the_classes(tmp_path):
    net, space, code = reference(auxiliary=None)
    torch.save(net.tensors, tmp_path / "model.pt")
    with pytest.raises(FrugalnasError, match="imagenet has 1000 classes, and this network has 10"):
        import_weights(tmp_path / "model.pt", space, code, trained_on="imagenet")
    with pytest.raises(FrugalnasError, match="unknown data set 'cifar'; did you mean"):
        import_weights(tmp_path / "model.pt", space, code, trained_on="cifar")
    with pytest.raises(FrugalnasError, match="2 names were given for the 10 classes"):
        import_weights(tmp_path / "model.pt", space, code, classes=["cat", "dog"])
    with pytest.raises(FrugalnasError, match="unknown way to match tensors 'size'"):
        import_weights(tmp_path / "model.pt", space, code, match="size")
