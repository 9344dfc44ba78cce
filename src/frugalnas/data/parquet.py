"""Folders of Parquet files in Hugging Face's image layout: a column of encoded images, a column of labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frugalnas.data.preprocessing import decode
from frugalnas.data.sources import Found, ImageSource, IntArray
from frugalnas.errors import FrugalnasError

__all__ = ["ParquetImages", "find_parquet", "parquet_folder"]

_IMAGES = ("img", "image")
_LABELS = ("label", "fine_label", "labels")
_PREFIXES = {"train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}
_LARGEST = 8 * 2**30


class ParquetImages(ImageSource):
    """The encoded images of Parquet files, in memory.

    Args:
        files: in order.
        column: of the images, a struct with `bytes`, or binary.
        label: column of the labels, or None.
    """

    def __init__(self, files: list[Path], column: str, label: str | None) -> None:
        import pyarrow as pa

        self.files = files
        self.starts: list[int] = []
        self.chunks: list[Any] = []
        labels: list[IntArray] = []
        count = 0
        for file in files:
            table = _read(file, [column] + ([label] if label else []))
            for chunk in table[column].chunks:
                self.starts.append(count)
                self.chunks.append(chunk.field("bytes") if pa.types.is_struct(chunk.type) else chunk)
                count += len(chunk)
            if label:
                labels.append(_whole_numbers(file, label, table[label]))
        self.count = count
        self.labels = np.concatenate(labels) if labels else None
        self._digest = ""

    def __len__(self) -> int:
        return self.count

    def encoded(self, index: int) -> bytes:
        """The image's bytes."""
        chunk = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.chunks[chunk][index - self.starts[chunk]].as_py() or b""

    def load(self, index: int) -> Image.Image:
        """One picture in RGB."""
        return decode(self.encoded(index), self.name(index))

    def name(self, index: int) -> str:
        """First file of the part, and row."""
        return f"{self.files[0].name} (of {len(self.files)}): row {index}"

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
        if folder.is_dir() and any(folder.glob("train*.parquet")):
            return folder
    return None


def find_parquet(folder: Path, name: str | None = None) -> Found:
    """The images in a folder of files train-*.parquet, and validation-*.parquet and test-*.parquet where they are there."""
    parts: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.parquet")):
        part = _PREFIXES.get(file.name.split("-")[0].split(".")[0].lower())
        if part:
            parts.setdefault(part, []).append(file)
    if "train" not in parts:
        raise FrugalnasError(
            f"{folder}: its Parquet files do not say which part they are; name them train-*.parquet, test-*.parquet"
        )
    size = sum(file.stat().st_size for files in parts.values() for file in files)
    if size > _LARGEST:
        raise FrugalnasError(
            f"{folder}: {size / 2**30:.0f} GiB of Parquet would have to lie in memory; turn it into an LMDB that is read "
            f"in place: frugalnas data pack {folder} --to lmdb"
        )
    column, label, classes = _columns(parts["train"][0])
    sources: dict[str, ImageSource] = {part: ParquetImages(files, column, label) for part, files in parts.items()}
    if label is None:
        return Found(name or folder.name, (), sources, "parquet")
    highest = max(int(source.labels.max()) for source in sources.values() if source.labels is not None and len(source))
    classes = classes or tuple(str(number) for number in range(highest + 1))
    if highest >= len(classes):
        raise FrugalnasError(f"{folder}: label {highest}, but only {len(classes)} classes have names")
    return Found(name or folder.name, classes, sources, "parquet")


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


def _read(file: Path, columns: list[str]) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file, columns=columns)
    except Exception as error:  # a damaged file makes Arrow fail in any way
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> FrugalnasError:
    return FrugalnasError(f"{file}: not a Parquet file that can be read ({str(error).splitlines()[0]})")


def _whole_numbers(file: Path, label: str, column: Any) -> IntArray:
    values = column.to_numpy()
    if not np.issubdtype(values.dtype, np.integer) or (len(values) and values.min() < 0):
        raise FrugalnasError(f"{file}: column {label} must hold class numbers from 0, without gaps")
    return values.astype(np.int64)
