"""Runs that earlier builds made: cut off in the middle, they are carried on with to what those builds came to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from frugalnas.errors import RunFolderError
from frugalnas.runs.kinds import resume_run

KEPT = Path(__file__).parent.parent / "golden" / "runs"
"""Finished runs of the build before trainings, searches and studies had rooms of their own."""
SLOW = {"npenas"}
STUDIES = {"assessment", "comparison"}
"""Their journals have means and fits of predictors, whose last digits are the processor's."""


def journal(run: Path, number=float) -> list[dict[str, object]]:
    """The lines without their sums and what was measured: a comparison's say how long each search took."""
    lines = (json.loads(line, parse_float=number) for line in (run / "journal.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in ("sum", "seconds")} for line in lines]


@pytest.mark.parametrize(
    "name",
    [pytest.param(run.name, marks=[pytest.mark.slow] * (run.name in SLOW)) for run in sorted(KEPT.iterdir())],
)
def test_a_run_of_an_earlier_build_ends_as_it_did_there(name, tmp_path):
    run = Path(shutil.copytree(KEPT / name, tmp_path / name))
    lines = (KEPT / name / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"cut off')
    try:
        resume_run(run)
    except RunFolderError as error:
        if name not in SLOW or "on a processor that rounds otherwise" not in str(error):
            raise
        pytest.skip("this processor rounds the fits of a graph network otherwise than the one that made the run")
    if name in STUDIES:
        assert journal(run) == journal(KEPT / name, lambda text: pytest.approx(float(text), rel=1e-6))
    else:
        assert (run / "journal.jsonl").read_bytes() == b"".join(lines)
