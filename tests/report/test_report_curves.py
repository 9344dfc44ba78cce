"""Curves of searches: the numbers in them, how zero and missing values are shown, and the files they become."""

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.report.curves import optimum_found, regret_curves, search_progress
from frugalnas.report.style import LINES, save_figure

pytestmark = pytest.mark.pictures

NAN = np.nan


def monotone(seeds, queries, seed=0):
    rng = np.random.default_rng(seed)
    return np.maximum.accumulate(91.6 - rng.gamma(1.0, 3.0, size=(seeds, queries)), axis=1)


def line_of(figure, name):
    return next(line for line in figure.axes[0].lines if line.get_label() == name)


def labels_downwards(figure):
    texts = sorted(figure.axes[0].texts, key=lambda text: -text.get_position()[1])
    return [text.get_text() for text in texts]


def everything_inside(figure):
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    box = figure.get_tightbbox().padded(0)
    return (
        box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 * figure.dpi <= width + 1 and box.y1 * figure.dpi <= height + 1
    )


def test_regret_is_optimum_minus_the_mean_over_seeds():
    curve = np.array([[80.0, 90.0, 94.0], [84.0, 84.0, 92.0]])
    line = line_of(regret_curves({"a": curve}, optimum=95.0), "a")
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [13.0, 8.0, 2.0])


def test_without_an_optimum_the_best_value_itself_is_drawn():
    figure = regret_curves({"a": np.array([[80.0, 90.0], [84.0, 84.0]])}, optimum=None, unit="accuracy, %")
    np.testing.assert_allclose(line_of(figure, "a").get_ydata(), [82.0, 87.0])
    assert figure.axes[0].get_ylabel() == "best accuracy, %"


def test_the_interval_is_the_bootstrap_of_the_mean():
    curve = monotone(30, 40)
    bounds = regret_curves({"a": curve}, optimum=None).axes[0].collections[0].get_paths()[0].vertices
    at = bounds[np.isclose(bounds[:, 0], 40)][:, 1]
    error = curve[:, -1].std() / np.sqrt(30)
    mean = curve[:, -1].mean()
    assert at.min() < mean < at.max()
    np.testing.assert_allclose([at.min(), at.max()], [mean - 1.96 * error, mean + 1.96 * error], atol=0.6 * error)


def test_zero_regret_is_on_the_axis_at_a_tick_that_says_0():
    figure = regret_curves({"a": np.array([[94.0, 94.9, 95.0]] * 2), "b": np.array([[90.0, 93.0, 94.0]])}, optimum=95.0)
    axes = figure.axes[0]
    assert line_of(figure, "a").get_ydata()[-1] == 0
    assert axes.get_ylim()[0] < 0
    ticks = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    assert ticks[0.0] == "0"
    heights = axes.transData.transform([[1, 0.0], [1, 0.1], [1, 1.0]])[:, 1]
    assert (np.diff(heights) > 5).all()


def test_single_precision_optima_have_no_regret():
    value = 91.6066667
    figure = regret_curves({"a": np.full((2, 3), np.float32(value))}, optimum=value)
    np.testing.assert_array_equal(line_of(figure, "a").get_ydata(), 0.0)


def test_positive_regret_is_on_a_log_scale_and_many_queries_too():
    axes = regret_curves({"a": monotone(3, 200)}, optimum=95.0).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert regret_curves({"a": monotone(3, 100)}, optimum=95.0).axes[0].get_xscale() == "linear"


@pytest.mark.typical("91.95")
@pytest.mark.parametrize("end", [91.7, 91.95, 88.0])
def test_however_narrow_the_regrets_are_several_ticks_are_numbered(end):
    figure = regret_curves(
        {"a": np.array([[91.5, end, max(end, 91.9)]]), "b": np.array([[91.6, 91.7, 91.8]])}, optimum=95.0
    )
    axes = figure.axes[0]
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    numbered = [tick.get_loc() for tick in axes.yaxis.get_major_ticks() if tick.label1.get_text()]
    assert sum(low <= place <= high for place in numbered) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("draw", [regret_curves, optimum_found])
