"""The end of a method: which architectures are the best, which network is the result, and where it can be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from frugalnas.errors import FrugalnasError
from frugalnas.methods.spaces import alive
from frugalnas.networks.exporting import export
from frugalnas.networks.models import ModelCard, card_of, described, load, save_model
from frugalnas.scores import Angle, Score
from frugalnas.scores.maximise import largest_angle
from frugalnas.searches.result import SearchResult
from frugalnas.spaces import Architecture, Codes, FactoredSpace, FloatArray
from frugalnas.training import Recipe
from frugalnas.trainings.network import TrainingResult, build_network, counts_of

if TYPE_CHECKING:
    from frugalnas.methods.method import ImageMethod

KEPT = 10
"""Architectures that the result names."""
UNTRAINED = "untrained"
"""Folder of the network that nothing was trained for, where there are no labels."""


@dataclass(frozen=True)
class Finalists:
    """The best architectures that a search allows, the best first; each is another network.

    Attributes:
        codes: shape [n, genes].
        scores: shape [n].
        how: why these are the best, for people.
        found: whether the search itself had found the first.
    """

    codes: Codes
    scores: FloatArray
    how: str
    found: bool


def best_of(found: SearchResult, score: Score, quick: bool = True, most: int = KEPT) -> Finalists:
    """The best architectures by a score: of the whole space where it can be listed, else of those that a search found.

    Where the angle's largest value can be computed (spaces of layers), the architecture that has it is the first.

    Args:
        found: by the search, in a space of the networks that will be retrained, with its limits.
        score: of the supernet.
        quick: whether it takes so little time that all of a space can be scored.
        most: how many.
    """
    space = found.space
    searched = found.codes[np.isfinite(found.values)]
    if space.enumerable and quick:
        codes = space.enumerate()
        how = f"the best of all {len(codes):,} codes"
    else:
        codes = searched
        how = f"the best of {len(codes):,} architectures that the search looked at"
        if isinstance(score, Angle) and score.table.paths is None and isinstance(space, FactoredSpace):
            largest = largest_angle(score.table, space)
            codes = np.concatenate([largest.code[None], codes])
            bound = f"the best that is known; no architecture has an angle above {largest.at_most:.6g}"
            how = "the one with the largest angle there is, proved" if largest.certified else bound
    codes = alive(space, codes)
    scores = np.asarray(score(codes), np.float64)
    order = np.lexsort((space.count("macs", codes), -scores))  # the smaller one of equals
    networks = space.network_ids(codes[order])
    first = np.sort(np.unique(networks, return_index=True)[1])[:most]
    rows = order[first]
    looked_at = set(space.network_ids(searched).tolist())
    return Finalists(codes[rows], scores[rows], how, int(networks[first[0]]) in looked_at)


def winner_of(trained: Sequence[TrainingResult]) -> int:
    """Of retrained networks the one with the highest validation accuracy, of equals the first; 0 where there is none."""
    return max(range(len(trained)), key=lambda row: (_validated(trained[row]), -row)) if trained else 0


def conclude(
    run_dir: Path,
    method: ImageMethod,
    best: Finalists,
    trained: Sequence[TrainingResult],
    baselines: Mapping[str, TrainingResult],
) -> dict[str, Any]:
    """What a method has come to, with the winner's network exported.

    The winner is the retrained network with the highest validation accuracy, of equals the one with the higher score; where
    none was retrained it is the architecture with the highest score, and its network has random weights.

    Args:
        run_dir: the method's run.
        method: what was carried out.
        best: architectures, in order.
        trained: those that were retrained, the first of the best first.
        baselines: what the winner is compared with, trained alike, by name.

    Returns:
        Plain data. Accuracies are in %; `test_interval` is Wilson's 95 % interval of what the number of test images leaves open.
    """
    space = method.spaces.retrained
    counts = {name: space.count(name, best.codes) for name in ("params", "macs")}
    candidates = [
        {
            "architecture": space.format(code),
            "score": float(best.scores[row]),
            **{name: float(column[row]) for name, column in counts.items()},
            **(_retrained(run_dir, trained[row]) if row < len(trained) else {}),
        }
        for row, code in enumerate(best.codes)
    ]
    winner = winner_of(trained)
    if trained:
        network = str(trained[winner].run_dir.relative_to(run_dir))
    else:
        network = UNTRAINED
        _save_untrained(run_dir / UNTRAINED, method, best.codes[0])
    exported, note = _export(run_dir, network, "" if trained else "-untrained")
    return {
        "architecture": candidates[winner]["architecture"],
        "winner": winner,
        "how": best.how,
        "found_by_search": best.found,
        "candidates": candidates,
        "baselines": [
            {
                "name": name,
                "architecture": each.space.format(each.code),
                "params": each.params,
                "macs": each.macs,
                **_retrained(run_dir, each),
            }
            for name, each in baselines.items()
        ],
        "trained": bool(trained),
        "network": network,
        "exported": exported,
        "notes": [note] if note else [],
    }


def _retrained(run_dir: Path, result: TrainingResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "run": str(result.run_dir.relative_to(run_dir)),
        "val": None if _validated(result) < 0 else _validated(result),
        "test": None,
    }
    if result.test is not None:
        images = result.test.images
        right = binomtest(round(result.test.top1 / 100 * images), images)
        interval = right.proportion_ci(method="wilson")
        found |= {"test": result.test.top1, "test_interval": [100 * interval.low, 100 * interval.high]}
    return found


def _validated(result: TrainingResult) -> float:
    """Validation accuracy of the weights that were kept, -1 where there are no validation images."""
    kept = next((record for record in result.epochs if record["epoch"] == result.selected), {})
    accuracy = kept.get("val_accuracy")
    return -1.0 if accuracy is None else float(accuracy)


def _save_untrained(folder: Path, method: ImageMethod, code: Codes) -> None:
    """Write the network as it is before any training, with a card that says so."""
    space = method.spaces.retrained
    network = build_network(Architecture(space, code), Recipe(), method.seed)
    card = ModelCard(
        space=described(space),
        architecture=space.format(code),
        classes=method.classes,
        preprocessing=dict(method.preprocessing),
        counts=counts_of(network, int(method.preprocessing["input_size"])),
        provenance={"weights": "random: this network was not trained", "seed": method.seed},
    )
    save_model(folder, network, card)


def _export(run_dir: Path, network: str, suffix: str) -> tuple[list[str], str]:
    """The files that the network was exported to, and what kept it from becoming ONNX."""
    loaded = load(run_dir / network)
    target = run_dir / "export" / f"{run_dir.resolve().name}{suffix}.onnx"
    target.parent.mkdir(exist_ok=True)
    try:
        return [str(export(loaded, card_of(loaded), target).relative_to(run_dir))], ""
    except FrugalnasError as error:
        folder = export(loaded, card_of(loaded), target.with_suffix(""), "safetensors")
        return [str(folder.relative_to(run_dir))], f"exported as safetensors: {error}"
