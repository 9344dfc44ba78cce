"""NAS-Bench-201: a cell of four nodes and six edges, five operations an edge (Dong and Yang, ICLR 2020)."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.registry import MEASUREMENTS
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, Graphs
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.hashing import mixed
from frugalnas.spaces.known import known_text
from frugalnas.spaces.paths import path_positions, path_sequences
from frugalnas.spaces.sizes import benchmark_network, checked_sizes, with_latency

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE, SKIP, CONV1X1, CONV3X3, POOL = range(5)

SOURCE = (0, 0, 1, 0, 1, 2)
TARGET = (1, 2, 2, 3, 3, 3)
PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""The edges of each of the four paths from the cell's input (node 0) to its output (node 3)."""


class NASBench201(SearchSpace):
    """Cells of four nodes and six edges with one of five operations each: 15,625 codes that build 5,044 networks.

    Genes are the operations on edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, in this order. Values: 0 none, 1 skip_connect,
    2 nor_conv_1x1, 3 nor_conv_3x3, 4 avg_pool_3x3. All codes are valid.

    **Same network.** Two cells are the same network when their convolutions can be matched one to one, so that for every
    setting of the matched weights both cells compute the same function, in exact arithmetic. A convolution (ReLU, conv,
    batch norm) counts as an arbitrary function that maps zero to zero, average pooling as a linear one. So

    - `none`, every edge that only a zero reaches, and every edge that never reaches the output are removed;
    - `skip_connect` passes its input on: a node that is only a copy of another is that node, and a sum of sums is one sum;
    - the order of the summands does not count, nor do the names of nodes 1 and 2; how often a summand occurs does;
    - one convolution whose output is used twice is not two convolutions of the same input;
    - pooling a sum is the sum of the pooled.

    That makes 5,044 networks out of 15,625 codes (5,260 without the last rule). NAS-Bench-201's own string comparison
    counts 6,466: it keeps the places of removed summands and nested sums apart, but merges shared with separate
    convolutions.

    What this leaves out: a convolution of zeros still adds its batch norm's bias, one constant per channel.

    Encodings:

    - `function` (default; 44 columns): which of the 40 sequences of at most three real operations lie on a live path from input to
      output, and how many live edges carry skip, 1x1, 3x3 and pooling. Skips leave no trace in a sequence.
    - `live` (30): one-hot operations of the six edges, dead edges shown as none.
    - `onehot` (30): one-hot operations as written. `integer` (6): the code itself.
    - `path` (85): which operation sequences, skips included, run from input to output, at the index
      sum over positions i of 4^i (operation_i + 1) with i = 0 first (BANANAS; White et al., AAAI 2021). NPENAS states 5,461
      columns, for paths of up to six operations; a path here has at most three, and the others would be zero.
    - `position-path` (96): the four paths one behind the other, those that exist, shorter ones first, each with the
      operations of its edges at their places (NPENAS and SSNENAS).
    - `adjacency` (58): the upper triangle of the graph whose vertices are the edges, and one-hot operations, edges that
      join nothing as isolated (NPENAS). Edges keep their places, which NPENAS's own program moves together.

    `count` knows "params" and "macs" of the network of these sizes, by default the benchmark's CIFAR network, of all edges
    as written, dead ones included, as the benchmark states them; one multiply-add of a convolution or linear layer is
    one MAC. Where a table is given it also knows "latency" in milliseconds.

    Args:
        width: channels of the first of three stages; they double twice.
        cells: in each stage.
        input_size: side of the square images.
        classes: of the classifier.
        latency: path of a table that `frugalnas measure-latency` wrote.
    """

    name = "nasbench201"
    encodings = ("function", "live", "onehot", "path", "position-path", "adjacency", "integer")
    skeleton = "nasbench201"

    def __init__(
        self, *, width: int = 16, cells: int = 5, input_size: int = 32, classes: int = 10, latency: str | None = None
    ) -> None:
        self.width, self.cells, self.input_size, self.classes = width, cells, input_size, classes
        self.latency, self.quantities = with_latency(self, latency, "params", "macs")
        checked_sizes(self, width=2, cells=1, input_size=3, classes=1)
        self.counted_for = benchmark_network(self, (16, 5, 32, 10), "stage")
        self.allowed: BoolArray = np.ones((6, 5), np.bool_)

    def format(self, code: Codes) -> str:
        """The cell as `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

        Example:
            >>> NASBench201().format(np.array([3, 3, 3, 1, 3, 2], np.int8))
            '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|'
        """
        edges = [f"{OPERATIONS[value]}~{source}" for value, source in zip(code, SOURCE, strict=True)]
        return "+".join(f"|{'|'.join(edges[start:stop])}|" for start, stop in ((0, 1), (1, 3), (3, 6)))

    def parse(self, text: str) -> Codes:
        """The code of a cell string, or of a known architecture's name."""
        rest, at = known_text(text, self.name).strip(), 0
        code = []
        for edge, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
            opening = "|" if edge == 0 else "" if target == TARGET[edge - 1] else "+|"
            if not rest.startswith(opening, at):
                raise _unreadable(rest, at, f"expected {opening!r} before the inputs of node {target}")
            at += len(opening)
            stop = rest.find("|", at)
            word = rest[at:] if stop < 0 else rest[at:stop]
            operation, tilde, origin = word.partition("~")
            if operation not in OPERATIONS:
                raise _unreadable(rest, at, f"unknown operation {operation!r}; choose one of {', '.join(OPERATIONS)}")
            if not tilde or origin != str(source):
                raise _unreadable(
                    rest, at + len(operation), f"edge {edge + 1} of 6 comes from node {source}: '~{source}'"
                )
            if stop < 0:
                raise _unreadable(rest, len(rest), "the cell ends early: '|' closes every edge")
            code.append(OPERATIONS.index(operation))
            at = stop + 1
        if at != len(rest):
            raise _unreadable(rest, at, "nothing may follow the third node")
        return np.array(code, np.int8)

    def gene_name(self, gene: int) -> str:
        """An edge, as the node that it leads to and the one that it comes from: `1<-0`."""
        return f"{TARGET[gene]}<-{SOURCE[gene]}"

    def value_name(self, gene: int, value: int) -> str:
        """The operation."""
        return OPERATIONS[value]

    # -- identity ------------------------------------------------------------------------------------------------

    @cached_property
    def distinct(self) -> int:
        """How many networks can be told apart."""
        return len(np.unique(_first_of_network() if not self.limits else self.network_ids(self.enumerate())))

    def canonical(self, codes: Codes) -> Codes:
        """The first code, in lexicographic order, of each row's network."""
        return _unrank(_first_of_network()[self.keys(codes)])

    def network_ids(self, codes: Codes) -> NDArray[np.uint64]:
        """A number that two codes share exactly when they build the same network, shape [n]."""
        return _first_of_network()[self.keys(codes)].astype(np.uint64)

    # -- encodings, graphs, counts -------------------------------------------------------------------------------

    def features(self, codes: Codes, encoding: str) -> NDArray[np.generic]:
        """The columns of one encoding; see the class for what they mean."""
        if encoding == "function":
            live = np.where(live_edges(codes), codes, NONE)
            counts = [(live == operation).sum(axis=1) for operation in (SKIP, CONV1X1, CONV3X3, POOL)]
            return np.column_stack([_sequences(live, (CONV1X1, CONV3X3, POOL)), *counts])
        if encoding == "live":
            return super().features(np.where(live_edges(codes), codes, NONE).astype(np.int8), "onehot")
        if encoding == "path":
            return path_sequences(VERTEX_PATHS, _paths_of(codes), codes - 1, kinds=4)
        if encoding == "position-path":
            return path_positions(VERTEX_PATHS, _paths_of(codes), codes - 1, kinds=4, most=4)
        if encoding == "adjacency":
            return _adjacency(self.graphs(codes))
        return super().features(codes, encoding)

    def graphs(self, codes: Codes) -> Graphs:
        """Eight vertices: input, the six edges in gene order, output; a `none` edge is joined to nothing."""
        codes = np.asarray(codes)
        adjacency = np.zeros((len(codes), 8, 8), np.bool_)
        for edge, (source, target) in enumerate(zip(SOURCE, TARGET, strict=True)):
            present = codes[:, edge] != NONE
            if source == 0:
                adjacency[:, 0, edge + 1] = present
            if target == 3:
                adjacency[:, edge + 1, 7] = present
            for following in range(6):
                if SOURCE[following] == target:
                    adjacency[:, edge + 1, following + 1] = present & (codes[:, following] != NONE)
        ends = np.broadcast_to([[5, 6]], (len(codes), 2))
        operations = np.concatenate([ends[:, :1], codes, ends[:, 1:]], axis=1)
        return Graphs(adjacency, operations, ("none", "skip", "conv 1x1", "conv 3x3", "avg pool", "input", "output"))

    def counts(self, quantity: str, codes: Codes) -> FloatArray:
        """Parameters, multiply-adds or latency: a fixed part and one addend per edge, summed over all cells."""
        if quantity == "latency":
            fixed, table = self._latencies
            return fixed + table[np.arange(6), codes].sum(axis=1)
        fixed, per_operation = _network_costs(self.width, self.cells, self.input_size, self.classes)[quantity]
        return fixed + per_operation[codes].sum(axis=1)

    @cached_property
    def _latencies(self) -> tuple[float, NDArray[np.float64]]:
        return MEASUREMENTS.resolve("latency")(self._whole or self)


