"""What a method is about, checked and with nothing left open, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frugalnas.data import ImageData, Images, located
from frugalnas.errors import FrugalnasError
from frugalnas.methods.concluding import alive
from frugalnas.methods.recipe import MethodRecipe
from frugalnas.registry import SPACES, STRATEGIES
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.preparing import prepare
from frugalnas.runs.supernet_preparing import PreparedSupernet, prepare_supernet
from frugalnas.searches.budget import Budget
from frugalnas.searches.scoring import IMAGES, check_held_out, score_parts
from frugalnas.spaces import Architecture, Codes, FactoredSpace, SearchSpace
from frugalnas.spaces.constraint import Constraint
from frugalnas.strategies import Strategy

__all__ = ["Networks", "Settled", "evaluations", "genetic_search", "networks_of", "settle", "smallest"]

SMALL = 64
"""Pixels up to which images are searched in the cells of nasbench201, and darts has its networks for CIFAR."""
TINY = 32
"""Pixels below which networks of nasbench201 have two cells a stage where nobody says how many; it was made for 32."""
SEARCHED = {"cifar": {"width": 16, "layers": 8}, "imagenet": {"width": 48, "layers": 14}}
"""Sizes of the supernets in which cells of darts are searched; networks that are retrained are larger."""


@dataclass(frozen=True)
class Networks:
    """The space of a method at the two sizes in which it builds networks.

    Attributes:
        supernet: of the supernet, without limits on cost.
        retrained: of the networks that are retrained, which the limits are about.
    """

    supernet: SearchSpace
    retrained: SearchSpace


@dataclass(frozen=True)
class Settled:
    """A method's recipe with nothing left open, and what is known once the data are.

    Attributes:
        recipe: with the space's description and the data's place filled in.
        networks: of its space.
        data: opened, split for the supernet.
        classes: that the networks tell apart: the data's, or so many numbers where there are no labels.
        notes: what was decided, a sentence each.
    """

    recipe: MethodRecipe
    networks: Networks
    data: ImageData
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def settle(
    recipe: MethodRecipe, space: SearchSpace | None, classes: int | None, reading: Mapping[str, Any], devices: int = 1
) -> Settled:
    """A method's recipe, data and space fitted to each other, and every stage checked.

    Args:
        recipe: what is wanted.
        space: instead of the recipe's; its limits on cost are about the networks that are retrained.
        classes: that random labels are drawn from; None: as many as the data have, or ten.
        reading: further fields of `Images`: `root`, `download`, `input_size`, `max_corrupt`, `workers`.
        devices: that share each batch.

    Raises:
        FrugalnasError: where something does not fit.
    """
    recipe = replace(recipe, data=located(recipe.data))
    data = images_of(recipe, recipe.supernet, reading).open()
    notes: list[str] = []
    recipe = _in_space(recipe, space, data, notes)
    if classes is not None:
        recipe = replace(recipe, supernet={**recipe.supernet, "classes": classes})
    assert recipe.space is not None
    whole = build_space(recipe.space).with_options(**dict(recipe.supernet.get("space", {})))
    supernet = prepare_supernet(whole, data, devices=devices, **recipe.on_random_labels)
    names = data.classes if data.labelled else tuple(str(number) for number in range(supernet.recipe.classes or 0))
    networks = networks_of(recipe, data.input_size, len(names))
    if recipe.top and data.labelled:
        code = networks.retrained.sample(1, np.random.default_rng(0))[0]
        same = recipe.retrain.get("split") == recipe.supernet.get("split")
        images = data if same else images_of(recipe, recipe.retrain, reading)
        prepare(Architecture(networks.retrained, code), images, devices=devices, **recipe.from_scratch)
    _check_search(recipe, networks, supernet)
    return Settled(recipe, networks, data, names, (*supernet.notes, *notes))


def images_of(recipe: MethodRecipe, part: Mapping[str, Any], reading: Mapping[str, Any]) -> Images:
    """The images of a part of a recipe, which may have a split of its own."""
    return Images(recipe.data, split=part.get("split"), **reading)


def _check_search(recipe: MethodRecipe, networks: Networks, supernet: PreparedSupernet) -> None:
    """Refuse, before a supernet is trained, a search that would fail after it."""
    strategy, space, score = genetic_search(recipe, networks.retrained, 0), networks.retrained, recipe.score
    Budget(evaluations(recipe, strategy)).check(strategy)
    if space.enumerable:
        alive(space, space.enumerate())
    parts = score_parts(score.get("name", "angle"), space, score.get("rule"), score.get("images", IMAGES))
    if "angle" in parts and score.get("base") is not None:
        supernet.recipe.check_base(score["base"], supernet.recipe.epochs or 0, "the supernet")
    if "accuracy" in parts:
        check_held_out(supernet.data, "the supernet")


def _in_space(recipe: MethodRecipe, space: SearchSpace | None, data: ImageData, notes: list[str]) -> MethodRecipe:
    """The recipe with its space described, or the one that suits the images, and all limits on cost together."""
    large = data.input_size > SMALL
    if space is not None:
        described = describe_space(space)
    elif recipe.space is None:
        name = "mobilenet" if large else "nasbench201"
        side = f"images of {data.input_size} x {data.input_size} pixels"
        notes.append(f"{side} are searched in {name} (--space chooses another)")
        described = describe_space(SPACES.create(name))
    else:
        described = describe_space(build_space(recipe.space))
    named = space is None and (recipe.space is None or isinstance(recipe.space, str))
    sized = "cells" in recipe.supernet.get("space", {}) or "cells" in recipe.retrain.get("space", {})
    if described["name"] == "nasbench201" and named and not sized and data.input_size < TINY:
        described["options"]["cells"] = 2
        notes.append(
            f"networks have 2 cells a stage, as images are below {TINY} pixels (--space nasbench201 --set space.cells=5 for more)"
        )
    limits = dict(described.get("limits") or {})
    where = ",".join(str(limit) for limit in (limits.pop("where", None), recipe.where) if limit)
    supernet = dict(recipe.supernet)
    if described["name"] == "darts":
        said = isinstance(recipe.space, Mapping) and "macro" in (recipe.space.get("options") or {})
        said = said or space is not None or "macro" in supernet.get("space", {})
        if large and not said:
            notes.append(f"images are larger than {SMALL} pixels: networks are darts' for ImageNet")
            described = describe_space(SPACES.create({"name": "darts", "options": {"macro": "imagenet"}}))
        macro = supernet.get("space", {}).get("macro", described["options"]["macro"])
        supernet["space"] = {**SEARCHED[macro], **supernet.get("space", {})}
    return replace(recipe, space={**described, "limits": limits}, where=where or None, supernet=supernet)


def networks_of(recipe: MethodRecipe, input_size: int, classes: int) -> Networks:
    """The spaces of a settled recipe for images of this size and so many classes.

    Raises:
        FrugalnasError: where no architecture meets the limits; it says what the smallest one costs.
    """
    assert recipe.space is not None
    whole = build_space(recipe.space).with_options(input_size=input_size, classes=classes)
    supernet = whole.with_options(**dict(recipe.supernet.get("space", {})))
    retrained = whole.with_options(**dict(recipe.retrain.get("space", {})))
    return Networks(supernet, retrained if recipe.where is None else _limited(retrained, recipe.where))


def _limited(space: SearchSpace, where: str) -> SearchSpace:
    """The space under limits that some of its architectures meet."""
    for rule in Constraint.parse(where):
        if rule.quantity in space.quantities and rule.relation in ("<", "<="):
            least = smallest(space, rule.quantity)
            if not rule.met_by(np.array([least]))[0]:
                raise FrugalnasError(
                    f"no architecture of {space.name} meets {rule}: the smallest has {rule.quantity}={least:.6g}; "
                    f"raise the budget"
                )
    limited = space.where(where)
    limited.sample(1, np.random.default_rng(0))  # says what is wrong where nothing is left
    return limited


def smallest(space: SearchSpace, quantity: str) -> float:
    """The least that any architecture has of a quantity.

    Exact where the quantity adds up over genes or the space can be listed; else what descending one edit at a time finds.
    """
    if isinstance(space, FactoredSpace):
        return space.extremes(quantity)[0]
    if space.enumerable:
        return float(space.count(quantity, space.enumerate()).min())
    code: Codes = space.sample(1, np.random.default_rng(0))
    least = float(space.count(quantity, code)[0])
    while True:
        near, _ = space.neighbours(code)
        values = space.count(quantity, near)
        if not len(near) or values.min() >= least:
            return least
        least, code = float(values.min()), near[int(values.argmin())][None]


def genetic_search(recipe: MethodRecipe, space: SearchSpace, seed: int) -> Strategy:
    """The genetic search that a recipe asks for."""
    options = {name: value for name, value in recipe.search.items() if name != "generations"}
    name = "genetic-paper" if "preset" in options else "genetic"
    made: Strategy = STRATEGIES.create({"name": name, "options": {**options, "seed": seed}}, space)
    return made


def evaluations(recipe: MethodRecipe, strategy: Strategy) -> int:
    """How many networks the search looks at, at most."""
    return min(int(recipe.search.get("generations", 20)) * strategy.round_size, strategy.space.distinct)
