"""Options that commands which train on images share, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.options import matched
from frugalnas.cli.parsing import option
from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.data import Images
    from frugalnas.training import Compute

LARGE = 64
"""Pixels from which a network of darts needs the stem of its ImageNet networks, which begins with three strides."""


def add_data(parser: argparse.ArgumentParser, default: str | None, unsaid: str = "what it was trained on") -> None:
    """Add the options that say which images, and how they are split; without a default they are optional and stay whole."""
    group = parser.add_argument_group("data")
    said = f"[{default or unsaid}]"
    option(
        group,
        "--data NAME|PATH",
        f"digits, cifar10, cifar100, imagenet, imagenet16-120, or a folder or .npz file of your own {said}",
        default=default,
    )
    option(group, "--root FOLDER", "where the files of a named data set are", Path)
    option(group, "--download", "fetch CIFAR into --root where it is not there", bool)
    if default is not None:
        option(group, "--split NAME|FILE", "default, half, imagenet-50k, all, or a file [the data's own]")
        option(group, "--split-seed N", "draw the split with another seed [0]", int)
    option(group, "--max-corrupt N", "unreadable images to skip [0]", int, default=0)
    option(group, "--workers N", "processes that read large images [0]", int, default=0)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where is computed, and how exactly."""
    option(parser, "--device", "[auto]", ("auto", "cpu", "cuda", "mps"), default="auto")
    option(parser, "--precision", "of the arithmetic [32]", ("32", "bf16", "16"), default="32")


def add_published(to: argparse._ActionsContainer) -> None:
    """Add the option that names a recipe."""
    does = "published settings (frugalnas list --recipes), or your own YAML [default]"
    option(to, "--recipe NAME|FILE", does, default="default")


def add_recipe(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say how weights are trained; their group is returned, for further ones."""
    group = parser.add_argument_group("how it is trained")
    add_published(group)
    option(group, "--epochs N", "the recipe's epochs", int)
    option(group, "--batch-size N", "the recipe's images a step", int)
    option(group, "--lr X", "the recipe's learning rate", float)
    option(
        group,
        "--set NAME=VALUE",
        "any setting of the recipe, such as augmentation.cutout=8, or of the space, as space.NAME=VALUE",
        list,
    )
    return group


def add_run(parser: argparse.ArgumentParser, name: str, shared: str, *flags: str) -> argparse._ArgumentGroup:
    """Add the options that say how a training is carried out and where it is kept; their group is returned.

    Args:
        parser: of the command.
        name: of the run's folder, where nobody says another.
        shared: what several devices share.
        *flags: further names of `--run-dir`.
    """
    group = parser.add_argument_group("how it is carried out")
    option(group, "--devices N", f"GPUs or processes that share {shared} [1]", int, default=1)
    option(group, "--dry-run", "train nothing; say what would be done, and how long it takes", bool)
    group.add_argument(
        *flags, "--run-dir", dest="run_dir", type=Path, metavar="FOLDER", help=f"new folder for the run [runs/{name}]"
    )
    option(group, "--quiet", "no progress, only the result", bool)
    return group


def settings_of(
    parsed: argparse.Namespace, options: Sequence[str] = ("epochs", "batch_size", "lr")
) -> tuple[dict[str, str], dict[str, str]]:
    """What `--set` says of the recipe and of the space; options such as `--epochs` are settings of the recipe too.

    Args:
        parsed: has what `add_recipe` adds.
        options: that are settings of the recipe, by its names for them.
    """
    recipe: dict[str, Any] = {}
    space = {}
    for name, value in matched(parsed.set, "([^=]+)=(.*)", "NAME=VALUE, such as augmentation.cutout=8"):
        if name.startswith("space."):
            space[name.removeprefix("space.")] = value
        else:
            recipe[name] = value
    for name in options:
        value = getattr(parsed, name)
        if value is not None:
            if name in recipe:
                raise FrugalnasError(f"--{name.replace('_', '-')} and --set {name}=... say the same; give one")
            recipe[name] = value
    return recipe, space


def images_of(parsed: argparse.Namespace) -> Images:
    """The images that the options say, and how they are read."""
    from frugalnas.data import Images

    size, split = pixels(getattr(parsed, "input", None)), chosen_split(parsed)
    return Images(parsed.data, parsed.root, parsed.download, size, split, parsed.max_corrupt, parsed.workers)


def compute_of(parsed: argparse.Namespace) -> Compute:
    """Where it is computed, as the options say."""
    from frugalnas.training import Compute

    names = ("device", "devices", "precision", "channels_last", "compile")
    return Compute(**{name: getattr(parsed, name) for name in names if hasattr(parsed, name)})


def pixels(text: str | None) -> int | None:
    """The number of pixels that `--input` says."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise FrugalnasError(f"--input: {text!r} is not a number of pixels, such as 224") from None


def chosen_split(parsed: argparse.Namespace) -> Any:
    """The split that the options say: a name, a file, or a named one with another seed."""
    if getattr(parsed, "split_seed", None) is None:
        return getattr(parsed, "split", None)
    from dataclasses import replace

    from frugalnas.data import SPLITS

    named = SPLITS.get(parsed.split or "default")
    if named is None:
        raise FrugalnasError(f"--split-seed draws a named split ({', '.join(SPLITS)}); {parsed.split} is not drawn")
    return replace(named, seed=parsed.split_seed)
