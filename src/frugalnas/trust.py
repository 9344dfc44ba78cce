"""What may be imported, and importing it: a file that is loaded names registered parts only, unless a person has said yes to more.

A card, a table's manifest, a recipe or a run's configuration may come from anybody, and importing a module runs it. So an import
path `package.module:name` is followed only where a person typed it on this command line or passed it in Python (`give`), where
the same description was given before (its digest is in the cache), or where the person trusts this file: by `trust=True`, or by
a yes at the terminal. Everything that imports by name asks `allow` first.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeVar

from frugalnas.cache import cache_folder
from frugalnas.errors import FrugalnasError, missing_extra
from frugalnas.limits import most

_PATH = re.compile(r"(?<![\w.:/\\-])[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*(?![\w.:/\\-])")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Untrusted(FrugalnasError):
    """A file names something to import that nobody here has vouched for."""


@dataclass(frozen=True)
class _Will:
    """What the person at the keyboard or in the script has said so far.

    Attributes:
        given: import paths that were typed or passed here, or belong to a description that was allowed.
        trusting: whether whatever is loaded may import.
        asks: whether there is a person to be asked.
        looking: whether nothing at all may be imported any more.
        file: that is being read, None where what comes is the person's own.
    """

    given: frozenset[str] = frozenset()
    trusting: bool = False
    asks: bool = False
    looking: bool = False
    file: str | None = None


_NOTHING_SAID = _Will()
_WILL: ContextVar[_Will] = ContextVar("frugalnas.trust", default=_NOTHING_SAID)


def import_paths(value: Any) -> set[str]:
    """The import paths in plain data, also within longer texts."""
    if isinstance(value, str):
        return set(_PATH.findall(value))
    parts = [*value, *value.values()] if isinstance(value, Mapping) else value
    return {path for part in parts for path in import_paths(part)} if isinstance(parts, (list, tuple)) else set()


def give(*values: Any) -> None:
    """Take the import paths among values for the person's own; while a file is read they are the file's, and nothing happens."""
    will = _WILL.get()
    if will.file is None:
        _WILL.set(replace(will, given=will.given.union(*map(import_paths, values))))


def allow(kind: str, description: Mapping[str, Any]) -> None:
    """Refuse a description that would import what nobody vouched for.

    Args:
        kind: what is to be made, such as "space".
        description: `{"name": ..., "options": {...}}` with the name of an unregistered part, or such names among its options.

    Raises:
        Untrusted: naming the import paths, the files that they would run, and what to add.
    """
    name, will = str(description.get("name")), _WILL.get()
    paths = sorted(import_paths(description.get("options")) | ({name} if ":" in name else set()))
    if not paths:
        return
    where = f"{will.file} names" if will.file else f"this {kind} names"
    if will.looking:
        raise Untrusted(f"{where} {', '.join(paths)}, which is not imported where a file is only looked at")
    known = will.trusting or will.given.issuperset(paths) or _digest(kind, description) in _remembered()
    if not known and will.asks:
        paths = sorted({*paths, *_written_in(will.file)} - will.given)  # one question for all that the file names
        print(f"{where} what loading would import and run:", *_found(paths), sep="\n  ", file=sys.stderr)
        print("Import it? [y/N] ", end="", file=sys.stderr, flush=True)
        known = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not known:
        raise Untrusted(
            f"{where} {', '.join(_found(paths))}, which loading would import and run; if you trust whoever wrote it, add "
            f"`trust`=True"
        )
    remember(kind, description)
    _WILL.set(replace(will, given=will.given.union(paths)))


def remember(kind: str, description: Mapping[str, Any]) -> None:
    """Note in the person's cache that a description is their own, so that what it is written into opens without asking.

    The digest is of the description, its seed apart, and of where its modules lie: the same name with other options, or in
    another folder, is another program. The modules' content is not in it, since people go on writing theirs.
    """
    digest = _digest(kind, description)
    if digest in _remembered():
        return
    with suppress(OSError):  # a cache that cannot be written: the next command asks, which `trust` answers
        _notes().parent.mkdir(parents=True, exist_ok=True)
        with _notes().open("a", encoding="utf-8") as notes:
            notes.write(f"{digest}\n")


@contextmanager
def command_line(arguments: list[str], *, trusting: bool = False) -> Iterator[None]:
    """While a command runs, the import paths typed in it are given."""
    asks = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    with _as(_Will(given=frozenset(import_paths(arguments)), trusting=trusting, asks=asks)):
        yield


@contextmanager
def reading(file: object, *, trust: bool = False) -> Iterator[None]:
    """While a file's content is put to use: what it names is not the person's own."""
    will = _WILL.get()
    with _as(replace(will, file=str(file), trusting=will.trusting or trust)):
        yield


@contextmanager
def looking() -> Iterator[None]:
    """While a file is only looked at: nothing is imported, whoever vouched for it."""
    with _as(replace(_WILL.get(), looking=True)):
        yield


def file_read() -> str | None:
    """The file that is being read, None where what comes is the person's own."""
    return _WILL.get().file


