"""A Gaussian process on architecture features or on edit distances, small and exact."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, each_once, one_of
from frugalnas.predictors.base import FEATURES, Prediction, Predictor, check_values, normal_values
from frugalnas.predictors.kernels import edit_features
from frugalnas.predictors.pretrained import Pretrained, read_pretrained
from frugalnas.spaces import Distinct, IntArray, Population, SearchSpace

Kernel = Literal["matern", "adjacency", "nasbot", "path", "position-path"]
Matrix = NDArray[np.float64]
Real = NDArray[np.floating]
"""Double precision, or single where many means are wanted."""

JITTER = 1e-6
"""Added to the diagonal, in units of the signal variance, so that repeated features stay factorisable."""
CACHED = 512
"""Feature vectors whose covariances with labels are computed at a time."""
BLOCK = 4096
"""Feature vectors whose means are computed at a time."""
CONDITIONED_ON = 1000
"""Of more labels than this the better half of the room goes to the best, the rest to the others, evenly by rank."""
TUNED_ON = 256
"""Length scale and noise are two numbers: of more labels than this, evenly spaced ones by rank determine them."""
EXTENDED_BY = 10
"""Labels that a process is made room for at a time."""
NOISE_PRIOR = -2.0
"""Prior mean of log(noise / signal) of the standard deviations: a network's accuracy repeats to about a seventh."""


