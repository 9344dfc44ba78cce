"""Constructor parameters as command-line options: their types, defaults and the help from their docstrings."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from frugalnas.amounts import number, whole
from frugalnas.cli.parsing import option
from frugalnas.documents import options_of
from frugalnas.errors import FrugalnasError, one_of, unknown_name
from frugalnas.registry import NO_OPTIONS, constructor_options

if TYPE_CHECKING:
    from frugalnas.spaces import SearchSpace

Space = TypeVar("Space", bound="SearchSpace")
Settings: TypeAlias = dict[str, dict[str, str]]
"""Texts by part and name, as they are typed behind `--set part.name=value`."""
SCORE_HELP = "angle, accuracy, params, macs, gradnorm, synflow, naswot, or several joined by + [angle]"


def add_constructor_options(
    parser: argparse._ArgumentGroup, constructor: Callable[..., Any], *, leave_out: Sequence[str] = ()
) -> list[str]:
    """Add an option for every keyword-only parameter of a constructor but those left out; their names are returned."""
    documented = (inspect.getmodule(constructor), *reversed(getattr(constructor, "__mro__", (constructor,))))
    described = {name: text for each in documented for name, text in argument_help(each).items()}
    hints = options_of(constructor)
    names = []
    for name, parameter in constructor_options(constructor).items():
        if name in leave_out:
            continue
        hint, default = hints.get(name, str), parameter.default
        how: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        shown = "yes" if default else "no"
        if hint is not bool:
            choices = _choices(hint)
            how = {"metavar": "{" + ",".join(choices) + "}" if choices else _metavar(hint)}
            shown = "" if default in (None, inspect.Parameter.empty) else str(default)
        said = described.get(name, "") + (f" [{shown}]" if shown else "")
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=f"option_{name}", help=said.replace("%", "%%"), **how)
        names.append(name)
    return names


def convert(constructor: Callable[..., Any], name: str, text: str | bool, shown_as: str) -> Any:
    """The value that `text` means for one parameter of a constructor.

    Raises:
        FrugalnasError: naming the option, the value and what is expected.
    """
    flat, hints = getattr(constructor, "flat", {}), options_of(constructor)
    by_field = {part for part, *_ in flat.values() if str not in _alternatives(hints[part])}
    known = [*(own for own in constructor_options(constructor) if own not in by_field), *flat]
    if name not in known:
        full = [shown_as.rpartition(".")[0] + "." + option for option in known]
        raise unknown_name("setting", shown_as, full, "" if known else NO_OPTIONS)
    if isinstance(text, bool):
        return text
    hint = flat[name][2] if name in flat else hints.get(name, str)
    try:
        return _value(hint, text)
    except ValueError:
        choices = _choices(hint)
        wanted = f"one of {', '.join(choices)}" if choices else _metavar(hint)
        raise FrugalnasError(f"{shown_as}: {text!r} is not {wanted}") from None


def converted(constructor: Callable[..., Any], texts: Mapping[str, str], part: str) -> dict[str, Any]:
    """The values that texts mean for parameters of a constructor, which settings call `part.NAME`; see `convert`."""
    return {name: convert(constructor, name, text, f"{part}.{name}") for name, text in texts.items()}


def matched(texts: Iterable[str], pattern: str, form: str, flag: str = "--set") -> list[Any]:
    """The groups of a pattern in each text that was typed behind a flag; one that has another form is refused."""
    found = [(text, re.fullmatch(pattern, text, re.DOTALL)) for text in texts]
    for text, match in found:
        if match is None:
            raise FrugalnasError(f"{flag} {text!r} is not of the form {form}")
    return [match.groups() for _, match in found if match is not None]


def settings_of(settings: Sequence[str], parts: Sequence[str] = ()) -> Settings:
    """`--set part.name=value` options as {part: {name: value}}; where parts are named, others are refused."""
    parsed: Settings = {}
    for part, name, text in matched(settings, r"(.+?)\.(\w+)=(.*)", "PART.NAME=VALUE, such as predictor.members=5"):
        one_of("part of --set", part, parts or [part])
        parsed.setdefault(part, {})[name] = text
    return parsed


def labelled_names(text: str, one: str) -> dict[str, str]:
    """What a list such as `a,LABEL=b` names, by label."""
    entries = [entry.strip().rpartition("=") for entry in text.split(",") if entry.strip()]
    named = {label or name: name for label, _, name in entries}
    if len(named) < len(entries):
        raise FrugalnasError(f"a {one} is compared with itself; tell two of a name apart as LABEL=NAME")
    return named


def lines_in(path: Path, flag: str, what: str) -> list[str]:
    """The lines of a text file that was typed behind a flag, but for empty ones."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or error
        raise FrugalnasError(f"{flag} {path} cannot be read ({said}); give a text file, {what} a line") from None


