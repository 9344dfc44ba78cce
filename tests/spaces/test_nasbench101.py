"""NAS-Bench-101 against the benchmark's own cells, hashes and parameter counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes, NASBench101
from frugalnas.spaces.cells101 import (
    EDGES,
    SOURCE,
    TARGET,
    all_cells,
    codes_of,
    graph_hashes,
    labelled_cells,
    network_keys,
)
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.spaces.encodings101 import PATHS
from frugalnas.testing import SpaceConformance

SPACE = NASBench101()
RANDOM_BITS = NASBench101(sampler="random-bits")
CONV3X3, CONV1X1, POOL = range(3)
OUTPUT = 6


@pytest.mark.slow
class TestNASBench101(SpaceConformance):
    draws = 100

    def make(self) -> NASBench101:
        return NASBench101()


@pytest.mark.slow
class TestRandomBits(SpaceConformance):
    """Codes as they come: dead parts and all."""

    def make(self) -> NASBench101:
        return NASBench101(sampler="random-bits")

    def test_sampling_is_uniform(self) -> None:
        """Over valid codes, not over networks."""
        drawn = self.make().sample(20_000, np.random.default_rng(0))
        bits = np.random.default_rng(1).integers(2, size=(400_000, EDGES))
        operations = np.random.default_rng(2).integers(3, size=(400_000, 5))
        codes = np.concatenate([bits, operations], axis=1).astype(np.int8)
        valid = codes[SPACE.valid(codes)]
        np.testing.assert_allclose(drawn.mean(axis=0), valid.mean(axis=0), atol=0.03)


@pytest.fixture(scope="module")
def benchmark(shared_data: Path) -> dict[str, np.ndarray]:
    """Codes, hashes and parameters of every row of the real table."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(
        shared_data / "nasbench101.parquet", columns=["hash", "num_vertices", "adj_bits", "ops", "params"]
    )
    vertices = table["num_vertices"].to_numpy()
    bits = table["adj_bits"].to_numpy()
    operations = np.array(table["ops"].to_pylist())
    codes = np.zeros((len(vertices), 26), np.int8)
    for count in np.unique(vertices):
        rows = np.flatnonzero(vertices == count)
        adjacency = np.zeros((len(rows), count, count), np.bool_)
        for target in range(count):
            for source in range(target):
                adjacency[:, source, target] = bits[rows] >> (source + target * (target - 1) // 2) & 1
        digits = np.frombuffer("".join(operations[rows]).encode(), np.int8) - np.int8(ord("0"))
        codes[rows] = codes_of(adjacency, digits.reshape(len(rows), count - 2))
    return {
        "codes": codes,
        "hash": np.array(table["hash"].to_pylist(), "S32"),
        "params": table["params"].to_numpy(),
    }


# -- all cells -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_labelled_graphs_are_counted_as_published() -> None:
    codes = labelled_cells()
    inner = np.array([np.any(codes[:, np.flatnonzero(vertex == TARGET)], axis=1) for vertex in range(1, OUTPUT)])
    vertices = 2 + inner.sum(axis=0)
    assert np.cumsum(np.bincount(vertices)[2:]).tolist() == [1, 7, 97, 3_364, 128_509, 1_293_208]
    assert len(np.unique(network_keys(codes))) == 423_624


@pytest.mark.slow
def test_cells_are_the_benchmarks_own(benchmark) -> None:
    codes, keys = all_cells()
    assert SPACE.size == len(codes) == len(np.unique(keys)) == 423_624
    # A row that represents itself is one of these cells, and no two rows are the same one: all of them are there.
    np.testing.assert_array_equal(SPACE.canonical(benchmark["codes"]), benchmark["codes"])
    assert len(np.unique(benchmark["codes"] @ 3.0 ** np.arange(codes.shape[1]))) == 423_624


def test_hash_is_the_benchmarks_on_three_thousand_rows(benchmark) -> None:
    rows = np.random.default_rng(0).permutation(423_624)[:3_000]
    for hashed in (
        graph_hashes(benchmark["codes"][rows]),
        [reference_hash(code).encode() for code in benchmark["codes"][rows[:200]]],
    ):
        assert list(hashed) == benchmark["hash"][rows[: len(hashed)]].tolist()


@pytest.mark.slow
def test_hash_is_the_benchmarks_on_every_row(benchmark) -> None:
    np.testing.assert_array_equal(graph_hashes(benchmark["codes"]), benchmark["hash"])


def test_parameters_are_the_benchmarks_on_every_row(benchmark) -> None:
    np.testing.assert_array_equal(SPACE.count("params", benchmark["codes"]), benchmark["params"])


# -- identity ------------------------------------------------------------------------------------------------------------


def relabelled(code: Codes, rng: np.random.Generator) -> Codes:
    """The same graph with its inner vertices in another topological order, dead edges added."""
    adjacency = np.zeros((7, 7), np.bool_)
    adjacency[SOURCE, TARGET] = code[:EDGES] > 0
    orders = [
        order
        for inner in permutations(range(1, 6))
        for order in [(0, *inner, 6)]
        if not np.tril(adjacency[np.ix_(order, order)]).any()
    ]
    order = orders[rng.integers(len(orders))]
    moved = adjacency[np.ix_(order, order)]
    operations = code[EDGES:][np.array(order[1:6]) - 1]
    return np.concatenate([moved[SOURCE, TARGET], operations]).astype(np.int8)


@pytest.mark.slow
@given(row=st.integers(0, 423_623), seed=st.integers(0, 1_000))
def test_isomorphic_cells_are_one_network(row: int, seed: int) -> None:
    code = all_cells()[0][row]
    other = relabelled(code, np.random.default_rng(seed))
    assert SPACE.valid(other[None])[0]
    assert SPACE.network_ids(other[None]) == SPACE.network_ids(code[None])
    np.testing.assert_array_equal(SPACE.canonical(other[None])[0], code)
    np.testing.assert_array_equal(
        SPACE.encode(other[None]), SPACE.encode(code[None]), "function features are invariant"
    )
    for quantity in ("params", "macs"):  # which vertex takes the channel that is left over depends on the order
        assert SPACE.count(quantity, other[None]) == pytest.approx(SPACE.count(quantity, code[None]), rel=0.02)


def test_what_is_no_cell_has_no_representative() -> None:
    codes = np.stack([SPACE.parse("output(0)"), np.zeros(26, np.int8)])
    with pytest.raises(FrugalnasError, match="row 1 is no NAS-Bench-101 cell"):
        SPACE.canonical(codes)
    halves = '{"module_adjacency": [[0, 1.5], [0, 0]], "module_operations": ["input", "output"]}'
    with pytest.raises(FrugalnasError, match="edges are 0 or 1"):
        SPACE.parse(halves)


def test_random_codes_are_the_network_that_their_hash_says() -> None:
    codes = RANDOM_BITS.sample(2_000, np.random.default_rng(0))
    canonical = SPACE.canonical(codes)
    for code, representative in zip(codes[:300], canonical[:300], strict=True):
        assert reference_hash(code) == reference_hash(representative)
    np.testing.assert_array_equal(SPACE.network_ids(canonical), SPACE.network_ids(codes))
    assert (canonical != codes).any(axis=1).mean() > 0.5


def reference_hash(code: Codes) -> str:
    """The benchmark's hash, written down once more from its description."""
    from hashlib import md5

    adjacency = np.zeros((7, 7), int)
    adjacency[SOURCE, TARGET] = code[:EDGES]
    power, reach = np.eye(7, dtype=int), np.eye(7, dtype=int)
    for _ in range(6):
        power = (power @ adjacency > 0).astype(int)
        reach |= power
    live = np.flatnonzero(reach[0] & reach[:, 6])
    adjacency = adjacency[np.ix_(live, live)]
    labels = np.array([-1, *code[EDGES:], -2])[live].tolist()
    hashes = [
        md5(str((int(adjacency[v].sum()), int(adjacency[:, v].sum()), labels[v])).encode()).hexdigest()
        for v in range(len(live))
    ]
    for _ in range(len(live)):
        hashes = [
            md5(
                "|".join(
                    [
                        "".join(sorted(hashes[u] for u in np.flatnonzero(adjacency[:, v]))),
                        "".join(sorted(hashes[u] for u in np.flatnonzero(adjacency[v]))),
                        hashes[v],
                    ]
                ).encode()
            ).hexdigest()
            for v in range(len(live))
        ]
    return md5(str(sorted(hashes)).encode()).hexdigest()


# -- samplers ------------------------------------------------------------------------------------------------------------


def test_the_two_samplers_differ_as_their_names_say() -> None:
    rng = np.random.default_rng(0)
    uniform, bits = SPACE.sample(5_000, rng), RANDOM_BITS.sample(5_000, rng)
    seven = [(NASBench101().graphs(codes).operations[:, 1:6] != 5).all(axis=1).mean() for codes in (uniform, bits)]
    assert seven[0] == pytest.approx(0.849, abs=0.03)  # 359,082 of 423,624 cells have seven vertices
    assert abs(seven[0] - seven[1]) > 0.1
    with pytest.raises(FrugalnasError, match="choose one of: uniform, random-bits"):
        NASBench101(sampler="sobol")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_restricted_space_lists_networks_that_have_any_code_in_it() -> None:
    no_conv3x3 = SPACE.allowed.copy()
    no_conv3x3[EDGES:, CONV3X3] = False
    smaller = SPACE.restrict(no_conv3x3)
    whole = SPACE.enumerate()
    live = SPACE.graphs(whole).operations[:, 1:6]
    expected = whole[(live != CONV3X3).all(axis=1)]
    np.testing.assert_array_equal(
        np.sort(smaller.network_ids(smaller.enumerate())), np.sort(SPACE.network_ids(expected))
    )
    with_skip = SPACE.allowed.copy()
    with_skip[15, 0] = False  # the edge from input to output is always there
    skipping = SPACE.restrict(with_skip)
    np.testing.assert_array_equal(
        np.sort(skipping.network_ids(skipping.enumerate())), np.sort(SPACE.network_ids(whole[whole[:, 15] == 1]))
    )


# -- notation ------------------------------------------------------------------------------------------------------------


def test_notation_and_the_api_s_json_mean_the_same() -> None:
    text = "conv3x3(0)+maxpool3x3(0,1)+output(0,2)"
    cell = {
        "module_adjacency": [[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
        "module_operations": ["input", "conv3x3-bn-relu", "maxpool3x3", "output"],
    }
    np.testing.assert_array_equal(SPACE.parse(text), SPACE.parse(json.dumps(cell)))
    assert SPACE.format(SPACE.parse(text)) == text
    assert SPACE.format(SPACE.parse("output(0)")) == "output(0)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("conv3x3(0)+output(0,3)", "vertex 2 reads '3'; choose earlier ones: 0, 1"),
        ("conv5x5(0)+output(1)", "'conv5x5'; choose conv3x3, conv1x1, maxpool3x3"),
        ("conv3x3(0)+conv3x3(1)", "choose output"),
        ("conv3x3(0)+output()", "no path leads from input to output"),
        ("conv3x3(0)+conv3x3(0,1)+conv3x3(0,1,2)+conv3x3(0,1,2,3)+output(4)", "11 edges; 9 are the most"),
        ('{"module_adjacency": [[0, 1], [1, 0]], "module_operations": ["input", "output"]}', "later vertex"),
        ('{"module_adjacency": [[0, 1], [0, 0]]}', "module_operations"),
    ],
)
def test_refusals_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(FrugalnasError) as refusal:
        SPACE.parse(text)
    assert says in str(refusal.value)


# -- encodings -----------------------------------------------------------------------------------------------------------


@pytest.mark.typical("adjacency-*")
@pytest.mark.parametrize(
    ("encoding", "width", "distinct"),
    [
        ("adjacency", 41, 423_624),
        ("path", 364, 170_820),
        ("position-path", 120, 423_624),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("sequence", 27, 423_624),
                ("sequence-onehot", 45, 423_624),
                ("lanas", 49, 423_624),
                ("lanas-filled", 42, 423_624),
                ("lanas-onehot", 139, 423_624),
                ("lanas-onehot-filled", 112, 423_624),
            )
        ),
    ],
)
def test_encodings_have_the_published_sizes(encoding: str, width: int, distinct: int) -> None:
    features = SPACE.features(SPACE.enumerate(), encoding).astype(np.int8)
    assert features.shape == (423_624, width)
    rows = np.ascontiguousarray(features).view(np.dtype((np.void, width))).ravel()
    assert len(np.unique(rows)) == distinct


