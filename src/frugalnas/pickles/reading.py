"""Pickles of plain data and files of torch.save, read without executing anything that they ask for."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from frugalnas.errors import FrugalnasError
from frugalnas.pickles.source import Source
from frugalnas.pickles.unpickler import OnItem, PlainUnpickler

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_pickle(stream: BinaryIO, *, name: str, on_item: OnItem | None = None) -> Any:
    """The object that a pickle in `stream` holds: numbers, text, bytes, containers, NumPy's numbers and arrays.

    Ordered dicts and such with defaults become dicts; torch's things and persistent ids become `Opaque`. A container that
    contains itself is refused, so is a dict's key that is neither a scalar nor a short tuple of such.

    Args:
        stream: of a pickle of protocol 0 to 5, read by blocks and possibly beyond the pickle's end.
        name: the file, for messages.
        on_item: called with (dict, key, value) whenever an item was put into a dict, in the file's order. It may
            empty the value or replace it in the dict, which keeps memory small for huge files.

    Raises:
        FrugalnasError: `{name}: byte {offset}: {reason}` for what is damaged, or asks for more than plain data.
    """
    return PlainUnpickler(Source(stream, name), on_item).load()


def read_pickles(stream: BinaryIO, *, name: str) -> list[Any]:
    """The objects of all pickles in `stream`, one behind the other; at least one.

    Args:
        stream: of pickles and nothing else.
        name: the file, for messages.

    Raises:
        FrugalnasError: as for `read_pickle`.
    """
    source = Source(stream, name)
    found = [PlainUnpickler(source).load()]
    while True:
        source.fill(source.at)
        if source.ended and source.at >= source.end():
            return found
        found.append(PlainUnpickler(source).load())


def read_torch(
    path: Path, *, on_item: OnItem | None = None, on_bytes: Callable[[int], None] = lambda count: None
) -> Any:
    """The object that torch.save wrote to a file, in a zip archive or in the format before; no tensor's data is read.

    Args:
        path: of the file.
        on_item: as for `read_pickle`.
        on_bytes: told, now and then, how many bytes were read so far in all.

    Raises:
        FrugalnasError: as for `read_pickle`, and for files that torch.save did not write.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise FrugalnasError(f"{path}: cannot be read ({error.strerror or error})") from None
    with file:
        archived = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        return (_read_archive if archived else _read_older)(path, file, on_item, on_bytes)


def _read_archive(path: Path, file: BinaryIO, on_item: OnItem | None, on_bytes: Callable[[int], None]) -> Any:
    with _data(path, file) as member:
        source = Source(member, f"{path}: {member.name}", on_bytes)
        content = PlainUnpickler(source, on_item).load()
        while not source.ended:  # the archive's checksum is compared at the member's end
            source.fill(source.end())
        return content


def _data(path: Path, file: BinaryIO) -> IO[bytes]:
    """The archive's pickle. Its claimed sizes bound what is read; what is there is read by blocks."""
    try:
        archive = zipfile.ZipFile(file)
        members = [member for member in archive.infolist() if re.fullmatch(r"([^/]*/)?data\.pkl", member.filename)]
        if len(members) == 1 and members[0].compress_type == zipfile.ZIP_STORED:
            return archive.open(members[0])
    except Exception as error:  # a damaged archive can raise nearly anything
        raise FrugalnasError(f"{path}: a damaged zip archive ({error}); download it again") from None
    if len(members) != 1:
        raise FrugalnasError(f"{path}: a zip archive with {len(members)} members data.pkl; torch.save writes one")
    raise FrugalnasError(f"{path}: {members[0].filename} is compressed; torch.save never does that")


def _read_older(path: Path, file: BinaryIO, on_item: OnItem | None, on_bytes: Callable[[int], None]) -> Any:
    source = Source(file, str(path), on_bytes)
    if PlainUnpickler(source).load() != _MAGIC:
        raise FrugalnasError(
            f"{path}: neither a zip archive nor torch.save's format before: the magic number is missing"
        )
    version = PlainUnpickler(source).load()
    if version != _PROTOCOL:
        raise FrugalnasError(f"{path}: of torch.save's protocol {version!r:.20}; {_PROTOCOL} is known")
    PlainUnpickler(source).load()  # the byte order and sizes of the machine that wrote it
    return PlainUnpickler(source, on_item).load()
