"""Rules that drop operators: which, in which order, and what is never dropped."""

from __future__ import annotations

import json
from dataclasses import replace

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
    fewer = shrunk(space, replace(SHRINKERS["abs-darts"], until=100))
    assert fewer.done.startswith("a single combination of operators is left")
    assert fewer.space.size > 100
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


def test_what_is_left_is_counted_within_the_limit():
    limited = MobileNet().where("macs<=475M")
    drawn = MobileNet().count("macs", MobileNet().sample(100_000, np.random.default_rng(0))) <= 475e6
    assert Shrinker().size(limited) / MobileNet().size == pytest.approx(drawn.mean(), rel=0.2)
    end = shrunk(limited, shrinker_for(limited))
    assert 1e4 < end.steps[-1].size <= 1e6 < end.steps[-2].size


def test_what_is_enough_fits_the_space_where_nobody_says_it():
    assert shrinker_for(NASBench201()).until == 100  # of 15,625
    assert shrinker_for(MobileNet()).until == shrinker_for(MobileNet(), "abs-spos").until == 1e6


# -- down to one -------------------------------------------------------------------------------------------------------


@pytest.mark.typical("nasbench201-*", "fairnas-9-gene", "ragged-9-gene", "darts-9-gene", "mobilenet-9-gene")
@pytest.mark.parametrize(
    ("name", "drop", "by"),
    [
        ("nasbench201", 1, "gene"),
        *((name, 9, "gene") for name in SPACES),
        *((name, 9, by) for name in SPACES if name.startswith("darts") for by in ("place", "shared")),
    ],
)
def test_any_space_shrinks_to_a_single_architecture(name, drop, by):
    start = Shrinking(SPACES[name], Shrinker(drop=drop, by=by))
    shrinking = shrunk(SPACES[name], start.shrinker)
    assert shrinking.space.size == 1
    assert shrinking.done == "a single architecture is left"
    code = shrinking.space.sample(1, np.random.default_rng(0))
    assert SPACES[name].valid(code).all()
    assert len(shrinking.drops) <= start.most
    if by == "gene":
        assert len(shrinking.drops) == start.most or name == "darts without duplicates"


@pytest.mark.parametrize("name", SHRINKERS)
def test_every_rule_goes_down_to_a_single_architecture(name):
    space = MobileNet() if name in ("abs-spos", "abs-fairnas") else DARTS(duplicates=False)
    rule = replace(SHRINKERS[name], until=1, rounds=None, drop=max(SHRINKERS[name].drop, 5))
    shrinking = shrunk(space, rule)
    assert shrinking.space.size == 1
    assert shrinking.done == "a single architecture is left"


def test_edges_of_darts_keep_one_operator_before_their_ends_are_chosen():
    space = DARTS()
    shrinking = shrunk(space, Shrinker(drop=9))
    ways = [step.by for step in shrinking.steps]
    assert ways == sorted(ways, reverse=True)
    edges = [drop for drop, way in zip(shrinking.drops, by_drop(shrinking), strict=True) if way == "place"]
    assert len(edges) == 2 * 14 * 6
    assert {drop.place for drop in edges} <= set(space.operators("place").places)
    assert {drop.place for drop in shrinking.drops[len(edges) :]} <= set(space.operators("gene").places)
    rounds = shrinking.history()[2]
    assert (rounds >= 0).sum() == 2 * 14 * 7 - (rounds == -1).sum()
    assert (rounds == -1).sum() == len(np.unique(space.operators("place").number[shrinking.space.allowed]))


def by_drop(shrinking: Shrinking) -> list[str]:
    return [step.by for step in shrinking.steps for _ in step.dropped]


@pytest.mark.slow
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


def test_what_keeps_a_limit_leads_from_input_to_output_too():
    space = NASBench201()
    allowed = np.zeros((6, 5), np.bool_)
    allowed[:, 0] = True
    allowed[[0, 4], 1] = allowed[3, 3] = True  # two steps that cost nothing, and one beside that is beyond the limit
    cheap = space.restrict(allowed)
    cheap = cheap.where(f"params<={space.count('params', cheap.enumerate()).min():.0f}")
    scores = np.tile([2.0, 0, 0, 1, 0], (6, 1))
    shrinking = Shrinking(cheap, Shrinker())
    while not shrinking.done:
        shrinking = shrinking.step(scored(scores, cheap))
    np.testing.assert_array_equal(shrinking.space.enumerate(), [[1, 0, 0, 0, 1, 0]])


def test_a_search_within_limits_of_its_own_finds_something_in_what_is_left():
    dear = np.tile([0.0, 1.0, 2.0, 3.0], (8, 1))  # what costs most is worth most
    start, rule = Priced().where("macs<=60"), Shrinker(drop=3)
    alone, followed = Shrinking(start, rule), Shrinking(start, rule, within="macs<=20")
    while not alone.done:
        alone = alone.step(scored(dear, alone.space))
    assert alone.space.count("macs", alone.space.sample(1, np.random.default_rng(0)))[0] > 20
    while not followed.done:
        followed = followed.step(scored(dear, followed.space))
    assert followed.space.size == 1
    assert Priced().where("macs<=20").valid(followed.space.sample(1, np.random.default_rng(0))).all()
    again = Shrinking.from_json(json.loads(to_json(followed.to_json())), Priced(), "a file")
    assert again.within == "macs<=20"


