"""`frugalnas experiment`: the papers' studies, each a few commands that anybody could type, kept in one folder."""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from frugalnas.cli.parsing import command_options, option
from frugalnas.cli.text import print_columns
from frugalnas.documents import misfit
from frugalnas.errors import FrugalnasError, unknown_name

Steps = dict[str, list[str]]
"""The arguments of each command, by the name of its step, which is that of its folder too."""
PLACES = ("--run-dir", "--help")
"""Options of commands that an experiment has no use for."""
GO_ON = ("--quiet", "--jobs")
"""Those that `frugalnas resume` takes too."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run a study: its commands one after the other, each into a folder of its own. What is finished is not run "
        "again, what was interrupted goes on. Options override those of every command of the study that has them. "
        "Without a name the studies are listed."
    )
    parser.epilog = "Example: frugalnas experiment ssnenas-fine-tuning-nasbench201 --trials 4 --jobs 2"
    option(parser, "name NAME", "of a study, or a YAML file like those that come with it", nargs="?")
    option(
        parser,
        "options OPTIONS",
        "--out FOLDER: for the study [runs/NAME]; --dry-run: only say which commands it is; --steps A,B: only these; any "
        "other option goes to the commands",
        nargs=argparse.REMAINDER,
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """List the studies, or run one."""
    from frugalnas.cli.main import main

    if parsed.name is None:
        print_columns([[name, read_experiment(name)["about"]] for name in experiment_names()])
        return 0
    experiment = read_experiment(parsed.name)
    out = Path("runs") / Path(parsed.name).stem
    own = argparse.ArgumentParser(
        prog=f"frugalnas experiment {parsed.name}",
        usage="%(prog)s [OPTIONS]",
        allow_abbrev=False,
        description=experiment["about"].replace("%", "%%"),
        epilog=f"Steps: {', '.join(steps_of(experiment, out))}. Other options go to the commands that have them.",
    )
    option(own, "--out FOLDER", f"for the study, a folder a step [{out}]", Path, default=out)
    option(own, "--dry-run", "only say which commands it is", bool)
    option(own, "--steps A,B,...", "only these")
    chosen, overrides = own.parse_known_args(parsed.options)
    steps = steps_of(experiment, chosen.out)
    wanted = list(steps) if chosen.steps is None else [name.strip() for name in chosen.steps.split(",")]
    for name in wanted:
        if name not in steps:
            raise unknown_name(f"step of {parsed.name}", name, steps)
    commands = _commands(steps, overrides, chosen.out)
    print(f"{parsed.name}: {experiment['about']}\nfrom: {experiment['source']}", file=sys.stderr)
    for name in steps:
        if name in wanted:
            line = f"frugalnas {shlex.join(commands[name])}"
            print(line if chosen.dry_run else f"\n{line}", file=sys.stdout if chosen.dry_run else sys.stderr)
            code = 0 if chosen.dry_run else main(commands[name])
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
    content: dict[str, Any] = yaml_value(text, name)
    if misfit(content, {"source": str, "about": str, "steps": dict[str, str], "each?": dict[str, list[Any]]}):
        raise FrugalnasError(
            f"the experiment {name} needs source, about and steps, each a line such as `predictors: compare-predictors gin`"
        )
    return content


def steps_of(experiment: dict[str, Any], out: Path) -> Steps:
    """The commands of a study whose folder is `out`.

    In a command `{NAME}` stands for the folder of the step of this name. A step whose name has `{KEY}` in it is there once for
    every value that the study's `each` has for the key, and its command has the value in the same places.
    """
    each, texts = experiment.get("each") or {}, {}
    for name, text in experiment["steps"].items():
        keys = [key for key in each if f"{{{key}}}" in name]
        for values in itertools.product(*(each[key] for key in keys)):
            chosen = dict(zip(keys, values, strict=True))
            texts[_filled(name, chosen)] = _filled(text, chosen)
    folders = {name: shlex.quote(str(out / name)) for name in texts}
    return {name: shlex.split(_filled(text, folders)) for name, text in texts.items()}


def _filled(text: str, values: Mapping[str, Any]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


def _commands(steps: Steps, overrides: list[str], out: Path) -> Steps:
    """Each command into its folder, with the options that it has of those that were typed; argparse takes the last of two.

    Where the folder has a run, it goes on, with what `frugalnas resume` takes of the options.
    """
    if overrides and not overrides[0].startswith("--"):
        raise FrugalnasError(f"{overrides[0]!r} is no option; an experiment's options begin with --")
    known = {name: command_options(command) for name, command in steps.items()}
    typed = _options(overrides)
    for name, _ in typed:
        if name in PLACES:
            raise FrugalnasError(f"{name}: steps lie in the folder of the experiment; choose that with --out")
        if not any(name in options for options in known.values()):
            own = ("--out", "--dry-run", "--steps")
            every = {each for options in known.values() for each in options if each.startswith("--")}
            raise unknown_name("option of this experiment", name, [*own, *sorted(every - {*own, *PLACES})])
    commands = {}
    for name, command in steps.items():
        whole = [*command, *(word for each, words in typed if each in known[name] for word in words)]
        if (out / name / "config.yaml").is_file():
            kept = dict(each for each in _options(whole) if each[0] in GO_ON)
            commands[name] = ["resume", str(out / name), *itertools.chain(*kept.values())]
        else:
            commands[name] = [*whole, "--run-dir" if "--run-dir" in known[name] else "--out", str(out / name)]
    return commands


def _options(words: list[str]) -> list[tuple[str, list[str]]]:
    """The options among words, each with the words from it to the next."""
    places = [place for place, word in enumerate(words) if word.startswith("--")]
    spans = itertools.pairwise([*places, len(words)])
    return [(words[start].partition("=")[0], words[start:end]) for start, end in spans]


def _folder() -> Any:
    return files("frugalnas").joinpath("cli", "experiments")
