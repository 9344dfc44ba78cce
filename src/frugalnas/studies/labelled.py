"""Architectures whose values are known, from a table or from a user's file, to learn a few of and to predict the others."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from frugalnas.cache import cache_folder
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.registry import SPACES, plain
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.ledger import read_queries
from frugalnas.spaces import IntArray, Population, SearchSpace
from frugalnas.tables import open_table
from frugalnas.tables.labels import Labels, distinct_labels, read_labels

Values = NDArray[np.float64]
Split = Literal["networks", "codes"]

BUDGETS = (20, 50, 100, 150, 200)
"""The labels that SSNENAS gives its predictors."""
_SPLITS = {"validation": "validation", "test": "test", "whole_test": "whole test"}
"""Columns of a table, of which the first that it has is predicted."""
LARGEST = 0.8
"""Of few labels the largest budget that nobody asked for."""
FEWEST_HELD_OUT = 10
"""Networks that must be left to predict."""
KEPT = "labels.csv"
"""The user's labels, kept with the run."""


@dataclass(frozen=True)
class Labelled:
    """Architectures with values: what predictors learn a few of, and are held against.

    Attributes:
        table: name of the table that knows the values.
        labels: in place of a table, a CSV or Parquet file of labelled architectures (see `read_labels`), or the folder of a
            search.
        space: of the file's architectures.
        column: which accuracies of the table, or column of the file; None: validation where there is one, else test.
        architecture: column of architectures in the file; None looks for architecture, arch_str and arch.
        label: what predictors learn from: the mean over a table's training seeds; "random", one run of each architecture;
            or a seed's place "0", "1", ... Predictions are held against the mean.
        split: networks, or codes: architectures are then drawn as they are written and all others predicted, as papers have
            it: some of them are networks that were learnt from under another spelling, which flatters Kendall's tau on
            NAS-Bench-201 by 0.03 to 0.06.
        held_out: architectures to predict, drawn once; None: all.
    """

    table: str | None = None
    labels: Path | str | None = None
    space: str | Mapping[str, Any] | None = None
    column: str | None = None
    architecture: str | None = None
    label: str = "mean"
    split: Split = "networks"
    held_out: int | None = None

    def __post_init__(self) -> None:
        if (self.table is None) == (self.labels is None):
            raise FrugalnasError("an assessment is of a table or of labels; give one of the two")
        if self.split not in get_args(Split):
            raise unknown_name("split", self.split, get_args(Split))
        if self.architecture is not None and self.labels is None:
            raise FrugalnasError(
                f"`architecture` {self.architecture} is a column of `labels`; a table has no columns to choose"
            )
        if self.held_out is not None and self.held_out < FEWEST_HELD_OUT:
            raise FrugalnasError(f"`held_out` {self.held_out}: predict {FEWEST_HELD_OUT} architectures at least")

    def described(self) -> dict[str, Any]:
        """What a run's configuration says of it."""
        space, truth = self.space, {"table": self.table, "label": str(self.label)}
        if self.labels is not None:
            source = Path(self.labels).resolve()
            truth = {"labels": str(source)}
            if space is None and source.is_dir():
                space = RunFolder(source).config["space"]
        if space is None and self.table is not None:
            space = open_table(self.table).description
        if space is None:
            raise FrugalnasError("labels need the `space` of their architectures, such as darts (frugalnas list)")
        return {
            "space": {"name": space} if isinstance(space, str) else plain(space),
            "truth": {**truth, "column": self.column, "architecture": self.architecture},
            "split": self.split,
            "held_out": self.held_out,
        }


