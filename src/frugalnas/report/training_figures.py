"""Figures of a training: how it went, what was taken for what, and how each class fared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from frugalnas.errors import FrugalnasError
from frugalnas.report.style import COLUMN, GREY, INK, LINES, PALE, drawing, paper_style, shared_legend, text_width

if TYPE_CHECKING:
    from frugalnas.spaces import FloatArray
    from frugalnas.training import EvaluationResult
    from frugalnas.trainings.network import TrainingResult

NUMBERED = 20
"""Classes up to which the squares of a confusion matrix hold their numbers."""
NAMED = 60
"""Classes up to which every row of a confusion matrix is named."""
LISTED = 40
"""Classes of which every one is drawn; of more, the worst and the best half as many."""
MANY_EPOCHS = 40
"""From so many on the first quarter of the curves may run out of the panel, so that the later ones fill it."""

_BLUES = LinearSegmentedColormap.from_list("frugalnas blues", ["#ffffff", "#77AADD", "#0a4a7a"])


def learning_curves(result: TrainingResult, *, title: str | None = None) -> Figure:
    """A figure, one column wide: accuracy and loss of the training and validation images after each epoch.

    A vertical line marks the epoch whose weights were kept; the dot on it is their accuracy on the test images. Full lines mark
    where the schedule of the learning rate started anew.

    Raises:
        FrugalnasError: where no epoch has ended.
    """
    if not result.epochs:
        raise FrugalnasError(f"no epoch of {result.run_dir} has ended: there is no curve to draw")
    epochs = np.array([record["epoch"] for record in result.epochs])
    with drawing(COLUMN, 3.7, title) as figure:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
        _curves(above, epochs, result.epochs, "accuracy")
        _curves(below, epochs, result.epochs, "loss")
        above.set_ylabel("accuracy, %")
        below.set(ylabel="loss", xlabel="epoch")
        _focus_accuracy(above, result)
        below.set_ylim(0, 1.04 * below.get_ylim()[1])
        below.set_xlim(0, max(1.015 * epochs[-1], epochs[-1] + 0.2 * (len(epochs) == 1)))
        below.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        note: dict[str, Any] = {"transform": above.get_xaxis_transform(), "size": 6.5, "color": GREY}
        for joint in result.restarts:
            for axes in (above, below):
                axes.axvline(joint, color=GREY, linewidth=0.7, zorder=1)
            above.text(joint, 0.02, f" restart: epoch {joint}", **note)
        if result.selected:
            for axes in (above, below):
                axes.axvline(result.selected, color=GREY, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
            late = result.selected > 0.6 * epochs[-1]
            beside = result.selected + (-0.012 if late else 0.012) * epochs[-1]
            above.text(beside, 1.02, f"kept: epoch {result.selected}", ha="right" if late else "left", **note)
        if result.test is not None:
            said = f"test {result.test.top1:.2f} %"
            place = result.selected or epochs[-1]
            above.plot(place, result.test.top1, "D", color=INK, markersize=3.5, label=said, zorder=4, clip_on=False)
        shared_legend(figure, [above], ncols=3, handlelength=1.6, columnspacing=1.2)
    return figure


def confusion_matrix(evaluation: EvaluationResult, *, title: str | None = None) -> Figure:
    """A figure of what the images of each class were taken for, in % of the class; rows are the true classes.

    With up to 20 classes each square holds its number (those that round to 0 are left empty).

    Raises:
        FrugalnasError: where there were no images.
    """
    confusion = np.asarray(evaluation.confusion, np.float64)
    images = confusion.sum(axis=1, keepdims=True)
    if not images.any():
        raise FrugalnasError(f"the {evaluation.part} part has no images: there is nothing to confuse")
    share = 100 * np.divide(confusion, images, out=np.zeros_like(confusion), where=images > 0)
    classes = len(share)
    numbered, named = classes <= NUMBERED, classes <= NAMED
    size = 6.5 if classes <= 30 else 5.0
    with paper_style():
        names = [_short(name, size) for name in evaluation.classes]
        longest = max(text_width(name, size) for name in names) if named else 0.0
    side = max(0.27 * classes, 1.8) if numbered else max(0.1 * classes, 4.0) if named else 4.0
    with drawing(side + longest + 0.75, side + longest + 0.55, title) as figure:
        axes = figure.add_subplot()
        axes.imshow(share, cmap=_BLUES, vmin=0, vmax=100, aspect="equal", interpolation="nearest")
        axes.spines[:].set_visible(True)
        axes.tick_params(length=0)
        axes.set(xlabel="taken for", ylabel="class")
        if named:
            axes.set_xticks(range(classes), names, rotation=90 if longest > 0.22 else 0, size=size)
            axes.set_yticks(range(classes), names, size=size)
        if numbered:
            _write_numbers(axes, share)
        _draw_scale(figure, axes)
    return figure


def class_accuracies(evaluation: EvaluationResult, *, title: str | None = None) -> Figure:
    """A figure, one column wide, of the accuracy of each class, the best on top; the line is the mean over all images.

    Of more than 40 classes the 20 best and the 20 worst are shown.
    """
    accuracy = np.asarray(evaluation.per_class, np.float64)
    images = np.asarray(evaluation.confusion).sum(axis=1)
    order = [int(row) for row in np.argsort(-accuracy, kind="stable") if np.isfinite(accuracy[row])]
    if not order:
        raise FrugalnasError(f"the {evaluation.part} part has no images: no class has an accuracy")
    left_out = max(len(order) - LISTED, 0)
    groups = [order[: LISTED // 2], order[-LISTED // 2 :]] if left_out else [order]
    rows = sum(map(len, groups)) + bool(left_out)
    shown, gap = [row for group in groups for row in group], len(groups[0])
    places = [place + (place >= gap) for place in range(len(shown))]  # one is left free between the groups
    with drawing(COLUMN, 0.75 + 0.145 * rows, title) as figure:
        axes = figure.add_subplot()
        axes.barh(places, accuracy[shown], height=0.68, color="#77AADD", linewidth=0)
        if left_out:
            axes.text(1, gap, f"{left_out} classes in between", size=6.5, color=GREY, va="center_baseline")
        axes.axvline(evaluation.top1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=3)
        axes.set_yticks(places, [_short(evaluation.classes[row], 6.5) for row in shown], size=6.5)
        axes.set_ylim(places[-1] + 0.6, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy, %")
        note = f"{_counted(images)} {evaluation.part} images a class; dashed: all images"
        axes.set_title(note, loc="right", size=6.5, color=GREY)
    return figure


def _curves(axes: Axes, epochs: FloatArray, records: Sequence[Mapping[str, Any]], what: str) -> None:
    for part, colour, said in (("train", LINES[0], "training"), ("val", LINES[1], "validation")):
        named = [record.get(f"{part}_{what}") for record in records]
        values = np.array([np.nan if value is None else value for value in named], np.float64)
        if np.isfinite(values).any():
            marker = "o" if len(epochs) == 1 else None
            axes.plot(epochs, values, color=colour, label=said, marker=marker, markersize=3)
    axes.grid(axis="y")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _focus_accuracy(axes: Axes, result: TrainingResult) -> None:
    """Limits that show all epochs, or the later ones of many, whatever the first ones were."""
    values = [
        [record[name] for record in result.epochs if record.get(name) is not None]
        for name in ("train_accuracy", "val_accuracy")
    ]
    later = [value for line in values for value in line[len(line) // 4 if len(line) >= MANY_EPOCHS else 0 :]]
    if result.test is not None:
        later.append(result.test.top1)
    low, high = min(later), max(later)
    pad = 0.06 * (high - low) or 1.0
    bottom = low - pad if low - pad > 5 else -0.04 * (high + pad)
    ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(max(bottom, 0), min(high + pad, 100))
    axes.set_yticks([tick for tick in ticks if max(bottom, 0) <= tick <= min(high + pad, 100)])
    axes.set_ylim(bottom, high + pad)  # room around lines at 0 and at 100 %, the ends of what is numbered


def _write_numbers(axes: Axes, share: FloatArray) -> None:
    centred: dict[str, Any] = {"size": 6.0, "ha": "center", "va": "center_baseline"}
    for row, column in np.argwhere(np.round(share) > 0):
        value = share[row, column]
        axes.text(column, row, f"{value:.0f}", color="#ffffff" if value > 65 else INK, **centred)


def _draw_scale(figure: Figure, axes: Axes) -> None:
    bar = figure.colorbar(axes.images[0], ax=axes, fraction=0.04, pad=0.03, ticks=[0, 50, 100])
    bar.outline.set_linewidth(0.6)
    bar.outline.set_edgecolor(PALE)
    bar.ax.tick_params(length=0, labelsize=6.5)
    bar.set_label("% of the class", size=6.5)


def _short(name: str, points: float, inches: float = 1.1) -> str:
    """A class's name, cut where it is too long for a figure."""
    if text_width(name, points) <= inches:
        return name
    while text_width(name + "…", points) > inches:
        name = name[:-1]
    return name.rstrip() + "…"


def _counted(images: FloatArray) -> str:
    least, most = int(images[images > 0].min()), int(images.max())
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
