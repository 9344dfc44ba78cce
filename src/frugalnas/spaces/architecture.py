"""One architecture, together with the space that says how large its network is."""

from __future__ import annotations

from dataclasses import dataclass

from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.base import SearchSpace


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
