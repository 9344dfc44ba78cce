"""What the machine does to a run is told apart from what an architecture does, and limits say how they are raised."""

from __future__ import annotations

import errno
import os

import pytest

from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.limits import within


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_what_the_machine_lacks_is_one_line_with_the_mend(number):
    said = str(surroundings(OSError(number, os.strerror(number), "runs/a/journal.jsonl")))
    assert said.startswith(f"runs/a/journal.jsonl: {os.strerror(number)}; ")
    assert "\n" not in said


def test_wrapped_errors_of_the_machine_are_recognised():
    wrapped = RuntimeError("I/O error: No space left on device (os error 28)")
    assert surroundings(wrapped) is not None
    outer = ValueError("cannot save")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert surroundings(outer) is not None
    assert surroundings(MemoryError()) is not None
    assert "No space left" in str(surroundings(OSError("93750 requested and 65408 written")))  # NumPy's


@pytest.mark.parametrize(
    "error", [ValueError("bad"), FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("CUDA error")]
)
def test_other_errors_are_not_the_surroundings(error):
    assert surroundings(error) is None


@pytest.mark.filterwarnings("default")  # here they are errors otherwise
def test_a_warning_of_a_command_is_one_line(cli, tmp_path):
    said = cli(
        "search", "random", "--evaluator", "user_code:worded", "--queries", 10, "--quiet", "--run-dir", tmp_path / "run"
    )
    assert "frugalnas: the metric 'device' is no number, so it is not kept\n" in said.err
    assert ".py" not in said.err


def test_a_limit_names_itself_and_how_it_is_raised(monkeypatch):
    within("layers", 500, "card.json")
    with pytest.raises(FrugalnasError, match=r"card\.json asks for 501 .* limit is 500 .*FRUGALNAS_LIMIT_LAYERS"):
        within("layers", 501, "card.json")
    monkeypatch.setenv("FRUGALNAS_LIMIT_LAYERS", "2e3")
    within("layers", 501, "card.json")
