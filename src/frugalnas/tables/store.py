"""A table on disk: one `.npy` file per column, memory-mapped, and a manifest in JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.documents import misfit, read_json
from frugalnas.errors import DamagedTable, FrugalnasError, Surroundings, one_of, surroundings, unknown_name
from frugalnas.files import draft
from frugalnas.limits import within
from frugalnas.registry import SPACES
from frugalnas.spaces import Codes, IntArray, SearchSpace
from frugalnas.spaces.listed import listed_space

FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"

ROLES = {
    "validation": "accuracy on the validation split, %",
    "test": "accuracy on the test split, %; never shown to a strategy",
    "whole_test": "accuracy on a test set whose other half is the validation split, %; never shown to a strategy",
    "train": "accuracy on the training split, %",
    "training_seconds": "time of one training, s",
    "latency_ms": "time of one inference, ms",
    "params": "parameters",
    "macs": "multiply-adds of one inference",
}
"""What a column can mean."""
COSTS = {"latency": "latency_ms", "params": "params", "macs": "macs"}
"""Columns with the cost of a network, by the name that limits give it."""


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        role: a key of `ROLES`.
        values: shape [rows, seeds], NaN where an architecture has no such run.
        split: the data it was measured on.
        seeds: the name of each seed; the count suffices where the source does not name them.
        epochs: after how many epochs of training; None where that has no meaning.
    """

    role: str
    values: NDArray[np.float64]
    split: str = ""
    seeds: tuple[str, ...] = ()
    epochs: int | None = None


@dataclass(frozen=True)
class Contents:
    """What a table holds, before it is written.

    Attributes:
        name: what people call the table.
        space: of the codes, or its name.
        codes: shape [rows, genes], every row once.
        columns: their values in the order of the codes; without "validation" nothing but an oracle study can search the table.
        source: where the numbers come from: file or package, version, SHA-256, and what else tells.
        licence: of the numbers.
    """

    name: str
    space: str | SearchSpace
    codes: Codes
    columns: Sequence[Column]
    source: Mapping[str, str]
    licence: str


