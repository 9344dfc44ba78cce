"""Plain data from files of anybody: YAML and JSON within limits, and whether values are of the kinds that are wanted."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.limits import LIMITS, most, variable_of, within

RecordT = TypeVar("RecordT")
WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", type(None): "nothing"}


def read_yaml(text: str | bytes, where: str) -> Any:
    """What a text means in YAML.

    Args:
        text: of a file or of a single value.
        where: it stands, for the error.

    Raises:
        FrugalnasError: where it is no YAML, or asks for more than `limits` allow: bytes, levels, values once aliases are followed.
    """
    import yaml

    within("yaml-bytes", len(text), where)
    try:
        loader = _loader_class()(text)
        loader.where = where
        value = loader.get_single_data()
        _measure(value, where, 0)
        return value
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, TypeError) as error:
        if isinstance(error, FrugalnasError):
            raise
        raise FrugalnasError(f"{where} is not YAML: {str(error).splitlines()[0]}") from None


def read_json(text: str | bytes, where: str) -> Any:
    """What a text means in JSON.

    Raises:
        FrugalnasError: where it is no JSON, or asks for more than `limits` allow: bytes, levels.
    """
    within("json-bytes", len(text), where)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrugalnasError(f"{where} is not JSON ({str(error).splitlines()[0]})") from None
    _measure(value, where, 0)
    return value


def _measure(value: Any, where: str, level: int) -> None:
    if isinstance(value, int) and abs(value) >= 2**63:
        raise FrugalnasError(f"{where} has a whole number of more than 64 bits")
    if isinstance(value, (dict, list)):
        within("levels", level + 1, where)
        for part in value.values() if isinstance(value, dict) else value:
            _measure(part, where, level + 1)


@cache
def _loader_class() -> Any:
    import yaml
    from yaml.composer import Composer

    parsing = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

    class Loader(Composer, parsing):  # type: ignore[misc, valid-type]
        """A safe loader that counts: a few aliases of aliases can stand for more values than any machine holds.

        Text becomes events in C where that is there, which takes a fifth of the time; events become nodes here.
        """

        where = ""
        level = values = 0

        def __init__(self, text: str | bytes) -> None:
            parsing.__init__(self, text)
            Composer.__init__(self)

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.level += 1
            within("levels", self.level, self.where)
            node: Any = super().compose_node(parent, index)
            self.level -= 1
            if not hasattr(node, "weight"):
                parts = node.value if isinstance(node.value, list) else []
                inner = [each for part in parts for each in (part if isinstance(part, tuple) else (part,))]
                if not all(hasattr(each, "weight") for each in inner):
                    raise yaml.YAMLError("an alias refers to what it stands in")
                node.weight = 1 + sum(each.weight for each in inner)
                self.values += 1
                within("yaml-values", max(node.weight, self.values), self.where)
            return node

    return Loader


class Whole(NamedTuple):
    """A type hint: a whole number of 0 or more, up to one of `frugalnas.limits` where its name is given."""

    limit: str = ""


# -- kinds -------------------------------------------------------------------------------------------------------------


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a type hint says, as plain data: a list for a tuple, a description for an object.

    Args:
        value: plain data, or an object.
        hint: a type; a mapping of names to hints, which the value must have (but for those with a question mark); or a list
            with the hint of its parts.
    """
    if isinstance(hint, Whole):
        return fits(value, int) and 0 <= value <= (most(hint.limit) if hint.limit else value)
    if isinstance(hint, Mapping):
        return not misfit(value, hint)
    if isinstance(hint, list):
        return isinstance(value, list) and all(fits(part, hint[0]) for part in value)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, choice) for choice in inner)
    if hint in (None, type(None)):
        return value is None
    if hint in (Any, object):
        return True
    if hint in (int, float):
        number = isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
        return number and abs(value) < 2**63  # neither infinite nor NaN
    if hint in (bool, str):
        return isinstance(value, hint)
    kind = origin or hint
    if kind in (tuple, list, Sequence):
        if not isinstance(value, (list, tuple)):
            return False
        if kind is tuple and inner and inner[-1] is not Ellipsis:
            return len(value) == len(inner) and all(map(fits, value, inner))
        return not inner or all(fits(part, inner[0]) for part in value)
    if kind in (dict, Mapping):
        keys = isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
        return keys and (len(inner) < 2 or all(fits(part, inner[1]) for part in value.values()))
    if kind is Callable:
        return callable(value)
    if isinstance(kind, type):
        return isinstance(value, kind) or (kind.__name__ == "Predictor" and isinstance(value, Mapping))
    return True


