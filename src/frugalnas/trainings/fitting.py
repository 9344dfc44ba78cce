"""What a training is about: recipe, images and space fitted to each other, with nothing left open, before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

import torch

from frugalnas.data import Augmentation, ImageData, Images, mirrored_is_no_loss, opened
from frugalnas.errors import FrugalnasError, expect
from frugalnas.networks import build
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.supernets import SupernetRecipe, path_sampler, supernet_of
from frugalnas.training import Recipe, RecipeT, load_recipe
from frugalnas.trainings.teacher import is_import_path
from frugalnas.trust import allow

CLASSES_OF_UNLABELLED = 10
"""That random labels are drawn from where neither data nor recipe say how many."""
_FITTING = ("projected", "cell", "uniform")
"""Path samplers, of which a recipe that names none takes the first that fits the space."""


@dataclass(frozen=True)
class Fitted(Generic[RecipeT]):
    """What a training is about, checked and with nothing left open.

    Attributes:
        space: with the sizes that the data ask for.
        recipe: with everything settled that depends on the data.
        data: open.
        notes: what was decided, for the user.
    """

    space: SearchSpace
    recipe: RecipeT
    data: ImageData
    notes: tuple[str, ...]

    @property
    def steps_per_epoch(self) -> int:
        """Of the optimiser."""
        return len(self.data.train) // self.recipe.batch_size


def fitted_network(
    architecture: Architecture,
    data: Images | ImageData | str | Path,
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    devices: int,
) -> Fitted[Recipe]:
    """What the training of a network is about; the arguments are those of `train`.

    Raises:
        FrugalnasError: where they do not fit.
    """
    expect(architecture, Architecture, "architecture", "one of a space: frugalnas.Architecture(space, code)")
    wanted = load_recipe(recipe, settings)
    if wanted.teacher is not None and is_import_path(wanted.teacher):
        allow("teacher", {"name": wanted.teacher})
    found = opened(data, wanted.normalisation)
    if len(found.classes) < 2 or not found.labelled:
        raise FrugalnasError(
            f"{found.name} has {len(found.classes)} classes; training needs two at least, one folder of images for each"
        )
    if wanted.teacher is not None and Path(wanted.teacher).expanduser().exists():
        wanted = replace(wanted, teacher=str(Path(wanted.teacher).expanduser().resolve()))
    wanted, decided = settled_for(wanted, found, devices)
    space = architecture.space.with_options(classes=len(found.classes), input_size=found.input_size)
    wanted, left_out = _buildable(space, architecture.code, wanted, settings or {})
    return Fitted(space, wanted, found, (*found.notes, *decided, *left_out))


def fitted_supernet(
    space: SearchSpace,
    data: Images | ImageData | str | Path,
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    devices: int,
) -> Fitted[SupernetRecipe]:
    """What the training of a supernet is about; the arguments are those of `train_supernet`.

    Raises:
        FrugalnasError: where they do not fit.
    """
    expect(space, SearchSpace, "search space", "one such as frugalnas.NASBench201()")
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
    return Fitted(space, replace(wanted, paths=_paths(wanted, space, draws)), found, tuple(notes))


def settled_for(recipe: RecipeT, data: ImageData, devices: int) -> tuple[RecipeT, list[str]]:
    """A recipe with nothing left open that depends on the data, and what was decided about these."""
    settled = recipe.settled(len(data.train), devices)
    augmentation, notes = _augmentation(settled.augmentation, data)
    return replace(settled, augmentation=augmentation.to_dict()), notes


def _augmentation(settings: Mapping[str, Any], data: ImageData) -> tuple[Augmentation, list[str]]:
    """A recipe's augmentation, with its base filled in, and a note on what was decided."""
    own, notes = dict(settings), list[str]()
    base = own.pop("base", None)
    if base is None:
        return Augmentation.of(own), notes
    start = data.suggested if base == "suggested" else Augmentation.of(str(base))
    if base == "suggested" and data.mirrored is None and "flip" not in own:
        own["flip"], note = mirrored_is_no_loss(data)
        notes.append(note)
    return Augmentation.of({**start.to_dict(), **own}), notes


def _buildable(
    space: SearchSpace, code: Codes, recipe: Recipe, settings: Mapping[str, Any]
) -> tuple[Recipe, list[str]]:
    """The recipe without what the networks of this space do not have, and a note on each thing left out.

    What the user set himself is not left out but refused.
    """
    notes = []
    for name, nothing in (("auxiliary", None), ("drop_path", 0.0)):
        if not getattr(recipe, name) or name in settings:
            continue
        others: dict[str, Any] = {"auxiliary": None, "drop_path": 0.0, name: getattr(recipe, name)}
        try:
            with torch.device("meta"):
                build(space, code, **others)
        except FrugalnasError as error:
            left_out: dict[str, Any] = {name: nothing}
            recipe = replace(recipe, **left_out)
            notes.append(f"{name} of recipe {recipe.name} left out: {error}")
    return recipe, notes


def _classes(recipe: SupernetRecipe, data: ImageData, notes: list[str]) -> int:
    """How many classes the supernet tells apart."""
    if recipe.labels == "true":
        if not data.labelled or len(data.classes) < 2:
            raise FrugalnasError(
                f"{data.name} has no labels; put its images into one folder per class, or train on random ones "
                f"(`labels`=random)"
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
    notes.append(f"random labels of {CLASSES_OF_UNLABELLED} classes (`classes` changes it)")
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