def test_limits_that_exclude_each_other_are_said_at_once():
    with pytest.raises(FrugalnasError, match="no architecture of priced was found that meets macs>=50 and macs<=20"):
        _ = Shrinking(Priced().where("macs>=50"), Shrinker(), within="macs<=20").room


@pytest.mark.parametrize("seed", range(5))
def test_limits_on_several_quantities_are_kept_together(seed):
    class TwicePriced(Priced):
        def __init__(self) -> None:
            super().__init__()
            self.quantities = ("macs", "params")

        def costs(self, quantity: str) -> tuple[float, np.ndarray]:
            fixed, table = super().costs(quantity)
            return fixed, table if quantity == "macs" else table[:, ::-1]  # what is cheap in one is dear in the other

    start = TwicePriced().where("macs<=30,params<=30")
    shrinking = Shrinking(start, Shrinker(drop=3))
    while not shrinking.done:
        shrinking = shrinking.step(drawn_scores(shrinking.space, seed))
    assert shrinking.space.size == 1
    assert start.valid(shrinking.space.sample(1, np.random.default_rng(0))).all()


def test_layers_stay_equally_wide_under_a_limit_that_some_operators_never_meet():
    class Unequal(Priced):
        def costs(self, quantity: str) -> tuple[float, np.ndarray]:
            fixed, table = super().costs(quantity)
            table = table.copy()
            table[0] = [0, 50, 60, 70]  # one operator of this layer is within the limit
            table[1, 3] = 80
            return fixed, table

    space = Unequal().where("macs<=40")
    shrinking = Shrinking(space, Shrinker(each_place=True, until=2))
    widths = []
    while not shrinking.done:
        shrinking = shrinking.step(operator_scores(Counted(shrinking.space, "macs"), shrinking.space))
        widths.append(set(shrinking.space.allowed.sum(axis=1).tolist()))
    assert widths == [{3}, {2}, {1}]
    assert shrinking.space.allowed[0, 0]
    never = [drop for drop in shrinking.drops if np.isnan(drop.score)]
    assert [drop.operator for drop in never if drop.place == "layer 0"] == ["o1", "o2", "o3"]


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


def test_the_best_tenth_of_joined_operators_is_refused():
    space = DARTS()
    scores = replace(drawn_scores(space, 0), statistic="best-tenth")
    said = "the best tenth of max_pool_3x3 at normal 0->2 cannot be made of those of the 2 genes"
    with pytest.raises(FrugalnasError, match=said):
        Shrinking(space, Shrinker()).step(scores)
    with pytest.raises(FrugalnasError, match=said):
        Shrinker().check(space, "best-tenth")
    assert Shrinking(space, Shrinker(by="gene")).step(scores).drops
    Shrinker().check(NASBench201(), "best-tenth")


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


@pytest.mark.parametrize(("name", "drop"), [("nasbench201", 5), ("mobilenet", 5), ("darts", 90)])
def test_a_shrinking_goes_on_from_what_was_written(name, drop):
    space = SPACES[name]
    begun = Shrinking(space, Shrinker(drop=drop, until=10)).next_round(random_scores).next_round(random_scores)
    again = Shrinking.from_json(json.loads(to_json(begun.to_json())), type(space)(), "a file")
    assert again.shrinker == begun.shrinker
    ends = [one.next_round(random_scores) for one in (begun, again)]
    assert to_json(ends[0].to_json()) == to_json(ends[1].to_json())


def test_a_damaged_record_is_refused():
    space = NASBench201()
    data = Shrinking(space, Shrinker(drop=2)).step(random_scores(space)).to_json()
    with pytest.raises(
        FrugalnasError, match=r"it\.json is no record of a shrinking: steps, number 1: dropped is missing"
    ):
        Shrinking.from_json({**data, "steps": [{}]}, space, "it.json")
    assert data["steps"][0]["dropped"][0].keys() == {"place", "operator"}
    data["steps"][0]["dropped"][0]["operator"] = "max_pool_3x3"
    with pytest.raises(FrugalnasError, match=r"it\.json drops operators that nasbench201 does not have"):
        Shrinking.from_json(data, space, "it.json")


def test_bad_requests_are_refused():
    space = NASBench201()
    with pytest.raises(FrugalnasError, match="drop is 0; it is at least 1"):
        Shrinker(drop=0)
    with pytest.raises(FrugalnasError, match=r"until is 1\.5; it is a whole number"):
        Shrinker(until=1.5)
    with pytest.raises(FrugalnasError, match="are not of nasbench201"):
        Shrinking(space, Shrinker()).step(random_scores(MobileNet()))
    over = Shrinking(space, Shrinker(until=1e6))
    with pytest.raises(FrugalnasError, match="nothing is left to drop of nasbench201: 15,625 architectures are left"):
        over.step(random_scores(space))
