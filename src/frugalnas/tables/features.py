"""What a table measured of architectures besides their accuracy, as quantities for a predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.tables.catalogue import open_table

Quantity = Callable[[Codes], NDArray[np.float64]]

COSTS = ("training_seconds", "latency_ms", "params", "macs")
"""Columns that do not tell how good an architecture is; all others would tell a search the answer."""


def known_quantities(space: SearchSpace, features: Sequence[str]) -> dict[str, Quantity]:
    """A function of codes for every feature TABLE:ROLE, by its name; those that the space counts need none.

    Parameters and multiply-adds are counted before anything is trained. Training time is measured by training: a search
    that knows it of architectures that it has not evaluated knows what it could not know, and its queries do not
    compare with those of one that does not. As a study, of what a good model of training time would be worth, it assumes
    such a model for free. The same holds for a measured latency, unless somebody has measured the whole space before.

    Args:
        space: that is searched.
        features: of a predictor.

    Raises:
        FrugalnasError: for a quantity that the space does not count, an unknown table, a table of another space, a column
            that it does not have, or one of accuracies.
    """
    known = {}
    for feature in features:
        name, colon, role = feature.rpartition(":")
        if colon:
            known[feature] = _column(space, name, role)
        elif feature not in space.quantities:
            hint = f", or a column as TABLE:ROLE, such as {space.name}/cifar10:training_seconds"
            raise unknown_name(f"feature of {space.name}", feature, space.quantities or ["(it counts nothing)"], hint)
    return known


def _column(space: SearchSpace, name: str, role: str) -> Quantity:
    if role not in COSTS:
        raise FrugalnasError(
            f"{role!r} of {name} cannot be a feature: a predictor that sees accuracies of architectures that were not "
            f"evaluated predicts nothing; choose one of: {', '.join(COSTS)}"
        )
    table = open_table(name)
    if table.space.name != space.name:
        raise FrugalnasError(f"{name} describes {table.space.name}, but {space.name} is searched; name a table of that")
    values = table.labels(role)

    def look_up(codes: Codes) -> NDArray[np.float64]:
        rows = table.rows(codes)
        found = np.where(rows >= 0, values[rows], np.nan)
        if not np.isfinite(found).all():
            missing = space.format(codes[int(np.argmin(np.isfinite(found)))])
            raise FrugalnasError(f"{name} has no {role} of {missing}; leave {name}:{role} out of the features")
        return found

    return look_up
