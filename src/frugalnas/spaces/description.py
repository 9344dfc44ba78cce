"""How a space is made, as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.spaces.base import SearchSpace

__all__ = ["described_space"]


def described_space(space: SearchSpace) -> dict[str, Any]:
    """The description from which `SPACES.create` makes the space, its limits aside.

    Raises:
        FrugalnasError: where another space would come out, as the class has arguments that are not keyword-only.
    """
    described = SPACES.describe(space)
    again: SearchSpace = SPACES.create(described)
    if not np.array_equal(again.allowed, (space._whole or space).allowed):
        raise FrugalnasError(
            f"{described['name']} with the options {described['options']} is another space than this one; take what makes "
            f"them differ as keyword-only arguments, and keep these as attributes"
        )
    return described
