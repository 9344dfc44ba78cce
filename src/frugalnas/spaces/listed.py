"""Some architectures of a space, one by one: those that somebody has measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, IntArray
from frugalnas.spaces.base import SearchSpace

Space = TypeVar("Space", bound=SearchSpace)

COMPARED_AT_ONCE = 2**24
"""Genes compared at a time, so that distances to a long list take little memory."""


def listed_space(space: Space, codes: Codes, table: str, measured: Mapping[str, FloatArray] | None = None) -> Space:
    """The same space with these architectures alone: nothing else is valid, drawn, listed or a child.

    A child is drawn among those of the list that differ in few enough genes.

    Args:
        space: whose notation, encodings and counts stay.
        codes: its architectures, shape [n, genes].
        table: whose rows they are; `limits` names it.
        measured: what somebody has measured of each architecture, shape [n]: quantities beside those that the space counts.
    """
    inside = space.valid(codes)
    columns = {name: column[inside] for name, column in (measured or {}).items() if name not in space.quantities}
    state = {
        **space._copy().__dict__,
        "_rows": np.ascontiguousarray(codes[inside]),
        "_table": table,
        "_measured": columns,
    }
    return cast("Space", _made_again(type(space), {**state, "quantities": (*space.quantities, *columns)}))


class _Listed(SearchSpace):
    """What is different about a list."""

    _rows: Codes
    _table: str
    _measured: dict[str, FloatArray]

    def valid(self, codes: Codes) -> BoolArray:
        meets = super().valid(codes)
        inside = np.flatnonzero(meets)
        meets[inside] = np.isin(self.identities(np.asarray(codes)[inside]), self._known)
        return meets

    @cached_property
    def _known(self) -> NDArray[np.uint64]:
        return self.identities(self._rows)

    def counts(self, quantity: str, codes: Codes) -> FloatArray:
        if quantity not in self._measured:
            return super().counts(quantity, codes)
        order = np.argsort(self._known)
        keys = self.identities(codes)
        rows = order[np.minimum(np.searchsorted(self._known[order], keys), len(order) - 1)]
        return np.where(self._known[rows] == keys, self._measured[quantity][rows], np.nan)

    def where(self, constraint: str) -> Self:
        return SearchSpace.where(self, constraint)  # a list needs no way of drawing under a limit

    def _nothing_left(self) -> FrugalnasError:
        return SearchSpace._nothing_left(self)

    @property
    def size(self) -> int:  # of what limits leave of a list
        return len(self.enumerate())

    @property
    def enumerable(self) -> bool:
        return True

    def _list(self) -> Codes:
        rows = self._rows[self.valid(self._rows)]
        return np.ascontiguousarray(rows[np.lexsort(rows.T[::-1])])

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        return self._sample_listed(n, rng)

    def mutate(self, codes: Codes, rng: np.random.Generator, *, edits: int = 1) -> Codes:
        codes = self.as_codes(codes)
        children = codes.copy()
        for part, distances in self._distances(codes):
            luck = rng.random(distances.shape) * ((distances > 0) & (distances <= edits))
            if not luck.any(axis=1).all():
                raise self._no_child(codes[part][int(np.argmin(luck.any(axis=1)))], edits)
            children[part] = self.enumerate()[np.argmax(luck, axis=1)]
        return children

    def neighbours(self, codes: Codes) -> tuple[Codes, IntArray]:
        found = [
            (near, rows + part.start)
            for part, distances in self._distances(self.as_codes(codes))
            for rows, near in [np.nonzero(distances == 1)]
        ]
        near, rows = (np.concatenate([np.zeros(0, np.intp), *parts]) for parts in zip(*found, strict=True))
        return self.enumerate()[near], rows

    def _distances(self, codes: Codes) -> Iterator[tuple[slice, IntArray]]:
        """In how many genes codes differ from those of the list, shape [part, listed], for a part of the codes at a time."""
        step = max(1, COMPARED_AT_ONCE // max(self.enumerate().size, 1))
        for start in range(0, max(len(codes), 1), step):
            part = slice(start, start + step)
            yield part, (codes[part, None] != self.enumerate()).sum(axis=2)

    @property
    def limits(self) -> dict[str, object]:
        return {**super().limits, "table": self._table}

    def with_options(self, **settings: Any) -> SearchSpace:  # type: ignore[override]
        whole = self._whole or self
        limits = {name: limit for name, limit in self.limits.items() if name != "table"}
        return listed_space(whole.with_options(**settings), self._rows, self._table, self._measured).limited(limits)

    def __reduce__(self) -> tuple[object, ...]:
        return _made_again, (type(self).__mro__[2], dict(self.__dict__))


@cache
def _listing(kind: type[SearchSpace]) -> type[SearchSpace]:
    """The class of lists of this kind of space, which goes by the name of the space's own."""
    return type(kind.__name__, (_Listed, kind), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})


def _made_again(kind: type[SearchSpace], state: dict[str, Any]) -> SearchSpace:
    made: SearchSpace = object.__new__(_listing(kind))
    made.__dict__.update(state)
    return made
