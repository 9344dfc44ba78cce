"""Encoders that SSNENAS's program wrote, as ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.saved import EncoderCard, operations_of
from frugalnas.errors import FrugalnasError
from frugalnas.networks.checkpoint_files import read_checkpoint
from frugalnas.registry import SPACES
from frugalnas.spaces import SearchSpace

_NAME = re.compile(
    r"(?:.*\.)?(?P<part>conv|bn)(?P<layer>[123])(?P<base>_base)?\."
    r"(?:nn\.)?(?:(?P<map>[02])\.)?(?P<what>weight|bias|running_mean|running_var)"
)
"""A tensor of the branch that is transferred; SS-RL's other branch has other suffixes."""

_OURS = {("conv", "0"): "first", ("conv", "2"): "second", ("bn", None): "norm"}

_COLUMNS = {
    6: ("nasbench101", ("input", "conv 3x3", "conv 1x1", "max pool", "output", "isolated")),
    8: ("nasbench201", ("input", "none", "skip", "conv 1x1", "conv 3x3", "avg pool", "isolated", "output")),
    11: (
        "darts",
        (
            "input",
            "none",
            "max pool 3x3",
            "avg pool 3x3",
            "skip connect",
            "sep conv 3x3",
            "sep conv 5x5",
            "dil conv 3x3",
            "dil conv 5x5",
            "sum",
            "output",
        ),
    ),
}
"""The space that so many operations mean, and their order there."""

_STANDS_FOR = {"nasbench201": {"none": "isolated"}, "darts": {"c_{k-2}": "input", "c_{k-1}": "input"}}
"""Operations of ours that have another name there: an edge of NAS-Bench-201 that is none is a vertex that pads."""

_NOTES = {
    "nasbench201": "its program moved vertices together and labelled 125 cells' outputs as inputs; here they keep their places",
    "darts": "its program built the edges of the normal cell alone; here both cells are read",
}


def holds_encoder(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint's tensors are those of an encoder of SSNENAS's program."""
    return len(_branch(tensors)) == 3 * 8


def import_encoder(
    file: str | Path, space: SearchSpace | None = None, *, key: str | None = None
) -> tuple[GINEncoder, EncoderCard, tuple[str, ...]]:
    """The encoder in a checkpoint of SSNENAS's program, its card, and notes for people. Nothing in the file is run.

    SS-RL's are `unsupervised_ss_rl_epoch_*.pt`, of which the branch is taken that predictors go on with, SS-CCL's
    `checkpoint_*.pth.tar`. Their columns are put into our order of operations.

    Args:
        file: `.pt`, `.pth.tar` or `.safetensors`.
        space: whose architectures it reads; None takes the one that has as many operations.
        key: where the tensors are in the file, for a file with several sets.

    Raises:
        FrugalnasError: where the file holds no such encoder, or one of another space.
    """
    tensors = read_checkpoint(file, key)
    found = _branch(tensors)
    if len(found) != 3 * 8:
        raise FrugalnasError(
            f"{file} holds no encoder of SSNENAS's program: {len(found)} of the 24 tensors of its three layers are there"
        )
    kinds = found["layers.0.first.weight"].shape[1]
    if kinds not in _COLUMNS:
        known = ", ".join(f"{count} ({name})" for count, (name, _) in _COLUMNS.items())
        raise FrugalnasError(f"{file} holds an encoder of {kinds} operations; known are {known}")
    name, columns = _COLUMNS[kinds]
    space = SPACES.create(name) if space is None else space
    if space.name != name:
        raise FrugalnasError(
            f"{file} holds an encoder of {kinds} operations, which is one of {name}, not of {space.name}; leave `space` out"
        )
    operations = operations_of(space)
    renamed = _STANDS_FOR.get(name, {})
    order = [columns.index(renamed.get(operation, operation)) for operation in operations]
    found["layers.0.first.weight"] = found["layers.0.first.weight"][:, order].contiguous()
    encoder = GINEncoder(len(operations), width=len(found["layers.0.first.bias"]))
    wanted = encoder.state_dict()
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith("num_batches_tracked")}
    try:
        encoder.load_state_dict(found | counters)
    except RuntimeError as error:
        raise FrugalnasError(
            f"{file} holds an encoder of another build ({str(error).splitlines()[-1].strip()})"
        ) from None
    task = "ss-rl" if any("_base." in name for name in tensors) else "ss-ccl"
    notes = (f"taken for an encoder of {name}, {task}", *([_NOTES[name]] if name in _NOTES else []))
    card = EncoderCard(
        space=SPACES.describe(space),
        operations=operations,
        encoder=encoder.config(),
        task=task,
        isolated_edges=True,
        provenance={"imported": Path(file).name, "notes": list(notes)},
    )
    return encoder.eval(), card, notes


def _branch(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the three layers under our names; where a layer has two, the one that is called the base."""
    found: dict[str, Tensor] = {}
    based: set[str] = set()
    for name, tensor in tensors.items():
        matched = _NAME.fullmatch(name)
        place = None if matched is None else _OURS.get((matched["part"], matched["map"]))
        if matched is None or place is None:
            continue
        own = f"layers.{int(matched['layer']) - 1}.{place}.{matched['what']}"
        if matched["base"] or own not in based:
            found[own] = tensor.to(torch.float32)
            based |= {own} if matched["base"] else set()
    return found
