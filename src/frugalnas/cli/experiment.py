"""`frugalnas experiment`: the papers' studies, each a few commands that anybody could type, kept in one folder."""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from frugalnas.cli.text import print_columns
from frugalnas.errors import FrugalnasError, unknown_name

__all__ = ["add", "experiment_names", "read_experiment", "steps_of"]

Steps = dict[str, list[str]]
"""The arguments of each command, by the name of its step, which is that of its folder too."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run a study: its commands one after the other, each into a folder of its own. What is finished is not run "
        "again, what was interrupted goes on. Options override those of every command of the study that has them. "
        "Without a name the studies are listed."
    )
    parser.epilog = "Example: frugalnas experiment ssnenas-fine-tuning-nasbench201 --trials 4 --jobs 2"
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="of a study, or a YAML file like those that come with it"
    )
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="OPTIONS",
        help="--out FOLDER: for the study [runs/NAME]; --dry-run: only say which commands it is; --steps A,B: only these; any "
        "other option goes to the commands",
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """List the studies, or run one."""
    if parsed.name is None:
        rows = [[name, read_experiment(name)["about"]] for name in experiment_names()]
        print_columns(rows)
        return 0
    experiment = read_experiment(parsed.name)
    own = argparse.ArgumentParser(
        prog=f"frugalnas experiment {parsed.name}",
        usage="%(prog)s [OPTIONS]",
        allow_abbrev=False,
        description=experiment["about"].replace("%", "%%"),
        epilog=f"Steps: {', '.join(steps_of(experiment, Path()))}. Other options go to the commands that have them.",
    )
    out = Path("runs") / Path(parsed.name).stem
    own.add_argument("--out", type=Path, default=out, metavar="FOLDER", help=f"for the study, a folder a step [{out}]")
    own.add_argument("--dry-run", action="store_true", help="only say which commands it is")
    own.add_argument("--steps", metavar="A,B,...", help="only these")
    chosen, overrides = own.parse_known_args(parsed.options)
    steps = _overridden(steps_of(experiment, chosen.out), _grouped(overrides))
    if chosen.steps is not None:
        wanted = [name.strip() for name in chosen.steps.split(",")]
        for name in wanted:
            if name not in steps:
                raise unknown_name(f"step of {parsed.name}", name, steps)
        steps = {name: steps[name] for name in steps if name in wanted}
    print(f"{parsed.name}: {experiment['about']}\nfrom: {experiment['source']}", file=sys.stderr)
    for name, command in steps.items():
        code = _carry_out(chosen.out / name, command, chosen.dry_run)
        if code:
            return code
    return 0


def experiment_names() -> list[str]:
    """The studies that come with frugalnas."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml"))


def read_experiment(name: str) -> dict[str, Any]:
    """What a study's file says: source, about, steps, and where steps are repeated, each.

    Raises:
        FrugalnasError: where there is no such study, or its file says something else.
    """
    from frugalnas.recipe_files import yaml_value

    own = _folder().joinpath(f"{name}.yaml")
    if "/" not in name and own.is_file():
        text = own.read_text(encoding="utf-8")
    elif Path(name).suffix in (".yaml", ".yml"):
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FrugalnasError(f"the experiment {name} cannot be read: {error}") from None
    else:
        raise unknown_name("experiment", name, experiment_names(), ", or give a .yaml file")
    content = yaml_value(text, name)
    fits = isinstance(content, dict) and {"source", "about", "steps"} <= content.keys()
    if not fits or not isinstance(content["steps"], dict) or not all(map(_is_text, content["steps"].values())):
        raise FrugalnasError(
            f"the experiment {name} needs source, about and steps, each a line such as `predictors: compare-predictors gin`"
        )
    return dict(content)


def steps_of(experiment: dict[str, Any], out: Path) -> Steps:
    """The commands of a study whose folder is `out`.

    In a command `{NAME}` stands for the folder of the step of this name. A step whose name has `{KEY}` in it is there once for
    every value that the study's `each` has for the key, and its command has the value in the same places.
    """
    each = experiment.get("each") or {}
    texts: dict[str, str] = {}
    for name, text in experiment["steps"].items():
        for values in _choices(each, name):
            texts[_filled(name, values)] = _filled(text, values)
    folders = {name: shlex.quote(str(out / name)) for name in texts}
    return {name: shlex.split(_filled(text, folders)) for name, text in texts.items()}


def _choices(each: dict[str, list[Any]], name: str) -> Iterator[dict[str, str]]:
    """The values of the keys that stand in a step's name, in every combination."""
    keys = [key for key in each if f"{{{key}}}" in name]
    for values in itertools.product(*(each[key] for key in keys)):
        yield {key: str(value) for key, value in zip(keys, values, strict=True)}


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _grouped(overrides: Sequence[str]) -> list[list[str]]:
    """Options with the values that follow each."""
    groups: list[list[str]] = []
    for argument in overrides:
        if argument.startswith("--"):
            groups.append([argument])
        elif groups:
            groups[-1].append(argument)
        else:
            raise FrugalnasError(f"{argument!r} is no option; an experiment's options begin with --")
    return groups


def _overridden(steps: Steps, groups: list[list[str]]) -> Steps:
    """Each command with the options that it has; argparse takes the last of two."""
    from frugalnas.cli.parsing import command_options

    for group in groups:
        if group[0].partition("=")[0] in _PLACES:
            raise FrugalnasError(f"{group[0]}: steps lie in the folder of the experiment; choose that with --out")
    known = {name: command_options(command) for name, command in steps.items()}
    for group in groups:
        if not any(group[0].partition("=")[0] in options for options in known.values()):
            every = {option for options in known.values() for option in options if option.startswith("--")}
            own = ("--out", "--dry-run", "--steps")
            raise unknown_name("option of this experiment", group[0], [*own, *sorted(every - {*own, *_PLACES})])
    return {
        name: [*command, *(word for group in groups if group[0].partition("=")[0] in known[name] for word in group)]
        for name, command in steps.items()
    }


def _carry_out(folder: Path, command: list[str], dry_run: bool) -> int:
    from frugalnas.cli.main import main
    from frugalnas.cli.parsing import command_options

    if (folder / "config.yaml").is_file():
        command = ["resume", str(folder), *_kept(command)]
    else:
        command = [*command, "--run-dir" if "--run-dir" in command_options(command) else "--out", str(folder)]
    line = f"frugalnas {shlex.join(command)}"
    if dry_run:
        print(line)
        return 0
    print(f"\n{line}", file=sys.stderr)
    return main(command)


def _kept(command: list[str]) -> list[str]:
    """What of a command's options `frugalnas resume` takes too."""
    kept = ["--quiet"] if "--quiet" in command else []
    if "--jobs" in command[:-1]:
        last = len(command) - 1 - command[::-1].index("--jobs")
        kept += command[last : last + 2]
    return kept


_PLACES = ("--run-dir", "--help")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _folder() -> Any:
    return files("frugalnas").joinpath("cli", "experiments")
