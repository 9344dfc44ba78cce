"""Embeddings of a whole space, each neighbourhood computed once.

After d layers a vertex's features depend on the tree of operations that reaches it in d steps, its colour (Weisfeiler and
Leman, 1968), and on nothing else. The 2,965,368 vertices of NAS-Bench-101's cells have 233 colours after one layer, 23,973
after two and 219,141 after three.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.cache import cached_array
from frugalnas.encoders.gin import GINEncoder, GINLayer
from frugalnas.encoders.graphs import DIRECTIONS, edges_of, graph_tensors
from frugalnas.errors import FrugalnasError, one_of
from frugalnas.spaces import BoolArray, Graphs, IntArray, Population
from frugalnas.spaces.hashing import Words, mixed

BLOCK = 8_192
"""Graphs whose colours are computed at a time, so that they stay in the processor's cache."""
DENSE = 2_000
"""Populations below this many architectures are embedded as they are: their tables would take longer to make."""
ROWS = 16_384
"""Distinct vertices computed at a time, for the same reason."""
VERSION = 1
"""Of the tables in the cache."""


@dataclass(frozen=True)
class Bags:
    """Lists of rows, one after the other: bag i is `rows[starts[i] : starts[i + 1]]`, both int32."""

    rows: Tensor
    starts: Tensor

    def sums(self, features: Tensor, first: int, end: int) -> Tensor:
        """The sum of each bag's rows of `features` [m, w], for the bags from `first` to before `end`, shape [bags, w]."""
        starts = self.starts[first : end + 1]
        begin = int(starts[0])
        if end < len(self.starts):
            stop = int(starts[-1])
            starts = starts[:-1]
        else:
            stop = len(self.rows)
        return functional.embedding_bag(self.rows[begin:stop], features, starts - begin, mode="sum")


class SharedVertices:
    """The distinct neighbourhoods of a population's vertices after each layer, as tables of indices.

    Args:
        graphs: the architectures.
        layers: of the encoder that will read them.
        directions: of that encoder.
        isolated_edges: as in `graph_tensors`.
        tables: what all of that comes to, where it is known.

    Attributes:
        colours: distinct neighbourhoods after each layer, from the first.
    """

    def __init__(
        self,
        graphs: Graphs,
        layers: int,
        directions: str = "in",
        *,
        isolated_edges: bool = False,
        tables: Sequence[NDArray[np.int32]] | None = None,
    ) -> None:
        one_of("directions of edges", directions, DIRECTIONS)
        self.layers, self.directions, self.kinds = layers, directions, len(graphs.names)
        tables = list(_tables(graphs, layers, directions, isolated_edges)) if tables is None else tables
        tensors = [torch.from_numpy(np.array(table)) for table in tables]
        self.bags = [Bags(*pair) for pair in zip(tensors[:-1:2], tensors[1:-1:2], strict=True)]
        self.members = tensors[-1]
        self.colours = tuple(len(bags.starts) for bags in self.bags)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def told_apart(self) -> int:
        """How many of the architectures an encoder can tell apart: those whose vertices have not all the same colours."""
        with np.errstate(over="ignore"):
            words = mixed(self.members.cpu().numpy().astype(np.uint64), np.uint64(0)).sum(axis=1, dtype=np.uint64)
        return len(np.unique(words))

    @torch.inference_mode()
    def embed(self, encoder: GINEncoder, head: nn.Linear | None = None) -> Tensor:
        """What the encoder in evaluation says of every architecture, shape [n, out].

        Args:
            encoder: of the same operations, layers and directions.
            head: a linear map of the encoder's vectors; it is applied to each distinct vertex before their mean, which
                then is over fewer numbers.

        Returns:
            The encoder's vectors, or those of the head. The encoder is on the device of the tables (`to`).
        """
        asked = (encoder.kinds, encoder.depth, encoder.directions)
        if asked != (self.kinds, self.layers, self.directions):
            raise FrugalnasError(
                f"the encoder has (operations, layers, directions) {asked}, and these tables were made for "
                f"{(self.kinds, self.layers, self.directions)}; make them for this encoder"
            )
        layers = list(cast("Iterable[GINLayer]", encoder.layers))
        rows = torch.eye(self.kinds, device=self.members.device) @ _by_part(layers[0].first.weight, self.directions).t()
        for place, layer in enumerate(layers):
            scale, shift = _normalising(layer.norm)
            # What follows the sums is linear and so comes before them, where there are fewer rows; and a block of rows is
            # brought to its end while it is in the processor's cache.
            if place + 1 < len(layers):
                following = _by_part(layers[place + 1].first.weight, self.directions)
            else:
                following = torch.eye(encoder.width, device=rows.device) if head is None else head.weight
            constant, weight = following @ shift, (following * scale).t()
            summed, width = rows.view(-1, encoder.width), weight.shape[1]
            rows = _memory(self.colours[place], width, summed.device)
            for start in range(0, len(rows), ROWS):
                hidden = layer.activation(self.bags[place].sums(summed, start, start + ROWS).add_(layer.first.bias))
                active = layer.activation(layer.second(hidden))
                block = torch.mm(active, weight, out=rows[start : start + ROWS])
                if place + 1 < len(layers):
                    block += constant
        if head is not None and head.bias is not None:
            constant = constant + head.bias
        return functional.embedding_bag(self.members, rows, mode="mean").add_(constant)

    def to(self, device: torch.device | str) -> SharedVertices:
        """The same tables on another device; these themselves where they are on it."""
        if self.members.device == torch.device(device):
            return self
        moved = copy(self)
        moved.bags = [Bags(bags.rows.to(device), bags.starts.to(device)) for bags in self.bags]
        moved.members = self.members.to(device)
        return moved


