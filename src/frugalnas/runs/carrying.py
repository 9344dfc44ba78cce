"""What trainings of networks and of supernets are carried out by: a folder that is held, devices, and what a failure leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frugalnas.errors import FrugalnasError
from frugalnas.runs.folder import RunFolder, taken
from frugalnas.training import check_device, fabric_for, launched

__all__ = ["begun", "carried_out", "device_flags", "moved", "refuse_taken"]


def device_flags(device: str, devices: int, precision: str, channels_last: bool, compile: bool) -> dict[str, Any]:
    """What a run's configuration says of where it computes.

    Raises:
        FrugalnasError: where this machine has no such device.
    """
    return {
        "device": check_device(device, devices, precision),
        "devices": devices,
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
    }


def refuse_taken(path: Path) -> None:
    """Refuse a folder for a new run that is already there."""
    if path.exists():
        raise taken(path)


@contextmanager
def begun(folder: RunFolder) -> Iterator[None]:
    """Within, a run begins; one that fails before its first checkpoint leaves nothing, as there is nothing to go on with."""
    try:
        yield
    except FrugalnasError:
        if not any((folder.path / "checkpoints").glob("step-*")):
            shutil.rmtree(folder.path)
        raise


def moved(folder: RunFolder, device: str | None) -> None:
    """Have a run go on on another device from now on; None keeps its own."""
    if device is None:
        return
    flags: Mapping[str, Any] = folder.config["device"]
    with folder.held():
        there = {**flags, "device": check_device(device, flags["devices"], flags["precision"])}
        folder.write_config({**folder.config, "device": there})


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
    flags = folder.config["device"]
    with folder.held():
        if not finished.exists():
            fabric = fabric_for(flags["device"], flags["devices"], flags["precision"], unused=unused)
            launched(fabric, function, folder.path, *arguments)
