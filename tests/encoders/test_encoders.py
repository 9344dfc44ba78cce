"""Encoders of architectures: what they compute, and that a whole space costs no more than its distinct neighbourhoods."""

from __future__ import annotations

import numpy as np
import pytest

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Population

torch = pytest.importorskip("torch")

from frugalnas.encoders import (  # noqa: E402
    BidirectionalGCN,
    GINEncoder,
    GlobalVertexGCN,
    GraphTensors,
    SharedVertices,
    embed,
    graph_tensors,
    shared_vertices,
    sharing,
)

DIRECTIONS = ("in", "both")
NASBENCH101 = fn.NASBench101(sampler="random-bits")
"""It samples without listing the space."""


def population(space, n=200, seed=0):
    return Population(space, space.sample(n, np.random.default_rng(seed)))


def encoder_of(graphs, *, seed=0, **options):
    """An encoder whose batch norms have seen some of the graphs, so that every part of it matters."""
    torch.manual_seed(seed)
    encoder = GINEncoder(graphs.kinds, **options)
    for parameter in encoder.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    for _ in range(3):
        encoder(graphs.take(slice(0, 100)))
    return encoder.eval()


@torch.no_grad()
def dense(encoder, graphs, head=None):
    vectors = torch.cat([encoder(graphs.take(slice(at, at + 4_096))) for at in range(0, len(graphs), 4_096)])
    return vectors if head is None else head(vectors)


# -- graphs ------------------------------------------------------------------------------------------------------------


def test_graphs_of_a_population_are_drawn_once_and_go_with_its_parts():
    space = fn.NASBench201()
    whole = population(space, 20)
    assert whole.graphs is whole.graphs
    part = whole.take(np.array([3, 1]))
    assert np.array_equal(part.graphs.adjacency, space.graphs(part.codes).adjacency)
    assert np.array_equal(part.graphs.operations, space.graphs(part.codes).operations)
    assert part.graphs.names == whole.graphs.names


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_parts_of_a_batch_keep_what_was_summed(directions):
    graphs = graph_tensors(population(NASBENCH101, 20))
    graphs.sums(directions)
    rows = torch.tensor([4, 0, 4])
    part = graphs.take(rows)
    fresh = GraphTensors(graphs.adjacency[rows], graphs.operations[rows], graphs.kinds)
    for kept, computed in zip(part.sums(directions), fresh.sums(directions), strict=True):
        assert torch.equal(kept, computed)


def test_isolated_vertices_are_joined_to_the_input_where_asked():
    cell = fn.NASBench201().parse("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")[None]
    graphs = Population(fn.NASBench201(), cell)
    plain, joined = graph_tensors(graphs).adjacency[0], graph_tensors(graphs, isolated_edges=True).adjacency[0]
    assert plain.sum() == 2
    assert joined[0].sum() == 6
    assert torch.equal(joined[1:], plain[1:])
    assert not joined[0, 7], "the output reads a convolution"
    assert not joined[0, 0], "nothing reads itself"


# -- graph isomorphism networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "celu"])
@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_gin_sums_neighbours_as_the_papers_write_it(directions, activation):
    """Against the formula, vertex by vertex."""
    graphs = graph_tensors(population(NASBENCH101, 4))
    encoder = encoder_of(graphs, directions=directions, activation=activation, width=6).double()
    act = torch.relu if activation == "relu" else torch.nn.functional.celu
    for row in range(len(graphs)):
        edges = graphs.adjacency[row]
        features = [torch.eye(graphs.kinds, dtype=torch.float64)[kind] for kind in graphs.operations[row]]
        for layer in encoder.layers:
            following = []
            for vertex in range(7):
                read = sum((features[other] for other in range(7) if edges[other, vertex]), features[vertex])
                if directions == "both":
                    by = sum((features[other] for other in range(7) if edges[vertex, other]), features[vertex])
                    read = torch.cat([read, by])
                following.append(layer.norm(act(layer.second(act(layer.first(read[None])))))[0])
            features = following
        double = GraphTensors(graphs.adjacency[[row]].double(), graphs.operations[[row]], graphs.kinds)
        assert torch.allclose(encoder(double)[0], torch.stack(features).mean(dim=0), atol=1e-12)


@pytest.mark.parametrize("encoder_class", [GINEncoder, BidirectionalGCN, GlobalVertexGCN])
def test_an_encoder_does_not_see_the_order_of_vertices_and_trains(encoder_class):
    graphs = graph_tensors(population(fn.NASBench201(), 30))
    torch.manual_seed(0)
    encoder = encoder_class(graphs.kinds, width=24)
    encoder(graphs).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in encoder.parameters())
    encoder.eval()
    order = torch.randperm(graphs.vertices)
    shuffled = GraphTensors(graphs.adjacency[:, order][:, :, order], graphs.operations[:, order], graphs.kinds)
    assert encoder(graphs).shape == (30, 24)
    assert torch.allclose(encoder(graphs), encoder(shuffled), atol=1e-5)


@pytest.mark.parametrize("encoder_class", [GINEncoder, BidirectionalGCN, GlobalVertexGCN])
def test_a_cell_without_edges_has_a_finite_vector(encoder_class):
    nothing = Population(fn.NASBench201(), np.zeros((1, 6), np.int8))
    encoder = encoder_class(7, width=8).eval()
    assert encoder(graph_tensors(nothing)).isfinite().all()


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_no_architectures_have_no_vectors(directions):
    nothing = Population(fn.NASBench201(), np.zeros((0, 6), np.int8))
    assert embed(GINEncoder(7, width=8, directions=directions), nothing).shape == (0, 8)


