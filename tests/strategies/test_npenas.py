"""NPENAS: where candidates come from, what the predictor is shown and when, and what its presets are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_spaces import EvenBits, Layers

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Trials
from frugalnas.predictors import GaussianProcess, Prediction, Predictor, Ridge
from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES
from frugalnas.spaces import DARTS, Codes, NASBench101, NASBench201, Population, SearchSpace
from frugalnas.spaces.cells101 import live_parts
from frugalnas.spaces.npenas_mutations import paper_mutants
from frugalnas.strategies import NPENAS, RandomSearch, Strategy
from frugalnas.testing import StrategyConformance
from frugalnas.testing.checks import landscape

SPACE = NASBench201()
GOLDEN = Path(__file__).parents[1] / "golden"


class Clairvoyant(Predictor):
    """Knows the landscape; remembers what it was fitted to and asked about."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.fits: list[int] = []
        self.asked: list[Codes] = []
        self.prepared: list[str] = []

    def prepare(self, space):
        self.prepared.append(space.name)

    def fit(self, population: Population, values):
        self.fits.append(len(values))
        return self

    def predict(self, population: Population) -> Prediction:
        self.asked.append(population.codes)
        mean = self.truth(population)
        return Prediction(mean, np.zeros(len(mean)))

    def truth(self, population: Population) -> np.ndarray:
        return landscape(population.space, population.codes)


class WholeNumbers(Clairvoyant):
    """Without rounding, so that every machine agrees to the last bit."""

    def truth(self, population: Population) -> np.ndarray:
        return whole_numbers(population.codes)


def whole_numbers(codes: Codes) -> np.ndarray:
    worth = np.array([0, 3, 7, 11, 2])[codes] * np.array([3, 1, 2, 5, 1, 4])
    return (worth.sum(axis=1) - 6 * (codes[:, :-1] == codes[:, 1:]).sum(axis=1)).astype(np.float64)


def step(strategy: Strategy, n: int | None = None) -> Trials:
    trials = strategy.ask(n)
    strategy.tell(trials, Evaluations(landscape(strategy.space, trials.codes)))
    return trials


class TestNPENAS(StrategyConformance):
    def make(self, seed):
        return NPENAS(SPACE, seed=seed, predictor="ridge", candidates=30)


@pytest.mark.slow  # what it says of its memory, a test of the default suite says too
class TestNPENASThatIsSeldomFitted(StrategyConformance):
    """What the predictor was fitted to, and with which seed, survives a restart."""

    def make(self, seed):
        return NPENAS(
            SPACE,
            seed=seed,
            predictor=GaussianProcess(),
            acquisition="ts",
            mutation="paper",
            tournament=3,
            children=4,
            fixed=25,
            refit_growth=1.3,
            labels="standard",
            candidates=30,
        )


@pytest.mark.slow
class TestNPENASOnDARTS(StrategyConformance):
    def make(self, seed):
        return NPENAS(DARTS(), seed=seed, predictor=Ridge(), mutation="paper", acquisition="its")


@pytest.mark.slow
class TestNPENASUnderALimit(StrategyConformance):
    def make(self, seed):
        return NPENAS(Layers(30, 4).where("params<=4500"), seed=seed, predictor="ridge", edits=2)


def test_predictor_is_the_same_after_a_restart() -> None:
    """What it was last fitted to, and with which seed, is remembered; here it is several rounds old."""
    options = {"predictor": Ridge(), "acquisition": "its", "fixed": 25, "candidates": 30}
    strategy, restored = NPENAS(SPACE, seed=3, **options), NPENAS(SPACE, seed=3, **options)
    for _ in range(5):
        step(strategy)
    restored.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
    for _ in range(2):
        np.testing.assert_array_equal(step(strategy).codes, step(restored).codes)


# -- candidates ------------------------------------------------------------------------------------------------------


