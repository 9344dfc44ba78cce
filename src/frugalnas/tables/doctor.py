"""What is installed, cached or damaged, and the next step."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from frugalnas.cache import cache_folder
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.tables import hpobench
from frugalnas.tables.catalogue import table_folder, table_names
from frugalnas.tables.repeats import collapsed_runs
from frugalnas.tables.store import MANIFEST, Table, read_manifest
from frugalnas.trust import reading


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        subject: what it is.
        state: "ok"; "absent", which matters only to who needs it; or "damaged".
        detail: what was found.
        next_step: what to do about it, empty where nothing is to be done.
        notes: what to know of it, such as single trainings that collapsed.
    """

    subject: str
    state: Literal["ok", "absent", "damaged"]
    detail: str
    next_step: str = ""
    notes: tuple[str, ...] = ()


def examine() -> list[Finding]:
    """The state of every package and table that frugalnas can use; every checksum is computed again."""
    root = cache_folder() / "tables"
    left = [path for path in root.rglob(".*") if path.is_dir()] if root.is_dir() else []
    killed = "left behind by an import that was killed"
    drafts = [Finding(path.name, "absent", killed, f"remove {path}") for path in left]
    return [*_packages(), *(_table(name) for name in table_names()), *drafts]


def _packages() -> list[Finding]:
    found = []
    for name, needed_for, install in (
        ("frugalnas", "", ""),
        (hpobench.PACKAGE, "the default tables", f"python -m pip install {hpobench.PACKAGE}"),
        ("torch", "nothing that searches tables", ""),
    ):
        try:
            found.append(Finding(name, "ok", f"version {version(name)}"))
        except PackageNotFoundError:
            importable = importlib.util.find_spec(name) is not None
            state: Literal["ok", "absent"] = "ok" if importable else "absent"
            found.append(Finding(name, state, f"needed for {needed_for}", "" if importable else install))
    return found


def _table(name: str) -> Finding:
    folder = table_folder(name)
    if not (folder / MANIFEST).exists():
        if folder.exists():
            return Finding(name, "damaged", f"{folder} has no {MANIFEST}", f"remove {folder}")
        try:
            path = hpobench.source_file(name)
        except FrugalnasError as error:
            return Finding(name, "absent", "its package is missing", str(error))
        return Finding(
            name, "ok", f"comes with {hpobench.PACKAGE} ({path.stat().st_size:,} bytes), converted on first use"
        )
    try:
        described = read_manifest(folder)["space"]
        try:
            with reading(folder / MANIFEST):
                SPACES.create(described)
        except FrugalnasError as error:
            return Finding(name, "absent", "its space cannot be made here", str(error))
        table = Table(folder)
        if not np.array_equal(table.space.identities(table.codes), table._keys) or len(table) != table.manifest["rows"]:
            raise FrugalnasError("its rows do not match its keys")
    except Exception as error:  # whatever a damaged folder raises, the doctor goes on to the next
        return Finding(
            name, "damaged", str(error), f"remove {folder}" + ("" if name in hpobench.TABLES else " and import again")
        )
    size = sum(path.stat().st_size for path in folder.iterdir())
    accuracies = [role for role in ("validation", "test") if role in table.columns]
    known = " and ".join(accuracies) if accuracies else "no accuracies"
    missing = "" if len(accuracies) != 1 else ", no test results" if accuracies == ["validation"] else " results only"
    collapsed = tuple(f"a {role} run collapsed: {said}" for role in accuracies for said in collapsed_runs(table, role))
    detail = f"{len(table):,} architectures of {table.space.name}, {known}{missing}; cached, {size:,} bytes"
    return Finding(name, "ok", detail, notes=collapsed)
