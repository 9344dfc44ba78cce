"""A small DARTS network on 25,000 CIFAR-10 images for as many epochs as a budget of minutes holds: its curve and its test.

The images are the shard `train-00000` of the Parquet layout, a tenth of them held out to choose by; the test set is looked
at once, at the end. The number of epochs follows from the time of a few steps, before training starts.

    python benchmarks/train_darts_cifar.py ../shared/data/cifar10 --minutes 20
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import frugalnas as fn
from frugalnas.report.training import training_report
from frugalnas.spaces import DARTS
from frugalnas.trainings.network import proposed_training, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path, help="folder of train-00000.parquet and test-*.parquet")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--architecture", default="DARTS_V2")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/darts-cifar10-half"))
    options = parser.parse_args()
    space = DARTS(width=options.width, layers=options.layers)
    code = space.parse(options.architecture)
    settings = {
        "batch_size": 96,
        "lr": 0.05,
        "drop_path": 0.0,
        "auxiliary_weight": 0.0,
        "augmentation": {"pad": 4, "flip": True},
    }
    with tempfile.TemporaryDirectory() as folder:
        for file in (*options.cifar10.glob("train-00000*"), *options.cifar10.glob("test*")):
            shutil.copy(file, folder)
        architecture, compute = fn.Architecture(space, code, options.architecture), fn.Compute(channels_last=True)
        proposal = proposed_training(architecture, folder, "cifar", settings={**settings, "epochs": 1}, compute=compute)
        one, counts = proposal.plan(), proposal.config["counts"]
        epochs = max(int(60 * options.minutes / one.seconds), 1)
        print(
            f"{counts['params']:,} parameters, {counts['macs'] / 1e6:.1f} M MACs; {one.seconds:.0f} s an epoch, so "
            f"{epochs} epochs"
        )
        result = train(
            architecture,
            folder,
            "cifar",
            run_dir=options.run_dir,
            settings={**settings, "epochs": epochs},
            compute=compute,
        )
        for epoch in result.epochs:
            print(
                f"epoch {epoch['epoch']:3d}  train {epoch['train_accuracy']:.2f} %  validation {epoch['val_accuracy']:.2f} %"
            )
        assert result.test is not None
        print(
            f"test {result.test.top1:.2f} % after {result.seconds / 60:.1f} minutes (epoch {result.selected} by validation)"
        )
        for path in training_report(options.run_dir):
            print(path)


if __name__ == "__main__":
    main()
