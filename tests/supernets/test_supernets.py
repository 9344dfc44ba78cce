"""Supernets: the published sizes, and that a path is the network of its code."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.networks import build, skeleton_of
from frugalnas.networks.layered import LayerSkeleton
from frugalnas.networks.weightless import weightless
from frugalnas.supernets import path_sampler, recalibrate, supernet_of
from frugalnas.supernets.darts import DARTSSupernet
from frugalnas.supernets.states import choice_module


def with_values(space: fn.SearchSpace, *values: int) -> fn.SearchSpace:
    """The space with these values alone, and so a supernet that is quickly made."""
    return space.restrict(np.isin(np.arange(space.allowed.shape[1]), values) & space.allowed)


SMALL = {
    "nasbench201": fn.NASBench201(width=2, cells=1, input_size=8),
    "darts": fn.DARTS(width=2, layers=3, input_size=8),
    "darts-none": fn.DARTS(width=2, layers=3, input_size=8, none=True),
    "darts-imagenet": fn.DARTS(macro="imagenet", width=2, layers=3, input_size=40, classes=3),
    "mobilenet": with_values(fn.MobileNet(width=0.1, input_size=32, classes=3), 1, 4, 6),
    "fairnas": with_values(fn.FairNAS(width=0.1, input_size=32, classes=3), 3, 4),
    "shufflenet": with_values(fn.ShuffleNet(width=0.25, input_size=32, classes=3), 1, 3),
    "once-for-all": with_values(fn.OnceForAll(width=0.1, input_size=32, classes=3), 5, 9),
}


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@cache
def small(name: str):
    """A supernet in double precision, of DARTS's without batch norms after poolings, which single networks do not have."""
    space = SMALL[name]
    torch.manual_seed(1)
    made = DARTSSupernet(space, normed_pools=False) if name.startswith("darts") else supernet_of(space)
    return made.double()


def on_meta(space: fn.SearchSpace):
    with weightless():
        return supernet_of(space)


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (fn.NASBench201(), 73_306 + 6 * (241_920 + 26_880)),  # RLNAS: fixed parts, 3x3 and 1x1 convolutions by edge
        (fn.MobileNet(), 27_684_320),
        pytest.param(fn.FairNAS(), 15_992_600, marks=pytest.mark.slow),
        pytest.param(fn.MobileNet(widths="mobile_search"), 16_034_168, marks=pytest.mark.slow),
        (fn.ShuffleNet(), 8_388_176),
    ],
    ids=lambda value: value.name if isinstance(value, fn.SearchSpace) else "",
)
def test_supernets_have_the_published_numbers_of_weights(space, expected):
    assert weights(on_meta(space)) == expected


@pytest.mark.parametrize(
    ("width", "layers", "expected"),
    [
        (16, 3, 673_850),
        pytest.param(16, 8, 1_930_618, marks=pytest.mark.slow),
        pytest.param(4, 4, 118_742, marks=pytest.mark.slow),
        pytest.param(8, 5, 394_210, marks=pytest.mark.slow),
        pytest.param(4, 8, 207_094, marks=pytest.mark.slow),
    ],
)
def test_darts_own_supernet_has_the_published_number_of_weights(width, layers, expected):
    with weightless():
        assert weights(DARTSSupernet(fn.DARTS(width=width, layers=layers), affine=False)) == expected


@pytest.mark.parametrize(
    ("width", "layers", "expected"),
    [
        (4, 3, 78_054),
        pytest.param(16, 8, 1_987_194, marks=pytest.mark.slow),
        pytest.param(8, 5, 412_866, marks=pytest.mark.slow),
        pytest.param(4, 5, 145_510, marks=pytest.mark.slow),
    ],
)
def test_relativenas_weight_set_has_the_published_number_of_weights(width, layers, expected):
    with weightless():
        assert weights(DARTSSupernet(fn.DARTS(width=width, layers=layers), normed_pools=False)) == expected


