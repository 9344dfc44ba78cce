"""What a kind of run is to everything that handles runs without knowing what they do: resume, show, list, stages, checks."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import frugalnas
from frugalnas.errors import Diverged, FrugalnasError, RunFolderError, Surroundings, a
from frugalnas.runs.folder import JOURNAL, RunFolder, fresh
from frugalnas.runs.progress import Callback
from frugalnas.spaces import Architecture
from frugalnas.trust import give, import_object, opening


class Row(NamedTuple):
    """A run's line in the list of runs.

    Attributes:
        on: what it is about.
        done: how far it has come.
        best: of it so far.
        called: what the list calls its kind; empty: by the kind's name.
        limits: beyond those on its space.
    """

    on: str
    done: str
    best: str = ""
    called: str = ""
    limits: str = ""


class Page(NamedTuple):
    """What `show` prints of a run, in two columns, and a text beneath them."""

    rows: Sequence[tuple[str, str]]
    beneath: str = ""


class Plan(NamedTuple):
    """What a run would do.

    Attributes:
        rows: it in words, in two columns.
        seconds: about how long it would take.
        steps: of a training.
        stages: what is carried out in stages takes this long in each, by their names.
    """

    rows: Sequence[tuple[str, str]]
    seconds: float
    steps: int = 0
    stages: Mapping[str, float] = {}


def _nothing(draft: Path) -> None:
    """What is written where there is nothing else to write."""


@dataclass(frozen=True)
class Proposal:
    """A run that could begin: everything is checked, and nothing is written yet.

    Attributes:
        kind: of run.
        config: everything needed to run it again, but for the kind and the version.
        fill: writes what else must be in its folder from the beginning.
        handed: what is open already; see `RunKind.carry`.
        notes: what was decided, a sentence each.
    """

    kind: RunKind
    config: Mapping[str, Any]
    fill: Callable[[Path], None] = _nothing
    handed: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def start(self, *, run_dir: Path | str, callbacks: Sequence[Callback] = ()) -> Any:
        """Its result; see `RunKind.start`."""
        fresh(run_dir)
        return self.kind.start(run_dir, self.config, fill=self.fill, callbacks=callbacks, **self.handed)

    def draft(self, path: Path) -> RunFolder:
        """Its folder at `path`, with nothing done."""
        give(self.kind.name)  # whoever proposes a run of a kind has its class
        written = {"frugalnas": frugalnas.__version__, "kind": self.kind.name, **self.config}
        return RunFolder.create(path, written, self.fill)

    def plan(self) -> Plan:
        """What it would do; see `RunKind.plan`."""
        return self.kind.plan(self)


class RunKind(ABC):
    """A kind of run. Child classes say what a folder of theirs holds, carry it to its end, and read it.

    Attributes:
        name: the `kind` in config.yaml.
        config: what config.yaml must say, as `frugalnas.documents.misfit` takes it.
        line: what a line of the journal must hold; None where the kind checks that itself.
        changes: what `resume` may be told, by the names of `change`'s arguments.
        instead: why something else cannot be changed, and what to do in its place, by the same names.
        report: import path of the function of a result that makes its page, where `page` does not.
        doing: what goes on, for the display of how far it is.
        no_network: why a run of this kind has no trained network, and what has one; {run} is its folder.
        leaves: patterns of what it leaves, beside its journal, once something is done.
        staged: whether it is carried out in stages, which are runs themselves.
    """

    name: ClassVar[str]
    config: ClassVar[Mapping[str, Any]]
    line: ClassVar[Mapping[str, Any] | None] = None
    changes: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[Mapping[str, str]] = {}
    report: ClassVar[str] = ""
    doing: ClassVar[str] = "running"
    no_network: ClassVar[str] = "frugalnas train makes one"
    leaves: ClassVar[tuple[str, ...]] = ()
    staged: ClassVar[bool] = False

    @abstractmethod
    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> Any:
        """Carry a run to its end from wherever it is; killed anywhere and called again, it leaves the same bytes.

        What is returned is the result, where it is at hand; otherwise it is loaded.

        Args:
            folder: the run's.
            callbacks: are told what happens.
            handed: what whoever starts a run, or `change`, has open already, such as its images.
        """

    @abstractmethod
    def load(self, folder: RunFolder) -> Any:
        """The result so far, from the folder alone; nothing is computed."""

    @abstractmethod
    def row(self, folder: RunFolder) -> Row:
        """The run's line in the list of runs."""

    @abstractmethod
    def finished(self, folder: RunFolder) -> bool:
        """Whether nothing is left to do."""

    def page(self, result: Any) -> Page:
        """What `show` prints of a result; figures and pages are written into the run's folder."""
        page: Page = import_object(self.report)(result)
        return page

    def numbers(self, result: Any) -> dict[str, Any]:
        """A result as plain data, for `frugalnas show --json`."""
        numbers: dict[str, Any] = result.to_json()
        return numbers

    def architecture(self, folder: RunFolder, query: int | None = None) -> Architecture:
        """The architecture that a run found or trained, without the limits that networks of other sizes need not meet.

        Args:
            folder: the run's.
            query: of a search, the number of the query that it was; None: the best.
        """
        which = "has no one architecture" if query is None else "asks for no architectures one by one"
        raise FrugalnasError(f"{folder.path} is {a(self.name)}, which {which}; give a search or a training")

    def change(self, folder: RunFolder, **changes: Any) -> Mapping[str, Any] | None:  # noqa: B027
        """Write down what a resumed run is to do otherwise, see `changes`; what is returned is handed to `carry`."""

    def plan(self, proposal: Proposal) -> Plan:
        """What a run would do, and about how long it would take, while nothing of it is there.

        Raises:
            FrugalnasError: where the kind does not tell.
        """
        raise FrugalnasError(f"{a(self.name)} does not tell beforehand what it takes; start it with a small budget")

    def start(
        self,
        run_dir: Path | str,
        config: Mapping[str, Any],
        *,
        fill: Callable[[Path], None] = _nothing,
        callbacks: Sequence[Callback] = (),
        **handed: Any,
    ) -> Any:
        """The result of a new run, written down in a new folder and then carried out.

        A run that cannot begin leaves nothing, as there is nothing to go on with; what has diverged is there to be looked
        at, and what the machine has stopped to be resumed.

        Args:
            run_dir: a new folder.
            config: everything needed to run it again, but for the kind and the version.
            fill: writes what else must be in the folder from the beginning.
            callbacks: are told what happens.
            handed: to `carry`.
        """
        folder = Proposal(self, config, fill).draft(Path(run_dir))
        try:
            return self.carried(folder, callbacks, **handed)
        except (Diverged, Surroundings):
            raise
        except FrugalnasError:
            if not self.begun(folder.path):
                shutil.rmtree(folder.path)
            raise

    def resume(self, run_dir: Path | str, *, callbacks: Sequence[Callback] = (), **changes: Any) -> Any:
        """The result of carrying on with a run, as if it had never been interrupted.

        Args:
            run_dir: the run's folder.
            callbacks: are told what happens.
            changes: what it is to do otherwise from now on, of those that the kind takes.

        Raises:
            RunFolderError: where it is a run of another kind, or one that cannot change this.
        """
        folder = RunFolder(Path(run_dir))
        folder.expect(self.name)
        changes = {name: value for name, value in changes.items() if value is not None}
        for name in changes:
            if name not in self.changes:
                takes = ", ".join(f"`{known}`" for known in self.changes) or "nothing"
                way = self.instead.get(name, f"it takes {takes}")
                raise RunFolderError(f"{run_dir} is {a(self.name)}, which cannot change `{name}`; {way}")
        return self.carried(folder, callbacks, **(self.change(folder, **changes) or {}))

    def carried(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> Any:
        """The result once a run is carried to its end; see `carry`."""
        result = self.carry(folder, callbacks, **handed)
        if result is None:
            result = self.load(RunFolder(folder.path))
        for callback in callbacks:
            callback.on_stop(result)
        return result

    def begun(self, run_dir: Path) -> bool:
        """Whether there is something to go on with."""
        journal = run_dir / JOURNAL
        left = (path for pattern in self.leaves for path in run_dir.glob(pattern))
        return (journal.exists() and journal.stat().st_size > 0) or any(left)


@opening
def resume_run(run_dir: Path | str, *, callbacks: Sequence[Callback] = (), trust: bool = False, **changes: Any) -> Any:
    """The result of carrying on with a run of any kind; see `RunKind.resume`.

    Args:
        run_dir: the run's folder.
        callbacks: are told what happens.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).
        changes: what it is to do otherwise from now on.
    """
    return RunFolder(Path(run_dir)).kind.resume(run_dir, callbacks=callbacks, **changes)


@opening
def load_run(run_dir: Path | str, kind: str | None = None, *, trust: bool = False) -> Any:
    """What a run has come to so far, from its folder alone; nothing is computed.

    Args:
        run_dir: the run's folder.
        kind: that it must be of; None takes any.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where it is of another kind.
    """
    folder = RunFolder(Path(run_dir))
    if kind is not None:
        folder.expect(kind)
    return folder.kind.load(folder)
