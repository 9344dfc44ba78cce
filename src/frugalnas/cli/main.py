"""The entry point: finds the command, runs it, and turns errors into one line."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from typing import Any, NoReturn

import frugalnas
from frugalnas.amounts import number, whole
from frugalnas.cli import (
    compare,
    compare_predictors,
    correlate,
    count,
    data,
    draw,
    encodings,
    experiment,
    export,
    landscape,
    pretrain,
    report,
    rlnas,
    runs,
    score,
    search,
    supernet,
    table,
    train,
)
from frugalnas.cli import (
    list as listing,
)
from frugalnas.errors import FrugalnasError, missing_extra, surroundings, unknown_name
from frugalnas.trust import command_line

__all__ = ["command_options", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a command: 0, 1 where a check found damage, 2 for what the user can mend, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of folders that are no UTF-8
    try:
        with warnings.catch_warnings(), command_line(arguments, trusting="--trust" in arguments):
            warnings.showwarning = _warned  # type: ignore[assignment]  # takes what it does not use by position
            parsed = _parsed(arguments)
            code = int(parsed.run(parsed) or 0)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("frugalnas: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        known = error if isinstance(error, FrugalnasError) else surroundings(error)
        if isinstance(error, ModuleNotFoundError):
            known = missing_extra(error)
        if known is None:
            raise
        print(f"frugalnas: {known}", file=sys.stderr)
        return 2


def _warned(message: Warning | str, *where: Any) -> None:
    """A warning as one line; the place in the code says nothing to whoever types a command."""
    print(f"frugalnas: {message}", file=sys.stderr)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments by name.

    Where a list may be empty, argparse takes it for empty at the first option: `score RUN --score angle ARCH` leaves ARCH
    over. It belongs to the list that the command names as its `rest`.
    """
    parser = _parser(arguments)
    parsed, left = parser.parse_known_args(arguments)
    rest = getattr(parsed, "rest", None)
    if left and (rest is None or any(argument.startswith("-") for argument in left)):
        near = get_close_matches(left[0].partition("=")[0], command_options(arguments), n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise FrugalnasError(
            f"unrecognized arguments: {' '.join(left)}{guess} (frugalnas {arguments[0]} --help lists what there is)"
        )
    if left and rest is not None:
        getattr(parsed, rest).extend(left)
    return parsed


def command_options(arguments: Sequence[str]) -> set[str]:
    """The options that a command has: `--seed`, `--out`, ..."""
    commands = _commands(_Parser(), arguments)
    if not arguments or arguments[0] not in commands.choices:
        raise unknown_name("command", " ".join(arguments[:1]), commands.choices)
    return set(commands.choices[arguments[0]]._option_string_actions)


class _Parser(argparse.ArgumentParser):
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


def _told(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, with its own error shown where argparse would only say that a value is invalid."""

    def told(text: str) -> Any:
        try:
            return read(text)
        except FrugalnasError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return told


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="frugalnas",
        description="Find good neural architectures cheaply.",
        epilog="Begin with `frugalnas search` (a benchmark, seconds) or `frugalnas rlnas --data FOLDER` (your images); "
        "`frugalnas COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"frugalnas {frugalnas.__version__}")
    _commands(parser, arguments)
    return parser


def _commands(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> Any:
    """Add every command, and return them by name."""
    commands = parser.add_subparsers(metavar="COMMAND")
    search.add(commands, arguments)
    train.add(commands)
    runs.add(commands)
    compare.add(commands)
    compare_predictors.add(commands)
    score.add(commands)
    correlate.add(commands)
    report.add(commands)
    count.add(commands)
    draw.add(commands)
    rlnas.add(commands)
    supernet.add(commands)
    pretrain.add(commands)
    export.add(commands)
    data.add(commands)
    table.add(commands)
    encodings.add(commands)
    landscape.add(commands)
    experiment.add(commands)
    listing.add(commands)
    _add_trust(commands)
    return commands


def _add_trust(commands: Any) -> None:
    """Give every command that opens files the option to trust them, which `main` looks for."""
    for name, command in commands.choices.items():
        inner = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
        for further in inner:
            _add_trust(further)
        if not inner and name not in ("show", "list"):
            command.add_argument(
                "--trust",
                action="store_true",
                help="import and run what files name beyond registered parts (only for files whose author you trust)",
            )
