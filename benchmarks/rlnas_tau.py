"""How well the angle of a NAS-Bench-201 supernet ranks all cells: random and true labels, every base epoch, both rules.

    python benchmarks/rlnas_tau.py train ../shared/data/cifar10/train-00000-of-00002.parquet runs/tau --device cuda --jobs 6
    python benchmarks/rlnas_tau.py report runs/tau ../shared/data/nasbench201.parquet

Supernets of the benchmark's own size (16 channels, 5 cells a stage) on the 25,000 images of one half of CIFAR-10's training
set, batches of 64, one code per cell, learning rate 0.025: the settings of RLNAS, the first epochs of its 250.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import frugalnas as fn
from frugalnas.data import SplitSpec
from frugalnas.scores import RULES, AngleTable, angle_table
from frugalnas.scores.correlation import kendall_tau, spearman, within_groups
from frugalnas.tables import open_table
from frugalnas.trainings.supernet import SupernetResult, load_supernet, train_supernet

LABELS = ("random", "true")


def train_one(
    images: Path, folder: Path, labels: str, seed: int, epochs: int, device: str, first: int | None = None
) -> None:
    """One supernet; all its epochs are bases. With `first` only so many images."""
    with tempfile.TemporaryDirectory() as half:
        pq.write_table(pq.read_table(images).slice(0, first), Path(half) / images.name)
        train_supernet(
            fn.NASBench201(),
            fn.Images(half, split=SplitSpec("whole", val=0.0, test=0.0)),
            "rlnas-nasbench201",
            run_dir=folder / f"{labels}-seed{seed}",
            settings={"labels": labels, "epochs": epochs, "schedule_epochs": 250, "base_epochs": list(range(epochs))},
            seed=seed,
            compute=fn.Compute(device),
        )


def train(parsed: argparse.Namespace) -> None:
    """All supernets, `--jobs` at a time."""
    with ProcessPoolExecutor(parsed.jobs, mp_context=get_context("spawn")) as pool:
        work = [
            pool.submit(train_one, parsed.images, parsed.runs, labels, seed, parsed.epochs, parsed.device, parsed.first)
            for seed in range(parsed.seeds)
            for labels in LABELS
        ]
        for done in work:
            done.result()


class Truth:
    """Accuracies of all cells, test on CIFAR and validation on ImageNet16-120, and the sizes they are compared with.

    Args:
        file: with columns arch_str, cifar10_test200 and cifar100_test200.
    """

    def __init__(self, file: Path) -> None:
        self.space = fn.NASBench201()
        self.codes = self.space.enumerate()
        rows = pq.read_table(file)
        order = {tuple(self.space.parse(text)): row for row, text in enumerate(rows["arch_str"].to_pylist())}
        places = [order[tuple(code)] for code in self.codes]
        third = open_table("nasbench201/imagenet16-120")
        self.accuracies = {
            "cifar10": rows["cifar10_test200"].to_numpy()[places],
            "cifar100": rows["cifar100_test200"].to_numpy()[places],
            "imagenet16-120": third.labels()[third.rows(self.codes)],
        }
        self.params = self.space.count("params", self.codes)
        self.macs = self.space.count("macs", self.codes)

    def tau(self, scores: np.ndarray, name: str = "cifar10") -> float:
        return kendall_tau(scores, self.accuracies[name])

    def within(self, scores: np.ndarray) -> float:
        """Tau over the pairs of cells with equally many parameters."""
        return within_groups(scores, self.accuracies["cifar10"], self.params)[0]


def tables(run: SupernetResult, rule: str) -> dict[tuple[int, int], AngleTable]:
    """The angle table of every base and later epoch."""
    import torch

    from frugalnas.supernets import supernet_of

    with torch.device("meta"):
        supernet = supernet_of(run.space)
    return {
        (base, epoch): angle_table(supernet, run.triples(epoch, base), RULES[rule])
        for epoch in range(1, len(run.epochs) + 1)
        for base in run.bases
        if base < epoch
    }


def averaged(table: AngleTable) -> AngleTable:
    """The same table, as if an operation turned equally far on every edge: what knowing the edge adds is left out."""
    return replace(table, table=np.broadcast_to(table.table.mean(axis=0), table.table.shape))


def report(parsed: argparse.Namespace) -> None:
    """Kendall's tau-b with test accuracy: means over seeds, then what the default's last epoch says."""
    truth = Truth(parsed.table)
    for labels in LABELS:
        runs = [load_supernet(path) for path in sorted(parsed.runs.glob(f"{labels}-seed*"))]
        for rule in ("rlnas-nasbench201", "default"):
            made = [tables(run, rule) for run in runs]
            print(f"\n{labels} labels, rule {rule}, {len(runs)} seeds: tau after epoch (down: base epoch)")
            epochs = sorted({epoch for _, epoch in made[0]})
            print("base  " + "  ".join(f"{epoch:>13}" for epoch in epochs))
            for base in sorted({base for base, _ in made[0]}):
                cells = []
                for epoch in epochs:
                    if base >= epoch:
                        cells.append(" " * 13)
                        continue
                    taus = [truth.tau(one[base, epoch].angles(truth.codes)) for one in made]
                    cells.append(f"{np.mean(taus):.3f} +- {np.std(taus):.3f}")
                print(f"{base:>4}  " + "  ".join(cells))
            last = runs[0].default_base, epochs[-1]
            show(
                truth,
                f"{labels}, {rule}, epoch {last[1]} from {last[0]}",
                [one[last].angles(truth.codes) for one in made],
            )
            if rule == "default":
                edges = [averaged(one[last]).angles(truth.codes) for one in made]
                show(truth, "    the same, angles averaged over the edges", edges)
    show(truth, "parameters", [truth.params])
    show(truth, "multiply-adds", [truth.macs])
    live = tables_of_live_parameters(truth)
    show(truth, "parameters on live paths", [live])


def tables_of_live_parameters(truth: Truth) -> np.ndarray:
    """Parameters of the choices on paths from a cell's input to its output, per channel squared."""
    from frugalnas.scores.live_paths import LivePaths

    paths = LivePaths.of(truth.space)
    assert paths is not None
    each = np.array([0.0, 0.0, 1.0, 9.0, 0.0])
    return np.asarray(((paths.through(truth.codes).T > 0) * each[truth.codes]).sum(axis=1))


