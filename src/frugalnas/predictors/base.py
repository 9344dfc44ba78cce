"""The contract of a predictor and of its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.interruption import interruptible
from frugalnas.spaces import Distinct, IntArray, Population, SearchSpace
from frugalnas.spaces.arrays import ranks

SMALLEST_DEVIATION = 1e-5
"""Logarithms in float32 that differ by less do not differ."""
FEATURES = "names, such as ('params', 'macs')"
"""What features are, for the error."""
FROM_ZERO = {"weight_decay", "clip", "encoder_lr", "head", "unlabelled"}
"""Options of predictors that may be 0."""
SHARES: Mapping[str, Callable[[float], bool]] = {
    "dropout": lambda share: 0 <= share < 1,
    "weight_of_value": lambda share: 0 <= share <= 1,
    "learning_rate": lambda share: 0 < share <= 1,
}
"""Options of predictors that lie between 0 and 1."""


@dataclass(frozen=True)
class Prediction:
    """What a predictor thinks of n architectures.

    Attributes:
        mean: expected value, shape [n].
        std: standard deviation, shape [n]; zeros from a predictor that gives none.
        members: the answers of an ensemble's members, shape [m, n]; None where there are no members.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    members: NDArray[np.float64] | None = None

    @classmethod
    def of_members(cls, members: NDArray[np.float64]) -> Prediction:
        """The prediction of an ensemble, `members` of shape [m, n]."""
        return cls(members.mean(axis=0), members.std(axis=0), members)

    def take(self, rows: IntArray) -> Prediction:
        """The prediction for the architectures in `rows`."""
        members = None if self.members is None else self.members[:, rows]
        return Prediction(self.mean[rows], self.std[rows], members)

    def supposing(self, row: int) -> Prediction:
        """The prediction once `row` had been evaluated and turned out as its mean.

        This is how a batch is chosen without waiting for its first answers (kriging believer; Ginsbourger et al., 2010).
        Here only `row` itself becomes certain; a predictor that knows how architectures hang together does better.
        """
        std = self.std.copy()
        std[row] = 0.0
        members = self.members
        if members is not None:
            members = members.copy()
            members[:, row] = self.mean[row]
        return replace(self, std=std, members=members)


class Predictor(ABC):
    """Learns from evaluated architectures what others are worth.

    Child classes are only required to override `fit` and `predict`. Constructor arguments are keyword-only and kept as
    attributes of the same name. Fitting is a pure function of its arguments and the seed: no state survives a refit, so
    that a resumed run continues exactly.

    One that learns from feature vectors gets them from `training_inputs` in `fit` and from `inputs` in `predict`, and has
    `encoding` and `features` that way.

    Attributes:
        encoding: the space's encoding that serves as features; None takes the space's recommendation.
        features: quantities that stand beside the encoding: what the space counts, "params" or "macs", which is free; and,
            for a study of what such knowledge would be worth, TABLE:ROLE, a column that somebody else's training
            measured, such as "nasbench201/cifar10:training_seconds" (`frugalnas.tables.known_quantities`).
        seed: of every random choice inside; a strategy sets it before each fit.
    """

    encoding: str | None = None
    features: tuple[str, ...] = ()
    seed: int = 0

    def prepare(self, space: SearchSpace) -> None:  # noqa: B027
        """Get ready for architectures of `space` before anything runs: load or pre-train what fits build on.

        Strategies call it when they are made, so that what does not fit the space is refused then. By default there is nothing
        to do; calling it again for the same space is cheap.
        """

    @abstractmethod
    def fit(self, population: Population, values: NDArray[np.float64]) -> Self:
        """Learn from `values`, shape [n], of the architectures in `population`; larger is better."""

    @abstractmethod
    def predict(self, population: Population) -> Prediction:
        """What the architectures in `population` are worth, in the units of the values."""

    def extended(self, population: Population, values: NDArray[np.float64]) -> Self | None:
        """This predictor with more labels, where that is much cheaper than a fit; None, the default, where it is not.

        A strategy that asks for few architectures at a time calls it between fits. The answer is another predictor, the same
        whether labels came one by one or together.

        Args:
            population: begins with the architectures that this predictor has learnt from.
            values: of all of them, shape [n].
        """
        return None

    def mean(self, population: Population) -> NDArray[np.float64]:
        """The mean that `predict` gives, up to rounding, shape [n]: what a large space is ranked by.

        A predictor whose means are much cheaper than its deviations overrides this.
        """
        return self.predict(population).mean

    def training_inputs(self, population: Population) -> NDArray[np.float32]:
        """The feature vectors to learn from, shape [n, d]; their scale is kept for `inputs`.

        Quantities are logarithms with the mean and deviation of `population` taken out; a quantity that is the same
        throughout stays at zero here and is not scaled elsewhere.
        """
        if self.features:
            quantities = population.encoded(self.encoding, self.features).all[:, -len(self.features) :]
            deviation = quantities.std(axis=0)
            self._scaling = quantities.mean(axis=0), np.where(deviation > SMALLEST_DEVIATION, deviation, 1.0)
        return self.inputs(population).all

    def inputs(self, population: Population) -> Distinct:
        """The feature vectors to answer for, each once; as many columns as `training_inputs` had."""
        encoded = population.encoded(self.encoding, self.features)
        if not self.features:
            return encoded
        mean, deviation = self._scaling
        rows = encoded.rows.copy()
        rows[:, -len(self.features) :] = (rows[:, -len(self.features) :] - mean) / deviation
        return Distinct(rows, encoded.inverse)


