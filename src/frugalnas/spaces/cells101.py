"""Cells of NAS-Bench-101 as graphs: what is live in them, which are the same, and all there are."""

from __future__ import annotations

from functools import cache
from hashlib import md5
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from frugalnas.cache import cached_array
from frugalnas.errors import FrugalnasError
from frugalnas.spaces.arrays import BoolArray, Codes, IntArray
from frugalnas.spaces.hashing import Words, mixed

VERTICES = 7
INNER = VERTICES - 2
MAX_EDGES = 9
TARGET = np.array([target for target in range(VERTICES) for _ in range(target)])
SOURCE = np.array([source for target in range(VERTICES) for source in range(target)])
"""Edge x -> y stands at gene x + y (y - 1) / 2, as in the benchmark's own enumeration."""
EDGES = len(SOURCE)
OUTPUT = VERTICES - 1
_GENE = {(int(source), int(target)): gene for gene, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True))}
CHUNK = 4096
"""Rows hashed at a time: their words fit into a processor's cache, which makes hashing several times faster."""
HASHED_DIRECTLY = 20_000
"""So many cells are hashed in a second or two."""


def live_parts(codes: Codes) -> tuple[BoolArray, BoolArray]:
    """Which edges and vertices lie on a path from input to output, shapes [n, 21] and [n, 7]."""
    edges = np.asarray(codes)[:, :EDGES] > 0
    reached = np.zeros((len(edges), VERTICES), np.bool_)
    reaches = np.zeros((len(edges), VERTICES), np.bool_)
    reached[:, 0], reaches[:, OUTPUT] = True, True
    for gene in range(EDGES):  # by rising target: a source's own edges come before those that leave it
        reached[:, TARGET[gene]] |= edges[:, gene] & reached[:, SOURCE[gene]]
    for gene in sorted(range(EDGES), key=lambda gene: -SOURCE[gene]):
        reaches[:, SOURCE[gene]] |= edges[:, gene] & reaches[:, TARGET[gene]]
    vertices = reached & reaches
    return edges & vertices[:, SOURCE] & vertices[:, TARGET], vertices


def pruned(codes: Codes) -> Codes:
    """The codes without dead edges, dead vertices with operation 0, shape [n, 26]."""
    edges, vertices = live_parts(codes)
    return np.concatenate([edges, np.asarray(codes)[:, EDGES:] * vertices[:, 1:OUTPUT]], axis=1).astype(np.int8)


