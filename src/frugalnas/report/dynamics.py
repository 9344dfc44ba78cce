"""What the weak predictors of a run of WeakNAS or NPENAS knew, iteration by iteration, held against the table that answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import RunFolderError
from frugalnas.runs import RunFolder
from frugalnas.runs.descriptions import build_evaluator, build_space
from frugalnas.searches import replay
from frugalnas.searches.ledger import read_queries
from frugalnas.spaces import Codes, Population, SearchSpace
from frugalnas.spaces.arrays import ranks
from frugalnas.strategies.guided import Round
from frugalnas.strategies.objectives import VALUES
from frugalnas.studies.metrics import in_units
from frugalnas.tables import TableEvaluator

BEST = 50
"""The true best, whose order and chance of being sampled are followed."""
PREDICTED = 200
"""The predicted best, whose errors are followed."""
REGION = 100
"""The predicted best that stand for the region a score acquisition chooses from."""


@dataclass(frozen=True)
class Step:
    """One iteration: a fit, and what followed from it. Rows are those of `Dynamics.codes`.

    Attributes:
        number: from 1.
        labels: evaluations that the predictor was fitted to.
        best: row that the predictor thinks best.
        best_predicted: what it expects there, % (see `studies.metrics.in_units`).
        optimum_predicted: what it expects of the true optimum, %.
        errors: |predicted - true| of the predicted top 200, rising, percentage points, shape [<= 200].
        chance: that the next architecture is one of the true top 50: for uniform draws their share of what was not yet
            evaluated of the predicted top, else, and where nothing of it was left, their share of the batch that was
            chosen.
        tau: Kendall's tau-b of predicted and true value within the true top 50, NaN where either is constant.
        top: size of the predicted top that was drawn from, None where the highest scores were taken.
        region: rows of that top that were not evaluated before; where scores decided, the 100 best predicted of them.
        evaluated: rows of what was evaluated then.
    """

    number: int
    labels: int
    best: int
    best_predicted: float
    optimum_predicted: float
    errors: NDArray[np.float64]
    chance: float
    tau: float
    top: int | None
    region: NDArray[np.intp]
    evaluated: NDArray[np.intp]


@dataclass(frozen=True)
class Dynamics:
    """A run's iterations and the truth about them.

    Attributes:
        space: what was searched.
        value: what is maximised, in words.
        labelling: how values became the predictor's labels: rank, standard or raw.
        codes: every architecture that the run was allowed and the table has a value of, shape [n, genes].
        truth: their values, %, shape [n].
        steps: the iterations.
    """

    space: SearchSpace
    value: str
    labelling: str
    codes: Codes
    truth: NDArray[np.float64]
    steps: tuple[Step, ...]

    @property
    def optimum(self) -> int:
        """The row with the highest value, the first of equals."""
        return int(np.argmax(self.truth))

    @property
    def ranks(self) -> NDArray[np.intp]:
        """1 for the best; equals share the better place, shape [n]."""
        return ranks(-self.truth, lowest=True).astype(np.intp)


def read_dynamics(run_dir: Path | str) -> Dynamics:
    """The iterations of a run of WeakNAS or NPENAS on a table, replayed from its journal; nothing is evaluated.

    Raises:
        RunFolderError: where the run is of another strategy, has several objectives, was not answered by a table or has
            no iteration yet; and where its journal does not follow from its configuration and the table.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("search")
    options = folder.config["strategy"].get("options") or {}
    if options.get("costs"):
        raise RunFolderError(
            f"{folder.path} minimises {', '.join(options['costs'])} beside the value, and its dynamics are those of one "
            f"objective; its front is in: frugalnas show {folder.path}"
        )
    if folder.config["evaluator"]["name"] != "table":
        raise RunFolderError(
            f"{folder.path} was not answered by a table, and predictions have no truth to be held against; search a table "
            f"(frugalnas table list)"
        )
    space = build_space(folder.config["space"])
    evaluator = build_evaluator(folder.config["evaluator"], space)
    assert isinstance(evaluator, TableEvaluator)
    watcher = _Watcher(space, evaluator, folder)
    if not replay(folder.path, watcher):
        queries = sum(1 for _ in folder.lines())
        raise RunFolderError(
            f"{folder.path} has no iteration yet, only the initial sample; continue it with: "
            f"frugalnas resume {folder.path} --queries {queries + 100}"
        )
    return Dynamics(
        space, VALUES[evaluator.objective], watcher.labelling, watcher.whole.codes, watcher.truth, tuple(watcher.steps)
    )


