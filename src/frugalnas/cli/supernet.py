"""`frugalnas supernet train`: one network that holds every choice of a space, trained on one path at a time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.architectures import add_sizes, sized_space, slug
from frugalnas.cli.options import add_limit
from frugalnas.cli.text import print_columns, unfinished
from frugalnas.cli.train import watched
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
from frugalnas.spaces.sizes import sizes_of
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.runs.supernet_planning import SupernetPlan
    from frugalnas.runs.supernets import SupernetResult

__all__ = ["add", "show_supernet"]

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
    add_data(train, "digits")
    group = add_recipe(train)
    group.add_argument("--labels", choices=("true", "random", "random-access"), help="the recipe's labels")
    group.add_argument(
        "--paths", metavar="NAME", help="the recipe's sampler of paths: cell, uniform, projected, fair, ..."
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of weights, paths, labels, order, augmentation [0]"
    )
    add_device(train)
    group = train.add_argument_group("how it is carried out")
    group.add_argument(
        "--devices", type=int, default=1, metavar="N", help="GPUs or processes that share each batch [1]"
    )
    group.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, default=True, help="memory layout [channels last]"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="train nothing; say what would be done, and how long it takes"
    )
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="FOLDER",
        help="new folder for the run [runs/supernet-<space>-<data>-seed<seed>]",
    )
    group.add_argument("--quiet", action="store_true", help="no progress, only the result")
    train.set_defaults(run=_train)


def _train(parsed: argparse.Namespace) -> int:
    from frugalnas.data import opened
    from frugalnas.runs.folder import unused_name
    from frugalnas.runs.supernet_planning import plan_supernet
    from frugalnas.runs.supernets import train_supernet
    from frugalnas.supernets import SupernetRecipe
    from frugalnas.training import load_recipe

    settings, space_settings = settings_of(parsed, ("epochs", "batch_size", "lr", "labels", "paths", "classes"))
    parsed.classes = None  # the space's are the recipe's
    if "classes" in space_settings:
        raise FrugalnasError("--classes says how many classes there are; leave space.classes out")
    parsed.space = parsed.space or DEFAULT_SPACE
    space = sized_space(parsed, space_settings)
    images = opened(images_of(parsed), load_recipe(parsed.recipe, settings, kind=SupernetRecipe).normalisation)
    unsaid = parsed.macro is None and "macro" not in space_settings
    if hasattr(space, "macro") and unsaid and images.input_size > LARGE:
        space = space.with_options(macro="imagenet")
    options: dict[str, Any] = {"settings": settings, "compute": compute_of(parsed)}
    if parsed.where:
        # A limit is on networks for these images.
        space = space.with_options(input_size=images.input_size).where(parsed.where)
    if parsed.dry_run:
        return _show_plan(plan_supernet(space, images, parsed.recipe, **options))
    data = slug(Path(str(parsed.data).rstrip("/")).name)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"supernet-{space.name}-{data}-seed{parsed.seed}")
    with watched(run_dir, parsed.quiet) as callbacks:
        train_supernet(space, images, parsed.recipe, run_dir=run_dir, seed=parsed.seed, callbacks=callbacks, **options)
    return show_supernet(run_dir)


def _show_plan(planned: SupernetPlan) -> int:
    from frugalnas.runs.watching import duration

    recipe = planned.recipe
    rows = [
        ("supernet", sizes_of(planned.space)),
        ("parameters", f"{planned.params / 1e6:,.3f} M, of all choices"),
        ("images", ", ".join(f"{count:,} {part}" for part, count in planned.images.items())),
        ("recipe", f"{recipe.name}: {recipe.epochs} epochs, batches of {recipe.batch_size}, lr {recipe.lr:g}"),
        ("labels", labels_words(recipe.labels, recipe.classes)),
        ("paths", str(recipe.paths)),
        ("steps", f"{planned.steps:,}: {planned.steps_per_epoch:,} an epoch"),
        ("time", f"about {duration(planned.seconds)}, from a few steps on this device"),
        *(("data", note) for note in planned.notes),
    ]
    print_columns(rows)
    return 0


def show_supernet(run_dir: Path, *, as_json: bool = False) -> int:
    """Print what the training of a supernet came to, and draw its loss."""
    from frugalnas.runs.supernets import load_supernet
    from frugalnas.runs.watching import duration

    result = load_supernet(run_dir)
    recipe, done = result.recipe, len(result.epochs)
    if as_json:
        plain = {
            "space": result.space.name,
            "finished": result.finished,
            "diverged": result.diverged,
            "epochs": list(result.epochs),
            "total_epochs": result.total_epochs,
            "labels": recipe.labels,
            "classes": recipe.classes,
            "paths": recipe.paths,
            "bases": list(result.bases),
            "initial": result.initial,
            "seconds": result.seconds,
        }
        print(to_json(plain, indent=2))
        return 0
    rows = [
        ("supernet", sizes_of(result.space)),
        ("labels", labels_words(recipe.labels, recipe.classes)),
        ("paths", str(recipe.paths)),
        ("epochs", f"{done} of {result.total_epochs}"),
    ]
    if done:
        last = result.epochs[-1]
        rows.append(("loss", f"{last['train_loss']:.4f} (accuracy {last['train_accuracy']:.2f} % of its labels)"))
        rows.append(("turned by", f"{last['angle']:.4f} rad from the initial weights"))
        rows.append(("angles", f"from the weights after epoch {' or '.join(map(str, result.bases))}"))
    rows.append(("initial", f"sha256 {result.initial[:16]}..."))
    rows.append(("time", duration(result.seconds)))
    if not result.finished:
        rows.append(unfinished(run_dir, result.diverged))
    rows.append(("run folder", str(run_dir)))
    if done:
        rows.append(("picture", str(_picture(result))))
        rows.append(("next", f"frugalnas score {run_dir} --score angle"))
    print_columns(rows)
    return 0


def _picture(result: SupernetResult) -> Path:
    """Draw the loss of every epoch into the run's report."""
    from frugalnas.report.method_figures import supernet_figure
    from frugalnas.report.style import save_figure

    folder = result.run_dir / "report"
    folder.mkdir(exist_ok=True)
    drawn = supernet_figure(result.epochs, result.recipe.classes or 0, result.recipe.labels)
    return save_figure(drawn, folder / "supernet")[0]


def labels_words(labels: str, classes: int | None) -> str:
    """Where a supernet's labels come from, for people."""
    said = {"true": "true", "random": "random, one for every image", "random-access": "random, anew in every epoch"}
    return f"{said[labels]} ({classes} classes)"
