"""The bytes of a pickle, read by blocks."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

from frugalnas.errors import FrugalnasError
from frugalnas.pickles.objects import Unfit

_BLOCK = 1 << 18
_PAD = 1024
"""Zeros behind the last byte: no opcode is 0, so whoever reads into them is told that the file ends early."""
_REACH = 512
"""Bytes that the fast opcodes read at most, without looking whether they are there."""
LONGEST_LINE = 1 << 24
"""Characters of a line of text."""
_LONGEST_NUMBER = 2600
"""Characters of any other."""
_LONGEST = 1 << 30
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


class Source:
    """The bytes of a stream, by blocks; several pickles may follow one another in it.

    Args:
        stream: read to its end at most, never sought in.
        name: the file, for messages.
        on_bytes: told, now and then, how many bytes were read so far in all.
    """

    def __init__(self, stream: IO[bytes], name: str, on_bytes: Callable[[int], None] = lambda count: None) -> None:
        self.stream, self.name, self.on_bytes = stream, name, on_bytes
        self.count = 0
        self.block = b""
        self.at = 0
        self.low = 0
        """From here on in the block, more has to be read first."""
        self.before = 0
        """Bytes before the block."""
        self.ended = False
        self.fill(0)

    def fill(self, at: int) -> None:
        """Drop what lies before `at` in the block and read on."""
        if self.ended:
            return
        pieces = [self.block[at:]]
        fresh = 0
        while fresh <= _REACH and not self.ended:
            piece = self._read(_BLOCK)
            fresh += len(piece)
            self.ended = not piece
            pieces.append(piece or bytes(_PAD))
        self.block = b"".join(pieces)
        self.before += at
        self.at = 0
        self.low = len(self.block) + 1 if self.ended else len(self.block) - _REACH

    def read(self, length: int) -> bytes:
        """The next so many bytes; memory is only used for bytes that are there."""
        if length > _LONGEST:
            raise Unfit(f"claims a length of {length} bytes, where {_LONGEST} are plenty")
        end = self.at + length
        if end <= self.end():
            content = self.block[self.at : end]
            self.at = end
            return content
        pieces = [self.block[self.at : self.end()]]
        missing = length - len(pieces[0])
        start = self.before + self.at
        while missing and not self.ended:
            piece = self._read(min(missing, _BLOCK))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        if missing:
            raise Unfit(f"claims a length of {length} bytes, and the file ends {missing} bytes before")
        self.block, self.at, self.before = b"", 0, start + length
        self.fill(0)
        return b"".join(pieces)

    def readline(self, longest: int = _LONGEST_NUMBER) -> bytes:
        """The next bytes up to and with a line's end."""
        searched = self.at
        while (found := self.block.find(b"\n", searched, self.end())) < 0:
            read = self.end() - self.at
            if self.ended or read > longest:
                raise Unfit(f"holds a line that does not end within {read} bytes")
            self.fill(self.at)
            searched = read
        content = self.block[self.at : found + 1]
        if len(content) > longest + 1:
            raise Unfit(f"holds a line of {len(content)} bytes")
        self.at = found + 1
        return content

    def end(self) -> int:
        """Where the block's bytes end, before the zeros."""
        return len(self.block) - _PAD if self.ended else len(self.block)

    def _read(self, length: int) -> bytes:
        try:
            content = self.stream.read(length)
        except _DAMAGE as error:
            place = self.before + len(self.block)
            raise FrugalnasError(f"{self.name}: byte {place}: the file cannot be read on ({error})") from None
        self.count += len(content)
        self.on_bytes(self.count)
        return content
