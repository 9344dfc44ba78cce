"""Hold the scores of trained supernets against a table: after every epoch, from every base, over seeds and data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.runs.folder import RunFolder
from frugalnas.scores import Angle, Score, rule_for
from frugalnas.scores.angle import Weighting
from frugalnas.scores.combined import combine
from frugalnas.scores.correlation import correlation
from frugalnas.searches.scoring import fast
from frugalnas.searches.supernet_scores import Looking, angle_base, open_score, supernet_folder
from frugalnas.spaces import BoolArray, Codes, FloatArray
from frugalnas.studies.rankings import Study, TableRanking
from frugalnas.tables import Table, open_table, table_names

if TYPE_CHECKING:
    from frugalnas.trainings.supernet import SupernetResult

AGAINST = ("test", "validation", "whole_test")
"""Columns of accuracies, the one first that papers correlate with. Nothing that searches ever sees the first."""
SAMPLE = 200
"""Architectures of the table that a score is held against which takes long for each."""
BASELINES = ("params", "macs")


@dataclass(frozen=True)
class _Source:
    """One score of one run after one epoch; of a sum its parts, which are ranked among what is compared."""

    run: SupernetResult
    group: str
    name: str
    epoch: int
    base: int | None
    rule: str | None
    parts: tuple[Score, ...]

    def __call__(self, codes: Codes) -> FloatArray:
        """Shape [n]."""
        score = self.parts[0] if len(self.parts) == 1 else combine(self.parts, codes)
        return np.asarray(score(codes), np.float64)

    def knows(self, codes: Codes) -> BoolArray:
        """Whether it scores each of these, shape [n]."""
        return self.run.space.valid(codes)


@dataclass(frozen=True)
class _Alone(_Source):
    """The same score of networks that were trained by themselves; each run is asked for its own."""

    members: tuple[_Source, ...]

    @classmethod
    def of(cls, members: Sequence[_Source]) -> _Alone:
        first = members[0]
        group = f"{first.run.recipe.labels} labels, each by itself"
        return cls(first.run, group, first.name, first.epoch, first.base, first.rule, (), tuple(members))

    def __call__(self, codes: Codes) -> FloatArray:
        """Shape [n]."""
        values = np.full(len(codes), np.nan)
        for member in self.members:
            own = member.knows(codes)
            values[own] = member(codes[own])
        return values

    def knows(self, codes: Codes) -> BoolArray:
        """Shape [n]."""
        return np.any([member.knows(codes) for member in self.members], axis=0)


def correlate(
    run_dirs: Sequence[Path | str],
    table: str,
    *,
    score: str = "angle",
    against: str | None = None,
    rule: str | None = None,
    bases: Sequence[int] | None = None,
    epochs: Sequence[int] | None = None,
    sample: int | None = None,
    looking: Looking = Looking(),
) -> Study:
    """How the scores of supernets rank a table.

    The angle is ranked after every epoch and from every base that the runs keep; other scores with the last weights, or
    those of the epochs that are named. Of a sum such as "angle+accuracy", the mean rank among the architectures that are
    compared, each part is ranked too. Supernets of a single architecture each are networks trained by themselves: each is
    asked for its own, and those of one seed are ranked together.

    Args:
        run_dirs: supernets of one space; those that differ in their seeds alone are one line.
        table: name of a table of that space.
        score: see `open_score`.
        against: which column: "test" (as the papers do), "validation", "whole_test"; None: the first that there is. Test
            accuracies serve this comparison alone.
        rule: which weights an angle counts.
        bases: epochs whose weights an angle starts from; None: all that a run keeps, in a sum what its recipe says.
        epochs: after which to look; None: after each, of scores other than the angle after the last.
        sample: architectures of the table; None: all, or 200 where a score takes long for each.
        looking: how networks are looked at.

    Raises:
        FrugalnasError: for a table of another space, and runs that have nothing to rank.
    """

    def places(run: SupernetResult) -> Iterable[tuple[int, int | None]]:
        last = len(run.epochs)
        if score != "angle":
            return product([last] if epochs is None else epochs, [None] if bases is None else bases)
        kept = run.bases if bases is None else bases
        ordered = sorted(kept, key=lambda base: (base == run.default_base, base))  # the run's own base last
        return product(range(1, last + 1) if epochs is None else epochs, ordered)

    sources = _sources(run_dirs, score, rule, places, looking)
    return _study(sources, open_table(table), against, _size(score, sample), looking.seed)


def transfer(
    run_dirs: Sequence[Path | str],
    tables: Sequence[str],
    *,
    score: str = "angle",
    against: str | None = None,
    rule: str | None = None,
    base: int | None = None,
    epoch: int | None = None,
    sample: int | None = None,
    looking: Looking = Looking(),
) -> dict[str, Study]:
    """How one score ranks several data sets, whatever it was trained on: a study of each table, by name.

    Args:
        run_dirs: supernets of one space.
        tables: names of tables of that space; see `tables_named`.
        score: see `open_score`.
        against: as in `correlate`.
        rule: which weights an angle counts.
        base: the epoch whose weights an angle starts from; None: what a run's recipe says.
        epoch: after which to look; None: the last one.
        sample: as in `correlate`.
        looking: how networks are looked at.
    """
    sources = _sources(
        run_dirs, score, rule, lambda run: [(len(run.epochs) if epoch is None else epoch, base)], looking
    )
    size = _size(score, sample)
    return {name: _study(sources, open_table(name), against, size, looking.seed) for name in tables}


def _size(score: str, sample: int | None) -> int | None:
    """How many architectures are compared, None for all."""
    return sample if sample or fast(score) else SAMPLE


def tables_named(text: str) -> list[str]:
    """The tables that a text means: names joined by commas, or what stands in front of the slash of several.

    Example:
        >>> tables_named("nasbench201")[:2]
        ['nasbench201/cifar10', 'nasbench201/cifar100']
    """
    known = table_names()
    found: list[str] = []
    for part in text.split(","):
        name = part.strip()
        inside = [name] if name in known else [other for other in known if other.startswith(f"{name}/")]
        if not inside:
            raise unknown_name("table", name, [*known, *dict.fromkeys(other.partition("/")[0] for other in known)])
        found += inside
    return list(dict.fromkeys(found))


# -- what is ranked ------------------------------------------------------------------------------------------------------


def _sources(
    run_dirs: Sequence[Path | str],
    score: str,
    rule: str | None,
    places: Callable[[SupernetResult], Iterable[tuple[int, int | None]]],
    looking: Looking,
) -> list[_Source]:
    """Every score of every run after the epochs and from the bases of its `places`; base None is the recipe's."""
    from frugalnas.trainings.supernet import load_supernet

    runs = [load_supernet(supernet_folder(run_dir)) for run_dir in run_dirs]
    for run in runs:
        if run.space.name != runs[0].space.name:
            raise FrugalnasError(
                f"{run.run_dir} is a supernet of {run.space.name}, {runs[0].run_dir} one of {runs[0].space.name}; compare "
                "supernets of one space"
            )
        if not run.epochs:
            raise FrugalnasError(
                f"{run.run_dir} has done no epoch yet; continue it with: frugalnas resume {run.run_dir}"
            )
    sources = []
    for run, group in zip(runs, groups_of(runs), strict=True):
        angle = _angle(run, rule) if score == "angle" else None
        for epoch, base in places(run):
            if "angle" in _names(score) and base is None:
                base = angle_base(run, epoch)
            if base is not None and base >= epoch and "angle" in _names(score):
                continue
            if angle is not None and base is not None:
                sources.append(_Source(run, group, "angle", epoch, base, *angle(epoch, base)))
            else:
                sources += _parts(run, group, score, rule, base, epoch, looking)
    if not sources:
        raise FrugalnasError(
            f"no epoch of {', '.join(str(run.run_dir) for run in runs)} fits `base` and `epoch`; an angle starts from an "
            "earlier epoch than it ends at"
        )
    # Parts of a sum that know no base would be there once for each; and a run that is named twice is no second seed.
    found = list({(source.run.run_dir, source.name, source.epoch, source.base): source for source in sources}.values())
    if not all((run.space.allowed.sum(axis=1) == 1).all() for run in runs):
        return found
    alone: dict[tuple[Any, ...], list[_Source]] = {}
    for source in found:
        alone.setdefault((source.run.seed, source.name, source.epoch, source.base), []).append(source)
    return [_Alone.of(members) for members in alone.values()]


