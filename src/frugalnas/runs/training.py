"""Train an architecture from scratch, carry on where it stopped, and say how good the network is.

Everything here is in a run's folder: `train` writes down what is to be done and then does what `resume_training` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.data import ImageData, SplitSpec, loader, open_data
from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks.saving import card_of, load
from frugalnas.runs.carrying import begun, carried_out, device_flags, moved, refuse_diverged, refuse_taken, restated
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
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.training import (
    EvaluationResult,
    Recipe,
    evaluate,
    fabric_for,
    watching_memory,
)
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
    split: str | Path | SplitSpec | None = None,
    max_corrupt: int = 0,
    workers: int = 0,
    weights: Path | str | None = None,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32",
    channels_last: bool = False,
    compile: bool = False,
    test: bool = True,
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
        seed: of weights, order and augmentation; a split has its own.
        root: where a named data set is.
        download: whether it may be fetched.
        input_size: pixels; None lets the data decide.
        split: name or file of a split, or how to draw one; None is the data's own.
        max_corrupt: unreadable images to skip before giving up.
        workers: processes that read images, for data too large for memory.
        weights: start from these: a run's folder, a model's folder, a safetensors file or a published checkpoint; a
            classifier for other classes starts anew.
        device: "auto", "cpu", "cuda" or "mps".
        devices: how many; with several, each sees its share of every batch.
        precision: "32", "bf16" or "16" (mixed).
        channels_last: memory layout that GPUs' matrix units like.
        compile: through torch.compile.
        test: whether the test images are looked at, once, at the end; a network that is only to be compared with others
            has no business with them.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.
    """
    path = Path(run_dir)
    refuse_taken(path)
    flags = device_flags(device, devices, precision, channels_last, compile)
    give(settings)
    prepared = prepare(
        space, code, data, recipe, settings, root, download, input_size, split, max_corrupt, workers, devices
    )
    check_compile(prepared.recipe, compile)
    network = build_network(prepared.space, code, prepared.recipe, seed)
    if weights is not None:
        prepared.notes += warm_start(network, Path(weights), prepared.space, code)
    else:
        prepared.notes += too_large(network, prepared.data)
    folder = RunFolder.create(
        path,
        describe(prepared, network, architecture, seed, flags, weights, test),
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
        data: None is what the run was trained on, with its split; other data must have the same class names, or some of
            them, and is preprocessed as in training.
        part: "train", "val" or "test"; other data that have no test part are evaluated on whole.
        root: where a named data set is.
        download: whether it may be fetched.
        max_corrupt: unreadable images to skip before giving up.
        workers: processes that read images.
        batch_size: images at once; None is the recipe's.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "32", "bf16" or "16".
    """
    path = trained_run(run_dir)
    network = load(path)
    card = card_of(network)
    opened = _data_to_evaluate(path, data, card.preprocessing, root, download, max_corrupt, workers)
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
    fabric = fabric_for(device, 1, precision)
    fabric.launch()
    network = network.to(fabric.device)
    # Measured on the training images of the run, and so part of the network.
    assert held.labels is not None
    number = np.array([card.classes.index(name) for name in opened.classes], dtype=np.int64)
    chosen = replace(held, preprocessing=card.preprocessing, labels=number[held.labels])
    size = batch_size or int(card.provenance.get("recipe", {}).get("batch_size", 128))
    batches = loader(chosen, batch_size=size, device=fabric.device, workers=workers)
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


def _data_to_evaluate(
    path: Path,
    data: str | Path | None,
    preprocessing: Mapping[str, Any],
    root: Path | str | None,
    download: bool,
    max_corrupt: int,
    workers: int,
) -> ImageData:
    folder = RunFolder(path) if (path / "config.yaml").exists() else None
    if folder is not None:
        trained_on = folder.config["data"]["spec"]
        if data is None or str(data) == trained_on or str(Path(data).expanduser().resolve()) == trained_on:
            return open_described(folder)
    if data is None:
        raise FrugalnasError(f"{path} does not say where its data are; name them with --data")
    return open_data(
        data,
        root=root,
        download=download,
        input_size=int(preprocessing["input_size"]),
        resize=preprocessing.get("resize"),
        interpolation=preprocessing.get("interpolation", "bilinear"),
        normalisation={name: preprocessing[name] for name in ("mean", "std", "channels") if name in preprocessing},
        white=preprocessing.get("white"),
        split=_WHOLE,
        max_corrupt=max_corrupt,
        workers=workers,
    )


_WHOLE = SplitSpec("whole", val=0.0, test=0.0)
"""Nothing is held out of data that are only evaluated on."""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ... ({len(names)})" if len(names) > 5 else shown
