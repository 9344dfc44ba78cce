"""Parquet files that somebody wrote, unpacked within limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frugalnas.limits import within


def read_parquet(source: Any, where: str, columns: Sequence[str] | None = None) -> Any:
    """The Arrow table in a Parquet file; columns of bytes, as which several programs write text, are text.

    Columns of equal values take next to no room in a file, so that its size says nothing of what it unpacks to: rows are counted
    before they are read, and texts are read as numbers of the different ones and measured before they are written out.

    Args:
        source: a path, or an Arrow file.
        where: it is, for the error.
        columns: to read; None reads all.

    Raises:
        FrugalnasError: where it unpacks to more than its limit.
        pyarrow.ArrowException, OSError: where it is damaged, or bytes are no UTF-8.
    """
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    read = [name for name in schema.names if columns is None or name in columns]
    within("table-bytes", 8 * rows * len(read), where)
    texts = (pyarrow.string(), pyarrow.large_string(), pyarrow.binary(), pyarrow.large_binary())
    table = pq.read_table(source, columns=read, read_dictionary=[field.name for field in schema if field.type in texts])
    for place, field in enumerate(table.schema):
        if pyarrow.types.is_dictionary(field.type) and field.type.value_type in texts:
            column: Any = table.column(place)
            lengths: list[Any] = [pc.binary_length(chunk.dictionary) for chunk in column.chunks]
            sizes = (
                pc.sum(each.take(chunk.indices)).as_py() for each, chunk in zip(lengths, column.chunks, strict=True)
            )
            within("table-bytes", sum(size or 0 for size in sizes), where)
            table = table.set_column(place, field.name, column.cast(field.type.value_type).cast(pyarrow.large_string()))
    return table


def is_text(kind: Any) -> bool:
    """Whether a column of this Arrow type holds texts, or nothing at all."""
    import pyarrow.types

    kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_null(kind))
