"""Children of architectures as NPENAS draws them (Wei et al., arXiv 2003.12857), for whole populations at once.

Its three spaces have an operator each, none of them a uniform edit:

- NAS-Bench-101: every edge between live vertices appears or disappears with probability 1 / V, every live operation
  changes with probability 1 / (V - 2), where V counts the live vertices. What is not live never comes back, so that cells
  do not grow; with `padded` all seven vertices take part, and they do.
- NAS-Bench-201: a node is drawn, then one of the edges into it, which gets another operation. The one edge into the first
  node is drawn three times as often as one of three into the last.
- DARTS: two edits, each of a cell's input: another operation, which may be the old one, or another state, which changes
  nothing where the node's other input reads it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from frugalnas.errors import one_of
from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.cells101 import EDGES, OUTPUT, SOURCE, TARGET, live_parts, pruned
from frugalnas.spaces.children import retried
from frugalnas.spaces.darts import NODE, OPS

ROUNDS = 50
"""Tries after which a row counts as without child. The program makes 500 on NAS-Bench-101; a parent has a hundred rows."""
DARTS_EDITS = 2

Operator = Callable[[SearchSpace, Codes, np.random.Generator, bool], Codes]


def paper_mutants(space: SearchSpace, codes: Codes, rng: np.random.Generator, *, padded: bool = False) -> Codes:
    """One valid child of each row, shape [n, genes]; the row itself where 50 tries found none that differs from it.

    Args:
        space: one of the three that NPENAS searched, limits included.
        codes: the parents.
        rng: draws the edits.
        padded: NAS-Bench-101 only: all seven vertices take part, not the live ones alone.
    """
    one_of("space with a mutation of NPENAS's paper", space.name, PAPER_MUTATIONS)
    operator = PAPER_MUTATIONS[space.name]
    return retried(space.as_codes(codes), lambda parents: operator(space, parents, rng, padded), space.valid, ROUNDS)[0]


def _nasbench101(space: SearchSpace, codes: Codes, rng: np.random.Generator, padded: bool) -> Codes:
    cells = pruned(codes)
    live = np.ones((len(cells), OUTPUT + 1), np.bool_) if padded else live_parts(cells)[1]
    vertices = live.sum(axis=1, keepdims=True)
    flipped = rng.random((len(cells), EDGES)) < 1 / vertices
    cells[:, :EDGES] ^= flipped & live[:, SOURCE] & live[:, TARGET]
    changed = rng.random((len(cells), OUTPUT - 1)) * np.maximum(vertices - 2, 1) < 1
    changed &= live[:, 1:OUTPUT]
    others = (cells[:, EDGES:] + rng.integers(1, 3, size=changed.shape)) % 3
    cells[:, EDGES:] = np.where(changed, others, cells[:, EDGES:])
    return cells


def _nasbench201(space: SearchSpace, codes: Codes, rng: np.random.Generator, padded: bool) -> Codes:
    node = rng.integers(1, 4, size=len(codes))
    edge = node * (node - 1) // 2 + (rng.random(len(codes)) * node).astype(np.intp)
    rows = np.arange(len(codes))
    children = codes.copy()
    children[rows, edge] = (codes[rows, edge] + rng.integers(1, 5, size=len(codes))) % 5
    return children


def _darts(space: SearchSpace, codes: Codes, rng: np.random.Generator, padded: bool) -> Codes:
    rows = np.arange(len(codes))
    usable = np.unique(np.nonzero(space.allowed)[1] % OPS)
    children = codes.copy()
    for _ in range(DARTS_EDITS):
        gene = rng.integers(len(NODE), size=len(codes))
        state, operation = np.divmod(children[rows, gene], OPS)
        other = children[rows, gene ^ 1] // OPS
        drawn = (rng.random(len(codes)) * NODE[gene]).astype(np.int8)
        moved = np.where(drawn == other, state, drawn) * OPS + operation
        renamed = state * OPS + rng.choice(usable, size=len(codes))
        children[rows, gene] = np.where(rng.random(len(codes)) < 0.5, moved, renamed)
    return children


PAPER_MUTATIONS: dict[str, Operator] = {"nasbench101": _nasbench101, "nasbench201": _nasbench201, "darts": _darts}
"""What draws one attempt for each row, valid or not, by space."""
