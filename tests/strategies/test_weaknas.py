"""WeakNAS: the published schedule and counts, what each option changes, and what the search is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_spaces import Layers

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.methods.presets import weaknas_paper
from frugalnas.predictors import GaussianProcess, Prediction, Predictor, Ridge
from frugalnas.registry import STRATEGIES
from frugalnas.spaces import NASBench201, Population
from frugalnas.strategies import RandomSearch, Strategy, WeakNAS
from frugalnas.strategies.weaknas import top_schedule
from frugalnas.testing.checks import landscape

SPACE = NASBench201()


class Clairvoyant(Predictor):
    """Knows the landscape, so that what a strategy does with a prediction can be seen; keeps a list of its lessons."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.lessons: list[tuple[Population, np.ndarray]] = []

    def fit(self, population: Population, values):
        self.lessons.append((population, np.array(values)))
        return self

    def predict(self, population: Population) -> Prediction:
        mean = landscape(population.space, population.codes)
        return Prediction(mean, np.zeros(len(mean)))


def step(strategy: Strategy, n: int | None = None, values=landscape) -> Trials:
    trials = strategy.ask(n)
    strategy.tell(trials, Evaluations(values(strategy.space, trials.codes)))
    return trials


# -- schedule and counts ---------------------------------------------------------------------------------------------


def test_top_shrinks_as_published() -> None:
    schedule = top_schedule(80_000, 500, 0.96, 91)
    published = {0: 80000, 1: 76446, 2: 73049, 5: 63726, 10: 50725, 20: 32041, 40: 12505, 60: 4547, 80: 1306, 90: 500}
    assert {round_: int(schedule[round_]) for round_ in published} == published
    assert len(schedule) == 91
    assert (np.diff(schedule) < 0).all()


def test_schedule_of_one_round_or_without_decay_is_constant() -> None:
    assert top_schedule(80_000, 500, 0.96, 1).tolist() == [80_000]
    assert top_schedule(100, 100, 0.96, 4).tolist() == [100] * 4
    assert top_schedule(100, 7, 0.5, 2).tolist() == [100, 7]


@pytest.mark.typical("NAS-Bench-201")
@pytest.mark.parametrize(("initial", "rounds"), [(100, 91), (10, 100)], ids=["NAS-Bench-101", "NAS-Bench-201"])
def test_thousand_queries_take_as_many_rounds_as_published(initial: int, rounds: int) -> None:
    strategy = WeakNAS(SPACE, initial=initial, round_size=10, predictor=Clairvoyant(), acquisition="mean")
    sizes = []
    while sum(sizes) < 1_000:
        sizes.append(len(step(strategy)))
    assert sizes == [initial] + [10] * (rounds - 1)
    assert sum(sizes) == 1_000


# -- how the next ones are chosen ------------------------------------------------------------------------------------


def places(strategy: Strategy, trials: Trials) -> np.ndarray:
    """Place of each trial among all codes ordered by the landscape, best first."""
    truth = landscape(strategy.space, strategy.space.enumerate())
    return (truth[:, None] > landscape(strategy.space, trials.codes)).sum(axis=0)


def test_uniform_draws_from_the_predicted_top() -> None:
    strategy = WeakNAS(SPACE, seed=1, predictor=Clairvoyant(), acquisition="uniform", top_start=300)
    step(strategy)
    drawn = np.concatenate([places(strategy, step(strategy)) for _ in range(10)])
    assert drawn.max() < 300
    assert 100 < drawn.mean() < 200


def test_uniform_takes_the_best_predicted_where_the_top_is_used_up() -> None:
    space = Layers(6, 4)
    strategy = WeakNAS(space, seed=1, predictor=Clairvoyant(), acquisition="uniform", top_start=12, initial=5)
    first = places(strategy, step(strategy))
    drawn = [places(strategy, step(strategy)) for _ in range(3)]
    order = [place for place in range(space.size) if place not in first]
    top = [place for place in order if place < 12]
    assert set(drawn[0]) <= set(top)
    assert sorted(np.concatenate(drawn)) == order[:30]


def test_top_shrinks_round_by_round() -> None:
    options = {"top_start": 5_000, "top_end": 100, "top_decay": 0.9, "top_rounds": 4}
    strategy = WeakNAS(SPACE, seed=1, predictor=Clairvoyant(), acquisition="uniform", **options)
    step(strategy)
    for size in [*top_schedule(5_000, 100, 0.9, 4), 100, 100]:
        assert places(strategy, step(strategy)).max() < size


def test_certain_predictions_are_taken_in_order() -> None:
    space = Layers(6, 4)
    strategy = WeakNAS(space, seed=1, predictor=Clairvoyant(), labels="raw", initial=5)
    first = places(strategy, step(strategy))
    order = [place for place in range(space.size) if place not in first]
    for begin in (0, 10, 20):
        assert places(strategy, step(strategy)).tolist() == order[begin : begin + 10]


