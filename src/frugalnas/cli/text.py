"""Aligned columns on a terminal, never wrapped, so that what is printed can be copied and piped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.errors import worded
from frugalnas.report.markdown import aligned
from frugalnas.strict_json import to_json

if TYPE_CHECKING:
    import argparse

    from frugalnas.runs.kinds import Proposal, RunKind
    from frugalnas.runs.progress import Callback


def print_columns(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Print rows of text, each column as wide as its widest cell."""
    for line in aligned([[worded(cell) for cell in line] for line in ([headings, *rows] if headings else rows)]):
        print(line.rstrip())


def print_json(content: Any) -> None:
    """Print plain data as JSON."""
    print(to_json(content, indent=2))


@contextmanager
def watched(run_dir: Path, quiet: bool, doing: str, told: set[str] | None = None) -> Iterator[list[Callback]]:
    """A display around a run, without the notes in `told`, and after Ctrl-C the line that continues it."""
    from frugalnas.runs.progress import Progress

    shown = [] if quiet else [Progress(doing, told=told)]
    try:
        yield [*shown]
    except KeyboardInterrupt:
        if (run_dir / "config.yaml").exists():
            print(f"\nNothing is lost. Continue with: frugalnas resume {run_dir}", file=sys.stderr)
        raise
    finally:
        for display in shown:
            display.close()


def begun(proposal: Proposal, parsed: argparse.Namespace, name: str, told: set[str] | None = None) -> None:
    """Carry out a run that was proposed and show what it came to; with `--dry-run`, say what it would do; see `carried_out`."""
    if parsed.dry_run:
        print_columns(proposal.plan().rows)
    else:
        carried_out(proposal.kind, proposal.start, parsed, name, told)


def carried_out(
    kind: RunKind, do: Callable[..., Any], parsed: argparse.Namespace, name: str, told: set[str] | None = None
) -> None:
    """Carry out a run and show what it came to.

    Args:
        kind: of run.
        do: what carries it out, given `run_dir` and `callbacks`.
        parsed: has `run_dir` and `quiet`.
        name: of the run's folder, where the options say none.
        told: notes that the display leaves out.
    """
    from frugalnas.runs.folder import unused_name

    run_dir = parsed.run_dir or unused_name(Path("runs"), name)
    with watched(run_dir, parsed.quiet, kind.doing, told) as callbacks:
        result = do(run_dir=run_dir, callbacks=callbacks)
    show_result(kind, result, run_dir)


def show_result(kind: RunKind, result: Any, run_dir: Path, *, as_json: bool = False) -> None:
    """Print what a run came to, and write what belongs to that; paths are shown as the run's folder was typed."""
    if as_json:
        print_json(kind.numbers(result))
        return
    page = kind.page(result)
    rows, beneath = page.rows, page.beneath
    if not run_dir.is_absolute():
        here = str(run_dir.absolute())
        rows = [(name, said.replace(here, str(run_dir))) for name, said in rows]
        beneath = beneath.replace(here, str(run_dir))
    if rows:
        print_columns(rows)
    if beneath:
        print(beneath)
