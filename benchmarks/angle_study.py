"""What the angle of random labels measures: 16 trainings of a NAS-Bench-201 supernet that differ in one thing each.

    python benchmarks/angle_study.py train ../shared/data/cifar10/train-00000-of-00002.parquet runs/study --jobs 16
    python benchmarks/angle_study.py report runs/study ../shared/data/nasbench201.parquet

The supernet here is written out by hand, apart from frugalnas's, in torch's usual layout and with torch's own optimiser, so
that it also checks frugalnas's by what comes out. It needs a GPU: about 16 s an epoch on an H100 that 16 trainings share.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from frugalnas.scores.correlation import kendall_tau, within_groups

USUAL: dict[str, Any] = {
    "seed": 0,
    "labels": "random",
    "classes": 10,
    "lr": 0.025,
    "horizon": 250,
    "weight_decay": 5e-4,
    "decay_unsampled": True,
    "augment": True,
    "per_cell": True,
    "affine": False,
}
EPOCHS = 8
STUDIES: dict[str, dict[str, Any]] = {
    **{f"{labels}-{seed}": {"labels": labels, "seed": seed} for labels in ("random", "true") for seed in range(3)},
    "at every access": {"labels": "access"},
    "100 classes": {"classes": 100},
    "only used weights decay": {"decay_unsampled": False},
    "no decay": {"weight_decay": 0.0},
    "one path for all cells": {"per_cell": False},
    "batch norms with weights": {"affine": True},
    "no augmentation": {"augment": False},
    "lr 0.1": {"lr": 0.1},
    "cosine over 8 epochs": {"horizon": EPOCHS},
    "lr 0.1, cosine over 8": {"lr": 0.1, "horizon": EPOCHS},
}
SOURCES, TARGETS = (0, 0, 1, 0, 1, 2), (1, 2, 2, 3, 3, 3)
WIDTH, CELLS, BATCH = 16, 5, 64
CHANNELS = CELLS * WIDTH * (1 + 2 + 4)
"""Of all search cells together."""


# -- training ----------------------------------------------------------------------------------------------------------


def images_of(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [n, 3, 32, 32] and labels."""
    from PIL import Image

    rows = pq.read_table(file)
    pictures = [Image.open(io.BytesIO(each["bytes"])).convert("RGB") for each in rows["img"].to_pylist()]
    return np.stack([np.asarray(each).transpose(2, 0, 1) for each in pictures]), rows["label"].to_numpy()


