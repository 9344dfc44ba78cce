"""`frugalnas train`: an architecture becomes a network that knows classes of images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from frugalnas.cli.architectures import Architecture as Found
from frugalnas.cli.architectures import add_architecture, find_architecture, slug
from frugalnas.cli.text import show_result, watched
from frugalnas.cli.training_options import (
    LARGE,
    add_data,
    add_device,
    add_recipe,
    add_run,
    compute_of,
    images_of,
    settings_of,
    show_plan,
)
from frugalnas.errors import FrugalnasError
from frugalnas.spaces.sizes import sizes_of


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
    group.add_argument("--weights", type=Path, metavar="PATH", help="start from these: a run, a model, or a checkpoint")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, order and augmentation [0]")
    add_device(parser)
    group = add_run(parser, "<architecture>-<data>-seed<seed>", "each batch")
    group.add_argument("--channels-last", action="store_true", help="memory layout that GPUs' matrix units like")
    group.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.set_defaults(run=_train)


def _train(parsed: argparse.Namespace) -> int:
    from frugalnas.data import opened
    from frugalnas.runs.folder import unused_name
    from frugalnas.spaces import Architecture
    from frugalnas.training import load_recipe
    from frugalnas.trainings import TrainingKind
    from frugalnas.trainings.network import train
    from frugalnas.trainings.plan import plan

    recipe_settings, space_settings = settings_of(parsed)
    if parsed.classes is not None or "classes" in space_settings:
        raise FrugalnasError("the data say how many classes there are; leave --classes out")
    images = opened(images_of(parsed), load_recipe(parsed.recipe, recipe_settings).normalisation)
    found = _for_data(parsed, space_settings, images.input_size)
    architecture = Architecture(found.space, found.code, None if found.name == found.text else found.name)
    options: dict[str, Any] = {"settings": recipe_settings, "compute": compute_of(parsed)}
    if parsed.dry_run:
        planned = plan(architecture, images, parsed.recipe, **options)
        recipe = planned.recipe
        about = [
            ("architecture", found.name),
            ("network", sizes_of(planned.space)),
            ("parameters", f"{planned.params / 1e6:,.3f} M"),
            ("multiply-adds", f"{planned.macs / 1e6:,.3f} M an image"),
        ]
        how = f"{parsed.recipe}: {recipe.epochs} epochs, batches of {recipe.batch_size}, lr {recipe.lr:g}"
        return show_plan(planned, about, how)
    name = slug(found.name) if found.name != found.text else found.space.name
    data = slug(Path(str(parsed.data).rstrip("/")).name)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"{name}-{data}-seed{parsed.seed}")
    kind = TrainingKind()
    with watched(run_dir, parsed.quiet, kind.doing) as callbacks:
        result = train(
            architecture,
            images,
            parsed.recipe,
            run_dir=run_dir,
            seed=parsed.seed,
            weights=parsed.weights,
            callbacks=callbacks,
            **options,
        )
    return show_result(kind, result, run_dir)


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
