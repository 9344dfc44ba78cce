"""What stands in a file, in words short enough for a message."""

from __future__ import annotations

_LONGEST = 80
_MOST_PARTS = 8


def shown(value: object, deep: int = 3) -> str:
    """A few words on anything that a file can hold: a tuple may be nested without end, an integer too long to print.

    Args:
        value: as read.
        deep: how many levels of tuples are spelt out.
    """
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return repr(value[:_LONGEST])
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 64 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, tuple) and deep and len(value) <= _MOST_PARTS:
        return f"({', '.join(shown(part, deep - 1) for part in value)})"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeio" else f"a {name}"
