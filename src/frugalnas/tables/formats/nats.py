"""NATS-Bench's and NAS-Bench-201's published files: a folder or archive of pickles, or one pickle of everything."""

from __future__ import annotations

import bz2
import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from frugalnas.errors import FrugalnasError, at_least
from frugalnas.pickles import read_pickle
from frugalnas.tables.formats.nats_records import Record, make_tables, take_in
from frugalnas.tables.formats.shown import shown
from frugalnas.tables.formats.watched import Progress, Watched, read_watched_torch
from frugalnas.tables.store import Contents

META = "meta.pickle.pbz2"
NATS, NASBENCH201 = ("12", "200"), ("less", "full")
"""What the schedules are called."""


def read_folder(path: Path | str, on_progress: Progress, *, jobs: int = 1) -> list[Contents]:
    """One table per dataset and schedule of a folder such as `NATS-tss-v1_0-3ffb9-simple`, 200 epochs first.

    The tables are called `nats/cifar10-valid`, `nats/cifar10-valid-12epochs` and so on. A training of 12 epochs has a
    learning-rate schedule of its own and is not epoch 12 of a longer one, and `cifar10`, trained on all training images,
    is another table than `cifar10-valid`, and one without validation accuracies. All numbers are those that the
    benchmark's own API gives for the last epoch of each seed.

    Args:
        path: of a folder with `meta.pickle.pbz2` and a file such as `000011.pickle.pbz2` per architecture, of which some
            may be missing.
        on_progress: told the files read and the files there are.
        jobs: processes that read; more than one are started afresh, so that a script needs its
            `if __name__ == "__main__"`.

    Raises:
        FrugalnasError: naming the file and what is wrong with it.
    """
    path = Path(path)
    at_least(1, jobs=jobs)
    try:
        names = sorted(
            entry.name for entry in path.iterdir() if entry.name == META or _index_of(entry.name) is not None
        )
    except OSError as error:
        raise FrugalnasError(f"cannot read {path}: {error.strerror}") from None
    if META not in names:
        raise FrugalnasError(f"{path} has no {META}, which names the architectures; it is in the archive as published")
    meta = _read_file(path, META)
    names.remove(META)
    files, records = [(META, meta)], []
    for name, file in zip(names, _each(partial(_read_file, path), names, jobs), strict=True):
        files.append((name, file))
        records += file.records
        on_progress(len(files) - 1, len(names) + 1)
    on_progress(len(files), len(names) + 1)
    listing = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files))
    source = {
        "folder": path.absolute().name,
        "files": str(len(files)),
        "bytes": str(sum(file.size for _, file in files)),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "sha256 of": "the lines that sha256sum prints for these files, in the order of their names",
    }
    return make_tables(path, meta.architectures, records, prefix="nats/", source=source)


def read_tar(path: Path | str, on_progress: Progress) -> list[Contents]:
    """The tables of such a folder packed as one `.tar`, which is read once, member by member, and never unpacked.

    Args:
        path: of the file.
        on_progress: told the bytes read and the bytes there are.

    Raises:
        FrugalnasError: naming the file and member, and what is wrong with it.
    """
    path = Path(path)
    architectures: list[str] | None = None
    records: list[Record] = []
    with Watched(path, on_progress) as file:
        for name, member in _members(path, file):
            where = f"{path}: {name}"
            if name.rsplit("/", 1)[-1] != META:
                records += _records_of(where, _index_of(name), _unpickle(where, member))
            elif architectures is not None:
                raise FrugalnasError(f"{where} is there twice")
            else:
                architectures = _architectures(where, _unpickle(where, member))
        source = file.source()
    if architectures is None:
        raise FrugalnasError(f"{path} has no {META}, which names the architectures; it is in the archive as published")
    return make_tables(path, architectures, records, prefix="nats/", source=source)


