"""Figures of rank correlation: what is marked, where the zooms lie, which means are drawn."""

from itertools import pairwise

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.report.correlations import (
    ANGLE_ZOOMS,
    Truth,
    score_against_accuracy,
    tau_by_data_set,
    tau_by_epoch,
)

pytestmark = pytest.mark.pictures


def space(n=2000, seed=0):
    """Angles as published ones lie, and accuracies that go with them."""
    rng = np.random.default_rng(seed)
    height = rng.random(n)
    angles = 1.528 - 0.6 * (1 - height) ** 5
    return angles, 60 + 30 * height + rng.normal(size=n)


def marked(axes, name):
    return next(dots for dots in axes.collections if dots.get_label() == name).get_offsets()[0]


def test_published_limits_are_used_where_they_fit_and_each_rectangle_is_the_next_panel():
    angles, accuracy = space()
    angles[:9] = 0.0  # dead networks
    figure = score_against_accuracy(angles, [Truth("CIFAR-10", accuracy, tau=0.5)], params=np.arange(2000.0))
    panels = figure.axes[:3]
    np.testing.assert_allclose([axes.get_xlim() for axes in panels], ANGLE_ZOOMS)
    for axes, following in pairwise(panels):
        box = axes.patches[0].get_bbox()
        np.testing.assert_allclose([box.x0, box.x1, box.y0, box.y1], [*following.get_xlim(), *following.get_ylim()])
    assert panels[0].get_title(loc="left") == "CIFAR-10: Kendall's tau 0.500"
    outside = int(panels[0].texts[0].get_text().split()[0])
    low, high = panels[0].get_ylim()
    assert outside == (~((angles > 0.7) & (accuracy >= low) & (accuracy <= high))).sum()


def test_other_scores_are_zoomed_by_quantiles():
    scores, accuracy = space()
    panels = score_against_accuracy(100 * scores, [Truth("mine", accuracy)], score="supernet accuracy, %").axes
    shown = [((100 * scores >= axes.get_xlim()[0]).mean()) for axes in panels]
    np.testing.assert_allclose(shown, [0.975, 0.5, 0.05], atol=0.1)
    assert panels[0].get_xlabel() == "supernet accuracy, %"


def test_the_winner_and_the_best_are_marked_with_place():
    scores, accuracy = space()
    accuracy[7] = np.nan
    scores[7] = scores.max() + 1  # nobody knows how good this one is
    figure = score_against_accuracy(scores, [Truth("a", accuracy), Truth("b", -accuracy)])
    winner = int(np.argmax(np.where(np.isfinite(accuracy), scores, -1)))
    np.testing.assert_allclose(marked(figure.axes[0], "largest score"), [scores[winner], accuracy[winner]])
    best = int(np.nanargmax(accuracy))
    np.testing.assert_allclose(marked(figure.axes[0], "truly best"), [scores[best], accuracy[best]])
    place = 1 + (accuracy > accuracy[winner]).sum()
    assert f"{accuracy[winner]:.2f}, place {place:,} of 1,999" in figure.axes[2].get_title(loc="right")
    np.testing.assert_allclose(marked(figure.axes[3], "largest score"), [scores[winner], -accuracy[winner]])


def test_lines_are_means_over_the_seeds_that_have_a_value():
    curve = np.array([[np.nan, 0.4, 0.5], [np.nan, 0.5, np.nan]])
    panels = {"Kendall's tau": {"from epoch 1": curve}}
    known = {"Kendall's tau": {"parameters": 0.577, "multiply-adds": 0.577, "unknown": np.nan}}
    axes = tau_by_epoch(panels, [1, 2, 3], known).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "from epoch 1")
    np.testing.assert_allclose(line.get_xydata(), [[2, 0.45], [3, 0.5]])
    dashed = [line.get_label() for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert dashed == ["parameters and multiply-adds"]


def test_data_sets_have_the_mean_of_each_score():
    figure = tau_by_data_set({"cifar10": {"angle": np.array([0.5, 0.6])}, "cifar100": {"angle": np.array([0.4])}})
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.550", "0.400"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cifar10", "cifar100"]
    assert figure.axes[0].get_title(loc="left") == "mean of 2 seeds; bars: lowest to highest"


def test_nothing_to_draw_is_said():
    with pytest.raises(FrugalnasError, match="no truths"):
        score_against_accuracy(np.ones(3), [])
    with pytest.raises(FrugalnasError, match="t: 2 accuracies"):
        score_against_accuracy(np.ones(3), [Truth("t", np.ones(2))])
    with pytest.raises(FrugalnasError, match="no value to draw"):
        tau_by_epoch({"tau": {"angle": np.full((1, 2), np.nan)}}, [1, 2])
    with pytest.raises(FrugalnasError, match="no taus"):
        tau_by_data_set({})
