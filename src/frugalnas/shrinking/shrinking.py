"""A space on its way to a smaller one: what went in which round, by which scores, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalnas.amounts import plural
from frugalnas.documents import misfit, record
from frugalnas.errors import FrugalnasError
from frugalnas.scores import OperatorScores
from frugalnas.shrinking.shrinker import Shrinker, Worth
from frugalnas.spaces import BoolArray, Operators, SearchSpace
from frugalnas.spaces.operators import By


@dataclass(frozen=True)
class Drop:
    """An operator that was dropped.

    Attributes:
        place: where it stood.
        operator: what it did.
        number: of the operator, in the order of the `Operators` of its step.
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

    @property
    def interval(self) -> list[float]:
        """Where the expectation may be, [lowest, highest]; NaN where that is not known."""
        return [self.score - self.margin, self.score + self.margin]


@dataclass(frozen=True)
class Step:
    """Operators that were dropped at once, and why.

    Attributes:
        scores: by which it went.
        dropped: the operators' numbers, the least worth first.
        kept: those that would have gone if anything had been left without them.
        size: how many architectures are left, as the shrinker counts them.
        by: what is one operator of the step; see `SearchSpace.operators`.
    """

    scores: OperatorScores
    dropped: tuple[int, ...]
    kept: tuple[int, ...]
    size: int
    by: By


