"""`frugalnas experiment`: the papers' studies, each a few commands that anybody could type, kept in one folder."""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from frugalnas.cli.parsing import command_actions, option
from frugalnas.cli.text import print_columns
from frugalnas.documents import misfit
from frugalnas.errors import FrugalnasError, one_of
from frugalnas.recipe_files import names_in, yaml_named

Steps = dict[str, list[str]]
"""The arguments of each command, by the name of its step, which is that of its folder too."""
DECIDES = "name"
OWN = ("--out", "--dry-run", "--steps", "--run-dir", "--help", "--trust", "-h")
"""Options that commands have, too, but which are here the study's."""
GO_ON = ("--quiet", "--jobs", "--trust")
"""Those that `frugalnas resume` takes too."""


class _Passed(argparse.Action):
    """Keeps an option with its words, for the commands that have it."""

    def __call__(
        self, parser: argparse.ArgumentParser, parsed: argparse.Namespace, values: Any, typed: str | None = None
    ) -> None:
        words = [values] if isinstance(values, str) else values
        parsed.passed = [*parsed.passed, (typed, [str(typed), *words])]


class _Misplaced(argparse.Action):
    """Refuses a folder for a single command."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        parser.error("--run-dir: steps lie in the folder of the experiment; choose that with --out")


def candidates(words: Sequence[str | None]) -> list[str | None]:
    """The study that is meant by words, some of which are values of options."""
    known = experiment_names()
    return [next((word for word in words if word in known or Path(word or "").suffix in (".yaml", ".yml")), words[0])]


def add(parser: argparse.ArgumentParser, name: str | None = None) -> None:
    """Add what the command takes, with the options that the commands of a study have."""
    parser.description = (
        "Run a study: its commands one after the other, each into a folder of its own. What is finished is not run "
        "again, what was interrupted goes on. Options override those of every command of the study that has them. "
        "Without a name the studies are listed."
    )
    parser.epilog = "Example: frugalnas experiment ssnenas-fine-tuning-nasbench201 --trials 4 --jobs 2"
    option(parser, "name NAME", "of a study, or a YAML file like those that come with it", nargs="?")
    option(parser, "--out FOLDER", "for the study, a folder a step [runs/NAME]", Path)
    option(parser, "--dry-run", "only say which commands it is", bool)
    option(parser, "--steps A,B,...", "only these")
    parser.add_argument("--run-dir", action=_Misplaced, help=argparse.SUPPRESS)
    parser.set_defaults(run=run, passed=[])
    if name is None:
        return
    experiment = read_experiment(name)
    steps = steps_of(experiment, Path("runs"))
    parser.description = experiment["about"]
    parser.epilog = f"Steps: {', '.join(steps)}."
    group = parser.add_argument_group("options of its commands")
    added = set(OWN)
    for action in (each for command in steps.values() for each in command_actions(command)):
        names = [each for each in action.option_strings if each not in added]
        added.update(names)
        if names:
            metavar = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else names[0][2:].upper())
            group.add_argument(
                *names, action=_Passed, nargs=action.nargs, metavar=metavar, help=action.help, dest="passed"
            )


def run(parsed: argparse.Namespace) -> int:
    """List the studies, or run one."""
    from frugalnas.cli.main import main

    if parsed.name is None:
        print_columns([[name, read_experiment(name)["about"]] for name in experiment_names()])
        return 0
    experiment = read_experiment(parsed.name)
    out = parsed.out or Path("runs") / Path(parsed.name).stem
    steps = steps_of(experiment, out)
    wanted = list(steps) if parsed.steps is None else [name.strip() for name in parsed.steps.split(",")]
    for name in wanted:
        one_of(f"step of {parsed.name}", name, steps)
    commands = _commands(steps, [*parsed.passed, *[("--trust", ["--trust"])] * parsed.trust], out)
    print(f"{parsed.name}: {experiment['about']}\nfrom: {experiment['source']}", file=sys.stderr)
    for name in steps:
        if name in wanted:
            line = f"frugalnas {shlex.join(commands[name])}"
            print(line if parsed.dry_run else f"\n{line}", file=sys.stdout if parsed.dry_run else sys.stderr)
            code = 0 if parsed.dry_run else main(commands[name])
            if code:
                return code
    return 0


def experiment_names() -> list[str]:
    """The studies that come with frugalnas."""
    return names_in(_folder())


def read_experiment(name: str) -> dict[str, Any]:
    """What a study's file says: source, about, steps, and where steps are repeated, each.

    Raises:
        FrugalnasError: where there is no such study, or its file says something else.
    """
    content: dict[str, Any] = yaml_named(name, _folder(), "experiment")
    if misfit(content, {"source": str, "about": str, "steps": dict[str, str], "each?": dict[str, list[Any]]}):
        raise FrugalnasError(
            f"the experiment {name} needs source, about and steps, each a line such as `predictors: compare-predictors gin`"
        )
    return content


def steps_of(experiment: dict[str, Any], out: Path) -> Steps:
    """The commands of a study whose folder is `out`.

    In a command `{NAME}` stands for the folder of the step of this name, with `*` in it for those of all earlier ones that
    it fits, such as `{supernet-*}`. A step whose name has `{KEY}` in it is there once for
    every value that the study's `each` has for the key, and its command has the value in the same places.
    """
    each, texts = experiment.get("each") or {}, {}
    for name, text in experiment["steps"].items():
        keys = [key for key in each if f"{{{key}}}" in name]
        for values in itertools.product(*(each[key] for key in keys)):
            chosen = dict(zip(keys, values, strict=True))
            texts[_filled(name, chosen)] = _filled(text, chosen)
    folders: dict[str, str] = {}
    steps = {}
    for name, text in texts.items():
        for pattern in re.findall(r"\{([^{}]*\*[^{}]*)\}", text):
            meant = [folders[each] for each in fnmatch.filter(folders, pattern)]
            if not meant:
                raise FrugalnasError(f"the step {name} asks for {{{pattern}}}, but no step before it has such a name")
            text = text.replace(f"{{{pattern}}}", " ".join(meant))
        text = _filled(text, folders)
        for later in texts:
            if f"{{{later}}}" in text:
                raise FrugalnasError(f"the step {name} asks for {{{later}}}, which comes after it; change their order")
        steps[name] = shlex.split(text)
        folders[name] = shlex.quote(str(out / name))
    return steps


def _filled(text: str, values: Mapping[str, Any]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", str(value))
    return text


def _commands(steps: Steps, typed: Sequence[tuple[str, list[str]]], out: Path) -> Steps:
    """Each command into its folder, with the options that it has of those that were typed; argparse takes the last of two.

    Where the folder has a run, it goes on, with what `frugalnas resume` takes of the options.
    """
    commands = {}
    for name, command in steps.items():
        known = {each for action in command_actions(command) for each in action.option_strings}
        whole = [*command, *(word for each, words in typed if each in known for word in words)]
        if (out / name / "config.yaml").is_file():
            kept = dict(each for each in _options(whole) if each[0] in GO_ON)
            commands[name] = ["resume", str(out / name), *itertools.chain(*kept.values())]
        else:
            commands[name] = [*whole, "--run-dir" if "--run-dir" in known else "--out", str(out / name)]
    return commands


def _options(words: list[str]) -> list[tuple[str, list[str]]]:
    """The options among words, each with the words from it to the next."""
    places = [place for place, word in enumerate(words) if word.startswith("--")]
    spans = itertools.pairwise([*places, len(words)])
    return [(words[start].partition("=")[0], words[start:end]) for start, end in spans]


def _folder() -> Any:
    return files("frugalnas").joinpath("cli", "experiments")