class Table:
    """A tabular benchmark, opened in milliseconds: checksums are verified, columns are memory-mapped.

    Args:
        folder: where `write_table` put it.

    Attributes:
        name: for example "nasbench201/cifar10".
        space: the search space of its architectures.
        description: from which `SPACES.create` makes that space.
        codes: shape [rows, genes], sorted by what the space tells rows apart by (`SearchSpace.identities`).

    Raises:
        DamagedTable: naming the file and what is wrong with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.name: str = self.manifest["name"]
        described = self.manifest["space"]  # older tables have the name alone
        self.description: dict[str, Any] = {"name": described} if isinstance(described, str) else described
        self.space: SearchSpace = SPACES.create(self.description)
        self._columns = {name: self._map(name) for name in self.manifest["files"]}
        self.codes: Codes = self._columns.pop("codes")
        self._keys: NDArray[np.uint64] = self._columns.pop("keys")
        if self.codes.shape[1] != self.space.genes:
            rows = self.manifest["rows"]
            raise DamagedTable(f"{self.folder}: its arrays are not {rows} rows of {self.space.name}; {_REMAKE}")
        self._means: dict[str, NDArray[np.float64]] = {}
        # Where the keys are 0, 1, 2, ..., as in a complete enumeration, the key is the row.
        self._dense = len(self._keys) > 0 and int(self._keys[-1]) == len(self._keys) - 1

    def _map(self, name: str) -> NDArray[Any]:
        entry = self.manifest["files"][name]
        path = self.folder / entry["file"]
        try:
            within("array-bytes", path.stat().st_size, str(path))
            content = path.read_bytes()
        except OSError as error:
            raise surroundings(error) or DamagedTable(f"{path}: {error.strerror}; {_REMAKE}") from None
        if len(content) != entry["bytes"]:
            raise DamagedTable(f"{path}: {len(content)} bytes where the manifest says {entry['bytes']}; {_REMAKE}")
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise DamagedTable(f"{path}: its content has changed since it was written (SHA-256 differs); {_REMAKE}")
        try:
            # A plain view of the mapping: subclass overhead would dominate single lookups.
            array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except Exception as error:  # a header may be wrong in any way
            raise surroundings(error) or DamagedTable(
                f"{path}: no array that can be read ({error}); {_REMAKE}"
            ) from None
        rows, (kind, sides) = self.manifest["rows"], _ARRAYS.get(name, ("f", 2))
        if array.dtype.kind != kind or array.ndim != sides or len(array) != rows:
            raise DamagedTable(
                f"{path}: {array.dtype} of shape {list(array.shape)}, not {rows} rows of a column; {_REMAKE}"
            )
        return array

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self):,} architectures, columns {', '.join(self.columns)})"

    def __reduce__(self) -> tuple[object, ...]:
        # Other processes map the files themselves instead of receiving a copy.
        return Table, (self.folder,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The roles that the table has a column for."""
        return tuple(self._columns)

    @property
    def measured(self) -> dict[str, str]:
        """The columns that limits may ask for where the space cannot count them, by quantity: no training decides them."""
        return {name: role for name, role in COSTS.items() if role in self._columns}

    @property
    def has_test(self) -> bool:
        """Whether test results are known."""
        return "test" in self._columns

    @property
    def partial(self) -> bool:
        """Whether the space has architectures that the table does not have."""
        return len(self) < self.space.size

    def listed(self, space: SearchSpace | None = None, *, always: bool = False) -> SearchSpace:
        """The space, None for the table's own, without what a partial table does not have.

        Args:
            space: of the table's architectures.
            always: also of a table that has all of it; a list counts what the table has measured, such as latency.
        """
        space = space or self.space
        if not (always or self.partial):
            return space
        return listed_space(
            space, self.codes, self.name, {name: self.labels(self.measured[name]) for name in self.measured}
        )

    def column(self, role: str) -> NDArray[np.float64]:
        """The values of one column, shape [rows, seeds], NaN where there is no such run."""
        if role not in self._columns:
            raise FrugalnasError(f"{self.name} has no {role} column; it has {', '.join(self.columns)}")
        return self._columns[role]

    def rows(self, codes: Codes) -> IntArray:
        """The row of each architecture as written, -1 where the table does not have it, shape [n]."""
        keys, last = self.space.identities(codes), len(self._keys) - 1
        # Signed before any -1: NumPy 2.5 refuses a negative number beside unsigned ones.
        places = np.minimum(keys if self._dense else np.searchsorted(self._keys, keys), last).astype(np.intp)
        return np.where(self._keys[places] == keys, places, -1)

    def lookup(self, code: Codes, role: str = "validation") -> float:
        """Mean over seeds of one architecture's column.

        Raises:
            FrugalnasError: where the table does not have the architecture.
        """
        row = int(self.rows(code[None])[0])
        if row < 0:
            raise FrugalnasError(f"{self.space.format(code)} is not in {self.name}")
        runs = [value for value in self.column(role)[row].tolist() if value == value]
        return sum(runs) / len(runs) if runs else float("nan")

    def labels(self, role: str = "validation", mode: str = "mean", seed: int = 0) -> NDArray[np.float64]:
        """One number per row, NaN where it is unknown, shape [rows].

        Args:
            role: which column.
            mode: "mean" over seeds; "random", one of each architecture's runs, drawn once; or the place of a seed, "0",
                "1", ...
            seed: of the draws of mode "random".
        """
        if mode == "mean":
            if role not in self._means:
                self._means[role] = row_means(self.column(role))
            return self._means[role].copy()
        values = self.column(role)
        if mode == "random":
            keys = np.random.default_rng(seed).random(values.shape)
            return values[np.arange(len(values)), np.argmax(np.where(np.isfinite(values), keys, -1.0), axis=1)]
        places = [str(place) for place in range(values.shape[1])]
        if mode not in places:
            raise unknown_name("label", mode, ["mean", "random", *places])
        return values[:, int(mode)].copy()


def row_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row's numbers, NaN where it has none, shape [rows]."""
    present = np.isfinite(values)
    counts = present.sum(axis=1)
    totals = np.where(present, values, 0.0).sum(axis=1)
    return np.divide(totals, counts, out=np.full(len(values), np.nan), where=counts > 0)


