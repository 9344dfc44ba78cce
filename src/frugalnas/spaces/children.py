"""Children of architectures by random edits, for whole populations at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from frugalnas.spaces.arrays import BoolArray, Codes


def retried(
    codes: Codes, attempt: Callable[[Codes], Codes], valid: Callable[[Codes], BoolArray], rounds: int
) -> tuple[Codes, NDArray[np.intp]]:
    """Attempts at a child of each row, again until one is valid and differs from it: the children, and who found none.

    Shapes [n, genes] and [rows]; a row without child in so many rounds is returned as it was.
    """
    children = codes.copy()
    waiting = np.arange(len(codes))
    for _ in range(rounds):
        if not waiting.size:
            break
        parents = codes[waiting]
        tried = attempt(parents)
        done = valid(tried) & (tried != parents).any(axis=1)
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
