"""The operations of cell spaces as modules: DARTS, RelativeNAS, P-DARTS, NASNet, AmoebaNet and NAS-Bench-201.

Parameters have the names that these papers' published weights use: `op.1.weight` and so on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from frugalnas.errors import FrugalnasError, unknown_name


class Zero(nn.Module):
    """`none`: zeros of the size that the other operations have.

    The input is multiplied by zero, so that every weight has a gradient, which distributed training insists on.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros, shape [n, channels, height / stride, width / stride]."""
        return (x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]) * 0.0


class _Steps(nn.Module):
    """Steps in a row, held as `op`."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """What the last step gives."""
        return self.op(x)


class ReLUConvBN(_Steps):
    """ReLU, convolution, batch norm; 1x1 by default."""

    def __init__(self, inputs: int, channels: int, kernel: int = 1, stride: int = 1, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class DilatedConvolution(_Steps):
    """ReLU, depthwise convolution with dilation 2, pointwise convolution, batch norm."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        super().__init__(*_separable(channels, kernel, stride, dilation=2, affine=affine))


class SeparableConvolution(_Steps):
    """ReLU, depthwise convolution, pointwise convolution, batch norm; twice, the first with the stride."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        super().__init__(
            *_separable(channels, kernel, stride, dilation=1, affine=affine),
            *_separable(channels, kernel, 1, dilation=1, affine=affine),
        )


def _separable(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


class FactorizedReduce(nn.Module):
    """Half the height and width: two 1x1 convolutions with stride 2, the second one pixel further, then batch norm.

    An odd number of channels gives the second convolution one more, as in ABS; an odd height or width is filled up with
    zeros for it. Both are what the papers' programs do for even ones.

    The pixels are picked before the convolutions, which take 0.4 to 0.9 of the time then and give the same numbers. Besides,
    torch 2.14.1 writes past its memory where a processor without AVX-512 has to find them itself among few channels.
    """

    def __init__(self, inputs: int, channels: int, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(inputs, channels // 2, 1, bias=False)
        self.conv_2 = nn.Conv2d(inputs, channels - channels // 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, channels, ceil(height / 2), ceil(width / 2)]."""
        x = self.relu(x)
        shifted = x
        if x.shape[2] % 2 or x.shape[3] % 2:
            shifted = nn.functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        return self.bn(torch.cat([self.conv_1(x[:, :, ::2, ::2]), self.conv_2(shifted[:, :, 1::2, 1::2])], dim=1))


class AveragePool(nn.AvgPool2d):
    """3x3 average pooling over the pixels that are there.

    On NVIDIA's GPUs the gradients of torch's own are wrong for padded channels-last images in releases before the middle of
    2026 (pytorch issue 188344), without a word: there the images are laid out anew.
    """

    def __init__(self, stride: int) -> None:
        super().__init__(3, stride, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape [n, channels, ceil(height / stride), ceil(width / stride)]."""
        return super().forward(x.contiguous() if x.is_cuda else x)


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


def _conv_7x1_1x7(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    )


OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda channels, stride, affine: Zero(stride),
    "max_pool_3x3": lambda channels, stride, affine: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda channels, stride, affine: AveragePool(stride),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda channels, stride, affine: SeparableConvolution(channels, 3, stride, affine),
    "sep_conv_5x5": lambda channels, stride, affine: SeparableConvolution(channels, 5, stride, affine),
    "sep_conv_7x7": lambda channels, stride, affine: SeparableConvolution(channels, 7, stride, affine),
    "dil_conv_3x3": lambda channels, stride, affine: DilatedConvolution(channels, 3, stride, affine),
    "dil_conv_5x5": lambda channels, stride, affine: DilatedConvolution(channels, 5, stride, affine),
    "conv_7x1_1x7": _conv_7x1_1x7,
    "nor_conv_1x1": lambda channels, stride, affine: ReLUConvBN(channels, channels, 1, stride, affine),
    "nor_conv_3x3": lambda channels, stride, affine: ReLUConvBN(channels, channels, 3, stride, affine),
}
"""What makes the module of each operation from (channels, stride, affine); channels stay what they are."""


def operation(name: str, channels: int, stride: int = 1, *, affine: bool = True) -> nn.Module:
    """The module of one operation, from [n, channels, height, width] to the same, with stride 2 at half the size.

    Args:
        name: see `OPERATIONS`.
        channels: of input and output.
        stride: 1 or 2.
        affine: whether batch norms have weights; in supernets whose architecture is learned they have none.
    """
    if name not in OPERATIONS:
        raise unknown_name("operation", name, OPERATIONS)
    return OPERATIONS[name](channels, stride, affine)


class DropPath(StochasticDepth):  # type: ignore[misc]  # torchvision has no types
    """Torchvision's `StochasticDepth` by row, whose rate may change from epoch to epoch in a compiled network.

    A number in the code of a network would have `torch.compile` compile it anew for every rate; here it is a tensor.

    Args:
        rate: probability of dropping a path for one image, in training mode; the others are divided by 1 - rate.
    """

    kept: Tensor

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__(rate, "row")
        self.register_buffer("kept", torch.tensor(1.0), persistent=False)
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Change the probability."""
        self.p = rate
        self.active = rate > 0
        self.kept.fill_(1 - rate)

    def forward(self, x: Tensor) -> Tensor:
        """The input, in training without the paths that are dropped."""
        if not (self.training and self.active):
            return x
        drawn = torch.rand([x.shape[0]] + [1] * (x.dim() - 1), device=x.device)
        return x * ((drawn < self.kept) / self.kept).to(x.dtype)


def set_drop_path(network: nn.Module, rate: float) -> None:
    """Set the probability with which each path is dropped for one image, in training mode, everywhere in a network.

    The paths that are kept are divided by 1 - rate. Recipes raise the rate epoch by epoch.

    Args:
        network: with `DropPath` or torchvision's `StochasticDepth` modules.
        rate: from 0 up to, not including, 1.
    """
    if not 0 <= rate < 1:
        raise FrugalnasError(f"a drop-path rate of {rate:g} is not possible; choose one from 0 up to, not including, 1")
    for module in network.modules():
        if isinstance(module, DropPath):
            module.set_rate(rate)
        elif isinstance(module, StochasticDepth):
            module.p = rate


def halved(side: int, times: int = 1) -> int:
    """Side of a square feature map after so many strides of 2, each rounding up."""
    return -(-side // 2**times)


def refuse_small_input(what: str, side: int, halvings: int) -> None:
    """Refuse images of which one pixel is left before the last halving.

    Raises:
        FrugalnasError: naming the least input size.
    """
    least = 2 ** (halvings - 1) + 1
    if side < least:
        raise FrugalnasError(
            f"input {side}x{side} is too small for {what}, which halves it {halvings} times; "
            f"take `input_size`={least} or more"
        )
