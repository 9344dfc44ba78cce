"""Which tables there are, by name, and how each comes about."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from frugalnas.cache import cache_folder
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.tables import hpobench
from frugalnas.tables.store import MANIFEST, Table
from frugalnas.trust import import_paths, opening

DEFAULT_TABLE = "nasbench201/cifar10"


def table_folder(name: str) -> Path:
    """Where the table of this name is, or would be, in the cache."""
    parts = name.split("/")
    if not all(0 < len(part) <= 100 and part[0] != "." and set(part) <= _NAME_CHARACTERS for part in parts):
        raise FrugalnasError(
            f"{name[:120]!r} cannot name a table; use letters, digits, '-', '_', '.' and '/', 100 between slashes at most"
        )
    return cache_folder() / "tables" / name


def table_names() -> list[str]:
    """Every table that can be opened: those that come with a package, and those imported."""
    root = cache_folder() / "tables"
    folders = {path.parent for pattern in _MARKS for path in root.rglob(pattern)} if root.is_dir() else set()
    cached = {folder.relative_to(root).as_posix() for folder in folders}
    drafts = {name for name in cached if any(part.startswith(".") for part in name.split("/"))}
    return sorted({*hpobench.TABLES, *cached} - drafts)


@opening
def open_table(name: str = DEFAULT_TABLE, *, trust: bool = False) -> Table:
    """The table of this name; one that comes with a package is converted into the cache on first use.

    A process reads and verifies a table once: as long as its files have the sizes and times they had, the same table is
    returned again.

    Raises:
        FrugalnasError: for an unknown name, with the known ones.
        DamagedTable: naming the file and what is wrong with it.
    """
    folder = table_folder(name)
    if _looks_like_a_table(folder) or (name in hpobench.TABLES and folder.exists()):
        return _opened(folder)  # which says so where something is missing
    if name in hpobench.TABLES:
        try:
            hpobench.convert(name, folder)
        except FrugalnasError:
            if not _looks_like_a_table(folder):  # where it does, another process was first
                raise
        return _opened(folder)
    hint = " (frugalnas table import FILE adds more)"
    for stem, file in OFFICIAL_FILES.items():
        if name.split("/")[0] == stem and name not in hpobench.TABLES:
            hint = f" (import the benchmark's own file for more: frugalnas table import {file})"
    raise unknown_name("table", name, table_names(), hint)


def _opened(folder: Path) -> Table:
    """The table in a folder, the one opened last where that is the same."""
    stamp = _stamp(folder)
    table = _tables.pop(stamp, None) or Table(folder)
    if not import_paths(table.description):  # what runs somebody's code is asked about each time
        _tables[stamp] = table
        while len(_tables) > KEPT_OPEN:
            del _tables[next(iter(_tables))]
    return table


def _stamp(folder: Path) -> tuple[Any, ...]:
    """What changes whenever a file of a table does."""
    with suppress(OSError), os.scandir(folder) as entries:
        stats = sorted((entry.name, entry.stat()) for entry in entries)
        return str(folder), *((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    return (str(folder),)


def _looks_like_a_table(folder: Path) -> bool:
    """Whether there is a table, or what is left of one."""
    return any((folder / mark).is_file() for mark in _MARKS)


OFFICIAL_FILES = {
    "nasbench101": "nasbench_only108.tfrecord",
    "nats": "NATS-tss-v1_0-3ffb9-simple",
    "nasbench201-v1.1": "NAS-Bench-201-v1_1-096897.pth",
}
"""Where the tables come from whose names begin so."""

KEPT_OPEN = 8
"""Tables that a process keeps open; their columns are mapped, not read."""
_tables: dict[tuple[Any, ...], Table] = {}
"""By stamp, the one used last at the end."""
_MARKS = (MANIFEST, "codes.npy")
_NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
