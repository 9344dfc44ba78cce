"""The settings of a whole method, part by part: those of the papers as YAML files, and what a user changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.recipe_files import recipe_sources, recipe_values, replaced
from frugalnas.registry import METHODS

if TYPE_CHECKING:
    from frugalnas.methods.method import ImageMethod

PACKAGE = "frugalnas.methods"


@dataclass(frozen=True)
class MethodRecipe:
    """What each part of a method does.

    Attributes:
        name: of the recipe.
        source: where its values come from.
        method: the only one that it is for, by the name of its command; None: any that has its parts.
        space: its name, or a description with options; None: what suits the images.
        data: what the method trains on, a name or a path.
        where: limits on the network that is retrained, such as "macs<=475e6".
        parts: settings of each part of the method, by its name; see `frugalnas.methods.parts`.
    """

    name: str = "custom"
    source: str = ""
    method: str | None = None
    space: str | Mapping[str, Any] | None = None
    data: str = "digits"
    where: str | None = None
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __getitem__(self, part: str) -> Mapping[str, Any]:
        return self.parts[part]

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `load_method_recipe` makes an equal recipe."""
        return {
            **{name: getattr(self, name) for name in _OWN},
            **{name: dict(each) for name, each in self.parts.items()},
        }


_OWN = ("name", "source", "method", "space", "data", "where")


def method_recipes() -> dict[str, str]:
    """Where the values of each method's recipe that comes with frugalnas are from, by its name."""
    return recipe_sources(PACKAGE)


def load_method_recipe(
    kind: type[ImageMethod],
    recipe: str | Path | Mapping[str, Any] = "default",
    settings: Mapping[str, Any] | None = None,
) -> MethodRecipe:
    """A method's recipe by name or from a YAML file, with some of its settings replaced.

    Args:
        kind: of method, which has the parts.
        recipe: one of `method_recipes()`, the path of a YAML file, which may build on another recipe with a line
            `base: NAME`, what `MethodRecipe.to_json` gave, or "default" for the method's own.
        settings: values by name; "supernet.epochs" and "retrain.space.width" reach into the parts. Text is read as YAML.

    Raises:
        FrugalnasError: naming the setting that does not exist, or the method that it is for.

    Example:
        >>> from frugalnas.methods.rlnas import RLNAS
        >>> load_method_recipe(RLNAS, "rlnas-nasbench201-cifar10", {"supernet.epochs": "10"})["supernet"]["epochs"]
        10
    """
    given = kind.defaults if recipe == "default" else recipe
    values = replaced(recipe_values(given, PACKAGE, "data: cifar10"), settings or {})
    only = values.get("method")
    if only is not None and METHODS.resolve(only) is not kind:
        raise FrugalnasError(f"recipe {values.get('name')} is for another method; take it with: frugalnas {only}")
    known = [*_OWN, *kind.parts]
    for setting in values:
        if setting not in known:
            raise unknown_name("setting", setting, known, " (a part's own as PART.NAME, such as supernet.epochs)")
    parts = {name: values.pop(name, {}) for name in kind.parts}
    for name, part in kind.parts.items():
        if not isinstance(parts[name], Mapping):
            raise FrugalnasError(f"{name} of a method's recipe holds settings, not {parts[name]!r}")
        part.refuse(name, parts[name])
    return MethodRecipe(**values, parts=parts)
