"""Carry out a method: from what a user says to what came out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from frugalnas.errors import FrugalnasError
from frugalnas.methods.preparing import Settled, settle
from frugalnas.methods.recipe import load_method_recipe
from frugalnas.methods.rlnas import RLNAS
from frugalnas.registry import METHODS
from frugalnas.runs.folder import RunFolder, taken
from frugalnas.runs.stages import Watch, load_stages, method_of, read_result, resume_method, run_method
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.training import Compute
from frugalnas.trust import give, opening

__all__ = ["MethodResult", "change_settings", "load_method", "resume_rlnas", "rlnas", "settled_rlnas"]


@dataclass(frozen=True)
class MethodResult:
    """What a method has come to.

    Attributes:
        run_dir: the run's folder.
        space: with the sizes of the networks that were retrained, and the limits on them.
        code: the winner, shape [genes].
        architecture: it in the space's notation.
        score: of the supernet; an angle is in radians.
        params: its parameters.
        macs: its multiply-adds for one image.
        val, test: its accuracies in % after training from scratch; None where it was not, or there are no such images.
        trained: whether it was.
        network: the folder of its network, which `load`, `frugalnas predict` and `export` take.
        exported: files for use without frugalnas.
    """

    run_dir: Path
    space: SearchSpace
    code: Codes
    architecture: str
    score: float
    params: int
    macs: int
    val: float | None
    test: float | None
    trained: bool
    network: Path
    exported: tuple[Path, ...]


def rlnas(
    space: SearchSpace | str | None = None,
    data: str | Path | None = None,
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    where: str | None = None,
    classes: int | None = None,
    top: int | None = None,
    seed: int = 0,
    root: Path | str | None = None,
    download: bool = False,
    input_size: int | None = None,
    max_corrupt: int = 0,
    workers: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32",
    watch: Watch | None = None,
) -> MethodResult:
    """The architecture that RLNAS finds for images, without looking at a label, trained from scratch where there are labels.

    Args:
        space: where to search; None: the recipe's, or what suits the images (nasbench201 up to 64 pixels, else mobilenet).
        data: a name or a path, also a folder of images without labels; None: the recipe's.
        recipe: a name (`method_recipes()` lists them), a YAML file, or what `MethodRecipe.to_json` gave.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"supernet.epochs": 30, "retrain.space.width": 32}.
        where: limits on the network that is retrained, such as "macs<=300e6".
        classes: that random labels are drawn from; None: as many as the data have, or ten.
        top: architectures that are retrained; None: the recipe's.
        seed: of every stage.
        root: where a named data set is.
        download: whether it may be fetched.
        input_size: pixels; None lets the data decide.
        max_corrupt: unreadable images to skip before giving up.
        workers: processes that read images.
        device: "auto", "cpu", "cuda" or "mps".
        devices: how many.
        precision: "32", "bf16" or "16".
        watch: callbacks for each stage.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.

    Example:
        >>> found = rlnas(data="digits", run_dir="runs/rlnas")  # doctest: +SKIP
        >>> found.architecture, found.test  # doctest: +SKIP
    """
    if Path(run_dir).exists():
        raise taken(Path(run_dir))
    reading = {
        "root": root,
        "download": download,
        "input_size": input_size,
        "max_corrupt": max_corrupt,
        "workers": workers,
    }
    flags = {"device": device, "devices": devices, "precision": precision}
    method, _ = settled_rlnas(space, data, recipe, settings, where, classes, top, seed, reading, flags)
    run_method(method, run_dir, watch=watch)
    return load_method(run_dir)


def settled_rlnas(
    space: SearchSpace | str | None,
    data: str | Path | None,
    recipe: str | Path | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    where: str | None,
    classes: int | None,
    top: int | None,
    seed: int,
    reading: Mapping[str, Any],
    device: Mapping[str, Any],
) -> tuple[RLNAS, Settled]:
    """RLNAS ready to be carried out, and what was decided for it; the arguments are those of `rlnas`."""
    said = {
        "data": None if data is None else str(data),
        "space": space if isinstance(space, str) else None,
        "where": where,
        "retrain.top": top,
    }
    changes = {name: value for name, value in said.items() if value is not None}
    for name in changes:
        if name in (settings or {}):
            raise FrugalnasError(f"{name} is said twice; leave it out of the settings")
    give(space, settings)
    wanted = load_method_recipe(recipe, {**(settings or {}), **changes})
    root = reading.get("root")
    reading = {**reading, "root": None if root is None else str(Path(root).expanduser().resolve())}
    # The layout that is the faster one on most processors and GPUs, for retraining as for supernets.
    checked = Compute(device["device"], device["devices"], device["precision"]).here().device
    device = {"channels_last": True, **device, "device": checked}
    given = space if isinstance(space, SearchSpace) else None
    if given is not None:
        wanted = replace(wanted, space=None)
    settled = settle(wanted, given, classes, reading, int(device["devices"]))
    method = RLNAS(
        recipe=settled.recipe.to_json(),
        preprocessing=settled.data.preprocessing,
        classes=settled.classes,
        labelled=settled.data.labelled,
        reading=reading,
        device=device,
        seed=seed,
    )
    return method, settled


@opening
def resume_rlnas(
    run_dir: Path | str,
    *,
    settings: Mapping[str, Any] | None = None,
    where: str | None = None,
    device: str | None = None,
    watch: Watch | None = None,
    trust: bool = False,
) -> MethodResult:
    """The result of carrying on with a run, whichever stage it stopped in.

    Args:
        run_dir: the run's folder.
        settings: of stages that have not begun, as `rlnas` takes them.
        where: other limits on the network that is retrained, where the search has not begun.
        device: on which trainings go on from now on; None keeps theirs.
        watch: callbacks for each stage.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).
    """
    change_settings(run_dir, {**(settings or {}), **({} if where is None else {"where": where})})
    resume_method(run_dir, device=device, watch=watch)
    return load_method(run_dir)


_FIRST_USED = {"where": "search", "score": "search", "search": "search", "retrain": "retrain"}
"""The first stage that each part of a recipe decides; any other decides the first of all."""


def change_settings(run_dir: Path | str, settings: Mapping[str, Any]) -> None:
    """Give stages of a run that have not begun other settings, after the checks that a new run has.

    Raises:
        FrugalnasError: where a stage that a setting is about has begun, or something does not fit; nothing is changed then.
    """
    folder = RunFolder(Path(run_dir))
    method = method_of(folder)
    if not settings or not isinstance(method, RLNAS):
        return
    begun = {stage.group: stage for stage in reversed(load_stages(folder.path))}
    for name in settings:
        part = "search" if name.startswith("retrain.space") else _FIRST_USED.get(name.partition(".")[0], "supernet")
        if part in begun and name != "retrain.top":
            raise FrugalnasError(
                f"{name} cannot be changed: {begun[part].name} has begun without it; remove {begun[part].path} and what "
                "comes after to do it again, or start another run"
            )
    wanted = load_method_recipe(method.recipe, settings)
    settled = settle(wanted, None, None, method.reading, int(method.device["devices"]))
    with folder.held():
        changed = {**METHODS.describe(method)["options"], "recipe": settled.recipe.to_json()}
        folder.write_config({**folder.config, "method": METHODS.describe(type(method)(**changed))})


@opening
def load_method(run_dir: Path | str, *, trust: bool = False) -> MethodResult:
    """What a method has come to, from its folder alone.

    Raises:
        FrugalnasError: where it has not come to an end.
    """
    folder = RunFolder(Path(run_dir))
    method = method_of(folder)
    result = read_result(folder.path)
    if result is None or not isinstance(method, RLNAS):
        raise FrugalnasError(f"{run_dir} has not come to an end; continue it with: frugalnas resume {run_dir}")
    space = method.networks.retrained
    winner = result["candidates"][result["winner"]]
    return MethodResult(
        run_dir=folder.path,
        space=space,
        code=space.parse(result["architecture"]),
        architecture=result["architecture"],
        score=winner["score"],
        params=int(winner["params"]),
        macs=int(winner["macs"]),
        val=winner.get("val"),
        test=winner.get("test"),
        trained=result["trained"],
        network=folder.path / result["network"],
        exported=tuple(folder.path / path for path in result["exported"]),
    )
