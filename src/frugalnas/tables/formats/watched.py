"""A file read once from start to end, whose bytes are counted and hashed on the way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frugalnas.errors import FrugalnasError
from frugalnas.pickles import read_torch

Progress = Callable[[int, int], None]
"""Is told how much of a file is read, and how much there is, in bytes or records."""
_REPORT_EVERY = 2**22
_BLOCK = 2**20


class Watched(io.RawIOBase):
    """A file opened for reading in one pass.

    Args:
        path: of the file.
        on_progress: told the bytes read and the bytes there are, now and then.

    Raises:
        FrugalnasError: where it cannot be opened, or read on.
    """

    def __init__(self, path: Path, on_progress: Progress) -> None:
        self.path, self.on_progress = path, on_progress
        self.done = self.told = 0
        self.digest = hashlib.sha256()
        try:
            self.size = path.stat().st_size
            self.file = path.open("rb", buffering=0)
        except OSError as error:
            raise FrugalnasError(f"cannot read {path}: {error.strerror}") from None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Put the next bytes into a buffer; how many there were."""
        try:
            count = self.file.readinto(buffer) or 0
        except OSError as error:
            raise FrugalnasError(f"cannot read {self.path}: {error.strerror}") from None
        self.digest.update(memoryview(buffer)[:count])
        self.done += count
        if self.done - self.told >= _REPORT_EVERY:
            self.told = self.done
            self.on_progress(min(self.done, self.size), self.size)
        return count

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
        super().close()

    def source(self) -> dict[str, str]:
        """What a table says of the file, which is read to its end for it."""
        while self.read(_BLOCK):
            pass
        self.on_progress(self.size, self.size)
        return {"file": self.path.name, "bytes": str(self.done), "sha256": self.digest.hexdigest()}


def read_watched_torch(
    path: Path, on_item: Callable[[dict[Any, Any], Any, Any], None], on_progress: Progress
) -> tuple[Any, dict[str, str]]:
    """The object in a file of torch.save, as `read_torch` has it, and what a table says of the file."""
    with Watched(path, on_progress) as file:
        source = file.source()  # at the speed of the disk, while what follows takes minutes
    total = int(source["bytes"])
    content = read_torch(path, on_item=on_item, on_bytes=lambda done: on_progress(min(done, total), total))
    on_progress(total, total)
    return content, source


def how_many(count: int, benchmark: int) -> str:
    """How many of a benchmark's architectures a file has."""
    return f"all {benchmark}" if count == benchmark else f"{count} of the benchmark's {benchmark}"
