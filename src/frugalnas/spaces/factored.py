"""Spaces whose architectures are independent choices, and whose costs are sums: counted by table, drawn under a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.registry import MEASUREMENTS
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, IntArray
from frugalnas.spaces.bands import BandSampler
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.children import edited

BLOCK = 2**15
"""Codes counted at a time, so that a million of them pass through the processor's cache."""

FEW = 256
"""Codes up to which all factors are drawn by one call."""

QUICK_ROUNDS = 8
"""Rounds in which mutation under a limit guesses before it looks at every neighbour."""

WALKS = 100
"""Walks through the neighbourhood that mutation under a limit tries before it says that there is no child."""

PATIENCE = 2**21
"""Draws in a row of which none meets the limits, after which a sampler says that no architecture does."""

ABREAST = 1_000
"""How many walks are made at a time, if few rows need them."""

ROWS_AT_ONCE = 2**20
"""Neighbours looked at in one go."""


class FactoredSpace(SearchSpace):
    """Architectures that are a product of independent choices: of single genes, or of groups of genes with rules.

    That is what layer-wise spaces and DARTS cells are, and it makes everything exact: the size, uniform sampling without
    rejection, and, because the costs of networks are sums over the genes, uniform sampling under a budget, however
    narrow (see `bands`).

    Child classes set what any space sets, and `joint` where genes bind one another. Costs come from the modules that
    the space's `skeleton` builds; a space without networks overrides `costs`.

    Attributes:
        joint: genes that bind one another, and the combinations that they may take, shape [m, genes of the group].
            Each group's genes are consecutive. Genes in no group are free.
        latency: path of a table that `frugalnas measure-latency` wrote; None where latency is not counted.
    """

    joint: tuple[tuple[tuple[int, ...], Codes], ...] = ()
    latency: str | None = None

    # -- costs ---------------------------------------------------------------------------------------------------

    def costs(self, quantity: str) -> tuple[float, NDArray[np.float64]]:
        """What every network costs, and what each value of each gene adds, shape [genes, values].

        Measured from the real modules (or read from the latency table) when first asked for, for the whole space: a
        restricted one shares its table.

        Raises:
            FrugalnasError: where torch, which builds the modules, is not installed.
        """
        whole: FactoredSpace = self._whole if isinstance(self._whole, FactoredSpace) else self
        if quantity not in whole._tables:
            if quantity == "latency":
                fixed, table = MEASUREMENTS.resolve("latency")(whole)
            else:
                fixed, table = MEASUREMENTS.resolve("counts")(whole, quantity)
            whole._tables[quantity] = float(fixed), np.asarray(table, np.float64)
        return whole._tables[quantity]

    @cached_property
    def _tables(self) -> dict[str, tuple[float, NDArray[np.float64]]]:
        return {}

    def counts(self, quantity: str, codes: Codes) -> FloatArray:
        """The fixed part and one addend per gene, shape [n]."""
        fixed, table = self.costs(quantity)
        totals = np.full(len(codes), fixed)
        for start in range(0, len(codes), BLOCK):
            part = totals[start : start + BLOCK]
            for addends, values in zip(table, codes[start : start + BLOCK].T, strict=True):
                part += addends[values]
        return totals

    # -- rules, size, sampling -----------------------------------------------------------------------------------

    def valid(self, codes: Codes) -> BoolArray:
        """Whether each row takes allowed values, keeps the rules of every group and meets the limits, shape [n]."""
        meets = super().valid(codes)
        for genes, members in self._members:
            rows = np.flatnonzero(meets)
            meets[rows] = members[_ranks(np.asarray(codes)[rows][:, list(genes)], self.allowed.shape[1])]
        return meets

    @cached_property
    def _members(self) -> list[tuple[tuple[int, ...], BoolArray]]:
        """For each group, which of all combinations of its values it has."""
        values = self.allowed.shape[1]
        members = []
        for genes, combinations in self.joint:
            known = np.zeros(values ** len(genes), np.bool_)
            known[_ranks(combinations, values)] = True
            members.append((genes, known))
        return members

    @cached_property
    def _factors(self) -> list[tuple[tuple[int, ...], Codes]]:
        """Groups in the order of their genes, single genes among them, and their allowed combinations, sorted."""
        factors: list[tuple[tuple[int, ...], Codes]] = []
        grouped = {gene for genes, _ in self.joint for gene in genes}
        for gene in sorted(set(range(self.genes)) - grouped):
            factors.append(((gene,), np.flatnonzero(self.allowed[gene])[:, None].astype(self.code_type)))
        for genes, combinations in self.joint:
            kept = combinations[self.allowed[list(genes), combinations].all(axis=1)]
            order = np.argsort(_ranks(kept, self.allowed.shape[1]), kind="stable")
            factors.append((genes, kept[order]))
        return sorted(factors, key=lambda factor: factor[0])

    def independent(self) -> list[tuple[list[int], IntArray]]:
        """The smallest groups of genes that do not bind one another, and the combinations that each may take.

        A group is split where its first gene takes any value whatever the others take. In the order of the genes; the second
        of each pair has shape [m, genes of the group].
        """
        return [part for genes, combinations in self._factors for part in _peeled(list(genes), combinations)]

    @property
    def _combinations(self) -> int:
        return math.prod(len(combinations) for _, combinations in self._factors)

    @cached_property
    def size(self) -> int:
        """How many codes are valid; under limits, of more than four million, how many there are without them."""
        return len(self.enumerate()) if self._constraints and self.enumerable else self._combinations

    def _list(self) -> Codes:
        choices = [len(combinations) for _, combinations in self._factors]
        codes = self._assembled(np.unravel_index(np.arange(self._combinations), choices))
        return codes[self.valid(codes)] if self._constraints else codes

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """`n` codes drawn uniformly and independently from the valid ones, shape [n, genes].

        Raises:
            FrugalnasError: where no code was found that meets the limits.
        """
        if not self._constraints:
            choices = [len(combinations) for _, combinations in self._factors]
            if n <= FEW:  # the same numbers from one call, which costs less than one for each factor
                return self._assembled(list(rng.integers(np.array(choices)[:, None], size=(len(choices), n))))
            return self._assembled([rng.integers(choice, size=n) for choice in choices])
        if self.enumerable:
            return super().sample(n, rng)
        drawn: list[Codes] = []
        kept = tried = in_vain = 0
        while kept < n:
            if in_vain > PATIENCE or self._band.log_ways == -math.inf:
                raise self._nothing_left()
            size = int(np.clip(1.2 * (n - kept) * (tried + 1) / (kept + 1), 64, 2**16))
            codes = self._assembled(self._band.draw(size, rng))
            drawn.append(codes[self.valid(codes)])
            in_vain = 0 if len(drawn[-1]) else in_vain + size
            kept, tried = kept + len(drawn[-1]), tried + size
        return np.concatenate(drawn)[:n] if drawn else np.zeros((0, self.genes), self.code_type)

    def _assembled(self, picks: Sequence[NDArray[np.intp]]) -> Codes:
        """The codes that take these combinations of each factor."""
        codes = np.empty((len(picks[0]), self.genes), self.code_type)
        for (genes, combinations), pick in zip(self._factors, picks, strict=True):
            codes[:, genes[0] : genes[-1] + 1] = combinations.take(pick, 0)  # a group's genes are consecutive
        return codes

    @cached_property
    def _band(self) -> BandSampler:
        """Draws codes within the limits of the quantity that excludes most."""
        samplers = []
        for quantity, (low, high) in self._bounds.items():
            fixed, _ = self.costs(quantity)
            samplers.append(BandSampler(self._factor_costs(quantity), low - fixed, high - fixed))
        return min(samplers, key=lambda sampler: sampler.log_ways)

    @property
    def _bounds(self) -> dict[str, tuple[float, float]]:
        """The least and the largest amount of each limited quantity."""
        bounds = dict.fromkeys((rule.quantity for rule in self._constraints), (-math.inf, math.inf))
        for rule in self._constraints:
            low, high = bounds[rule.quantity]
            above = rule.relation[0] == ">"
            bounds[rule.quantity] = (max(low, rule.bound), high) if above else (low, min(high, rule.bound))
        return bounds

    def _factor_costs(self, quantity: str) -> list[NDArray[np.float64]]:
        """What each combination of each factor adds."""
        _, table = self.costs(quantity)
        return [table[list(genes), combinations].sum(axis=1) for genes, combinations in self._factors]

    # -- moving about under limits -------------------------------------------------------------------------------

    def mutate(self, codes: Codes, rng: np.random.Generator, *, edits: int = 1) -> Codes:
        """One valid child of each row, shape [n, genes], that differs from it in one to `edits` genes.

        Without limits as any space does it. Under limits, which few edits keep, a child that a few guesses do not find is
        looked for among all neighbours: edits that stay inside, or a few edits of which the last leads back.

        Raises:
            FrugalnasError: where a row has no valid child; with one edit that is certain.
        """
        if not self._constraints:
            return super().mutate(codes, rng, edits=edits)
        codes = self.as_codes(codes)
        children, waiting = self.guessed_children(codes, rng, edits, QUICK_ROUNDS)
        walks, most = 0, 1 if edits == 1 else WALKS
        while waiting.size and walks < most:
            each = int(np.clip(ABREAST // len(waiting), 1, most - walks))
            crowd = np.repeat(waiting, each)
            walked = self._walked(codes[crowd], rng, edits)
            done = np.flatnonzero(self.valid(walked) & (walked != codes[crowd]).any(axis=1))
            rows, first = np.unique(crowd[done], return_index=True)
            children[rows] = walked[done[first]]
            waiting = np.setdiff1d(waiting, rows)
            walks += each
        if waiting.size:
            raise self._no_child(codes[waiting[0]], edits)
        return children

    def neighbours(self, codes: Codes) -> tuple[Codes, IntArray]:
        """All valid codes that differ in one gene, and the row each belongs to, shapes [m, genes] and [m]."""
        if not self._constraints:
            return super().neighbours(codes)
        codes = self.as_codes(codes)
        gene, value = np.nonzero(self.allowed)
        keep = codes[:, gene] != value
        for quantity, (low, high) in self._bounds.items():
            _, table = self.costs(quantity)
            totals = self.count(quantity, codes)[:, None] - table[gene, codes[:, gene]] + table[gene, value]
            slack = 1e-9 * float(np.abs(totals).max(initial=0.0))  # the codes that pass are counted exactly below
            keep &= (totals >= low - slack) & (totals <= high + slack)
        rows, edit = np.nonzero(keep)
        moved = codes[rows]
        moved[np.arange(len(rows)), gene[edit]] = value[edit]
        valid = self.valid(moved)
        return moved[valid], rows[valid]

    def _walked(self, codes: Codes, rng: np.random.Generator, edits: int) -> Codes:
        """Where walks of at most `edits` edits end; a walk that finds no way on, or ends where it began, stands still."""
        here = codes.copy()
        left = edits
        while left:
            there, away = here, int(rng.integers(left))
            for _ in range(away):
                there = edited(self.allowed, there, rng)
            near, rows = self._step(there, rng)
            here[rows] = near
            left -= away + 1
        return here

    def _step(self, codes: Codes, rng: np.random.Generator) -> tuple[Codes, NDArray[np.intp]]:
        """A random valid neighbour of each row that has one, genes equally likely, and the rows, shapes [m, genes], [m]."""
        chunk = max(1, ROWS_AT_ONCE // self.allowed.size)
        found, origin = [], []
        choices = np.maximum(self.allowed.sum(axis=1) - 1, 1)
        for start in range(0, len(codes), chunk):
            part = codes[start : start + chunk]
            near, rows = self.neighbours(part)
            if not len(near):
                continue
            gene = np.argmax(near != part[rows], axis=1)
            # The largest of u ** (1 / weight) picks a neighbour with probability in proportion to its weight.
            luck = np.log(rng.random(len(near))) * choices[gene]
            order = np.lexsort((luck, rows))
            last = np.flatnonzero(np.diff(rows[order], append=len(part)))
            found.append(near[order[last]])
            origin.append(rows[order[last]] + start)
        if not found:
            return codes[:0], np.zeros(0, np.intp)
        return np.concatenate(found), np.concatenate(origin)

    # -- smaller spaces ------------------------------------------------------------------------------------------

    def restrict(self, allowed: ArrayLike) -> Self:
        """The same space with fewer values per gene; see `SearchSpace.restrict`."""
        smaller = super().restrict(allowed)
        for genes, combinations in smaller._factors:
            if not len(combinations):
                raise FrugalnasError(
                    f"restrict() leaves no architecture of {self.name}: genes {', '.join(map(str, genes))} "
                    "have no combination left that keeps the rules"
                )
        return smaller

    def where(self, constraint: str) -> Self:
        """The same space under a limit such as `"macs<=475e6"`; several are joined by commas.

        Raises:
            FrugalnasError: where no sum of costs meets it.
        """
        smaller = super().where(constraint)
        if smaller._band.log_ways == -math.inf:
            raise smaller._nothing_left()
        return smaller

    def extremes(self, quantity: str) -> tuple[float, float]:
        """The least and the largest amount of a quantity, other limits aside."""
        fixed, _ = self.costs(quantity)
        costs = self._factor_costs(quantity)
        return fixed + sum(float(cost.min()) for cost in costs), fixed + sum(float(cost.max()) for cost in costs)

    def _nothing_left(self) -> FrugalnasError:
        rules = " and ".join(str(rule) for rule in self._constraints)
        quantity = self._constraints[0].quantity
        least, most = self.extremes(quantity)
        return FrugalnasError(
            f"no architecture of {self.name} was found that meets {rules}; {quantity} lie between {least:g} and {most:g}; set "
            "the limit there"
        )

    def _copy(self) -> Self:
        smaller = super()._copy()
        for key in ("_factors", "_band"):
            smaller.__dict__.pop(key, None)
        return smaller


def _peeled(genes: list[int], combinations: IntArray) -> list[tuple[list[int], IntArray]]:
    """The same combinations as several groups, where the first gene does not bind the others."""
    first, rest = np.unique(combinations[:, 0]), np.unique(combinations[:, 1:], axis=0)
    if len(genes) == 1 or len(first) * len(rest) > len(combinations):
        return [(genes, combinations)]
    return [(genes[:1], first[:, None]), *_peeled(genes[1:], rest)]


def _ranks(codes: Codes, values: int) -> NDArray[np.intp]:
    """The place of each row in the lexicographic order of all rows, shape [n]."""
    return np.ravel_multi_index(tuple(codes.T), (values,) * codes.shape[1])
