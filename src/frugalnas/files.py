"""Files that are whole or not there at all, and folders that one process has to itself.

Everything that frugalnas writes to keep passes through `draft`. A draft carries the process that writes it in its name and is
locked by it, so that whoever writes into the same folder next can tell the drafts of dead processes, and removes them.
"""

from __future__ import annotations

import errno
import itertools
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from frugalnas.errors import FrugalnasError, Surroundings, surroundings

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

HOST = re.sub(r"[^\w.-]", "", platform.node())[:40] or "here"
"""Processes of another machine may share the folder, and nobody here can tell whether they live."""
_DRAFT = re.compile(r"\.(\d+)@(.*)\.\d+\.draft")
_numbers = itertools.count()
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}


@contextmanager
def draft(path: Path | str, *, folder: bool = False, sync: bool = True) -> Iterator[Path]:
    """Within, a path of the same name to write to; it becomes `path` where the block ends well, and is gone otherwise.

    Args:
        path: what is there is replaced at once, if it is a file or an empty folder as this one will be; else it is an error.
        folder: whether it is a folder, which is made.
        sync: whether a crash of the machine, too, must find the old file or the whole new one. What carries a digest and can
            be made again does without.

    Raises:
        Surroundings: where the machine does not let it be written: a full disk, no permission, a name too long.
        FrugalnasError: where there is a folder, or a device.
    """
    path = Path(path)
    made: object = ""
    try:
        if not folder and path.exists() and not path.is_file():
            raise FrugalnasError(
                f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; choose another place"
            )
        # A folder around it takes in what libraries leave beside the file that they are told to write.
        with scratch(path.parent) as around:
            made = inner = around / path.name
            if folder:
                inner.mkdir()
            yield inner
            if folder:
                os.rename(inner, path)
            else:
                inner.chmod(around.stat().st_mode & 0o666)  # safetensors makes files that only their owner can read
                if sync:
                    with inner.open("rb") as file:
                        os.fsync(file.fileno())
                os.replace(inner, path)
    except BaseException as error:
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise Surroundings(f"{path.parent} is not there; make it, or choose another place") from None
        known = surroundings(error, made, path)
        if known is None:
            raise
        # What is written within a folder's draft names the draft.
        raise Surroundings(f"{known}".replace(f"{made}", f"{path}") if made else f"{known}") from None


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """Within, a folder that is gone afterwards, or, where this process is killed, when the next one is made beside it.

    Args:
        parent: where it is made; None: where the system keeps such.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    around = parent / f".{os.getpid()}@{HOST}.{next(_numbers)}.draft"
    sweep(parent)
    around.mkdir()
    try:
        lock = os.open(around, os.O_RDONLY)
        try:
            with suppress(OSError):  # without a lock its name must do
                _locked(lock)
            yield around
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(around, ignore_errors=True)


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Write a file that is never seen half-written; see `draft`.

    A name that is no UTF-8 is written as JSON, YAML and Python escape it.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    with draft(path, sync=sync) as made:
        made.write_bytes(data)


def sweep(folder: Path) -> None:
    """Remove the drafts that dead processes of this machine left in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = _DRAFT.fullmatch(entry.name)
            if named is not None and named[2] == HOST and _abandoned(Path(entry.path), int(named[1])):
                shutil.rmtree(entry.path, ignore_errors=True)


@contextmanager
def alone(lock: Path, taken: Callable[[], None]) -> Iterator[None]:
    """Within, no other process is here; the operating system lets go when this one dies, however it dies.

    Where the filesystem knows no locks, the file names the process that has it. One that may be alive is respected.

    Args:
        lock: a file, made where it is not there.
        taken: called where another process is here; raises what there is to say, or returns to wait.

    Raises:
        Surroundings: where the file cannot be written, or nobody can tell whether another process is here.
    """
    try:
        file = lock.open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise surroundings(error) or error from None
    with file:
        held = _locked(file.fileno())
        if held is False:
            taken()
            fcntl.flock(file, fcntl.LOCK_EX)
        if held is None:
            _claim(lock, file)
        try:
            yield
        finally:
            if held is None:
                file.truncate(0)


def _claim(lock: Path, file: IO[str]) -> None:
    file.seek(0)
    owner = file.read().strip()
    pid, _, host = owner.partition("@")
    if owner and not (host == HOST and pid.isdecimal() and not _alive(int(pid))):
        raise Surroundings(
            f"{lock.parent} may be in use by process {owner}, and its filesystem has no locks to tell; remove {lock} if that "
            f"process is gone"
        )
    print(f"{lock.parent}: its filesystem has no locks; start no other process on it meanwhile", file=sys.stderr)
    file.truncate(0)
    file.write(f"{os.getpid()}@{HOST}\n")
    file.flush()


def _locked(file: int) -> bool | None:
    """Whether this process has a file to itself from now on; None where the filesystem knows no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _alive(pid: int) -> bool:
    """Whether a process of this machine may be alive."""
    if fcntl is None:
        return True  # a signal to a process is no question there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _abandoned(path: Path, pid: int) -> bool:
    if pid != os.getpid() and _alive(pid):
        return False
    file = os.open(path, os.O_RDONLY)
    try:
        held = _locked(file)
        return held is True or (held is None and pid != os.getpid())
    finally:
        os.close(file)