def _angle(run: SupernetResult, rule: str | None) -> Callable[[int, int], tuple[str, tuple[Score, ...]]]:
    """What makes the angle after an epoch from a base, with the name of its rule: weights are counted once for all."""
    from frugalnas.networks import weightless
    from frugalnas.supernets import supernet_of

    counted = rule_for(run.space, rule)
    with weightless():
        weighting = Weighting(supernet_of(run.space), counted)
    return lambda epoch, base: (counted.name, (Angle(run.space, weighting.table(run.triples(epoch, base))),))


def _parts(
    run: SupernetResult, group: str, score: str, rule: str | None, base: int | None, epoch: int, looking: Looking
) -> Iterator[_Source]:
    """Each part of a sum after one epoch, and the sum itself."""
    parts = tuple(
        open_score(run.run_dir, name, rule=rule, base=base, epoch=epoch, looking=looking) for name in _names(score)
    )
    for members in (*((part,) for part in parts), *([parts] if len(parts) > 1 else [])):
        names = [part.name for part in members]
        turned = "angle" in names
        counted = (rule or "default") if turned else None
        yield _Source(run, group, "+".join(names), epoch, base if turned else None, counted, members)


def _names(score: str) -> list[str]:
    return [name.strip() for name in score.split("+")]


def groups_of(runs: Sequence[SupernetResult]) -> list[str]:
    """What each run was trained on and how, in as few words as tell those apart that differ in more than the seed."""
    keys, words = [], []
    for run in runs:
        data = RunFolder(run.run_dir).config["data"]
        keys.append(json.dumps([repr(run.space), data["spec"], data["fingerprint"], run.recipe.to_json()], default=str))
        words.append((f"{run.recipe.labels} labels", run.recipe.name, Path(str(data["spec"])).name, run.run_dir.name))
    for many in range(1, len(words[0]) + 1):
        names = [", ".join(word[:many]) for word in words]
        if len(set(names)) == len(set(zip(names, keys, strict=True))):
            return names
    return [str(run.run_dir) for run in runs]


