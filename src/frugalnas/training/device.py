"""Where a training computes, through Lightning Fabric, and what to say when there is no such place or too little of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessRaisedException

from frugalnas import errors
from frugalnas.documents import check_options
from frugalnas.errors import FrugalnasError, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True)
class Compute:
    """Where something is trained or evaluated, and how exactly.

    Attributes:
        device: "auto", "cpu", "cuda" or "mps".
        devices: how many; with several, each sees its share of every batch, in a process of its own.
        precision: "32", "bf16" or "16" (mixed).
        channels_last: memory layout that matrix units like; None leaves it to what is trained: supernets have it, as most
            processors and GPUs are faster with it.
        compile: through torch.compile.
    """

    device: str = "auto"
    devices: int = 1
    precision: str = "32"
    channels_last: bool | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what no machine has."""
        check_options(Compute, asdict(self), "compute")
        if self.device not in DEVICES:
            raise unknown_name("device", self.device, DEVICES)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.devices < 1:
            raise FrugalnasError(f"`devices` {self.devices}: it must be at least 1")

    def here(self, *, channels_last: bool = False) -> Compute:
        """This with nothing left open, on this machine.

        Args:
            channels_last: what None becomes.

        Raises:
            FrugalnasError: where this machine has no such device, or not so many.
        """
        device, devices, precision = self.device, self.devices, self.precision
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if device == "auto":
            device = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
        if not there[device]:
            raise FrugalnasError(
                f"device {device!r} was asked for, but torch {torch.__version__} finds none on this machine; take "
                f"`device`=cpu, or install the driver and a torch build for it"
            )
        found = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device, devices)
        if devices > found:
            raise FrugalnasError(f"{devices} devices were asked for, but this machine has {found}; lower `devices`")
        if precision == "16" and device == "cpu":
            raise FrugalnasError("precision '16' needs a GPU; take bf16 or 32 on a CPU")
        layout = channels_last if self.channels_last is None else self.channels_last
        return replace(self, device=device, channels_last=layout)

    def fabric(self, *, unused: bool = False) -> Fabric:
        """Lightning Fabric on these devices, one process each (DDP, spawned) where there are several.

        Args:
            unused: whether some weights have no gradient in a step, which DDP must be told.
        """
        here = self.here()
        for name in ("lightning_fabric", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return Fabric(
            accelerator=here.device,
            devices=here.devices,
            strategy=DDPStrategy(start_method="spawn", find_unused_parameters=unused) if here.devices > 1 else "auto",
            precision=PRECISIONS[here.precision],  # type: ignore[arg-type]
        )

    @property
    def memory_format(self) -> torch.memory_format:
        """Of images and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def to_json(self) -> dict[str, Any]:
        """Plain data, by the names of the arguments."""
        return asdict(self)


def launched(fabric: Fabric, function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(fabric, *arguments)` answers on the first of the fabric's devices, having run on all of them.

    Raises:
        FrugalnasError: the one that a process raised.
    """
    if fabric.world_size == 1:
        fabric.launch()
        return function(fabric, *arguments)
    try:
        return fabric.launch(partial(_parting, function), *arguments)
    except ProcessRaisedException as error:
        # Only text comes back from another process; its last line names the exception.
        found = re.search(r"^frugalnas\.errors\.(\w+): (.+)\Z", str(error).strip(), re.MULTILINE | re.DOTALL)
        if found is None:
            raise
        raise getattr(errors, found[1])(found[2]) from None


def _parting(function: Callable[..., Any], fabric: Fabric, *arguments: Any) -> Any:
    """What the function answers, after which the processes take leave of each other.

    A process that ends with its group alive leaves gloo's threads to the dying interpreter, which aborts now and then
    (pytorch issue 190489). After an error the others may still be waiting, so that nobody takes leave then.
    """
    answer = function(fabric, *arguments)
    fabric.barrier()
    distributed.destroy_process_group()
    return answer


def compiled(network: nn.Module) -> nn.Module:
    """The network through torch.compile, which happens at its first step; its weights are the same tensors."""
    return cast(nn.Module, torch.compile(network))


@contextmanager
def watching_memory(advice: str) -> Iterator[None]:
    """Turn running out of memory within into an error that says what to lower.

    Args:
        advice: the settings to lower, with their values now.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise FrugalnasError(f"the device's memory does not suffice; lower {advice}") from None
    except MemoryError:
        raise FrugalnasError(f"this machine's memory does not suffice; lower {advice}") from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise FrugalnasError(f"this machine's memory does not suffice; lower {advice}") from None
