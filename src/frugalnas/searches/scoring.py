"""Scores by name, of supernets and of untrained networks, and what answers a search with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.registry import constructor_options
from frugalnas.scores import Counted, Score, rule_for
from frugalnas.scores.combined import Combined, combine
from frugalnas.spaces import Codes, SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from frugalnas.data import ImageData
    from frugalnas.data.image_data import Part

    Batches: TypeAlias = list[tuple[Tensor, Tensor]]


class ZeroCostScore(NamedTuple):
    """What figures call it, its class in `frugalnas.scores.zero_cost`, training images it looks at, and whether at labels."""

    title: str
    made_by: str
    images: int = 0
    labels: bool = False


ZERO_COST = {
    "gradnorm": ZeroCostScore("gradient norm", "GradientNorm", images=64, labels=True),
    "synflow": ZeroCostScore("SynFlow, log", "SynFlow"),
    "naswot": ZeroCostScore("NASWOT", "NASWOT", images=128),
}
"""Zero-cost scores by name: whatever stands here can be ranked and searched by."""
SCORES = {
    "angle": "angle, rad",
    "accuracy": "supernet accuracy, %",
    "params": "parameters",
    "macs": "multiply-adds",
    **{name: score.title for name, score in ZERO_COST.items()},
}
"""Scores by name, and what figures call them. Any of them may be joined by `+`."""

UNTRAINED = ("params", "macs", *ZERO_COST)
"""Scores of networks that nobody has trained."""

FAST = ("angle", "params", "macs")
"""Scores that take microseconds an architecture."""

IMAGES = 1_000
"""Held-out images that an accuracy is measured on, and training images that batch norms are recalibrated with."""
REFERENCE = {True: 10_000, False: 200}
"""Architectures among which scores are ranked before they are added: of fast ones, and of others."""


def combined_or_one(scores: Sequence[Score], space: SearchSpace, reference: int | None, seed: int) -> Score:
    """The one score, or several as one, ranked within a reference sample of the space."""
    if len(scores) == 1:
        return scores[0]
    return combine(scores, _reference(space, all(fast(score.name) for score in scores), reference, seed))


def score_parts(
    name: str, space: SearchSpace, rule: str | None = None, images: int = IMAGES, also: Sequence[str] = ()
) -> list[str]:
    """The names that a score's is joined from, made sure to be scores of this space; the arguments are `open_score`'s.

    Args:
        name: of the score.
        space: whose architectures are scored.
        rule: of an angle.
        images: of an accuracy.
        also: what else could have been meant, for the error.

    Raises:
        FrugalnasError: as `open_score`, as far as that is known before a supernet is trained.
    """
    names = [part.strip() for part in str(name).split("+")]
    for part in names:
        if part not in SCORES and part not in space.quantities:
            raise unknown_name(
                "score", part, list(dict.fromkeys([*SCORES, *space.quantities, *also])), ", or several joined by +"
            )
    if len(set(names)) < len(names):
        raise FrugalnasError(f"`score` {name} names one twice; name each once")
    if "angle" in names:
        rule_for(space, rule)
    if not isinstance(images, int) or images < 1:
        raise FrugalnasError(f"`images` {images}: an accuracy needs at least one image")
    return names


def check_held_out(data: ImageData, trained: str) -> None:
    """Refuse to measure a supernet's accuracy where no labelled images were held out of its training."""
    if data.val is None or not len(data.val) or not data.labelled:
        missing = "labels" if not data.labelled else "images held out of training (`split` of its training decides)"
        raise FrugalnasError(
            f"{trained} has no {missing}, on which an accuracy is measured; rank by `score` angle, which needs none"
        )


def fast(name: str) -> bool:
    """Whether a score, or each of a sum, takes microseconds an architecture, so that whole spaces can be scored."""
    return all(part.strip() not in SCORES or part.strip() in FAST for part in name.split("+"))


def score_title(name: str) -> str:
    """What figures call a score, with its unit."""
    return SCORES.get(name, f"mean rank of {' and '.join(name.split('+'))}" if "+" in name else name)


class ScoredEvaluator(Evaluator):
    """What answers a search with a score: metrics of an evaluation are the parts of a sum, parameters and multiply-adds.

    Child classes set `space` and hand their score to `_answer_with`.

    Attributes:
        scored: the score.
    """

    vectorised = True
    space: SearchSpace

    def _answer_with(self, scored: Score, name: str) -> None:
        self.scored = scored
        parts = [part.name for part in scored.scores] if isinstance(scored, Combined) else []
        self._counted = [count for count in ("params", "macs") if count in self.space.quantities and count not in parts]
        self.measures = (*parts, *self._counted)
        if fast(name) and self.space.enumerable:
            self.optimum = float(scored(self.space.enumerate()).max())

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The score of each row."""
        values, metrics = self._scores(trials.codes)
        for name in self._counted:
            metrics[name] = np.asarray(self.space.count(name, trials.codes), np.float64)
        return Evaluations(values, metrics)

    def __reduce__(self) -> tuple[object, ...]:
        # Other processes make the score themselves instead of receiving weights and images.
        options = {name: getattr(self, name) for name in constructor_options(type(self))}
        return partial(type(self), **options), (self.space,)

    def _scores(self, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        return scored_with_parts(self.scored, codes)


def scored_with_parts(score: Score, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The score of each row, and where it is a sum those of its parts in their own units, shapes [n]."""
    if not isinstance(score, Combined):
        return np.asarray(score(codes), np.float64), {}
    parts = score.parts(codes)
    return np.asarray(score.rank(parts), np.float64), {
        name: np.asarray(values, np.float64) for name, values in parts.items()
    }


def counted_or_zero_cost(
    name: str, space: SearchSpace, batches: Callable[[int], Batches], seed: int, device: str
) -> Score:
    """A score that no weight of a supernet counts in; `batches` gives as many training images as it looks at."""
    if name in space.quantities or name in ("params", "macs"):
        return Counted(space, name)
    import torch

    from frugalnas.scores import zero_cost

    known = ZERO_COST[name]
    seen = zip(*batches(known.images), strict=True) if known.images else ()
    shown = [torch.cat(tensors) for tensors in seen][: 1 + known.labels]
    made: Score = getattr(zero_cost, known.made_by)(space, *shown, seed=seed, device=device)
    return made


def first_images(part: Part, count: int, *, seed: int, device: str, batch_size: int = 128, workers: int = 0) -> Batches:
    """As many images of a part as are wanted, or all, in an order of this seed and without changes to them."""
    from frugalnas.data import Loader

    batches: Batches = []
    order = Loader(part, batch_size=min(batch_size, count), seed=seed, device=device, shuffle=True, workers=workers)
    for images, labels in order.epoch(0):
        left = count - sum(len(known) for _, known in batches)
        batches.append((images[:left], labels[:left]))
        if left <= len(labels):
            break
    return batches


def _reference(space: SearchSpace, quick: bool, size: int | None, seed: int) -> Codes:
    """The sample within which joined scores are ranked."""
    if space.enumerable and (space.size <= (REFERENCE[quick] if size is None else size) or (quick and size is None)):
        codes = space.enumerate()
        if len(codes) <= 2**16:
            return codes
    return space.sample(REFERENCE[quick] if size is None else size, np.random.default_rng(seed))
