"""`frugalnas pretrain`: an encoder learns a space from its architectures alone, before any accuracy is known."""

from __future__ import annotations

import argparse
from typing import Any

from frugalnas.cli.options import add_operators, converted, within_operators
from frugalnas.cli.parsing import option
from frugalnas.cli.text import begun
from frugalnas.cli.training_options import add_run, compute_of, settings_of
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
    option(parser, "task TASK", " or ".join(TASKS), TASKS)
    option(parser, "--space NAME", "whose architectures [nasbench201] (frugalnas list)", default="nasbench201")
    add_operators(parser)
    option(
        parser,
        "--recipe NAME|FILE",
        "default, paper, another one (frugalnas list --recipes), or your own YAML [default]",
        default="default",
    )
    option(parser, "--epochs N", "the recipe's epochs", int)
    option(
        parser,
        "--set NAME=VALUE",
        "any setting of the recipe, such as batch=10000, or of the space, as space.NAME=VALUE",
        list,
    )
    option(parser, "--seed N", "of weights, order, anchors and pairs [0]", int, default=0)
    option(parser, "--device", "[auto]", ("auto", "cpu", "cuda", "mps"), default="auto")
    add_run(parser, "<task>-<space>-seed<seed>", "a batch", "--out")
    parser.set_defaults(run=_pretrain)


def _pretrain(parsed: argparse.Namespace) -> None:
    from frugalnas.trainings.encoder import proposed_pretraining

    settings, options = settings_of(parsed, ("epochs",))
    space = SPACES.create(parsed.space)
    if options:
        space = SPACES.create({"name": parsed.space, "options": converted(type(space), options, "space")})
    space = within_operators(space, parsed)
    arguments: dict[str, Any] = {"settings": settings, "seed": parsed.seed, "compute": compute_of(parsed)}
    proposal = proposed_pretraining(space, parsed.task, parsed.recipe, **arguments)
    begun(proposal, parsed, f"{parsed.task}-{space.name}-seed{parsed.seed}")
