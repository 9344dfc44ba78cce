"""What a user did that cannot work, said with the way out.

Everything that a person can mend derives from `FrugalnasError`; the command line prints such an error as one line and
exits with 2. Anything else that escapes is a bug in frugalnas.

A message names arguments as Python does, in backticks: "raise `queries` or lower `initial`". What prints it passes it through
`worded`, by which the command line calls them as they are typed there.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import ContextVar
from difflib import get_close_matches

LONGEST_MESSAGE = 2_000
"""Characters that are kept of an error's message."""
CUT = "... (cut off)"
LONGEST_CHAIN = 20
"""Causes of causes that are looked at."""

_TORCH = (
    "lightning_fabric",
    "lmdb",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "safetensors",
    "tensorboard",
    "timm",
    "torch",
)
_EXTRAS = {**dict.fromkeys((*_TORCH, "torchvision"), "torch"), "openvino": "openvino"}
"""Which extra of the package brings a module."""


class FrugalnasError(ValueError):
    """A request that cannot be met; the message says what to do instead."""


class SpaceTooLarge(FrugalnasError):
    """The space has too many architectures to list them all."""


class DamagedTable(FrugalnasError):
    """A table's files are not what its manifest says."""


class Diverged(FrugalnasError):
    """A training whose loss, weights or running statistics are no longer finite: nothing that comes of it is a result."""


class RunFolderError(FrugalnasError):
    """A run folder that is missing, taken, or does not fit the request."""


class Surroundings(FrugalnasError):
    """The machine failed, not what was asked of it: a full disk, no memory, no permission, too few file handles.

    It says nothing about an architecture, so that nothing is journaled; the same request may succeed later.
    """


_MENDS = {
    **dict.fromkeys(("ENOSPC", "EDQUOT"), "make room there and run it again"),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), "allow writing there, or choose another folder"),
    **dict.fromkeys(("EMFILE", "ENFILE"), "allow more open files (ulimit -n) or use fewer workers"),
    **dict.fromkeys(("ENOMEM",), "free some memory or use fewer workers"),
    **dict.fromkeys(("EIO", "ESTALE", "ENODEV", "ENXIO", "ENOLCK"), "check the disk or its connection"),
    **dict.fromkeys(("ENAMETOOLONG",), "choose a shorter name"),
    **dict.fromkeys(("EFBIG",), "allow larger files (ulimit -f)"),
}
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")
"""How NumPy says that a disk is full."""
_MENDS_BY_NUMBER = {getattr(errno, name): mend for name, mend in _MENDS.items() if hasattr(errno, name)}


def surroundings(error: BaseException, draft: object = "", path: object = "") -> Surroundings | None:
    """What the machine lacks, as one line with the mend; None where an error is no fault of the surroundings.

    Libraries that write by themselves (safetensors, torch, Arrow) wrap the operating system's error in their own: its number is
    then only in their words, or in the error's cause.

    Args:
        error: as it was caught.
        draft: what was being written.
        path: what it would have become, which the line names in its place, or where the error names nothing.
    """
    seen: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if seen is None:
            break
        if isinstance(seen, Surroundings):
            return seen
        if isinstance(seen, MemoryError):
            return Surroundings("the machine's memory is used up; free some memory or use fewer workers")
        number = seen.errno if isinstance(seen, OSError) else None
        if (number is None and isinstance(seen, (OSError, RuntimeError))) or type(seen).__name__ == "SafetensorError":
            number = next((known for known in _MENDS_BY_NUMBER if os.strerror(known) in told(seen)), None)
            if number is None and _CUT_SHORT.search(told(seen)):
                number = errno.ENOSPC
        if number is not None and number in _MENDS_BY_NUMBER:
            named = (isinstance(seen, OSError) and seen.filename) or path
            place = f"{named}".replace(f"{draft}", f"{path}") if draft else f"{named}"
            place = f"{place}: " if place else ""
            return Surroundings(f"{place}{os.strerror(number)}; {_MENDS_BY_NUMBER[number]}")
        seen = seen.__cause__
    return None