def differing(codes: Codes, code: Codes) -> np.ndarray:
    return (codes != code).sum(axis=1)


def test_candidates_are_new_children_of_the_best_in_order() -> None:
    strategy = NPENAS(Layers(12, 6), seed=0, predictor=Clairvoyant(), candidates=100)
    for _ in range(4):
        step(strategy)
        strategy.predictor.asked.clear()
        known = strategy.codes[np.argsort(-strategy.values)]
        step(strategy)
        (candidates,) = strategy.predictor.asked
        assert len(np.unique(strategy.space.network_ids(candidates))) == 100
        assert not np.isin(strategy.space.network_ids(candidates), strategy.space.network_ids(known)).any()
        first = np.array([np.flatnonzero(differing(known, child) == 1)[0] for child in candidates])
        assert first.max() < 8, "a parent has some fifty children: a few of the best are enough"
        assert (first == 0).sum() > 30


def test_few_children_come_from_many_parents() -> None:
    strategy = NPENAS(Layers(12, 6), seed=0, initial=80, predictor=Clairvoyant(), candidates=60, children=2)
    step(strategy)
    step(strategy)
    (candidates,) = strategy.predictor.asked
    known = strategy.codes[np.argsort(-strategy.values[:80], kind="stable")]
    parents = [int(np.argmin(differing(known, child))) for child in candidates]
    assert max(parents.count(parent) for parent in parents) == 2
    assert len(set(parents)) == 30


def test_tournaments_choose_other_parents_than_the_best() -> None:
    strategy = NPENAS(Layers(12, 6), seed=0, initial=80, predictor=Clairvoyant(), tournament=2, children=3)
    step(strategy)
    step(strategy)
    known = strategy.codes[:80][np.argsort(-strategy.values[:80], kind="stable")]
    parents = {int(np.argmin(differing(known, child))) for child in strategy.predictor.asked[0]}
    assert max(parents) > 30
    assert np.mean(list(parents)) < 35


def test_mutation_goes_further_where_everything_near_is_known() -> None:
    space = NASBench201().restrict(np.tile([True, False, False, True, True], (6, 1)))
    strategy = NPENAS(space, seed=1, initial=5, predictor=Clairvoyant(), parents=1)
    everything = np.unique(space.network_ids(space.enumerate()))
    asked: list[int] = []
    while len(trials := step(strategy, 7)):
        asked += space.network_ids(trials.codes).tolist()
    assert sorted(asked) == everything.tolist()


@pytest.mark.slow
def test_space_without_neighbours_is_searched_all_the_same() -> None:
    strategy = NPENAS(EvenBits(30), seed=0, predictor=Clairvoyant())
    for _ in range(3):
        trials = step(strategy)
        assert len(trials) == 10
        assert EvenBits(30).valid(trials.codes).all()


def test_search_beats_chance() -> None:
    best = {}
    for kind in (NPENAS, RandomSearch):
        best[kind] = []
        for seed in range(3):
            strategy = kind(Layers(6, 4), seed=seed, **({} if kind is RandomSearch else {"predictor": "ridge"}))
            while len(strategy.values) < 100:
                step(strategy, 10)
            best[kind].append(strategy.values.max())
    assert np.mean(best[NPENAS]) > np.mean(best[RandomSearch])


# -- fits ------------------------------------------------------------------------------------------------------------


def fits(rounds: int, **options) -> list[int]:
    strategy = NPENAS(SPACE, predictor=Clairvoyant(), **options)
    for _ in range(rounds):
        step(strategy)
    return strategy.predictor.fits


def test_predictor_is_fitted_every_round_unless_told_otherwise() -> None:
    assert fits(15) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 130]
    assert fits(13, refit_growth=1.0)[-1] == 120
    assert fits(9, fixed=50) == [10, 20, 30, 40, 50]
    assert fits(14, refit_growth=1.5) == [10, 20, 30, 50, 80, 120]


