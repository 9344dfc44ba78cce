"""Networks of Single Path One-Shot's space of ShuffleNetV2 blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import normed_conv, round_channels
from frugalnas.spaces import Codes, SearchSpace

KERNELS = (3, 5, 7)
XCEPTION = 3
"""The value whose block has three depthwise convolutions of kernel 3."""

STEM, CHANNELS, HEAD = 16, (64, 160, 320, 640), 1024
LAYERS = (4, 4, 8, 4)


class ShuffleBlock(nn.Module):
    """ShuffleNetV2's unit: at stride 1 every second channel passes by; at stride 2 all pass through a short branch.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: of the depthwise convolutions.
        stride: 1 or 2; at 1 there come in as many channels as go out.
        hidden: channels between the convolutions of the main branch.
        xception: three depthwise convolutions instead of one.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, hidden: int, xception: bool = False
    ) -> None:
        super().__init__()
        taken = inputs if stride == 2 else inputs // 2
        added = outputs - taken
        relu = nn.ReLU

        def depthwise(channels: int, step: int) -> nn.Module:
            return normed_conv(channels, channels, kernel, step, groups=channels, activation=None)

        if xception:
            main = [
                depthwise(taken, stride),
                normed_conv(taken, hidden, 1, activation=relu),
                depthwise(hidden, 1),
                normed_conv(hidden, hidden, 1, activation=relu),
                depthwise(hidden, 1),
                normed_conv(hidden, added, 1, activation=relu),
            ]
        else:
            main = [
                normed_conv(taken, hidden, 1, activation=relu),
                depthwise(hidden, stride),
                normed_conv(hidden, added, 1, activation=relu),
            ]
        self.main = nn.Sequential(*main)
        self.short: nn.Module | None = None
        if stride == 2:
            self.short = nn.Sequential(depthwise(taken, 2), normed_conv(taken, taken, 1, activation=relu))

    def forward(self, features: Tensor) -> Tensor:
        """The block's output, shape [n, outputs, ceil(height / stride), ceil(width / stride)]."""
        if self.short is not None:
            return torch.cat([self.short(features), self.main(features)], 1)
        # Taking even and odd channels apart is ShuffleNet's channel shuffle and split in one.
        return torch.cat([features[:, 0::2], self.main(features[:, 1::2])], 1)


class ShuffleNetSkeleton(LayerSkeleton):
    """The macro-structure of Single Path One-Shot's networks (Guo et al. 2020), normalisation with scale and shift.

    A 3x3 convolution of stride 2, four stages that begin with stride 2, a 1x1 convolution, pooling, and a classifier without
    bias. Channels are multiplied by the space's width and rounded to multiples of 8; those of the last convolution do not
    shrink below width 1. Initial weights are the paper's program's: convolutions N(0, 1 / input channels of a group) (as
    standard deviation), the first one and the classifier N(0, 0.01), shifts of the normalisation 1e-4.

    Args:
        space: has `width`, `input_size` and `classes`.
    """

    supernet = "shufflenet"

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        width: float = space.width  # type: ignore[attr-defined]
        self.stem_channels = round_channels(STEM * width)
        self.head_channels = round_channels(HEAD * max(width, 1.0))
        self.require_size(halvings=5)
        stages = [
            Stage(round_channels(channels * width), layers, 2)
            for channels, layers in zip(CHANNELS, LAYERS, strict=True)
        ]
        self.places = places(stages, self.stem_channels, -(-self.input_size // 2))

    def name_of(self, place: Place, value: int) -> str | None:
        """Such as "shuffle_k5", or "xception"."""
        return "xception" if value == XCEPTION else f"shuffle_k{KERNELS[value]}"

    def block(self, place: Place, value: int, *, drop_path: float = 0.0, scale: float = 1.0) -> nn.Module:
        """The unit of one choice.

        Args:
            place: where it stands.
            value: 0 to 3.
            drop_path: has no path to drop here.
            scale: hidden channels per half of the output channels.
        """
        return ShuffleBlock(
            place.inputs,
            place.outputs,
            kernel=3 if value == XCEPTION else KERNELS[value],
            stride=place.stride,
            hidden=int(place.outputs // 2 * scale),
            xception=value == XCEPTION,
        )

    def build(
        self,
        code: Codes,
        *,
        auxiliary: str | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        scales: Sequence[float] | None = None,
    ) -> nn.Module:
        """The network of one architecture; see `Skeleton.build`.

        Args:
            code: shape [genes].
            auxiliary: these networks have none.
            drop_path: must be 0, since no block adds a path that could be dropped.
            dropout: before the classifier.
            scales: hidden channels per half of the output channels of each block, the result of a channel search;
                None is 1 everywhere.
        """
        self.refuse(auxiliary, drop_path)
        if scales is None:
            scales = [1.0] * len(self.places)
        if len(scales) != len(self.places) or min(scales) <= 0:
            raise FrugalnasError(
                f"scales are {len(self.places)} positive numbers, one for each block, not {list(scales)}"
            )
        widened = list(scales)
        stages = self.stages_of(
            [int(value) for value in code], lambda place, value: self.block(place, value, scale=widened[place.gene])
        )
        return self.network(stages, dropout=dropout)

    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """Stem and head around the stages."""
        made = LayerNetwork(
            normed_conv(3, self.stem_channels, 3, 2, activation=nn.ReLU),
            stages,
            normed_conv(self.places[-1].outputs, self.head_channels, 1, activation=nn.ReLU),
            nn.Linear(self.head_channels, self.classes, bias=False),
            dropout=dropout,
        )
        _initialise(made)
        return made


@torch.no_grad()
def _initialise(network: LayerNetwork) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 1.0 / module.weight.shape[1])
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 1e-4)
    first = next(module for module in network.stem.modules() if isinstance(module, nn.Conv2d))
    nn.init.normal_(first.weight, 0.0, 0.01)
    nn.init.normal_(network.classifier.weight, 0.0, 0.01)