def live_edges(codes: Codes) -> BoolArray:
    """Which edges carry something from the cell's input to its output, shape [n, 6]."""
    present = np.asarray(codes) != NONE
    live = np.zeros(present.shape, np.bool_)
    for path in PATHS:
        edges = list(path)
        live[:, edges] |= present[:, edges].all(axis=1, keepdims=True)
    return live


VERTEX_PATHS = tuple(tuple(edge + 1 for edge in path) for path in PATHS)
"""The same paths over the graph's vertices, which are the edges, numbered from 1."""


def _paths_of(codes: Codes) -> BoolArray:
    """Which of the four paths have no `none` on them, shape [n, 4]."""
    return np.stack([(codes[:, list(path)] != NONE).all(axis=1) for path in PATHS], axis=1)


def _adjacency(graphs: Graphs) -> BoolArray:
    """Upper triangle row by row, then skip, 1x1, 3x3, pooling or isolated for each edge, shape [n, 58]."""
    n, vertices = graphs.operations.shape
    rows, columns = np.triu_indices(vertices, 1)
    upper = graphs.adjacency[:, rows, columns]
    used = np.logical_or(graphs.adjacency.any(axis=1), graphs.adjacency.any(axis=2))
    joined = np.asarray(used)[:, 1:-1]
    operations = np.where(joined, graphs.operations[:, 1:-1], NONE)
    onehot = operations[:, :, None] == np.array([SKIP, CONV1X1, CONV3X3, POOL, NONE])
    return np.concatenate([upper, onehot.reshape(n, 5 * (vertices - 2))], axis=1)


