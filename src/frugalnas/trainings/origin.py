"""A supernet that begins with the weights that another one ended with: of a smaller space, as where a space is shrunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from frugalnas.errors import FrugalnasError
from frugalnas.runs.folder import RunFolder
from frugalnas.supernets import Supernet
from frugalnas.tensors import digest
from frugalnas.trainings.weights import initial_weights

ORIGIN = "origin"
"""What the weights are called from which the first of the runs that continue each other began."""
ORIGIN_FILE = "weights/origin.safetensors"


def continued(
    supernet: Supernet, run_dir: Path, last: Mapping[str, Tensor], first: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a run's configuration says of the one that it continues, and the weights that both began from at first.

    The supernet has the other run's last weights then, those of its choices that are left.

    Args:
        supernet: of the new run.
        run_dir: of the other one.
        last: the weights that it ended with.
        first: those that it began with.

    Raises:
        FrugalnasError: where that run is of a supernet that lacks some of these weights.
    """
    supernet.load_state_dict(_left(supernet, last, run_dir))
    before = read_origin(RunFolder(run_dir))
    origin = _left(supernet, first if before is None else before, run_dir)
    return {"continues": str(run_dir), ORIGIN: digest(origin)}, origin


def read_origin(folder: RunFolder) -> dict[str, Tensor] | None:
    """The weights from which the first of the runs that this one continues began; None where it continues none."""
    return initial_weights(folder, ORIGIN_FILE, ORIGIN) if ORIGIN in folder.config else None


def _left(supernet: Supernet, weights: Mapping[str, Tensor], run_dir: Path) -> dict[str, Tensor]:
    """Of some weights those that a supernet has."""
    left = {}
    for name, own in supernet.state_dict().items():
        if name not in weights or weights[name].shape != own.shape:
            raise FrugalnasError(
                f"{run_dir} has no {name} of shape {list(own.shape)}; continue a supernet of the same sizes that has all "
                f"choices of {supernet.space.name} as it is now"
            )
        left[name] = weights[name]
    return left
