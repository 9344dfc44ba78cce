"""What the suite of spaces compares with: codes listed and counted one by one, without a space's own ways."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces import Codes, IntArray, SearchSpace


def all_valid_codes(space: SearchSpace, limit: int = 200_000) -> Codes | None:
    """Every valid combination of allowed values, listed without the space's help; None where there are too many."""
    values = [np.flatnonzero(row) for row in space.allowed]
    if math.prod(len(row) for row in values) > limit:
        return None
    grid = space.as_codes(list(product(*values)))
    return grid[space.valid(grid)]


def accepted_combinations(space: SearchSpace, n: int) -> Codes:
    """The valid ones among `n` random combinations of allowed values: uniform by construction."""
    rng = np.random.default_rng(9)
    columns = [rng.choice(np.flatnonzero(row), size=n) for row in space.allowed]
    codes = space.as_codes(np.stack(columns, axis=1))
    return codes[space.valid(codes)]


def shares(codes: Codes, values: int) -> NDArray[np.float64]:
    """How often each gene has each value, shape [genes, values]."""
    return (codes[:, :, None] == np.arange(values)).mean(axis=0)


def with_neighbours(space: SearchSpace, codes: Codes) -> Codes:
    """The codes that have a valid child one edit away."""
    return codes[np.unique(space.neighbours(codes)[1])]


def single_edits(space: SearchSpace, code: Codes) -> set[tuple[int, ...]]:
    """The valid codes one edit away, tried one by one."""
    found = set()
    for gene in range(space.genes):
        for value in np.flatnonzero(space.allowed[gene]):
            edited = code.copy()
            edited[gene] = value
            if value != code[gene] and space.valid(edited[None])[0]:
                found.add(tuple(edited.tolist()))
    return found


def labels(rows: NDArray[np.generic]) -> IntArray:
    """For each row, the place of the first equal one: what two arrays must share to agree on who equals whom."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first[inverse.ravel()]
