"""Strategies over seeds, in parallel processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import frugalnas
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import Evaluator
from frugalnas.registry import STRATEGIES, plain
from frugalnas.runs.descriptions import build_evaluator, build_space, describe_evaluator, describe_space, subject_of
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.budget import Budget
from frugalnas.searches.loop import search
from frugalnas.searches.processes import Finished, check_jobs, in_order
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import Strategy
from frugalnas.studies.comparison import Comparison
from frugalnas.tables import TableEvaluator
from frugalnas.trust import give, opening

__all__ = ["compare", "load_comparison", "resume_comparison"]


def compare(
    strategies: Sequence[str | Mapping[str, Any] | Callable[..., Strategy]],
    *,
    evaluator: str | Mapping[str, Any] | Evaluator,
    space: str | Mapping[str, Any] | SearchSpace = "nasbench201",
    queries: int,
    seeds: Sequence[int] | int,
    jobs: int = 1,
    until_optimum: bool = False,
    run_dir: Path | str | None = None,
    on_finished: Finished | None = None,
) -> Comparison:
    """Every strategy run with every seed; on one seed all start from the same initial sample.

    Args:
        strategies: names, classes, or descriptions `{"name": ..., "options": {...}}`; a "label" tells two of a name apart.
        evaluator: evaluator, name or description, for example `{"name": "table", "options": {"table":
            "nasbench201/cifar10"}}`. Where it draws labels at random, each seed draws its own.
        space: space, name or description.
        queries: budget of each search.
        seeds: one search per strategy and seed; a number: so many, from 0.
        jobs: processes, each with one thread.
        until_optimum: end a search once the optimum is found; what is left of its curve is known then.
        run_dir: a new folder that remembers finished searches, so that an interrupted comparison can be resumed.
        on_finished: is told how far it is, at the start and after each search.

    Raises:
        FrugalnasError: before anything runs, for unknown names, wrong options or a budget that does not fit.
    """
    if isinstance(strategies, (str, Mapping, type)):
        strategies = [strategies]
    evaluator = describe_evaluator(evaluator) if isinstance(evaluator, Evaluator) else evaluator
    space = describe_space(space) if isinstance(space, SearchSpace) else space
    give(strategies, evaluator, space)
    config = {
        "frugalnas": frugalnas.__version__,
        "kind": "comparison",
        "space": {"name": space} if isinstance(space, str) else plain(space),
        "strategies": [STRATEGIES.entry(each) for each in strategies],
        "evaluator": {"name": evaluator} if isinstance(evaluator, str) else plain(evaluator),
        "queries": Budget(queries=queries).queries,
        "seeds": [int(seed) for seed in (range(seeds) if isinstance(seeds, int) else seeds)],
        "until_optimum": until_optimum,
    }
    _check(config)
    check_jobs(jobs)
    folder = None if run_dir is None else RunFolder.create(Path(run_dir), config)
    return _run(config, folder, jobs, on_finished)


@opening
def resume_comparison(
    run_dir: Path | str, *, jobs: int = 1, on_finished: Finished | None = None, trust: bool = False
) -> Comparison:
    """The comparison kept in a folder; searches that had not finished are run."""
    check_jobs(jobs)
    folder = _comparison_folder(run_dir)
    return _run(folder.config, folder, jobs, on_finished)


@opening
def load_comparison(run_dir: Path | str, *, trust: bool = False) -> Comparison:
    """The comparison kept in a folder; nothing is run.

    Raises:
        RunFolderError: where searches are missing, with the command that runs them.
    """
    folder = _comparison_folder(run_dir)
    done = _finished(folder)
    wanted = [(_label(entry), seed) for entry in folder.config["strategies"] for seed in folder.config["seeds"]]
    missing = sum(search not in done for search in wanted)
    if missing or not wanted:
        raise RunFolderError(
            f"{folder.path} has finished {len(wanted) - missing} of {len(wanted)} searches; run the others with: frugalnas "
            f"resume {folder.path}"
        )
    return _assemble(folder.config, done, folder)


def _comparison_folder(run_dir: Path | str) -> RunFolder:
    folder = RunFolder(Path(run_dir))
    folder.expect("comparison")
    return folder


def _finished(folder: RunFolder) -> dict[tuple[str, int], dict[str, Any]]:
    """The searches in the journal, by strategy and seed.

    Raises:
        RunFolderError: naming the line that is not a search of this comparison.
    """
    space, done = build_space(folder.config["space"]), {}
    for number, line in enumerate(folder.lines(), 1):
        try:
            fits = _is_search(line, folder.config, space)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError):
            fits = False
        if not fits:
            raise RunFolderError(
                f"{folder.path / 'journal.jsonl'}, line {number}, is not a search of this comparison; take it out and run it "
                f"again with: frugalnas resume {folder.path}"
            )
        done[line["strategy"], line["seed"]] = line
    return done


def _is_search(line: dict[str, Any], config: dict[str, Any], space: SearchSpace) -> bool:
    """Whether a line of the journal says what `_one_search` says of a search of this comparison."""
    queries, known = line["queries"], (int, float, type(None))
    codes = np.array([query["code"] for query in queries]).reshape(-1, space.genes)
    columns = [line["metrics"][name] for name in line["metrics"]]
    numbers = [query["value"] for query in queries] + [value for column in columns for value in column]
    return (
        line["strategy"] in map(_label, config["strategies"])
        and line["seed"] in config["seeds"]
        and 0 < len(queries) <= config["queries"]
        and codes.dtype.kind == "i"
        and bool(space.valid(codes).all())
        and all(len(column) == len(queries) for column in columns)
        and all(isinstance(number, known) for number in (*numbers, line["optimum"]))
        and all(isinstance(query["error"], (str, type(None))) for query in queries)
    )


def _check(config: dict[str, Any]) -> None:
    labels = [_label(entry) for entry in config["strategies"]]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise FrugalnasError(f"{', '.join(sorted(twice))} is compared with itself; name each strategy once")
    if not labels or not config["seeds"] or len(set(config["seeds"])) != len(config["seeds"]):
        raise FrugalnasError("a comparison needs at least one strategy and one seed, and no seed twice")
    space = build_space(config["space"])
    evaluator = build_evaluator(config["evaluator"], space)
    if evaluator.stateful:
        raise FrugalnasError("a stateful evaluator cannot be compared on: its answers depend on what came before")
    if config["until_optimum"] and evaluator.optimum is None:
        raise FrugalnasError("--until-optimum needs an evaluator that knows the optimum, such as a table")
    budget = Budget(queries=config["queries"])
    for entry in config["strategies"]:
        budget.check(_build_strategy(entry, space, config["seeds"][0]))


def _run(config: dict[str, Any], folder: RunFolder | None, jobs: int, on_finished: Finished | None) -> Comparison:
    with nullcontext() if folder is None else folder.held():
        return _run_held(config, folder, jobs, on_finished)


def _run_held(config: dict[str, Any], folder: RunFolder | None, jobs: int, on_finished: Finished | None) -> Comparison:
    labels = [_label(entry) for entry in config["strategies"]]
    done = {} if folder is None else _finished(folder)
    tasks = [
        (config, place, seed)
        for seed in config["seeds"]
        for place in range(len(labels))
        if (labels[place], seed) not in done
    ]
    total = len(done) + len(tasks)
    if on_finished is not None:
        on_finished(len(done), total)
    again = "run them again" if folder is None else f"go on with: frugalnas resume {folder.path}"

    def named(task: tuple[Any, ...]) -> str:
        return f"{labels[task[1]]} with seed {task[2]}"

    for record in in_order(_one_search, tasks, jobs, named, again):
        done[record["strategy"], record["seed"]] = record
        if folder is not None:
            folder.append(record)
        if on_finished is not None:
            on_finished(len(done), total)
    if folder is not None:
        folder.close()
    return _assemble(config, done, folder)


def _one_search(config: dict[str, Any], place: int, seed: int) -> dict[str, Any]:
    """One search, as a journal line of the comparison."""
    space = build_space(config["space"])
    description = config["evaluator"]
    options = dict(description.get("options") or {})
    if options.get("label") == "random":
        options["seed"] = seed
    evaluator = build_evaluator({**description, "options": options}, space)
    strategy = _build_strategy(config["strategies"][place], space, seed)
    budget = Budget(queries=config["queries"], until_optimum=config["until_optimum"])
    result = search(strategy, evaluator, budget)
    return {
        "strategy": _label(config["strategies"][place]),
        "seed": seed,
        "stop": result.stop,
        "seconds": round(result.seconds, 3),
        "optimum": result.optimum,
        "queries": [
            {
                "code": code,
                "value": value,
                "error": result.told.errors.get(row),
            }
            for row, (code, value) in enumerate(zip(result.codes.tolist(), _null_for_nan(result.values), strict=True))
        ],
        "metrics": {name: _null_for_nan(result.told.metric(name)) for name in result.told.names},
    }


def _null_for_nan(column: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]


def _assemble(
    config: dict[str, Any], done: Mapping[tuple[str, int], dict[str, Any]], folder: RunFolder | None
) -> Comparison:
    seeds, queries = config["seeds"], config["queries"]
    space = build_space(config["space"])
    values = {}
    rows: list[dict[str, Any]] = []
    for label in map(_label, config["strategies"]):
        matrix = np.full((len(seeds), queries), np.nan)
        for row, seed in enumerate(seeds):
            record = done[label, seed]
            told = [np.nan if query["value"] is None else query["value"] for query in record["queries"]]
            matrix[row, : len(told)] = told
            rows.extend(_rows(record, space))
        values[label] = matrix
    first = _label(config["strategies"][0])
    optimum = [done[first, seed]["optimum"] for seed in seeds]
    return Comparison(
        values,
        tuple(seeds),
        np.array([np.nan if value is None else value for value in optimum], np.float64),
        rows,
        subject_of(config["evaluator"]),
        _test_of_best(config, space, {label: [done[label, seed] for seed in seeds] for label in values}),
        None if folder is None else folder.path,
        (config["evaluator"].get("options") or {}).get("objective", "accuracy"),
    )


def _test_of_best(
    config: dict[str, Any], space: SearchSpace, records: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, NDArray[np.float64]] | None:
    """Mean test accuracy of each search's best architecture by validation, where a table answered and knows it."""
    evaluator = build_evaluator(config["evaluator"], space)
    if not isinstance(evaluator, TableEvaluator) or not evaluator.opened.has_test or evaluator.objective != "accuracy":
        return None
    table = evaluator.opened

    def of(record: dict[str, Any]) -> float:
        done = [query for query in record["queries"] if query["value"] is not None]
        best = max(done, key=lambda query: query["value"], default=None)
        return np.nan if best is None else table.lookup(space.as_codes(best["code"]), "test")

    return {label: np.array([of(record) for record in searches]) for label, searches in records.items()}


def _rows(record: dict[str, Any], space: SearchSpace) -> Iterator[dict[str, Any]]:
    for number, query in enumerate(record["queries"]):
        metrics = {name: column[number] for name, column in record["metrics"].items()}
        yield {
            "strategy": record["strategy"],
            "seed": record["seed"],
            "query": number + 1,
            "architecture": space.format(space.as_codes(query["code"])),
            "value": query["value"],
            "error": query["error"],
            **metrics,
        }


def _build_strategy(entry: Mapping[str, Any], space: SearchSpace, seed: int) -> Any:
    options = {**(entry.get("options") or {}), "seed": seed}
    return STRATEGIES.create({"name": entry["name"], "options": options}, space)


def _label(entry: Mapping[str, Any]) -> str:
    return str(entry.get("label", entry["name"]))
