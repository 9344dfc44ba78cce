"""Predictors and strategies of one's own: ordinary mistakes get one line that names class, method, what came and what is wanted."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import numpy as np
import pytest
from typing_extensions import Self

import frugalnas as fn
from frugalnas.predictors.base import fitted
from frugalnas.spaces import Codes, FloatArray, Population
from frugalnas.studies.assessment import assess


class Own(fn.Predictor):
    """Answers whatever a test wants it to."""

    def __init__(self, *, answer: Any = 0.0, fit: Any = "self") -> None:
        self.answer = answer
        self.returned = fit

    def fit(self, population: Population, values: FloatArray) -> Self:
        return self if self.returned == "self" else self.returned

    def predict(self, population: Population) -> fn.Prediction:
        return self.answer(len(population))


def _nothing(n: int) -> FloatArray:
    return np.zeros(n)


MISTAKES = {
    "an array": (
        _nothing,
        "Own.predict returned an array of shape [15625] (float64); it returns Prediction(mean, std)",
    ),
    "a wrong length": (
        lambda n: fn.Prediction(np.zeros(3), np.zeros(3)),
        "Own.predict returned a Prediction whose mean is an array of shape [3] (float64); it returns Prediction(mean, std), both "
        "of shape [15625]",
    ),
    "NaN": (
        lambda n: fn.Prediction(np.full(n, np.nan), np.zeros(n)),
        "Own.predict returned a Prediction whose mean is NaN for 15625 of 15625 architectures",
    ),
    "a number for std": (lambda n: fn.Prediction(np.zeros(n), 1.0), "whose std is 1.0 (float)"),  # type: ignore[arg-type]
    "a std below 0": (lambda n: fn.Prediction(np.zeros(n), np.full(n, -1.0)), "whose std is below 0"),
    "wrong members": (lambda n: fn.Prediction(np.zeros(n), np.zeros(n), np.zeros((n, 5))), "have shape [m, 15625]"),
}


@pytest.fixture(scope="module")
def evaluator() -> fn.TableEvaluator:
    return fn.TableEvaluator(table="nasbench201/cifar10")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_a_predictor_predicts_is_checked(evaluator: fn.TableEvaluator, mistake: str) -> None:
    answer, said = MISTAKES[mistake]
    with pytest.raises(fn.FrugalnasError) as caught:
        fn.search(fn.WeakNAS(evaluator.space, predictor=Own(answer=answer)), evaluator, 20)
    assert said in str(caught.value)


@pytest.mark.parametrize("strategy", [fn.WeakNAS, fn.NPENAS])
def test_a_fit_that_returns_nothing_is_named(evaluator: fn.TableEvaluator, strategy: Any) -> None:
    with pytest.raises(fn.FrugalnasError, match=r"Own\.fit returned None; it returns self once it has learnt"):
        fn.search(strategy(evaluator.space, predictor=Own(fit=None)), evaluator, 20)


def test_a_predictor_whose_answers_are_no_numbers_fails_in_an_assessment() -> None:
    found = assess(["user_predictors:Unsure"], "nasbench201/cifar10", budgets=[20], trials=1)
    assert "Unsure.predict returned a Prediction whose mean is NaN" in found.failures("user_predictors:Unsure")[0]


class Proposing(fn.Strategy):
    """Proposes whatever a test wants it to."""

    answer: Any = ()

    def propose(self, n: int) -> Codes:
        return self.answer(n)


PROPOSALS = {
    "one code": (lambda n: np.zeros(6, np.int8), "returned an array of shape [6] (int8)"),
    "too few genes": (
        lambda n: np.zeros((n, 5), np.int8),
        "returned an array of shape [1, 5] (int8); it returns whole numbers ",
    ),
    "too many": (lambda n: np.zeros((n + 1, 6), np.int8), "of shape [m, 6], m at most 1"),
    "fractions": (lambda n: np.full((n, 6), 0.5), "returned an array of shape [1, 6] (float64)"),
    "rows of several lengths": (lambda n: [[1], [1, 2]], "returned [[1], [1, 2]] (list)"),
    "None": (lambda n: None, "returned None; it returns whole numbers"),
    "a value too large": (
        lambda n: np.full((n, 6), 300),
        "returned [300, 300, 300, 300, 300, 300] in row 0, which is no",
    ),
}


@pytest.mark.parametrize("mistake", PROPOSALS)
def test_what_a_strategy_proposes_is_checked(evaluator: fn.TableEvaluator, mistake: str) -> None:
    strategy = Proposing(evaluator.space)
    strategy.answer, said = PROPOSALS[mistake]
    with pytest.raises(fn.FrugalnasError, match=r"^Proposing\.propose\(1\) returned ") as caught:
        fn.search(strategy, evaluator, 20)
    assert said in str(caught.value)


def test_classes_are_compared_with_their_defaults(evaluator: fn.TableEvaluator) -> None:
    described = {"name": "table", "options": {"table": "nasbench201/cifar10"}}
    named = fn.compare(["random"], evaluator=described, queries=12, seeds=[0])
    assert fn.compare([fn.RandomSearch], evaluator=described, queries=12, seeds=[0]).rows == named.rows
    found = assess([fn.Ridge], "nasbench201/cifar10", budgets=[20], trials=1)
    assert found.predictors == ("ridge",)
    with pytest.raises(fn.FrugalnasError, match="does not name a strategy; give a name, a class, or"):
        fn.compare([fn.RandomSearch(evaluator.space)], evaluator=described, queries=12, seeds=[0])  # type: ignore[list-item]


def test_a_comparison_takes_what_python_has_at_hand(evaluator: fn.TableEvaluator) -> None:
    described = {"name": "table", "options": {"table": "nasbench201/cifar10"}}
    wanted = fn.compare(["random"], evaluator=described, queries=12, seeds=[0, 1]).rows
    assert fn.compare("random", evaluator=evaluator, space=fn.NASBench201(), queries=12, seeds=2).rows == wanted


@pytest.mark.parametrize("queries", [float("nan"), float("inf"), 10.5, "10", True])
def test_a_budget_that_is_no_whole_number_is_refused(evaluator: fn.TableEvaluator, queries: Any) -> None:
    with pytest.raises(fn.FrugalnasError, match="give a whole number"):
        fn.search(fn.RandomSearch(evaluator.space), evaluator, queries)
    assert fn.Budget(queries=1e3) == fn.Budget(queries=1_000)  # type: ignore[arg-type]


def test_what_is_no_object_of_the_kind_is_named(evaluator: fn.TableEvaluator) -> None:
    for given in ("random", fn.RandomSearch):
        with pytest.raises(fn.FrugalnasError, match="is no strategy; give one of a space"):
            fn.search(given, evaluator, 12)  # type: ignore[arg-type]
    with pytest.raises(fn.FrugalnasError, match=r"class derived from Predictor \(frugalnas\.predictors"):
        fn.WeakNAS(evaluator.space, predictor=Own)  # type: ignore[arg-type]
    with pytest.raises(fn.FrugalnasError, match="NASBench201 is a class; give a space of it"):
        fn.build(fn.NASBench201, "text")  # type: ignore[arg-type]


class Swallowing(Own):
    """Keeps Ctrl-C to itself, as scikit-learn's networks do."""

    def fit(self, population: Population, values: FloatArray) -> Self:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            self.interrupted = True
        return self