def misfit(value: Any, wanted: Mapping[str, Any]) -> str:
    """The first field of a mapping that is missing or of the wrong kind, in words; empty where all are as wanted."""
    if not isinstance(value, Mapping):
        return f"it is {value!r:.100}, not a mapping"
    for name, hint in wanted.items():
        field = name.removesuffix("?")
        if field not in value:
            if name == field:
                return f"{field} is missing"
        elif isinstance(hint, Mapping):
            inner = misfit(value[field], hint)
            if inner:
                return f"{field}: {inner}"
        elif isinstance(hint, list) and isinstance(hint[0], Mapping) and isinstance(value[field], list):
            for number, each in enumerate(value[field], 1):
                inner = misfit(each, hint[0])
                if inner:
                    return f"{field}, number {number}: {inner}"
        elif not fits(value[field], hint):
            return f"{field} is {value[field]!r:.100}, not {said(hint)}"
    return ""


def said(hint: Any) -> str:
    """A type hint in words."""
    inner = typing.get_args(hint)
    if isinstance(hint, Whole):
        up = f" to {most(hint.limit):,.0f} (set {variable_of(hint.limit)} to raise it)" if hint.limit else " or more"
        return f"a whole number of 0{up}"
    if isinstance(hint, list):
        return f"a list, each {said(hint[0])}"
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, inner))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(said(choice) for choice in inner)
    if typing.get_origin(hint) in (tuple, list, Sequence):
        return f"a list of {said(inner[0])}" if inner else "a list"
    if hint in (dict, Mapping) or isinstance(hint, Mapping) or typing.get_origin(hint) in (dict, Mapping):
        return "a mapping"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def options_of(constructor: Callable[..., Any]) -> dict[str, Any]:
    """What each option of a constructor takes, as far as its annotations can be read."""
    made: Any = constructor
    function = inspect.unwrap(made.__init__ if isinstance(constructor, type) else made)
    unknown: dict[str, Any] = {}  # names that exist for a type checker only
    while True:
        try:
            hints = typing.get_type_hints(function, localns=unknown)
        except NameError as error:
            if not error.name or error.name in unknown:
                return {}
            unknown[error.name] = Any
        except (TypeError, AttributeError):
            return {}
        else:
            return {name: hint for name, hint in hints.items() if name != "return"}


def record(kind: type[RecordT], given: RecordT | Mapping[str, Any], of: str) -> RecordT:
    """A record as it is, or made from its fields by name.

    Args:
        kind: its class.
        given: it, or plain data.
        of: what it is called, for the error.

    Raises:
        FrugalnasError: for anything else, an unknown field, or a value of the wrong kind.
    """
    if isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise FrugalnasError(f"{of} is {given!r:.100}; give a {kind.__name__}, or its fields by name")
    known = options_of(kind)
    for name in given:
        one_of(f"field of {of}", name, known)
    check_options(kind, given, of)
    return kind(**given)


def check_options(constructor: Callable[..., Any], options: Mapping[str, Any], of: str) -> None:
    """Refuse options of the wrong kind or beyond the limits.

    Args:
        constructor: that takes them.
        options: by name.
        of: what they belong to, for the error.

    Raises:
        FrugalnasError: naming the option, its value and what it takes.
    """
    hints = options_of(constructor)
    for name, value in options.items():
        if name in hints and not fits(value, hints[name]):
            raise FrugalnasError(f"{of}: {name} takes {said(hints[name])}, not {value!r:.200}")
        if name == "seed" and isinstance(value, int) and value < 0:
            raise FrugalnasError(f"{of}: seed is {value}; a seed is 0 or more")
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, (int, float)) and name not in ("seed", "until"):  # these take nothing
                within(name if name in LIMITS else "option", number, f"{of}, {name}")
