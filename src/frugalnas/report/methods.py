"""What a method that trains a supernet has come to, as one page that stands alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.files import write_atomically
from frugalnas.report.architectures import draw_architecture
from frugalnas.report.certainty import Certainty, certainty
from frugalnas.report.method_figures import rank_figure, score_figure, size_figure, supernet_figure
from frugalnas.report.method_page import labels_of, method_page, score_words
from frugalnas.report.style import save_figure
from frugalnas.report.training_figures import learning_curves

if TYPE_CHECKING:
    from frugalnas.methods.rlnas import RLNAS
    from frugalnas.runs.stages import Stage
    from frugalnas.runs.supernets import SupernetResult
    from frugalnas.runs.training import TrainingResult
    from frugalnas.searches.result import SearchResult

__all__ = ["MethodRun", "method_numbers", "method_report", "read_method"]

MOST_EPOCHS = 60
"""Epochs whose rankings the page compares; of more, so many evenly spread."""


@dataclass(frozen=True)
class MethodRun:
    """A method's run as far as it has come.

    Attributes:
        path: its folder.
        config: its configuration.
        method: with its settings.
        stages: begun so far.
        supernet, search, trained: what the stages have come to.
        result: what was concluded, None before the end.
        failure: which `stage` failed last, and its `error`; None where none did.
    """

    path: Path
    config: dict[str, Any]
    method: RLNAS
    stages: tuple[Stage, ...]
    supernet: SupernetResult | None
    search: SearchResult | None
    trained: tuple[TrainingResult, ...]
    result: dict[str, Any] | None
    failure: dict[str, str] | None

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)


def read_method(run_dir: Path | str) -> MethodRun:
    """A method's run from its folder alone; nothing is computed."""
    from frugalnas.runs import RunFolder
    from frugalnas.runs.stages import load_stages, method_of, read_failure, read_result
    from frugalnas.runs.supernets import load_supernet
    from frugalnas.runs.training import load_training
    from frugalnas.searches import load_search

    folder = RunFolder(Path(run_dir))
    method = method_of(folder)
    stages = load_stages(folder.path)
    paths = {stage.name: stage.path for stage in stages}
    return MethodRun(
        path=folder.path,
        config=folder.config,
        method=method,  # type: ignore[arg-type]  # the only method with stages so far
        stages=stages,
        supernet=load_supernet(paths["supernet"]) if "supernet" in paths else None,
        search=load_search(paths["search"]) if "search" in paths else None,
        trained=tuple(load_training(path) for name, path in paths.items() if name.startswith("retrain-")),
        result=read_result(folder.path),
        failure=read_failure(folder.path),
    )


def method_numbers(run_dir: Path | str) -> dict[str, Any]:
    """What a method has come to as plain data."""
    run = read_method(run_dir)
    return {
        "run": str(run_dir),
        "method": run.config["method"]["name"],
        "finished": run.result is not None,
        "failure": run.failure,
        "seconds": run.seconds,
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "folder": str(stage.path.relative_to(run.path)),
                "finished": stage.finished,
                "seconds": stage.seconds,
            }
            for stage in run.stages
        ],
        **(run.result or {}),
    }


def method_report(run_dir: Path | str) -> list[Path]:
    """The files written into the report folder of a method's run: its page, `index.html`, and the figures on it.

    They are made from the run's folder alone, finished or not; nothing is trained or evaluated.
    """
    run = read_method(run_dir)
    folder = run.path / "report"
    folder.mkdir(exist_ok=True)
    figures: dict[str, Path] = {}

    def save(name: str, drawn: Any) -> None:
        figures[name] = save_figure(drawn, folder / name)[0]

    sure = None
    if run.supernet is not None and run.supernet.epochs:
        recipe = run.supernet.recipe
        save("supernet", supernet_figure(run.supernet.epochs, recipe.classes or 0, labels_of(run.supernet)))
    if run.result is not None and run.supernet is not None:
        space = run.method.networks.retrained
        winner = run.result["candidates"][run.result["winner"]]
        save("architecture", draw_architecture(space, space.parse(winner["architecture"])))
        sure = _certainty(run)
    if sure is not None:
        name = score_words(run)
        save("scores", score_figure(sure, name))
        save("size", size_figure(sure, run.method.networks.retrained.count("macs", sure.codes), name))
        if len(sure.epochs) > 1:
            save("ranks", rank_figure(sure))
    for place, trained in enumerate(run.trained, 1):
        if trained.epochs:
            save(f"retrain-{place}", learning_curves(trained))
    page = folder / "index.html"
    write_atomically(page, method_page(run, sure, figures))
    return [page, *figures.values()]


def _certainty(run: MethodRun) -> Certainty | None:
    """How sure the angle's ranking is; None for other scores, of which nothing is known before the last epoch."""
    from frugalnas.searches.scoring import open_score

    assert run.supernet is not None
    assert run.result is not None
    score = dict(run.method.recipe["score"])
    if score.get("name", "angle") != "angle":
        return None
    base = score.get("base")
    base = run.supernet.default_base if base is None else base
    epochs = list(range(base + 1, len(run.supernet.epochs) + 1))
    if len(epochs) > MOST_EPOCHS:
        epochs = sorted({epochs[round(place)] for place in np.linspace(0, len(epochs) - 1, MOST_EPOCHS)})
    scores = [
        open_score(run.supernet.run_dir, "angle", rule=score.get("rule"), base=base, epoch=epoch) for epoch in epochs
    ]
    space = run.method.networks.retrained
    candidates = run.result["candidates"]
    order = [run.result["winner"], *(row for row in range(len(candidates)) if row != run.result["winner"])]
    best = space.as_codes([space.parse(candidates[row]["architecture"]) for row in order])
    return certainty(space, best, scores, epochs, run.method.seed)
