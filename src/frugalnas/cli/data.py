"""`frugalnas data`: what images there are, and packing them into one file."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from frugalnas.cli.parsing import option, parser_of, wording
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, worded
from frugalnas.progress import Bar

LISTED = 20
"""Classes that are listed on the terminal."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Images to train on."
    kinds = parser.add_subparsers(metavar="COMMAND")
    listed = kinds.add_parser("list", help="the data sets that have a name")
    listed.set_defaults(run=_list)
    info = kinds.add_parser(
        "info",
        help="what a data set or folder has: parts, classes, sizes, what cannot be read",
        description="What a data set or a folder of yours has, and what training would make of it.",
    )
    option(info, "data NAME|PATH")
    option(info, "--root FOLDER", "where the files of a named data set are", Path)
    option(info, "--download", "fetch CIFAR into --root where it is not there", bool)
    option(info, "--split NAME|FILE", "default, half, imagenet-50k, all, or a file [the data's own]")
    option(info, "--input --input-size PIXELS", "side of the network's square images", int)
    option(info, "--max-corrupt N", "unreadable images to skip [0]", int, default=0)
    option(info, "--check", "read every image", bool)
    option(info, "--json", "as JSON", bool)
    info.set_defaults(run=_info)
    pack = kinds.add_parser(
        "pack",
        help="write a folder of images into one file",
        description="Write a folder of images (of class folders, of parts, of Parquet files) into an LMDB, byte for byte, "
        "with labels, sorted class names and checksums.",
    )
    option(pack, "folder FOLDER", kind=Path)
    option(pack, "--to", "[lmdb]", ("lmdb",), default="lmdb")
    option(pack, "--out FOLDER", "new folder of the LMDB [<FOLDER>-lmdb]", Path)
    option(pack, "--max-corrupt N", "unreadable images to leave out [0]", int, default=0)
    option(pack, "--check", "decode every image instead of reading its header", bool)
    option(pack, "--quiet", "no progress, only the result", bool)
    pack.set_defaults(run=_pack)


def _list(parsed: argparse.Namespace) -> None:
    from frugalnas.data import DATASETS

    typed = wording(parser_of("train"))
    print_columns([(name, typed(text)) for name, text in DATASETS.items()], ("data", "what it is"))
    print(
        "\nor a path: a folder of class folders, of train/ val/ test/ with class folders, of Parquet files, an LMDB, an .npz"
    )


def _info(parsed: argparse.Namespace) -> int:
    from frugalnas.data import Images

    given = (parsed.root, parsed.download, parsed.input, parsed.split, parsed.max_corrupt)
    data = Images(parsed.data, *given).open()
    unreadable = [text for part in data.parts.values() for text in part.check()] if parsed.check else []
    if parsed.json:
        plain = {
            "data": data.name,
            "parts": {name: len(part) for name, part in data.parts.items()},
            "classes": list(data.classes),
            "preprocessing": data.preprocessing,
            "split": {"name": data.split.name, "seed": data.split.spec.seed},
            "fingerprint": data.fingerprint,
            "notes": data.notes,
            "unreadable": unreadable,
        }
        print_json(plain)
        return int(bool(unreadable))
    rows = [("data", data.name)]
    for name, part in data.parts.items():
        smallest = ""
        if data.labelled and len(data.classes) > 1:
            counts = data.class_counts(name)
            smallest = f", {counts.min():,} to {counts.max():,} a class" if counts.min() < counts.max() else ""
        rows.append((name, f"{len(part):,} images{smallest}"))
    shown = ", ".join(data.classes[:LISTED]) + (", ..." if len(data.classes) > LISTED else "")
    named = f"{len(data.classes):,}: {shown}" if data.classes else "none: the images are not in class folders"
    rows += [
        ("classes", named),
        ("input", f"{data.input_size}x{data.input_size} pixels"),
        ("mean", ", ".join(f"{value:.4f}" for value in data.mean)),
        ("deviation", ", ".join(f"{value:.4f}" for value in data.std)),
        ("split", f"{data.split.name}, seed {data.split.spec.seed}"),
        *(("note", note) for note in data.notes),
        *(("unreadable", text) for text in unreadable),
    ]
    print_columns(rows)
    return int(bool(unreadable))


def _pack(parsed: argparse.Namespace) -> None:
    from frugalnas.data import pack_lmdb

    folder = parsed.folder.expanduser()
    destination = parsed.out or folder.with_name(f"{folder.resolve().name}-lmdb")
    if not destination.resolve().parent.is_dir():
        raise FrugalnasError(
            f"--out {destination}: there is no folder {destination.parent}; make it, or choose another"
        )
    with closing(Bar("packing", quiet=parsed.quiet)) as bar:
        packed = pack_lmdb(folder, destination, max_corrupt=parsed.max_corrupt, check=parsed.check, progress=bar.update)
    images = ", ".join(f"{count:,} {part}" for part, count in packed.images.items())
    print(f"{packed.path}: {images} images of {len(packed.classes):,} classes, {packed.size / 1e6:,.1f} MB")
    for note in packed.notes:
        print(worded(note))
    print(f"Train on it with: frugalnas train ARCH --data {packed.path}")
