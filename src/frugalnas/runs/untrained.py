"""Scores of networks that nobody has trained: what a space, random weights and a few images tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.scoring import (
    BATCH,
    UNTRAINED,
    combined_or_one,
    counted_or_zero_cost,
    fast,
    first_images,
    score_parts,
    scored_with_parts,
)
from frugalnas.scores import Score
from frugalnas.scores.combined import Combined
from frugalnas.spaces import SearchSpace

if TYPE_CHECKING:
    from frugalnas.data import ImageData
    from frugalnas.runs.scoring import Batches

__all__ = ["UntrainedEvaluator", "open_untrained"]


def open_untrained(
    space: SearchSpace,
    name: str = "synflow",
    *,
    data: str | Path | None = None,
    root: str | Path | None = None,
    reference: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Score:
    """A score of the networks that a space builds, before any training; no supernet is needed.

    Args:
        space: whose codes are scored, at its own sizes.
        name: "synflow", "naswot", "gradnorm", "params", "macs", another quantity that the space counts; or several joined by
            `+`, which are added as ranks within a reference sample.
        data: images for naswot and gradnorm, which look at 128 and 64 of those for training.
        root: where the files of named data are.
        reference: architectures in that sample; None: 200, or of what is only counted 10,000.
        seed: of weights, the choice of images, and the sample.
        device: where networks are looked at: "cpu", "cuda", ...

    Raises:
        FrugalnasError: for an unknown score or one of a trained supernet, and where images are needed and not given.

    Example:
        >>> from frugalnas.spaces import NASBench201
        >>> space = NASBench201(width=4, cells=1)
        >>> score = open_untrained(space, "params")
        >>> score(space.enumerate()[-1:]).tolist() == space.count("params", space.enumerate()[-1:]).tolist()
        True
    """
    names = score_parts(name, space)
    trained = [part for part in names if part not in UNTRAINED and part not in space.quantities]
    if trained:
        raise FrugalnasError(
            f"{trained[0]} is that of a trained supernet; give the folder of one (frugalnas supernet train), or take one of "
            f"{', '.join(UNTRAINED)}"
        )
    seen = [part for part in names if part in BATCH]
    images = _images(space, seen[0], data, root) if seen else None

    def batches(count: int) -> Batches:
        assert images is not None
        return first_images(images.train, count, seed=seed, device=device)

    scores = [counted_or_zero_cost(part, space, batches, seed, device) for part in names]
    return combined_or_one(scores, space, reference, seed)


def _images(space: SearchSpace, name: str, data: str | Path | None, root: str | Path | None) -> ImageData:
    """The images that a score looks at, in the size of the networks."""
    from frugalnas.data import open_data

    if data is None:
        raise FrugalnasError(
            f"{name} looks at images; say at which: data, such as digits (--data, in a search --set evaluator.data=)"
        )
    return open_data(data, root=root, input_size=getattr(space, "input_size", None))


class UntrainedEvaluator(Evaluator):
    """Answers a search with a score of the networks before any training.

    Metrics of an evaluation are the parts of a sum, parameters and multiply-adds.

    Args:
        space: that is searched; it has to build networks.
        score: synflow, naswot, gradnorm, or several joined by +; see `open_untrained`, also for what follows.
        data: images for naswot and gradnorm: digits, cifar10, or a folder or file of your own.
        root: where the files of named data are.
        reference: architectures within which joined scores are ranked.
        seed: of weights, images and that sample.
        device: where networks are looked at.
    """

    vectorised = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        score: str = "synflow",
        data: str | None = None,
        root: str | None = None,
        reference: int | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        from frugalnas.data.finding import located

        self.space = space
        self.score = score
        self.data = None if data is None else located(data)
        self.root = None if root is None else str(Path(root).expanduser().resolve())
        self.reference = reference
        self.seed = seed
        self.device = device
        self.scored = open_untrained(
            space, score, data=self.data, root=self.root, reference=reference, seed=seed, device=device
        )
        parts = [part.name for part in self.scored.scores] if isinstance(self.scored, Combined) else []
        self._counted = [name for name in ("params", "macs") if name in space.quantities and name not in parts]
        self.measures = (*parts, *self._counted)
        if fast(score) and space.enumerable:
            self.optimum = float(self.scored(space.enumerate()).max())

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The score of each row."""
        values, metrics = scored_with_parts(self.scored, trials.codes)
        for name in self._counted:
            metrics[name] = np.asarray(self.space.count(name, trials.codes), np.float64)
        return Evaluations(values, metrics)

    def __reduce__(self) -> tuple[object, ...]:
        options = {name: getattr(self, name) for name in ("score", "data", "root", "reference", "seed", "device")}
        return _made_again, (self.space, options)


def _made_again(space: SearchSpace, options: dict[str, Any]) -> UntrainedEvaluator:
    return UntrainedEvaluator(space, **options)
