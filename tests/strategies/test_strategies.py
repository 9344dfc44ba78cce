"""Every strategy keeps the promises of a strategy, and each does what its paper says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_spaces import EvenBits, Layers

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.predictors import Forest, Ridge
from frugalnas.spaces import Codes, NASBench201, SearchSpace
from frugalnas.strategies import NPENAS, Evolution, LocalSearch, RandomSearch, RegularizedEvolution, Strategy, WeakNAS
from frugalnas.testing import StrategyConformance
from frugalnas.testing.checks import landscape

SPACE = NASBench201()
THREE_OPERATIONS = SPACE.restrict(np.tile([True, True, True, True, False], (6, 1)))
GOLDEN = Path(__file__).parents[1] / "golden"


class Sweep(Strategy):
    """The least that a strategy has to be: the first networks, in the order of the space, that were never asked for."""

    def propose(self, n: int) -> Codes:
        codes = self.space.enumerate()
        return codes[self.unasked(codes)][:n]


class TestRandomSearch(StrategyConformance):
    def make(self, seed):
        return RandomSearch(SPACE, seed=seed)


@pytest.mark.slow
class TestRandomSearchInManyLayers(StrategyConformance):
    def make(self, seed):
        return RandomSearch(Layers(40, 6), seed=seed, initial=20)


@pytest.mark.slow  # regularized evolution is the same but for who dies
class TestEvolution(StrategyConformance):
    def make(self, seed):
        return Evolution(SPACE, seed=seed)


@pytest.mark.slow
class TestSmallEvolution(StrategyConformance):
    rounds = 8

    def make(self, seed):
        return Evolution(Layers().where("params<=600"), seed=seed, initial=3, population=4, tournament=2, edits=2)


class TestRegularizedEvolution(StrategyConformance):
    rounds = 12

    def make(self, seed):
        return RegularizedEvolution(SPACE, seed=seed, initial=8, population=10)


@pytest.mark.slow
class TestEvolutionInManyLayers(StrategyConformance):
    def make(self, seed):
        return Evolution(Layers(40, 6), seed=seed)


class TestLocalSearch(StrategyConformance):
    rounds = 10

    def make(self, seed):
        return LocalSearch(SPACE, seed=seed)


class TestLocalSearchByWholeNeighbourhoods(StrategyConformance):
    rounds = 10

    def make(self, seed):
        return LocalSearch(Layers(), seed=seed, initial=4, whole_neighbourhood=True)


class TestWeakNAS(StrategyConformance):
    rounds = 3

    def make(self, seed):
        return WeakNAS(SPACE, seed=seed)


@pytest.mark.slow
class TestUniformWeakNAS(StrategyConformance):
    def make(self, seed):
        return WeakNAS(
            THREE_OPERATIONS,
            seed=seed,
            acquisition="uniform",
            top_start=60,
            top_end=20,
            top_rounds=3,
            labels="standard",
        )


@pytest.mark.slow
class TestWeakNASThatKeepsTheTop(StrategyConformance):
    def make(self, seed):
        return WeakNAS(THREE_OPERATIONS, seed=seed, keep_old="top", acquisition="ucb")


@pytest.mark.slow
class TestWeakNASThatIsSeldomFitted(StrategyConformance):
    def make(self, seed):
        return WeakNAS(THREE_OPERATIONS, seed=seed, predictor="ridge", acquisition="its", refit_growth=1.5)


@pytest.mark.slow
class TestWeakNASThatForgets(StrategyConformance):
    def make(self, seed):
        return WeakNAS(THREE_OPERATIONS, seed=seed, keep_old="none", acquisition="ts", labels="raw")


@pytest.mark.slow
class TestWeakNASFromAPool(StrategyConformance):
    def make(self, seed):
        return WeakNAS(Layers(30, 4), seed=seed, pool=300)


@pytest.mark.slow
class TestWeakNASFromAPoolThatKeepsTheTop(StrategyConformance):
    def make(self, seed):
        return WeakNAS(Layers(30, 4), seed=seed, pool=300, keep_old="top", acquisition="uniform", predictor="ridge")


class TestWeakNASUnderALimit(StrategyConformance):
    rounds = 2

    def make(self, seed):
        return WeakNAS(Layers(30, 4).where("params<=4500"), seed=seed, pool=300, predictor="ridge", acquisition="its")


@pytest.mark.slow
class TestRidgeWeakNAS(StrategyConformance):
    def make(self, seed):
        return WeakNAS(SPACE, seed=seed, predictor=Ridge(encoding="onehot"), acquisition="mean", labels="standard")


@pytest.mark.slow
class TestForestWeakNAS(StrategyConformance):
    rounds = 3

    def make(self, seed):
        return WeakNAS(THREE_OPERATIONS, seed=seed, predictor=Forest(trees=8), acquisition="percentile", round_size=6)


class TestSomeoneElses(StrategyConformance):
    def make(self, seed):
        return Sweep(THREE_OPERATIONS, seed=seed, initial=5)


# -- all of the package's own ----------------------------------------------------------------------------------------

OWN = {
    "random": lambda space, **options: RandomSearch(space, **options),
    "evolution": lambda space, **options: Evolution(space, **options),
    "regularized-evolution": lambda space, **options: RegularizedEvolution(space, **options),
    "local-search": lambda space, **options: LocalSearch(space, **options),
    "local-search-whole": lambda space, **options: LocalSearch(space, whole_neighbourhood=True, **options),
    "weaknas": lambda space, **options: WeakNAS(space, **options),
    "weaknas-uniform": lambda space, **options: WeakNAS(space, acquisition="uniform", predictor="ridge", **options),
}
every_strategy = pytest.mark.parametrize("make", OWN.values(), ids=OWN)


def step(strategy: Strategy, n: int | None = None, fails=()) -> Trials:
    trials = strategy.ask(n)
    errors = tuple("made to fail" if trial in fails else None for trial in trials.ids.tolist())
    strategy.tell(trials, Evaluations(landscape(strategy.space, trials.codes), {}, errors))
    return trials


@pytest.mark.typical(
    "a single code-*",
    "three operations-local-search*",
    "layers-weaknas",
    "layers-random",
    "without neighbours-weaknas",
    "small cells-regularized-evolution",
)
@every_strategy
@pytest.mark.parametrize(
    "space",
    [
        SPACE.restrict(np.tile([True, False, False, True, True], (6, 1))),
        SPACE.where("params<=0.1e6"),
        Layers(),
        EvenBits(),
        SPACE.restrict(np.eye(5, dtype=bool)[[3, 0, 3, 0, 3, 0]]),
    ],
    ids=["three operations", "small cells", "layers", "without neighbours", "a single code"],
)
def test_every_network_is_asked_for_once_in_the_end(make, space: SearchSpace) -> None:
    everything = np.unique(space.network_ids(space.enumerate()))
    strategy = make(space, seed=1, initial=min(5, len(everything)))
    asked: list[int] = []
    while len(trials := step(strategy, 7)):
        asked += space.network_ids(trials.codes).tolist()
    assert sorted(asked) == everything.tolist()


@pytest.mark.slow
@every_strategy
def test_space_without_neighbours_that_cannot_be_listed_is_searched(make) -> None:
    space = EvenBits(30)
    strategy = make(space, seed=0)
    for _ in range(3):
        trials = step(strategy)
        assert len(trials)
        assert space.valid(trials.codes).all()


@every_strategy
def test_large_initial_sample_is_as_large_as_it_is_said_to_be(make) -> None:
    for space in (SPACE, Layers(40, 6)):
        strategy = make(space, seed=0, initial=900)
        assert len(strategy.ask()) == 900


@pytest.mark.slow
def test_huge_initial_sample_is_as_large_as_it_is_said_to_be() -> None:
    assert len(RandomSearch(Layers(40, 6), initial=7_000).ask()) == 7_000


def test_short_initial_sample_is_the_beginning_of_a_long_one() -> None:
    samples = [RandomSearch(SPACE, seed=4, initial=initial).ask().codes for initial in (1, 10, 64, 65, 300)]
    for sample in samples:
        np.testing.assert_array_equal(sample, samples[-1][: len(sample)])


def test_random_search_is_uniform_over_codes() -> None:
    counts = np.zeros(5)
    for seed in range(40):
        codes = np.concatenate([step(RandomSearch(SPACE, seed=seed)).codes])
        counts += (codes[:, :, None] == np.arange(5)).sum(axis=(0, 1))
    assert np.abs(counts / counts.sum() - 0.2).max() < 0.04


@pytest.mark.typical("local-search*", "weaknas-uniform")
@every_strategy
def test_search_beats_chance_on_a_smooth_landscape(make) -> None:
    if make is OWN["random"]:
        return
    space = Layers(6, 4)
    truth = np.sort(landscape(space, space.enumerate()))
    best = []
    for seed in range(5):
        strategy = make(space, seed=seed)
        while len(strategy.values) < 150:
            step(strategy)
        best.append(strategy.values.max())
    ranks = len(truth) - np.searchsorted(truth, best)
    assert np.mean(ranks) < len(truth) / 150 / 2


# -- evolution -------------------------------------------------------------------------------------------------------


def grandchildren(strategy: Strategy, parents: list[str]) -> list[bool]:
    """Whether each of the next children is one edit away from one of these parents."""
    codes = np.stack([strategy.space.parse(parent) for parent in parents])
    near = []
    for _ in range(30):
        trials = strategy.ask(1)
        near.append(bool(((codes != trials.codes).sum(axis=1) == 1).any()))
    return near


@pytest.mark.parametrize("kind", [Evolution, RegularizedEvolution])
def test_child_is_one_edit_from_the_best_of_the_whole_population(kind) -> None:
    strategy = kind(Layers(12, 6), seed=0, initial=10, tournament=10)
    trials = step(strategy)
    best = trials.codes[np.argmax(landscape(strategy.space, trials.codes))]
    assert all(grandchildren(strategy, [strategy.space.format(best)]))


def test_who_dies_is_the_difference() -> None:
    """The best of the first sample outlives everyone in plain evolution, and dies of age in regularized evolution."""
    parents = {}
    for kind in (Evolution, RegularizedEvolution):
        strategy = kind(Layers(12, 6), seed=0, initial=5, population=5, tournament=5)
        first = strategy.ask()
        strategy.tell(first, Evaluations(np.arange(5) + 100.0))
        for _ in range(5):
            worse = strategy.ask(1)
            strategy.tell(worse, Evaluations(np.zeros(1)))
        parents[kind] = grandchildren(strategy, [strategy.space.format(first.codes[4])])
    assert all(parents[Evolution])
    assert np.mean(parents[RegularizedEvolution]) < 0.5


def test_one_by_one_a_state_taken_anywhere_leads_on_as_before() -> None:
    """Between fits the Gaussian process is only extended: what a fit would give is not what was there."""
    strategy, taken = WeakNAS(SPACE, round_size=1), []
    while len(strategy.values) < 45:
        taken.append(json.dumps(strategy.state_dict()))
        step(strategy)
    for at in (20, 27, 31):
        again = WeakNAS(SPACE, round_size=1)
        again.load_state_dict(json.loads(taken[at]))
        while len(again.values) < 45:
            step(again)
        np.testing.assert_array_equal(again.codes, strategy.codes)
        assert again.state_dict() == strategy.state_dict()


@pytest.mark.typical("None", "options2")
@pytest.mark.parametrize("options", [{}, {"acquisition": "uniform"}, {"costs": ("params",)}, None])
def test_a_region_where_everything_fails_is_left(options: dict | None) -> None:
    """Of 15,625 cells those fail, a fifth of the networks, that have three convolutions 3x3 or more: the best ones."""
    space = NASBench201()
    strategy = NPENAS(space, predictor="ridge") if options is None else WeakNAS(space, **options)
    value = 3
    assert space.format(np.full(6, value)).count("nor_conv_3x3") == 6
    failed = []
    while len(failed) < 60:
        trials = strategy.ask()
        convolutions = (space.canonical(trials.codes) == value).sum(axis=1)
        strategy.tell(trials, Evaluations(np.where(convolutions >= 3, np.nan, convolutions + trials.codes[:, 0] / 9)))
        failed += (convolutions >= 3).tolist()
    assert sum(failed[20:]) <= 8


def test_failures_are_never_parents() -> None:
    strategy = Evolution(Layers(12, 6), seed=0, initial=6, tournament=6)
    trials = strategy.ask()
    strategy.tell(trials, Evaluations([1, 2, 3, 9, 9, 9], {}, (None, None, None, "out of memory", "late", "burnt")))
    assert all(grandchildren(strategy, [strategy.space.format(trials.codes[2])]))


@pytest.mark.parametrize("option", ["population", "tournament", "edits", "initial"])
def test_evolution_refuses_nothing(option: str) -> None:
    with pytest.raises(FrugalnasError):
        Evolution(SPACE, **{option: 0})


# -- local search ----------------------------------------------------------------------------------------------------


def test_local_search_climbs_to_a_local_optimum() -> None:
    space = Layers(6, 4)
    for whole in (False, True):
        strategy = LocalSearch(space, seed=0, initial=5, whole_neighbourhood=whole)
        start = step(strategy).codes
        start = start[np.argmax(landscape(space, start))]
        climb = [landscape(space, start[None])[0]]
        here = start[None]
        while True:
            around, _ = space.neighbours(here)
            value = landscape(space, around)
            if value.max() <= climb[-1]:
                break
            here = around[np.argmax(value)][None]
            climb.append(value.max())
        for _ in range(40 * space.genes * 3):
            step(strategy, 1)
        best = strategy.codes[np.argmax(strategy.values)][None]
        assert landscape(space, space.neighbours(best)[0]).max() <= strategy.values.max()
        if whole:
            assert climb[-1] in strategy.values, "steepest ascent passes through the optimum above its start"


def test_whole_neighbourhood_is_evaluated_before_the_first_step() -> None:
    space = Layers(6, 4)
    strategy = LocalSearch(space, seed=3, initial=5, whole_neighbourhood=True)
    first = step(strategy).codes
    best = first[np.argmax(landscape(space, first))][None]
    around = space.neighbours(best)[0]
    fresh = around[~np.isin(space.keys(around), space.keys(first))]
    asked = np.concatenate([step(strategy, 1).codes for _ in range(len(fresh))])
    assert sorted(space.keys(asked).tolist()) == sorted(space.keys(fresh).tolist())


def test_first_improvement_is_followed_at_once() -> None:
    space = Layers(12, 6)
    strategy = LocalSearch(space, seed=0, initial=3)
    here = strategy.ask()
    strategy.tell(here, Evaluations([0.0, 1.0, 0.5]))
    better = strategy.ask(1)
    assert (better.codes != here.codes[1]).sum() == 1
    strategy.tell(better, Evaluations([2.0]))
    step_further = strategy.ask(1)
    assert (step_further.codes != better.codes).sum() == 1


# -- golden trajectories ---------------------------------------------------------------------------------------------


def whole_numbers(codes: Codes) -> np.ndarray:
    """A made-up value without rounding, so that every machine agrees to the last bit."""
    worth = np.array([0, 3, 7, 11, 2])[codes] * np.array([3, 1, 2, 5, 1, 4])
    clash = (codes[:, :-1] == codes[:, 1:]).sum(axis=1)
    return (worth.sum(axis=1) - 6 * clash + codes[:, 0] * codes[:, 5]).astype(np.float64)


@pytest.mark.parametrize("name", [name for name in OWN if name != "weaknas-uniform"])
def test_golden_trajectory(name: str) -> None:
    """The first forty queries of seed 0; of the one that fits a predictor the first round only, as rounding differs.

    After a change that is meant, run with UPDATE_GOLDEN=1 and say in CHANGELOG.md that seeds mean something else.
    """
    strategy = OWN[name](SPACE, seed=0)
    asked: list[str] = []
    while len(asked) < (20 if name == "weaknas" else 40):
        trials = strategy.ask()
        strategy.tell(trials, Evaluations(whole_numbers(trials.codes)))
        asked += [SPACE.format(code) for code in trials.codes]
    path = GOLDEN / f"{name}.json"
    record = {"strategy": name, "seed": 0, "asked": asked[:40]}
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(record, indent=1) + "\n")
    assert json.loads(path.read_text()) == record
