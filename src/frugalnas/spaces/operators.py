"""The operators of a space: what a person calls each choice, where it stands, and which (gene, value) pairs it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from frugalnas.errors import one_of
from frugalnas.spaces.arrays import BoolArray, IntArray

if TYPE_CHECKING:
    from frugalnas.spaces.base import SearchSpace

By = Literal["gene", "place", "shared"]
WAYS = ("gene", "place", "shared")


@dataclass(frozen=True)
class Operators:
    """Choices that are taken away together, as one operator at one place: a block of a layer, an operation on an edge.

    Attributes:
        by: "gene", "place" or "shared"; see `SearchSpace.operators`.
        places: what the places are called.
        place: of each operator, an index into `places`, shape [operators].
        names: of the operators.
        ids: the number by which the space's notation and the papers' programs write each, shape [operators].
        number: which operator a (gene, value) is, shape [genes, values]; -1 for what no code of the whole space may be.
    """

    by: By
    places: tuple[str, ...]
    place: IntArray
    names: tuple[str, ...]
    ids: IntArray
    number: IntArray

    @classmethod
    def of(
        cls, by: By, whole: BoolArray, place: IntArray, places: tuple[str, ...], names: list[list[str]], ids: IntArray
    ) -> Operators:
        """Those of a space, in the order of their places.

        Args:
            by: how choices are joined.
            whole: what is allowed in the space without limits, shape [genes, values].
            place: of each (gene, value), an index into `places`, shape [genes, values].
            places: their names.
            names: of each (gene, value); with one name at one place they are one operator.
            ids: of each (gene, value).
        """
        found: dict[tuple[int, int], str] = {}
        for gene, value in np.argwhere(whole).tolist():
            found[int(place[gene, value]), int(ids[gene, value])] = names[gene][value]
        keys = sorted(found, key=lambda key: (key[0], key[1] < 0, key[1]))
        index = {key: number for number, key in enumerate(keys)}
        number = np.full(whole.shape, -1)
        for gene, value in np.argwhere(whole).tolist():
            number[gene, value] = index[int(place[gene, value]), int(ids[gene, value])]
        return cls(
            by,
            places,
            np.array([key[0] for key in keys]),
            tuple(found[key] for key in keys),
            np.array([key[1] for key in keys]),
            number,
        )

    def left(self, allowed: BoolArray) -> BoolArray:
        """Which operators a space still has that allows these values, shape [operators].

        Args:
            allowed: shape [genes, values].
        """
        left = np.zeros(len(self.names), np.bool_)
        left[self.number[allowed & (self.number >= 0)]] = True
        return left

    def allowed(self, left: BoolArray) -> BoolArray:
        """The values of these operators, shape [genes, values]."""
        return (self.number >= 0) & left[self.number]

    def lists(self, left: BoolArray) -> list[list[int]]:
        """For each place, the operators of these that stand there."""
        return [np.flatnonzero(left & (self.place == place)).tolist() for place in range(len(self.places))]


def operators_by_gene(space: SearchSpace, by: By) -> Operators:
    """The operators of a space in which every gene is a place of its own."""
    one_of("way to join operators", by, WAYS)
    whole: BoolArray = (space._whole or space).allowed
    genes, values = whole.shape
    return Operators.of(
        by,
        whole,
        np.repeat(np.arange(genes)[:, None], values, axis=1),
        tuple(space.gene_name(gene) for gene in range(genes)),
        [
            [space.value_name(gene, value) if whole[gene, value] else "" for value in range(values)]
            for gene in range(genes)
        ],
        np.tile([space.value_id(value) for value in range(values)], (genes, 1)),
    )