def test_edit_distances_of_random_pairs_are_as_published() -> None:
    words = packed(SPACE.encode(SPACE.enumerate()[::4], "position-path"))
    first, second = np.random.default_rng(0).integers(len(words), size=(2, 100_000))
    distances = edit_distances(words[first], words[second])
    assert np.quantile(distances, [0.01, 0.1, 0.5, 0.9, 0.99]).tolist() == [8, 12, 18, 25, 31]
    assert distances.mean() == pytest.approx(18.5, abs=0.1)


CELL = "conv1x1(0)+conv3x3(0)+maxpool3x3(1,2)+output(0,3)"


def test_path_encodings_against_the_definition() -> None:
    code = SPACE.parse(CELL)[None]
    # Paths: (), 1x1-pool, 3x3-pool; a sequence stands at sum of 3^i (o_i + 1).
    expected = {0, (CONV1X1 + 1) + 3 * (POOL + 1), (CONV3X3 + 1) + 3 * (POOL + 1)}
    assert set(np.flatnonzero(SPACE.encode(code, "path")[0])) == expected
    positions = SPACE.encode(code, "position-path")[0].reshape(8, 5, 3)
    assert not positions[0].any()
    assert np.argwhere(positions[1]).tolist() == [[0, CONV1X1], [2, POOL]]
    assert np.argwhere(positions[2]).tolist() == [[1, CONV3X3], [2, POOL]]
    assert not positions[3:].any()
    assert len(PATHS) == 32


