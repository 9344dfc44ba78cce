"""The weights that a training begins with: written once, checked by their hash, never written again."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from frugalnas.data import ImageData
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks.checkpoints import import_weights
from frugalnas.networks.models import first_of, load, tensors_of
from frugalnas.runs.folder import RunFolder
from frugalnas.spaces import Architecture
from frugalnas.tensors import digest, read_tensors

BEARABLE = 10_000
"""Parameters for each training image above which a network from scratch is warned of."""


def initial_weights(folder: RunFolder, name: str, key: str = "initial") -> dict[str, Tensor]:
    """The weights that a run began with, from a file in its folder.

    Raises:
        FrugalnasError: where they are not there, or no longer what they were.
    """
    path = folder.path / name
    mend = "put it back, or train again in another folder"
    tensors, _ = read_tensors(path, mend)
    wanted = folder.config.get(key)
    if wanted is not None and digest(tensors) != wanted:
        raise RunFolderError(
            f"{path} does not hold the weights that the run began with (sha256 {wanted[:12]}...); {mend}"
        )
    return tensors


def too_large(network: nn.Module, data: ImageData) -> list[str]:
    """A note where a network has far more parameters than the training images can bear; nothing else."""
    params = sum(parameter.numel() for parameter in network.parameters())
    if params <= BEARABLE * len(data.train):
        return []
    return [
        f"{params / 1e6:.1f} M parameters for {len(data.train)} training images: it will learn them by heart; a smaller "
        f"network (`width`, `layers`), more images, or trained weights to start from (`weights`) would do better"
    ]


def warm_start(network: nn.Module, source: Path, architecture: Architecture) -> list[str]:
    """Put saved weights into a network; what was not taken, for the user.

    A classifier for another number of classes, and auxiliary heads that one side lacks, stay as they are.
    """
    if source.is_dir():
        saved = tensors_of(load(source))
    elif source.is_file():
        saved = tensors_of(import_weights(source, architecture.space, architecture.code).network)
    else:
        raise FrugalnasError(
            f"there are no weights at {source}; give a run's folder, a model's folder or a file of weights"
        )
    own = network.state_dict()
    taken: dict[str, Tensor] = {}
    anew, differing = [], []
    for name, tensor in own.items():
        if name in saved and saved[name].shape == tensor.shape:
            taken[name] = saved[name]
        elif "auxiliary" in name or (name in saved and _other_classes(tensor, saved[name], network)):
            anew.append(name)
        else:
            there = f"has shape {list(saved[name].shape)}" if name in saved else "is missing"
            differing.append(f"{name} {there} instead of {list(tensor.shape)}")
    differing += [f"{name} has no place" for name in saved if name not in own and "auxiliary" not in name]
    if differing:
        raise FrugalnasError(f"the weights in {source} are of another architecture: {first_of(differing)}")
    network.load_state_dict(taken, strict=False)
    notes = [f"weights from {source}"]
    return [*notes, f"starting anew: {', '.join(anew)}"] if anew else notes


def _other_classes(own: Tensor, saved: Tensor, network: nn.Module) -> bool:
    """Whether two tensors differ in the number of classes only."""
    *_, last = network.state_dict().values()
    return own.shape[1:] == saved.shape[1:] and own.ndim in (1, 2, 4) and own.shape[0] == last.shape[0]
