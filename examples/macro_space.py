"""A layer-wise space of your own, like NAS-Bench-Macro's: its codes become networks, are counted, and drawn under a budget.

python examples/macro_space.py
pytest examples/test_macro_space.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from frugalnas.networks import build
from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import MBConv, normed_conv
from frugalnas.spaces import LayerSpace, SearchSpace

BLOCKS = ("mb3_k3", "mb6_k5", "identity")


class MacroSkeleton(LayerSkeleton):
    """Three stages of 2, 3 and 3 layers for small images; the first layer of each halves them."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self.require_size(halvings=3)
        self.places = places([Stage(64, 2, 2), Stage(128, 3, 2), Stage(256, 3, 2)], inputs=32, size=self.input_size)

    def name_of(self, place: Place, value: int) -> str | None:
        """The block's name; an identity that must change the shape is a 1x1 convolution."""
        if BLOCKS[value] == "identity":
            return None if place.keeps_shape else "projection"
        return BLOCKS[value]

    def block(self, place: Place, value: int, *, drop_path: float = 0.0) -> nn.Module:
        """The block of that name."""
        if BLOCKS[value] == "identity":
            return normed_conv(place.inputs, place.outputs, 1, place.stride, activation=None)
        expansion, kernel = int(BLOCKS[value][2]), int(BLOCKS[value][-1])
        return MBConv(
            place.inputs, place.outputs, kernel=kernel, expansion=expansion, stride=place.stride, drop_path=drop_path
        )

    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """Stem and head around the stages."""
        stem, head = normed_conv(3, 32, 3), normed_conv(256, 1280, 1)
        return LayerNetwork(stem, stages, head, nn.Linear(1280, self.classes), dropout=dropout)


def macro_space() -> LayerSpace:
    """3^8 codes; an identity may change places with another layer of its stage, the first one excepted."""
    return LayerSpace(
        name="macro",
        layers=[BLOCKS] * 8,
        identity="identity",
        stages=[[3, 4], [6, 7]],
        skeleton="macro_space:MacroSkeleton",
    )


def main() -> None:
    """Draw networks under a budget, and build them."""
    space = macro_space().where("macs<=25e6")
    for code in space.sample(3, np.random.default_rng(0)):
        logits = build(space, code).eval()(torch.zeros(1, 3, 32, 32))
        macs, params = space.count("macs", code[None])[0], space.count("params", code[None])[0]
        print(
            f"{space.format(code):24} {macs / 1e6:6.2f} MMACs {params / 1e6:5.2f} M parameters, {logits.shape[1]} classes"
        )


if __name__ == "__main__":
    main()