def _sequences(codes: Codes, words: tuple[int, ...]) -> BoolArray:
    """Which sequences over `words` are spelled by the paths without `none`; other operations are passed over.

    A sequence (w_0, w_1, ...) stands at column sum_i base^i (w_i + 1), shape [n, 1 + base + base^2 + base^3].
    """
    base = len(words)
    word_of = np.zeros(len(OPERATIONS), np.int64)
    word_of[list(words)] = np.arange(1, base + 1)
    found = np.zeros((len(codes), 1 + base + base**2 + base**3), np.bool_)
    rows = np.arange(len(codes))
    for path in PATHS:
        column = np.zeros(len(codes), np.int64)
        place = np.ones(len(codes), np.int64)
        for edge in path:
            word = word_of[codes[:, edge]]
            column += place * word
            place = np.where(word > 0, place * base, place)
        alive = (codes[:, list(path)] != NONE).all(axis=1)
        found[rows[alive], column[alive]] = True
    return found


@cache
def _first_of_network() -> NDArray[np.intp]:
    """For the code at each place of the lexicographic order, the place of the first code of its network, [15625]."""
    _, first, network = np.unique(_fingerprints(_unrank(np.arange(5**6))), return_index=True, return_inverse=True)
    return first[network.ravel()]


def _fingerprints(codes: Codes) -> NDArray[np.uint64]:
    """A 64-bit number that two codes share exactly when they build the same network, shape [n].

    Each cell is evaluated twice in arithmetic modulo 2^64, with a fixed random function in place of each convolution
    and an odd constant in place of pooling: forwards from the input, which says what reaches a node, and backwards from
    the output, which says what becomes of it. A convolution is known by its kind, what reaches it and what becomes of
    it; a network by its output together with the multiset of its live convolutions.
    """
    flows = np.zeros((4, len(codes)), np.uint64)
    uses = np.zeros((4, len(codes)), np.uint64)
    flows[0], uses[3] = _SALT[0], _SALT[1]
    with np.errstate(over="ignore"):
        for edge in range(6):
            flow = flows[SOURCE[edge]]
            flows[TARGET[edge]] += _through(codes[:, edge], flow, flow)
        total = mixed(flows[3], _SALT[2])
        for edge in range(5, -1, -1):
            flow, use = flows[SOURCE[edge]], uses[TARGET[edge]]
            seen = _through(codes[:, edge], use, mixed(use, _SALT[3]) + flow)
            seen[flow == 0] = 0
            uses[SOURCE[edge]] += seen
            convolution = ((codes[:, edge] == CONV1X1) | (codes[:, edge] == CONV3X3)) & (seen != 0)
            total += np.where(convolution, mixed(seen, _SALT[4]), np.uint64(0))
    return total


