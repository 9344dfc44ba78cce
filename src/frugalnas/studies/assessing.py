"""Predictors that learn from the same few labels and are judged on all others, in parallel processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import frugalnas
from frugalnas.errors import FrugalnasError, RunFolderError, surroundings, told, unknown_name
from frugalnas.predictors import Prediction, Predictor
from frugalnas.predictors.base import fitted, predicted, predicted_mean
from frugalnas.registry import PREDICTORS, plain
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.labelled import FEWEST_HELD_OUT, Split, Subject
from frugalnas.searches.processes import Finished, check_jobs, in_order
from frugalnas.spaces import IntArray
from frugalnas.strategies.labels import LABELS, Labels
from frugalnas.studies.assessment import Assessment, calibrated, in_units, judged
from frugalnas.tables import known_quantities, open_table
from frugalnas.trust import give, opening

__all__ = ["assess", "load_assessment", "resume_assessment"]

Values = NDArray[np.float64]

WHOLE = 20_000
"""Of more architectures than this, means are predicted of all, and standard deviations of so many."""
CALIBRATED = 5_000


def assess(
    predictors: Sequence[str | Mapping[str, Any] | Callable[..., Predictor]],
    *,
    table: str | None = None,
    labels: Path | str | None = None,
    space: str | Mapping[str, Any] | None = None,
    budgets: Sequence[int] | None = None,
    trials: int = 40,
    column: str | None = None,
    architecture: str | None = None,
    label: str = "mean",
    split: Split = "networks",
    held_out: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    run_dir: Path | str | None = None,
    on_finished: Finished | None = None,
) -> Assessment:
    """How well every predictor ranks the architectures that it has not seen, at several numbers of labels.

    In each trial networks are drawn at random, each once; the first 20, 50, ... of them are what all predictors learn from,
    and all architectures that build other networks are predicted. With `split` "codes" architectures are drawn as they are written
    and all others predicted, as papers have it: some of them are networks that were learnt from under another spelling, which
    flatters Kendall's tau on NAS-Bench-201 by 0.03 to 0.06.

    Args:
        predictors: names, classes, or descriptions `{"name": ..., "options": {...}}`; a "label" tells two of a name apart, and
            "targets" says what it is fitted to: "rank", as searches do, "standard", or the values ("raw"); see `strategies.labels`.
            Where nothing is said it is rank, but raw for those of papers, and outputs in percent.
        table: name of the table that knows the values.
        labels: in place of a table, a CSV or Parquet file of labelled architectures (see `read_labels`), or the folder of a
            search.
        space: of the file's architectures.
        budgets: numbers of labels; None: 20, 50, 100, 150 and 200, of few labels those that leave a fifth, and four fifths.
        trials: random samples.
        column: which accuracies of the table, or column of the file; None: validation where there is one, else test.
        architecture: column of architectures in the file; None looks for architecture, arch_str and arch.
        label: what predictors learn from: the mean over a table's training seeds; "random", one run of each architecture;
            or a seed's place "0", "1", ... Predictions are held against the mean.
        split: networks or codes, see above.
        held_out: architectures to predict, drawn once; None: all.
        seed: of the samples and of the predictors.
        jobs: processes, each with one thread.
        run_dir: a new folder that remembers what is finished, so that an interrupted assessment can be resumed.
        on_finished: is told how far it is, at the start and after each predictor that was fitted.

    Raises:
        FrugalnasError: before anything runs, for unknown names, wrong options, labels that cannot be read or are too few.
    """
    give(predictors, space)
    if (table is None) == (labels is None):
        raise FrugalnasError("an assessment is of a table or of labels; give one of the two")
    truth: dict[str, Any] = (
        {"table": table, "label": str(label)} if table is not None else {"labels": str(Path(str(labels)).resolve())}
    )
    described = space
    if space is None:
        described = open_table(table).description if table is not None else _space_of_run(Path(str(labels)))
    if described is None:
        raise FrugalnasError("labels need the space of their architectures, such as --space darts (frugalnas list)")
    config: dict[str, Any] = {
        "frugalnas": frugalnas.__version__,
        "kind": "assessment",
        "space": {"name": described} if isinstance(described, str) else plain(described),
        "predictors": [_described(PREDICTORS.entry(each)) for each in predictors],
        "truth": {**truth, "column": column, "architecture": architecture},
        "split": split,
        "budgets": None if budgets is None else sorted({int(budget) for budget in budgets}),
        "trials": int(trials),
        "held_out": held_out,
        "seed": int(seed),
    }
    check_jobs(jobs)
    if split not in get_args(Split):
        raise unknown_name("split", split, get_args(Split))
    if architecture is not None and labels is None:
        raise FrugalnasError(
            f"--architecture {architecture} is a column of --labels FILE; a table has no columns to choose"
        )
    if seed < 0:
        raise FrugalnasError(f"--seed {seed}: a seed is 0 or more")
    if held_out is not None and held_out < FEWEST_HELD_OUT:
        raise FrugalnasError(f"--held-out {held_out}: predict {FEWEST_HELD_OUT} architectures at least")
    subject = Subject.open(config, None)
    config["budgets"] = subject.budgets(config["budgets"])
    config["truth"]["repeated"] = subject.repeated
    _check(config, subject)
    folder = None
    if run_dir is not None:
        folder = RunFolder.create(Path(run_dir), config, subject.write if labels is not None else lambda draft: None)
    return _run(config, folder, jobs, on_finished)


def _space_of_run(source: Path) -> dict[str, Any] | None:
    """The space that a search's folder names; None of a file."""
    return dict(RunFolder(source).config["space"]) if source.is_dir() else None


