"""3x3 average pooling of supernets: torch's own against a convolution with ones, forward and backward, in alternating pairs.

    python benchmarks/pooling.py [--pairs 60] [--batch 64]

One thread of a processor, float32, channels-last; the sizes are those of NAS-Bench-201's stages, CIFAR cells of DARTS, and
between. `supernets.states.FastAveragePool` chooses by them.
"""

from __future__ import annotations

import argparse
import os
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import torch
from torch import Tensor, nn

from frugalnas.networks.operations import AveragePool
from frugalnas.supernets.states import pooled_by_convolution

SIZES = [(16, 32), (16, 24), (16, 16), (16, 8), (32, 32), (32, 16), (32, 8), (64, 32), (64, 16), (64, 8), (64, 4)]


class Convolved(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        return pooled_by_convolution(features, self.stride)


def seconds(module: nn.Module, features: Tensor, gradient: Tensor) -> float:
    start = time.process_time()
    module(features).backward(gradient)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, batches of {arguments.batch}")
    print("channels x side, stride: ms of torch's own, of the convolution; times as fast, median of pairs (quartiles)")
    for stride in (1, 2):
        for channels, side in SIZES:
            features = torch.randn(arguments.batch, channels, side, side).to(memory_format=torch.channels_last)
            features.requires_grad_()
            own, convolved = AveragePool(stride), Convolved(stride)
            gradient = torch.randn_like(own(features).detach()).to(memory_format=torch.channels_last)
            torch.testing.assert_close(own(features), convolved(features))
            pairs = []
            for pair in range(arguments.pairs + 3):
                first, second = (own, convolved) if pair % 2 else (convolved, own)
                took = {first: seconds(first, features, gradient), second: seconds(second, features, gradient)}
                pairs.append((took[own], took[convolved]))
            timed = np.array(pairs[3:])
            low, middle, high = np.quantile(timed[:, 0] / timed[:, 1], (0.25, 0.5, 0.75))
            before, after = 1e3 * np.median(timed, axis=0)
            print(
                f"{channels} x {side}, {stride}: {before:.2f}, {after:.2f}; {middle:.2f} ({low:.2f} to {high:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