def fitted(predictor: Predictor, population: Population, values: NDArray[np.float64]) -> Predictor:
    """The predictor once it has learnt: what searches and studies call instead of `fit`, whoever wrote it.

    Raises:
        FrugalnasError: where `fit` returns something else than a predictor.
        KeyboardInterrupt: where the fit was interrupted, also if the library that it calls keeps that to itself.
    """
    with interruptible():
        answer = predictor.fit(population, values)
    if not isinstance(answer, Predictor):
        raise FrugalnasError(
            f"{type(predictor).__name__}.fit returned {shown(answer)}; it returns self once it has learnt"
        )
    return answer


def predicted(predictor: Predictor, population: Population) -> Prediction:
    """What a predictor says of a population: what searches and studies call instead of `predict`, whoever wrote it.

    Raises:
        FrugalnasError: for anything but a `Prediction` with a number for each architecture.
    """
    answer, n = predictor.predict(population), len(population)
    where, wanted = f"{type(predictor).__name__}.predict", f"it returns Prediction(mean, std), both of shape [{n}]"
    if not isinstance(answer, Prediction):
        raise FrugalnasError(f"{where} returned {shown(answer)}; {wanted}")
    for name, column in (("mean", answer.mean), ("std", answer.std)):
        _check_column(f"{where} returned a Prediction whose {name} is", column, n, wanted)
    if (np.asarray(answer.std) < 0).any():
        raise FrugalnasError(f"{where} returned a Prediction whose std is below 0; a standard deviation is 0 or more")
    if answer.members is not None and (np.ndim(answer.members) != 2 or np.shape(answer.members)[1] != n):
        raise FrugalnasError(
            f"{where} returned a Prediction whose members are {shown(answer.members)}; they have shape [m, {n}]"
        )
    return answer


def predicted_mean(predictor: Predictor, population: Population) -> NDArray[np.float64]:
    """The same for `mean`."""
    answer, n = predictor.mean(population), len(population)
    _check_column(f"{type(predictor).__name__}.mean returned", answer, n, f"it returns an array of shape [{n}]")
    return answer


def _check_column(what: str, column: object, n: int, wanted: str) -> None:
    if np.shape(column) != (n,) or np.asarray(column).dtype.kind not in "fiu":  # type: ignore[call-overload]
        raise FrugalnasError(f"{what} {shown(column)}; {wanted}")
    unknown = int(np.isnan(np.asarray(column)).sum())
    if unknown:
        raise FrugalnasError(f"{what} NaN for {unknown} of {n} architectures; {wanted}, of numbers")


def shown(value: object) -> str:
    """What somebody's method returned, in a few words."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {list(value.shape)} ({value.dtype})"
    text = repr(value)
    kind = "" if value is None else f" ({type(value).__name__})"
    return f"{text if len(text) <= 60 else text[:57] + '...'}{kind}"


def check_numbers(options: Mapping[str, object]) -> None:
    """Refuse counts below 1, shares that lie outside 0 to 1, and other numbers that are not above 0, where they may not be 0.

    Raises:
        FrugalnasError: naming the option.
    """
    fits: object
    for name, value in options.items():
        if name == "seed" or isinstance(value, bool) or not isinstance(value, (int, float, np.integer)):
            continue
        if name in SHARES:
            fits, wanted = SHARES[name](float(value)), "lies between 0 and 1"
        elif name in FROM_ZERO:
            fits, wanted = 0 <= value < np.inf, "is 0 or more"
        elif not isinstance(value, float):
            fits, wanted = value >= 1, "is at least 1"
        else:
            fits, wanted = 0 < value < np.inf, "is a number above 0"
        if not fits:
            raise FrugalnasError(f"{name} is {value}; it {wanted}")


def line_through(scores: NDArray[np.float64], targets: NDArray[np.floating]) -> tuple[float, float]:
    """Slope, never falling, and offset of the least-squares line that brings scores to targets, both shape [n]."""
    covariance = float(np.mean((scores - scores.mean()) * targets))
    slope = max(covariance, 0.0) / max(float(scores.var()), 1e-12)
    return slope, float(np.mean(targets)) - slope * float(scores.mean())


def check_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values` in double precision.

    Raises:
        FrugalnasError: where there are none, or one is not a finite number.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        raise FrugalnasError(
            "a predictor needs labels to be fitted to, and there are none; evaluate architectures first"
        )
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        raise FrugalnasError(
            f"{len(odd)} of {len(values)} labels are not finite numbers, the first in row {odd[0]} ({values[odd[0]]}); "
            f"leave these rows out"
        )
    return values


def normal_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a standard normal sample would have at the ranks of `values`, shape [n]; only their order matters."""
    from scipy.special import ndtri  # takes long to import

    return ndtri((ranks(values) - 0.5) / len(values))


def normal_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a normal sample of the same mean and deviation would have at the ranks of `values`, shape [n].

    Only the order of the values matters then, and not how far behind a few architectures that failed to train are; it is
    still in the units of the values.
    """
    scores = normal_scores(values)
    return values.mean() + scores * (values.std() / max(float(scores.std()), 1e-12))
