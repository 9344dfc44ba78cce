"""RelativeNAS's LMDB folders of ImageNet: one per part, with a list of the images beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from frugalnas.data.names import PARTS
from frugalnas.data.packed import all_keys, read_key
from frugalnas.data.preprocessing import CorruptImage
from frugalnas.data.sources import Found, ImageSource, IntArray
from frugalnas.errors import FrugalnasError

__all__ = ["RelativeNASImages", "find_relativenas"]

# MessagePack's binary strings: first byte, and how many bytes of length (big-endian) follow.
_HEADERS = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LABEL_BYTES = 2


class RelativeNASImages(ImageSource):
    """Images under keys `class/file`, each a MessagePack binary of the JPEG and two bytes of a class number.

    The number is ignored: it counts the class folders in the order in which a file system listed them, which may differ
    between the parts. Classes are numbered by their sorted names here.

    Args:
        shards: folders with an LMDB each.
        places: for each image its shard, shape [n].
        keys: of the images, in order.
        classes: names of all classes, sorted.
    """

    def __init__(self, shards: list[Path], places: list[int], keys: list[str], classes: tuple[str, ...]) -> None:
        self.shards = shards
        self.places = np.asarray(places, dtype=np.int16)
        self.keys = np.asarray(keys)
        number = {name: position for position, name in enumerate(classes)}
        self.labels: IntArray | None = np.asarray([number[_class(key)] for key in keys], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def encoded(self, index: int) -> bytes:
        """The JPEG as it was stored."""
        value = read_key(self.shards[self.places[index]], str(self.keys[index]).encode())
        if value is None:
            raise CorruptImage(f"{self.name(index)}: missing")
        width = _HEADERS.get(value[0], 0) if value else 0
        length = int.from_bytes(value[1 : 1 + width], "big")
        if not width or len(value) != 1 + width + length or length <= _LABEL_BYTES:
            raise CorruptImage(f"{self.name(index)}: not a MessagePack binary of an image and its class")
        return value[1 + width : -_LABEL_BYTES]

    def name(self, index: int) -> str:
        """Folder and key."""
        return f"{self.shards[self.places[index]]}: {self.keys[index]}"

    def digest(self) -> str:
        """A hash of all keys."""
        return hashlib.sha256("\n".join(self.keys.tolist()).encode()).hexdigest()


def find_relativenas(folder: Path) -> Found | None:
    """The images of a folder of LMDBs train and val (train_256, ...), or of one LMDB, or of its shards; None for others.

    A list `train_datalist.txt` (lines `class/file`), in the folder, the LMDB's or the one above, decides which images there
    are, and in which order; without one all are, in the order of their keys.
    """
    found = {part: path for part in PARTS if (path := _part(folder, part)) is not None}
    if not found and _shards(folder):
        found = {"train": folder}
    if "train" not in found:
        return None
    listed = {part: _listed(part, path, folder) for part, path in found.items()}
    names = {_class(key) for keys, _ in listed.values() for key in keys}
    classes = tuple(sorted(names))
    parts: dict[str, ImageSource] = {}
    for part, path in found.items():
        keys, places = listed[part]
        if not keys:
            raise FrugalnasError(f"{path}: an LMDB without images")
        parts[part] = RelativeNASImages(_shards(path), places, keys, classes)
    return Found(folder.name, classes, parts, "RelativeNAS's LMDB")


def _part(folder: Path, part: str) -> Path | None:
    for path in [folder / part, *sorted(folder.glob(f"{part}_*"))]:
        if path.is_dir() and _shards(path):
            return path
    return None


def _shards(folder: Path) -> list[Path]:
    """The folder itself where it is an LMDB, else the LMDBs in it."""
    if (folder / "data.mdb").is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob("*/data.mdb")) if folder.name.partition("_")[0] in PARTS else []


def _listed(part: str, path: Path, folder: Path) -> tuple[list[str], list[int]]:
    """Keys of the part's images and the shard of each."""
    shards = _shards(path)
    place = {key.decode(errors="replace"): shard for shard, at in enumerate(shards) for key in all_keys(at)}
    if not all("/" in key for key in place):
        raise FrugalnasError(
            f"{path}: an LMDB with other keys than class/file; frugalnas reads RelativeNAS's and those that "
            f"frugalnas data pack wrote"
        )
    named = f"{path.name.partition('_')[0]}_datalist.txt"
    lists = [at / named for at in (folder, path, path.parent, path.parent.parent) if (at / named).is_file()]
    if not lists:
        return list(place), list(place.values())
    keys = lists[0].read_text().split()
    missing = [key for key in keys if key not in place]
    if missing:
        raise FrugalnasError(f"{lists[0]}: lists {len(missing)} images that {path} does not hold, {missing[0]} first")
    return keys, [place[key] for key in keys]


def _class(key: str) -> str:
    return key.partition("/")[0]