def shared_vertices(
    population: Population, layers: int, directions: str = "in", *, isolated_edges: bool = False
) -> SharedVertices:
    """The tables of a population: made once, and remembered by it; those of a whole space are kept in the cache."""

    def make() -> SharedVertices:
        space, size = population.space, len(population)
        if not (size >= DENSE and space.enumerable and size == space.size):  # others will ask for the whole space
            return SharedVertices(population.graphs, layers, directions, isolated_edges=isolated_edges)
        return _kept(population, layers, directions, isolated_edges)

    return population.remembered(("shared vertices", layers, directions, isolated_edges), make)


def embed(
    encoder: GINEncoder, population: Population, head: nn.Linear | None = None, *, isolated_edges: bool = False
) -> Tensor:
    """The encoder's vector of every architecture, or what `head` makes of it, shape [n, out].

    Neither gradients nor batch statistics: the encoder is used as in evaluation, whatever mode it is in. Small populations are
    computed vertex by vertex, large ones with the tables of `shared_vertices`.
    """
    device = next(encoder.parameters()).device
    if len(population) >= DENSE:
        key = encoder.depth, encoder.directions
        tables = shared_vertices(population, *key, isolated_edges=isolated_edges)
        if device.type != "cpu":
            place = ("shared vertices", *key, isolated_edges, str(device))
            tables = population.remembered(place, lambda: tables.to(device))
        return tables.embed(encoder, head)
    was_training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        vectors: Tensor = encoder(graph_tensors(population, isolated_edges=isolated_edges, device=device))
        result = vectors if head is None else head(vectors)
    encoder.train(was_training)
    return result


def _kept(population: Population, layers: int, directions: str, isolated_edges: bool) -> SharedVertices:
    """The tables of a whole space from the cache, in one array: the lengths of all tables, then all tables."""
    names = population.graphs.names
    digest = hashlib.sha256(population.codes.tobytes())
    digest.update(f"{population.space.name} {names} {layers} {directions} {isolated_edges} {VERSION}".encode())

    def make() -> NDArray[np.generic]:
        tables = list(_tables(population.graphs, layers, directions, isolated_edges))
        lengths = [table.size for table in tables]
        return np.concatenate([np.array([len(lengths), *lengths], np.int32), *(table.ravel() for table in tables)])

    flat = np.asarray(cached_array(f"vertices-{population.space.name}-{digest.hexdigest()[:16]}", make), np.int32)
    ends = np.cumsum([1 + flat[0], *flat[1 : 1 + flat[0]]])
    tables = [flat[start:end] for start, end in pairwise(ends)]
    tables[-1] = tables[-1].reshape(len(population), -1)
    return SharedVertices(population.graphs, layers, directions, tables=tables)


