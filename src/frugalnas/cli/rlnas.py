"""`frugalnas rlnas`: from images, with labels or without, to an architecture, a trained network and a page that says how sure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli import search, train
from frugalnas.cli.architectures import sizes_of, slug
from frugalnas.cli.options import add_limit
from frugalnas.cli.text import print_columns, shown_amount, unfinished
from frugalnas.cli.training_options import add_data, add_device, pixels
from frugalnas.errors import FrugalnasError, worded
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    from frugalnas.methods.planning import MethodPlan
    from frugalnas.runs.stages import Stage, Watch

__all__ = ["add", "resume_rlnas", "show_method", "stage_settings"]

STAGES = ("supernet", "search", "retrain", "report")
RECIPE = "default"


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "RLNAS: train a supernet on random labels, rank architectures by the angle by which their weights turn, "
        "search for the largest, and train the winner from scratch where the images have labels. Each stage is a run in a "
        "folder of its own; frugalnas resume carries on with whichever was interrupted."
    )
    parser.epilog = "Example: frugalnas rlnas --data ./photos --where 'macs<=300M' --retrain-top 3 --dry-run"
    group = parser.add_argument_group("what is searched")
    group.add_argument(
        "--space", metavar="NAME", help="[nasbench201 for images up to 64 pixels, else mobilenet, or the recipe's]"
    )
    add_limit(group, "only networks such as 'macs<=300M,params<=5M', as they are retrained")
    group.add_argument(
        "--classes", type=int, metavar="N", help="that random labels are drawn from [the data's; 10 without labels]"
    )
    add_data(parser, "the recipe's")
    parser.set_defaults(data=None)
    parser.add_argument("--input", "--input-size", metavar="PIXELS", help="side of the square images [the data decide]")
    group = parser.add_argument_group("how it is done")
    group.add_argument(
        "--recipe",
        default=RECIPE,
        metavar="NAME|FILE",
        help="the paper's settings: rlnas-nasbench201-cifar10, rlnas-darts-cifar10, rlnas-darts-imagenet, "
        "rlnas-mobilenet-imagenet; or your own YAML [default]",
    )
    group.add_argument("--retrain-top", type=int, metavar="N", help="architectures to train from scratch; 0: none [1]")
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
    group.add_argument("--stage", choices=STAGES, help="this one alone; those before it must be finished")
    group.add_argument(
        "--dry-run", action="store_true", help="train nothing; say what would be done, and how long it takes"
    )
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="FOLDER",
        help="of the run; with --stage one that is there [runs/rlnas-<data>-seed<seed>]",
    )
    group.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=_run, defaults={name: parser.get_default(name) for name in _WHAT})


_WHAT = (
    *(
        "space",
        "where",
        "classes",
        "data",
        "root",
        "download",
        "split",
        "split_seed",
        "max_corrupt",
        "workers",
        "input",
    ),
    *("recipe", "retrain_top", "set", "seed", "precision", "devices"),
)
"""Options that a run keeps from its beginning."""


def _run(parsed: argparse.Namespace) -> int:
    if parsed.stage is not None and parsed.run_dir is not None and (parsed.run_dir / "config.yaml").exists():
        said = [name for name in _WHAT if getattr(parsed, name) != parsed.defaults[name]]
        if said:
            raise FrugalnasError(
                f"{parsed.run_dir} keeps the settings that it began with; leave --{said[0].replace('_', '-')} out, or "
                f"choose another --run-dir (stages that have not begun: frugalnas resume {parsed.run_dir} --set, --where)"
            )
        return resume_rlnas(parsed.run_dir, parsed.stage, None, parsed.quiet)
    from frugalnas.methods.launching import settled_rlnas
    from frugalnas.runs.folder import taken, unused_name
    from frugalnas.runs.stages import run_method

    if parsed.run_dir is not None and parsed.run_dir.exists():
        raise taken(parsed.run_dir)
    space, settings = _settings(parsed)
    reading = {
        "root": parsed.root,
        "download": parsed.download,
        "input_size": pixels(parsed.input),
        "max_corrupt": parsed.max_corrupt,
        "workers": parsed.workers,
    }
    flags = {"device": parsed.device, "devices": parsed.devices, "precision": parsed.precision}
    method, settled = settled_rlnas(
        space,
        parsed.data,
        parsed.recipe,
        settings,
        parsed.where,
        parsed.classes,
        parsed.retrain_top,
        parsed.seed,
        reading,
        flags,
    )
    if parsed.dry_run:
        from frugalnas.methods.planning import plan_method

        return _show_plan(plan_method(settled, method.reading, method.device))
    notes = dict.fromkeys(settled.notes)
    for note in notes:
        print(worded(note), file=sys.stderr)
    data = slug(Path(str(settled.recipe.data).rstrip("/")).name)
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"rlnas-{data}-seed{parsed.seed}")
    run_method(method, run_dir, stage=parsed.stage, watch=_watch(run_dir, parsed.quiet, set(notes)))
    return show_method(run_dir)


def resume_rlnas(
    run_dir: Path, stage: str | None, device: str | None, quiet: bool, settings: dict[str, Any] | None = None
) -> int:
    """Carry on with a run, or with one of its stages, and show what came of it; `settings` are of stages to come."""
    from frugalnas.methods.launching import change_settings
    from frugalnas.runs.stages import resume_method

    change_settings(run_dir, settings or {})
    resume_method(run_dir, stage=stage, device=device, watch=_watch(run_dir, quiet, set()))
    return show_method(run_dir)


def stage_settings(said: Sequence[str]) -> dict[str, Any]:
    """`--set STAGE.NAME=VALUE` options as {STAGE.NAME: VALUE}."""
    settings: dict[str, Any] = {}
    for setting in said:
        name, equals, value = setting.partition("=")
        if not equals or "." not in name:
            raise FrugalnasError(f"--set {setting!r} is not of the form STAGE.NAME=VALUE, such as supernet.epochs=30")
        settings[name] = value
    return settings


def _settings(parsed: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The space as an object where `--set space.NAME` gives it options, else its name; and the settings of the stages."""
    from frugalnas.cli.options import convert
    from frugalnas.registry import SPACES

    settings = stage_settings(parsed.set)
    options = {name.removeprefix("space."): settings.pop(name) for name in list(settings) if name.startswith("space.")}
    if parsed.split_seed is not None:
        raise FrugalnasError(
            "--split-seed is for a single training; write the split to a file and name it: --split FILE"
        )
    if parsed.split is not None:
        settings.update({"supernet.split": parsed.split, "retrain.split": parsed.split})
    if not options:
        return parsed.space, settings
    if parsed.space is None:
        raise FrugalnasError(f"--set space.{next(iter(options))}: which space? Add --space NAME")
    constructor = SPACES.resolve(parsed.space)
    converted = {name: convert(constructor, name, value, f"space.{name}") for name, value in options.items()}
    return SPACES.create({"name": parsed.space, "options": converted}), settings


