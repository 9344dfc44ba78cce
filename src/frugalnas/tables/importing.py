"""A Parquet or CSV file of results becomes a table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.tables.catalogue import table_folder
from frugalnas.tables.formats.parquet import is_text, read_parquet
from frugalnas.tables.official import not_known, refuse_taken_name
from frugalnas.tables.store import ROLES, Column, Contents, Table, write_table

ARCHITECTURE_NAMES = ("architecture", "arch_str", "arch")
"""Columns in which architectures are looked for."""
MOSTLY = 0.9
"""Share of values between 0 and 1 from which the others of a column of accuracies are taken for slips."""
SUFFIXES = (".parquet", ".csv", ".tsv")
"""Of files with columns, in any case."""


def import_table(
    file: Path | str,
    *,
    name: str,
    space: str | Mapping[str, Any] | SearchSpace = "nasbench201",
    architecture: str | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    scale: Mapping[str, float] | None = None,
    epochs: int | None = None,
    split: str = "",
    licence: str = "not stated",
) -> Table:
    """The table that a file's columns make, added to the cache.

    Args:
        file: `.parquet`, `.csv` or `.tsv`, one row per architecture.
        name: of the new table, for example "nasbench201/mine".
        space: of the architectures: its name, package.module:Class, a description with options, or the space itself.
        architecture: column that holds them in the space's notation; None looks for architecture, arch_str or arch.
        columns: for each role ("validation", "test", ...), the file's columns that hold it, one per seed. Roles left out
            are looked for under their own name.
        scale: for each role, a factor that brings the file's numbers to the role's unit, such as 100 for
            accuracies that are fractions.
        epochs: of the trainings.
        split: what validation and test were measured on.
        licence: of the numbers.

    Raises:
        FrugalnasError: naming the column or row that cannot be used; the cache is as before then.
    """
    file, folder = Path(file), table_folder(name)
    searched: SearchSpace = space if isinstance(space, SearchSpace) else SPACES.create(space, given=True)
    refuse_taken_name(name)
    content, lists = read_columns(file, ARCHITECTURE_NAMES if architecture is None else [architecture])
    found, its = list(lists), f"its columns are {', '.join(lists)}"
    architecture = architecture or next((guess for guess in ARCHITECTURE_NAMES if guess in found), None)
    chosen = {role: [role] for role in ROLES if role in found} | {
        role: list(used) for role, used in (columns or {}).items()
    }
    for role in {**chosen, **(scale or {})}:
        if role not in ROLES:
            raise FrugalnasError(f"unknown column role {role!r}; a column can be {', '.join(ROLES)}")
    if architecture is None:
        raise FrugalnasError(f"{file}: which column holds the architectures? Add `architecture`=NAME; {its}")
    for role, used in chosen.items():
        if not used:
            raise FrugalnasError(f"{file}: no column is named for {role}; {its}")
    for column in [architecture, *(column for used in chosen.values() for column in used)]:
        if column not in found:
            raise FrugalnasError(f"{file}: there is no column {column!r}; {its}")
    if "validation" not in chosen:
        raise FrugalnasError(f"{file}: which column is the validation accuracy? Add `columns` validation=NAME; {its}")
    codes = parse_architectures(file, searched, lists[architecture])
    made = []
    for role, used in chosen.items():
        factor = (scale or {}).get(role, 1.0)
        values = factor * np.column_stack([numbers_of(file, column, lists[column]) for column in used])
        _check(file, role, used, values)
        seeds = tuple(used) if len(used) > 1 else ()
        is_accuracy = role in ("validation", "test")
        made.append(Column(role, values, split if is_accuracy else "", seeds, epochs if is_accuracy else None))
    source = {"file": file.name, "sha256": hashlib.sha256(content).hexdigest(), "columns": str(chosen)}
    return write_table(folder, Contents(name, searched, codes, made, source, licence))


def read_columns(file: Path, texts: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """The file's bytes, and its columns as lists of numbers or texts.

    A damaged file may fail anywhere in the reader, with nearly any exception.

    Args:
        file: `.parquet`, `.csv` or `.tsv`.
        texts: columns of architectures, which stay as they are written: `0212` is no number.
    """
    import pyarrow.csv

    if file.suffix.lower() not in SUFFIXES:
        raise not_known(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FrugalnasError(f"{file}: {error.strerror or error}") from None
    try:
        source: Any = pyarrow.BufferReader(content)
        if file.suffix.lower() == ".parquet":
            table = read_parquet(source, str(file))
        else:
            parsing = pyarrow.csv.ParseOptions(delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
            kept = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pyarrow.string()))
            table = pyarrow.csv.read_csv(source, parse_options=parsing, convert_options=kept)
        names = list(table.column_names)
        numeric = [name for name in names if name in texts and not is_text(table.schema.field(name).type)]
        lists = {name: column.to_pylist() for name, column in zip(names, table.columns, strict=True)}
    except FrugalnasError:
        raise
    except Exception as error:
        raise FrugalnasError(f"{file}: cannot be read ({(str(error).splitlines() or [repr(error)])[0]})") from None
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise FrugalnasError(f"{file}: there is more than one column {', '.join(sorted(twice))}")
    if not table.num_rows:
        raise FrugalnasError(f"{file}: has no rows")
    if numeric:
        raise FrugalnasError(
            f"{file}: the column {numeric[0]!r} holds numbers ({table.schema.field(numeric[0]).type}), which have no leading "
            f"zeros; architectures are text: write them as such"
        )
    return content, lists


def parse_architectures(file: Path, space: SearchSpace, texts: list[Any]) -> Codes:
    """A column of architectures as codes, shape [rows, genes]; what cannot be read is named by its row."""
    codes = []
    for row, text in enumerate(texts):
        try:
            codes.append(space.parse("" if text is None else str(text)))
        except FrugalnasError as error:
            raise FrugalnasError(f"{file}, row {row + 1}: {error}") from None
    parsed = space.as_codes(codes)
    valid = space.valid(parsed)
    if not valid.all():
        row = int(np.flatnonzero(~valid)[0])
        wrong = f"is not an architecture of {space.name}"
        if space.limits:
            wrong = f"is not in what is left of {space.name}; remove such rows, or leave `operators` and limits out"
        raise FrugalnasError(f"{file}, row {row + 1}: {texts[row]} {wrong}")
    return parsed


def numbers_of(file: Path, name: str, column: list[Any]) -> NDArray[np.float64]:
    """A column as float64, NaN where a value is missing, shape [rows]."""
    for row, value in enumerate(column):
        if not (value is None or isinstance(value, (int, float, Decimal))):
            raise FrugalnasError(f"{file}, row {row + 1}: column {name!r} holds {value!r}, not a number")
    return np.array([np.nan if value is None else float(value) for value in column], np.float64)


def _check(file: Path, role: str, used: list[str], values: NDArray[np.float64]) -> None:
    shown, wrong = ", ".join(used), ""
    if not np.isfinite(values).any():
        wrong = "has no numbers"
    elif np.isinf(values).any():
        wrong = "has infinite values"
    elif role in ("validation", "test"):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if high <= 1.0:
            wrong = f"which looks like fractions; accuracies are percentages here: add `scale` {role}=100"
        elif low < 0 or high > 100:
            wrong = f"outside 0 to 100 %, {rows_where((values < 0) | (values > 100))}"
        wrong = wrong and f"lies between {low:g} and {high:g}, {wrong}"
    if wrong:
        raise FrugalnasError(f"{file}: {shown} {wrong}")
    if role in ("validation", "test"):
        refuse_stray_percentages(file, shown, values)


def refuse_stray_percentages(file: Path, column: str, values: NDArray[np.float64]) -> None:
    """Refuse accuracies of which nearly all, but not all, look like fractions."""
    known = values[np.isfinite(values)]
    fractions = int(((known >= 0) & (known <= 1)).sum())
    if len(known) > fractions >= MOSTLY * len(known):
        raise FrugalnasError(
            f"{file}: {fractions} of {len(known)} values of {column} lie between 0 and 1, as fractions do, but others above, "
            f"{rows_where(values > 1)}; correct these rows, or write all as percentages"
        )


def rows_where(wrong: NDArray[np.bool_]) -> str:
    """The first rows in which something is wrong, counted from 1; shape [rows] or [rows, columns]."""
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1)) + 1
    return f"in row {', '.join(map(str, rows[:5].tolist()))}" + (", ..." if len(rows) > 5 else "")
