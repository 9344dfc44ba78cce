"""Every space keeps the promises of a space, also one that only writes what it must."""

from __future__ import annotations

import numpy as np
import pytest
import user_code
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError, SpaceTooLarge
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.searches import load_search, search
from frugalnas.spaces import Codes, NASBench201, Population, SearchSpace
from frugalnas.spaces.constraint import Constraint
from frugalnas.strategies import GeneticSearch, LocalSearch, RandomSearch, RegularizedEvolution
from frugalnas.tables import Column, Contents, write_table
from frugalnas.testing import SpaceConformance


class Layers(SearchSpace):
    """Blocks in a row, of which the last may not repeat the first: written as `2-0-1`."""

    name = "layers"
    quantities = ("params",)

    def __init__(self, depth: int = 5, choices: int = 3) -> None:
        self.allowed = np.ones((depth, choices), np.bool_)

    def valid(self, codes: Codes):
        return super().valid(codes) & (codes[:, 0] != codes[:, -1])

    def format(self, code: Codes) -> str:
        return "-".join(str(value) for value in code)

    def parse(self, text: str) -> Codes:
        words = text.split("-")
        if len(words) != self.genes or not all(word.isascii() and word.isdecimal() for word in words):
            raise FrugalnasError(f"{text!r} is not {self.genes} blocks joined by hyphens")
        if max(map(int, words)) >= self.allowed.shape[1]:
            raise FrugalnasError(f"{text!r} has a block above {self.allowed.shape[1] - 1}")
        return self.as_codes([int(word) for word in words])

    def counts(self, quantity: str, codes: Codes):
        return 100.0 * codes.sum(axis=1) + codes[:, 0]


class EvenBits(SearchSpace):
    """Bits whose sum is even: no single edit of an architecture is one."""

    name = "even"

    def __init__(self, bits: int = 4) -> None:
        self.allowed = np.ones((bits, 2), np.bool_)

    def valid(self, codes: Codes):
        return super().valid(codes) & (codes.sum(axis=1) % 2 == 0)

    def format(self, code: Codes) -> str:
        return "".join(str(bit) for bit in code)

    def parse(self, text: str) -> Codes:
        if len(text) != self.genes or not set(text) <= {"0", "1"}:
            raise FrugalnasError(f"{text!r} is not {self.genes} bits")
        return np.array(list(text), np.int64).astype(np.int8)


def without_pooling() -> np.ndarray:
    mask = np.ones((6, 5), np.bool_)
    mask[:, 4] = mask[2, :3] = False
    return mask


class TestNASBench201(SpaceConformance):
    def make(self):
        return NASBench201()


@pytest.mark.slow
class TestRestrictedNASBench201(SpaceConformance):
    def make(self):
        return NASBench201().restrict(without_pooling())


class TestSmallNASBench201(SpaceConformance):
    def make(self):
        return NASBench201().where("params<=0.5e6")


class TestRestrictedSmallNASBench201(SpaceConformance):
    def make(self):
        return NASBench201().where("params<=0.8e6,macs>3e7").restrict(without_pooling())


class TestLayers(SpaceConformance):
    def make(self):
        return Layers()


class TestSmallLayers(SpaceConformance):
    def make(self):
        return Layers().where("params<=600")


@pytest.mark.slow
class TestManyLayers(SpaceConformance):
    """Too many to list, but few enough for one 64-bit number each."""

    def make(self):
        return Layers(30, 4)


class TestSmallManyLayers(SpaceConformance):
    """Limits in a space that cannot be listed are met by rejection."""

    def make(self):
        return Layers(30, 4).where("params<=4500")


@pytest.mark.slow
class TestVeryManyLayers(SpaceConformance):
    """Too many even for one 64-bit number each."""

    def make(self):
        return Layers(40, 6)


@pytest.mark.slow
class TestWideLayers(SpaceConformance):
    """More choices than a byte numbers."""

    def make(self):
        return Layers(2, 200)


class TestEvenBits(SpaceConformance):
    """No architecture has a neighbour."""

    def make(self):
        return EvenBits()


def test_size_counts_the_valid_codes() -> None:
    assert Layers().size == 3**5 - 3**4
    assert EvenBits().size == 8
    assert NASBench201().size == 15_625
    assert NASBench201().restrict(without_pooling()).size == 4**5


def test_size_of_a_space_too_large_to_list_is_exact_arithmetic() -> None:
    space = Layers(40, 6)
    assert space.size == 6**40
    with pytest.raises(SpaceTooLarge, match="sample"):
        space.enumerate()


def test_any_number_of_choices_is_tried_and_kept(tmp_path) -> None:
    space = user_code.Digits(choices=200)
    assert (space.code_type, Layers(2, 128).code_type, Layers(2, 40_000).code_type) == (np.int16, np.int8, np.int32)
    assert space.size == len(space.enumerate()) == 200 * 200
    drawn = space.sample(20_000, np.random.default_rng(0))
    assert [len(np.unique(gene)) for gene in drawn.T] == [200, 200]
    evaluator = FunctionEvaluator(space, function="user_code:total")
    for strategy in (RandomSearch, RegularizedEvolution, LocalSearch, GeneticSearch):
        whole = search(strategy(space, seed=1), evaluator, 60, run_dir=tmp_path / strategy.__name__)
        assert all(query.value == query.code.sum() for query in whole.queries)
        assert whole.codes.max() > 127
        np.testing.assert_array_equal(load_search(whole.run_dir).codes, whole.codes)
    codes = space.enumerate()[::7]
    column = Column("validation", codes.sum(axis=1) / 4.0)
    table = write_table(
        tmp_path / "t", Contents(name="t", space=space, codes=codes, columns=[column], source={}, licence="")
    )
    np.testing.assert_array_equal(table.labels(), table.codes.sum(axis=1) / 4.0)


