"""The run of a method: stages in order, each a run in a folder of its own, carried out once and taken up where they stopped.

A method is written as if nothing ever interrupted it. Carrying on with its run means carrying it out again: stages that are
finished are read from their folders, the one that was interrupted is resumed, the others begin.
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, RunFolderError, told
from frugalnas.files import write_atomically
from frugalnas.registry import KINDS, METHODS
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.progress import Callback
from frugalnas.strict_json import to_json
from frugalnas.trust import opening

RESULT = "result.json"
"""What the method concluded, in its run's folder."""
FAILURE = "failure.json"
"""Which stage failed last and why, until it is carried on with."""


@dataclass(frozen=True)
class Stage:
    """One stage of a method's run.

    Attributes:
        name: "supernet", "search", "retrain-1", ...
        kind: of run that it is: "supernet", "search", "training", ...
        path: its folder.
        finished: whether nothing is left to do in it.
        seconds: wall time spent in it so far.
    """

    name: str
    kind: str
    path: Path
    finished: bool
    seconds: float

    def load(self) -> Any:
        """What it has come to, from its folder alone."""
        folder = RunFolder(self.path)
        return folder.kind.load(folder)

    @property
    def group(self) -> str:
        """What the command's `stage` calls it: the name without a number at its end."""
        return re.sub(r"-\d+$", "", self.name)


class Method(ABC):
    """A paper's method, as a sequence of stages.

    Child classes are only required to override `carry_out` and to name their stages. Constructor arguments are
    keyword-only, plain data, and kept as attributes of the same name: a run's folder has them, and makes the method again.
    """

    stages: tuple[str, ...] = ()
    """Names of what can be carried out alone, in order."""

    @abstractmethod
    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """What the method concludes, as plain data that becomes the run's `result.json`.

        Called again on every resume, so it must ask for the same stages in the same order.
        """

    def stage_of(self, setting: str) -> str:
        """The first stage that a setting decides."""
        return self.stages[0]

    def changed(self, settings: Mapping[str, Any]) -> Method:
        """The same method with other settings, after the checks that a new one has.

        Raises:
            FrugalnasError: where it takes no such settings, or something does not fit.
        """
        raise FrugalnasError(f"{type(self).__name__} keeps its settings: {', '.join(settings)} cannot be changed")