# -- what the predictor is fitted to ---------------------------------------------------------------------------------


def test_everything_is_kept_by_default() -> None:
    strategy = WeakNAS(SPACE, predictor=Clairvoyant())
    for _ in range(4):
        step(strategy)
    assert [len(labels) for _, labels in strategy.predictor.lessons] == [10, 20, 30]


def test_predictor_is_fitted_again_once_labels_have_grown() -> None:
    strategy = WeakNAS(SPACE, predictor=Clairvoyant(), refit_growth=1.5)
    for _ in range(9):
        step(strategy)
    assert [len(labels) for _, labels in strategy.predictor.lessons] == [10, 20, 30, 50, 80]
    with pytest.raises(FrugalnasError, match="keep_old all"):
        WeakNAS(SPACE, predictor=Clairvoyant(), refit_growth=1.5, keep_old="top")


def test_keeping_none_fits_to_the_last_round() -> None:
    strategy = WeakNAS(SPACE, predictor=Clairvoyant(), keep_old="none")
    rounds = [step(strategy) for _ in range(4)]
    for trials, (population, _) in zip(rounds, strategy.predictor.lessons, strict=False):
        np.testing.assert_array_equal(population.codes, trials.codes)


def test_keeping_the_top_fits_to_the_last_round_and_what_is_still_liked() -> None:
    space = Layers(6, 4)
    strategy = WeakNAS(space, predictor=Clairvoyant(), keep_old="top", acquisition="uniform", top_start=600, initial=50)
    rounds = [step(strategy) for _ in range(4)]
    known = rounds[0].codes
    for trials, (population, _) in zip(rounds[1:], strategy.predictor.lessons[1:], strict=False):
        liked = places(strategy, Trials(known, np.arange(len(known)))) < 600
        known = np.concatenate([known[liked], trials.codes])
        np.testing.assert_array_equal(population.codes, known)
    assert 10 < len(known) < 80


def test_keeping_the_top_keeps_something_where_the_space_cannot_be_listed() -> None:
    strategy = WeakNAS(Layers(30, 4), predictor=Clairvoyant(), keep_old="top", top_start=100, pool=200)
    for _ in range(6):
        step(strategy)
    assert len(strategy.predictor.lessons[-1][1]) > 10


