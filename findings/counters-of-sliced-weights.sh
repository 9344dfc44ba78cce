#!/usr/bin/env bash
# A layer of elastic width (slimmable and once-for-all networks) keeps the weights of its widest form and convolves with a slice of them.
# thop 0.1.1, ptflops 0.7.5 (its default backend) and torchinfo 1.8.0 say that such a layer costs nothing, or the same at every
# width, and warn of nothing: whoever searches within a limit by their counts takes every network for cheap enough. fvcore 0.1.5,
# torchprofile 0.1.0, ptflops's other backend and torch's own FlopCounterMode look at the operators that ran, and are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet torch==2.14.1 torchvision==0.29.1 numpy==2.4.6 thop==0.1.1.post2209072238 ptflops==0.7.5 \
    fvcore==0.1.5.post20221221 torchinfo==1.8.0 torchprofile==0.1.0 setuptools
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import thop
import torch
import torchinfo
from fvcore.nn import FlopCountAnalysis
from ptflops import get_model_complexity_info
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchprofile import profile_macs

logging.disable(logging.WARNING)


class Elastic(torch.nn.Module):
    """A 3x3 convolution of up to 16 channels, of which so many are computed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.widest = torch.nn.Conv2d(8, 16, 3, padding=1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(images, self.widest.weight[: self.width], padding=1)


class ElasticConv(torch.nn.Conv2d):
    """The same, written as a kind of convolution."""

    def __init__(self, width: int) -> None:
        super().__init__(8, 16, 3, padding=1, bias=False)
        self.width = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(images, self.weight[: self.width], padding=1)


def by_torch(network: torch.nn.Module, images: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() // 2


def by_ptflops(network: torch.nn.Module, backend: str) -> int:
    options = {"as_strings": False, "print_per_layer_stat": False, "backend": backend}
    return get_model_complexity_info(network, (8, 10, 10), **options)[0]


def counts(kind: type[torch.nn.Module], width: int) -> dict[str, int]:
    """Multiply-adds of one image."""
    images = torch.zeros(1, 8, 10, 10)
    return {
        "truth": 10 * 10 * width * 8 * 9,
        "torch": by_torch(kind(width), images),
        "fvcore": FlopCountAnalysis(kind(width), images).total(),
        "torchprofile": profile_macs(kind(width).eval(), images),
        "ptflops, aten": by_ptflops(kind(width), "aten"),
        "ptflops": by_ptflops(kind(width), "pytorch"),
        "thop": int(thop.profile(kind(width), (images,), verbose=False)[0]),
        "torchinfo": torchinfo.summary(kind(width), input_data=images, verbose=0).total_mult_adds,
    }


print("torch", torch.__version__)
wrong = {"ptflops", "thop", "torchinfo"}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    for kind in (Elastic, ElasticConv):
        narrow, wide = counts(kind, 8), counts(kind, 16)
        for counter in narrow:
            print(f"{kind.__name__:12} {counter:14} width 8: {narrow[counter]:7,}   width 16: {wide[counter]:7,}")
        for counter in narrow:
            assert (narrow[counter] == narrow["truth"] and wide[counter] == wide["truth"]) != (counter in wrong), counter
        assert all(narrow[counter] == wide[counter] for counter in wrong)
        assert narrow["thop"] == narrow["ptflops"] == 0
told = [str(each.message) for each in warned if "conv" in str(each.message).lower()]
print("warnings that name a convolution:", told)
assert not told
PYTHON