def opening(function: _Function) -> _Function:
    """A function whose first argument is a file, and which may have an argument `trust`, as one that reads this file."""

    @functools.wraps(function)
    def opened(*arguments: Any, **options: Any) -> Any:
        file = next(iter([*arguments, *options.values()]), "the file")
        with reading(file, trust=bool(options.get("trust", False))):
            return function(*arguments, **options)

    return opened  # type: ignore[return-value]  # the same signature


# -- what stands at an import path -------------------------------------------------------------------------------------


def import_object(path: str) -> Any:
    """The object at `package.module:name`."""
    module_name, attribute = _parts(path)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or FrugalnasError(
            f"cannot import {error.name!r} for {path!r}; install it, or run where Python finds it (PYTHONPATH=.)"
        ) from None
    except Exception as error:  # the user's own module may fail in any way
        raise FrugalnasError(f"importing {module_name} for {path!r} failed: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise FrugalnasError(f"{module_name} has no {attribute!r}")
        found = getattr(found, part)
    return found


def import_own(kind: str, described: str | Mapping[str, Any], *, given: bool = False) -> Any:
    """The object at an import path that is no registered name, looked for in the current folder last.

    Args:
        kind: what it is to be, such as "teacher".
        described: `package.module:name`, or a description with it; one from a file is asked about first.
        given: whether a person gave it, or code.
    """
    described = {"name": described} if isinstance(described, str) else described
    if given:
        give(described)
    path = described["name"]
    _parts(path)
    allow(kind, described)
    outermost = path.partition(":")[0].partition(".")[0]
    if outermost not in sys.modules and importlib.util.find_spec(outermost) is None:
        sys.path.append(os.getcwd())
    return import_object(path)


def path_of(made: type | Callable[..., Any]) -> str:
    """The import path of a class or a function."""
    return f"{made.__module__}:{made.__qualname__}"


def is_local(description: Any) -> bool:
    """Whether a description names something that cannot be found again by name: of a script, a notebook or a function.

    Example:
        >>> is_local({"name": "function", "options": {"function": "__main__:worth"}}), is_local("frugalnas.spaces:DARTS")
        (True, False)
    """
    if isinstance(description, Mapping):
        return any(map(is_local, description.values()))
    if isinstance(description, (list, tuple)):
        return any(map(is_local, description))
    return isinstance(description, str) and (
        description.startswith("__main__:") or "<locals>" in description or "<lambda>" in description
    )


def refuse_local(path: str) -> None:
    """Refuse an import path by which nothing is found again; see `is_local`."""
    if is_local(path):
        raise FrugalnasError(
            f"{path} is of a script, a notebook or a function, where no name finds it again; move it to the top of a module that "
            f"can be imported, or give the object itself in Python"
        )


def _parts(path: str) -> tuple[str, str]:
    """Module and attribute of an import path."""
    refuse_local(path)
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for name in (module_name, attribute) for part in name.split(".")):
        raise FrugalnasError(f"{path!r} is not an import path; write package.module:name")
    return module_name, attribute


# -- helpers -----------------------------------------------------------------------------------------------------------


@contextmanager
def _as(will: _Will) -> Iterator[None]:
    token = _WILL.set(will)
    try:
        yield
    finally:
        _WILL.reset(token)


def _notes() -> Any:
    return cache_folder() / "trusted.txt"


def _remembered() -> set[str]:
    try:
        return set(_notes().read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError):
        return set()


def _digest(kind: str, description: Mapping[str, Any]) -> str:
    options = description.get("options") or {}
    own = (
        {name: value for name, value in options.items() if name != "seed"} if isinstance(options, Mapping) else options
    )
    name = str(description.get("name"))
    files = {path: _module_file(path) for path in import_paths([name, own])}
    said = json.dumps([kind, name, own, files], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def _module_file(path: str) -> str | None:
    """Where the outermost package or module of an import path lies, without importing it; None where it is not found."""
    outermost = path.partition(":")[0].partition(".")[0]
    if outermost in sys.modules:
        module = sys.modules[outermost]
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    else:
        spec = None
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(outermost) or PathFinder.find_spec(outermost, [os.getcwd()])
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    found = next((place for place in places if place), None)
    return os.path.realpath(found) if found and os.path.exists(found) else found


def _found(paths: Iterable[str]) -> list[str]:
    """Import paths with the files that they would run."""
    return [f"{path} ({_module_file(path) or 'not found; run where Python finds it, PYTHONPATH=.'})" for path in paths]


def _written_in(file: str | None) -> set[str]:
    """The import paths in a file, or in the description of what a folder holds; none where there is no such file."""
    named = set()
    for place in (
        Path(file or "."),
        *(Path(file or ".") / name for name in ("config.yaml", "card.json", "manifest.json")),
    ):
        with suppress(OSError, ValueError):
            if file is not None and place.is_file() and place.stat().st_size <= most("yaml-bytes"):
                named |= import_paths(place.read_text(encoding="utf-8"))
    return named
