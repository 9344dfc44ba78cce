"""A real NPENAS search on CIFAR-10: a few DARTS cells, each trained from scratch, ranked, and the best one retrained.

So that the whole takes minutes, images are the first ones of CIFAR-10, made smaller, and networks are small and trained
for a few epochs. Half of the training images are held out to compare architectures by, as in the papers; the test images are
looked at once, by the network that is retrained at the end.

    python benchmarks/npenas_darts.py ../shared/data/cifar10 --run-dir runs/npenas-darts
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet
from PIL import Image

import frugalnas as fn
from frugalnas.data import Images
from frugalnas.registry import PREDICTORS
from frugalnas.scores.correlation import kendall_tau
from frugalnas.searches import load_search, resume, search
from frugalnas.spaces import DARTS
from frugalnas.strategies import NPENAS
from frugalnas.trainings.evaluator import TrainingEvaluator
from frugalnas.trainings.network import load_training, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path, help="folder of train-*.parquet and test-*.parquet")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/npenas-darts-cifar10"))
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--initial", type=int, default=4)
    parser.add_argument("--round-size", type=int, default=2)
    parser.add_argument("--images", type=int, default=6_000, help="first training images; as many test images at most")
    parser.add_argument("--input-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--retrain-epochs", type=int, default=10)
    parser.add_argument("--pretrained", help="folder of an encoder, or ss-ccl or ss-rl")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    images = options.run_dir.with_name(f"{options.run_dir.name}-images.npz")
    if not images.exists():
        save_first(options.cifar10, images, options.images)
    space = DARTS(width=options.width, layers=options.layers)
    evaluator = TrainingEvaluator(
        space,
        images=Images(images, split="half", input_size=options.input_size),
        recipe="npenas-darts-search",
        settings={"epochs": options.epochs, "batch_size": options.batch_size},
        sizes={"width": options.width, "layers": options.layers},
    )
    predictor = {"name": "gin", "options": {"pretrained": options.pretrained} if options.pretrained else {}}
    strategy = NPENAS(
        space,
        seed=options.seed,
        initial=options.initial,
        round_size=options.round_size,
        predictor=PREDICTORS.create(predictor),
    )
    if options.run_dir.exists():
        result = resume(options.run_dir)
    else:
        result = search(strategy, evaluator, options.queries, run_dir=options.run_dir)
    print(f"{len(result.queries)} architectures trained in {result.seconds / 60:.1f} minutes")
    for number, query in enumerate(result.queries, 1):
        own = load_training(options.run_dir / "evaluations" / f"{number:06d}" / "training")
        drawn = "drawn at random" if number <= options.initial else "proposed"
        print(
            f"{number:3d}  {drawn:15s}  best {query.metrics['best']:.2f} %  last5 {query.metrics['last5']:.2f} %  "
            f"{own.params:,} parameters  {own.seconds:.0f} s"
        )
    values = result.values
    print(f"mean of the {options.initial} drawn at random: {np.nanmean(values[: options.initial]):.2f} %")
    print(f"mean of the others, proposed: {np.nanmean(values[options.initial :]):.2f} %")
    if len(values) > 2:
        params = np.array([query.metrics["params"] for query in result.queries])
        print(f"Kendall's tau of validation accuracy with parameters: {kendall_tau(params, values):.2f}")

    best = load_search(options.run_dir).best
    final = options.run_dir.with_name(f"{options.run_dir.name}-retrained")
    if not final.exists():
        settings = {
            "batch_size": options.batch_size,
            "epochs": options.retrain_epochs,
            "drop_path": 0.0,
            "auxiliary_weight": 0.0,
            "augmentation": {"pad": 2, "flip": True},
        }
        train(
            fn.Architecture(space, best.code),
            fn.Images(images, input_size=options.input_size),
            "ssnenas-retrain",
            run_dir=final,
            settings=settings,
        )
    retrained = load_training(final)
    assert retrained.test is not None
    print(
        f"the best, retrained for {options.retrain_epochs} epochs: test {retrained.test.top1:.2f} % "
        f"after {retrained.seconds / 60:.1f} minutes"
    )


def save_first(cifar10: Path, path: Path, count: int) -> None:
    """Write the first images of both parts as arrays."""
    arrays = {}
    for part in ("train", "test"):
        table = pyarrow.parquet.read_table(sorted(cifar10.glob(f"{part}-*.parquet"))[0]).slice(0, count)
        pictures, labels = (table.column(name).to_pylist() for name in ("img", "label"))
        pixels = [np.asarray(Image.open(io.BytesIO(picture["bytes"])).convert("RGB")) for picture in pictures]
        arrays |= {f"x_{part}": np.stack(pixels), f"y_{part}": np.array(labels)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


if __name__ == "__main__":
    main()
