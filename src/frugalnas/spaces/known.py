"""Architectures that papers published, by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces.genotype import Genotype

__all__ = ["KNOWN", "KnownArchitecture", "known", "known_text"]


@dataclass(frozen=True)
class KnownArchitecture:
    """A published architecture.

    Attributes:
        name: as papers write it.
        space: name of the space it belongs to.
        options: constructor options of the space that it needs, beyond the defaults.
        text: the architecture in the space's notation.
        source: where it was published.
        searchable: whether the space has it as a code; NASNet's and AmoebaNet's cells have more nodes, and are
            genotypes only.
    """

    name: str
    space: str
    text: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    searchable: bool = True

    @property
    def genotype(self) -> Genotype:
        """The cells, where it is made of two."""
        if self.space != "darts":
            raise FrugalnasError(f"{self.name} belongs to {self.space}, whose architectures are no genotypes")
        return Genotype.parse(self.text)


def known(name: str, space: str | None = None) -> KnownArchitecture:
    """The architecture of a name; case does not count, nor hyphens for underscores.

    Args:
        name: to look up.
        space: name of the only space to look in; None looks everywhere.

    Raises:
        FrugalnasError: where there is none of this name.
    """
    found = _BY_NAME.get(_plain(name))
    if found is None or space not in (None, found.space):
        choices = [each.name for each in KNOWN.values() if space in (None, each.space)]
        raise unknown_name("architecture" + (f" of {space}" if space else ""), name, choices)
    return found


def known_text(text: str, space: str) -> str:
    """What a name of an architecture of this space stands for; any other text as it is.

    Raises:
        FrugalnasError: where the text is a name, but none of this space.
    """
    word = text.strip()
    found = _BY_NAME.get(_plain(word))
    if found is not None and found.space == space:
        return found.text
    if found is not None:
        raise FrugalnasError(f"{found.name} is an architecture of {found.space}, not of {space}")
    names = [each.name for each in KNOWN.values() if each.space == space]
    if names and word[:1].isalpha() and word.replace("_", "").replace("-", "").isalnum():
        raise unknown_name(f"architecture of {space}", word, names)
    return text


_WORDS = {
    "none": "none",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "sep7": "sep_conv_7x7",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "conv7": "conv_7x1_1x7",
}


def _cell(text: str) -> tuple[tuple[str, int], ...]:
    """The edges of a cell in short hand: an operation and the state it reads, such as `sep3 0`, separated by commas."""
    pairs = (pair.split() for pair in text.split(","))
    return tuple((_WORDS[word], int(state)) for word, state in pairs)


def _cells(
    name: str,
    source: str,
    normal: str,
    reduce: str,
    concats: tuple[tuple[int, ...], tuple[int, ...]] = ((2, 3, 4, 5), (2, 3, 4, 5)),
    **rest: Any,
) -> KnownArchitecture:
    genotype = Genotype(_cell(normal), concats[0], _cell(reduce), concats[1])
    return KnownArchitecture(name, "darts", str(genotype), source, **rest)


def _layers(name: str, source: str, space: str, text: str, **options: Any) -> KnownArchitecture:
    return KnownArchitecture(name, space, text, source, options)


def _once_for_all(name: str, source: str, kernels: str, expansions: str, depths: str) -> KnownArchitecture:
    lists = {
        key: [int(digit) for digit in digits] for key, digits in (("ks", kernels), ("e", expansions), ("d", depths))
    }
    return KnownArchitecture(name, "once-for-all", json.dumps(lists), source)


_DARTS = "DARTS, Liu et al., ICLR 2019"
_PDARTS = "P-DARTS, Chen et al., ICCV 2019"
_RELATIVE = "RelativeNAS, Tan et al., 2020, arXiv 2009.06193"
_RLNAS = "RLNAS, Zhang et al., CVPR 2021, arXiv 2101.11834"
_ABS = "Angle-based search space shrinking, Hu et al., ECCV 2020, arXiv 2004.13431"
_WEAKNAS = "WeakNAS, Wu et al., NeurIPS 2021, arXiv 2102.10490"
_PROXYLESS = "ProxylessNAS, Cai et al., ICLR 2019"
_FAIRNAS = "FairNAS, Chu et al., ICCV 2021"

_ALL = (
    _cells(
        "RelativeNAS",
        f"{_RELATIVE}; found on CIFAR-10",
        "sep3 0, dil5 1, sep3 1, sep3 1, sep3 1, sep5 1, skip 0, sep3 0",
        "avg 1, max 1, dil5 1, max 1, avg 3, skip 1, dil5 3, sep3 1",
    ),
    _cells(
        "PairNAS_CIFAR100",
        f"{_RELATIVE}; found on CIFAR-100, from its program",
        "dil5 1, skip 0, sep3 1, sep5 2, sep3 1, max 0, sep5 1, dil5 3",
        "max 0, skip 1, sep3 0, sep5 0, dil5 2, dil3 2, sep3 3, sep3 4",
    ),
    _cells(
        "DARTS_V1",
        f"{_DARTS}; first order",
        "sep3 1, sep3 0, skip 0, sep3 1, skip 0, sep3 1, sep3 0, skip 2",
        "max 0, max 1, skip 2, max 0, max 0, skip 2, skip 2, avg 0",
    ),
    _cells(
        "DARTS_V2",
        f"{_DARTS}; second order",
        "sep3 0, sep3 1, sep3 0, sep3 1, sep3 1, skip 0, skip 0, dil3 2",
        "max 0, max 1, skip 2, max 1, max 0, skip 2, skip 2, max 1",
    ),
    _cells(
        "PDARTS",
        _PDARTS,
        "skip 0, dil3 1, skip 0, sep3 1, sep3 1, sep3 3, sep3 0, dil5 4",
        "avg 0, sep5 1, sep3 0, dil5 2, max 0, dil3 1, dil3 1, dil5 3",
    ),
    _cells(
        "DARTS_search",
        f"{_ABS}; its own search with DARTS in the whole space",
        "skip 0, sep3 1, skip 0, dil3 1, sep3 0, dil3 1, skip 0, dil3 1",
        "max 0, skip 1, avg 0, sep5 2, skip 2, avg 0, skip 2, avg 0",
    ),
    _cells(
        "PDARTS_search",
        f"{_ABS}; its own search with P-DARTS in the whole space",
        "sep3 0, sep3 1, skip 0, sep3 1, skip 0, sep5 1, sep3 2, dil3 4",
        "avg 0, avg 1, avg 0, sep5 2, avg 0, skip 1, dil5 3, sep5 4",
    ),
    _cells(
        "DARTS_ABS",
        f"{_ABS}; DARTS in the shrunk space",
        "sep3 1, dil3 0, sep5 1, sep3 2, dil3 2, sep5 1, dil3 4, dil5 2",
        "dil3 0, sep3 1, sep5 0, sep3 2, dil3 0, dil5 3, dil3 0, dil3 2",
    ),
    _cells(
        "PDARTS_ABS",
        f"{_ABS}; P-DARTS in the shrunk space",
        "dil3 0, sep3 1, sep3 1, sep3 2, sep5 0, sep5 3, dil5 2, dil3 4",
        "dil3 0, dil5 1, sep3 1, sep5 2, dil5 1, sep5 3, dil3 2, dil3 4",
    ),
    _cells(
        "RLNAS_C10",
        f"{_RLNAS}; found on CIFAR-10",
        "sep5 0, sep3 1, dil3 0, sep5 2, sep3 0, dil5 3, dil5 1, dil3 2",
        "sep5 0, dil3 1, sep3 0, sep5 2, dil3 1, sep3 3, max 1, sep5 2",
    ),
    _cells(
        "RLNAS_IN_free",
        f"{_RLNAS}; found on ImageNet without a limit",
        "sep3 0, sep3 1, sep3 1, sep3 2, sep3 0, sep5 1, sep3 0, sep3 1",
        "sep3 0, sep3 1, sep5 0, sep3 2, sep5 0, sep5 2, sep3 2, sep3 4",
    ),
    _cells(
        "RLNAS_IN_600M",
        f"{_RLNAS}; found on ImageNet below 600 million multiply-adds",
        "sep3 0, sep3 1, skip 1, sep3 2, sep3 1, sep3 2, skip 0, sep3 4",
        "sep3 0, max 1, sep3 0, skip 1, sep3 0, dil3 1, skip 0, sep3 1",
    ),
    _cells(
        "nasnet_800",
        f"{_WEAKNAS}; 800 queries, width 46 and 14 cells on ImageNet",
        "sep5 1, dil3 0, sep3 0, sep3 2, skip 0, dil5 1, sep3 1, sep5 3",
        "sep5 0, sep5 1, sep3 1, sep5 2, sep3 3, sep5 2, sep5 4, sep3 4",
    ),
    _cells(
        "SSNENAS",
        "SSNENAS, Wei et al., 2020, arXiv 2011.00186; its best cells, as far as they can be read from the figures",
        "sep3 1, skip 0, sep5 0, sep3 1, sep3 0, sep3 2, sep3 1, dil5 3",
        "none 1, avg 0, max 1, none 0, max 0, max 3, sep5 0, sep5 2",
        options={"none": True},
    ),
    _cells(
        "NASNet",
        "NASNet-A, Zoph et al., CVPR 2018, as the DARTS program writes it",
        "sep5 1, sep3 0, sep5 0, sep3 0, avg 1, skip 0, avg 0, avg 0, sep3 1, skip 1",
        "sep5 1, sep7 0, max 1, sep7 0, avg 1, sep5 0, skip 3, avg 2, sep3 2, max 1",
        ((2, 3, 4, 5, 6), (4, 5, 6)),
        searchable=False,
    ),
    _cells(
        "AmoebaNet",
        "AmoebaNet-A, Real et al., AAAI 2019, as the DARTS program writes it",
        "avg 0, max 1, sep3 0, sep5 2, sep3 0, avg 3, sep3 1, skip 1, skip 0, avg 1",
        "avg 0, sep3 1, max 0, sep7 2, sep7 0, avg 1, max 0, max 1, conv7 0, sep3 5",
        ((4, 5, 6), (3, 4, 6)),
        searchable=False,
    ),
    _layers("RLNAS_mobile", _RLNAS, "mobilenet", "2 0 -1 2 2 0 2 4 0 4 4 2 4 2 4 2 0 0 0 2 2"),
    _layers("SPOS_ABS", _ABS, "mobilenet", "2 2 -1 0 0 -1 -1 0 5 -1 4 4 0 0 4 2 3 4 4 4 3"),
    _layers("ProxylessNAS_ABS", _ABS, "mobilenet", "2 2 -1 -1 0 2 2 -1 5 -1 4 4 0 0 4 2 3 4 4 4 3"),
    _layers("Proxyless_GPU", _PROXYLESS, "mobilenet", "2 -1 -1 -1 4 -1 -1 0 5 -1 -1 2 3 -1 0 2 5 5 5 3 5"),
    _layers("Proxyless_CPU", _PROXYLESS, "mobilenet", "1 0 0 0 1 0 0 2 1 -1 -1 0 3 0 0 0 3 2 2 0 3", widths="cpu"),
    _layers(
        "Proxyless_mobile", _PROXYLESS, "mobilenet", "2 0 -1 -1 4 0 2 2 5 2 2 2 3 2 2 2 5 5 4 4 5", widths="mobile"
    ),
    _layers(
        "Proxyless_mobile_14",
        _PROXYLESS,
        "mobilenet",
        "2 0 -1 -1 4 0 2 2 5 2 2 2 3 2 2 2 5 5 4 4 5",
        widths="mobile_14",
    ),
    _layers("FairNAS_A", _FAIRNAS, "fairnas", "4 0 4 1 5 0 0 5 5 2 1 2 2 1 1 5 1 5 3"),
    _layers("FairNAS_B", _FAIRNAS, "fairnas", "2 0 2 0 1 2 4 0 1 2 0 1 4 0 5 3 5 1 3"),
    _layers("FairNAS_C", _FAIRNAS, "fairnas", "2 0 4 0 0 0 0 0 0 1 0 0 0 0 5 5 1 1 3"),
    _layers("FairNAS_ABS", _ABS, "fairnas", "4 2 4 2 2 2 5 2 4 4 2 2 2 4 5 4 2 2 5"),
    _layers(
        "SPOS_ShuffleNet",
        "Single Path One-Shot, Guo et al., ECCV 2020; blocks searched, channels fixed",
        "shufflenet",
        "2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3",
    ),
    _once_for_all(
        "OFA_WeakNAS_800",
        f"{_WEAKNAS}; 800 queries, 236x236",
        "35557573375733557535",
        "46444346466366636643",
        "24444",
    ),
    _once_for_all(
        "OFA_WeakNAS_1000",
        f"{_WEAKNAS}; 1,000 queries, 236x236",
        "53335553757535537535",
        "33434644466666646663",
        "43334",
    ),
    KnownArchitecture(
        "NB201_best_CIFAR10",
        "nasbench201",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
        "the best mean test accuracy on CIFAR-10 in NAS-Bench-201, 94.37 % after 200 epochs",
    ),
    KnownArchitecture(
        "NB201_best_CIFAR100",
        "nasbench201",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        "the best mean test accuracy on CIFAR-100 in NAS-Bench-201, 73.51 % after 200 epochs",
    ),
    KnownArchitecture(
        "NB101_best",
        "nasbench101",
        "conv1x1(0)+conv3x3(0)+maxpool3x3(2)+conv3x3(3)+conv3x3(0,1,4)+output(0,5)",
        "the best mean test accuracy in NAS-Bench-101, 94.32 % after 108 epochs",
    ),
)
KNOWN: dict[str, KnownArchitecture] = {each.name: each for each in _ALL}
"""Every published architecture that is known here, by name."""

_ALIASES = {"DARTS": "DARTS_V2", "P-DARTS": "PDARTS", "PairNAS_C100": "PairNAS_CIFAR100", "RLNAS_IN": "RLNAS_IN_600M"}


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


_BY_NAME = {_plain(name): each for name, each in KNOWN.items()} | {
    _plain(alias): KNOWN[name] for alias, name in _ALIASES.items()
}