@opening
def resume_assessment(
    run_dir: Path | str, *, jobs: int = 1, on_finished: Finished | None = None, trust: bool = False
) -> Assessment:
    """The assessment kept in a folder; what had not finished is run."""
    check_jobs(jobs)
    folder = _assessment_folder(run_dir)
    _check(folder.config, Subject.open(folder.config, folder.path))
    return _run(folder.config, folder, jobs, on_finished)


@opening
def load_assessment(run_dir: Path | str, *, trust: bool = False) -> Assessment:
    """The assessment kept in a folder; nothing is run.

    Raises:
        RunFolderError: where something is missing, with the command that runs it.
    """
    folder = _assessment_folder(run_dir)
    done, tasks, config = _finished(folder), _all_tasks(folder.config), folder.config
    missing = [1 for trial, budget, place in tasks if (trial, budget, _label(config["predictors"][place])) not in done]
    if missing:
        raise RunFolderError(
            f"{folder.path} has finished {len(tasks) - len(missing)} of {len(tasks)} fits; run the others with: frugalnas resume "
            f"{folder.path}"
        )
    return _assemble(folder.config, done, folder)


# -- carrying it through ---------------------------------------------------------------------------------------------------


def _check(config: dict[str, Any], subject: Subject) -> None:
    labels = [_label(entry) for entry in config["predictors"]]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise FrugalnasError(f"{', '.join(sorted(twice))} is compared with itself; name each predictor once")
    if not labels or config["trials"] < 1:
        raise FrugalnasError("an assessment needs at least one predictor and one trial")
    if config["held_out"] is not None and config["held_out"] < FEWEST_HELD_OUT + config["budgets"][-1]:
        raise FrugalnasError(
            f"--held-out {config['held_out']}: predict {FEWEST_HELD_OUT + config['budgets'][-1]} architectures at least, some "
            "of them may be among the labels"
        )
    for entry in config["predictors"]:
        if _targets(entry) not in LABELS:
            raise unknown_name("targets", _targets(entry), LABELS)
        _build(entry, subject, config["seed"])


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


def _assessment_folder(run_dir: Path | str) -> RunFolder:
    folder = RunFolder(Path(run_dir))
    folder.expect("assessment")
    return folder


def _finished(folder: RunFolder) -> dict[tuple[int, int, str], dict[str, Any]]:
    """The lines of the journal, by trial, budget and predictor."""
    return {(line["trial"], line["budget"], line["predictor"]): line for line in folder.lines()}


