"""`frugalnas train`: an architecture becomes a network that knows classes of images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from frugalnas.cli.architectures import Architecture as Found
from frugalnas.cli.architectures import add_architecture, find_architecture, slug
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


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Train an architecture from scratch: on scikit-learn's digits, on CIFAR, on ImageNet, or on your own "
        "folder of class folders. The run has a folder of its own, from which it can be resumed at any moment."
    )
    parser.epilog = "Example: frugalnas train RelativeNAS --data cifar10 --root ~/data --recipe cifar --epochs 600"
    add_architecture(parser)
    add_data(parser, "digits")
    group = add_recipe(parser)
    option(group, "--weights PATH", "start from these: a run, a model, or a checkpoint", Path)
    option(group, "--seed N", "of weights, order and augmentation [0]", int, default=0)
    add_device(parser)
    group = add_run(parser, "<architecture>-<data>-seed<seed>", "each batch")
    option(group, "--channels-last", "memory layout that GPUs' matrix units like", bool)
    option(group, "--compile", "through torch.compile", bool)
    parser.set_defaults(run=_train)


def _train(parsed: argparse.Namespace) -> None:
    from frugalnas.data import opened
    from frugalnas.spaces import Architecture
    from frugalnas.training import Recipe
    from frugalnas.trainings.network import proposed_training

    recipe_settings, space_settings = settings_of(parsed)
    if parsed.classes is not None or "classes" in space_settings:
        raise FrugalnasError("the data say how many classes there are; leave --classes out")
    images = opened(images_of(parsed), Recipe.load(parsed.recipe, recipe_settings).normalisation)
    found = _for_data(parsed, space_settings, images.input_size)
    architecture = Architecture(found.space, found.code, None if found.name == found.text else found.name)
    how: dict[str, Any] = {"settings": recipe_settings, "compute": compute_of(parsed), "weights": parsed.weights}
    proposal = proposed_training(architecture, images, parsed.recipe, seed=parsed.seed, **how)
    name = slug(found.name) if found.name != found.text else found.space.name
    data = slug(Path(str(parsed.data).rstrip("/")).name)
    begun(proposal, parsed, f"{name}-{data}-seed{parsed.seed}")


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
