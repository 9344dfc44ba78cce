"""`frugalnas evaluate`: how good a trained network is on images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.cli.training_options import add_data, add_device, compute_of, images_of
from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.training import EvaluationResult

WORST = 5
"""Classes that are named."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
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
    from frugalnas.trainings.evaluation import evaluate_run

    if parsed.batch_size is not None and parsed.batch_size < 1:
        raise FrugalnasError(f"--batch-size {parsed.batch_size}: at least one image is needed at a time")
    data = None if parsed.data is None else images_of(parsed)
    options: dict[str, Any] = {"part": parsed.part, "batch_size": parsed.batch_size, "compute": compute_of(parsed)}
    result = evaluate_run(parsed.run_dir, data, **options)
    _show(result, as_json=parsed.json)


def _show(result: EvaluationResult, *, as_json: bool = False) -> None:
    """Print how good a network is: overall, on its worst classes, and what it confuses most."""
    from frugalnas.report.training import accuracy_words, confusions

    if as_json:
        print_json(result.to_json())
        return
    rows = [(f"{result.part} accuracy", accuracy_words(result)), ("loss", f"{result.loss:.4f}")]
    known = [
        (float(share), name) for share, name in zip(result.per_class, result.classes, strict=True) if share == share
    ]
    worst = sorted(known)[:WORST]
    rows.append(("worst classes", ", ".join(f"{name} {share:.1f} %" for share, name in worst)))
    if result.absent:
        named = ", ".join(result.absent[:WORST]) + ", ..." * (len(result.absent) > WORST)
        rows.append(("absent", f"{len(result.absent)} of {len(result.classes)} classes have no image there: {named}"))
    pairs = confusions(result, WORST)
    if pairs:
        said = ", ".join(f"{true} for {taken} ({images:,})" for true, taken, images, _ in pairs)
        rows.append(("taken", said))
    print_columns(rows)
