"""LMDB folders of encoded images: ours, written by `pack_lmdb`, and RelativeNAS's."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from frugalnas.data.image_data import Corruption
from frugalnas.data.preprocessing import CorruptImage, decode, identify
from frugalnas.data.sources import PARTS, Found, ImageSource, IntArray
from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.files import draft

_META = b"frugalnas"
_FORMAT = "frugalnas images"
_VERSION = 1
_BATCH = 512  # images written in one transaction
_open: dict[
    tuple[int, int], tuple[int, Any]
] = {}  # by device and inode, as LMDB counts: the process and its environment


class LMDBImages(ImageSource):
    """One part of an LMDB that `pack_lmdb` wrote. Every process opens the file for itself when it first reads.

    Args:
        folder: of the LMDB.
        part: "train", "val" or "test".
        count: images in it.
        labelled: whether they have classes.
    """

    def __init__(self, folder: Path, part: str, count: int, labelled: bool) -> None:
        self.folder = folder
        self.part = part
        self.count = count
        self.sums = self._array("crc32", np.uint32)
        self.labels: IntArray | None = self._array("labels", np.int64) if labelled else None
        self._names: list[str] | None = None

    def __len__(self) -> int:
        return self.count

    def encoded(self, index: int) -> bytes:
        """The image's file, byte for byte."""
        content = read_key(self.folder, _key(self.part, index))
        if content is None or zlib.crc32(content) != int(self.sums[index]):
            raise CorruptImage(f"{self.name(index)}: {'missing' if content is None else 'its checksum differs'}")
        return content

    def name(self, index: int) -> str:
        """The folder, and the file that was packed."""
        return f"{self.folder}: {self.relative_name(index)}"

    def relative_name(self, index: int) -> str:
        """The file that was packed."""
        if self._names is None:
            names = read_key(self.folder, f"{self.part}:names".encode()) or b""
            self._names = names.decode(errors="replace").split("\n")
        return self._names[index] if index < len(self._names) else str(index)

    def digest(self) -> str:
        """A hash of all checksums."""
        return hashlib.sha256(self.sums.tobytes()).hexdigest()

    def _array(self, name: str, kind: type) -> Any:
        content = read_key(self.folder, f"{self.part}:{name}".encode()) or b""
        if len(content) != self.count * np.dtype(kind).itemsize:
            raise FrugalnasError(f"{self.folder}: its {self.part} {name} are not {self.count} numbers; pack it again")
        return np.frombuffer(content, dtype=kind)


@dataclass(frozen=True)
class Packed:
    """What `pack_lmdb` wrote.

    Attributes:
        path: folder of the LMDB.
        images: in each part, by name.
        classes: their names.
        size: of the file, in bytes.
        notes: what was skipped or left alone.
    """

    path: Path
    images: dict[str, int]
    classes: tuple[str, ...]
    size: int
    notes: tuple[str, ...]


def pack_found(
    found: Found, destination: Path, *, max_corrupt: int, check: bool, progress: Callable[[int, int], None] | None
) -> Packed:
    """Write images into a new LMDB; see `pack_lmdb`."""
    if destination.exists():
        raise FrugalnasError(f"{destination} exists already; remove it or choose another name")
    corruption = Corruption(max_corrupt)
    total = sum(map(len, found.parts.values()))
    done = 0
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with draft(destination, folder=True) as made, _Writer(made) as writer:
            counts = {}
            for part, source in found.parts.items():
                kept: list[int] = []
                sums: list[int] = []
                for index in range(len(source)):
                    done += 1
                    try:
                        content = source.encoded(index)
                        (decode if check else identify)(content, source.name(index))
                    except CorruptImage as error:
                        corruption.add(part, index, str(error))
                        continue
                    writer.put(_key(part, len(kept)), content)
                    kept.append(index)
                    sums.append(zlib.crc32(content))
                    if progress is not None and (done % _BATCH == 0 or done == total):
                        progress(done, total)
                if not kept:
                    raise FrugalnasError(f"no image of the {part} part can be read")
                counts[part] = len(kept)
                writer.put(f"{part}:names".encode(), "\n".join(source.relative_name(index) for index in kept).encode())
                writer.put(f"{part}:crc32".encode(), np.asarray(sums, dtype=np.uint32).tobytes())
                if source.labels is not None:
                    writer.put(f"{part}:labels".encode(), source.labels[kept].astype(np.int64).tobytes())
            meta = {
                "format": _FORMAT,
                "version": _VERSION,
                "name": found.name,
                "classes": found.classes,
                "parts": counts,
            }
            writer.put(_META, json.dumps(meta).encode())
    except (OSError, lmdb.Error) as error:
        raise surroundings(error, path=destination) or FrugalnasError(
            f"{destination} cannot be written ({error}); is the disk full?"
        ) from None
    notes = (*found.notes, *([corruption.note()] if corruption.reasons else []))
    return Packed(destination, counts, found.classes, (destination / "data.mdb").stat().st_size, notes)


