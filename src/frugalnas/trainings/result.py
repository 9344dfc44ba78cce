"""What any training has come to so far, read from its run's folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import RunFolder
from frugalnas.spaces import SearchSpace

DIVERGED = "diverged"
"""In the last line of a training's journal: how its last epoch ended."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training has come to.

    Attributes:
        space: with the sizes of what was trained (width, input size, classes).
        epochs: one record per epoch: "epoch" (from 1), "lr", "train_loss", "train_accuracy" in %, and what child classes name.
        total_epochs: how many the recipe asks for.
        seed: of everything random.
        seconds: wall time so far.
        notes: what was decided about the data (input size, split, skipped images).
        finished: whether nothing is left to do.
        restarts: epochs after which the schedule of the learning rate started anew.
        diverged: how the training diverged after these epochs; None where it did not.
        run_dir: the run's folder.
    """

    space: SearchSpace
    epochs: tuple[Mapping[str, Any], ...]
    total_epochs: int
    seed: int
    seconds: float
    notes: tuple[str, ...]
    finished: bool
    restarts: tuple[int, ...]
    diverged: str | None
    run_dir: Path


def facts_of(folder: RunFolder) -> dict[str, Any]:
    """The fields of `Trained`."""
    config = folder.config
    epochs, diverged = epochs_of(folder)
    return {
        "space": build_space(config["space"]),
        "epochs": epochs,
        "total_epochs": int(config["recipe"]["epochs"]),
        "seed": int(config["seed"]),
        "seconds": folder.seconds(),
        "notes": tuple(config.get("notes", ())),
        "finished": folder.kind.finished(folder),
        "restarts": tuple(config.get("restarts", ())),
        "diverged": diverged,
        "run_dir": folder.path,
    }


def epochs_of(folder: RunFolder) -> tuple[tuple[dict[str, Any], ...], str | None]:
    """The records of a training's epochs that are done, and how it diverged after them; None where it did not."""
    records = list(folder.lines())
    diverged = records.pop()[DIVERGED] if records and DIVERGED in records[-1] else None
    return tuple(records), diverged
