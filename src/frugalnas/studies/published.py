"""What ABS published of NAS-Bench-201: rank correlations, its program's `.tau` files, and ranks of the operators it dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from frugalnas.errors import FrugalnasError, quoted, unknown_name
from frugalnas.pickles import read_torch

Of = Literal["seeds", "epochs", "params"]
KINDS: tuple[Of, ...] = ("seeds", "epochs", "params")
NAMES = {"acc": "accuracy", "acc_no_rebn": "accuracy without recalibration", "add": "angle+accuracy"}
"""What the program calls its scores, and what they are called here; others keep their names."""
NEAR = 0.01
"""Its counts of parameters are rounded, and leave out what all cells have: so far, relatively, they are from ours."""

_TABLES = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")
_OVER_SEEDS = {
    "random": ((-0.002, 0.006), (-0.001, 0.004), (0.003, 0.002)),
    "acc_no_rebn": ((0.041, 0.037), (0.052, 0.021), (0.069, 0.018)),
    "acc": ((0.540, 0.052), (0.525, 0.043), (0.538, 0.023)),
    "angle": ((0.575, 0.002), (0.604, 0.002), (0.545, 0.002)),
    "add": ((0.674, 0.026), (0.707, 0.017), (0.676, 0.002)),
}
"""Mean and deviation over ten seeds, for each of the tables."""
_EARLY = {
    "angle": (
        {2: 0.558, 4: 0.580, 6: 0.580, 8: 0.558, 10: 0.546},
        {5: 0.434, 15: 0.434, 25: 0.526, 35: 0.606, 45: 0.626},
        {5: 0.244, 15: 0.492, 25: 0.506, 35: 0.520, 45: 0.530},
    ),
    "acc": (
        {2: 0.048, 4: 0.128, 6: 0.216, 8: 0.266, 10: 0.308},
        {5: 0.210, 15: 0.382, 25: 0.424, 35: 0.476, 45: 0.482},
        {5: 0.112, 15: 0.280, 25: 0.408, 35: 0.432, 45: 0.442},
    ),
}
"""After these epochs, means over five seeds."""
_ALONE = (0.833, 0.822, 0.825)
"""Of the angles of 50 cells, each trained by itself, from their initial weights."""
_SIZES = (0.315, 0.343, 0.371, 0.559, 0.587)
_WITHIN = {
    "angle": (
        (0.656, 0.503, 0.329, 0.507, 0.356),
        (0.663, 0.518, 0.343, 0.518, 0.336),
        (0.637, 0.479, 0.326, 0.486, 0.326),
    ),
    "acc": (
        (0.629, 0.473, 0.234, 0.437, 0.181),
        (0.593, 0.504, 0.277, 0.440, 0.211),
        (0.539, 0.464, 0.296, 0.374, 0.247),
    ),
    "add": (
        (0.785, 0.641, 0.430, 0.652, 0.441),
        (0.776, 0.648, 0.417, 0.629, 0.403),
        (0.690, 0.557, 0.402, 0.551, 0.405),
    ),
}
"""Among cells of so many million parameters."""

DROPPED = {
    "angle": (
        (25, 22, 24, 21, 23, 20, 28, 29, 26, 18, 27, 11, 30, 14, 15, 17, 16, 19, 13, 9),
        (25, 22, 24, 21, 23, 20, 28, 29, 26, 27, 18, 11, 30, 14, 15, 17, 16, 19, 13, 9),
        (25, 22, 24, 21, 23, 20, 28, 29, 26, 27, 18, 11, 30, 14, 15, 17, 16, 19, 13, 9),
    ),
    "accuracy": (
        (28, 29, 30, 26, 27, 3, 18, 7, 1, 10, 9, 12, 6, 13, 19, 17, 16, 8, 15, 2),
        (28, 29, 30, 26, 27, 3, 18, 1, 19, 20, 10, 13, 9, 16, 23, 17, 21, 5, 7, 15),
        (28, 29, 30, 26, 27, 18, 3, 1, 19, 20, 13, 16, 9, 10, 17, 8, 23, 7, 14, 5),
    ),
    "magnitude": (
        (25, 12, 10, 30, 23, 13, 8, 24, 22, 3, 20, 9, 27, 7, 28, 21, 4, 26, 5, 29),
        (25, 12, 10, 24, 13, 23, 30, 8, 22, 7, 3, 20, 21, 9, 5, 4, 27, 28, 26, 6),
        (25, 10, 13, 12, 23, 22, 24, 7, 8, 30, 3, 20, 5, 21, 4, 27, 9, 28, 26, 2),
    ),
}
"""Ranks, by the mean true accuracy on CIFAR-10, of the 20 of 30 operators that ABS's program dropped, in order; three repeats of
each score. Magnitude is that of the architecture parameters of a gradient search."""


@dataclass(frozen=True)
class PublishedTau:
    """A rank correlation of a score with test accuracies that somebody else measured, by the places in two sorted lists.

    Attributes:
        source: who, or the file.
        score: its name here.
        tau: mean over seeds.
        deviation: over seeds, None where it is not known.
        seeds: how many.
        epoch: after which, None after the last.
        params: millions of parameters of the cells among which it was measured, None among all.
    """

    source: str
    score: str
    tau: float
    deviation: float | None = None
    seeds: int = 1
    epoch: int | None = None
    params: float | None = None

    def is_of(self, params: float) -> bool:
        """Whether it was measured among networks of so many parameters, which the program counts a little differently."""
        return self.params is not None and abs(1e6 * self.params - params) <= NEAR * params


def published_taus(table: str, alone: bool = False) -> list[PublishedTau]:
    """What ABS says of its supernets on true labels, from the paper's program; empty for other tables than its three.

    All 15,625 cells are ranked, against test accuracies after 200 epochs. How its program joins angle and accuracy is not public.

    Args:
        table: its name.
        alone: what it says of 50 cells in place of that, each trained by itself.
    """
    if table not in _TABLES:
        return []
    place = _TABLES.index(table)
    if alone:
        return [PublishedTau("ABS", "angle", _ALONE[place])]
    found = [PublishedTau("ABS", _named(score), *known[place], seeds=10) for score, known in _OVER_SEEDS.items()]
    for score, epochs in _EARLY.items():
        found += [PublishedTau("ABS", _named(score), tau, seeds=5, epoch=epoch) for epoch, tau in epochs[place].items()]
    for score, groups in _WITHIN.items():
        found += [
            PublishedTau("ABS", _named(score), tau, params=size)
            for size, tau in zip(_SIZES, groups[place], strict=True)
        ]
    return found


def read_taus(path: Path | str, of: Of) -> list[PublishedTau]:
    """What a `.tau` file of ABS's program says: a dict of torch.save, {score: {key: tau}}. Nothing in it is executed.

    Args:
        path: of the file.
        of: what its keys are, which the file does not say: "seeds"; "epochs", counted from 0 as the program does;
            "params", in millions.

    Raises:
        FrugalnasError: naming the file that is something else.
    """
    if of not in KINDS:
        raise unknown_name("kind of a .tau file", of, KINDS)
    content = read_torch(Path(path))
    if not isinstance(content, dict) or not content or not all(isinstance(taus, dict) for taus in content.values()):
        raise FrugalnasError(f"{path} is no .tau file of ABS, which has a dict of taus for each score")
    found = []
    for score, taus in content.items():
        known = _numbers(path, score, taus, whole=of != "params")
        first: dict[str, Any] = {"source": Path(path).name, "score": _named(str(score))}
        if of == "seeds":
            values = np.array(list(known.values()))
            deviation = float(values.std(ddof=1)) if len(values) > 1 else None
            found.append(PublishedTau(**first, tau=float(values.mean()), deviation=deviation, seeds=len(values)))
        elif of == "epochs":
            found += [PublishedTau(**first, tau=tau, epoch=int(epoch) + 1) for epoch, tau in known.items()]
        else:
            found += [PublishedTau(**first, tau=tau, params=params) for params, tau in known.items()]
    return found


def _named(score: str) -> str:
    return NAMES.get(score, score)


def _numbers(path: Path | str, score: Any, taus: Mapping[Any, Any], whole: bool) -> dict[float, float]:
    """The taus of one score by their keys, sorted."""
    found = {}
    for key, value in taus.items():
        place, tau = _number(key), _number(value)
        if not -1 <= tau <= 1 or not 0 <= place <= 1e9 or (whole and place != int(place)):
            kind = "whole number" if whole else "number"
            said = f"{quoted(repr(key), 40)} with {quoted(repr(value), 40)}"
            raise FrugalnasError(f"{path}: {score} has {said}, in place of a {kind} with a tau between -1 and 1")
        found[place] = tau
    if not found:
        raise FrugalnasError(f"{path}: {score} has no taus")
    return dict(sorted(found.items()))


def _number(value: Any) -> float:
    """Of what a pickle has in the place of one, as text too; NaN where it is something else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, np.integer, np.floating)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
