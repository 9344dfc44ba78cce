"""`frugalnas export`: a trained network for use without frugalnas."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from frugalnas.cli.parsing import option
from frugalnas.errors import FrugalnasError

FORMATS = ("onnx", "torch-export", "safetensors")


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Write a trained network for use without frugalnas. What is written is read back and compared with "
        "torch before it appears; it carries the preprocessing and the names of the classes."
    )
    option(parser, "run_dir RUN", "folder of a training or a model", Path)
    option(parser, "--format", "[onnx]", FORMATS, default="onnx")
    option(parser, "--out PATH", "file, or folder for safetensors [RUN/export/<name>]", Path)
    option(parser, "--untrained", "also where the weights are random, for its speed alone", bool)
    parser.set_defaults(run=_export)


def _export(parsed: argparse.Namespace) -> None:
    from frugalnas.networks.exporting import FORMATS, export
    from frugalnas.networks.models import card_of, load
    from frugalnas.runs.stages import network_of

    network = load(network_of(parsed.run_dir))
    card = card_of(network)
    if str(card.provenance.get("weights", "")).startswith("random") and not parsed.untrained:
        raise FrugalnasError(
            f"the network of {parsed.run_dir} has random weights; train it with: frugalnas train {parsed.run_dir} --data "
            "FOLDER, or export it as it is, for its speed alone, with --untrained"
        )
    path = parsed.out or _default_path(parsed.run_dir, parsed.format, FORMATS[parsed.format])
    existed = path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FrugalnasError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    try:
        written = export(network, card, path, parsed.format)
    except BaseException:
        if not existed and not any(path.parent.iterdir()):
            path.parent.rmdir()
        raise
    files = [written] if written.is_file() else sorted(written.iterdir())
    size = sum(file.stat().st_size for file in files if file.is_file())
    pixels = card.preprocessing.get("input_size", getattr(card.make_space(), "input_size", "?"))
    print(
        f"{written}: {size / 1e6:,.2f} MB, images [batch, 3, {pixels}, {pixels}] to {len(card.classes) or '?'} classes"
    )


def _default_path(run_dir: Path, format: str, suffix: str) -> Path:
    name = re.sub(r"[^\w.-]+", "-", run_dir.resolve().name)
    folder = run_dir if run_dir.is_dir() else run_dir.parent
    return folder / "export" / (f"{name}{suffix}" if suffix else format)
