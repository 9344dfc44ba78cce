"""Children of architectures by random edits, for whole populations at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.arrays import BoolArray, Codes

if TYPE_CHECKING:
    from frugalnas.spaces.base import SearchSpace

__all__ = ["edited", "guessed_children"]


def guessed_children(
    space: SearchSpace, codes: Codes, rng: np.random.Generator, edits: int, rounds: int
) -> tuple[Codes, NDArray[np.intp]]:
    """Random edits, again until the child is valid: the children, and the rows that found none in so many rounds.

    Shapes [n, genes] and [rows]; a row without child is returned as it was.

    Raises:
        FrugalnasError: where the space has one architecture only.
    """
    if not (space.allowed.sum(axis=1) > 1).any():
        raise FrugalnasError(f"{space.name} leaves nothing to mutate: every gene has one allowed value")
    children = codes.copy()
    waiting = np.arange(len(codes))
    for _ in range(rounds):
        if not waiting.size:
            break
        tried = codes[waiting]
        for _ in range(edits):
            tried = edited(space.allowed, tried, rng)
        done = space.valid(tried) & (tried != codes[waiting]).any(axis=1)
        children[waiting[done]] = tried[done]
        waiting = waiting[~done]
    return children, waiting


def edited(allowed: BoolArray, codes: Codes, rng: np.random.Generator) -> Codes:
    """Each row with one gene changed to another allowed value, valid or not, shape [n, genes].

    The gene is uniform among those with a choice, the value among the others allowed there.
    """
    free = np.flatnonzero(allowed.sum(axis=1) > 1)
    rows = np.arange(len(codes))
    changed = codes.copy()
    gene = free[rng.integers(free.size, size=len(codes))]
    weight = allowed[gene].copy()
    weight[rows, changed[rows, gene]] = False
    # The allowed value with the largest of random keys is a uniform choice in every row at once.
    changed[rows, gene] = np.argmax(rng.random(weight.shape) * weight, axis=1)
    return changed