def _watch(run_dir: Path, quiet: bool, told: set[str]) -> Watch:
    """A line and a progress bar for each stage, each note once; after Ctrl-C the line that continues the run."""

    @contextmanager
    def watch(stage: Stage) -> Iterator[list[Any]]:
        if not quiet:
            print(f"stage {stage.name}: {stage.path}", file=sys.stderr)
        watching: Any = (
            search.watched(run_dir, quiet) if stage.kind == "search" else train.watched(run_dir, quiet, told)
        )
        with watching as callbacks:
            yield callbacks

    return watch


# -- what is shown -------------------------------------------------------------------------------------------------------


def _show_plan(planned: MethodPlan) -> int:
    from frugalnas.methods.planning import SAMPLED
    from frugalnas.runs.watching import duration

    settled, supernet, retrained = planned.settled, planned.supernet, planned.retrained
    recipe, space = settled.recipe, settled.networks.retrained
    whole = f"{space.size:,}" if space.size < 1e12 else f"{float(space.size):.3g}"
    rows = [
        ("space", f"{sizes_of(space)}: {whole} architectures" + (f" within {recipe.where}" if recipe.where else "")),
    ]
    if recipe.where:
        least = ", ".join(f"{name} from {shown_amount(name, value)}" for name, value in planned.least.items())
        share = f"{100 * planned.share:.3g} %" if planned.share else f"fewer than one in {SAMPLED:,}"
        rows.append(("budget", f"can be met: {share} of the architectures do; {least}"))
    rows += [
        ("images", ", ".join(f"{count:,} {part}" for part, count in supernet.images.items())),
        (
            "supernet",
            f"{sizes_of(supernet.space)}; {supernet.params / 1e6:,.3f} M parameters; recipe {supernet.recipe.name}: "
            f"{supernet.recipe.epochs} epochs, {supernet.steps:,} steps of {supernet.recipe.batch_size} images, "
            f"labels {supernet.recipe.labels}; about {duration(supernet.seconds)}",
        ),
        (
            "search",
            f"{planned.evaluations:,} architectures scored by {recipe.score.get('name', 'angle')}; seconds by angle",
        ),
    ]
    if retrained is None:
        why = "the images have no labels" if not settled.data.labelled else "--retrain-top 0"
        rows.append(("retrain", f"nothing: {why}; the network is exported untrained"))
    else:
        each = f"{retrained.recipe['epochs']} epochs, {retrained.steps:,} steps, about {duration(retrained.seconds)}"
        middle = f"one of middle cost has {retrained.macs / 1e6:,.3f} M multiply-adds"
        rows.append(("retrain", f"{planned.top} from scratch, each {each} ({middle})"))
    rows.append(("time", f"about {duration(planned.seconds)} in all, from a few steps on this device"))
    rows += [("note", note) for note in dict.fromkeys(settled.notes)]
    print_columns(rows)
    return 0


