"""The conformance suites that frugalnas ships, run on the parts of `own_parts.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import own_parts
import pytest

from frugalnas.testing import PredictorConformance, SpaceConformance


class TestLayers(SpaceConformance):
    """Whatever is promised of every space."""

    def make(self) -> own_parts.Layers:
        """The space to test."""
        return own_parts.Layers()


class TestNeighbours(PredictorConformance):
    """Whatever is promised of every predictor."""

    def make(self) -> own_parts.Neighbours:
        """The predictor to test."""
        return own_parts.Neighbours()


@pytest.mark.slow
def test_the_search_finds_a_good_architecture(capsys):
    own_parts.main()
    value, _ = capsys.readouterr().out.split()
    assert float(value) >= 79.0  # the best there is has 80
