"""What a benchmark file says, before it is written: one table to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


def with_texts(table: Any) -> Any:
    """An Arrow table whose columns of bytes are text, as which several programs write it to Parquet.

    Raises:
        pyarrow.ArrowInvalid: for bytes that are no UTF-8.
    """
    import pyarrow

    for place, field in enumerate(table.schema):
        if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pyarrow.large_string()))
    return table


def is_text(kind: Any) -> bool:
    """Whether a column of this Arrow type holds texts, or nothing at all."""
    import pyarrow.types

    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_null(kind))
