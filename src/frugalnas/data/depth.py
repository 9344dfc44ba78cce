"""Images of more than 8 bits a value: which value of theirs is white, one decision for a whole data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalnas.errors import FrugalnasError

_KINDS = {"f": "floats", "b": "floats", "i": "integers", "u": "integers"}  # truth values are 0 and 1
_COLOUR = "16-bit colours"


@dataclass(frozen=True)
class ValueRange:
    """The values of an image or an array of them.

    Attributes:
        name: of the image.
        kind: "floats", "integers", or "16-bit colours", of which Pillow gives the upper 8 bits.
        low: smallest value.
        high: largest value; not a number where one of the values is none.
    """

    name: str
    kind: str
    low: float
    high: float


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture has more than 8 bits a value, by its header."""
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def range_of(image: Image.Image | NDArray[Any], name: str) -> ValueRange:
    """The range of a deep picture's values, or of an array's.

    Raises:
        FrugalnasError: where an array does not hold numbers.
    """
    if isinstance(image, Image.Image) and image.mode[0] not in "IF":
        values, kind = np.asarray(image.convert("RGB")), _COLOUR
    else:
        values = np.asarray(image)
        if values.dtype.kind not in _KINDS:
            raise FrugalnasError(f"{name} is of {values.dtype}; store uint8, uint16, or floats from 0 to 1")
        kind = _KINDS[values.dtype.kind]
    return ValueRange(name, kind, float(values.min()), float(values.max()))


def white_of(ranges: list[ValueRange]) -> float | None:
    """The value that is white in a data set: 1 for floats from 0 to 1, else the largest number of the bits that are used.

    None where Pillow scales already (colours of 16 bits).

    Raises:
        FrugalnasError: where images do not say what their values mean.
    """
    by_kind = {each.kind: each for each in ranges}
    low, high = min(ranges, key=lambda each: each.low), max(ranges, key=lambda each: each.high)
    odd = next((each for each in ranges if not np.isfinite([each.low, each.high]).all()), None)
    if odd is not None:
        raise FrugalnasError(f"{odd.name} has values that are not finite; save the images with 8 or 16 bits")
    if low.low < 0:
        raise FrugalnasError(f"{low.name} has values down to {low.low:g}; save the images with 8 or 16 bits, from 0")
    if len(by_kind) > 1:
        mixed = " and ".join(f"{kind} ({each.name})" for kind, each in by_kind.items())
        raise FrugalnasError(
            f"the images mix {mixed}, which have no scale in common; save all of them with 8 or 16 bits"
        )
    (kind,) = by_kind
    if kind == _COLOUR:
        if high.high < 128:
            raise FrugalnasError(
                f"the images have 16 bits a channel and use {8 + int(high.high).bit_length()} of them, {high.name} most; save "
                f"them with 8 bits, stretched over 0..255"
            )
        return None
    if kind == "floats" and high.high <= 1:
        return 1.0
    if kind == "floats" and high.high < 128:
        raise FrugalnasError(
            f"{high.name} has values up to {high.high:g}, where floats are taken to go from 0 to 1, or to 255 or more; "
            f"clip or scale the images"
        )
    return float(2 ** max(8, int(np.ceil(high.high)).bit_length()) - 1)


def scaled(values: NDArray[Any], white: float | None) -> NDArray[np.uint8]:
    """Values of 0..white as 0..255, rounded; None takes what `preprocessing.to_rgb` says of a lone picture.

    Raises:
        FrugalnasError: where values lie outside.
    """
    low, high = float(values.min()), float(values.max())
    if white is None:
        floats, small = values.dtype.kind in "fb", values.dtype.itemsize > 2 and high < 256
        white = 1.0 if floats and high <= 1 else 255.0 if floats or small else 65535.0
    if not (low >= 0 and high <= white):
        raise FrugalnasError(f"its values go from {low:g} to {high:g}, where 0 is black and {white:g} white")
    return np.rint(values * (255.0 / white)).astype(np.uint8)
