"""One short real run of every space's supernet on CIFAR-10 with random labels: does it train, how fast, do its weights turn?

python benchmarks/supernets_cifar.py ../shared/data/cifar10 runs/supernets
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import frugalnas as fn
from frugalnas.data import SplitSpec
from frugalnas.searches.supernet_scores import open_score
from frugalnas.trainings.supernet import train_supernet

SPACES = {
    "nasbench201": (fn.NASBench201(), "rlnas-nasbench201"),
    "darts": (fn.DARTS(width=16, layers=8), "rlnas-darts-cifar10"),
    "mobilenet": (fn.MobileNet(), "rlnas-mobilenet"),
    "fairnas": (fn.FairNAS(), "abs-fairnas"),
    "shufflenet": (fn.ShuffleNet(), "abs-spos"),
    "once-for-all": (fn.OnceForAll(), "abs-spos"),
}
"""Each space with its recipe; at CIFAR's 32 pixels."""
CODES = 100_000
BATCH = 64


def run(name: str, images: Path, folder: Path, device: str) -> str:
    """One line about one space."""
    space, recipe = SPACES[name]
    settings = {"labels": "random", "epochs": 1, "batch_size": BATCH, "lr": 0.025}
    result = train_supernet(
        space,
        fn.Images(images, input_size=32, split=SplitSpec("whole", val=0.0, test=0.0)),
        recipe,
        run_dir=folder / name,
        settings=settings,
        compute=fn.Compute(device),
    )
    (epoch,) = result.epochs
    angle = open_score(result.run_dir, "angle", base=0)
    codes = angle.space.sample(CODES, np.random.default_rng(0))
    angles = angle(codes)
    return (
        f"{name:<14} {recipe:<20} loss {epoch['train_loss']:.4f}  {result.seconds:6.1f} s an epoch  angles of "
        f"{len(codes):,} codes {angles.min():.4f} to {angles.max():.4f} rad"
    )


def main() -> None:
    """Every space in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="CIFAR-10, as Parquet files")
    parser.add_argument("runs", type=Path, help="new folder for their runs")
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), choices=SPACES)
    parser.add_argument("--device", default="auto")
    parsed = parser.parse_args()
    for name in parsed.spaces:
        print(run(name, parsed.images, parsed.runs, parsed.device), flush=True)


if __name__ == "__main__":
    main()
