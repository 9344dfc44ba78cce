"""A study of many jobs that do not depend on each other: done in processes, each remembered as a line of the journal."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Row, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.searches.processes import check_jobs, in_order

Key = tuple[Any, ...]
Line = dict[str, Any]
_runs = itertools.count()


class Grid(RunKind):
    """A kind of run whose journal has a line for each of many jobs, in the order in which they are listed.

    Attributes:
        one: what a job is.
        many: the same in the plural.
        key: the fields of a line that tell its job from the others.
        called: a job by its key, as people call it.
        compared: where the configuration has what is compared with each other.
        run: tells the jobs of this object from others', also in other processes; what they share need be opened once only.
    """

    one: ClassVar[str]
    many: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    called: ClassVar[str]
    compared: ClassVar[str]
    changes = ("jobs",)

    def __init__(self) -> None:
        self.run = next(_runs)

    @abstractmethod
    def keys(self, config: Mapping[str, Any]) -> list[Key]:
        """Every job, in the order in which they are done."""

    @abstractmethod
    def job(self, config: Mapping[str, Any], folder: Path | None, *key: Any) -> tuple[Line, Line | None]:
        """Do a job.

        Returns:
            Its line of the journal, and one of timing.jsonl, for what differs from time to time.
        """

    @abstractmethod
    def result(
        self, config: Mapping[str, Any], lines: Mapping[Key, Line], timing: Sequence[Line], folder: Path | None
    ) -> Any:
        """What comes of all jobs."""

    @abstractmethod
    def subject(self, config: Mapping[str, Any]) -> str:
        """What it is about, in a word or two."""

    def check(self, config: Mapping[str, Any], folder: Path | None) -> None:
        """Refuse what cannot be carried out."""
        labels = [label_of(entry) for entry in config[self.compared]]
        twice = {label for label in labels if labels.count(label) > 1}
        if twice:
            one = "predictor" if self.compared == "predictors" else "strategy"
            raise FrugalnasError(f"{', '.join(sorted(twice))} is compared with itself; name each {one} once")

    def is_job(self, config: Mapping[str, Any]) -> Callable[[Line], bool]:
        """Tells whether a line of the journal is a job of this study, beyond what `line` says."""
        return lambda line: True

    def compute(
        self,
        config: Mapping[str, Any],
        run_dir: Path | str | None,
        callbacks: Sequence[Callback],
        jobs: int,
        fill: Callable[[Path], None] = lambda draft: None,
    ) -> Any:
        """The result of a new study, kept in a folder where one is named; see `start`."""
        check_jobs(jobs)
        self.check(config, None)
        if run_dir is not None:
            return self.start(run_dir, config, fill=fill, callbacks=callbacks, jobs=jobs, checked=True)
        lines: dict[Key, Line] = {}
        result = self.result(config, lines, self._do(config, lines, callbacks, jobs), None)
        for callback in callbacks:
            callback.on_stop(result)
        return result

    def carry(
        self, folder: RunFolder, callbacks: Sequence[Callback], jobs: int = 1, checked: bool = False, **handed: Any
    ) -> Any:
        """The result, once what is left is done."""
        if not checked:
            self.check(folder.config, folder.path)
        with folder.held():
            lines = self.done(folder)
            self._do(folder.config, lines, callbacks, jobs, folder)
            folder.close()
        return self.result(folder.config, lines, list(folder.lines("timing.jsonl")), folder.path)

    def change(self, folder: RunFolder, **changes: Any) -> Mapping[str, Any]:
        """Go on in so many processes; what comes out is the same."""
        check_jobs(changes.get("jobs", 1))
        return changes

    def load(self, folder: RunFolder) -> Any:
        """The result.

        Raises:
            RunFolderError: where jobs are missing, with the command that does them.
        """
        config, lines = folder.config, self.done(folder)
        keys = self.keys(config)
        missing = sum(key not in lines for key in keys)
        if missing or not keys:
            raise RunFolderError(
                f"{folder.path} has finished {len(keys) - missing} of {len(keys)} {self.many}; run the others with: frugalnas "
                f"resume {folder.path}"
            )
        return self.result(config, lines, list(folder.lines("timing.jsonl")), folder.path)

    def finished(self, folder: RunFolder) -> bool:
        """Whether all jobs are done."""
        return self.done(folder).keys() >= set(self.keys(folder.config))

    def row(self, folder: RunFolder) -> Row:
        """How many are done."""
        done, total = sum(1 for _ in folder.lines()), len(self.keys(folder.config))
        return Row(self.subject(folder.config), f"{done} of {total} {self.many}")

    def done(self, folder: RunFolder) -> dict[Key, Line]:
        """The jobs in the journal.

        Raises:
            RunFolderError: naming the line that is none of this study.
        """
        is_job, done = self.is_job(folder.config), {}
        for number, line in enumerate(folder.lines(), 1):
            if not is_job(line):
                raise RunFolderError(
                    f"{folder.path / 'journal.jsonl'}, line {number}, is not a {self.one} of this {self.name}; "
                    f"take it out and run it again with: frugalnas resume {folder.path}"
                )
            done[self.key_of(line)] = line
        return done

    def key_of(self, line: Line) -> Key:
        """Which job a line is of."""
        return tuple(line[field] for field in self.key)

    def _do(
        self,
        config: Mapping[str, Any],
        lines: dict[Key, Line],
        callbacks: Sequence[Callback],
        jobs: int,
        folder: RunFolder | None = None,
    ) -> list[Line]:
        """Do the jobs that have no line yet, in so many processes, and add theirs; returned is how long they took."""
        path, again = None, "run them again"
        if folder is not None:
            path, again = folder.path, f"go on with: frugalnas resume {folder.path}"
        tasks = [(config, path, *key) for key in self.keys(config) if key not in lines]
        for callback in callbacks:
            callback.on_start(len(lines), len(lines) + len(tasks))
        timing = []
        for line, took in in_order(self.job, tasks, jobs, lambda task: self.called.format(*task[2:]), again):
            lines[self.key_of(line)] = line
            if took is not None:
                timing.append(took)
            if folder is not None:
                folder.append(line)
                if took is not None:
                    folder.append(took, "timing.jsonl")
            for callback in callbacks:
                callback.on_record(line)
                callback.on_progress(len(lines))
        return timing


def label_of(entry: Mapping[str, Any]) -> str:
    """What tells an entry of a study apart from others of its name."""
    return str(entry.get("label", entry["name"]))
