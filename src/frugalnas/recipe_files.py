"""Settings as YAML files: those that come with a room, and a user's own, which may build on them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from frugalnas.errors import FrugalnasError, unknown_name

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["as_number", "read_recipe", "recipe_sources", "yaml_value"]


def recipe_sources(package: str) -> dict[str, str]:
    """Where the values of each recipe of a room are from, by its name.

    Args:
        package: of the room, such as "frugalnas.training". It is not imported.
    """
    names = (entry.name for entry in _folder(package).iterdir())
    known = sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
    return {name: read_recipe(name, package).get("source", "") for name in known}


def read_recipe(name: str, package: str, example: str = "epochs: 30") -> dict[str, Any]:
    """The values of a recipe by name or from a YAML file, those of its base included.

    Args:
        name: of a recipe of the room, or the path of a YAML file.
        package: of the room.
        example: of a line, for whoever wrote a file without any.

    Raises:
        FrugalnasError: where there is no such recipe, or its file cannot be read.
    """
    own = _folder(package).joinpath(f"{name}.yaml")
    if "/" not in name and own.is_file():
        values = yaml_value(own.read_text(encoding="utf-8"), name)
    elif Path(name).suffix in (".yaml", ".yml"):
        try:
            values = yaml_value(Path(name).expanduser().read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as error:
            raise FrugalnasError(f"the recipe {name} cannot be read: {error}") from None
    else:
        raise unknown_name("recipe", name, recipe_sources(package), ", or give a .yaml file")
    if not isinstance(values, dict):
        raise FrugalnasError(f"the recipe {name} holds no settings; write lines such as `{example}`")
    base = values.pop("base", None)
    if base is None:
        return values
    inherited = read_recipe(str(base), package, example)
    for setting, value in values.items():
        mapped = isinstance(value, dict) and isinstance(inherited.get(setting), dict)
        inherited[setting] = {**inherited[setting], **value} if mapped else value
    return inherited


def yaml_value(text: str, where: str) -> Any:
    """What a text means in YAML.

    Args:
        text: of a file or of a single value.
        where: it stands, for the error.
    """
    try:
        return as_number(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise FrugalnasError(f"{where} is not YAML: {str(error).splitlines()[0]}") from None


def as_number(value: Any) -> Any:
    """The number that YAML 1.1 takes for text, such as 1e-3; any other value as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _folder(package: str) -> Traversable:
    root, *rooms = package.split(".")
    return files(root).joinpath(*rooms, "recipes")
