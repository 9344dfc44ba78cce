"""`frugalnas pretrain`: an encoder learns a space from its architectures alone, before any accuracy is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.text import print_columns, unfinished
from frugalnas.cli.train import watched
from frugalnas.cli.training_options import compute_of, settings_of
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.runs import RunFolder

__all__ = ["add", "pretraining_row", "resume_run", "search_with", "show_pretraining"]

MEANS = {
    "ss-ccl": "of positives are nearer to their centre than every negative",
    "ss-rl": "of distances are told to less than one edit",
}
"""The tasks, and what their accuracy is."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Pre-train the graph encoder of a predictor on architectures alone: ss-ccl draws those that are few "
        "edits apart together and pushes the others away, ss-rl tells the edit distance of pairs. Predictors and searches take "
        "the run's folder as --pretrained."
    )
    parser.epilog = "Example: frugalnas pretrain ss-ccl --space nasbench101 --out runs/ccl101"
    parser.add_argument("task", metavar="TASK", choices=tuple(MEANS), help=" or ".join(MEANS))
    parser.add_argument(
        "--space", default="nasbench201", metavar="NAME", help="whose architectures [nasbench201] (frugalnas list)"
    )
    parser.add_argument(
        "--recipe",
        default="default",
        metavar="NAME|FILE",
        help="default, paper, another one (frugalnas list --recipes), or your own YAML [default]",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="the recipe's epochs")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the recipe, such as batch=10000, or of the space, as space.NAME=VALUE",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, order, anchors and pairs [0]")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="[auto]")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="GPUs or processes that share a batch [1]")
    parser.add_argument(
        "--out",
        "--run-dir",
        dest="run_dir",
        type=Path,
        metavar="FOLDER",
        help="new folder for the run [runs/<task>-<space>-seed<seed>]",
    )
    parser.add_argument("--dry-run", action="store_true", help="train nothing; say what would be done, and how long")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=_pretrain)


def _pretrain(parsed: argparse.Namespace) -> int:
    from frugalnas.runs.folder import unused_name
    from frugalnas.runs.pretraining import plan_pretraining, pretrain

    settings, options = settings_of(parsed, ("epochs",))
    space = SPACES.create(parsed.space)
    if options:
        space = SPACES.create({"name": parsed.space, "options": _typed(type(space), options)})
    arguments = {"settings": settings, "seed": parsed.seed, "compute": compute_of(parsed)}
    if parsed.dry_run:
        return _show_plan(plan_pretraining(space, parsed.task, parsed.recipe, **arguments))
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"{parsed.task}-{space.name}-seed{parsed.seed}")
    with watched(run_dir, parsed.quiet) as callbacks:
        pretrain(space, parsed.task, parsed.recipe, run_dir=run_dir, callbacks=callbacks, **arguments)
    return show_pretraining(run_dir)


def _typed(constructor: Any, options: dict[str, str]) -> dict[str, Any]:
    from frugalnas.cli.options import convert

    return {name: convert(constructor, name, text, f"space.{name}") for name, text in options.items()}


def _show_plan(planned: Any) -> int:
    from frugalnas.runs.watching import duration

    recipe = planned.recipe
    each = "anchors" if recipe.task == "ss-ccl" else "pairs"
    count = recipe.anchors if recipe.task == "ss-ccl" else recipe.pairs
    print_columns(
        [
            ("architectures", f"{planned.architectures:,} of {planned.space.name}"),
            (
                "recipe",
                f"{recipe.name}: {recipe.epochs} epochs, batches of {recipe.batch:,}, {count:,} {each} "
                f"{'a batch' if recipe.task == 'ss-ccl' else 'an epoch'}",
            ),
            ("steps", f"{planned.steps_per_epoch * recipe.epochs:,}: {planned.steps_per_epoch:,} an epoch"),
            ("time", f"about {duration(planned.seconds)}, from a few steps on this device"),
        ]
    )
    return 0


def resume_run(run_dir: Path, parsed: argparse.Namespace) -> int:
    """Carry on with an interrupted pre-training."""
    from frugalnas.runs.pretraining import resume_pretraining

    if parsed.queries is not None or parsed.seconds is not None:
        raise FrugalnasError("a pre-training has no queries; it ends with the epochs it began with")
    with watched(run_dir, parsed.quiet) as callbacks:
        resume_pretraining(run_dir, device=parsed.device, callbacks=callbacks)
    return show_pretraining(run_dir)


def show_pretraining(run_dir: Path, *, as_json: bool = False) -> int:
    """Print what a pre-training came to, and draw its loss."""
    from frugalnas.runs.pretraining import load_pretraining
    from frugalnas.runs.watching import duration

    result = load_pretraining(run_dir)
    recipe, done = result.recipe, len(result.epochs)
    if as_json:
        plain = {
            "space": result.space.name,
            "task": recipe.task,
            "recipe": recipe.to_json(),
            "seed": result.seed,
            "finished": result.finished,
            "diverged": result.diverged,
            "epochs": list(result.epochs),
            "total_epochs": recipe.epochs,
            "seconds": result.seconds,
        }
        print(to_json(plain, indent=2))
        return 0
    rows = [
        ("encoder", f"of {result.space.name}, {recipe.layers} layers of width {recipe.width}"),
        ("task", f"{recipe.task}, recipe {recipe.name}"),
        ("epochs", f"{done} of {recipe.epochs}"),
    ]
    if done:
        last = result.epochs[-1]
        rows.append(("loss", f"{last['train_loss']:.4f} ({last['train_accuracy']:.2f} % {MEANS[recipe.task]})"))
    rows.append(("time", duration(result.seconds)))
    if not result.finished:
        rows.append(unfinished(run_dir, result.diverged))
    rows.append(("run folder", str(run_dir)))
    if done:
        from frugalnas.report.pretraining import draw_pretraining

        rows.append(("picture", str(draw_pretraining(result))))
    if result.finished:
        rows.append(("next", search_with(run_dir, result.space.name)))
    print_columns(rows)
    return 0


def search_with(folder: Path, space: str) -> str:
    """The command that searches a space with the encoder in a folder: on its first table, or where it has none by training."""
    from frugalnas.tables import table_names

    tables = [name for name in table_names() if name.split("/")[0] == space]
    where = f"--table {tables[0]}" if tables else f"--space {space} --evaluator training"
    return f"frugalnas search npenas {where} --pretrained {folder}"


def pretraining_row(folder: RunFolder) -> list[str]:
    """A pre-training's line in the list of runs: in place of a best value, its accuracy at its own task."""
    config = folder.config
    epochs, diverged = folder.epochs()
    best = f"{epochs[-1]['train_accuracy']:.2f} % of {config['task']}" if epochs else ""
    done = f"{len(epochs)} of {config['recipe']['epochs']} epochs{', diverged' if diverged else ''}"
    return [str(folder.path), "pretraining", config["space"]["name"], done, best]
