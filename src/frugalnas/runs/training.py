"""Train an architecture from scratch, carry on where it stopped, and say how good the network is.

Everything here is in a run's folder: `train` writes down what is to be done and then does what `resume_training` does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import frugalnas
from frugalnas.data import Augmentation, ImageData, SplitSpec, loader, open_data
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks import build
from frugalnas.networks.checkpoints import import_weights
from frugalnas.networks.saving import card_of, load_model, tensors_of
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.trainer import (
    INITIAL,
    build_network,
    counts_of,
    loaders_for,
    open_described,
    run_training,
)
from frugalnas.runs.watching import TrainingCallback
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.training import (
    EvaluationResult,
    Objective,
    Position,
    Recipe,
    WeightStep,
    check_device,
    evaluate,
    fabric_for,
    isolated,
    launched,
    load_recipe,
    optimizer_for,
    schedule_for,
    watching_memory,
    write_tensors,
)

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
    split: str | Path | SplitSpec | None = None,
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
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.
    """
    prepared = _prepare(
        space, code, data, recipe, settings, root, download, input_size, split, max_corrupt, workers, devices
    )
    path = Path(run_dir)
    if path.exists():
        raise RunFolderError(
            f"{path} is already there; continue it with: frugalnas resume {path}, or choose another --run-dir"
        )
    flags = {
        "device": check_device(device, devices, precision),
        "devices": devices,
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
    }
    _check_compile(prepared.recipe, compile)
    network = build_network(prepared.space, code, prepared.recipe, seed)
    if weights is not None:
        prepared.notes += _warm_start(network, Path(weights), prepared.space, code)
    folder = RunFolder.create(
        path,
        _config(prepared, network, architecture, seed, flags, weights),
        lambda draft: _fill(draft, prepared, network),
    )
    try:
        return _carry_on(folder, callbacks, prepared.data)
    except FrugalnasError:
        if not any((path / "checkpoints").glob("step-*")):
            shutil.rmtree(path)  # nothing to go on with
        raise


def resume_training(run_dir: Path | str, *, callbacks: Sequence[TrainingCallback] = ()) -> TrainingResult:
    """The result of carrying on with a training, with the same weights as if it had never stopped (on a CPU bit for bit)."""
    folder = RunFolder(Path(run_dir))
    folder.expect("training")
    return _carry_on(folder, callbacks, None)


def load_training(run_dir: Path | str) -> TrainingResult:
    """What a training has come to so far, from its folder alone; nothing is computed."""
    folder = RunFolder(Path(run_dir))
    folder.expect("training")
    config = folder.config
    space = build_space(config["space"])
    records = tuple(folder.lines())
    test, selected, finished = None, len(records), False
    try:
        final = json.loads((folder.path / "test.json").read_text(encoding="utf-8"))
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
    path = Path(run_dir)
    network = load_model(path)
    card = card_of(network)
    opened = _data_to_evaluate(path, data, card.preprocessing, root, download, max_corrupt, workers)
    if opened.classes != tuple(card.classes):
        raise FrugalnasError(
            f"{opened.name} has the classes {_listed(opened.classes)}, but the network tells apart {_listed(card.classes)}; "
            f"give data with the same class folders"
        )
    if part not in opened.parts:
        raise FrugalnasError(f"{opened.name} has no part {part!r}; choose one of: {', '.join(opened.parts)}")
    fabric = fabric_for(device, 1, precision)
    fabric.launch()
    network = network.to(fabric.device)
    # Measured on the training images of the run, and so part of the network.
    chosen = replace(opened.parts[part], preprocessing=card.preprocessing)
    size = batch_size or int(card.provenance.get("recipe", {}).get("batch_size", 128))
    batches = loader(chosen, batch_size=size, device=fabric.device, workers=workers)
    with watching_memory(f"batch_size (now {size})"), fabric.autocast():
        return evaluate(network, batches.epoch(0), opened.classes, part)


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
    split: str | Path | SplitSpec | None = None,
    max_corrupt: int = 0,
    workers: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32",
    channels_last: bool = False,
    compile: bool = False,
) -> TrainingPlan:
    """What `train` with the same arguments would do, and about how long it would take."""
    prepared = _prepare(
        space, code, data, recipe, settings, root, download, input_size, split, max_corrupt, workers, devices
    )
    check_device(device, devices, precision)
    _check_compile(prepared.recipe, compile)
    network = build_network(prepared.space, code, prepared.recipe, 0)
    counts = counts_of(network, prepared.data.input_size)
    images = {name: len(part) for name, part in prepared.data.parts.items()}
    epochs = prepared.recipe.epochs or 0
    steps_per_epoch = len(prepared.data.train) // prepared.recipe.batch_size
    with watching_memory(f"batch_size (now {prepared.recipe.batch_size})"):
        step = _seconds_a_step(prepared, network, device, devices, precision, channels_last, compile)
    # A validation image takes a third of a training image's time: a forward pass of three passes.
    steps = epochs * (steps_per_epoch + images.get("val", 0) / prepared.recipe.batch_size / 3)
    return TrainingPlan(
        space=prepared.space,
        recipe=prepared.recipe.to_json(),
        images=images,
        classes=prepared.data.classes,
        input_size=prepared.data.input_size,
        params=int(counts["params"]),
        macs=int(counts["macs"]),
        steps_per_epoch=steps_per_epoch,
        steps=epochs * steps_per_epoch,
        seconds=steps * step,
        notes=tuple(prepared.notes),
    )


