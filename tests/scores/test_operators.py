"""What operators are worth: against plain loops over architectures, and against samples."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.networks.weightless import weightless
from frugalnas.scores import (
    Angle,
    AngleTable,
    Counted,
    OperatorScores,
    Score,
    angle_table,
    drawn_scores,
    operator_scores,
    rule_for,
    sampled_scores,
    scores_of,
)
from frugalnas.scores.cached import CachedScore
from frugalnas.scores.cell_moments import cell_moments
from frugalnas.scores.moments import moments
from frugalnas.spaces import (
    DARTS,
    Codes,
    FactoredSpace,
    FloatArray,
    LayerSpace,
    MobileNet,
    NASBench101,
    NASBench201,
    OnceForAll,
    SearchSpace,
)
from frugalnas.supernets import supernet_of


def made_up(space: SearchSpace, rule: str | None = None, seed: int = 0) -> Angle:
    """An angle that tells choices apart as a trained supernet's does: triples of tensors that turn by different amounts."""

    with weightless():
        supernet = supernet_of(space)
    names = [name for name, each in supernet.named_parameters() if each.is_floating_point()]
    sizes = np.array([each.numel() for each in supernet.parameters() if each.is_floating_point()], np.float64)
    rng = np.random.default_rng(seed)
    before = sizes * rng.uniform(0.001, 0.002, len(names))
    after = before * rng.uniform(0.2, 3, len(names))
    sums = np.stack([np.sqrt(before * after) * rng.uniform(0.05, 0.9, len(names)), before, after], axis=1)
    return Angle(space, angle_table(supernet, sums, rule_for(space, rule)))


class Linear(Score):
    """A sum over genes whose costs are a sum, too."""

    name = "linear"

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.table = np.random.default_rng(3).normal(size=space.allowed.shape)

    def __call__(self, codes: Codes) -> FloatArray:
        return self.table[np.arange(self.space.genes), codes].sum(axis=1)


class Slow(CachedScore):
    """A score of one network at a time."""

    name = "slow"
    seen = 0

    def of(self, code: Codes) -> float:
        self.seen += 1
        return float(np.sin(code).sum())


class Priced(LayerSpace):
    """Layers whose costs are made up, and need no modules."""

    def __init__(self, table: list[list[float]], fixed: float = 7.0) -> None:
        layers = [[f"o{value}" for value in range(len(row))] for row in table]
        super().__init__(name="priced", layers=layers)
        self.quantities = ("macs",)
        self.price, self.base = np.array(table), fixed

    def costs(self, quantity: str) -> tuple[float, np.ndarray]:
        return self.base, self.price


@cache
def nasbench201() -> tuple[NASBench201, FloatArray]:
    space = NASBench201()
    return space, np.random.default_rng(0).normal(size=space.size)


