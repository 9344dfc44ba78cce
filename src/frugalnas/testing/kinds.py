"""What every kind of run promises."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from frugalnas.documents import misfit
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Row, resume_run
from frugalnas.runs.progress import Callback
from frugalnas.strict_json import to_json
from frugalnas.testing.checks import refusal


class KindConformance(ABC):
    """Child classes are only required to override `begin`.

    A run is begun once for all tests; what is on disk whenever something has happened is what a kill would have left there.

    Attributes:
        kept: files of the run's folder that are the same however often it was killed, as patterns of `Path.glob`.
        measured: fields of their lines that hold measured times, which are never the same twice: all else is compared.
        kills: how many places of the run are tried at most, evenly spaced; the first and the last always are.
    """

    kept: tuple[str, ...] = ("journal.jsonl",)
    measured: tuple[str, ...] = ()
    kills: int = 8

    begun: tuple[TemporaryDirectory[str], list[Path]]

    @abstractmethod
    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> Any:
        """Carry a short run from its beginning to its end, in this new folder, and return its result."""

    def test_killed_anywhere_it_leaves_the_same_bytes(self) -> None:
        """A run that was killed and resumed is the run that was never interrupted, also where it dies in the middle of a line."""
        with self._run() as (whole, shots):
            wanted = self._bytes(whole)
            for place in sorted(
                {round(kill * (len(shots) - 1) / max(self.kills - 1, 1)) for kill in range(self.kills)}
            ):
                for cut in (False, True):
                    run = whole.parent / f"killed-{place}-{cut}"
                    shutil.copytree(shots[place], run)
                    journal = run / "journal.jsonl"
                    if cut and journal.exists():
                        journal.write_bytes(journal.read_bytes()[:-5])
                    resume_run(run)
                    found = self._bytes(run)
                    assert found.keys() == wanted.keys(), f"other files are there after a kill at event {place + 1}"
                    for name in wanted:
                        assert found[name] == wanted[name], f"{name} differs after a kill at event {place + 1}"

    def test_a_finished_run_stays_as_it_is(self) -> None:
        """Resuming what is finished changes nothing and gives the same numbers."""
        with self._run() as (whole, _):
            kind, wanted = RunFolder(whole).kind, self._bytes(whole)
            numbers = self._numbers(whole)
            result = resume_run(whole)
            assert self._bytes(whole) == wanted, "resuming a finished run changes it"
            assert _plain(kind.numbers(result)).keys() == numbers.keys(), "a resumed run has other numbers"

    def test_knows_when_it_is_finished(self) -> None:
        """A run is finished at its end, and not as long as its journal misses a line."""
        with self._run() as (whole, shots):
            folder = RunFolder(whole)
            assert folder.kind.finished(folder), "a whole run does not count as finished"
            early = RunFolder(shots[0])
            assert not early.kind.finished(early), "a run that has just begun counts as finished"

    def test_says_what_it_is(self) -> None:
        """The configuration is of the kind, and the line in the list of runs is text."""
        with self._run() as (whole, shots):
            for path in (whole, shots[0]):
                folder = RunFolder(path)
                row = folder.kind.row(folder)
                assert not misfit(folder.config, folder.kind.config), misfit(folder.config, folder.kind.config)
                assert isinstance(row, Row), f"row() returns {type(row).__name__}, not Row"
                assert all(isinstance(cell, str) for cell in row), f"row() has cells that are no text: {row}"

    def test_can_be_shown(self) -> None:
        """The page is rows of two texts, and the numbers survive JSON."""
        with self._run() as (whole, _):
            folder = RunFolder(whole)
            page = folder.kind.page(folder.kind.load(folder))
            assert page.rows or page.beneath, "page() is empty"
            assert all(isinstance(text, str) for row in page.rows for text in row), "a page has cells that are no text"
            assert self._numbers(whole), "numbers() is empty"

    def test_refuses_changes_that_it_does_not_know(self) -> None:
        """A change that the kind does not take is refused before anything is written."""
        with self._run() as (whole, _):
            before = (whole / "config.yaml").read_bytes()
            said = refusal("an unknown change", lambda: resume_run(whole, no_such_setting=1))
            assert "no_such_setting" in said, f"the refusal does not name the change: {said}"
            assert (whole / "config.yaml").read_bytes() == before, "a refused change is written down"

    @contextmanager
    def _run(self) -> Iterator[tuple[Path, list[Path]]]:
        """The folder of a whole run, and copies of it as it was after each event."""
        own = type(self)
        if "begun" not in vars(own):
            temporary = TemporaryDirectory()
            run = Path(temporary.name) / "begun"
            camera = _Camera(run)
            self.begin(run, [camera])
            own.begun = temporary, camera.shots
        temporary, shots = own.begun
        assert shots, "no callback was told anything: carry() calls on_record or on_progress"
        whole = Path(temporary.name) / "run"
        shutil.copytree(whole.with_name("begun"), whole)
        try:
            yield whole, shots
        finally:
            for left in (whole, *whole.parent.glob("killed-*")):
                shutil.rmtree(left)

    def _bytes(self, run: Path) -> dict[str, Any]:
        """What is compared of each file: its bytes, or where times are measured what else its lines say."""
        paths = sorted(path for pattern in self.kept for path in run.glob(pattern))
        assert paths, f"none of the files that are the same is there: {', '.join(self.kept)}"
        found: dict[str, Any] = {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}
        if not self.measured:
            return found
        left_out = {*self.measured, "sum"}  # a line's sum is of its times, too
        return {
            name: [
                {field: value for field, value in json.loads(line).items() if field not in left_out}
                for line in content.splitlines()
            ]
            for name, content in found.items()
        }

    def _numbers(self, run: Path) -> Mapping[str, Any]:
        folder = RunFolder(run)
        return _plain(folder.kind.numbers(folder.kind.load(folder)))


def _plain(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(to_json(numbers))


class _Camera(Callback):
    """Copies a run's folder whenever it is told something."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.shots: list[Path] = []

    def _shoot(self) -> None:
        if self.run.exists():
            self.shots.append(self.run.with_name(f"shot-{len(self.shots)}"))
            shutil.copytree(self.run, self.shots[-1])

    def on_start(self, done: int, total: int | None, notes: Sequence[str] = ()) -> None:
        """The folder is there."""
        self._shoot()

    def on_record(self, record: Mapping[str, Any]) -> None:
        """The journal is longer."""
        self._shoot()

    def on_progress(self, done: int, said: str = "", *, left: float | None = None, worth_a_line: bool = False) -> None:
        """Something else may be."""
        self._shoot()
