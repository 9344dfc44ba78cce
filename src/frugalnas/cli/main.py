"""The entry point: finds the command, runs it, and turns errors into one line."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Sequence
from contextvars import copy_context
from io import TextIOWrapper
from typing import Any

from frugalnas.cli.parsing import parse
from frugalnas.errors import FrugalnasError, missing_extra, surroundings, word_by, worded
from frugalnas.trust import command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a command: 0, 1 where a check found damage, 2 for what the user can mend, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of folders that are no UTF-8
    gc.set_threshold(10_000)  # what is imported stays: looking through it again and again takes a twentieth of a search
    return copy_context().run(_main, arguments)  # what is trusted, and how messages are worded, is of this command


def _main(arguments: list[str]) -> int:
    try:
        with warnings.catch_warnings(), command_line(arguments, trusting="--trust" in arguments):
            warnings.showwarning = _warned  # type: ignore[assignment]  # takes what it does not use by position
            parsed = parse(arguments)
            word_by(parsed.wording)
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
        print(f"frugalnas: {worded(str(known))}", file=sys.stderr)
        return 2


def _warned(message: Warning | str, *where: Any) -> None:
    """A warning as one line; the place in the code says nothing to whoever types a command."""
    print(f"frugalnas: {worded(str(message))}", file=sys.stderr)
