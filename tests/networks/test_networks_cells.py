"""Networks of NAS-Bench-101, NAS-Bench-201 and of DARTS's cells: what they compute, which sizes they take, what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks import build, count_network, set_drop_path
from frugalnas.networks.darts import Cell, network_from_genotype
from frugalnas.networks.operations import OPERATIONS, FactorizedReduce, operation
from frugalnas.networks.weightless import weightless
from frugalnas.spaces import DARTS, NASBench101, NASBench201
from frugalnas.spaces.genotype import Genotype

SPACES = [
    DARTS(width=4, layers=5),
    DARTS(macro="imagenet", width=5, layers=4, input_size=64, classes=7),
    NASBench101(width=12, cells=1, sampler="random-bits"),
    NASBench201(width=4, cells=1),
]
SKIPS = Genotype.parse(
    '{"normal": [["skip_connect", 0], ["skip_connect", 1]], "reduce": [["max_pool_3x3", 0], ["skip_connect", 1]]}'
)


def reads_all(genotype: Genotype) -> bool:
    return all({0, 1} <= {source for _, source in edges} for edges in (genotype.normal, genotype.reduce))


def images(size: int, n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.typical("nasbench*", "darts 32")
@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name} {space.input_size}")
def test_every_parameter_of_a_built_network_learns(space: DARTS) -> None:
    """Where a cell passes over one of its inputs, what only that input would have reached does not learn."""
    for code in space.sample(2, np.random.default_rng(0)):
        network = build(space, code)
        logits = network(images(space.input_size))
        assert logits.shape == (2, space.classes)
        logits.square().sum().backward()
        if not isinstance(space, DARTS) or reads_all(space.genotype(code)):
            assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.typical("nasbench*", "darts 32")
@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name} {space.input_size}")
def test_networks_take_images_that_do_not_halve_evenly(space: DARTS) -> None:
    code = space.sample(1, np.random.default_rng(1))[0]
    for size in (33, 50):
        odd = space.with_options(input_size=size)
        network = build(odd, code)
        assert network.eval()(images(size)).shape == (2, space.classes)
        assert count_network(network, size).macs == odd.count("macs", code[None])[0]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name} {space.input_size}")
def test_images_that_are_too_small_are_refused(space: DARTS) -> None:
    code = space.sample(1, np.random.default_rng(1))[0]
    halvings = 5 if getattr(space, "macro", "") == "imagenet" else 2
    least = 2 ** (halvings - 1) + 1
    assert build(space.with_options(input_size=least), code).eval()(images(least)).shape == (2, space.classes)
    with pytest.raises(FrugalnasError, match=rf"input_size.*[ =]{least}"):
        build(space.with_options(input_size=least - 1), code)


def test_a_seed_makes_a_network() -> None:
    space = SPACES[0]
    code = space.sample(1, np.random.default_rng(0))[0]
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(build(space, code).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_what_is_no_architecture_is_not_built() -> None:
    with pytest.raises(FrugalnasError, match="is not an architecture of"):
        build(SPACES[3], np.full(6, 5, np.int8))


# -- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [7, 8])
def test_operations_keep_channels_and_halve_with_stride(name: str, size: int) -> None:
    features = torch.randn(2, 6, size, size)
    assert operation(name, 6)(features).shape == (2, 6, size, size)
    assert operation(name, 6, stride=2)(features).shape == (2, 6, -(-size // 2), -(-size // 2))


@pytest.mark.parametrize(
    ("name", "parameters"),
    # Of 10 channels: see the formulas of DARTS's operations, biases of convolutions excluded.
    [
        ("none", 0),
        ("skip_connect", 0),
        ("avg_pool_3x3", 0),
        ("sep_conv_3x3", 2 * (10 * 9 + 100 + 20)),
        ("sep_conv_7x7", 2 * (10 * 49 + 100 + 20)),
        ("dil_conv_5x5", 10 * 25 + 100 + 20),
        ("conv_7x1_1x7", 2 * 7 * 100 + 20),
        ("nor_conv_3x3", 9 * 100 + 20),
    ],
)
def test_operations_have_the_papers_parameters(name: str, parameters: int) -> None:
    assert sum(each.numel() for each in operation(name, 10).parameters()) == parameters


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_gradients_are_those_of_the_processor_in_any_layout(name: str) -> None:
    torch.manual_seed(0)
    module, images = operation(name, 8).double(), torch.randn(2, 8, 6, 6, dtype=torch.float64)
    wanted = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    gradients = []
    for device in ("cpu", "cuda"):
        given = images.to(device, memory_format=torch.channels_last).requires_grad_()
        (module.to(device)(given) * wanted.to(device)).sum().backward()
        gradients.append(given.grad.cpu())
    torch.testing.assert_close(*gradients)


def test_a_misspelled_operation_is_named() -> None:
    with pytest.raises(FrugalnasError, match="unknown operation 'sep_conv3x3'; did you mean 'sep_conv_3x3'"):
        operation("sep_conv3x3", 8)


def test_factorized_reduction_sees_every_second_pixel_and_those_between() -> None:
    reduce = FactorizedReduce(1, 3).eval()
    nn.init.ones_(reduce.conv_1.weight)
    nn.init.ones_(reduce.conv_2.weight)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    first, second, third = reduce(image)[0] * (1 + reduce.bn.eps) ** 0.5
    torch.testing.assert_close(first, torch.tensor([[0.0, 2], [8, 10]]))
    torch.testing.assert_close(second, torch.tensor([[5.0, 7], [13, 15]]))
    torch.testing.assert_close(third, second)


# -- DARTS's cells ---------------------------------------------------------------------------------------------------


def test_a_cell_adds_pairs_and_concatenates_nodes() -> None:
    """One edge used twice, as in RelativeNAS's cell, is two operations with weights of their own."""
    pairs = [("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("avg_pool_3x3", 2), ("skip_connect", 0)]
    cell = Cell(pairs, (2, 3), (6, 6), 4, reduction=False, reduction_before=False).eval()
    s0, s1 = torch.randn(2, 2, 6, 8, 8)
    first, second, pool, _ = cell.get_submodule("_ops")  # as in the programs of the papers
    x0, x1 = cell.preprocess0(s0), cell.preprocess1(s1)
    node = first(x1) + second(x1)
    torch.testing.assert_close(cell(s0, s1), torch.cat([node, pool(node) + x0], dim=1))
    assert not torch.equal(first(x1), second(x1))


def test_dropped_paths_are_zero_and_kept_ones_are_scaled() -> None:
    pairs = [("avg_pool_3x3", 1), ("skip_connect", 0)]
    cell = Cell(pairs, (2,), (3, 3), 3, reduction=False, reduction_before=False, drop_path=0.25)
    cell.preprocess0, cell.preprocess1 = nn.Identity(), nn.Identity()
    s0, s1 = torch.randn(2, 4000, 3, 4, 4)
    pooled = cell.get_submodule("_ops.0")(s1)
    path = cell(s0, s1) - s0  # the skip is never dropped
    dropped = path.abs().amax(dim=(1, 2, 3)) < 1e-6
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(path[~dropped], pooled[~dropped] / 0.75, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cell.eval()(s0, s1), pooled + s0)


def test_the_rate_of_a_network_is_set_everywhere() -> None:
    space = SPACES[0]
    network = build(space, space.sample(1, np.random.default_rng(0))[0])
    batch = images(32)
    torch.testing.assert_close(network(batch), network(batch))
    set_drop_path(network, 0.5)
    assert not torch.equal(network(batch), network(batch))
    with pytest.raises(FrugalnasError, match="drop-path rate of 1 is not possible"):
        set_drop_path(network, 1.0)


@pytest.mark.slow
def test_a_compiled_network_is_not_compiled_again_for_another_rate() -> None:
    space = DARTS(width=2, layers=3, input_size=8)
    network = build(space, space.sample(1, np.random.default_rng(0))[0], drop_path=0.01)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(network, backend=backend)
    for epoch in range(1, 20):
        set_drop_path(network, epoch / 20)
        compiled(images(8)).sum().backward()
    assert len(graphs) == 1


@pytest.mark.parametrize(("macro", "size", "more"), [("cifar", 32, 0), ("imagenet", 224, 2 * 768)])
def test_auxiliary_heads(macro: str, size: int, more: int) -> None:
    """They speak in training only and are not counted; P-DARTS's has a batch norm more on ImageNet."""
    sizes = {"macro": macro, "width": 4, "layers": 3, "input_size": size}
    heads = {}
    for kind in (None, "darts", "pdarts"):
        network = network_from_genotype(SKIPS, auxiliary=kind, **sizes)
        heads[kind] = count_network(network, size)
    assert heads[None].params == heads["darts"].params == heads["pdarts"].params
    assert heads["pdarts"].auxiliary_params - heads["darts"].auxiliary_params == more
    assert network.eval()(images(size)).shape == (2, 10)
    first, second = network.train()(images(size))
    assert first.shape == second.shape == (2, 10)


@pytest.mark.parametrize(("macro", "least"), [("cifar", 29), ("imagenet", 193)])
def test_the_auxiliary_head_says_which_images_are_too_small(macro: str, least: int) -> None:
    sizes = {"macro": macro, "width": 4, "layers": 3, "auxiliary": "darts"}
    network = network_from_genotype(SKIPS, input_size=least, **sizes)
    assert len(network(images(least))) == 2
    with pytest.raises(FrugalnasError, match=f"auxiliary head.*take `input_size`={least} or more"):
        network_from_genotype(SKIPS, input_size=least - 1, **sizes)
    with pytest.raises(FrugalnasError, match=r"unknown auxiliary head 'nasnet'; .*darts, pdarts, or leave it out"):
        network_from_genotype(SKIPS, macro=macro, input_size=224, auxiliary="nasnet")


class ByHand:
    """The CIFAR network of one genotype in evaluation mode, written with functions on its stored weights."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self.weights = weights

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        stored = [self.weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *stored)

    def conv(self, x: torch.Tensor, name: str, **how: int) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weights[f"{name}.weight"], **how)

    def project(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return self.norm(self.conv(x.relu(), f"{name}.op.1"), f"{name}.op.2")

    def reduce(self, x: torch.Tensor, name: str) -> torch.Tensor:
        x = x.relu()
        halves = [self.conv(x, f"{name}.conv_1", stride=2), self.conv(x[:, :, 1:, 1:], f"{name}.conv_2", stride=2)]
        return self.norm(torch.cat(halves, 1), f"{name}.bn")

    def separable(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        for first, step in ((1, stride), (5, 1)):
            x = self.conv(x.relu(), f"{name}.op.{first}", stride=step, padding=1, groups=x.shape[1])
            x = self.norm(self.conv(x, f"{name}.op.{first + 1}"), f"{name}.op.{first + 2}")
        return x

    def dilated(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        x = self.conv(x.relu(), f"{name}.op.1", stride=stride, padding=4, dilation=2, groups=x.shape[1])
        return self.norm(self.conv(x, f"{name}.op.2"), f"{name}.op.3")

    def normal(self, s0: torch.Tensor, s1: torch.Tensor, name: str, reduced: bool) -> torch.Tensor:
        """sep3 0 + skip 1; dil5 2 + average 0."""
        x0 = (self.reduce if reduced else self.project)(s0, f"{name}.preprocess0")
        x1 = self.project(s1, f"{name}.preprocess1")
        x2 = self.separable(x0, f"{name}._ops.0", 1) + x1
        pooled = nn.functional.avg_pool2d(x0, 3, 1, 1, count_include_pad=False)
        return torch.cat([x2, self.dilated(x2, f"{name}._ops.2", 1) + pooled], 1)

    def reduction(self, s0: torch.Tensor, s1: torch.Tensor, name: str, reduced: bool) -> torch.Tensor:
        """max 0 + skip 1; dil5 1 + skip 2."""
        x0 = (self.reduce if reduced else self.project)(s0, f"{name}.preprocess0")
        x1 = self.project(s1, f"{name}.preprocess1")
        x2 = nn.functional.max_pool2d(x0, 3, 2, 1) + self.reduce(x1, f"{name}._ops.1")
        return torch.cat([x2, self.dilated(x1, f"{name}._ops.2", 2) + x2], 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Four cells: normal, reduction, reduction, normal."""
        stem = self.norm(self.conv(x, "stem.0", padding=1), "stem.1")
        first = self.normal(stem, stem, "cells.0", reduced=False)
        second = self.reduction(stem, first, "cells.1", reduced=False)
        third = self.reduction(first, second, "cells.2", reduced=True)
        fourth = self.normal(second, third, "cells.3", reduced=True)
        pooled = fourth.mean(dim=(2, 3))
        return nn.functional.linear(pooled, self.weights["classifier.weight"], self.weights["classifier.bias"])


def test_the_network_is_the_one_written_by_hand() -> None:
    genotype = Genotype.from_fields(
        {
            "normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ["dil_conv_5x5", 2], ["avg_pool_3x3", 0]],
            "reduce": [["max_pool_3x3", 0], ["skip_connect", 1], ["dil_conv_5x5", 1], ["skip_connect", 2]],
        }
    )
    network = network_from_genotype(genotype, width=6, layers=4)
    network(images(32, n=8))  # batch norms of their own
    network.eval()
    torch.testing.assert_close(network(images(32)), ByHand(network.state_dict())(images(32)))


def test_weights_have_the_names_of_published_ones() -> None:
    """What `RelativeNAS` and the other programs of the DARTS family store, without the prefix `module.`."""
    edges = [["sep_conv_3x3", 0], ["skip_connect", 1], ["dil_conv_5x5", 1], ["avg_pool_3x3", 2]]
    genotype = Genotype.from_fields({"normal": edges, "reduce": edges})
    cifar = set(network_from_genotype(genotype, width=4, layers=3, auxiliary="darts").state_dict())
    assert {
        "stem.0.weight",
        "stem.1.running_mean",
        "cells.0.preprocess0.op.1.weight",
        "cells.0.preprocess1.op.2.bias",
        "cells.0._ops.0.op.1.weight",
        "cells.0._ops.0.op.6.weight",
        "cells.1._ops.1.conv_1.weight",
        "cells.1._ops.1.bn.weight",
        "cells.2._ops.2.op.3.num_batches_tracked",
        "cells.2.preprocess0.conv_2.weight",
        "auxiliary_head.features.2.weight",
        "auxiliary_head.features.6.weight",
        "auxiliary_head.classifier.bias",
        "classifier.weight",
    } <= cifar
    imagenet = set(network_from_genotype(genotype, macro="imagenet", input_size=224, layers=3).state_dict())
    assert {"stem0.0.weight", "stem0.4.weight", "stem1.1.weight", "stem1.2.running_var"} <= imagenet
    tops = {"stem", "stem0", "stem1", "cells", "auxiliary_head", "classifier"}
    assert {name.split(".")[0] for name in cifar | imagenet} == tops


# -- NAS-Bench-201 ---------------------------------------------------------------------------------------------------


def test_a_cell_of_nasbench201_is_what_its_string_says() -> None:
    space = NASBench201(width=4, cells=1)
    code = space.parse("|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|skip_connect~2|")
    cell = build(space, code).eval().cells[0]
    features = torch.randn(2, 4, 8, 8)
    pooled = nn.functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(cell(features), cell.layers[3](features) + pooled)


def test_built_networks_of_nasbench201_cost_what_is_counted() -> None:
    space = NASBench201()
    codes = space.sample(8, np.random.default_rng(0))
    for code, params, macs in zip(codes, space.count("params", codes), space.count("macs", codes), strict=True):
        counts = count_network(build(space, code), 32)
        assert (counts.params, counts.macs) == (params, macs)


@pytest.mark.typical("cifar10-*")
@pytest.mark.parametrize(
    ("dataset", "size", "classes"), [("cifar10", 32, 10), ("cifar100", 32, 100), ("ImageNet16-120", 16, 120)]
)
@pytest.mark.filterwarnings("ignore")
def test_official_records_state_these_networks(shared_data: Path, dataset: str, size: int, classes: int) -> None:
    """The FLOPs in NATS-Bench's records are multiply-adds in millions, and the classifier's bias."""
    nats_bench = pytest.importorskip("nats_bench", reason="nats_bench, the judge, is not installed")
    api = nats_bench.create(str(shared_data / "nats-tss-v1_0-3ffb9-simple"), "tss", fast_mode=True, verbose=False)
    space = NASBench201(input_size=size, classes=classes)
    for index in (0, 11, 284):
        stated = api.get_cost_info(index, dataset)
        counts = count_network(build(space, space.parse(api.arch(index))), size)
        assert counts.params == round(1e6 * stated["params"])
        assert counts.macs == round(1e6 * stated["flops"]) - classes


def test_extras_that_nasbench201_lacks_are_refused() -> None:
    space = SPACES[3]
    code = space.sample(1, np.random.default_rng(0))[0]
    with pytest.raises(FrugalnasError, match="no auxiliary head"):
        build(space, code, auxiliary="darts")
    with pytest.raises(FrugalnasError, match=r"take `drop_path`=0, not 0\.2"):
        build(space, code, drop_path=0.2)


# -- NAS-Bench-101 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, pytest.param(300, marks=pytest.mark.slow)])
def test_built_networks_of_nasbench101_have_the_parameters_that_the_benchmark_states(n: int) -> None:
    """`count` gives the stated parameters of all 423,624 cells, which another test compares."""
    space = NASBench101()
    codes = space.sample(n, np.random.default_rng(n))
    for code, params, macs in zip(codes, space.count("params", codes), space.count("macs", codes), strict=True):
        with weightless():
            network = build(space, code)
        counts = count_network(network, 32)
        assert (counts.params, counts.macs) == (params, macs)


def test_vertices_read_the_first_channels_of_wider_ones() -> None:
    """Ten channels on three vertices are 4, 3 and 3; the third vertex reads the first, one channel wider."""
    space = NASBench101(width=10, cells=1)
    code = space.parse("conv1x1(0)+conv3x3(0)+maxpool3x3(1)+output(1,2,3)")
    cell = build(space, code).eval().cells[0]
    x = torch.randn(2, 10, 8, 8)
    first = cell.operations["1"](cell.projections["1"](x))
    second = cell.operations["2"](cell.projections["2"](x))
    third = nn.functional.max_pool2d(first[:, :3], 3, 1, 1)
    assert [part.shape[1] for part in (first, second, third)] == [4, 3, 3]
    torch.testing.assert_close(cell(x), torch.cat([first, second, third], dim=1))


def test_an_input_that_feeds_the_output_is_projected_and_added() -> None:
    space = NASBench101(width=6, cells=1)
    cell = build(space, space.parse("conv3x3(0)+output(0,1)")).eval().cells[0]
    x = torch.randn(1, 6, 4, 4)
    torch.testing.assert_close(cell(x), cell.projections["6"](x) + cell.operations["1"](cell.projections["1"](x)))
    alone = build(space, space.parse("output(0)")).eval().cells[0]
    torch.testing.assert_close(alone(x), alone.projections["6"](x))


def test_dead_vertices_are_not_built() -> None:
    space = NASBench101(width=6, cells=1)
    live, dead = (space.parse(text) for text in ("conv3x3(0)+output(1)", "conv3x3(0)+conv1x1(1)+output(1)"))
    assert count_network(build(space, live), 32) == count_network(build(space, dead), 32)
