"""TFRecord framing and the Protocol Buffers wire format: as much of both as benchmark files need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

import google_crc32c

from frugalnas.errors import FrugalnasError

LONGEST = 1 << 20
"""Bytes; a record of a NAS benchmark has hundreds."""
VARINT, DOUBLE, BYTES = 0, 1, 2
"""Wire types; fixed 64-bit fields are read as doubles."""
_FIXED32 = 5


def read_records(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Every record of a TFRecord file with the byte that it starts at; both checksums of each are verified.

    Args:
        path: of the file, for messages.
        stream: of it, read a record at a time.

    Raises:
        FrugalnasError: for an empty or damaged file, with the byte where the record starts.
    """
    header, check, mask = Struct("<QI"), Struct("<I"), 0xFFFFFFFF
    crc, read, offset = google_crc32c.value, stream.read, 0
    while head := read(12):
        if len(head) < 12:
            raise _damaged(path, offset, f"ends within its header, after {len(head)} of 12 bytes")
        length, expected = header.unpack(head)
        found = crc(head[:8])
        if ((found >> 15 | found << 17) + 0xA282EAD8) & mask != expected:
            raise _damaged(path, offset, "has a length that its checksum contradicts")
        if length > LONGEST:
            raise _damaged(path, offset, f"claims a length of {length} bytes, where {LONGEST} are plenty")
        body = read(length + 4)
        if len(body) < length + 4:
            raise _damaged(path, offset, f"ends after {len(body)} of {length + 4} bytes of data and checksum")
        data = body[:length]
        found = crc(data)
        if ((found >> 15 | found << 17) + 0xA282EAD8) & mask != check.unpack_from(body, length)[0]:
            raise _damaged(path, offset, "has data that its checksum contradicts")
        yield offset, data
        offset += length + 16
    if not offset:
        raise FrugalnasError(f"{path} is empty; download it again")


def decode(message: bytes, wires: Mapping[int, int]) -> list[tuple[int, Any]]:
    """The known fields of a Protocol Buffers message in the order written: number and value; others are skipped.

    Args:
        message: in the wire format.
        wires: the wire type of each known field: `VARINT` (an unsigned int comes back), `DOUBLE` or `BYTES`.

    Raises:
        ValueError: saying what is wrong with the message.
    """
    fields: list[tuple[int, Any]] = []
    at, end = 0, len(message)
    value: Any
    while at < end:
        key = message[at]
        if key < 0x80:
            at += 1
        else:
            key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("has a protobuf field of number 0")
        if wire == VARINT:
            value, at = _varint(message, at)
        elif wire == BYTES:
            length, start = _varint(message, at)
            at = start + length
            value = message[start:at]
        elif wire == DOUBLE:
            at += 8
            value = _DOUBLE.unpack_from(message, at - 8)[0] if at <= end else None
        elif wire == _FIXED32:
            at += 4
            value = None
        else:
            raise ValueError(f"has a protobuf field {number} of wire type {wire}")
        if at > end:
            raise ValueError(f"has a protobuf message that ends within field {number}")
        known = wires.get(number)
        if known == wire:
            fields.append((number, value))
        elif known is not None:
            raise ValueError(f"has a protobuf field {number} of wire type {wire}, not {known}")
    return fields


_DOUBLE = Struct("<d")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of seven bits a byte, and where it ends."""
    value = shift = 0
    for byte in message[at : at + 10]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
    raise ValueError("has a protobuf message with a number that does not end in time")


def _damaged(path: Path, offset: int, why: str) -> FrugalnasError:
    return FrugalnasError(f"{path}: the record at byte {offset} {why}; the file is damaged, download it again")
