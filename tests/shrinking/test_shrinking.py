"""Rules that drop operators: which, in which order, and what is never dropped."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.scores import Counted, OperatorScores, drawn_scores, operator_scores, scores_of
from frugalnas.shrinking import SHRINKERS, Shrinker, Shrinking, shrinker_for
from frugalnas.spaces import DARTS, FairNAS, LayerSpace, MobileNet, NASBench101, NASBench201, OnceForAll, SearchSpace
from frugalnas.strict_json import to_json

SPACES: dict[str, SearchSpace] = {
    "nasbench201": NASBench201(),
    "mobilenet": MobileNet(),
    "fairnas": FairNAS(),
    "darts": DARTS(),
    "darts without duplicates": DARTS(duplicates=False),
    "darts with none": DARTS(none=True),
    "once-for-all": OnceForAll(),
    "ragged": LayerSpace(name="ragged", layers=[("a",), ("a", "b"), ("c", "a", "identity")], identity="identity"),
}


class Priced(LayerSpace):
    """Layers whose costs are made up."""

    def __init__(self) -> None:
        super().__init__(name="priced", layers=[[f"o{value}" for value in range(4)]] * 8)
        self.quantities = ("macs",)

    def costs(self, quantity: str) -> tuple[float, np.ndarray]:
        return 1.0, np.tile([0.0, 1.0, 4.0, 9.0], (8, 1))


def scored(scores: np.ndarray, space: SearchSpace) -> OperatorScores:
    shares = space.allowed / space.allowed.sum(axis=1, keepdims=True)
    return OperatorScores("made up", np.where(space.allowed, scores, np.nan), np.zeros(scores.shape), shares, "summed")


def random_scores(space: SearchSpace) -> OperatorScores:
    return drawn_scores(space, int(space.allowed.sum()))


def shrunk(space: SearchSpace, rule: Shrinker) -> Shrinking:
    shrinking = Shrinking(space, rule)
    while not shrinking.done:
        shrinking = shrinking.next_round(random_scores)
    return shrinking


# -- the papers' rules -------------------------------------------------------------------------------------------------


def test_spos_drops_seven_of_all_and_keeps_the_best_of_each_layer():
    space = MobileNet()
    scores = np.random.default_rng(0).random(space.allowed.shape)
    scores[3] -= 5  # a layer whose operators are all among the least
    shrinking = Shrinking(space, SHRINKERS["abs-spos"]).step(scored(scores, space))
    dropped = [(drop.place, drop.operator) for drop in shrinking.drops]
    order = np.argsort(scores[3])
    assert dropped == [
        *(("layer 3", space.choices[value]) for value in order[:6]),
        ("layer {}".format(*min_of_others(scores, space)), space.choices[min_of_others(scores, space)[1]]),
    ]
    assert shrinking.space.allowed.sum() == 141 - 7
    assert shrinking.space.allowed[3].sum() == 1
    for _ in range(2):
        shrinking = shrinking.step(scored(scores, space))
    assert shrinking.space.allowed[3, order[6]]


def min_of_others(scores: np.ndarray, space: SearchSpace) -> tuple[int, int]:
    values = np.where(space.allowed, scores, np.inf)
    values[3] = np.inf
    gene, value = np.unravel_index(np.argmin(values), values.shape)
    return int(gene), int(value)


def test_spos_stops_below_a_million_as_the_program_does():
    shrinking = shrunk(MobileNet(), SHRINKERS["abs-spos"])
    assert 12 <= len(shrinking.steps) <= 15
    assert shrinking.space.size <= 1e6 < shrinking.steps[-2].size


def test_fairnas_stays_equally_wide():
    shrinking = shrunk(FairNAS(), SHRINKERS["abs-fairnas"])
    assert len(shrinking.steps) == 4
    assert (shrinking.space.allowed.sum(axis=1) == 2).all()
    assert shrinking.space.size == 2**19


def test_darts_drops_one_an_edge_of_both_cells():
    space = DARTS()
    shrinking = shrunk(space, SHRINKERS["abs-darts"])
    allowed = shrinking.space.allowed
    assert shrinking.steps[-1].size == 2**14
    np.testing.assert_array_equal(allowed[::2], allowed[1::2])
    np.testing.assert_array_equal(allowed[:8], allowed[8:])
    assert shrinking.space.valid(shrinking.space.sample(50, np.random.default_rng(0))).all()


def test_nasbench201_drops_twenty_at_once():
    space = NASBench201()
    shrinking = shrunk(space, shrinker_for(space, "abs-nasbench201"))
    assert len(shrinking.drops) == 20
    assert shrinking.done.startswith("1 round")
    with pytest.raises(FrugalnasError, match="drops 20 operators, but ragged has 6 at 3 places"):
        shrinker_for(SPACES["ragged"], "abs-nasbench201")
    with pytest.raises(FrugalnasError, match="unknown shrinker 'abs'"):
        shrinker_for(space, "abs")


# -- down to one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "drop"), [("nasbench201", 1), *((name, 9) for name in SPACES)])
def test_any_space_shrinks_to_a_single_architecture(name, drop):
    shrinking = shrunk(SPACES[name], Shrinker(drop=drop, by="gene"))
    assert shrinking.space.size == 1
    assert shrinking.done == "a single architecture is left"
    code = shrinking.space.sample(1, np.random.default_rng(0))
    assert SPACES[name].valid(code).all()


def test_edges_of_darts_keep_one_operator_and_say_so():
    shrinking = shrunk(DARTS(), Shrinker(drop=9))
    assert shrinking.done.endswith("architectures in all; `by` gene goes on to a single one")


def test_nasbench101_keeps_a_valid_cell():
    space = NASBench101()
    mask = np.arange(3) < np.array([1] * 21 + [3] + [1] * 4)[:, None]
    mask[[0, 15, 16], 1] = True  # input to vertex 1, to the output, and vertex 1 to the output
    small = space.restrict(mask)
    assert len(small.enumerate()) == 7
    shrinking = Shrinking(small, Shrinker(drop=30)).step(scored(np.tile([1.0, 0.0, 0.5], (26, 1)), space))
    assert len(shrinking.space.enumerate()) == 1
    assert shrinking.steps[0].kept


@pytest.mark.parametrize("seed", range(20))
def test_a_path_from_input_to_output_is_left(seed):
    space = NASBench201()
    shrinking = Shrinking(space, Shrinker(drop=24))
    shrinking = shrinking.step(drawn_scores(space, seed))
    code = shrinking.space.enumerate()[0]
    live = [all(code[edge] for edge in path) for path in ((3,), (0, 4), (1, 5), (0, 2, 5))]
    assert any(live)


def test_what_would_leave_nothing_is_kept_and_said():
    space = NASBench201()
    scores = np.tile([5.0, 1, 2, 3, 4], (6, 1))  # none is the best of every edge
    shrinking = Shrinking(space, Shrinker(drop=24)).step(scored(scores, space))
    assert shrinking.steps[0].kept
    assert all(shrinking.operators.names[number] != "none" for number in shrinking.steps[0].kept)
    assert np.flatnonzero(shrinking.space.enumerate()[0]).tolist() == [3]


# -- limits ------------------------------------------------------------------------------------------------------------


def test_operators_that_fit_nowhere_go_first_and_do_not_count():
    tight = Priced().where("macs<=5")
    scores = operator_scores(Counted(tight, "macs"), tight)
    unfit = (scores.shares == 0) & tight.allowed
    assert unfit.any()
    shrinking = Shrinking(tight, Shrinker(drop=3)).step(scores)
    assert len(shrinking.drops) == unfit.sum() + 3
    assert [np.isnan(drop.score) for drop in shrinking.drops] == [True] * unfit.sum() + [False] * 3


def test_a_limit_is_kept_whatever_is_dropped():
    band = Priced().where("macs>=20,macs<=21")
    shrinking = Shrinking(band, Shrinker(drop=20)).step(drawn_scores(band, 1))
    codes = shrinking.space.sample(3, np.random.default_rng(0))
    assert band.valid(codes).all()


# -- scores taken again, rounds, ties ----------------------------------------------------------------------------------


def test_the_best_cell_survives_when_the_maximum_counts():
    space = NASBench201()
    values = np.random.default_rng(0).random(space.size)
    best = space.enumerate()[int(np.argmax(values))]

    def take(left: SearchSpace) -> OperatorScores:
        codes = left.enumerate()
        return scores_of(codes, values[left.keys(codes).astype(int)], left, name="made up", statistic="maximum")

    shrinking = Shrinking(space, Shrinker(rescored=True, drop=24))
    seen = []

    def noted(left: SearchSpace) -> OperatorScores:
        seen.append(left.size)
        return take(left)

    shrinking = shrinking.next_round(noted)
    assert len(seen) == 24
    assert seen == sorted(seen, reverse=True)
    np.testing.assert_array_equal(shrinking.space.enumerate(), [best])


def test_rounds_hold_as_many_drops_as_the_rule_says():
    space = NASBench201()
    shrinking = Shrinking(space, Shrinker(rescored=True, drop=4, until=100))
    shrinking = shrinking.next_round(random_scores).next_round(random_scores)
    assert [drop.round for drop in shrinking.drops] == [0] * 4 + [1] * 4
    assert [drop.step for drop in shrinking.drops] == list(range(8))
    assert shrinking.round == 2


def test_equal_operators_go_in_the_order_of_their_places():
    space = NASBench201()
    noise = np.random.default_rng(0).normal(scale=1e-14, size=(6, 5))
    shrinking = Shrinking(space, Shrinker(drop=3)).step(scored(np.ones((6, 5)) + noise, space))
    assert [(drop.place, drop.operator) for drop in shrinking.drops] == [
        ("1<-0", operator) for operator in ("none", "skip_connect", "nor_conv_1x1")
    ]


def test_one_call_gives_a_smaller_space():
    space = NASBench201()
    smaller = Shrinker(drop=6).shrink(space, random_scores(space))
    assert smaller.allowed.sum() == 24


# -- the record --------------------------------------------------------------------------------------------------------


def test_history_says_when_each_operator_went():
    space = MobileNet()
    shrinking = shrunk(space, SHRINKERS["abs-spos"])
    scores, margins, rounds = shrinking.history()
    assert len(scores) == len(margins) == len(rounds) == 141
    assert np.bincount(rounds[rounds >= 0]).tolist() == [7] * len(shrinking.steps)
    np.testing.assert_array_equal(rounds == -1, shrinking.operators.left(shrinking.space.allowed))
    for drop in shrinking.drops:
        assert (scores[drop.number], rounds[drop.number]) == (drop.score, drop.round)


@pytest.mark.parametrize("name", ["nasbench201", "mobilenet", "darts"])
def test_a_shrinking_goes_on_from_what_was_written(name):
    space = SPACES[name]
    begun = Shrinking(space, Shrinker(drop=5, until=10, by="gene")).next_round(random_scores).next_round(random_scores)
    again = Shrinking.from_json(json.loads(to_json(begun.to_json())), type(space)(), "a file")
    assert again.rule == begun.rule
    ends = [one.next_round(random_scores) for one in (begun, again)]
    assert to_json(ends[0].to_json()) == to_json(ends[1].to_json())


def test_a_damaged_record_is_refused():
    space = NASBench201()
    data = Shrinking(space, Shrinker(drop=2)).step(random_scores(space)).to_json()
    with pytest.raises(FrugalnasError, match=r"it\.json is no record of a shrinking: steps is"):
        Shrinking.from_json({**data, "steps": [{}]}, space, "it.json")
    data["steps"][0]["dropped"] = [99]
    with pytest.raises(FrugalnasError, match=r"it\.json drops operators that nasbench201 does not have"):
        Shrinking.from_json(data, space, "it.json")


def test_bad_requests_are_refused():
    space = NASBench201()
    with pytest.raises(FrugalnasError, match="drop is 0; it is at least 1"):
        Shrinker(drop=0)
    with pytest.raises(FrugalnasError, match="are not of nasbench201"):
        Shrinking(space, Shrinker()).step(random_scores(MobileNet()))
    over = Shrinking(space, Shrinker(until=1e6))
    with pytest.raises(FrugalnasError, match="nothing is left to drop of nasbench201: 15,625 architectures are left"):
        over.step(random_scores(space))
