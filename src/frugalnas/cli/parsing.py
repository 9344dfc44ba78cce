"""The commands by name, and what is typed as arguments by name: only the module of the command that is typed is imported."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import frugalnas
from frugalnas.amounts import number, whole
from frugalnas.errors import NAMED, FrugalnasError, one_of

COMMANDS = {
    "search": "search a space with a strategy",
    "train": "train an architecture from scratch on images",
    "evaluate": "how good a trained network is on images",
    "predict": "the classes of pictures",
    "resume": "continue an interrupted search, comparison, training or method",
    "show": "what a run found",
    "runs": "list runs, rank what one found",
    "compare": "compare strategies over seeds",
    "compare-predictors": "how well predictors rank what they have not seen, by labels",
    "score": "rank architectures by what a trained supernet, or none, says of them",
    "shrink": "a space without the operators that are worth least, by a supernet or a table",
    "compare-shrinking": "what is left of a space by several scores, judged by a table",
    "correlate": "how supernets rank a table",
    "robustness": "how one supernet ranks several data sets",
    "report": "further figures of a run",
    "count": "parameters and multiply-adds of a network, stage by stage",
    "fit": "the largest width with which a network stays within a budget",
    "measure-latency": "a latency table of this machine for a space",
    "draw": "an architecture as a picture, SVG and PNG",
    "rlnas": "find an architecture for images without labels, then train it",
    "spos": "find an architecture by its accuracy in a supernet of single paths, then train it",
    "fairnas": "the same, with a supernet whose every step trains all choices equally",
    "abs": "shrink a space by the angles of its operators, search what is left, then train the winner",
    "supernet": "train the supernet of a space",
    "pretrain": "pre-train a predictor's encoder on the architectures of a space",
    "export": "a trained network as ONNX, torch.export or safetensors",
    "weights": "published checkpoints: import",
    "data": "images: info, list, pack",
    "table": "tabular benchmarks: list, info, import, doctor",
    "encodings": "dimension, distinct codes and collisions of a space's encodings",
    "landscape": "how accuracies differ with distance in a table's space",
    "samplers": "how far samples are from the space they are drawn from",
    "experiment": "run a study of the papers, or list them",
    "completion": "completion of commands and options in a shell",
    "list": "spaces, strategies, predictors and tables, one line each",
}
"""What each command does. `frugalnas.cli.<command>` has `add`, which fills the command's parser; see `_TOGETHER`.

