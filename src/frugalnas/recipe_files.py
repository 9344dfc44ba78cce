"""Settings as YAML files: those that come with a room, and a user's own, which may build on them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import Self

from frugalnas.documents import read_yaml
from frugalnas.errors import FrugalnasError, one_of, unknown_name

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Settings:
    """Settings that stand in YAML files by name. A child class is a dataclass of them, each with a default.

    Attributes:
        package: in whose folder `recipes` those lie that come with frugalnas.
        ranges: the least and the greatest that a setting may be.
        inherited: what a mapping that a recipe leaves out holds before a setting reaches into it.
    """

    package: ClassVar[str]
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    inherited: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        for setting, (least, most) in self.ranges.items():
            value = getattr(self, setting)
            if value is not None and not least <= value <= most:
                raise FrugalnasError(f"{setting} is {value}; it must be from {least:g} to {most:g}")

    @classmethod
    def sources(cls) -> dict[str, str]:
        """Where the values of each recipe that comes with frugalnas are from, by its name."""
        return recipe_sources(cls.package)

    @classmethod
    def load(cls, recipe: str | Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Self:
        """A recipe by name or from a YAML file, with some of its settings replaced.

        Args:
            recipe: one of `sources()`, the path of a YAML file, which may build on another recipe with a line
                `base: NAME`, or what `to_json` gave.
            settings: values by name; "augmentation.flip" reaches into a mapping. Text is read as YAML.

        Raises:
            FrugalnasError: naming the setting that does not exist, or the value that does not fit.
        """
        hints = _hints(cls)
        for setting in settings or {}:
            parent, dot, _ = setting.partition(".")
            if dot and hints.get(parent) is not dict:
                one_of("setting", parent, hints)
                raise FrugalnasError(f"{parent} has no parts, so {setting} cannot be set")
        changed = replaced(recipe_values(recipe, cls.package), settings or {}, cls.inherited)
        return cls(**{setting: _typed(setting, value, hints) for setting, value in changed.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `load` makes an equal recipe."""
        return dataclasses.asdict(self)


def recipe_sources(package: str) -> dict[str, str]:
    """Where the values of each recipe of a room are from, by its name.

    Args:
        package: of the room, such as "frugalnas.training". It is not imported.
    """
    return {name: read_recipe(name, package).get("source", "") for name in names_in(_folder(package))}


def recipe_values(recipe: str | Path | Mapping[str, Any], package: str, example: str = "epochs: 30") -> dict[str, Any]:
    """The values of a recipe by name or from a YAML file, or the values themselves; see `read_recipe`."""
    return dict(recipe) if isinstance(recipe, Mapping) else read_recipe(str(recipe), package, example)


def read_recipe(name: str, package: str, example: str = "epochs: 30", above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a recipe by name or from a YAML file, those of its base included.

    Args:
        name: of a recipe of the room, or the path of a YAML file.
        package: of the room.
        example: of a line, for whoever wrote a file without any.
        above: the recipes that build on this one.

    Raises:
        FrugalnasError: where there is no such recipe, or its file cannot be read.
    """
    if name in above:
        raise FrugalnasError(f"the recipe {name} is its own base: {' -> '.join((*above, name))}; give it another base")
    values = yaml_named(name, _folder(package), "recipe")
    if not isinstance(values, dict):
        raise FrugalnasError(f"the recipe {name} holds no settings; write lines such as `{example}`")
    base = values.pop("base", None)
    if base is None:
        return values
    inherited = read_recipe(str(base), package, example, (*above, name))
    for setting, value in values.items():
        mapped = isinstance(value, dict) and isinstance(inherited.get(setting), dict)
        inherited[setting] = {**inherited[setting], **value} if mapped else value
    return inherited


def names_in(folder: Traversable) -> list[str]:
    """The names of the YAML files in a folder that comes with frugalnas."""
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def yaml_named(name: str, folder: Traversable, kind: str) -> Any:
    """What a YAML file says: of a name in a folder that comes with frugalnas, or of a path.

    Args:
        name: or path.
        folder: where those lie that have a name.
        kind: what they are, for the error.

    Raises:
        FrugalnasError: where there is no such file, or it cannot be read.
    """
    known = name in names_in(folder)
    if not known and Path(name).suffix not in (".yaml", ".yml"):
        raise unknown_name(kind, name, names_in(folder), ", or give a .yaml file")
    try:
        file = folder.joinpath(f"{name}.yaml") if known else Path(name).expanduser()
        return yaml_value(file.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise FrugalnasError(f"the {kind} {name} cannot be read: {error}") from None


def yaml_value(text: str, where: str) -> Any:
    """What a text means in YAML.

    Args:
        text: of a file or of a single value.
        where: it stands, for the error.
    """
    return as_number(read_yaml(text, where))


def replaced(
    values: Mapping[str, Any], settings: Mapping[str, Any], inherited: Mapping[str, Mapping[str, Any]] = {}
) -> dict[str, Any]:
    """The values of a recipe with some settings replaced.

    Args:
        values: of the recipe, by name.
        settings: that replace some; "retrain.space.width" reaches into mappings. Text is read as YAML.
        inherited: what a mapping that the recipe leaves out holds before a setting reaches into it.
    """
    changed = dict(values)
    for setting, value in settings.items():
        *parents, last = setting.split(".")
        inner = changed
        for parent in parents:
            inner[parent] = dict(inner.get(parent, inherited.get(parent)) or {})
            inner = inner[parent]
        inner[last] = yaml_value(value, f"the value of {setting}") if isinstance(value, str) else value
    return changed


def as_number(value: Any) -> Any:
    """The number that YAML 1.1 takes for text, such as 1e-3; any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _folder(package: str) -> Traversable:
    root, *rooms = package.split(".")
    return files(root).joinpath(*rooms, "recipes")


def _hints(kind: type) -> dict[str, Any]:
    """What each setting takes: a type, a union with None, a tuple of words, whole numbers in a row, or dict."""
    hints = typing.get_type_hints(kind)
    plain, forms = (int, float, bool, str), (Literal, types.UnionType, typing.Union, tuple)
    return {
        each.name: hint if (hint := hints[each.name]) in plain or typing.get_origin(hint) in forms else dict
        for each in dataclasses.fields(kind)
    }


def _typed(setting: str, value: Any, hints: Mapping[str, Any]) -> Any:
    """A value as its setting takes it."""
    one_of("setting", setting, hints)
    hint = hints[setting]
    if typing.get_origin(hint) is Literal:
        value = str(value).lower() if isinstance(value, bool) else value  # what YAML makes of the word true
        one_of(setting, value, typing.get_args(hint))
        return value
    if typing.get_origin(hint) is tuple:
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(type(number) is int for number in numbers):
            raise FrugalnasError(f"{setting} takes whole numbers, such as [0, 1], not {value!r}")
        return tuple(numbers)
    choices = typing.get_args(hint) or (hint,)
    if value is None and type(None) in choices:
        return None
    kind = next(choice for choice in choices if choice is not type(None))
    if isinstance(value, str) and kind in (int, float):
        value = as_number(value)
    if kind is dict and isinstance(value, Mapping):
        return {str(key): as_number(item) for key, item in value.items()}
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is str and isinstance(value, (int, float)):
        value = str(value)
    if type(value) is not kind:
        null = " or null" if type(None) in choices else ""
        raise FrugalnasError(f"{setting} takes {_WORDS[kind]}{null}, not {value!r}")
    return value


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}
