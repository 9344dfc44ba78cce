"""A training that goes on elsewhere, for longer, or at another learning rate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from frugalnas.errors import FrugalnasError
from frugalnas.runs.folder import RunFolder
from frugalnas.training import Checkpoints, Compute, Recipe


def moved(folder: RunFolder, device: str) -> None:
    """Have a run go on on another device from now on."""
    there = replace(Compute(**folder.config["device"]), device=device).here()
    with folder.held():
        folder.write_config({**folder.config, "device": there.to_json()})


def restated(folder: RunFolder, kind: type[Recipe], epochs: int | None, lr: float | None, finished: Path) -> None:
    """Have a training go on to another number of epochs, at another learning rate, or both: a warm restart.

    The schedule is stated anew for the epochs that are left, from the recipe's rate or `lr` on; weights, the optimiser's
    momentum and the journal stay. What the run's checkpoints must agree with is the recipe that it began with.

    Args:
        folder: the run's.
        kind: of recipe.
        epochs: in all; None keeps them.
        lr: at the top of the new schedule; None keeps it.
        finished: a file that is there when nothing is left to do.

    Raises:
        FrugalnasError: where nothing is left to do in so many epochs, or another run rests on this one.
    """
    outer = next((path for path in folder.path.resolve().parents[:3] if (path / "config.yaml").exists()), None)
    if outer is not None:
        raise FrugalnasError(
            f"{folder.path} is a part of {outer}, whose result rests on it; train apart for other epochs"
        )
    with folder.held():
        recipe = kind.load(folder.config["recipe"])
        found = Checkpoints(folder.path / "checkpoints", identity_of(folder, kind)).latest()
        done = 0 if found is None else len(found.state["book"]["records"])
        total = recipe.epochs if epochs is None else epochs
        assert total is not None
        if total <= done:
            raise FrugalnasError(
                f"epochs {total}: {folder.path} has done {done}; give more, of the old and new ones together"
            )
        if done == recipe.epochs and not finished.exists():
            raise FrugalnasError(f"{folder.path} has only to be concluded; first run: frugalnas resume {folder.path}")
        restarts, said = (
            list(folder.config.get("restarts", ())),
            f"{recipe.epochs} epochs became {total} after epoch {done}",
        )
        if lr is None and (getattr(recipe, "schedule_epochs", None) or 0) >= total:
            stated, how = replace(recipe, epochs=total), "the schedule was laid out for them"
        else:
            stated = recipe.extended(total, recipe.lr if lr is None else lr, done)
            replace(stated, epochs=total - done)  # refuses what its schedule cannot do in so few
            restarts.append(done)
            how = f"schedule {stated.schedule} starts anew at learning rate {stated.lr:g} for {total - done} epochs"
        folder.write_config(
            {
                **folder.config,
                "recipe": stated.to_json(),
                "first_recipe": folder.config.get("first_recipe", folder.config["recipe"]),
                "restarts": restarts,
                "notes": [*folder.config["notes"], f"{said}: {how}{_looked_at(finished)}"],
            }
        )
        if finished.suffix == ".json":
            finished.unlink(missing_ok=True)


def _looked_at(finished: Path) -> str:
    """That the test images of a training have been looked at, and what was found."""
    if finished.suffix != ".json" or not finished.exists():
        return ""
    test = json.loads(finished.read_text(encoding="utf-8"))["test"]
    return "" if test is None else f"; the test images were looked at before ({test['top1']:.2f} %)"


def identity_of(folder: RunFolder, kind: type[Recipe]) -> dict[str, Any]:
    """What a checkpoint must agree with to be one of a run's: among it the recipe that the run began with."""
    config = folder.config
    subject = "architecture" if "architecture" in config else "space"
    return {
        subject: config[subject],
        "recipe": kind.load(config.get("first_recipe", config["recipe"])).to_json(),
        "seed": int(config["seed"]),
        "initial weights": config.get("initial"),
    }