def naive(space: SearchSpace, codes: Codes, values: FloatArray, statistic: str) -> np.ndarray:
    wanted = np.full(space.allowed.shape, np.nan)
    for gene in range(space.genes):
        for value in range(space.allowed.shape[1]):
            own = sorted((v for code, v in zip(codes, values, strict=True) if code[gene] == value), reverse=True)
            if own:
                best = own[: -(-len(own) // 10)]
                wanted[gene, value] = {"mean": np.mean(own), "best-tenth": np.mean(best), "maximum": own[0]}[statistic]
    return wanted


@pytest.mark.typical("restricted-*", "params<=0.4M-mean", "-best-tenth")
@pytest.mark.parametrize("statistic", ["mean", "best-tenth", "maximum"])
@pytest.mark.parametrize("limits", ["", "restricted", "params<=0.4M"])
def test_listed_spaces_are_exact(statistic, limits):
    space, values = nasbench201()
    if limits == "restricted":
        space = space.restrict(np.array([[1, 0, 1, 1, 0]] * 2 + [[0, 1, 1, 0, 1]] * 4))
    elif limits:
        space = space.where(limits)
    codes = space.enumerate()
    values = values[space.keys(codes).astype(int)]
    found = scores_of(codes, values, space, name="made up", statistic=statistic)
    np.testing.assert_allclose(found.scores, naive(space, codes, values, statistic), atol=1e-12, rtol=0)
    assert found.exact
    assert (found.errors[space.allowed] == 0).all()
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    low, high = found.interval()
    np.testing.assert_array_equal(low, high)


def test_angles_of_nasbench201_are_those_of_all_cells():
    space = NASBench201(width=4, cells=1, input_size=8)
    score = made_up(space, "rlnas-nasbench201")
    found = operator_scores(score)
    codes = space.enumerate()
    np.testing.assert_allclose(found.scores, naive(space, codes, score(codes), "mean"), atol=1e-12, rtol=0)


def test_nasbench101_is_listed_by_network():
    space = NASBench101()
    codes = space.enumerate()
    values = np.random.default_rng(0).normal(size=len(codes))
    found = scores_of(codes, values, space, name="made up")
    assert found.architectures == 423_624
    assert found.scores[20, 1] == pytest.approx(values[codes[:, 20] == 1].mean(), rel=1e-12)
    assert np.isnan(found.scores[:21, 2]).all()


def test_a_score_that_is_no_number_is_refused():
    space, values = nasbench201()
    values = values.copy()
    values[77] = np.nan
    with pytest.raises(FrugalnasError, match=r"accuracy is no number for 1 of 15,625 architectures, \|none~0.* take"):
        scores_of(space.enumerate(), values, space, name="accuracy")


# -- sums, and what costs limit ----------------------------------------------------------------------------------------


def limited_spaces() -> list[FactoredSpace]:
    whole = [[3.0, 0.0, 9.0], [6.0, 3.0, 12.0], [0.0, 6.0, 21.0], [3.0, 3.0, 3.0], [9.0, 0.0, 30.0]]
    broken = [[cost * 1.1 + 0.01 * value for value, cost in enumerate(row)] for row in whole]
    spaces = [
        Priced(whole).where(rule) for rule in ("macs<=40", "macs<40", "macs>22,macs<=46", "macs>=22", "macs<=1e9")
    ]
    return [Priced(whole), *spaces, Priced(broken).where("macs<=40"), Priced(whole, 7.3).where("macs<=40.3")]


@pytest.mark.parametrize("space", limited_spaces(), ids=str)
def test_moments_are_those_of_all_architectures(space):
    table = np.random.default_rng(1).normal(5, 2, size=(*space.allowed.shape, 3))
    found = moments(space, table)
    codes = space.enumerate()
    sums = table[np.arange(space.genes), codes].sum(axis=1)
    for gene, value in np.argwhere(space.allowed):
        own = sums[codes[:, gene] == value]
        assert found.share[gene, value] == pytest.approx(len(own) / len(codes), abs=1e-12)
        if len(own):
            np.testing.assert_allclose(found.mean[gene, value], own.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(found.covariance[gene, value], np.cov(own.T, bias=True), atol=1e-10)
    assert not found.doubtful


def test_wide_bins_say_how_much_they_leave_in_doubt():
    rng = np.random.default_rng(0)
    space = Priced(rng.uniform(0, 1000, size=(7, 4)).tolist()).where("macs<=3000")
    exact, coarse = (moments(space, np.ones((7, 4, 1)), bins) for bins in (2**17, 2**8))
    codes = space.enumerate()
    shares = np.stack([np.bincount(column, minlength=4) for column in codes.T]) / len(codes)
    np.testing.assert_allclose(exact.share, shares, atol=2 * exact.doubtful + 1e-12)
    assert exact.doubtful < coarse.doubtful < 0.1
    assert np.abs(coarse.share - shares).max() <= coarse.doubtful


def test_costs_are_exact_sums():
    space = MobileNet(width=0.25, input_size=33).where("macs<=4.5e6")
    found = operator_scores(Counted(space, "params"))
    assert found.exact
    codes = space.sample(20_000, np.random.default_rng(0))
    params = space.count("params", codes)
    for gene, value in ((0, 1), (7, 6), (20, 3)):
        own = params[codes[:, gene] == value]
        assert abs(own.mean() - found.scores[gene, value]) < 4 * own.std() / np.sqrt(len(own))


@pytest.mark.slow
def test_joint_genes_are_kept_together():
    space = OnceForAll(width=0.5, input_size=65).restrict([[v in (0, 4, 9) for v in range(10)]] * 20)
    small = space.restrict([[v in (0, 9) or gene < 8 for v in range(10)] for gene in range(20)])
    found = operator_scores(Counted(small, "macs"))
    codes = small.sample(40_000, np.random.default_rng(0))
    for gene, value in np.argwhere(small.allowed):
        assert abs((codes[:, gene] == value).mean() - found.shares[gene, value]) < 0.02


def test_operators_that_no_architecture_has_have_no_score():
    space = Priced([[0.0, 10.0], [0.0, 1.0], [0.0, 2.0]], 1.0).where("macs<=5")
    big = space.allowed.copy()
    found = moments(space, np.ones((*big.shape, 1)))
    assert found.share[0].tolist() == [1, 0]
    score = operator_scores(Counted(LimitedForever(space), "macs"))
    assert np.isnan(score.scores[0, 1])
    assert score.shares[0, 1] == 0
    sampled = sampled_scores(Linear(space), space, draws=50, least=5)
    assert np.isnan(sampled.scores[0, 1])
    assert sampled.note == "1 operators are in no architecture within the limits"


class LimitedForever:
    """Made below: a space that says that it cannot be listed."""

    def __new__(cls, space: FactoredSpace) -> FactoredSpace:  # type: ignore[misc]
        kind = type("Unlisted", (type(space),), {"enumerable": property(lambda self: False)})
        space.__class__ = kind
        return space


def test_a_limit_that_nothing_meets_says_what_would_do():
    space = MobileNet(width=0.25, input_size=33)
    mask = space.allowed.copy()
    mask[:, [0, 6]] = False  # the cheap ones
    limited = space.where(f"macs<={0.99 * space.restrict(mask).extremes('macs')[0]}")
    with pytest.raises(
        FrugalnasError, match=r"no operator of any layer .* within macs<=.*raise the limit to \d+ at least"
    ):
        operator_scores(Counted(limited.restrict(mask)))


# -- expected angles ---------------------------------------------------------------------------------------------------


def z_scores(found: OperatorScores, codes: Codes, values: FloatArray) -> FloatArray:
    z = []
    for gene, value in np.argwhere(~np.isnan(found.scores)):
        own = values[codes[:, gene] == value]
        if len(own) > 30:
            z.append((found.scores[gene, value] - own.mean()) / (own.std() / np.sqrt(len(own))))
    return np.array(z)


@pytest.mark.typical("")
@pytest.mark.parametrize("limit", ["", "macs<=6e6"])
def test_expected_angles_are_those_of_samples(limit):
    space = MobileNet(width=0.25, input_size=33)
    score = made_up(space)
    space = space.where(limit) if limit else space
    found = operator_scores(score, space)
    assert found.way == "second order"
    assert (found.errors[~np.isnan(found.scores)] < 0.05 * np.nanstd(found.scores)).all()
    codes = space.sample(30_000, np.random.default_rng(5))
    z = np.abs(z_scores(found, codes, score(codes)))
    assert (z > 3).sum() <= 2
    assert z.max() < 5


@pytest.mark.slow
def test_angles_of_darts_that_count_once_are_plain_sums():
    space = DARTS(width=4, layers=3, input_size=16)
    score = made_up(space)
    whole, cells = moments(space, score.table.table), cell_moments(space, score.table)
    np.testing.assert_allclose(cells.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(cells.covariance, whole.covariance, rtol=1e-9, atol=1e-12)
    limited = space.where(f"macs<={space.extremes('macs')[1] * 0.7}")
    assert operator_scores(score, limited).way == "second order"


@pytest.mark.slow
def test_expected_angles_of_mobilenet_are_those_of_a_million_samples():
    space = MobileNet()
    score = made_up(space)
    space = space.where("macs<=475e6")
    found = operator_scores(score, space)
    codes = space.sample(1_000_000, np.random.default_rng(5))
    z = np.abs(z_scores(found, codes, score(codes)))
    assert len(z) == 141
    assert (z > 3).sum() <= 2
    assert z.max() < 5


@pytest.mark.typical("{}-abs-darts", "{'duplicates': False}-rlnas-darts-imagenet")
@pytest.mark.parametrize("rule", ["rlnas-darts-imagenet", "abs-darts"])
@pytest.mark.parametrize("options", [{}, {"duplicates": False}, {"none": True}], ids=str)
def test_moments_of_cells_are_those_of_samples(rule, options):
    space = DARTS(width=4, layers=3, input_size=16, **options)
    if options.get("none"):  # few states to read, so that there are fewer ways
        space = space.restrict(space.allowed & (np.arange(40) < 24))
    score = made_up(space, rule)
    found = cell_moments(space, score.table)
    codes = space.sample(8_000, np.random.default_rng(0))
    sums = score.table.sums(codes) - score.table.fixed
    z, spreads = [], []
    for gene, value in np.argwhere(space.allowed):
        own = sums[codes[:, gene] == value]
        z.append((own.mean(axis=0) - found.mean[gene, value]) / (own.std(axis=0) / np.sqrt(len(own))))
        spreads.append(np.diag(np.cov(own.T)) / np.diag(found.covariance[gene, value]))
    assert np.sqrt(np.mean(np.square(z))) < 1.3
    assert np.abs(z).max() < 5
    assert 0.95 < np.mean(spreads) < 1.05


def test_a_darts_space_small_enough_to_think_of_is_exact():
    space = DARTS(width=4, layers=3, input_size=16, none=True)
    mask = np.zeros(space.allowed.shape, np.bool_)
    mask[:, 4] = True
    mask[[0, 1, 2, 3], 0] = mask[[2, 5, 7], 2 * 8 + 5] = mask[[5, 6, 9, 15], 8 + 1] = True
    small = space.restrict(mask)
    score = made_up(space, "abs-darts")
    found = cell_moments(small, score.table)
    codes = small.enumerate()
    sums = score.table.sums(codes) - score.table.fixed
    for gene, value in np.argwhere(small.allowed):
        own = sums[codes[:, gene] == value]
        assert found.share[gene, value] == pytest.approx(len(own) / len(codes), abs=1e-12)
        np.testing.assert_allclose(found.mean[gene, value], own.mean(axis=0), rtol=1e-10)
        np.testing.assert_allclose(found.covariance[gene, value], np.cov(own.T, bias=True), rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_what_is_not_known_is_drawn():
    space = DARTS(width=4, layers=3, input_size=16)
    score = made_up(space, "abs-darts")
    half = float(np.median(space.count("macs", space.sample(500, np.random.default_rng(0)))))
    found = operator_scores(score, space.where(f"macs<={half}"), draws=2_000)
    assert found.way == operator_scores(score, space.where(f"macs<={half}")).way == "sampled"
    assert (found.errors[space.allowed] > 0).all()


def test_weights_that_have_not_turned_have_no_expected_angle():
    space = MobileNet(width=0.25, input_size=33)
    table = AngleTable(np.ones(3), np.ones((*space.allowed.shape, 3)))
    with pytest.raises(FrugalnasError, match="have not turned"):
        operator_scores(Angle(space, table))


# -- samples -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "best-tenth"])
def test_intervals_of_samples_hold_what_is_true(statistic):
    space, _ = nasbench201()
    score = Linear(space)
    truth = scores_of(space.enumerate(), score(space.enumerate()), space, name="linear", statistic=statistic).scores
    inside = []
    for seed in range(40):
        low, high = sampled_scores(score, space, draws=2_000, seed=seed, statistic=statistic).interval(0.95)
        inside.append((low <= truth) & (truth <= high))
    assert 0.9 < np.mean(inside) < 0.98


@pytest.mark.slow
def test_rare_operators_are_drawn_for_themselves():
    rare = Priced([[0.0, 0.0, 11.0], *[[0.0, 1.0, 2.0]] * 12], 0.0).where("macs<=13")
    few = sampled_scores(Linear(rare), rare, draws=300, least=50)
    assert few.shares[0, 2] < 0.02
    assert few.errors[0, 2] < 1
    assert 340 < few.architectures <= 350


def test_slow_scores_are_asked_of_few_networks():
    space, _ = nasbench201()
    score = Slow(space)
    found = operator_scores(score, draws=60)
    assert found.way == "sampled"
    assert score.seen <= 70


def test_the_maximum_of_a_sample_is_refused():
    space = MobileNet(width=0.25, input_size=33)
    with pytest.raises(FrugalnasError, match="`statistic` mean or best-tenth"):
        operator_scores(made_up(space), statistic="maximum")


# -- the record --------------------------------------------------------------------------------------------------------


def test_scores_survive_being_written_down():
    space, _ = nasbench201()
    small = space.restrict(space.allowed & (np.arange(5) > 1))
    for scores in (drawn_scores(small, 3), sampled_scores(Linear(small), small, draws=20)):
        again = OperatorScores.from_json(scores.to_json(), space.allowed.shape, "here")
        assert (again.name, again.way, again.said) == (scores.name, scores.way, scores.said)
        for field in ("scores", "errors", "shares"):
            np.testing.assert_array_equal(getattr(again, field), getattr(scores, field))
    with pytest.raises(
        FrugalnasError, match=r"here has no operator scores of this space: scores have the shape \[6, 5\]"
    ):
        OperatorScores.from_json(drawn_scores(small, 3).to_json(), (21, 7), "here")
    with pytest.raises(FrugalnasError, match="way is 'guessed'"):
        OperatorScores.from_json({**drawn_scores(small, 3).to_json(), "way": "guessed"}, (6, 5), "here")


def test_random_scores_know_what_is_allowed():
    space, _ = nasbench201()
    small = space.restrict(space.allowed & (np.arange(5) > 1))
    scores = drawn_scores(small, 0)
    np.testing.assert_array_equal(np.isnan(scores.scores), ~small.allowed)
    assert not np.array_equal(scores.scores, drawn_scores(small, 1).scores)
