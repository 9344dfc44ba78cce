"""What frugalnas promises of every space, for the space of `macro_space.py`; and that its tables say what its networks cost."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))

import macro_space

from frugalnas.networks import build
from frugalnas.testing import SpaceConformance


class TestMacroSpace(SpaceConformance):
    """Whatever is promised of every space."""

    def make(self) -> macro_space.LayerSpace:
        """The space to test."""
        return macro_space.macro_space()


def test_the_table_counts_what_is_built():
    space = macro_space.macro_space()
    codes = space.sample(5, np.random.default_rng(0))
    built = [sum(weight.numel() for weight in build(space, code).parameters()) for code in codes]
    assert space.count("params", codes).tolist() == built


def test_the_page_runs(capsys):
    macro_space.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(float(line.split(" MMACs")[0].split()[-1]) <= 25 for line in lines)
