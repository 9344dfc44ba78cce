"""What a run's configuration and journal hold, kind by kind: the first thing that is checked when a run is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.documents import misfit
from frugalnas.errors import RunFolderError
from frugalnas.registry import KINDS
from frugalnas.trust import reading

if TYPE_CHECKING:
    from frugalnas.runs.kinds import RunKind

PART = {"name": str, "options?": Mapping[str, Any] | None, "limits?": {"where?": str, "allowed?": list[list[int]]}}


class NoRun(RunFolderError):
    """Something else has a config.yaml, too."""


def check_config(path: Path, config: Any) -> RunKind:
    """The kind of run that a configuration describes.

    Raises:
        NoRun: where it is of something else.
        Untrusted: where the kind is somebody's own class, which nobody here has vouched for.
        RunFolderError: naming the first field that is missing or of the wrong kind.
    """
    where = path / "config.yaml"
    name = config.get("kind") if isinstance(config, dict) else None
    if not isinstance(name, str) or (":" not in name and name not in KINDS.targets):
        raise NoRun(f"{where} does not describe a run of frugalnas")
    with reading(where):
        kind: RunKind = KINDS.create(name)
    wrong = misfit(config, kind.config)
    if wrong:
        raise RunFolderError(
            f"{where} does not describe a {name}: {wrong}; put back what was there, or start another run"
        )
    return kind
