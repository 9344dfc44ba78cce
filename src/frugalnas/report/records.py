"""Numbers as files that other programs read, and what is printed of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas.files import draft
from frugalnas.runs.kinds import Page


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Path:
    """The path of a CSV file with these rows; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft(path) as made, made.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_parquet(path: Path, records: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Path:
    """The path of a Parquet file with these records.

    Args:
        path: of the file.
        records: the columns are those of the first.
        columns: in place of them.
    """
    import pyarrow
    import pyarrow.parquet

    if columns is None:
        table = pyarrow.Table.from_pylist(list(records))
    else:
        table = pyarrow.Table.from_pydict({name: [record.get(name) for record in records] for name in columns})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return path


def page_of(written: Sequence[Path]) -> Page:
    """What is printed of a report: the text of its first file, and where its files are."""
    return Page((), "\n".join([written[0].read_text(encoding="utf-8"), *map(str, written)]))