def test_nothing_new_is_no_reason_to_fit_again() -> None:
    strategy = NPENAS(SPACE, predictor=Clairvoyant())
    step(strategy)
    for _ in range(3):
        strategy.ask()
    assert strategy.predictor.fits == [10]


def test_failures_are_learnt_from_and_no_parents() -> None:
    strategy = NPENAS(Layers(12, 6), predictor=Clairvoyant(), initial=10, candidates=20)
    trials = strategy.ask()
    values = np.arange(10.0)
    values[8:] = np.nan
    strategy.tell(trials, Evaluations(values))
    strategy.ask()
    assert strategy.predictor.fits == [10]
    assert (differing(strategy.predictor.asked[0], trials.codes[7]) == 1).all()


def test_predictor_gets_ready_for_the_space_before_anything_runs() -> None:
    assert NPENAS(SPACE, predictor=Clairvoyant()).predictor.prepared == ["nasbench201"]


def test_rounds_are_shown_to_whoever_looks_on() -> None:
    rounds = []
    strategy = NPENAS(SPACE, predictor=Clairvoyant(), labels="standard")
    strategy.observer = rounds.append
    asked = [step(strategy).codes for _ in range(4)]
    assert [one.number for one in rounds] == [1, 2, 3]
    for one, codes in zip(rounds, asked[1:], strict=True):
        np.testing.assert_array_equal(one.candidates.codes[one.chosen], codes)
        assert one.eligible.all()
        assert len(one.values) == len(one.labels) == 10 * one.number


# -- the papers' mutations -------------------------------------------------------------------------------------------


def test_mutation_of_the_paper_on_nasbench101_never_grows_a_cell() -> None:
    space = NASBench101()
    rng = np.random.default_rng(0)
    text = "conv3x3(0)+conv1x1(1)+output(0,2)"
    parents = np.tile(space.parse(text), (2_000, 1))
    children = paper_mutants(space, parents, rng)
    assert space.valid(children).all()
    assert (children != parents).any(axis=1).all()
    assert live_parts(children)[1].sum(axis=1).max() == 4
    grown = paper_mutants(space, parents, rng, padded=True)
    assert space.valid(grown).all()
    assert live_parts(grown)[1].sum(axis=1).max() > 4
    changed = (children[:, [21, 22]] != parents[:, [21, 22]]).mean()
    assert 0.4 < changed < 0.6, (
        "each of two live operations changes with probability 1 / 2, little less as none is refused"
    )


def test_mutation_of_the_paper_on_nasbench201_prefers_early_edges() -> None:
    rng = np.random.default_rng(0)
    parents = np.full((6_000, 6), 3, np.int8)
    children = paper_mutants(SPACE, parents, rng)
    changed = children != parents
    assert (changed.sum(axis=1) == 1).all()
    np.testing.assert_allclose(changed.mean(axis=0), [1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9], atol=0.02)


def test_mutation_of_the_paper_on_darts_makes_two_edits_in_both_cells() -> None:
    for space in (DARTS(), DARTS(duplicates=False, none=True)):
        rng = np.random.default_rng(0)
        parents = space.sample(2_000, rng)
        children = paper_mutants(space, parents, rng)
        assert space.valid(children).all()
        edits = (children != parents).sum(axis=1)
        assert set(edits.tolist()) == {1, 2}
        assert (children != parents)[:, 8:].any()


def test_mutation_of_the_paper_stays_within_limits_and_gives_up_where_there_is_no_child() -> None:
    rng = np.random.default_rng(0)
    small = SPACE.restrict(np.tile([True, False, False, True, False], (6, 1))).where("params<=0.3e6")
    parents = small.sample(200, rng)
    assert small.valid(paper_mutants(small, parents, rng)).all()
    alone = SPACE.restrict(np.eye(5, dtype=bool)[[3, 0, 3, 0, 3, 0]])
    np.testing.assert_array_equal(paper_mutants(alone, alone.enumerate(), rng), alone.enumerate())


