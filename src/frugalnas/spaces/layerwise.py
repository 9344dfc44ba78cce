"""Layer-wise spaces: one choice of block for every layer of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from frugalnas.errors import FrugalnasError, one_of, quoted
from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.factored import FactoredSpace
from frugalnas.spaces.known import known_text
from frugalnas.spaces.sizes import checked_sizes, with_latency

MBCONVS = ("mb3_k3", "mb6_k3", "mb3_k5", "mb6_k5", "mb3_k7", "mb6_k7")
"""Inverted residuals by expansion and kernel, in the order of RLNAS and ABS."""
IDENTITY = "identity"
WIDTHS = ("gpu", "cpu", "mobile", "mobile_14", "mobile_search")


class LayerSpace(FactoredSpace):
    """A chain of layers, each of which is one of its own choices of block; a new layer-wise space is one of these.

    A code has one gene per layer. Values number the distinct names of all layers' choices in the order in which they
    first occur, `identity` last. Architectures are written as these numbers, the identity as -1.

    **Same network.** A layer that is the identity is not built. Within a run of layers of equal shape it does not matter
    which of them those are: the canonical code has them last.

    `count` knows what the modules of `skeleton` cost: "params", "macs" and "thop" (see `DARTS`), and "latency" in
    milliseconds where a table is given. Without a `skeleton` nothing is counted, unless a child class says what (`costs`).

    Args:
        name: of the space, for people.
        layers: the names of each layer's choices.
        identity: the name that stands for leaving the layer out; None where none does.
        stages: runs of layers of equal shape, as lists of their places, where identities can be moved.
        skeleton: what builds the networks, `package.module:Class` of a `networks.Skeleton`, which is told the choices by
            `choices`.
        width: of the networks, as the skeleton understands it; usually a multiplier of channels.
        input_size: side of the square images.
        classes: of the classifier.
        latency: path of a table that `frugalnas measure-latency` wrote.

    Attributes:
        choices: the name of each value, [values].

    Example:
        >>> space = LayerSpace(name="toy", layers=[("conv3", "conv5"), ("conv3", "conv5", "identity")], identity="identity")
        >>> space.format(space.parse("conv5 identity")), space.size
        ('1 -1', 6)
    """

    encodings = ("onehot", "integer")

    def __init__(
        self,
        *,
        name: str,
        layers: Sequence[Sequence[str]],
        identity: str | None = None,
        stages: Sequence[Sequence[int]] | None = None,
        skeleton: str = "",
        width: float = 1.0,
        input_size: int = 32,
        classes: int = 10,
        latency: str | None = None,
    ) -> None:
        self.name = name
        self.layers = tuple(tuple(layer) for layer in layers)
        self.identity = identity
        self.stages = None if stages is None else tuple(tuple(stage) for stage in stages)
        self.skeleton = skeleton
        self.width, self.input_size, self.classes = width, input_size, classes
        checked_sizes(self, width=0.0, input_size=1, classes=1)
        for place, layer in enumerate(self.layers):
            if not layer or len(set(layer)) < len(layer) or any(not word or word.split() != [word] for word in layer):
                raise FrugalnasError(f"layer {place} of {name} has the choices {layer}; name each once, without spaces")
        if not self.layers:
            raise FrugalnasError(f"{name} has no layers; give the choices of at least one")
        words = dict.fromkeys(word for layer in self.layers for word in layer if word != identity)
        last = () if identity is None else (identity,)
        self.choices: tuple[str, ...] = (*words, *last)
        self.allowed = np.array([[choice in layer for choice in self.choices] for layer in self.layers])
        for stage in self.stages or ():
            if identity is None or not set(stage) <= set(range(len(self.layers))):
                raise FrugalnasError(
                    f"stages of {name} has {list(stage)}; it lists layers from 0 to {len(self.layers) - 1} of equal shape, "
                    "among which the identity can be moved"
                )
        self.latency, counted = with_latency(self, latency, "params", "macs", "thop")
        self.quantities = counted if skeleton else ()
        self.counted_for = f"network of width {width:g}, {input_size}x{input_size} images" if skeleton else ""

    def format(self, code: Codes) -> str:
        """The layers' choices as numbers, the identity as -1: `2 0 -1 2`."""
        return " ".join(str(self.value_id(value)) for value in np.asarray(code).tolist())

    def parse(self, text: str) -> Codes:
        """The code of numbers as `format` writes them, of the choices' names, or of a known architecture's name.

        Words may be separated by commas, and bracketed.
        """
        bare = known_text(text, self.name).strip()
        if len(bare) > 1 and bare[0] + bare[-1] in ("[]", "()"):
            bare = bare[1:-1]
        words = bare.replace(",", " ").split()
        shown = quoted(text)
        if len(words) != self.genes:
            raise FrugalnasError(
                f"cannot read the {self.name} architecture {shown}: it has {len(words)} layers, the space has {self.genes}"
            )
        whole = self._whole or self
        code = np.zeros(self.genes, self.code_type)
        numbers = {"-1" if name == self.identity else str(value): value for value, name in enumerate(self.choices)}
        names = {name: value for value, name in enumerate(self.choices)}
        for layer, word in enumerate(words):
            value = numbers.get(word, names.get(word))
            if value is None or not whole.allowed[layer, value]:
                offered = [
                    f"{number} ({self.choices[value]})"
                    for number, value in numbers.items()
                    if whole.allowed[layer, value]
                ]
                raise FrugalnasError(
                    f"cannot read the {self.name} architecture {shown}: layer {layer} is {word!r}; choose one of "
                    f"{', '.join(offered)}"
                )
            code[layer] = value
        return code

    def gene_name(self, gene: int) -> str:
        """The layer, from 0."""
        return f"layer {gene}"

    def value_name(self, gene: int, value: int) -> str:
        """The block."""
        return self.choices[value]

    def value_id(self, value: int) -> int:
        """Its number, -1 for the identity."""
        return -1 if self.choices[value] == self.identity else value

    def canonical(self, codes: Codes) -> Codes:
        """The code of each row's network in which identities stand last in their run of equal layers, [n, genes]."""
        codes = np.array(self.as_codes(codes))
        if self.identity is not None:
            for stage in self.stages or ():
                run = codes[:, list(stage)]
                order = np.argsort(run == len(self.choices) - 1, axis=1, kind="stable")
                codes[:, list(stage)] = np.take_along_axis(run, order, axis=1)
        return codes


