"""What every evaluator promises."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.testing import assert_array_equal

from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.spaces import SearchSpace


class EvaluatorConformance(ABC):
    """Child classes are only required to override `make` and `space`.

    Attributes:
        draws: architectures that are evaluated together; fewer where an evaluation takes long.
    """

    draws: int = 12

    @abstractmethod
    def make(self) -> Evaluator:
        """The evaluator under test, made anew."""

    @abstractmethod
    def space(self) -> SearchSpace:
        """The space whose architectures it evaluates."""

    def test_one_answer_a_trial(self) -> None:
        """Each trial gets one row of the answer, and not all rows fail."""
        trials = self._trials()
        for rows in (slice(None), slice(0, 1)):
            part = trials.take(rows)
            answer = _evaluate(self.make(), part)
            assert isinstance(answer, Evaluations), f"evaluate() returns {type(answer).__name__}, not Evaluations"
            assert len(answer) == len(part), f"{len(part)} trials have {len(answer)} answers"
            assert answer.ok.any(), f"not one of {len(part)} evaluations succeeds: {answer.errors[0]}"

    def test_answers_are_reproducible(self) -> None:
        """The same trials are worth the same again, except from a stateful evaluator that goes on."""
        trials = self._trials()
        first, again = (_evaluate(self.make(), trials) for _ in range(2))
        _same(first, again, "two evaluators made alike")
        evaluator = self.make()
        if not evaluator.stateful:
            _evaluate(evaluator, trials)
            _same(
                first, _evaluate(evaluator, trials), "the second time; an evaluator that changes says stateful = True"
            )

    def test_a_stateful_evaluator_continues_exactly(self) -> None:
        """Where it writes down its state, another one goes on from there."""
        evaluator, anew, trials = self.make(), self.make(), self._trials()
        if not evaluator.stateful or type(evaluator).state_dict is Evaluator.state_dict:
            return
        _evaluate(evaluator, trials)
        state = copy.deepcopy(evaluator.state_dict())
        ahead = _evaluate(evaluator, trials)
        anew.load_state_dict(state)
        _same(ahead, _evaluate(anew, trials), "after load_state_dict()")

    def test_rows_are_answered_in_order(self) -> None:
        """Row i of the answer is about trial i, whatever else is evaluated with it."""
        trials = self._trials()
        evaluator = self.make()
        if evaluator.stateful:
            return
        together = _evaluate(evaluator, trials)
        backwards = _evaluate(evaluator, trials.take(np.arange(len(trials))[::-1]))
        assert_array_equal(backwards.values[::-1], together.values, "answers are not in the order of the trials")
        alone = [_evaluate(evaluator, trials.take([row])).values[0] for row in range(len(trials))]
        assert_array_equal(alone, together.values, "a trial's value depends on those evaluated with it")

    def test_ids_do_not_count(self) -> None:
        """A trial's value depends on its architecture, not on the strategy's number for it."""
        trials = self._trials()
        renumbered = Trials(trials.codes, trials.ids + 100)
        _same(_evaluate(self.make(), trials), _evaluate(self.make(), renumbered), "under other trial ids")

    def test_trials_are_left_alone(self) -> None:
        """Trials belong to the strategy."""
        trials = self._trials()
        codes, ids = trials.codes.copy(), trials.ids.copy()
        _evaluate(self.make(), trials)
        assert_array_equal(trials.codes, codes, "evaluate() changes the trials")
        assert_array_equal(trials.ids, ids, "evaluate() changes the trials")

    def test_optimum_is_never_exceeded(self) -> None:
        """Where an optimum is stated, nothing beats it."""
        evaluator = self.make()
        if evaluator.optimum is not None:
            values = _evaluate(evaluator, self._trials()).values
            assert np.nanmax(values) <= evaluator.optimum, "an architecture is better than the evaluator's optimum"

    def test_test_metrics_stay_hidden(self) -> None:
        """Metrics reach strategies and journals, so none is a test metric."""
        names = list(_evaluate(self.make(), self._trials()).metrics)
        assert not any("test" in name for name in names), f"a strategy may not see test metrics: {', '.join(names)}"

    def _trials(self) -> Trials:
        codes = self.space().sample(self.draws, np.random.default_rng(0))
        return Trials(codes, np.arange(self.draws))


def _evaluate(evaluator: Evaluator, trials: Trials) -> Evaluations:
    """The answer, given in a folder that does not exist yet."""
    with TemporaryDirectory() as folder:
        return evaluator.evaluate(trials, Path(folder) / "evaluation")


def _same(first: Evaluations, second: Evaluations, when: str) -> None:
    message = f"the same trials have other values {when}"
    assert_array_equal(second.values, first.values, message)
    assert set(second.metrics) == set(first.metrics), message
