"""`frugalnas draw`: an architecture as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.architectures import add_architecture, find_architecture, slug, space_settings
from frugalnas.cli.count import add_set
from frugalnas.cli.parsing import option
from frugalnas.errors import FrugalnasError


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Draw an architecture: the normal and reduction cell of darts, the layers of a network as a strip of "
        "blocks, or a cell as a graph; SVG and PNG."
    )
    add_architecture(parser)
    add_set(parser)
    option(parser, "--out PATH", "files to write, without suffix [./<name>]", Path)
    option(parser, "--title", "line above the picture; '' for none [the name]")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Draw, and print what was written."""
    from frugalnas.report.architectures import draw_architecture, draw_genotype
    from frugalnas.report.style import save_figure

    found = find_architecture(parsed, space_settings(parsed.set))
    name = found.name if found.name != found.text else found.space.name
    title = name if parsed.title is None else parsed.title
    path = parsed.out or Path(slug(name))
    if path.suffix in (".png", ".svg"):
        path = path.with_suffix("")
    if found.own is not None:
        figure = draw_architecture(found.space, found.own, title=title or None)
    else:
        assert found.genotype is not None
        figure = draw_genotype(found.genotype, title=title or None)
    try:
        written = save_figure(figure, path)
    except OSError as error:
        raise FrugalnasError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
    for file in written:
        print(file)
