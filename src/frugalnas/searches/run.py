"""A search from beginning to end: begun, resumed, read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from frugalnas.errors import FrugalnasError, expect
from frugalnas.evaluation import Evaluator
from frugalnas.registry import EXECUTORS, STRATEGIES
from frugalnas.runs.descriptions import build_space, describe_evaluator, describe_space, subject_of
from frugalnas.runs.fields import PART
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Row, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.searches.arrivals import Arrivals
from frugalnas.searches.budget import Budget
from frugalnas.searches.callbacks import notebook_progress
from frugalnas.searches.executors import Executor, SerialExecutor
from frugalnas.searches.ledger import rank, read_queries
from frugalnas.searches.loop import Loop
from frugalnas.searches.parts import Parts, as_evaluator, check_parts, rebuilt
from frugalnas.searches.result import SearchResult
from frugalnas.searches.rounds import Rounds
from frugalnas.searches.state import read_state
from frugalnas.spaces import Architecture, SearchSpace
from frugalnas.strategies import Strategy
from frugalnas.trust import import_object, opening


class SearchRun(RunKind):
    """A search: its journal has a line for each query."""

    name = "search"
    config: ClassVar[Mapping[str, Any]] = {
        "space": PART,
        "strategy": {**PART, "options": Mapping[str, Any]},
        "evaluator": PART,
        "budget": {"queries": int | None, "seconds": float | None, "until_optimum": bool},
        "executor": PART,
    }
    changes = ("queries", "seconds", "failures")
    report = "frugalnas.report.searches:search_page"
    doing = "searching"
    instead: ClassVar[Mapping[str, str]] = {"epochs": "`queries` gives it a larger budget"}
    no_network = "train what it found: frugalnas train {run} --data FOLDER"

    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> SearchResult:
        """Search until the budget is spent; `parts` are handed on where they are there already."""
        parts: Parts = handed.get("parts") or rebuilt(folder)
        return loop_of(parts, folder, callbacks).run()

    def load(self, folder: RunFolder, space: SearchSpace | None = None) -> SearchResult:
        """What was found so far; the space is given where it is of a script and cannot be found by name."""
        space = build_space(folder.config["space"]) if space is None else space
        queries = read_queries(folder, space)  # before the state, which is held against the sums of what was read
        state = read_state(folder) or {}
        stop = state.get("stop") or f"interrupted; continue with: frugalnas resume {folder.path}"
        return SearchResult(space, queries, stop, folder.seconds(), state.get("optimum"), folder.given)

    def row(self, folder: RunFolder) -> Row:
        """The strategy, and how many queries of the budget are spent."""
        config, lines = folder.config, list(folder.lines())
        found = [rank(line) for line in lines if line["value"] is not None]
        most = config["budget"]["queries"]
        done = f"{len(lines)}{'' if most is None else f' of {most}'} queries"
        best = f"{max(found)[1]:.3f}" if found else ""
        seconds = config["budget"]["seconds"]
        limits = "" if seconds is None else f"{seconds:g} s"
        return Row(subject_of(config["evaluator"]), done, best, config["strategy"]["name"], limits)

    def finished(self, folder: RunFolder) -> bool:
        """Whether it stopped by itself, and its budget is still the one that it stopped at."""
        for _ in folder.lines():
            pass  # whose sums the state is held against
        state = read_state(folder) or {}
        budget = folder.config["budget"]
        return bool(state.get("stop")) and state.get("budget", budget) == budget

    def numbers(self, result: SearchResult) -> dict[str, Any]:
        """What it found, with its place in the table that answered."""
        return import_object("frugalnas.report.searches:Summary")(result).to_json()

    def architecture(self, folder: RunFolder, query: int | None = None) -> Architecture:
        """The best architecture, or that of a query, evaluated or failed, at the space's own sizes."""
        found = self.load(folder)
        if query is not None and not 1 <= query <= len(found.queries):
            raise FrugalnasError(f"{folder.given} has the queries 1 to {len(found.queries)}, not `id` {query}")
        space = build_space({**folder.config["space"], "limits": {}})
        named, one = ("the best", found.best) if query is None else (f"query {query}", found.queries[query - 1])
        return Architecture(space, one.code, f"{named} of {folder.given}")

    def change(self, folder: RunFolder, **changes: Any) -> dict[str, Any]:
        """Give it a larger budget, or another."""
        if not changes:
            return {}
        parts = rebuilt(folder)
        return {"parts": rebudgeted(folder, parts._replace(budget=replace(parts.budget, **changes)))}


