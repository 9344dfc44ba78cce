"""What the sizes of networks must be, and how they are told."""

from __future__ import annotations

import os
from typing import Any

from frugalnas.amounts import plural
from frugalnas.errors import FrugalnasError
from frugalnas.limits import within


def checked_sizes(space: Any, *, width: float = 1, **least: int) -> None:
    """Refuse sizes that no network has, and those above `limits.LIMITS`, whether a file or a person gives them.

    Args:
        space: with the sizes as attributes.
        width: where it is whole, the least number of channels; where it is 0.0, a multiplier that must be above zero.
        least: of each other size, which is a whole number.
    """
    name = space.name
    for size, lowest in least.items():
        value = getattr(space, size)
        if type(value) is not int or value < lowest:
            raise FrugalnasError(f"{size} of {name} is {value!r}; it is a whole number, at least {lowest}")
        within(size, value, f"{size} of {name}")
    value = space.width
    if isinstance(width, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise FrugalnasError(f"width of {name} is {value!r}; it is a multiple of the channels, such as 1.0")
    elif type(value) is not int or value < width:
        raise FrugalnasError(f"width of {name} is {value!r}; it is a number of channels, at least {width}")
    within("width", value, f"width of {name}")


def benchmark_network(space: Any, standard: tuple[int, int, int, int], parts: str) -> str:
    """Of which network a benchmark's space counts: that of the benchmark, or one of other sizes, for people."""
    sizes = space.width, space.cells, space.input_size, space.classes
    if sizes == standard:
        return "CIFAR-10 network"
    width, cells, side, classes = sizes
    return f"network of width {width}, {plural(cells, 'cell')} a {parts}, {side}x{side} images, {classes} classes"


def with_latency(space: Any, latency: Any, *counted: str) -> tuple[str | None, tuple[str, ...]]:
    """The absolute path of a space's latency table, so that a run that uses it goes on from any folder, and what is counted."""
    if latency is None:
        return None, counted
    if not isinstance(latency, (str, os.PathLike)):
        raise FrugalnasError(
            f"latency of {space.name} is {latency!r}; it is the path of a table, which frugalnas measure-latency writes"
        )
    return os.path.abspath(os.path.expanduser(latency)), (*counted, "latency")


def cost_rows(space: Any, params: float, macs: float) -> list[tuple[str, str]]:
    """Rows on how large a network is."""
    costs = [("parameters", f"{params / 1e6:,.3f} M"), ("multiply-adds", f"{macs / 1e6:,.3f} M an image")]
    return [("network", sizes_of(space)), *costs]


def sizes_of(space: Any) -> str:
    """A space and the sizes of its networks, for people."""
    words = [space.name + (f" ({space.macro})" if hasattr(space, "macro") else "")]
    for names in (("width",), ("layers", "cells"), ("classes",)):
        name = next((name for name in names if isinstance(getattr(space, name, None), (int, float))), None)
        if name is not None:
            size = getattr(space, name)
            said = {"width": f"width {size}", "classes": f"{size} classes"}
            words.append(said.get(name) or plural(size, name.removesuffix("s")))
    if hasattr(space, "input_size"):
        words.insert(-1, f"{space.input_size}x{space.input_size} pixels")
    return ", ".join(words)
