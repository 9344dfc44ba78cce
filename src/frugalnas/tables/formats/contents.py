"""What a benchmark file says, before it is written: one table to be."""

from __future__ import annotations

from dataclasses import dataclass

from frugalnas.spaces import Codes
from frugalnas.tables.store import Column

__all__ = ["Contents"]


@dataclass(frozen=True)
class Contents:
    """One table that a file holds.

    Attributes:
        name: what the table is called unless the user names it.
        space: name of its search space.
        codes: shape [rows, genes], every row once.
        columns: their values in the order of the codes.
        source: file, checksum and what else tells where the numbers come from.
        licence: of the numbers.
    """

    name: str
    space: str
    codes: Codes
    columns: list[Column]
    source: dict[str, str]
    licence: str
