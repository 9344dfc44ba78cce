"""Blocks of mobile networks, put together from the parts that torchvision keeps.

`Conv2dNormActivation` and `SqueezeExcitation` are torchvision's. With the same weights an `MBConv` of
kernel 3 is numerically torchvision's `mobilenetv2.InvertedResidual`, one with squeeze-and-excitation its
`mobilenetv3.InvertedResidual`; ours takes any kernel and can drop its path.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from frugalnas.networks.operations import DropPath


def round_channels(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least one and never below 90 % of it (MobileNetV2's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def normed_conv(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: Callable[..., nn.Module] | None = nn.ReLU6,
    epsilon: float = 1e-5,
) -> nn.Module:
    """Convolution without bias, batch normalisation, activation; an odd kernel keeps ceil(size / stride) pixels."""
    block: nn.Module = Conv2dNormActivation(
        inputs,
        outputs,
        kernel,
        stride,
        groups=groups,
        norm_layer=partial(nn.BatchNorm2d, eps=epsilon),
        activation_layer=activation,
    )
    return block


class MBConv(nn.Module):
    """The mobile inverted bottleneck: widen by a 1x1 convolution, filter each channel, narrow again.

    The input is added where it has the shape of the output (MobileNetV2, Sandler et al. 2018; with squeeze-and-excitation
    MobileNetV3, Howard et al. 2019).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: of the depthwise convolution.
        expansion: hidden channels per input channel; 1 leaves the widening convolution out.
        stride: of the depthwise convolution.
        activation: after the first two convolutions.
        squeeze: squeeze-and-excitation to a quarter of the hidden channels, gated by a hard sigmoid.
        drop_path: probability that an image takes the shortcut alone, in training, where there is one.
        epsilon: of batch normalisation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        expansion: int,
        stride: int = 1,
        activation: Callable[..., nn.Module] = nn.ReLU6,
        squeeze: bool = False,
        drop_path: float = 0.0,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        conv = partial(normed_conv, epsilon=epsilon)
        hidden = inputs * expansion
        layers = [conv(inputs, hidden, 1, activation=activation)] if expansion != 1 else []
        layers.append(conv(hidden, hidden, kernel, stride, groups=hidden, activation=activation))
        if squeeze:
            layers.append(SqueezeExcitation(hidden, round_channels(hidden // 4), scale_activation=nn.Hardsigmoid))
        layers.append(conv(hidden, outputs, 1, activation=None))
        self.layers = nn.Sequential(*layers)
        shortcut = stride == 1 and inputs == outputs
        self.drop_path: nn.Module | None = DropPath(drop_path) if shortcut else None

    def forward(self, features: Tensor) -> Tensor:
        """The block's output, shape [n, outputs, ceil(height / stride), ceil(width / stride)]."""
        changed: Tensor = self.layers(features)
        return changed if self.drop_path is None else features + self.drop_path(changed)


@torch.no_grad()
def he_fan_out(network: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (kernel area x output channels)); biases of convolutions become 0.

    Of a depthwise convolution the output channels are all of its channels, not the one of each group: the rule of the
    MobileNets, which RLNAS, ABS, ProxylessNAS and Once-for-All ("he_fout") keep. Batch normalisations and linear layers
    stay as torch makes them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