def numbers(text: str) -> list[int]:
    """`1,2,3` as a list."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers") from None


def add_evaluator(parser: argparse.ArgumentParser) -> None:
    """Options that say what is searched and who answers."""
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    group = parser.add_argument_group("what is searched")
    option(group, "--table NAME", f"table that answers [{DEFAULT_TABLE}] (frugalnas table list)")
    option(group, "--label", "mean over seeds, random (one run each), or a seed's place: 0, 1, ... [mean]")
    option(
        group,
        "--evaluator NAME",
        "training: train each architecture for real, by the options below; or MODULE:NAME, your own Evaluator class or "
        "function of an architecture string",
    )
    option(group, "--space NAME", "space, where no table fixes it [nasbench201]")
    option(
        group,
        "--objectives A,B,...",
        "accuracy, or accuracy,COST for a Pareto front: latency, params, macs, training-time; oracle-test in place of "
        "accuracy shows the search test labels, as a study [accuracy]",
        default="accuracy",
    )
    add_limit(
        group, "search only architectures such as 'params<=0.5M,macs<=80M', or 'latency<=12ms' where the table has it"
    )
    add_operators(group)
    group = parser.add_argument_group("where a score answers, of a supernet or of untrained networks")
    option(group, "--supernet RUN", "folder of a supernet's run; its space is searched")
    option(
        group,
        "--score NAME",
        f"{SCORE_HELP}; without a supernet not the first two, and naswot and gradnorm need --data",
    )
    add_angle(group)
    group = parser.add_argument_group("where networks answer, trained or not: as for `frugalnas train`")
    for typed, said in _OF_NETWORKS:
        name, _, shown = typed.rpartition("--")[2].partition(" ")
        how: dict[str, Any] = {} if shown else {"action": "store_const", "const": "true"}
        option(group, typed, said, dest=f"evaluator.{name.replace('-', '_')}", **how)


_OF_NETWORKS = (
    ("--data NAME|PATH", "digits, cifar10, cifar100, or a folder or file of your own images [digits]"),
    ("--root FOLDER", "where the files of a named data set are"),
    ("--download", "fetch CIFAR into --root where it is not there"),
    ("--split NAME|FILE", "which images validate: default, half, or a file"),
    ("--input --input-size PIXELS", "side of the square images"),
    ("--max-corrupt N", "unreadable images to skip [0]"),
    ("--recipe NAME|FILE", "how each is trained [default]"),
    ("--epochs N", "the recipe's epochs"),
    ("--batch-size N", "the recipe's images a step"),
    ("--lr X", "the recipe's learning rate"),
    ("--device NAME", "auto, cpu, cuda or mps [auto]"),
    ("--precision 32|bf16|16", "of the arithmetic [32]"),
    ("--channels-last", "memory layout that GPUs' matrix units like"),
)
"""Options of evaluators that build networks; whatever else one takes is set by `--set evaluator.NAME`."""


def evaluator_settings(parsed: argparse.Namespace, settings: Settings) -> None:
    """Put what the options say of the evaluator among its settings.

    Raises:
        FrugalnasError: where nothing was named that has such settings, or both say the same.
    """
    for dest, text in vars(parsed).items():
        part, _, name = dest.partition(".")
        if part != "evaluator" or not name or text is None:
            continue
        if parsed.supernet is not None or (parsed.score is None and parsed.evaluator is None):
            raise FrugalnasError(
                f"--{name.replace('_', '-')} {text} goes with --score of untrained networks, or --evaluator training; a supernet "
                "has its own"
            )
        own = settings.setdefault("evaluator", {})
        if name in own:
            raise FrugalnasError(f"--{name.replace('_', '-')} and --set evaluator.{name} say the same; give one")
        own[name] = text


def add_limit(group: argparse._ActionsContainer, what: str, *, required: bool = False) -> None:
    """The option for limits on what an architecture may cost, the same in every command that takes any."""
    option(group, "--where --budget LIMIT", what, _limit, required=required)


def add_operators(group: argparse._ActionsContainer) -> None:
    """The option for a space that was made smaller, the same in every command that takes one; see `within_operators`."""
    option(
        group,
        "--operators FILE",
        "only operators in a file that frugalnas shrink wrote, or a pickled list of ABS's programs; or those of one architecture",
        Path,
    )


def within_operators(space: Space, parsed: argparse.Namespace) -> Space:
    """The space with the operators that `--operators` leaves of it.

    Raises:
        FrugalnasError: for a file of another space, an unknown operator, a place without one.
    """
    if parsed.operators is None:
        return space
    from frugalnas.shrinking import read_operators

    if not os.path.exists(parsed.operators):  # a genotype is too long a name for pathlib
        try:
            code = space.parse(str(parsed.operators))
        except FrugalnasError:
            pass  # a file that is not there, which reading it says
        else:
            import numpy as np

            return space.restrict(np.arange(space.allowed.shape[1]) == code[:, None])
    return read_operators(parsed.operators, space)


def _limit(text: str) -> str:
    """The text of limits, unless it is a number, as of those who take a budget for one of queries."""
    if text.replace(".", "").replace("_", "").isdigit():
        raise argparse.ArgumentTypeError(
            f"{text} of what? write 'macs<=80M' or the like; a search's queries are --queries"
        )
    return text


def add_angle(group: argparse._ArgumentGroup) -> None:
    """Options that say which angle is meant."""
    option(group, "--rule NAME", "which weights an angle counts, such as rlnas-nasbench201 [default]")
    option(group, "--base N", "epoch whose weights an angle starts from [the recipe's]", int)
    option(group, "--epoch N", "epoch of the supernet's training [the last]", int)


def add_budget(parser: argparse.ArgumentParser, queries: int | None) -> None:
    """Options that say when to stop."""
    shown = "" if queries is None else f" [{queries}, where no --seconds is given]"
    option(parser, "--queries N", f"distinct networks to evaluate{shown}", int)
    option(parser, "--seconds S", "wall time, also as 90s, 5min or 2h", seconds)
    own = "" if queries is None else " [20]"
    option(
        parser, "--max-failures N", f"stop when all of the first N evaluations have failed{own}", int, dest="failures"
    )


def seconds(text: str) -> float:
    """A time, in seconds."""
    return number(text, "seconds")


def argument_help(documented: object) -> dict[str, str]:
    """What the "Args:" section of a docstring says of each argument, one line each; a module's is of all that it has."""
    text = inspect.getdoc(documented) or ""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section[1], re.MULTILINE | re.DOTALL)
    return {name: " ".join(words.split()).rstrip(".") for name, words in entries}


def _alternatives(hint: Any) -> list[Any]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [part for part in typing.get_args(hint) if part is not type(None)] if union else [hint]


def _choices(hint: Any) -> list[str]:
    for part in _alternatives(hint):
        if typing.get_origin(part) is typing.Literal:
            return [str(choice) for choice in typing.get_args(part)]
    return ["true", "false"] if bool in _alternatives(hint) else []


def _metavar(hint: Any) -> str:
    parts = _alternatives(hint)
    if int in parts:
        return "INTEGER"
    if float in parts:
        return "NUMBER"
    return "A,B,..." if any(typing.get_origin(part) is tuple for part in parts) else "NAME"


def _value(hint: Any, text: str) -> Any:
    parts = _alternatives(hint)
    choices = _choices(hint)
    if text.lower() == "none" and type(None) in typing.get_args(hint):
        return None
    if choices:
        if text not in choices:
            raise ValueError(text)
        return text == "true" if bool in parts else text
    for part in parts:
        if typing.get_origin(part) is tuple:
            kind = typing.get_args(part)[0]
            return tuple(whole(item) if kind is int else kind(item) for item in text.split(","))
    if int in parts:
        return whole(text)
    return number(text) if float in parts else text
