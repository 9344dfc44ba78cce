"""What a training came to, in numbers, pictures and one page that stands alone."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.report.architectures import draw_architecture
from frugalnas.report.style import save_figure
from frugalnas.report.training_figures import class_accuracies, confusion_matrix, learning_curves

if TYPE_CHECKING:
    from frugalnas.runs.training import TrainingResult
    from frugalnas.training import EvaluationResult

__all__ = ["confusions", "training_numbers", "training_report"]

PAIRS = 12
"""Confused pairs of classes that the page lists."""
MAGNIFIED = 1.75
"""Pixels of the page for each point of a figure."""


def training_numbers(result: TrainingResult) -> dict[str, Any]:
    """What a training came to as plain data."""
    last = result.epochs[-1] if result.epochs else {}
    return {
        "run": str(result.run_dir),
        "architecture": result.space.format(result.code),
        "name": result.architecture,
        "space": result.space.name,
        "code": [int(value) for value in result.code],
        "params": result.params,
        "macs": result.macs,
        "finished": result.finished,
        "epochs": len(result.epochs),
        "total_epochs": result.total_epochs,
        "selected": result.selected,
        "seconds": result.seconds,
        "last": last,
        "test": None if result.test is None else result.test.to_json(),
        "notes": list(result.notes),
    }


def confusions(evaluation: EvaluationResult, most: int = PAIRS) -> list[tuple[str, str, int, float]]:
    """The pairs of classes confused most often: class, what it was taken for, images, % of the class; most images first."""
    confusion = np.array(evaluation.confusion)
    images = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    rows, columns = np.nonzero(confusion)
    order = np.argsort(-confusion[rows, columns], kind="stable")[:most]
    return [
        (
            evaluation.classes[rows[i]],
            evaluation.classes[columns[i]],
            int(confusion[rows[i], columns[i]]),
            100 * float(confusion[rows[i], columns[i]]) / float(images[rows[i]]),
        )
        for i in order
    ]


def training_report(run_dir: Path | str) -> list[Path]:
    """The files written into the report folder of a training: its page, `index.html`, and the figures on it.

    They are made from the run's folder alone, finished or not; nothing is trained or evaluated.
    """
    from frugalnas.runs.training import load_training

    result = load_training(run_dir)
    folder = result.run_dir / "report"
    folder.mkdir(exist_ok=True)
    written = save_figure(draw_architecture(result.space, result.code), folder / "architecture")
    if result.epochs:
        written += save_figure(learning_curves(result), folder / "curves")
    if result.test is not None and result.test.images:
        written += save_figure(class_accuracies(result.test), folder / "classes")
        written += save_figure(confusion_matrix(result.test), folder / "confusion")
    page = folder / "index.html"
    page.write_text(_page(result, {path.stem: path for path in written if path.suffix == ".svg"}), encoding="utf-8")
    return [page, *written]


# -- the page ----------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; color: #1a1a1a; background: #fff; margin: 0; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 24px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 0 0 6px; }
p.sub { color: #5a5a5a; margin: 0 0 22px; }
dl.key { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 0; }
dl.key dt { color: #5a5a5a; font-size: 13px; }
dl.key dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums; }
dl.key dd small { font-size: 13px; color: #5a5a5a; }
.figures { display: flex; flex-wrap: wrap; gap: 24px 36px; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figcaption { color: #5a5a5a; font-size: 13px; max-width: 60ch; }
img { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #5a5a5a; border-bottom: 1px solid #bbb; padding: 3px 18px 3px 0; }
td { padding: 2px 18px 2px 0; border-bottom: 1px solid #eee; }
td.n, th.n { text-align: right; }
ul { padding-left: 20px; margin: 6px 0; }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: #f6f6f6; padding: 10px 12px; margin: 8px 0; }
details summary { cursor: pointer; color: #5a5a5a; }
"""