def test_lines_that_lie_on_one_another_are_all_seen_and_lead_to_their_names(draw):
    curve = np.maximum(monotone(5, 60), 70.0)
    figure = draw({"a": curve, "b": curve.copy(), "c": curve.copy(), "d": curve - 3}, optimum=float(curve.max()))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3).astype(int)
    for colour in LINES[:3]:
        wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
        assert (np.abs(pixels - wanted).max(axis=1) < 40).sum() > 30
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        arrow = text.arrow_patch
        start = arrow.get_transform().transform(arrow.get_path().vertices)[0]
        assert abs(start[1] - (box.y0 + box.y1) / 2) < 0.2 * box.height


def test_where_seeds_are_missing_the_line_is_dotted_and_says_so():
    curve = np.array([[NAN, 80.0, 90.0, 91.0], [70.0, 80.0, 92.0, NAN], [NAN, 83.0, 91.0, NAN]])
    figure = regret_curves({"a": curve}, optimum=95.0)
    solid = line_of(figure, "a")
    np.testing.assert_allclose(solid.get_ydata(), [NAN, 14.0, 4.0, NAN])
    dotted = next(line for line in figure.axes[0].lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(dotted.get_ydata(), [25.0, 14.0, 4.0, 4.0])
    assert "dotted: mean of the seeds that have a value" in figure.axes[0].get_title(loc="left")


def test_numbers_of_seeds_are_stated():
    assert "20 seeds" in regret_curves({"a": monotone(20, 9)}, optimum=95.0).axes[0].get_title(loc="left")
    both = {"a": monotone(20, 9), "b": monotone(5, 9)}
    assert "5 to 20 seeds" in regret_curves(both, optimum=95.0).axes[0].get_title(loc="left")
    one = regret_curves({"a": monotone(1, 9)}, optimum=95.0).axes[0].get_title(loc="left")
    assert one == "mean of 1 seed"


def test_names_stand_in_the_order_of_the_final_values_and_do_not_overlap():
    curves = {f"strategy {i}": np.full((2, 30), 90.0 + 0.001 * (i * 7 % 25)) for i in range(25)}
    figure = regret_curves(curves, optimum=95.0)
    final = sorted(curves, key=lambda name: curves[name][0, -1])
    assert labels_downwards(figure) == final
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    room = figure.axes[0].get_window_extent().height
    assert heights[-1] < 1.05
    assert np.diff(heights).min() * room >= 0.99 * 1.2 * 7.0 * figure.dpi / 72


@pytest.mark.slow
def test_a_column_wide_with_everything_inside_it():
    curves = {name: monotone(4, 300, seed) for seed, name in enumerate(["random", "regularised evolution", "a" * 60])}
    for figure in (
        regret_curves(
            curves, optimum=91.6, title="NAS-Bench-201 on three data sets, with a long title that takes a line more"
        ),
        regret_curves(curves, optimum=None),
        optimum_found(curves, 91.6),
        search_progress(monotone(1, 30)[0], optimum=91.6, rank=(12, 15_625)),
    ):
        assert figure.get_size_inches()[0] == 3.5
        assert everything_inside(figure)


def test_long_searches_are_thinned_but_keep_their_end():
    curve = monotone(3, 20_000)
    line = line_of(regret_curves({"a": curve}, optimum=95.0), "a")
    assert len(line.get_xdata()) <= 500
    assert line.get_xdata()[-1] == 20_000
    assert line.get_ydata()[-1] == pytest.approx(95.0 - curve[:, -1].mean())


def test_one_query_and_all_at_the_optimum_can_be_drawn(recwarn):
    regret_curves({"a": np.array([[90.0]])}, optimum=95.0)
    regret_curves({"a": np.full((3, 5), 95.0)}, optimum=95.0)
    regret_curves({"a": np.full((3, 5), 95.0)}, optimum=None)
    optimum_found({"a": np.array([[NAN, 90.0]])}, 95.0)
    assert not recwarn.list


def test_share_of_seeds_that_found_the_optimum():
    curve = np.array([[95.0, 95.0, NAN, NAN], [90.0, 90.0, 95.0, 95.0], [90.0, NAN, NAN, NAN], [NAN, NAN, NAN, NAN]])
    figure = optimum_found({"a": curve, "b": curve[:2, :2]}, 95.0)
    np.testing.assert_allclose(line_of(figure, "a").get_ydata(), [0.25, 0.25, 0.5, 0.5])
    # A shorter search keeps its share to the end of the axis.
    np.testing.assert_allclose(line_of(figure, "b").get_ydata(), [0.5, 0.5, 0.5, 0.5])
    assert labels_downwards(figure) == ["a", "b"]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_progress_shows_queries_failures_outliers_and_the_best():
    values = np.array([NAN, 89.0, 10.0, 90.0, 89.5, NAN, 91.0, 90.5, 90.2, 89.8])
    figure = search_progress(values, optimum=91.6, rank=(1_234, 15_625))
    assert legend_of(figure) == [
        "query",
        "1 below 88",
        "2 failed",
        "best so far: 91 (rank 1,234 of 15,625)",
        "optimum 91.6",
    ]
    best = next(line for line in figure.axes[0].lines if line.get_label().startswith("best"))
    np.testing.assert_allclose(best.get_xdata(), np.arange(2, 11))
    np.testing.assert_allclose(best.get_ydata(), [89, 89, 90, 90, 90, 91, 91, 91, 91])
    dots = next(c for c in figure.axes[0].collections if c.get_label() == "query").get_offsets()
    np.testing.assert_allclose(dots[:, 0], [2, 4, 5, 7, 8, 9, 10])
    low, high = figure.axes[0].get_ylim()
    assert 80 < low < 88
    assert high > 91.6


@pytest.mark.slow
@pytest.mark.parametrize("values", [[], [NAN, NAN], [90.2], [90.0, 90.0], [1.0, 5.0, 5.0, 5.0, 5.0]])
def test_progress_of_short_and_unlucky_runs(values, recwarn, tmp_path):
    for optimum in (None, 95.0):
        save_figure(search_progress(values, optimum=optimum), tmp_path / "progress")
    assert not recwarn.list


def test_progress_hides_no_value_without_saying_so():
    rng = np.random.default_rng(1)
    for size in (5, 50, 400):
        values = np.where(rng.random(size) < 0.2, rng.uniform(10, 80, size), rng.normal(90, 1, size))
        figure = search_progress(values)
        shown = next(c for c in figure.axes[0].collections if c.get_label() == "query").get_offsets()
        below = [text for text in legend_of(figure) if "below" in text]
        hidden = int(below[0].split()[0]) if below else 0
        assert len(shown) + hidden == size
        assert shown[:, 1].min() > figure.axes[0].get_ylim()[0]
        if below:
            assert (values < float(below[0].split()[-1])).sum() == hidden


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes(tmp_path):
    curves = {"a": monotone(4, 120), "b": monotone(4, 120, 1)}
    for draw in (
        lambda: regret_curves(curves, optimum=91.6),
        lambda: optimum_found(curves, 91.6),
        lambda: search_progress(curves["a"][0]),
    ):
        first = [path.read_bytes() for path in save_figure(draw(), tmp_path / "first")]
        assert first == [path.read_bytes() for path in save_figure(draw(), tmp_path / "second")]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(FrugalnasError, match="at least one"):
        regret_curves({}, optimum=None)
    with pytest.raises(FrugalnasError, match=r"\[seeds, queries\]"):
        regret_curves({"a": np.ones(3)}, optimum=None)
    with pytest.raises(FrugalnasError, match="'a' has no values at all"):
        regret_curves({"a": np.full((2, 3), NAN)}, optimum=None)
    with pytest.raises(FrugalnasError, match="'a' reaches 96, above the optimum 95"):
        regret_curves({"a": np.array([[96.0]])}, optimum=95.0)
    with pytest.raises(FrugalnasError, match="one run"):
        search_progress(np.ones((2, 2)))
