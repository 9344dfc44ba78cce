"""`frugalnas weights import`: a model of a published checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.architectures import add_set, add_sizes, find_architecture
from frugalnas.cli.options import lines_in
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.spaces.sizes import cost_rows


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Weights that other programs have written."
    kinds = parser.add_subparsers(metavar="COMMAND")
    imported = kinds.add_parser(
        "import",
        help="make a model of a published checkpoint",
        description="Read a checkpoint (.pt, .pth, .pth.tar, .safetensors) without running what is in it, and write a "
        "model's folder that evaluate, predict, export and train --weights take. An encoder that SSNENAS's program "
        "pre-trained becomes a folder that --pretrained takes.",
    )
    option(imported, "file FILE", kind=Path)
    option(
        imported,
        "--arch ARCH",
        "its architecture, as for `frugalnas count` [the only known one that fits]",
        dest="architecture",
    )
    add_sizes(imported)
    add_set(imported)
    option(
        imported,
        "--trained-on NAME",
        "how images were preprocessed: cifar10, cifar100, imagenet, imagenet-abs, imagenet-rlnas [by its size]",
    )
    option(imported, "--class-names FILE", "names of the classes, one a line", Path)
    option(imported, "--match", "of tensors [auto]", ("auto", "names", "order"), default="auto")
    option(imported, "--key NAME", "where the tensors are in the file, where it has several sets")
    option(imported, "--out FOLDER", "of the model [models/<name of the file>]", Path)
    imported.set_defaults(run=_import)


def _import(parsed: argparse.Namespace) -> None:
    from frugalnas.networks.checkpoints import import_weights
    from frugalnas.networks.models import save_model

    if not parsed.file.is_file():
        raise FrugalnasError(f"there is no file {parsed.file}")
    folder = parsed.out or Path("models") / parsed.file.name.split(".")[0]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FrugalnasError(f"{folder} is already there; choose another --out")
    if parsed.architecture is None and _is_encoder(parsed):
        _import_encoder(parsed, folder)
        return
    found = None if parsed.architecture is None else find_architecture(parsed)
    if found is None and (parsed.space or parsed.set):
        raise FrugalnasError("--space and --set go with --arch, which says what the tensors belong to")
    how = {name: getattr(parsed, name) for name in ("trained_on", "match", "key")}
    names = None if parsed.class_names is None else lines_in(parsed.class_names, "--class-names", "a name")
    known = (None, None) if found is None else (found.space, found.code)
    imported = import_weights(parsed.file, *known, classes=names, **how)
    save_model(folder, imported.network, imported.card)
    card = imported.card
    rows = [
        ("architecture", card.architecture),
        *cost_rows(card.make_space(), card.counts["params"], card.counts["macs"]),
        *(("note", note) for note in imported.notes),
        ("model", str(folder)),
    ]
    print_columns(rows)


def _is_encoder(parsed: argparse.Namespace) -> bool:
    from frugalnas.encoders.published import holds_encoder
    from frugalnas.networks.checkpoint_files import read_checkpoint

    try:
        return holds_encoder(read_checkpoint(parsed.file, parsed.key))
    except FrugalnasError:  # said again, where nothing else is wrong, by whoever reads a network's weights
        return False


def _import_encoder(parsed: argparse.Namespace, folder: Path) -> None:
    """A predictor's encoder that was pre-trained by SSNENAS's program."""
    from frugalnas.encoders import save_encoder
    from frugalnas.encoders.published import import_encoder
    from frugalnas.report.training import search_with

    space = SPACES.create(parsed.space) if parsed.space else None
    encoder, card, notes = import_encoder(parsed.file, space, key=parsed.key)
    save_encoder(folder, encoder, card)
    rows = [
        ("encoder", f"of {card.space['name']}, {encoder.depth} layers of width {encoder.width}"),
        *(("note", note) for note in notes),
        ("folder", str(folder)),
        ("next", search_with(folder, card.space["name"])),
    ]
    print_columns(rows)
