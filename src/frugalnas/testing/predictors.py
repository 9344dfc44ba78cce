"""What every performance predictor promises."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.stats import spearmanr

from frugalnas.predictors import Prediction, Predictor
from frugalnas.registry import PREDICTORS
from frugalnas.spaces import NASBench201, Population, SearchSpace

TRAINING_ROWS = 60
ROUNDING = 1e-4
"""What blocked float32 matrix products may change between one row's answer alone and among others."""


class PredictorConformance(ABC):
    """Child classes are only required to override `make`.

    What one predictor says once it is fitted is looked at by several tests; how fits depend on what came before, by one of its own.

    Attributes:
        least_correlation: Spearman's rho with an easy target on unseen architectures, from 60 evaluated ones.
    """

    least_correlation: float = 0.5

    fitted: tuple[Predictor, Population, Prediction]

    @abstractmethod
    def make(self) -> Predictor:
        """The predictor under test, made anew."""

    def space(self) -> SearchSpace:
        """The space whose architectures it predicts."""
        return NASBench201()

    def target(self, population: Population) -> NDArray[np.float64]:
        """An easy value of each architecture, shape [n]: how many genes have one particular value."""
        value = min(3, population.space.allowed.shape[1] - 1)
        return (population.codes == value).sum(axis=1).astype(np.float64)

    # -- answers -------------------------------------------------------------------------------------------------

    def test_answers_for_every_architecture(self) -> None:
        """Mean and standard deviation are finite, for many architectures, for one, and for known ones."""
        known, unknown = self._populations()
        predictor = self.make()
        assert predictor.fit(known, self.target(known)) is predictor, "fit() returns the predictor itself"
        for population in (unknown, unknown.take(np.array([4])), known):
            _check(predictor.predict(population), len(population))

    def test_learns_an_easy_target(self) -> None:
        """Sixty labels are enough to order unseen architectures by something simple."""
        _, unknown, prediction = self._once_fitted()
        rho = float(spearmanr(prediction.mean, self.target(unknown)).statistic)
        assert rho > self.least_correlation, (
            f"predictions of an easy target correlate with {rho:.2f} from {TRAINING_ROWS} architectures; larger is better"
        )

    def test_fitting_depends_on_its_arguments_and_the_seed_alone(self) -> None:
        """No state survives a refit, so that a resumed run continues exactly."""
        known, unknown = self._populations()
        half = known.take(np.arange(len(known) // 2))
        predictor = self.make()
        first = predictor.fit(known, self.target(known)).predict(unknown)
        predictor.fit(half, -self.target(half)).predict(unknown)
        for what, again in (("refitted", predictor), ("made anew", self.make())):
            second = again.fit(known, self.target(known)).predict(unknown)
            message = f"the same predictor {what} gives another answer"
            assert_array_equal(second.mean, first.mean, message)
            assert_array_equal(second.std, first.std, message)

    def test_rows_are_answered_one_by_one(self) -> None:
        """The answer for an architecture does not depend on which others are asked about."""
        predictor, unknown, whole = self._once_fitted()
        for rows in (np.random.default_rng(1).permutation(len(unknown)), np.array([7]), np.array([3, 3, 5])):
            part = predictor.predict(Population(unknown.space, unknown.codes[rows]))
            assert_allclose(part.mean, whole.mean[rows], ROUNDING, ROUNDING, err_msg="rows depend on each other")
            assert_allclose(part.std, whole.std[rows], ROUNDING, ROUNDING, err_msg="rows depend on each other")

    def test_arguments_are_left_alone(self) -> None:
        """Labels belong to the caller."""
        known, unknown = self._populations()
        values = self.target(known)
        values.setflags(write=False)
        self.make().fit(known, values).predict(unknown)

    # -- odd training sets ---------------------------------------------------------------------------------------

    def test_constant_labels(self) -> None:
        """Labels that are all the same are no reason to fail."""
        known, unknown = self._populations()
        _check(self.make().fit(known, np.full(len(known), 70.0)).predict(unknown), len(unknown))

    def test_two_labels(self) -> None:
        """Two labels are the fewest that a strategy fits to."""
        known, unknown = self._populations()
        two = known.take(np.array([0, 1]))
        _check(self.make().fit(two, np.array([1.0, 2.0])).predict(unknown), len(unknown))

    def test_repeated_architectures_with_different_labels(self) -> None:
        """Networks that a predictor cannot tell apart may have different labels."""
        known, unknown = self._populations()
        repeated = known.take(np.repeat(np.arange(8), 4))
        values = np.random.default_rng(2).normal(size=len(repeated))
        _check(self.make().fit(repeated, values).predict(unknown), len(unknown))

    # -- batches -------------------------------------------------------------------------------------------------

    def test_supposing_settles_a_row_at_its_mean(self) -> None:
        """A supposed result leaves its mean, lowers its uncertainty and raises nobody's."""
        prediction = self._once_fitted()[2]
        row = int(np.argmax(prediction.std))
        supposed = prediction.supposing(row)
        _check(supposed, len(prediction.mean))
        if prediction.std[row] > 1e-6:
            assert supposed.std[row] < prediction.std[row], "supposing(row) makes the row no more certain"
        assert_allclose(supposed.mean[row], prediction.mean[row], 1e-9, 1e-9)
        rises = supposed.std - prediction.std
        assert rises.max() <= 1e-6 * (1 + prediction.std.max()), "supposing(row) makes an architecture less certain"

    def test_taken_rows_answer_alike(self) -> None:
        """A part of a prediction says of its rows what the whole says."""
        prediction = self._once_fitted()[2]
        rows = np.array([5, 0, 9, 9])
        taken = prediction.take(rows)
        _check(taken, len(rows))
        assert_array_equal(taken.mean, prediction.mean[rows])
        assert_array_equal(taken.std, prediction.std[rows])
        supposed = taken.supposing(1).std[[0, 2]]
        assert_allclose(supposed, prediction.supposing(0).std[rows[[0, 2]]], 1e-6, 1e-9)

    # -- description ---------------------------------------------------------------------------------------------

    def test_can_be_written_down_and_made_again(self) -> None:
        """A run folder can hold the predictor: its description makes an equal one."""
        known, unknown = self._populations()
        predictor = self.make()
        description = json.loads(json.dumps(PREDICTORS.describe(predictor)))
        again = PREDICTORS.create(description)
        assert type(again) is type(predictor)
        first, second = (each.fit(known, self.target(known)).predict(unknown) for each in (predictor, again))
        assert_array_equal(second.mean, first.mean, f"{description} makes another predictor")

    # -- helpers -------------------------------------------------------------------------------------------------

    def _populations(self) -> tuple[Population, Population]:
        """Architectures to fit to, and others, of different networks."""
        space = self.space()
        codes = space.sample(6 * TRAINING_ROWS, np.random.default_rng(0))
        _, first = np.unique(space.network_ids(codes), return_index=True)
        codes = codes[np.sort(first)]
        return Population(space, codes[:TRAINING_ROWS]), Population(space, codes[TRAINING_ROWS:])

    def _once_fitted(self) -> tuple[Predictor, Population, Prediction]:
        """A predictor fitted to the easy target, once for all tests; architectures that it has not met; what it says of them."""
        own = type(self)
        if "fitted" not in vars(own):
            known, unknown = self._populations()
            predictor = self.make().fit(known, self.target(known))
            own.fitted = predictor, unknown, predictor.predict(unknown)
        return own.fitted


def _check(prediction: Prediction, n: int) -> None:
    """Shapes are right and all is finite."""
    for name, column in (("mean", prediction.mean), ("std", prediction.std)):
        assert column.shape == (n,), f"{name} has shape {list(column.shape)}, not [{n}]"
        assert column.dtype == np.float64, f"{name} is float64, not {column.dtype}"
        assert np.isfinite(column).all(), f"{name} is not finite"
    assert (prediction.std >= 0).all(), "a standard deviation is negative"
    if prediction.members is not None:
        assert prediction.members.ndim == 2, "members have shape [m, n]"
        assert prediction.members.shape[1] == n, "members have shape [m, n]"
        assert np.isfinite(prediction.members).all(), "a member's answer is not finite"
