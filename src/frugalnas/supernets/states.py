"""A cell's states and their sums, computed once however many operations read them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["State", "added"]


class State:
    """What stands at a node of a cell.

    Operations begin with a ReLU; those that read one state share it.

    Args:
        features: shape [n, channels, height, width].
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._activated: Tensor | None = None

    def through(self, operation: nn.Module) -> Tensor:
        """What an operation makes of the state."""
        steps = list(getattr(operation, "op", ()))
        if not steps or not isinstance(steps[0], nn.ReLU):
            out: Tensor = operation(self.features)
            return out
        if self._activated is None:
            self._activated = steps[0](self.features)
        out = self._activated
        for step in steps[1:]:
            out = step(out)
        return out


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    total = parts[0]
    for place, part in enumerate(parts[1:]):
        total = total.add_(part) if place else total + part  # in place once it is nobody else's
    return total
