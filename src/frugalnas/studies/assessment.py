"""Predictors that learn from the same few labels and are judged on all others: how well each ranks what it has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from frugalnas.documents import Whole
from frugalnas.errors import FrugalnasError, surroundings, told, unknown_name
from frugalnas.predictors import Predictor
from frugalnas.predictors.base import fitted, predicted, predicted_mean
from frugalnas.registry import PREDICTORS
from frugalnas.runs.fields import PART
from frugalnas.runs.progress import Callback
from frugalnas.spaces import FloatArray, IntArray
from frugalnas.strategies.labels import LABELS, Labels
from frugalnas.studies.grid import Grid, Key, Line, label_of
from frugalnas.studies.labelled import FEWEST_HELD_OUT, Labelled, Subject
from frugalnas.studies.metrics import METRICS, calibrated, in_units, judged
from frugalnas.studies.statistics import PairTest, estimated, paired_tests
from frugalnas.tables import known_quantities
from frugalnas.trust import give

WHOLE = 20_000
"""Of more architectures than this, means are predicted of all, and standard deviations of so many."""
CALIBRATED = 5_000
TESTED = ("tau", "top10")
"""Metrics by which every pair of predictors is tested."""


@dataclass(frozen=True)
class Assessment:
    """Predictors that learned from the same labels, and how well they did.

    Attributes:
        rows: one dict per predictor, budget and trial: these three, "error" where it failed, and the `METRICS`.
        predictors: labels.
        budgets: numbers of labels, ascending; in a trial the larger sample contains the smaller one.
        trials: how many random samples.
        architectures: how many there are; those of the sample, and other forms of its networks, are not predicted.
        subject: table or file.
        quantity: what is predicted.
        targets: what each predictor was fitted to: raw values, standard or rank; see `strategies.labels`.
        repeated: rows of a file that named a network again: its label is the mean.
        split: what samples are of: networks, which are then not predicted under another spelling, or codes.
        folder: where the assessment is kept, None where it is not.
    """

    rows: Sequence[Mapping[str, Any]]
    predictors: tuple[str, ...]
    budgets: tuple[int, ...]
    trials: int
    architectures: int
    subject: str
    quantity: str
    repeated: int = 0
    targets: tuple[Labels, ...] = ()
    folder: Path | None = None
    split: str = "networks"

    def sample(self, metric: str, budget: int) -> dict[str, FloatArray]:
        """One metric of each predictor at one budget, shape [trials], NaN where it is not known."""
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        if budget not in self.budgets:
            raise unknown_name("budget", budget, [str(known) for known in self.budgets])
        found = {label: np.full(self.trials, np.nan) for label in self.predictors}
        for row in self.rows:
            value = row.get(metric)
            if row["budget"] == budget and value is not None:
                found[row["predictor"]][row["trial"]] = value
        return found

    def failures(self, label: str, budget: int | None = None) -> list[str]:
        """What a predictor said where it failed."""
        return [
            row["error"]
            for row in self.rows
            if row["predictor"] == label and budget in (None, row["budget"]) and row["error"] is not None
        ]

    def tests(self, metric: str, budget: int) -> list[PairTest]:
        """Every pair of predictors, paired by trial: both learned from the same labels."""
        return paired_tests(self.sample(metric, budget))

    def to_json(self) -> dict[str, Any]:
        """The statistics as plain data; see `numbers`."""
        return self.numbers

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """The statistics as plain data.

        Intervals are [mean, low, high]: the mean over trials with its 95 % bootstrap interval, None where no trial has the
        number; of seconds the median with quartiles. Tests are of Kendall's tau and of the first ten, at each budget.
        """
        errors = [row["error"] for row in self.rows]
        if all(error is not None for error in errors):
            raise FrugalnasError(f"no predictor could be fitted; the last one said: {errors[-1]}")
        samples = {budget: {metric: self.sample(metric, budget) for metric in METRICS} for budget in self.budgets}
        numbers: dict[str, Any] = {
            **{name: getattr(self, name) for name in ("subject", "quantity", "architectures", "trials")},
            "budgets": list(self.budgets),
            "repeated": self.repeated,
            "targets": dict(zip(self.predictors, self.targets, strict=False)),
            "metrics": {
                label: {
                    budget: {metric: _estimated(metric, sample[label]) for metric, sample in at.items()}
                    for budget, at in samples.items()
                }
                for label in self.predictors
            },
            "failures": {label: len(self.failures(label)) for label in self.predictors},
        }
        if len(self.predictors) > 1 and self.trials > 1:
            numbers["tests"] = {
                metric: {budget: [test.to_json() for test in self.tests(metric, budget)] for budget in self.budgets}
                for metric in TESTED
            }
        return numbers


def _estimated(metric: str, sample: FloatArray) -> list[float] | None:
    """[mean, low, high]; of seconds median and quartiles: the first of many times includes what is loaded once."""
    if metric.endswith("_seconds") and np.isfinite(sample).any():
        low, middle, high = np.nanpercentile(sample, [25, 50, 75])
        return [float(middle), float(low), float(high)]
    return estimated(sample)


def assess(
    predictors: Sequence[str | Mapping[str, Any] | Callable[..., Predictor]],
    labelled: Labelled | str,
    *,
    budgets: Sequence[int] | None = None,
    trials: int = 40,
    seed: int = 0,
    jobs: int = 1,
    run_dir: Path | str | None = None,
    callbacks: Sequence[Callback] = (),
) -> Assessment:
    """How well every predictor ranks the architectures that it has not seen, at several numbers of labels.

    In each trial networks are drawn at random, each once; the first 20, 50, ... of them are what all predictors learn from,
    and all architectures that build other networks are predicted.

    Args:
        predictors: names, classes, or descriptions `{"name": ..., "options": {...}}`; a "label" tells two of a name apart, and
            "targets" says what it is fitted to: "rank", as searches do, "standard", or the values ("raw"); see `strategies.labels`.
            Where nothing is said it is rank, but raw for those of papers, and outputs in percent.
        labelled: the architectures and their values, or the name of a table.
        budgets: numbers of labels; None: 20, 50, 100, 150 and 200, of few labels those that leave a fifth, and four fifths.
        trials: random samples.
        seed: of the samples and of the predictors.
        jobs: processes, each with one thread.
        run_dir: a new folder that remembers what is finished, so that an interrupted assessment can be resumed.
        callbacks: are told how far it is, at the start and after each predictor that was fitted.

    Raises:
        FrugalnasError: before anything runs, for unknown names, wrong options, labels that cannot be read or are too few.
    """
    labelled = Labelled(labelled) if isinstance(labelled, str) else labelled
    give(predictors, labelled.space)
    if seed < 0:
        raise FrugalnasError(f"`seed` {seed}: a seed is 0 or more")
    described = labelled.described()
    config: dict[str, Any] = {
        "space": described["space"],
        "predictors": [_described(PREDICTORS.entry(each)) for each in predictors],
        "truth": described["truth"],
        "split": labelled.split,
        "budgets": None if budgets is None else sorted({int(budget) for budget in budgets}),
        "trials": int(trials),
        "held_out": labelled.held_out,
        "seed": int(seed),
    }
    subject = Subject.open(config, None)
    config["budgets"] = subject.budgets(config["budgets"])
    config["truth"]["repeated"] = subject.repeated
    fill = (lambda draft: None) if labelled.labels is None else subject.write
    return AssessmentRun().compute(config, run_dir, callbacks, jobs, fill)


class AssessmentRun(Grid):
    """An assessment of predictors: a fit for each trial, budget and predictor."""

    name = "assessment"
    instead: ClassVar = dict.fromkeys(
        ("queries", "seconds"), "predictors are compared at `budgets` of labels; start another one for other budgets"
    )
    config: ClassVar = {
        "space": PART,
        "predictors": [{**PART, "label?": str, "targets?": str | None}],
        "truth": {"table?": str, "labels?": str, "label?": str, "column": str | None, "repeated?": int},
        "budgets": list[int],
        "trials": Whole("trials"),
        "seed": Whole(),
        "held_out": int | None,
    }
    line: ClassVar = {
        "trial": int,
        "budget": int,
        "predictor": str,
        "metrics": Mapping[str, float | None],
        "error": str | None,
    }
    doing = "fits"
    one, many = "fit", "fits"
    key = ("trial", "budget", "predictor")
    called = "{2} with {1} labels, trial {0},"
    compared = "predictors"
    report = "frugalnas.report.comparisons:study_page"

    def keys(self, config: Mapping[str, Any]) -> list[Key]:
        """Trial, budget and predictor: whole trials first, so that what is there of a run compares."""
        labels = [label_of(entry) for entry in config["predictors"]]
        return list(product(range(config["trials"]), config["budgets"], labels))

    def subject(self, config: Mapping[str, Any]) -> str:
        """The table or the file."""
        return config["truth"].get("table") or Path(config["truth"]["labels"]).name

    def check(self, config: Mapping[str, Any], folder: Path | None) -> None:
        """Refuse names that do not exist, wrong options and more labels than there are."""
        super().check(config, folder)
        if not config["predictors"] or config["trials"] < 1:
            raise FrugalnasError("an assessment needs at least one predictor and one trial")
        fewest = FEWEST_HELD_OUT + config["budgets"][-1]
        if config["held_out"] is not None and config["held_out"] < fewest:
            raise FrugalnasError(
                f"`held_out` {config['held_out']}: predict {fewest} architectures at least, some of them may be among the labels"
            )
        subject = Subject.open(config, folder)
        for entry in config["predictors"]:
            if _targets(entry) not in LABELS:
                raise unknown_name("targets", _targets(entry), LABELS)
            _build(entry, subject, config["seed"])

    def job(self, config: Mapping[str, Any], folder: Path | None, *key: Any) -> tuple[Line, Line]:
        """One predictor fitted to one sample."""
        trial, budget, label = key
        subject = Subject.open(config, folder)
        entry = next(entry for entry in config["predictors"] if label_of(entry) == label)
        values = subject.values(trial)
        rows = subject.draw(values, budget, config["seed"], trial)
        stream = np.random.SeedSequence(config["seed"], spawn_key=(trial, budget))
        predictor = _build(entry, subject, int(stream.generate_state(1)[0] % 2**31))
        where = {"predictor": label, "budget": budget, "trial": trial}
        try:
            if len(rows) < budget:
                raise FrugalnasError(
                    f"{subject.name} has {len(rows)} networks with label {subject.label}, not {budget}"
                )
            # One thread, as where there are many processes: small fits gain nothing by more, and rounding does not change.
            with threadpool_limits(limits=1):
                metrics, timing = _judge(predictor, subject, rows, values[rows], _targets(entry))
        except ModuleNotFoundError:
            raise
        except Exception as error:  # whatever goes wrong in anybody's predictor is a result
            lack = surroundings(error)
            if lack is not None:
                raise lack from error
            return {**where, "metrics": {}, "error": told(error)}, where
        return {**where, "metrics": metrics, "error": None}, {**where, **timing}

    def result(
        self, config: Mapping[str, Any], lines: Mapping[Key, Line], timing: Sequence[Line], folder: Path | None
    ) -> Assessment:
        """What was measured in all fits, with how long they took."""
        subject = Subject.open(config, folder)
        seconds = {self.key_of(line): line for line in timing}
        rows = []
        for key in self.keys(config):
            line, took = lines[key], seconds.get(key, {})
            timed = {name: took[name] for name in ("fit_seconds", "predict_seconds") if name in took}
            where = {name: line[name] for name in ("predictor", "budget", "trial", "error")}
            rows.append({**where, **line["metrics"], **timed})
        return Assessment(
            rows,
            tuple(map(label_of, config["predictors"])),
            tuple(config["budgets"]),
            config["trials"],
            len(subject.predicted),
            subject.name,
            subject.quantity,
            config["truth"].get("repeated", 0),
            tuple(map(_targets, config["predictors"])),
            folder,
            subject.split,
        )


def _build(entry: Mapping[str, Any], subject: Subject, seed: int) -> Predictor:
    """The predictor of an entry, with what it needs to know of the space."""
    predictor: Predictor = PREDICTORS.create({"name": entry["name"], "options": entry.get("options") or {}})
    space = subject.population.space
    if predictor.encoding not in (None, *space.encodings):
        raise unknown_name(f"encoding of {space.name}", predictor.encoding, space.encodings)
    known = known_quantities(space, predictor.features)
    for population in (subject.population, subject.others):
        population.known.update(known)
    predictor.seed = seed
    predictor.prepare(space)
    return predictor


def _judge(
    predictor: Predictor, subject: Subject, rows: IntArray, values: NDArray[np.float64], how: Labels
) -> tuple[dict[str, float], dict[str, float]]:
    unseen = subject.unseen(rows)
    truth = subject.truth[subject.predicted]
    whole = len(truth) <= WHOLE
    started = time.perf_counter()
    targets = LABELS[how](values)
    predictor = fitted(predictor, subject.population.take(rows), targets)
    learnt = time.perf_counter()
    prediction = predicted(predictor, subject.others) if whole else None
    mean = predicted_mean(predictor, subject.others) if prediction is None else prediction.mean
    answered = time.perf_counter()
    if prediction is None:
        sample = unseen[np.linspace(0, len(unseen) - 1, CALIBRATED).astype(np.intp)]
        prediction = predicted(predictor, subject.others.take(sample))
    else:
        sample, prediction = unseen, prediction.take(unseen)
    answers = in_units(mean[unseen], targets, values, how)
    metrics = {
        **judged(mean[unseen], truth[unseen], answers),
        **calibrated(prediction, truth[sample], targets, values, how),
    }
    return metrics, {"fit_seconds": round(learnt - started, 4), "predict_seconds": round(answered - learnt, 4)}


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A predictor's entry that says what it is fitted to."""
    in_percent = (entry.get("options") or {}).get("output", "linear") != "linear"
    values = in_percent or str(entry.get("name")).endswith("-paper")
    return {**entry, "targets": entry.get("targets") or ("raw" if values else "rank")}


def _targets(entry: Mapping[str, Any]) -> Labels:
    """What a predictor is fitted to; the values as they come where nothing is said."""
    return entry.get("targets", "raw")
