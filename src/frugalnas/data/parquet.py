"""Folders of Parquet files in Hugging Face's image layout: a column of encoded images, a column of labels."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.data.sources import Found, ImageSource, part_of
from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.limits import within

_IMAGES = ("img", "image")
_LABELS = ("label", "fine_label", "labels")
_LARGEST = 8 * 2**30


class ParquetImages(ImageSource):
    """The encoded images of Parquet files.

    Args:
        files: in order.
        column: of the images, a struct with `bytes`, or binary.
        label: column of the labels, or None.
        in_place: keep only one file's images in memory at a time, for reading them once in order.
    """

    def __init__(self, files: list[Path], column: str, label: str | None, in_place: bool = False) -> None:
        self.files = files
        self.column = column
        self.in_place = in_place
        counts = [_rows(file) for file in files]
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.loaded: dict[int, Any] = {}
        self.labels = None
        if label:
            read = [_read(file, label).to_numpy(zero_copy_only=False) for file in files]
            for file, numbers in zip(files, read, strict=True):
                if not np.issubdtype(numbers.dtype, np.integer):
                    raise FrugalnasError(f"{file}: column {label} must hold whole numbers, without gaps")
            self.labels = np.concatenate(read).astype(np.int64)
        self._digest = ""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def encoded(self, index: int) -> bytes:
        """The image's bytes."""
        file, row = self._place(index)
        if file not in self.loaded:
            if self.in_place:
                self.loaded.clear()
            column = _read(self.files[file], self.column)
            self.loaded[file] = column.field("bytes") if hasattr(column, "field") else column
        return self.loaded[file][row].as_py() or b""

    def _place(self, index: int) -> tuple[int, int]:
        file = int(np.searchsorted(self.starts, index, side="right")) - 1
        return file, index - int(self.starts[file])

    def name(self, index: int) -> str:
        """File and row."""
        file, row = self._place(index)
        return f"{self.files[file]}: row {row}"

    def relative_name(self, index: int) -> str:
        """The file's name and the row."""
        file, row = self._place(index)
        return f"{self.files[file].name}: row {row}"

    def digest(self) -> str:
        """A hash of the files' bytes."""
        if not self._digest:
            hashed = hashlib.sha256()
            for file in self.files:
                with file.open("rb") as stream:
                    while block := stream.read(1 << 20):
                        hashed.update(block)
            self._digest = hashed.hexdigest()
        return self._digest


def parquet_folder(root: Path, *names: str) -> Path | None:
    """The first of a folder and some folders inside it that holds training images in Parquet; None where none does."""
    candidates = [root / name for name in ("", *names)]
    for folder in candidates + [folder / inner for folder in candidates for inner in ("data", "plain_text")]:
        if folder.is_dir() and any(_part_of_file(file) == "train" for file in folder.glob("*.parquet")):
            return folder
    return None


def find_parquet(folder: Path, name: str | None = None, in_place: bool = False) -> Found:
    """The images in a folder of files train-*.parquet, and validation-*.parquet and test-*.parquet where they are there.

    Args:
        folder: with the files.
        name: of the data; the folder's by default.
        in_place: for reading all images once in order, however large the files are.
    """
    parts: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        part = _part_of_file(file)
        parts.setdefault(part or "", []).append(file)
    others = parts.pop("", [])
    if "train" not in parts:
        raise FrugalnasError(
            f"{folder}: its Parquet files do not say which part they are; name them train-*.parquet, test-*.parquet"
        )
    size = sum(file.stat().st_size for files in parts.values() for file in files)
    if size > _LARGEST and not in_place:
        raise FrugalnasError(
            f"{folder}: {size / 2**30:.0f} GiB of Parquet would have to lie in memory; turn it into an LMDB that is read "
            f"in place: frugalnas data pack {folder} --to lmdb"
        )
    column, label, classes = _columns(parts["train"][0])
    sources: dict[str, ImageSource] = {
        part: ParquetImages(files, column, label, in_place) for part, files in parts.items()
    }
    notes = [f"{folder}: {len(others)} Parquet files of no part not taken, {others[0].name} first"] if others else []
    for part, source in list(sources.items()):
        if part != "train" and source.labels is not None and len(source) and source.labels.max() < 0:
            del sources[part]
            notes.append(f"{folder}: the {part} part has no labels and is left alone")
    if any(source.labels is not None and len(source) and source.labels.min() < 0 for source in sources.values()):
        raise FrugalnasError(f"{folder}: column {label} must hold class numbers from 0")
    if label is None:
        return Found(name or folder.name, (), sources, "parquet", notes)
    highest = max(int(source.labels.max()) for source in sources.values() if source.labels is not None and len(source))
    classes = classes or tuple(str(number) for number in range(highest + 1))
    if highest >= len(classes):
        raise FrugalnasError(f"{folder}: label {highest}, but only {len(classes)} classes have names")
    return Found(name or folder.name, classes, sources, "parquet", notes)


def _part_of_file(file: Path) -> str | None:
    """The part that a file such as train-00000-of-00002.parquet is of."""
    return part_of(re.split(r"[-.]", file.name)[0])


def _columns(file: Path) -> tuple[str, str | None, tuple[str, ...]]:
    """Columns of images and labels, and the classes' names where the file's metadata has them."""
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
    except Exception as error:
        raise _damaged(file, error) from None
    column = next((name for name in _IMAGES if name in schema.names), None)
    if column is None:
        raise FrugalnasError(f"{file}: no column {' or '.join(_IMAGES)}; it has {', '.join(schema.names)}")
    label = next((name for name in _LABELS if name in schema.names), None)
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        names = ()
    return column, label, tuple(map(str, names))


def _rows(file: Path) -> int:
    import pyarrow.parquet as pq

    try:
        described = pq.read_metadata(file)
        groups = [described.row_group(number) for number in range(described.num_row_groups)]
        within("array-bytes", max(8 * described.num_rows, sum(group.total_byte_size for group in groups)), str(file))
        return int(described.num_rows)
    except FrugalnasError:
        raise
    except Exception as error:  # a damaged file makes Arrow fail in any way
        raise _damaged(file, error) from None


def _read(file: Path, column: str) -> Any:
    """One column of a file, in one piece."""
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file, columns=[column])[column].combine_chunks()
    except Exception as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> FrugalnasError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return surroundings(error) or FrugalnasError(f"{file}: not a Parquet file that can be read ({first})")