@pytest.mark.slow
def test_cells_that_reduce_are_the_published_ones():
    assert [layer for layer, cell in enumerate(on_meta(fn.DARTS(width=16, layers=8)).cells) if cell.reduction] == [2, 5]
    imagenet = on_meta(fn.DARTS(macro="imagenet"))
    assert [layer for layer, cell in enumerate(imagenet.cells) if cell.reduction] == [4, 9]
    assert imagenet.classifier.in_features == 768


@pytest.mark.slow
def test_a_supernet_of_darts_may_grow_cell_by_cell_as_abs_has_it():
    imagenet = on_meta(fn.DARTS(macro="imagenet"))
    order = [list(imagenet.cells).index(cell) for cell in imagenet.additions]
    assert order == [5, 10, 1, 6, 11, 2, 7, 12, 3, 8, 13]
    supernet = supernet_of(fn.DARTS(macro="imagenet", layers=8, width=2, classes=3)).eval()
    code = supernet.space.sample(1, np.random.default_rng(0))[0]
    used, cells = [], list(supernet.cells)
    for cell in cells:
        cell.register_forward_hook(lambda cell, *_: used.append(cells.index(cell)))
    for added, expected in enumerate(([0, 2, 5], [0, 2, 3, 5], [0, 2, 3, 5, 6], [0, 1, 2, 3, 5, 6])):
        used.clear()
        supernet.added = added
        assert supernet(torch.zeros(2, 3, 64, 64), code).shape == (2, 3)
        assert used == expected


def test_nasbench201_has_the_triples_of_thirteen_parts():
    supernet = on_meta(fn.NASBench201())
    per_edge = {1: 0, 3: 0}
    for choice in supernet.choices():
        if choice.genes[0][0] == 4 and choice.operation.startswith("nor_conv"):
            per_edge[int(choice.operation[-1])] += weights(supernet.get_submodule(choice.prefix))
    assert per_edge == {1: 26_880, 3: 241_920}
    assert supernet.draws == 15


# -- initial weights -----------------------------------------------------------------------------------------------------


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    fair = supernet_of(SMALL["fairnas"])
    depthwise = fair.get_submodule("stages.4.1.3.layers.1.0")  # 5x5, expansion 6
    assert float(depthwise.weight.detach().std()) == pytest.approx((2 / (25 * depthwise.out_channels)) ** 0.5, rel=0.05)
    imagenet = supernet_of(fn.DARTS(macro="imagenet", width=8, layers=3, input_size=64, classes=100))
    pointwise = imagenet.get_submodule("cells.2.edges.0.4.op.2")
    bound = (6 / pointwise.in_channels) ** 0.5
    assert 0.9 * bound < float(pointwise.weight.detach().abs().max()) <= bound
    assert float(imagenet.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert not imagenet.classifier.bias.any()
    cell = supernet_of(fn.NASBench201(width=16, cells=1))
    for gene, kernel in ((0, 1), (0, 3)):
        conv = cell.get_submodule(f"cells.0.edges.{gene}.{2 if kernel == 1 else 3}.op.1")
        assert float(conv.weight.detach().square().sum()) == pytest.approx(16 / 3, rel=0.2)  # whatever the kernel


def test_search_cells_normalise_as_the_papers_do():
    def normed(supernet: nn.Module, name: str) -> bool:
        return all(part.affine for part in supernet.get_submodule(name).modules() if isinstance(part, nn.BatchNorm2d))

    cell = on_meta(fn.NASBench201())
    assert not normed(cell, "cells.0.edges.0.3")
    assert normed(cell, "cells.5")
    assert normed(cell, "stem")
    darts = on_meta(fn.DARTS(width=4, layers=3))
    assert normed(darts, "cells")
    assert isinstance(darts.get_submodule("cells.0.edges.3.1")[1], nn.BatchNorm2d)


# -- a path is the network of its code -------------------------------------------------------------------------------------


def copied(supernet, code) -> nn.Module:
    """The network of a code with the supernet's weights."""
    space = supernet.space
    network = build(space, code).double()
    found = dict(supernet.state_dict())
    wanted = network.state_dict()
    for name in wanted:
        source = name
        parts = name.split(".")
        if isinstance(space, fn.NASBench201) and parts[2:3] == ["layers"]:
            edge = int(parts[3])
            source = ".".join([*parts[:2], "edges", str(edge), str(code[edge]), *parts[4:]])
        elif isinstance(space, fn.DARTS) and parts[2:3] == ["_ops"]:
            place = int(parts[3])
            reduces = supernet.cells[int(parts[1])].reduction
            state, operation = divmod(int(code[place + 8 * reduces]), 8)
            edge = (0, 2, 5, 9)[place // 2] + state
            source = ".".join([*parts[:2], "edges", str(edge), str(operation), *parts[4:]])
        elif parts[0] == "stages":
            places = [place for place in skeleton_of(space).places if place.stage == int(parts[1])]
            built = [place for place in places if skeleton_of(space).name_of(place, int(code[place.gene]))]
            place = built[int(parts[2])]
            source = f"stages.{parts[1]}.{places.index(place)}.{code[place.gene]}.{'.'.join(parts[3:])}"
        if source in found:  # batch norms without weights begin as those with weights do
            wanted[name].copy_(found[source])
    return network


@pytest.mark.typical("nasbench201", "darts-imagenet", "darts-none")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("fairnas", "shufflenet") else name for name in SMALL],
)
def test_a_path_computes_what_the_network_of_its_code_does(name):
    space = SMALL[name]
    supernet = small(name)
    images = torch.randn(3, 3, space.input_size, space.input_size, dtype=torch.double)
    for code in space.sample(25 if name == "nasbench201" else 2, np.random.default_rng(0)):
        network = copied(supernet, code)
        if name == "shufflenet":  # its supernet has no shifts, which a single network begins with
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.zeros_(module.bias)
        assert torch.allclose(supernet(images, code), network(images), rtol=0, atol=1e-9), space.format(code)


