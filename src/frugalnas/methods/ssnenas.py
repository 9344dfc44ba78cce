"""Self-supervised Representation Learning for Evolutionary Neural Architecture Search (Wei et al., 2020, arXiv 2011.00186).

Pre-train a graph network on architectures alone: to tell how far two of them are apart (SS-RL), or to keep an
architecture's relatives together and everything else away (SS-CCL). Put one linear map on it, train both on the
evaluations, rank the children of the best, evaluate the best ten, repeat.
"""

from __future__ import annotations

from dataclasses import replace

from frugalnas.methods.npenas import papers_mutation
from frugalnas.predictors import GIN, gin_fine_tuned_paper
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import NPENAS

__all__ = ["npenas_ssccl", "npenas_ssccl_fixed", "npenas_ssrl", "npenas_ssrl_fixed", "ssnenas"]

ON_NASBENCH101 = {"ss-rl": 150, "ss-ccl": 200}
FIXED = {"nasbench101": 90}
"""Epochs of each round, 150 elsewhere; and how many evaluations a fixed predictor is trained on, 50 elsewhere."""


def npenas_ssrl(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, pretrained: str = "ss-rl"
) -> NPENAS:
    """NPENAS-SSRL with the settings of its paper: fine-tuned in every round from an encoder that knows edit distances."""
    return _fine_tuned(space, "ss-rl", pretrained, None, seed, initial, round_size)


def npenas_ssccl(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, pretrained: str = "ss-ccl"
) -> NPENAS:
    """NPENAS-SSCCL with the settings of its paper: fine-tuned in every round from an encoder that knows relatives."""
    return _fine_tuned(space, "ss-ccl", pretrained, None, seed, initial, round_size)


def npenas_ssrl_fixed(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-rl",
    fixed: int | None = None,
) -> NPENAS:
    """NPENAS-SSRL whose predictor is not trained again after `fixed` evaluations; None: 50, 90 on NAS-Bench-101."""
    return _fine_tuned(space, "ss-rl", pretrained, fixed or FIXED.get(space.name, 50), seed, initial, round_size)


def npenas_ssccl_fixed(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    pretrained: str = "ss-ccl",
    fixed: int | None = None,
) -> NPENAS:
    """NPENAS-SSCCL whose predictor is not trained again after `fixed` evaluations; None: 50, 90 on NAS-Bench-101."""
    return _fine_tuned(space, "ss-ccl", pretrained, fixed or FIXED.get(space.name, 50), seed, initial, round_size)


def ssnenas(
    space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10, pretrained: str = "ss-ccl"
) -> NPENAS:
    """NPENAS with this package's defaults, its predictor pre-trained on the space without accuracies.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        pretrained: pretext task, whose encoder is made and kept the first time, or the folder of a run of frugalnas pretrain.
    """
    return NPENAS(space, seed=seed, initial=initial, round_size=round_size, predictor=GIN(pretrained=pretrained))


def _fine_tuned(
    space: SearchSpace, task: str, pretrained: str, fixed: int | None, seed: int, initial: int, round_size: int
) -> NPENAS:
    epochs = ON_NASBENCH101[task] if space.name == "nasbench101" else 150
    return NPENAS(
        space,
        seed=seed,
        initial=initial,
        round_size=round_size,
        predictor=replace(gin_fine_tuned_paper(pretrained=pretrained, epochs=epochs), batch=10),
        mutation=papers_mutation(space),
        labels="raw",
        refit_growth=1.0,
        fixed=fixed,
    )
