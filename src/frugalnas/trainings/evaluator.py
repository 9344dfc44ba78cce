"""Real training as what answers a search: every architecture that is asked for becomes a training run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings, surroundings, told, unknown_name
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.registry import constructor_options
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import resume_run
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.trust import give

if TYPE_CHECKING:
    from frugalnas.data import Images
    from frugalnas.training import Compute
    from frugalnas.trainings.network import TrainingResult

SELECTIONS = {"best": "best validation accuracy, %", "last5": "mean validation accuracy of the last five epochs, %"}
"""What an architecture may be worth, by name, and what people call it."""
LAST = 5
PROXY = {"width": 16, "layers": 8}
"""Networks in which DARTS, NPENAS and SSNENAS compare cells of the DARTS space on CIFAR-10."""


class TrainingEvaluator(Evaluator):
    """Trains each architecture from scratch and answers with its validation accuracy in %.

    Every trial is a training run, `evaluations/NNNNNN/training` in the search's folder, with journal, checkpoints and
    model; one that was killed goes on where it stopped. Validation images come from the training set; the test images are
    not looked at, they are for the network that is retrained in the end. What fails is a failed row and nothing is ever
    predicted in its place: no number is a pseudo-label.

    Metrics of an evaluation, for `frugalnas runs rank`: "best" and "last5", the two selections, and "params" and "macs"
    of the network that was trained, which may be smaller than the space's.

    Args:
        space: that is searched; it has to build networks.
        data: "digits", "cifar10", "cifar100", or a folder or file of your own images.
        recipe: how each is trained: a name (frugalnas list --recipes) or a YAML file.
        epochs: the recipe's.
        batch_size: the recipe's images a step.
        lr: the recipe's learning rate.
        settings: further settings of the recipe, as in "augmentation.cutout=8,clip_norm=5".
        select: what an architecture is worth: best, its best validation accuracy, or last5, the mean of its last five.
        width: channels of the networks that are trained; none takes the space's, in a CIFAR network of darts 16.
        layers: cells of them; none takes the space's, in a CIFAR network of darts 8.
        root: where the files of named data are.
        download: whether CIFAR may be fetched.
        split: which images validate: default, half (as in the papers), or a file.
        input_size: side of the square images.
        max_corrupt: unreadable images to skip.
        loaders: processes that read images, for data too large for memory.
        seed: of weights, order and augmentation, the same for every architecture.
        device: auto, cpu, cuda or mps.
        precision: 32, bf16 or 16.
        channels_last: memory layout that GPUs' matrix units like.

    Raises:
        FrugalnasError: before anything is trained, where data, recipe and space do not fit or nothing validates.
    """

    measures = ("best", "last5", "params", "macs")

    def __init__(
        self,
        space: SearchSpace,
        *,
        data: str = "digits",
        recipe: str = "default",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        settings: str | Mapping[str, Any] | None = None,
        select: Literal["best", "last5"] = "best",
        width: int | None = None,
        layers: int | None = None,
        root: str | None = None,
        download: bool = False,
        split: str | None = None,
        input_size: int | None = None,
        max_corrupt: int = 0,
        loaders: int = 0,
        seed: int = 0,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        precision: Literal["32", "bf16", "16"] = "32",
        channels_last: bool = False,
    ) -> None:
        if select not in SELECTIONS:
            raise unknown_name("evaluator.select", select, SELECTIONS)
        if not space.skeleton:
            raise FrugalnasError(f"{space.name} builds no networks, so nothing can be trained; set its `skeleton`")
        proxy = PROXY if getattr(space, "macro", None) == "cifar" else {}
        self.space = space
        self.data = data if data == "digits" else _found(data)  # as `data.located`, which needs torch
        self.recipe = _found(recipe) if Path(recipe).suffix in (".yaml", ".yml") else recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.settings = _settings(settings)
        give(self.settings)
        self.select = select
        self.width = proxy.get("width") if width is None else width
        self.layers = proxy.get("layers") if layers is None else layers
        self.root = None if root is None else str(Path(root).expanduser().resolve())
        self.download = download
        self.split = None if split is None else _found(split)
        self.input_size = input_size
        self.max_corrupt = max_corrupt
        self.loaders = loaders
        self.seed = seed
        self.device = device
        self.precision = precision
        self.channels_last = channels_last
        self.trained = self._sized()
        self._check()

    # -- what is trained -----------------------------------------------------------------------------------------------

    def _sized(self) -> SearchSpace:
        """The space of the networks that are trained: without limits, which are those of the space that is searched."""
        known = constructor_options(type(self.space))
        sizes = {}
        for option, value, names in (("width", self.width, ("width",)), ("layers", self.layers, ("layers", "cells"))):
            name = next((name for name in names if name in known), None)
            if value is None:
                continue
            if name is None:
                raise FrugalnasError(
                    f"evaluator.{option}={value}: networks of {self.space.name} have no such size; leave it out"
                )
            sizes[name] = value
        return self.space.with_options(**sizes) if sizes else self.space

    def _recipe_settings(self) -> dict[str, Any]:
        own = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        return {**(self.settings or {}), **{name: value for name, value in own.items() if value is not None}}

    def _check(self) -> None:
        """Refuse what would fail for every architecture: a search would spend its budget on it."""
        from frugalnas.trainings.fitting import fitted_network

        code = self.space.sample(1, np.random.default_rng(0))[0]
        try:
            self._compute().here()
            fitted = fitted_network(
                Architecture(self.trained, code), self._images(), self.recipe, self._recipe_settings(), 1
            )
        except FrugalnasError as error:
            said = str(error)
            for name in constructor_options(
                type(self)
            ):  # what is an argument of a training is one of the evaluator here
                said = said.replace(f"`{name}`", f"`evaluator.{name}`")
            raise type(error)(said) from None
        if fitted.data.val is None or not len(fitted.data.val):
            raise FrugalnasError(
                f"{fitted.data.name} has no validation images, by which architectures are compared; set "
                "`evaluator.split`=default or half"
            )

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
            self._check()
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
            self._images(),
            self.recipe,
            run_dir=path,
            settings=self._recipe_settings(),
            compute=self._compute(),
            seed=self.seed,
            test=False,
        )

    def _images(self) -> Images:
        from frugalnas.data import Images

        size, split = self.input_size, self.split
        return Images(self.data, self.root, self.download, size, split, self.max_corrupt, self.loaders)

    def _compute(self) -> Compute:
        from frugalnas.training import Compute

        return Compute(self.device, 1, self.precision, self.channels_last)

    def _row(self, result: TrainingResult) -> dict[str, Any]:
        accuracies = [record["val_accuracy"] for record in result.epochs]
        return {
            "best": max(accuracies),
            "last5": float(np.mean(accuracies[-LAST:])),
            "params": float(result.params),
            "macs": float(result.macs),
        }


def _found(path: str) -> str:
    """A path in full, so that a run can be resumed from another folder; a name as it is."""
    expanded = Path(path).expanduser()
    return str(expanded.resolve()) if expanded.exists() else path


def _settings(settings: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Settings of a recipe by name, from text such as "clip_norm=5,augmentation.flip=false"."""
    if settings is None or isinstance(settings, Mapping):
        return None if settings is None else dict(settings)
    pairs = [setting.strip().partition("=") for setting in settings.split(",")]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise FrugalnasError(
                f"evaluator.settings={settings!r} is not of the form NAME=VALUE,NAME=VALUE, such as clip_norm=5"
            )
    return {name.strip(): value.strip() for name, _, value in pairs}
