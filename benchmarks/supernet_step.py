"""Training step of a supernet, in alternating pairs against others on the same batch.

With `--space`, a step of that space's supernet through one uniform path against one of the plain network of the same path; where
every layer has as many blocks, also a strictly fair step against the plain networks of all its paths, a step each. Otherwise
NAS-Bench-201's supernet, against two others.

Against the plain network of the same path, drawn anew for each pair: once from all codes, once from those without `none`,
whose cells have no edge that a supernet could skip. Against a supernet as one writes it first: contiguous float32, a module
for every operation on every edge, each of which is run as it stands, `none` as a multiplication by zero, paths by cell; both
supernets have the same weights and paths, and their first losses are compared. And against itself with torch's fused optimiser.

    python benchmarks/supernet_step.py [--pairs 200] [--width 16] [--cells 5] [--input 32] [--batch 64] [--device cpu]
    [--fused-only] [--space mobilenet --input 64 --batch 32]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import frugalnas as fn
from frugalnas.networks import build
from frugalnas.networks.nasbench201 import ResidualBlock
from frugalnas.registry import SPACES
from frugalnas.spaces.nasbench201 import SOURCE, TARGET
from frugalnas.supernets import SupernetRecipe, SupernetStep, path_sampler, supernet_of
from frugalnas.training import Compute, Objective, Position, Recipe, WeightStep, optimizer_for, schedule_for

SETTINGS = {"epochs": 100, "optimizer": "sgd", "lr": 0.025, "min_lr": 0.001, "momentum": 0.9, "weight_decay": 5e-4}
"""RLNAS's for NAS-Bench-201; timm's "sgd" has Nesterov momentum."""
FORMAT = torch.channels_last


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


def naive_conv(channels: int, kernel: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(channels, affine=False))


class NaiveCell(nn.Module):
    """Every operation on every edge, run as a code says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(
                [
                    Zero(),
                    nn.Identity(),
                    naive_conv(channels, 1),
                    naive_conv(channels, 3),
                    nn.AvgPool2d(3, 1, 1, count_include_pad=False),
                ]
            )
            for _ in SOURCE
        )

    def forward(self, x: Tensor, code: list[int]) -> Tensor:
        nodes = [x]
        for node in (1, 2, 3):
            inputs = [edge for edge, target in enumerate(TARGET) if target == node]
            nodes.append(sum(self.edges[edge][code[edge]](nodes[SOURCE[edge]]) for edge in inputs))
        return nodes[-1]


