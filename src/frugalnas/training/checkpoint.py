"""The whole state of a training in one file, written atomically and read without unpickling."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from frugalnas.errors import RunFolderError, Surroundings
from frugalnas.tensors import read_tensors, write_tensors

_NAME = re.compile(r"step-(\d{9})\.safetensors")
_TENSOR, _TUPLE, _PAIRS = "__tensor__", "__tuple__", "__pairs__"
KEPT = 2
"""The last one, and the one before for when a disk lost the last."""


class Stateful(Protocol):
    """What can be written down and taken up again: a module, an optimiser, an average of weights."""

    def state_dict(self) -> Mapping[str, Any]:
        """Tensors and plain values, nested as one likes."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Take them up again."""


class Checkpoint:
    """One state as it was read.

    Attributes:
        step: optimiser steps that lie behind it.
        state: state dictionary of each part, by name.
        extra: plain values that were stored with it.
    """

    def __init__(self, step: int, state: dict[str, Any], extra: dict[str, Any]) -> None:
        self.step = step
        self.state = state
        self.extra = extra


class Checkpoints:
    """The checkpoints in a folder, the last two of which are kept.

    Each is one safetensors file whose header holds everything that is no tensor, so that none is ever half there.

    Args:
        folder: made when the first one is written.
        identity: plain values that say whose state this is, such as architecture, recipe and seed; a checkpoint with
            others is refused.
        every: seconds between those that are written within an epoch; there is one at the end of each epoch too.
        writes: whether this process writes them; one of several that train together does.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, every: float = 60.0, writes: bool = True) -> None:
        self.folder, self.every, self.writes = Path(folder), every, writes
        self.identity = json.loads(json.dumps(identity))

    def write(self, step: int, state: Mapping[str, Any], extra: Mapping[str, Any]) -> Path:
        """The file of a new checkpoint; older ones than the last two are removed after it."""
        tensors: dict[str, torch.Tensor] = {}
        plain = {name: _pack(part, name, tensors) for name, part in state.items()}
        if not self.folder.exists():
            self.folder.mkdir()  # without parents: a run whose folder is gone does not come back
        path = self.folder / f"step-{step:09d}.safetensors"
        header = {"identity": self.identity, "step": step, "state": plain, "extra": dict(extra)}
        write_tensors(path, tensors, {"frugalnas": json.dumps(header)})
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is what was written, None where there has been none.

        Raises:
            RunFolderError: where it belongs to something else, or all are damaged.
        """
        damage = None
        for path in self._files():
            try:
                tensors, metadata = read_tensors(path)
                header = json.loads(metadata["frugalnas"])
                state = {name: _unpack(part, tensors) for name, part in header["state"].items()}
                found = Checkpoint(header["step"], state, header["extra"])
                identity = dict(header["identity"])
            except Surroundings:
                raise
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                damage = damage or error
                continue  # cut short by a crash of the machine, or damaged since: the one before it will do
            self._check(path, identity)
            return found
        if damage is not None:
            raise RunFolderError(f"{damage}, or empty {self.folder} of checkpoints to train from the beginning")
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted((path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name)), reverse=True)

    def _check(self, path: Path, identity: Mapping[str, Any]) -> None:
        for name in [*self.identity, *identity]:
            ours, theirs = self.identity.get(name), identity.get(name)
            if ours != theirs:
                raise RunFolderError(
                    f"{path} is a checkpoint of another {name} ({_short(theirs)}; this one is {_short(ours)}); "
                    f"take it away, or start a run in another folder"
                )


def _pack(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON can hold it; its tensors are put aside under the path that leads to them."""
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: _pack(item, f"{path}/{key}", tensors) for key, item in value.items()}
        return {_PAIRS: [[key, _pack(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, f"{path}/{place}", tensors) for place, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{path} is a {type(value).__name__}: only tensors and plain values can be checkpointed")


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _TUPLE in value:
        return tuple(_unpack(item, tensors) for item in value[_TUPLE])
    if _PAIRS in value:
        return {key: _unpack(item, tensors) for key, item in value[_PAIRS]}
    return {key: _unpack(item, tensors) for key, item in value.items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
