"""The space of a method at the sizes in which it builds networks, chosen by the images where nobody says which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.methods.recipe import MethodRecipe
from frugalnas.registry import SPACES
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.scores.live_paths import LivePaths
from frugalnas.shrinking import read_operators
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.spaces.constraint import Constraint

if TYPE_CHECKING:
    from frugalnas.data import ImageData

SMALL = 64
"""Pixels up to which images are small: darts has its networks for CIFAR then."""
TINY = 32
"""Pixels below which networks of nasbench201 have two cells a stage where nobody says how many; it was made for 32."""
SEARCHED = {"cifar": {"width": 16, "layers": 8}, "imagenet": {"width": 48, "layers": 14}}
"""Sizes of the supernets in which cells of darts are searched; networks that are retrained are larger."""


@dataclass(frozen=True)
class Spaces:
    """The space of a method at the two sizes in which it builds networks.

    Attributes:
        searched: of its supernet, without limits on cost.
        retrained: of the networks that are retrained, which the limits are about.
    """

    searched: SearchSpace
    retrained: SearchSpace


def spaces_of(recipe: MethodRecipe, input_size: int, classes: int) -> Spaces:
    """The spaces of a settled recipe for images of this size and so many classes.

    Raises:
        FrugalnasError: where no architecture meets the limits; it says what the smallest one costs.
    """
    assert recipe.space is not None
    whole = build_space(recipe.space).with_options(input_size=input_size, classes=classes)
    searched, retrained = (
        whole.with_options(**_sizes(recipe, part)) if _sizes(recipe, part) else whole
        for part in ("supernet", "retrain")
    )
    return Spaces(searched, retrained if recipe.where is None else _limited(retrained, recipe.where))


def in_space(
    recipe: MethodRecipe,
    space: SearchSpace | None,
    data: ImageData,
    suited: tuple[str, str],
    notes: list[str],
    operators: Path | str | None = None,
) -> MethodRecipe:
    """The recipe with its space described, or the one that suits the images, and all limits on cost together.

    Args:
        recipe: what is wanted.
        space: instead of the recipe's; its limits on cost are about the networks that are retrained.
        data: opened.
        suited: the spaces for small and for large images.
        notes: is told what was decided.
        operators: a file of what is left of the space.
    """
    large = data.input_size > SMALL
    if space is not None:
        described = describe_space(space)
    elif recipe.space is None:
        side = f"images of {data.input_size} x {data.input_size} pixels"
        notes.append(f"{side} are searched in {suited[large]} (`space` chooses another)")
        described = describe_space(SPACES.create(suited[large]))
    else:
        described = describe_space(build_space(recipe.space))
    named = space is None and (recipe.space is None or isinstance(recipe.space, str))
    sized = any("cells" in _sizes(recipe, part) for part in recipe.parts)
    if described["name"] == "nasbench201" and named and not sized and data.input_size < TINY:
        described["options"]["cells"] = 2
        notes.append(
            f"networks have 2 cells a stage, as images are below {TINY} pixels (with `space` nasbench201, `space.cells` "
            "takes 5 for more)"
        )
    limits = dict(described.get("limits") or {})
    where = ",".join(str(limit) for limit in (limits.pop("where", None), recipe.where) if limit)
    parts = dict(recipe.parts)
    if described["name"] == "darts" and "supernet" in parts:
        own = _sizes(recipe, "supernet")
        said = isinstance(recipe.space, Mapping) and "macro" in (recipe.space.get("options") or {})
        if large and not (said or space is not None or "macro" in own):
            notes.append(f"images are larger than {SMALL} pixels: networks are darts' for ImageNet")
            described = describe_space(SPACES.create({"name": "darts", "options": {"macro": "imagenet"}}))
        macro = own.get("macro", described["options"]["macro"])
        parts["supernet"] = {**parts["supernet"], "space": {**SEARCHED[macro], **own}}
    described = {**described, "limits": limits}
    if operators is not None:
        described = describe_space(read_operators(operators, build_space(described)))
    return replace(recipe, space=described, where=where or None, parts=parts)


def _sizes(recipe: MethodRecipe, part: str) -> dict[str, Any]:
    """Options of the space for the networks of one part."""
    return dict(recipe.parts.get(part, {}).get("space", {}))


def relimited(space: SearchSpace, where: str | None) -> SearchSpace:
    """The space, as far as it was made smaller, within these limits on cost in place of its own; None: within none.

    Raises:
        FrugalnasError: where no architecture meets the limits; it says what the smallest one costs.
    """
    kept = {name: limit for name, limit in space.limits.items() if name != "where"}
    space = build_space({**describe_space(space), "limits": kept})
    return space if where is None else _limited(space, where)


def _limited(space: SearchSpace, where: str) -> SearchSpace:
    """The space under limits that some of its architectures meet."""
    for rule in Constraint.parse(where):
        if rule.quantity in space.quantities and rule.relation in ("<", "<="):
            least, _ = space.extremes(rule.quantity)
            if not rule.met_by(np.array([least]))[0]:
                raise FrugalnasError(
                    f"no architecture of {space.name} meets {rule}: the smallest has {rule.quantity}={least:.6g}; "
                    f"raise the budget"
                )
    limited = space.where(where)
    limited.sample(1, np.random.default_rng(0))  # says what is wrong where nothing is left
    return limited


def alive(space: SearchSpace, codes: Codes) -> Codes:
    """The architectures that see their images: in a space of cells, those with a path from input to output.

    Raises:
        FrugalnasError: where there is none.
    """
    paths = LivePaths.of(space)
    if paths is not None:
        codes = codes[paths.through(codes).any(axis=0)]
    if not len(codes):
        raise FrugalnasError(f"no architecture of {space!r} leads from its input to its output; widen the limits")
    return codes
