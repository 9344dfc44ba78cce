"""How good a trained network is on a part of some images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.data import ImageData, Images, Loader, SplitSpec
from frugalnas.errors import FrugalnasError
from frugalnas.networks.models import card_of, load
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.stages import trained_run
from frugalnas.training import Compute, EvaluationResult, evaluate, watching_memory
from frugalnas.trainings.images import open_described


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
