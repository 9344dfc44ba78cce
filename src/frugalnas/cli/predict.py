"""`frugalnas predict`: the classes of pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, worded

TOGETHER = 64
"""Pictures that pass through a network at a time."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "What a trained network takes pictures for, by the names of the classes, with the preprocessing that "
        "training used."
    )
    option(parser, "run_dir RUN", "folder of a training or a model", Path)
    option(parser, "pictures PICTURE", "files, or folders of them", Path, nargs="+")
    option(parser, "--top N", "classes to name [3]", int, default=3)
    option(parser, "--json", "as JSON, one object a picture", bool)
    parser.set_defaults(run=_predict)


def _predict(parsed: argparse.Namespace) -> None:
    if parsed.top < 1:
        raise FrugalnasError(f"--top {parsed.top}: name at least one class")
    pictures = _pictures(parsed.pictures)
    import torch

    from frugalnas.data import CorruptImage, preprocess
    from frugalnas.networks.models import card_of, load
    from frugalnas.runs.stages import trained_run

    network = load(trained_run(parsed.run_dir))
    card = card_of(network)
    if not card.preprocessing:
        raise FrugalnasError(
            f"{parsed.run_dir} does not say how images are preprocessed; import its weights again with --trained-on"
        )
    rows: list[tuple[str, list[tuple[str, float]]]] = []
    skipped: list[str] = []
    for start in range(0, len(pictures), TOGETHER):
        images, read = [], []
        for path in pictures[start : start + TOGETHER]:
            try:
                images.append(preprocess(path, card.preprocessing))
                read.append(path)
            except CorruptImage as error:
                skipped.append(str(error))
                print(f"skipped {error}", file=sys.stderr)
        if not images:
            continue
        with torch.inference_mode():
            probabilities = network(torch.stack(images)).softmax(dim=1)
        best = probabilities.topk(min(parsed.top, probabilities.shape[1]), dim=1)
        for path, shares, numbers in zip(read, best.values.tolist(), best.indices.tolist(), strict=True):
            names = [card.classes[number] if card.classes else str(number) for number in numbers]
            rows.append((str(path), list(zip(names, shares, strict=True))))
    if not rows:
        raise FrugalnasError(
            f"none of the {len(skipped)} pictures can be read ({skipped[0]}); save them as JPEG or PNG"
        )
    if parsed.json:
        plain = [{"picture": path, "classes": dict(classes)} for path, classes in rows]
        print_json(plain)
        return
    print_columns([[path, *(f"{name} {100 * share:.1f} %" for name, share in classes)] for path, classes in rows])
    if skipped:
        print(f"{len(skipped)} of {len(pictures)} pictures could not be read and were skipped", file=sys.stderr)


def _pictures(paths: list[Path]) -> list[Path]:
    """The files that are meant: themselves, or the pictures anywhere in a folder."""
    from frugalnas.data.folders import SUFFIXES, Tree, readable_name

    pictures: list[Path] = []
    for path in paths:
        readable_name(str(path), path.parent)
        if path.is_dir():
            tree = Tree(path)
            inside = tree.below(path)
            if not inside:
                raise FrugalnasError(f"{path} has no pictures in it ({', '.join(SUFFIXES)}); name the files")
            pictures += inside
            for note in tree.notes:
                print(worded(note), file=sys.stderr)
        elif path.exists():
            pictures.append(path)
        else:
            raise FrugalnasError(f"there is no picture {path}")
    return pictures