def _all_tasks(config: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """Trial, budget and place of the predictor: whole trials first, so that what is there of a run compares."""
    places = range(len(config["predictors"]))
    return [
        (trial, budget, place) for trial in range(config["trials"]) for budget in config["budgets"] for place in places
    ]


def _run(config: dict[str, Any], folder: RunFolder | None, jobs: int, on_finished: Finished | None) -> Assessment:
    labels = [_label(entry) for entry in config["predictors"]]
    with nullcontext() if folder is None else folder.held():
        done = {} if folder is None else _finished(folder)
        path = None if folder is None else folder.path
        tasks = [
            (config, path, trial, budget, place)
            for trial, budget, place in _all_tasks(config)
            if (trial, budget, labels[place]) not in done
        ]
        total = len(done) + len(tasks)
        if on_finished is not None:
            on_finished(len(done), total)
        times = []
        again = "run them again" if folder is None else f"go on with: frugalnas resume {folder.path}"

        def named(task: tuple[Any, ...]) -> str:
            return f"{labels[task[4]]} with {task[3]} labels, trial {task[2]},"

        for record, timing in in_order(_one_fit, tasks, jobs, named, again):
            done[record["trial"], record["budget"], record["predictor"]] = record
            times.append(timing)
            if folder is not None:
                folder.append(record)
                folder.append(timing, "timing.jsonl")
            if on_finished is not None:
                on_finished(len(done), total)
        if folder is not None:
            folder.close()
    return _assemble(config, done, folder, times)


def _one_fit(
    config: dict[str, Any], folder: Path | None, trial: int, budget: int, place: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One predictor fitted to one sample: its line in the journal, and how long it took."""
    subject, entry = Subject.open(config, folder), config["predictors"][place]
    values = subject.values(trial)
    rows = subject.draw(values, budget, config["seed"], trial)
    stream = np.random.SeedSequence(config["seed"], spawn_key=(trial, budget))
    predictor = _build(entry, subject, int(stream.generate_state(1)[0] % 2**31))
    where = {"predictor": _label(entry), "budget": budget, "trial": trial}
    try:
        if len(rows) < budget:
            raise FrugalnasError(f"{subject.name} has {len(rows)} networks with label {subject.label}, not {budget}")
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


def _judge(
    predictor: Predictor, subject: Subject, rows: IntArray, values: Values, how: Labels
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
    answers = in_units(Prediction(mean[unseen], np.zeros(len(unseen))), targets, values, how).mean
    metrics = {
        **judged(mean[unseen], truth[unseen], answers),
        **calibrated(prediction, truth[sample], targets, values, how),
    }
    return metrics, {"fit_seconds": round(learnt - started, 4), "predict_seconds": round(answered - learnt, 4)}


def _assemble(
    config: Mapping[str, Any],
    done: Mapping[tuple[int, int, str], Mapping[str, Any]],
    folder: RunFolder | None,
    times: Sequence[Mapping[str, Any]] = (),
) -> Assessment:
    subject = Subject.open(config, None if folder is None else folder.path)
    labels = tuple(map(_label, config["predictors"]))
    measured = times if folder is None else list(folder.lines("timing.jsonl"))
    seconds = {(line["trial"], line["budget"], line["predictor"]): line for line in measured}
    rows = []
    for trial, budget, place in _all_tasks(config):
        key = trial, budget, labels[place]
        line, timing = done[key], seconds.get(key, {})
        timed = {name: timing[name] for name in ("fit_seconds", "predict_seconds") if name in timing}
        where = {"predictor": labels[place], "budget": budget, "trial": trial, "error": line["error"]}
        rows.append({**where, **line["metrics"], **timed})
    return Assessment(
        rows,
        labels,
        tuple(config["budgets"]),
        config["trials"],
        len(subject.predicted),
        subject.name,
        subject.quantity,
        config["truth"].get("repeated", 0),
        tuple(map(_targets, config["predictors"])),
        None if folder is None else folder.path,
        subject.split,
    )


def _described(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A predictor's entry that says what it is fitted to."""
    in_percent = (entry.get("options") or {}).get("output", "linear") != "linear"
    values = in_percent or str(entry.get("name")).endswith("-paper")
    return {**entry, "targets": entry.get("targets") or ("raw" if values else "rank")}


def _targets(entry: Mapping[str, Any]) -> Labels:
    """What a predictor is fitted to; the values as they come where nothing is said."""
    targets: Labels = entry.get("targets", "raw")
    return targets


def _label(entry: Mapping[str, Any]) -> str:
    return str(entry.get("label", entry["name"]))
