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
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalnas.errors import FrugalnasError, printable
from frugalnas.registry import constructor_options
from frugalnas.spaces import Codes, FloatArray, IntArray, SearchSpace
from frugalnas.trust import import_own


@dataclass(frozen=True)
class Trials:
    """Architectures that a strategy wants evaluated.

    Attributes:
        codes: shape [n, genes].
        ids: the strategy's own number for each trial, shape [n].
        group: which trials belong together, such as the pairs of RelativeNAS, shape [n]; None where each is by itself. Numbers
            mean something within one `ask`. A search joins no further trials to such a round, however many workers
            are idle, so that a strategy hears of it before it is asked again; one that wants more at once asks for more groups.
            A search that tells answers as they come takes no groups.
        fidelity: how thoroughly to evaluate, in the evaluator's units, such as epochs, more being more thorough, shape [n]; NaN
            in a row, and None: as thoroughly as it can. Only evaluators that take one are asked with it. A network at
            another fidelity is another query.
    """

    codes: Codes
    ids: IntArray
    group: IntArray | None = None
    fidelity: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: IntArray | Sequence[int] | slice) -> Trials:
        """The trials in `rows`."""
        group, fidelity = self.group, self.fidelity
        group, fidelity = None if group is None else group[rows], None if fidelity is None else fidelity[rows]
        return Trials(self.codes[rows], self.ids[rows], group, fidelity)

    def joined(self, more: Trials) -> Trials:
        """These and further ones of the same strategy.

        Groups of the two stay apart, under new numbers; a trial without one becomes a group of its own.
        """
        both, group, fidelity = (self, more), None, None
        if any(each.group is not None for each in both):
            own = [
                np.arange(len(each)) if each.group is None else np.unique(each.group, return_inverse=True)[1]
                for each in both
            ]
            group = np.concatenate([own[0], own[1] + own[0].max(initial=-1) + 1])
        if any(each.fidelity is not None for each in both):
            unsaid = [np.full(len(each), np.nan) if each.fidelity is None else each.fidelity for each in both]
            fidelity = np.concatenate(unsaid)
        codes, ids = np.concatenate([self.codes, more.codes]), np.concatenate([self.ids, more.ids])
        return Trials(codes, ids, group, fidelity)


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

    def take(self, rows: slice) -> Evaluations:
        """The evaluations in `rows`."""
        metrics = {name: column[rows] for name, column in self.metrics.items()}
        return Evaluations(self.values[rows], metrics, self.errors[rows])

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

    Child classes are only required to override `evaluate`; stateful ones override `state_dict` and `load_state_dict` too, where
    their runs are kept. An exception costs the row that raised it, not the run; one that
    says that the machine failed (disk, memory, permission) stops the run, which can be resumed.
    Constructor arguments are kept as attributes of the same name, so that a run folder can write them down and build the
    evaluator again.

    Attributes:
        vectorised: True where a whole round is best evaluated in one call; otherwise rows come one at a time.
        stateful: True where the answer depends on more than the network and the fidelity, such as on what was evaluated before;
            such an evaluator is never cached, and every answer of it is a query.
        takes_fidelity: True where it evaluates as thoroughly as `Trials.fidelity` says; others are not asked with one.
        optimum: the best value that any architecture has, where that is known.
        measures: the metrics that it returns, where it knows them beforehand.
        named_by: the option that says, in a word, what it answers from: a table, a score, a function.
        flat: fields of constructor arguments that are records or mappings, by the names that a person types: the argument, the
            field, and its type.
    """

    vectorised: bool = False
    stateful: bool = False
    takes_fidelity: bool = False
    optimum: float | None = None
    measures: tuple[str, ...] | None = None
    named_by: ClassVar[str] = ""
    flat: ClassVar[Mapping[str, tuple[str, str, Any]]] = {}

    @classmethod
    def nested(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the constructor takes them, from such that stand in a row; see `flat`.

        Example:
            >>> from frugalnas.trainings import TrainingEvaluator
            >>> TrainingEvaluator.nested({"data": "cifar10", "seed": 1, "epochs": 3, "lr": None})
            {'seed': 1, 'images': {'spec': 'cifar10'}, 'settings': {'epochs': 3}}
        """
        made = {name: value for name, value in options.items() if name not in cls.flat}
        for name in (name for name in options if name in cls.flat):
            part, field, _ = cls.flat[name]
            if options[name] is not None:
                made[part] = {**(made.get(part) or {}), field: options[name]}
        return made

    @classmethod
    def subject(cls, options: Mapping[str, Any]) -> str:
        """What it answers from, in a word, with these options; "": its own name."""
        unsaid = constructor_options(cls)[cls.named_by].default if cls.named_by else None
        return str(options.get(cls.named_by) or unsaid or "")

    @abstractmethod
    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The value of each trial; larger is better.

        Args:
            trials: what to evaluate.
            workdir: a folder of its own for this evaluation, kept with the run, where long trainings may leave
                checkpoints. It may not exist yet.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the answers of a stateful evaluator depend on: plain data that survives JSON exactly, and tensors by name.

        It is kept together with the strategy's state, and a resumed search goes back to the last of both.
        """
        raise NotImplementedError(f"{type(self).__name__} is stateful and has no state_dict()")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        raise NotImplementedError(f"{type(self).__name__} is stateful and has no load_state_dict()")


class FunctionEvaluator(Evaluator):
    """Any function from an architecture, in the space's notation, to a number.

    Args:
        space: the space whose notation is used.
        function: takes the architecture as text (what `space.format` writes) and returns the value to maximise, or a
            dict with "value" and further metrics. Either the function itself or its import path `package.module:name`.
    """

    named_by = "function"

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
