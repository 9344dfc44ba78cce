"""What is in a checkpoint file: tensors and plain values; nothing that the file holds is run."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.tensors import read_tensors

_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "search_model")
"""Where programs keep the tensors, the likeliest first."""


def read_checkpoint(file: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, as the file has them, on the CPU. Nothing in the file is run.

    Args:
        file: `.pt`, `.pth`, `.pth.tar` or `.safetensors`.
        key: where they are, for a file with several sets of tensors.

    Raises:
        FrugalnasError: where the file is damaged, holds Python objects, or no weights.
    """
    path = Path(file)
    if not path.is_file():
        raise FrugalnasError(f"there is no file {path}")
    content: Mapping[Any, Any] = read_tensors(path)[0] if path.suffix == ".safetensors" else _read_torch(path)
    sets = {str(name): part for name, part in content.items() if _are_weights(part)}
    if key is not None:
        if key not in sets:
            raise unknown_name(f"set of tensors in {path}", key, sets or ["none: the file is one set; leave key out"])
        return dict(sets[key])
    if _are_weights(content):
        return dict(content)
    likeliest = [name for name in _KEYS if name in sets]
    if likeliest or len(sets) == 1:
        return dict(sets[likeliest[0] if likeliest else next(iter(sets))])
    if sets:
        raise FrugalnasError(f"{path} holds several sets of tensors: {', '.join(sets)}; say which one (key)")
    raise FrugalnasError(f"{path} holds no weights; its entries are {', '.join(map(str, content)) or 'none'}")


def _read_torch(path: Path) -> dict[Any, Any]:
    # Besides tensors and plain values, programs keep their settings and NumPy numbers beside the weights; these classes
    # only hold data.
    scalar: Any = np.float64(0).__reduce__()[0]
    numbers = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    try:
        with torch.serialization.safe_globals(
            [
                argparse.Namespace,
                np.dtype,
                *numbers,
                (scalar, "numpy.core.multiarray.scalar"),
                (scalar, "numpy._core.multiarray.scalar"),
            ]
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not (blocked := re.search(r"GLOBAL ([\w.]+)", str(error))):
            raise FrugalnasError(f"{path} is damaged or not a checkpoint of PyTorch") from None
        raise FrugalnasError(
            f"{path} holds a Python object of {blocked[1]}, and reading it would run code from the file; in the program that "
            f"wrote it, save only the weights: torch.save(model.state_dict(), 'weights.pt')"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise FrugalnasError(f"{path} is damaged or not a checkpoint of PyTorch ({reason})") from None
    if not isinstance(content, Mapping):
        raise FrugalnasError(f"{path} holds a {type(content).__name__} instead of a network's state dict")
    return dict(content)


def _are_weights(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and len(part) > 0
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in part.items())
    )
