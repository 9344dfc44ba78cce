"""Networks of the MobileNet (ProxylessNAS) and FairNAS spaces.

The sizes are those of the released programs of RLNAS, ABS, ProxylessNAS and FairNAS; parameters and multiply-adds of their
published networks come out exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from frugalnas.errors import unknown_name
from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import MBConv, he_fan_out, normed_conv, round_channels
from frugalnas.spaces import SearchSpace

CHOICES = ((3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6))
"""Kernel and expansion of values 0 to 5; a further value builds nothing."""


@dataclass(frozen=True)
class MobileSizes:
    """Channels of a family of mobile networks at width 1.

    Attributes:
        stem: of the first convolution, which has stride 2.
        first: of the first block, which has expansion 1.
        channels: of each stage.
        layers: how many each stage has.
        head: of the last convolution.
        epsilon: of batch normalisation.
    """

    stem: int
    first: int
    channels: tuple[int, ...]
    head: int
    layers: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    epsilon: float = 1e-3


# ProxylessNAS normalises with epsilon 1e-3; RLNAS and ABS, whose space has the sizes of ProxylessNAS's GPU network, and
# FairNAS with torch's 1e-5.
SIZES = {
    "gpu": MobileSizes(40, 24, (32, 56, 112, 128, 256, 432), 1728, epsilon=1e-5),
    "cpu": MobileSizes(40, 24, (32, 48, 88, 104, 216, 360), 1432),
    "mobile": MobileSizes(32, 16, (32, 40, 80, 96, 192, 320), 1280),
    "mobile_search": MobileSizes(32, 16, (24, 40, 80, 96, 192, 320), 1280),
    "mobile_14": MobileSizes(48, 24, (40, 56, 112, 136, 256, 448), 1792),
    "fairnas": MobileSizes(32, 16, (32, 40, 80, 96, 192, 320), 1280, layers=(2, 4, 4, 4, 4, 1), epsilon=1e-5),
}
"""Sizes by name: of ProxylessNAS's four released networks, of its own search for a phone, and of FairNAS."""

STRIDES = (2, 2, 2, 1, 2, 1)


class MobileNetSkeleton(LayerSkeleton):
    """The macro-structure of mobile networks: 3x3 convolution, MBConv of expansion 1, six stages, 1x1 convolution.

    Every activation is ReLU6. Channels are multiplied by the space's width and rounded to multiples of 8; those of the last
    convolution do not shrink below width 1 (MobileNetV2's rule). Initial weights: see `he_fan_out`.

    Args:
        space: has `width`, `input_size` and `classes`, and `widths` where its sizes are not FairNAS's.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        name = getattr(space, "widths", "fairnas")
        if name not in SIZES:
            raise unknown_name(f"widths of {space.name}", name, SIZES)
        self.sizes = SIZES[name]
        width: float = space.width  # type: ignore[attr-defined]
        self.stem_channels = round_channels(self.sizes.stem * width)
        self.first_channels = round_channels(self.sizes.first * width)
        self.head_channels = round_channels(self.sizes.head * max(width, 1.0))
        self.require_size(halvings=5)
        stages = [
            Stage(round_channels(channels * width), layers, stride)
            for channels, layers, stride in zip(self.sizes.channels, self.sizes.layers, STRIDES, strict=True)
        ]
        self.places = places(stages, self.first_channels, -(-self.input_size // 2))

    def name_of(self, place: Place, value: int) -> str | None:
        """Such as "mb6_k5": expansion 6, kernel 5; the identity builds nothing."""
        if value >= len(CHOICES):
            return None
        kernel, expansion = CHOICES[value]
        return f"mb{expansion}_k{kernel}"

    def block(self, place: Place, value: int, *, drop_path: float = 0.0) -> nn.Module:
        """The MBConv of one choice."""
        kernel, expansion = CHOICES[value]
        return MBConv(
            place.inputs,
            place.outputs,
            kernel=kernel,
            expansion=expansion,
            stride=place.stride,
            drop_path=drop_path,
            epsilon=self.sizes.epsilon,
        )

    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """Stem and head around the stages."""
        epsilon = self.sizes.epsilon
        made = LayerNetwork(
            nn.Sequential(
                normed_conv(3, self.stem_channels, 3, 2, epsilon=epsilon),
                MBConv(self.stem_channels, self.first_channels, kernel=3, expansion=1, epsilon=epsilon),
            ),
            stages,
            normed_conv(self.places[-1].outputs, self.head_channels, 1, epsilon=epsilon),
            nn.Linear(self.head_channels, self.classes),
            dropout=dropout,
        )
        he_fan_out(made)
        return made
