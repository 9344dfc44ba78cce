"""The DARTS space: two cells of four nodes, each the sum of two operations on earlier states (Liu et al., ICLR 2019)."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.spaces.arrays import Codes, Graphs
from frugalnas.spaces.darts_encodings import darts_adjacency, darts_paths, darts_position_paths
from frugalnas.spaces.factored import FactoredSpace
from frugalnas.spaces.genotype import PRIMITIVES, Genotype
from frugalnas.spaces.known import known_text
from frugalnas.spaces.operators import By, Operators
from frugalnas.spaces.sizes import checked_sizes, with_latency

OPS = len(PRIMITIVES)
NONE = 0
NODES = 4
STATES = 2 + NODES
CONCAT = tuple(range(2, STATES))
CELL = 2 * NODES
CELLS = ("normal", "reduction")
NODE = np.tile(np.repeat(np.arange(2, STATES), 2), 2)
"""Which node each gene belongs to."""
EDGES = tuple((source, node) for node in range(2, STATES) for source in range(node))
"""The 14 edges of a cell, in the order of the reference programs' lists."""
FIRST_EDGE = np.array([0, 2, 5, 9])
"""Where the edges into each node begin in that order."""
SIZES = {
    "cifar": {"width": 36, "layers": 20, "input_size": 32, "classes": 10},
    "imagenet": {"width": 48, "layers": 14, "input_size": 224, "classes": 1000},
}
BLOCK = 2**15
"""Cells brought into canonical form at a time."""


