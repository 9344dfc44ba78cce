"""`frugalnas train`, `evaluate` and `predict`: an architecture becomes a network that knows classes of images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.architectures import Architecture as Found
from frugalnas.cli.architectures import add_architecture, find_architecture, sizes_of, slug
from frugalnas.cli.showing import show_evaluation, show_training
from frugalnas.cli.text import print_columns
from frugalnas.cli.training_options import (
    LARGE,
    add_data,
    add_device,
    add_recipe,
    compute_of,
    images_of,
    settings_of,
)
from frugalnas.errors import FrugalnasError
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.runs.training import TrainingPlan
    from frugalnas.runs.watching import TrainingCallback

__all__ = ["add", "watched"]

TOGETHER = 64
"""Pictures that pass through a network at a time."""


def add(commands: Any) -> None:
    """Add the commands."""
    train = commands.add_parser(
        "train",
        help="train an architecture from scratch on images",
        description="Train an architecture from scratch: on scikit-learn's digits, on CIFAR, on ImageNet, or on your own "
        "folder of class folders. The run has a folder of its own, from which it can be resumed at any moment.",
        epilog="Example: frugalnas train RelativeNAS --data cifar10 --root ~/data --recipe cifar --epochs 600",
    )
    add_architecture(train)
    add_data(train, "digits")
    group = add_recipe(train)
    group.add_argument("--weights", type=Path, metavar="PATH", help="start from these: a run, a model, or a checkpoint")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, order and augmentation [0]")
    add_device(train)
    group = train.add_argument_group("how it is carried out")
    group.add_argument(
        "--devices", type=int, default=1, metavar="N", help="GPUs or processes that share each batch [1]"
    )
    group.add_argument("--channels-last", action="store_true", help="memory layout that GPUs' matrix units like")
    group.add_argument("--compile", action="store_true", help="through torch.compile")
    group.add_argument(
        "--dry-run", action="store_true", help="train nothing; say what would be done, and how long it takes"
    )
    group.add_argument(
        "--run-dir", type=Path, metavar="FOLDER", help="new folder for the run [runs/<architecture>-<data>-seed<seed>]"
    )
    group.add_argument("--quiet", action="store_true", help="no progress, only the result")
    train.set_defaults(run=_train)
    evaluate = commands.add_parser(
        "evaluate",
        help="how good a trained network is on images",
        description="Accuracy of a trained network on a part of the data it was trained on, or on other images of the same "
        "classes, preprocessed as in training.",
    )
    evaluate.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a training or a model")
    add_data(evaluate, None)
    evaluate.add_argument("--part", default="test", choices=("train", "val", "test"), help="of the data [test]")
    evaluate.add_argument("--batch-size", type=int, metavar="N", help="images at a time")
    add_device(evaluate)
    evaluate.add_argument("--json", action="store_true", help="as JSON, with the confusion matrix")
    evaluate.set_defaults(run=_evaluate)
    predict = commands.add_parser(
        "predict",
        help="the classes of pictures",
        description="What a trained network takes pictures for, by the names of the classes, with the preprocessing that "
        "training used.",
    )
    predict.add_argument("run_dir", type=Path, metavar="RUN", help="folder of a training or a model")
    predict.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="files, or folders of them")
    predict.add_argument("--top", type=int, default=3, metavar="N", help="classes to name [3]")
    predict.add_argument("--json", action="store_true", help="as JSON, one object a picture")
    predict.set_defaults(run=_predict)


# -- train -------------------------------------------------------------------------------------------------------------


def _train(parsed: argparse.Namespace) -> int:
    from frugalnas.data import opened
    from frugalnas.runs.folder import unused_name
    from frugalnas.runs.training import plan, train
    from frugalnas.spaces import Architecture
    from frugalnas.training import load_recipe

    recipe_settings, space_settings = settings_of(parsed)
    if parsed.classes is not None or "classes" in space_settings:
        raise FrugalnasError("the data say how many classes there are; leave --classes out")
    images = opened(images_of(parsed), load_recipe(parsed.recipe, recipe_settings).normalisation)
    found = _for_data(parsed, space_settings, images.input_size)
    architecture = Architecture(found.space, found.code, None if found.name == found.text else found.name)
    options: dict[str, Any] = {"settings": recipe_settings, "compute": compute_of(parsed)}
    if parsed.dry_run:
        return _show_plan(found, parsed.recipe, plan(architecture, images, parsed.recipe, **options))
    name = slug(found.name) if found.name != found.text else found.space.name
    data = slug(Path(str(parsed.data).rstrip("/")).name)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"{name}-{data}-seed{parsed.seed}")
    with watched(run_dir, parsed.quiet) as callbacks:
        train(
            architecture,
            images,
            parsed.recipe,
            run_dir=run_dir,
            seed=parsed.seed,
            weights=parsed.weights,
            callbacks=callbacks,
            **options,
        )
    return show_training(run_dir)


def _for_data(parsed: argparse.Namespace, settings: dict[str, str], pixels: int) -> Found:
    """The architecture, where it is of darts and nothing says which networks, with those that the images call for."""
    found = find_architecture(parsed, settings)
    said = parsed.macro is not None or "macro" in settings or Path(parsed.architecture).expanduser().is_dir()
    if said or not hasattr(found.space, "macro") or pixels <= LARGE:
        return found
    print(
        f"images are larger than {LARGE} pixels: the network is darts' for ImageNet (--macro cifar says otherwise)",
        file=sys.stderr,
    )
    return find_architecture(parsed, settings, {"macro": "imagenet"})


def _show_plan(found: Found, called: str, planned: TrainingPlan) -> int:
    from frugalnas.runs.watching import duration

    recipe = planned.recipe
    images = ", ".join(f"{count:,} {part}" for part, count in planned.images.items())
    rows = [
        ("architecture", found.name),
        ("network", sizes_of(planned.space)),
        ("parameters", f"{planned.params / 1e6:,.3f} M"),
        ("multiply-adds", f"{planned.macs / 1e6:,.3f} M an image"),
        ("images", images),
        (
            "recipe",
            f"{called}: {recipe['epochs']} epochs, batches of {recipe['batch_size']}, lr {recipe['lr']:g}",
        ),
        ("steps", f"{planned.steps:,}: {planned.steps_per_epoch:,} an epoch"),
        ("time", f"about {duration(planned.seconds)}, from a few steps on this device"),
        *(("data", note) for note in planned.notes),
    ]
    print_columns(rows)
    return 0


@contextmanager
def watched(run_dir: Path, quiet: bool, told: set[str] | None = None) -> Iterator[list[TrainingCallback]]:
    """A progress bar around a training, without the notes in `told`, and after Ctrl-C the line that continues it."""
    from frugalnas.runs.watching import TrainingProgress

    progress = None if quiet else TrainingProgress(told=told)
    try:
        yield [] if progress is None else [progress]
    except KeyboardInterrupt:
        if (run_dir / "config.yaml").exists():
            print(f"\nNothing is lost. Continue with: frugalnas resume {run_dir}", file=sys.stderr)
        raise
    finally:
        if progress is not None:
            progress.close()


# -- evaluate and predict ----------------------------------------------------------------------------------------------


def _evaluate(parsed: argparse.Namespace) -> int:
    from frugalnas.runs.training import evaluate_run

    if parsed.batch_size is not None and parsed.batch_size < 1:
        raise FrugalnasError(f"--batch-size {parsed.batch_size}: at least one image is needed at a time")
    data = None if parsed.data is None else images_of(parsed)
    options: dict[str, Any] = {"part": parsed.part, "batch_size": parsed.batch_size, "compute": compute_of(parsed)}
    result = evaluate_run(parsed.run_dir, data, **options)
    return show_evaluation(result, as_json=parsed.json)


def _predict(parsed: argparse.Namespace) -> int:
    if parsed.top < 1:
        raise FrugalnasError(f"--top {parsed.top}: name at least one class")
    pictures = _pictures(parsed.pictures)
    import torch

    from frugalnas.data import CorruptImage, preprocess
    from frugalnas.networks.saving import card_of, load
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
        plain = [{"picture": path, "classes": dict(classes)} for path, classes in rows]
        print(to_json(plain, indent=2))
        return 0
    print_columns([[path, *(f"{name} {100 * share:.1f} %" for name, share in classes)] for path, classes in rows])
    if skipped:
        print(f"{len(skipped)} of {len(pictures)} pictures could not be read and were skipped", file=sys.stderr)
    return 0


def _pictures(paths: list[Path]) -> list[Path]:
    """The files that are meant: themselves, or the pictures anywhere in a folder."""
    from frugalnas.data.tree import SUFFIXES, Tree, readable_name

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
                print(note, file=sys.stderr)
        elif path.exists():
            pictures.append(path)
        else:
            raise FrugalnasError(f"there is no picture {path}")
    return pictures
