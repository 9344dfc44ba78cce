"""`frugalnas show`: what a run found."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.cli.parsing import option
from frugalnas.cli.runs import COLUMNS, row_of
from frugalnas.cli.text import print_columns, show_result
from frugalnas.trust import Untrusted, looking, reading

if TYPE_CHECKING:
    from frugalnas.runs import RunFolder


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "What a run or comparison found, read from its folder."
    option(parser, "run_dir RUN", kind=Path)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_show)


def _show(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import RunFolder

    folder = RunFolder(parsed.run_dir)
    try:
        with looking(), reading(parsed.run_dir):
            kind = folder.kind
            show_result(kind, kind.load(folder), parsed.run_dir, as_json=parsed.json)
            return
    except Untrusted as why:
        _shown_unopened(folder, str(why), as_json=parsed.json)
        return


def _shown_unopened(folder: RunFolder, why: str, *, as_json: bool) -> None:
    """Print what a run of somebody's own parts says by itself, without importing these."""
    rows = list(zip(COLUMNS[:-1], row_of(folder), strict=False))
    queries = [line for line in folder.lines() if line.get("value") is not None and "architecture" in line]
    if queries:
        from frugalnas.searches.ledger import rank

        rows.append(("architecture", str(max(queries, key=rank)["architecture"])))
    if as_json:
        print(json.dumps(dict(rows), indent=2))
        return
    rows.append(("not opened", why))
    if folder.report.is_dir():
        rows.append(("pictures", ", ".join(sorted(f"report/{path.name}" for path in folder.report.iterdir()))))
    print_columns(rows)
