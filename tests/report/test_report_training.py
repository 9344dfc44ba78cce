"""Pictures of genotypes and of networks of layers, figures of trainings, and the page that stands alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from frugalnas.errors import FrugalnasError
from frugalnas.report.architectures import draw_architecture, draw_genotype, draw_layers
from frugalnas.report.style import save_figure
from frugalnas.report.training import confusions
from frugalnas.report.training_figures import class_accuracies, confusion_matrix, learning_curves
from frugalnas.spaces import DARTS, KNOWN, Genotype, MobileNet, NASBench201, OnceForAll
from frugalnas.trainings.network import TrainingResult

pytestmark = pytest.mark.pictures


def svg_texts(figure, folder) -> list[str]:
    svg, _ = save_figure(figure, folder / "picture")
    return [element.text for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def evaluation(classes: int, images: int = 40, seed: int = 0) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    chances = np.eye(classes) * 4 + rng.random((classes, classes)) / classes
    confusion = np.array([rng.multinomial(images, row / row.sum()) for row in chances])
    return SimpleNamespace(
        part="test",
        images=int(confusion.sum()),
        loss=0.5,
        top1=100 * np.trace(confusion) / confusion.sum(),
        top5=99.0,
        classes=tuple(f"class {number}" for number in range(classes)),
        confusion=confusion,
        per_class=100 * np.diag(confusion) / confusion.sum(axis=1),
        to_json=lambda: {"part": "test"},
    )


def training(epochs: int, *, val: bool = True, test: bool = True) -> SimpleNamespace:
    space = NASBench201()
    return SimpleNamespace(
        space=space,
        code=np.array([3, 3, 3, 1, 3, 2], np.int8),
        architecture="a cell",
        epochs=tuple(
            {
                "epoch": epoch,
                "lr": 0.1,
                "train_loss": 2 / epoch,
                "train_accuracy": 100 - 90 / epoch,
                "val_loss": 2.2 / epoch if val else None,
                "val_accuracy": 100 - 92 / epoch if val else None,
            }
            for epoch in range(1, epochs + 1)
        ),
        test=evaluation(10) if test else None,
        selected=max(epochs - 1, 1),
        total_epochs=epochs,
        restarts=(),
        diverged=None,
        params=1_000_000,
        macs=2_000_000,
        seconds=12.0,
        notes=("what was decided",),
        finished=test,
        run_dir=Path("run"),
    )


# -- architectures -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("RelativeNAS", "AmoebaNet") else pytest.param(name, marks=pytest.mark.slow)
        for name, each in KNOWN.items()
        if each.space == "darts"
    ],
)
def test_a_genotype_shows_every_live_operation_of_both_cells(name, tmp_path):
    genotype = KNOWN[name].genotype
    texts = svg_texts(draw_genotype(genotype, title=name), tmp_path)
    assert {name, "normal cell", "reduction cell", "c_{k}"} <= set(texts)
    operations = [operation for edges in (genotype.normal, genotype.reduce) for operation, _ in edges]
    for operation in set(operations) - {"none"}:
        label = "skip" if operation == "skip_connect" else operation.replace("_", " ")
        # All nodes of the published cells lead to the output, and what is none is not drawn.
        assert texts.count(label) == operations.count(operation)
    notation = "".join(text for text in texts if "(" in text or ")" in text or "'" in text or "=" in text)
    assert notation.replace(" ", "").startswith("Genotype(normal=[")


def test_what_leads_nowhere_is_left_out(tmp_path):
    edges = (("sep_conv_3x3", 1), ("skip_connect", 1), ("dil_conv_3x3", 1), ("none", 0))
    genotype = Genotype(edges, (2,), edges, (2, 3))
    texts = svg_texts(draw_genotype(genotype), tmp_path)
    # Nothing reads c_{k-2}; node 3 of the normal cell is not joined to its output.
    assert "c_{k-2}" not in texts
    assert texts.count("dil conv 3x3") == 1
    assert texts.count("sep conv 3x3") == 2
    assert "none" not in texts


@pytest.mark.slow
def test_a_code_is_drawn_as_its_space_calls_for(tmp_path):
    darts, layers, once = DARTS(), MobileNet(), OnceForAll()
    rng = np.random.default_rng(0)
    assert "reduction cell" in svg_texts(draw_architecture(darts, darts.sample(1, rng)[0]), tmp_path)
    code = layers.parse("RLNAS_mobile")
    texts = svg_texts(draw_architecture(layers, code), tmp_path)
    assert texts.count("k5") + texts.count("k3") + texts.count("k7") == 20
    assert layers.format(code) in texts
    figure = draw_architecture(once, once.parse("OFA_WeakNAS_800"))
    assert sum(isinstance(patch, FancyBboxPatch) for patch in figure.axes[0].patches) == 20
    assert "output" in svg_texts(draw_architecture(NASBench201(), [3] * 6), tmp_path)
    with pytest.raises(FrugalnasError, match=r"shape \[16\]"):
        draw_architecture(darts, [0, 0])


def test_a_strip_encodes_kernel_and_expansion_and_takes_any_name(tmp_path):
    stages = [["mb3_k3", "mb6_k3", "identity"], ["mb6_k7", "my own block"]]
    figure = draw_layers(stages, headings={"channels": ["8", "16"]}, notation="text", title="A title")
    first, second, passing, third, _ = (p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch))
    assert first.get_facecolor() == second.get_facecolor() != third.get_facecolor()
    assert first.get_height() < second.get_height() == third.get_height()
    assert passing.get_height() < first.get_height()
    texts = svg_texts(figure, tmp_path)
    assert {"A title", "channels", "8", "16", "my", "own", "block", "image", "classes", "text"} <= set(texts)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].texts:
        extent = text.get_window_extent()
        assert min(extent.x0, extent.y0) >= 0
        assert extent.x1 <= width
        assert extent.y1 <= height


# -- trainings ---------------------------------------------------------------------------------------------------------


@pytest.mark.typical("result0")
@pytest.mark.parametrize("result", [training(30), training(1), training(600, val=False, test=False)])
def test_curves_of_any_training(result, tmp_path, recwarn):
    figure = learning_curves(result, title="A title")
    texts = svg_texts(figure, tmp_path)
    assert {"accuracy, %", "loss", "epoch", "training"} <= set(texts)
    assert ("validation" in texts) == (result.epochs[0]["val_loss"] is not None)
    assert any(text.startswith("test ") for text in texts) == (result.test is not None)
    assert not recwarn.list


@pytest.mark.parametrize("accuracy", [0.0, 100.0])
def test_lines_at_the_ends_of_the_scale_have_room(accuracy):
    flat = training(3)
    records = tuple({**record, "train_accuracy": accuracy, "val_accuracy": accuracy} for record in flat.epochs)
    axes = learning_curves(SimpleNamespace(**{**vars(flat), "epochs": records, "test": None})).axes[0]
    low, high = axes.get_ylim()
    assert low < accuracy < high
    assert len(axes.get_yticks()) >= 2
    assert all(0 <= tick <= 100 for tick in axes.get_yticks())


def test_no_epoch_is_no_curve():
    with pytest.raises(FrugalnasError, match="no epoch"):
        learning_curves(training(0))


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 10, 50, 200])
def test_figures_of_classes_keep_their_texts_inside(classes, recwarn):
    measured = evaluation(classes)
    for draw in (confusion_matrix, class_accuracies):
        figure = draw(measured, title="A title")
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.02
        assert box.x1 < width + 0.02
        assert box.y1 < height + 0.02
    assert not recwarn.list


def test_a_small_confusion_matrix_holds_its_numbers(tmp_path):
    measured = evaluation(4)
    texts = svg_texts(confusion_matrix(measured), tmp_path)
    shares = 100 * measured.confusion / measured.confusion.sum(axis=1, keepdims=True)
    numbers = [f"{share:.0f}" for share in shares.ravel() if round(share) > 0]
    assert all(texts.count(number) >= numbers.count(number) for number in numbers)


def test_confusions_are_the_most_frequent_ones():
    measured = evaluation(6)
    off = measured.confusion - np.diag(np.diag(measured.confusion))
    found = confusions(measured, 5)
    assert [images for _, _, images, _ in found] == sorted(off[off > 0].tolist(), reverse=True)[:5]
    true, taken, images, share = found[0]
    row, column = measured.classes.index(true), measured.classes.index(taken)
    assert measured.confusion[row, column] == images
    assert share == 100 * images / measured.confusion[row].sum()


def test_numbers_are_plain_data():
    said = TrainingResult.to_json(training(3))
    assert (said["epochs"], said["selected"], said["params"]) == (3, 2, 1_000_000)
    assert said["architecture"].startswith("|nor_conv_3x3~0|")


def test_the_page_stands_alone_and_is_safe(tmp_path, monkeypatch):
    import yaml

    from frugalnas.report import training as pages

    result = training(4)
    result.run_dir = tmp_path
    result.architecture = "<script>alert(1)</script>"
    result.test.classes = ("<b>", *result.test.classes[1:])
    config = {
        "frugalnas": "0.1.0",
        "kind": "training",
        "space": {"name": "nasbench201"},
        "architecture": "",
        "name": "",
        "counts": {"params": 1, "macs": 1},
        "recipe": {"name": "default", "epochs": 4, "batch_size": 2},
        "seed": 0,
        "device": {"device": "cpu", "devices": 1, "precision": "32"},
        "data": {"spec": "/some/where/photos", "fingerprint": ""},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    runs = pytest.importorskip("frugalnas.trainings.network")
    monkeypatch.setattr(runs, "load_training", lambda run_dir: result)
    page, *figures = pages.training_report(tmp_path)
    assert {path.name for path in figures} == {
        f"{name}.{suffix}" for name in ("architecture", "curves", "classes", "confusion") for suffix in ("svg", "png")
    }
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert text.count("data:image/svg+xml;base64,") == 4
    for part in ("photos", f"{result.test.top1:.2f} %", "what was decided", "1.00 M", "12 s"):
        assert part in text
    before = page.read_bytes()
    pages.training_report(tmp_path)
    assert page.read_bytes() == before
