"""`frugalnas resume`: a run goes on."""

from __future__ import annotations

import argparse
from collections.abc import Set
from pathlib import Path

from frugalnas.cli.method import stage_settings
from frugalnas.cli.options import add_budget, add_limit
from frugalnas.cli.text import show_result, watched
from frugalnas.documents import read_yaml
from frugalnas.errors import word_by
from frugalnas.trust import reading


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Continue a run: its journal ends as if it had never been interrupted."
    parser.add_argument("run_dir", type=Path, metavar="RUN")
    add_budget(parser, None)
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        metavar="STAGE.NAME=VALUE",
        help="for a method: another setting of a stage that has not begun, such as search.generations=5; for a kind of run of "
        "your own, NAME=VALUE: what it can change",
    )
    add_limit(parser, "for a method whose search has not begun: another limit")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="for a training: go on to so many in all, also when finished"
    )
    parser.add_argument(
        "--lr", type=float, metavar="X", help="for a training: the rate at which its schedule starts anew"
    )
    parser.add_argument(
        "--stage", metavar="NAME", help="for a method: this one alone; those before it must be finished"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes, for comparisons [1]")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), help="for a training: go on there [where it began]"
    )
    edited = parser.add_mutually_exclusive_group()
    edited.add_argument(
        "--accept-config", action="store_true", help="go on with config.yaml as it was edited, where the run can"
    )
    edited.add_argument("--restore-config", action="store_true", help="undo what was edited in config.yaml first")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=_resume)


_CHANGES = ("queries", "seconds", "failures", "settings", "where", "epochs", "lr", "stage", "jobs", "device")
"""What somebody may want to change that has an option; the kind of run says what of it can."""


def _resume(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import RunFolder, accept_config, restore_config

    run_dir: Path = parsed.run_dir
    if parsed.restore_config:
        restore_config(run_dir)
    elif parsed.accept_config:
        accept_config(run_dir)
    folder = RunFolder(run_dir)
    kind = folder.kind
    changes = {name: getattr(parsed, name) for name in _CHANGES}
    word_by(lambda text: parsed.wording(_set(set(kind.changes).difference(_CHANGES), text)))
    of_stages = []
    for setting in parsed.settings or []:
        name, equals, value = setting.partition("=")
        if not equals or "." in name or name in _CHANGES:
            of_stages.append(setting)
        else:
            changes[name] = read_yaml(value, setting)
    changes["settings"] = stage_settings(of_stages) if of_stages else None
    with watched(run_dir, parsed.quiet, kind.doing) as callbacks, reading(run_dir):
        result = kind.resume(run_dir, callbacks=callbacks, **changes)
    show_result(kind, result, run_dir)


def _set(own: Set[str], text: str) -> str:
    """A message in which changes of a kind of one's own are called as they are typed."""
    for name in own:
        text = text.replace(f"`{name}`", f"--set {name}")
    return text
