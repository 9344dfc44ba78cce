"""Parameters and multiply-adds of published networks, exactly: counted by table, and of the built network.

Sources: tables of the papers, where they state them to the digit; otherwise what the papers' own programs build, which
agrees with the papers' rounded numbers: RelativeNAS (3.93 M, 3.98 M, 5.05 M), DARTS (3.3 M, 4.7 M, 530 M), P-DARTS (3.4 M,
4.9 M), ABS's table (619, 547, 645, 570, 472, 470, 467, 325 and 322 M), RLNAS's (629, 581, 597 and 473 M), ProxylessNAS's
logs, FairNAS's table (388, 345 and 321 M), Single Path One-Shot's (3.5 M, 323 M), and WeakNAS's two of Once-for-All.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from frugalnas.networks import build, count_network, skeleton_of
from frugalnas.networks.darts import network_from_genotype
from frugalnas.networks.weightless import weightless
from frugalnas.registry import SPACES
from frugalnas.spaces import FairNAS, MobileNet, SearchSpace
from frugalnas.spaces.known import KNOWN


class Golden(NamedTuple):
    """A published network; `more` states other counts of it by name."""

    name: str
    source: str
    params: int
    macs: int
    settings: dict[str, Any]
    more: dict[str, int]


def golden(name: str, source: str, params: int, macs: int, *, settings: Any = None, **more: int) -> Golden:
    return Golden(name, source, params, macs, settings or {}, more)


def cifar(name: str, source: str, params: int, with_head: int, convolutions: int) -> Golden:
    """Width 36, 20 cells, ten classes; the table states multiply-adds of convolutions only."""
    return golden(name, source, params, convolutions + 5_760, auxiliary=with_head - params)


def cifar100(name: str, source: str, params: int, with_head: int, convolutions: int) -> Golden:
    settings = {"classes": 100}
    return golden(name, source, params, convolutions + 57_600, auxiliary=with_head - params, settings=settings)


def small(name: str, params: int, convolutions: int, **more: int) -> Golden:
    """ABS's and RelativeNAS's proxy: width 16, 8 cells."""
    settings = {"width": 16, "layers": 8}
    return golden(name, "ABS's and RelativeNAS's proxy", params, convolutions + 2_560, settings=settings, **more)


def imagenet(name: str, source: str, width: int, params: int, macs: int, **more: int) -> Golden:
    """14 cells, 224x224."""
    return golden(name, source, params, macs, settings={"macro": "imagenet", "width": width}, **more)


def every(space: str, value: int, params: int, macs: int) -> Golden:
    """The same choice in all layers."""
    return golden(f"{space} {value}", "the papers' programs", params, macs)


DARTS, RELATIVE, PDARTS, ABS, RLNAS = "DARTS", "RelativeNAS", "P-DARTS", "ABS", "RLNAS"
IMAGENET: dict[str, Any] = {"macro": "imagenet", "layers": 14, "input_size": 224, "classes": 1000}
PROXYLESS, FAIRNAS, SPOS = "ProxylessNAS", "FairNAS", "Single Path One-Shot"
TABLE = [
    cifar("DARTS_V1", DARTS, 3_169_414, 3_645_840, 500_981_760),
    cifar("DARTS_V2", DARTS, 3_349_342, 3_825_768, 528_353_280),
    cifar("RelativeNAS", RELATIVE, 3_928_222, 4_404_648, 616_826_880),
    cifar("PDARTS", PDARTS, 3_433_798, 3_910_224, 532_168_704),
    cifar("DARTS_ABS", ABS, 3_971_854, 4_448_280, 619_951_104),
    cifar("PDARTS_ABS", ABS, 4_162_150, 4_638_576, 648_649_728),
    cifar("RLNAS_C10", RLNAS, 4_034_710, 4_511_136, 630_374_400),
    cifar("PairNAS_CIFAR100", RELATIVE, 3_634_246, 4_110_672, 571_152_384),
    cifar100("DARTS_V1", DARTS, 3_221_344, 3_766_980, 500_981_760),
    cifar100("DARTS_V2", DARTS, 3_401_272, 3_946_908, 528_353_280),
    cifar100("RelativeNAS", RELATIVE, 3_980_152, 4_525_788, 616_826_880),
    cifar100("PDARTS", PDARTS, 3_485_728, 4_031_364, 532_168_704),
    cifar100("PairNAS_CIFAR100", RELATIVE, 3_686_176, 4_231_812, 571_152_384),
    small("DARTS_ABS", 349_786, 57_692_160, auxiliary=785_252 - 349_786),
    small("PDARTS_ABS", 367_610, 60_370_944, auxiliary=803_076 - 367_610),
    small("RelativeNAS", 316_378, 53_829_632),
    imagenet("RelativeNAS", RELATIVE, 46, 5_050_029, 562_973_760, thop=563_708_760, auxiliary=1_256_680),
    imagenet("DARTS_V2", DARTS, 48, 4_718_752, 529_911_552, thop=530_678_552, auxiliary=1_260_776),
    imagenet("DARTS_V1", DARTS, 48, 4_510_432, 505_864_704, thop=506_631_704),
    imagenet("PDARTS", PDARTS, 48, 4_944_352, 542_819_328, thop=543_586_328),
    imagenet("DARTS_search", ABS, 48, 4_039_840, 445_973_376, thop=446_740_376),
    imagenet("PDARTS_search", ABS, 48, 5_077_696, 563_545_152, thop=564_312_152),
    imagenet("DARTS_ABS", ABS, 48, 5_590_144, 618_920_640, thop=619_687_640),
    imagenet("DARTS_ABS", ABS, 45, 4_978_098, 546_834_996, thop=547_553_996),
    imagenet("PDARTS_ABS", ABS, 48, 5_812_288, 644_322_240, thop=645_089_240),
    imagenet("PDARTS_ABS", ABS, 45, 5_175_018, 569_378_916, thop=570_097_916),
    imagenet("RLNAS_C10", RLNAS, 48, 5_674_720, 628_356_864, thop=629_123_864),
    imagenet("RLNAS_C10", RLNAS, 46, 5_257_581, 579_815_648, thop=580_550_648),
    imagenet("RLNAS_IN_free", RLNAS, 48, 6_618_976, 723_151_872, thop=723_918_872),
    imagenet("RLNAS_IN_600M", RLNAS, 48, 5_463_616, 595_983_936, thop=596_750_936),
    imagenet("RLNAS_IN_600M", RLNAS, 46, 5_057_113, 548_935_848, thop=549_670_848),
    golden("SPOS_ABS", ABS, 5_936_776, 470_792_064, thop=472_519_064),
    golden("ProxylessNAS_ABS", ABS, 5_955_808, 468_966_912, thop=470_693_912),
    golden("RLNAS_mobile", RLNAS, 5_255_648, 471_521_184, thop=473_248_184),
    golden("Proxyless_GPU", PROXYLESS, 7_119_848, 465_260_160, thop=466_987_160),
    golden("Proxyless_CPU", PROXYLESS, 4_361_648, 439_243_864),
    golden("Proxyless_mobile", PROXYLESS, 4_080_512, 320_427_584),
    golden("Proxyless_mobile_14", PROXYLESS, 6_857_568, 580_883_408),
    golden("FairNAS_ABS", ABS, 3_774_992, 310_944_320, thop=312_223_320, abs_lookup=325_068_376),
    golden("FairNAS_A", FAIRNAS, 4_651_352, 388_122_848, abs_lookup=402_246_904),
    golden("FairNAS_B", FAIRNAS, 4_506_272, 345_297_632),
    golden("FairNAS_C", FAIRNAS, 4_397_864, 321_024_992, thop=322_303_992),
    golden("SPOS_ShuffleNet", SPOS, 3_558_464, 322_918_720),
    golden("ResNet18", "timm's resnet18", 11_689_512, 1_814_073_344),
    golden("ResNet34", "timm's resnet34", 21_797_672, 3_663_761_408),
    every("mobilenet", 0, 5_151_552, 460_908_960),
    every("mobilenet", 1, 7_816_008, 853_406_016),
    every("mobilenet", 2, 5_264_832, 497_562_528),
    every("mobilenet", 3, 8_042_568, 926_713_152),
    every("mobilenet", 4, 5_434_752, 552_542_880),
    every("mobilenet", 5, 8_382_408, 1_036_673_856),
    every("fairnas", 0, 3_189_080, 247_129_856),
    every("fairnas", 1, 4_679_144, 452_036_096),
    every("fairnas", 2, 3_271_256, 268_203_776),
    every("fairnas", 3, 4_843_496, 494_183_936),
    every("fairnas", 4, 3_394_520, 299_814_656),
    every("fairnas", 5, 5_090_024, 557_405_696),
    every("shufflenet", 0, 3_154_880, 295_842_496),
    every("shufflenet", 1, 3_211_968, 313_654_976),
    every("shufflenet", 2, 3_297_600, 340_373_696),
    every("shufflenet", 3, 3_870_816, 358_825_920),
]


@cache
def _space(name: str, settings: tuple[tuple[str, Any], ...]) -> SearchSpace:
    """One object for all rows, so that its tables are made once."""
    return SPACES.create({"name": name, "options": dict(settings)})


def found(row: Golden) -> tuple[SearchSpace, np.ndarray]:
    """The space of a row and its code."""
    if row.name in KNOWN:
        known = KNOWN[row.name]
        space = _space(known.space, tuple((known.options | row.settings).items()))
        return space, space.parse(known.text)
    name, value = row.name.split()
    space = _space(name, ())
    return space, np.full(space.genes, int(value), np.int8)


def label(row: Golden) -> str:
    return " ".join(map(str, [row.name, *row.settings.values()]))


@pytest.mark.typical(
    "DARTS_V1",
    "RelativeNAS*",
    "SPOS_ShuffleNet",
    "FairNAS_ABS",
    "Proxyless_mobile",
    "ResNet18",
    "shufflenet *",
    "fairnas *",
)
@pytest.mark.parametrize("row", TABLE, ids=label)
def test_published_networks_by_table(row: Golden) -> None:
    space, code = found(row)
    stated = {"params": row.params, "macs": row.macs, **row.more}
    for quantity in stated.keys() & set(space.quantities):
        assert space.count(quantity, code[None])[0] == stated[quantity]


def built() -> Iterator[Any]:
    """Building all takes half a minute: by default the first of each space, size and auxiliary head is built."""
    seen = set()
    for row in TABLE:
        known = KNOWN.get(row.name)
        kind = (known.space if known else row.name[:-2], *row.settings.values(), "auxiliary" in row.more)
        yield pytest.param(row, id=label(row), marks=[pytest.mark.slow] if kind in seen else [])
        seen.add(kind)


@pytest.mark.typical("RelativeNAS 16 8", "SPOS_*", "FairNAS_ABS", "ResNet18")
@pytest.mark.parametrize("row", list(built()))
def test_published_networks_built(row: Golden) -> None:
    space, code = found(row)
    with weightless():
        network = build(space, code, auxiliary="darts" if "auxiliary" in row.more else None)
    counts = count_network(network, space.input_size)
    assert (counts.params, counts.macs) == (row.params, row.macs)
    assert counts.auxiliary_params == row.more.get("auxiliary", 0)
    assert counts.thop == row.more.get("thop", counts.thop)


@pytest.mark.typical("AmoebaNet-settings5-*")
@pytest.mark.parametrize(
    ("name", "settings", "params", "with_head", "macs"),
    [
        ("NASNet", {}, 3_830_950, 4_288_944, 603_445_248 + 7_200),
        ("AmoebaNet", {}, 3_145_078, 3_603_072, 488_927_232 + 4_320),
        pytest.param("NASNet", {"classes": 100}, 3_895_840, 4_423_044, 603_445_248 + 72_000, marks=pytest.mark.slow),
        pytest.param("AmoebaNet", {"classes": 100}, 3_184_048, 3_711_252, 488_927_232 + 43_200, marks=pytest.mark.slow),
        ("NASNet", IMAGENET | {"width": 44}, 4_774_846, None, 512_024_480),
        ("AmoebaNet", IMAGENET | {"width": 48}, 4_627_360, None, 526_746_624),
    ],
)
def test_genotypes_of_other_spaces(
    name: str, settings: dict[str, Any], params: int, with_head: int | None, macs: int
) -> None:
    """Cells of five nodes, in DARTS's builder; tables state multiply-adds of CIFAR networks without the linear layer."""
    sizes = {"input_size": 32, **settings}
    with weightless():
        network = network_from_genotype(KNOWN[name].genotype, auxiliary="darts", **sizes)
    counts = count_network(network, sizes["input_size"])
    assert (counts.params, counts.macs) == (params, macs)
    assert with_head is None or counts.auxiliary_params == with_head - params


