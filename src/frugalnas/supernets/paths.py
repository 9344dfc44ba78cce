"""Which path a training step takes: a function of the seed and the step's number alone.

So all processes of a training agree on it without a word, and a training that is resumed takes the paths it would have taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces import DARTS, Codes, IntArray, LayerSpace, NASBench201, OnceForAll, SearchSpace
from frugalnas.spaces.constraint import Constraint

MAX_ROUNDS = 1_000
"""Rounds of rejection after which there seems to be nothing to draw."""


class PathSampler(ABC):
    """Draws the paths of each step.

    Child classes are required to override `draw`, and refuse in their constructor the spaces that they do not fit.

    Args:
        space: restrictions and limits hold for every path.
        draws: cells that may each have a code of their own (`Supernet.draws`).
        seed: of all steps.
    """

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        self.space = space
        self.draws = draws
        self.seed = seed

    def __call__(self, step: int) -> IntArray:
        """The paths of a step, counted from 0 over all epochs, shape [paths, draws or 1, genes]."""
        return self.draw(np.random.default_rng((self.seed, step))).astype(np.int64)

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> IntArray | Codes:
        """Paths of one step, shape [paths, draws or 1, genes]."""

    def valid(self, name: str, propose: Callable[[], Codes]) -> Codes:
        """The first code that is valid, shape [1, 1, genes], of those that `propose` makes, shape [genes]."""
        for _ in range(MAX_ROUNDS):
            code = propose()
            if self.space.valid(code[None])[0]:
                return code[None, None]
        raise _misfit(name, self.space, "hardly any of its codes keeps the space's limits", "uniform")


class Uniform(PathSampler):
    """One architecture, each as likely as any other (Guo et al., ECCV 2020)."""

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, 1, genes]."""
        return self.space.sample(1, rng)[None]


class PerCell(PathSampler):
    """One code for every cell, each as likely as any other.

    NAS-Bench-201's cells are drawn again until every node has an input that is not `none`, as in RLNAS and ABS; a node to which
    the space allows nothing else, as shrinking may leave it, is let be.
    """

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        if draws == 1:
            raise _misfit("cell", space, "the supernet has one chain, with one code", "uniform")
        super().__init__(space, draws, seed)

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, draws, genes]."""
        kept = np.zeros((0, self.space.genes), self.space.code_type)
        for _ in range(MAX_ROUNDS):
            drawn = self.space.sample(2 * self.draws, rng)
            if isinstance(self.space, NASBench201):
                for first, last in ((0, 1), (1, 3), (3, 6)):  # the edges into each node
                    if self.space.allowed[first:last, 1:].any():
                        drawn = drawn[(drawn[:, first:last] != 0).any(axis=1)]
            kept = np.concatenate([kept, drawn])
            if len(kept) >= self.draws:
                return kept[None, : self.draws]
        raise _misfit("cell", self.space, "hardly any code has an input that is not none at every node", "uniform")


class DepthUniform(PathSampler):
    """One architecture of a uniformly drawn depth.

    Of layer-wise spaces with an identity as ABS draws them: every layer's other choices are equally likely, the number of
    layers left out is, and so are the layers. Of Once-for-All as its own program does: every depth of a stage is as likely.
    """

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        if isinstance(space, OnceForAll):
            space = space.with_options(sampler="depth-uniform")
        elif not isinstance(space, LayerSpace) or space.identity is None:
            raise _misfit("depth-uniform", space, "its networks all have the same depth", "uniform")
        super().__init__(space, draws, seed)

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, 1, genes]."""
        if isinstance(self.space, OnceForAll):
            return self.space.sample(1, rng)[None]
        return self.valid("depth-uniform", lambda: self._chain(rng))

    def _chain(self, rng: np.random.Generator) -> Codes:
        built, left_out = self.space.allowed[:, :-1], self.space.allowed[:, -1]
        # The largest of random numbers is equally often at each of the allowed values.
        code = np.where(built, rng.random(built.shape), -1.0).argmax(axis=1).astype(self.space.code_type)
        identity = built.shape[1]
        code[~built.any(axis=1)] = identity
        free = np.flatnonzero(left_out & built.any(axis=1))
        code[rng.choice(free, size=rng.integers(len(free) + 1), replace=False)] = identity
        return code


