"""What a method has come to: on a terminal, and as one page that stands alone, with figures of its stages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.amounts import shown_amount
from frugalnas.files import write_atomically
from frugalnas.progress import duration
from frugalnas.report.architectures import draw_architecture
from frugalnas.report.certainty import Certainty, certainty
from frugalnas.report.method_figures import rank_figure, score_figure, size_figure, supernet_figure
from frugalnas.report.method_page import (
    compared,
    labels_of,
    method_html,
    score_unit,
    scored_supernets,
    shrinking_said,
    trained_supernets,
    why_untrained,
)
from frugalnas.report.operators import operators_figure, shrinking_of
from frugalnas.report.style import save_figure
from frugalnas.report.training_figures import learning_curves
from frugalnas.runs.kinds import Page

if TYPE_CHECKING:
    from frugalnas.methods.kind import MethodResult

MOST_EPOCHS = 60
"""Epochs whose rankings the page compares; of more, so many evenly spread."""


def method_page(run: MethodResult) -> Page:
    """What is printed of a method, whose page is written into its folder."""
    rows: list[tuple[str, str]] = []
    result, here = run.concluded or {}, run.run_dir
    if run.architecture:
        name, unit = score_unit(run)
        rows.append(("architecture", run.architecture))
        scored = f"{run.score:.4g}{' rad' if unit else ''}; {result['how']}"
        rows.append(("chosen", result["how"]) if math.isnan(run.score) else (name, scored))
        rows += [(count, shown_amount(count, getattr(run, count))) for count in ("params", "macs")]
        rows += [
            (said, f"{accuracy:.2f} %")
            for said, accuracy in (("test accuracy", run.test), ("validation", run.val))
            if accuracy is not None
        ]
        rows += compared(run)
        if not run.trained:
            rows.append(("not trained", f"{why_untrained(run)}; with labels: frugalnas train {here} --data FOLDER"))
    rows += [("shrunk", said) for said in shrinking_said(result)]
    rows += [
        (stage.name, f"{duration(stage.seconds)}{'' if stage.finished else '; not finished'}") for stage in run.stages
    ]
    if run.failure is not None:
        rows.append(("failed", f"stage {run.failure['stage']}: {run.failure['error']}"))
        rows.append(("settings", f"of what has not begun: frugalnas resume {here} --set STAGE.NAME=VALUE"))
    if not run.finished:
        rows.append(("unfinished", f"continue it with: frugalnas resume {here}"))
    rows += [("run folder", str(here)), ("page", str(method_report(run)[0]))]
    if run.architecture:
        rows.append(("exported", ", ".join(map(str, run.exported))))
    rows += [("note", note) for note in result.get("notes", ())]
    if run.trained:
        rows.append(("network", f"frugalnas predict, evaluate and export take {here}"))
    return Page(rows)


def method_report(run: MethodResult) -> list[Path]:
    """The files written into the report folder of a method's run: its page, `index.html`, and the figures on it.

    They are made from the run's folder alone, finished or not; nothing is trained or evaluated.
    """
    folder = run.run_dir / "report"
    folder.mkdir(exist_ok=True)
    figures: dict[str, Path] = {}

    def save(name: str, drawn: Any) -> None:
        figures[name] = save_figure(drawn, folder / name)[0]

    for part, supernet in trained_supernets(run).items():
        if supernet.epochs:
            save(part, supernet_figure(supernet.epochs, supernet.recipe.classes or 0, labels_of(supernet)))
    shrinking = shrinking_of(run)
    if shrinking is not None:
        save("operators", operators_figure(shrinking))
    sure = None
    if run.architecture:
        save("architecture", draw_architecture(run.space, run.code))
        sure = _certainty(run)
    if sure is not None:
        name = ", ".join(filter(None, score_unit(run)))
        save("scores", score_figure(sure, name))
        save("size", size_figure(sure, run.space.count("macs", sure.codes), name))
        if len(sure.epochs) > 1:
            save("ranks", rank_figure(sure))
    for place, trained in enumerate(run.results.get("retrain", ()), 1):
        if trained.epochs:
            save(f"retrain-{place}", learning_curves(trained))
    page = folder / "index.html"
    write_atomically(page, method_html(run, sure, figures))
    return [page, *figures.values()]


def _certainty(run: MethodResult) -> Certainty | None:
    """How sure the angle's ranking is; None for other scores, of which nothing is known before the last epoch."""
    from frugalnas.searches.supernet_scores import open_score

    supernets = scored_supernets(run)
    if score_unit(run)[0] != "angle" or not supernets or "search" not in run.results:
        return None
    supernet, score = supernets[-1], run.method.recipe["score"]
    base = score.get("base")
    base = supernet.default_base if base is None else base
    epochs = list(range(base + 1, len(supernet.epochs) + 1))
    if len(epochs) > MOST_EPOCHS:
        epochs = sorted({epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, MOST_EPOCHS)})
    space = run.results["search"][0].space
    scores = [
        open_score(supernet.run_dir, "angle", space=space, rule=score.get("rule"), base=base, epoch=epoch)
        for epoch in epochs
    ]
    candidates, winner = (run.concluded or {})["candidates"], (run.concluded or {})["winner"]
    order = [winner, *(row for row in range(len(candidates)) if row != winner)]
    best = run.space.as_codes([run.space.parse(candidates[row]["architecture"]) for row in order])
    return certainty(space, best, scores, epochs, run.method.seed)
