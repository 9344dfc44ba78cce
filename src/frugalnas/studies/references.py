"""Results that the programs of NPENAS and SSNENAS (and BANANAS) pickled, as what our own comparisons are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.pickles import read_pickles
from frugalnas.spaces import FloatArray
from frugalnas.studies.assessment import Assessment
from frugalnas.studies.comparison import Comparison

NAMES = {
    "random": "random",
    "evolution": "evolution",
    "bananas": "bananas",
    "bananas_f": "bananas-adjacency",
    "bananas_context": "bananas-position",
    "gin_predictor": "npenas-paper",
    "gin_uncertainty_predictor": "npenas-bo",
    "gin_predictor_fixed_nums": "npenas-fixed",
    "gin_predictor_ss_rl": "npenas-ssrl",
    "gin_predictor_ss_rl_num_fixed": "npenas-ssrl-fixed",
    "gin_predictor_ss_ccl": "npenas-ssccl",
    "gin_predictor_ss_ccl_num_fixed": "npenas-ssccl-fixed",
    "oracle": "npenas-oracle",
    "SS_RL": "ss-rl",
    "SS_CCL": "ss-ccl",
    "SemiNAS": "seminas",
    "NP_NAS": "neural-predictor",
    "MLP": "mlp",
}
"""What the programs call algorithms and predictors, and what their counterparts are called here; others keep their names."""
METRICS = ("spearman", "tau", "fit_seconds")
"""What the dicts of a file of fine-tuning hold, in order."""


@dataclass(frozen=True)
class ReadComparison(Comparison):
    """Searches that another program ran, of which only every tenth query was written down.

    `values` has, at those queries, the test accuracy in % of the architecture with the best validation accuracy so far, NaN at
    the others. Unlike a best value it can fall when more is queried.
    """

    said: ClassVar[str] = (
        "the test accuracy, 100 % less the error, of the architecture with the best validation value so far"
    )
    unit: ClassVar[str] = "by validation: test accuracy, %"
    note: ClassVar[str] = (
        "Read from result files of another program, whose searches saw validation values alone. Each file is a trial, in the "
        "order of their names; its algorithms did not start from the same sample."
    )

    @property
    def budgets(self) -> list[int]:
        """The queries at which something was written down."""
        matrix = next(iter(self.values.values()))
        return (np.flatnonzero(np.isfinite(matrix).any(axis=0)) + 1).tolist()

    @property
    def best_so_far(self) -> dict[str, FloatArray]:
        """The last value written down up to each query, NaN before the first, [trials, queries] for each algorithm."""
        curves = {}
        for name, values in self.values.items():
            place = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(values.shape[1]), 0), axis=1)
            curves[name] = np.take_along_axis(values, place, axis=1)
        return curves

    def default_budgets(self) -> list[int]:
        """Of the queries written down, those nearest to an eighth, a quarter, a half and all."""
        known = self.budgets
        return sorted({min(known, key=lambda budget: abs(budget - part)) for part in super().default_budgets()})


def read_references(paths: Sequence[Path | str]) -> ReadComparison | Assessment:
    """What result files say: searches as a comparison, fine-tuned predictors as an assessment.

    Nothing in the files is executed; they are read as plain data (see `frugalnas.pickles`).

    A search's file is a pickle of [parameters of the algorithms, parameters of the networks, results, seconds], where the
    results are, for each algorithm, rows of (queries, test error in % of the best by validation). A file of fine-tuning is
    two or three pickles, one after the other: dicts of Spearman's and of Kendall's correlations, and of seconds, by
    "predictor#labels#epochs". Each file is one trial.

    Args:
        paths: files, or folders of `.pkl` files.

    Raises:
        FrugalnasError: naming the file that is something else, or does not go with the first one.
    """
    files = _files(paths)
    contents = [_content(file) for file in files]
    kinds = [_kind(file, content) for file, content in zip(files, contents, strict=True)]
    other = next((place for place, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None:
        raise FrugalnasError(
            f"{files[0]} is about {kinds[0]}, {files[other]} about {kinds[other]}; read them one kind at a time"
        )
    return (_comparison if kinds[0] == "searches" else _assessment)(files, contents)


def _files(paths: Iterable[Path | str]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        inside = sorted(path.glob("*.pkl")) if path.is_dir() else [path]
        if not inside:
            raise FrugalnasError(f"{path} has no .pkl files in it; name the files")
        found += inside
    if not found:
        raise FrugalnasError("name at least one result file, or a folder of them")
    return found


def _content(path: Path) -> list[Any]:
    """The objects pickled into a file."""
    try:
        with path.open("rb") as stream:
            return read_pickles(stream, name=str(path))
    except OSError as error:
        raise FrugalnasError(f"{path}: cannot be read ({error.strerror or error})") from None


def _kind(path: Path, content: list[Any]) -> str:
    first = content[0]
    if len(content) == 1 and isinstance(first, list) and len(first) in (4, 5):
        return "searches"
    if len(content) in (2, 3) and all(isinstance(part, dict) for part in content):
        return "fine-tuning"
    raise FrugalnasError(
        f"{path} holds neither [parameters, parameters, results, seconds] of searches nor the two or three dicts of "
        "fine-tuning; this is no result file of NPENAS or SSNENAS"
    )


# -- searches ----------------------------------------------------------------------------------------------------------


def _comparison(files: list[Path], contents: list[list[Any]]) -> ReadComparison:
    labels: list[str] = []
    budgets, subject = np.zeros(0, np.int64), ""
    trials: list[NDArray[np.float64]] = []
    for file, (content,) in zip(files, contents, strict=True):
        own = _labels(file, content[0])
        space = str(content[1].get("search_space", "")) if isinstance(content[1], dict) else ""
        queries, accuracies = _curves(file, own, content[2])
        if not trials:
            labels, budgets, subject = own, queries, space
        if own != labels or not np.array_equal(queries, budgets) or space != subject:
            raise FrugalnasError(
                f"{file} has other algorithms, queries or another space than {files[0]}; read them separately"
            )
        trials.append(accuracies)
    values = {label: np.full((len(files), int(budgets[-1])), np.nan) for label in labels}
    for row, accuracies in enumerate(trials):
        for place, label in enumerate(labels):
            values[label][row, budgets - 1] = accuracies[place]
    rows = [
        {"strategy": label, "seed": row, "query": int(query), "test": float(values[label][row, query - 1])}
        for label in labels
        for row in range(len(files))
        for query in budgets
    ]
    return ReadComparison(
        values,
        tuple(range(len(files))),
        np.full(len(files), np.nan),
        rows,
        subject or "result files",
        objective="test-of-best",
    )


def _labels(path: Path, parameters: Any) -> list[str]:
    """A name for each algorithm; those of one name are told apart by what differs in their parameters."""
    named = isinstance(parameters, list) and parameters and all(isinstance(entry, dict) for entry in parameters)
    if not named or not all(isinstance(entry.get("algo_name"), str) for entry in parameters):
        raise FrugalnasError(f"{path}: its first part is no list of the algorithms' parameters, each with 'algo_name'")
    names = [NAMES.get(entry["algo_name"], entry["algo_name"]) for entry in parameters]
    labels = []
    for name, entry in zip(names, parameters, strict=True):
        alike = [other for other, known in zip(parameters, names, strict=True) if known == name]
        differing = [key for key in entry if any(other.get(key) != entry[key] for other in alike)]
        labels.append(" ".join([name, *(f"{key}={entry[key]}" for key in differing)]))
    if len(set(labels)) < len(labels):
        raise FrugalnasError(f"{path}: two of its algorithms have the same parameters, so nothing tells them apart")
    return labels


def _curves(path: Path, labels: list[str], results: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The queries at which results were written down, [k], and test accuracies in %, [algorithms, k]."""
    if not isinstance(results, (list, tuple)) or len(results) != len(labels):
        raise FrugalnasError(f"{path}: its third part has no results for each of the {len(labels)} algorithms")
    curves = []
    for label, result in zip(labels, results, strict=True):
        try:
            curve = np.array(result, np.float64)
        except (TypeError, ValueError):
            curve = np.zeros(0)
        if curve.ndim != 2 or curve.shape[1] != 2 or not len(curve):
            raise FrugalnasError(f"{path}: the results of {label} are no rows of (queries, test error)")
        curves.append(curve)
    queries = curves[0][:, 0]
    for label, curve in zip(labels, curves, strict=True):
        if not np.array_equal(curve[:, 0], queries):
            raise FrugalnasError(f"{path}: {label} has results at other queries than {labels[0]}")
        if not ((curve[:, 1] >= 0) & (curve[:, 1] <= 100)).all():
            raise FrugalnasError(f"{path}: {label} has a test error that does not lie between 0 and 100 %")
    whole = np.isfinite(queries).all() and (queries == np.rint(queries)).all()
    if not whole or queries[0] < 1 or queries[-1] > 10**7 or (np.diff(queries) <= 0).any():
        raise FrugalnasError(f"{path}: its results are not at rising numbers of queries")
    return queries.astype(np.int64), 100.0 - np.stack([curve[:, 1] for curve in curves])