def test_failures_are_told_as_the_worst_so_far() -> None:
    strategy = WeakNAS(SPACE, predictor=Clairvoyant(), labels="raw")
    trials = strategy.ask()
    values = np.arange(10.0)
    values[3:5] = np.nan, np.inf
    strategy.tell(trials, Evaluations(values))
    strategy.ask()
    population, labels = strategy.predictor.lessons[0]
    np.testing.assert_array_equal(labels, [0, 1, 2, 0, 0, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(population.codes, trials.codes)


@pytest.mark.parametrize("labels", ["rank", "standard", "raw"])
def test_labels(labels: str) -> None:
    strategy = WeakNAS(SPACE, predictor=Clairvoyant(), labels=labels)
    for _ in range(3):
        step(strategy)
    step_labels = [lesson for _, lesson in strategy.predictor.lessons]
    for told, lesson in zip((10, 20), step_labels, strict=False):
        values = strategy.values[:told]
        np.testing.assert_array_equal(np.argsort(lesson), np.argsort(values))
        if labels == "raw":
            np.testing.assert_array_equal(lesson, values)
        else:
            assert lesson.mean() == pytest.approx(0, abs=1e-9)
            assert 0.8 < lesson.std() <= 1 + 1e-9
        if labels == "standard":
            np.testing.assert_allclose(np.corrcoef(lesson, values)[0, 1], 1)


def test_rank_labels_forget_everything_but_the_order() -> None:
    def stretched(space, codes):
        return np.exp(3 * landscape(space, codes))

    plain, other = (WeakNAS(SPACE, seed=2, predictor="ridge") for _ in range(2))
    for _ in range(5):
        np.testing.assert_array_equal(step(plain).codes, step(other, values=stretched).codes)


def test_each_fit_has_a_seed_of_its_own() -> None:
    seeds = []

    class Seeded(Clairvoyant):
        def fit(self, population, values):
            seeds.append(self.seed)
            return super().fit(population, values)

    for _ in range(2):
        strategy = WeakNAS(SPACE, seed=3, predictor=Seeded())
        for _ in range(4):
            step(strategy)
    assert len(set(seeds)) == 3
    assert seeds[:3] == seeds[3:]


# -- what it is worth ------------------------------------------------------------------------------------------------


@pytest.mark.typical("listed-ridge")
@pytest.mark.parametrize(
    "options",
    [{}, {"acquisition": "uniform"}, {"predictor": "ridge"}, {"predictor": GaussianProcess(encoding="onehot")}],
    ids=["default", "uniform", "ridge", "one-hot"],
)
@pytest.mark.parametrize(
    "space", [Layers(6, 4), pytest.param(Layers(30, 4), marks=pytest.mark.slow)], ids=["listed", "from a pool"]
)
def test_search_is_better_than_chance(options, space) -> None:
    best = {}
    for kind, made in (("weaknas", options | {"pool": 400}), ("random", {})):
        cls = WeakNAS if kind == "weaknas" else RandomSearch
        best[kind] = []
        for seed in range(3):
            strategy = cls(space, seed=seed, **made)
            while len(strategy.values) < 120:
                step(strategy, 10)
            best[kind].append(strategy.values.max())
    assert np.mean(best["weaknas"]) > np.mean(best["random"])
    assert max(best["weaknas"]) >= max(best["random"])


@pytest.mark.slow
def test_pool_is_searched_around_the_best() -> None:
    """In thirty layers of four nobody meets the optimum's surroundings by chance; mutation of the best leads there."""

    def matches(space, codes):
        return (codes == np.arange(30) % 4).sum(axis=1).astype(float)

    strategy = WeakNAS(Layers(30, 4), seed=0, pool=1_000, predictor="ridge")
    while len(strategy.values) < 300:
        step(strategy, values=matches)
    assert strategy.values.max() >= 25


@pytest.mark.parametrize("column", ["cifar10_val200", pytest.param("cifar100_val200", marks=pytest.mark.slow)])
def test_optimum_of_nasbench201_is_found(shared_data: Path, column: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_data / "nasbench201.parquet", columns=["arch_str", column])
    codes = np.stack([SPACE.parse(text) for text in table.column("arch_str").to_pylist()])
    values = dict(zip(SPACE.keys(codes).tolist(), table.column(column).to_numpy(), strict=True))
    queries = []
    for seed in range(10):
        strategy = WeakNAS(SPACE, seed=seed)
        while len(strategy.values) < 600 and (not len(strategy.values) or strategy.values.max() < max(values.values())):
            trials = strategy.ask()
            strategy.tell(trials, Evaluations([values[key] for key in SPACE.keys(trials.codes).tolist()]))
        queries.append(len(strategy.values))
    assert max(queries) < 600
    assert np.mean(queries) < 260


# -- the page --------------------------------------------------------------------------------------------------------


def test_paper_settings() -> None:
    strategy = weaknas_paper(SPACE, seed=3)
    described = STRATEGIES.describe(strategy)
    assert described["name"] == "weaknas"
    expected = {"acquisition": "uniform", "top_start": 100, "keep_old": "all", "labels": "standard", "round_size": 10}
    assert expected.items() <= described["options"].items()
    assert described["options"]["predictor"]["options"]["hidden"] == [1000] * 4
    assert STRATEGIES.create("weaknas-paper", SPACE).ask().codes.shape == (10, 6)


@pytest.mark.slow
def test_paper_settings_search() -> None:
    strategy = weaknas_paper(SPACE, seed=0)
    for _ in range(5):
        step(strategy)
    assert len(np.unique(SPACE.network_ids(strategy.codes))) == 50


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"round_size": 0}, "round_size"),
        ({"top_start": 0}, "top_start"),
        ({"top_rounds": 0}, "top_rounds"),
        ({"top_end": 0}, "top_end"),
        ({"top_start": 50, "top_end": 51}, "top_end"),
        ({"top_decay": 1.0}, "top_decay"),
        ({"top_decay": 0.0}, "top_decay"),
        ({"pool": 19}, "pool"),
        ({"acquisition": "unifrom"}, "uniform"),
        ({"keep_old": "some"}, "none"),
        ({"labels": "ranks"}, "rank"),
        ({"predictor": "gausian-process"}, "gaussian-process"),
        ({"initial": 0}, "initial is 0; it is at least 1"),
        ({"initial": 20_000}, "5,044 distinct networks"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(FrugalnasError, match=says):
        WeakNAS(SPACE, **options)


def test_predictor_is_a_name_a_description_or_an_object() -> None:
    description = {"name": "ridge", "options": {"encoding": "onehot"}}
    predictors = ("ridge", "frugalnas.predictors:Ridge", description, Ridge(encoding="live"))
    made = [WeakNAS(SPACE, predictor=predictor).predictor for predictor in predictors]
    assert all(isinstance(predictor, Ridge) for predictor in made)
    assert [predictor.encoding for predictor in made] == [None, None, "onehot", "live"]