@dataclass(kw_only=True, eq=False)
class GaussianProcess(Predictor):
    """Gaussian process on features or edit distances; length scale and noise maximise the marginal likelihood.

    The signal variance is profiled out. Length scale and noise have log-normal priors of width one, around the spread of
    the features and around a noise of exp(-2), which keep ten labels from talking themselves into certainty. Fitting
    costs a few factorisations of a matrix of at most 256 by 256 and one of n by n, n at most 1,000, predicting one product
    with the m distinct feature vectors, which `mean` does in single precision and in blocks.

    Args:
        kernel: matern, on the encoding and features; the others are exp(-distance / length^2) of an edit distance, as in
            NPENAS's comparison: adjacency, edges and operations that differ; nasbot, differences of sorted numbers of
            edges in and out and of operations; path and position-path, differing bits of these encodings.
        smoothness: of matern: 0.5, 1.5 or 2.5: how many derivatives the function is thought to have (Rasmussen and
            Williams, 2006, section 4.2.1).
        encoding: features; None takes the space's recommendation. Edit distances have their own.
        features: quantities beside the encoding: params, macs, or TABLE:ROLE (see `Predictor`).
        pretrained: ss-ccl, ss-rl or the folder of a run of `frugalnas pretrain`: features are the vectors of this encoder, which
            has learnt the space without accuracies. Where encoding or features are named they stand beside, and both
            parts get the same variance among the labelled architectures.
        ranks: learn from the order of the values alone, brought to their mean and deviation: a few architectures that
            failed to train do not stretch everything then. Strategies give ranks already.
        seed: not used, the fit is deterministic.

    Attributes:
        variance: of the signal, in the square of the labels' unit, once fitted.
        noise: variance of the labels around it, in units of the signal's.
    """

    kernel: Kernel = "matern"
    smoothness: float = 1.5
    encoding: str | None = None
    features: tuple[str, ...] = ()
    pretrained: str | None = None
    ranks: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("kernel", self.kernel, get_args(Kernel))
        if self.kernel != "matern" and (self.encoding or self.features or self.pretrained):
            raise FrugalnasError(
                f"the kernel {self.kernel} has features of its own; leave encoding, features and pretrained out, or take matern"
            )
        if self.smoothness not in (0.5, 1.5, 2.5):
            raise FrugalnasError(f"smoothness is 0.5, 1.5 or 2.5, not {self.smoothness!r}")
        self.features = each_once("features", self.features, FEATURES)
        self.pretrained = None if self.pretrained is None else os.fspath(self.pretrained)
        self._learnt: Pretrained | None = None
        self._known: _Candidates | None = None
        self._spreads = 1.0, 1.0

    @property
    def length_scale(self) -> float:
        """The distance over which labels are alike, in units of the features', once fitted."""
        return float(np.exp(self._log_scale))

    def prepare(self, space: SearchSpace) -> None:
        """Read the pre-trained encoder, or pre-train it where it is named by its task and nobody did before."""
        self._learnt = read_pretrained(self.pretrained, space, self._learnt)

    def fit(self, population: Population, values: Matrix) -> Self:
        """Condition on `values`, shape [n]."""
        self.prepare(population.space)
        from scipy.optimize import minimize  # scipy takes half a second to import

        values = check_values(values)
        if self.ranks:
            values = normal_values(values)
        kept = best_and_others(values, CONDITIONED_ON)
        self._features = self.training_inputs(population)[kept].astype(np.float64)
        self._offset = float(np.mean(values))
        centred = values[kept] - self._offset
        squares = _squared_distances(self._features, self._features)
        self._prior_log_scale = 0.5 * np.log(max(float(squares.mean()), 1e-12))
        start = np.array([self._prior_log_scale, NOISE_PRIOR])
        tuned_on = _evenly_by_rank(centred, TUNED_ON)
        sample = squares[np.ix_(tuned_on, tuned_on)], centred[tuned_on]
        found = minimize(self._loss, start, args=sample, jac=True, method="L-BFGS-B")
        self._log_scale, log_noise = found.x
        self.noise = float(np.exp(2 * log_noise)) + JITTER
        gram = self._kernel(squares)
        gram[np.diag_indices_from(gram)] += self.noise
        self._factor = _factor_of(gram)
        self._tuned, self._known = len(kept), None
        return self._conditioned(centred)

    def extended(self, population: Population, values: Matrix) -> Self | None:
        """The process with more labels; length scale and noise stay, and a label adds a row to the factor."""
        from scipy.linalg import solve_triangular

        if self.ranks or len(values) > CONDITIONED_ON:
            return None
        values, grown = check_values(values), copy.copy(self)
        told = len(self._features)
        new = self.inputs(population.take(np.arange(told, len(values)))).all.astype(np.float64)
        rows = np.concatenate([self._features, new])
        for n in range(told, len(rows)):
            cross = self._kernel(_squared_distances(rows[n : n + 1], rows[:n]))[0]
            below = solve_triangular(grown._factor, cross, lower=True, check_finite=False)
            factor = np.zeros((n + 1, n + 1))
            factor[:n, :n], factor[n, :n] = grown._factor, below
            factor[n, n] = np.sqrt(max(1.0 + self.noise - float(below @ below), JITTER))
            grown._factor = factor
        grown._features, grown._offset = rows, float(np.mean(values))
        self._known = None  # what is known of candidates goes on with the new one
        return grown._conditioned(values - grown._offset)

    def _conditioned(self, centred: Matrix) -> Self:
        from scipy.linalg.lapack import dpotrs

        self._weights = dpotrs(self._factor, centred, lower=1)[0]
        self.variance = max(float(centred @ self._weights) / len(centred), 1e-12)
        return self

    def predict(self, population: Population) -> Prediction:
        """Posterior mean and standard deviation of the noise-free value."""
        if self._known is None or self._known.population is not population:
            self._known = _Candidates(self, population)
        self._known.extend(self)
        whitened, variance = self._known.whitened[: len(self._factor)], self._known.variance.copy()
        mean = self._offset + (self._factor.T @ self._weights) @ whitened
        known = _Known(self._known.distinct, self._known.features, whitened, variance, mean)
        return _Posterior.build(self, known)

    def mean(self, population: Population) -> Matrix:
        """Posterior mean in single precision, shape [n]."""
        candidates = self.inputs(population)
        features, weights = self._features.astype(np.float32), self._weights.astype(np.float32)
        blocks = [candidates.rows[start : start + BLOCK] for start in range(0, len(candidates.rows), BLOCK)]
        means = [self._kernel(_squared_distances(block, features)) @ weights for block in blocks]
        distinct = self._offset + np.concatenate([*means, np.zeros(0, np.float32)]).astype(np.float64)
        return distinct[candidates.inverse]

    def training_inputs(self, population: Population) -> NDArray[np.float32]:
        """The feature vectors to learn from, shape [n, d]; an encoder's columns and others vary alike."""
        self._spreads = 1.0, 1.0
        rows = super().training_inputs(population)
        if self._learnt is None or not (self.encoding or self.features):
            return rows
        width = self._learnt.encoder.width
        variances = rows.var(axis=0)
        parts = (float(part.sum()) for part in (variances[:width], variances[width:]))
        one, other = (part**0.5 if part > 0 else 1.0 for part in parts)
        self._spreads = one, other
        spreads: NDArray[np.float32] = np.repeat(np.array([one, other], np.float32), [width, rows.shape[1] - width])
        return rows / spreads

    def inputs(self, population: Population) -> Distinct:
        """Encoding and features, an encoder's vectors, or 0/1 vectors whose squared distances are the kernel's."""
        if self.kernel != "matern":
            return edit_features(population, self.kernel)
        if self._learnt is None:
            return super().inputs(population)
        vectors = self._learnt.embedded(population)
        if not (self.encoding or self.features):
            return vectors
        others = super().inputs(population)
        pairs, inverse = np.unique(vectors.inverse * len(others.rows) + others.inverse, return_inverse=True)
        one, other = np.divmod(pairs, len(others.rows))
        parts = [vectors.rows[one] / self._spreads[0], others.rows[other] / self._spreads[1]]
        return Distinct(np.concatenate(parts, axis=1).astype(np.float32), inverse.ravel())

    def _kernel(self, squares: Matrix) -> Matrix:
        """Kernel values, computed in place of the squared distances."""
        np.sqrt(squares, out=squares)
        squares *= squares.dtype.type(np.exp(-self._log_scale))
        return self._shape(squares)[0]

    def _shape(self, distances: Matrix, *, sloping: bool = False) -> tuple[Matrix, Matrix | None]:
        """Kernel values, in place of distances in length scales, and their derivative by the log of the length scale."""
        if self.kernel == "matern":
            return _matern(distances, self.smoothness, sloping)
        kernel: Matrix = np.exp(-distances * distances)
        return kernel, 2.0 * distances * distances * kernel if sloping else None

    def _loss(self, parameters: Matrix, squares: Matrix, centred: Matrix) -> tuple[float, Matrix]:
        """Negative log marginal likelihood plus priors, and its gradient, by log length scale and log noise."""
        from scipy.linalg.lapack import dpotrs

        log_scale, log_noise = np.clip(parameters, -12.0, 12.0)
        n = len(centred)
        distances = np.sqrt(squares) * np.exp(-log_scale)
        gram, slope = self._shape(distances, sloping=True)
        noise = np.exp(2 * log_noise)
        gram[np.diag_indices(n)] += noise + JITTER
        factor = _factor_of(gram)
        weights = dpotrs(factor, centred, lower=1)[0]
        fit = max(float(centred @ weights), 1e-12)
        inverse = dpotrs(factor, np.eye(n, order="F"), lower=1, overwrite_b=1)[0]
        # d log|K| = tr(K^-1 dK); d log(y' K^-1 y) = -w' dK w / (y' K^-1 y).
        sensitivity = 0.5 * inverse - 0.5 * n / fit * np.outer(weights, weights)
        deviations = np.array([log_scale - self._prior_log_scale, log_noise - NOISE_PRIOR])
        loss = 0.5 * n * np.log(fit) + np.log(np.diag(factor)).sum() + 0.5 * deviations @ deviations
        gradient = np.array([np.sum(sensitivity * slope), 2 * noise * np.trace(sensitivity)]) + deviations
        return float(loss), gradient


