"""Acquisition functions: expected improvement to the last digit, and batches that are worth their evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import Forest, GaussianProcess, Prediction, Predictor, Ridge
from frugalnas.spaces import NASBench201, Population
from frugalnas.strategies.acquisition import ACQUISITIONS, best_batch, log_expected_improvement, scores
from frugalnas.testing.checks import landscape

SPACE = NASBench201()
EIGHT = ("ei", "ucb", "pi", "mean", "percentile", "confidence", "ts", "its")


def log_ei_by_integration(z: float) -> float:
    """log E[max(z + N(0, 1), 0)], by quadrature of a positive integrand: nothing cancels.

    The integral of t phi(t - z) over t > 0 is phi(z) times that of t exp(z t - t^2/2); below zero t is stretched by -z.
    """
    if z > -1:
        start = max(0.0, z - 40)
        value = quad(
            lambda t: t * np.exp(-0.5 * (t - z) ** 2), start, z + 40, points=[max(z, start)], epsabs=0, limit=500
        )[0]
        return float(np.log(value) - 0.5 * np.log(2 * np.pi))
    value = quad(lambda u: u * np.exp(-u - 0.5 * (u / z) ** 2), 0, 60, epsabs=0, limit=500)[0]
    return float(np.log(value) - 2 * np.log(-z) - 0.5 * z * z - 0.5 * np.log(2 * np.pi))


def log_ei(z: float) -> float:
    return float(log_expected_improvement(np.array([z]), np.ones(1), 0.0)[0])


Z = [*-np.logspace(6, 0.01, 60), -1001.0, -1000.0, -999.0, -1.001, -1.0, -0.999, -0.5, 0.0, 0.5, 1.0, 3.0, 10.0, 40.0]


@pytest.mark.parametrize("z", Z)
def test_log_expected_improvement_is_exact(z: float) -> None:
    assert log_ei(z) == pytest.approx(log_ei_by_integration(z), rel=1e-12, abs=2e-9)


@given(st.floats(-1e6, 40), st.floats(1e-6, 1e3), st.floats(-1e3, 1e3))
def test_expected_improvement_scales_and_shifts(z: float, std: float, best: float) -> None:
    moved = log_expected_improvement(np.array([best + z * std]), np.array([std]), best)[0]
    z = ((best + z * std) - best) / std  # as rounding has left it
    assert moved == pytest.approx(log_ei(z) + np.log(std), rel=1e-12, abs=1e-9)


def test_improvement_rises_with_the_mean_however_hopeless() -> None:
    z = np.concatenate([-np.logspace(6, -3, 4_000), np.linspace(0, 40, 1_000)])
    assert (np.diff(log_expected_improvement(z, np.ones_like(z), 0.0)) > 0).all()


def test_improvement_rises_with_the_uncertainty_below_the_best() -> None:
    std = np.logspace(-5, 5, 5_000)
    for mean in (-1.0, -1e-3, 0.0):
        assert (np.diff(log_expected_improvement(np.full_like(std, mean), std, 0.0)) > 0).all()


def test_improvement_of_a_certain_prediction_is_defined() -> None:
    gain = log_expected_improvement(np.array([-1.0, 0.0, 2.0]), np.zeros(3), 0.0)
    assert not np.isnan(gain).any()
    assert gain[0] < gain[1] < gain[2]
    assert gain[2] == pytest.approx(np.log(2.0))


def predictions(n: int = 40) -> dict[str, Prediction]:
    rng = np.random.default_rng(1)
    members = rng.normal(size=(5, n))
    return {
        "with members": Prediction.of_members(members),
        "without": Prediction(members.mean(axis=0), members.std(axis=0)),
        "certain": Prediction(members.mean(axis=0), np.zeros(n)),
    }


def test_eight_acquisitions() -> None:
    assert tuple(ACQUISITIONS) == EIGHT


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("kind", ["with members", "without", "certain"])
def test_every_acquisition_scores_every_prediction(name: str, kind: str) -> None:
    prediction = predictions()[kind]
    score = scores(name, prediction, 0.5, np.random.default_rng(0))
    assert score.shape == (40,)
    assert not np.isnan(score).any()
    np.testing.assert_array_equal(score, scores(name, prediction, 0.5, np.random.default_rng(0)))


@pytest.mark.parametrize("name", ["ei", "ucb", "pi", "mean", "percentile", "confidence"])
@pytest.mark.parametrize("best", [-2.0, 0.0, 3.0])
def test_better_mean_is_preferred_at_equal_uncertainty(name: str, best: float) -> None:
    mean = np.linspace(-3, 2, 50)
    prediction = Prediction(mean, np.full(50, 0.2))
    assert (np.diff(scores(name, prediction, best, np.random.default_rng(0))) > 0).all()


@pytest.mark.parametrize("name", ["ei", "ucb", "pi", "percentile"])
def test_the_unknown_is_preferred_at_equal_mean_below_the_best(name: str) -> None:
    prediction = Prediction(np.full(50, -1.0), np.linspace(0.1, 2, 50))
    assert (np.diff(scores(name, prediction, 0.0, np.random.default_rng(0))) > 0).all()


def test_lower_confidence_bound_prefers_the_known() -> None:
    prediction = Prediction(np.zeros(2), np.array([0.1, 1.0]))
    assert np.argmax(scores("confidence", prediction, 0.0, np.random.default_rng(0))) == 0


def test_thompson_sampling_follows_one_member() -> None:
    prediction = predictions()["with members"]
    rng = np.random.default_rng(0)
    drawn = np.stack([scores("ts", prediction, 0.0, rng) for _ in range(60)])
    np.testing.assert_array_equal(np.unique(drawn, axis=0), np.unique(prediction.members, axis=0))


def test_unknown_acquisition_is_refused() -> None:
    with pytest.raises(FrugalnasError, match="percentile"):
        scores("eii", predictions()["without"], 0.0, np.random.default_rng(0))


def accuracies(codes: np.ndarray) -> np.ndarray:
    """A made-up table: convolutions that count do good, poolings harm, and there is much that nobody knows."""
    live = SPACE.encode(codes, "live").reshape(-1, 6, 5).sum(axis=1)
    return live @ np.array([0.0, 0.4, 0.8, 1.2, -0.3]) + 0.3 * landscape(SPACE, codes) / landscape(SPACE, codes).std()


@pytest.mark.typical("*-predictor0", "*-predictor1")
@pytest.mark.parametrize("predictor", [GaussianProcess(), Ridge(encoding="onehot"), Forest(trees=50)])
@pytest.mark.parametrize("name", ["ei", "mean", "ucb", "pi"])
def test_first_hundred_are_far_better_than_chance(predictor: Predictor, name: str) -> None:
    """WeakNAS's released EI compares with the worst observed value, and its first hundred rank like random ones."""
    codes = SPACE.enumerate()
    truth = accuracies(codes)
    rank = np.argsort(np.argsort(-truth))
    population = Population(SPACE, codes)
    known = np.random.default_rng(0).choice(len(codes), 100, replace=False)
    predictor.fit(population.take(known), truth[known])
    score = scores(name, predictor.predict(population), truth[known].max(), np.random.default_rng(0))
    assert rank[np.argsort(-score)[:100]].mean() < len(codes) / 10


