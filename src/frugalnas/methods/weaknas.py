"""Stronger NAS with Weaker Predictors (Wu et al., NeurIPS 2021, arXiv 2102.10490).

Sample a few architectures; fit a weak predictor; draw the next ones uniformly from its top; refit on all samples; repeat.
"""

from __future__ import annotations

from frugalnas.predictors import GIN, mlp_paper
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import WeakNAS

__all__ = ["weaknas_paper", "weaknas_ssccl"]


def weaknas_paper(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, top: int = 100
) -> WeakNAS:
    """WeakNAS with the settings of its README: an MLP of 4x1000 on its one-hot codes, uniform from the top 100.

    `initial` is that of NAS-Bench-201; for NAS-Bench-101 its README says 100.

    Two things differ from the released program, on purpose: labels are standardised by those queried so far, not
    by the whole table's mean and deviation, which no search could know; and no network is queried twice under
    another spelling.
    """
    return WeakNAS(
        space,
        seed=seed,
        initial=initial,
        round_size=round_size,
        predictor=mlp_paper(encoding="sequence-onehot" if "sequence-onehot" in space.encodings else "onehot"),
        acquisition="uniform",
        top_start=top,
        keep_old="all",
        labels="standard",
    )


def weaknas_ssccl(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, pretrained: str = "ss-ccl"
) -> WeakNAS:
    """WeakNAS whose weak predictor is a graph network, pre-trained on the space without accuracies.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two fits.
        pretrained: pretext task, whose encoder is made and kept the first time, or the folder of a run of frugalnas pretrain.
    """
    predictor = GIN(pretrained=pretrained)
    return WeakNAS(
        space,
        seed=seed,
        initial=initial,
        round_size=round_size,
        predictor=predictor,
        acquisition="mean",
        refit_growth=1.1,
    )