class PublishedLayers(LayerSpace):
    """A layer-wise space as it was published for ImageNet; child classes say which blocks each layer has.

    Args:
        width: multiplier of all channels.
        input_size: side of the square images.
        classes: of the classifier.
        latency: path of a table that `frugalnas measure-latency` wrote.
    """

    blocks: Sequence[Sequence[str]]
    runs: Sequence[Sequence[int]] | None = None
    further: tuple[str, ...] = ()

    def __init__(
        self, *, width: float = 1.0, input_size: int = 224, classes: int = 1000, latency: str | None = None
    ) -> None:
        super().__init__(
            name=self.name,
            layers=self.blocks,
            identity=IDENTITY if self.runs else None,
            stages=self.runs,
            skeleton=self.skeleton,
            width=width,
            input_size=input_size,
            classes=classes,
            latency=latency,
        )
        self.quantities = (*self.quantities, *self.further)


class MobileNet(PublishedLayers):
    """ProxylessNAS's space, which RLNAS and ABS search too: 21 layers of inverted residuals, 2.2e17 codes.

    Values 0 to 5 are expansion 3 and 6 with kernel 3, then 5, then 7; 6, written -1, is the identity, which the
    first layer of each stage (0, 4, 8, 12, 16, 20) does not have. See `LayerSpace` for what else holds.

    Args:
        widths: channels of stem, stages and head: those of ProxylessNAS's networks for GPU, CPU and mobile phones, and
            of the mobile one widened by 1.4; `mobile_search` are those of its own search for a phone, whose first stage has 24
            channels and whose blocks its latency table lists.
        width: multiplier of all channels.
        input_size: side of the square images.
        classes: of the classifier.
        latency: path of a table that `frugalnas measure-latency` wrote.
    """

    name = "mobilenet"
    skeleton = "mobilenet"
    blocks = tuple(MBCONVS if layer % 4 == 0 else (*MBCONVS, IDENTITY) for layer in range(21))
    runs = tuple(range(first + 1, first + 4) for first in range(0, 20, 4))

    def __init__(
        self,
        *,
        widths: Literal["gpu", "cpu", "mobile", "mobile_14", "mobile_search"] = "gpu",
        width: float = 1.0,
        input_size: int = 224,
        classes: int = 1000,
        latency: str | None = None,
    ) -> None:
        one_of("widths of mobilenet", widths, WIDTHS)
        self.widths = widths
        super().__init__(width=width, input_size=input_size, classes=classes, latency=latency)
        self.counted_for = f"{widths} widths x {width:g}, {input_size}x{input_size} images"


class FairNAS(PublishedLayers):
    """FairNAS's space: 19 layers of inverted residuals, none of which may be left out, 6e14 codes.

    Values are 0 to 5: expansion 3 and 6 with kernel 3, then 5, then 7. See `LayerSpace` for what else holds. It also counts
    "abs_lookup": ABS's table of this space, which counts as `thop` does and has a 32 to 32 convolution too many at the
    stem's resolution (12,845,056 at 224x224).
    """

    name = "fairnas"
    skeleton = "mobilenet"
    blocks = (MBCONVS,) * 19
    further = ("abs_lookup",)


class ShuffleNet(PublishedLayers):
    """Single Path One-Shot's space: 20 ShuffleNetV2-like blocks of four kinds, 4^20 codes (Guo et al., ECCV 2020).

    Values: 0, 1, 2 a shuffle block with kernel 3, 5, 7; 3 a block of three depthwise convolutions (xception).
    """

    name = "shufflenet"
    skeleton = "shufflenet"
    blocks = (("shuffle_k3", "shuffle_k5", "shuffle_k7", "xception"),) * 20


class ResNet(PublishedLayers):
    """Residual networks of one to six basic blocks in each of four stages (He et al., CVPR 2016): what a search is compared with.

    Values 0 to 5 are as many blocks and one more; `resnet18` and `resnet34` are known by name. Up to 64 pixels the images are
    not halved before the first stage, as in networks for CIFAR.
    """

    name = "resnet"
    skeleton = "resnet"
    blocks = (tuple(f"basic_x{blocks}" for blocks in range(1, 7)),) * 4
