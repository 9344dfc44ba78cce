"""Rank correlations: against their definitions pair by pair, against SciPy, and against numbers known of NAS-Bench-201."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from frugalnas.errors import FrugalnasError
from frugalnas.scores.correlation import (
    correlation,
    kendall_tau,
    position_tau,
    spearman,
    top_precision,
    within_groups,
)
from frugalnas.spaces import NASBench201

SPACE = NASBench201()

rows = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=2, max_size=12)


def columns(table):
    return np.array(table, np.float64).T


def tau_of_pairs(pairs, scores, truth):
    """Tau-b of these pairs by its definition."""
    first = np.array([np.sign(scores[i] - scores[j]) for i, j in pairs])
    second = np.array([np.sign(truth[i] - truth[j]) for i, j in pairs])
    norm = np.sqrt((first != 0).sum() * (second != 0).sum())
    return (first * second).sum() / norm if norm else np.nan


@given(rows)
def test_tau_is_its_definition_and_scipys(table):
    scores, truth, params = columns(table)
    pairs = list(itertools.combinations(range(len(scores)), 2))
    tau = kendall_tau(scores, truth)
    np.testing.assert_allclose(tau, tau_of_pairs(pairs, scores, truth), atol=1e-12)
    np.testing.assert_allclose(tau, kendalltau(scores, truth).statistic, atol=1e-12)
    same_size = [(i, j) for i, j in pairs if params[i] == params[j]]
    within = within_groups(scores, truth, params)[0]
    np.testing.assert_allclose(within, tau_of_pairs(same_size, scores, truth), atol=1e-12)


@given(rows)
def test_spearman_is_scipys_and_tau_of_places_that_of_sorted_lists(table):
    scores, truth, _ = columns(table)
    if np.ptp(scores) and np.ptp(truth):
        np.testing.assert_allclose(spearman(scores, truth), spearmanr(scores, truth).statistic, atol=1e-12)
    else:
        assert np.isnan(spearman(scores, truth))
    places = []
    for values in (scores, truth):
        order = sorted(enumerate(values), key=lambda entry: entry[1], reverse=True)
        place = {architecture: rank for rank, (architecture, _) in enumerate(order)}
        places.append([place[architecture] for architecture in range(len(values))])
    np.testing.assert_allclose(position_tau(scores, truth), kendalltau(*places).statistic, atol=1e-12)


@given(rows, st.integers(1, 12))
def test_top_precision_is_the_mean_over_all_ways_to_break_ties(table, k):
    scores, truth, _ = columns(table)
    k = min(k, len(scores))

    def tops(values):
        bound = np.sort(values)[::-1][k - 1]
        above = set(np.flatnonzero(values > bound))
        tied = np.flatnonzero(values == bound)
        return [above | set(some) for some in itertools.combinations(tied, k - len(above))]

    shares = [len(first & second) / k for first in tops(scores) for second in tops(truth)]
    np.testing.assert_allclose(top_precision(scores, truth, k), np.mean(shares), atol=1e-12)


def test_a_perfect_and_a_reversed_score():
    truth = np.random.default_rng(0).permutation(40).astype(float)
    best = correlation(np.exp(truth / 10), truth, np.arange(40) % 3.0)
    assert (best.tau, best.position_tau, best.within) == pytest.approx((1, 1, 1))
    assert [(top.k, top.precision) for top in best.top] == [(1, 1), (10, 1)]
    assert best.winner == truth.argmax()
    assert best.top[0].value == 39
    worst = correlation(-truth, truth)
    assert (worst.tau, worst.spearman) == pytest.approx((-1, -1))
    assert np.isnan(worst.within)
    assert not worst.groups


def test_what_tells_nothing_apart_has_no_correlation():
    assert np.isnan(kendall_tau(np.ones(4), np.arange(4.0)))
    assert np.isnan(spearman(np.arange(4.0), np.ones(4)))
    assert np.isnan(within_groups(np.arange(4.0), np.arange(4.0), np.arange(4.0))[0])


@pytest.mark.parametrize(
    ("scores", "truth", "said"),
    [([1.0, np.nan, 2.0], [1.0, 2.0, 3.0], "1 of 3 scores"), ([1.0], [1.0], "at least two"), ([1, 2], [1], "shapes")],
)
def test_numbers_that_are_missing_are_never_dropped_in_silence(scores, truth, said):
    with pytest.raises(FrugalnasError, match=said):
        kendall_tau(np.array(scores), np.array(truth))
    with pytest.raises(FrugalnasError, match="choose 1 to 3"):
        top_precision(np.arange(3.0), np.arange(3.0), 4)


@pytest.fixture(scope="module")
def cifar10(shared_data):
    """Parameters, and accuracy on the test set of CIFAR-10, of all cells of NAS-Bench-201."""
    table = pq.read_table(shared_data / "nasbench201.parquet").to_pydict()
    accuracy = dict(zip(table["arch_str"], table["cifar10_test200"], strict=True))
    codes = SPACE.enumerate()
    return SPACE.count("params", codes), np.array([accuracy[SPACE.format(code)] for code in codes])


def test_parameters_alone_rank_nasbench201_as_is_known(cifar10):
    params, accuracy = cifar10
    known = correlation(params, accuracy, params)
    assert known.tau == pytest.approx(0.577, abs=5e-4)
    assert np.isnan(known.within)  # of networks of one size it says nothing


def test_nasbench201_has_28_sizes_and_the_largest_groups_are_reported_by_size(cifar10):
    params, accuracy = cifar10
    tau, groups = within_groups(accuracy, accuracy, params)
    assert tau == pytest.approx(1)
    assert len(np.unique(params)) == 28
    assert [group.tau for group in groups] == pytest.approx([1] * 5)
    assert [(group.params, group.architectures) for group in groups] == [
        (101_306, 1458), (316_346, 1458), (344_346, 2430), (372_346, 1620), (587_386, 1620),
    ]  # fmt: skip
