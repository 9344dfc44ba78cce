"""What trainings of networks and of supernets are carried out by: a folder that is held, devices, and what a failure leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from frugalnas.errors import Diverged, FrugalnasError, Surroundings
from frugalnas.runs.folder import RunFolder, taken
from frugalnas.training import Checkpoints, Compute, Recipe, launched, load_recipe

__all__ = [
    "begun",
    "carried_out",
    "first_recipe",
    "moved",
    "refuse_diverged",
    "refuse_taken",
    "restated",
]


def refuse_taken(path: Path) -> None:
    """Refuse a folder for a new run that is already there."""
    if path.exists():
        raise taken(path)


@contextmanager
def begun(folder: RunFolder) -> Iterator[None]:
    """Within, a run begins; one that cannot leaves nothing, as there is nothing to go on with.

    What has diverged is there to be looked at, and what the machine has stopped to be resumed.
    """
    try:
        yield
    except (Diverged, Surroundings):
        raise
    except FrugalnasError:
        if not any((folder.path / "checkpoints").glob("step-*")):
            shutil.rmtree(folder.path)
        raise


def moved(folder: RunFolder, device: str | None) -> None:
    """Have a run go on on another device from now on; None keeps its own."""
    if device is None:
        return
    there = replace(Compute(**folder.config["device"]), device=device).here()
    with folder.held():
        folder.write_config({**folder.config, "device": there.to_json()})


def restated(
    folder: RunFolder,
    kind: type[Recipe],
    epochs: int | None,
    lr: float | None,
    finished: Path,
    identity: Mapping[str, Any],
) -> None:
    """Have a training go on to another number of epochs, at another learning rate, or both: a warm restart.

    The schedule is stated anew for the epochs that are left, from the recipe's rate or `lr` on; weights, the optimiser's
    momentum and the journal stay. What the run's checkpoints must agree with is the recipe that it began with.

    Args:
        folder: the run's.
        kind: of recipe.
        epochs: in all; None keeps them.
        lr: at the top of the new schedule; None keeps it.
        finished: a file that is there when nothing is left to do.
        identity: of the run's checkpoints.

    Raises:
        FrugalnasError: where nothing is left to do in so many epochs, or another run rests on this one.
    """
    if epochs is None and lr is None:
        return
    outer = next((path for path in folder.path.resolve().parents[:3] if (path / "config.yaml").exists()), None)
    if outer is not None:
        raise FrugalnasError(
            f"{folder.path} is a part of {outer}, whose result rests on it; train apart for other epochs"
        )
    with folder.held():
        recipe = load_recipe(folder.config["recipe"], kind=kind)
        found = Checkpoints(folder.path / "checkpoints", identity).latest()
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


def first_recipe(folder: RunFolder, kind: type[Recipe]) -> dict[str, Any]:
    """The recipe that a training began with, as plain values: what its checkpoints are known by."""
    return load_recipe(folder.config.get("first_recipe", folder.config["recipe"]), kind=kind).to_json()


def refuse_diverged(folder: RunFolder, mend: str) -> None:
    """Refuse to repeat a divergence: with nothing changed it would come again."""
    diverged = folder.epochs()[1]
    if diverged is not None:
        raise Diverged(f"{diverged}; {mend}")


def carried_out(
    folder: RunFolder, finished: Path, function: Callable[..., Any], *arguments: Any, unused: bool = False
) -> None:
    """Call `function(fabric, folder's path, *arguments)` on the run's devices, while no other process may have the folder.

    Args:
        folder: the run's.
        finished: a file that is there when nothing is left to do.
        function: carries the run to its end in one of the fabric's processes.
        arguments: further ones.
        unused: whether some weights have no gradient in a step.
    """
    with folder.held():
        if not finished.exists():
            fabric = Compute(**folder.config["device"]).fabric(unused=unused)
            launched(fabric, function, folder.path, *arguments)