class _Writer:
    """Puts into an LMDB by large transactions, and makes its map larger when it is full."""

    def __init__(self, folder: Path) -> None:
        self.env = lmdb.open(str(folder), map_size=2**28, lock=False, readahead=False, meminit=False)
        self.waiting: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
                self.env.sync(True)
        finally:
            self.env.close()

    def put(self, key: bytes, value: bytes) -> None:
        """Write under a key, soon."""
        self.waiting.append((key, value))
        if len(self.waiting) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        while self.waiting:
            try:
                with self.env.begin(write=True) as transaction:
                    for key, value in self.waiting:
                        transaction.put(key, value)
                self.waiting.clear()
            except lmdb.MapFullError:
                self.env.set_mapsize(self.env.info()["map_size"] * 2)


def find_packed(folder: Path) -> Found | None:
    """The images of a folder with an LMDB that `pack_lmdb` wrote; None where there is no LMDB or it is another's."""
    if not (folder / "data.mdb").is_file():
        return None
    content = read_key(folder, _META)
    if content is None:
        return None
    try:
        meta = json.loads(content)
        counts = {str(part): int(count) for part, count in meta["parts"].items()}
        classes = tuple(map(str, meta["classes"]))
        version, name = int(meta["version"]), str(meta["name"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FrugalnasError(f"{folder}: its description is damaged; pack it again") from None
    if version > _VERSION:
        raise FrugalnasError(f"{folder}: of version {version}, written by a newer frugalnas; update frugalnas")
    parts: dict[str, ImageSource] = {part: LMDBImages(folder, part, n, bool(classes)) for part, n in counts.items()}
    return Found(name, classes, parts, "lmdb")


def _environment(folder: Path) -> Any:
    """The LMDB in a folder, open for reading in this process.

    Raises:
        FrugalnasError: where it cannot be opened, or its file is shorter than it says: reading would kill the process.
    """
    file = folder / "data.mdb"
    try:
        key = (file.stat().st_dev, file.stat().st_ino)
        owner, env = _open.get(key, (0, None))
        if env is not None and owner != os.getpid():
            env.close()  # a fork inherited it, and lmdb refuses to open a file twice
        if owner != os.getpid():
            env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False, create=False)
            needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
            if file.stat().st_size < needed:
                env.close()
                raise FrugalnasError(
                    f"{file}: truncated, {file.stat().st_size} of {needed} bytes are there; copy or pack it again"
                )
            _open[key] = (os.getpid(), env)
        return env
    except (lmdb.Error, OSError) as error:
        if "already open" in str(error):  # by code that is not ours
            raise FrugalnasError(
                f"{folder}: this process has it open already, under this name or a hard link's; close it there first"
            ) from None
        raise surroundings(error) or FrugalnasError(
            f"{folder}: not an LMDB that can be read ({error}); copy or pack it again"
        ) from None


def read_key(folder: Path, key: bytes) -> bytes | None:
    """What is under a key, or None."""
    env = _environment(folder)
    try:
        with env.begin(buffers=False) as transaction:
            return transaction.get(key)
    except lmdb.Error as error:
        raise FrugalnasError(f"{folder}: damaged ({error}); copy or pack it again") from None


def all_keys(folder: Path) -> Iterator[bytes]:
    """All keys, sorted."""
    env = _environment(folder)
    try:
        with env.begin() as transaction, transaction.cursor() as cursor:
            yield from cursor.iternext(keys=True, values=False)
    except lmdb.Error as error:
        raise FrugalnasError(f"{folder}: damaged ({error}); copy it again") from None


def _key(part: str, index: int) -> bytes:
    return f"{part}/{index:09d}".encode()


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
