"""How many operators of which places are dropped at a time, and when it is enough: the rules of the papers' programs, and ours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, at_least, unknown_name
from frugalnas.scores import OperatorScores
from frugalnas.scores.live_paths import LivePaths
from frugalnas.scores.moments import limits_of, moments
from frugalnas.spaces import BoolArray, FactoredSpace, Operators, SearchSpace
from frugalnas.spaces.operators import By

DIGITS = 10
"""Of a score: operators that agree in these are equal, whatever the order of summation left in the others."""

MILLION = 10**6
"""Architectures that are few enough for ABS's programs."""
SHARE = 156
"""The space's size by this is few enough for our rule, where that is fewer: a hundred cells of NAS-Bench-201, as measured."""


@dataclass(frozen=True)
class Worth:
    """What each operator of a space is worth, by one set of scores.

    Attributes:
        scores: shape [operators]; NaN for one that no architecture has within the limits.
        errors: of the scores, shape [operators].
    """

    scores: NDArray[np.float64]
    errors: NDArray[np.float64]

    @classmethod
    def of(cls, operators: Operators, scores: OperatorScores) -> Worth:
        """Where an operator is several (gene, value) pairs, the mean over the architectures that have one of them.

        An architecture with two of them counts twice. Of maxima the largest is taken.

        Raises:
            FrugalnasError: where the best tenth of an operator would have to be made of those of several pairs.
        """
        there = (operators.number >= 0) & ~np.isnan(scores.scores)
        _refuse_joined(operators, there, scores.statistic)
        number, size = operators.number[there], len(operators.names)
        weights = np.maximum(scores.shares[there], 1e-12)  # what was drawn for itself may have no share
        total = np.bincount(number, weights, size)
        with np.errstate(invalid="ignore"):
            means = np.bincount(number, weights * scores.scores[there], size) / total
            errors = np.bincount(number, weights * scores.errors[there], size) / total
        if scores.statistic == "maximum":
            means = np.full(size, -np.inf)
            np.maximum.at(means, number, scores.scores[there])
            means[total == 0] = np.nan
        return cls(means, errors)

    def order(self, among: NDArray[np.intp]) -> NDArray[np.intp]:
        """These operators, the least worth first, those that no architecture has before all."""
        values = self.scores[among]
        finite = np.abs(values[np.isfinite(values)])
        scale = 10.0 ** min(DIGITS - math.ceil(math.log10(finite.max())), 300) if finite.any() else 1.0
        return among[np.argsort(np.where(np.isnan(values), -np.inf, np.rint(values * scale)), kind="stable")]


