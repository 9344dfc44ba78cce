"""`frugalnas evaluate`: how good a trained network is on images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frugalnas.cli.showing import show_evaluation
from frugalnas.cli.training_options import (
    add_data,
    add_device,
    compute_of,
    images_of,
)
from frugalnas.errors import FrugalnasError

__all__ = ["add"]


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
    from frugalnas.runs.training import evaluate_run

    if parsed.batch_size is not None and parsed.batch_size < 1:
        raise FrugalnasError(f"--batch-size {parsed.batch_size}: at least one image is needed at a time")
    data = None if parsed.data is None else images_of(parsed)
    options: dict[str, Any] = {"part": parsed.part, "batch_size": parsed.batch_size, "compute": compute_of(parsed)}
    result = evaluate_run(parsed.run_dir, data, **options)
    return show_evaluation(result, as_json=parsed.json)
