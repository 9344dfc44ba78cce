"""What a pickle remembers, packed: an official file remembers 160 million strings, of which few are different."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from frugalnas.pickles.objects import Unfit

EARLY = 256
"""Entries that the opcode BINGET can name; they are never packed."""
MISSING = object()
_PAGE = 4096
_PAGES_UNPACKED = 64
_STRINGS = 1 << 18
_GAPS = 4096


class Memo:
    """A list of everything that a pickle may come back to.

    `entries` holds the first `EARLY` and the latest ones; `packed` is the number of entries between them, which are
    kept by pages as compressed numbers of distinct objects. Equal strings count as one object.
    """

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.packed = 0
        self._pages: list[bytes] = []
        self._unpacked: dict[int, Any] = {}
        self._objects: list[Any] = []
        self._strings: dict[str, int] = {}
        self._replaced: dict[int, Any] = {}
        self._gaps = 0

    def __getitem__(self, index: int) -> Any:
        value = MISSING
        if 0 <= index < EARLY + self.packed:
            value = self._early(index)
        elif 0 <= index < len(self.entries) + self.packed:
            value = self.entries[index - self.packed]
        if value is MISSING:
            raise Unfit(f"asks for entry {index} of its memo, which is not there")
        return value

    def __setitem__(self, index: int, value: Any) -> None:
        gap = index - len(self.entries) - self.packed
        if index < 0:
            raise Unfit(f"writes to entry {index} of its memo")
        if gap >= 0:
            self._gaps += gap
            if self._gaps > _GAPS:
                raise Unfit(f"writes to entry {index} of its memo, which has {len(self.entries) + self.packed}")
            self.entries.extend([MISSING] * gap)
            self.entries.append(value)
        elif index < EARLY:
            self.entries[index] = value
        elif index < EARLY + self.packed:
            self._replaced[index] = value
        else:
            self.entries[index - self.packed] = value

    def pack(self) -> None:
        """Pack all whole pages but the latest one."""
        entries, objects, strings = self.entries, self._objects, self._strings
        whole = (len(entries) - EARLY) // _PAGE * _PAGE
        for start in range(EARLY, EARLY + whole, _PAGE):
            numbers = []
            for value in entries[start : start + _PAGE]:
                number = strings.get(value) if type(value) is str else None
                if number is None:
                    number = len(objects)
                    objects.append(value)
                    if type(value) is str and len(strings) < _STRINGS:
                        strings[value] = number
                numbers.append(number)
            # The same strings follow one another in every record: the differences are nearly all 1.
            differences = np.diff(np.array(numbers, np.int32), prepend=np.int32(0))
            self._pages.append(zlib.compress(differences.tobytes(), 1))
        if whole > 0:
            del entries[EARLY : EARLY + whole]
            self.packed += whole

    def _early(self, index: int) -> Any:
        if index < EARLY:
            return self.entries[index] if index < len(self.entries) else MISSING
        if index in self._replaced:
            return self._replaced[index]
        page, place = divmod(index - EARLY, _PAGE)
        numbers = self._unpacked.get(page)
        if numbers is None:
            if len(self._unpacked) >= _PAGES_UNPACKED:
                self._unpacked.clear()
            differences = np.frombuffer(zlib.decompress(self._pages[page]), np.int32)
            numbers = self._unpacked[page] = np.cumsum(differences, dtype=np.int32)
        return self._objects[numbers[place]]