def _page(result: TrainingResult, figures: dict[str, Path]) -> str:
    """The whole page as text; figures are inside it, so that it can be sent alone."""
    from frugalnas.runs import RunFolder

    config = RunFolder(result.run_dir).config
    name = result.architecture
    parts = [
        f"<h1>{_text(name if len(name) <= 60 else result.space.name)}</h1>",
        f'<p class="sub">{_text(_subtitle(result, config))}</p>',
        _key_numbers(result),
    ]
    if "curves" in figures:
        parts += [
            "<h2>Training</h2>",
            '<div class="figures">',
            _figure(figures["curves"], "accuracy and loss"),
            "</div>",
        ]
    if result.test is not None and "confusion" in figures:
        parts += [f"<h2>Test images by class</h2>{_classes(result.test, figures)}"]
    parts += ["<h2>Architecture</h2>", _figure(figures["architecture"], result.space.format(result.code))]
    if result.notes:
        parts += ["<h2>Data</h2>", _list(result.notes)]
    parts += ["<h2>To do it again</h2>", _again(result, config)]
    title = f"{name if len(name) <= 60 else result.space.name}: training report"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _subtitle(result: TrainingResult, config: dict[str, Any]) -> str:
    done = "" if result.finished else f"; {len(result.epochs)} of {result.total_epochs} epochs so far"
    return f"{result.space.name} network on {Path(config['data']['spec']).name}{done}"


def _key_numbers(result: TrainingResult) -> str:
    from frugalnas.runs.watching import duration

    numbers: list[tuple[str, str, str]] = []
    if result.test is not None:
        top5 = f"top 5: {result.test.top5:.2f} %" if len(result.test.classes) > 5 else ""
        numbers.append(("test accuracy", f"{result.test.top1:.2f} %", top5))
    kept = next((record for record in result.epochs if record["epoch"] == result.selected), None)
    if kept is not None and kept["val_accuracy"] is not None:
        numbers.append(("validation accuracy", f"{kept['val_accuracy']:.2f} %", f"epoch {result.selected}"))
    numbers += [
        ("parameters", _millions(result.params), ""),
        ("multiply-adds", _millions(result.macs), "an image"),
        ("epochs", f"{len(result.epochs)}", "" if result.finished else f"of {result.total_epochs}"),
        ("wall time", duration(result.seconds), ""),
    ]
    items = [
        f"<div><dt>{_text(what)}</dt><dd>{_text(value)} <small>{_text(more)}</small></dd></div>"
        for what, value, more in numbers
    ]
    return f'<dl class="key">{"".join(items)}</dl>'


def _classes(test: EvaluationResult, figures: dict[str, Path]) -> str:
    drawn = [
        _figure(figures["confusion"], "confusion matrix"),
        _figure(figures["classes"], "accuracy of each class"),
    ]
    pairs = [
        [_text(true), _text(taken), f"{images:,}", f"{share:.1f} %"] for true, taken, images, share in confusions(test)
    ]
    images = np.asarray(test.confusion).sum(axis=1)
    rows = [
        [_text(name), f"{count:,}", "" if math.isnan(accuracy) else f"{accuracy:.2f} %"]
        for name, count, accuracy in zip(test.classes, images, test.per_class, strict=True)
    ]
    confused = _table(["class", "taken for", "images", "of the class"], pairs, 2) if pairs else "<p>None was wrong.</p>"
    return (
        f'<div class="figures">{"".join(drawn)}<div><h3>Confused most often</h3>{confused}</div></div>'
        f"<details><summary>all {len(rows):,} classes</summary>"
        f"{_table(['class', 'images', 'accuracy'], rows, 2)}</details>"
    )


def _again(result: TrainingResult, config: dict[str, Any]) -> str:
    import yaml

    shown = {key: value for key, value in config.items() if key not in ("kind",)}
    text = yaml.safe_dump(shown, sort_keys=False, width=100)
    return (
        f"<p>frugalnas {_text(str(config.get('frugalnas', '')))}; the run's <code>config.yaml</code> has everything:</p>"
        f"<details><summary>configuration</summary><pre>{_text(text)}</pre></details>"
        f"<p>Architecture:</p><pre>{_text(result.space.format(result.code))}</pre>"
    )


def _figure(path: Path, alternative: str) -> str:
    """An image that is part of the page; as an image its names and styles cannot meet those of another one."""
    drawing = path.read_bytes()
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', drawing)
    width = f' width="{MAGNIFIED * float(points[1]):.0f}"' if points else ""
    data = base64.b64encode(drawing).decode("ascii")
    return f'<figure><img alt="{_text(alternative)}"{width} src="data:image/svg+xml;base64,{data}"></figure>'


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table, whose last columns hold numbers and are set to the right."""
    kinds = [""] * (len(headings) - numbers) + [" class=n"] * numbers
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(headings, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.2f} M" if count >= 1e6 else f"{count:,.0f}"


def _text(text: str) -> str:
    return html.escape(text)