def test_cells_with_codes_of_their_own_take_them():
    space, supernet = SMALL["nasbench201"], small("nasbench201")
    codes = space.sample(3, np.random.default_rng(3))
    images = torch.randn(2, 3, 8, 8, dtype=torch.double)
    x = supernet.stem(images)
    rows = iter(codes)
    for cell in supernet.cells:
        x = cell(x, tuple(next(rows).tolist())) if hasattr(cell, "edges") else cell(x)
    by_hand = supernet.classifier(supernet.lastact(x).mean((2, 3)))
    assert torch.allclose(supernet(images, codes), by_hand, rtol=0, atol=1e-12)
    with pytest.raises(FrugalnasError, match=r"shape \[6\] or \[3, 6\], not \[2, 6\]"):
        supernet(images, codes[:2])


@pytest.mark.typical("nasbench201", "darts", "mobilenet", "fairnas")
@pytest.mark.parametrize("name", SMALL)
def test_no_unused_module_is_touched(name):
    space = SMALL[name]
    supernet = small(name)
    images = torch.randn(2, 3, space.input_size, space.input_size, dtype=torch.double)
    fixed = outside(supernet)
    for code in space.sample(10 if name == "nasbench201" else 2, np.random.default_rng(5)):
        supernet.zero_grad()
        supernet(images, code).sum().backward()
        used = {id(weight) for module in supernet.path_modules(code) for weight in module.parameters()}
        touched = {id(weight) for weight in supernet.parameters() if weight.grad is not None}
        assert touched == used | fixed


def outside(supernet) -> set[int]:
    """The weights that every architecture has."""
    prefixes = tuple(f"{choice.prefix}." for choice in supernet.choices())
    return {id(weight) for name, weight in supernet.named_parameters() if not name.startswith(prefixes)}


def test_edges_that_lead_nowhere_are_skipped():
    space = fn.NASBench201(width=2, cells=1, input_size=8)
    supernet = supernet_of(space)
    only = space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
    assert len(supernet.path_modules(only)) == 3  # one in each of three cells
    nothing = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|")
    assert supernet.path_modules(nothing) == []
    supernet(torch.randn(2, 3, 8, 8), nothing).sum().backward()
    assert supernet.stem[0].weight.grad is not None


