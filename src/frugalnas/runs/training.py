"""Train an architecture from scratch, carry on where it stopped, and say how good the network is.

Everything here is in a run's folder: `train` writes down what is to be done and then does what `resume_training` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frugalnas.runs.watching import TrainingCallback
from frugalnas.spaces import Codes, SearchSpace

__all__ = [
    "EvaluationResult",
    "TrainingPlan",
    "TrainingResult",
    "evaluate_run",
    "load_training",
    "plan",
    "resume_training",
    "train",
]


@dataclass(frozen=True)
class EvaluationResult:
    """How well a network does on one part of the data.

    Attributes:
        part: "train", "val" or "test".
        images: how many.
        loss: mean cross-entropy.
        top1: percentage of images whose class has the largest logit.
        top5: percentage of images whose class is among the five largest logits; 100 with five classes or fewer.
        classes: their names.
        confusion: images of class i that were taken for class j, shape [classes, classes].
        per_class: percentage right of each class, shape [classes]; nan where it has no image.
    """

    part: str
    images: int
    loss: float
    top1: float
    top5: float
    classes: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @property
    def per_class(self) -> npt.NDArray[np.float64]:
        """Percentage right of each class, shape [classes]."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain data, as test.json has it."""
        raise NotImplementedError


@dataclass(frozen=True)
class TrainingResult:
    """What a training has come to.

    Attributes:
        space: with the sizes of the network that was trained (width, input size, classes).
        code: the architecture, shape [genes].
        architecture: its text, or the known name it was asked for by.
        epochs: one record per epoch: "epoch" (from 1), "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"
            (without validation images the last two are None).
        test: on the test images, once, at the end; None before that, and where there are none.
        selected: the epoch whose weights are the result; 0 before the first one.
        total_epochs: how many the recipe asks for.
        params: without auxiliary head.
        macs: multiply-adds of one image.
        seconds: wall time so far.
        notes: what was decided about the data (input size, split, skipped images).
        finished: whether the model is in `model`.
        run_dir: the run's folder.
    """

    space: SearchSpace
    code: Codes
    architecture: str
    epochs: tuple[dict[str, Any], ...]
    test: EvaluationResult | None
    selected: int
    total_epochs: int
    params: int
    macs: int
    seconds: float
    notes: tuple[str, ...]
    finished: bool
    run_dir: Path

    @property
    def model(self) -> Path:
        """The folder of the finished model, which `load_model` and `frugalnas export` read."""
        return self.run_dir / "model"


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would do (`frugalnas train --dry-run`).

    Attributes:
        space: with the sizes that the data ask for.
        recipe: with everything settled that depends on the data, as plain values.
        images: of each part, by name.
        classes: their names.
        input_size: pixels.
        params: without auxiliary head.
        macs: of one image.
        steps_per_epoch: of the optimiser.
        steps: in all.
        seconds: estimate of the whole training on this device, from a few steps that are thrown away.
        notes: what was decided about the data.
    """

    space: SearchSpace
    recipe: Mapping[str, Any]
    images: Mapping[str, int]
    classes: tuple[str, ...]
    input_size: int
    params: int
    macs: int
    steps_per_epoch: int
    steps: int
    seconds: float
    notes: tuple[str, ...]


def train(
    space: SearchSpace,
    code: Codes,
    data: str | Path = "digits",
    recipe: str | Path = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    architecture: str | None = None,
    seed: int = 0,
    root: Path | str | None = None,
    download: bool = False,
    input_size: int | None = None,
    split: str | None = None,
    max_corrupt: int = 0,
    workers: int = 0,
    weights: Path | str | None = None,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32",
    channels_last: bool = False,
    compile: bool = False,
    callbacks: Sequence[TrainingCallback] = (),
) -> TrainingResult:
    """The result of training one architecture.

    Args:
        space: the architecture's; its sizes are kept, but for the classes and the input size, which the data decide.
        code: shape [genes].
        data: what `frugalnas.data.open_data` opens: "digits", "cifar10", a folder, ...
        recipe: a name (`frugalnas.training.recipes()` lists them) or a YAML file.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30, "augmentation.cutout": 8}; text is read as YAML.
        architecture: the name to show for it; None shows the code's text.
        seed: of weights, order, augmentation and split.
        root: where a named data set is.
        download: whether it may be fetched.
        input_size: pixels; None lets the data decide.
        split: name or file of a split; None is the data's own.
        max_corrupt: unreadable images to skip before giving up.
        workers: processes that read images, for data too large for memory.
        weights: start from these: a run's folder, a model's folder, a safetensors file or a published checkpoint; a
            classifier for other classes starts anew.
        device: "auto", "cpu", "cuda" or "mps".
        devices: how many; with several, each sees its share of every batch.
        precision: "32", "bf16" or "16" (mixed).
        channels_last: memory layout that GPUs' matrix units like.
        compile: through torch.compile.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.
    """
    raise NotImplementedError


def resume_training(run_dir: Path | str, *, callbacks: Sequence[TrainingCallback] = ()) -> TrainingResult:
    """The result of carrying on with a training, with the same weights as if it had never stopped (on a CPU bit for bit)."""
    raise NotImplementedError


def load_training(run_dir: Path | str) -> TrainingResult:
    """What a training has come to so far, from its folder alone; nothing is computed."""
    raise NotImplementedError


def evaluate_run(
    run_dir: Path | str,
    data: str | Path | None = None,
    *,
    part: str = "test",
    root: Path | str | None = None,
    download: bool = False,
    max_corrupt: int = 0,
    workers: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "32",
) -> EvaluationResult:
    """How well a finished model does on a part of the data.

    Args:
        run_dir: a training run's folder, or a model's folder.
        data: None is what the run was trained on, with its split; other data must have the same class names, and is
            preprocessed as in training.
        part: "train", "val" or "test".
        root: where a named data set is.
        download: whether it may be fetched.
        max_corrupt: unreadable images to skip before giving up.
        workers: processes that read images.
        batch_size: images at once; None is the recipe's.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "32", "bf16" or "16".
    """
    raise NotImplementedError


def plan(
    space: SearchSpace,
    code: Codes,
    data: str | Path = "digits",
    recipe: str | Path = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    root: Path | str | None = None,
    download: bool = False,
    input_size: int | None = None,
    split: str | None = None,
    max_corrupt: int = 0,
    workers: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32",
    channels_last: bool = False,
    compile: bool = False,
) -> TrainingPlan:
    """What `train` with the same arguments would do, and about how long it would take."""
    raise NotImplementedError
