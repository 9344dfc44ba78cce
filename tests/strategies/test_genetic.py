"""Genetic search keeps the promises of a strategy, and breeds as its papers say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_spaces import EvenBits, Layers
from test_strategies import THREE_OPERATIONS, step, whole_numbers

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench101, NASBench201, OnceForAll, ShuffleNet
from frugalnas.strategies.genetic import GENERATIONS, PRESETS, GeneticSearch, genetic_paper
from frugalnas.testing import StrategyConformance
from frugalnas.testing.checks import landscape

SPACE = NASBench201()
GOLDEN = Path(__file__).parents[1] / "golden" / "genetic.json"


class TestGeneticSearch(StrategyConformance):
    def make(self, seed):
        return GeneticSearch(SPACE, seed=seed, initial=20, population=12, parents=4, mutations=5, crossovers=5)


@pytest.mark.slow
class TestGeneticSearchByItsDefaults(StrategyConformance):
    def make(self, seed):
        return GeneticSearch(SPACE, seed=seed)


@pytest.mark.slow
class TestGeneticSearchOfDARTS(StrategyConformance):
    def make(self, seed):
        return GeneticSearch(DARTS(duplicates=False), seed=seed, initial=20, population=10, mutations=5, crossovers=4)


@pytest.mark.slow
class TestGeneticSearchUnderALimit(StrategyConformance):
    def make(self, seed):
        return GeneticSearch(
            Layers(30, 4).where("params<=4500"),
            seed=seed,
            initial=15,
            population=10,
            parents=3,
            mutations=4,
            crossovers=4,
        )


@pytest.mark.typical("layers", "small cells", "a single code")
@pytest.mark.parametrize(
    "space",
    [
        THREE_OPERATIONS,
        SPACE.where("params<=0.1e6"),
        Layers(),
        EvenBits(),
        SPACE.restrict(np.eye(5, dtype=bool)[[3] * 6]),
    ],
    ids=["three operations", "small cells", "layers", "without neighbours", "a single code"],
)
def test_every_network_is_asked_for_once_in_the_end(space) -> None:
    everything = np.unique(space.network_ids(space.enumerate()))
    strategy = GeneticSearch(space, seed=1, initial=min(5, len(everything)), population=500, parents=30)
    asked: list[int] = []
    while len(trials := step(strategy)):
        asked += space.network_ids(trials.codes).tolist()
    assert sorted(asked) == everything.tolist()


@pytest.mark.parametrize(
    "space",
    [
        DARTS(),
        DARTS(duplicates=False),
        MobileNet(),
        FairNAS(),
        OnceForAll(),
        pytest.param(NASBench101(), marks=pytest.mark.slow),
        EvenBits(30),
    ],
    ids=["darts", "darts without duplicates", "mobilenet", "fairnas", "once-for-all", "nasbench101", "even bits"],
)
def test_generations_are_full_and_mostly_bred(space) -> None:
    """Every space gets whole generations of valid children, of which most have their genes from the best."""
    strategy = GeneticSearch(space, seed=0, initial=40, population=40, parents=5, mutations=20, crossovers=20)
    first = step(strategy)
    order = np.argsort(-landscape(space, first.codes), kind="stable")
    best = first.codes[order[:5]]
    children = step(strategy).codes
    assert len(children) == 40
    assert space.valid(children).all()
    inherited = (children[:, None] == best).any(axis=1)
    assert inherited[:20].all(), "a crossover has every gene from a parent"
    assert inherited[20:].mean() > 0.6


def test_crossing_keeps_the_inputs_of_a_darts_node_together() -> None:
    strategy = GeneticSearch(DARTS(), seed=0, initial=20, population=30, parents=4, mutations=0, crossovers=30)
    first = step(strategy)
    best = first.codes[np.argsort(-landscape(strategy.space, first.codes), kind="stable")[:4]]
    children = step(strategy).codes
    pairs = children.reshape(-1, 1, 8, 2) == best.reshape(1, -1, 8, 2)
    assert pairs.all(axis=3).any(axis=1).all()


def test_both_darts_cells_mutate() -> None:
    strategy = GeneticSearch(DARTS(), seed=0, initial=1, population=200, parents=1, mutations=200, crossovers=0)
    parent = step(strategy).codes[0]
    changed = (step(strategy).codes != parent).mean(axis=0)
    assert (changed > 0.03).all(), "every gene of both cells"
    assert changed.mean() < 0.2


def test_parents_are_the_best_of_all_generations() -> None:
    strategy = GeneticSearch(Layers(12, 6), seed=0, initial=10, population=10, parents=2, mutations=0, crossovers=10)
    first = strategy.ask()
    strategy.tell(first, Evaluations(np.arange(10.0)))
    best = first.codes[-2:]
    for _ in range(3):
        trials = strategy.ask()
        assert (trials.codes[:, None] == best).any(axis=1).all()
        strategy.tell(trials, Evaluations(np.full(len(trials), -1.0)))


def test_failures_are_never_parents() -> None:
    strategy = GeneticSearch(Layers(12, 6), seed=0, initial=3, population=10, parents=2, mutations=0, crossovers=10)
    first = strategy.ask()
    strategy.tell(first, Evaluations([1, 9, 2], {}, (None, "burnt", None)))
    children = strategy.ask().codes
    assert (children[:, None] == first.codes[[0, 2]]).any(axis=1).all()


def test_a_single_parent_has_mutants_instead_of_crossovers() -> None:
    strategy = GeneticSearch(Layers(12, 6), seed=0, initial=1, population=8, parents=1, mutations=4, crossovers=4)
    parent = step(strategy).codes[0]
    assert ((step(strategy).codes != parent).mean(axis=1) < 0.5).all()


def test_generation_is_asked_for_in_pieces() -> None:
    """However it is asked for, a generation has the parents that were known when it was bred."""
    whole, pieces = (GeneticSearch(SPACE, seed=2, population=10, mutations=5, crossovers=5) for _ in range(2))
    for strategy in (whole, pieces):
        step(strategy)
    together = whole.ask().codes
    one_by_one = np.concatenate([step(pieces, 1).codes for _ in range(10)])
    np.testing.assert_array_equal(together, one_by_one)


@pytest.mark.slow
def test_search_beats_random_search_on_a_large_space() -> None:
    space = MobileNet()
    gained = []
    for seed in range(5):
        strategy = genetic_paper(space, seed=seed)
        while len(strategy.values) < 1_000:
            step(strategy)
        gained.append(strategy.values.max())
    chance = landscape(space, space.sample(20_000, np.random.default_rng(0))).max()
    assert min(gained) > chance


def test_papers_settings() -> None:
    evaluations = {name: GENERATIONS * preset["population"] for name, preset in PRESETS.items()}
    assert evaluations == {"nasbench201": 2_000, **dict.fromkeys(("darts", "mobilenet", "spos", "fairnas"), 1_000)}
    strategy = genetic_paper(SPACE, seed=3)
    assert (strategy.initial, strategy.population, strategy.parents) == (100, 100, 30)
    assert (strategy.mutations, strategy.crossovers, strategy.mutation_rate) == (50, 50, 0.1)
    assert genetic_paper(FairNAS()).mutation_rate == 0.5
    assert genetic_paper(MobileNet(), preset="spos").mutation_rate == 0.5
    assert genetic_paper(ShuffleNet()).population == 50
    with pytest.raises(FrugalnasError, match="choose one of"):
        genetic_paper(SPACE, preset="nasbench202")


@pytest.mark.parametrize(
    "options",
    [
        {"population": 0},
        {"parents": 0},
        {"mutations": 40, "crossovers": 20},
        {"mutations": -1},
        {"crossovers": -1},
        {"mutation_rate": 0.0},
        {"mutation_rate": 1.5},
        {"initial": 0},
    ],
)
def test_impossible_settings_are_refused(options) -> None:
    with pytest.raises(FrugalnasError):
        GeneticSearch(SPACE, **options)


def test_golden_trajectory() -> None:
    """The first sixty queries of seed 0; UPDATE_GOLDEN=1 writes them anew, which CHANGELOG.md then says."""
    strategy = GeneticSearch(SPACE, seed=0, initial=20, population=20, parents=5, mutations=8, crossovers=8)
    asked: list[str] = []
    while len(asked) < 60:
        trials = strategy.ask()
        strategy.tell(trials, Evaluations(whole_numbers(trials.codes)))
        asked += [SPACE.format(code) for code in trials.codes]
    record = {"strategy": "genetic", "seed": 0, "asked": asked}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(record, indent=1) + "\n")
    assert json.loads(GOLDEN.read_text()) == record
