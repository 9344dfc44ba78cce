"""What trainings of networks, supernets and encoders came to, in numbers, pictures and one page that stands alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frugalnas.files import write_atomically
from frugalnas.progress import duration
from frugalnas.report import page
from frugalnas.report.architectures import draw_architecture
from frugalnas.report.method_figures import epoch_axis, supernet_figure
from frugalnas.report.page import Markup, figure, tag
from frugalnas.report.style import COLUMN, LINES, drawing, save_figure
from frugalnas.report.training_figures import class_accuracies, confusion_matrix, learning_curves
from frugalnas.runs.kinds import Page
from frugalnas.spaces.sizes import sizes_of

if TYPE_CHECKING:
    from frugalnas.training import EvaluationResult
    from frugalnas.trainings.encoder import PretrainingResult
    from frugalnas.trainings.network import TrainingResult
    from frugalnas.trainings.supernet import SupernetResult

PAIRS = 12
"""Confused pairs of classes that the page lists."""
HEIGHT = 2.1
MEANS = {
    "ss-ccl": "of positives are nearer to their centre than every negative",
    "ss-rl": "of distances are told to less than one edit",
}
"""The tasks of pre-training, and what their accuracy is."""


def confusions(evaluation: EvaluationResult, most: int = PAIRS) -> list[tuple[str, str, int, float]]:
    """The pairs of classes confused most often: class, what it was taken for, images, % of the class; most images first."""
    confusion = np.array(evaluation.confusion)
    images = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    rows, columns = np.nonzero(confusion)
    order = np.argsort(-confusion[rows, columns], kind="stable")[:most]
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        taken = int(confusion[row, column])
        pairs.append((evaluation.classes[row], evaluation.classes[column], taken, 100 * taken / int(images[row])))
    return pairs


def training_report(run_dir: Path | str) -> list[Path]:
    """The files written into the report folder of a training: its page, `index.html`, and the figures on it.

    They are made from the run's folder alone, finished or not; nothing is trained or evaluated.
    """
    from frugalnas.trainings.network import load_training

    result = load_training(run_dir)
    folder = result.run_dir / "report"
    folder.mkdir(exist_ok=True)
    written = save_figure(draw_architecture(result.space, result.code), folder / "architecture")
    if result.epochs:
        written += save_figure(learning_curves(result), folder / "curves")
    if result.test is not None and result.test.images:
        written += save_figure(class_accuracies(result.test), folder / "classes")
        written += save_figure(confusion_matrix(result.test), folder / "confusion")
    index = folder / "index.html"
    write_atomically(index, _page(result, {path.stem: path for path in written if path.suffix == ".svg"}))
    return [index, *written]


def training_page(result: TrainingResult) -> Page:
    """What `show` prints of a training; its page and figures are written."""
    text = result.space.format(result.code)
    rows = [("architecture", text if result.architecture == text else f"{result.architecture}: {text}")]
    if result.test is not None:
        rows.append(("test accuracy", accuracy_words(result.test)))
    kept = next((record for record in result.epochs if record["epoch"] == result.selected), None)
    if kept is not None:
        validation = "" if kept["val_accuracy"] is None else f", validation {kept['val_accuracy']:.2f} %"
        which = "kept" if result.finished else "so far"
        rows.append((which, f"epoch {kept['epoch']} of {result.total_epochs}{validation}"))
    rows += [("params", f"{result.params / 1e6:,.3f} M"), ("macs", f"{result.macs / 1e6:,.3f} M an image")]
    rows += how_far(result)
    index, *pictures = training_report(result.run_dir)
    rows.append(("page", str(index)))
    rows.append(("pictures", ", ".join(path.name for path in pictures if path.suffix == ".png") + ", and each as .svg"))
    if result.finished:
        rows.append(("model", f"{result.model}: frugalnas predict, evaluate and export take {result.run_dir}"))
    return Page(rows)


def supernet_page(result: SupernetResult) -> Page:
    """What `show` prints of the training of a supernet; its loss is drawn."""
    recipe, done = result.recipe, len(result.epochs)
    rows = [
        ("supernet", sizes_of(result.space)),
        ("labels", recipe.labels_said),
        ("paths", str(recipe.paths)),
        ("epochs", f"{done} of {result.total_epochs}"),
    ]
    if done:
        last = result.epochs[-1]
        rows.append(("loss", f"{last['train_loss']:.4f} (accuracy {last['train_accuracy']:.2f} % of its labels)"))
        rows.append(("turned by", f"{last['angle']:.4f} rad from the initial weights"))
        rows.append(("angles", f"from the weights after epoch {' or '.join(map(str, result.bases))}"))
    rows += [("initial", f"sha256 {result.initial[:16]}..."), *how_far(result)]
    if done:
        drawn = supernet_figure(result.epochs, recipe.classes or 0, recipe.labels)
        rows.append(("picture", str(save_figure(drawn, result.run_dir / "report" / "supernet")[0])))
        rows.append(("next", f"frugalnas score {result.run_dir} --score angle"))
    return Page(rows)


def pretraining_page(result: PretrainingResult) -> Page:
    """What `show` prints of a pre-training; its loss is drawn."""
    recipe, done = result.recipe, len(result.epochs)
    rows = [
        ("encoder", f"of {result.space.name}, {recipe.layers} layers of width {recipe.width}"),
        ("task", f"{recipe.task}, recipe {recipe.name}"),
        ("epochs", f"{done} of {recipe.epochs}"),
    ]
    if done:
        last = result.epochs[-1]
        rows.append(("loss", f"{last['train_loss']:.4f} ({last['train_accuracy']:.2f} % {MEANS[recipe.task]})"))
    rows += how_far(result)
    if done:
        rows.append(("picture", str(_draw_pretraining(result))))
    if result.finished:
        rows.append(("next", search_with(result.run_dir, result.space.name)))
    return Page(rows)


def search_with(folder: Path, space: str) -> str:
    """The command that searches a space with the encoder in a folder: on its first table, or where it has none by training."""
    from frugalnas.tables import table_names

    tables = [name for name in table_names() if name.split("/")[0] == space]
    if tables:
        return f"frugalnas search npenas --table {tables[0]} --pretrained {folder}"
    return f"frugalnas search npenas --space {space} --evaluator training --pretrained {folder}"


def _draw_pretraining(result: PretrainingResult) -> Path:
    """The picture of a pre-training in its run's report: loss, and accuracy at its own task, after each epoch."""
    epochs = [record["epoch"] for record in result.epochs]
    with drawing(2 * COLUMN, HEIGHT) as figure:
        told = "positives told apart (%)" if result.recipe.task == "ss-ccl" else "distances told (%)"
        pens = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("loss", told), LINES, strict=False)
        for axes, key, label, color in pens:
            values = [record[f"train_{key}"] for record in result.epochs]
            axes.plot(epochs, values, color=color, marker="o" if len(epochs) == 1 else None, markersize=3)
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            epoch_axis(axes, epochs)
    return save_figure(figure, result.run_dir / "report" / "pretraining")[0]