Where the options of a command depend on one of its arguments, its module names this one in `DECIDES`, and has `candidates`: what
the argument may be, the likeliest first, given all words that could be it. `add` then takes what it is, too.
"""
_TOGETHER = {
    "trained": ("evaluate", "predict", "export"),
    "networks": ("count", "fit", "draw", "measure-latency"),
    "runs": ("show", "resume", "report"),
    "trainings": ("train", "supernet", "pretrain"),
    "correlate": ("robustness",),
    "compare": ("compare-predictors",),
    "spaces": ("encodings", "landscape", "samplers"),
    "method": ("rlnas", "spos", "fairnas", "abs"),
}
"""Modules of several commands, each of which `add_<command>` fills; methods, also those of other packages, have one `add`."""
_KEEP_TO_THEMSELVES = ("show", "list")
"""Commands that import nothing that a file names."""
_HELP = ("-h", "--help")
_MEANT = dict.fromkeys(("--constraint", "--constraints", "--limit", "--limits"), "--where")
"""Options that other programs have, and what they are called here."""


class Parser(argparse.ArgumentParser):
    """One whose numbers are written as people write them, and whose errors are one line."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", int, _told(whole))
        self.register("type", float, _told(number))

    def add_subparsers(self, **options: Any) -> Any:
        """Commands, of which one that is left out is asked for by showing which there are."""
        self.set_defaults(run=lambda parsed: self.print_help())
        return super().add_subparsers(**options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where the options are listed."""
        self.exit(2, f"frugalnas: {message} ({self.prog} --help lists what there is)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction):
            one_of(f"command of {self.prog}", value, action.choices)
        super()._check_value(action, value)

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The arguments by name and what is left over; those of a list may stand on both sides of an option."""
        if any(action.nargs in ("*", "+") and not action.option_strings for action in self._actions):
            return self.parse_known_intermixed_args(arguments)
        return self.parse_known_args(arguments)


def option(
    to: argparse._ActionsContainer, typed: str, does: str | None = None, kind: Any = str, **further: Any
) -> argparse.Action:
    """Add an option, or an argument that has no dashes, to a command or to a group of its options.

    Args:
        to: the command's parser, or the group.
        typed: its names, then what stands for its value: "--input --input-size PIXELS", "run_dir RUN".
        does: what it does, for `--help`.
        kind: what reads its text; bool: it is there or not; list: it may be repeated; a tuple: what it may be.
        further: of `add_argument`, such as `default`.
    """
    words = typed.split()
    names = [word for word in words if word.startswith("-")] or words[:1]
    if len(words) > len(names):
        further["metavar"] = words[-1]
    if kind is bool:
        further["action"] = "store_true"
    elif kind is list:
        further = {"action": "append", "default": [], **further}
    elif isinstance(kind, tuple):
        further["choices"] = kind
    elif kind is not str:
        further["type"] = kind
    return to.add_argument(*names, help=does, **further)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command by name, with `wording`, by which messages call them as they are typed.

    Raises:
        FrugalnasError: for an unknown command or option, naming the one that was meant.
    """
    if not arguments or arguments[0].startswith("-"):
        return overview().parse_args(arguments, argparse.Namespace(wording=str))
    name, *said = arguments
    decides = getattr(_module(name), "DECIDES", "")
    asked = [word for word in said if not decides or word not in _HELP]
    readings = _readings(name, asked)
    unread: tuple[Parser, list[str]] | None = None
    for decided in readings:
        parser = parser_of(name, decided)
        parsed, left = parser.read(asked)
        if left:
            unread = unread or (parser, left)
        elif decided == getattr(parsed, decides, None):
            if asked != said:
                parser.read(said)  # which prints the help
            parsed.wording = wording(_leaf(parser, said))
            return parsed
        elif getattr(parsed, decides) not in readings:
            readings.append(getattr(parsed, decides))
    from difflib import get_close_matches

    parser, left = unread or (parser, said)
    leaf = _leaf(parser, said)
    wrong, options = left[0].partition("=")[0], list(leaf._option_string_actions)
    near = [_MEANT[wrong]] if _MEANT.get(wrong) in options else get_close_matches(wrong, options, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise FrugalnasError(f"unrecognized arguments: {' '.join(left)}{guess} ({leaf.prog} --help lists what there is)")


def command_actions(arguments: Sequence[str]) -> list[argparse.Action]:
    """What a command takes."""
    name, *said = arguments or [""]
    return _leaf(parser_of(name, _readings(name, said)[0]), said)._actions


def parser_of(name: str, decided: str | None = None) -> Parser:
    """The parser of a command, with the options that depend on what one of its arguments is, where this is known."""
    parser = Parser(prog=f"frugalnas {name}")
    _fill(name, parser, decided)
    return parser


def _fill(name: str, parser: argparse.ArgumentParser, decided: str | None = None) -> None:
    """Add what a command takes to its parser."""
    module = _module(name)
    of = name if module.__name__ == "frugalnas.cli.method" else None
    add = getattr(module, f"add_{name.replace('-', '_')}", None) or module.add
    add(parser, *(each for each in (of, decided) if each is not None))
    _add_trust(name, parser)


def _module(name: str) -> Any:
    """The module of a command."""
    alone = name.replace("-", "_") if name in COMMANDS else "method"
    held = next((module for module, commands in _TOGETHER.items() if name in commands), alone)
    if held == "method":
        from frugalnas.registry import METHODS

        one_of("command", name, {**COMMANDS, **METHODS.targets})
    return importlib.import_module(f"frugalnas.cli.{held}")


def _readings(name: str, said: Sequence[str]) -> list[str | None]:
    """What the argument may be that decides about further options; None alone where none does."""
    module = _module(name)
    if not hasattr(module, "DECIDES"):
        return [None]
    parser = parser_of(name)
    parser.allow_abbrev = False  # an option to come may be the beginning of one that is there
    parsed, left = parser.read([word for word in said if word not in _HELP])
    words = [getattr(parsed, module.DECIDES), *(word for word in left if not word.startswith("-"))]
    return list(dict.fromkeys(module.candidates(words)))


def overview(*, filled: bool = False) -> Parser:
    """The parser of no command, whose help lists them; on request it knows what each takes."""
    parser = Parser(
        prog="frugalnas",
        description="Find good neural architectures cheaply.",
        epilog="Begin with `frugalnas search` (a benchmark, seconds) or `frugalnas rlnas --data FOLDER` (your images); "
        "`frugalnas COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"frugalnas {frugalnas.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, does in COMMANDS.items():
        command = commands.add_parser(name, help=does, add_help=filled)
        if filled:
            _fill(name, command)
    return parser


def inner_commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The commands beneath a command."""
    kinds = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return kinds[0].choices if kinds else {}


def _leaf(parser: argparse.ArgumentParser, said: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the innermost command that is typed."""
    named = next((word for word in said if word in inner_commands(parser)), None)
    return parser if named is None else _leaf(inner_commands(parser)[named], said)


def _add_trust(name: str, parser: argparse.ArgumentParser) -> None:
    """Give every command that opens files the option to trust them, which `main` looks for."""
    for inner, further in inner_commands(parser).items():
        _add_trust(inner, further)
    if not inner_commands(parser) and name not in _KEEP_TO_THEMSELVES:
        parser.add_argument(
            "--trust",
            action="store_true",
            help="import and run what files name beyond registered parts (only for files whose author you trust)",
        )


def _told(read: Callable[[str], float]) -> Callable[[str], float]:
    """What reads numbers, its own error shown where argparse would only say that a value is invalid."""

    def told(text: str) -> float:
        try:
            return read(text)
        except FrugalnasError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return told


# -- wording -----------------------------------------------------------------------------------------------------------


def wording(parser: argparse.ArgumentParser) -> Callable[[str], str]:
    """How a command calls the arguments that a message names in backticks: `queries` is --queries, if it has that option.

    What is no option is a setting, if it is one that the command takes: `predictor.members` is --set predictor.members.
    """
    typed: dict[str, str] = {}
    for action in parser._actions:
        long = next((option for option in action.option_strings if option.startswith("--")), "")
        for name in (action.dest.removeprefix("option_"), *(option[2:] for option in action.option_strings)):
            typed.setdefault(name.replace("-", "_"), long or str(action.metavar or action.dest))
    typed.setdefault("trust", "--trust to the command that carries it out")
    form = next((str(action.metavar) for action in parser._actions if "--set" in action.option_strings), "")

    def named(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name in typed:
            option = parser._option_string_actions.get(typed[name])
            alone = value is None or option is None or option.nargs == 0
            return typed[name] if alone else f"{typed[name]} {value}"
        setting = "." in name if "." in form else bool(form)
        return f"{'--set ' * setting}{name}" + (f"={value}" if value is not None else "")

    return lambda text: NAMED.sub(named, text)
