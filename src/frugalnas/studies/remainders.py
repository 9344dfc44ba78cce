"""What shrinking leaves of a space whose accuracies a table knows: by several scores, over seeds, at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.errors import FrugalnasError, at_least, each_once, unknown_name
from frugalnas.predictors import GaussianProcess
from frugalnas.scores import Counted, OperatorScores, Score, drawn_scores, operator_scores, scores_of
from frugalnas.scores.operator_expectations import RANDOM
from frugalnas.scores.operators import Statistic
from frugalnas.searches.scoring import SCORES, fast
from frugalnas.searches.supernet_scores import Looking, open_score, supernet_folder
from frugalnas.shrinking import Shrinker, Shrinking, TableScore, shrinker_for
from frugalnas.shrinking.shrinker import Worth
from frugalnas.spaces import Codes, FloatArray, IntArray, Population, SearchSpace
from frugalnas.studies.correlation import column_of, groups_of
from frugalnas.studies.statistics import mean_and_deviation
from frugalnas.tables import Table, open_table

if TYPE_CHECKING:
    from frugalnas.trainings.supernet import SupernetResult

Take = Callable[[SearchSpace], OperatorScores]

SIZES = (2000, 500, 100)
BEST = 0.01
"""The share of a table's architectures that are its best."""
LABELS = "labels"
TIES = 1e-7
"""Relative, far below what tells operators apart: equal ones go in an order that is drawn."""


