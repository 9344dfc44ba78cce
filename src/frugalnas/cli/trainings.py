"""`frugalnas train`, `supernet train` and `pretrain`: networks, supernets and encoders from recipes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from frugalnas.cli import training_options as training
from frugalnas.cli.architectures import add_architecture, add_sizes, find_architecture, sized_space, slug
from frugalnas.cli.options import add_limit, add_operators, within_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.search import described_subject
from frugalnas.cli.text import begun
from frugalnas.errors import FrugalnasError

DEFAULT_SPACE = "nasbench201"
TASKS = ("ss-ccl", "ss-rl")


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add what `train` takes."""
    parser.description = (
        "Train an architecture from scratch: on scikit-learn's digits, on CIFAR, on ImageNet, or on your own "
        "folder of class folders. The run has a folder of its own, from which it can be resumed at any moment."
    )
    parser.epilog = "Example: frugalnas train RelativeNAS --data cifar10 --root ~/data --recipe cifar --epochs 600"
    add_architecture(parser)
    training.add_data(parser, "digits")
    group = training.add_recipe(parser)
    option(group, "--weights PATH", "start from these: a run, a model, or a checkpoint", Path)
    option(group, "--seed N", "of weights, order and augmentation [0]", int, default=0)
    training.add_device(parser)
    group = training.add_run(parser, "<architecture>-<data>-seed<seed>", "each batch")
    option(group, "--channels-last", "memory layout that GPUs' matrix units like", bool)
    option(group, "--compile", "through torch.compile", bool)
    parser.set_defaults(run=_train)


def _train(parsed: argparse.Namespace) -> None:
    from frugalnas.data import opened
    from frugalnas.spaces import Architecture
    from frugalnas.training import Recipe
    from frugalnas.trainings.network import proposed_training

    settings, sizes = training.settings_of(parsed)
    if parsed.classes is not None or "classes" in sizes:
        raise FrugalnasError("the data say how many classes there are; leave --classes out")
    images = opened(training.images_of(parsed), Recipe.load(parsed.recipe, settings).normalisation)
    found = find_architecture(parsed, sizes)
    if images.input_size > training.LARGE:
        small, found = found, find_architecture(parsed, sizes, macro="imagenet")
        if found.sizes != small.sizes:
            said = f"images are larger than {training.LARGE} pixels: the network is darts' for ImageNet"
            print(f"{said} (--macro cifar says otherwise)", file=sys.stderr)
    architecture = Architecture(found.space, found.code, None if found.name == found.text else found.name)
    how: dict[str, Any] = {"settings": settings, "compute": training.compute_of(parsed), "weights": parsed.weights}
    proposal = proposed_training(architecture, images, parsed.recipe, seed=parsed.seed, **how)
    begun(proposal, parsed, f"{slug(found.called)}-{slug(Path(parsed.data).name)}-seed{parsed.seed}")


def add_supernet(parser: argparse.ArgumentParser) -> None:
    """Add what `supernet` takes."""
    parser.description = "One network that holds every choice of a space; a training step uses one path through it."
    kinds = parser.add_subparsers(metavar="COMMAND")
    train = kinds.add_parser(
        "train",
        help="train it, on random labels or true ones",
        description="Train a supernet. With random labels, the default, images need none: architectures are ranked by how "
        "far their weights have turned. The run has a folder of its own, from which it can be resumed at any moment.",
        epilog="Example: frugalnas supernet train --space nasbench201 --data cifar10 --root ~/data --split half "
        "--recipe rlnas-nasbench201",
    )
    add_sizes(train)
    add_limit(train, "only paths such as 'macs<=475M'")
    add_operators(train)
    training.add_data(train, "digits")
    group = training.add_recipe(train)
    option(group, "--labels", "the recipe's labels", ("true", "random", "random-access"))
    option(group, "--paths NAME", "the recipe's sampler of paths: cell, uniform, projected, fair, ...")
    option(group, "--seed N", "of weights, paths, labels, order, augmentation [0]", int, default=0)
    training.add_device(train)
    group = training.add_run(train, "supernet-<space>-<data>-seed<seed>", "each batch")
    option(
        group, "--channels-last", "memory layout [channels last]", action=argparse.BooleanOptionalAction, default=True
    )
    train.set_defaults(run=_supernet)


def _supernet(parsed: argparse.Namespace) -> None:
    from frugalnas.data import opened
    from frugalnas.supernets import SupernetRecipe
    from frugalnas.trainings.supernet import proposed_supernet

    settings, sizes = training.settings_of(parsed, ("epochs", "batch_size", "lr", "labels", "paths", "classes"))
    parsed.classes = None  # the space's are the recipe's
    if "classes" in sizes:
        raise FrugalnasError("--classes says how many classes there are; leave space.classes out")
    parsed.space = parsed.space or DEFAULT_SPACE
    space = sized_space(parsed, sizes)
    images = opened(training.images_of(parsed), SupernetRecipe.load(parsed.recipe, settings).normalisation)
    unsaid = hasattr(space, "macro") and parsed.macro is None and "macro" not in sizes
    if unsaid and images.input_size > training.LARGE:
        space = space.with_options(macro="imagenet")
    space = within_operators(space, parsed)
    options: dict[str, Any] = {"settings": settings, "compute": training.compute_of(parsed)}
    if parsed.where:
        # A limit is on networks for these images.
        space = space.with_options(input_size=images.input_size).where(parsed.where)
    proposal = proposed_supernet(space, images, parsed.recipe, seed=parsed.seed, **options)
    begun(proposal, parsed, f"supernet-{space.name}-{slug(Path(parsed.data).name)}-seed{parsed.seed}")


def add_pretrain(parser: argparse.ArgumentParser) -> None:
    """Add what `pretrain` takes."""
    parser.description = (
        "Pre-train the graph encoder of a predictor on architectures alone: ss-ccl draws those that are few "
        "edits apart together and pushes the others away, ss-rl tells the edit distance of pairs. Predictors and searches take "
        "the run's folder as --pretrained."
    )
    parser.epilog = "Example: frugalnas pretrain ss-ccl --space nasbench101 --out runs/ccl101"
    option(parser, "task TASK", " or ".join(TASKS), TASKS)
    option(parser, "--space NAME", "whose architectures [nasbench201] (frugalnas list)", default="nasbench201")
    add_operators(parser)
    training.add_published(parser)
    option(parser, "--epochs N", "the recipe's epochs", int)
    option(
        parser,
        "--set NAME=VALUE",
        "any setting of the recipe, such as batch=10000, or of the space, as space.NAME=VALUE",
        list,
    )
    option(parser, "--seed N", "of weights, order, anchors and pairs [0]", int, default=0)
    option(parser, "--device", "[auto]", ("auto", "cpu", "cuda", "mps"), default="auto")
    training.add_run(parser, "<task>-<space>-seed<seed>", "a batch", "--out")
    parser.set_defaults(run=_pretrain)


def _pretrain(parsed: argparse.Namespace) -> None:
    from frugalnas.runs.descriptions import build_space
    from frugalnas.trainings.encoder import proposed_pretraining

    settings, options = training.settings_of(parsed, ("epochs",))
    space = build_space(described_subject(parsed, parsed.space, {"space": options}))
    arguments: dict[str, Any] = {"settings": settings, "seed": parsed.seed, "compute": training.compute_of(parsed)}
    proposal = proposed_pretraining(space, parsed.task, parsed.recipe, **arguments)
    begun(proposal, parsed, f"{parsed.task}-{space.name}-seed{parsed.seed}")