class CostUniform(PathSampler):
    """One architecture from one of seven bins of multiply-adds, each as likely as any other.

    The program of Single Path One-Shot draws so, from bins of 10 M between 290 and 360 M: a uniform path costs about the mean
    of the space, and networks near its ends would hardly be trained. Bins are equally wide between what the space's limits on
    macs say, or else between its cheapest and its dearest architecture; one in which nothing is found passes its turn to another.
    """

    bins = 7

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        if "macs" not in space.quantities:
            raise _misfit("cost-uniform", space, "its multiply-adds are not counted", "uniform")
        super().__init__(space, draws, seed)
        low, high = _range_of(space, "macs")
        self.edges = np.linspace(low, high, self.bins + 1)
        bins = (_bin(space, lower, upper) for lower, upper in pairwise(self.edges))
        self.within = [each for each in bins if each is not None]
        if not self.within:
            raise _misfit("cost-uniform", space, "nothing was found in any of its bins", "uniform")

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, 1, genes]."""
        return self.within[rng.integers(len(self.within))].sample(1, rng)[None]


def _range_of(space: SearchSpace, quantity: str) -> tuple[float, float]:
    """What limits allow of a quantity, or else the least and the most that an architecture has."""
    low, high = space.extremes(quantity)
    for rule in Constraint.parse(str(space.limits["where"])) if "where" in space.limits else ():
        if rule.quantity == quantity:
            low = max(low, rule.bound) if rule.relation.startswith(">") else low
            high = min(high, rule.bound) if rule.relation.startswith("<") else high
    return low, high


def _bin(space: SearchSpace, lower: float, upper: float) -> SearchSpace | None:
    """The architectures with so many multiply-adds; None where none can be drawn."""
    try:
        within = space.where(f"macs>={lower:.0f},macs<={upper:.0f}")
        within.sample(1, np.random.default_rng(0))
    except FrugalnasError:
        return None
    return within


class Projected(PathSampler):
    """One DARTS architecture whose nodes each read two different states (RLNAS's and ABS's projection).

    Drawing an operation for each of the 14 edges, `none` among them, and then dropping or adding some until each node has two
    is, for the whole space, drawing from all such architectures; so it is done at once.
    """

    name = "projected"

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        if not isinstance(space, DARTS):
            raise _misfit(
                self.name, space, "only DARTS cells have nodes with two predecessors", "uniform, or the space darts"
            )
        super().__init__(space.with_options(duplicates=False, none=False), draws, seed)

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, 1, 16]."""
        return self.space.sample(1, rng)[None]


class ProjectedShared(Projected):
    """The same with one cell for both kinds, as ABS shrinks it."""

    name = "projected-shared"

    def draw(self, rng: np.random.Generator) -> Codes:
        """Shape [1, 1, 16], normal and reduction cell alike."""
        half = self.space.genes // 2
        return self.valid(self.name, lambda: np.tile(self.space.sample(1, rng)[0, :half], 2))


class Fair(PathSampler):
    """Paths that together use every value of every gene exactly once: strict fairness (Chu et al., ICCV 2021).

    Gradients of all paths are added before the weights move.
    """

    def __init__(self, space: SearchSpace, draws: int, seed: int) -> None:
        values = space.allowed.sum(axis=1).tolist()
        widths = sorted(set(values))
        if len(widths) > 1:
            usual = max(widths, key=values.count)
            odd = [f"{space.gene_name(gene)} has {n}" for gene, n in enumerate(values) if n != usual]
            why = (
                f"its genes have from {widths[0]} to {widths[-1]} values, and strict fairness needs equally many: most have "
                f"{usual}, {', '.join(odd)}"
            )
            raise _misfit("fair", space, why, "uniform, or leave as many everywhere, as shrinking by abs-fairnas does")
        if "where" in space.limits:
            raise _misfit("fair", space, "paths that use every value cannot keep its limits", "uniform")
        super().__init__(space, draws, seed)
        self.values = np.array([np.flatnonzero(allowed) for allowed in space.allowed])
        paths = self.draw(np.random.default_rng(0))[:, 0].astype(space.code_type)
        if getattr(space, "joint", ()) or not space.valid(paths).all():
            raise _misfit("fair", space, "its genes bind one another", "uniform")

    def draw(self, rng: np.random.Generator) -> IntArray:
        """Shape [values of a gene, 1, genes]."""
        return rng.permuted(self.values, axis=1).T[:, None]


PATHS: dict[str, type[PathSampler]] = {
    "uniform": Uniform,
    "cell": PerCell,
    "depth-uniform": DepthUniform,
    "cost-uniform": CostUniform,
    "projected": Projected,
    "projected-shared": ProjectedShared,
    "fair": Fair,
}
"""Samplers by name."""


def path_sampler(name: str, space: SearchSpace, draws: int, seed: int) -> PathSampler:
    """The sampler of a name.

    Args:
        name: one of `PATHS`.
        space: to draw from; it may be a part of the supernet's.
        draws: the supernet's.
        seed: not negative.

    Raises:
        FrugalnasError: for an unknown name, or a space that this sampler does not fit, naming one that does.
    """
    if name not in PATHS:
        raise unknown_name("path sampler", name, PATHS)
    return PATHS[name](space, draws, seed)


def _misfit(name: str, space: SearchSpace, why: str, instead: str) -> FrugalnasError:
    return FrugalnasError(f"paths {name!r} do not fit {space.name}: {why}; take {instead}")