def test_sequence_and_matrix_encodings_against_the_definition() -> None:
    code = SPACE.parse(CELL)[None]
    tokens = SPACE.encode(code, "sequence")[0].astype(int).tolist()
    assert tokens == [2, 3, 2, 1, 4, 1, 2, 2, 5, 2, 1, 1, 2, 6] + [0] * 13
    onehot = SPACE.encode(code, "sequence-onehot")[0]
    assert onehot[:5].tolist() == [1, 1, 0, 0, 0]  # the edge 0 -> 1, then the word 1x1
    lanas = SPACE.encode(code, "lanas")[0]
    assert lanas[:7].tolist() == [0, 1, 1, 0, 1, 0, 0]
    assert lanas[42:].tolist() == [0, 1, 2, 3, 4, 0, 0]
    assert SPACE.encode(code, "lanas-end")[0].tolist() == [
        *[0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1],
        *[0, 1, 2, 3, 4],
        *[0] * 24,
    ]
    assert SPACE.encode(code, "lanas-filled")[0][:7].tolist() == [0, 1, 2, 0, 4, 0, 0]
    minus = SPACE.encode(code, "lanas-minus")[0]
    assert minus[:7].tolist() == [0, 1, 1, 0, 1, -1, -1]
    assert minus[42:].tolist() == [0, 1, 2, 3, 4, -1, -1]
    own = SPACE.encode(code, "lanas-onehot")[0]
    assert not own[: 4 + 9 + 16].any()
    assert own[29:54].tolist() == SPACE.encode(code, "lanas-end")[0][:25].tolist()
    assert not own[54:].any()