@pytest.mark.slow
def test_cells_of_nasbench101_may_grow_unless_told_otherwise() -> None:
    grown = {}
    for mutation in (None, "paper"):
        few = {"initial": 2, "candidates": 30, "parents": 1}
        strategy = NPENAS(NASBench101(), predictor=Clairvoyant(), mutation=mutation, **few)
        trials = strategy.ask()
        small = strategy.space.parse("conv3x3(0)+conv1x1(1)+output(0,2)")
        trials.codes[0] = small
        state = strategy.state_dict()
        state["pending"]["0"] = small.tolist()
        strategy.load_state_dict(state)
        strategy.tell(trials, Evaluations([1.0, 0.0]))
        strategy.ask()
        grown[mutation] = live_parts(strategy.predictor.asked[0][:30])[1].sum(axis=1).max() > 4
    assert grown == {None: True, "paper": False}


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"candidates": 5}, "candidates"),
        ({"mutations": 0}, "mutations"),
        ({"parents": 0}, "parents"),
        ({"refit_growth": 0.5}, "refit_growth"),
        ({"refit_growth": float("nan")}, "refit_growth"),
        ({"fixed": 1}, "fixed"),
        ({"labels": "ranks"}, "did you mean 'rank'"),
        ({"acquisition": "uniform"}, "acquisition"),
        ({"mutation": "papers"}, "paper"),
        ({"predictor": GaussianProcess(encoding="edges")}, "edges"),
    ],
)
def test_what_cannot_be_is_refused_with_its_mend(options, words: str) -> None:
    with pytest.raises(FrugalnasError, match=words):
        NPENAS(SPACE, **{"predictor": "ridge", **options})


def test_mutation_of_the_paper_is_refused_elsewhere() -> None:
    with pytest.raises(FrugalnasError, match="mutation edits"):
        NPENAS(Layers(6, 4), predictor="ridge", mutation="paper")


# -- presets and the command line ------------------------------------------------------------------------------------

