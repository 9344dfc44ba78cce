"""A space on its way to a smaller one: what went in which round, by which scores, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.documents import misfit, record
from frugalnas.errors import FrugalnasError
from frugalnas.scores import OperatorScores
from frugalnas.shrinking.shrinker import Shrinker, Worth
from frugalnas.spaces import Operators, SearchSpace


@dataclass(frozen=True)
class Drop:
    """An operator that was dropped.

    Attributes:
        place: where it stood.
        operator: what it did.
        number: of the operator, in the order of `Operators`.
        step: the step that dropped it, from 0.
        round: the round of that step, from 0.
        score: that it had then; NaN where no architecture within the limits had it.
        margin: how far the expectation may be from it; see `OperatorScores.margin`.
    """

    place: str
    operator: str
    number: int
    step: int
    round: int
    score: float
    margin: float


@dataclass(frozen=True)
class Step:
    """Operators that were dropped at once, and why.

    Attributes:
        scores: by which it went.
        dropped: the operators' numbers, the least worth first.
        kept: those that would have gone if anything had been left without them.
        size: how many architectures are left, as the rule counts them.
    """

    scores: OperatorScores
    dropped: tuple[int, ...]
    kept: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Shrinking:
    """A space, a rule that makes it smaller, and the steps so far. It does not change: a step makes another one.

    Attributes:
        start: the space, limits kept.
        rule: that drops its operators.
        steps: so far.

    Example:
        >>> from frugalnas.scores import Counted, operator_scores
        >>> from frugalnas.spaces import NASBench201
        >>> space = NASBench201()
        >>> shrinking = Shrinking(space, Shrinker(until=1))
        >>> while not shrinking.done:
        ...     shrinking = shrinking.step(operator_scores(Counted(space), shrinking.space))
        >>> shrinking.space.format(shrinking.space.enumerate()[0])
        '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|'
    """

    start: SearchSpace
    rule: Shrinker
    steps: tuple[Step, ...] = ()

    @cached_property
    def operators(self) -> Operators:
        """Of the space."""
        return self.start.operators(self.rule.by)

    @cached_property
    def space(self) -> SearchSpace:
        """What is left."""
        left = self.operators.left(self.start.allowed)
        left[[number for step in self.steps for number in step.dropped]] = False
        return self.start.restrict(self.operators.allowed(left))

    @cached_property
    def done(self) -> str:
        """Why it is over, in words; empty while it is not."""
        size, rule = self.steps[-1].size if self.steps else self.rule.size(self.start), self.rule
        left = np.bincount(self.operators.place[self.operators.left(self.space.allowed)])
        if size <= rule.until:
            return f"{size:,} architectures are left" if size > 1 else "a single architecture is left"
        if (left <= 1).all():
            joined = self.start.operators("gene").names != self.operators.names
            further = "; `by` gene goes on to a single one" if joined else ""
            return f"every place has one operator left, {size:,} architectures in all{further}"
        if self.steps and not self.steps[-1].dropped:
            return f"whatever is dropped next would leave no architecture; {size:,} are left"
        if rule.rounds is not None and self.round >= rule.rounds:
            return f"{rule.rounds} round{'s' * (rule.rounds > 1)} are over; {size:,} architectures are left"
        return ""

    @property
    def round(self) -> int:
        """The round that the next step is in, from 0; a round is what one training of a supernet is for."""
        return self.round_of(len(self.steps))

    def round_of(self, step: int) -> int:
        """The round that a step is in, both from 0."""
        return step // (self.rule.drop if self.rule.rescored else 1)

    def step(self, scores: OperatorScores) -> Shrinking:
        """One step on: what the rule drops by these scores, which are of what is left.

        Raises:
            FrugalnasError: where it is over, or the scores are not of this space.
        """
        if self.done:
            raise FrugalnasError(f"nothing is left to drop of {self.start.name}: {self.done}")
        wanted = self.space.allowed
        if scores.scores.shape != wanted.shape or np.isnan(scores.scores[wanted]).all():
            raise FrugalnasError(
                f"the scores {scores.name} are not of {self.space.name}, or of nothing that is left of it; take them of "
                "`Shrinking.space`"
            )
        masked = replace(scores, scores=np.where(wanted, scores.scores, np.nan))
        most = 1 if self.rule.rescored else None
        dropped, kept = self.rule.drops(self.space, self.operators, Worth.of(self.operators, masked), most)
        left = self.operators.left(wanted)
        left[dropped] = False
        smaller = self.space.restrict(self.operators.allowed(left))
        step = Step(masked, tuple(dropped), tuple(kept), self.rule.size(smaller))
        after = replace(self, steps=(*self.steps, step))
        after.__dict__["space"] = smaller  # it may have been listed to learn its size
        return after

    def next_round(self, take: Callable[[SearchSpace], OperatorScores]) -> Shrinking:
        """All steps of the next round, or those until it is over.

        Args:
            take: the scores of a space, which is asked once in a step.
        """
        here, number = self, self.round
        while not here.done and here.round == number:
            here = here.step(take(here.space))
        return here

    # -- what a person sees ----------------------------------------------------------------------------------------

    @property
    def drops(self) -> list[Drop]:
        """Everything that was dropped, in order."""
        found = []
        for place, step in enumerate(self.steps):
            worth = Worth.of(self.operators, step.scores)
            for number in step.dropped:
                found.append(
                    Drop(
                        self.operators.places[self.operators.place[number]],
                        self.operators.names[number],
                        number,
                        place,
                        self.round_of(place),
                        float(worth.scores[number]),
                        float(step.scores.margin(worth.errors)[number]),
                    )
                )
        return found

    def history(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Of each operator the last score that it had, its margin, and the round that dropped it, shapes [operators].

        NaN is the score of one that had none, -1 the round of one that is left, -2 that of one that was not there.
        """
        size = len(self.operators.names)
        scores, margins = np.full(size, np.nan), np.full(size, np.nan)
        rounds = np.where(self.operators.left(self.start.allowed), -1, -2)
        for place, step in enumerate(self.steps):
            worth = Worth.of(self.operators, step.scores)
            there = ~np.isnan(worth.scores)
            scores[there], margins[there] = worth.scores[there], step.scores.margin(worth.errors)[there]
            rounds[list(step.dropped)] = self.round_of(place)
        return scores, margins, rounds

    # -- written down ----------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The rule and the steps as plain data; the space is written by `write_operators`."""
        return {
            "rule": asdict(self.rule),
            "start": self.start.limits,
            "steps": [
                {
                    "dropped": list(step.dropped),
                    "kept": list(step.kept),
                    "size": str(step.size),
                    "scores": step.scores.to_json(),
                }
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], space: SearchSpace, where: str) -> Shrinking:
        """The same back again.

        Args:
            data: what `to_json` made.
            space: the whole space, or the one that it began with.
            where: it stands, for the error.
        """
        wrong = misfit(data, {"rule": dict, "start": dict, "steps": [_STEP]})
        if wrong:
            raise FrugalnasError(f"{where} is no record of a shrinking: {wrong}; shrink again")
        start = space if space.limits == data["start"] else space.limited(data["start"])
        made = cls(start, record(Shrinker, data["rule"], f"the rule of {where}"))
        size = len(made.operators.names)
        for step in data["steps"]:
            numbers = [*step["dropped"], *step["kept"]]
            if not all(0 <= number < size for number in numbers) or not step["size"].isdecimal():
                raise FrugalnasError(f"{where} drops operators that {space.name} does not have; shrink again")
            scores = OperatorScores.from_json(step["scores"], start.allowed.shape, where)
            made = replace(
                made,
                steps=(
                    *made.steps,
                    Step(scores, tuple(step["dropped"]), tuple(step["kept"]), int(step["size"])),
                ),
            )
        return made


_STEP: dict[str, Any] = {"dropped": [int], "kept": [int], "size": str, "scores": dict}