def loop_of(parts: Parts, folder: RunFolder | None = None, callbacks: Sequence[Callback] = ()) -> Loop:
    """The search of these parts, in rounds or telling answers as they come."""
    kind = Rounds if parts.executor.ordered else Arrivals
    return kind(*parts, folder, callbacks)


def rebudgeted(folder: RunFolder, parts: Parts) -> Parts:
    """The parts, once the run's folder has their budget.

    Raises:
        FrugalnasError: where it is less than what was spent, or does not fit.
    """
    budget = parts.budget
    check_parts(*parts)
    if asdict(budget) != folder.config["budget"]:
        with folder.held():
            journalled = sum(1 for _ in folder.lines())
            if budget.queries is not None and budget.queries < journalled:
                raise FrugalnasError(f"{folder.path} already has {journalled} queries; `queries` cannot go below that")
            folder.write_config({**folder.config, "budget": asdict(budget)})
    return parts


def search(
    strategy: Strategy,
    evaluator: Evaluator | Callable[[str], Any],
    budget: Budget | int,
    *,
    run_dir: Path | str | None = None,
    executor: Executor | None = None,
    callbacks: Sequence[Callback] | None = None,
) -> SearchResult:
    """The result of searching with a strategy until the budget is spent.

    Args:
        strategy: what to try next.
        evaluator: how good it is; a function of an architecture's text is taken as `FunctionEvaluator` takes it.
        budget: when to stop; a number means queries.
        run_dir: a new folder for journal, state and configuration, from which the run can be resumed; None writes nothing. What
            is defined in a script or notebook has to be given to `resume` again.
        executor: where evaluations happen; None: in this process.
        callbacks: are told what happens; None: a progress bar in a notebook, nothing elsewhere.

    Raises:
        FrugalnasError: before anything runs, where the budget does not fit the strategy's initial sample or the space, or
            the folder is taken.
    """
    if not isinstance(budget, Budget):
        budget = Budget(queries=budget)
    expect(strategy, Strategy, "strategy", "one of a space, such as frugalnas.WeakNAS(space, seed=0)")
    callbacks = notebook_progress() if callbacks is None else callbacks
    parts = Parts(strategy, as_evaluator(evaluator, strategy.space), budget, executor or SerialExecutor())
    check_parts(*parts, kept=run_dir is not None)
    if run_dir is not None:
        config = {
            "space": describe_space(strategy.space),
            "strategy": STRATEGIES.describe(strategy),
            "evaluator": describe_evaluator(parts.evaluator),
            "budget": asdict(budget),
            "executor": EXECUTORS.describe(parts.executor),
        }
        found: SearchResult = SearchRun().start(run_dir, config, callbacks=callbacks, parts=parts)
        return found
    result = loop_of(parts, None, callbacks).run()
    for callback in callbacks:
        callback.on_stop(result)
    return result


@opening
def resume(
    run_dir: Path | str,
    *,
    budget: Budget | None = None,
    callbacks: Sequence[Callback] | None = None,
    evaluator: Evaluator | Callable[[str], Any] | None = None,
    strategy: Strategy | None = None,
    space: SearchSpace | None = None,
    trust: bool = False,
) -> SearchResult:
    """The result of continuing a run, with the same journal as if it had never been interrupted.

    Args:
        run_dir: the run's folder.
        budget: a larger one to go on with; None keeps the run's own.
        callbacks: as in `search`.
        evaluator: the run's own, where it is of a script or notebook and cannot be found by name.
        strategy: likewise, as it was when the search began.
        space: likewise.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        RunFolderError: where there is no such run, its journal is not one of its configuration, or something of a script or
            notebook is not given, or is another.
    """
    folder = RunFolder(Path(run_dir))
    parts = rebuilt(folder, space, strategy, evaluator)
    parts = rebudgeted(folder, parts._replace(budget=budget or parts.budget))
    found: SearchResult = SearchRun().carried(
        folder, notebook_progress() if callbacks is None else callbacks, parts=parts
    )
    return found


@opening
def load_search(run_dir: Path | str, *, space: SearchSpace | None = None, trust: bool = False) -> SearchResult:
    """What a run has found so far, from its journal alone; nothing is evaluated.

    Args:
        run_dir: the run's folder.
        space: the run's own, where it is of a script or notebook and cannot be found by name.
        trust: as in `resume`.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("search")
    return SearchRun().load(folder, space)
