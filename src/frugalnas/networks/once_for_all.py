"""Networks of the Once-for-All MobileNetV3 space."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import MBConv, he_fan_out, normed_conv, round_channels
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.once_for_all import EXPANSIONS, KERNELS, LAYERS

STEM, CHANNELS, LAST, MIX = 16, (24, 40, 80, 112, 160), 960, 1280
STRIDES = (2, 2, 2, 1, 2)
SQUEEZES = (False, True, False, True, True)
HARD_SWISH = (False, False, True, True, True)


class OnceForAllSkeleton(LayerSkeleton):
    """The macro-structure of MobileNetV3-large as Once-for-All has it (Cai et al. 2020).

    A 3x3 convolution with hard swish, one MBConv of expansion 1, five stages of two to four blocks, a 1x1 convolution,
    pooling, another 1x1 convolution without normalisation, and the classifier. The second, fourth and fifth stage squeeze
    and excite, the first two activate with ReLU, the others with hard swish. Channels are multiplied by the space's width and
    rounded to multiples of 8. Initial weights: see `he_fan_out` ("he_fout" in Once-for-All).

    Args:
        space: has `width`, `input_size` and `classes`.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        width: float = space.width  # type: ignore[attr-defined]
        self.stem_channels = round_channels(STEM * width)
        self.last_channels = round_channels(LAST * width)
        self.mix_channels = round_channels(MIX * width)
        self.require_size(halvings=5)
        stages = [
            Stage(round_channels(channels * width), LAYERS, stride)
            for channels, stride in zip(CHANNELS, STRIDES, strict=True)
        ]
        self.places = places(stages, self.stem_channels, -(-self.input_size // 2))

    def name_of(self, place: Place, value: int) -> str | None:
        """Such as "mb6_k5 hswish se"; a layer beyond the stage's depth builds nothing."""
        if value >= len(KERNELS) * len(EXPANSIONS):
            return None
        kernel, expansion = _choice(value)
        activation = "hswish" if HARD_SWISH[place.stage] else "relu"
        return f"mb{expansion}_k{kernel} {activation}{' se' if SQUEEZES[place.stage] else ''}"

    def block(self, place: Place, value: int, *, drop_path: float = 0.0) -> nn.Module:
        """The MBConv of one choice."""
        kernel, expansion = _choice(value)
        return MBConv(
            place.inputs,
            place.outputs,
            kernel=kernel,
            expansion=expansion,
            stride=place.stride,
            activation=nn.Hardswish if HARD_SWISH[place.stage] else nn.ReLU,
            squeeze=SQUEEZES[place.stage],
            drop_path=drop_path,
        )

    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """Stem and head around the stages."""
        made = LayerNetwork(
            nn.Sequential(
                normed_conv(3, self.stem_channels, 3, 2, activation=nn.Hardswish),
                MBConv(self.stem_channels, self.stem_channels, kernel=3, expansion=1, activation=nn.ReLU),
            ),
            stages,
            normed_conv(self.places[-1].outputs, self.last_channels, 1, activation=nn.Hardswish),
            nn.Linear(self.mix_channels, self.classes),
            mix=nn.Sequential(nn.Conv2d(self.last_channels, self.mix_channels, 1, bias=False), nn.Hardswish()),
            dropout=dropout,
        )
        he_fan_out(made)
        return made


def _choice(value: int) -> tuple[int, int]:
    """Kernel and expansion of a gene's value."""
    kernel, expansion = divmod(value, len(EXPANSIONS))
    return KERNELS[kernel], EXPANSIONS[expansion]
