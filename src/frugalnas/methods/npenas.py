"""NPENAS: Neural Predictor Guided Evolution for Neural Architecture Search (Wei et al., 2020, arXiv 2003.12857).

Mutate the best architectures; let a graph network, trained anew on all evaluations, rank the children; evaluate the best
ten; repeat. NPENAS-NP ranks by a predicted error, NPENAS-BO by one Thompson sample of a predicted distribution.

Where paper and program differ, the paper is followed: candidates are never looked up, the learning rate ends with the
training, a network is never evaluated under two spellings, and cells are mutated until a child is valid.
"""

from __future__ import annotations

from typing import Any

from frugalnas.predictors import gin_bo_paper, gin_paper
from frugalnas.predictors.gin import GIN, Activation
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.npenas_mutations import PAPER_MUTATIONS
from frugalnas.strategies import NPENAS
from frugalnas.strategies.npenas import Mutation

__all__ = ["npenas_bo", "npenas_fixed", "npenas_paper", "papers_mutation", "papers_search"]

LARGEST_ERROR = {"nasbench101": 10.0, "nasbench201": 100.0, "darts": 15.0}
"""What the program multiplies a sigmoid by, in percent."""


def npenas_paper(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    rate: float | None = None,
    activation: Activation = "relu",
    fixed: int | None = None,
) -> NPENAS:
    """NPENAS-NP with the settings of its paper: a GIN trained for 300 epochs in every round, a hundred candidates.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        rate: the largest error that can be predicted, in percent; None: 10 on nasbench101, 15 on darts, otherwise 100.
        activation: of the predictor: relu, or celu as in NPENAS-BO.
        fixed: evaluations after which the predictor is not trained again; None: it always is.
    """
    predictor = gin_paper(rate=LARGEST_ERROR.get(space.name, 100.0) if rate is None else rate, activation=activation)
    return papers_search(space, predictor, seed=seed, initial=initial, round_size=round_size, fixed=fixed)


def npenas_fixed(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    fixed: int = 50,
    paper: bool = False,
) -> NPENAS:
    """NPENAS whose predictor is not trained again after fifty evaluations.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        fixed: evaluations after which the predictor is not trained again.
        paper: train it as the paper does (`npenas-paper`), not as `npenas` does.
    """
    searched = npenas_paper if paper else NPENAS
    return searched(space, seed=seed, initial=initial, round_size=round_size, fixed=fixed)


def npenas_bo(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, activation: Activation = "celu"
) -> NPENAS:
    """NPENAS-BO with the settings of its paper: a GIN that predicts mean and deviation, ranked by Thompson samples.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        activation: of the predictor: celu, or relu as in NPENAS-NP.
    """
    predictor = gin_bo_paper(activation=activation)
    return papers_search(space, predictor, seed=seed, initial=initial, round_size=round_size, acquisition="ts")


def papers_search(space: SearchSpace, predictor: GIN, **how: Any) -> NPENAS:
    """The search around a predictor of the papers: their mutation, labels as they come, a fit in every round."""
    mutation = papers_mutation(space)
    return NPENAS(space, predictor=predictor, mutation=mutation, labels="raw", refit_growth=1.0, **how)


def papers_mutation(space: SearchSpace) -> Mutation:
    """The paper's operator on the spaces that it searched, single edits elsewhere."""
    return "paper" if space.name in PAPER_MUTATIONS else "edits"
