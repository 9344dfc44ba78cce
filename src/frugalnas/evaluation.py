"""What a strategy asks for and what it is told: the records that pass between them, and who answers.

`Trials` go from a strategy to an `Evaluator`, `Evaluations` come back. The same two records serve a table
(microseconds an architecture), a supernet (seconds) and real training (hours).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.errors import FrugalnasError, printable
from frugalnas.registry import import_own
from frugalnas.spaces import Codes, IntArray, SearchSpace

__all__ = ["Evaluations", "Evaluator", "FunctionEvaluator", "Trials"]


@dataclass(frozen=True)
class Trials:
    """Architectures that a strategy wants evaluated.

    Attributes:
        codes: shape [n, genes].
        ids: the strategy's own number for each trial, shape [n].
    """

    codes: Codes
    ids: IntArray

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: IntArray | Sequence[int] | slice) -> Trials:
        """The trials in `rows`."""
        return Trials(self.codes[rows], self.ids[rows])


@dataclass(frozen=True)
class Evaluations:
    """What became of trials, row by row.

    A value that is not finite is a failure, whether or not the evaluator says so.

    Attributes:
        values: what is maximised, NaN where the evaluation failed, float64, shape [n].
        metrics: further measurements by name, each of shape [n]; never test metrics. What is no number is left out with a
            warning.
        errors: why a row failed, None where it did not; length n.
    """

    values: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    errors: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        values = np.array(self.values, np.float64)
        if values.ndim != 1:
            raise FrugalnasError(f"evaluation values have shape [n], not {list(values.shape)}")
        errors = self.errors or (None,) * len(values)
        metrics = numeric(self.metrics)
        if len(errors) != len(values) or any(column.shape != values.shape for column in metrics.values()):
            raise FrugalnasError(f"{len(values)} values need as many errors and metrics")
        finite = np.isfinite(values)
        if errors.count(None) < len(errors) or not finite.all():
            errors = tuple(
                (None if fine else f"the evaluator returned {value}") if error is None else printable(str(error))
                for value, fine, error in zip(values, finite, errors, strict=True)
            )
            values[[error is not None for error in errors]] = np.nan
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "metrics", metrics)
        object.__setattr__(self, "errors", errors)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which rows have a value, shape [n]."""
        return np.isfinite(self.values)

    @classmethod
    def failed(cls, n: int, why: str) -> Evaluations:
        """`n` rows that failed for the same reason."""
        return cls(np.full(n, np.nan), {}, (why,) * n)


def numeric(metrics: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """The metrics that are numbers; of others a warning says that they are not kept."""
    kept = {}
    for name, column in metrics.items():
        try:
            kept[str(name)] = np.asarray(column, np.float64)
        except (TypeError, ValueError):
            warnings.warn(f"the metric {name!r} is no number, so it is not kept", stacklevel=4)
    return kept


class Evaluator(ABC):
    """Whatever can say how good an architecture is.

    Child classes are only required to override `evaluate`. An exception costs the row that raised it, not the run; one that
    says that the machine failed (disk, memory, permission) stops the run, which can be resumed.
    Constructor arguments are kept as attributes of the same name, so that a run folder can write them down and build the
    evaluator again.

    Attributes:
        vectorised: True where a whole round is best evaluated in one call; otherwise rows come one at a time.
        stateful: True where the answer depends on what was evaluated before; such an evaluator is never cached.
        optimum: the best value that any architecture has, where that is known.
        measures: the metrics that it returns, where it knows them beforehand.
    """

    vectorised: bool = False
    stateful: bool = False
    optimum: float | None = None
    measures: tuple[str, ...] | None = None

    @abstractmethod
    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The value of each trial; larger is better.

        Args:
            trials: what to evaluate.
            workdir: a folder of its own for this evaluation, kept with the run, where long trainings may leave
                checkpoints. It may not exist yet.
        """


class FunctionEvaluator(Evaluator):
    """Any function from an architecture, in the space's notation, to a number.

    Args:
        space: the space whose notation is used.
        function: takes the architecture as text (what `space.format` writes) and returns the value to maximise, or a
            dict with "value" and further metrics. Either the function itself or its import path `package.module:name`.
    """

    def __init__(self, space: SearchSpace, *, function: str | Callable[[str], float | Mapping[str, float]]) -> None:
        self._call = import_own("function", function, given=True) if isinstance(function, str) else function
        if not callable(self._call):
            raise FrugalnasError(f"{function!r} is not a function of an architecture string")
        self.space = space
        self.function = function if isinstance(function, str) else _import_path(function)

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """One call per trial."""
        answers = [self._call(self.space.format(code)) for code in trials.codes]
        records = [answer if isinstance(answer, Mapping) else {"value": answer} for answer in answers]
        for record in records:
            if "value" not in record:
                raise FrugalnasError(
                    f"{self.function} returned a dict without 'value'; it has {', '.join(map(str, record))}"
                )
            if record["value"] is None or isinstance(record["value"], (tuple, list)):
                came = "None" if record["value"] is None else f"a {type(record['value']).__name__}"
                raise FrugalnasError(
                    f"{self.function} returned {came}; return a number, or a dict with 'value' and further metrics"
                )
        names = sorted({str(name) for record in records for name in record if name != "value"})
        return Evaluations(
            np.array([record["value"] for record in records], np.float64),
            {name: [record.get(name, np.nan) for record in records] for name in names},  # type: ignore[misc]
        )


def _import_path(function: Callable[..., object]) -> str:
    """Where a function is found; bound methods and objects without a name are marked as local ones are."""
    named = hasattr(function, "__qualname__") and not hasattr(function, "__self__")
    name = function.__qualname__ if named else f"{type(function).__qualname__}.<locals>"
    return f"{getattr(function, '__module__', type(function).__module__)}:{name}"
