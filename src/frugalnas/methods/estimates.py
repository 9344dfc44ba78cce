"""How long scores will take, before there is a supernet that gives them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from frugalnas.scores import Counted, Score, operator_scores
from frugalnas.scores.operator_expectations import RANDOM
from frugalnas.searches.scoring import IMAGES, ZERO_COST, combined_or_one, counted_or_zero_cost, fast, first_images

if TYPE_CHECKING:
    from frugalnas.methods.parts import Supernet
    from frugalnas.methods.shrinking import Rounds

TIMED = 3
"""Untrained networks by which a score of them is timed."""


def seconds_of_one(supernet: Supernet, score: str, images: int) -> float:
    """About what those parts of a score that look at one network after the other take for one.

    An accuracy passes so many held-out images through its path, and as many before to calibrate the batch norms; a step of the
    training passes its images three times through each of its paths, twice of them backwards. Scores of untrained networks are
    timed.

    Args:
        supernet: whose training is proposed, and timed.
        score: its name, parts joined by +.
        images: of an accuracy.
    """
    recipe, data = supernet.proposal.config["recipe"], supernet.proposal.handed["data"]
    space, device = supernet.foreseen, supernet.method.compute.device
    seconds = 0.0
    for part in (each.strip() for each in score.split("+")):
        if part == "accuracy":
            paths = int(space.allowed[0].sum()) if recipe["paths"] == "fair" else 1
            passed = 3 * recipe["batch_size"] * paths * max(supernet.planned.steps, 1)
            seconds += 2 * min(images, len(data.val or ())) * supernet.planned.seconds / passed
        elif part in ZERO_COST:
            seen = partial(first_images, data.train, seed=0, device=device)
            asked, codes = (
                counted_or_zero_cost(part, space, seen, 0, device),
                space.sample(TIMED, np.random.default_rng(0)),
            )
            seconds += _seconds(lambda asked=asked, codes=codes: asked(codes)) / TIMED  # type: ignore[misc]
    return seconds


def seconds_of_scoring(rounds: Rounds) -> float:
    """About how long operators are scored in all rounds of shrinking.

    One scoring of the whole space by what is fast is timed, for as many as there will be. What looks at one network after the
    other does so once for each that is drawn in a round.
    """
    if rounds.score == RANDOM:
        return 0.0
    steps, asked, start = rounds.foreseen.steps, rounds.asked, rounds.start
    quick = [_as_fast(rounds, part) for part in rounds.joined if fast(part)]
    seconds = 0.0
    if quick:
        score = combined_or_one(quick, start, None, 0)
        seconds = len(steps) * _seconds(lambda: operator_scores(score, start, **asked))
    if len(quick) < len(rounds.joined):
        taken = np.bincount([rounds.foreseen.round_of(step) for step in range(len(steps))])
        left = np.array([float(start.distinct), *(float(step.size) for step in steps)])[np.cumsum(taken) - taken]
        different = -np.expm1(-taken * asked["draws"] / left) * left
        images = rounds.settings.get("images", IMAGES)
        seconds += float(different.sum()) * seconds_of_one(rounds.method.supernet, rounds.score, images)  # type: ignore[attr-defined]
    return seconds


def _as_fast(rounds: Rounds, part: str) -> Score:
    """A score of the whole space that takes as long as one that will be asked: all weights have turned as far."""
    if part != "angle":
        return Counted(rounds.start, part)
    return rounds.angle(
        rounds.method.spaces.searched, rounds.start, lambda names: np.tile([0.8, 1.0, 1.0], (len(names), 1))
    )


def _seconds(doing: Callable[[], object]) -> float:
    started = perf_counter()
    doing()
    return perf_counter() - started
