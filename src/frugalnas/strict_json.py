"""JSON that every program reads: what is no number is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, indent: int | None = None) -> str:
    """Plain data as JSON, arrays as lists; NaN and infinity, which JSON does not know, are null.

    Example:
        >>> to_json({"val_loss": float("nan"), "epochs": [1, 2.5]})
        '{"val_loss": null, "epochs": [1, 2.5]}'
    """
    try:
        return json.dumps(value, indent=indent, allow_nan=False, default=_listed)
    except ValueError:
        return json.dumps(_numbers_only(value), indent=indent, allow_nan=False, default=_listed)


def _listed(array: Any) -> Any:
    if not hasattr(array, "tolist"):
        raise TypeError(f"{type(array).__name__} has no form in JSON")
    return _numbers_only(array.tolist())


def _numbers_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _numbers_only(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers_only(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