@dataclass(frozen=True)
class Subject:
    """Architectures whose values are known.

    Attributes:
        name: table or file.
        quantity: what the values are.
        population: every architecture, or those to draw from and to predict.
        truth: what predictions are held against, shape [n].
        predicted: rows that are predicted, ascending.
        others: the architectures in those rows.
        table: name of the table, None of a file.
        label: what predictors learn from.
        role: column of the table.
        repeated: rows of the file that named a network again.
        split: networks, no network that is learnt from is predicted under another spelling; or codes, as papers draw
            NAS-Bench-201's 15,625 codes, of 6,466 networks: predictors then meet again what they have seen, which flatters
            Kendall's tau by 0.03 to 0.06.
    """

    name: str
    quantity: str
    population: Population
    truth: Values
    predicted: IntArray
    others: Population
    table: str | None
    label: str
    role: str
    repeated: int = 0
    split: Split = "networks"

    def unseen(self, rows: IntArray) -> IntArray:
        """Places among the predicted of what a predictor that learnt from `rows` has not seen, ascending."""
        if self.split == "codes":
            return np.flatnonzero(~np.isin(self.predicted, rows))
        networks = self.population.network_ids
        return np.flatnonzero(~np.isin(networks[self.predicted], networks[rows]))

    @classmethod
    def open(cls, config: Mapping[str, Any], folder: Path | None) -> Subject:
        """The subject of a configuration; remembered, so that encodings are made once."""
        wanted = {key: config[key] for key in ("space", "truth", "held_out", "seed")}
        wanted["split"] = config.get("split", "networks")
        kept = folder if "labels" in config["truth"] else None
        return _opened(json.dumps(wanted, sort_keys=True), kept, cache_folder(), _written(config["truth"]))

    def budgets(self, wanted: list[int] | None) -> list[int]:
        """Numbers of labels, ascending; the usual ones that leave a fifth of a file to predict.

        Raises:
            FrugalnasError: where there are too few networks.
        """
        networks = len(np.unique(self.population.network_ids))
        most = networks - FEWEST_HELD_OUT
        if wanted is None:
            largest = min(most, int(LARGEST * networks))
            wanted = [budget for budget in BUDGETS if budget <= largest]
            if max(wanted, default=1) < largest < BUDGETS[-1]:
                wanted.append(largest)
        if not wanted or wanted[-1] > most or wanted[0] < 2:
            named = f"`budgets` {','.join(map(str, wanted))}: " if wanted else ""
            raise FrugalnasError(
                f"{named}{self.name} has labels of {networks:,} networks, and {FEWEST_HELD_OUT} at least are kept to be "
                f"predicted; a budget is 2 to {most:,}"
                if most >= 2
                else f"{self.name} has labels of {networks} networks; label {FEWEST_HELD_OUT + 2} at least"
            )
        return wanted

    def values(self, trial: int) -> Values:
        """What predictors learn from in one trial, shape [n], NaN where it is unknown."""
        if self.table is None or self.label == "mean":
            return self.truth
        table = open_table(self.table)
        drawn = table.labels(self.role, self.label, trial)
        return drawn[table.rows(self.population.codes)]

    def draw(self, values: Values, budget: int, seed: int, trial: int) -> IntArray:
        """Rows to learn from; a larger budget only adds to a smaller one.

        They are of `budget` distinct networks, or where the split is by codes simply of so many architectures.
        """
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(trial,)))
        order = rng.permutation(len(values))
        order = order[np.isfinite(values[order])]
        if self.split == "networks":
            _, first = np.unique(self.population.network_ids[order], return_index=True)
            order = order[np.sort(first)]
        return order[:budget]

    def write(self, draft: Path) -> None:
        """Keep the labels with the run."""
        space = self.population.space
        with (draft / KEPT).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["architecture", "value"])
            for code, value in zip(self.population.codes, self.truth, strict=True):
                writer.writerow([space.format(code), repr(float(value))])


def _labels(source: Path, space: SearchSpace, column: str | None, architecture: str | None) -> Labels:
    """What a file, or the run of a search, says of architectures."""
    if not source.is_dir():
        return read_labels(source, space, column=column, architecture=architecture)
    folder = RunFolder(source)
    folder.expect("search")
    if column is not None or architecture is not None:
        raise FrugalnasError(
            f"{source} is a run, which has no columns to choose; leave `column` and `architecture` out"
        )
    if folder.config["space"]["name"] != SPACES.describe(space)["name"]:
        raise FrugalnasError(
            f"{source} is a search of {folder.config['space']['name']}, not of {space.name}; leave `space` out"
        )
    queries = read_queries(folder, space)
    done = np.isfinite(queries.values)
    if queries.levels is not None:
        done &= queries.levels == queries.levels[done].max(
            initial=-np.inf
        )  # labels of several fidelities are not alike
    if not done.any():
        raise FrugalnasError(f"{source} has no evaluations that succeeded; continue it with: frugalnas resume {source}")
    return distinct_labels(space, queries.codes[done], queries.values[done], "value")


def _written(truth: Mapping[str, Any]) -> float:
    """When a file of labels was written, so that one that has changed is read again; 0 where there is none."""
    source = Path(truth.get("labels") or "")
    source = source / "journal.jsonl" if source.is_dir() else source
    return source.stat().st_mtime if source.is_file() else 0.0


@lru_cache(maxsize=2)
def _opened(wanted: str, folder: Path | None, cache: Path, written: float) -> Subject:
    config, repeated = json.loads(wanted), 0
    space, source = build_space(config["space"]), config["truth"]
    if "labels" in source:
        own = Path(source["labels"])
        found = (
            _labels(own, space, source["column"], source.get("architecture"))
            if folder is None
            else read_labels(RunFolder(folder).kept(KEPT), space)
        )
        codes, truth, repeated = found.codes, found.values, source.get("repeated", found.repeated)
        name, role, table, label = Path(source["labels"]).name, source["column"] or found.column, None, "mean"
        quantity = role
    else:
        opened = open_table(source["table"])
        if opened.space.name != space.name:
            raise FrugalnasError(f"{opened.name} describes {opened.space.name}, not {space.name}; leave `space` out")
        known = [column for column in _SPLITS if column in opened.columns]
        role = source["column"] or next(iter(known), "")
        if role not in known:
            raise unknown_name(f"column of accuracies of {opened.name}", role, known)
        truth = opened.labels(role)
        opened.labels(role, source.get("label", "mean"))  # refused now where there is none of this name
        rows = np.flatnonzero(np.isfinite(truth) & space.valid(opened.codes))
        codes, truth = np.asarray(opened.codes[rows]), truth[rows]
        name, table, label = opened.name, opened.name, source.get("label", "mean")
        quantity = f"{_SPLITS[role]} accuracy"
    if len(truth) and np.ptp(truth) == 0:
        raise FrugalnasError(f"all {len(truth)} labels of {name} are {truth[0]:g}; there is nothing to rank")
    population = Population(space, codes)
    predicted = np.arange(len(truth))
    others = population
    if config["held_out"] is not None and config["held_out"] < len(truth):
        rng = np.random.default_rng(np.random.SeedSequence(config["seed"], spawn_key=(2**31,)))
        predicted = np.sort(rng.choice(len(truth), config["held_out"], replace=False))
        others = population.take(predicted)
    return Subject(name, quantity, population, truth, predicted, others, table, label, role, repeated, config["split"])
