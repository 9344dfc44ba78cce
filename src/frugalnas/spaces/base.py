"""The contract of a search space, and the defaults that most spaces keep."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.errors import FrugalnasError, SpaceTooLarge, one_of, unknown_name
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, Graphs, IntArray
from frugalnas.spaces.children import edited, retried
from frugalnas.spaces.limited import Limitable
from frugalnas.spaces.operators import By, Operators, operators_by_gene
from frugalnas.spaces.reach import reached

ENUMERATION_LIMIT = 2**22
"""Rows that `enumerate` is willing to build by default: 4 million codes of 20 genes are 80 MB."""

MAX_ATTEMPTS = 1_000
"""Rounds of rejection after which a sampler gives up and says that the space is (nearly) empty."""
FEW_ATTEMPTS = 30
"""Rounds of mutation after which it is worth to look whether there is any valid child."""


class SearchSpace(Limitable):
    """A set of architectures, each a row of small integers.

    Child classes are only required to set `name` and `allowed` and to override `valid` (where not every combination of
    allowed values is an architecture), `format` and `parse`. They override more where they can do it better: `canonical`
    where two codes may build the same network, `features` to offer further encodings, `counts` for parameters and MACs.

    A space is immutable: `restrict` and `where` return smaller spaces of the same kind, whose codes keep their meaning.

    Attributes:
        name: the name by which the registry and tables know the space.
        allowed: which value each gene may take, shape [genes, values].
        encodings: the encodings that `encode` offers, the recommended one for predictors first.
        quantities: what `count` can count, for example "params" and "macs".
        counted_for: of which network, where the space leaves that open; for people.
        listed_by: what a benchmark of this space has a row for, and `enumerate` lists: each "code" as written
            (NAS-Bench-201 trained every spelling of a network), or each "network" once, under one of its codes
            (NAS-Bench-101).
        samplers: what its option `sampler` may be, where `sample` can draw in several ways.
        skeleton: what builds the networks: a name in `registry.SKELETONS`, or the import path of a `networks.Skeleton`.
    """

    name: str
    allowed: BoolArray
    encodings: tuple[str, ...] = ("onehot", "integer")
    quantities: tuple[str, ...] = ()
    counted_for: str = ""
    listed_by: Literal["code", "network"] = "code"
    skeleton: str = ""
    samplers: tuple[str, ...] = ()
    _whole: SearchSpace | None = None

    # -- what a new space writes ---------------------------------------------------------------------------------

    def valid(self, codes: Codes) -> BoolArray:
        """Whether each row is an architecture of this space, shape [n].

        The default accepts every combination of allowed values that meets the constraints of `where`; a child class
        that has further rules combines them with `super().valid(codes)`.
        """
        codes = np.asarray(codes)
        genes, values = self.allowed.shape
        if codes.ndim != 2 or codes.shape[1] != genes:
            raise FrugalnasError(f"{self.name} codes have shape [n, {genes}], not {list(codes.shape)}")
        known = (codes >= 0) & (codes < values)
        meets = (known & self.allowed[np.arange(genes), np.where(known, codes, 0)]).all(axis=1)
        for constraint in self._constraints:
            rows = np.flatnonzero(meets)
            if rows.size:
                meets[rows] = constraint.met_by(self.count(constraint.quantity, codes[rows]))
        return meets

    @abstractmethod
    def format(self, code: Codes) -> str:
        """The architecture in the field's own notation, for one row of shape [genes]."""

    @abstractmethod
    def parse(self, text: str) -> Codes:
        """The row, shape [genes], of an architecture written as `format` writes it.

        Raises:
            FrugalnasError: naming the place where the text cannot be read.
        """

    # -- size, sampling, moving about ------------------------------------------------------------------------------

    @property
    def genes(self) -> int:
        """How many integers describe one architecture."""
        return int(self.allowed.shape[0])

    @property
    def code_type(self) -> np.dtype[np.signedinteger]:
        """The smallest signed integer type that holds every value: int8 up to 128 of them, then int16, then int32."""
        return np.min_scalar_type(-self.allowed.shape[1])

    def as_codes(self, numbers: ArrayLike) -> Codes:
        """Whole numbers as codes of this space, of the same shape in `code_type`; whether they are valid is not asked.

        Texts are parsed: one is shape [genes], n of them [n, genes].

        Raises:
            FrugalnasError: for anything but whole numbers, and for one that the type does not hold.
        """
        try:
            given = np.asarray(numbers)
        except (ValueError, OverflowError):  # rows of several lengths
            given = np.empty(0, np.object_)
        if given.dtype == self.code_type:
            return given
        if given.dtype.kind == "U" and given.size and given.ndim < 2:
            parsed = np.stack([self.parse(str(text)) for text in given.ravel()])
            return parsed.reshape(*given.shape, self.genes)
        if given.dtype.kind not in "biuf":
            raise FrugalnasError(f"{str(numbers)[:80]} is no code of {self.name}: {self.genes} whole numbers each")
        with np.errstate(invalid="ignore"):
            codes: Codes = given.astype(self.code_type)
        wrong = codes != given
        if wrong.any():
            raise FrugalnasError(
                f"{given[wrong][0]} is no value of a gene of {self.name}; they are 0 to {self.allowed.shape[1] - 1}"
            )
        return codes

    @cached_property
    def size(self) -> int:
        """How many codes are valid; of a space listed by network, how many networks there are.

        Counted by enumeration up to four million candidate codes; beyond that the number of combinations of allowed
        values, which is exact unless the space has further rules.
        """
        return len(self.enumerate()) if self.enumerable else self._combinations

    @property
    def _combinations(self) -> int:
        return math.prod(int(count) for count in self.allowed.sum(axis=1))

    @property
    def enumerable(self) -> bool:
        """Whether `enumerate` lists the whole space."""
        return self._combinations <= ENUMERATION_LIMIT

    def enumerate(self) -> Codes:
        """All valid codes in lexicographic order, shape [size, genes], read-only.

        A space listed by network lists one code of each network instead, in an order of its own.

        Raises:
            SpaceTooLarge: where there are more than four million candidates.
        """
        if not self.enumerable:
            raise SpaceTooLarge(
                f"{self.name} has {self._combinations:.3g} candidate codes, too many to list; draw from it with sample()"
            )
        return self._enumerated

    @cached_property
    def _enumerated(self) -> Codes:
        codes = self._list()
        codes.setflags(write=False)
        return codes

    def _list(self) -> Codes:
        """What `enumerate` returns."""
        ranks = np.arange(self._combinations)
        codes = np.empty((len(ranks), self.genes), self.code_type)
        for gene in range(
            self.genes - 1, -1, -1
        ):  # one column at a time: wide integers of all would be eight times the codes
            ranks, choice = np.divmod(ranks, int(self.allowed[gene].sum()))
            codes[:, gene] = self._value_of_choice[gene, choice]
        return np.ascontiguousarray(codes[self.valid(codes)])

    @cached_property
    def distinct(self) -> int:
        """How many networks can be told apart; of a space that cannot be listed, how many codes it has at most.

        The most that a search can query, and what an initial sample is limited by.
        """
        every_row_is_one = self.listed_by == "network" or not self.enumerable
        return self.size if every_row_is_one else len(np.unique(self.network_ids(self.enumerate())))

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """`n` codes drawn uniformly and independently from the valid ones, shape [n, genes].

        Raises:
            FrugalnasError: where no valid code turns up, because a constraint excludes (nearly) all of them.
        """
        if self.enumerable and self._constraints:
            return self._sample_listed(n, rng)
        return self._sample_by_rejection(n, rng)

    def _sample_listed(self, n: int, rng: np.random.Generator) -> Codes:
        """Any of those that `enumerate` lists."""
        codes = self.enumerate()
        if not len(codes):
            raise self._nothing_left()
        return codes[rng.integers(len(codes), size=n)]

    def _sample_by_rejection(self, n: int, rng: np.random.Generator) -> Codes:
        """Uniform values for every gene, again until the code is valid."""
        drawn: list[Codes] = []
        missing = n
        for _ in range(MAX_ATTEMPTS):
            if missing <= 0:
                break
            codes = self._sample_allowed(max(missing, 1), rng)
            drawn.append(codes[self.valid(codes)])
            missing -= len(drawn[-1])
        if missing > 0:
            raise self._nothing_left()
        return np.concatenate(drawn)[:n] if drawn else np.zeros((0, self.genes), self.code_type)

    def _sample_allowed(self, n: int, rng: np.random.Generator) -> Codes:
        choices = self.allowed.sum(axis=1)
        picks = rng.integers(choices, size=(n, self.genes))
        return self._value_of_choice[np.arange(self.genes), picks]

    @cached_property
    def _value_of_choice(self) -> Codes:
        """The k-th allowed value of each gene, shape [genes, values]: allowed values sorted before the others."""
        return np.argsort(~self.allowed, axis=1, kind="stable").astype(self.code_type)

    def mutate(self, codes: Codes, rng: np.random.Generator, *, edits: int = 1) -> Codes:
        """One valid child of each row, shape [n, genes], that differs from it in one to `edits` genes.

        Genes are chosen uniformly among those with more than one allowed value, the new value uniformly among the
        others allowed there.

        Raises:
            FrugalnasError: where a row has no valid child.
        """
        codes = self.as_codes(codes)
        children, waiting = self.guessed_children(codes, rng, edits, FEW_ATTEMPTS)
        if waiting.size and (edits > 1 or len(np.unique(self.neighbours(codes[waiting])[1])) == len(waiting)):
            children[waiting], left = self.guessed_children(codes[waiting], rng, edits, MAX_ATTEMPTS)
            waiting = waiting[left]
        if waiting.size:
            raise self._no_child(codes[waiting[0]], edits)
        return children

    def guessed_children(
        self, codes: Codes, rng: np.random.Generator, edits: int, rounds: int
    ) -> tuple[Codes, NDArray[np.intp]]:
        """Random edits of each row, again until the child is valid: the children, and the rows that found none.

        Shapes [n, genes] and [rows]; a row without child in so many rounds is returned as it was.

        Raises:
            FrugalnasError: where the space has one architecture only.
        """
        if not (self.allowed.sum(axis=1) > 1).any():
            raise FrugalnasError(f"{self.name} leaves nothing to mutate: every gene has one allowed value")

        def attempt(parents: Codes) -> Codes:
            for _ in range(edits):
                parents = edited(self.allowed, parents, rng)
            return parents

        return retried(codes, attempt, self.valid, rounds)

    def _no_child(self, code: Codes, edits: int) -> FrugalnasError:
        return FrugalnasError(f"no valid child of {self.format(code)} in {self.name} with at most {edits} edit(s)")

    def neighbours(self, codes: Codes) -> tuple[Codes, IntArray]:
        """All valid codes that differ in one gene, and the row each belongs to, shapes [m, genes] and [m]."""
        codes = self.as_codes(codes)
        gene, value = np.nonzero(self.allowed)
        moved = np.repeat(codes[:, None, :], len(gene), axis=1)
        moved[:, np.arange(len(gene)), gene] = value
        changed = (codes[:, gene] != value).ravel()
        rows = np.repeat(np.arange(len(codes)), len(gene))[changed]
        moved = moved.reshape(-1, self.genes)[changed]
        keep = self.valid(moved)
        return moved[keep], rows[keep]

    # -- identity ------------------------------------------------------------------------------------------------

    def canonical(self, codes: Codes) -> Codes:
        """One representative of all codes that build the same network, shape [n, genes].

        By default every code is a network of its own. A representative may lie outside a restricted space: it is an
        identity, not a suggestion.
        """
        return self.as_codes(codes)

    def network_ids(self, codes: Codes) -> NDArray[np.uint64]:
        """A number that two codes share exactly when they build the same network, shape [n]."""
        return self.keys(self.canonical(codes))

    def identities(self, codes: Codes) -> NDArray[np.uint64]:
        """By what a benchmark's rows are found, shape [n]: the key of each code, or its network; see `listed_by`."""
        return self.network_ids(codes) if self.listed_by == "network" else self.keys(codes)

    def keys(self, codes: Codes) -> NDArray[np.uint64]:
        """A 64-bit number for each code, shape [n].

        Equal codes have equal keys. Where all combinations fit into 64 bits distinct codes have distinct keys; in
        larger spaces the keys are sums of random words (Zobrist hashing), and a million codes collide with
        probability below 3e-8.
        """
        codes = self.as_codes(codes)
        with np.errstate(over="ignore"):
            return self._key_words[np.arange(self.genes), codes].sum(axis=1, dtype=np.uint64)

    @cached_property
    def _key_words(self) -> NDArray[np.uint64]:
        genes, values = self.allowed.shape
        if values**genes <= 2**64:
            place = [values**gene for gene in range(genes - 1, -1, -1)]
            return np.array([[p * value for value in range(values)] for p in place], np.uint64)
        return np.random.default_rng(genes * values).integers(2**64, size=(genes, values), dtype=np.uint64)

    # -- what a person calls its choices -------------------------------------------------------------------------

    def operators(self, by: By = "place") -> Operators:
        """The choices of the whole space as operators at places, by name; what `restrict` took away is among them.

        Args:
            by: "gene": each value of each gene is one. "place": where two genes choose from the same operators (the two inputs of a
                node of DARTS), those are one. "shared": as ABS has it, normal and reduction cells have theirs in common, too.
                Where a space has nothing of the kind, all three are the same.
        """
        return operators_by_gene(self, by)

    def gene_name(self, gene: int) -> str:
        """What a person calls a gene."""
        return f"gene {gene}"

    def value_name(self, gene: int, value: int) -> str:
        """What a person calls a value of a gene."""
        return str(value)

    def value_id(self, value: int) -> int:
        """The number by which the space's notation writes a value."""
        return value

    # -- encodings, graphs, counts -------------------------------------------------------------------------------

    def encode(self, codes: Codes, encoding: str | None = None) -> NDArray[np.float32]:
        """The architectures as feature vectors, float32, shape [n, d].

        Args:
            codes: shape [n, genes].
            encoding: one of `encodings`; None takes the first, which is the space's recommendation for predictors.
        """
        name = self.encodings[0] if encoding is None else encoding
        one_of(f"encoding of {self.name}", name, self.encodings)
        return self.features(np.atleast_2d(self.as_codes(codes)), name).astype(np.float32, copy=False)

    def features(self, codes: Codes, encoding: str) -> NDArray[np.generic]:
        """The columns of one encoding; child classes with further encodings override this and fall back to it."""
        if encoding == "integer":
            return codes
        values = np.arange(self.allowed.shape[1], dtype=self.code_type)
        return (codes[:, :, None] == values).reshape(len(codes), self.allowed.size)

    def graphs(self, codes: Codes) -> Graphs:
        """The architectures as graphs.

        By default a chain: input, one vertex per gene, output. The vertices' operations are called as `value_name` calls the
        values of the first gene, also where a value stands for a layer that is not built.
        """
        codes = np.asarray(codes)
        vertices = self.genes + 2
        adjacency = np.zeros((len(codes), vertices, vertices), np.bool_)
        adjacency[:, np.arange(vertices - 1), np.arange(1, vertices)] = True
        values = self.allowed.shape[1]
        ends = np.tile([[values, values + 1]], (len(codes), 1))
        operations = np.concatenate([ends[:, :1], codes, ends[:, 1:]], axis=1)
        return Graphs(
            adjacency, operations, (*(self.value_name(0, value) for value in range(values)), "input", "output")
        )

    def counts(self, quantity: str, codes: Codes) -> FloatArray:
        """What `count` returns; a space that counts something overrides this and names it in `quantities`."""
        raise unknown_name(f"quantity of {self.name}", quantity, self.quantities)

    def count(self, quantity: str, codes: Codes) -> FloatArray:
        """A quantity such as "params" or "macs" of every architecture, shape [n].

        Raises:
            FrugalnasError: where the space does not count this quantity.
        """
        if quantity not in self.quantities:
            raise self._uncounted(quantity)
        return self.counts(quantity, np.atleast_2d(self.as_codes(codes)))

    def extremes(self, quantity: str) -> tuple[float, float]:
        """The least and the largest amount of a quantity that an architecture has.

        Exact where the space can be listed; else what going one edit at a time finds.
        """
        if self.enumerable:
            amounts = self.count(quantity, self.enumerate())
            return float(amounts.min()), float(amounts.max())
        return reached(self, quantity, least=True), reached(self, quantity, least=False)


@dataclass(frozen=True)
class Architecture:
    """An architecture of a space.

    Attributes:
        space: that it belongs to; it carries the sizes of the network.
        code: its genes, shape [genes].
        name: what to call it; None calls it by its text.
    """

    space: SearchSpace
    code: Codes
    name: str | None = None

    @property
    def text(self) -> str:
        """It in the field's notation."""
        return self.space.format(self.code)