def read_single(path: Path | str, on_progress: Progress) -> list[Contents]:
    """The tables of `NATS-tss-v1_0-3ffb9.pickle.pbz2`, one pickle of all architectures.

    It is streamed: of each architecture only the numbers that the tables need are kept.

    Args:
        path: of the file.
        on_progress: told the bytes read and the bytes there are.

    Raises:
        FrugalnasError: naming the file, the architecture where it is known, and what is wrong.
    """
    path = Path(path)
    digester = _Digester(path, NATS)
    with Watched(path, on_progress) as file:
        content = _unpickle(str(path), file, digester)
        source = file.source()
    architectures, records = digester.result(content)
    return make_tables(path, architectures, records, prefix="nats/", source=source)


def read_nasbench201(path: Path | str, on_progress: Progress) -> list[Contents]:
    """The tables of `NAS-Bench-201-v1_1-096897.pth` or another version of it, as torch has saved it.

    They are called `nasbench201-v1.1/cifar10-valid` and so on, by the version in the file's name, and
    `nasbench201-file/cifar10-valid` where it has none. Torch itself is not needed.

    Args:
        path: of the file.
        on_progress: told the bytes read and the bytes there are.

    Raises:
        FrugalnasError: naming the file, the architecture where it is known, and what is wrong.
    """
    path = Path(path)
    digester = _Digester(path, NASBENCH201)
    content, source = read_watched_torch(path, digester, on_progress)
    architectures, records = digester.result(content)
    version = re.search(r"v(\d+)_(\d+)", path.name)
    prefix = f"nasbench201-v{version[1]}.{version[2]}/" if version else "nasbench201-file/"
    return make_tables(path, architectures, records, prefix=prefix, source=source)


# -- a file per architecture -------------------------------------------------------------------------------------------


class _File(NamedTuple):
    size: int
    sha256: str
    architectures: list[str]
    records: list[Record]


def _index_of(name: str) -> int | None:
    """The architecture that a file is about by its name; folders before it do not count."""
    match = re.fullmatch(r"(?:.*/)?(\d{1,6})\.pickle\.pbz2", name, re.ASCII)
    return int(match[1]) if match else None


def _read_file(folder: Path, name: str) -> _File:
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FrugalnasError(f"cannot read {path}: {error.strerror}") from None
    told = _unpickle(str(path), io.BytesIO(content))
    architectures = _architectures(path, told) if name == META else []
    records = [] if name == META else _records_of(path, _index_of(name), told)
    return _File(len(content), hashlib.sha256(content).hexdigest(), architectures, records)


def _each(read: Callable[[str], _File], names: list[str], jobs: int) -> Iterator[_File]:
    """What is read of each file, in their order."""
    if jobs == 1:
        yield from map(read, names)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(read, names, chunksize=16)
        except BrokenProcessPool:
            raise FrugalnasError(
                'a process that reads has ended early; a script that asks for jobs needs `if __name__ == "__main__":`, '
                "or ask for one job"
            ) from None


def _records_of(where: object, index: int | None, content: object) -> list[Record]:
    """The records of one architecture's file, whose schedules are all there is at its top."""
    if not isinstance(content, dict) or not content:
        raise FrugalnasError(f"{where} holds no dict of an architecture's results but a {type(content).__name__}")
    records = []
    for schedule, state in content.items():
        if schedule not in NATS:
            raise FrugalnasError(
                f"{where} has a schedule {shown(schedule)}; the topology benchmark has 12 and 200 epochs"
            )
        try:
            records.append(take_in(state, schedule))
        except ValueError as error:
            raise FrugalnasError(f"{where}: the state of {schedule} epochs {error}") from None
        if records[-1].index != index:
            raise FrugalnasError(f"{where} holds architecture {records[-1].index}")
    return records


def _architectures(where: object, content: object) -> list[str]:
    """The list in which an architecture's place is its index."""
    named = content.get("meta_archs") if isinstance(content, dict) else None
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise FrugalnasError(f"{where} has no list meta_archs of architectures; this is not a file of the benchmark")
    return named


# -- all in one pickle -------------------------------------------------------------------------------------------------