class _Watcher:
    """Turns each round that is replayed into a step."""

    def __init__(self, space: SearchSpace, evaluator: TableEvaluator, folder: RunFolder) -> None:
        known = np.isfinite(evaluator.labels)
        if space.limits:
            known &= space.valid(evaluator.opened.codes)
        self.table = evaluator.opened
        self.truth = evaluator.labels[known]
        self.whole = Population(space, self.table.codes[known])
        self.row_of = np.where(known, np.cumsum(known) - 1, -1)
        self.best = np.argsort(-self.truth, kind="stable")[:BEST]
        self.labelling = ""
        self.steps: list[Step] = []
        queries = read_queries(folder, space)
        rows, values = self._rows(queries.codes), queries.values
        told = np.isfinite(values)  # a worker may have failed where the table knows the value
        if not np.array_equal(np.where(rows >= 0, self.truth[rows], np.nan)[told], values[told]):
            raise RunFolderError(
                f"{folder.path / 'journal.jsonl'} has other values than the table {self.table.name} now; the table was "
                f"made again since, or the journal was edited"
            )
        self.evaluated = np.unique(rows[rows >= 0])

    def __call__(self, one: Round) -> None:
        from scipy.stats import kendalltau  # takes half a second to import

        if not self.steps:
            self.labelling = one.labelling
            self.whole = Population(self.whole.space, self.whole.codes, one.candidates.known)
        same = np.array_equal(one.candidates.codes, self.whole.codes)
        means = one.prediction.mean if same else one.predictor.mean(self.whole)
        values = in_units(means, one.labels, one.values, one.labelling)
        order = np.argsort(-means, kind="stable")
        top = order[:PREDICTED]
        best, optimum = int(order[0]), int(np.argmax(self.truth))
        ranking = np.argsort(-one.prediction.mean, kind="stable")
        top_drawn = ranking[: one.top]  # all, where scores decided
        drawn = top_drawn[one.eligible[top_drawn]][: REGION if one.top is None else None]
        chosen = self._rows(one.candidates.codes[one.chosen])
        uniform = one.top is not None and len(drawn) > 0
        region = self._rows(one.candidates.codes[drawn])
        next_ones = region if uniform else chosen
        self.steps.append(
            Step(
                number=one.number,
                labels=len(one.labels),
                best=best,
                best_predicted=float(values[best]),
                optimum_predicted=float(values[optimum]),
                errors=np.sort(np.abs(values[top] - self.truth[top])),
                chance=float(np.isin(next_ones, self.best).mean()) if len(next_ones) else np.nan,
                tau=float(kendalltau(means[self.best], self.truth[self.best]).statistic),
                top=None if one.top is None else len(top_drawn),
                region=region[region >= 0],
                evaluated=chosen[np.isin(chosen, self.evaluated)],
            )
        )

    def _rows(self, codes: Codes) -> NDArray[np.intp]:
        """Rows of the truth, -1 for what it does not have, shape [n]."""
        rows = self.table.rows(codes)
        return np.where(rows >= 0, self.row_of[rows], -1)


def dynamics_rows(dynamics: Dynamics) -> list[dict[str, Any]]:
    """The numbers behind `dynamics_figure`, one record per iteration; accuracies in %, errors in percentage points."""
    return [
        {
            "iteration": step.number,
            "labels": step.labels,
            "optimum_predicted": step.optimum_predicted,
            "optimum_true": float(dynamics.truth[dynamics.optimum]),
            "predicted_best": dynamics.space.format(dynamics.codes[step.best]),
            "predicted_best_predicted": step.best_predicted,
            "predicted_best_true": float(dynamics.truth[step.best]),
            "predicted_best_rank": int(dynamics.ranks[step.best]),
            "errors_of_predicted_top": step.errors.tolist(),
            "chance_of_true_top": step.chance,
            "kendall_tau_in_true_top": None if np.isnan(step.tau) else step.tau,
            "predicted_top": step.top,
        }
        for step in dynamics.steps
    ]