def train(file: Path, folder: Path, name: str) -> None:
    """One training; keeps the dot products of all tensors between all kept epochs."""
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812 - everyone's name for it

    how = {**USUAL, **STUDIES[name]}
    torch.manual_seed(how["seed"])
    torch.backends.cudnn.benchmark = True
    rng = np.random.default_rng(how["seed"])

    def convolution(channels: int, kernel: int) -> nn.Module:
        conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
        return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(channels, affine=how["affine"]))

    class Cell(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.k1 = nn.ModuleList(convolution(channels, 1) for _ in SOURCES)
            self.k3 = nn.ModuleList(convolution(channels, 3) for _ in SOURCES)

        def forward(self, x: torch.Tensor, code: list[int]) -> torch.Tensor:
            nodes: list[Any] = [x, None, None, None]
            for edge, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
                read, value = nodes[source], code[edge]
                if value == 0 or read is None:
                    continue
                if value == 4:
                    out = F.avg_pool2d(read, 3, 1, 1, count_include_pad=False)
                else:
                    out = read if value == 1 else (self.k1 if value == 2 else self.k3)[edge](read)
                nodes[target] = out if nodes[target] is None else nodes[target] + out
            return nodes[3]

    class Halving(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            wide = 2 * channels
            one, two = nn.Conv2d(channels, wide, 3, 2, 1, bias=False), nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
            self.a = nn.Sequential(nn.ReLU(), one, nn.BatchNorm2d(wide))
            self.b = nn.Sequential(nn.ReLU(), two, nn.BatchNorm2d(wide))
            self.d = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(channels, wide, 1, bias=False))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x)) + self.d(x)

    class Supernet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))
            self.cells = nn.ModuleList()
            for stage in range(3):
                if stage:
                    self.cells.append(Halving(WIDTH * 2 ** (stage - 1)))
                self.cells.extend(Cell(WIDTH * 2**stage) for _ in range(CELLS))
            self.last = nn.Sequential(nn.BatchNorm2d(4 * WIDTH), nn.ReLU())
            self.cls = nn.Linear(4 * WIDTH, how["classes"])

        def forward(self, x: torch.Tensor, codes: list[list[int]]) -> torch.Tensor:
            x, left = self.stem(x), iter(codes)
            for cell in self.cells:
                x = cell(x, next(left)) if isinstance(cell, Cell) else cell(x)
            return self.cls(self.last(x).mean((2, 3)))

    def path() -> list[int]:
        code = rng.integers(0, 5, 6)
        for first, last in ((0, 1), (1, 3), (3, 6)):
            while not code[first:last].any():
                code[first:last] = rng.integers(0, 5, last - first)
        return code.tolist()

    pixels, labels = images_of(file)
    count, classes = len(pixels), how["classes"]
    if how["labels"] == "random":
        labels = np.random.RandomState(how["seed"]).randint(0, classes, count)
    x, y = torch.from_numpy(pixels).cuda(), torch.from_numpy(labels).long().cuda()
    mean = torch.tensor([125.3, 123.0, 113.9]).view(1, 3, 1, 1).cuda()
    std = torch.tensor([63.0, 62.1, 66.7]).view(1, 3, 1, 1).cuda()
    net = Supernet().cuda()
    weights = list(net.parameters())
    optimizer = torch.optim.SGD(weights, how["lr"], 0.9, weight_decay=how["weight_decay"], nesterov=True)

    def now() -> np.ndarray:
        return torch.cat([weight.detach().reshape(-1) for weight in weights]).cpu().double().numpy()

    kept = {0.0: now()}
    steps, side = count // BATCH, torch.arange(32).cuda()
    quarters = {steps // 4: 0.25, steps // 2: 0.5}
    every, channels = torch.arange(BATCH).cuda()[:, None, None, None], torch.arange(3).cuda()[None, :, None, None]
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = 0.001 + (how["lr"] - 0.001) * (1 + np.cos(np.pi * epoch / how["horizon"])) / 2
        order = torch.from_numpy(rng.permutation(count)).cuda()
        for step in range(steps):
            rows = order[step * BATCH : (step + 1) * BATCH]
            batch, wanted = (x[rows].float() - mean) / std, y[rows]
            if how["labels"] == "access":
                wanted = torch.randint(0, classes, (BATCH,), device="cuda")
            if how["augment"]:
                down, across = torch.randint(0, 9, (2, BATCH), device="cuda")
                mirrored = (torch.rand(BATCH, device="cuda") < 0.5)[:, None]
                columns = across[:, None] + torch.where(mirrored, side.flip(0), side)
                lines = down[:, None] + side
                batch = F.pad(batch, (4, 4, 4, 4))[every, channels, lines[:, None, :, None], columns[:, None, None, :]]
            codes = [path() for _ in range(3 * CELLS)] if how["per_cell"] else [path()] * (3 * CELLS)
            optimizer.zero_grad(set_to_none=not how["decay_unsampled"])
            F.cross_entropy(net(batch, codes), wanted).backward()
            optimizer.step()
            if epoch == 0 and step + 1 in quarters:
                kept[quarters[step + 1]] = now()
        kept[epoch + 1.0] = now()
    starts = np.cumsum([0] + [weight.numel() for weight in weights])[:-1]
    flat = list(kept.values())
    dots = np.array([[np.add.reduceat(one * other, starts) for other in flat] for one in flat])
    names = [each for each, _ in net.named_parameters()]
    np.savez_compressed(folder / f"{name}.npz", names=names, epochs=list(kept), dot=dots)


# -- reading -----------------------------------------------------------------------------------------------------------


class Cells:
    """All cells with their test accuracies, and which of their edges are on a path."""

    def __init__(self, table: Path) -> None:
        rows = pq.read_table(table)
        operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
        self.codes = np.array(
            [
                [
                    operations.index(word.split("~")[0])
                    for node in text.split("+")
                    for word in node.strip("|").split("|")
                ]
                for text in rows["arch_str"].to_pylist()
            ]
        )
        self.accuracy = rows["cifar10_test200"].to_numpy()
        self.params = rows["params_M_cifar10"].to_numpy()
        live = self.codes != 0
        paths = live[:, 3], live[:, 1] & live[:, 5], live[:, 0] & live[:, 2] & live[:, 5], live[:, 0] & live[:, 4]
        direct, second, both, first = (each.astype(int) for each in paths)
        self.times = np.stack([both + first, second, both, direct, first, second + both], axis=1)

    def tau(self, values: np.ndarray) -> float:
        return kendall_tau(values, self.accuracy)

    def within(self, values: np.ndarray) -> float:
        """Tau over pairs of cells with equally many parameters."""
        return within_groups(values, self.accuracy, self.params)[0]

    @property
    def live_params(self) -> np.ndarray:
        """Weights of the convolutions on live paths, in units of channels squared."""
        return ((self.times > 0) * np.array([0, 0, 1, 9, 0])[self.codes]).sum(axis=1).astype(float)

    def angles(
        self, run: dict[str, np.ndarray], base: float, epoch: float, rule: str, averaged: bool = False
    ) -> np.ndarray:
        """As RLNAS's program has it, or by frugalnas's default rule; `averaged` as if all edges turned alike."""
        first, last = list(run["epochs"]).index(base), list(run["epochs"]).index(epoch)
        triples = np.stack([run["dot"][pair] for pair in ((first, last), (first, first), (last, last))], axis=1)
        table, fixed = np.zeros((6, 5, 3)), np.zeros(3)
        for name, triple in zip(run["names"], triples, strict=True):
            parts = name.split(".")
            if len(parts) > 3 and parts[2] in ("k1", "k3"):
                if parts[4] == "1":
                    table[int(parts[3]), 2 if parts[2] == "k1" else 3] += triple
            else:
                fixed += triple if rule == "rlnas" else triple[1]
        if averaged:
            table[:] = table.mean(axis=0)
        table[:, 4] += CHANNELS / (9 if rule == "rlnas" else 3)
        times = self.times if rule == "rlnas" else np.minimum(self.times, 1)
        sums = fixed + (times[:, :, None] * table[np.arange(6), self.codes]).sum(axis=1)
        cosine = np.clip(sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2]), -1, 1)
        return np.where(times.any(axis=1), np.arccos(cosine), 0.0)


