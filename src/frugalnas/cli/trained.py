"""`frugalnas evaluate`, `predict` and `export`: what a trained network says of images, and it for use without frugalnas."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.cli.training_options import add_data, add_device, compute_of, images_of
from frugalnas.errors import FrugalnasError, worded

WORST = 5
"""Classes that are named."""
TOGETHER = 64
"""Pictures that pass through a network at a time."""
FORMATS = ("onnx", "torch-export", "safetensors")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    parser.description = (
        "Accuracy of a trained network on a part of the data it was trained on, or on other images of the same "
        "classes, preprocessed as in training."
    )
    option(parser, "run_dir RUN", "folder of a training or a model", Path)
    add_data(parser, None)
    option(parser, "--part", "of the data [test]", ("train", "val", "test"), default="test")
    option(parser, "--batch-size N", "images at a time", int)
    add_device(parser)
    option(parser, "--json", "as JSON, with the confusion matrix", bool)
    parser.set_defaults(run=_evaluate)


def _evaluate(parsed: argparse.Namespace) -> None:
    """Print how good a network is: overall, on its worst classes, and what it confuses most."""
    from frugalnas.report.training import accuracy_words, confusions
    from frugalnas.trainings.evaluation import evaluate_run

    if parsed.batch_size is not None and parsed.batch_size < 1:
        raise FrugalnasError(f"--batch-size {parsed.batch_size}: at least one image is needed at a time")
    data = None if parsed.data is None else images_of(parsed)
    options: dict[str, Any] = {"part": parsed.part, "batch_size": parsed.batch_size, "compute": compute_of(parsed)}
    result = evaluate_run(parsed.run_dir, data, **options)
    if parsed.json:
        print_json(result.to_json())
        return
    rows = [(f"{result.part} accuracy", accuracy_words(result)), ("loss", f"{result.loss:.4f}")]
    known = [(float(share), name) for share, name in zip(result.per_class, result.classes, strict=True)]
    worst = sorted(each for each in known if each[0] == each[0])[:WORST]
    rows.append(("worst classes", ", ".join(f"{name} {share:.1f} %" for share, name in worst)))
    if result.absent:
        named = ", ".join(result.absent[:WORST]) + ", ..." * (len(result.absent) > WORST)
        rows.append(("absent", f"{len(result.absent)} of {len(result.classes)} classes have no image there: {named}"))
    said = [f"{true} for {taken} ({images:,})" for true, taken, images, _ in confusions(result, WORST)]
    print_columns([*rows, ("taken", ", ".join(said))] if said else rows)


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add what `predict` takes."""
    parser.description = (
        "What a trained network takes pictures for, by the names of the classes, with the preprocessing that "
        "training used."
    )
    option(parser, "run_dir RUN", "folder of a training or a model", Path)
    option(parser, "pictures PICTURE", "files, or folders of them", Path, nargs="+")
    option(parser, "--top N", "classes to name [3]", int, default=3)
    option(parser, "--json", "as JSON, one object a picture", bool)
    parser.set_defaults(run=_predict)