def test_an_auxiliary_head_with_a_last_norm() -> None:
    """DARTS's cell with the head of P-DARTS and ABS, for ImageNet."""
    with weightless():
        network = network_from_genotype(KNOWN["DARTS_V2"].genotype, auxiliary="pdarts", width=48, **IMAGENET)
    assert sum(each.numel() for each in network.parameters()) == 5_981_064


@pytest.mark.typical("OFA_WeakNAS_1000-*")
@pytest.mark.parametrize(("name", "millions"), [("OFA_WeakNAS_800", 593.164), ("OFA_WeakNAS_1000", 560.830)])
def test_once_for_all_networks_of_weaknas(name: str, millions: float) -> None:
    """At 236 x 236 and width 1.2, the defaults of the space."""
    space = _space("once-for-all", ())
    code = space.parse(KNOWN[name].text)
    with weightless():
        network = build(space, code)
    counts = count_network(network, space.input_size)
    assert round(counts.macs / 1e6, 3) == millions
    assert space.count("macs", code[None])[0] == counts.macs
    assert space.count("params", code[None])[0] == counts.params


def test_shufflenet_with_searched_channels() -> None:
    """Single Path One-Shot's network whose blocks' inner channels were searched too."""
    space = _space("shufflenet", ())
    code = np.array([0, 0, 3, 1, 1, 1, 0, 0, 2, 0, 2, 1, 1, 0, 2, 0, 2, 1, 3, 2], np.int8)
    scales = 0.2 * (1 + np.array([6, 5, 3, 5, 2, 6, 3, 4, 2, 5, 7, 5, 4, 6, 7, 4, 4, 5, 4, 3]))
    with weightless():
        network = skeleton_of(space).build(code, scales=scales.tolist())
    counts = count_network(network, 224)
    assert (counts.params, counts.macs) == (3_432_579, 327_857_920)


def test_entries_of_the_lookup_tables_of_abs() -> None:
    """Single blocks, and what comes before and after them, in the conventions of ABS."""
    gpu, fairnas = _space("mobilenet", ()), _space("fairnas", ())
    assert isinstance(gpu, MobileNet)
    assert isinstance(fairnas, FairNAS)
    fixed, table = gpu.costs("thop")
    assert (fixed, table[0, 0]) == (30_105_600 + 40_033_304, 30_933_504)
    fixed, table = fairnas.costs("abs_lookup")
    assert (fixed, table[0, 0], table[1, 5]) == (33_718_272 + 22_629_400, 15_805_440, 68_038_656)
