"""A supernet that begins with the weights that another one ended with: of a smaller space, as where a space is shrunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from frugalnas.errors import FrugalnasError
from frugalnas.runs.folder import RunFolder
from frugalnas.supernets import Supernet
from frugalnas.tensors import digest
from frugalnas.trainings.weights import initial_weights

if TYPE_CHECKING:
    from frugalnas.trainings.supernet import SupernetResult

ORIGIN = "origin"
"""What the weights are called from which the first of the runs that continue each other began."""
ORIGIN_FILE = "weights/origin.safetensors"


def continued(supernet: Supernet, run: SupernetResult) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a run's configuration says of the one that it continues, and the weights that both began from at first.

    The supernet has the other run's last weights then, those of its choices that are left.

    Raises:
        FrugalnasError: where that run is not finished, or of a supernet that lacks some of these weights.
    """
    if not run.finished:
        raise FrugalnasError(f"{run.run_dir} is not finished; continue it with: frugalnas resume {run.run_dir}")
    supernet.load_state_dict(_left(supernet, run.weights(), run))
    before = read_origin(RunFolder(run.run_dir))
    origin = _left(supernet, run.weights(0) if before is None else before, run)
    return {"continues": str(run.run_dir), ORIGIN: digest(origin)}, origin


def read_origin(folder: RunFolder) -> dict[str, Tensor] | None:
    """The weights from which the first of the runs that this one continues began; None where it continues none."""
    return initial_weights(folder, ORIGIN_FILE, ORIGIN) if ORIGIN in folder.config else None


def _left(supernet: Supernet, weights: Mapping[str, Tensor], run: SupernetResult) -> dict[str, Tensor]:
    """Of some weights those that a supernet has."""
    left = {}
    for name, own in supernet.state_dict().items():
        if name not in weights or weights[name].shape != own.shape:
            raise FrugalnasError(
                f"{run.run_dir} has no {name} of shape {list(own.shape)}; continue a supernet of the same sizes that has all "
                f"choices of {supernet.space.name} as it is now"
            )
        left[name] = weights[name]
    return left