PRESETS = {
    "npenas-paper": {"labels": "raw", "fixed": None},
    "npenas-bo": {"labels": "raw", "acquisition": "ts"},
    "bananas": {"acquisition": "its", "labels": "standard"},
    "bananas-adjacency": {"acquisition": "its"},
    "bananas-position": {"acquisition": "its"},
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_settings_of_their_papers(name: str) -> None:
    for space in (NASBench101(), SPACE, DARTS(), Layers(6, 4)):
        strategy = STRATEGIES.create(name, space)
        expected = {"candidates": 100, "parents": 50, "mutations": 100, "refit_growth": 1.0, **PRESETS[name]}
        assert {option: getattr(strategy, option) for option in expected} == expected
        assert strategy.mutation == ("edits" if space.genes == 6 and space.name != "nasbench201" else "paper")
    again = STRATEGIES.create(STRATEGIES.describe(strategy), space)
    assert PREDICTORS.describe(again.predictor) == PREDICTORS.describe(strategy.predictor)


def test_papers_predictors_know_their_space() -> None:
    rates = [STRATEGIES.create("npenas-paper", space).predictor.rate for space in (NASBench101(), SPACE, DARTS())]
    assert rates == [10.0, 100.0, 15.0]
    for space in (NASBench101(), SPACE):
        made = STRATEGIES.create({"name": "npenas-fixed", "options": {"paper": True}}, space)
        assert (made.fixed, made.labels, made.predictor.epochs) == (50, "raw", 300)
        assert STRATEGIES.create("npenas-fixed", space).fixed == 50


@pytest.mark.parametrize("name", ["npenas-ssccl", "npenas-ssrl", "ssnenas", "npenas-ssccl-fixed", "npenas-ssrl-fixed"])
def test_pretrained_searches_differ_from_npenas_in_their_start_alone(name: str, encoder: Path) -> None:
    plain = STRATEGIES.describe(NPENAS(SPACE))
    learnt = STRATEGIES.create({"name": name, "options": {"pretrained": str(encoder)}}, SPACE)
    described = STRATEGIES.describe(learnt)
    assert described["options"]["predictor"]["options"].pop("pretrained") == str(encoder)
    assert described["options"].pop("fixed") == (50 if name.endswith("fixed") else None)
    plain["options"]["predictor"] = PREDICTORS.describe(PREDICTORS.create("gin"))
    plain["options"]["predictor"]["options"].pop("pretrained")
    plain["options"].pop("fixed")
    assert described == plain
    papers = STRATEGIES.create({"name": name, "options": {"pretrained": str(encoder), "paper": True}}, SPACE)
    assert (papers.predictor.epochs, papers.predictor.batch, papers.labels) == (150, 64, "raw")


def test_papers_train_each_task_for_its_epochs_on_nasbench101(tmp_path: Path) -> None:
    """Wherever the encoder comes from."""
    folder = untrained(tmp_path / "encoder", NASBench101())
    epochs = {}
    for name in ("npenas-ssccl", "npenas-ssccl-fixed", "npenas-ssrl", "npenas-ssrl-fixed"):
        made = STRATEGIES.create({"name": name, "options": {"pretrained": str(folder), "paper": True}}, NASBench101())
        epochs[name] = (made.predictor.epochs, made.fixed)
    assert list(epochs.values()) == [(200, None), (200, 90), (150, None), (150, 90)]


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return untrained(tmp_path / "encoder", SPACE)


def untrained(folder: Path, space: SearchSpace) -> Path:
    """An encoder as pre-training leaves it, untrained."""
    from frugalnas.encoders import EncoderCard, GINEncoder, save_encoder
    from frugalnas.encoders.saved import operations_of

    operations = operations_of(space)
    network = GINEncoder(len(operations), width=8, layers=2)
    card = EncoderCard(SPACES.describe(space), operations, network.config(), "ss-ccl")
    save_encoder(folder, network, card)
    return folder


@pytest.mark.slow
def test_search_starts_from_an_encoder_and_resumes_elsewhere(cli, encoder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--set", "predictor.epochs=2", "--candidates", "20", "--run-dir", "run", "--queries", "20")
    done = cli("search", "npenas", "--predictor", "gin", "--pretrained", "encoder", *options)
    assert done.code == 0, done.err
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["strategy"]["options"]
    assert options["predictor"]["options"]["pretrained"] == str(encoder.resolve())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("resume", tmp_path / "run", "--queries", "30").code == 0


@pytest.mark.slow
def test_compare_takes_encoders_by_strategy(cli, encoder: Path, tmp_path: Path) -> None:
    few = ("--queries", "20", "--seeds", "1", "--run-dir", tmp_path / "c")
    settings = [f"{label}.predictor.epochs=2" for label in ("plain", "learnt", "weaknas")]
    settings += ["weaknas.predictor=gin", "plain.candidates=20", "learnt.candidates=20"]
    chosen = [("--pretrained", f"{label}={encoder}") for label in ("learnt", "weaknas")]
    flat = [word for pair in (*chosen, *(("--set", setting) for setting in settings)) for word in pair]
    done = cli("compare", "plain=npenas,learnt=npenas,weaknas", *few, *flat)
    assert done.code == 0, done.err
    described = {
        entry["label"]: entry for entry in yaml.safe_load((tmp_path / "c" / "config.yaml").read_text())["strategies"]
    }
    predictors = {label: entry["options"]["predictor"]["options"] for label, entry in described.items()}
    assert predictors["learnt"] == predictors["weaknas"] == {"epochs": 2, "pretrained": str(encoder)}
    assert predictors["plain"] == {"epochs": 2}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("search", "npenas", "--queries", "5"), "initial sample of 10"),
        (("search", "ssnenas", "--space", "darts", "--table", "nasbench201/cifar10"), "leave --space out"),
        (("search", "npenas", "--table", "nasbench201/cifar10", "--pretrained", "nowhere"), "frugalnas pretrain"),
        (("search", "ssnenas", "--pretrained", "nowhere"), "frugalnas pretrain"),
        (("search", "npenas-ssccl-fixed", "--fixed", "0"), "at least 2 evaluations"),
        (("search", "weaknas", "--predictor", "ridge", "--pretrained", "nowhere"), "--predictor gin"),
        (("search", "random", "--set", "predictor.members=3"), "npenas and weaknas"),
        (("search", "npenas-oracle", "--truth", "nasbench301"), "nasbench301"),
        (("search", "npenas", "--space", "darts", "--predictor", "ridge", "--labels", "rnk"), "rank"),
        (("compare", "npenas,random", "--pretrained", "encoder"), "--pretrained npenas=encoder"),
        (("compare", "npenas-ssrl,npenas-ssccl", "--pretrained", "encoder"), "--pretrained npenas-ssrl=encoder"),
        (("compare", "npenas,random", "--set", "npenas.predictor.epoch=3"), "did you mean 'predictor.epochs'"),
        (("compare", "npenas,random", "--set", "nena.predictor.epochs=3"), "npenas.predictor"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_mend(cli, tmp_path, monkeypatch, command, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli(*command)
    assert said.code == 2
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "shown"), [("npenas", True), ("npenas-ssrl-fixed", True), ("npenas-bo", False)])
def test_help_says_what_every_option_is(cli, name: str, shown: bool) -> None:
    said = cli("search", name, "--help").out.partition(f"options of {name}:")[2].partition("how it is carried out")[0]
    options = [entry.split(None, 2) for entry in said.split("\n  --")[1:]]
    assert all(len(entry) == 3 and not entry[2].startswith("[") for entry in options)
    assert ("pretrained" in said) is shown


def test_encoder_of_another_space_is_refused(cli, encoder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("search", "npenas", "--space", "darts", "--evaluator", "user_code:worth", "--pretrained", encoder)
    assert said.code == 2
    assert "nasbench201" in said.err


def test_a_perfect_predictor_finds_the_best_children_and_says_that_it_cheats(cli, tmp_path: Path) -> None:
    said = cli("search", "npenas-oracle", "--queries", "60", "--run-dir", tmp_path / "run")
    assert said.code == 0, said.err
    assert "not counted as queries" in said.err
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["strategy"]["options"]
    assert options["predictor"]["options"]["table"] == "nasbench201/cifar10"
    with pytest.raises(FrugalnasError, match="name the table"):
        STRATEGIES.create("npenas-oracle", SPACE)
    with pytest.raises(FrugalnasError, match="describes nasbench201"):
        STRATEGIES.create({"name": "npenas-oracle", "options": {"truth": "nasbench201/cifar10"}}, DARTS())


# -- golden trajectory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mutation", ["edits", "paper"])
def test_golden_trajectory(mutation: str) -> None:
    """The first sixty queries of seed 0 with a predictor that makes no rounding errors.

    After a change that is meant, run with UPDATE_GOLDEN=1 and say in CHANGELOG.md that seeds mean something else.
    """
    strategy = NPENAS(SPACE, seed=0, predictor=WholeNumbers(), mutation=mutation)
    asked: list[str] = []
    while len(asked) < 60:
        trials = strategy.ask()
        strategy.tell(trials, Evaluations(whole_numbers(trials.codes)))
        asked += [SPACE.format(code) for code in trials.codes]
    path = GOLDEN / f"npenas-{mutation}.json"
    record = {"strategy": "npenas", "mutation": mutation, "seed": 0, "asked": asked}
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(record, indent=1) + "\n")
    assert json.loads(path.read_text()) == record