class _Digester:
    """Takes in the state of each architecture when it is complete, puts a record in its place and empties it.

    An architecture's states are emptied when another one begins, lest they share a part.
    """

    def __init__(self, path: Path, schedules: tuple[str, str]) -> None:
        self.path, self.schedules = path, schedules
        self.container: dict[Any, Any] | None = None
        self.taken_in: list[object] = []

    def __call__(self, container: dict[Any, Any], key: object, value: object) -> None:
        if not (isinstance(key, str) and key in self.schedules and isinstance(value, dict) and "all_results" in value):
            return
        if container is not self.container:
            self._empty()
            self.container = container
        index = value.get("arch_index")
        try:
            container[key] = take_in(value, key)
        except ValueError as error:
            raise FrugalnasError(f"{self.path}: the state {key!r} of architecture {shown(index)} {error}") from None
        self.taken_in.append(value)

    def _empty(self) -> None:
        while self.taken_in:
            value = self.taken_in.pop()
            if isinstance(value, dict):
                self.taken_in.extend(value.values())
                value.clear()
            elif isinstance(value, list):
                self.taken_in.extend(value)
                value.clear()

    def result(self, content: object) -> tuple[list[str], list[Record]]:
        """The architectures and the records of the whole file."""
        self._empty()
        architectures = _architectures(self.path, content)
        content = cast("dict[Any, Any]", content)
        results, evaluated = content.get("arch2infos"), content.get("evaluated_indexes")
        if not isinstance(results, dict) or not isinstance(evaluated, (set, frozenset, list, tuple)):
            raise FrugalnasError(
                f"{self.path} lacks arch2infos or evaluated_indexes; this is not a file of the benchmark"
            )
        records = [record for index, states in results.items() for record in self._records(index, states)]
        listed = {index if type(index) is int else None for index in evaluated}
        if listed != set(results):
            raise FrugalnasError(
                f"{self.path}: evaluated_indexes names {len(listed)} architectures and arch2infos holds {len(results)}; "
                f"{len(listed ^ set(results))} are in one of them only"
            )
        return architectures, records

    def _records(self, index: object, states: object) -> Iterator[Record]:
        if not isinstance(states, dict) or not states:
            raise FrugalnasError(f"{self.path}: arch2infos has no dict of states for architecture {shown(index)}")
        for schedule, record in states.items():
            if not isinstance(record, Record):
                known = " and ".join(map(repr, self.schedules))
                raise FrugalnasError(
                    f"{self.path}: architecture {shown(index)} has {shown(schedule)}, which is not one of the states {known}"
                )
            if record.index != index:
                raise FrugalnasError(f"{self.path}: arch2infos has architecture {record.index} under {shown(index)}")
            yield record


# -- streams -----------------------------------------------------------------------------------------------------------


def _unpickle(
    where: str, stream: Any, on_item: Callable[[dict[Any, Any], object, object], None] | None = None
) -> object:
    """The object in a stream that bzip2 has compressed."""
    try:
        with bz2.open(stream) as file:
            content = read_pickle(cast(BinaryIO, file), name=where, on_item=on_item)
            while file.read(2**16):  # the last checksum stands at the end
                pass
            return content
    except EOFError:
        raise FrugalnasError(f"{where} ends early; it is incomplete, download it again") from None
    except (OSError, tarfile.TarError) as error:
        raise FrugalnasError(f"{where} cannot be read as bzip2 ({error}); download it again") from None


def _members(path: Path, stream: Watched) -> Iterator[tuple[str, Any]]:
    """The files of an archive that have results or name the architectures, to be read before the next."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive:
            for member in archive:
                name = member.name
                plain = member.isreg() and not name.startswith("/") and ".." not in name.split("/")
                if plain and (name.rsplit("/", 1)[-1] == META or _index_of(name) is not None):
                    yield name, archive.extractfile(member)
            rest = cast(Any, archive.fileobj)
            while block := rest.read(2**16):
                if block.strip(b"\0"):
                    raise FrugalnasError(f"{path} goes on after the archive's end; it is damaged, download it again")
    except FrugalnasError:
        raise
    except Exception as error:  # a damaged archive fails anywhere in the reader, with nearly any exception
        raise FrugalnasError(f"{path} cannot be read as tar ({error}); download it again") from None


class _Member(tarfile.TarInfo):
    """A member of an archive; a damaged header is an error, where tarfile takes it for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise ValueError(f"{error}, where a file's header or the archive's end should be") from None
