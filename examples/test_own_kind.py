"""The conformance suite that frugalnas ships, run on the kind of run in `own_kind.py`, which the command line knows too."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import own_kind
import pytest

from frugalnas.cli import main
from frugalnas.runs.progress import Callback
from frugalnas.testing import KindConformance


def begin(run_dir: Path, callbacks: Sequence[Callback] = ()) -> list[float]:
    config = {"space": "nasbench201", "draws": 5, "seed": 0}
    return own_kind.Census().start(run_dir, config, callbacks=callbacks)


class TestCensus(KindConformance):
    """Whatever is promised of every kind of run."""

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> list[float]:
        """Five architectures."""
        return begin(run_dir, callbacks)


def test_the_command_line_resumes_shows_and_lists_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path / "census")
    journal = tmp_path / "census" / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    assert main(["resume", str(tmp_path / "census"), "--quiet", "--trust"]) == 0
    assert journal.read_bytes() == whole
    assert "M parameters" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "census"), "--json"]) == 0
    assert '"params"' in capsys.readouterr().out
    assert main(["runs", "list", "--root", str(tmp_path)]) == 0
    assert "5 of 5 architectures" in capsys.readouterr().out


def test_it_is_a_short_file() -> None:
    assert len(Path(own_kind.__file__).read_text().splitlines()) <= 60