def network_keys(codes: Codes) -> Words:
    """A 64-bit number that two cells share exactly when their live graphs are isomorphic, shape [n].

    Colour refinement in two sweeps: forwards, a vertex is coloured by its operation and the colours of its inputs;
    backwards by that and the colours of its users. This tells all 423,624 cells apart, as the benchmark's hash does,
    which refines seven times.
    """
    codes = np.asarray(codes)
    parts = [_keys_of_chunk(codes[start : start + CHUNK]) for start in range(0, len(codes), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _keys_of_chunk(codes: Codes) -> Words:
    edges, vertices = live_parts(codes)
    masks = np.where(edges.T, ~np.uint64(0), np.uint64(0))
    colours = np.empty((VERTICES, len(codes)), np.uint64)
    colours[0], colours[OUTPUT] = _SALT[3], _SALT[4]
    colours[1:OUTPUT] = _SALT[:3][codes[:, EDGES:].T]
    with np.errstate(over="ignore"):
        for salt in _SALT[5:7]:
            for target in range(VERTICES):
                heard = colours[target].copy()
                for source in range(target):
                    heard += colours[source] & masks[_GENE[source, target]]
                colours[target] = mixed(heard, salt)
            for source in range(VERTICES - 1, -1, -1):
                heard = colours[source].copy()
                for target in range(source + 1, VERTICES):
                    heard += colours[target] & masks[_GENE[source, target]]
                colours[source] = mixed(heard, salt + np.uint64(1))
        return np.where(vertices.T, colours, np.uint64(0)).sum(axis=0, dtype=np.uint64)


_SALT = np.random.default_rng(101).integers(2**64, size=8, dtype=np.uint64) | np.uint64(1)


# -- all cells ---------------------------------------------------------------------------------------------------------


@cache
def all_cells() -> tuple[Codes, Words]:
    """The 423,624 cells and their network keys, shapes [423624, 26] and [423624], read-only.

    Made from nothing, as the benchmark's authors did it: every labelled graph in which all vertices are live, by number
    of vertices, adjacency bits and operations; the first of isomorphic ones represents them. That makes these codes the
    benchmark's own cells. Kept in the cache.
    """
    codes: Codes = cached_array("nasbench101-cells-1", lambda: _distinct(labelled_cells()))  # type: ignore[assignment]
    keys: Words = cached_array("nasbench101-keys-1", lambda: network_keys(codes))  # type: ignore[assignment]
    return codes, keys


def _distinct(codes: Codes) -> Codes:
    """The first code of each network, in the order given."""
    _, first = np.unique(network_keys(codes), return_index=True)
    return codes[np.sort(first)]


def labelled_cells(*, everywhere: bool = False) -> Codes:
    """All 1,293,208 labelled graphs in which every vertex is live, as pruned codes in the benchmark's order.

    Args:
        everywhere: put smaller graphs on every choice of inner vertices, not only on the first ones.
    """
    parts = []
    for vertices in range(2, VERTICES + 1):
        shapes = _full_graphs(vertices)
        operations = np.array(list(product(range(3), repeat=vertices - 2)), np.int8).reshape(
            3 ** (vertices - 2), vertices - 2
        )
        first = tuple(range(1, vertices - 1))
        for places in combinations(range(1, OUTPUT), vertices - 2) if everywhere else [first]:
            at = (0, *places, OUTPUT)
            codes = np.zeros((len(shapes), len(operations), EDGES + INNER), np.int8)
            for gene in range(vertices * (vertices - 1) // 2):
                moved = _GENE[at[SOURCE[gene]], at[TARGET[gene]]]
                codes[:, :, moved] = (shapes[:, None] >> gene) & 1
            codes[:, :, [EDGES + place - 1 for place in places]] = operations
            parts.append(codes.reshape(-1, EDGES + INNER))
    return np.concatenate(parts)


def _full_graphs(vertices: int) -> IntArray:
    """Adjacency bits of all graphs of at most nine edges in which every vertex has the inputs and users it needs."""
    genes = vertices * (vertices - 1) // 2
    bits = np.arange(2**genes, dtype=np.int64)
    count = sum((bits >> gene) & 1 for gene in range(genes))
    bits = bits[count <= MAX_EDGES]
    edges = [(bits >> gene) & 1 == 1 for gene in range(genes)]
    full = np.ones(len(bits), np.bool_)
    for vertex in range(vertices):
        if vertex > 0:
            full &= np.logical_or.reduce([edges[g] for g in range(genes) if TARGET[g] == vertex])
        if vertex < vertices - 1:
            full &= np.logical_or.reduce([edges[g] for g in range(genes) if SOURCE[g] == vertex])
    return bits[full]


def codes_of(adjacency: BoolArray, operations: IntArray) -> Codes:
    """The codes of cells given as graphs with equally many vertices, shape [n, 26].

    Vertices keep their numbers; those that a smaller graph lacks come before the output, unconnected.

    Args:
        adjacency: True where an edge runs from row vertex to column vertex, shape [n, V, V] with 2 <= V <= 7.
        operations: of the inner vertices, 0 conv3x3, 1 conv1x1, 2 maxpool3x3, shape [n, V - 2].

    Raises:
        FrugalnasError: for cells that the benchmark does not allow, with the first one's place.
    """
    adjacency, operations = np.asarray(adjacency, np.bool_), np.asarray(operations)
    n, vertices = adjacency.shape[:2]
    if not 2 <= vertices <= VERTICES or adjacency.shape != (n, vertices, vertices):
        raise FrugalnasError(f"cells have shape [n, V, V] with V from 2 to 7, not {list(adjacency.shape)}")
    if operations.shape != (n, vertices - 2) or not np.isin(operations, (0, 1, 2)).all():
        raise FrugalnasError(f"{n} cells of {vertices} vertices have operations 0 to 2 of shape [{n}, {vertices - 2}]")
    codes = np.zeros((n, EDGES + INNER), np.int8)
    at = (*range(vertices - 1), OUTPUT)
    for target in range(vertices):
        for source in range(target):
            codes[:, _GENE[at[source], at[target]]] = adjacency[:, source, target]
    codes[:, EDGES : EDGES + vertices - 2] = operations
    edges, _ = live_parts(codes)
    rules = {
        "has an edge that does not lead to a later vertex": np.tril(adjacency).any(axis=(1, 2)),
        "has no path from input to output": ~edges.any(axis=1),
        f"has more than {MAX_EDGES} edges on paths from input to output": edges.sum(axis=1) > MAX_EDGES,
    }
    for what, broken in rules.items():
        if broken.any():
            raise FrugalnasError(f"cell {int(np.argmax(broken)) + 1} of {n} {what}")
    return codes


# -- the benchmark's hash ----------------------------------------------------------------------------------------------


def graph_hashes(codes: Codes) -> NDArray[np.bytes_]:
    """The benchmark's own hash of each cell, 32 hexadecimal digits, shape [n].

    MD5 of the sorted vertex hashes of the live graph after as many rounds of refinement as it has vertices (Ying et
    al., ICML 2019). Half a minute for all cells, which is why those are kept in the cache and looked up.
    """
    if len(codes) <= HASHED_DIRECTLY:
        return _hash_cells(np.asarray(codes))
    known: NDArray[np.bytes_] = cached_array("nasbench101-hashes-1", lambda: _hash_cells(all_cells()[0]))  # type: ignore[assignment]
    return known[place_of(network_keys(codes))]


def place_of(keys: Words) -> IntArray:
    """The place among all cells of each network key, shape [n].

    Raises:
        FrugalnasError: where one is not of a cell that the benchmark allows.
    """
    order, ranked = _sorted_keys()
    places = np.minimum(np.searchsorted(ranked, keys), len(ranked) - 1)
    if not np.array_equal(ranked[places], keys):
        row = int(np.argmax(ranked[places] != keys))
        raise FrugalnasError(
            f"row {row} is no NAS-Bench-101 cell: a path leads from input to output, over at most 9 edges"
        )
    return order[places]


def representatives(codes: Codes) -> Codes:
    """The benchmark's own cell for each row's network, shape [n, 26]."""
    return all_cells()[0][place_of(network_keys(codes))]


@cache
def _sorted_keys() -> tuple[IntArray, Words]:
    keys = all_cells()[1]
    order = np.argsort(keys)
    return order, keys[order]


def _hash_cells(codes: Codes) -> NDArray[np.bytes_]:
    edges, vertices = live_parts(codes)
    return np.array(
        [
            _graph_hash(joined, alive, operations)
            for joined, alive, operations in zip(
                edges.tolist(), vertices.tolist(), codes[:, EDGES:].tolist(), strict=True
            )
        ],
        "S32",
    )


_PAIRS = list(zip(SOURCE.tolist(), TARGET.tolist(), strict=True))


def _graph_hash(joined: list[bool], alive: list[bool], operations: list[int]) -> str:
    inputs: list[list[int]] = [[] for _ in range(VERTICES)]
    users: list[list[int]] = [[] for _ in range(VERTICES)]
    for (source, target), there in zip(_PAIRS, joined, strict=True):
        if there:
            inputs[target].append(source)
            users[source].append(target)
    labels = [-1, *operations, -2]
    live = [vertex for vertex in range(VERTICES) if alive[vertex]]
    hashes = [""] * VERTICES
    for vertex in live:
        hashes[vertex] = _first_hash(len(users[vertex]), len(inputs[vertex]), labels[vertex])
    for _ in live:
        hashes = [
            md5(
                (
                    "".join(sorted([hashes[u] for u in inputs[vertex]]))
                    + "|"
                    + "".join(sorted([hashes[u] for u in users[vertex]]))
                    + "|"
                    + hashes[vertex]
                ).encode()
            ).hexdigest()
            if alive[vertex]
            else ""
            for vertex in range(VERTICES)
        ]
    return md5(str(sorted([hashes[vertex] for vertex in live])).encode()).hexdigest()


@cache
def _first_hash(out_degree: int, in_degree: int, label: int) -> str:
    return md5(str((out_degree, in_degree, label)).encode()).hexdigest()