def test_dead_parts_leave_no_trace_in_the_papers_encodings() -> None:
    code = SPACE.parse("conv3x3(0)+output(0,1)")
    noisy = code.copy()
    noisy[5], noisy[EDGES + 2], noisy[EDGES + 3] = 1, POOL, CONV1X1  # an edge between vertices that nothing reads
    noisy[2 + 4 * 3 // 2] = 1
    assert SPACE.valid(noisy[None])[0]
    for encoding in SPACE.encodings:
        if encoding not in ("onehot", "integer"):
            np.testing.assert_array_equal(SPACE.encode(noisy[None], encoding), SPACE.encode(code[None], encoding))


def test_graphs_show_live_edges_only() -> None:
    graphs = SPACE.graphs(SPACE.parse(CELL)[None])
    names = [graphs.names[operation] for operation in graphs.operations[0]]
    assert names == ["input", "conv 1x1", "conv 3x3", "max pool", "isolated", "isolated", "output"]
    assert np.argwhere(graphs.adjacency[0]).tolist() == [[0, 1], [0, 2], [0, 6], [1, 3], [2, 3], [3, 6]]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda adjacency: adjacency.fill(False), "no path"),
        (lambda adjacency: adjacency.__setitem__((0, 3, 1), True), "later vertex"),
    ],
)
def test_graphs_that_are_no_cells_are_refused(damage: Callable[[np.ndarray], None], says: str) -> None:
    adjacency = np.triu(np.ones((1, 4, 4), np.bool_), 1)
    damage(adjacency)
    with pytest.raises(FrugalnasError, match=says):
        codes_of(adjacency, np.zeros((1, 2), np.int8))