def show_method(run_dir: Path, *, as_json: bool = False) -> int:
    """Print what a method has come to and write its page."""
    from frugalnas.report.methods import method_numbers, method_report, read_method
    from frugalnas.runs.watching import duration

    if as_json:
        print(to_json(method_numbers(run_dir), indent=2))
        return 0
    run = read_method(run_dir)
    rows: list[tuple[str, str]] = []
    result = run.result
    if result is not None:
        winner = result["candidates"][result["winner"]]
        unit = " rad" if run.method.recipe["score"].get("name", "angle") == "angle" else ""
        rows.append(("architecture", result["architecture"]))
        rows.append((run.method.recipe["score"].get("name", "angle"), f"{winner['score']:.4g}{unit}; {result['how']}"))
        rows += [(name, shown_amount(name, winner[name])) for name in ("params", "macs")]
        if winner.get("test") is not None:
            rows.append(("test accuracy", f"{winner['test']:.2f} %"))
        if winner.get("val") is not None:
            rows.append(("validation", f"{winner['val']:.2f} %"))
        if not result["trained"]:
            why = "the images have no labels" if not run.method.labelled else "nothing was to be retrained"
            rows.append(("not trained", f"{why}; with labels: frugalnas train {run_dir} --data FOLDER"))
    for stage in run.stages:
        done = "" if stage.finished else "; not finished"
        rows.append((stage.name, f"{duration(stage.seconds)}{done}"))
    if run.failure is not None:
        rows.append(("failed", f"stage {run.failure['stage']}: {run.failure['error']}"))
        rows.append(("settings", f"of what has not begun: frugalnas resume {run_dir} --set STAGE.NAME=VALUE"))
    if result is None:
        rows.append(unfinished(run_dir))
    rows.append(("run folder", str(run_dir)))
    rows.append(("page", str(method_report(run_dir)[0])))
    if result is not None:
        rows.append(("exported", ", ".join(str(run_dir / path) for path in result["exported"])))
        rows += [("note", note) for note in result["notes"]]
        if result["trained"]:
            rows.append(("network", f"frugalnas predict, evaluate and export take {run_dir}"))
    print_columns(rows)
    return 0
