"""The settings of a whole method, stage by stage: those of the papers as YAML files, and what a user changes in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.recipe_files import read_recipe, recipe_sources, yaml_value

__all__ = ["MethodRecipe", "load_method_recipe", "method_recipes"]

PACKAGE = "frugalnas.methods"

Part = Literal["supernet", "score", "search", "retrain"]


@dataclass(frozen=True)
class MethodRecipe:
    """What each stage of a method does.

    Attributes:
        name: of the recipe.
        source: where its values come from.
        space: its name, or a description with options; None: nasbench201 for images up to 64 pixels, else mobilenet.
        data: what the supernet trains on, as `Images` takes it.
        where: limits on the network that is retrained, such as "macs<=475e6".
        supernet: its `recipe`, `split` and `space` (options of the space, for the supernet alone), and settings that replace
            some of that recipe's.
        score: the `name` of what ranks architectures, and the `rule` and `base` of an angle, or how many `images` an
            accuracy is measured on and whether batch norms are recalibrated first (`recalibrate`).
        search: options of genetic search (`population`, `parents`, `mutations`, `crossovers`, `mutation_rate`), or the name
            of a paper's as `preset`, and the number of `generations`.
        retrain: its `recipe`, `split` and `space` (options of the space, for the networks that are retrained), settings that
            replace some of that recipe's, and how many of the `top` architectures are retrained.
    """

    name: str = "custom"
    source: str = ""
    space: str | Mapping[str, Any] | None = None
    data: str = "digits"
    where: str | None = None
    supernet: Mapping[str, Any] = field(default_factory=dict)
    score: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    retrain: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("supernet", "score", "search", "retrain"):
            if not isinstance(getattr(self, part), Mapping):
                raise FrugalnasError(f"{part} of a method's recipe holds settings, not {getattr(self, part)!r}")
        _refuse_unknown("score", self.score, ("name", "rule", "base", "recalibrate", "images"))
        _refuse_unknown("search", self.search, ("preset", "generations", *_BREEDING))
        if "preset" in self.search and set(self.search) & set(_BREEDING):
            raise FrugalnasError(
                f"search has a preset and {', '.join(set(self.search) & set(_BREEDING))}; give one of them"
            )
        for name, least in (("retrain.top", 0), ("search.generations", 1)):
            part, _, setting = name.partition(".")
            value = getattr(self, part).get(setting, least)
            if not isinstance(value, int) or value < least:
                raise FrugalnasError(f"{name} is {value!r}; it is a whole number, {least} or more")

    @property
    def top(self) -> int:
        """How many architectures are retrained."""
        return int(self.retrain.get("top", 1))

    @property
    def on_random_labels(self) -> dict[str, Any]:
        """How the supernet is trained: `recipe` and `settings`."""
        return _training(self.supernet)

    @property
    def from_scratch(self) -> dict[str, Any]:
        """How networks are retrained: `recipe` and `settings`."""
        return _training(self.retrain)

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `load_method_recipe` makes an equal recipe."""
        return asdict(self)


def _training(part: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in part.items() if name not in ("recipe", "split", "space", "top")}
    return {"recipe": str(part.get("recipe", "default")), "settings": settings}


_BREEDING = ("population", "parents", "mutations", "crossovers", "mutation_rate")


def method_recipes() -> dict[str, str]:
    """Where the values of each method's recipe that comes with frugalnas are from, by its name."""
    return recipe_sources(PACKAGE)


def load_method_recipe(name: str | Path | Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> MethodRecipe:
    """A method's recipe by name or from a YAML file, with some of its settings replaced.

    Args:
        name: one of `method_recipes()`, the path of a YAML file, which may build on another recipe with a line
            `base: NAME`, or what `MethodRecipe.to_json` gave.
        settings: values by name; "supernet.epochs" and "retrain.space.width" reach into the parts. Text is read as YAML.

    Raises:
        FrugalnasError: naming the setting that does not exist.

    Example:
        >>> load_method_recipe("rlnas-nasbench201-cifar10", {"supernet.epochs": "10"}).supernet["epochs"]
        10
    """
    values = dict(name) if isinstance(name, Mapping) else read_recipe(str(name), PACKAGE, example="data: cifar10")
    known = [each.name for each in fields(MethodRecipe)]
    for setting, value in (settings or {}).items():
        *parents, last = setting.split(".")
        inner = values
        for parent in parents:
            inner[parent] = dict(inner.get(parent) or {})
            inner = inner[parent]
        inner[last] = yaml_value(value, setting) if isinstance(value, str) else value
    for setting in values:
        if setting not in known:
            raise unknown_name("setting", setting, known, " (a part's own as PART.NAME, such as supernet.epochs)")
    return MethodRecipe(**values)


def _refuse_unknown(part: Part, settings: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for setting in settings:
        if setting not in known:
            raise unknown_name(f"setting of {part}", setting, known)