def show(truth: Truth, name: str, scores: list[np.ndarray]) -> None:
    """One line: tau on three data sets, within groups, the top."""
    taus = [f"{np.mean([truth.tau(one, data) for one in scores]):.3f}" for data in truth.accuracies]
    within = np.mean([truth.within(one) for one in scores])
    accuracy = truth.accuracies["cifar10"]
    best = [accuracy[np.argmax(one)] for one in scores]
    ranks = np.mean([spearman(one, accuracy) for one in scores])
    top = np.mean([accuracy[np.argsort(-one, kind="stable")[:100]].mean() for one in scores])
    print(
        f"{name:<48} tau {' / '.join(taus)}  spearman {ranks:.3f}  within groups {within:.3f}  "
        f"top cell {np.mean(best):.2f}  mean of top 100 {top:.2f}"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train the supernets")
    training.add_argument("images", type=Path, help="train-00000-of-00002.parquet")
    training.add_argument("runs", type=Path, help="new folder for their runs")
    training.add_argument("--epochs", type=int, default=6)
    training.add_argument("--seeds", type=int, default=3)
    training.add_argument("--first", type=int, help="images to train on [all]; 6208 are a quarter of an epoch")
    training.add_argument("--jobs", type=int, default=1, help="supernets at a time")
    training.add_argument("--device", default="auto")
    training.set_defaults(run=train)
    reporting = commands.add_parser("report", help="taus of the runs in a folder")
    reporting.add_argument("runs", type=Path)
    reporting.add_argument("table", type=Path, help="nasbench201.parquet")
    reporting.set_defaults(run=report)
    parsed = parser.parse_args()
    parsed.run(parsed)


if __name__ == "__main__":
    main()
