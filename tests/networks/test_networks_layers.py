"""Networks of the layer-wise spaces: published sizes, the same arithmetic as torchvision's blocks, any width and input size."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import mobilenetv2, mobilenetv3
from torchvision.ops import StochasticDepth

from frugalnas.errors import FrugalnasError
from frugalnas.networks import build, skeleton_of
from frugalnas.networks.layered import LayerSkeleton, Stage, places
from frugalnas.networks.mobile_blocks import MBConv, round_channels
from frugalnas.networks.mobilenet import SIZES, MobileNetSkeleton
from frugalnas.networks.shufflenet import ShuffleNetSkeleton
from frugalnas.networks.weightless import weightless
from frugalnas.spaces import FairNAS, MobileNet, OnceForAll, SearchSpace, ShuffleNet

OFA_800 = {
    "ks": [3, 5, 5, 5, 7, 5, 7, 3, 3, 7, 5, 7, 3, 3, 5, 5, 7, 5, 3, 5],
    "e": [4, 6, 4, 4, 4, 3, 4, 6, 4, 6, 6, 3, 6, 6, 6, 3, 6, 6, 4, 3],
    "d": [2, 4, 4, 4, 4],
}
OFA_1000 = {
    "ks": [5, 3, 3, 3, 5, 5, 5, 3, 7, 5, 7, 5, 3, 5, 5, 3, 7, 5, 3, 5],
    "e": [3, 3, 4, 3, 4, 6, 4, 4, 4, 6, 6, 6, 6, 6, 6, 4, 6, 6, 6, 3],
    "d": [4, 3, 3, 3, 4],
}
MOBILE = "2 0 -1 -1 4 0 2 2 5 2 2 2 3 2 2 2 5 5 4 4 5"

# Name, space, architecture, parameters, multiply-adds. The sizes are those of the papers' released programs.
PUBLISHED = [
    ("SPOS_ABS", MobileNet(), "2 2 -1 0 0 -1 -1 0 5 -1 4 4 0 0 4 2 3 4 4 4 3", 5_936_776, 470_792_064),
    ("ProxylessNAS_ABS", MobileNet(), "2 2 -1 -1 0 2 2 -1 5 -1 4 4 0 0 4 2 3 4 4 4 3", 5_955_808, 468_966_912),
    ("RLNAS_mobile", MobileNet(), "2 0 -1 2 2 0 2 4 0 4 4 2 4 2 4 2 0 0 0 2 2", 5_255_648, 471_521_184),
    ("Proxyless_GPU", MobileNet(), "2 -1 -1 -1 4 -1 -1 0 5 -1 -1 2 3 -1 0 2 5 5 5 3 5", 7_119_848, 465_260_160),
    ("Proxyless_CPU", MobileNet(widths="cpu"), "1 0 0 0 1 0 0 2 1 -1 -1 0 3 0 0 0 3 2 2 0 3", 4_361_648, 439_243_864),
    ("Proxyless_mobile", MobileNet(widths="mobile"), MOBILE, 4_080_512, 320_427_584),
    ("Proxyless_mobile_14", MobileNet(widths="mobile_14"), MOBILE, 6_857_568, 580_883_408),
    ("GPU all 3x3 e3", MobileNet(), "0 " * 21, 5_151_552, 460_908_960),
    ("GPU all 3x3 e6", MobileNet(), "1 " * 21, 7_816_008, 853_406_016),
    ("GPU all 5x5 e3", MobileNet(), "2 " * 21, 5_264_832, 497_562_528),
    ("GPU all 5x5 e6", MobileNet(), "3 " * 21, 8_042_568, 926_713_152),
    ("GPU all 7x7 e3", MobileNet(), "4 " * 21, 5_434_752, 552_542_880),
    ("GPU all 7x7 e6", MobileNet(), "5 " * 21, 8_382_408, 1_036_673_856),
    ("FairNAS_ABS", FairNAS(), "4 2 4 2 2 2 5 2 4 4 2 2 2 4 5 4 2 2 5", 3_774_992, 310_944_320),
    ("FairNAS_A", FairNAS(), "4 0 4 1 5 0 0 5 5 2 1 2 2 1 1 5 1 5 3", 4_651_352, 388_122_848),
    ("FairNAS_B", FairNAS(), "2 0 2 0 1 2 4 0 1 2 0 1 4 0 5 3 5 1 3", 4_506_272, 345_297_632),
    ("FairNAS_C", FairNAS(), "2 0 4 0 0 0 0 0 0 1 0 0 0 0 5 5 1 1 3", 4_397_864, 321_024_992),
    ("CPU all 3x3 e3", FairNAS(), "0 " * 19, 3_189_080, 247_129_856),
    ("CPU all 3x3 e6", FairNAS(), "1 " * 19, 4_679_144, 452_036_096),
    ("CPU all 5x5 e3", FairNAS(), "2 " * 19, 3_271_256, 268_203_776),
    ("CPU all 5x5 e6", FairNAS(), "3 " * 19, 4_843_496, 494_183_936),
    ("CPU all 7x7 e3", FairNAS(), "4 " * 19, 3_394_520, 299_814_656),
    ("CPU all 7x7 e6", FairNAS(), "5 " * 19, 5_090_024, 557_405_696),
    ("SPOS_ShuffleNet", ShuffleNet(), "2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3", 3_558_464, 322_918_720),
    ("shuffle all 3", ShuffleNet(), "0 " * 20, 3_154_880, 295_842_496),
    ("shuffle all 5", ShuffleNet(), "1 " * 20, 3_211_968, 313_654_976),
    ("shuffle all 7", ShuffleNet(), "2 " * 20, 3_297_600, 340_373_696),
    ("shuffle all xception", ShuffleNet(), "3 " * 20, 3_870_816, 358_825_920),
    ("OFA_WeakNAS_800", OnceForAll(), json.dumps(OFA_800), None, 593_163_960),
    ("OFA_WeakNAS_1000", OnceForAll(), json.dumps(OFA_1000), None, 560_829_800),
]

SPACES = [MobileNet, FairNAS, ShuffleNet, OnceForAll]


def counted(network: nn.Module, size: int) -> tuple[int, int]:
    """Parameters and multiply-adds of a network on the meta device, by hooks: nothing of the library counts here."""
    params = sum(weight.numel() for weight in network.parameters())
    macs = 0

    def add(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal macs
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        macs += output.numel() * weight[0].numel()

    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish)):
                setattr(module, name, nn.Identity())  # they cost nothing here, and much time on the meta device
    network.eval()(torch.empty(1, 3, size, size, device="meta"))
    return params, macs


def on_meta(space: SearchSpace, text: str) -> nn.Module:
    with weightless():
        return build(space, space.parse(text))


QUICK = ("SPOS_ABS", "Proxyless_CPU", "Proxyless_mobile_14", "FairNAS_A", "SPOS_ShuffleNet", "OFA_WeakNAS_800")


@pytest.mark.parametrize(
    ("space", "text", "params", "macs"),
    [pytest.param(*row[1:], id=row[0], marks=() if row[0] in QUICK else pytest.mark.slow) for row in PUBLISHED],
)
def test_published_networks_have_their_published_sizes(space, text, params, macs):
    counts = counted(on_meta(space, text), space.input_size)
    assert counts[1] == macs
    assert params is None or counts[0] == params


def test_block_and_channel_search_of_spos():
    """The released block+channel network: scales as multiples of 0.2."""
    blocks = [0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2]
    scales = [(scale + 1) / 5 for scale in (6, 5, 3, 5, 2, 6, 3, 4, 2, 5, 7, 5, 4, 6, 7, 4, 4, 5, 4, 3)]
    skeleton = skeleton_of(ShuffleNet())
    assert isinstance(skeleton, ShuffleNetSkeleton)
    with weightless():
        network = skeleton.build(np.array(blocks, np.int8), scales=scales)
    assert counted(network, 224) == (3_432_579, 327_857_920)
    with pytest.raises(FrugalnasError, match="20 positive numbers"):
        skeleton.build(np.array(blocks, np.int8), scales=[1.0])


@pytest.mark.typical("SPOS-ABS")
@pytest.mark.parametrize(
    ("space", "params"),
    [(MobileNet(), 27_684_320), (FairNAS(), 15_992_600), (MobileNet(widths="mobile_search"), 16_034_168)],
    ids=["SPOS-ABS", "FairNAS-ABS", "ProxylessNAS"],
)
def test_all_blocks_together_are_the_published_supernets(space, params):
    assert supernet_params(skeleton_of(space)) == params


def supernet_params(skeleton) -> int:
    """Every block at every place once, and stem and head once."""
    with weightless():
        made = [(block.value, sum(p.numel() for p in block.make().parameters())) for block in skeleton.blocks()]
        first = sum(p.numel() for p in skeleton.build(np.zeros(skeleton.space.genes, np.int8)).parameters())
    return first + sum(params for value, params in made if value != 0)


# -- the same arithmetic as torchvision's --------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "outputs", "stride", "expansion"), [(16, 16, 1, 6), (16, 24, 2, 6), (16, 8, 1, 1)])
def test_mbconv_is_torchvisions_inverted_residual(inputs, outputs, stride, expansion):
    theirs = mobilenetv2.InvertedResidual(inputs, outputs, stride, expansion)
    ours = MBConv(inputs, outputs, kernel=3, expansion=expansion, stride=stride)
    agree(ours, theirs, torch.randn(2, inputs, 9, 9))


def test_mbconv_with_squeeze_and_excitation_is_torchvisions():
    for kernel, outputs, stride, activation in [(5, 24, 2, "HS"), (7, 16, 1, "RE")]:
        settings = mobilenetv3.InvertedResidualConfig(16, kernel, 64, outputs, True, activation, stride, 1, 1.0)
        theirs = mobilenetv3.InvertedResidual(settings, nn.BatchNorm2d)
        ours = MBConv(
            16,
            outputs,
            kernel=kernel,
            expansion=4,
            stride=stride,
            squeeze=True,
            activation=nn.Hardswish if activation == "HS" else nn.ReLU,
        )
        agree(ours, theirs, torch.randn(2, 16, 9, 9))


def agree(ours: nn.Module, theirs: nn.Module, features: torch.Tensor) -> None:
    for weight in theirs.parameters():
        nn.init.normal_(weight)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(features), theirs.train(mode)(features), rtol=0, atol=0)


@pytest.mark.slow
def test_round_channels_is_torchvisions_rule():
    for channels in np.linspace(1, 400, 58):
        with torch.device("meta"):
            theirs = mobilenetv2.MobileNetV2(width_mult=channels / 32, inverted_residual_setting=[[1, 16, 1, 1]])
        assert round_channels(channels) == theirs.features[0][0].out_channels


def test_a_shuffle_block_splits_after_the_shuffle():
    """Two blocks in a row let every input channel reach the main branch of one of them."""
    skeleton = skeleton_of(ShuffleNet(input_size=64))
    block = skeleton.block(skeleton.places[1], 0).eval()
    features = torch.randn(1, 64, 4, 4)
    torch.testing.assert_close(block(features)[:, :32], features[:, 0::2])
    changed = features.clone()
    changed[:, 0::2] = 0
    torch.testing.assert_close(block(changed)[:, 32:], block(features)[:, 32:])


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.typical("0.35-17-*")
@pytest.mark.parametrize("make", SPACES)
@pytest.mark.parametrize(("width", "size"), [(0.35, 17), (0.85, 33), (0.5, 50)])
def test_any_width_and_input_size_builds_and_learns(make, width, size):
    space = make(width=width, input_size=size, classes=7)
    network = build(space, space.sample(1, np.random.default_rng(size))[0], dropout=0.2)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("make", SPACES)
def test_places_are_the_shapes_that_pass(make):
    space = make(width=0.35, input_size=49, classes=3)
    skeleton = skeleton_of(space)
    assert isinstance(skeleton, LayerSkeleton)
    code = np.zeros(space.genes, np.int8)
    network = build(space, code).eval()
    seen: list[tuple[int, ...]] = []
    for stage in network.stages:
        for block in stage:
            block.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
    network(torch.zeros(1, 3, 49, 49))
    assert seen == [(place.inputs, place.size, place.size) for place in skeleton.places]


@pytest.mark.parametrize("make", SPACES)
def test_blocks_are_what_a_network_is_made_of(make):
    """Additive counts rest on this: the block of each gene has the weights that the network has there."""
    space = make(width=0.35, input_size=33, classes=3)
    skeleton = skeleton_of(space)
    blocks = {(block.gene, block.value): block for block in skeleton.blocks()}
    (code,) = space.sample(1, np.random.default_rng(4))
    chosen = [blocks[gene, int(value)] for gene, value in enumerate(code) if (gene, int(value)) in blocks]
    with weightless():
        network = build(space, code)
        alone = [shapes(block.make()) for block in chosen]
    assert alone == [shapes(block) for stage in network.stages for block in stage]
    by_key = {}
    for block in blocks.values():
        assert by_key.setdefault(block.key, block).input_shape == block.input_shape


def shapes(module: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in module.parameters()]


def test_the_last_convolution_keeps_its_channels_below_width_one():
    for width, channels in [(0.5, 1728), (1.0, 1728), (2.0, 3456)]:
        skeleton = skeleton_of(MobileNet(width=width))
        assert isinstance(skeleton, MobileNetSkeleton)
        assert skeleton.head_channels == channels


@pytest.mark.parametrize("make", SPACES)
def test_images_that_are_too_small_are_refused_with_the_least_size(make):
    space = make(input_size=16)
    with pytest.raises(FrugalnasError, match=r"input 16x16 is too small .* take `input_size`=17 or more"):
        build(space, space.sample(1, np.random.default_rng(0))[0])


def test_places_round_up_at_strides():
    found = places([Stage(8, 2, 2), Stage(16, 1, 1)], inputs=4, size=7)
    assert [(place.inputs, place.outputs, place.size, place.stride) for place in found] == [
        (4, 8, 7, 2),
        (8, 8, 4, 1),
        (8, 16, 4, 1),
    ]
    assert [place.keeps_shape for place in found] == [False, True, False]


def test_a_space_without_sizes_is_told_what_its_networks_need():
    space = MobileNet()
    del space.classes
    with pytest.raises(FrugalnasError, match="mobilenet has no classes, which its networks need"):
        skeleton_of(space)


# -- what is asked of build ----------------------------------------------------------------------------------------------


def test_layers_that_are_the_identity_are_left_out():
    space = MobileNet(input_size=32, width=0.35)
    network = build(space, space.parse("0 -1 -1 -1 0 -1 0 -1 " + "0 " * 13))
    assert [len(stage) for stage in network.stages] == [1, 2, 4, 4, 4, 1]


def test_codes_of_one_network_have_one_state():
    space = MobileNet(input_size=32, width=0.35)
    codes = np.stack([space.parse("0 -1 2 -1 " + "0 " * 17), space.parse("0 2 -1 -1 " + "0 " * 17)])
    assert len(set(space.network_ids(codes))) == 1
    first, second = (build(space, code) for code in codes)
    second.load_state_dict(first.state_dict())
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(first.eval()(images), second.eval()(images), rtol=0, atol=0)


def test_torchs_generator_decides_the_weights():
    space = ShuffleNet(input_size=32, width=0.5)
    code = np.zeros(20, np.int8)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build(space, code).state_dict()["stem.0.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("make", SPACES)
def test_auxiliary_heads_are_refused(make):
    space = make()
    with pytest.raises(FrugalnasError, match="no auxiliary head"):
        build(space, space.sample(1, np.random.default_rng(0))[0], auxiliary="darts")


def test_paths_are_dropped_where_there_is_a_shortcut():
    space = MobileNet(input_size=32, width=0.35)
    network = build(space, np.zeros(21, np.int8), drop_path=0.3)
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == [0.3] * 15
    with pytest.raises(FrugalnasError, match="take `drop_path`=0"):
        build(ShuffleNet(), np.zeros(20, np.int8), drop_path=0.1)


def test_initial_weights_are_the_references():
    """Convolutions N(0, 2 / (k^2 out)), depthwise ones too (RLNAS, ABS); SPOS N(0, 1 / in), its first and classifier 0.01."""
    torch.manual_seed(0)
    network = build(MobileNet(), np.zeros(21, np.int8))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 20_000:
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.03)
    network = build(ShuffleNet(), np.zeros(20, np.int8))
    assert float(network.stem[0].weight.detach().std()) == pytest.approx(0.01, rel=0.2)
    assert float(network.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.03)
    assert float(network.head[0].weight.detach().std()) == pytest.approx(1 / 640, rel=0.03)
    assert all(
        float(m.bias.detach()[0]) == pytest.approx(1e-4) for m in network.modules() if isinstance(m, nn.BatchNorm2d)
    )


def test_normalisation_is_as_each_program_has_it():
    """ProxylessNAS's epsilon is 1e-3, RLNAS's and ABS's torch's."""
    assert {name: sizes.epsilon for name, sizes in SIZES.items()} == {
        "gpu": 1e-5,
        "cpu": 1e-3,
        "mobile": 1e-3,
        "mobile_search": 1e-3,
        "mobile_14": 1e-3,
        "fairnas": 1e-5,
    }
    network = build(MobileNet(widths="cpu", input_size=32), np.zeros(21, np.int8))
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-3}
