"""How far what architectures cost goes down or up within a space, one edit at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from frugalnas.spaces.base import SearchSpace


def reached(space: SearchSpace, quantity: str, *, least: bool) -> float:
    """The least or the largest amount of a quantity to which single edits lead that keep the space's limits.

    It is where no neighbour has less, or more; there may be an architecture further off that has.
    """
    sign = -1 if least else 1
    code = space.sample(1, np.random.default_rng(0))
    amount = sign * float(space.count(quantity, code)[0])
    while True:
        near, _ = space.neighbours(code)
        amounts = sign * space.count(quantity, near)
        if not len(near) or amounts.max() <= amount:
            return sign * amount
        best = int(amounts.argmax())
        amount, code = float(amounts[best]), near[best][None]