class Stages:
    """The stages of one run, as its method asks for them.

    Args:
        folder: of the method's run.
        callbacks: are told what happens in each stage, and which it is.
        only: group of the only stage to be carried out; those before it must be finished.
        device: on which trainings go on from now on; None keeps theirs.
    """

    def __init__(
        self,
        folder: RunFolder,
        callbacks: Sequence[Callback] = (),
        *,
        only: str | None = None,
        device: str | None = None,
    ) -> None:
        self.folder, self.callbacks = folder, callbacks
        self.only, self.device = only, device
        self.under_way: str | None = None
        self._reached = False
        self._asked = 0

    def run(self, name: str, kind: str, begin: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        """The result of a stage, which is read, carried on with or begun, as far as it has come.

        Args:
            name: distinct within the method.
            kind: of run that it is.
            begin: begins such a run, as `search`, `train` or `train_supernet`; called with the stage's new folder as `run_dir`,
                and `callbacks`.
            *arguments: of `begin`.
            **options: of `begin`.
        """
        self._asked += 1
        path = self.folder.path / "stages" / f"{self._asked:02d}-{name}"
        stage = _stage(path, kind)
        self._pass(stage)
        if not stage.finished:
            started = time.monotonic()
            path.parent.mkdir(exist_ok=True)
            for callback in self.callbacks:
                callback.on_stage(name, path, KINDS.create(kind).doing)
            try:
                if path.exists():
                    carried = RunFolder(path).kind
                    moved = {"device": self.device} if "device" in carried.changes else {}
                    carried.resume(path, callbacks=self.callbacks, **moved)
                else:
                    begin(*arguments, run_dir=path, callbacks=self.callbacks, **options)
            finally:
                seconds = round(time.monotonic() - started, 6)
                self.folder.append({"stage": name, "seconds": seconds}, "timing.jsonl")
        if all(line["stage"] != name for line in self.folder.lines()):
            self.folder.append({"stage": name, "kind": kind, "folder": f"stages/{path.name}"})
        return _stage(path, kind).load()

    def begin(self, name: str) -> None:
        """Announce a stage that has no folder of its own, such as a report."""
        self._pass(Stage(name, "", self.folder.path, False, 0.0))

    def _pass(self, stage: Stage) -> None:
        """Stop before a stage that is not to be carried out."""
        self.under_way = None
        if stage.group == self.only:
            self._reached = True
        elif self._reached:
            raise _Enough
        elif self.only is not None and not stage.finished:
            raise FrugalnasError(
                f"`stage` {self.only} needs {stage.name}, which is not finished; run `stage` {stage.group} first, or "
                f"frugalnas resume {self.folder.path} for all"
            )
        self.under_way = stage.name


class _Enough(Exception):  # not an error: the stage that was asked for is over
    """Nothing further is to be carried out."""


def method_of(folder: RunFolder) -> Method:
    """The method that a run's folder describes.

    Raises:
        RunFolderError: where it is a run of another kind.
    """
    folder.expect("method")
    method: Method = METHODS.create(folder.config["method"])
    return method


@opening
def load_stages(run_dir: Path | str, *, trust: bool = False) -> tuple[Stage, ...]:
    """The stages that a method's run has begun, in order; nothing is computed."""
    folder = RunFolder(Path(run_dir))
    folder.expect("method")
    return tuple(_stage(config.parent) for config in sorted(folder.path.glob("stages/[0-9][0-9]-*/config.yaml")))


def read_result(run_dir: Path | str) -> dict[str, Any] | None:
    """What the method concluded, None before it did.

    Raises:
        RunFolderError: where its file is damaged.
    """
    path = Path(run_dir) / RESULT
    try:
        result = read_json(path.read_text(encoding="utf-8"), str(path))
    except OSError:
        return None
    except ValueError:
        result = None
    if not isinstance(result, dict):
        raise RunFolderError(f"{path} is damaged; remove it and run: frugalnas resume {run_dir}")
    return result


def read_failure(run_dir: Path | str) -> dict[str, str] | None:
    """The `stage` that failed when the run was last carried on with, and its `error`; None where none did."""
    try:
        noted = json.loads((Path(run_dir) / FAILURE).read_text(encoding="utf-8"))
        return {name: str(noted[name]) for name in ("stage", "error")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def network_of(run_dir: Path | str) -> Path:
    """The folder of the network that a method's run has come to; the folder itself where it is no method's run.

    Raises:
        RunFolderError: where the method has no network yet.
    """
    path = Path(run_dir)
    if not (path / "config.yaml").is_file() or not RunFolder(path).kind.staged:
        return path
    result = read_result(path)
    if result is None:
        raise RunFolderError(f"{path} has no network yet; continue it with: frugalnas resume {path}")
    if "network" not in result:
        raise RunFolderError(f"{path} was to end without a network; {'; '.join(result['notes'])}")
    return path / result["network"]


def trained_run(run_dir: Path | str) -> Path:
    """The run in which the network of a method was trained; the folder itself where it is no method's run.

    Raises:
        RunFolderError: where the method has no network yet, or one with random weights.
    """
    path = network_of(run_dir)
    if path != Path(run_dir) and not (read_result(run_dir) or {}).get("trained", True):
        raise RunFolderError(
            f"the network of {run_dir} has random weights; train it with: frugalnas train {run_dir} --data FOLDER"
        )
    return path


def carried_out(method: Method, stages: Stages) -> dict[str, Any] | None:
    """What a method concludes, after its stages were read, carried on with or begun; None where only one was asked for.

    A failure is noted in the run's folder, until it is carried on with.
    """
    folder, failure = stages.folder, stages.folder.path / FAILURE
    try:
        with folder.held():
            failure.unlink(missing_ok=True)
            try:
                concluded = dict(method.carry_out(stages))
            except _Enough:
                return None
            except Exception as error:
                if stages.under_way is not None:
                    with suppress(OSError):  # a full disk is what is told, not that this could not be noted
                        write_atomically(failure, to_json({"stage": stages.under_way, "error": told(error)}) + "\n")
                raise
            write_atomically(folder.path / RESULT, to_json(concluded, indent=2) + "\n")
            return concluded
    finally:
        folder.close()


def _stage(path: Path, kind: str | None = None) -> Stage:
    """How far a stage has come, from its folder; of this kind, or of any."""
    name = path.name.partition("-")[2]
    if kind is not None and not (path / "config.yaml").is_file():
        return Stage(name, kind, path, False, 0.0)
    folder = RunFolder(path)
    folder.expect(kind or folder.config["kind"])
    return Stage(name, folder.config["kind"], path, folder.kind.finished(folder), folder.seconds())
