"""Pictures of what shrinking dropped: nothing in them lies on anything else, and a file gives what a run gives."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.report.operators import operators_figure, operators_report
from frugalnas.scores import OperatorScores, drawn_scores
from frugalnas.shrinking import Shrinker, Shrinking, read_shrinking, write_operators
from frugalnas.spaces import DARTS, NASBench201, OnceForAll

pytestmark = pytest.mark.pictures


def sampled(space) -> OperatorScores:
    """Scores with intervals, of the size of parameters."""
    scores = drawn_scores(space, 0)
    return replace(scores, scores=7e6 * scores.scores, errors=np.full(space.allowed.shape, 1e6), way="sampled")


@pytest.mark.parametrize(
    ("space", "rule"),
    [
        (NASBench201(), Shrinker(drop=12)),
        (DARTS(), Shrinker(by="gene", drop=300)),
        (OnceForAll(), Shrinker(drop=60)),
    ],
    ids=["nasbench201", "darts", "once-for-all"],
)
def test_nothing_lies_on_anything_else(space, rule):
    figure = operators_figure(Shrinking(space, rule).step(sampled(space)))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    column = axes.get_window_extent(renderer).width / len(axes.get_xticks())
    row = axes.get_window_extent(renderer).height / len(axes.get_yticks())
    assert axes.texts
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert (box.width <= column, box.height <= row) == (True, True), text.get_text()
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [tick.get_window_extent(renderer) for tick in ticks]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_file_of_a_shrinking_is_drawn_beside_it(tmp_path):
    space = NASBench201(width=8).where("params<=0.1e6")
    shrinking = Shrinking(space, Shrinker(drop=12, until=1)).step(drawn_scores(space, 0))
    shrinking = replace(shrinking, shrinker=replace(shrinking.shrinker, until=5e9))
    path = tmp_path / "shrunk.json"
    write_operators(path, shrinking)
    again = read_shrinking(path)
    assert (repr(again.start), again.shrinker, again.drops) == (repr(space), shrinking.shrinker, shrinking.drops)
    drawn = operators_report(path)
    assert drawn == [tmp_path / "shrunk.svg", tmp_path / "shrunk.png"]
    svg = drawn[0].read_text()
    for said in ("round 1", "3&lt;-2", "nor_conv_1x1", f"{again.drops[0].score:.3f}"):
        assert said in svg


def test_files_that_tell_of_no_drops_are_refused(tmp_path):
    space = NASBench201()
    path = tmp_path / "left.json"
    write_operators(path, space)
    with pytest.raises(FrugalnasError, match="does not say how its operators came about"):
        operators_report(path)
    write_operators(path, Shrinking(space, Shrinker()))
    with pytest.raises(FrugalnasError, match="has dropped no operators; frugalnas shrink writes files that have"):
        operators_report(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "description": None}))
    with pytest.raises(FrugalnasError, match="cannot make a space from None"):
        read_shrinking(path)