# -- against what --------------------------------------------------------------------------------------------------------


def _study(sources: Sequence[_Source], table: Table, against: str | None, sample: int | None, seed: int) -> Study:
    own = sources[0].run.space
    if own.name != table.space.name:
        fitting = [name for name in table_names() if name.partition("/")[0] == own.name]
        offered = f"choose one of: {', '.join(fitting)}" if fitting else f"there is none of {own.name}"
        raise FrugalnasError(
            f"{table.name} is a table of {table.space.name}, but {sources[0].run.run_dir} is a supernet of {own.name}; "
            f"{offered} (frugalnas table list)"
        )
    column = column_of(table, against)
    truth = table.labels(column)
    rows = np.flatnonzero(np.isfinite(truth))
    for source in sources:
        rows = rows[source.knows(table.codes[rows])]
    whole = sample is None or sample >= len(rows)
    if sample is not None and sample < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    if len(rows) < 2:
        raise FrugalnasError(
            f"{table.name} knows the {column} accuracy of {len(rows)} architectures of this supernet's space; take another "
            "table or more of a sample"
        )
    codes, truth = np.asarray(table.codes[rows]), truth[rows]
    params = table.space.count("params", codes) if "params" in table.space.quantities else np.zeros(len(rows))
    rankings, scores = [], {}
    for source in sources:
        values = source(codes)
        found = correlation(values, truth, params)
        scores[source.run.run_dir, source.name, source.base] = values
        best = float(truth[found.winner])
        place = 1 + int((truth > best).sum())
        run = source.run
        what = (run.run_dir, source.group, run.seed, source.name, source.epoch, source.base, source.rule)
        rankings.append(TableRanking(*what, found, best, place))
    baselines = {
        name: correlation(table.space.count(name, codes), truth, params)
        for name in BASELINES
        if name in table.space.quantities
    }
    split = str(table.manifest["columns"][column].get("split", ""))
    what_for = (table.name, column, split, table.space, codes, truth, params)
    return Study(*what_for, tuple(rankings), baselines, scores, whole, isinstance(sources[0], _Alone))


def column_of(table: Table, against: str | None) -> str:
    """Which accuracies of a table something is held against; None: the first of `AGAINST` that it has.

    Raises:
        FrugalnasError: where it has not those.
    """
    known = [column for column in AGAINST if column in table.columns]
    if not known:
        raise FrugalnasError(f"{table.name} has no accuracies to hold a score against; take another table")
    if against is None:
        return known[0]
    if against not in known:
        raise unknown_name(f"column of {table.name}", against, known)
    return against