class NaiveSupernet(nn.Module):
    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        for channels in (width, 2 * width, 4 * width):
            if channels > width:
                self.cells.append(ResidualBlock(channels // 2, channels))
            self.cells.extend(NaiveCell(channels) for _ in range(cells))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, 10)

    def forward(self, images: Tensor, codes: np.ndarray) -> Tensor:
        x = self.stem(images)
        rows = iter(codes.tolist())
        for cell in self.cells:
            x = cell(x, next(rows)) if isinstance(cell, NaiveCell) else cell(x)
        return self.classifier(F.adaptive_avg_pool2d(self.lastact(x), 1).flatten(1))


class Bench:
    """Makes steps on one batch; what stands before the measured step of a pair is not timed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.fabric = Compute(arguments.device).fabric()
        self.fabric.launch()
        if arguments.space is None:
            self.space = fn.NASBench201(width=arguments.width, cells=arguments.cells, input_size=arguments.input)
        else:
            described = {"name": arguments.space, "options": {"input_size": arguments.input, "classes": 10}}
            self.space = SPACES.create(described)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(arguments.batch, 3, arguments.input, arguments.input, generator=generator)
        self.labels = torch.randint(10, (arguments.batch,), generator=generator)
        self.images, self.labels = self.fabric.to_device((self.images, self.labels))

    def set_up(self, network: nn.Module, recipe: Recipe):
        """What a step of ours takes: network and optimiser as Fabric wraps them, schedule, recipe, objective."""
        network.to(memory_format=FORMAT)
        optimizer = optimizer_for(recipe, network)
        wrapped, wrapped_optimizer = self.fabric.setup(network, optimizer)
        schedule = schedule_for(recipe, optimizer, steps_per_epoch=10**6)
        return self.fabric, wrapped, wrapped_optimizer, schedule, recipe, Objective(recipe, 10)

    def position(self, step: int) -> Position:
        return Position(0, step, 100, 10**6)

    def seconds(self, function: Callable[[], object]) -> float:
        """What a step takes: of the processor, which other work on the machine disturbs less, or of the clock on a GPU."""
        if self.fabric.device.type == "cpu":
            start = time.process_time()
            function()
            return time.process_time() - start
        torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    def pair(self, step: int, first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
        """What both take, one after the other, each first in every second pair."""
        if step % 2:
            return self.seconds(first), self.seconds(second)
        last = self.seconds(second)
        return self.seconds(first), last

    def against_plain(self, drawn_from: fn.SearchSpace, what: str, sampler: str = "uniform") -> None:
        """Pairs of the paths of a step in the supernet and the same paths as networks of their own, a step each."""
        recipe = SupernetRecipe(**SETTINGS)
        supernet = supernet_of(self.space)
        ours = SupernetStep(
            *self.set_up(supernet, recipe), path_sampler(sampler, drawn_from, 1, 0), memory_format=FORMAT
        )
        ours((self.images, self.labels), self.position(0))
        pairs = []
        for step in range(1, self.arguments.pairs + 1):
            plain = [
                WeightStep(*self.set_up(build(self.space, code), Recipe(**SETTINGS)), memory_format=FORMAT)
                for code in ours.paths(step)[:, 0].astype(np.int8)
            ]
            for each in plain:
                each((self.images, self.labels), self.position(0))
            given = ((self.images, self.labels), self.position(step))
            pairs.append(self.pair(step, partial(ours, *given), partial(_all, plain, *given)))
        report(f"supernet against plain network, {what}", np.array(pairs))

    def against_naive(self) -> None:
        """Pairs of the same steps of two supernets that begin with the same weights."""
        torch.manual_seed(0)
        naive = NaiveSupernet(self.arguments.width, self.arguments.cells).to(self.fabric.device)
        supernet = supernet_of(self.space)
        given = [tensor for name, tensor in naive.state_dict().items()]
        supernet.load_state_dict(dict(zip(supernet.state_dict(), given, strict=True)))
        paths = path_sampler("cell", self.space, supernet.draws, 0)
        ours = SupernetStep(*self.set_up(supernet, SupernetRecipe(**SETTINGS)), paths, memory_format=FORMAT)
        optimizer = torch.optim.SGD(naive.parameters(), lr=0.025, momentum=0.9, weight_decay=5e-4, nesterov=True)

        def by_hand(step: int) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(naive(self.images, paths(step)[0]), self.labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        for step in range(3):
            mine = ours((self.images, self.labels), self.position(step))["loss"] / len(self.images)
            theirs = by_hand(step)
            assert abs(float(mine - theirs)) < 1e-3, (step, float(mine), float(theirs))
        pairs = []
        for step in range(3, 3 + self.arguments.pairs):
            mine = partial(ours, (self.images, self.labels), self.position(step))
            pairs.append(self.pair(step, partial(by_hand, step), mine))
        report("naive supernet against this one", np.array(pairs))

    def against_fused(self) -> None:
        """Pairs of one step with torch's plain and its fused optimiser; then of the optimiser's part alone."""
        steps = []
        for options in ({}, {"fused": True}):
            torch.manual_seed(0)
            supernet, recipe = supernet_of(self.space), SupernetRecipe(**SETTINGS, optimizer_options=options)
            paths = path_sampler("cell", self.space, supernet.draws, 0)
            steps.append(SupernetStep(*self.set_up(supernet, recipe), paths, memory_format=FORMAT))
        whole, alone = [], []
        for step in range(3 + self.arguments.pairs):
            made = [partial(each, (self.images, self.labels), self.position(step)) for each in steps]
            whole.append(self.pair(step, *made))
            alone.append(self.pair(step, *(each.optimizer.step for each in steps)))
        report("plain optimiser against the fused one, whole step", np.array(whole[3:]))
        report("plain optimiser against the fused one, optimiser alone", np.array(alone[3:]))


def _all(steps: list[WeightStep], *given: object) -> None:
    for step in steps:
        step(*given)


def report(what: str, pairs: np.ndarray) -> None:
    """Medians of both sides, and the median of the pairs' ratios with its 95 % bootstrap interval."""
    ratios = pairs[:, 0] / pairs[:, 1]
    rng = np.random.default_rng(0)
    again = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    first, second = 1e3 * np.median(pairs, axis=0)
    low, high = np.quantile(again, (0.025, 0.975))
    print(f"{what}: {first:.1f} and {second:.1f} ms, ratio {np.median(ratios):.3f} [{low:.3f}, {high:.3f}]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("pairs", 200), ("width", 16), ("cells", 5), ("input", 32), ("batch", 64)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fused-only", action="store_true")
    parser.add_argument("--space")
    bench = Bench(parser.parse_args())
    if bench.arguments.space is not None:
        bench.against_plain(bench.space, "uniform path")
        if len(set(bench.space.allowed.sum(axis=1))) == 1:
            bench.against_plain(bench.space, "strictly fair paths", "fair")
        return
    without_none = np.ones((6, 5), bool)
    without_none[:, 0] = False
    bench.against_fused()
    if bench.arguments.fused_only:
        return
    bench.against_naive()
    bench.against_plain(bench.space, "all codes")
    bench.against_plain(bench.space.restrict(without_none), "codes without none")


if __name__ == "__main__":
    main()