# -- preparing -----------------------------------------------------------------------------------------------------------


@dataclass
class _Prepared:
    """What a training is about, checked and with nothing left open."""

    space: SearchSpace
    code: Codes
    recipe: Recipe
    data: ImageData
    workers: int
    notes: list[str] = field(default_factory=list)


def _prepare(
    space: SearchSpace,
    code: Codes,
    data: str | Path,
    recipe: str | Path,
    settings: Mapping[str, Any] | None,
    root: Path | str | None,
    download: bool,
    input_size: int | None,
    split: str | Path | SplitSpec | None,
    max_corrupt: int,
    workers: int,
    devices: int,
) -> _Prepared:
    wanted = load_recipe(recipe, settings)
    spec = str(Path(data).expanduser().resolve()) if Path(data).expanduser().exists() else str(data)
    opened = open_data(
        spec,
        root=None if root is None else Path(root).expanduser().resolve(),
        download=download,
        input_size=input_size,
        normalisation=wanted.normalisation,
        split=split,
        max_corrupt=max_corrupt,
        workers=workers,
    )
    if len(opened.classes) < 2 or not opened.labelled:
        raise FrugalnasError(
            f"{opened.name} has {len(opened.classes)} classes; training needs two at least, one folder of images for each"
        )
    wanted = wanted.settled(len(opened.train), devices)
    wanted = replace(wanted, augmentation=_augmentation(wanted.augmentation, opened).to_dict())
    space = space.with_network(classes=len(opened.classes), input_size=opened.input_size)
    wanted, notes = _fitting(space, code, wanted, settings or {})
    return _Prepared(space, code, wanted, opened, workers, [*opened.notes, *notes])


def _augmentation(settings: Mapping[str, Any], data: ImageData) -> Augmentation:
    """A recipe's augmentation, with its base filled in."""
    own = dict(settings)
    base = own.pop("base", None)
    if base is None:
        return Augmentation.of(own)
    start = data.suggested if base == "suggested" else Augmentation.of(str(base))
    return Augmentation.of({**start.to_dict(), **own})