@dataclass(frozen=True)
class Remainder:
    """What one way of shrinking left of one table.

    Attributes:
        table: its name.
        column: the accuracies: test, validation, whole_test.
        score: by which operators were dropped, for people.
        seed: of the supernet, or of what was drawn.
        sizes: architectures of the first sub-space that is as small as was asked, None where the shrinker ends before.
        best: the best accuracy left in it, %.
        share: the share of the table's best that are left in it.
        ranks: of the operators in the order of their drops, by the true mean accuracy of the architectures that contain
            each: 1 is the best of all.
    """

    table: str
    column: str
    score: str
    seed: int
    sizes: tuple[int | None, ...]
    best: tuple[float | None, ...]
    share: tuple[float | None, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Remainders:
    """What several scores left of several tables.

    Attributes:
        shrinker: by which operators went.
        statistic: of the architectures that contain an operator.
        sizes: that were asked for.
        found: for each table, score and seed.
    """

    shrinker: Shrinker
    statistic: str
    sizes: tuple[int, ...]
    found: tuple[Remainder, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Plain data for each table, score, seed and size."""
        return [
            {
                "table": each.table,
                "column": each.column,
                "score": each.score,
                "seed": each.seed,
                "size": size,
                "left": each.sizes[place],
                "best": each.best[place],
                "share": each.share[place],
                "ranks": " ".join(map(str, each.ranks)),
            }
            for each in self.found
            for place, size in enumerate(self.sizes)
        ]

    def numbers(self) -> list[dict[str, Any]]:
        """Plain data for each table and score: [mean, standard deviation] over seeds at each size, and each seed's ranks."""
        lines: dict[tuple[str, str], list[Remainder]] = {}
        for each in self.found:
            lines.setdefault((each.table, each.score), []).append(each)
        return [
            {
                "table": table,
                "column": seeds[0].column,
                "score": score,
                "seeds": [each.seed for each in seeds],
                "sizes": list(self.sizes),
                "best": [mean_and_deviation([each.best[place] for each in seeds]) for place in range(len(self.sizes))],
                "share": [
                    mean_and_deviation([each.share[place] for each in seeds]) for place in range(len(self.sizes))
                ],
                "ranks": [list(each.ranks) for each in seeds],
            }
            for (table, score), seeds in lines.items()
        ]


def compare_shrinking(
    run_dirs: Sequence[Path | str],
    tables: Sequence[str],
    scores: Sequence[str],
    *,
    sizes: Sequence[int] = SIZES,
    shrinker: str | None = None,
    statistic: Statistic = "mean",
    against: str | None = None,
    trials: int = 5,
    draws: int | None = None,
    rule: str | None = None,
    base: int | None = None,
    epoch: int | None = None,
    looking: Looking = Looking(),
) -> Remainders:
    """What is left of a space when operators are dropped by each score, judged by the accuracies of tables.

    Args:
        run_dirs: supernets of one space; those that differ in their seeds alone are one line. None are needed for scores that
            ask no supernet.
        tables: names of tables of this space.
        scores: "random"; quantities such as "params", whose equal operators go in an order that is drawn; "labels", the table's own
            validation accuracies, which no search knows; "labels:100", what a Gaussian process makes of 100 of them; of
            supernets what `open_score` takes.
        sizes: looked at is the first sub-space that is as small.
        shrinker: by name; None: one-by-one.
        statistic: of the architectures that contain an operator.
        against: the accuracies that judge, as in `correlate`.
        trials: seeds of what is drawn.
        draws: architectures for each scoring by what looks at one network after the other; None: 1,000.
        rule: which weights an angle counts.
        base: the epoch whose weights an angle starts from.
        epoch: of the supernet's training.
        looking: how networks are looked at.

    Raises:
        FrugalnasError: for a table of another space, and scores that nothing here can tell.
    """
    at_least(1, trials=trials, size=min(sizes))
    scores, tables = each_once("scores", scores, RANDOM), each_once("tables", tables, "nasbench201/cifar10")
    opened = [open_table(name) for name in tables]
    runs = _runs(run_dirs)
    space = runs[0].space if runs else opened[0].space
    for named, other in [(f"{run.run_dir}", run.space) for run in runs] + [(one.name, one.space) for one in opened]:
        if other.name != space.name:
            raise FrugalnasError(f"{named} is of {other.name}, not of {space.name}; compare what is of one space")
    groups = groups_of(runs) if runs else []
    chosen = shrinker_for(space, shrinker)
    start = Shrinking(space, chosen if chosen.rounds else replace(chosen, until=min(sizes)))
    how: dict[str, Any] = {"statistic": statistic}

    def ways(name: str, table: Table) -> list[tuple[str, int, Take]]:
        if name == RANDOM:
            return [(name, seed, partial(drawn_scores, seed=seed)) for seed in range(trials)]
        if name == LABELS:
            return [(name, 0, partial(operator_scores, TableScore(space, table), **how))]
        if name.startswith(f"{LABELS}:"):
            known = _labels_in(name)
            return [
                (name, seed, partial(operator_scores, Learned(space, table, known, seed), **how))
                for seed in range(trials)
            ]
        if name in space.quantities:
            size = partial(operator_scores, Counted(space, name), **how)
            return [(name, seed, partial(drawn_ties, size, seed)) for seed in range(trials)]
        if not runs:
            parts = [part.strip() for part in name.split("+")]
            if not set(parts) <= {*SCORES, *space.quantities}:
                raise unknown_name("score", name, [RANDOM, LABELS, *space.quantities, *SCORES])
            raise FrugalnasError(f"{name} is a score of supernets; name their folders, or leave it out of `scores`")
        found: list[tuple[str, int, Take]] = []
        for run, group in zip(runs, groups, strict=True):
            angle: dict[str, Any] = {"rule": rule, "base": base, "epoch": epoch}
            score = open_score(run.run_dir, name, space=space, looking=looking, **angle)
            said = name if len(set(groups)) == 1 else f"{group}, {name}"
            drawn = None if fast(name) else draws
            found.append((said, run.seed, partial(operator_scores, score, draws=drawn, seed=looking.seed, **how)))
        return found

    ends: dict[tuple[str, int], Shrinking] = {}
    found = []
    for table in opened:
        judge = Judge(space, table, against)
        for name in scores:
            for line, seed, take in ways(name, table):
                key = (f"{table.name} {line}" if name.startswith(LABELS) else line, seed)
                if key not in ends:
                    ends[key] = shrunk(start, take)
                found.append(judge.judged(line, seed, ends[key], sizes))
    return Remainders(start.shrinker, statistic, tuple(sizes), tuple(found))


def _runs(run_dirs: Sequence[Path | str]) -> list[SupernetResult]:
    if not run_dirs:
        return []
    from frugalnas.trainings.supernet import load_supernet

    return [load_supernet(supernet_folder(run_dir)) for run_dir in run_dirs]


def _labels_in(name: str) -> int:
    """How many labels a score such as "labels:100" knows."""
    number = name.partition(":")[2]
    if not number.isdecimal() or int(number) < 2:
        raise FrugalnasError(f"the score {name} needs a number of labels, two at least, such as {LABELS}:100")
    return int(number)


class Learned(Score):
    """What a Gaussian process says that has seen some of a table's validation accuracies.

    Args:
        space: whose codes are scored.
        table: of this space.
        labels: how many it has seen.
        seed: of the draw of them.
    """

    def __init__(self, space: SearchSpace, table: Table, labels: int, seed: int) -> None:
        self.name, self.space = f"{LABELS}:{labels}", space
        values = table.labels()
        known = np.flatnonzero(np.isfinite(values))
        if labels > len(known):
            raise FrugalnasError(f"{table.name} has {len(known):,} labels, not {labels:,}")
        rows = known[np.random.default_rng(seed).choice(len(known), labels, replace=False)]
        self._model = GaussianProcess(ranks=True)
        self._model.prepare(space)
        self._model.fit(Population(space, np.asarray(table.codes[rows])), values[rows])

    def __call__(self, codes: Codes) -> FloatArray:
        """Mean of the prediction for each row, shape [n]."""
        return self._model.predict(Population(self.space, codes)).mean


def drawn_ties(take: Take, seed: int, space: SearchSpace) -> OperatorScores:
    """Scores whose equal operators are told apart by a draw."""
    found = take(space)
    order = np.random.default_rng(seed).random(found.scores.shape)
    return replace(found, scores=found.scores * (1 + TIES * order))


def shrunk(start: Shrinking, take: Take) -> Shrinking:
    """The end of the way that begins at `start`."""
    while not start.done:
        start = start.next_round(take)
    return start


def sub_spaces(end: Shrinking) -> list[SearchSpace]:
    """What was left after each drop, those of one round too; the whole space first."""
    allowed, found = end.start.allowed, [end.start]
    for step in end.steps:
        operators = end.start.operators(step.by)
        left = operators.left(allowed)
        for number in step.dropped:
            left[number] = False
            found.append(end.start.restrict(allowed & operators.allowed(left)))
        allowed = allowed & operators.allowed(left)
    return found


class Judge:
    """The accuracies of a table, and what they say of smaller spaces.

    Args:
        space: that is made smaller.
        table: of this space.
        against: the accuracies, as in `correlate`.

    Raises:
        FrugalnasError: where the table has none of this space.
    """

    def __init__(self, space: SearchSpace, table: Table, against: str | None = None) -> None:
        self.name, self.column = table.name, column_of(table, against)
        truth = table.labels(self.column)
        rows = np.flatnonzero(np.isfinite(truth) & space.valid(np.asarray(table.codes)))
        if not len(rows):
            raise FrugalnasError(f"{table.name} knows the {self.column} accuracy of no architecture of this space")
        self._codes, self._truth = np.asarray(table.codes[rows]), truth[rows]
        self._best = np.zeros(len(rows), np.bool_)
        self._best[np.argsort(-self._truth, kind="stable")[: max(1, int(BEST * len(rows)))]] = True
        self._operators = scores_of(self._codes, self._truth, space, name=self.column, statistic="mean")

    def judged(self, score: str, seed: int, end: Shrinking, sizes: Sequence[int] = SIZES) -> Remainder:
        """What is left on the way to `end`, which went by this score and seed."""
        spaces, left, best, share = sub_spaces(end), [], [], []
        for size in sizes:
            space = next((space for space in spaces if space.size <= size), None)
            inside = np.zeros(len(self._truth), np.bool_) if space is None else space.valid(self._codes)
            left.append(None if space is None else space.size)
            best.append(float(self._truth[inside].max()) if inside.any() else None)
            share.append(None if space is None else float(self._best[inside].sum() / self._best.sum()))
        ranks = self.ranks(end)
        dropped = tuple(int(ranks[each]) for step in end.steps if step.by == end.shrinker.by for each in step.dropped)
        return Remainder(self.name, self.column, score, seed, tuple(left), tuple(best), tuple(share), dropped)

    def ranks(self, end: Shrinking) -> IntArray:
        """Of each operator by the mean accuracy of the architectures that contain it, 1 the best, shape [operators]."""
        worth = Worth.of(end.operators, self._operators).scores
        ranks = np.empty(len(worth), np.intp)
        ranks[np.argsort(np.where(np.isnan(worth), np.inf, -worth), kind="stable")] = np.arange(1, len(worth) + 1)
        return ranks
