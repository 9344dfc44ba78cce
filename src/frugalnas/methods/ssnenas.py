"""Self-supervised Representation Learning for Evolutionary Neural Architecture Search (Wei et al., 2020, arXiv 2011.00186).

Pre-train a graph network on architectures alone: to tell how far two of them are apart (SS-RL), or to keep an
architecture's relatives together and everything else away (SS-CCL). Train it on from there on the evaluations, rank the
children of the best, evaluate the best ten, repeat.

Args:
    space: where to search.
    seed: of every random choice.
    initial: size of the initial random sample.
    round_size: architectures evaluated between two rankings.
    pretrained: ss-ccl or ss-rl, whose encoder is made and kept the first time, or the folder of a run of frugalnas pretrain.
    paper: fine-tune as the paper does (150 epochs, 200 for SS-CCL on NAS-Bench-101), not as `npenas` is trained.
    fixed: evaluations after which the predictor is not trained again; None: 50, 90 on NAS-Bench-101, as in the paper.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods.npenas import papers_search
from frugalnas.predictors import GIN, gin_fine_tuned_paper
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import NPENAS

__all__ = ["npenas_ssccl", "npenas_ssccl_fixed", "npenas_ssrl", "npenas_ssrl_fixed"]


def npenas_ssccl(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-ccl",
    paper: bool = False,
) -> NPENAS:
    """NPENAS whose predictor was pre-trained, without accuracies, to keep relatives together (SS-CCL)."""
    epochs = _epochs_of_ssccl(space)
    return _searched(space, pretrained, paper, epochs, seed=seed, initial=initial, round_size=round_size)


def npenas_ssrl(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-rl",
    paper: bool = False,
) -> NPENAS:
    """NPENAS whose predictor was pre-trained, without accuracies, to tell edit distances (SS-RL)."""
    return _searched(space, pretrained, paper, 150, seed=seed, initial=initial, round_size=round_size)


def npenas_ssccl_fixed(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-ccl",
    paper: bool = False,
    fixed: int | None = None,
) -> NPENAS:
    """NPENAS-SSCCL whose predictor is trained no more after `fixed` evaluations."""
    how = {"seed": seed, "initial": initial, "round_size": round_size, "fixed": _fixed(fixed, space)}
    return _searched(space, pretrained, paper, _epochs_of_ssccl(space), **how)


def npenas_ssrl_fixed(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-rl",
    paper: bool = False,
    fixed: int | None = None,
) -> NPENAS:
    """NPENAS-SSRL whose predictor is trained no more after `fixed` evaluations."""
    how = {"seed": seed, "initial": initial, "round_size": round_size, "fixed": _fixed(fixed, space)}
    return _searched(space, pretrained, paper, 150, **how)


def _searched(space: SearchSpace, pretrained: str, paper: bool, epochs: int, **how: Any) -> NPENAS:
    if not paper:
        return NPENAS(space, predictor=GIN(pretrained=pretrained), **how)
    return papers_search(space, gin_fine_tuned_paper(pretrained=pretrained, epochs=epochs), **how)


def _epochs_of_ssccl(space: SearchSpace) -> int:
    return 200 if space.name == "nasbench101" else 150


def _fixed(fixed: int | None, space: SearchSpace) -> int:
    return (90 if space.name == "nasbench101" else 50) if fixed is None else fixed
