"""What failed evaluations teach: where architectures fail, so that a search stops asking for their like.

A predictor that learnt from successes alone would go on to find a region promising in which nothing ever succeeds (out of memory,
too slow, does not build). Two things keep it from that, together, as either alone spends more there (`benchmarks/README.md`): it
is told that a failure was worth the worst value so far, and a second model says how likely an architecture is to succeed.
Where nothing has failed neither changes anything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.predictors import GaussianProcess
from frugalnas.predictors.base import SMALLEST_DEVIATION
from frugalnas.spaces import BoolArray, Codes, Population

LOGARITHMS = ("ei", "pi")
"""Acquisitions whose scores are logarithms."""


def with_worst(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, and for those that are not there the worst that is, shape [n]; at least one is finite."""
    finite = np.isfinite(values)
    return np.where(finite, values, values[finite].min())


def weighed(
    scores: NDArray[np.float64], chance: NDArray[np.float64] | None, worst: float, acquisition: str = "mean"
) -> NDArray[np.float64]:
    """What the scores of an acquisition are worth where only a success has its score, and a failure the worst, shape [n].

    Args:
        scores: shape [n].
        chance: logarithm of each one's probability to succeed, shape [n]; None: all do.
        worst: what a failure is worth.
        acquisition: whose scores they are.
    """
    if chance is None:
        return scores
    return scores + chance if acquisition in LOGARITHMS else worst + np.exp(chance) * (scores - worst)


def chance_of_success(codes: Codes, values: NDArray[np.float64], candidates: Population) -> NDArray[np.float64] | None:
    """Logarithm of each candidate's chance, by what is known of others, shape [n]; None where nothing has failed.

    A Gaussian process on the genes themselves and on parameters, where the space counts them: what makes an architecture fail
    need not be what makes it good.

    Args:
        codes: evaluated architectures, shape [m, genes].
        values: NaN where the evaluation failed, shape [m].
        candidates: whose chance it is.
    """
    succeeded: BoolArray = np.isfinite(values)
    if succeeded.all():
        return None
    space = candidates.space
    sizes = tuple(name for name in ("params",) if name in space.quantities)
    model = GaussianProcess(encoding="onehot", features=sizes)
    model.fit(Population(space, codes, candidates.known), np.where(succeeded, 1.0, -1.0))
    prediction = model.predict(candidates)
    from scipy.special import log_ndtr  # takes long to import

    return log_ndtr(prediction.mean / np.maximum(prediction.std, SMALLEST_DEVIATION))
