"""`frugalnas supernet train`: one network that holds every choice of a space, trained on one path at a time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frugalnas.cli.architectures import add_sizes, sized_space, slug
from frugalnas.cli.options import add_limit, add_operators, within_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.text import begun
from frugalnas.cli.training_options import (
    LARGE,
    add_data,
    add_device,
    add_recipe,
    add_run,
    compute_of,
    images_of,
    settings_of,
)
from frugalnas.errors import FrugalnasError

DEFAULT_SPACE = "nasbench201"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
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
    add_data(train, "digits")
    group = add_recipe(train)
    option(group, "--labels", "the recipe's labels", ("true", "random", "random-access"))
    option(group, "--paths NAME", "the recipe's sampler of paths: cell, uniform, projected, fair, ...")
    option(group, "--seed N", "of weights, paths, labels, order, augmentation [0]", int, default=0)
    add_device(train)
    group = add_run(train, "supernet-<space>-<data>-seed<seed>", "each batch")
    option(
        group, "--channels-last", "memory layout [channels last]", action=argparse.BooleanOptionalAction, default=True
    )
    train.set_defaults(run=_train)


def _train(parsed: argparse.Namespace) -> None:
    from frugalnas.data import opened
    from frugalnas.supernets import SupernetRecipe
    from frugalnas.trainings.supernet import proposed_supernet

    settings, space_settings = settings_of(parsed, ("epochs", "batch_size", "lr", "labels", "paths", "classes"))
    parsed.classes = None  # the space's are the recipe's
    if "classes" in space_settings:
        raise FrugalnasError("--classes says how many classes there are; leave space.classes out")
    parsed.space = parsed.space or DEFAULT_SPACE
    space = sized_space(parsed, space_settings)
    images = opened(images_of(parsed), SupernetRecipe.load(parsed.recipe, settings).normalisation)
    unsaid = parsed.macro is None and "macro" not in space_settings
    if hasattr(space, "macro") and unsaid and images.input_size > LARGE:
        space = space.with_options(macro="imagenet")
    space = within_operators(space, parsed)
    options: dict[str, Any] = {"settings": settings, "compute": compute_of(parsed)}
    if parsed.where:
        # A limit is on networks for these images.
        space = space.with_options(input_size=images.input_size).where(parsed.where)
    data = slug(Path(str(parsed.data).rstrip("/")).name)
    proposal = proposed_supernet(space, images, parsed.recipe, seed=parsed.seed, **options)
    begun(proposal, parsed, f"supernet-{space.name}-{data}-seed{parsed.seed}")
