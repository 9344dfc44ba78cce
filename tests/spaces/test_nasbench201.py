"""NAS-Bench-201 against its published numbers, and network identity against its definition."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import NASBench201

SPACE = NASBench201()
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

SHORT = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cell(letters: str) -> np.ndarray:
    """A code from the operations on 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2: none, skip, conv 1x1, conv 3x3, pool."""
    return np.array([OPERATIONS.index(SHORT[letter]) for letter in letters], np.int8)


def networks(*cells: str) -> list[int]:
    return SPACE.network_ids(np.stack([cell(letters) for letters in cells])).tolist()


# -- network identity ------------------------------------------------------------------------------------------------


def expand(code: np.ndarray, names: dict[int, int], linear_pooling: bool = True) -> tuple:
    """What a cell computes, as a sum of terms: a frozen multiset of (poolings, term).

    A term is the cell's input () or a convolution (kind, name of its weights, its input as such a sum). A convolution of
    zero is zero. Pooling is linear, or else an operation like a convolution without weights.
    """
    nodes: list[Counter] = [Counter({(0, ()): 1}), Counter(), Counter(), Counter()]
    for edge, (source, target) in enumerate(EDGES):
        arriving, operation = nodes[source], OPERATIONS[code[edge]]
        if operation == "none" or not arriving:
            continue
        if operation == "skip_connect":
            nodes[target] += arriving
        elif operation == "avg_pool_3x3" and not linear_pooling:
            nodes[target] += Counter({(0, (operation, None, freeze(arriving))): 1})
        elif operation == "avg_pool_3x3":
            nodes[target] += Counter({(poolings + 1, term): count for (poolings, term), count in arriving.items()})
        else:
            nodes[target] += Counter({(0, (operation, names.get(edge, edge), freeze(arriving))): 1})
    return freeze(nodes[3])


def freeze(terms: Counter) -> tuple:
    return tuple(sorted(((poolings, count, term) for (poolings, term), count in terms.items()), key=repr))


def convolutions_in(terms: tuple) -> set[int]:
    found: set[int] = set()
    for _, _, term in terms:
        if term:
            found |= {term[1]} | convolutions_in(term[2])
    return found - {None}


def by_definition(code: np.ndarray, linear_pooling: bool = True) -> str:
    """The first of a cell's expansions over all ways to name its live convolutions."""
    live = sorted(convolutions_in(expand(code, {}, linear_pooling)))
    ways = (dict(zip(live, names, strict=True)) for names in permutations(range(len(live))))
    return min(repr(expand(code, names, linear_pooling)) for names in ways)


def partition(labels: list) -> list[int]:
    """For each element the place of the first that equals it."""
    first: dict[object, int] = {}
    return [first.setdefault(label, place) for place, label in enumerate(labels)]


def test_networks_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    strangers = SPACE.sample(150, rng)
    relatives = SPACE.enumerate()[np.isin(SPACE.network_ids(SPACE.enumerate()), SPACE.network_ids(strangers[:60]))]
    codes = np.concatenate([strangers, rng.permutation(relatives)[:150]])
    merged = partition(SPACE.network_ids(codes).tolist())
    assert merged == partition([by_definition(code) for code in codes])
    assert 100 < len(set(merged)) < 250


@pytest.mark.slow
def test_networks_are_those_of_the_definition_in_the_whole_space() -> None:
    codes = SPACE.enumerate()
    assert partition(SPACE.network_ids(codes).tolist()) == partition([by_definition(code) for code in codes])
    assert len({by_definition(code, linear_pooling=False) for code in codes}) == 5_260


def test_number_of_networks() -> None:
    codes = SPACE.enumerate()
    assert len(np.unique(SPACE.network_ids(codes))) == 5_044
    assert len(np.unique(SPACE.canonical(codes), axis=0)) == 5_044


def test_canonical_code_is_the_first_of_its_network() -> None:
    codes = SPACE.enumerate()
    _, first, inverse = np.unique(SPACE.network_ids(codes), return_index=True, return_inverse=True)
    np.testing.assert_array_equal(SPACE.canonical(codes), codes[first[inverse.ravel()]])


SAME = {
    "a cell that the input does not leave is zero": ("000000", "00p0p3", "33p000"),
    "an edge that only a zero reaches is removed": ("000300", "00p3ps"),
    "an edge that never reaches the output is removed": ("000300", "300300", "01p300"),
    "a node that is a copy of another is that node": ("000300", "s00030", "0s0003", "s0s003"),
    "a sum of sums is one sum": ("31s00s", "3001s0"),
    "the order of the summands does not count": ("1003s0", "3001s0"),
    "the names of nodes 1 and 2 do not count": ("300010", "030001"),
    "pooling a sum is the sum of the pooled": ("31s00p", "3100pp"),
}
DIFFERENT = {
    "how often a summand occurs does count": ("s00ss0", "000s00"),
    "one convolution used twice is not two of the same input": ("30s0ss", "3003s0"),
    "nor is one that feeds two others": ("30s013", "330013"),
    "nor is it one used once": ("30s0ss", "3000s0"),
    "the kinds of operations count": ("000300", "000100", "000p00", "000s00", "000000"),
    "the order of operations counts": ("100030", "300010"),
    "a convolution of a sum is not a sum of convolutions": ("1ss003", "100330"),
    "pooling twice is not pooling once": ("p000p0", "000p00"),
}


@pytest.mark.parametrize("cells", SAME.values(), ids=SAME)
def test_same_network(cells: tuple[str, ...]) -> None:
    assert len(set(networks(*cells))) == 1


