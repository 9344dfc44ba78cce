"""A file read once from start to end, whose bytes are counted and hashed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from frugalnas.errors import FrugalnasError

__all__ = ["Progress", "Watched"]

Progress = Callable[[int, int], None]
_REPORT_EVERY = 2**22
_BLOCK = 2**20


class Watched:
    """A file opened for reading in one pass.

    Args:
        path: of the file.
        on_progress: told the bytes read and the bytes there are, now and then.

    Raises:
        FrugalnasError: where it cannot be opened.
    """

    def __init__(self, path: Path, on_progress: Progress) -> None:
        self.path, self.on_progress = path, on_progress
        self.done = self.told = 0
        self.digest = hashlib.sha256()
        try:
            self.size = path.stat().st_size
            self.file = path.open("rb")
        except OSError as error:
            raise FrugalnasError(f"cannot read {path}: {error.strerror}") from None

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size` of them."""
        data = self.file.read(size)
        self.digest.update(data)
        self.done += len(data)
        if self.done - self.told >= _REPORT_EVERY:
            self.told = self.done
            self.on_progress(min(self.done, self.size), self.size)
        return data

    def source(self) -> dict[str, str]:
        """What a table says of the file, which is read to its end for it."""
        while self.read(_BLOCK):
            pass
        self.on_progress(self.size, self.size)
        return {"file": self.path.name, "bytes": str(self.done), "sha256": self.digest.hexdigest()}
