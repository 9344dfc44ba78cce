"""Strategies over the same seeds, and what that says: accuracy at budgets, queries to the optimum, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar

import numpy as np

from frugalnas.documents import Whole
from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluator
from frugalnas.registry import STRATEGIES, plain
from frugalnas.runs.descriptions import build_evaluator, build_space, describe_evaluator, describe_space, subject_of
from frugalnas.runs.fields import PART
from frugalnas.runs.progress import Callback
from frugalnas.runs.shown import Shown
from frugalnas.searches.budget import Budget
from frugalnas.searches.run import search
from frugalnas.spaces import FloatArray, SearchSpace
from frugalnas.spaces.arrays import without_nan
from frugalnas.strategies import Strategy
from frugalnas.studies.grid import Grid, Key, Line, label_of
from frugalnas.studies.statistics import PairTest, bootstrap_mean, estimated, paired_tests
from frugalnas.tables import TableEvaluator
from frugalnas.trust import give


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Strategies over the same seeds.

    Attributes:
        values: for each strategy, the value of every query, NaN where it failed or a run ended early, [seeds, queries].
        seeds: the seeds, in the order of the rows.
        optimum: the best value there is for each seed, NaN where it is unknown, shape [seeds]; it differs between seeds
            only where labels are drawn at random.
        rows: one dict per query, for the Parquet file.
        subject: what was searched, for titles.
        test: for each strategy, the test accuracy in % of each seed's best architecture by validation, shape [seeds]; looked
            up after the searches. None where the table has no test results, or no table answered.
        objective: what the values are, where a table answered: accuracy, or oracle-test, for which `test` is None.
        folder: where the comparison is kept, None where it is not.
    """

    said: ClassVar[str] = "the best value so far"
    """What stands at a budget, for people."""
    unit: ClassVar[str] = "value"
    """What it is on an axis, where no table answered."""

    values: Mapping[str, FloatArray]
    seeds: tuple[int, ...]
    optimum: FloatArray
    rows: Sequence[Mapping[str, Any]]
    subject: str
    test: Mapping[str, FloatArray] | None = None
    folder: Path | None = None
    objective: str = "accuracy"

    @property
    def queries(self) -> int:
        """The budget."""
        return next(iter(self.values.values())).shape[1]

    @property
    def best_so_far(self) -> dict[str, FloatArray]:
        """The best value after each query, NaN before the first success, [seeds, queries] for each strategy.

        A run that ended early keeps its best value: its space was exhausted.
        """
        curves = {}
        for name, values in self.values.items():
            running = np.maximum.accumulate(np.where(np.isfinite(values), values, -np.inf), axis=1)
            curves[name] = np.where(np.isfinite(running), running, np.nan)
        return curves

    def at(self, budget: int) -> dict[str, FloatArray]:
        """The best value after `budget` queries, shape [seeds], for each strategy."""
        if not 1 <= budget <= self.queries:
            raise FrugalnasError(f"budget {budget} is outside 1 to {self.queries}")
        return {name: curve[:, budget - 1] for name, curve in self.best_so_far.items()}

    @property
    def knows_optimum(self) -> bool:
        """Whether the best possible value is known for every seed."""
        return bool(np.isfinite(self.optimum).all())

    def to_optimum(self) -> dict[str, FloatArray]:
        """Queries until the optimum was found, NaN where the budget ended first (censored), shape [seeds]."""
        if not self.knows_optimum:
            raise FrugalnasError(f"the optimum of {self.subject} is not known")
        found = {}
        for name, values in self.values.items():
            hit = values >= self.optimum[:, None]
            found[name] = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.nan)
        return found

    def tests(self, samples: Mapping[str, FloatArray]) -> list[PairTest]:
        """Every pair of strategies, compared on one number per seed."""
        return paired_tests(samples)

    def facts(self) -> dict[str, str]:
        """What was compared, and the mean over the seeds of each strategy's best value."""
        last = self.at(self.queries)
        means = {name: f"{bootstrap_mean(best)[0]:.6g}" for name, best in last.items()}
        return {"on": self.subject, "seeds": str(len(self.seeds)), "queries": f"{self.queries:,}", **means}

    def default_budgets(self) -> list[int]:
        """Budgets to report: the whole, a half, a quarter and an eighth."""
        return sorted({max(self.queries // part, 1) for part in (8, 4, 2, 1)})

    def to_json(self, budgets: Sequence[int] | None = None) -> dict[str, Any]:
        """The statistics as plain data.

        Intervals are [mean, low, high]: the mean over seeds with its 95 % bootstrap interval. In `to_optimum` a run that had
        not found the optimum (censored) counts as the whole budget, so that mean and median are lower bounds then.

        Args:
            budgets: queries at which values are reported; None takes an eighth, a quarter, a half and all.
        """
        if not any(np.isfinite(values).any() for values in self.values.values()):
            last = self.rows[-1]["error"] if self.rows else "nothing was evaluated"
            raise FrugalnasError(f"no evaluation succeeded; the last one said: {last}")
        at = {budget: self.at(budget) for budget in sorted(budgets or self.default_budgets())}
        samples = {f"{budget} queries": best for budget, best in at.items()}
        numbers: dict[str, Any] = {
            "subject": self.subject,
            "objective": self.objective,
            "seeds": list(self.seeds),
            "queries": self.queries,
            "values": {name: {budget: estimated(best[name]) for budget, best in at.items()} for name in self.values},
            "test": None if self.test is None else {name: estimated(found) for name, found in self.test.items()},
        }
        if self.knows_optimum:
            found = self.to_optimum()
            counted = {name: np.where(np.isfinite(runs), runs, self.queries) for name, runs in found.items()}
            samples["queries to optimum"] = counted
            numbers["to_optimum"] = {
                name: {
                    "mean": estimated(counted[name]),
                    "median": float(np.median(counted[name])),
                    "censored": int(np.isnan(found[name]).sum()),
                }
                for name in found
            }
        if len(self.values) > 1 and len(self.seeds) > 1:
            numbers["tests"] = {
                what: [test.to_json() for test in self.tests(sample)] for what, sample in samples.items()
            }
        return numbers


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
    callbacks: Sequence[Callback] = (),
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
        callbacks: are told how far it is, at the start and after each search.

    Raises:
        FrugalnasError: before anything runs, for unknown names, wrong options or a budget that does not fit.
    """
    if isinstance(strategies, (str, Mapping, type)):
        strategies = [strategies]
    evaluator = describe_evaluator(evaluator) if isinstance(evaluator, Evaluator) else evaluator
    space = describe_space(space) if isinstance(space, SearchSpace) else space
    give(strategies, evaluator, space)
    config = {
        "space": {"name": space} if isinstance(space, str) else plain(space),
        "strategies": [STRATEGIES.entry(each) for each in strategies],
        "evaluator": {"name": evaluator} if isinstance(evaluator, str) else plain(evaluator),
        "queries": Budget(queries=queries).queries,
        "seeds": [int(seed) for seed in (range(seeds) if isinstance(seeds, int) else seeds)],
        "until_optimum": until_optimum,
    }
    return ComparisonRun().compute(config, run_dir, callbacks, jobs)


class ComparisonRun(Grid):
    """A comparison of strategies: a search for each seed and strategy."""

    name = "comparison"
    instead: ClassVar = dict.fromkeys(
        ("queries", "seconds"), "it keeps its budget; start another one for a larger budget"
    )
    config: ClassVar = {
        "space": PART,
        "strategies": [{**PART, "label?": str}],
        "evaluator": PART,
        "queries": Whole("queries"),
        "seeds": [Whole()],
        "until_optimum": bool,
    }
    doing = "searches"
    one, many = "search", "searches"
    key = ("strategy", "seed")
    called = "{} with seed {}"
    compared = "strategies"
    report = "frugalnas.report.comparisons:study_page"

    def keys(self, config: Mapping[str, Any]) -> list[Key]:
        """Strategy and seed: whole seeds first, so that what is there of a run compares."""
        return [(label_of(entry), seed) for seed in config["seeds"] for entry in config["strategies"]]

    def opened(self, config: Mapping[str, Any], seed: int) -> tuple[SearchSpace, Evaluator]:
        """The space and the evaluator of a seed, which draws its own labels where they are drawn at random."""
        options = dict(config["evaluator"].get("options") or {})
        if options.get("label") == "random":
            options["seed"] = seed
        return _built(self.run, json.dumps([config["space"], {**config["evaluator"], "options": options}]))

    def subject(self, config: Mapping[str, Any]) -> str:
        """What is searched."""
        return subject_of(config["evaluator"])

    def check(self, config: Mapping[str, Any], folder: Path | None) -> None:
        """Refuse names that do not exist, wrong options and a budget that does not fit."""
        super().check(config, folder)
        seeds = config["seeds"]
        if not config["strategies"] or not seeds or len(set(seeds)) != len(seeds):
            raise FrugalnasError("a comparison needs at least one strategy and one seed, and no seed twice")
        space, evaluator = self.opened(config, seeds[0])
        if evaluator.stateful:
            raise FrugalnasError("a stateful evaluator cannot be compared on: its answers depend on what came before")
        if config["until_optimum"] and evaluator.optimum is None:
            raise FrugalnasError("`until_optimum` needs an evaluator that knows the optimum, such as a table")
        budget = Budget(queries=config["queries"])
        for entry in config["strategies"]:
            budget.check(_strategy(entry, space, seeds[0]))

    def is_job(self, config: Mapping[str, Any]) -> Callable[[Line], bool]:
        """Tells whether a line is a search of one of the strategies and seeds, with queries in the space."""
        space, known = build_space(config["space"]), set(self.keys(config))

        def is_search(line: Line) -> bool:
            try:
                queries, columns = line["queries"], list(line["metrics"].values())
                codes = np.array([query["code"] for query in queries])
                numbers = [line["optimum"], *(query["value"] for query in queries), *chain(*columns)]
                return (
                    (line["strategy"], line["seed"]) in known
                    and 0 < len(queries) <= config["queries"]
                    and (codes.dtype.kind, codes.shape) == ("i", (len(queries), space.genes))
                    and bool(space.valid(codes).all())
                    and all(len(column) == len(queries) for column in columns)
                    and {int, float, NoneType}.issuperset(map(type, numbers))
                    and all(isinstance(query["error"], str | None) for query in queries)
                )
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError):
                return False

        return is_search

    def job(self, config: Mapping[str, Any], folder: Path | None, *key: Any) -> tuple[Line, None]:
        """One search; its time is in its own line."""
        label, seed = key
        space, evaluator = self.opened(config, seed)
        entry = next(entry for entry in config["strategies"] if label_of(entry) == label)
        budget = Budget(queries=config["queries"], until_optimum=config["until_optimum"])
        found = search(_strategy(entry, space, seed), evaluator, budget)
        if found.queries.levels is not None:
            raise FrugalnasError(
                f"{label} asks for fidelities, and a comparison counts queries that are alike; leave it out"
            )
        told = zip(found.codes.tolist(), without_nan(found.values), strict=True)
        line = {
            "strategy": label,
            "seed": seed,
            "stop": found.stop,
            "seconds": round(found.seconds, 3),
            "optimum": found.optimum,
            "queries": [
                {"code": code, "value": value, "error": found.queries.errors.get(row)}
                for row, (code, value) in enumerate(told)
            ],
            "metrics": {name: without_nan(found.queries.metric(name)) for name in found.queries.names},
        }
        return line, None

    def result(
        self, config: Mapping[str, Any], lines: Mapping[Key, Line], timing: Sequence[Line], folder: Path | None
    ) -> Comparison:
        """The values of all searches side by side."""
        seeds, labels = config["seeds"], [label_of(entry) for entry in config["strategies"]]
        space, evaluator = self.opened(config, seeds[0])
        searches = {label: [lines[label, seed] for seed in seeds] for label in labels}
        values = {label: np.full((len(seeds), config["queries"]), np.nan) for label in labels}
        for label, found in searches.items():
            for row, line in enumerate(found):
                told = [query["value"] for query in line["queries"]]
                values[label][row, : len(told)] = np.array(told, np.float64)
        test = None
        if isinstance(evaluator, TableEvaluator) and evaluator.opened.has_test and evaluator.objective == "accuracy":
            test = {label: np.array([_test(evaluator, line) for line in found]) for label, found in searches.items()}
        return Comparison(
            values,
            tuple(seeds),
            np.array([line["optimum"] for line in searches[labels[0]]], np.float64),
            [row for found in searches.values() for line in found for row in _rows(line, space)],
            self.subject(config),
            test,
            folder,
            (config["evaluator"].get("options") or {}).get("objective", "accuracy"),
        )


@lru_cache(maxsize=1)
def _built(run: int, described: str) -> tuple[SearchSpace, Evaluator]:
    """The space and the evaluator of a description, opened once for all searches of a run in a process."""
    space_described, evaluator = json.loads(described)
    space = build_space(space_described)
    return space, build_evaluator(evaluator, space)


def _strategy(entry: Mapping[str, Any], space: SearchSpace, seed: int) -> Strategy:
    options = {**(entry.get("options") or {}), "seed": seed}
    return STRATEGIES.create({"name": entry["name"], "options": options}, space)


def _test(evaluator: TableEvaluator, line: Line) -> float:
    """Test accuracy of a search's best architecture by validation; looked up once the search is over."""
    done = [query for query in line["queries"] if query["value"] is not None]
    best = max(done, key=lambda query: query["value"], default=None)
    return np.nan if best is None else evaluator.opened.lookup(evaluator.space.as_codes(best["code"]), "test")


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
