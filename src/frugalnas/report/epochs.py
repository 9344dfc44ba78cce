"""What the trainings of supernets and of encoders came to: in words, in numbers, and their curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.report.method_figures import epoch_axis, supernet_figure
from frugalnas.report.style import COLUMN, LINES, drawing, save_figure
from frugalnas.report.training import how_far
from frugalnas.runs.kinds import Page
from frugalnas.spaces.sizes import sizes_of

if TYPE_CHECKING:
    from frugalnas.trainings.encoder import PretrainingResult
    from frugalnas.trainings.supernet import SupernetResult

HEIGHT = 2.1
MEANS = {
    "ss-ccl": "of positives are nearer to their centre than every negative",
    "ss-rl": "of distances are told to less than one edit",
}
"""The tasks of pre-training, and what their accuracy is."""


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
        rows.append(("picture", str(_draw(result))))
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


def _draw(result: PretrainingResult) -> Path:
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
