"""Training step of a built network against the same network written out by hand, in alternating pairs.

Ours: `networks.build`, and the step that `frugalnas train` makes (recipe, schedule, clipping, sums, seeds, Lightning
Fabric). By hand: plain torch modules without a class of ours and a bare loop. Both have the same weights, batches, loss and
optimiser, which is checked first. Prints the median ratio of the pairs with its 95 % bootstrap interval.

    python benchmarks/training_step.py [--pairs 200] [--width 16] [--cells 5] [--input 8] [--batch 64] [--device cpu]
"""

from __future__ import annotations

import argparse
import os
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import frugalnas as fn
from frugalnas.networks import build
from frugalnas.training import Compute, Objective, Position, Recipe, WeightStep, optimizer_for, reseed, schedule_for

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
LR, MOMENTUM, DECAY, CLIP = 0.025, 0.9, 3e-4, 5.0


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class HandCell(nn.Module):
    """The cell above, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(width, width), conv(width, width), conv(width, width)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one = self.a(x)
        two = self.b(x) + self.pool(one)
        return x + self.c(one) + two


class HandResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a, self.b = conv(inputs, outputs, 2), conv(outputs, outputs)
        self.down = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(x) + self.b(self.a(x))


class HandNetwork(nn.Module):
    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        for stage in range(3):
            channels = width * 2**stage
            if stage:
                layers.append(HandResidual(channels // 2, channels))
            layers += [HandCell(channels) for _ in range(cells)]
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def by_shape(tensors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Tensors in an order that does not depend on how modules are nested: by shape, then by first appearance."""
    return [
        tensor for _, tensor in sorted(enumerate(tensors.values()), key=lambda pair: (tuple(pair[1].shape), pair[0]))
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    for option, default in (("pairs", 200), ("width", 16), ("cells", 5), ("input", 8), ("batch", 64)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    space = fn.NASBench201(width=chosen.width, cells=chosen.cells, input_size=chosen.input)
    torch.manual_seed(0)
    ours = build(space, space.parse(CELL))
    hand = HandNetwork(chosen.width, chosen.cells).to(chosen.device)
    recipe = Recipe(epochs=1, lr=LR, momentum=MOMENTUM, weight_decay=DECAY, clip_norm=CLIP, schedule="constant")
    fabric = Compute(chosen.device).fabric()
    fabric.launch()
    optimizer = optimizer_for(recipe, ours)
    network, wrapped = fabric.setup(ours, optimizer)
    total = 10 * chosen.pairs
    step = WeightStep(fabric, network, wrapped, schedule_for(recipe, optimizer, total), recipe, Objective(recipe, 10))
    bare = torch.optim.SGD(hand.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    images = torch.randn(chosen.batch, 3, chosen.input, chosen.input, device=fabric.device)
    labels = torch.randint(10, (chosen.batch,), device=fabric.device)

    def synchronised() -> float:
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def our_step(number: int) -> float:
        started = synchronised()
        reseed(0, number)
        step((images, labels), Position(0, number, 1, total))
        return synchronised() - started

    def hand_step() -> float:
        started = synchronised()
        bare.zero_grad()
        F.cross_entropy(hand(images), labels).backward()
        nn.utils.clip_grad_norm_(hand.parameters(), CLIP)
        bare.step()
        return synchronised() - started

    # The same shapes lie on the same path in both, so equal shapes in order are equal tensors: copy ours over, compare.
    for mine, theirs in zip(by_shape(dict(ours.state_dict())), by_shape(dict(hand.state_dict())), strict=True):
        theirs.copy_(mine)
    ours.eval(), hand.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(images), hand(images), rtol=1e-4, atol=1e-5)
    ours.train(), hand.train()
    for number in range(5):
        our_step(number), hand_step()
    pairs = []
    for number in range(chosen.pairs):
        if number % 2:
            mine, theirs = our_step(number + 5), hand_step()
        else:
            theirs, mine = hand_step(), our_step(number + 5)
        pairs.append((mine, theirs))
    times = np.array(pairs)
    ratios = times[:, 0] / times[:, 1]
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    print(f"ours {1e3 * np.median(times[:, 0]):.1f} ms, by hand {1e3 * np.median(times[:, 1]):.1f} ms a step")
    print(f"ratio {np.median(ratios):.4f}, 95 % interval {low:.4f} to {high:.4f}, {len(ratios)} alternating pairs")


if __name__ == "__main__":
    main()