class DARTS(FactoredSpace):
    """A normal and a reduction cell of four nodes, each of which adds two operations on earlier states.

    Genes are the two inputs of nodes 2, 3, 4, 5 of the normal cell, then of the reduction cell: 16. A value is a state and
    an operation on it, state * 8 + operation; states 0 and 1 are the outputs of the two cells before, 2 to 5 the nodes.
    Operations: 0 none, 1 max_pool_3x3, 2 avg_pool_3x3, 3 skip_connect, 4 sep_conv_3x3, 5 sep_conv_5x5, 6 dil_conv_3x3,
    7 dil_conv_5x5.

    **Same network.** The two inputs of a node can be exchanged, and nodes renamed wherever each still reads only earlier
    ones: what follows a cell joins its nodes by a 1x1 convolution or a linear layer, which takes them in any order. What
    `none` reads does not count.

    Encodings: `edges` (default; 224 columns): how often each operation stands on each of the 2 x 14 edges of
    the canonical cells, the same for all codes of a network. `onehot` (state and operation of each gene, as far as the
    space has them), `operations` (16: how many of each operation the two cells have), `path` (18,724: which sequences of
    operations lead from an input to a node, the same for all codes of a network), `position-path` (1,224: the paths by
    length and nodes, each with its operations, NPENAS and SSNENAS; see `darts_encodings`), `adjacency` (338: upper
    triangles of the cells' graphs and their operations), `integer`.

    `count` knows "params" (without auxiliary head), "macs", "thop" (linear layers counted as (2 inputs - 1) outputs, as
    in the tables of ABS and RLNAS), and "latency" in milliseconds where a table is given.

    Args:
        duplicates: whether a node may use one state twice, as RelativeNAS's published cell does. With them a cell has
            83,013,134,400 codes, without 16,602,626,880.
        none: whether an input may be none.
        macro: the networks that cells are built into: `cifar` or `imagenet`.
        width: initial channels; None: 36 (cifar) or 48 (imagenet).
        layers: cells; None: 20 or 14.
        input_size: side of the square images; None: 32 or 224.
        classes: of the classifier; None: 10 or 1,000.
        latency: path of a table that `frugalnas measure-latency` wrote.
    """

    name = "darts"
    skeleton = "darts"
    encodings = ("edges", "onehot", "operations", "path", "position-path", "adjacency", "integer")

    def __init__(
        self,
        *,
        duplicates: bool = True,
        none: bool = False,
        macro: Literal["cifar", "imagenet"] = "cifar",
        width: int | None = None,
        layers: int | None = None,
        input_size: int | None = None,
        classes: int | None = None,
        latency: str | None = None,
    ) -> None:
        one_of("macro-structure of darts", macro, SIZES)
        self.duplicates = duplicates
        self.none = none
        self.macro = macro
        sizes = SIZES[macro]
        self.width = sizes["width"] if width is None else width
        self.layers = sizes["layers"] if layers is None else layers
        self.input_size = sizes["input_size"] if input_size is None else input_size
        self.classes = sizes["classes"] if classes is None else classes
        checked_sizes(self, width=1, layers=1, input_size=1, classes=1)
        self.latency, self.quantities = with_latency(self, latency, "params", "macs", "thop")
        self.counted_for = (
            f"{macro} network of width {self.width}, {self.layers} cells, {self.input_size}x{self.input_size} images"
        )
        self.allowed = np.arange(STATES * OPS - OPS) // OPS < NODE[:, None]
        if not none:
            self.allowed[:, NONE::OPS] = False
        if not duplicates:
            self.joint = _distinct_inputs()

    def with_options(self, **settings: Any) -> Self:
        """The same space with networks of another size; with another `macro` the sizes not given are its own."""
        if settings.get("macro", self.macro) != self.macro:
            settings = dict.fromkeys(("width", "layers", "input_size", "classes", "latency")) | settings
        return super().with_options(**settings)

    # -- notation ------------------------------------------------------------------------------------------------

    def format(self, code: Codes) -> str:
        """The cells as `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)`."""
        return str(self.genotype(code))

    def parse(self, text: str) -> Codes:
        """The code of a genotype, of a known architecture's name, or of lists of operations by edge.

        Read are genotypes as Python prints them or in JSON, and the candidate lists of RLNAS and ABS: an operation's
        number for each of 14 edges, (0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (0, 4), ..., exactly two at each node not 0;
        `[[14 numbers], [14 numbers]]` or all 28 in one list, or one list of 14 for both cells.
        """
        text = known_text(text, self.name)
        by_edge = text.lstrip()[:1] in ("[", "(")
        code = _from_edges(text) if by_edge else self.code(Genotype.parse(text))
        for problem in self._problems(code):
            raise FrugalnasError(problem)
        return code

    def genotype(self, code: Codes) -> Genotype:
        """The genotype of one code."""
        edges = [(PRIMITIVES[value % OPS], int(value // OPS)) for value in np.asarray(code)]
        return Genotype(tuple(edges[:CELL]), CONCAT, tuple(edges[CELL:]), CONCAT)

    def code(self, genotype: Genotype) -> Codes:
        """The code of a genotype that has the shape of this space's cells, [16].

        Raises:
            FrugalnasError: for cells of more nodes or other operations, such as NASNet's.
        """
        values = []
        for cell, edges, concat in (
            (CELLS[0], genotype.normal, genotype.normal_concat),
            (CELLS[1], genotype.reduce, genotype.reduce_concat),
        ):
            if len(edges) != CELL:
                raise FrugalnasError(
                    f"the {cell} cell has {len(edges) // 2} nodes; cells of the DARTS space have {NODES}"
                )
            if tuple(sorted(concat)) != CONCAT:
                raise FrugalnasError(
                    f"the {cell} cell joins the states {list(concat)}; cells of the DARTS space join {list(CONCAT)}"
                )
            for place, (operation, state) in enumerate(edges):
                if operation not in PRIMITIVES:
                    raise FrugalnasError(
                        f"node {2 + place // 2} of the {cell} cell has the operation {operation!r}, which the DARTS space "
                        f"lacks; choose one of {', '.join(PRIMITIVES)}"
                    )
                values.append(state * OPS + PRIMITIVES.index(operation))
        return np.array(values, np.int8)

    def edge_lists(self, code: Codes) -> list[list[int]]:
        """The operation on each of the 14 edges of both cells, as the programs of RLNAS and ABS write candidates.

        Raises:
            FrugalnasError: where a node uses one state twice or `none`, which these lists cannot say.
        """
        lists = np.zeros((2, len(EDGES)), np.intp)
        for gene, value in enumerate(np.asarray(code).tolist()):
            cell, edge = gene // CELL, EDGES.index((value // OPS, int(NODE[gene])))
            if value % OPS == NONE or lists[cell, edge]:
                raise FrugalnasError(
                    f"node {NODE[gene]} of the {CELLS[cell]} cell does not have two operations on two states; a list of "
                    "operations by edge cannot say that, a genotype can"
                )
            lists[cell, edge] = value % OPS
        return lists.tolist()

    def _problems(self, code: Codes) -> list[str]:
        """What the space's own options forbid in a code, in words."""
        problems = []
        for first in range(0, 2 * CELL, 2):
            pair = code[first : first + 2].tolist()
            where = f"node {NODE[first]} of the {CELLS[first // CELL]} cell"
            if not self.none and any(value % OPS == NONE for value in pair):
                problems.append(f"{where} has the operation 'none'; darts(none=True) allows it")
            if not self.duplicates and pair[0] // OPS == pair[1] // OPS:
                problems.append(f"{where} uses state {pair[0] // OPS} twice; darts(duplicates=True) allows it")
        return problems

    def operators(self, by: By = "place") -> Operators:
        """The operations on the 14 edges of each cell, or of both cells together; see `SearchSpace.operators`."""
        if by not in ("place", "shared"):
            return super().operators(by)
        whole = (self._whole or self).allowed
        state, operation = np.divmod(np.arange(whole.shape[1]), OPS)
        edge = FIRST_EDGE[NODE - 2][:, None] + state
        cell = np.repeat([0, 1], CELL)[:, None] if by == "place" else 0
        edges = [f"{source}->{node}" for source, node in EDGES]
        return Operators.of(
            by,
            whole,
            np.where(whole, edge + len(EDGES) * cell, 0),
            tuple(f"{kind} {edge}" for kind in CELLS for edge in edges) if by == "place" else tuple(edges),
            [[PRIMITIVES[index] for index in operation]] * self.genes,
            np.tile(operation, (self.genes, 1)),
        )

    def gene_name(self, gene: int) -> str:
        """The cell, the node and which of its two inputs, from 0."""
        return f"{CELLS[gene // CELL]} node {NODE[gene]} input {gene % 2}"

    def value_name(self, gene: int, value: int) -> str:
        """The operation and the state that it reads."""
        return f"{PRIMITIVES[value % OPS]}({value // OPS})"

    # -- identity ------------------------------------------------------------------------------------------------

    def canonical(self, codes: Codes) -> Codes:
        """The lexicographically least code that builds each row's network, shape [n, 16]."""
        codes = self.as_codes(codes)
        canonical = np.empty_like(codes)
        for start in range(0, len(codes), BLOCK):
            part = codes[start : start + BLOCK]
            cells = np.concatenate([part[:, :CELL], part[:, CELL:]])
            least = _least_cells(cells)
            canonical[start : start + BLOCK] = np.concatenate([least[: len(part)], least[len(part) :]], axis=1)
        return canonical

    # -- encodings, graphs ---------------------------------------------------------------------------------------

    def features(self, codes: Codes, encoding: str) -> NDArray[np.generic]:
        """The columns of one encoding; see the class for what they mean."""
        if encoding == "integer":
            return codes
        if encoding == "onehot":
            whole = self._whole or self
            return super().features(codes, encoding)[:, whole.allowed.ravel()]
        if encoding == "operations":
            cells = (codes % OPS).reshape(len(codes), 2, CELL, 1) == np.arange(OPS)
            return cells.sum(axis=2).reshape(len(codes), 2 * OPS)
        if encoding == "path":
            return darts_paths(codes)
        if encoding == "position-path":
            return darts_position_paths(codes)
        if encoding == "adjacency":
            return darts_adjacency(self.graphs(codes))
        canonical = self.canonical(codes)
        place = np.repeat(np.arange(2), CELL) * len(EDGES) + FIRST_EDGE[NODE - 2] + canonical // OPS
        counted = np.zeros((len(codes), 2 * len(EDGES) * OPS), np.float32)
        np.add.at(counted, (np.arange(len(codes))[:, None], place * OPS + canonical % OPS), 1)
        return counted

    def graphs(self, codes: Codes) -> Graphs:
        """Thirty vertices, fifteen for each cell: two inputs, then two operations and their sum for each node, output.

        The normal cell's output feeds both inputs of the reduction cell; an operation `none` is joined to nothing.
        """
        codes = np.asarray(codes)
        each = 3 + 3 * NODES
        adjacency = np.zeros((len(codes), 2 * each, 2 * each), np.bool_)
        operations = np.empty((len(codes), 2 * each), np.intp)
        rows = np.arange(len(codes))
        vertex_of = np.array([0, 1, *(2 + 3 * node + 2 for node in range(NODES))])
        for cell in range(2):
            offset = cell * each
            operations[:, [offset, offset + 1, offset + each - 1]] = OPS, OPS + 1, OPS + 3
            for gene in range(CELL):
                node, value = gene // 2, codes[:, cell * CELL + gene]
                vertex, total = offset + 2 + 3 * node + gene % 2, offset + 4 + 3 * node
                operations[:, vertex], operations[:, total] = value % OPS, OPS + 2
                present = value % OPS != NONE
                adjacency[rows, offset + vertex_of[value // OPS], vertex] = present
                adjacency[:, vertex, total] = present
                adjacency[:, total, offset + each - 1] = True
        adjacency[:, each - 1, [each, each + 1]] = True
        names = tuple(name.replace("_", " ") for name in PRIMITIVES)
        return Graphs(adjacency, operations, (*names, "c_{k-2}", "c_{k-1}", "sum", "output"))


@cache
def _distinct_inputs() -> tuple[tuple[tuple[int, ...], Codes], ...]:
    """For each node, the pairs of values that read two states."""
    groups = []
    for first in range(0, 2 * CELL, 2):
        values = np.arange(NODE[first] * OPS, dtype=np.int8)
        pairs = np.stack(np.meshgrid(values, values, indexing="ij"), axis=-1).reshape(-1, 2)
        groups.append(((first, first + 1), pairs[pairs[:, 0] // OPS != pairs[:, 1] // OPS]))
    return tuple(groups)


def _least_cells(cells: Codes) -> Codes:
    """The least spelling of each cell, shape [n, 8]: over all orders of its nodes, inputs sorted in each."""
    plain = np.where(cells % OPS == NONE, NONE, cells).astype(np.int64)
    least = np.full(len(cells), np.iinfo(np.int64).max)
    values = (STATES - 1) * OPS
    for order in permutations(range(NODES)):  # order[place] is the node that comes to stand there
        state = np.array([0, 1, *(2 + order.index(node) for node in range(NODES))])
        renamed = state[plain // OPS] * OPS + plain % OPS
        rank = np.zeros(len(cells), np.int64)
        possible = np.ones(len(cells), np.bool_)
        for place, node in enumerate(order):
            first, second = renamed[:, 2 * node], renamed[:, 2 * node + 1]
            low, high = np.minimum(first, second), np.maximum(first, second)
            possible &= high < (2 + place) * OPS
            rank = (rank * values + low) * values + high
        least = np.minimum(least, np.where(possible, rank, least))
    return np.stack(np.unravel_index(least, (values,) * CELL), axis=1).astype(np.int8)


def _from_edges(text: str) -> Codes:
    """The code of operations by edge."""
    try:
        lists: object = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise FrugalnasError(
            f"cannot read the list of operations by edge {text[:80]!r}; write [[4, 0, ...], [...]]"
        ) from None
    numbers: Sequence[Any] = _flat(lists)
    if len(numbers) == len(EDGES):
        numbers = [*numbers, *numbers]
    if len(numbers) != 2 * len(EDGES):
        raise FrugalnasError(
            f"a list of operations by edge has {len(EDGES)} numbers, for both cells, or {2 * len(EDGES)}, not {len(numbers)}"
        )
    code: list[int] = []
    for cell, word in enumerate(CELLS):
        part = numbers[cell * len(EDGES) :][: len(EDGES)]
        for (source, node), number in zip(EDGES, part, strict=True):
            if type(number) is not int or not 0 <= number < OPS:
                raise FrugalnasError(
                    f"edge {source} -> {node} of the {word} cell has the operation {number!r}; choose a number from 0 to "
                    f"{OPS - 1} ({', '.join(PRIMITIVES)})"
                )
        for node in range(2, STATES):
            live = [s * OPS + part[edge] for edge, (s, to) in enumerate(EDGES) if to == node and part[edge] != NONE]
            if len(live) != 2:
                raise FrugalnasError(
                    f"node {node} of the {word} cell has {len(live)} operations that are not none; it needs exactly two"
                )
            code += live
    return np.array(code, np.int8)


def _flat(lists: object) -> Sequence[Any]:
    if isinstance(lists, (list, tuple)):
        return [number for part in lists for number in (_flat(part) if isinstance(part, (list, tuple)) else [part])]
    return [lists]
