"""A trained network leaves frugalnas: as ONNX, as a `torch.export` program, or as safetensors with its card."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.files import draft
from frugalnas.networks.models import ModelCard, build_from_card, load_tensors, save_model, tensors_of
from frugalnas.networks.runtimes import onnx_session, quiet

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ""}
"""What `export` writes, and how the file's name ends; safetensors come as a folder with the card beside them."""

TOLERANCE = 1e-4
"""How far the logits of an exported network may lie from torch's, relative to the largest where that exceeds 1."""

_CHECKED_BATCHES = (1, 3)
_AUXILIARY = "auxiliary_head."


def export(network: nn.Module, card: ModelCard, path: str | Path, format: str = "onnx") -> Path:
    """Write a trained network for use without frugalnas, and return the path.

    The network takes float32 images `images` [batch, 3, size, size], preprocessed as the card says, and answers
    `logits` [batch, classes], for any batch; an auxiliary head stays behind. What was written is read back and compared
    with torch on random images before it appears at `path`; nothing is left behind where that fails.

    Every format carries the card: ONNX in its metadata (`classes`, `preprocessing` and `card`, each JSON), a
    `torch.export` program as the extra files `classes.json`, `preprocessing.json` and `card.json`, safetensors as
    `architecture.json` and in their own metadata.

    Args:
        network: on any device, in any mode; it is not changed.
        card: says how it was built.
        path: of the file, or for safetensors of the folder; what is there is replaced.
        format: "onnx", "torch-export" or "safetensors".

    Raises:
        FrugalnasError: where the format is unknown, a package is missing, `path` cannot be written, or what was written
            answers differently.
    """
    if format not in FORMATS:
        raise unknown_name("export format", format, FORMATS)
    path = Path(path)
    bare, card = inference_network(network, card)
    if format == "safetensors":
        if path.is_file():
            raise FrugalnasError(f"{path} is a file; safetensors are written as a folder, with the card beside them")
        return save_model(path, bare, card)
    if path.is_dir():
        raise FrugalnasError(f"{path} is a folder; name the file, such as {path / ('network' + FORMATS[format])}")
    write = _write_onnx if format == "onnx" else _write_program
    size = card.input_size
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path) as made:
            _check(bare, write(live_network(bare, size), card, size, made), size, path)
    except OSError as error:
        raise FrugalnasError(f"{path} cannot be written ({error}); choose another place") from None
    return path


def inference_network(network: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """A copy of a network on the CPU in eval mode, without auxiliary head, and its card, without paths of this machine.

    Raises:
        FrugalnasError: where the network is not the one that the card describes.
    """
    bare = build_from_card(card, auxiliary=None)
    tensors = {name: tensor for name, tensor in tensors_of(network).items() if not name.startswith(_AUXILIARY)}
    load_tensors(bare, tensors, source="the network", architecture=card.architecture)
    options = card.space.get("options") or {}
    # A table of latency stays on its machine.
    bare_space = {**card.space, "options": {**options, "latency": None}} if options.get("latency") else card.space
    return bare.eval(), replace(
        card, space=bare_space, build={**card.build, "auxiliary": None}, provenance=_without_folders(card.provenance)
    )


def _without_folders(said: Any) -> Any:
    """What a card says of where a network is from, with the last name of each absolute path alone."""
    if isinstance(said, dict):
        return {key: _without_folders(value) for key, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_without_folders(value) for value in said]
    return Path(said).name if isinstance(said, str) and Path(said).is_absolute() else said


def live_network(network: nn.Module, size: int) -> nn.Module:
    """A copy of a network for inference that answers the same with less work.

    Neither exporters nor runtimes leave out what is multiplied by zero, nor what is computed of that, and some runtimes have no
    pooling that rounds up, which even sides do not need.

    Args:
        network: in eval mode.
        size: pixels a side of its images.
    """
    live = copy.deepcopy(network)
    for module in list(live.modules()):
        if callable(keep := getattr(module, "keep_live", None)):
            keep()
    pools = [
        module for module in live.modules() if isinstance(module, (nn.AvgPool2d, nn.MaxPool2d)) and module.ceil_mode
    ]
    hooks = [pool.register_forward_pre_hook(_round_as_needed) for pool in pools]
    with torch.no_grad():
        live(torch.zeros(1, 3, size, size, device=next(live.parameters()).device))
    for hook in hooks:
        hook.remove()
    return live


def _round_as_needed(pool: nn.AvgPool2d | nn.MaxPool2d, given: tuple[Tensor]) -> None:
    """Have a pooling round up only where it does not divide the sides."""
    pool.ceil_mode = any(side % 2 for side in given[0].shape[2:])


# -- the formats -------------------------------------------------------------------------------------------------------

_Answer = Callable[[Tensor], Tensor]


def _write_onnx(network: nn.Module, card: ModelCard, size: int, draft: Path) -> _Answer:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise FrugalnasError(
                f"export to ONNX needs {package}; install it with: python -m pip install 'frugalnas[torch]'"
            ) from None
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ReLU6:
                setattr(module, name, _Clip())
    with quiet():
        program = torch.onnx.export(
            _program(network, size), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
        )
    assert program is not None
    _name_batch(program.model)
    _forget_origin(program.model)
    program.model.metadata_props.update(
        {"classes": _json(card.classes), "preprocessing": _json(card.preprocessing), "card": card.to_json()}
    )
    program.save(draft)
    session = onnx_session(draft)
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


class _Clip(nn.Module):
    """ReLU6 as the operator that it has in ONNX: the exporter takes half its time to find that out for each by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(0.0, 6.0)


def _name_batch(model: Any) -> None:
    """Call the free axis "batch" wherever it shows; the exporter names it after a symbol of its own."""
    values = [*model.graph.inputs, *model.graph.outputs, *(out for node in model.graph for out in node.outputs)]
    own = model.graph.inputs[0].shape[0]
    for value in values:
        if value.shape is not None:
            for axis, length in enumerate(value.shape):
                if length == own:
                    value.shape[axis] = "batch"


def _forget_origin(model: Any) -> None:
    """Remove what the exporter says of the source of each node: stack traces, with the paths of this machine."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.doc_string = None
        for node in graph:
            node.doc_string = None
            for noted in (node, *node.outputs):
                noted.metadata_props.clear()


def _write_program(network: nn.Module, card: ModelCard, size: int, draft: Path) -> _Answer:
    card_files = {
        "classes.json": _json(card.classes),
        "preprocessing.json": _json(card.preprocessing),
        "card.json": card.to_json(),
    }
    with quiet():
        torch.export.save(_program(network, size), draft, extra_files=card_files)
        again = torch.export.load(draft).module()
    return lambda images: again(images)


def _program(network: nn.Module, size: int) -> torch.export.ExportedProgram:
    # A batch of one would be taken for a constant.
    example = torch.zeros(2, 3, size, size)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # has the paths of this machine
    return program


def _check(network: nn.Module, answer: _Answer, size: int, path: Path) -> None:
    """Compare with torch on random images; these have the mean and spread that preprocessed images have."""
    generator = torch.Generator().manual_seed(0)
    for batch in _CHECKED_BATCHES:
        images = torch.randn(batch, 3, size, size, generator=generator)
        with torch.no_grad():
            wanted, found = network(images), answer(images)
        error = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        if not error <= TOLERANCE:
            raise FrugalnasError(
                f"{path} was not written: the exported network's logits differ from torch's by {error:.2g}, more than "
                f"{TOLERANCE:g}; try another format ({', '.join(FORMATS)})"
            )


# -- helpers -----------------------------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