# -- fine-tuning -------------------------------------------------------------------------------------------------------


def _assessment(files: list[Path], contents: list[list[Any]]) -> Assessment:
    by_trial = [_fits(file, content) for file, content in zip(files, contents, strict=True)]
    for file, fits in zip(files, by_trial, strict=True):
        if fits.keys() != by_trial[0].keys():
            raise FrugalnasError(f"{file} has other predictors, labels or epochs than {files[0]}; read them separately")
    epochs = {epoch for _, _, epoch in by_trial[0]}
    rows: list[dict[str, Any]] = []
    for trial, fits in enumerate(by_trial):
        for (name, budget, epoch), measured in fits.items():
            label = name if len(epochs) == 1 else f"{name}, {epoch} epochs"
            rows.append({"predictor": label, "budget": budget, "trial": trial, "error": None, **measured})
    budgets = sorted({budget for _, budget, _ in by_trial[0]})
    return Assessment(
        rows,
        tuple(dict.fromkeys(str(row["predictor"]) for row in rows)),
        tuple(budgets),
        len(files),
        0,
        "result files",
        "validation accuracy",
    )


def _fits(path: Path, content: list[dict[Any, Any]]) -> dict[tuple[str, int, int], dict[str, float]]:
    """What was measured of each predictor, number of labels and of epochs."""
    fits: dict[tuple[str, int, int], dict[str, float]] = {}
    for metric, part in zip(METRICS, content, strict=False):
        for key, values in part.items():
            place = _place(path, key)
            fits.setdefault(place, {})[metric] = _number(path, key, values, metric)
    if not fits or any(not {"spearman", "tau"} <= measured.keys() for measured in fits.values()):
        raise FrugalnasError(f"{path}: its dicts do not have the same keys, or none")
    return fits


def _place(path: Path, key: Any) -> tuple[str, int, int]:
    parts = key.rsplit("#", 2) if isinstance(key, str) else []
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts[1:]):
        raise FrugalnasError(f"{path}: the key {key!r:.60} is not of the form predictor#labels#epochs")
    return NAMES.get(parts[0], parts[0]), int(parts[1]), int(parts[2])


def _number(path: Path, key: str, values: Any, metric: str) -> float:
    """The one number of a trial."""
    value = values[0] if isinstance(values, (list, tuple)) and len(values) == 1 else None
    plain = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    number = math.nan if value is None or not plain else float(value)
    if not math.isfinite(number):
        raise FrugalnasError(f"{path}: {key!r} has no list of one number; each file is of one trial")
    if metric != "fit_seconds" and abs(number) > 1:
        raise FrugalnasError(f"{path}: {key!r} has a correlation of {number:g}, which lies between -1 and 1")
    return number