def _through(operations: Codes, signal: NDArray[np.uint64], context: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`signal` after each row's operation: zero stays zero, a convolution hashes the context, shape [n]."""
    outcomes = np.stack(
        [np.zeros_like(signal), signal, mixed(context, _SALT[5]), mixed(context, _SALT[6]), signal * _SALT[7]]
    )
    return np.where(signal == 0, np.uint64(0), outcomes[operations, np.arange(len(signal))])


_SALT = np.random.default_rng(201).integers(2**64, size=8, dtype=np.uint64) | np.uint64(1)


def _unrank(ranks: NDArray[np.intp]) -> Codes:
    """The codes at these places of the lexicographic order, shape [n, 6]."""
    return np.stack(np.unravel_index(ranks, (5,) * 6), axis=1).astype(np.int8)


@cache
def _network_costs(
    width: int, cells: int, input_size: int, classes: int
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """For parameters and MACs: the part that every network has, and the part of each operation on one edge."""
    stages = [
        (width << stage, -(-input_size >> stage)) for stage in range(3)
    ]  # channels, side of the square feature map
    last = stages[-1][0]
    params = 3 * 9 * width + 2 * width + 2 * last + (last + 1) * classes
    macs = 3 * 9 * width * input_size**2 + last * classes
    for channels, side in stages[1:]:
        weights = (9 * channels // 2 + 9 * channels + channels // 2) * channels
        params += weights + 2 * 2 * channels
        macs += weights * side**2
    edge_params = np.zeros(5)
    edge_macs = np.zeros(5)
    for channels, side in stages:
        for operation, taps in ((CONV1X1, 1), (CONV3X3, 9)):
            edge_params[operation] += cells * (taps * channels**2 + 2 * channels)
            edge_macs[operation] += cells * taps * channels**2 * side**2
    return {"params": (params, edge_params), "macs": (macs, edge_macs)}


def _unreadable(text: str, at: int, why: str) -> FrugalnasError:
    shown = text if len(text) <= 120 else text[:117] + "..."
    return FrugalnasError(f"cannot read the NAS-Bench-201 cell at character {at + 1}: {why}\n  {shown}\n  {' ' * at}^")
