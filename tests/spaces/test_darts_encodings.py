"""DARTS cells by their paths and graphs, against the definitions, and what each encoding tells apart."""

from __future__ import annotations

import numpy as np
import pytest

from frugalnas.spaces import DARTS, known
from frugalnas.spaces.collisions import resolutions
from frugalnas.spaces.darts_encodings import MOST_PATHS, PATHS
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.spaces.genotype import PRIMITIVES
from frugalnas.spaces.hashing import row_hashes

SPACE = DARTS(duplicates=False, none=True)
WIDTH = 2 + 4 * 8


def sample(space: DARTS, n: int = 200, seed: int = 0) -> np.ndarray:
    return space.sample(n, np.random.default_rng(seed))


def paths_of(edges) -> list[list[tuple[int, str]]]:
    """All paths of a cell, walked backwards from every node: [(input, ""), (node, operation by which it is entered), ...]."""

    def into(state):
        if state < 2:
            return [[(state, "")]]
        entered = [edges[2 * (state - 2)], edges[2 * (state - 2) + 1]]
        return [[*path, (state, word)] for word, source in entered if word != "none" for path in into(source)]

    return [path for node in range(2, 6) for path in into(node)]


def test_the_sizes_of_the_papers():
    codes = sample(SPACE, 3)
    widths = {name: SPACE.encode(codes, name).shape[1] for name in ("path", "position-path", "adjacency")}
    assert widths == {"path": 4 * (1 + 8 + 64 + 512 + 4096), "position-path": 2 * 612, "adjacency": 338}
    assert (len(PATHS), MOST_PATHS * WIDTH) == (30, 612)


@pytest.mark.parametrize("space", [SPACE, DARTS()])
def test_paths_against_the_definition(space):
    codes = sample(space, 60)
    paths = space.encode(codes, "path").astype(bool)
    positions = space.encode(codes, "position-path").reshape(len(codes), 2, MOST_PATHS, WIDTH)
    for row, code in enumerate(codes):
        genotype = space.genotype(code)
        for cell, edges in enumerate((genotype.normal, genotype.reduce)):
            found = paths_of(edges)
            columns = {
                (2 * cell + path[0][0]) * 4681
                + sum(8**place * (PRIMITIVES.index(word) + 1) for place, (_, word) in enumerate(path[1:]))
                for path in found
            }
            assert set(np.flatnonzero(paths[row, cell * 9362 : (cell + 1) * 9362]) + cell * 9362) == columns
            by_states = {}
            for path in found:
                vector = by_states.setdefault(tuple(state for state, _ in path), np.zeros(WIDTH))
                vector[path[0][0]] = 1
                for state, word in path[1:]:
                    vector[2 + 8 * (state - 2) + PRIMITIVES.index(word)] = 1
            ordered = [by_states[states] for states in sorted(by_states, key=lambda states: (len(states), states))]
            assert len(ordered) <= MOST_PATHS
            np.testing.assert_array_equal(positions[row, cell, : len(ordered)], ordered)
            assert not positions[row, cell, len(ordered) :].any()


@pytest.mark.slow
def test_the_order_of_a_nodes_inputs_leaves_no_trace_and_paths_know_no_node_order():
    space = DARTS()
    codes = sample(space)
    swapped = codes.reshape(-1, 8, 2)[:, :, ::-1].reshape(codes.shape)
    for name in ("path", "position-path"):
        np.testing.assert_array_equal(space.encode(codes, name), space.encode(swapped, name))
    np.testing.assert_array_equal(space.encode(codes, "path"), space.encode(space.canonical(codes), "path"))


def test_a_change_of_the_reduction_cell_is_seen_by_every_encoding():
    space = DARTS()
    codes = sample(space, 100)
    changed = codes.copy()
    changed[:, 8:] = sample(space, 100, seed=1)[:, 8:]
    differ = space.network_ids(codes) != space.network_ids(changed)
    assert differ.all()
    for name in ("path", "position-path", "adjacency"):
        assert (space.encode(codes, name) != space.encode(changed, name)).any(axis=1).all()
    graphs, others = space.graphs(codes), space.graphs(changed)
    assert (
        (graphs.operations != others.operations).any(axis=1) | (graphs.adjacency != others.adjacency).any(axis=(1, 2))
    ).all()


def test_mutants_are_near_and_strangers_far():
    space = DARTS()
    codes = sample(space, 500)
    bits = packed(space.encode(codes, "position-path"))
    mutants = packed(space.encode(space.mutate(codes, np.random.default_rng(1)), "position-path"))
    assert bits.shape == (500, 20)  # 1,224 bits
    near, far = edit_distances(bits, mutants), edit_distances(bits, bits[::-1])
    assert near.mean() < 0.4 * far.mean()


def test_what_each_encoding_tells_apart():
    space = DARTS()
    codes = sample(space, 300)
    codes = np.concatenate([codes, np.roll(codes.reshape(-1, 8, 2), 1, axis=2).reshape(codes.shape)])
    found = {each.encoding: each for each in resolutions(space, codes)}
    assert found["path"].distinct == found["position-path"].distinct == found["edges"].distinct == 300
    assert found["path"].split == found["position-path"].split == 0
    assert found["adjacency"].distinct == 600


def test_the_found_cells_of_ssnenas_have_none_in_them():
    found = known("SSNENAS")
    space = DARTS(**found.options)
    code = space.parse("SSNENAS")[None]
    assert space.encode(code, "path")[0, 9362:].sum() < space.encode(code, "path")[0, :9362].sum()


def test_booleans_have_the_hashes_of_ones_and_zeros():
    features = np.random.default_rng(0).random((300, 130)) < 0.1
    features[7] = False
    np.testing.assert_array_equal(row_hashes(features), row_hashes(features.astype(np.float32)))
    assert len(row_hashes(features[:0])) == 0
