"""How much a file may ask of the machine before it is refused: all limits of the package.

A few hundred bytes can declare an image of ten thousand megapixels, a table of a billion rows or a network of a million layers.
Every reader checks what a file declares against these before it takes memory for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from frugalnas.errors import FrugalnasError


@dataclass(frozen=True)
class Limit:
    """The most of something that is accepted from a file.

    Attributes:
        most: the largest accepted number.
        noun: what is counted, with its unit.
    """

    most: int
    noun: str


LIMITS = {
    "image-pixels": Limit(200_000_000, "pixels in an image"),
    "yaml-bytes": Limit(2_000_000, "bytes of YAML"),
    "yaml-values": Limit(100_000, "values, once aliases are followed"),
    "json-bytes": Limit(64_000_000, "bytes of JSON"),
    "levels": Limit(64, "levels of nesting"),
    "array-bytes": Limit(8_000_000_000, "bytes of an array"),
    "table-bytes": Limit(1_000_000_000, "bytes of a table, once unpacked"),
    "tensors": Limit(100_000, "tensors in a file of weights"),
    "cells": Limit(500, "cells"),
    "layers": Limit(500, "layers"),
    "width": Limit(10_000, "channels or units"),
    "hidden": Limit(10_000, "units"),
    "classes": Limit(1_000_000, "classes"),
    "input_size": Limit(10_000, "pixels a side"),
    "workers": Limit(1_000, "processes"),
    "images": Limit(50_000_000, "images"),
    "queries": Limit(10_000_000, "queries"),
    "trials": Limit(100_000, "trials"),
    "option": Limit(1_000_000, "(a number in an option)"),
}
"""By the name under which the environment raises it: `FRUGALNAS_LIMIT_IMAGE_PIXELS=1e9` for "image-pixels"."""


def most(name: str) -> float:
    """The largest accepted number, by the name of its limit; what the environment says of it, or the default."""
    variable = variable_of(name)
    try:
        return float(os.environ.get(variable, LIMITS[name].most))
    except ValueError:
        raise FrugalnasError(f"{variable} is {os.environ[variable]!r}; give a number") from None


def within(name: str, number: float, where: str) -> None:
    """Refuse more of something than its limit.

    Args:
        name: of the limit, in `LIMITS`.
        number: what the file declares.
        where: the file, for the error.

    Raises:
        FrugalnasError: naming the limit that was met, and how to raise it.
    """
    limit = most(name)
    if not number <= limit:
        raise FrugalnasError(
            f"{where} asks for {number:,.0f} {LIMITS[name].noun}; the limit is {limit:,.0f} (set {variable_of(name)} to raise "
            f"it)"
        )


def variable_of(name: str) -> str:
    """What raises a limit in the environment."""
    return f"FRUGALNAS_LIMIT_{name.upper().replace('-', '_')}"
