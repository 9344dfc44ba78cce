"""What a training is about: recipe, images and space fitted to each other, with nothing left open, before it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from frugalnas.data import Augmentation, ImageData, Images, mirrored_is_no_loss, opened
from frugalnas.errors import FrugalnasError, expect
from frugalnas.networks import build, weightless
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.supernets import SupernetRecipe, path_sampler, supernet_of
from frugalnas.training import Recipe, RecipeT
from frugalnas.trainings.teacher import is_import_path
from frugalnas.trust import allow

CLASSES_OF_UNLABELLED = 10
"""That random labels are drawn from where neither data nor recipe say how many."""
_FITTING = ("projected", "cell", "uniform")
"""Path samplers, of which a recipe that names none takes the first that fits the space."""


@dataclass(frozen=True)
class Subject(Generic[RecipeT]):
    """What a training on images is about, checked and with nothing left open.

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


Fit = Callable[[RecipeT, ImageData], tuple[SearchSpace, RecipeT, list[str]]]
"""What is trained, fitted to open images and a recipe that is settled for them: space, recipe, and what was decided."""


def subject(
    kind: type[RecipeT],
    fit: Fit[RecipeT],
    data: Images | ImageData | str | Path,
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    devices: int,
) -> Subject[RecipeT]:
    """What a training is about.

    Args:
        kind: of recipe.
        fit: says what is trained, such as `fit_network` and `fit_supernet` with their first arguments.
        data: a name, a path, or more about how they are read.
        recipe: of that kind; a name, a YAML file, or what `to_json` gave.
        settings: that replace some of it.
        devices: that share each batch.

    Raises:
        FrugalnasError: where they do not fit.
    """
    wanted = kind.load(recipe, settings)
    found = opened(data, wanted.normalisation)
    settled, decided = settled_for(wanted, found, devices)
    space, settled, notes = fit(settled, found)
    return Subject(space, settled, found, (*found.notes, *decided, *notes))


def fit_network(
    architecture: Architecture, settings: Mapping[str, Any], recipe: Recipe, data: ImageData
) -> tuple[SearchSpace, Recipe, list[str]]:
    """The network of an architecture, fitted to its images; what the user set himself is kept, or refused."""
    expect(architecture, Architecture, "architecture", "one of a space: frugalnas.Architecture(space, code)")
    if len(data.classes) < 2 or not data.labelled:
        raise FrugalnasError(
            f"{data.name} has {len(data.classes)} classes; training needs two at least, one folder of images for each"
        )
    if recipe.teacher is not None:
        if is_import_path(recipe.teacher):
            allow("teacher", {"name": recipe.teacher})
        if Path(recipe.teacher).expanduser().exists():
            recipe = replace(recipe, teacher=str(Path(recipe.teacher).expanduser().resolve()))
    space = architecture.space.with_options(classes=len(data.classes), input_size=data.input_size)
    return space, *_buildable(space, architecture.code, recipe, settings)


def fit_supernet(
    space: SearchSpace, recipe: SupernetRecipe, data: ImageData
) -> tuple[SearchSpace, SupernetRecipe, list[str]]:
    """The supernet of a space, fitted to its images."""
    expect(space, SearchSpace, "search space", "one such as frugalnas.NASBench201()")
    notes = list[str]()
    recipe = replace(recipe, classes=_classes(recipe, data, notes))
    space = space.with_options(classes=recipe.classes, input_size=data.input_size)
    with weightless():
        supernet = supernet_of(space)
    if recipe.growing_epochs:
        recipe.until_addition(len(supernet.additions))  # says where it cannot grow so
    return space, replace(recipe, paths=_paths(recipe, space, supernet.draws)), notes


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
            with weightless():
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
