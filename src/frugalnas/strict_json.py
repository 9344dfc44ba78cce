"""JSON that every program reads: what is no number is null."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_NUMBER = r"(?:-?\d[\d.eE+-]*|null)"
_LISTS = re.compile(rf"\[\n *({_NUMBER}(?:,\n *{_NUMBER})*)\n *\]")  # no text has a line break: it is written as \n
_BREAK = re.compile(r"\n *")


def to_json(value: Any, indent: int | None = None) -> str:
    """Plain data as JSON, arrays as lists; NaN and infinity, which JSON does not know, are null.

    A list of numbers stands on one line, however the rest is indented.

    Example:
        >>> to_json({"val_loss": float("nan"), "epochs": [1, 2.5]})
        '{"val_loss": null, "epochs": [1, 2.5]}'
    """
    try:
        text = json.dumps(value, indent=indent, allow_nan=False, default=_listed)
    except ValueError:
        text = json.dumps(_numbers_only(value), indent=indent, allow_nan=False, default=_listed)
    return text if indent is None else _LISTS.sub(lambda found: f"[{_BREAK.sub(' ', found[1])}]", text)


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
