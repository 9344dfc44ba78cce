"""The run of a method: carried through stage by stage, changed where a stage has not begun, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.methods.method import ImageMethod
from frugalnas.registry import METHODS
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Plan, Proposal, Row, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.runs.stages import (
    Method,
    Stage,
    Stages,
    carried_out,
    load_stages,
    method_of,
    read_failure,
    read_result,
)
from frugalnas.spaces import Architecture
from frugalnas.trust import opening

if TYPE_CHECKING:
    from frugalnas.spaces import Codes, SearchSpace

_LATER: Any = None
INTERVALS = (
    "Intervals say how far an accuracy may be off because there are no more test images (95 %). "
    "They do not say how much another training seed would change it."
)
"""What the intervals of test accuracies are about, for people."""


@dataclass(frozen=True)
class MethodResult:
    """A method's run as far as it has come; what follows `failure` is known once it is finished.

    Attributes:
        run_dir: the run's folder.
        config: its configuration.
        method: with its settings.
        stages: begun so far.
        concluded: what was, as plain data; None before the end.
        failure: which `stage` failed last, and its `error`; None where none did.
        space: with the sizes of the networks that were retrained, and the limits on them.
        code: the winner, shape [genes].
        architecture: it in the space's notation.
        score: of the winner; an angle is in radians. NaN where there was nothing to choose from.
        params: its parameters.
        macs: its multiply-adds for one image.
        val, test: its accuracies in % after training from scratch; None where it was not, or there are no such images.
        trained: whether it was.
        network: the folder of its network, which `load`, `frugalnas predict` and `export` take.
        exported: files for use without frugalnas.
        given: the run's folder as it was typed.
    """

    run_dir: Path
    config: Mapping[str, Any]
    method: Any
    stages: tuple[Stage, ...]
    concluded: Mapping[str, Any] | None
    failure: Mapping[str, str] | None
    space: SearchSpace = _LATER
    code: Codes = _LATER
    architecture: str = ""
    score: float = float("nan")
    params: int = 0
    macs: int = 0
    val: float | None = None
    test: float | None = None
    trained: bool = False
    network: Path = Path()
    exported: tuple[Path, ...] = ()
    given: Path = Path()

    @property
    def finished(self) -> bool:
        """Whether it has come to its end."""
        return self.concluded is not None

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @cached_property
    def results(self) -> dict[str, list[Any]]:
        """What the stages have come to, in order: "supernet", "search", "retrain", "baseline", ..."""
        found: dict[str, list[Any]] = {}
        for stage in self.stages:
            found.setdefault(stage.group, []).append(stage.load())
        return found

    def to_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "run": str(self.given),
            "method": self.config["method"]["name"],
            "finished": self.finished,
            "failure": self.failure,
            "seconds": self.seconds,
            "stages": [
                {
                    "name": stage.name,
                    "kind": stage.kind,
                    "folder": str(stage.path.relative_to(self.run_dir)),
                    "finished": stage.finished,
                    "seconds": stage.seconds,
                }
                for stage in self.stages
            ],
            **({"intervals": INTERVALS} if self.trained else {}),
            **(self.concluded or {}),
        }


class MethodRun(RunKind):
    """A method, carried out stage by stage."""

    name = "method"
    config: ClassVar[Mapping[str, Any]] = {"method": {"name": str, "options": Mapping[str, Any]}}
    line: ClassVar[Mapping[str, Any]] = {"stage": str, "kind": str, "folder": str}
    changes = ("settings", "where", "device", "stage")
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("queries", "seconds"),
            "its search ends with its generations: `search.generations`=N, as long as the search has not begun",
        ),
        "epochs": "each of its trainings has its own: `supernet.epochs`=N, `retrain.epochs`=N, as long as it has not begun",
    }
    report = "frugalnas.report.methods:method_page"
    doing = "carrying out"
    leaves = ("stages/*/config.yaml",)
    staged = True

    def proposed(self, method: Method, *, stage: str | None = None, notes: Sequence[str] = ()) -> Proposal:
        """The run of a method that could begin.

        Args:
            method: what to do.
            stage: the only one to be carried out; those before it must be finished. None carries out all.
            notes: what was decided, a sentence each.
        """
        _check_stage(method, stage)
        described = {"method": METHODS.describe(method)}
        return Proposal(self, described, handed={"method": method, "only": stage}, notes=notes)

    def plan(self, proposal: Proposal) -> Plan:
        """What a method that searches an architecture for images would do, stage by stage."""
        from frugalnas.methods.plan import planned

        method = proposal.handed["method"]
        return planned(proposal, method) if isinstance(method, ImageMethod) else super().plan(proposal)

    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> None:
        """Ask the method for its stages: those that are finished are read, the others carried on with or begun."""
        method = handed.pop("method", None) or method_of(folder)
        carried_out(method, Stages(folder, callbacks, **handed))

    def load(self, folder: RunFolder) -> MethodResult:
        """It as far as it has come."""
        path, method, result = folder.path, method_of(folder), read_result(folder.path)
        found: dict[str, Any] = {"space": method.spaces.retrained} if isinstance(method, ImageMethod) else {}
        if result is not None and found and "candidates" in result:
            winner, space = result["candidates"][result["winner"]], found["space"]
            found |= {name: winner.get(name) for name in ("architecture", "val", "test")}
            found["score"] = float("nan") if winner["score"] is None else winner["score"]
            found |= {name: int(winner[name]) for name in ("params", "macs")}
            found["code"], found["trained"] = space.parse(winner["architecture"]), result["trained"]
            found["network"], found["exported"] = (
                path / result["network"],
                tuple(path / each for each in result["exported"]),
            )
        found["given"] = folder.given
        return MethodResult(path, folder.config, method, load_stages(path), result, read_failure(path), **found)

    def finished(self, folder: RunFolder) -> bool:
        """Whether there is a conclusion."""
        return read_result(folder.path) is not None

    def row(self, folder: RunFolder) -> Row:
        """The stages that are finished, and the test accuracy of its network."""
        recipe = folder.config["method"]["options"].get("recipe", {})
        result = read_result(folder.path) or {}
        test = result["candidates"][result["winner"]].get("test") if "candidates" in result else None
        done = ", ".join(stage["stage"] for stage in folder.lines()) or "begun"
        best = "" if test is None else f"{test:.2f} % test"
        return Row(
            Path(recipe.get("data", "")).name, done, best, folder.config["method"]["name"], recipe.get("where") or ""
        )

    def architecture(self, folder: RunFolder, query: int | None = None) -> Architecture:
        """What it found, at the sizes in which it retrains."""
        if query is not None:
            return super().architecture(folder, query)
        found = load_method(folder.path)
        if not found.architecture:
            raise FrugalnasError(
                f"{folder.given} was to end without an architecture; its page says why: frugalnas show {folder.given}"
            )
        space = build_space({**describe_space(found.space), "limits": {}})
        return Architecture(space, space.parse(found.architecture), f"what {folder.given} found")

    def change(
        self,
        folder: RunFolder,
        settings: Mapping[str, Any] | None = None,
        where: str | None = None,
        device: str | None = None,
        stage: str | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """Give stages that have not begun other settings, after the checks that a new run has.

        Args:
            folder: the run's.
            settings: by name.
            where: limits on the network that is retrained.
            device: on which trainings go on from now on.
            stage: the only one to be carried out.
            others: of which there are none.

        Raises:
            FrugalnasError: where a stage that a setting is about has begun, or something does not fit; nothing is changed then.
        """
        method = method_of(folder)
        _check_stage(method, stage)
        wanted = {**(settings or {}), **({} if where is None else {"where": where})}
        begun = {stage.group: stage for stage in reversed(load_stages(folder.path))}
        for setting in wanted:
            first = begun.get(method.stage_of(setting))
            if first is not None:
                raise FrugalnasError(
                    f"{setting} cannot be changed: {first.name} has begun without it; remove {first.path} and what comes "
                    "after to do it again, or start another run"
                )
        if wanted:
            changed = METHODS.describe(method.changed(wanted))
            with folder.held():
                folder.write_config({**folder.config, "method": changed})
        return {"only": stage, "device": device}


def _check_stage(method: Method, stage: str | None) -> None:
    if stage is not None and stage not in method.stages:
        raise unknown_name("stage", stage, method.stages)


@opening
def load_method(run_dir: Path | str, *, trust: bool = False) -> MethodResult:
    """What a method has come to, from its folder alone.

    Raises:
        FrugalnasError: where it has not come to an end.
    """
    result = MethodRun().load(RunFolder(Path(run_dir)))
    if not result.finished:
        raise FrugalnasError(f"{run_dir} has not come to an end; continue it with: frugalnas resume {run_dir}")
    return result