def test_numbers_that_are_no_codes_are_named() -> None:
    space = NASBench201()
    for numbers, said in (
        ([[0, 1, 2, 3, 4, 300]], "300 is no value of a gene of nasbench201; they are 0 to 4"),
        ([[0, 1, 2, 3, 4, 0.5]], "0.5 is no value"),
        ([[0, 1, 2, 3, 4, np.nan]], "nan is no value"),
        ([list("012340")], "6 whole numbers each"),
        ([[0, 1], [0]], "6 whole numbers each"),
    ):
        with pytest.raises(FrugalnasError, match=said):
            space.canonical(numbers)


def test_rejection_sampling_is_uniform_over_valid_codes() -> None:
    space = Layers()
    codes = space.sample(16_200, np.random.default_rng(0))
    _, counts = np.unique(space.keys(codes), return_counts=True)
    assert len(counts) == 162
    assert np.abs(counts - 100).max() < 55


def test_limits_are_combined() -> None:
    space = NASBench201().where("params<=1e6").where("macs>5e7")
    codes = space.enumerate()
    whole = NASBench201().enumerate()
    inside = (space.count("params", whole) <= 1e6) & (space.count("macs", whole) > 5e7)
    assert 0 < inside.sum() < len(whole)
    np.testing.assert_array_equal(codes, whole[inside])
    assert repr(space) == "NASBench201(where='params<=1000000,macs>50000000')"


def test_limit_that_leaves_nothing_says_what_there_is() -> None:
    with pytest.raises(FrugalnasError, match="lie between"):
        NASBench201().where("params<=1").sample(1, np.random.default_rng(0))


def test_space_whose_rules_leave_nothing_is_refused() -> None:
    mask = np.ones((5, 3), np.bool_)
    mask[0] = mask[-1] = (True, False, False)
    with pytest.raises(FrugalnasError):
        Layers().restrict(mask).sample(1, np.random.default_rng(0))
    with pytest.raises(FrugalnasError):
        Layers().restrict(mask).where("params<=600").sample(1, np.random.default_rng(0))


def test_mutation_of_a_code_without_valid_children_is_refused() -> None:
    space = EvenBits()
    codes = space.sample(3, np.random.default_rng(0))
    with pytest.raises(FrugalnasError, match="no valid child"):
        space.mutate(codes, np.random.default_rng(0))
    assert space.valid(space.mutate(codes, np.random.default_rng(0), edits=2)).all()


@given(
    st.sampled_from(["params", "macs"]),
    st.sampled_from(["<=", ">=", "<", ">"]),
    st.floats(0, 1e300, allow_nan=False) | st.integers(0, 2**70),
)
def test_constraints_round_trip(quantity: str, relation: str, bound: float) -> None:
    (rule,) = Constraint.parse(f" {quantity} {relation}{bound!r}")
    assert rule == Constraint(quantity, relation, float(bound))
    assert Constraint.parse(str(rule)) == (rule,)


@given(st.text(alphabet="params<=>0123456789.e+-, ", max_size=30))
def test_constraints_are_read_or_refused(text: str) -> None:
    try:
        rules = Constraint.parse(text)
    except FrugalnasError:
        return
    assert len(rules) == text.count(",") + 1


def test_population_gives_codes_of_equal_features_one_row() -> None:
    space = NASBench201()
    population = Population(space, space.enumerate())
    for encoding, distinct in (("onehot", 15_625), ("path", 8_045), ("live", 9_445)):
        encoded = population.encoded(encoding)
        assert len(encoded.rows) == distinct
        np.testing.assert_array_equal(encoded.all, space.encode(population.codes, encoding))


def test_part_of_a_population_is_the_population_of_the_part() -> None:
    space = NASBench201()
    rng = np.random.default_rng(0)
    population = Population(space, space.sample(200, rng))
    _ = population.network_ids
    population.encoded()
    rows = rng.integers(200, size=50)
    part, anew = population.take(rows), Population(space, population.codes[rows])
    np.testing.assert_array_equal(part.network_ids, anew.network_ids)
    np.testing.assert_array_equal(part.encoded().all, anew.encoded().all)
    np.testing.assert_array_equal(part.encoded("live").all, anew.encoded("live").all)


def test_population_is_frozen() -> None:
    codes = NASBench201().sample(3, np.random.default_rng(0))
    population = Population(NASBench201(), codes)
    with pytest.raises(ValueError, match="read-only"):
        population.codes[0] = 0
    before = population.codes.copy()
    codes[...] = 0
    np.testing.assert_array_equal(population.codes, before)