def _memory(rows: int, width: int, device: torch.device) -> Tensor:
    """Room for a matrix. NumPy asks the system for large pages: filling small ones takes six times as long."""
    if device.type != "cpu":
        return torch.empty(rows, width, device=device)
    return torch.from_numpy(np.empty((rows, width), np.float32))


def _normalising(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Factor and addend of a batch norm in evaluation, each of shape [width]."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _by_part(weight: Tensor, directions: str) -> Tensor:
    """The maps of a vertex's own features, of those it reads and of those that read it, one below the other.

    With the direction "in" the first two are the same, and there is only this one.
    """
    if directions == "in":
        return weight
    reads, read_by = weight.chunk(2, dim=1)
    return torch.cat([reads + read_by, reads, read_by])


def _tables(graphs: Graphs, layers: int, directions: str, isolated_edges: bool) -> Iterator[NDArray[np.int32]]:
    """For each layer the bags of rows that its colours sum; then the last layer's colour of all vertices.

    Yields:
        rows and starts of `Bags`, int32, where rows are the colours of the layer before, or with both directions three
        times these and the place in `_by_part`; at last the last layer's colour of every vertex, shape [n, V].
    """
    edges, operations = edges_of(graphs, isolated_edges), graphs.operations
    n, vertices = operations.shape
    colours = operations.astype(np.int32)
    words = mixed(operations.astype(np.uint64), np.uint64(1))
    for layer in range(layers):
        words = _refined(edges, words, directions, np.uint64(3 * layer + 2))
        _, first, inverse = np.unique(words.ravel(), return_index=True, return_inverse=True)
        # Numbered as they first occur: architectures that stand near each other read rows that lie near each other.
        order = np.argsort(first)
        number = np.empty(len(order), np.int32)
        number[order] = np.arange(len(order), dtype=np.int32)
        yield from _bags(edges, colours, *np.divmod(first[order], vertices), directions)
        colours = number[inverse].reshape(n, vertices)
    yield colours


def _bags(
    edges: BoolArray, colours: NDArray[np.int32], graph: IntArray, vertex: IntArray, directions: str
) -> Iterator[NDArray[np.int32]]:
    """Rows and starts of the bags of some vertices, each given by its graph and its place in it."""
    rows, sizes = [], []
    for start in range(0, len(graph), BLOCK):
        one, place = graph[start : start + BLOCK], vertex[start : start + BLOCK]
        itself = place[:, None] == np.arange(edges.shape[1])
        reads = edges[one, :, place]
        parts = [itself | reads] if directions == "in" else [itself, reads, edges[one, place]]
        member, which, part = np.nonzero(np.stack(parts, axis=2))
        rows.append(len(parts) * colours[one[member], which] + part.astype(np.int32))
        sizes.append(np.bincount(member))
    yield np.concatenate(rows).astype(np.int32)
    yield (np.cumsum(counts := np.concatenate(sizes)) - counts).astype(np.int32)


def _refined(edges: BoolArray, words: Words, directions: str, salt: np.uint64) -> Words:
    """A word for each vertex that stands for its own word and those of its neighbours, shape [n, V]."""
    refined = np.empty_like(words)
    with np.errstate(over="ignore"):
        for start in range(0, len(words), BLOCK):
            block = slice(start, start + BLOCK)
            total = mixed(words[block], salt)
            read = mixed(words[block], salt + np.uint64(1))
            reading = mixed(words[block], salt + np.uint64(2)) if directions == "both" else None
            for vertex in range(words.shape[1]):
                total += read[:, vertex, None] * edges[block, vertex]
                if reading is not None:
                    total += reading[:, vertex, None] * edges[block, :, vertex]
            refined[block] = mixed(total, salt)
    return refined
