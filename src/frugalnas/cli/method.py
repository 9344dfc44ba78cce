"""`frugalnas rlnas` and the commands of other methods: from images to an architecture, a trained network and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.options import add_limit, add_operators, matched
from frugalnas.cli.parsing import option
from frugalnas.cli.training_options import add_data, add_device, add_published
from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.methods.method import ImageMethod

_HOW = ("stage", "run_dir", "dry_run", "quiet", "trust", "device")
"""Options that a run does not keep from its beginning."""


def add(parser: argparse.ArgumentParser, name: str) -> None:
    """Add what the command of a method takes."""
    from frugalnas.methods.method import ImageMethod
    from frugalnas.registry import METHODS

    kind: Any = METHODS.resolve(name)
    if not issubclass(kind, ImageMethod):
        raise FrugalnasError(f"{name} is no method that searches images (`frugalnas.methods.method.ImageMethod`)")
    said = " ".join((kind.__doc__ or "").partition("Args:")[0].split())
    carried = "Each stage is a run in a folder of its own; frugalnas resume carries on with whichever was interrupted."
    parser.description = f"{said} {carried}"
    parser.epilog = f"Example: {kind.example}" if kind.example else None
    group = parser.add_argument_group("what is searched")
    small, large = kind.suited
    option(group, "--space NAME", f"[{small} for images up to 64 pixels, else {large}, or the recipe's]")
    add_limit(group, "only networks such as 'macs<=300M,params<=5M', as they are retrained")
    add_operators(group)
    add_data(parser, "the recipe's")
    parser.set_defaults(data=None)
    option(parser, "--input --input-size PIXELS", "side of the square images [the data decide]")
    group = parser.add_argument_group("how it is done")
    add_published(group)
    for part in kind.parts.values():
        for typed, own in part.options.items():
            option(group, f"--{typed} {own.metavar}", own.help, own.type)
    option(
        group,
        "--set STAGE.NAME=VALUE",
        "any setting of a stage, such as supernet.epochs=30, retrain.lr=0.01, search.generations=50, score.base=0, "
        "retrain.space.width=32; space.NAME=VALUE for the networks of all stages",
        list,
    )
    option(group, "--seed N", "of every stage [0]", int, default=0)
    add_device(parser)
    group = parser.add_argument_group("how it is carried out")
    option(group, "--devices N", "GPUs or processes that share each batch [1]", int, default=1)
    option(group, "--stage", "this one alone; those before it must be finished", choices=kind.stages)
    option(group, "--dry-run", "train nothing; say what would be done, and how long it takes", bool)
    option(
        group, "--run-dir FOLDER", f"of the run; with --stage one that is there [runs/{name}-<data>-seed<seed>]", Path
    )
    option(group, "--quiet", "no progress, only the result", bool)
    kept = {each.dest: parser.get_default(each.dest) for each in parser._actions if each.dest not in (*_HOW, "help")}
    parser.set_defaults(run=partial(_run, name, kind, kept))


def _run(name: str, kind: type[ImageMethod], kept: Mapping[str, Any], parsed: argparse.Namespace) -> None:
    from frugalnas.cli.text import begun, carried_out
    from frugalnas.methods.kind import MethodRun

    kind_of_run = MethodRun()
    if parsed.stage is not None and parsed.run_dir is not None and (parsed.run_dir / "config.yaml").exists():
        said = [name for name, default in kept.items() if getattr(parsed, name) != default]
        if said:
            raise FrugalnasError(
                f"{parsed.run_dir} keeps the settings that it began with; leave `{said[0]}` out, or choose another "
                f"`run_dir` (stages that have not begun: frugalnas resume {parsed.run_dir} --set, --where)"
            )
        carried_out(kind_of_run, partial(kind_of_run.resume, stage=parsed.stage), parsed, name)
        return
    from frugalnas.cli.architectures import slug
    from frugalnas.cli.training_options import compute_of, images_of
    from frugalnas.errors import worded
    from frugalnas.methods.method import settle
    from frugalnas.runs.folder import fresh

    if parsed.run_dir is not None:
        fresh(parsed.run_dir)
    space, settings = _settings(kind, parsed)
    if parsed.split_seed is not None:
        raise FrugalnasError(
            "--split-seed is for a single training; write the split to a file and name it: --split FILE"
        )
    compute, images = compute_of(parsed), replace(images_of(parsed), spec=parsed.data or "")
    limits = {"where": parsed.where, "operators": parsed.operators}
    settled = settle(kind, space, images, parsed.recipe, settings=settings, **limits, compute=compute, seed=parsed.seed)
    proposal = kind_of_run.proposed(settled.method, stage=parsed.stage, notes=tuple(dict.fromkeys(settled.notes)))
    for note in () if parsed.dry_run else proposal.notes:
        print(worded(note), file=sys.stderr)
    data = slug(Path(str(settled.method.recipe["data"])).name)
    begun(proposal, parsed, f"{name}-{data}-seed{parsed.seed}", set(proposal.notes))


def stage_settings(said: Sequence[str]) -> dict[str, Any]:
    """`--set STAGE.NAME=VALUE` options as {STAGE.NAME: VALUE}."""
    return dict(matched(said, r"([^=]*\.[^=]*)=(.*)", "STAGE.NAME=VALUE, such as supernet.epochs=30"))


def _settings(kind: type[ImageMethod], parsed: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The space as an object where `--set space.NAME` gives it options, else its name; and the settings of the stages."""
    from frugalnas.cli.search import describe_space_option
    from frugalnas.registry import SPACES

    settings = stage_settings(parsed.set)
    options = {name.removeprefix("space."): settings.pop(name) for name in list(settings) if name.startswith("space.")}
    for name, part in kind.parts.items():
        for typed, own in part.options.items():
            setting, value = f"{name}.{own.setting}", getattr(parsed, typed.replace("-", "_"))
            if own.type is bool:
                value = own.value if value else None
            if value is not None and setting in settings:
                raise FrugalnasError(f"{setting} is said twice; leave it out of the settings")
            settings |= {} if value is None else {setting: value}
    if not options:
        return parsed.space, settings
    if parsed.space is None:
        raise FrugalnasError(f"--set space.{next(iter(options))}: which space? Add --space NAME")
    return SPACES.create(describe_space_option(parsed.space, {"space": options})), settings