# -- batches ---------------------------------------------------------------------------------------------------------


def batch(name: str, prediction: Prediction, n: int, seed: int = 0, networks=None, eligible=None, best: float = 0.0):
    m = len(prediction.mean)
    networks = np.arange(m, dtype=np.uint64) if networks is None else networks
    eligible = np.ones(m, np.bool_) if eligible is None else eligible
    return best_batch(name, prediction, best, networks, eligible, n, np.random.default_rng(seed))


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("kind", ["with members", "without", "certain"])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_batch_is_of_eligible_rows_of_different_networks(name: str, kind: str, n: int) -> None:
    networks = (np.arange(40) % 13).astype(np.uint64)
    eligible = np.arange(40) % 3 > 0
    rows = batch(name, predictions()[kind], n, networks=networks, eligible=eligible)
    assert len(rows) == min(n, 13)
    assert eligible[rows].all()
    assert len(np.unique(networks[rows])) == len(rows)


@pytest.mark.parametrize("name", EIGHT)
def test_batch_of_nothing_eligible_is_empty(name: str) -> None:
    assert len(batch(name, predictions()["without"], 5, eligible=np.zeros(40, np.bool_))) == 0


@pytest.mark.parametrize("name", ["ei", "mean", "ucb", "pi"])
def test_first_of_a_batch_has_the_highest_score(name: str) -> None:
    prediction = predictions()["without"]
    score = scores(name, prediction, 0.5, np.random.default_rng(0))
    for n in (1, 5):
        assert batch(name, prediction, n, best=0.5)[0] == np.argmax(score)


def test_batch_by_mean_is_the_best_means() -> None:
    prediction = predictions()["without"]
    np.testing.assert_array_equal(batch("mean", prediction, 6), np.argsort(-prediction.mean)[:6])


@pytest.mark.typical("1-*")
@pytest.mark.parametrize("name", ["ei", "mean", "ucb", "pi", "percentile", "confidence"])
@pytest.mark.parametrize("n", [1, 6])
def test_ties_are_broken_at_random(name: str, n: int) -> None:
    """Where all are equally good, a batch is a random one, not the first rows."""
    flat = Prediction(np.zeros(200), np.full(200, 0.1))
    chosen = np.concatenate([batch(name, flat, n, seed) for seed in range(200)])
    assert len(np.unique(chosen)) > 100
    assert 80 < chosen.mean() < 119


def test_batch_of_a_process_is_spread_out() -> None:
    """Once one of two that hang together is chosen, the other has less left to tell."""
    codes = SPACE.enumerate()
    population = Population(SPACE, codes)
    known = np.random.default_rng(0).choice(len(codes), 20, replace=False)
    truth = accuracies(codes)
    prediction = GaussianProcess(encoding="onehot").fit(population.take(known), truth[known]).predict(population)
    best = truth[known].max()
    eligible = ~np.isin(np.arange(len(codes)), known)
    together = batch("ei", prediction, 10, networks=population.network_ids, eligible=eligible, best=best)
    score = np.where(eligible, scores("ei", prediction, best, np.random.default_rng(0)), -np.inf)
    ranked = np.argsort(-score, kind="stable")
    _, first = np.unique(population.network_ids[ranked], return_index=True)
    one_by_one = ranked[np.sort(first)[:10]]

    def edits(rows):
        return (codes[rows][:, None] != codes[rows]).sum(axis=2).sum() / (len(rows) * (len(rows) - 1))

    assert edits(together) > edits(one_by_one)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_one_best_is_the_first_of_all(seed: int) -> None:
    """One place takes a short cut; it leads to where the largest expected improvement is."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 300))
    mean, std = rng.normal(size=n) * rng.choice([0.01, 1, 30]), rng.gamma(rng.choice([0.1, 1, 5]), 1.0, size=n)
    prediction, best = Prediction(mean, std), float(rng.normal())
    chosen = best_batch("ei", prediction, best, np.arange(n, dtype=np.uint64), np.ones(n, np.bool_), 1, rng)
    worth = log_expected_improvement(mean, std, best)
    assert worth[chosen[0]] == worth.max()
