"""Every predictor keeps the promises of a predictor; the Gaussian process is what textbooks say it is."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from test_spaces import Layers

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import (
    MLP,
    SVR,
    AdaBoost,
    Bagging,
    Boosting,
    ExtraTrees,
    Forest,
    GaussianProcess,
    LightGBM,
    Linear,
    Nearest,
    Prediction,
    Predictor,
    Ridge,
    Tree,
    XGBoost,
    mlp_paper,
)
from frugalnas.predictors.gaussian_process import JITTER
from frugalnas.registry import PREDICTORS
from frugalnas.spaces import NASBench201, Population, SearchSpace
from frugalnas.tables import open_table
from frugalnas.testing import PredictorConformance

SPACE = NASBench201()


class Neighbours(Predictor):
    """The least that a predictor has to be: the mean value of the known architectures nearest in edits."""

    def __init__(self, *, neighbours: int = 5, seed: int = 0) -> None:
        self.neighbours = neighbours
        self.seed = seed

    def fit(self, population: Population, values):
        self._codes, self._values = population.codes, np.array(values)
        return self

    def predict(self, population: Population) -> Prediction:
        edits = (population.codes[:, None] != self._codes).sum(axis=2)
        nearest = np.argsort(edits, axis=1, kind="stable")[:, : self.neighbours]
        return Prediction.of_members(self._values[nearest].T)


class TestGaussianProcess(PredictorConformance):
    def make(self):
        return GaussianProcess()


class TestRoughGaussianProcess(PredictorConformance):
    def make(self):
        return GaussianProcess(smoothness=0.5, encoding="onehot")


class TestGaussianProcessOnLayers(PredictorConformance):
    def make(self):
        return GaussianProcess(smoothness=1.5)

    def space(self) -> SearchSpace:
        return Layers(8, 4)


class TestRidge(PredictorConformance):
    def make(self):
        return Ridge()


class TestForest(PredictorConformance):
    def make(self):
        return Forest(trees=30)


@pytest.mark.slow
class TestBoosting(PredictorConformance):
    def make(self):
        return Boosting(trees=40, members=3)


class TestMLP(PredictorConformance):
    def make(self):
        return MLP(hidden=(32, 32), members=2)


@pytest.mark.slow
class TestMLPOnLayers(PredictorConformance):
    def make(self):
        return MLP(hidden=(64,), members=1, epochs=200)

    def space(self) -> SearchSpace:
        return Layers(8, 4)


class TestLinear(PredictorConformance):
    def make(self):
        return Linear(members=4)


class TestSVR(PredictorConformance):
    def make(self):
        return SVR(members=4)


class TestLinearSVROnLayers(PredictorConformance):
    def make(self):
        return SVR(kernel="linear", members=1)

    def space(self) -> SearchSpace:
        return Layers(8, 4)


class TestNearest(PredictorConformance):
    least_correlation = 0.4

    def make(self):
        return Nearest()


@pytest.mark.slow
class TestTree(PredictorConformance):
    def make(self):
        return Tree()


@pytest.mark.slow
class TestBagging(PredictorConformance):
    def make(self):
        return Bagging(trees=20)


@pytest.mark.slow
class TestExtraTrees(PredictorConformance):
    def make(self):
        return ExtraTrees(trees=20)


@pytest.mark.slow
class TestAdaBoost(PredictorConformance):
    def make(self):
        return AdaBoost(trees=20, members=3)


class TestXGBoost(PredictorConformance):
    def make(self):
        return XGBoost(trees=40, members=3)


@pytest.mark.slow
class TestRankingXGBoost(PredictorConformance):
    def make(self):
        return XGBoost(trees=40, members=1, loss="pairwise")


class TestLightGBM(PredictorConformance):
    def make(self):
        return LightGBM(trees=60, members=3)


@pytest.mark.slow
class TestRankingLightGBM(PredictorConformance):
    least_correlation = 0.4

    def make(self):
        return LightGBM(trees=60, members=1, loss="lambdarank")


class TestRandomForestOfLightGBM(PredictorConformance):
    def make(self):
        return LightGBM(trees=60, members=1, boosting="rf")


class TestDART(PredictorConformance):
    def make(self):
        return LightGBM(trees=60, members=1, boosting="dart")


class TestQuantities(PredictorConformance):
    def make(self):
        return Ridge(features=("params", "macs"))


@pytest.mark.slow
class TestQuantitiesOfTrees(PredictorConformance):
    def make(self):
        return ExtraTrees(trees=10, encoding="onehot", features=("params",))


class TestSomeoneElses(PredictorConformance):
    def make(self):
        return Neighbours()


@pytest.mark.slow
class TestDefaultMLP(PredictorConformance):
    def make(self):
        return MLP()


@pytest.mark.slow
class TestPaperMLP(PredictorConformance):
    def make(self):
        return mlp_paper()


@pytest.mark.slow
class TestDefaultForest(PredictorConformance):
    def make(self):
        return Forest()


@pytest.mark.slow
class TestDefaultBoosting(PredictorConformance):
    def make(self):
        return Boosting()


# -- ensembles -------------------------------------------------------------------------------------------------------


@pytest.mark.typical("Forest", "XGBoost", "LightGBM", "SVR", "Linear", "Nearest")
@pytest.mark.parametrize(
    "predictor",
    [
        Forest(trees=20),
        Boosting(trees=20),
        MLP(hidden=(16,), members=4),
        Linear(),
        Nearest(),
        SVR(),
        XGBoost(trees=20),
        LightGBM(trees=20),
    ],
    ids=lambda predictor: type(predictor).__name__,
)
def test_seed_of_an_ensemble_counts(predictor: Predictor) -> None:
    known, unknown, values = problem(40)
    answers = []
    for seed in (1, 2):
        predictor.seed = seed
        answers.append(predictor.fit(known, values).predict(unknown).mean)
    assert not np.allclose(*answers)


@pytest.mark.parametrize(
    ("predictor", "members"),
    [
        (Forest(trees=20), 20),
        (Boosting(trees=5, members=3), 3),
        (MLP(hidden=(8,), members=4), 4),
        (Bagging(trees=7), 7),
        (ExtraTrees(trees=7), 7),
        (SVR(members=3), 3),
        (Tree(members=3), 3),
        (LightGBM(trees=5, members=2, loss="lambdarank"), 2),
    ],
)
def test_ensemble_reports_its_members(predictor: Predictor, members: int) -> None:
    known, unknown, values = problem(40)
    prediction = predictor.fit(known, values).predict(unknown)
    assert prediction.members is not None
    assert prediction.members.shape == (members, len(unknown))
    np.testing.assert_allclose(prediction.mean, prediction.members.mean(axis=0))
    np.testing.assert_allclose(prediction.std, prediction.members.std(axis=0))


CHEAP = {"mlp": {"members": 1}, "mlp-paper": None, "forest": {"trees": 40}, "boosting": {"trees": 40}}
CHEAP |= dict.fromkeys(
    ("bananas", "brp-nas", "neural-predictor", "seminas")
)  # tests/predictors/test_graph_predictors.py
CHEAP |= dict.fromkeys(name for name in PREDICTORS.targets if name.startswith("gin"))
CHEAP |= dict.fromkeys(("params", "macs", "random-order"))  # baselines, which learn nothing


@pytest.mark.typical(
    "mlp", "lightgbm", "xgboost", "svr", "forest", "linear", "nearest", "gaussian-process", "tree", "ridge"
)
@pytest.mark.parametrize("name", [name for name in PREDICTORS.targets if CHEAP.get(name, {}) is not None])
def test_a_few_trained_cells_order_the_others(name: str) -> None:
    """Eighty accuracies of NAS-Bench-201, then the rank correlation with two thousand others."""
    table = open_table()
    rows = np.random.default_rng(3).permutation(len(table))[:2080]
    population, accuracies = Population(SPACE, table.codes[rows]), table.labels()[rows]
    predictor = PREDICTORS.create({"name": name, "options": CHEAP.get(name, {})})
    prediction = predictor.fit(population.take(np.arange(80)), accuracies[:80]).predict(population)
    assert spearmanr(prediction.mean[80:], accuracies[80:]).statistic > 0.6
    assert prediction.std[80:].mean() > 0 or name in ("mlp", "mlp-paper")


@pytest.mark.parametrize("predictor", [XGBoost(loss="pairwise"), LightGBM(loss="lambdarank")], ids=repr)
def test_scores_of_a_ranking_loss_come_in_the_units_of_the_labels(predictor: Predictor) -> None:
    known, _, values = problem(60)
    mean = predictor.fit(known, values).predict(known).mean
    assert abs(mean.mean() - values.mean()) < 0.5 * values.std()
    assert 0.5 * values.std() < mean.std() < 1.5 * values.std()


def test_one_member_alone_is_fitted_to_all_labels() -> None:
    known, _, values = problem(40, "onehot")
    _, first = np.unique(known.network_ids, return_index=True)
    known, values = known.take(first), values[first]
    tree = Tree(members=1, encoding="onehot").fit(known, values).predict(known)
    np.testing.assert_allclose(tree.mean, values, rtol=1e-6)
    assert not tree.std.any()
    assert Tree(members=2, encoding="onehot").fit(known, values).predict(known).std.any()


REFUSED = [
    (lambda: Tree(depth=0), "depth is 0"),
    (lambda: Tree(members=0), "members is 0"),
    (lambda: SVR(kernel="cubic"), "unknown kernel 'cubic'.*rbf, linear, poly, sigmoid"),
    (lambda: SVR(penalty=0.0), "penalty is 0"),
    (lambda: SVR(margin=float("nan")), "margin is nan"),
    (lambda: SVR(penalty=float("inf")), "penalty is inf"),
    (lambda: Nearest(neighbours=0), "neighbours is 0"),
    (lambda: Bagging(trees=0), "trees is 0"),
    (lambda: ExtraTrees(trees=-1), "trees is -1"),
    (lambda: AdaBoost(learning_rate=0.0), "learning_rate is 0"),
    (lambda: XGBoost(loss="lambdarank"), "unknown loss 'lambdarank'.*squared, pairwise"),
    (lambda: XGBoost(learning_rate=2.0), "learning_rate is 2"),
    (lambda: LightGBM(boosting="goss"), "unknown boosting 'goss'.*gbdt, rf, dart"),
    (lambda: LightGBM(loss="l1"), "unknown loss 'l1'.*l2, lambdarank"),
    (lambda: LightGBM(leaves=1), "leaves is 1"),
    (lambda: Ridge(features="params"), r"\('params', 'macs'\)"),
    (lambda: Ridge(features=("params", "params")), "each once"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_cannot_work_is_refused_at_once(make, says: str) -> None:
    with pytest.raises(FrugalnasError, match=says):
        make()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_missing_package_is_named_with_the_line_that_installs_it(name: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(FrugalnasError, match=rf"python -m pip install 'frugalnas\[{name}\]'"):
        PREDICTORS.create(name)


@pytest.mark.slow
def test_listing_predictors_imports_no_extra(python) -> None:
    call = "from frugalnas.cli import main; main(['list']); import sys; print('LOADED', *sys.modules)"
    said = python("-c", call).end()
    assert "lightgbm" in said.out.partition("LOADED")[0]
    assert not {"xgboost", "lightgbm"} & {name.partition(".")[0] for name in said.out.partition("LOADED")[2].split()}


def test_paper_mlp_is_four_layers_of_a_thousand_on_one_hot_codes() -> None:
    paper = mlp_paper()
    assert (paper.hidden, paper.epochs, paper.members, paper.encoding) == ((1000,) * 4, 100, 1, "onehot")
    assert PREDICTORS.describe(paper)["name"] == "mlp"


# -- the Gaussian process --------------------------------------------------------------------------------------------


def problem(n: int, encoding: str | None = None) -> tuple[Population, Population, np.ndarray]:
    """Known architectures, others, and noisy values of the known ones."""
    rng = np.random.default_rng(n)
    codes = SPACE.sample(n + 100, rng)
    values = (codes == 3).sum(axis=1) - 0.5 * (codes == 0).sum(axis=1) + 0.2 * rng.normal(size=len(codes))
    return Population(SPACE, codes[:n]), Population(SPACE, codes[n:]), 90 + values[:n]


def textbook(process: GaussianProcess) -> GaussianProcessRegressor:
    """scikit-learn's process with the hyperparameters that ours has found."""
    kernel = ConstantKernel(process.variance) * Matern(process.length_scale, nu=process.smoothness)
    return GaussianProcessRegressor(kernel, alpha=process.variance * process.noise, optimizer=None)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("encoding", [None, "onehot"])
