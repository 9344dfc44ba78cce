"""Layer-wise spaces and Once-for-All: notation, identity, depths, encodings, and sampling under a budget."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.spaces import DARTS, KNOWN, FairNAS, LayerSpace, MobileNet, OnceForAll, SearchSpace, ShuffleNet, known
from frugalnas.testing import SpaceConformance


def priced(kind: type) -> type:
    """The space with made-up costs, so that no module has to be built; layers of one run cost the same."""

    class Priced(kind):
        def costs(self, quantity):
            genes, values = self.allowed.shape
            prices = np.random.default_rng(len(quantity)).integers(1, 10**6, size=((genes + 3) // 4, 2, values))
            prices[:, :, -1] = 0
            gene = np.arange(genes)
            return 10_000.0, prices[gene // 4, (gene % 4 > 0).astype(int)].astype(np.float64)

    Priced.__name__ = Priced.__qualname__ = kind.__name__
    return Priced


class Small(SpaceConformance):
    draws, brute_force = 60, 1


class TestMobileNet(Small):
    def make(self) -> SearchSpace:
        return priced(MobileNet)()


@pytest.mark.slow
class TestMobileNetInABand(Small):
    def make(self) -> SearchSpace:
        return priced(MobileNet)().where("macs>=9.9e6,macs<=10.1e6")


class TestFairNAS(Small):
    def make(self) -> SearchSpace:
        return priced(FairNAS)()


class TestShuffleNet(Small):
    def make(self) -> SearchSpace:
        return priced(ShuffleNet)()


class TestOnceForAll(Small):
    def make(self) -> SearchSpace:
        return priced(OnceForAll)()


@pytest.mark.slow
class TestRestrictedOnceForAllInABand(Small):
    def make(self) -> SearchSpace:
        space = priced(OnceForAll)()
        mask = np.ones((20, 10), np.bool_)
        mask[:, [0, 4]] = mask[7, 9] = mask[3, :9] = False
        return space.restrict(mask).where("params>=6e6,params<=7e6")


class TestTinyLayerSpace(Small):
    """Few enough architectures to list."""

    def make(self) -> SearchSpace:
        layers = [("conv", "pool"), ("pool", "conv", "skip"), ("conv", "skip", "wide"), ("skip", "wide")]
        return LayerSpace(name="tiny", layers=layers, identity="skip", stages=[[1, 2, 3]])


# -- layers ------------------------------------------------------------------------------------------------------


def test_published_sizes():
    assert MobileNet().size == 6**6 * 7**15
    assert FairNAS().size == 6**19
    assert ShuffleNet().size == 4**20
    assert OnceForAll().size == (9**2 + 9**3 + 9**4) ** 5


def test_architectures_are_read_as_numbers_and_as_names():
    space = MobileNet()
    code = space.parse("RLNAS_mobile")
    text = "2 0 -1 2 2 0 2 4 0 4 4 2 4 2 4 2 0 0 0 2 2"
    assert space.format(code) == text
    for other in (
        text.replace(" ", ", "),
        f"[{text.replace(' ', ', ')}]",
        f"({text})",
        " ".join(space.choices[value] for value in code),
    ):
        np.testing.assert_array_equal(space.parse(other), code)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 0 -1", "it has 3 layers, the space has 21"),
        ("-1" + " 0" * 20, r"layer 0 is '-1'; choose one of 0 \(mb3_k3\), .* 5 \(mb6_k7\)$"),
        ("0 6" + " 0" * 19, r"layer 1 is '6'; .*, -1 \(identity\)"),
        ("0 mb6_k9" + " 0" * 19, "layer 1 is 'mb6_k9'"),
        ("RelativeNAS", "RelativeNAS is an architecture of darts, not of mobilenet"),
        ("SPOS_ABBS", "did you mean 'SPOS_ABS'"),
    ],
)
def test_wrong_layers_are_refused_with_the_place(text, message):
    with pytest.raises(FrugalnasError, match=message):
        MobileNet().parse(text)


def test_identities_move_behind_the_other_layers_of_their_run():
    space = MobileNet()
    code = space.parse("0 -1 1 2 3 4 -1 5 0 -1 -1 3 0 0 0 0 1 -1 -1 -1 2")
    expected = space.parse("0 1 2 -1 3 4 5 -1 0 3 -1 -1 0 0 0 0 1 -1 -1 -1 2")
    np.testing.assert_array_equal(space.canonical(code[None])[0], expected)
    swapped = space.parse("0 2 1 -1 3 4 5 -1 0 3 -1 -1 0 0 0 0 1 -1 -1 -1 2")
    assert space.network_ids(swapped[None]) != space.network_ids(code[None])


def test_a_layer_space_of_one_s_own_says_what_is_wrong_with_it():
    with pytest.raises(FrugalnasError, match="layer 1 of mine"):
        LayerSpace(name="mine", layers=[("a",), ("a", "a")])
    with pytest.raises(FrugalnasError, match="stages of mine"):
        LayerSpace(name="mine", layers=[("a", "i"), ("a", "i")], identity="i", stages=[[1, 2]])
    with pytest.raises(FrugalnasError, match="has no layers"):
        LayerSpace(name="mine", layers=[])
    with pytest.raises(FrugalnasError, match="classes of mine is 0"):
        LayerSpace(name="mine", layers=[("a",)], classes=0)


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_architecture_is_one_of_its_space(name):
    each = known(name.upper().replace("_", "-"))
    assert each is KNOWN[name]
    space = SPACES.create({"name": each.space, "options": each.options})
    if each.searchable:
        code = space.parse(each.name)
        assert space.valid(code[None]).all()
        np.testing.assert_array_equal(space.parse(space.format(code)), code)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FrugalnasError, match="unknown architecture 'RelativNAS'; did you mean 'RelativeNAS'"):
        known("RelativNAS")
    with pytest.raises(FrugalnasError, match="unknown architecture of fairnas 'RelativeNAS'"):
        known("RelativeNAS", "fairnas")
    assert known("darts").name == "DARTS_V2"


@pytest.mark.parametrize(
    "description",
    [
        {"name": "darts", "options": {"macro": "imagenet", "width": 45, "duplicates": False}},
        {"name": "mobilenet", "options": {"widths": "cpu", "width": 0.75}},
        {"name": "fairnas", "options": {"input_size": 192}},
        {"name": "shufflenet", "options": {"classes": 10}},
        {"name": "once-for-all", "options": {"width": 1.0, "input_size": 224, "sampler": "depth-uniform"}},
        {"name": "nasbench201", "options": {"width": 8, "cells": 1}},
        {"name": "nasbench101", "options": {"width": 16, "cells": 1, "input_size": 8}},
    ],
    ids=lambda description: description["name"],
)
def test_a_space_is_made_again_from_its_description(description):
    space = SPACES.create(description)
    written = SPACES.describe(space)
    assert SPACES.describe(SPACES.create(written)) == written
    assert written["options"].items() >= description["options"].items()
    other = space.with_options(classes=7)
    assert other.classes == 7
    assert SPACES.describe(other)["options"] == written["options"] | {"classes": 7}


def test_sizes_no_network_has_are_refused():
    with pytest.raises(FrugalnasError, match=r"width of mobilenet is 0"):
        MobileNet(width=0)
    with pytest.raises(FrugalnasError, match=r"input_size of fairnas is 224.5"):
        FairNAS(input_size=224.5)
    with pytest.raises(FrugalnasError, match="unknown widths of mobilenet 'tpu'"):
        MobileNet(widths="tpu")


# -- Once-for-All ------------------------------------------------------------------------------------------------


def test_layers_that_are_not_built_have_no_say():
    space = OnceForAll()
    fields = json.loads(known("OFA_WeakNAS_800").text)
    code = space.parse(json.dumps(fields))
    assert (code == 9).sum() == 2
    fields["ks"][2:4], fields["e"][2:4] = [7, 3], [6, 6]  # the first stage has two layers
    for size in (236, [236]):
        np.testing.assert_array_equal(space.parse(json.dumps({"wid": None, **fields, "r": size})), code)
        np.testing.assert_array_equal(space.parse(str({"wid": None, **fields, "r": size})), code)
    assert space.size_in(str({**fields, "r": [160]})) == 160
    assert space.size_in(space.format(code)) is None
    encoded = space.encode(code[None], "once-for-all")[0]
    assert encoded.shape == (45,)
    assert encoded[2:4].tolist() == [0, 0]
    assert encoded[:2].tolist() == [3, 5]
    assert encoded[40:].tolist() == [2, 4, 4, 4, 4]
    predictor = space.encode(code[None], "ofa-predictor")[0]
    assert predictor.shape == (128,)
    assert predictor.sum() == 18 + 18 + 1
    assert predictor[-1] == 1, "236 is nearest to 224"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d": [1, 4, 4, 4, 4]}, "the depth of stage 0 is 1; choose one of 2, 3, 4"),
        ({"d": [2, 4, 4, 4]}, "'d' is a list of 5 numbers"),
        ({"ks": [9] * 20}, "the kernel of layer 0 is 9; choose one of 3, 5, 7"),
        ({"e": [5] * 20}, "the expansion of layer 0 is 5"),
        ({"r": [224]}, "set `input_size`"),
    ],
)
def test_wrong_once_for_all_networks_are_refused_with_the_place(change, message):
    fields = json.loads(known("OFA_WeakNAS_1000").text) | change
    with pytest.raises(FrugalnasError, match=message):
        OnceForAll().parse(json.dumps(fields))


def test_depth_uniform_samples_have_every_depth_equally_often():
    space = OnceForAll(sampler="depth-uniform")
    codes = space.sample(6_000, np.random.default_rng(0))
    assert space.valid(codes).all()
    depths = (codes != 9).reshape(-1, 5, 4).sum(axis=2)
    for depth in (2, 3, 4):
        assert np.abs((depths == depth).mean(axis=0) - 1 / 3).max() < 0.03
    for value in range(9):
        assert abs((codes[:, 0] == value).mean() - 1 / 9) < 0.02
    uniform = OnceForAll().sample(6_000, np.random.default_rng(0))
    assert (uniform != 9).mean() > 0.95


# -- real costs --------------------------------------------------------------------------------------------------


def test_mobile_networks_are_drawn_in_a_band_of_five_million_macs(monkeypatch):
    """Of all codes 0.07 % lie there, and of those that are looked at most."""
    pytest.importorskip("torch")
    whole = MobileNet()
    space = whole.where("macs>=470e6,macs<=475e6")
    looked_at, valid = [], MobileNet.valid
    monkeypatch.setattr(MobileNet, "valid", lambda self, codes: looked_at.append(len(codes)) or valid(self, codes))
    codes = space.sample(2_000, np.random.default_rng(0))
    assert sum(looked_at) < 8_000
    macs = whole.count("macs", codes)
    assert ((macs >= 470e6) & (macs <= 475e6)).all()
    assert len(np.unique(whole.keys(codes))) == 2_000
    children = space.mutate(codes[:50], np.random.default_rng(1))
    assert space.valid(children).all()


def test_once_for_all_networks_are_drawn_in_weaknas_s_band():
    pytest.importorskip("torch")
    space = OnceForAll().where("macs>=550e6,macs<=600e6")
    codes = space.sample(200, np.random.default_rng(0))
    assert space.valid(codes).all()
    for name in ("OFA_WeakNAS_800", "OFA_WeakNAS_1000"):
        assert space.valid(space.parse(name)[None]).all()


@pytest.mark.parametrize("size", ["width", "layers", "input_size", "classes"])
def test_sizes_above_the_limits_are_refused_before_memory_is_taken(size):
    with pytest.raises(
        FrugalnasError, match=f"{size} of darts asks for 1,000,000,000 .* FRUGALNAS_LIMIT_{size.upper()} to raise"
    ):
        DARTS(**{size: 10**9})