@pytest.mark.parametrize("cells", DIFFERENT.values(), ids=DIFFERENT)
def test_different_networks(cells: tuple[str, ...]) -> None:
    assert len(set(networks(*cells))) == len(cells)


def test_number_of_strings_that_nasbench201_tells_apart() -> None:
    """The benchmark's own comparison, in which only a lone zero disappears and names of shared terms are forgotten."""

    def string(code: np.ndarray) -> str:
        nodes = ["0"]
        for node in (1, 2, 3):
            terms = []
            for value, (source, target) in zip(code, EDGES, strict=True):
                operation = OPERATIONS[value]
                if target == node:
                    zero = operation == "none" or nodes[source] == "#"
                    kept = nodes[source] if operation == "skip_connect" else f"({nodes[source]})@{operation}"
                    terms.append("#" if zero else kept)
            nodes.append("+".join(sorted(terms)))
        return nodes[3]

    assert len({string(code) for code in SPACE.enumerate()}) == 6_466


# -- notation --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_notation_round_trip(values: list[int]) -> None:
    code = np.array(values, np.int8)
    np.testing.assert_array_equal(SPACE.parse(f" {SPACE.format(code)}\n"), code)


WORDS = st.sampled_from([*OPERATIONS, *"|~+0123 ", "|+|", "~0", "~1", "nor_conv_7x7"])


@given(st.text(max_size=60) | st.lists(WORDS, max_size=30).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        code = SPACE.parse(text)
    except FrugalnasError:
        return
    assert SPACE.format(code) == text.strip()


@given(st.integers(0, 15_624), st.data())
def test_damaged_cells_are_refused_unless_they_are_cells(row: int, data: st.DataObject) -> None:
    text = SPACE.format(SPACE.enumerate()[row])
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 12, len(text))))
    damaged = text[:start] + data.draw(st.text(max_size=3) | WORDS) + text[stop:]
    try:
        code = SPACE.parse(damaged)
    except FrugalnasError:
        return
    assert SPACE.format(code) == damaged.strip()


def test_refusal_points_at_the_place() -> None:
    text = SPACE.format(cell("313131")).replace("nor_conv_3x3~1", "nor_conv_5x5~1")
    with pytest.raises(FrugalnasError, match="nor_conv_5x5") as caught:
        SPACE.parse(text)
    shown, marker = str(caught.value).split("\n")[1:]
    assert shown[marker.index("^") :].startswith("nor_conv_5x5")


# -- encodings and costs ---------------------------------------------------------------------------------------------


@pytest.mark.typical("integer-*", "onehot-*", "live-*", "path-*")
@pytest.mark.parametrize(
    ("encoding", "width", "distinct"),
    [
        ("onehot", 30, 15_625),
        ("integer", 6, 15_625),
        ("path", 85, 8_045),
        ("position-path", 96, 9_445),
        ("adjacency", 58, 15_125),
        ("live", 30, 9_445),
        ("function", 44, 4_936),
    ],
)
def test_encodings(encoding: str, width: int, distinct: int) -> None:
    features = SPACE.encode(SPACE.enumerate(), encoding)
    assert features.shape == (15_625, width)
    assert len(np.unique(features, axis=0)) == distinct


def test_function_encoding_is_of_the_network_as_far_as_sequences_go() -> None:
    sequences = SPACE.encode(SPACE.enumerate(), "function")[:, :40]
    order = np.argsort(SPACE.network_ids(SPACE.enumerate()), kind="stable")
    same = np.diff(SPACE.network_ids(SPACE.enumerate())[order]) == 0
    assert (sequences[order][1:][same] == sequences[order][:-1][same]).all()


def test_path_encoding_places_sequences_as_bananas_does() -> None:
    skip, one, three, pool = range(4)
    cells = {
        "000000": [],
        "000s00": [1 + skip],
        "0003p0": [1 + three],
        "3s01p3": [1 + one, 1 + three + 4 * (1 + pool), 1 + skip + 4 * (1 + three)],
        "s01000": [],
        "s0100p": [1 + skip + 4 * (1 + one) + 16 * (1 + pool)],
    }
    for letters, columns in cells.items():
        assert np.flatnonzero(SPACE.encode(cell(letters)[None], "path")[0]).tolist() == sorted(columns), letters


def test_graph_has_a_path_for_each_live_way_through_the_cell() -> None:
    codes = SPACE.enumerate()
    adjacency = SPACE.graphs(codes).adjacency.astype(np.int64)
    ways, power = np.zeros(len(codes), np.int64), adjacency
    for _ in range(7):
        ways, power = ways + power[:, 0, -1], power @ adjacency
    present = (codes != 0).astype(np.int64)
    routes = ((3,), (0, 4), (1, 5), (0, 2, 5))
    np.testing.assert_array_equal(ways, sum(present[:, route].prod(axis=1) for route in routes))


def test_table_agrees_on_parameters_and_notation(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_data / "nasbench201.parquet", columns=["arch_str", "params_M_cifar10"])
    texts = table.column("arch_str").to_pylist()
    codes = np.stack([SPACE.parse(text) for text in texts])
    assert len(np.unique(SPACE.keys(codes))) == 15_625
    assert [SPACE.format(code) for code in codes] == texts
    millions = table.column("params_M_cifar10").to_numpy()
    np.testing.assert_allclose(SPACE.count("params", codes), millions * 1e6, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "millions"),
    [
        ("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|", 15.64737),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|", 113.95137),
        ("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|", 11.71521),
    ],
)
def test_macs_are_those_of_nats_bench_but_for_the_bias_of_ten_classes(text: str, millions: float) -> None:
    assert SPACE.count("macs", SPACE.parse(text)[None])[0] == pytest.approx(millions * 1e6 - 10, abs=0.5)
