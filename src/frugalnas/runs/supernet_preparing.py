"""What the training of a supernet is about, checked before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from frugalnas.data import ImageData, Images, opened
from frugalnas.errors import FrugalnasError
from frugalnas.runs.preparing import settled_for
from frugalnas.spaces import SearchSpace
from frugalnas.supernets import SupernetRecipe, path_sampler, supernet_of
from frugalnas.training import load_recipe

__all__ = ["PreparedSupernet", "prepare_supernet"]

CLASSES_OF_UNLABELLED = 10
"""That random labels are drawn from where neither data nor recipe say how many."""
_FITTING = ("projected", "cell", "uniform")
"""Path samplers, of which a recipe that names none takes the first that fits the space."""


@dataclass
class PreparedSupernet:
    """What the training of a supernet is about, checked and with nothing left open."""

    space: SearchSpace
    recipe: SupernetRecipe
    data: ImageData
    notes: list[str]


def prepare_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path,
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    devices: int,
) -> PreparedSupernet:
    """A supernet's recipe, data and space fitted to each other; the arguments are those of `train_supernet`.

    Raises:
        FrugalnasError: where they do not fit.
    """
    wanted = load_recipe(recipe, settings, kind=SupernetRecipe)
    found = opened(data, wanted.normalisation)
    wanted, decided = settled_for(wanted, found, devices)
    notes = [*found.notes, *decided]
    wanted = replace(wanted, classes=_classes(wanted, found, notes))
    assert wanted.epochs is not None
    if wanted.schedule_epochs is not None and wanted.schedule_epochs < wanted.epochs:
        raise FrugalnasError(
            f"schedule_epochs is {wanted.schedule_epochs}, fewer than the {wanted.epochs} epochs; raise it"
        )
    space = space.with_options(classes=wanted.classes, input_size=found.input_size)
    with torch.device("meta"):
        draws = supernet_of(space).draws
    return PreparedSupernet(space, replace(wanted, paths=_paths(wanted, space, draws)), found, notes)


def _classes(recipe: SupernetRecipe, data: ImageData, notes: list[str]) -> int:
    """How many classes the supernet tells apart."""
    if recipe.labels == "true":
        if not data.labelled or len(data.classes) < 2:
            raise FrugalnasError(
                f"{data.name} has no labels; put its images into one folder per class, or train on random ones "
                f"(--set labels=random)"
            )
        if recipe.classes not in (None, len(data.classes)):
            raise FrugalnasError(
                f"{data.name} has {len(data.classes)} classes, not {recipe.classes}; only random labels can have another "
                f"number of them"
            )
        return len(data.classes)
    if recipe.classes is not None:
        if recipe.classes < 2:
            raise FrugalnasError(f"classes is {recipe.classes}; random labels are drawn from two classes or more")
        return recipe.classes
    if len(data.classes) >= 2:
        return len(data.classes)
    notes.append(f"random labels of {CLASSES_OF_UNLABELLED} classes (--classes changes it)")
    return CLASSES_OF_UNLABELLED


def _paths(recipe: SupernetRecipe, space: SearchSpace, draws: int) -> str:
    """The name of the path sampler.

    Raises:
        FrugalnasError: where the recipe's does not fit.
    """
    if recipe.paths is not None:
        path_sampler(recipe.paths, space, draws, 0)
        return recipe.paths
    for name in _FITTING[:-1]:
        try:
            path_sampler(name, space, draws, 0)
        except FrugalnasError:
            continue
        return name
    return _FITTING[-1]