def _fitting(space: SearchSpace, code: Codes, recipe: Recipe, settings: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe without what the networks of this space do not have, and a note on each thing left out.

    What the user set himself is not left out but refused.
    """
    notes = []
    for name, nothing in (("auxiliary", None), ("drop_path", 0.0)):
        if not getattr(recipe, name) or name in settings:
            continue
        others = {"auxiliary": None, "drop_path": 0.0, name: getattr(recipe, name)}
        try:
            with torch.device("meta"):
                build(space, code, **others)
        except FrugalnasError as error:
            recipe = replace(recipe, **{name: nothing})
            notes.append(f"{name} of recipe {recipe.name} left out: {error}")
    return recipe, notes


def _check_compile(recipe: Recipe, compile: bool) -> None:
    if compile and recipe.drop_path and recipe.drop_path_ramp:
        raise FrugalnasError(
            "with a drop-path probability that grows, --compile would compile the network anew in every epoch; set "
            "drop_path_ramp=false, or drop_path=0, or leave --compile out"
        )


def _config(
    prepared: _Prepared,
    network: nn.Module,
    name: str | None,
    seed: int,
    flags: Mapping[str, Any],
    weights: Path | str | None,
) -> dict[str, Any]:
    data = prepared.data
    text = prepared.space.format(prepared.code)
    return {
        "frugalnas": frugalnas.__version__,
        "kind": "training",
        "space": describe_space(prepared.space),
        "architecture": text,
        "name": name or text,
        "counts": counts_of(network, data.input_size),
        "data": {**data.description, "workers": prepared.workers, "fingerprint": data.fingerprint},
        "recipe": prepared.recipe.to_json(),
        "seed": seed,
        "device": dict(flags),
        "weights": None if weights is None else str(weights),
        "initial": _digest(network),
        "notes": list(prepared.notes),
    }


def _fill(draft: Path, prepared: _Prepared, network: nn.Module) -> None:
    """Write what a run must have from the beginning: the split and the weights that it starts from."""
    (draft / "split.json").write_text(prepared.data.split.to_json(), encoding="utf-8")
    (draft / INITIAL).parent.mkdir()
    write_tensors(draft / INITIAL, tensors_of(network), {"sha256": _digest(network)})


def _digest(network: nn.Module) -> str:
    """SHA-256 of a network's tensors, in the order of their names."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors_of(network).items()):
        hashed.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def _warm_start(network: nn.Module, source: Path, space: SearchSpace, code: Codes) -> list[str]:
    """Put saved weights into a network; what was not taken, for the user.

    A classifier for another number of classes, and auxiliary heads that one side lacks, stay as they are.
    """
    if source.is_dir():
        saved = tensors_of(load_model(source))
    elif source.is_file():
        saved = tensors_of(import_weights(source, space, code).network)
    else:
        raise FrugalnasError(
            f"there are no weights at {source}; give a run's folder, a model's folder or a file of weights"
        )
    own = network.state_dict()
    taken: dict[str, Tensor] = {}
    anew, differing = [], []
    for name, tensor in own.items():
        if name in saved and saved[name].shape == tensor.shape:
            taken[name] = saved[name]
        elif "auxiliary" in name or (name in saved and _other_classes(tensor, saved[name], network)):
            anew.append(name)
        else:
            there = f"has shape {list(saved[name].shape)}" if name in saved else "is missing"
            differing.append(f"{name} {there} instead of {list(tensor.shape)}")
    differing += [f"{name} has no place" for name in saved if name not in own and "auxiliary" not in name]
    if differing:
        more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise FrugalnasError(f"the weights in {source} are of another architecture: {'; '.join(differing[:3])}{more}")
    network.load_state_dict(taken, strict=False)
    notes = [f"weights from {source}"]
    return [*notes, f"starting anew: {', '.join(anew)}"] if anew else notes


def _other_classes(own: Tensor, saved: Tensor, network: nn.Module) -> bool:
    """Whether two tensors differ in the number of classes only."""
    *_, last = network.state_dict().values()
    return own.shape[1:] == saved.shape[1:] and own.ndim in (1, 2, 4) and own.shape[0] == last.shape[0]


# -- running -------------------------------------------------------------------------------------------------------------


def _carry_on(folder: RunFolder, callbacks: Sequence[TrainingCallback], data: ImageData | None) -> TrainingResult:
    flags = folder.config["device"]
    with folder.held():
        if not (folder.path / "test.json").exists():
            fabric = fabric_for(flags["device"], flags["devices"], flags["precision"])
            several = flags["devices"] > 1
            launched(fabric, run_training, folder.path, callbacks, None if several else data)
    result = load_training(folder.path)
    for callback in callbacks:
        callback.on_stop(result)
    return result


def _seconds_a_step(
    prepared: _Prepared,
    network: nn.Module,
    device: str,
    devices: int,
    precision: str,
    channels_last: bool,
    compile: bool,
) -> float:
    """Median of a few steps that train a copy of the network, on one device with its share of the batch."""
    recipe = replace(prepared.recipe, batch_size=prepared.recipe.batch_size // devices)
    fabric = fabric_for(device, 1, precision)
    fabric.launch()
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    network.to(memory_format=memory_format)  # type: ignore[call-overload] # the stubs lack it
    optimizer = optimizer_for(recipe, network)
    wrapped, wrapped_optimizer = fabric.setup(torch.compile(network) if compile else network, optimizer)
    training, _ = loaders_for(prepared.data, recipe, 0, fabric, prepared.workers)
    schedule = schedule_for(recipe, optimizer, len(training))
    step = WeightStep(
        fabric,
        wrapped,
        wrapped_optimizer,
        schedule,
        replace(recipe, teacher=None),
        Objective(replace(recipe, teacher=None), len(prepared.data.classes)),
        memory_format=memory_format,
    )
    times = []
    with isolated(0):
        for number, batch in enumerate(training.epoch(0)):
            started = time.perf_counter()
            float(step(batch, Position(0, number, recipe.epochs or 1, len(training)))["loss"])
            times.append(time.perf_counter() - started)
            if len(times) == _TIMED_STEPS + 1:
                break
    times = sorted(times[1:] or times)
    return times[len(times) // 2]


_TIMED_STEPS = 4


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
        max_corrupt=max_corrupt,
        workers=workers,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ... ({len(names)})" if len(names) > 5 else shown