def _predict(parsed: argparse.Namespace) -> None:
    if parsed.top < 1:
        raise FrugalnasError(f"--top {parsed.top}: name at least one class")
    pictures = _pictures(parsed.pictures)
    import torch

    from frugalnas.data import CorruptImage, preprocess
    from frugalnas.networks.models import card_of, load
    from frugalnas.runs.stages import trained_run

    network = load(trained_run(parsed.run_dir))
    card = card_of(network)
    if not card.preprocessing:
        raise FrugalnasError(
            f"{parsed.run_dir} does not say how images are preprocessed; import its weights again with --trained-on"
        )
    rows: list[tuple[str, list[tuple[str, float]]]] = []
    skipped: list[str] = []
    for start in range(0, len(pictures), TOGETHER):
        images, read = [], []
        for path in pictures[start : start + TOGETHER]:
            try:
                images.append(preprocess(path, card.preprocessing))
                read.append(path)
            except CorruptImage as error:
                skipped.append(str(error))
                print(f"skipped {error}", file=sys.stderr)
        if not images:
            continue
        with torch.inference_mode():
            probabilities = network(torch.stack(images)).softmax(dim=1)
        best = probabilities.topk(min(parsed.top, probabilities.shape[1]), dim=1)
        for path, shares, numbers in zip(read, best.values.tolist(), best.indices.tolist(), strict=True):
            names = [card.classes[number] if card.classes else str(number) for number in numbers]
            rows.append((str(path), list(zip(names, shares, strict=True))))
    if not rows:
        raise FrugalnasError(
            f"none of the {len(skipped)} pictures can be read ({skipped[0]}); save them as JPEG or PNG"
        )
    if parsed.json:
        print_json([{"picture": path, "classes": dict(classes)} for path, classes in rows])
        return
    print_columns([[path, *(f"{name} {100 * share:.1f} %" for name, share in classes)] for path, classes in rows])
    if skipped:
        print(f"{len(skipped)} of {len(pictures)} pictures could not be read and were skipped", file=sys.stderr)


def _pictures(paths: list[Path]) -> list[Path]:
    """The files that are meant: themselves, or the pictures anywhere in a folder."""
    from frugalnas.data.folders import SUFFIXES, Tree, readable_name

    pictures: list[Path] = []
    for path in paths:
        readable_name(str(path), path.parent)
        if path.is_dir():
            tree = Tree(path)
            inside = tree.below(path)
            if not inside:
                raise FrugalnasError(f"{path} has no pictures in it ({', '.join(SUFFIXES)}); name the files")
            pictures += inside
            for note in tree.notes:
                print(worded(note), file=sys.stderr)
        elif path.exists():
            pictures.append(path)
        else:
            raise FrugalnasError(f"there is no picture {path}")
    return pictures


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add what `export` takes."""
    parser.description = (
        "Write a trained network for use without frugalnas. What is written is read back and compared with "
        "torch before it appears; it carries the preprocessing and the names of the classes."
    )
    option(parser, "run_dir RUN", "folder of a training or a model", Path)
    option(parser, "--format", "[onnx]", FORMATS, default="onnx")
    option(parser, "--out PATH", "file, or folder for safetensors [RUN/export/<name>]", Path)
    option(parser, "--untrained", "also where the weights are random, for its speed alone", bool)
    parser.set_defaults(run=_export)


def _export(parsed: argparse.Namespace) -> None:
    from frugalnas.networks.exporting import FORMATS, export
    from frugalnas.networks.models import card_of, load
    from frugalnas.runs.stages import network_of

    network = load(network_of(parsed.run_dir))
    card = card_of(network)
    if str(card.provenance.get("weights", "")).startswith("random") and not parsed.untrained:
        raise FrugalnasError(
            f"the network of {parsed.run_dir} has random weights; train it with: frugalnas train {parsed.run_dir} --data "
            "FOLDER, or export it as it is, for its speed alone, with --untrained"
        )
    name = re.sub(r"[^\w.-]+", "-", parsed.run_dir.resolve().name) + FORMATS[parsed.format]
    beside = parsed.run_dir if parsed.run_dir.is_dir() else parsed.run_dir.parent
    path = parsed.out or beside / "export" / (name if FORMATS[parsed.format] else parsed.format)
    existed = path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FrugalnasError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    try:
        written = export(network, card, path, parsed.format)
    except BaseException:
        if not existed and not any(path.parent.iterdir()):
            path.parent.rmdir()
        raise
    files = [written] if written.is_file() else sorted(written.iterdir())
    size = sum(file.stat().st_size for file in files if file.is_file())
    pixels = card.preprocessing.get("input_size", getattr(card.make_space(), "input_size", "?"))
    print(
        f"{written}: {size / 1e6:,.2f} MB, images [batch, 3, {pixels}, {pixels}] to {len(card.classes) or '?'} classes"
    )
