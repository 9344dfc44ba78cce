"""A run on disk: configuration, journal, state and what was made of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from frugalnas.errors import RunFolderError
from frugalnas.runs.ledger import Query
from frugalnas.spaces import SearchSpace
from frugalnas.strict_json import to_json

try:
    import fcntl
except ImportError:  # not a Unix: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

__all__ = ["RunFolder", "list_runs"]

DIVERGED = "diverged"
"""In the last line of a training's journal: how its last epoch ended."""
LONGEST_NAME = 200
"""Bytes of a folder's name that we choose: file systems take 255, and drafts add to it."""

_FIELDS = {
    "search": {"space", "strategy", "evaluator", "budget", "executor"},
    "comparison": {"space", "strategies", "evaluator", "queries", "seeds", "until_optimum"},
    "assessment": {"space", "predictors", "truth", "budgets", "trials", "seed", "held_out"},
    "training": {"space", "architecture", "data", "recipe", "seed", "device"},
    "supernet": {"space", "data", "recipe", "seed", "device", "initial"},
    "pretraining": {"space", "task", "recipe", "seed", "device"},
    "method": {"method"},
}
"""What the configuration of each kind of run must say."""


class RunFolder:
    """One run's folder.

    Contents:
        config.yaml: everything needed to run it again.
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
        self._open: dict[str, IO[str]] = {}
        try:
            self.config: dict[str, Any] = yaml.safe_load((self.path / "config.yaml").read_text())
        except OSError:
            raise RunFolderError(f"there is no run at {path}; frugalnas runs list shows the runs here") from None
        except (yaml.YAMLError, ValueError) as error:
            raise RunFolderError(f"{self.path / 'config.yaml'} cannot be read: {error}") from None
        needed = _FIELDS.get(self.config.get("kind", "")) if isinstance(self.config, dict) else None
        if needed is None or not needed <= self.config.keys():
            raise RunFolderError(f"{self.path / 'config.yaml'} does not describe a run of frugalnas")

    @classmethod
    def create(cls, path: Path, config: dict[str, Any], fill: Callable[[Path], None] = lambda draft: None) -> RunFolder:
        """A new run's folder, with its configuration or not there at all; an existing one is never touched.

        Args:
            path: the folder.
            config: what config.yaml says.
            fill: writes what else must be there from the beginning.
        """
        path = Path(path).absolute()
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.mkdir(parents=True)
            fill(draft)
            write_atomically(draft / "config.yaml", yaml.safe_dump(config, sort_keys=False))
            os.rename(draft, path)  # refused where there is anything but an empty folder
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if path.exists():
                raise taken(path) from None
            raise RunFolderError(f"{path} cannot be made ({error.strerror}); choose another --run-dir") from None
        return cls(path)

    def expect(self, kind: str) -> None:
        """Refuse a run of another kind."""
        if self.config["kind"] != kind:
            raise RunFolderError(f"{self.path} is a {self.config['kind']}, not a {kind}")

    def write_config(self, config: dict[str, Any]) -> None:
        """Replace the configuration, whole or not at all."""
        write_atomically(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        self.config = config

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from running this run; the operating system lets go when this one dies, however it dies."""
        with (self.path / ".lock").open("w") as lock:
            try:
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunFolderError(f"{self.path} is being run by another process; wait for it, or stop it") from None
            yield

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
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise RunFolderError(
                    f"{path}, line {number}, is damaged; cut the file before it and resume to evaluate the rest again"
                )
            yield record

    def append(self, record: dict[str, Any], name: str = "journal.jsonl") -> None:
        """Add one line and hand it to the operating system."""
        if name not in self._open:
            path = self.path / name
            if path.exists():
                # A line that was cut short would otherwise swallow the next one.
                content = path.read_bytes()
                os.truncate(path, content.rfind(b"\n") + 1)
            self._open[name] = path.open("a", encoding="utf-8")
        self._open[name].write(to_json(record) + "\n")
        self._open[name].flush()

    def rewrite(self, records: Iterable[dict[str, Any]], name: str = "journal.jsonl") -> None:
        """Replace all lines, whole or not at all."""
        self.close()
        write_atomically(self.path / name, "".join(to_json(record) + "\n" for record in records))

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def queries(self, space: SearchSpace) -> Iterator[Query]:
        """The queries in the journal, in order.

        Raises:
            RunFolderError: naming the line that is not a query of this space.
        """
        for number, line in enumerate(self.lines(), 1):
            try:
                query = Query.from_json(line, space)
                fits = line["query"] == number and bool(space.valid(query.code[None])[0])
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                fits = False
            if not fits:
                raise RunFolderError(
                    f"{self.path / 'journal.jsonl'}, line {number}, is not query {number} of this run; cut the file before "
                    f"it and resume to evaluate the rest again"
                )
            yield query

    def epochs(self) -> tuple[tuple[dict[str, Any], ...], str | None]:
        """The records of a training's epochs that are done, and how it diverged after them; None where it did not."""
        records = list(self.lines())
        diverged = records.pop()[DIVERGED] if records and DIVERGED in records[-1] else None
        return tuple(records), diverged

    def seconds(self) -> float:
        """Wall time spent so far."""
        return float(sum(line.get("seconds", 0.0) for line in self.lines("timing.jsonl")))

    # -- state ---------------------------------------------------------------------------------------------------

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state, whole or not at all."""
        (self.path / "state").mkdir(exist_ok=True)
        write_atomically(self.path / "state" / "strategy.json", to_json(state))

    def read_state(self) -> dict[str, Any] | None:
        """The latest state, None where there is none that can be read: the journal is enough."""
        try:
            state = json.loads((self.path / "state" / "strategy.json").read_text())
        except (OSError, ValueError):
            return None
        usable = isinstance(state, dict) and isinstance(state.get("queries"), int) and "strategy" in state
        return state if usable else None


def taken(path: Path) -> RunFolderError:
    """The error for a folder that is to be new and is not."""
    return RunFolderError(
        f"{path} is already there; continue it with: frugalnas resume {path}, or choose another --run-dir"
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a file that is never seen half-written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def list_runs(root: Path) -> list[RunFolder]:
    """The runs in a folder, oldest first; folders that are something else are passed over."""
    found = []
    for path in sorted(root.glob("*/config.yaml"), key=lambda path: (path.stat().st_mtime, path)):
        with suppress(RunFolderError):
            found.append(RunFolder(path.parent))
    return found


def unused_name(root: Path, name: str) -> Path:
    """`root/name`, or `root/name-2`, `-3`, ... where that is taken; of a name too long for a file its beginning."""
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    path, number = root / name, 1
    while path.exists():
        number += 1
        path = root / f"{name}-{number}"
    return path