@dataclass(frozen=True, kw_only=True)
class Shrinker:
    """A rule that makes spaces smaller, as data.

    Operators of places that have one left are never dropped. Those that no architecture within the limits has go first; they do
    not count, unless `each_place` is to stay as wide as the others. What would leave no architecture, or none with a path from
    input to output, is kept.

    Attributes:
        name: of the rule, for people.
        drop: how many operators go in a round; with `each_place`, of each place.
        each_place: whether every place loses its least operators, or the space those that are least in all. All places that have
            more than one left lose as many, or none does: what is equally wide stays so.
        rescored: whether scores are taken again after each drop, or once a round.
        until: it is enough when so many architectures are left, a whole number, or fewer; 1 leaves a single one. Where places
            that have one operator leave more, as genes choose between places, the values of genes are dropped on.
        rounds: it is enough after so many; None: only when `until` is reached.
        by: what is one operator; see `SearchSpace.operators`.
        combinations: whether `until`, if it is more than 1, is the number of combinations of one operator at each place, as ABS
            counts DARTS's.
    """

    name: str = "own"
    drop: int = 1
    each_place: bool = False
    rescored: bool = False
    until: float = 1
    rounds: int | None = None
    by: By = "place"
    combinations: bool = False

    def __post_init__(self) -> None:
        at_least(1, drop=self.drop, until=self.until, rounds=self.rounds)
        if self.until % 1:
            raise FrugalnasError(f"until is {self.until}; it is a whole number of architectures")

    @property
    def counted(self) -> str:
        """What `until` is a number of, for people."""
        return "combinations of operators" if self.combinations and self.until > 1 else "architectures"

    def size(self, space: SearchSpace) -> int:
        """How many architectures are left, in the way that the rule counts them.

        Where they cannot be listed, those within a limit on one quantity are counted by sums; limits on several are not counted.
        """
        if self.counted == "architectures":
            if not isinstance(space, FactoredSpace) or space.enumerable:
                return space.size
            if len({rule.quantity for rule in limits_of(space)}) != 1:
                return space.size
            return round(space.size * moments(space, np.zeros((*space.allowed.shape, 0))).within)
        operators = space.operators(self.by)
        return math.prod(max(len(left), 1) for left in operators.lists(operators.left(space.allowed)))

    def shrink(self, space: SearchSpace, scores: OperatorScores) -> SearchSpace:
        """The space without what the rule drops for these scores at once."""
        operators = space.operators(self.by)
        left = operators.left(space.allowed)
        dropped, _ = self.drops(space, operators, Worth.of(operators, scores))
        left[dropped] = False
        return space.restrict(operators.allowed(left))

    def drops(
        self,
        space: SearchSpace,
        operators: Operators,
        worth: Worth,
        most: int | None = None,
        room: SearchSpace | None = None,
    ) -> tuple[list[int], list[int]]:
        """The operators that go, in order, and those that would have gone if anything had been left without them.

        Args:
            space: of which they go.
            operators: of the space.
            worth: of each.
            most: how many may go; None: as many as the rule says.
            room: the space under further limits, in which an architecture is to be left; None: under its own.
        """
        left = operators.left(space.allowed)
        number = np.bincount(operators.place[left], minlength=len(operators.places))
        order = worth.order(np.flatnonzero(left & (number[operators.place] > 1)))
        quota = self.drop if most is None else most
        dropped: list[int] = []
        kept: list[int] = []
        gone = np.zeros(len(operators.places), np.intp)
        total = 0
        for operator in order.tolist():
            place = operators.place[operator]
            unwanted = bool(np.isnan(worth.scores[operator])) and not self.each_place
            if number[place] == 1 or (not unwanted and (gone[place] if self.each_place else total) >= quota):
                continue
            left[operator] = False
            if not possible(space if room is None else room, operators.allowed(left)):
                left[operator] = True
                kept.append(operator)
                continue
            dropped.append(operator)
            number[place] -= 1
            gone[place] += 1
            total += not unwanted
        if self.each_place and ((number > 1) & (gone < quota)).any():
            return [], kept  # one place cannot follow the others
        return dropped, kept

    def check(self, space: SearchSpace, statistic: str, setting: str = "statistic") -> None:
        """Refuse a statistic that the rule cannot make of those of single genes.

        Args:
            space: to be made smaller.
            statistic: of the scores of architectures; see `OperatorScores`.
            setting: what says it, for the error.
        """
        _refuse_joined(space.operators(self.by), space.allowed, statistic, setting)


SHRINKERS: dict[str, Shrinker] = {
    rule.name: rule
    for rule in (
        Shrinker(name="one-by-one", rescored=True),
        Shrinker(name="abs-spos", drop=7, until=MILLION),
        Shrinker(name="abs-fairnas", each_place=True, until=MILLION),
        Shrinker(name="abs-darts", each_place=True, until=MILLION, by="shared", combinations=True),
        Shrinker(name="abs-nasbench201", drop=20, rounds=1),
    )
}
"""By name: ours, one operator at a time with scores taken again after each, and those of ABS's programs.

- `abs-spos`: the 7 least of all layers, but never the last of a layer, in each round, until a million architectures are left.
- `abs-fairnas`: the least of every layer, so that all stay equally wide; what fits nowhere is the least.
- `abs-darts`: the least of every edge, which normal and reduction cells share. ABS counts combinations of one operator at each
  edge, `none` among them, and gives both cells one code; here `none` is no operator, as every code reads exactly two states.
- `abs-nasbench201`: 20 of 30, at once.
"""