@dataclass(frozen=True)
class Shrinking:
    """A space, a shrinker that makes it smaller, and the steps so far. It does not change: a step makes another one.

    Attributes:
        start: the space, limits kept.
        shrinker: that drops its operators.
        steps: so far.
        within: further limits, such as those of a search to come: an architecture that keeps them and those of the space is
            left, always.

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
    shrinker: Shrinker
    steps: tuple[Step, ...] = ()
    within: str | None = None

    @cached_property
    def operators(self) -> Operators:
        """Of the space, as the shrinker joins them."""
        return self.start.operators(self.shrinker.by)

    @cached_property
    def space(self) -> SearchSpace:
        """What is left."""
        return self.start.restrict(self._masks()[-1])

    @cached_property
    def room(self) -> SearchSpace:
        """The space that it began with, under the further limits too.

        Raises:
            FrugalnasError: where no architecture was found that meets them all.
        """
        if self.within is None:
            return self.start
        room = self.start.where(self.within)
        room.sample(1, np.random.default_rng(0))
        return room

    @property
    def by(self) -> By:
        """How operators are joined in the next step: as the shrinker says until every place has one, then by gene."""
        left = self.operators.left(self.space.allowed)
        return "gene" if np.bincount(self.operators.place[left]).max() <= 1 else self.shrinker.by

    @property
    def most(self) -> int:
        """How many drops lead from the start to a single architecture, where there are no limits."""
        left = self.operators.left(self.start.allowed)
        further = [
            len(np.unique(self.operators.place[number[there]])) - 1
            for number, there in zip(self.operators.number, self.start.allowed, strict=True)
        ]
        return int(left.sum()) - len(np.unique(self.operators.place[left])) + sum(further)

    @cached_property
    def done(self) -> str:
        """Why it is over, in words; empty while it is not."""
        size, shrinker = self.steps[-1].size if self.steps else self.shrinker.size(self.start), self.shrinker
        if size <= shrinker.until:
            one = "combination of operators" if shrinker.combinations and shrinker.until > 1 else "architecture"
            said = f"{size:,} {shrinker.counted} are left" if size > 1 else f"a single {one} is left"
            if self.steps and not shrinker.rescored and 2 * size < shrinker.until:
                dropped = f"{shrinker.drop}{' of each place' if shrinker.each_place else ''}"
                said += (
                    f", fewer than the {shrinker.until:,.0f} that are enough: {shrinker.name} drops {dropped} at once"
                )
            return said
        if self.steps and not self.steps[-1].dropped:
            return f"whatever is dropped next would leave no architecture; {size:,} {shrinker.counted} are left"
        if shrinker.rounds is not None and self.round >= shrinker.rounds:
            over = f"{plural(shrinker.rounds, 'round')} {'are' if shrinker.rounds > 1 else 'is'} over"
            return f"{over}; {size:,} {shrinker.counted} are left"
        return ""

    @property
    def round(self) -> int:
        """The round that the next step is in, from 0; a round is what one training of a supernet is for."""
        return self.round_of(len(self.steps))

    def round_of(self, step: int) -> int:
        """The round that a step is in, both from 0."""
        return step // (self.shrinker.drop if self.shrinker.rescored else 1)

    def step(self, scores: OperatorScores) -> Shrinking:
        """One step on: what the shrinker drops by these scores, which are of what is left.

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
        most = 1 if self.shrinker.rescored else None
        by = self.by
        operators = self.operators if by == self.shrinker.by else self.start.operators(by)
        dropped, kept = self.shrinker.drops(self.space, operators, Worth.of(operators, masked), most, self.room)
        left = operators.left(wanted)
        left[dropped] = False
        smaller = self.space.restrict(operators.allowed(left))
        step = Step(masked, tuple(dropped), tuple(kept), self.shrinker.size(smaller), by)
        after = replace(self, steps=(*self.steps, step))
        # Both may have been listed; and the way operators are joined is the same.
        after.__dict__.update(space=smaller, room=self.room, operators=self.operators)
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

    def _masks(self) -> list[BoolArray]:
        """What is allowed at first and after each step, shapes [genes, values]."""
        masks = [self.start.allowed]
        ways = {by: self.start.operators(by) for by in {step.by for step in self.steps}}
        for step in self.steps:
            left = ways[step.by].left(masks[-1])
            left[list(step.dropped)] = False
            masks.append(masks[-1] & ways[step.by].allowed(left))
        return masks

    # -- what a person sees ----------------------------------------------------------------------------------------

    @property
    def drops(self) -> list[Drop]:
        """Everything that was dropped, in order."""
        found = []
        ways = {by: self.start.operators(by) for by in {step.by for step in self.steps}}
        for place, step in enumerate(self.steps):
            operators = ways[step.by]
            worth = Worth.of(operators, step.scores)
            for number in step.dropped:
                found.append(
                    Drop(
                        operators.places[operators.place[number]],
                        operators.names[number],
                        number,
                        place,
                        self.round_of(place),
                        float(worth.scores[number]),
                        float(step.scores.margin(worth.errors)[number]),
                    )
                )
        return found

    def history(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Of each operator, as the shrinker joins them, the last score that it had, its margin, and the round in which it went.

        Shapes [operators]. NaN is the score of one that had none, -1 the round of one that is left, -2 that of one that was
        not there.
        """
        size = len(self.operators.names)
        scores, margins = np.full(size, np.nan), np.full(size, np.nan)
        before = self.operators.left(self.start.allowed)
        rounds = np.where(before, -1, -2)
        for place, (step, mask) in enumerate(zip(self.steps, self._masks()[1:], strict=True)):
            worth = Worth.of(self.operators, step.scores)
            there = ~np.isnan(worth.scores)
            scores[there], margins[there] = worth.scores[there], step.scores.margin(worth.errors)[there]
            after = self.operators.left(mask)
            rounds[before & ~after] = self.round_of(place)
            before = after
        return scores, margins, rounds

    # -- written down ----------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The shrinker and the steps as plain data; the space is written by `write_operators`."""
        ways = {by: self.start.operators(by) for by in {step.by for step in self.steps}}

        def named(numbers: tuple[int, ...], of: Operators) -> list[dict[str, str]]:
            return [{"place": of.places[of.place[number]], "operator": of.names[number]} for number in numbers]

        return {
            "shrinker": asdict(self.shrinker),
            "start": self.start.limits,
            "within": self.within,
            "steps": [
                {
                    "by": step.by,
                    "dropped": named(step.dropped, ways[step.by]),
                    "kept": named(step.kept, ways[step.by]),
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
        wrong = misfit(data, {"shrinker": dict, "start": dict, "within?": str | None, "steps": [_STEP]})
        if wrong:
            raise FrugalnasError(f"{where} is no record of a shrinking: {wrong}; shrink again")
        start = space if space.limits == data["start"] else space.limited(data["start"])
        made = cls(start, record(Shrinker, data["shrinker"], f"the shrinker of {where}"), within=data.get("within"))
        steps = []
        for step in data["steps"]:
            by = step.get("by", made.shrinker.by)
            of = start.operators(by)
            numbers = {
                (of.places[at], name): number for number, (at, name) in enumerate(zip(of.place, of.names, strict=True))
            }
            dropped, kept = (
                tuple(numbers.get((each["place"], each["operator"]), -1) for each in step[went])
                for went in ("dropped", "kept")
            )
            if -1 in (*dropped, *kept) or not step["size"].isdecimal():
                raise FrugalnasError(f"{where} drops operators that {space.name} does not have; shrink again")
            scores = OperatorScores.from_json(step["scores"], start.allowed.shape, where)
            steps.append(Step(scores, dropped, kept, int(step["size"]), by))
        return replace(made, steps=tuple(steps))


_OPERATOR = {"place": str, "operator": str}
_STEP: dict[str, Any] = {"by?": By, "dropped": [_OPERATOR], "kept": [_OPERATOR], "size": str, "scores": dict}
