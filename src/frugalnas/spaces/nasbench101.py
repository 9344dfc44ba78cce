"""NAS-Bench-101: cells of at most seven vertices and nine edges, three operations (Ying et al., ICML 2019)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, one_of, quoted
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, Graphs
from frugalnas.spaces.base import SearchSpace
from frugalnas.spaces.cells101 import (
    EDGES,
    INNER,
    MAX_EDGES,
    SOURCE,
    TARGET,
    VERTICES,
    all_cells,
    codes_of,
    labelled_cells,
    live_parts,
    network_keys,
    pruned,
    representatives,
)
from frugalnas.spaces.costs101 import network_costs
from frugalnas.spaces.encodings101 import ENCODINGS
from frugalnas.spaces.known import known_text
from frugalnas.spaces.sizes import benchmark_network, checked_sizes

OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
OUTPUT = VERTICES - 1
FILLER = 0


class NASBench101(SearchSpace):
    """Cells of up to seven vertices: 423,624 networks, each of which a benchmark has one row for.

    Genes are the 21 possible edges, 0 or 1 (edge x -> y at gene x + y (y - 1) / 2), then the operations of the five
    inner vertices: 0 conv3x3, 1 conv1x1, 2 maxpool3x3. A code is valid when a path leads from the input, vertex 0, to the
    output, vertex 6, and at most nine edges lie on such paths.

    **Same network.** Only what lies on a path from input to output is built; two cells are the same network when what is
    left is isomorphic. This is the benchmark's own identity (its graph hash, `cells101.graph_hashes`). The representative
    of a network is the benchmark's own cell, and `enumerate` lists these.

    Encodings: see `encodings101`; `function`, the default, is the only one that is the same for all codes of a network.

    `count` knows "params" and "macs" of the network of these sizes, by default the benchmark's CIFAR-10 network: the
    trainable parameters that the benchmark states, and the multiply-adds of convolutions and the linear layer. Where
    channels do not divide evenly the first vertices take what is left, so that isomorphic cells may differ by some hundred
    parameters: counts are those of the code as written, and the benchmark's those of its own cells.

    Args:
        sampler: how `sample` draws. `uniform`: every network equally often, as its representative. `random-bits`: every
            edge with probability one half and uniform operations, again until the cell is valid. Older papers did
            this; it prefers networks with many codes (NPENAS, arXiv 2003.12857, section 4.2).
        width: channels of the first of three stacks; they double twice.
        cells: in each stack.
        input_size: side of the square images.
        classes: of the classifier.
    """

    name = "nasbench101"
    encodings = tuple(ENCODINGS)
    quantities = ("params", "macs")
    listed_by = "network"
    skeleton = "nasbench101"
    samplers = ("uniform", "random-bits")

    def __init__(
        self,
        *,
        sampler: Literal["uniform", "random-bits"] = "uniform",
        width: int = 128,
        cells: int = 3,
        input_size: int = 32,
        classes: int = 10,
    ) -> None:
        one_of("sampler of nasbench101", sampler, self.samplers)
        self.sampler = sampler
        self.width, self.cells, self.input_size, self.classes = width, cells, input_size, classes
        # A cell of five vertices divides its channels among them: each needs one.
        checked_sizes(self, width=INNER, cells=1, input_size=3, classes=1)
        self.counted_for = benchmark_network(self, (128, 3, 32, 10), "stack")
        self.allowed: BoolArray = np.ones((EDGES + INNER, 3), np.bool_)
        self.allowed[:EDGES, 2] = False

    def valid(self, codes: Codes) -> BoolArray:
        """Whether each row is a cell that the benchmark allows and that meets the limits, shape [n]."""
        codes = np.asarray(codes)
        meets = super().valid(codes)
        rows = np.flatnonzero(meets)
        live = live_parts(codes[rows])[0].sum(axis=1)
        meets[rows] = (live > 0) & (live <= MAX_EDGES)
        return meets

    # -- listing and sampling ------------------------------------------------------------------------------------

    @property
    def enumerable(self) -> bool:
        """All cells are known, however few of the combinations of genes they are."""
        return True

    def _list(self) -> Codes:
        whole = all_cells()[0]
        if self.allowed.sum() == 2 * EDGES + 3 * INNER:
            return whole if not self._constraints else whole[self.valid(whole)]
        codes = labelled_cells(everywhere=True)
        for gene in range(EDGES):  # an edge that is not there may still be, between dead vertices
            if not self.allowed[gene, 1]:
                codes = codes[codes[:, gene] == 0]
        # Dead parts are free: they take the least value that is allowed, which must leave them dead.
        least = np.argmax(self.allowed, axis=1).astype(np.int8)
        edges, vertices = live_parts(codes)
        live = np.concatenate([edges, vertices[:, 1:OUTPUT]], axis=1)
        permitted = (self.allowed[np.arange(EDGES + INNER), codes] | ~live).all(axis=1)
        codes, live = codes[permitted], live[permitted]
        filled = np.where(live, codes, least)
        filled = filled[self.valid(filled) & (pruned(filled) == codes).all(axis=1)]
        _, first = np.unique(network_keys(filled), return_index=True)
        return filled[np.sort(first)]

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """`n` codes drawn independently as the sampler says, shape [n, 26]."""
        if self.sampler == "random-bits":
            return self._sample_by_rejection(n, rng)
        return self._sample_listed(n, rng)

    # -- notation ------------------------------------------------------------------------------------------------

    def format(self, code: Codes) -> str:
        """The cell as the operation and inputs of each vertex; unconnected conv3x3 before the output are left out.

        Example:
            >>> space = NASBench101()
            >>> code = space.parse("conv3x3(0)+maxpool3x3(0,1)+output(1,2)")
            >>> space.format(code)
            'conv3x3(0)+maxpool3x3(0,1)+output(1,2)'
        """
        joined = np.zeros((VERTICES, VERTICES), np.bool_)
        joined[SOURCE, TARGET] = np.asarray(code)[:EDGES] > 0
        operations = np.asarray(code)[EDGES:]
        written = INNER
        while written and operations[written - 1] == FILLER and not (joined[written].any() or joined[:, written].any()):
            written -= 1
        words = [*(OPERATIONS[operation] for operation in operations[:written]), "output"]
        targets = [*range(1, written + 1), OUTPUT]
        return "+".join(
            f"{word}({','.join(map(str, np.flatnonzero(joined[:, target])))})"
            for word, target in zip(words, targets, strict=True)
        )

    def parse(self, text: str) -> Codes:
        """The code of a cell as `format` writes it, as the benchmark's API states it, in JSON, or of a known name.

        The JSON is `{"module_adjacency": [[0, 1, ...], ...], "module_operations": ["input", ..., "output"]}`.
        """
        text = known_text(text, self.name)
        if text.lstrip().startswith("{"):
            return _from_json(text)
        words = text.strip().split("+")
        code = np.zeros(EDGES + INNER, np.int8)
        if len(words) > INNER + 1:
            raise _unreadable(text, f"it has {len(words)} vertices after the input; 6 are the most")
        for place, word in enumerate(words, 1):
            last = place == len(words)
            operation, bracket, inputs = word.partition("(")
            if not bracket or not inputs.endswith(")"):
                raise _unreadable(text, f"vertex {place} is {word!r}; write an operation and its inputs: conv3x3(0,1)")
            if last != (operation == "output") or not (last or operation in OPERATIONS):
                choices = "output" if last else ", ".join(OPERATIONS)
                raise _unreadable(text, f"vertex {place} is {operation!r}; choose {choices}")
            if not last:
                code[EDGES + place - 1] = OPERATIONS.index(operation)
            known = [str(source) for source in range(place)]
            for source in filter(None, inputs[:-1].split(",")):
                if source not in known:
                    raise _unreadable(text, f"vertex {place} reads {source!r}; choose earlier ones: {', '.join(known)}")
                target = OUTPUT if last else place
                code[int(source) + target * (target - 1) // 2] = 1
        live = int(live_parts(code[None])[0].sum())
        if not 0 < live <= MAX_EDGES:
            why = "no path leads from input to output" if not live else f"{live} edges; {MAX_EDGES} are the most"
            raise _unreadable(text, why)
        return code

    def gene_name(self, gene: int) -> str:
        """A possible edge or an inner vertex."""
        return f"{SOURCE[gene]}->{TARGET[gene]}" if gene < EDGES else f"vertex {gene - EDGES + 1}"

    def value_name(self, gene: int, value: int) -> str:
        """Whether the edge is there, or the vertex's operation."""
        return ("no edge", "edge")[value] if gene < EDGES else OPERATIONS[value]

    # -- identity ------------------------------------------------------------------------------------------------

    def canonical(self, codes: Codes) -> Codes:
        """The benchmark's own cell for each row's network, shape [n, 26]."""
        return representatives(codes)

    def network_ids(self, codes: Codes) -> NDArray[np.uint64]:
        """A number that two codes share exactly when they build the same network, shape [n]."""
        return network_keys(codes)

    # -- encodings, graphs, counts -------------------------------------------------------------------------------

    def features(self, codes: Codes, encoding: str) -> NDArray[np.generic]:
        """The columns of one encoding; see `encodings101` for what they mean."""
        encoder = ENCODINGS[encoding]
        return super().features(codes, encoding) if encoder is None else encoder(codes)

    def graphs(self, codes: Codes) -> Graphs:
        """Seven vertices: input, five inner ones, output; dead vertices are isolated and labelled so."""
        codes = np.asarray(codes)
        edges, vertices = live_parts(codes)
        adjacency = np.zeros((len(codes), VERTICES, VERTICES), np.bool_)
        adjacency[:, SOURCE, TARGET] = edges
        ends = np.broadcast_to([[3, 4]], (len(codes), 2))
        inner = np.where(vertices[:, 1:OUTPUT], codes[:, EDGES:], 5)
        operations = np.concatenate([ends[:, :1], inner, ends[:, 1:]], axis=1)
        return Graphs(adjacency, operations, ("conv 3x3", "conv 1x1", "max pool", "input", "output", "isolated"))

    def counts(self, quantity: str, codes: Codes) -> FloatArray:
        """Parameters or multiply-adds of the network."""
        costs = network_costs(codes, self.width, self.cells, self.input_size, self.classes)
        return costs[self.quantities.index(quantity)]


def _from_json(text: str) -> Codes:
    try:
        cell = read_json(text, "the cell")
        adjacency = np.array(cell["module_adjacency"])
        words = [str(word).removesuffix("-bn-relu") for word in cell["module_operations"]]
        operations = [OPERATIONS.index(word) for word in words[1:-1]]
        if not np.isin(adjacency, (0, 1)).all() or (words[0], words[-1]) != ("input", "output"):
            raise ValueError("edges are 0 or 1, and the operations go from input to output")
        return codes_of(adjacency[None] > 0, np.array([operations], np.int8).reshape(1, len(operations)))[0]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise _unreadable(text, str(error)) from None


def _unreadable(text: str, why: str) -> FrugalnasError:
    return FrugalnasError(f"cannot read the NAS-Bench-101 cell {quoted(text, 120)}: {why}")
