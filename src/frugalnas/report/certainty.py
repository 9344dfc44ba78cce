"""How sure a supernet's ranking is: by how much the winner leads, and whether it led before the last epoch too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from frugalnas.methods.spaces import alive
from frugalnas.scores.correlation import kendall_tau, spearman
from frugalnas.spaces import Codes, FloatArray, SearchSpace

SAMPLED = 10_000
"""Architectures that stand for a space which cannot be listed."""
LEADERS = 12
"""Architectures that are followed through the epochs."""


@dataclass(frozen=True)
class Leader:
    """One of the best architectures.

    Attributes:
        code: shape [genes].
        score: after the last epoch.
        ranks: among all that are compared, after each epoch; 1 is the best.
        behind: by how much its score is smaller than the winner's.
        fluctuation: standard deviation of that over the second half of the epochs; NaN where there are fewer than three.
    """

    code: Codes
    score: float
    ranks: tuple[int, ...]
    behind: float
    fluctuation: float


@dataclass(frozen=True)
class Certainty:
    """How sure a ranking is.

    Attributes:
        codes: distinct networks that are compared, shape [n, genes].
        scores: of each after the last epoch, shape [n].
        whole: whether these are all networks of the space, not a sample.
        epochs: after which the supernet's ranking is known.
        leaders: the best networks, the winner first.
        taus: Kendall's tau between the ranking after each epoch and the last one.
        size: Spearman's correlation of score and cost, by the cost's name: how much of the ranking is size alone.
    """

    codes: Codes
    scores: FloatArray
    whole: bool
    epochs: tuple[int, ...]
    leaders: tuple[Leader, ...]
    taus: tuple[float, ...]
    size: dict[str, float]

    @property
    def lead(self) -> float:
        """By how much the winner leads the next network, NaN where there is none."""
        return self.leaders[1].behind if len(self.leaders) > 1 else float("nan")

    @property
    def lead_in_fluctuations(self) -> float:
        """The lead, in standard deviations of what it was over the second half of the epochs; NaN where that is unknown."""
        if len(self.leaders) < 2 or not self.leaders[1].fluctuation > 0:
            return float("nan")
        return self.lead / self.leaders[1].fluctuation

    @property
    def led(self) -> int:
        """For how many of the last epochs, without a break, the winner had been the first."""
        ranks = self.leaders[0].ranks[::-1]
        return next((number for number, rank in enumerate(ranks) if rank > 1), len(ranks))


def certainty(
    space: SearchSpace,
    best: Codes,
    scores: Sequence[Callable[[Codes], FloatArray]],
    epochs: Sequence[int],
    seed: int = 0,
) -> Certainty:
    """How sure a ranking is.

    Args:
        space: in which the winner was searched, with its limits.
        best: architectures that were found, the winner first, shape [n, genes].
        scores: of a supernet after each epoch.
        epochs: those epochs, in order.
        seed: of the sample, where the space cannot be listed.
    """
    codes = space.enumerate() if space.enumerable else space.sample(SAMPLED, np.random.default_rng(seed))
    codes = np.concatenate([best, alive(space, codes)])
    codes = codes[np.sort(np.unique(space.network_ids(codes), return_index=True)[1])]
    history = np.array([np.asarray(score(codes), np.float64) for score in scores])
    last = history[-1]
    larger = np.array([len(values) - np.searchsorted(np.sort(values), values, side="right") for values in history])
    leaders = [0, *(row for row in np.argsort(-last, kind="stable").tolist() if row != 0)][:LEADERS]
    behind = history[:, [0]] - history
    return Certainty(
        codes=codes,
        scores=last,
        whole=space.enumerable,
        epochs=tuple(epochs),
        leaders=tuple(
            Leader(
                codes[row],
                float(last[row]),
                tuple((1 + larger[:, row]).tolist()),
                float(behind[-1, row]),
                float(behind[-(len(history) // 2 + 1) :, row].std(ddof=1)) if len(history) >= 3 else float("nan"),
            )
            for row in leaders
        ),
        taus=tuple(kendall_tau(values, last) for values in history),
        size={
            name: spearman(last, costs) if np.ptp(costs := space.count(name, codes)) > 0 else float("nan")
            for name in ("params", "macs")
        },
    )
