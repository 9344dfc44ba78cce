"""The records that pass between strategies and evaluators, and evaluators themselves."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from test_spaces import Layers

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, FunctionEvaluator, Trials
from frugalnas.spaces import NASBench201, SearchSpace
from frugalnas.tables import TableEvaluator
from frugalnas.testing import EvaluatorConformance


def convolutions(text: str) -> float:
    """Any function of an architecture string."""
    return float(text.count("conv"))


def convolutions_and_more(text: str, weight: float = 2.0) -> dict[str, float]:
    more = {"skips": text.count("skip")} if "skip" in text else {}
    return {"value": weight * text.count("conv"), "length": len(text), **more}


def fails_without_convolutions(text: str) -> float:
    return text.count("conv") or float("nan")


class Warming(Evaluator):
    """Gets better with everything it evaluates, as shared weights do."""

    stateful = True
    vectorised = True

    def __init__(self) -> None:
        self._evaluated = 0

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        age = self._evaluated + np.arange(len(trials))
        self._evaluated += len(trials)
        return Evaluations(trials.codes.sum(axis=1) + 0.1 * age)

    def state_dict(self) -> dict[str, int]:
        return {"evaluated": self._evaluated}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._evaluated = state["evaluated"]


class KnownOptimum(Evaluator):
    """Knows its best, measures more, and sometimes fails."""

    vectorised = True
    optimum = 18.0

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        workdir.mkdir(parents=True)
        values = trials.codes.sum(axis=1).astype(float)
        errors = tuple("too large" if value > 16 else None for value in values)
        return Evaluations(values, {"seconds": 0.5 * values}, errors)


class TestFunction(EvaluatorConformance):
    def make(self):
        return FunctionEvaluator(self.space(), function="test_evaluation:convolutions")

    def space(self) -> SearchSpace:
        return NASBench201()


class TestFunctionWithMetrics(EvaluatorConformance):
    def make(self):
        return FunctionEvaluator(self.space(), function=convolutions_and_more)

    def space(self) -> SearchSpace:
        return NASBench201()


class TestFunctionThatFails(EvaluatorConformance):
    def make(self):
        return FunctionEvaluator(self.space(), function=fails_without_convolutions)

    def space(self) -> SearchSpace:
        return NASBench201()


class TestStateful(EvaluatorConformance):
    def make(self):
        return Warming()

    def space(self) -> SearchSpace:
        return Layers()


class TestKnownOptimum(EvaluatorConformance):
    def make(self):
        return KnownOptimum()

    def space(self) -> SearchSpace:
        return Layers(6, 4)


class TestTable(EvaluatorConformance):
    draws = 40

    def make(self):
        return TableEvaluator(self.space(), label="random", seed=3)

    def space(self) -> SearchSpace:
        return NASBench201().where("params<=0.5e6")


# -- records ---------------------------------------------------------------------------------------------------------


def test_values_that_are_not_finite_are_failures() -> None:
    answer = Evaluations([1.0, np.nan, -np.inf, 4.0], {}, (None, None, "diverged", "out of memory"))
    np.testing.assert_array_equal(answer.values, [1.0, np.nan, np.nan, np.nan])
    assert answer.errors[0] is None
    assert "nan" in str(answer.errors[1])
    assert answer.errors[2:] == ("diverged", "out of memory")
    assert answer.ok.tolist() == [True, False, False, False]
    assert len(answer) == 4


def test_whole_rounds_can_fail() -> None:
    answer = Evaluations.failed(3, "the disk is full")
    assert answer.errors == ("the disk is full",) * 3
    assert not answer.ok.any()
    assert len(Evaluations.failed(0, "nothing to do")) == 0


def test_records_do_not_share_the_callers_values() -> None:
    values = np.array([1.0, 2.0])
    answer = Evaluations(values, {}, (None, "failed"))
    values[0] = 9.0
    np.testing.assert_array_equal(answer.values, [1.0, np.nan])


@pytest.mark.parametrize(
    "arguments",
    [
        (np.zeros((3, 2)),),
        (5.0,),
        (np.zeros(3), {}, ("one error",)),
        (np.zeros(3), {"seconds": np.zeros(2)}),
    ],
)
def test_records_that_do_not_fit_together_are_refused(arguments) -> None:
    with pytest.raises(FrugalnasError):
        Evaluations(*arguments)


def test_part_of_the_trials() -> None:
    codes = NASBench201().sample(5, np.random.default_rng(0))
    trials = Trials(codes, np.arange(10, 15))
    for rows in ([3, 1], np.array([3, 1]), slice(3, 0, -2)):
        part = trials.take(rows)
        np.testing.assert_array_equal(part.ids, [13, 11])
        np.testing.assert_array_equal(part.codes, codes[[3, 1]])
    assert len(trials.take([])) == 0


def test_joined_trials_keep_groups_apart_and_fidelities() -> None:
    codes = NASBench201().sample(4, np.random.default_rng(0))
    plain, pair = (
        Trials(codes[:2], np.arange(2)),
        Trials(codes[2:], np.arange(2, 4), np.array([7, 7]), np.array([3.0, 9.0])),
    )
    assert plain.joined(plain).group is plain.joined(plain).fidelity is None
    assert pair.joined(pair).group.tolist() == [0, 0, 1, 1]
    assert pair.joined(plain).group.tolist() == [0, 0, 1, 2]
    both = plain.joined(pair)
    assert both.group.tolist() == [0, 1, 2, 2]
    np.testing.assert_array_equal(both.fidelity, [np.nan, np.nan, 3, 9])
    np.testing.assert_array_equal(both.ids, np.arange(4))


# -- functions as evaluators -----------------------------------------------------------------------------------------


def evaluate(function, tmp_path: Path) -> Evaluations:
    space = NASBench201()
    cells = (
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    )
    codes = np.stack([space.parse(cell) for cell in cells])
    return FunctionEvaluator(space, function=function).evaluate(Trials(codes, np.arange(2)), tmp_path)


def test_function_is_called_with_the_architecture(tmp_path: Path) -> None:
    np.testing.assert_array_equal(evaluate(convolutions, tmp_path).values, [1.0, 0.0])
    np.testing.assert_array_equal(evaluate("test_evaluation:convolutions", tmp_path).values, [1.0, 0.0])


def test_metrics_that_some_rows_lack_are_nan_there(tmp_path: Path) -> None:
    answer = evaluate(convolutions_and_more, tmp_path)
    np.testing.assert_array_equal(answer.values, [2.0, 0.0])
    np.testing.assert_array_equal(answer.metrics["skips"], [1.0, np.nan])
    assert answer.ok.all(), "a metric that is missing is no failure"


def test_functions_without_a_name_will_do(tmp_path: Path) -> None:
    np.testing.assert_array_equal(evaluate(lambda text: len(text), tmp_path).values, [63.0, 47.0])
    weighted = functools.partial(convolutions_and_more, weight=5.0)
    np.testing.assert_array_equal(evaluate(weighted, tmp_path).values, [5.0, 0.0])

    class Length:
        def __call__(self, text: str) -> int:
            return len(text)

    np.testing.assert_array_equal(evaluate(Length(), tmp_path).values, [63.0, 47.0])


def test_missing_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(FrugalnasError, match="accuracy"):
        evaluate(lambda text: {"accuracy": 1.0}, tmp_path)


@pytest.mark.parametrize("function", ["test_evaluation:no_such_function", "no_such_module:function", "convolutions", 3])
def test_what_is_no_function_is_refused(function) -> None:
    with pytest.raises(FrugalnasError):
        FunctionEvaluator(NASBench201(), function=function)
