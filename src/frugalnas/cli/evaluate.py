"""`frugalnas evaluate`: how good a trained network is on images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.text import print_columns
from frugalnas.cli.training_options import (
    add_data,
    add_device,
    compute_of,
    images_of,
)
from frugalnas.errors import FrugalnasError
from frugalnas.strict_json import to_json

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
    parser.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a training or a model")
    add_data(parser, None)
    parser.add_argument("--part", default="test", choices=("train", "val", "test"), help="of the data [test]")
    parser.add_argument("--batch-size", type=int, metavar="N", help="images at a time")
    add_device(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, with the confusion matrix")
    parser.set_defaults(run=_evaluate)


def _evaluate(parsed: argparse.Namespace) -> int:
    from frugalnas.trainings.evaluation import evaluate_run

    if parsed.batch_size is not None and parsed.batch_size < 1:
        raise FrugalnasError(f"--batch-size {parsed.batch_size}: at least one image is needed at a time")
    data = None if parsed.data is None else images_of(parsed)
    options: dict[str, Any] = {"part": parsed.part, "batch_size": parsed.batch_size, "compute": compute_of(parsed)}
    result = evaluate_run(parsed.run_dir, data, **options)
    return _show(result, as_json=parsed.json)


def _show(result: EvaluationResult, *, as_json: bool = False) -> int:
    """Print how good a network is: overall, on its worst classes, and what it confuses most."""
    from frugalnas.report.training import accuracy_words, confusions

    if as_json:
        print(to_json(result.to_json(), indent=2))
        return 0
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
    return 0
