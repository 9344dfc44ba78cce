"""Spaces whose costs add up are sampled uniformly under any budget, and know their costs exactly."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations
from frugalnas.spaces import DARTS, FactoredSpace, FloatArray, LayerSpace, SearchSpace, factored
from frugalnas.spaces.bands import BandSampler
from frugalnas.strategies import Evolution, LocalSearch, WeakNAS
from frugalnas.testing import SpaceConformance

CONVS = ("a", "b", "c", "d")


class Priced(LayerSpace):
    """Layers whose costs are written down: `params` whole numbers, `latency` fractions."""

    def __init__(self, depth: int = 6, *, seed: int = 0) -> None:
        layers = [CONVS if layer % 3 == 0 else (*CONVS, "skip") for layer in range(depth)]
        runs = [[layer for layer in (first + 1, first + 2) if layer < depth] for first in range(0, depth, 3)]
        super().__init__(name="priced", layers=layers, identity="skip", stages=runs)
        self.quantities = ("params", "latency")
        rng = np.random.default_rng(seed)
        # Layers of one run have one shape, and so one price.
        prices = rng.integers(100, 10_000, size=(len(runs), 2, 5)).astype(np.float64)
        prices[:, :, -1] = 0
        table = np.array([prices[layer // 3, int(layer % 3 > 0)] for layer in range(depth)])
        self.prices = {"params": (5_000.0, table), "latency": (0.3, table * 0.00123)}

    def costs(self, quantity: str) -> tuple[float, FloatArray]:
        return self.prices[quantity]


class TestPriced(SpaceConformance):
    def make(self) -> SearchSpace:
        return Priced()


class TestDeep(SpaceConformance):
    draws = 100

    def make(self) -> SearchSpace:
        return Priced(20)


@pytest.mark.slow
class TestDeepInABand(SpaceConformance):
    draws = 100

    def make(self) -> SearchSpace:
        return Priced(20).where("params>=40e3,params<=41e3")


@pytest.mark.slow
class TestDeepUnderTwoLimits(SpaceConformance):
    draws = 100

    def make(self) -> SearchSpace:
        return Priced(20).where("params<=80e3,latency>=60")


class TestShallowInABand(SpaceConformance):
    draws = 50

    def make(self) -> SearchSpace:
        return Priced(5).where("params>=20e3,params<=24e3")


@pytest.mark.parametrize(
    ("low", "high"), [(11.0, 12.0), (-np.inf, 9.5), (16.0, np.inf), (12.25, 12.25), (-np.inf, np.inf)]
)
def test_every_combination_within_a_band_is_drawn_equally_often(low, high):
    rng = np.random.default_rng(0)
    costs = [np.round(rng.uniform(0, 5, size=4) * 4) / 4 for _ in range(5)]
    costs[2] = np.array([1.5, 1.5, 1.5, 1.5])
    everything = np.array(list(product(range(4), repeat=5)))
    total = sum(cost[everything[:, place]] for place, cost in enumerate(costs))
    inside = np.flatnonzero((total >= low) & (total <= high))
    sampler = BandSampler(costs, low, high)
    drawn = np.stack(sampler.draw(60 * len(inside) + 200, rng), axis=1)
    rank = drawn @ 4 ** np.arange(4, -1, -1)
    kept = rank[np.isin(rank, inside)]
    assert len(kept) > len(rank) / 4, "most draws can be kept"
    observed = np.bincount(kept, minlength=4**5)[inside]
    expected = len(kept) / len(inside)
    chi = ((observed - expected) ** 2 / expected).sum()
    freedom = len(inside) - 1
    assert abs(chi - freedom) < 5 * np.sqrt(2 * freedom) + 5


def test_a_band_without_combinations_has_no_ways():
    costs = [np.array([0.0, 10.0]), np.array([0.0, 100.0])]
    assert BandSampler(costs, 40, 60).log_ways == -np.inf
    assert BandSampler(costs, 400, 600).log_ways == -np.inf
    assert np.exp(BandSampler(costs, -np.inf, np.inf).log_ways) == pytest.approx(4)


@pytest.mark.slow
def test_samples_in_a_narrow_band_look_like_the_codes_that_lie_there():
    space = Priced(11)  # 8.6 million codes: not listed, but few enough to look at all of them
    assert not space.enumerable
    parts = [np.flatnonzero(row) for row in space.allowed]
    fixed, table = space.costs("params")
    left = np.array(list(product(*parts[:6])))
    right = np.array(list(product(*parts[6:])))
    total = fixed + table[np.arange(6), left].sum(axis=1)[:, None] + table[np.arange(6, 11), right].sum(axis=1)[None, :]
    low, high = 40_000, 40_400
    a, b = np.nonzero((total >= low) & (total <= high))
    everything = np.concatenate([left[a], right[b]], axis=1)
    drawn = space.where(f"params>={low},params<={high}").sample(20_000, np.random.default_rng(3))
    for gene in range(space.genes):
        expected = np.bincount(everything[:, gene], minlength=5) / len(everything)
        observed = np.bincount(drawn[:, gene], minlength=5) / len(drawn)
        assert np.abs(observed - expected).max() < 5 * 0.5 / np.sqrt(len(drawn))


def test_size_is_exact_and_limits_that_leave_nothing_name_the_range():
    space = Priced(20)
    assert space.size == 4**7 * 5**13
    with pytest.raises(FrugalnasError, match=r"params lie between \d"):
        space.where("params<=5001")
    with pytest.raises(FrugalnasError, match="params"):
        space.where("params>=40000,params<=39000")


def test_a_restricted_space_counts_with_the_whole_space_s_table():
    space = Priced(20)
    code = space.sample(1, np.random.default_rng(0))
    single = space.restrict(np.arange(5) == code[0][:, None])
    np.testing.assert_array_equal(single.count("params", code), space.count("params", code))


def test_counts_do_not_change_when_identities_move():
    space = Priced(20)
    codes = space.sample(200, np.random.default_rng(0))
    np.testing.assert_array_equal(space.count("params", space.canonical(codes)), space.count("params", codes))


def test_a_child_in_a_band_is_found_where_there_is_one():
    space = Priced(20).where("params>=40e3,params<=40.1e3")
    parents = space.sample(100, np.random.default_rng(0))
    near = np.unique(space.neighbours(parents)[1])
    alone = np.setdiff1d(np.arange(100), near)
    assert len(alone), "the band is so narrow that some codes stand alone"
    with pytest.raises(FrugalnasError, match="no valid child"):
        space.mutate(parents[alone[:1]], np.random.default_rng(1))
    children = space.mutate(parents, np.random.default_rng(1), edits=3)
    assert space.valid(children).all()
    assert ((children != parents).sum(axis=1) <= 3).all()


@pytest.mark.typical("local-search", "weaknas")
@pytest.mark.parametrize(
    "make",
    [
        lambda space: Evolution(space, initial=5, population=8, tournament=3),
        lambda space: LocalSearch(space, initial=5),
        lambda space: WeakNAS(space, initial=5, round_size=5, pool=60, predictor="ridge"),
    ],
    ids=["evolution", "local-search", "weaknas"],
)
def test_strategies_stay_inside_a_narrow_band_and_go_on(make):
    space = Priced(20).where("params>=40e3,params<=40.02e3")
    strategy = make(space)
    asked, given = set(), 0
    for _ in range(12):
        trials = strategy.ask(5)
        assert len(trials.codes) >= 1
        assert space.valid(trials.codes).all()
        given += len(trials.codes)
        asked |= {tuple(code) for code in trials.codes.tolist()}
        strategy.tell(trials, Evaluations(space.count("latency", trials.codes)))
    assert len(asked) == given, "every network is asked for once"
    assert given >= 12


def test_a_space_without_networks_counts_nothing():
    space = LayerSpace(name="toy", layers=[("a", "b"), ("a", "c")])
    assert space.quantities == ()
    with pytest.raises(FrugalnasError, match="cannot count"):
        space.count("macs", space.sample(1, np.random.default_rng(0)))
    assert isinstance(space, FactoredSpace)


def test_few_codes_are_drawn_by_one_call_as_by_one_for_each_choice(monkeypatch):
    for space in (Priced(11), DARTS()):
        one, many = np.random.default_rng(4), np.random.default_rng(4)
        for n in (1, 8, 0, 100):
            monkeypatch.undo()
            together = space.sample(n, one)
            monkeypatch.setattr(factored, "FEW", -1)
            np.testing.assert_array_equal(together, space.sample(n, many))
        assert one.bit_generator.state == many.bit_generator.state