def how_far(result: TrainingResult | SupernetResult | PretrainingResult) -> list[tuple[str, str]]:
    """Rows that all trainings have: the time so far, what is left to do, and where the run is."""
    rows = [("time", duration(result.seconds))]
    if result.diverged:
        rows.append(("diverged", result.diverged))
    elif not result.finished:
        rows.append(("unfinished", f"continue it with: frugalnas resume {result.run_dir}"))
    return [*rows, ("run folder", str(result.run_dir))]


def accuracy_words(result: EvaluationResult) -> str:
    """The accuracy of a network, with how many images it is the accuracy of."""
    five = f", top 5 {result.top5:.2f} %" if len(result.classes) > 5 else ""
    return f"{result.top1:.2f} %{five} ({result.images:,} images)"


# -- the page ----------------------------------------------------------------------------------------------------------


def _page(result: TrainingResult, figures: dict[str, Path]) -> str:
    """The whole page as text; figures are inside it, so that it can be sent alone."""
    from frugalnas.runs import RunFolder

    config = RunFolder(result.run_dir).config
    name = result.architecture if len(result.architecture) <= 60 else result.space.name
    text = result.space.format(result.code)
    done = "" if result.finished else f"; {len(result.epochs)} of {result.total_epochs} epochs so far"
    done += f"; {result.diverged}" if result.diverged else ""
    subtitle = f"{result.space.name} network on {Path(config['data']['spec']).name}{done}"
    curves = [page.side_by_side(figure(figures["curves"], "accuracy and loss"))] if "curves" in figures else []
    classes = _classes(result.test, figures) if result.test is not None and "confusion" in figures else []
    sections = [
        ("Training", curves),
        ("Test images by class", classes),
        ("Architecture", [figure(figures["architecture"], text)]),
        ("Data", [page.listing(result.notes)] if result.notes else []),
        ("To do it again", [*page.again(config), tag("p", "Architecture:"), tag("pre", text)]),
    ]
    return page.html_page(name, subtitle, [_key_numbers(result)], sections, f"{name}: training report")


def _key_numbers(result: TrainingResult) -> Markup:
    numbers: list[tuple[str, str, str]] = []
    if result.test is not None:
        top5 = f"top 5: {result.test.top5:.2f} %" if len(result.test.classes) > 5 else ""
        numbers.append(("test accuracy", f"{result.test.top1:.2f} %", top5))
    kept = next((record for record in result.epochs if record["epoch"] == result.selected), None)
    if kept is not None and kept["val_accuracy"] is not None:
        numbers.append(("validation accuracy", f"{kept['val_accuracy']:.2f} %", f"epoch {result.selected}"))
    numbers += [
        ("parameters", page.millions(result.params), ""),
        ("multiply-adds", page.millions(result.macs), "an image"),
        ("epochs", f"{len(result.epochs)}", "" if result.finished else f"of {result.total_epochs}"),
        ("wall time", duration(result.seconds), ""),
    ]
    return page.key_numbers(numbers)


def _classes(test: EvaluationResult, figures: dict[str, Path]) -> list[Markup]:
    drawn = [figure(figures["confusion"], "confusion matrix"), figure(figures["classes"], "accuracy of each class")]
    pairs = [[true, taken, f"{images:,}", f"{share:.1f} %"] for true, taken, images, share in confusions(test)]
    images = np.asarray(test.confusion).sum(axis=1)
    rows = [
        [name, f"{count:,}", "" if math.isnan(accuracy) else f"{accuracy:.2f} %"]
        for name, count, accuracy in zip(test.classes, images, test.per_class, strict=True)
    ]
    headings = ["class", "taken for", "images", "of the class"]
    confused = page.table(headings, pairs, 2) if pairs else tag("p", "None was wrong.")
    everything = page.table(["class", "images", "accuracy"], rows, 2)
    return [
        page.side_by_side(*drawn, tag("div", tag("h3", "Confused most often"), confused)),
        tag("details", tag("summary", f"all {len(rows):,} classes"), everything),
    ]