def told(error: BaseException) -> str:
    """What an exception says, after the name of its class where it is not our own; text that can be printed and kept.

    Example:
        >>> told(KeyError("seed")), told(FrugalnasError("raise `queries`"))
        ("KeyError: 'seed'", 'raise `queries`')
    """
    name = type(error).__name__
    try:
        said = str(error)
    except Exception:  # anybody's exception may fail to print itself
        return f"{name} (its message cannot be printed)"
    return printable(said if said and isinstance(error, FrugalnasError) else f"{name}: {said}" if said else name)


def printable(text: str) -> str:
    """Text as every terminal and file takes it: no half characters, and of a very long one the beginning."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= LONGEST_MESSAGE else f"{whole[: LONGEST_MESSAGE - len(CUT)]}{CUT}"


def a(noun: str) -> str:
    """A noun with its article: "an assessment"."""
    return f"a{'n' * (noun[:1] in 'aeiou')} {noun}"


def at_least(least: float, **values: float | None) -> None:
    """Refuse numbers below a bound, and what is no number; None is none."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise FrugalnasError(f"{name} is {value}; it is at least {least:g}")


def quoted(text: str, most: int = 80) -> str:
    """A text in quotation marks, of a long one the beginning."""
    return repr(text if len(text) <= most else text[: most - 3] + "...")


def unknown_name(kind: str, name: object, choices: Iterable[str], hint: str = "") -> FrugalnasError:
    """The error for a name that is not among `choices`: it lists them, nearest first where one is close."""
    listed = list(choices)
    if not listed:
        return FrugalnasError(f"unknown {kind} {name!r}; there are none{hint}")
    begun = [choice for choice in listed if name and choice.startswith(str(name))]
    near = begun if len(begun) == 1 else get_close_matches(str(name), listed, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return FrugalnasError(f"unknown {kind} {name!r}; {guess}choose one of: {', '.join(listed)}{hint}")


def one_of(kind: str, name: object, choices: Collection[str], hint: str = "") -> None:
    """Refuse a name that is not among the choices; see `unknown_name`."""
    if name not in choices:
        raise unknown_name(kind, name, choices, hint)


def each_once(argument: str, names: Sequence[str], such: str) -> tuple[str, ...]:
    """Names in a row as a tuple.

    Args:
        argument: what they were given as.
        names: that were given; a text by itself is refused, and one that is there twice.
        such: an example of what to give.
    """
    if isinstance(names, str):
        raise FrugalnasError(f"{argument} is {names!r}; give a tuple of {such}")
    if len(set(names)) < len(tuple(names)):
        raise FrugalnasError(f"{argument} {', '.join(names)}: name each once")
    return tuple(names)


def expect(value: object, kind: type | tuple[type, ...], noun: str, such: str) -> None:
    """Refuse an argument that is something else.

    Args:
        value: that was given.
        kind: of which it must be.
        noun: what that is called.
        such: what to give instead.
    """
    if not isinstance(value, kind):
        raise FrugalnasError(f"{printable(repr(value))} is no {noun}; give {such}")


def missing_extra(error: ModuleNotFoundError) -> FrugalnasError | None:
    """The error that says which line installs a module that is not there; None where no extra of frugalnas brings it."""
    module = (error.name or "").partition(".")[0]
    if module not in _EXTRAS:
        return None
    return FrugalnasError(f"this needs {module}; install it with: python -m pip install 'frugalnas[{_EXTRAS[module]}]'")


NAMED = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)`(?:=([\w.\[\]+-]*[\w\]]))?")
"""An argument in a message: its name, and the value that it is given there, if any."""
_WORDING: ContextVar[Callable[[str], str]] = ContextVar("frugalnas.wording", default=str)


def worded(text: str) -> str:
    """A message whose arguments are called as whoever reads it has typed them."""
    return _WORDING.get()(text)


def word_by(wording: Callable[[str], str]) -> None:
    """Have messages of this context worded by a function from now on."""
    _WORDING.set(wording)