class _Candidates:
    """What a process knows of a population that it is asked about again: a label more adds a row.

    The first rows are those of the labels at the last fit, so that they are the same whenever they are computed.

    Attributes:
        population: which.
        distinct: its feature vectors, each once; `features` are the same in double precision.
        whitened: covariances with the labels, the factor divided out, shape [labels or more, m].
        variance: what is left of each, in units of the signal variance, shape [m].
    """

    def __init__(self, process: GaussianProcess, population: Population) -> None:
        self.population = population
        self.distinct = process.inputs(population)
        self.features = self.distinct.rows.astype(np.float64)
        self.norms = np.einsum("ij,ij->i", self.features, self.features)
        self.rows = process._tuned
        told = process._features[: self.rows]
        # In the order of the routine that divides by the factor, and in pieces that stay in the processor's cache.
        from scipy.linalg import solve_triangular

        towards, norms = -2 * told.T, np.einsum("ij,ij->i", told, told)
        cross = np.empty((self.rows, len(self.features)), order="F")
        for start in range(0, len(self.features), CACHED):
            rows = slice(start, start + CACHED)
            squares = np.matmul(self.features[rows], towards, out=cross.T[rows])
            squares += norms
            squares += self.norms[rows, None]
            covariances = process._kernel(np.maximum(squares, 0.0, out=squares))
            if covariances is not squares:
                squares[...] = covariances
        factor = process._factor[: self.rows, : self.rows]
        self.whitened: Matrix = solve_triangular(factor, cross, lower=True, overwrite_b=True, check_finite=False)
        self.variance = 1.0 - np.einsum("ij,ij->j", self.whitened, self.whitened)

    def extend(self, process: GaussianProcess) -> None:
        """Add the rows of labels that came since."""
        factor = process._factor
        for n in range(self.rows, len(factor)):
            if n == len(self.whitened):
                room = np.empty((max(EXTENDED_BY, n // EXTENDED_BY), self.whitened.shape[1]))
                self.whitened = np.concatenate([self.whitened, room])
            new: Matrix = process._features[n]
            squares = self.norms - self.features @ (2 * new) + float(np.dot(new, new))
            step = process._kernel(np.maximum(squares, 0.0))
            step -= factor[n, :n] @ self.whitened[:n]
            step /= factor[n, n]
            self.whitened[n] = step
            self.variance -= step**2
        self.rows = len(factor)


class _Known(NamedTuple):
    """What a process says of feature vectors, each once.

    Attributes:
        distinct: which; `features` are the same in double precision.
        whitened: covariances with the labels, the factor divided out, shape [labels, m].
        variance: what is left of each, in units of the signal variance, shape [m].
        mean: of each, shape [m].
    """

    distinct: Distinct
    features: Matrix
    whitened: Matrix
    variance: Matrix
    mean: Matrix


@dataclass(frozen=True, kw_only=True)
class _Posterior(Prediction):
    """A Gaussian process's prediction, which also knows the covariances and so what one more label would change.

    Attributes:
        process: which.
        known: of the feature vectors that were asked about.
    """

    process: GaussianProcess
    known: _Known

    @classmethod
    def build(cls, process: GaussianProcess, known: _Known) -> _Posterior:
        known = known._replace(variance=np.maximum(known.variance, 1e-12))
        std, inverse = np.sqrt(known.variance * process.variance), known.distinct.inverse
        return cls(known.mean[inverse], std[inverse], process=process, known=known)

    def take(self, rows: IntArray) -> Prediction:
        """The posterior of the architectures in `rows`, covariances included."""
        distinct, features, whitened, variance, mean = self.known
        kept, inverse = np.unique(distinct.inverse[rows], return_inverse=True)
        part = Distinct(distinct.rows[kept], inverse.ravel())
        return self.build(self.process, _Known(part, features[kept], whitened[:, kept], variance[kept], mean[kept]))

    def supposing(self, row: int) -> Prediction:
        """The posterior after observing `row` at its mean: means stay, variances shrink around it."""
        process, known = self.process, self.known
        chosen = int(known.distinct.inverse[row])
        prior = process._kernel(_squared_distances(known.features[chosen : chosen + 1], known.features))[0]
        covariance = prior - known.whitened[:, chosen] @ known.whitened
        step = covariance / np.sqrt(known.variance[chosen] + process.noise)
        grown = np.vstack([known.whitened, step])
        return self.build(process, known._replace(whitened=grown, variance=known.variance - step**2))


def best_and_others(values: Matrix, most: int) -> IntArray:
    """Up to `most` places: the best half of them, and others evenly spaced by rank, in the order given."""
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    best, others = order[-(most // 2) :], order[: -(most // 2)]
    return np.sort(np.concatenate([best, others[_evenly_by_rank(values[others], most - most // 2)]]))


def _evenly_by_rank(values: Matrix, most: int) -> IntArray:
    """Up to `most` places whose values are evenly spaced by rank, the extremes among them, in the order given."""
    if len(values) <= most:
        return np.arange(len(values))
    return np.sort(np.argsort(values, kind="stable")[np.linspace(0, len(values) - 1, most).astype(np.intp)])


def _factor_of(gram: Matrix) -> Matrix:
    """The lower Cholesky factor; LAPACK itself, as hundreds of small ones are made and scipy's checks take as long as they do."""
    from scipy.linalg.lapack import dpotrf

    factor: Matrix
    factor, wrong = dpotrf(gram, lower=1, clean=1)
    if wrong:
        raise np.linalg.LinAlgError(f"the covariances of {len(gram)} labels have no Cholesky factor")
    return factor


def _squared_distances(left: Real, right: Real) -> Any:
    """Squared Euclidean distances, shape [len(left), len(right)]."""
    squares = left @ (-2 * right.T)
    squares += np.einsum("ij,ij->i", left, left)[:, None]
    squares += np.einsum("ij,ij->i", right, right)
    return np.maximum(squares, 0.0, out=squares)


def _matern(r: Matrix, smoothness: float, sloping: bool) -> tuple[Matrix, Matrix | None]:
    slope = 3.0 * r * r if sloping and smoothness == 1.5 else None
    r *= r.dtype.type((2 * smoothness) ** 0.5)
    decay = np.exp(-r)
    if smoothness == 0.5:
        return decay, r * decay if sloping else None
    if smoothness == 2.5:
        slope = r * r * (1.0 + r) / 3.0 if sloping else None
        r *= 1.0 + r / 3.0
    r += 1.0
    r *= decay
    return r, None if slope is None else slope * decay
