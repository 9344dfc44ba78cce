"""Counts: of any module against torch's own counter, and tables against built networks."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from frugalnas.errors import FrugalnasError
from frugalnas.networks import build, cost_table, count_network
from frugalnas.networks.counting import exported_counts
from frugalnas.networks.darts import network_from_genotype
from frugalnas.networks.weightless import weightless
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench101, NASBench201, OnceForAll, SearchSpace, ShuffleNet
from frugalnas.spaces.genotype import Genotype

ADDITIVE: list[SearchSpace] = [
    DARTS(width=7, layers=5, none=True),
    DARTS(macro="imagenet", width=6, layers=4, input_size=37, classes=11, duplicates=False),
    FairNAS(width=0.25, input_size=65, classes=3),
    MobileNet(width=0.25, input_size=48),
    MobileNet(widths="cpu", width=0.25, input_size=33),
    NASBench201(width=3, cells=2, input_size=17, classes=5),
    OnceForAll(width=0.25, input_size=45),
    ShuffleNet(width=0.5, input_size=33),
]
EVERY = [*ADDITIVE, NASBench101(width=12, cells=1, sampler="random-bits")]


def label(space: SearchSpace) -> str:
    return f"{space.name} {space.input_size}"


def torch_macs(network: nn.Module, shape: tuple[int, ...]) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, *shape))
    return counter.get_total_flops() / 2


@pytest.mark.typical("nasbench*", "darts 32", "fairnas 65")
@pytest.mark.parametrize("space", EVERY, ids=label)
def test_multiply_adds_are_those_of_torchs_own_counter(space: SearchSpace) -> None:
    network = build(space, space.sample(1, np.random.default_rng(0))[0])
    assert count_network(network, space.input_size).macs == torch_macs(network, (3, space.input_size, space.input_size))


class Unusual(nn.Module):
    """Convolutions of all kinds, as functions and as modules, one of them used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2))
        self.twice = nn.Conv2d(8, 8, 3, padding="same", groups=4)
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2)
        self.line = nn.Conv1d(4, 2, 3)
        self.kernel = nn.Parameter(torch.randn(2, 2, 1))
        self.linear = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.twice(self.twice(self.first(x))))
        x = nn.functional.conv1d(self.line(x.flatten(2)), self.kernel)
        return self.linear(x[:, :, :5])


def test_any_module_is_counted() -> None:
    counts = count_network(Unusual(), (3, 10, 12))
    assert counts.macs == torch_macs(Unusual(), (3, 10, 12))
    assert counts.thop == counts.macs + 2 * (5 * 3) - 2 * 3  # two rows through the linear layer
    assert {stage.name: stage.params for stage in counts.stages}["twice"] == 8 * 2 * 9 + 8
    assert sum(stage.params for stage in counts.stages) == counts.params - 4  # the kernel belongs to no part


def test_parts_with_several_outputs_are_counted() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.convolution(x), x

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: Tensor) -> Tensor:
            return self.pair(x)[0]

    (stage,) = count_network(Whole(), 4).stages
    assert (stage.name, stage.shape, stage.params, stage.macs) == ("pair", (2, 4, 4), 8, 3 * 2 * 16)


def test_counting_leaves_no_trace() -> None:
    space = NASBench201(width=4, cells=1)
    network = build(space, space.sample(1, np.random.default_rng(0))[0])
    network.cells.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = pickle.dumps(network)
    modes = [module.training for module in network.modules()]
    torch.manual_seed(0)
    count_network(network, 32)
    drawn = torch.rand(())
    torch.manual_seed(0)
    assert drawn == torch.rand(())
    assert modes == [module.training for module in network.modules()]
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())
    assert pickle.dumps(network) == whole, "no hook is left"
    assert network(torch.zeros(2, 3, 32, 32)).device.type == "cpu"


def test_an_image_that_does_not_fit_is_torchs_error() -> None:
    with pytest.raises(RuntimeError):
        count_network(nn.Conv2d(4, 4, 3), 32)
    with pytest.raises(RuntimeError):
        count_network(nn.Conv2d(3, 4, 5), 3)


def test_stages_add_up() -> None:
    edges = [["sep_conv_3x3", 0], ["skip_connect", 1]]
    network = network_from_genotype(
        Genotype.from_fields({"normal": edges, "reduce": edges}), width=4, layers=3, auxiliary="darts"
    )
    counts = count_network(network, 32)
    assert [stage.name for stage in counts.stages] == ["stem", "cells.0", "cells.1", "cells.2", "classifier"]
    assert [stage.shape for stage in counts.stages] == [(12, 32, 32), (4, 32, 32), (8, 16, 16), (16, 8, 8), (10,)]
    assert sum(stage.params for stage in counts.stages) == counts.params
    assert sum(stage.macs for stage in counts.stages) == counts.macs


@pytest.mark.typical("nasbench201 17", "darts 32", "fairnas 65")
@pytest.mark.parametrize("space", ADDITIVE, ids=label)
def test_tables_add_up_to_built_networks(space: SearchSpace) -> None:
    codes = space.sample(2, np.random.default_rng(1))
    sums = {}
    for quantity in ("params", "macs", "thop"):
        fixed, table = cost_table(space, quantity)
        sums[quantity] = fixed + table[np.arange(space.genes), codes].sum(axis=1)
    for row, code in enumerate(codes):
        counts = count_network(build(space, code), space.input_size)
        assert {quantity: values[row] for quantity, values in sums.items()} == {
            "params": counts.params,
            "macs": counts.macs,
            "thop": counts.thop,
        }


def test_all_of_nasbench201_by_table() -> None:
    space = NASBench201()
    codes = space.enumerate()
    for quantity in ("params", "macs"):
        fixed, table = cost_table(space, quantity)
        np.testing.assert_array_equal(fixed + table[np.arange(6), codes].sum(axis=1), space.count(quantity, codes))


@pytest.mark.slow
def test_limits_of_a_space_do_not_change_its_table() -> None:
    space = MobileNet(width=0.5, input_size=64)
    limited = space.where("params<=2.5e6")
    for measured, other in zip(cost_table(space, "macs"), cost_table(limited, "macs"), strict=True):
        np.testing.assert_array_equal(measured, other)


def test_what_cannot_be_counted_by_table_says_so() -> None:
    with pytest.raises(
        FrugalnasError, match="unknown quantity of nasbench201 'flops'; choose one of: params, macs, thop"
    ):
        cost_table(NASBench201(), "flops")
    with pytest.raises(FrugalnasError, match=r"nasbench101.*whole cell"):
        cost_table(NASBench101(), "macs")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dropped"), [("DARTS_V2", 0.0), ("RelativeNAS", 0.0344)])
def test_what_nobody_reads_is_not_exported(name, dropped):
    """A node of RelativeNAS's normal cell that nothing reads costs 3.4 % of its multiply-adds at the paper's size."""
    space = DARTS(width=36, layers=20)
    with weightless():
        network = build(space, space.parse(name))
    counts, (params, macs) = count_network(network, 32), exported_counts(network, 32)
    assert 1 - macs / counts.macs == pytest.approx(dropped, abs=1e-4)
    assert params <= counts.params


@pytest.mark.slow
def test_what_is_exported_has_no_dead_edges(cli):
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"  # node 1 is read by nobody
    said = json.loads(cli("count", cell, "--space", "nasbench201", "--layers", 1, "--exported", "--json").out)
    space = NASBench201(cells=1)
    live = cell.replace("|nor_conv_3x3~0|+", "|none~0|+", 1)
    assert said["exported_macs"] == space.count("macs", space.parse(live)[None])[0] < said["macs"]