def shrinker_for(space: SearchSpace, name: str | None = None) -> Shrinker:
    """The rule of a name; None is `one-by-one`.

    For that a million architectures are enough, or the space's size by `SHARE`, whichever is fewer.

    Raises:
        FrugalnasError: for an unknown name, or 20 operators to drop of a space that has not so many.
    """
    name = "one-by-one" if name is None else name
    if name not in SHRINKERS:
        raise unknown_name("shrinker", name, SHRINKERS)
    rule = SHRINKERS[name]
    operators = space.operators(rule.by)
    left = int(operators.left(space.allowed).sum())
    if rule.rounds and rule.drop > left - len(operators.places):
        raise FrugalnasError(
            f"{name} drops {rule.drop} operators, but {space.name} has {left} at {len(operators.places)} places; "
            "take one-by-one"
        )
    if rule.rounds is None and rule.until == 1:
        return replace(rule, until=min(MILLION, max(1, space.size // SHARE)))
    return rule


def _refuse_joined(operators: Operators, there: BoolArray, statistic: str, setting: str = "statistic") -> None:
    """Refuse the best tenth where several (gene, value) pairs are one operator.

    That of all architectures with the operator cannot be made of those with each pair.

    Args:
        operators: of a space.
        there: which pairs count, shape [genes, values].
        statistic: of the scores of architectures.
        setting: what says it.

    Raises:
        FrugalnasError: naming an operator.
    """
    numbers = np.bincount(operators.number[there & (operators.number >= 0)], minlength=1)
    if statistic == "best-tenth" and numbers.max() > 1:
        joined = int(numbers.argmax())
        where = operators.places[operators.place[joined]]
        raise FrugalnasError(
            f"the best tenth of {operators.names[joined]} at {where} cannot be made of those of the {numbers[joined]} genes that "
            f"may take it; take `{setting}`=mean"
        )


def possible(space: SearchSpace, allowed: BoolArray) -> bool:
    """Whether any architecture is left, and one that leads from input to output, with these values only.

    Exact where the space can be listed, or its limits are about one quantity. Within limits on several, what drawing does
    not find counts as none.

    Args:
        space: and its limits.
        allowed: shape [genes, values].
    """
    paths = LivePaths.of(space)
    allowed = allowed & space.allowed
    if not allowed.any(axis=1).all() or (paths and not paths.possible(allowed)):
        return False
    try:
        smaller = space.restrict(allowed)
    except FrugalnasError:
        return False
    if isinstance(smaller, FactoredSpace):
        known = _by_sums(smaller)
        if known is not None:
            return known
    elif type(space).valid is SearchSpace.valid and "where" not in space.limits:
        return True
    if space.enumerable:  # most often one that is listed already is still there
        codes = space.enumerate()
        codes = codes[allowed[np.arange(space.genes), codes].all(axis=1)]
        if len(codes) or space.listed_by == "code":
            return bool(len(codes) if paths is None else paths.through(codes).any())
    if smaller.enumerable:
        return len(smaller.enumerate()) > 0
    try:
        smaller.sample(1, np.random.default_rng(0))
    except FrugalnasError:
        return False
    return True


def _by_sums(space: FactoredSpace) -> bool | None:
    """Whether there is an architecture within the limits, as far as sums of costs can tell."""
    rules = limits_of(space)
    reach = {rule.quantity: np.array(space.extremes(rule.quantity)) for rule in rules}
    if not all(rule.met_by(reach[rule.quantity]).any() for rule in rules):
        return False
    if len({(rule.quantity, rule.relation[0]) for rule in rules}) <= 1:
        return True
    if len(reach) > 1:
        return None
    found = moments(space, np.zeros((*space.allowed.shape, 0)))
    if not found.share.any():
        return False
    return True if found.doubtful < 1 else None
