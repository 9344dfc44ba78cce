"""What can be searched for, by name: a value that is maximised, and costs that are minimised beside it."""

from __future__ import annotations

from dataclasses import dataclass

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.registry import STRATEGIES, constructor_options

VALUES = {"accuracy": "validation accuracy", "oracle-test": "oracle test accuracy"}
"""What is maximised, by name, and what reports call it."""


@dataclass(frozen=True)
class Cost:
    """Something that is minimised.

    Attributes:
        metric: the evaluator's metric, or the quantity that the space counts.
        label: what reports call it.
        unit: that it is shown in.
        scale: what a metric is divided by for that unit.
    """

    metric: str
    label: str
    unit: str
    scale: float = 1.0

    @property
    def title(self) -> str:
        """Name and unit, for axes and columns."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


COSTS = {
    "latency": Cost("latency_ms", "latency", "ms"),
    "training-time": Cost("training_seconds", "training time", "s"),
    "params": Cost("params", "parameters", "M", 1e6),
    "macs": Cost("macs", "multiply-adds", "M", 1e6),
}
"""The costs that can be named beside the value."""


def parse_objectives(text: str) -> tuple[str, tuple[str, ...]]:
    """The value and the metrics of the costs that a text such as `accuracy,latency` names.

    Raises:
        FrugalnasError: for an unknown name, one that is there twice, and a list with no value or two.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in VALUES and name not in COSTS:
            raise unknown_name("objective", name, [*VALUES, *COSTS])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FrugalnasError(f"`objectives` {text} names {twice} twice; name each once")
    values = [name for name in names if name in VALUES]
    if len(values) != 1:
        raise FrugalnasError(
            f"`objectives` {text}: one objective is {' or '.join(VALUES)}, the others are costs ({', '.join(COSTS)}); "
            f"write for example accuracy,latency"
        )
    return values[0], tuple(COSTS[name].metric for name in names if name in COSTS)


def cost_named(metric: str) -> Cost:
    """How a metric or quantity is shown; one that nobody described stands for itself."""
    return next((cost for cost in COSTS.values() if cost.metric == metric), Cost(metric, metric, ""))


def supporting_strategies() -> list[str]:
    """The named strategies that take costs."""
    return [name for name in STRATEGIES.targets if "costs" in constructor_options(STRATEGIES.resolve(name))]