# -- choices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_choices_cover_every_gene_and_value_once_in_each_cell(name):
    space = SMALL[name]
    supernet = small(name)
    choices = supernet.choices()
    prefixes = [choice.prefix for choice in choices]
    assert len(set(prefixes)) == len(prefixes)
    for prefix in prefixes:
        supernet.get_submodule(prefix)
    pairs = {pair for choice in choices for pair in choice.genes}
    assert pairs == set(zip(*map(np.ndarray.tolist, space.allowed.nonzero()), strict=True))
    assert {choice.draw for choice in choices} == set(range(supernet.draws))
    assert all(choice.operation and choice.channels > 0 and choice.stride in (1, 2) for choice in choices)


def test_a_restricted_space_has_only_the_choices_it_allows():
    space = fn.NASBench201(width=2, cells=1)
    mask = np.ones((6, 5), bool)
    mask[2, [0, 3]] = False
    supernet = supernet_of(space.restrict(mask))
    assert not any((2, 3) in choice.genes for choice in supernet.choices())
    assert not any(name.startswith("cells.0.edges.2.3.") for name in supernet.state_dict())
    assert len(supernet.choices()) == 3 * 28


def test_spaces_without_a_supernet_say_so():
    with pytest.raises(FrugalnasError, match="nasbench101 has no supernet: NASBench101Skeleton names none"):
        supernet_of(fn.NASBench101())


def test_a_layer_wise_space_of_ones_own_has_a_supernet(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    from macro_space import macro_space

    space = macro_space()
    assert isinstance(skeleton_of(space), LayerSkeleton)
    supernet = supernet_of(space)
    code = space.sample(1, np.random.default_rng(0))[0]
    assert supernet(torch.zeros(2, 3, 32, 32), code).shape == (2, 10)
    assert supernet.choices()[2].operation == "projection"
    assert supernet.eval()(torch.zeros(1, 3, 32, 32), code).shape == (1, 10)
    assert not any(module.training for module in supernet.modules())


# -- recalibration -----------------------------------------------------------------------------------------------------


def test_recalibration_takes_the_mean_over_all_images_and_leaves_other_choices_alone():
    space = fn.NASBench201(width=2, cells=1, input_size=8)
    supernet = supernet_of(space)
    paths = path_sampler("cell", space, supernet.draws, 0)
    for step in range(20):
        supernet(torch.randn(8, 3, 8, 8), paths(step)[0])
    code = space.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|")
    other = supernet.get_submodule("cells.0.edges.1.3.op.2")  # leads nowhere
    before = other.running_mean.clone()
    batches = list(torch.randn(3, 8, 3, 8, 8))
    recalibrate(supernet, code, batches)
    with torch.no_grad():
        wanted = supernet.stem[0](torch.cat(batches))
    assert torch.allclose(supernet.stem[1].running_mean, wanted.mean((0, 2, 3)), atol=1e-6)
    assert torch.equal(other.running_mean, before)
    assert supernet.stem[1].momentum == 0.1
    assert not supernet.training
    first = supernet(batches[0], code)
    for step in range(20, 40):
        supernet.train()(torch.randn(8, 3, 8, 8), paths(step)[0])
    recalibrate(supernet, code, batches)
    assert torch.allclose(supernet(batches[0], code), first, atol=1e-5)  # whatever came before


# -- pooling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(7, 8), (24, 25)])
@pytest.mark.parametrize("stride", [1, 2])
def test_average_pooling_of_channels_last_images_is_average_pooling(stride, size):
    pool = choice_module("avg_pool_3x3", 5, stride, affine=False)
    images = torch.randn(2, 5, *size).requires_grad_()
    last = images.detach().to(memory_format=torch.channels_last).requires_grad_()
    out = pool(last)
    wanted = F.avg_pool2d(images, 3, stride, 1, count_include_pad=False)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(out, wanted, atol=1e-6)
    given = torch.randn_like(wanted)
    out.backward(given)
    wanted.backward(given)
    torch.testing.assert_close(last.grad, images.grad)
