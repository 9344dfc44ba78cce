"""`frugalnas pretrain`: an encoder learns a space from its architectures alone, before any accuracy is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frugalnas.cli.options import converted
from frugalnas.cli.text import show_result, watched
from frugalnas.cli.training_options import add_run, compute_of, settings_of, show_plan
from frugalnas.registry import SPACES

TASKS = ("ss-ccl", "ss-rl")


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Pre-train the graph encoder of a predictor on architectures alone: ss-ccl draws those that are few "
        "edits apart together and pushes the others away, ss-rl tells the edit distance of pairs. Predictors and searches take "
        "the run's folder as --pretrained."
    )
    parser.epilog = "Example: frugalnas pretrain ss-ccl --space nasbench101 --out runs/ccl101"
    parser.add_argument("task", metavar="TASK", choices=TASKS, help=" or ".join(TASKS))
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
    add_run(parser, "<task>-<space>-seed<seed>", "a batch", "--out")
    parser.set_defaults(run=_pretrain)


def _pretrain(parsed: argparse.Namespace) -> int:
    from frugalnas.runs.folder import unused_name
    from frugalnas.trainings import PretrainingKind
    from frugalnas.trainings.encoder import pretrain
    from frugalnas.trainings.plan import plan_pretraining

    settings, options = settings_of(parsed, ("epochs",))
    space = SPACES.create(parsed.space)
    if options:
        space = SPACES.create({"name": parsed.space, "options": converted(type(space), options, "space")})
    arguments: dict[str, Any] = {"settings": settings, "seed": parsed.seed, "compute": compute_of(parsed)}
    if parsed.dry_run:
        planned = plan_pretraining(space, parsed.task, parsed.recipe, **arguments)
        recipe = planned.recipe
        each = f"{recipe.anchors:,} anchors a batch" if recipe.task == "ss-ccl" else f"{recipe.pairs:,} pairs an epoch"
        how = f"{recipe.name}: {recipe.epochs} epochs, batches of {recipe.batch:,}, {each}"
        return show_plan(planned, [("architectures", f"{planned.architectures:,} of {planned.space.name}")], how)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"{parsed.task}-{space.name}-seed{parsed.seed}")
    kind = PretrainingKind()
    with watched(run_dir, parsed.quiet, kind.doing) as callbacks:
        result = pretrain(space, parsed.task, parsed.recipe, run_dir=run_dir, callbacks=callbacks, **arguments)
    return show_result(kind, result, run_dir)
