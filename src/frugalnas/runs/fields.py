"""What a run's configuration and journal hold, kind by kind: the first thing that is checked when a run is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalnas.documents import fits, misfit
from frugalnas.errors import RunFolderError
from frugalnas.limits import within
from frugalnas.registry import KINDS

__all__ = ["PART", "NoRun", "check_config", "check_line"]

PART = {"name": str, "options?": Mapping[str, Any] | None, "limits?": {"where?": str, "allowed?": list[list[int]]}}
_DATA = {"spec": str, "fingerprint": str, "workers?": int, "input_size?": int | None, "root?": str | None}
_DEVICE = {"device": str, "devices": int, "precision": str}
_RECIPE = {"epochs": int, "batch_size": int, "name": str}
_TRAINED = {"space": PART, "data": _DATA, "recipe": _RECIPE, "seed": int, "device": _DEVICE, "notes?": list[str]}
CONFIG: dict[str, dict[str, Any]] = {
    "search": {
        "space": PART,
        "strategy": {**PART, "options": Mapping[str, Any]},
        "evaluator": PART,
        "budget": {"queries": int | None, "seconds": float | None, "until_optimum": bool},
        "executor": PART,
    },
    "training": {
        **_TRAINED,
        "architecture": str,
        "name": str,
        "counts": {"params": float, "macs": float},
        "weights?": str | None,
        "test?": bool,
    },
    "supernet": {**_TRAINED, "initial": str},
    "pretraining": {
        "space": PART,
        "task": str,
        "recipe": {"epochs": int, "name": str},
        "seed": int,
        "device": str | Mapping[str, Any],
    },
    "method": {"method": {"name": str, "options": Mapping[str, Any]}},
}
"""What the configuration of each kind of run must say; more may be there. A question mark stands at what may be missing."""

_EPOCH = {"epoch": int, "train_loss": float | None, "train_accuracy?": float | None, "angle?": float | None}
LINE: dict[str, dict[str, Any]] = {
    "training": {**_EPOCH, "val_loss?": float | None, "val_accuracy?": float | None},
    "supernet": _EPOCH,
    "pretraining": _EPOCH,
    "method": {"stage": str, "kind": str, "folder": str},
}
"""What a line of each kind of journal must hold; searches check their own."""


class NoRun(RunFolderError):
    """Something else has a config.yaml, too."""


def check_config(path: Path, config: Any) -> None:
    """Refuse a configuration that describes no run.

    Raises:
        NoRun: where it is of something else.
        RunFolderError: naming the first field that is missing or of the wrong kind.
    """
    where = path / "config.yaml"
    kind = config.get("kind") if isinstance(config, dict) else None
    wanted = _wanted(CONFIG, kind, "config") if isinstance(kind, str) else None
    if wanted is None:
        raise NoRun(f"{where} does not describe a run of frugalnas")
    wrong = misfit(config, wanted)
    if wrong:
        raise RunFolderError(
            f"{where} does not describe a {kind}: {wrong}; put back what was there, or start another run"
        )
    if min([config.get("seed") or 0, *config.get("seeds", ())], default=0) < 0:
        raise RunFolderError(f"{where}: a seed is 0 or more")
    for name in ("queries", "trials"):
        within(name, config.get(name) or 0, f"{where}, {name}")


def check_line(path: Path, number: int, kind: str, record: Any) -> None:
    """Refuse a line of a journal that is none of its kind.

    Raises:
        RunFolderError: naming the line and the first field that is missing or of the wrong kind.
    """
    wanted = _wanted(LINE, kind, "line")
    if wanted is None or fits(record, wanted) or "diverged" in record:
        return
    raise RunFolderError(
        f"{path}, line {number}: {misfit(record, wanted)}; cut the file before it and resume to do the rest again"
    )


def _wanted(known: Mapping[str, Mapping[str, Any]], kind: str, what: str) -> Mapping[str, Any] | None:
    """What a kind says of itself, or what is said here of those that are no classes yet."""
    return getattr(KINDS.resolve(kind), what) if kind in KINDS.targets else known.get(kind)
