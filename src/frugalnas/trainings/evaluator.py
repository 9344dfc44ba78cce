"""Real training as what answers a search: every architecture that is asked for becomes a training run of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from frugalnas.documents import record
from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings, surroundings, told, unknown_name
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.registry import constructor_options
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import resume_run
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.strict_json import to_json
from frugalnas.trust import give

if TYPE_CHECKING:
    from frugalnas.data import ImageData, Images
    from frugalnas.training import Compute
    from frugalnas.trainings.network import TrainingResult

SELECTIONS = {"best": "best validation accuracy, %", "last5": "mean validation accuracy of the last five epochs, %"}
"""What an architecture may be worth, by name, and what people call it."""
LAST = 5
SIZES = {"width": ("width",), "layers": ("layers", "cells")}
"""Sizes of networks, and what spaces call them."""
PROXY = {"width": 16, "layers": 8}
"""Networks in which DARTS, NPENAS and SSNENAS compare cells of the DARTS space on CIFAR-10."""


class Flat(NamedTuple):
    """What an option that stands in a row with others is a field of: on a command line, and in runs of older versions."""

    part: str
    field: str
    hint: Any


FLAT = {
    "data": Flat("images", "spec", str),
    "root": Flat("images", "root", str | None),
    "download": Flat("images", "download", bool),
    "split": Flat("images", "split", str | None),
    "input_size": Flat("images", "input_size", int | None),
    "max_corrupt": Flat("images", "max_corrupt", int),
    "loaders": Flat("images", "workers", int),
    "device": Flat("compute", "device", Literal["auto", "cpu", "cuda", "mps"]),
    "precision": Flat("compute", "precision", Literal["32", "bf16", "16"]),
    "channels_last": Flat("compute", "channels_last", bool),
    "epochs": Flat("settings", "epochs", int | None),
    "batch_size": Flat("settings", "batch_size", int | None),
    "lr": Flat("settings", "lr", float | None),
    "width": Flat("sizes", "width", int | None),
    "layers": Flat("sizes", "layers", int | None),
}
"""Options by the names that a person types."""


class TrainingEvaluator(Evaluator):
    """Trains each architecture from scratch and answers with its validation accuracy in %.

    Every trial is a training run, `evaluations/NNNNNN/training` in the search's folder, with journal, checkpoints and
    model; one that was killed goes on where it stopped. Validation images come from the training set; the test images are
    not looked at, they are for the network that is retrained in the end. What fails is a failed row and nothing is ever
    predicted in its place: no number is a pseudo-label. Images are opened once in each process that trains.

    Metrics of an evaluation, for `frugalnas runs rank`: "best" and "last5", the two selections, and "params" and "macs"
    of the network that was trained, which may be smaller than the space's.

    Args:
        space: that is searched; it has to build networks.
        images: which, and how they are read: an `Images`, its fields by name, or a name or path alone.
        compute: where each is trained, and how exactly: a `Compute`, or its fields by name.
        recipe: how each is trained: a name (frugalnas list --recipes) or a YAML file.
        settings: of the recipe, such as {"epochs": 50, "augmentation.cutout": 8}, or "augmentation.cutout=8,clip_norm=5".
        select: what an architecture is worth: best, its best validation accuracy, or last5, the mean of its last five.
        sizes: of the networks that are trained: "width", their channels, and "layers", their cells; what is not named is
            the space's, in a CIFAR network of darts 16 channels and 8 cells.
        seed: of weights, order and augmentation, the same for every architecture.

    Raises:
        FrugalnasError: before anything is trained, where data, recipe and space do not fit or nothing validates.
    """

    flat = FLAT
    measures = ("best", "last5", "params", "macs")

    def __init__(
        self,
        space: SearchSpace,
        *,
        images: Images | Mapping[str, Any] | str = "digits",
        compute: Compute | Mapping[str, Any] | None = None,
        recipe: str = "default",
        settings: str | Mapping[str, Any] | None = None,
        select: Literal["best", "last5"] = "best",
        sizes: Mapping[str, int | None] | None = None,
        seed: int = 0,
    ) -> None:
        from frugalnas.data import Images
        from frugalnas.training import Compute

        if select not in SELECTIONS:
            raise unknown_name("evaluator.select", select, SELECTIONS)
        if not space.skeleton:
            raise FrugalnasError(
                f"{space.name} builds no networks, so nothing can be trained; set its attribute skeleton"
            )
        proxy = PROXY if getattr(space, "macro", None) == "cifar" else {}
        found = record(
            Images, {"spec": images} if isinstance(images, (str, Path)) else images, "evaluator.images"
        ).located()
        self.space = space
        self.images: Images = replace(found, split=_found(found.split) if isinstance(found.split, str) else found.split)
        where = record(Compute, compute or {}, "evaluator.compute")
        self.compute: Compute = replace(where, channels_last=bool(where.channels_last))
        self.recipe = _found(recipe) if Path(recipe).suffix in (".yaml", ".yml") else recipe
        self.settings = _settings(settings)
        give(self.settings)
        self.select = select
        self.sizes = {**proxy, **{name: size for name, size in (sizes or {}).items() if size is not None}}
        self.seed = seed
        self.trained = self._sized()
        self._data: ImageData | None = None
        self._data = self._checked()
        self._normalisation = self._data.normalisation

    def __getstate__(self) -> dict[str, Any]:
        """Other processes open the images themselves."""
        return {**self.__dict__, "_data": None}

    @classmethod
    def nested(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the constructor takes them, from such that stand in a row; see `Evaluator.flat`."""
        options, images = dict(options), options.get("images")
        if "settings" in options:
            options["settings"] = _settings(options["settings"])
        if isinstance(images, str):
            options["images"] = {"spec": images}
        return super().nested(options)

    @classmethod
    def subject(cls, options: Mapping[str, Any]) -> str:
        """See `Evaluator.subject`: the images."""
        return f"training:{Path(options.get('images', {}).get('spec', 'digits')).name}"

    # -- what is trained -----------------------------------------------------------------------------------------------

    def _sized(self) -> SearchSpace:
        """The space of the networks that are trained: without limits, which are those of the space that is searched."""
        known = constructor_options(type(self.space))
        sizes = {}
        for size, value in self.sizes.items():
            if size not in SIZES:
                raise unknown_name("size of evaluator.sizes", size, SIZES)
            name = next((name for name in SIZES[size] if name in known), None)
            if name is None:
                raise FrugalnasError(
                    f"evaluator.{size}={value}: networks of {self.space.name} have no such size; leave it out"
                )
            sizes[name] = value
        return self.space.with_options(**sizes) if sizes else self.space

    def _checked(self) -> ImageData:
        """The images, opened; what would fail for every architecture is refused, as a search would spend its budget on it."""
        from frugalnas.trainings.network import proposed_training

        code = self.space.sample(1, np.random.default_rng(0))[0]
        try:
            how: dict[str, Any] = {"settings": self.settings, "compute": self.compute}
            data: ImageData = proposed_training(
                Architecture(self.trained, code), self.images, self.recipe, **how
            ).handed["data"]
        except FrugalnasError as error:
            said = str(error)
            for name in (
                *FLAT,
                *constructor_options(type(self)),
            ):  # an argument of a training is one of the evaluator here
                said = said.replace(f"`{name}`", f"`evaluator.{name}`")
            raise type(error)(said) from None
        if data.val is None or not len(data.val):
            raise FrugalnasError(
                f"{data.name} has no validation images, by which architectures are compared; set "
                "`evaluator.split`=default or half"
            )
        return data

    # -- evaluating ----------------------------------------------------------------------------------------------------

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The validation accuracy of each architecture, after a training of its own."""
        rows = []
        for row, code in enumerate(trials.codes):
            path = workdir / ("training" if row == 0 else f"training-{row + 1}")
            try:
                rows.append(self._row(self._trained(code, path)))
            except Exception as error:
                lack = surroundings(error)
                if lack is None or isinstance(error, Surroundings):  # whoever reads data does not know of the search
                    lack = self._lost(error) or lack
                if lack is not None:
                    raise lack from error
                rows.append({"error": told(error)})
        values = [row.get(self.select, np.nan) for row in rows]
        metrics = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in self.measures}
        return Evaluations(np.array(values, np.float64), metrics, tuple(row.get("error") for row in rows))

    def _lost(self, error: Exception) -> Surroundings | None:
        """What every training needs and no longer has, None where an error is that of one architecture."""
        if isinstance(error, FileNotFoundError):
            return Surroundings(f"{error.filename or told(error)} is gone; put it back, then go on")
        try:
            self._checked()
        except Exception as missing:  # when the search began, all was well
            return Surroundings(f"{told(missing)}; put the data back as they were, then go on")
        return None

    def _trained(self, code: Codes, path: Path) -> TrainingResult:
        from frugalnas.trainings.network import train

        if (path / "config.yaml").exists():
            text, own = self.trained.format(code), RunFolder(path).config["architecture"]
            if text != own:
                raise RunFolderError(f"{path} trains {own}, not {text}; give the search a folder of its own")
            resumed: TrainingResult = resume_run(path)
            return resumed
        return train(
            Architecture(self.trained, code),
            self._data or _open(to_json(self.images.to_json()), to_json(self._normalisation)),
            self.recipe,
            run_dir=path,
            settings=self.settings,
            compute=self.compute,
            seed=self.seed,
            test=False,
        )

    def _row(self, result: TrainingResult) -> dict[str, Any]:
        accuracies = [record["val_accuracy"] for record in result.epochs]
        return {
            "best": max(accuracies),
            "last5": float(np.mean(accuracies[-LAST:])),
            "params": float(result.params),
            "macs": float(result.macs),
        }


@lru_cache(maxsize=1)
def _open(images: str, normalisation: str) -> ImageData:
    """The images, once for all architectures of a process that was sent the evaluator without them."""
    from frugalnas.data import Images

    return Images(**json.loads(images)).open(normalisation=json.loads(normalisation))


def _found(path: str) -> str:
    """A path in full, so that a run can be resumed from another folder; a name as it is."""
    expanded = Path(path).expanduser()
    return str(expanded.resolve()) if expanded.exists() else path


def _settings(settings: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings of a recipe by name, from text such as "clip_norm=5,augmentation.flip=false"."""
    if settings is None or isinstance(settings, Mapping):
        return dict(settings or {})
    pairs = [setting.strip().partition("=") for setting in settings.split(",")]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise FrugalnasError(
                f"evaluator.settings={settings!r} is not of the form NAME=VALUE,NAME=VALUE, such as clip_norm=5"
            )
    return {name.strip(): value.strip() for name, _, value in pairs}
