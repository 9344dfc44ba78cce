"""Train an architecture from scratch, carry on where it stopped, and say how good the network is.

Everything here is in a run's folder: `train` writes down what is to be done and then does what `resume_training` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.data import ImageData, Images, Loader, SplitSpec
from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks.saving import card_of, load
from frugalnas.runs.carrying import begun, carried_out, moved, refuse_diverged, refuse_taken, restated
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.network_trainer import network_identity, run_training
from frugalnas.runs.planning import TrainingPlan, plan
from frugalnas.runs.preparing import (
    build_network,
    check_compile,
    describe,
    fill,
    open_described,
    prepare,
    too_large,
    warm_start,
)
from frugalnas.runs.stages import trained_run
from frugalnas.runs.watching import TrainingCallback
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.training import Compute, EvaluationResult, Recipe, evaluate, watching_memory
from frugalnas.trust import give, opening

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
class TrainingResult:
    """What a training has come to.

    Attributes:
        space: with the sizes of the network that was trained (width, input size, classes).
        code: the architecture, shape [genes].
        architecture: its text, or the known name it was asked for by.
        epochs: one record per epoch: "epoch" (from 1), "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"
            (without validation images the last two are None).
        test: on the test images, once, at the end; None before that, and where there are none or they were not asked for.
        selected: the epoch whose weights are the result; 0 before the first one.
        total_epochs: how many the recipe asks for.
        params: without auxiliary head.
        macs: multiply-adds of one image.
        seconds: wall time so far.
        notes: what was decided about the data (input size, split, skipped images).
        finished: whether the model is in `model`.
        restarts: epochs after which the schedule of the learning rate started anew.
        diverged: how the training diverged after these epochs; None where it did not.
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
    restarts: tuple[int, ...] = ()
    diverged: str | None = None

    @property
    def model(self) -> Path:
        """The folder of the finished model, which `load` and `frugalnas export` read."""
        return self.run_dir / "model"


def train(
    architecture: Architecture,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    weights: Path | str | None = None,
    test: bool = True,
    callbacks: Sequence[TrainingCallback] = (),
) -> TrainingResult:
    """The result of training one architecture.

    Args:
        architecture: its space's sizes are kept, but for the classes and the input size, which the data decide.
        data: a name ("digits", "cifar10", ...), a path, or more about how they are read; those already open are taken as
            they are.
        recipe: a name (`frugalnas.training.recipes()` lists them) or a YAML file.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30, "augmentation.cutout": 8}; text is read as YAML.
        compute: where, and how exactly.
        seed: of weights, order and augmentation; a split has its own.
        weights: start from these: a run's folder, a model's folder, a safetensors file or a published checkpoint; a
            classifier for other classes starts anew.
        test: whether the test images are looked at, once, at the end; a network that is only to be compared with others
            has no business with them.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.
    """
    path = Path(run_dir)
    refuse_taken(path)
    compute = compute.here()
    give(settings)
    prepared = prepare(architecture, data, recipe, settings, compute.devices)
    check_compile(prepared.recipe, compute.compile)
    network = build_network(prepared.space, prepared.code, prepared.recipe, seed)
    if weights is not None:
        prepared.notes += warm_start(network, Path(weights), prepared.space, prepared.code)
    else:
        prepared.notes += too_large(network, prepared.data)
    folder = RunFolder.create(
        path,
        describe(prepared, network, seed, compute, weights, test),
        lambda draft: fill(draft, prepared.data, network),
    )
    with begun(folder):
        return _carry_on(folder, callbacks, prepared.data)


