"""BANANAS: Bayesian Optimization with Neural Architectures (White et al., AAAI 2021, arXiv 1910.11858), as NPENAS runs it.

Train five narrow networks on encodings of the paths through each cell; mutate the best architectures; evaluate the children
for which an independent draw from the ensemble's distribution is highest; repeat.
"""

from __future__ import annotations

from frugalnas.methods.npenas import papers_mutation
from frugalnas.predictors import BANANAS
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import NPENAS

__all__ = ["bananas", "bananas_adjacency", "bananas_position"]


def bananas(
    space: SearchSpace,
    *,
    seed: int = 0,
    initial: int = 10,
    round_size: int = 10,
    encoding: str = "path",
    width: int = 20,
) -> NPENAS:
    """BANANAS with the settings of the comparison in NPENAS: five networks on path encodings, independent draws.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the initial random sample.
        round_size: architectures evaluated between two rankings.
        encoding: what the networks read; the space's own recommendation where it has no such encoding.
        width: units of each of ten layers. NPENAS's program has 200 for path encodings of NAS-Bench-201, ten times as
            costly, and 20 otherwise.
    """
    elsewhere = space.name != "nasbench101"
    predictor = BANANAS(
        encoding=encoding if encoding in space.encodings else None,
        layers=10,
        width=width,
        epochs=200 if elsewhere else 150,
        lr=0.001 if elsewhere else 0.01,
        batch=32,
        members=5,
    )
    return NPENAS(
        space,
        seed=seed,
        initial=initial,
        round_size=round_size,
        predictor=predictor,
        acquisition="its",
        mutation=papers_mutation(space),
        labels="standard",
        refit_growth=1.0,
    )


def bananas_adjacency(space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10) -> NPENAS:
    """BANANAS on adjacency encodings, which its paper compares with."""
    return bananas(space, seed=seed, initial=initial, round_size=round_size, encoding="adjacency")


def bananas_position(space: SearchSpace, *, seed: int = 0, initial: int = 10, round_size: int = 10) -> NPENAS:
    """BANANAS on the position-aware path encodings of SSNENAS."""
    return bananas(space, seed=seed, initial=initial, round_size=round_size, encoding="position-path")