def write_table(folder: Path, contents: Contents) -> Table:
    """The table at `folder`, which must not exist: complete or not there at all, whatever happens on the way."""
    name, codes, columns = contents.name, contents.codes, contents.columns
    space = contents.space if isinstance(contents.space, SearchSpace) else SPACES.create(contents.space)
    described = space.described()
    if space.limits:
        raise FrugalnasError(f"a table is of a whole space, not of {space!r}; leave the limits out")
    keys = space.identities(codes)
    order = np.argsort(keys)
    keys = keys[order]
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if repeated.size:
        raise FrugalnasError(
            f"{repeated.size} architectures occur twice, first {space.format(codes[order[repeated[0]]])}"
        )
    arrays: dict[str, NDArray[Any]] = {"codes": space.as_codes(codes)[order], "keys": keys}
    for column in columns:
        one_of("column role", column.role, ROLES)
        arrays[column.role] = np.asarray(column.values, np.float64).reshape(len(codes), -1)[order]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with draft(folder, folder=True) as made:
            files = {}
            for key, array in arrays.items():
                path = made / f"{key}.npy"
                np.save(path, np.ascontiguousarray(array), allow_pickle=False)
                content = path.read_bytes()
                files[key] = {
                    "file": path.name,
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "shape": list(array.shape),
                }
            held = {
                column.role: {
                    "split": column.split,
                    "seeds": column.seeds,
                    "epochs": column.epochs,
                    "unit": ROLES[column.role],
                    "architectures_by_number_of_runs": np.bincount(np.isfinite(arrays[column.role]).sum(1)).tolist(),
                }
                for column in columns
            }
            manifest = {
                "format": FORMAT,
                "name": name,
                "space": described,
                "rows": len(codes),
                "source": dict(contents.source),
                "licence": contents.licence,
                "columns": held,
                "files": files,
            }
            written = (json.dumps(manifest, indent=2) + "\n").encode()
            (made / MANIFEST).write_bytes(written)
            (made / SEAL).write_text(hashlib.sha256(written).hexdigest() + "\n")
    except (OSError, Surroundings) as error:
        if folder.exists():
            raise FrugalnasError(f"a table {name!r} is already there; remove {folder} to replace it") from None
        said = surroundings(error) or f"{folder.parent}: {error}"
        raise Surroundings(f"{said}, or set FRUGALNAS_CACHE to another folder") from None
    return Table(folder)


_FILE = {"file": str, "bytes": int, "sha256": str}
_COLUMN = {"split?": str, "seeds?": list[str], "epochs?": int | None}
_MANIFEST = {
    "name": str,
    "space": str | Mapping[str, Any],
    "rows": int,
    "files": {"codes": _FILE, "keys": _FILE},
    "columns": {f"{role}?": _COLUMN for role in ROLES},
}


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a table says of itself.

    Raises:
        DamagedTable: where it is missing, changed, or no manifest.
    """
    path = folder / MANIFEST
    try:
        content, seal = path.read_bytes(), (folder / SEAL).read_text(errors="replace").strip()
    except OSError as error:
        raise surroundings(error) or DamagedTable(f"{error.filename}: {error.strerror}; {_REMAKE}") from None
    if hashlib.sha256(content).hexdigest() != seal:
        raise DamagedTable(f"{path}: its content has changed since it was written ({SEAL} differs); {_REMAKE}")
    try:
        manifest: dict[str, Any] = read_json(content, str(path))
    except FrugalnasError as error:
        raise DamagedTable(f"{path}: not a table manifest ({error}); {_REMAKE}") from None
    wrong = misfit(manifest, _MANIFEST)
    for name, entry in {} if wrong else manifest["files"].items():
        wrong = wrong or misfit(entry, _FILE)
        if not wrong and (
            name not in ("codes", "keys", *manifest["columns"]) or Path(entry["file"]).name != f"{name}.npy"
        ):
            wrong = f"files: {name} is no column of it"
    if wrong or len(manifest["files"]) < 3:
        raise DamagedTable(f"{path}: not a table manifest ({wrong or 'it has no column'}); {_REMAKE}")
    if manifest.get("format") != FORMAT:
        raise DamagedTable(f"{path}: format {manifest.get('format')} where this frugalnas reads {FORMAT}; {_REMAKE}")
    return manifest


_ARRAYS = {"codes": ("i", 2), "keys": ("u", 1)}
"""Kind of number and dimensions of the files that are no columns."""
_REMAKE = "remove the folder and make the table again (frugalnas table doctor says how)"
