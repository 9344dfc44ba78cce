"""Predictors that are trained with torch, and the kernels of edit distances."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr

from frugalnas.encoders import EncoderCard, GINEncoder, graph_tensors, save_encoder
from frugalnas.encoders.saved import operations_of
from frugalnas.errors import FrugalnasError
from frugalnas.predictors import (
    BANANAS,
    BRPNAS,
    GIN,
    GaussianProcess,
    GINUncertainty,
    NeuralPredictor,
    Predictor,
    SemiNAS,
    gin_bo_paper,
    gin_fine_tuned_paper,
    gin_paper,
)
from frugalnas.predictors.base import normal_values
from frugalnas.predictors.fitting import Adam
from frugalnas.predictors.kernels import edit_features
from frugalnas.registry import PREDICTORS, SPACES
from frugalnas.spaces import DARTS, NASBench101, NASBench201, Population, SearchSpace
from frugalnas.tables import open_table
from frugalnas.testing import PredictorConformance

SPACE = NASBench201()
QUICK = {"epochs": 12, "lr": 0.02}


class TestGIN(PredictorConformance):
    def make(self):
        return GIN(**QUICK)


@pytest.mark.slow
class TestSeveralGIN(PredictorConformance):
    def make(self):
        return GIN(epochs=20, lr=0.02, members=3, directions="in", head=0, clip=1.0, batch=25)


@pytest.mark.slow
class TestRankingGIN(PredictorConformance):
    def make(self):
        return GIN(epochs=30, lr=0.02, loss="rank")


@pytest.mark.slow
class TestGINUncertainty(PredictorConformance):
    def make(self):
        return GINUncertainty(epochs=30, lr=0.02, activation="celu")


@pytest.mark.slow
class TestGINOfDARTS(PredictorConformance):
    least_correlation = 0.2

    def make(self):
        return GIN(epochs=30, lr=0.02)

    def space(self):
        return DARTS()


@pytest.mark.slow
class TestBANANAS(PredictorConformance):
    def make(self):
        return BANANAS(epochs=25, layers=3, encoding="position-path")


@pytest.mark.slow
class TestSemiNAS(PredictorConformance):
    least_correlation = 0.3

    def make(self):
        return SemiNAS(epochs=80, lr=0.01, unlabelled=20)


@pytest.mark.slow
class TestNeuralPredictor(PredictorConformance):
    def make(self):
        return NeuralPredictor(epochs=15, width=32, batch=20, lr=0.005)


@pytest.mark.slow
class TestBRPNAS(PredictorConformance):
    def make(self):
        return BRPNAS(epochs=30, width=32, layers=3, lr=0.003)


@pytest.mark.slow
class TestEditDistances(PredictorConformance):
    def make(self):
        return GaussianProcess(kernel="adjacency", ranks=True)


@pytest.mark.slow
class TestDegrees(PredictorConformance):
    def make(self):
        return GaussianProcess(kernel="nasbot")


# -- accuracies ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("gin", {}, 0.65),
        ("gin-uncertainty", {"epochs": 100}, 0.6),
        ("gin-paper", {}, 0.5),
        ("gin-fine-tuned-paper", {}, 0.3),
        ("bananas", {}, 0.5),
        ("seminas", {}, 0.45),
        ("neural-predictor", {"epochs": 60}, 0.5),
        ("brp-nas", {"width": 100, "epochs": 60}, 0.5),
    ],
)
def test_a_hundred_trained_cells_order_the_others(name: str, options: dict[str, object], least: float) -> None:
    table = open_table()
    rows = np.random.default_rng(3).permutation(len(table))[:1100]
    population, accuracies = Population(table.space, table.codes[rows]), table.labels()[rows]
    predictor = PREDICTORS.create({"name": name, "options": options})
    mean = predictor.fit(population.take(np.arange(100)), accuracies[:100]).predict(population).mean
    assert kendalltau(mean[100:], accuracies[100:]).statistic > least
    assert abs(mean[100:].mean() - accuracies[100:].mean()) < 6, "in percent, as the labels are"


# -- what a GIN reads --------------------------------------------------------------------------------------------------


def labelled(space: SearchSpace, n: int = 40) -> tuple[Population, np.ndarray]:
    rng = np.random.default_rng(n)
    population = Population(space, space.sample(n, rng))
    return population, 90 + (population.codes == 2).sum(axis=1) + 0.1 * rng.normal(size=n)


def test_codes_of_one_network_get_one_answer_and_as_written_where_asked_for() -> None:
    codes = SPACE.sample(50, np.random.default_rng(0))
    canonical = SPACE.canonical(codes)
    row = np.flatnonzero((codes != canonical).any(axis=1))[0]
    same = np.stack([codes[row], canonical[row]])
    population, values = labelled(SPACE)
    answers = [GIN(**QUICK, canonical=each).fit(population, values) for each in (True, False)]
    one, other = answers[0].predict(Population(SPACE, same)).mean
    assert one == pytest.approx(other, abs=1e-5)
    one, other = answers[1].predict(Population(SPACE, same)).mean
    assert one != pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("make", [GIN, GINUncertainty], ids=lambda make: make.__name__)
def test_whole_space_through_shared_neighbourhoods_is_what_each_cell_gets_alone(make: type[GIN]) -> None:
    population, values = labelled(SPACE)
    predictor = make(epochs=2).fit(population, values)
    whole = Population(SPACE, SPACE.enumerate())
    rows = np.arange(0, len(whole), 97)
    alone = predictor.predict(Population(SPACE, whole.codes[rows]))
    shared = predictor.predict(whole)
    np.testing.assert_allclose(shared.mean[rows], alone.mean, rtol=0, atol=2e-6 * values.std() + 1e-5)
    np.testing.assert_allclose(shared.std[rows], alone.std, rtol=0, atol=1e-5)
    np.testing.assert_allclose(predictor.mean(whole), shared.mean, rtol=0, atol=1e-9)


def test_cells_whose_output_reads_nothing_are_no_reason_to_fail() -> None:
    population = Population(SPACE, np.zeros((5, 6), np.int8))
    prediction = GIN(**QUICK).fit(population, np.arange(5.0)).predict(population)
    assert np.isfinite(prediction.mean).all()
    assert prediction.mean[0] == pytest.approx(2.0, abs=0.5)


def test_ranks_are_what_is_learnt() -> None:
    population, values = labelled(SPACE)
    failed = values.copy()
    failed[np.argmin(values)] = 10.0
    rank = [GIN(**QUICK).fit(population, each).predict(population).mean for each in (values, failed)]
    assert spearmanr(*rank).statistic > 0.999
    normal = normal_values(failed)
    assert normal.mean() == pytest.approx(failed.mean())
    assert normal.std() == pytest.approx(failed.std())
    np.testing.assert_array_equal(np.argsort(normal), np.argsort(failed))


# -- pre-trained encoders ----------------------------------------------------------------------------------------------


def encoder_in(folder: Path, space: SearchSpace, **options: object) -> GINEncoder:
    """A folder with an encoder of random weights."""
    torch.manual_seed(0)
    encoder = GINEncoder(len(operations_of(space)), **options)  # type: ignore[arg-type]
    card = EncoderCard(SPACES.describe(space), operations_of(space), encoder.config(), "ss-ccl")
    save_encoder(folder, encoder.eval(), card)
    return encoder


def test_every_fit_starts_from_the_pretrained_encoder(tmp_path: Path) -> None:
    encoder = encoder_in(tmp_path / "run", SPACE, width=8, layers=2)
    population, values = labelled(SPACE)
    predictor = GIN(**QUICK, pretrained=str(tmp_path / "run"))
    predictor.prepare(SPACE)
    first = predictor.fit(population, values).predict(population).mean
    network = predictor.networks[0]
    assert network.encoder.config() == encoder.config()
    moved = network.encoder.layers[0].first.weight - encoder.layers[0].first.weight
    assert moved.abs().max() > 0, "fine-tuned"
    again = copy.copy(predictor).fit(population, -values).fit(population, values)
    np.testing.assert_array_equal(again.predict(population).mean, first)
    other = GIN(**QUICK, width=8, layers=2, directions="in").fit(population, values).predict(population).mean
    assert not np.allclose(first, other)


def test_encoder_stays_as_it_is_at_learning_rate_zero(tmp_path: Path) -> None:
    encoder = encoder_in(tmp_path, SPACE, width=8)
    population, values = labelled(SPACE)
    network = GIN(**QUICK, pretrained=str(tmp_path), encoder_lr=0).fit(population, values).networks[0]
    for name, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name]), name


def test_gaussian_process_on_an_encoders_vectors(tmp_path: Path) -> None:
    encoder = encoder_in(tmp_path, SPACE, width=8)
    population, values = labelled(SPACE)
    networks = Population(SPACE, SPACE.canonical(population.codes))
    with torch.no_grad():
        vectors = encoder(graph_tensors(networks)).numpy()
    process = GaussianProcess(pretrained=str(tmp_path)).fit(population, values)
    np.testing.assert_allclose(process.inputs(population).all, vectors, atol=1e-6)
    both = GaussianProcess(pretrained=str(tmp_path), encoding="onehot", features=("params",)).fit(population, values)
    rows = both.training_inputs(population)
    assert rows.shape == (40, 8 + 30 + 1)
    assert rows[:, :8].var(axis=0).sum() == pytest.approx(1, rel=1e-3)
    assert rows[:, 8:].var(axis=0).sum() == pytest.approx(1, rel=1e-3)
    for each in (process, both):
        answer = each.predict(population)
        assert spearmanr(answer.mean, values).statistic > (0.8 if each is both else 0.2)
        part = each.predict(Population(SPACE, population.codes[[3, 3, 1]]))
        np.testing.assert_allclose(part.mean, answer.mean[[3, 3, 1]], rtol=1e-4)


def test_encoder_that_does_not_fit_is_refused_before_anything_runs(tmp_path: Path) -> None:
    encoder_in(tmp_path, SPACE, width=8)
    with pytest.raises(FrugalnasError, match=r"width 8.*32.*leave width out"):
        GIN(pretrained=str(tmp_path), width=32).prepare(SPACE)
    with pytest.raises(FrugalnasError, match=r"nasbench201, not of nasbench101.*frugalnas pretrain"):
        GIN(pretrained=str(tmp_path)).prepare(NASBench101())
    with pytest.raises(FrugalnasError, match=r"no encoder in.*frugalnas pretrain ss-ccl"):
        GIN(pretrained=str(tmp_path / "none")).prepare(SPACE)


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_adam_on_one_vector_is_adam() -> None:
    torch.manual_seed(0)
    ours = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 1))
    theirs = copy.deepcopy(ours)
    features, wanted = torch.randn(30, 5), torch.randn(30, 1)
    groups = [
        {"params": list(ours[0].parameters()), "lr": 0.01, "weight_decay": 0.01},
        {"params": list(ours[2].parameters()), "lr": 0.002, "weight_decay": 0.0},
    ]
    adam = Adam(groups, (0.5, 0.9))
    reference = torch.optim.Adam(
        [{**group, "params": theirs[at].parameters()} for at, group in ((0, groups[0]), (2, groups[1]))],
        betas=(0.5, 0.9),
    )
    for _ in range(30):
        adam.step(((ours(features) - wanted) ** 2).mean(), 1.0)
        reference.zero_grad()
        ((theirs(features) - wanted) ** 2).mean().backward()
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_training_leaves_the_global_generator_alone() -> None:
    population, values = labelled(SPACE)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    GIN(epochs=2).fit(population, values)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_uncertainty_grows_with_the_noise_of_the_labels() -> None:
    population, _ = labelled(SPACE, 80)
    signal = (population.codes == 3).sum(axis=1).astype(float)
    noise = np.random.default_rng(0).normal(size=80)
    quiet, loud = (
        GINUncertainty(epochs=60, lr=0.01).fit(population, signal + each * noise).predict(population).std.mean()
        for each in (0.05, 2.0)
    )
    assert loud > 2 * quiet


# -- edit distances ----------------------------------------------------------------------------------------------------


def squared(population: Population, distance: str) -> np.ndarray:
    features = edit_features(population, distance).all.astype(float)
    return ((features[:, None] - features) ** 2).sum(axis=2)


@pytest.mark.parametrize("space", [SPACE, pytest.param(NASBench101(), marks=pytest.mark.slow), DARTS()], ids=str)
def test_edit_distances_count_edges_degrees_and_operations(space: SearchSpace) -> None:
    population = Population(space, space.sample(12, np.random.default_rng(1)))
    adjacency, operations = population.graphs.adjacency, population.graphs.operations
    edges = (adjacency[:, None] != adjacency).sum(axis=(2, 3))
    differing = (operations[:, None] != operations).sum(axis=2)
    np.testing.assert_allclose(squared(population, "adjacency"), edges + differing, atol=1e-5)
    counts = (operations[:, :, None] == np.arange(len(population.graphs.names))).sum(axis=1)
    parts = [np.sort(adjacency.sum(axis=1), 1), np.sort(adjacency.sum(axis=2), 1), counts]
    expected = sum(np.abs(each[:, None].astype(int) - each).sum(axis=2) for each in parts)
    np.testing.assert_array_equal(squared(population, "nasbot"), expected)


# -- options -----------------------------------------------------------------------------------------------------------


def test_settings_of_the_papers() -> None:
    paper = gin_paper(rate=15.0)
    assert (paper.epochs, paper.batch, paper.lr, paper.betas) == (300, 10, 5e-3, (0.0, 0.9))
    assert (paper.output, paper.rate, paper.directions, paper.ranks) == ("sigmoid-error", 15.0, "in", False)
    assert gin_fine_tuned_paper(pretrained="ss-rl").pretrained == "ss-rl"
    assert (gin_bo_paper().activation, gin_bo_paper().epochs) == ("celu", 1000)
    population, values = labelled(SPACE)
    for predictor, low, high in ((paper, 85, 100), (gin_fine_tuned_paper(), 0, 100)):
        predictor.epochs = 2
        mean = predictor.fit(population, values).predict(population).mean
        assert ((mean > low) & (mean < high)).all()


REFUSED = [
    (lambda: GIN(epochs=0), "epochs is 0; it is at least 1"),
    (lambda: GIN(lr=-1.0), "lr is -1"),
    (lambda: GIN(lr=float("nan")), "lr is nan"),
    (lambda: GIN(dropout=1.0), "dropout is 1"),
    (lambda: GIN(weight_decay=-1.0), "weight_decay is -1"),
    (lambda: GIN(betas=(0.9, 1.0)), r"betas is \(0.9, 1.0\)"),
    (lambda: GIN(directions="out"), "unknown directions 'out'.*in, both"),
    (lambda: GIN(loss="hinge"), "unknown loss 'hinge'.*mse, mae, rank"),
    (lambda: GIN(loss="rank", output="sigmoid"), "use linear"),
    (lambda: GIN(encoder_lr=0.1), "name it"),
    (lambda: GINUncertainty(loss="mae"), "leave loss and output out"),
    (lambda: GINUncertainty(head=0), "head is 0"),
    (lambda: BANANAS(loss="rank"), "unknown loss 'rank'.*mae, mse, mape"),
    (lambda: SemiNAS(weight_of_value=2.0), "weight_of_value is 2"),
    (lambda: GaussianProcess(kernel="rbf"), "unknown kernel 'rbf'.*matern, adjacency, nasbot"),
    (lambda: GaussianProcess(kernel="nasbot", encoding="path"), "leave encoding, features and pretrained out"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_cannot_work_is_refused_at_once(make, says: str) -> None:
    with pytest.raises(FrugalnasError, match=says):
        make()


@pytest.mark.parametrize(
    "predictor", [GIN(**QUICK), BANANAS(epochs=2), GaussianProcess()], ids=lambda p: type(p).__name__
)
def test_labels_that_are_no_numbers_are_refused(predictor: Predictor) -> None:
    population, values = labelled(SPACE)
    values[7] = np.nan
    with pytest.raises(FrugalnasError, match=r"1 of 40 labels .* first in row 7 \(nan\); leave these rows out"):
        predictor.fit(population, values)


def test_training_that_diverges_says_so() -> None:
    population, values = labelled(SPACE)
    with pytest.raises(FrugalnasError, match=r"diverged at learning rate 1e\+30.*smaller"):
        BANANAS(epochs=6, lr=1e30, ranks=False).fit(population, values)


def test_tokens_are_whole_numbers() -> None:
    space = NASBench101()
    population = Population(space, np.tile(space.parse("conv3x3(0)+output(1)"), (5, 1)))
    with pytest.raises(FrugalnasError, match=r"whole numbers from 0 on.*integer"):
        SemiNAS(encoding="lanas-minus", canonical=False).fit(population, np.arange(5.0))


@pytest.mark.slow
def test_listing_predictors_imports_no_torch(python) -> None:
    call = "from frugalnas.cli import main; main(['list']); import sys; print('LOADED', *sys.modules)"
    said = python("-c", call).end()
    assert "gin-uncertainty" in said.out.partition("LOADED")[0]
    assert "torch" not in {name.partition(".")[0] for name in said.out.partition("LOADED")[2].split()}
