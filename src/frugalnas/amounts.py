"""Numbers as people write them: `1e3`, `10_000`, `0.5M`, `475MMACs`, `5ms`; read in this one place, and shown."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from frugalnas.errors import FrugalnasError

_PATTERN = re.compile(
    r"\s*(?P<digits>[+-]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)\s*(?P<multiple>[kKMGBT]?)\s*(?P<unit>[A-Za-z]*)\s*"
)
_MULTIPLES = {"": "1", "k": "1e3", "K": "1e3", "M": "1e6", "G": "1e9", "B": "1e9", "T": "1e12"}
_TIMES = {"us": "1e-6", "ms": "1e-3", "s": "1", "min": "60", "h": "3600"}
_MEASURED = {"latency": "ms", "seconds": "s", "training_time": "s"}
"""Quantities that are times, and what they are measured in."""
_WORDS = {"macs": ("macs", "mac"), "params": ("params", "param", "parameters")}


def number(text: str, quantity: str = "") -> float:
    """The number that a text means, which is finite.

    Args:
        text: digits, then one of k, M, G, B, T for thousands to millions of millions where wanted, then a unit where wanted.
        quantity: what is counted: a time (`latency` in ms, `seconds`) may be given in us, ms, s, min or h, and comes out in
            its own unit; anything else may be followed by its name, as in 475MMACs.

    Raises:
        FrugalnasError: where it is no such number.

    Example:
        >>> number("0.5M"), number("475 MMACs", "macs"), number("0.008s", "latency")
        (500000.0, 475000000.0, 8.0)
    """
    value = float(_read(text, quantity))
    if math.isinf(value):
        raise FrugalnasError(f"{text!r} is too large a number")
    return value


LONGEST = 100
"""Characters of a number; the pattern takes a time that grows with their square."""


def whole(text: str) -> int:
    """The whole number that a text means; see `number`.

    Example:
        >>> whole("1e3"), whole("10_000"), whole("1.5k")
        (1000, 10000, 1500)
    """
    try:
        return int(text)  # of any length, such as a seed
    except ValueError:
        value = _read(text, "")
    if value != value.to_integral_value():
        raise FrugalnasError(f"{text!r} is not a whole number")
    return int(value)


def shown_amount(quantity: str, amount: float) -> str:
    """What a network costs, in the unit that people read: millions, or milliseconds of latency."""
    return f"{amount:,.3f} ms" if quantity == "latency" else f"{amount / 1e6:,.3f} M"


def shown_count(count: int) -> str:
    """How many there are, in four digits from 10^9 on."""
    return f"{count:,}" if count < 10**9 else f"{count:.4g}"


def plural(count: int, noun: str) -> str:
    """So many of something.

    Example:
        >>> plural(1, "round"), plural(2000, "epoch")
        ('1 round', '2,000 epochs')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _read(text: str, quantity: str) -> Decimal:
    match = _PATTERN.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise FrugalnasError(f"{text[:LONGEST]!r} is not a number; write one like 250, 1e3, 10_000 or 0.5M")
    value = Decimal(match["digits"].replace("_", "")) * Decimal(_MULTIPLES[match["multiple"]])
    unit, own = match["unit"], _MEASURED.get(quantity)
    if not unit or unit.lower() in _WORDS.get(quantity, (quantity.lower(),)):
        return value
    if own is not None and unit in _TIMES and not match["multiple"]:
        return value * Decimal(_TIMES[unit]) / Decimal(_TIMES[own])
    if unit.lower() in ("flops", "flop"):
        raise FrugalnasError(
            f"{text!r}: multiply-adds are counted, which some papers call FLOPs; write MACs, such as 475MMACs"
        )
    allowed = (
        f"a unit is one of {', '.join(_TIMES)}" if own else "k, M, G or T is for thousands to millions of millions"
    )
    raise FrugalnasError(f"{text!r}: {unit!r} is not understood; {allowed}")