def report(folder: Path, table: Path) -> None:
    """Tau of every study by both rules: from the initial weights, and from those after one epoch."""
    cells = Cells(table)
    ways = [(0.0, 0.25), (0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 8.0), (0.5, 1.0), (1.0, 2.0), (1.0, 4.0), (1.0, 8.0)]
    for rule in ("rlnas", "default"):
        print(f"{rule:<26}" + " ".join(f"{base:g}-{epoch:g}".rjust(8) for base, epoch in ways))
        for name in STUDIES:
            run = dict(np.load(folder / f"{name}.npz"))
            taus = [cells.tau(cells.angles(run, base, epoch, rule)) for base, epoch in ways]
            print(f"{name:<26}" + " ".join(f"{tau:8.3f}" for tau in taus))

    print("tau, within groups of equal parameters, accuracy of the first cell, mean of the first hundred")
    summary(cells, "parameters", cells.params)
    summary(cells, "parameters on live paths", cells.live_params)
    for name in ("random-0", "random-1", "random-2", "true-0"):
        run = dict(np.load(folder / f"{name}.npz"))
        for what, rule, averaged in (
            ("rlnas", "rlnas", False),
            ("default", "default", False),
            ("averaged", "default", True),
        ):
            summary(cells, f"{name} 1-6 {what}", cells.angles(run, 1.0, 6.0, rule, averaged))


def summary(cells: Cells, name: str, values: np.ndarray) -> None:
    """One line about one ranking."""
    first = np.argsort(-values, kind="stable")[:100]
    within = "    -" if name == "parameters" else f"{cells.within(values):.3f}"
    print(
        f"{name:<26} {cells.tau(values):.3f} {within} {cells.accuracy[first[0]]:.2f} {cells.accuracy[first].mean():.2f}"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "report"))
    parser.add_argument("first", type=Path, help="images to train on, or the folder to report on")
    parser.add_argument("second", type=Path, help="folder to write, or nasbench201.parquet")
    parser.add_argument("--jobs", type=int, default=4, help="trainings at a time")
    parser.add_argument("--study", choices=STUDIES, help="one alone")
    parsed = parser.parse_args()
    if parsed.what == "report":
        report(parsed.first, parsed.second)
    elif parsed.study:
        train(parsed.first, parsed.second, parsed.study)
    else:
        parsed.second.mkdir(parents=True)
        names = list(STUDIES)
        for start in range(0, len(names), parsed.jobs):
            command = [sys.executable, __file__, "train", str(parsed.first), str(parsed.second), "--study"]
            running = [subprocess.Popen([*command, name]) for name in names[start : start + parsed.jobs]]
            codes = [each.wait() for each in running]
            if any(codes):
                sys.exit("a training failed")


if __name__ == "__main__":
    main()
