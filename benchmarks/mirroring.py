"""Whether the check of `frugalnas.data.mirroring` tells where mirrored training images do harm.

Turns scikit-learn's digits and CIFAR-10 (Parquet files, --cifar FOLDER) into folders of PNGs, which say nothing about mirroring,
and asks the check about random parts of their training images. --train also trains a small network with and without mirroring.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from frugalnas.data import ImageData, Images
from frugalnas.data.mirroring import measured

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def write(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A folder of class folders of PNGs."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number:05}.png")
    return folder


def digits(folder: Path) -> Path:
    """scikit-learn's digits."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return write(folder / "digits", np.rint(loaded.images * (255 / 16)).astype(np.uint8), loaded.target)


def cifar(folder: Path, source: Path) -> Path:
    """5,000 training images of CIFAR-10."""
    train = Images("cifar10", root=source).open().train
    assert train.labels is not None
    return write(folder / "cifar", train.read(range(5000)).permute(0, 2, 3, 1).numpy(), train.labels[:5000])


def ask(data: ImageData, count: int, repeats: int) -> None:
    """Print what the check says of random parts of the training images."""
    answers = []
    for seed in range(repeats):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(data.train))[:count])
        labels = None if data.train.labels is None else data.train.labels[chosen]
        part = replace(data.train, indices=data.train.indices[chosen], labels=labels)
        answers.append(measured(replace(data, parts={"train": part})))
    plain, mirrored, chance, _ = np.array(answers).T
    yes = int(((mirrored >= plain) & (plain > chance)).sum())
    gain = mirrored - plain
    print(
        f"{data.name}, {count} images: mirror in {yes} of {repeats}; {plain.mean():.1f} % without, gain {gain.mean():+.1f} "
        f"({gain.min():+.1f} to {gain.max():+.1f})",
        flush=True,
    )


def train(folder: Path, flip: float, epochs: int | None, seed: int) -> float:
    """Test accuracy of a small network of NAS-Bench-201."""
    import frugalnas as fn
    from frugalnas.trainings.network import train

    space = fn.get_space("nasbench201").with_options(width=16, layers=1)
    settings = {"augmentation": {"base": "suggested", "flip": flip}, **({} if epochs is None else {"epochs": epochs})}
    with tempfile.TemporaryDirectory() as place:
        result = train(
            fn.Architecture(space, space.parse(CELL)), folder, run_dir=Path(place) / "run", settings=settings, seed=seed
        )
    assert result.test is not None
    return result.test.top1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--train", type=int, default=0, metavar="SEEDS")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folders = [digits(Path(place)), *([cifar(Path(place), parsed.cifar)] if parsed.cifar else [])]
        for folder in folders:
            data = Images(folder).open()
            for count in (200, 500, 1500):
                if count <= len(data.train):
                    ask(data, count, parsed.repeats)
                else:
                    ask(data, len(data.train), 1)
            for seed in range(parsed.train):
                for flip in (0.0, 0.5):
                    print(f"{data.name}, seed {seed}, flip {flip}: {train(folder, flip, None, seed):.2f} %", flush=True)


if __name__ == "__main__":
    main()
