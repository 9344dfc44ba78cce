"""`frugalnas rlnas` and the commands of other methods: from images to an architecture, a trained network and a page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.options import add_limit
from frugalnas.cli.training_options import add_data, add_device
from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.methods.method import ImageMethod
    from frugalnas.methods.plan import MethodPlan

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
    group.add_argument(
        "--space", metavar="NAME", help=f"[{small} for images up to 64 pixels, else {large}, or the recipe's]"
    )
    add_limit(group, "only networks such as 'macs<=300M,params<=5M', as they are retrained")
    add_data(parser, "the recipe's")
    parser.set_defaults(data=None)
    parser.add_argument("--input", "--input-size", metavar="PIXELS", help="side of the square images [the data decide]")
    group = parser.add_argument_group("how it is done")
    group.add_argument(
        "--recipe",
        default="default",
        metavar="NAME|FILE",
        help="a paper's settings (frugalnas list --recipes shows them); or your own YAML [default]",
    )
    for part in kind.parts.values():
        for option, (type_, metavar, help_) in part.options.items():
            group.add_argument(f"--{option}", type=type_, metavar=metavar, help=help_)
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.NAME=VALUE",
        help="any setting of a stage, such as supernet.epochs=30, retrain.lr=0.01, search.generations=50, score.base=0, "
        "retrain.space.width=32; space.NAME=VALUE for the networks of all stages",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of every stage [0]")
    add_device(parser)
    group = parser.add_argument_group("how it is carried out")
    group.add_argument(
        "--devices", type=int, default=1, metavar="N", help="GPUs or processes that share each batch [1]"
    )
    group.add_argument("--stage", choices=kind.stages, help="this one alone; those before it must be finished")
    group.add_argument(
        "--dry-run", action="store_true", help="train nothing; say what would be done, and how long it takes"
    )
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="FOLDER",
        help=f"of the run; with --stage one that is there [runs/{name}-<data>-seed<seed>]",
    )
    group.add_argument("--quiet", action="store_true", help="no progress, only the result")
    kept = {each.dest: parser.get_default(each.dest) for each in parser._actions if each.dest not in (*_HOW, "help")}
    parser.set_defaults(run=partial(_run, name, kind, kept))


def _run(name: str, kind: type[ImageMethod], kept: Mapping[str, Any], parsed: argparse.Namespace) -> int:
    from frugalnas.cli.text import show_result, watched
    from frugalnas.methods.kind import MethodRun

    if parsed.stage is not None and parsed.run_dir is not None and (parsed.run_dir / "config.yaml").exists():
        said = [option for option, default in kept.items() if getattr(parsed, option) != default]
        if said:
            raise FrugalnasError(
                f"{parsed.run_dir} keeps the settings that it began with; leave `{said[0]}` out, or choose another "
                f"`run_dir` (stages that have not begun: frugalnas resume {parsed.run_dir} --set, --where)"
            )
        with watched(parsed.run_dir, parsed.quiet, MethodRun.doing) as callbacks:
            result = MethodRun().resume(parsed.run_dir, callbacks=callbacks, stage=parsed.stage)
        return show_result(MethodRun(), result, parsed.run_dir)
    from frugalnas.cli.architectures import slug
    from frugalnas.cli.training_options import compute_of, images_of
    from frugalnas.errors import worded
    from frugalnas.methods.method import settle
    from frugalnas.methods.plan import plan_method
    from frugalnas.runs.folder import taken, unused_name

    if parsed.run_dir is not None and parsed.run_dir.exists():
        raise taken(parsed.run_dir)
    space, settings = _settings(kind, parsed)
    if parsed.split_seed is not None:
        raise FrugalnasError(
            "--split-seed is for a single training; write the split to a file and name it: --split FILE"
        )
    compute, images = compute_of(parsed), replace(images_of(parsed), spec=parsed.data or "")
    settled = settle(
        kind, space, images, parsed.recipe, settings=settings, where=parsed.where, compute=compute, seed=parsed.seed
    )
    if parsed.dry_run:
        return _show_plan(plan_method(settled))
    notes = dict.fromkeys(settled.notes)
    for note in notes:
        print(worded(note), file=sys.stderr)
    data = slug(Path(str(settled.method.recipe["data"]).rstrip("/")).name)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"{name}-{data}-seed{parsed.seed}")
    with watched(run_dir, parsed.quiet, MethodRun.doing, set(notes)) as callbacks:
        result = MethodRun().begin(settled.method, run_dir, stage=parsed.stage, callbacks=callbacks)
    return show_result(MethodRun(), result, run_dir)


def stage_settings(said: Sequence[str]) -> dict[str, Any]:
    """`--set STAGE.NAME=VALUE` options as {STAGE.NAME: VALUE}."""
    settings: dict[str, Any] = {}
    for setting in said:
        name, equals, value = setting.partition("=")
        if not equals or "." not in name:
            raise FrugalnasError(f"--set {setting!r} is not of the form STAGE.NAME=VALUE, such as supernet.epochs=30")
        settings[name] = value
    return settings


def _settings(kind: type[ImageMethod], parsed: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The space as an object where `--set space.NAME` gives it options, else its name; and the settings of the stages."""
    from frugalnas.cli.options import converted
    from frugalnas.registry import SPACES

    settings = stage_settings(parsed.set)
    options = {name.removeprefix("space."): settings.pop(name) for name in list(settings) if name.startswith("space.")}
    for name, part in kind.parts.items():
        for option in part.options:
            setting, value = f"{name}.{option.rpartition('-')[2]}", getattr(parsed, option.replace("-", "_"))
            if value is not None and setting in settings:
                raise FrugalnasError(f"{setting} is said twice; leave it out of the settings")
            settings |= {} if value is None else {setting: value}
    if not options:
        return parsed.space, settings
    if parsed.space is None:
        raise FrugalnasError(f"--set space.{next(iter(options))}: which space? Add --space NAME")
    return SPACES.create(
        {"name": parsed.space, "options": converted(SPACES.resolve(parsed.space), options, "space")}
    ), settings


# -- what is shown -------------------------------------------------------------------------------------------------------


def _show_plan(planned: MethodPlan) -> int:
    from frugalnas.amounts import shown_amount
    from frugalnas.cli.text import print_columns
    from frugalnas.methods.plan import SAMPLED
    from frugalnas.runs.progress import duration
    from frugalnas.spaces.sizes import sizes_of

    settled, space = planned.settled, planned.settled.method.spaces.retrained
    where = settled.method.recipe["where"]
    whole = f"{space.size:,}" if space.size < 1e12 else f"{float(space.size):.3g}"
    rows = [("space", f"{sizes_of(space)}: {whole} architectures" + (f" within {where}" if where else ""))]
    if where:
        least = ", ".join(f"{name} from {shown_amount(name, value)}" for name, value in planned.least.items())
        share = f"{100 * planned.share:.3g} %" if planned.share else f"fewer than one in {SAMPLED:,}"
        rows.append(("budget", f"can be met: {share} of the architectures do; {least}"))
    rows.append(("images", ", ".join(f"{len(part):,} {name}" for name, part in settled.data.parts.items())))
    rows += [(stage.stage, stage.said) for stage in planned.stages]
    rows.append(("time", f"about {duration(planned.seconds)} in all, from a few steps on this device"))
    rows += [("note", note) for note in dict.fromkeys(settled.notes)]
    print_columns(rows)
    return 0
