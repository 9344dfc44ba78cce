"""What comes out where scores of supernets are held against a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from frugalnas.scores.correlation import Correlation
from frugalnas.spaces import Codes, FloatArray, SearchSpace


@dataclass(frozen=True)
class TableRanking:
    """How one score of one supernet ranks a table.

    Attributes:
        run: folder of the supernet.
        group: what tells its training apart from the others', for people; runs of a group differ in their seeds alone.
        seed: of the run.
        score: its name.
        epoch: after which the score was taken.
        base: the epoch whose weights an angle starts from, None for other scores.
        rule: which weights an angle counts, None for other scores.
        correlation: with the table.
        value: of the architecture with the largest score.
        place: of that one in the table; 1 is the best.
    """

    run: Path
    group: str
    seed: int
    score: str
    epoch: int
    base: int | None
    rule: str | None
    correlation: Correlation
    value: float
    place: int

    @property
    def line(self) -> tuple[str, str, int | None]:
        """What it has in common with the same score of other seeds and epochs."""
        return self.group, self.score, self.base


@dataclass(frozen=True)
class Study:
    """Scores held against a table.

    Attributes:
        table: its name.
        column: the accuracies: test, validation, whole_test.
        split: what they were measured on, as the table says.
        space: the table's, in whose networks parameters and multiply-adds are counted.
        codes: the architectures that were compared, shape [n, genes].
        truth: accuracy of each, %, shape [n].
        params: parameters of each in the table's networks, shape [n].
        rankings: of every run, epoch and base.
        baselines: how parameters and multiply-adds rank the same architectures.
        scores: the last ranking's own scores, by run, score and base, shape [n].
        whole: whether these are all architectures of the table (in the supernet's space).
        alone: whether each was trained by itself.
    """

    table: str
    column: str
    split: str
    space: SearchSpace
    codes: Codes
    truth: FloatArray
    params: FloatArray
    rankings: tuple[TableRanking, ...]
    baselines: Mapping[str, Correlation]
    scores: Mapping[tuple[Path, str, int | None], FloatArray]
    whole: bool
    alone: bool = False

    @cached_property
    def lines(self) -> dict[tuple[str, str, int | None], list[TableRanking]]:
        """The rankings of each group, score and base, in the order of runs and epochs."""
        found: dict[tuple[str, str, int | None], list[TableRanking]] = {}
        for ranking in self.rankings:
            found.setdefault(ranking.line, []).append(ranking)
        return found

    @property
    def epochs(self) -> list[int]:
        """All epochs after which something was ranked."""
        return sorted({ranking.epoch for ranking in self.rankings})

    def name(self, line: tuple[str, str, int | None]) -> str:
        """A line for people: what is not the same for all."""
        group, score, base = line
        words = [] if len({other[0] for other in self.lines}) == 1 else [group]
        return ", ".join([*words, score if base is None else f"{score} from epoch {base}"])

    def seeds(self, line: tuple[str, str, int | None], statistic: str = "tau") -> FloatArray:
        """A statistic of one line, shape [seeds, epochs], NaN where a run has no such epoch."""
        members = self.lines[line]
        runs = list(dict.fromkeys(ranking.run for ranking in members))
        values = np.full((len(runs), len(self.epochs)), np.nan)
        for ranking in members:
            values[runs.index(ranking.run), self.epochs.index(ranking.epoch)] = getattr(ranking.correlation, statistic)
        return values

    @property
    def main(self) -> TableRanking:
        """The one to look at first: of the first run, after its last epoch, from its own base."""
        first = [ranking for ranking in self.rankings if ranking.run == self.rankings[0].run]
        last = max(ranking.epoch for ranking in first)
        return [ranking for ranking in first if ranking.epoch == last][-1]
