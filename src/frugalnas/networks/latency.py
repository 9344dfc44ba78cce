"""Latency of every block, measured on a machine or read from a file, and what a space's codes take by it."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import nn

from frugalnas.documents import read_json, read_yaml
from frugalnas.errors import FrugalnasError, at_least
from frugalnas.files import write_atomically
from frugalnas.networks.mobilenet import CHOICES, MobileNetSkeleton
from frugalnas.networks.models import described
from frugalnas.networks.runtimes import runner
from frugalnas.networks.skeleton import Block, Skeleton, skeleton_of
from frugalnas.spaces import Codes, SearchSpace

MILLISECONDS = {"ms": 1.0, "s": 1e3, "us": 1e-3}
"""Units that a file may have, in milliseconds."""

SIZES = ("macro", "widths", "width", "layers", "cells", "input_size", "classes")
"""Options of a space that change its networks; a table for other values is refused."""

WARM_UP = 2
"""Rounds that are not timed."""

NETWORKS = 8
"""Whole networks that are timed beside the blocks."""


@dataclass(frozen=True)
class LatencyTable:
    """What every block of a space takes, and what all its networks take besides, in milliseconds for one batch.

    Attributes:
        fixed: stem, classifier and whatever else all networks share; 0 or more, as all times are.
        blocks: by `Block.key`.
        device: on which it was measured, in words.
        runtime: in which: one of `RUNTIMES`; empty where the file does not say.
        threads: of the processor.
        batch: images that pass at a time.
        repeats: runs of which the median was taken.
        networks: what whole networks took, their median; None unknown.
        error: root mean square difference between whole networks and their prediction by this table; None unknown.
        space: description of the space, with its sizes.
    """

    fixed: float
    blocks: Mapping[str, float]
    device: str = ""
    threads: int = 0
    batch: int = 1
    repeats: int = 0
    networks: float | None = None
    error: float | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = ""

    def save(self, path: str | Path) -> None:
        """Write the table as JSON, or as YAML where the path ends so; a file that is there is replaced at once."""
        path = Path(path).expanduser()
        values = {"unit": "ms", **asdict(self)}
        yaml_file = path.suffix in (".yaml", ".yml")
        text = yaml.safe_dump(values, sort_keys=False) if yaml_file else json.dumps(values, indent=1) + "\n"
        write_atomically(path, text)

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """The table in a JSON or YAML file.

        Only `blocks` is required; a table without `unit` is in milliseconds.

        Raises:
            FrugalnasError: where the file is not such a table.
        """
        entries = _read(path)
        if not isinstance(entries.get("blocks"), Mapping):
            raise FrugalnasError(f"{path} is no latency table; it needs 'blocks', a mapping from block to milliseconds")
        unit = entries.get("unit", "ms")
        if unit not in MILLISECONDS:
            raise FrugalnasError(f"{path} has the unit {unit!r}; choose one of: {', '.join(MILLISECONDS)}")
        scale = MILLISECONDS[unit]
        known = {key: entries[key] for key in ("networks", "error") if entries.get(key) is not None}
        space = entries.get("space") or {}
        if not isinstance(space, Mapping):
            raise FrugalnasError(f"{path} describes its space as {space!r}; it is a name with options, or left out")
        return cls(
            fixed=_number(path, "fixed", entries.get("fixed", 0.0)) * scale,
            blocks={str(key): _number(path, key, value) * scale for key, value in entries["blocks"].items()},
            device=str(entries.get("device", "")),
            threads=int(_number(path, "threads", entries.get("threads", 0))),
            batch=int(_number(path, "batch", entries.get("batch", 1))),
            repeats=int(_number(path, "repeats", entries.get("repeats", 0))),
            space=dict(space),
            runtime=str(entries.get("runtime", "")),
            **{key: _number(path, key, value) * scale for key, value in known.items()},
        )


def latency_table(space: SearchSpace) -> tuple[float, NDArray[np.float64]]:
    """What every network of a space takes, and what each value of each gene adds, [genes, values], in milliseconds.

    From the file at `space.latency`: as `LatencyTable.save` writes it, or, for a MobileNet space of the widths
    "mobile_search", ProxylessNAS's lookup table of a phone. Values that build nothing add nothing.

    Raises:
        FrugalnasError: naming blocks that the file has no entry for, or the sizes for which it was measured.
    """
    path = getattr(space, "latency", None)
    if path is None:
        raise FrugalnasError(
            f"{space.name} has no latency table; set its option latency to a file that frugalnas measure-latency wrote"
        )
    skeleton = skeleton_of(space)
    proxyless = _read(path)
    if any(str(key).startswith("expanded_conv-") for key in proxyless):
        table = _from_proxyless(path, proxyless, skeleton)
    else:
        table = LatencyTable.load(path)
        measured = table.space.get("options") or {}
        for size in SIZES:
            if size in measured and getattr(space, size, measured[size]) != measured[size]:
                raise FrugalnasError(
                    f"{path} was measured for {size}={measured[size]!r}, not {getattr(space, size)!r}; "
                    "measure this space with frugalnas measure-latency"
                )
    wanted = [block for block in skeleton.blocks() if space.allowed[block.gene, block.value]]
    missing = list(dict.fromkeys(block.key for block in wanted if block.key not in table.blocks))
    if missing:
        raise FrugalnasError(
            f"{path} has no entry for {len(missing)} of the {len({block.key for block in wanted})} blocks of {space.name}, "
            f"such as {missing[0]!r}; add them, or measure this space with frugalnas measure-latency"
        )
    added = np.zeros(space.allowed.shape)
    for block in wanted:
        added[block.gene, block.value] += table.blocks[block.key]
    return table.fixed, added


@torch.inference_mode()
def measure_latency(
    space: SearchSpace,
    *,
    runtime: str = "torch",
    device: str = "cpu",
    batch: int = 1,
    repeats: int = 30,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LatencyTable:
    """Latency of every distinct block of a space on this machine, in evaluation mode and single precision.

    Blocks and a few whole networks take turns, so that a machine that slows down for a while slows all of them, and the
    median over the turns is kept. The fixed part is what the networks take beyond their blocks (median over the networks):
    it absorbs what a block alone does not show. Where blocks take longer alone than in a network, so that nothing is left
    for it, it is 0 and all blocks are scaled down to what the networks take: no time is ever negative. How far the table
    is from whole networks is kept as `error`; it is large where other programs kept the machine busy.

    What torch takes says little of a runtime in which a network is deployed, which fuses and lays out as it likes: measure in
    that one.

    Args:
        space: with the sizes of its networks; its skeleton must offer `blocks`.
        runtime: "torch", "onnxruntime" or "openvino".
        device: as torch names it.
        batch: images that pass at a time.
        repeats: turns.
        seed: decides which networks are timed.
        progress: told the number of turns done and of all turns.

    Raises:
        FrugalnasError: where the device or runtime is not there, or its memory does not hold a batch.
    """
    at_least(1, batch=batch, repeats=repeats)
    place = _device(device)
    try:
        description = described(space)
    except FrugalnasError:  # a space that no other process can import is known by its name
        description = {"name": space.name, "options": {}}
    skeleton = skeleton_of(space)
    blocks = list(skeleton.blocks())
    distinct = {block.key: block for block in blocks}
    size: int = space.input_size  # type: ignore[attr-defined]
    codes = space.sample(NETWORKS, np.random.default_rng(seed))
    try:
        with torch.random.fork_rng(devices=[]):
            timed = [Timed(block.make(), (batch, *block.input_shape), place, runtime) for block in distinct.values()]
            timed += [Timed(skeleton.build(code), (batch, 3, size, size), place, runtime) for code in codes]
        for turn in range(-WARM_UP, repeats):
            for one in timed:
                one.run(keep=turn >= 0)
            if progress is not None:
                progress(turn + WARM_UP + 1, repeats + WARM_UP)
    except torch.OutOfMemoryError:
        raise FrugalnasError(f"{device} has not enough memory for a batch of {batch}; lower batch") from None
    taken = [median(one.milliseconds) for one in timed]
    table = dict(zip(distinct, taken[: len(distinct)], strict=True))
    whole = np.array(taken[len(distinct) :])
    fixed, table = _balanced(whole, blocks, table, codes)
    off = whole - fixed - _sums(blocks, table, codes)
    return LatencyTable(
        fixed=fixed,
        blocks=table,
        device=_words(place),
        threads=torch.get_num_threads(),
        batch=batch,
        repeats=repeats,
        networks=float(np.median(whole)),
        error=float(np.sqrt(np.mean(off**2))),
        space=description,
        runtime=runtime,
    )


def _balanced(
    whole: NDArray[np.float64], blocks: Sequence[Block], table: dict[str, float], codes: Codes
) -> tuple[float, dict[str, float]]:
    """The fixed part, 0 or more, and what blocks take in a network, where that is less than alone."""
    sums = _sums(blocks, table, codes)
    fixed = float(np.median(whole - sums))
    if fixed >= 0:
        return fixed, table
    share = float(np.median(whole / sums))
    return 0.0, {key: share * milliseconds for key, milliseconds in table.items()}


class Timed:
    """A module with an input, and how long its runs took."""

    def __init__(self, module: nn.Module, shape: Sequence[int], device: torch.device, runtime: str = "torch") -> None:
        self.module = module.to(device).eval()
        self.once = runner(self.module, torch.randn(tuple(shape), device=device), runtime)
        self.device = device
        # Kernels of an accelerator are launched ahead; a burst of calls is timed as they follow one another in a network.
        self.calls = 1 if device.type == "cpu" else 10
        self.milliseconds: list[float] = []

    def run(self, *, keep: bool) -> None:
        """One run, whose milliseconds are kept or not."""
        _wait(self.device)
        start = time.perf_counter()
        for _ in range(self.calls):
            self.once()
        _wait(self.device)
        if keep:
            self.milliseconds.append((time.perf_counter() - start) * 1e3 / self.calls)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _sums(blocks: Sequence[Block], table: Mapping[str, float], codes: Codes) -> NDArray[np.float64]:
    """What the blocks of each code take together, shape [n]."""
    sums = np.zeros(len(codes))
    for block in blocks:
        sums += np.where(codes[:, block.gene] == block.value, table[block.key], 0.0)
    return sums


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        reason = str(error).split("\n")[0]
        raise FrugalnasError(
            f"device {name!r} is not to be had here ({reason}); choose cpu, or install a driver"
        ) from None
    return device


def _words(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: str | Path) -> dict[str, Any]:
    """The mapping in a JSON or YAML file."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        entries = (read_json if str(path).endswith(".json") else read_yaml)(text, str(path))
    except OSError as error:
        raise FrugalnasError(
            f"cannot read the latency table {path}: {error.strerror}; frugalnas measure-latency writes one"
        ) from None
    except ValueError as error:
        raise FrugalnasError(f"{path} is neither JSON nor YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(entries, dict):
        raise FrugalnasError(f"{path} is no latency table; it needs 'blocks', a mapping from block to milliseconds")
    return entries


def _number(path: str | Path, key: object, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise FrugalnasError(f"{path} has {value!r} for {key!r}; times are finite numbers, 0 or more")
    return float(value)


# -- ProxylessNAS's file ------------------------------------------------------------------------------------------------


def _from_proxyless(path: str | Path, entries: Mapping[str, Any], skeleton: Skeleton) -> LatencyTable:
    """A table by our keys from one by ProxylessNAS's: `{key: {"mean": milliseconds, ...}}`."""
    if not isinstance(skeleton, MobileNetSkeleton):
        raise FrugalnasError(
            f"{path} is a table of MobileNet blocks, which {skeleton.space.name} has not; measure your own"
        )

    def mean(key: str) -> float:
        if not isinstance(entries.get(key), Mapping):
            raise FrugalnasError(
                f"{path} has no entry {key!r}; it was made for other widths or another input size than those of this space"
            )
        return _number(path, key, entries[key].get("mean"))

    def block(inputs: int, outputs: int, size: int, stride: int, kernel: int, expansion: int, shortcut: bool) -> float:
        out = -(-size // stride)
        return mean(
            f"expanded_conv-input:{size}x{size}x{inputs}-output:{out}x{out}x{outputs}"
            f"-expand:{expansion}-kernel:{kernel}-stride:{stride}-idskip:{int(shortcut)}"
        )

    image, first, last = skeleton.input_size, skeleton.places[0], skeleton.places[-1]
    end = -(-last.size // last.stride)
    fixed = (
        mean(f"Conv-input:{image}x{image}x3-output:{first.size}x{first.size}x{skeleton.stem_channels}")
        + block(skeleton.stem_channels, skeleton.first_channels, first.size, 1, 3, 1, shortcut=False)
        + mean(f"Conv_1-input:{end}x{end}x{last.outputs}-output:{end}x{end}x{skeleton.head_channels}")
        + mean(f"Logits-input:{end}x{end}x{skeleton.head_channels}-output:{skeleton.classes}")
    )
    blocks: dict[str, float] = {}
    for place in skeleton.places:
        for value, (kernel, expansion) in enumerate(CHOICES):
            key = f"{skeleton.name_of(place, value)} {place}"
            if key not in blocks:
                blocks[key] = block(
                    place.inputs, place.outputs, place.size, place.stride, kernel, expansion, place.keeps_shape
                )
    return LatencyTable(fixed=fixed, blocks=blocks)