def test_posterior_is_scikit_learns(smoothness: float, encoding: str | None) -> None:
    known, unknown, values = problem(50)
    process = GaussianProcess(smoothness=smoothness, encoding=encoding).fit(known, values)
    prediction = process.predict(unknown)
    reference = textbook(process).fit(known.encoded(encoding).all.astype(float), values - values.mean())
    mean, std = reference.predict(unknown.encoded(encoding).all.astype(float), return_std=True)
    np.testing.assert_allclose(prediction.mean, mean + values.mean(), rtol=0, atol=1e-8)
    np.testing.assert_allclose(prediction.std, std, rtol=0, atol=1e-8)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_supposing_is_conditioning_on_one_more_label(smoothness: float) -> None:
    known, unknown, values = problem(50)
    process = GaussianProcess(smoothness=smoothness).fit(known, values)
    prediction = process.predict(unknown)
    features, others = (each.encoded().all.astype(float) for each in (known, unknown))
    first, second = 11, 29
    added = np.concatenate([features, others[[first, second]]])
    labels = np.concatenate([values, prediction.mean[[first, second]]]) - values.mean()
    for supposed, n in ((prediction.supposing(first), 51), (prediction.supposing(first).supposing(second), 52)):
        mean, std = textbook(process).fit(added[:n], labels[:n]).predict(others, return_std=True)
        np.testing.assert_allclose(supposed.mean, mean + values.mean(), rtol=0, atol=1e-8)
        np.testing.assert_allclose(supposed.std, std, rtol=0, atol=1e-8)
    rows = np.array([29, 3, 11, 3, 40])
    taken = prediction.take(rows).supposing(2)
    np.testing.assert_allclose(taken.std, prediction.supposing(first).std[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_length_scale_and_noise_maximise_the_marginal_likelihood(smoothness: float) -> None:
    """As scikit-learn computes it, with the priors, and the signal variance at its own maximum."""
    known, _, values = problem(30)
    features = known.encoded().all.astype(float)
    centred = values - values.mean()
    spread = np.log(cdist(features, features, "sqeuclidean").mean()) / 2

    def posterior(at: np.ndarray) -> float:
        log_scale, log_noise = at
        noise = np.exp(2 * log_noise) + JITTER
        kernel = Matern(np.exp(log_scale), nu=smoothness)
        variance = centred @ np.linalg.solve(kernel(features) + noise * np.eye(30), centred) / 30
        reference = GaussianProcessRegressor(ConstantKernel(variance) * kernel, alpha=variance * noise, optimizer=None)
        priors = 0.5 * ((log_scale - spread) ** 2 + (log_noise + 2) ** 2)
        return float(reference.fit(features, centred).log_marginal_likelihood_value_ - priors)

    process = GaussianProcess(smoothness=smoothness).fit(known, values)
    found = np.array([np.log(process.length_scale), np.log(process.noise - JITTER) / 2])
    np.testing.assert_allclose(approx_fprime(found, posterior, 1e-5), 0, atol=0.01)
    best = posterior(found)
    for step in ([0.3, 0.0], [-0.3, 0.0], [0.0, 0.3], [0.0, -0.3], [1.5, 1.0], [-2.0, -1.0]):
        assert posterior(found + step) < best - 1e-4


def test_process_finds_how_noisy_labels_are() -> None:
    rng = np.random.default_rng(0)
    population = Population(SPACE, SPACE.sample(300, rng))
    signal = (population.codes == 3).sum(axis=1).astype(float)
    found = []
    for noise in (0.02, 0.5):
        process = GaussianProcess(encoding="onehot").fit(population, signal + noise * rng.normal(size=300))
        found.append(np.sqrt(process.noise * process.variance))
    assert 0.3 < found[1] < 0.7
    assert found[0] < 0.2


def test_process_is_certain_where_it_was_told_and_not_elsewhere() -> None:
    known, unknown, _ = problem(50)
    values = (known.codes == 3).sum(axis=1).astype(float)
    process = GaussianProcess(encoding="onehot").fit(known, values)
    assert process.predict(known).std.mean() < 0.6 * process.predict(unknown).std.mean()


def test_scale_of_the_labels_is_the_scale_of_the_answers() -> None:
    known, unknown, values = problem(50)
    plain = GaussianProcess().fit(known, values).predict(unknown)
    scaled = GaussianProcess().fit(known, 1000 * values - 7).predict(unknown)
    np.testing.assert_allclose(scaled.mean, 1000 * plain.mean - 7, rtol=1e-4)
    np.testing.assert_allclose(scaled.std, 1000 * plain.std, rtol=1e-2)


def test_unknown_smoothness_is_refused() -> None:
    with pytest.raises(FrugalnasError, match=r"0\.5, 1\.5 or 2\.5"):
        GaussianProcess(smoothness=2.0)


def test_a_gaussian_process_that_is_extended_is_the_one_that_knew_all() -> None:
    """Length scale and noise stay; everything else is as if all labels had been there, whenever they came."""
    rng = np.random.default_rng(3)
    space = NASBench201()
    known, unknown = Population(space, space.sample(30, rng)), Population(space, space.sample(200, rng))
    values = known.codes.sum(axis=1) + rng.normal(size=30)
    process = GaussianProcess().fit(known.take(np.arange(20)), values[:20])
    process.predict(unknown)
    together = process.extended(known, values)
    one_by_one = process
    for n in range(21, 31):
        one_by_one = one_by_one.extended(known.take(np.arange(n)), values[:n])
        one_by_one.predict(unknown)
    assert together is not None
    np.testing.assert_array_equal(one_by_one.predict(unknown).mean, together.predict(unknown).mean)
    np.testing.assert_array_equal(one_by_one.predict(unknown).std, together.predict(unknown).std)

    assert (together.length_scale, together.noise) == (process.length_scale, process.noise)
    features, others = (each.encoded().all.astype(float) for each in (known, unknown))
    centred = values - values.mean()
    prior = Matern(process.length_scale, nu=process.smoothness)(features) + process.noise * np.eye(30)
    assert together.variance == pytest.approx(centred @ np.linalg.solve(prior, centred) / 30, rel=1e-6)
    mean, std = textbook(together).fit(features, centred).predict(others, return_std=True)
    np.testing.assert_allclose(together.predict(unknown).mean, values.mean() + mean, rtol=1e-6)
    np.testing.assert_allclose(together.predict(unknown).std, std, rtol=1e-4)
    assert GaussianProcess(ranks=True).fit(known, values).extended(known, values) is None