@opening
def resume_training(
    run_dir: Path | str,
    *,
    device: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    callbacks: Sequence[TrainingCallback] = (),
    trust: bool = False,
) -> TrainingResult:
    """The result of carrying on with a training, with the same weights as if it had never stopped (on a CPU bit for bit).

    Args:
        run_dir: the run's folder.
        device: another than it began on, from now on; None keeps it.
        epochs: in all, where the training is to go on for longer: the learning rate's schedule is then stated anew for the
            epochs that are left (a warm restart), and the run's notes say so. A finished run goes on from its end.
        lr: at which it starts anew; None is the recipe's.
        callbacks: are told what happens.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where there is no such run, its data have changed, or its checkpoints are another's.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("training")
    moved(folder, device)
    restated(folder, Recipe, epochs, lr, folder.path / "test.json", network_identity(folder))
    if device is None and epochs is None and lr is None:
        refuse_diverged(folder, f"frugalnas resume {folder.path} --lr X goes on from there at another rate")
    return _carry_on(folder, callbacks, None)


@opening
def load_training(run_dir: Path | str, *, trust: bool = False) -> TrainingResult:
    """What a training has come to so far, from its folder alone; nothing is computed."""
    folder = RunFolder(Path(run_dir))
    folder.expect("training")
    config = folder.config
    space = build_space(config["space"])
    records, diverged = folder.epochs()
    test, selected, finished = None, len(records), False
    try:
        final = read_json((folder.path / "test.json").read_text(encoding="utf-8"), "test.json")
        test = None if final["test"] is None else EvaluationResult.from_json(final["test"])
        selected, finished = final["selected"], True
    except OSError:
        pass
    except (ValueError, KeyError, TypeError):
        raise RunFolderError(f"{folder.path / 'test.json'} is damaged; remove it and resume to test again") from None
    return TrainingResult(
        space=space,
        code=space.parse(config["architecture"]),
        architecture=config["name"],
        epochs=records,
        restarts=tuple(config.get("restarts", ())),
        diverged=diverged,
        test=test,
        selected=selected,
        total_epochs=config["recipe"]["epochs"],
        params=int(config["counts"]["params"]),
        macs=int(config["counts"]["macs"]),
        seconds=folder.seconds(),
        notes=tuple(config["notes"]),
        finished=finished,
        run_dir=folder.path,
    )


def evaluate_run(
    run_dir: Path | str,
    data: Images | str | Path | None = None,
    *,
    part: str = "test",
    batch_size: int | None = None,
    compute: Compute = Compute(),
) -> EvaluationResult:
    """How well a finished model does on a part of the data.

    Args:
        run_dir: a training run's folder, or a model's folder.
        data: None is what the run was trained on, with its split; other data must have the same class names, or some of
            them, and is preprocessed as in training.
        part: "train", "val" or "test"; other data that have no test part are evaluated on whole.
        batch_size: images at once; None is the recipe's.
        compute: on one device.
    """
    path = trained_run(run_dir)
    network = load(path)
    card = card_of(network)
    opened = _data_to_evaluate(path, data, card.preprocessing)
    unknown = [name for name in opened.classes if name not in card.classes]
    if unknown or not opened.classes:
        raise FrugalnasError(
            f"{opened.name} has the classes {_listed(opened.classes) or '(none)'}, but the network tells apart "
            f"{_listed(card.classes)}{f': {unknown[0]!r} is not among them' if unknown else ''}; give data with these class "
            f"folders, or some of them"
        )
    held = opened.parts.get(part)
    if held is None and part == "test" and opened.split.spec == _WHOLE:
        held = opened.train  # data that come in one piece
    if held is None:
        raise FrugalnasError(f"{opened.name} has no part {part!r}; choose one of: {', '.join(opened.parts)}")
    fabric = compute.fabric()
    fabric.launch()
    network = network.to(fabric.device)
    # Measured on the training images of the run, and so part of the network.
    assert held.labels is not None
    number = np.array([card.classes.index(name) for name in opened.classes], dtype=np.int64)
    chosen = replace(held, preprocessing=card.preprocessing, labels=number[held.labels])
    size = batch_size or int(card.provenance.get("recipe", {}).get("batch_size", 128))
    batches = Loader(chosen, batch_size=size, device=fabric.device, workers=opened.workers)
    with watching_memory(f"batch_size (now {size})"), fabric.autocast():
        return evaluate(network, batches.epoch(0), tuple(card.classes), part)


# -- running -------------------------------------------------------------------------------------------------------------


def _carry_on(folder: RunFolder, callbacks: Sequence[TrainingCallback], data: ImageData | None) -> TrainingResult:
    several = folder.config["device"]["devices"] > 1
    carried_out(folder, folder.path / "test.json", run_training, callbacks, None if several else data)
    result = load_training(folder.path)
    for callback in callbacks:
        callback.on_stop(result)
    return result


def _data_to_evaluate(path: Path, data: Images | str | Path | None, preprocessing: Mapping[str, Any]) -> ImageData:
    folder = RunFolder(path) if (path / "config.yaml").exists() else None
    images = data if isinstance(data, Images) or data is None else Images(data)
    if folder is not None:
        trained_on = folder.config["data"]["spec"]
        if images is None or trained_on in (str(images.spec), images.located().spec):
            return open_described(folder)
    if images is None:
        raise FrugalnasError(f"{path} does not say where its data are; name them with `data`")
    return replace(images, input_size=int(preprocessing["input_size"]), split=_WHOLE).open(
        resize=preprocessing.get("resize"),
        interpolation=preprocessing.get("interpolation", "bilinear"),
        normalisation={name: preprocessing[name] for name in ("mean", "std", "channels") if name in preprocessing},
        white=preprocessing.get("white"),
    )


_WHOLE = SplitSpec("whole", val=0.0, test=0.0)
"""Nothing is held out of data that are only evaluated on."""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ... ({len(names)})" if len(names) > 5 else shown
