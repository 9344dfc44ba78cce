"""Files of tensors, in safetensors' format, with a digest of what is in them; nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.files import draft
from frugalnas.limits import within

_SEAL = "seal"
"""The key of the digest among a file's metadata."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that is never seen half-written, with a digest that `read_tensors` checks.

    Raises:
        Surroundings: where the machine does not let it be written.
    """
    with draft(path) as made:
        save_sealed(made, tensors, metadata)


def save_sealed(made: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the file itself, for drafts that are made together with others."""
    owned = _own_storage(tensors)
    save_file(owned, made, {**metadata, _SEAL: _seal(owned, metadata)})


def read_tensors(path: Path, mend: str = "take another copy of it") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, in main memory, and its metadata; what `write_tensors` wrote is what it wrote.

    Args:
        path: the file; one that another program wrote has no digest, and is taken as it is.
        mend: what to do where it is damaged or gone, for the error.

    Raises:
        FrugalnasError: where it is not there, or damaged.
    """
    try:
        try:
            tensors, metadata = _content(path, "np")  # in a quarter of the time that torch takes
        except (TypeError, AttributeError):  # NumPy has no bfloat16, nor any type of 8 bits
            tensors, metadata = _content(path, "pt")
    except FileNotFoundError:
        raise FrugalnasError(f"{path} is not there; {mend}") from None
    except (OSError, SafetensorError) as error:
        known = surroundings(error, path=path)
        raise known or FrugalnasError(f"{path} is damaged or not a safetensors file ({error}); {mend}") from None
    seal = metadata.pop(_SEAL, None)
    if seal is not None and seal != _seal(tensors, metadata):
        raise FrugalnasError(f"{path} is damaged: it is not what was written (its digest differs); {mend}")
    return tensors, metadata


def _content(path: Path, framework: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework=framework) as file:
        within("tensors", len(file.keys()), str(path))
        tensors = {name: torch.as_tensor(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return tensors, file.metadata() or {}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors in main memory, in the order of their names."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{digest(tensors)} {json.dumps(sorted(metadata.items()))}".encode()).hexdigest()


def _own_storage(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in main memory, contiguous, no two in one storage, as the format wants them."""
    seen: set[int] = set()
    owned = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().to("cpu").contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        owned[name] = plain
    return owned
