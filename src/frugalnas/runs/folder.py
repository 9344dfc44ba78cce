"""A run on disk: configuration, journal, state and what was made of them."""

from __future__ import annotations

import errno
import json
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import yaml

from frugalnas.documents import fits, misfit
from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings, a, surroundings
from frugalnas.files import alone, draft, sweep, write_atomically
from frugalnas.runs.fields import NoRun, check_config
from frugalnas.runs.seal import (
    CONFIG,
    Seal,
    follows,
    is_summed,
    read_config,
    read_seal,
    seal_of,
    summed,
    unsummed,
    unsummed_lines,
)
from frugalnas.strict_json import to_json

JOURNAL = "journal.jsonl"

AT_A_TIME = 4_096
"""Lines of a journal that are parsed in one go."""
LONGEST_NAME = 200
"""Bytes of a folder's name that we choose: file systems take 255, and drafts add to it."""


class RunFolder:
    """One run's folder.

    Contents:
        config.yaml: everything needed to run it again.
        seal.json: binds configuration, journal, state and what else is written with the folder to each other; see `runs.seal`.
        journal.jsonl: one line per evaluation, flushed before the next one is asked for: the truth.
        timing.jsonl: how long rounds took, apart, so that journals compare equal.
        state/strategy.json: a cache of the journal, written atomically; the run resumes without it, only later.
        evaluations/: one folder per query, where an evaluator left something.
        split.json, checkpoints/, tensorboard/, model/, test.json: of a training, whose journal has one line per epoch.
        split.json, checkpoints/, tensorboard/, weights/, triples/: of a supernet, likewise; the initial weights are
            written once, with the folder.
        labels.csv: of an assessment of predictors on a user's labels.
        report/: figures, made again from the journal at any time.

    Args:
        path: an existing run's folder.

    Raises:
        RunFolderError: where there is no run at `path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()  # an evaluator may change the working folder
        self._open: dict[str, IO[bytes]] = {}
        self._sums: list[int] | None = None
        self.given = given = Path(path)  # which errors and pages name
        self.seal = read_seal(given)
        self.config: dict[str, Any] = read_config(given)
        if self.seal is not None:
            self.seal.check(given, self.config)
        self.kind = check_config(given, self.config)
        """The kind of run that it is."""

    @classmethod
    def create(cls, path: Path, config: dict[str, Any], fill: Callable[[Path], None] = lambda draft: None) -> RunFolder:
        """A new run's folder, with its configuration or not there at all; an existing one is never touched.

        Args:
            path: the folder.
            config: what config.yaml says.
            fill: writes what else must be there from the beginning.
        """
        path = Path(path).absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft(path, folder=True) as made:
                fill(made)
                write_atomically(made / CONFIG, yaml.safe_dump(config, sort_keys=False))
                seal_of(made, config).write(made)
        except (OSError, Surroundings) as error:
            known = surroundings(error, path=path)
            if known is not None:
                raise Surroundings(f"{known}, or choose another `run_dir`") from None
            fresh(path)
            raise RunFolderError(f"{path} cannot be made ({error}); choose another `run_dir`") from None
        return cls(path)

    def expect(self, kind: str) -> None:
        """Refuse a run of another kind."""
        if self.config["kind"] != kind:
            raise RunFolderError(f"{self.path} is {a(self.config['kind'])}, not {a(kind)}")

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace the configuration, whole or not at all."""
        if self.seal is not None:
            self.seal = replace(self.seal, config=config, before=self.config)
            self.seal.write(self.path)
        write_atomically(self.path / CONFIG, yaml.safe_dump(config, sort_keys=False))
        self.config = config

    def kept(self, name: str) -> Path:
        """The path of a file that was written with the folder.

        Raises:
            RunFolderError: where it has changed since.
        """
        return self.path / name if self.seal is None else self.seal.checked(self.path, name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from running this run; the operating system lets go when this one dies, however it dies.

        Raises:
            RunFolderError: where another process runs it.
            Surroundings: where nothing can be written there.
        """
        with alone(self.path / ".lock", self._refuse):
            for folder in (self.path, *self.path.glob("*/")):
                sweep(folder)
            if self.seal is None:
                print(
                    f"{self.path} is of an older frugalnas; from now on its files vouch for each other", file=sys.stderr
                )
                self.seal = Seal(self.config, bare=sum(1 for _ in self.lines()))
                self.seal.write(self.path)
            yield

    def _refuse(self) -> None:
        raise RunFolderError(f"{self.path} is being run by another process; wait for it, or stop it")

    @property
    def report(self) -> Path:
        """The folder for figures."""
        return self.path / "report"

    # -- lines ---------------------------------------------------------------------------------------------------

    def lines(self, name: str = "journal.jsonl") -> Iterator[dict[str, Any]]:
        """The whole lines of a `.jsonl` file; a last line that was cut short is passed over.

        Raises:
            RunFolderError: naming the line, where one in the middle cannot be read.
        """
        path = self.path / name
        try:
            *whole, rest = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            whole, rest = [], b""
        except IsADirectoryError:
            raise RunFolderError(f"{path} is a folder; move it away, and put back the file that was there") from None
        if is_summed(rest[:-1]):  # a kill leaves no more than a line: the byte that ended this one has changed
            whole.append(rest)
        records = self._journalled(whole) if name == JOURNAL else map(_parsed, whole)
        line = self.kind.line
        for number, record in enumerate(records, 1):
            if not isinstance(record, dict):
                raise RunFolderError(
                    f"{path}, line {number}, is damaged; cut the file before it and resume to evaluate the rest again"
                )
            if name == JOURNAL and line is not None and not fits(record, line):
                raise RunFolderError(
                    f"{path}, line {number}: {misfit(record, line)}; cut the file before it and resume to do the rest again"
                )
            yield record

    def _journalled(self, lines: list[bytes]) -> Iterator[Any]:
        """What the journal's lines say, up to None for the first that is damaged."""
        sums = [0]
        bare = len(lines) if self.seal is None else self.seal.bare
        for start in range(0, len(lines), AT_A_TIME):
            block = lines[start : start + AT_A_TIME]
            try:
                records, following = unsummed_lines(block, sums[-1])
            except (ValueError, RecursionError):
                for number, line in enumerate(block, start + 1):
                    try:
                        record, total = unsummed(line, sums[-1], bare=number <= bare)
                    except (ValueError, RecursionError):
                        yield None
                        return
                    bare = 0 if is_summed(line) else bare
                    sums.append(total)
                    yield record
            else:
                bare = 0
                sums += following
                yield from records
        self._sums = sums

    def append(self, record: dict[str, Any], name: str = "journal.jsonl") -> None:
        """Add one line; see `extend`."""
        self.extend([record], name)

    def extend(self, records: Iterable[dict[str, Any]], name: str = "journal.jsonl") -> None:
        """Add lines and hand them to the operating system, or nothing of them.

        Raises:
            Surroundings: where it cannot be written.
        """
        path = self.path / name
        lines, sums = [], self._sums_so_far() if name == JOURNAL else []
        totals = sums[-1:]
        for record in records:
            line, total = summed(record, totals[-1]) if totals else (to_json(record).encode(), 0)
            lines.append(line + b"\n")
            totals += [total] if totals else []
        written = b"".join(lines)
        try:
            if name not in self._open:
                if path.exists():
                    # A line that was cut short would otherwise swallow the next one.
                    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
                self._open[name] = path.open("ab", buffering=0)
            file = self._open[name]
            before = os.fstat(file.fileno())
            if not before.st_nlink:
                raise Surroundings(f"{path} was removed while the run went on; what comes from now on would be lost")
            if file.write(written) != len(written):
                file.truncate(before.st_size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        except OSError as error:
            raise surroundings(error, path=path) or error from None
        sums += totals[1:]

    def cut(self, lines: int) -> None:
        """Take away what the journal has after so many lines."""
        self.close()
        path, sums = self.path / JOURNAL, self._sums_so_far()
        if lines + 1 < len(sums):
            kept = path.read_bytes().split(b"\n")[:lines]
            os.truncate(path, sum(len(line) + 1 for line in kept))
            del sums[lines + 1 :]

    def _sums_so_far(self) -> list[int]:
        """The sum of the journal up to each of its lines, 0 first."""
        if self._sums is None:
            deque(self.lines(), maxlen=0)
        assert self._sums is not None
        return self._sums

    def rewrite(self, records: Iterable[dict[str, Any]]) -> None:
        """Replace all lines of the journal, whole or not at all."""
        self.close()
        lines, sums = [], [0]
        for record in records:
            line, total = summed(record, sums[-1])
            lines.append(line + b"\n")
            sums.append(total)
        write_atomically(self.path / JOURNAL, b"".join(lines))
        self._sums = sums

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def seconds(self) -> float:
        """Wall time spent so far."""
        return float(sum(line["seconds"] for line in self.lines("timing.jsonl") if fits(line.get("seconds"), float)))

    # -- what is true of some lines -----------------------------------------------------------------------------------------------

    def write_bound(self, name: str, record: dict[str, Any], lines: int) -> None:
        """Replace a file that is true of the journal's first lines only, whole or not at all."""
        path = self.path / name
        if not path.parent.exists():
            with draft(path.parent, folder=True):
                pass
        write_atomically(path, summed(record, self._binding(lines))[0], sync=False)

    def read_bound(self, name: str, counted: str) -> dict[str, Any] | None:
        """What `write_bound` wrote, None where there is none of this configuration and journal: the journal is enough.

        Args:
            name: of the file.
            counted: the field that says of how many lines it is true.
        """
        try:
            line = (self.path / name).read_bytes()
            record: dict[str, Any] = json.loads(line)
            lines = record[counted]
            if not 0 <= lines < len(self._sums_so_far()):
                return None
            record.pop("sum", None)
            if not follows(line, self._binding(lines)) and (self.seal is not None or is_summed(line)):
                return None
        except (FileNotFoundError, IsADirectoryError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return record

    def _binding(self, lines: int) -> int:
        """What is true of so many lines is bound to."""
        identity = 0 if self.seal is None else self.seal.identity
        return zlib.crc32(b"%d" % identity, self._sums_so_far()[lines])


def _parsed(line: bytes) -> Any:
    """What a line of JSON says, None where it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def fresh(path: Path | str) -> None:
    """Refuse a folder that is to be new and is not."""
    if Path(path).exists():
        raise RunFolderError(
            f"{path} is already there; continue it with: frugalnas resume {path}, or choose another `run_dir`"
        ) from None


def list_runs(root: Path, unreadable: dict[Path, Exception] | None = None) -> list[RunFolder]:
    """The runs in a folder, oldest first; folders that are something else are passed over.

    Args:
        root: where they are.
        unreadable: is told of runs that cannot be read, and why; None passes over them, too.
    """
    found, told = [], {} if unreadable is None else unreadable
    for path in sorted(root.glob(f"*/{CONFIG}"), key=lambda path: (os.lstat(path).st_mtime, path)):
        try:
            found.append(RunFolder(path.parent))
        except NoRun:
            pass
        except (FrugalnasError, OSError) as error:
            told[path.parent] = error
    return found


def restore_config(run_dir: Path) -> None:
    """Put back the configuration that a run was begun with, or was last given by frugalnas.

    Raises:
        RunFolderError: where it is not known.
    """
    seal = read_seal(run_dir)
    if seal is None:
        raise RunFolderError(f"{run_dir} has no seal.json to restore a configuration from")
    write_atomically(run_dir / CONFIG, yaml.safe_dump(seal.config, sort_keys=False))


def accept_config(run_dir: Path) -> None:
    """Take a run's config.yaml as somebody edited it, as far as the run can go on with it.

    That is: budget, device and where the data are; before the first result everything. What a method does in stages that have
    not begun is changed with `frugalnas resume RUN --set`.

    Raises:
        RunFolderError: naming a setting that cannot change any more, or where the file is none.
    """
    config, seal = read_config(run_dir), read_seal(run_dir)
    kind = check_config(run_dir, config)
    if seal is not None:
        seal.accept(run_dir, config, kind.begun(run_dir))


def unused_name(root: Path, name: str) -> Path:
    """`root/name`, or `root/name-2`, `-3`, ... where that is taken; of a name too long for a file its beginning."""
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    path, number = root / name, 1
    while path.exists():
        number += 1
        path = root / f"{name}-{number}"
    return path