def test_ctrl_c_during_a_fit_stops_the_search(evaluator: fn.TableEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Swallowing()
    with pytest.raises(KeyboardInterrupt):
        fitted(own, Population(evaluator.space, evaluator.space.enumerate()[:3]), np.arange(3.0))
    assert own.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    from sklearn.neural_network import MLPRegressor

    monkeypatch.setattr(MLPRegressor, "_update_no_improvement_count", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="Training interrupted by user"):
        fn.search(fn.WeakNAS(evaluator.space, predictor=fn.MLP(members=1)), evaluator, 20)


class Interrupted(fn.Evaluator):
    """Trains something that keeps Ctrl-C to itself."""

    def evaluate(self, trials: fn.Trials, workdir: Any) -> fn.Evaluations:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return fn.Evaluations(np.zeros(len(trials)))


def test_ctrl_c_during_an_evaluation_journals_nothing(tmp_path: Any) -> None:
    space = fn.NASBench201()
    with pytest.raises(KeyboardInterrupt):
        fn.search(fn.RandomSearch(space), Interrupted(), 12)


def test_a_text_is_parsed_where_a_code_is() -> None:
    space = fn.NASBench201(classes=10)
    codes = space.sample(3, np.random.default_rng(0))
    texts = [space.format(code) for code in codes]
    np.testing.assert_array_equal(space.count("params", texts), space.count("params", codes))
    np.testing.assert_array_equal(space.count("params", texts[0]), space.count("params", codes[:1]))
    np.testing.assert_array_equal(space.encode(texts), space.encode(codes))
    np.testing.assert_array_equal(Population(space, texts).codes, codes)
    with pytest.raises(fn.FrugalnasError, match="'nonsense'"):
        space.count("params", ["nonsense"])
