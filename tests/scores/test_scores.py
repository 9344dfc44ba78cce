"""Counted, zero-cost and combined scores, and the accuracy of a supernet's paths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, rankdata
from torch import nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks import build
from frugalnas.scores.base import Counted, Score
from frugalnas.scores.cached import CachedScore
from frugalnas.scores.combined import combine
from frugalnas.scores.zero_cost import NASWOT, GradientNorm, SynFlow
from frugalnas.spaces import DARTS, MobileNet, NASBench201, OnceForAll, ShuffleNet

SPACE = NASBench201(width=4, cells=1, input_size=16)
RNG = np.random.default_rng(0)
CODES = SPACE.sample(12, RNG)
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 5])
NOTHING = np.zeros((1, 6), np.int8)
ZERO_COST = {
    "gradnorm": lambda space, images=IMAGES: GradientNorm(space, images, LABELS[: len(images)]),
    "synflow": lambda space, images=IMAGES: SynFlow(space),
    "naswot": lambda space, images=IMAGES: NASWOT(space, images),
}
every_zero_cost = pytest.mark.parametrize("make", ZERO_COST.values(), ids=ZERO_COST)


class Given(Score):
    """Any function of codes."""

    def __init__(self, name, function, space=SPACE):
        self.name, self.function, self.space = name, function, space

    def __call__(self, codes):
        return np.asarray(self.function(codes), np.float64)


# -- counted ---------------------------------------------------------------------------------------------------------


def test_counts_are_the_spaces_own() -> None:
    for quantity in ("params", "macs"):
        score = Counted(SPACE, quantity)
        assert score.name == quantity
        np.testing.assert_array_equal(score(CODES), SPACE.count(quantity, CODES))
    with pytest.raises(FrugalnasError, match="params"):
        Counted(SPACE, "weights")


# -- one network at a time -------------------------------------------------------------------------------------------


class Looks(CachedScore):
    name = "looks"

    def __init__(self, space):
        super().__init__(space)
        self.seen = []

    def of(self, code):
        self.seen.append(tuple(code.tolist()))
        return float(len(self.seen))


def test_spellings_of_one_network_are_looked_at_once() -> None:
    everything = SPACE.enumerate()
    score = Looks(SPACE)
    values = score(everything)
    assert len(score.seen) == 5_044
    assert len(set(zip(SPACE.network_ids(everything).tolist(), values.tolist(), strict=True))) == 5_044
    np.testing.assert_array_equal(score(everything[::-1]), values[::-1])
    assert len(score.seen) == 5_044
    assert set(score.seen) == {tuple(code) for code in SPACE.canonical(everything).tolist()}


def test_restricted_spaces_look_at_codes_that_they_have() -> None:
    convolutions = SPACE.restrict(np.tile([False, True, True, True, False], (6, 1)))
    score = Looks(convolutions)
    score(convolutions.enumerate())
    assert convolutions.valid(np.array(score.seen, np.int8)).all()


def test_codes_of_another_space_are_refused() -> None:
    with pytest.raises(FrugalnasError, match="not an architecture"):
        Looks(SPACE)(np.full((1, 6), 5, np.int8))


# -- zero-cost -------------------------------------------------------------------------------------------------------


@pytest.mark.typical("naswot")
@every_zero_cost
def test_zero_cost_scores_depend_on_the_network_and_the_seed_alone(make) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    values = make(SPACE)(CODES)
    assert torch.equal(torch.get_rng_state(), before), "the user's own generator goes on as if nothing had been"
    assert np.isfinite(values).all()
    assert len(set(values.tolist())) > 6
    np.testing.assert_array_equal(make(SPACE)(CODES[::-1]), values[::-1])


@pytest.mark.typical("naswot")
@every_zero_cost
def test_a_network_of_nothing_scores_least(make) -> None:
    """Its features are the same for every image, its weights have no gradient: still a number, and the last."""
    score = make(SPACE)
    assert score(NOTHING)[0] < score(CODES[SPACE.network_ids(CODES) != SPACE.network_ids(NOTHING)]).min()


def test_gradient_norm_is_the_sum_over_layers() -> None:
    code = SPACE.canonical(CODES[:1])[0]
    torch.manual_seed(0)
    network = build(SPACE, code).train()
    nn.functional.cross_entropy(network(IMAGES), LABELS).backward()
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    expected = sum(module.weight.grad.norm().item() for module in layers if module.weight.grad is not None)
    assert GradientNorm(SPACE, IMAGES, LABELS)(CODES[:1])[0] == pytest.approx(expected, rel=1e-5)


def test_gradient_norm_draws_labels_where_there_are_none() -> None:
    drawn, same = (GradientNorm(SPACE, IMAGES)(CODES[:2]) for _ in range(2))
    np.testing.assert_array_equal(drawn, same)
    unlabelled = GradientNorm(SPACE, IMAGES, torch.full((6,), -1))(CODES[:2])
    np.testing.assert_array_equal(drawn, unlabelled)
    with pytest.raises(FrugalnasError, match="classes"):
        GradientNorm(SPACE, IMAGES, LABELS + 6)(CODES[:1])
    with pytest.raises(FrugalnasError, match="one for each"):
        GradientNorm(SPACE, IMAGES, LABELS[:2])


def test_synflow_conserves_flow() -> None:
    """Without biases what flows through every layer is the output R itself (Tanaka et al., theorem 1)."""
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU6(),
        nn.Conv2d(5, 4, 3, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10, bias=False),
    )
    weights = [module.weight.detach().double().abs() for module in network if hasattr(module, "weight")]
    conv, _, second, linear = weights
    features = nn.functional.conv2d(torch.ones(1, 3, 16, 16, dtype=torch.float64), conv, padding=1)
    features = nn.functional.conv2d(features, second).mean((2, 3))
    output = (features @ linear.T).sum().item()
    assert SynFlow(SPACE).measure(network) == pytest.approx(math.log1p(3 * output), rel=1e-12)


def test_naswot_is_the_log_determinant_of_agreements() -> None:
    code = SPACE.canonical(CODES[:1])[0]
    torch.manual_seed(0)
    network = build(SPACE, code).train()
    signs: list[np.ndarray] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, inputs, out: signs.append((out > 0).flatten(1).numpy()))
    with torch.no_grad():
        network(IMAGES)
    codes = np.concatenate(signs, axis=1)
    agreements = (codes[:, None] == codes[None]).sum(axis=2)
    expected = np.linalg.slogdet(agreements + np.eye(6))[1]
    assert NASWOT(SPACE, IMAGES)(CODES[:1])[0] == pytest.approx(expected, rel=1e-6)


def test_naswot_survives_equal_images() -> None:
    assert np.isfinite(NASWOT(SPACE, IMAGES[[0, 0, 1]])(CODES[:2])).all()
    for too_few in (IMAGES[:0], IMAGES[:1]):
        with pytest.raises(FrugalnasError, match="2 or more"):
            NASWOT(SPACE, too_few)


@pytest.mark.typical("darts")
@pytest.mark.parametrize(
    "space", [DARTS(width=4, layers=3), MobileNet(width=0.1, input_size=32, classes=10)], ids=["darts", "mobilenet"]
)
def test_zero_cost_scores_of_other_spaces(space) -> None:
    codes = space.sample(2, np.random.default_rng(0))
    images = torch.randn(3, 3, space.input_size, space.input_size, generator=torch.Generator().manual_seed(0))
    for make in ZERO_COST.values():
        values = make(space, images)(codes)
        assert np.isfinite(values).all()
        assert values[0] != values[1]


@pytest.mark.slow
@pytest.mark.parametrize("space", [MobileNet(), OnceForAll(), ShuffleNet(), DARTS(macro="imagenet")], ids=str)
def test_synflow_of_the_deepest_networks_is_a_number(space) -> None:
    assert np.isfinite(SynFlow(space)(space.sample(2, np.random.default_rng(0)))).all()


# -- combined --------------------------------------------------------------------------------------------------------


def test_combined_score_is_the_mean_rank_within_the_sample() -> None:
    params, first = Counted(SPACE), Given("first", lambda codes: codes[:, 0])
    sample = SPACE.sample(200, np.random.default_rng(1))
    both = combine([params, first], sample)
    assert both.name == "params+first"
    expected = (rankdata(params(sample)) + rankdata(first(sample)) - 1) / 2 / len(sample)
    np.testing.assert_allclose(both(sample), expected, rtol=1e-12)
    parts = both.parts(CODES)
    np.testing.assert_array_equal(parts["params"], params(CODES))
    np.testing.assert_array_equal(both.rank(parts), both(CODES))


def test_combined_score_of_a_code_does_not_depend_on_its_company() -> None:
    both = combine([Counted(SPACE), Given("sum", lambda codes: codes.sum(axis=1))], SPACE.sample(50, RNG))
    np.testing.assert_array_equal(np.concatenate([both(code[None]) for code in CODES]), both(CODES))


def test_combined_score_goes_on_beyond_the_sample() -> None:
    """A search that leaves the sample behind still sees what is better."""
    value = Given("value", lambda codes: codes[:, 5] + 5.0 * codes[:, 4])
    same = Given("same", lambda codes: np.ones(len(codes)))
    sample = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 1, 4]], np.int8)
    ladder = np.array([[0, 0, 0, 0, four, five] for four in range(5) for five in range(5)], np.int8)
    ranks = combine([value, same], sample)(ladder)
    assert (np.diff(ranks) > 0).all()
    assert kendalltau(ranks, value(ladder))[0] == pytest.approx(1.0)
    constant = combine([same, Given("gene", lambda codes: codes[:, 0])], sample)(CODES)
    assert np.isfinite(constant).all()


def test_what_cannot_be_combined_is_refused() -> None:
    params = Counted(SPACE)
    sample = SPACE.sample(10, RNG)
    refused = {
        "two or more": ([params], sample),
        "one name": ([params, Counted(SPACE)], sample),
        "different spaces": ([params, Given("x", np.zeros_like, DARTS())], sample),
        "ranks nothing": ([params, Counted(SPACE, "macs")], sample[:1]),
        "no place": ([params, Given("x", lambda codes: np.full(len(codes), np.nan))], sample),
    }
    for why, (scores, reference) in refused.items():
        with pytest.raises(FrugalnasError, match=why):
            combine(scores, reference)