def test_training_moves_the_statistics_and_evaluation_uses_them():
    graphs = graph_tensors(population(fn.NASBench201(), 50))
    encoder = GINEncoder(graphs.kinds)
    alone = encoder.eval()(graphs.take([0]))
    assert torch.allclose(alone, encoder(graphs)[:1], atol=1e-6), "an architecture's vector depends on no other"
    encoder.train()(graphs)
    assert not torch.allclose(alone, encoder.eval()(graphs.take([0])))


def test_an_encoder_is_built_again_from_its_config():
    encoder = GINEncoder(7, width=8, layers=2, directions="both", activation="celu")
    again = GINEncoder(**encoder.config())
    again.load_state_dict(encoder.state_dict())
    graphs = graph_tensors(population(fn.NASBench201(), 5))
    assert torch.equal(encoder.eval()(graphs), again.eval()(graphs))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GINEncoder(7, directions="out"), "'out'.*in.*both"),
        (lambda: GINEncoder(7, activation="tanh"), "'tanh'.*relu"),
        (lambda: GINEncoder(7, width=0), "width is 0"),
        (lambda: GlobalVertexGCN(7, dropout=1.0), "dropout is 1.0"),
        (lambda: GINEncoder(6)(graph_tensors(population(fn.NASBench201(), 3))), "6 operations.*have 7.*another space"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(FrugalnasError, match=message):
        call()


# -- whole spaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize(
    ("space", "n"), [(fn.NASBench201(), 600), (NASBENCH101, 400), (fn.DARTS(), 60), (fn.MobileNet(), 60)]
)
def test_shared_neighbourhoods_give_what_every_vertex_on_its_own_gives(space, n, directions):
    some = population(space, n)
    graphs = graph_tensors(some)
    encoder = encoder_of(graphs, directions=directions)
    tables = SharedVertices(some.graphs, 3, directions)
    assert list(tables.colours) == sorted(tables.colours)
    assert tables.colours[-1] < graphs.operations.numel()
    for head in (None, torch.nn.Linear(32, 16), torch.nn.Linear(32, 1, bias=False)):
        found = tables.embed(encoder.train(), head)
        assert found.shape == (n, 32 if head is None else head.out_features)
        assert torch.allclose(found, dense(encoder.eval(), graphs, head), atol=1e-6, rtol=0)


def test_shared_neighbourhoods_know_joined_isolated_vertices_and_other_depths():
    some = population(fn.NASBench201(), 300)
    graphs = graph_tensors(some, isolated_edges=True)
    encoder = encoder_of(graphs, layers=2, width=8)
    found = SharedVertices(some.graphs, 2, isolated_edges=True).embed(encoder)
    assert torch.allclose(found, dense(encoder, graphs), atol=1e-6, rtol=0)
    assert not torch.allclose(found, SharedVertices(some.graphs, 2).embed(encoder), atol=1e-3)


def test_small_and_large_populations_are_embedded_alike_and_the_encoder_stays_as_it_was(monkeypatch):
    some = population(fn.NASBench201(), 100)
    encoder = encoder_of(graph_tensors(some)).train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    small = embed(encoder, some)
    monkeypatch.setattr(sharing, "DENSE", 10)
    assert torch.allclose(small, embed(encoder, some), atol=1e-6, rtol=0)
    assert shared_vertices(some, 3) is shared_vertices(some, 3)
    assert encoder.training
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_tables_of_another_encoder_are_refused():
    some = population(fn.NASBench201(), 5)
    with pytest.raises(FrugalnasError, match=r"\(7, 2, 'in'\).*made for \(7, 3, 'in'\)"):
        SharedVertices(some.graphs, 3).embed(GINEncoder(7, layers=2))


def test_tables_of_a_whole_space_come_from_the_cache(monkeypatch):
    space = fn.NASBench201()
    first = shared_vertices(Population(space, space.enumerate()), 3)
    monkeypatch.setattr(sharing, "_tables", lambda *_: pytest.fail("the tables were made again"))
    again = shared_vertices(Population(space, space.enumerate()), 3)
    encoder = GINEncoder(7)
    assert torch.equal(first.embed(encoder), again.embed(encoder))
    assert first.colours == again.colours


def test_both_directions_tell_apart_what_one_cannot():
    some = population(NASBENCH101, 1_000).graphs
    apart = {directions: SharedVertices(some, 1, directions).told_apart for directions in DIRECTIONS}
    assert apart["in"] < apart["both"]


@pytest.mark.slow
def test_nas_bench_101_has_the_published_neighbourhoods_and_shared_is_dense():
    space = fn.NASBench101()
    cells = Population(space, space.enumerate())
    tables = shared_vertices(cells, 3)
    assert tables.colours == (233, 23_973, 219_141)
    assert tables.told_apart == 408_546
    assert shared_vertices(cells, 2).told_apart == 394_986
    assert shared_vertices(cells, 1).told_apart == 177_282
    assert SharedVertices(cells.graphs, 3, "both").told_apart == 423_624
    graphs = graph_tensors(cells)
    encoder, head = encoder_of(graphs), torch.nn.Linear(32, 16)
    assert torch.allclose(tables.embed(encoder, head), dense(encoder, graphs, head), atol=1e-6, rtol=0)
