"""NPENAS-GT: what NPENAS would find if its predictor were perfect, a study (Wei et al., 2020, arXiv 2003.12857)."""

from __future__ import annotations

from typing import Literal

from frugalnas.errors import FrugalnasError
from frugalnas.methods.npenas import papers_mutation
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import NPENAS
from frugalnas.strategies.oracle import Oracle

__all__ = ["npenas_oracle"]


def npenas_oracle(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    truth: str | None = None,
    objective: Literal["accuracy", "oracle-test"] = "accuracy",
    candidates: int = 100,
    parents: int = 50,
    tournament: int | None = None,
    children: int | None = None,
) -> NPENAS:
    """NPENAS-GT, a study: candidates are ranked by a table's own values, which no search could know.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        truth: table that candidates are ranked by; on a command line the one that answers.
        objective: its validation accuracies, or its test accuracies (oracle-test).
        candidates: children that are ranked in each round.
        parents: architectures that have children.
        tournament: each parent is the best of so many drawn from all that were evaluated; None: the best, in order.
        children: new children of a parent that are kept at most; None: all.
    """
    if truth is None:
        raise FrugalnasError("npenas-oracle ranks by a table's own values; name the table: truth='nasbench201/cifar10'")
    return NPENAS(
        space,
        seed=seed,
        initial=initial,
        round_size=round_size,
        predictor=Oracle(table=truth, objective=objective),
        acquisition="mean",
        candidates=candidates,
        parents=parents,
        tournament=tournament,
        children=children,
        mutation=papers_mutation(space),
        labels="raw",
        refit_growth=1.0,
    )
