"""Residual networks of basic blocks (He et al., CVPR 2016): what everybody would train who searches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers.drop import DropPath
from timm.models.resnet import BasicBlock
from torch import nn

from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import normed_conv
from frugalnas.spaces import SearchSpace

SMALL = 64
"""Pixels up to which a network begins as those for CIFAR do, without halving its images before the first stage."""
CHANNELS = 64
"""Of the first stage at width 1; each further stage has twice as many."""


class ResNetSkeleton(LayerSkeleton):
    """Stem, four stages of timm's basic blocks, of which all but the first halve the images, and a classifier.

    Shortcuts pick every second pixel before their convolution, which is what a convolution of stride 2 does.

    Args:
        space: has `width`, a multiplier of channels, `input_size` and `classes`.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.small = self.input_size <= SMALL
        self.require_size(halvings=3 if self.small else 5)
        first = max(1, round(CHANNELS * space.width))  # type: ignore[attr-defined]
        stages = [Stage(first << stage, 1, 1 if stage == 0 else 2) for stage in range(4)]
        halved = -(-self.input_size // 2)
        self.places = places(stages, first, self.input_size if self.small else -(-halved // 2))

    def name_of(self, place: Place, value: int) -> str:
        """How many basic blocks, such as "basic_x2"."""
        return f"basic_x{value + 1}"

    def block(self, place: Place, value: int, *, drop_path: float = 0.0) -> nn.Module:
        """The blocks of one stage."""
        first = BasicBlock(
            place.inputs,
            place.outputs,
            place.stride,
            None if place.keeps_shape else _shortcut(place),
            drop_path=DropPath(drop_path) if drop_path else None,
        )
        others = (
            BasicBlock(place.outputs, place.outputs, drop_path=DropPath(drop_path) if drop_path else None)
            for _ in range(value)
        )
        return nn.Sequential(first, *others)

    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """Stem and classifier around the stages, with He's initial weights."""
        first, last = self.places[0].inputs, self.places[-1].outputs
        stem: nn.Module = normed_conv(3, first, 3, activation=nn.ReLU)
        if not self.small:
            stem = nn.Sequential(normed_conv(3, first, 7, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, padding=1))
        network = LayerNetwork(stem, stages, nn.Identity(), nn.Linear(last, self.classes), dropout=dropout)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return network


def _shortcut(place: Place) -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool2d(1, place.stride),
        nn.Conv2d(place.inputs, place.outputs, 1, bias=False),
        nn.BatchNorm2d(place.outputs),
    )
