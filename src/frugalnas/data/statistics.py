"""By which mean and deviation images are normalised: fixed ones by name, or those of the training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.data.image_data import Corruption, Part
from frugalnas.data.official import IMAGENET_STATISTICS
from frugalnas.data.preprocessing import CorruptImage
from frugalnas.data.sources import Found
from frugalnas.errors import FrugalnasError, unknown_name

_MEASURED = 500  # images of a streamed set that its statistics come from

NORMALISATIONS: dict[str, dict[str, Any]] = {
    "imagenet": {"mean": list(IMAGENET_STATISTICS[0]), "std": list(IMAGENET_STATISTICS[1])},
    # RLNAS: values from 0 to 1 as they are.
    "unit": {"mean": [0.0] * 3, "std": [1.0] * 3},
    # ABS: blue first, values from 0 to 255.
    "bgr255": {"mean": [0.0] * 3, "std": [1 / 255] * 3, "channels": "BGR"},
}


def statistics(
    train: Part, found: Found, wanted: str | Mapping[str, Any], notes: list[str], corruption: Corruption
) -> dict[str, Any]:
    """`mean` and `std` by channel in units of 0..1, and `channels` where it is not RGB."""
    if isinstance(wanted, Mapping):
        return _fixed(wanted)
    if wanted in NORMALISATIONS:
        return dict(NORMALISATIONS[wanted])
    if wanted != "measured":
        raise unknown_name(
            "normalisation", wanted, ["measured", *NORMALISATIONS], ", or give a mapping with mean and std"
        )
    if found.statistics is not None:
        return {"mean": list(found.statistics[0]), "std": list(found.statistics[1])}
    if not len(train):
        raise FrugalnasError("no images are left to train on")
    if train.in_memory:
        chosen = np.arange(len(train))
    else:
        chosen = np.unique(np.linspace(0, len(train) - 1, _MEASURED).astype(np.int64))
        if len(chosen) < len(train):
            notes.append(f"mean and standard deviation are those of {len(chosen)} of the {len(train)} training images")
    # Sums of whole numbers: the same on every machine.
    counts = torch.zeros(3, 256, dtype=torch.int64)
    for start in range(0, len(chosen), 1000):
        images = _readable(train, chosen[start : start + 1000], corruption)
        counts += torch.stack([torch.bincount(images[:, c].reshape(-1), minlength=256) for c in range(3)])
    values, pixels = torch.arange(256), max(int(counts[0].sum()), 1)
    mean = (counts * values).sum(1).double() / pixels
    std = ((counts * values**2).sum(1).double() / pixels - mean**2).clamp(min=0).sqrt()
    if not (std > 0).all():
        raise FrugalnasError("the training images are all of one colour; there is nothing to learn from them")
    return {"mean": (mean / 255).tolist(), "std": (std / 255).tolist()}


def _readable(train: Part, chosen: NDArray[np.int64], corruption: Corruption) -> torch.Tensor:
    if train.in_memory:
        return train.read(chosen)
    images = []
    for index in chosen.tolist():
        try:
            images.append(train.read([index]))
        except CorruptImage as error:
            corruption.add(train.origin, int(train.indices[index]), str(error))
    return torch.cat(images) if images else torch.empty(0, 3, 1, 1, dtype=torch.uint8)


def _fixed(wanted: Mapping[str, Any]) -> dict[str, Any]:
    unknown = wanted.keys() - {"mean", "std", "channels"}
    if unknown or not wanted.keys() >= {"mean", "std"}:
        raise FrugalnasError(f"normalisation has {', '.join(map(str, wanted))}; give mean and std, three numbers each")
    fixed: dict[str, Any] = {name: [float(value) for value in wanted[name]] for name in ("mean", "std")}
    if len(fixed["mean"]) != 3 or len(fixed["std"]) != 3 or min(fixed["std"]) <= 0:
        raise FrugalnasError("normalisation: mean and std are three numbers each, std above 0, in units of 0..1")
    if wanted.get("channels", "RGB") not in ("RGB", "BGR"):
        raise unknown_name("order of channels", wanted["channels"], ("RGB", "BGR"))
    return {**fixed, "channels": wanted["channels"]} if "channels" in wanted else fixed
