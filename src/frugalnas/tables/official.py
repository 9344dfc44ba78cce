"""An official benchmark file becomes tables."""

from __future__ import annotations

import itertools
import shutil
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from frugalnas.errors import FrugalnasError
from frugalnas.tables.catalogue import table_folder, table_names
from frugalnas.tables.formats.watched import Progress
from frugalnas.tables.store import Contents, Table, write_table
from frugalnas.trust import import_object

BZIP2, PARQUET, ZIP = b"BZh", b"PAR1", b"PK\x03\x04"
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file begins that was written by torch before version 1.6: its magic number, pickled."""
NASBENCH101_COLUMNS = {"hash", "num_vertices", "adj_bits", "ops"}


def import_benchmark(
    path: Path | str, *, name: str | None = None, jobs: int = 1, on_progress: Progress = lambda done, total: None
) -> list[Table]:
    """The tables that an official benchmark file holds, added to the cache: all of them, or none.

    | file | tables |
    | --- | --- |
    | `nasbench_only108.tfrecord`, `nasbench_full.tfrecord` | `nasbench101`, `nasbench101-36epochs`, ... |
    | Parquet with the columns hash, num_vertices, adj_bits, ops, params, test108_mean | `nasbench101-test` |
    | `NATS-tss-v1_0-3ffb9-simple/`, the same as `.tar`, or `NATS-tss-v1_0-3ffb9.pickle.pbz2` | `nats/cifar10-valid`, ... |
    | `NAS-Bench-201-v1_1-096897.pth` | `nasbench201-v1.1/cifar10-valid`, ... |
    | WeakNAS's `.pth.tar` dictionaries | `weaknas/nasbench101`, `weaknas/cifar10-valid`, ... |

    Args:
        path: file or folder; what it is shows in its content, except that TFRecord files are known by their suffix.
        name: of the table, or what stands in front where there are several; None takes the names above.
        jobs: processes, where a benchmark has a file per architecture.
        on_progress: is told how far it is.

    Raises:
        FrugalnasError: naming the file, the place in it, and what is wrong; the cache is as before then.
    """
    path = Path(path)
    reader = _reader_of(path)
    if reader is None:
        raise not_known(path)
    read = import_object(f"frugalnas.tables.formats.{reader}")
    if name is not None:
        refuse_taken_name(name)
    try:
        found: list[Contents] = read(path, on_progress, **({"jobs": jobs} if path.is_dir() else {}))
    except FrugalnasError as error:
        raise FrugalnasError(
            f"{error}\n  Nothing was imported; if this is the benchmark's own file, get it again from where it came from"
        ) from None
    names = [_named(contents.name, name, alone=len(found) == 1) for contents in found]
    for chosen in names:
        refuse_taken_name(chosen, "mine")
    written: list[Table] = []
    try:
        for chosen, contents in zip(names, found, strict=True):
            written.append(write_table(table_folder(chosen), replace(contents, name=chosen)))
    except BaseException:
        for table in written:
            shutil.rmtree(table.folder, ignore_errors=True)
            with suppress(OSError):  # a folder of other tables stays
                table.folder.parent.rmdir()
        raise
    return written


def is_benchmark(path: Path) -> bool:
    """Whether this is an official benchmark file, rather than somebody's columns."""
    return _reader_of(path) is not None


def not_known(path: Path) -> FrugalnasError:
    """The error for a file that nothing here reads, with what is read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return FrugalnasError(f"{path}: {error.strerror or error}")
    what = "is empty" if not size else "is no file that frugalnas knows, by the bytes that it begins with"
    return FrugalnasError(f"{path} {what}; it reads {KNOWN}")


def refuse_taken_name(name: str, instead: str | None = None) -> None:
    """Refuse a table's name that another table has, that lies inside another one, or that others lie inside.

    Args:
        name: of a table, or what stands before the names of several.
        instead: the name to offer, numbered where that is taken too; None: `name`, numbered.
    """
    names = table_names()
    taken = next((known for known in names if _overlap(name, known)), None)
    if taken is None:
        return
    stem = taken if name.startswith(f"{taken}/") else instead or name
    offered = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    free = next(other for other in offered if not any(_overlap(other, known) for known in names))
    raise FrugalnasError(
        f"{name!r} is taken by the table {taken!r}; choose another `name`, such as {free}, or remove {table_folder(taken)}"
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _reader_of(path: Path) -> str | None:
    """Which reader of `formats` understands the file, by its content; None where it is no benchmark file."""
    if path.is_dir():
        return "nats:read_folder"
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise FrugalnasError(f"{path}: {error.strerror or error}") from None
    if path.suffix.lower() == ".tfrecord":
        return "nasbench101:read_tfrecord"
    if head.startswith(PARQUET):
        return "nasbench101:read_columns" if _columns(path) >= NASBENCH101_COLUMNS else None
    if head.startswith(BZIP2):
        return "nats:read_single"
    if head.startswith((ZIP, OLD_TORCH)):
        # WeakNAS's dictionaries say "scratch" in their first entry; NAS-Bench-201's file does not know the word.
        return "weaknas:read_weaknas" if b"scratch" in _beginning(path, head) else "nats:read_nasbench201"
    if head[257:262] == b"ustar" or (path.suffix.lower() == ".tar" and tarfile.is_tarfile(path)):
        return "nats:read_tar"
    return None


def _columns(path: Path) -> set[str]:
    import pyarrow.parquet

    try:
        return set(pyarrow.parquet.read_schema(path).names)
    except Exception:  # the reader of columns says what is wrong with it
        return set()


def _beginning(path: Path, head: bytes) -> bytes:
    """Of the pickle in a file of torch."""
    try:
        if not head.startswith(ZIP):
            with path.open("rb") as file:
                return file.read(2**16)
        with zipfile.ZipFile(path) as archive:
            member = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
            return b"" if member is None else archive.open(member).read(2**16)
    except Exception:  # a damaged archive can raise nearly anything, and the reader says what is wrong with it
        return b""


def _named(default: str, name: str | None, *, alone: bool) -> str:
    if name is None:
        return default
    if alone:
        return name
    _, slash, rest = default.partition("/")
    return f"{name}/{rest}" if slash else name + default.removeprefix("nasbench101")


KNOWN = (
    "nasbench_only108.tfrecord, NATS-tss-v1_0-3ffb9-simple/ (also as .tar), NATS-tss-v1_0-3ffb9.pickle.pbz2, "
    "NAS-Bench-201-v1_1-096897.pth, WeakNAS's .pth.tar dictionaries, and your own .parquet, .csv and .tsv files"
)
