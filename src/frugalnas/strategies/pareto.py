"""What is best when several things count: dominance, hypervolume, and a batch that widens a front.

One point dominates another that it equals or exceeds in every objective and exceeds in one. All objectives are
maximised here; costs come negated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import BoolArray, FloatArray, IntArray


def front_batch(
    scores: FloatArray, networks: NDArray[np.uint64], eligible: BoolArray, n: int, rng: np.random.Generator
) -> IntArray:
    """The rows of up to `n` architectures to evaluate together, all of different networks.

    Front by front, as far as needed; of the last front those with the most room around them (NSGA-II, Deb et al., 2002).

    Args:
        scores: how promising each architecture is in each objective, shape [m, k].
        networks: the network of each architecture, shape [m].
        eligible: which may be chosen, shape [m].
        n: how many.
        rng: for ties.
    """
    shuffled = rng.permutation(np.flatnonzero(eligible))
    rows = shuffled[np.unique(networks[shuffled], return_index=True)[1]]
    ranks = pareto_ranks(scores[rows], enough=n)
    chosen: list[int] = []
    for rank in range(1, int(ranks.max(initial=0)) + 1):
        front = rows[ranks == rank]
        roomiest = np.argsort(-crowding(scores[front]), kind="stable")
        chosen.extend(front[roomiest[: n - len(chosen)]].tolist())
    return np.array(chosen, np.intp)


def non_dominated(points: FloatArray) -> BoolArray:
    """Which points no other dominates, shape [n]; equals stand together, and a point with a NaN is never among them.

    Args:
        points: shape [n, k].
    """
    points = _checked(points)
    front = np.zeros(len(points), np.bool_)
    rows = np.flatnonzero(~np.isnan(points).any(axis=1))
    if points.shape[1] == 2:
        # Best first objective first: a point is dominated if one before it reaches its second.
        order = rows[np.lexsort((-points[rows, 1], -points[rows, 0]))]
        first, second = points[order].T
        if order.size:
            before = np.concatenate([[-np.inf], np.maximum.accumulate(second)[:-1]])
            starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
            group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
            # Within equal first objectives only the best second survives, and it has to beat all groups before.
            reached = before[starts][group]
            front[order] = (second == second[starts][group]) & ((second > reached) | (group == 0))
        return front
    # A point that dominates another has the larger rank sum, so that each survivor at the head of the line is final.
    places = np.column_stack([np.unique(column, return_inverse=True)[1] for column in points[rows].T])
    order = np.argsort(-places.sum(axis=1), kind="stable")
    left, places = rows[order], places[order]
    while left.size:
        head = places[0]
        equal = (places == head).all(axis=1)
        front[left[equal]] = True
        undominated = (places > head).any(axis=1)
        left, places = left[undominated], places[undominated]
    return front


def pareto_ranks(points: FloatArray, enough: int | None = None) -> IntArray:
    """The front each point belongs to, shape [n]: 1 for the non-dominated, 2 for those without the first front, ...

    Args:
        points: shape [n, k].
        enough: peel only until this many points have a rank; the others have 0, as have points with a NaN.
    """
    points = _checked(points)
    ranks = np.zeros(len(points), np.intp)
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    wanted = left.size if enough is None else min(enough, left.size)
    ranked = rank = 0
    while ranked < wanted:
        rank += 1
        front = non_dominated(points[left])
        ranks[left[front]] = rank
        ranked += int(front.sum())
        left = left[~front]
    return ranks


def crowding(points: FloatArray) -> FloatArray:
    """How much room each point of a front has, shape [n]; infinite at the ends (NSGA-II, Deb et al., 2002).

    The sum over objectives of the distance between a point's two neighbours, as a share of the whole range.

    Args:
        points: one front, shape [n, k].
    """
    points = _checked(points)
    room = np.zeros(len(points))
    for column in points.T if len(points) else ():
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        room[order[[0, -1]]] = np.inf
        if spread > 0:
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return room


def hypervolume(points: FloatArray, reference: FloatArray) -> float:
    """The volume between a reference point and everything that the points dominate.

    Exact. Two objectives take one sort. More are sliced along the last one, and each slice is a hypervolume of one
    objective less (HSO, While et al., 2006): the effort grows with the power k - 1 of the size of the front.

    Args:
        points: shape [n, k]; those that do not exceed the reference in every objective, or have a NaN, add nothing.
        reference: shape [k].

    Example:
        >>> hypervolume(np.array([[3.0, 1.0], [1.0, 2.0]]), np.zeros(2))
        4.0
    """
    points, reference = _checked(points), np.asarray(reference, np.float64)
    if reference.shape != points.shape[1:]:
        raise FrugalnasError(f"a reference for {points.shape[1]} objectives, not one of shape {list(reference.shape)}")
    above = points[(points > reference).all(axis=1)] - reference
    return _volume(above[non_dominated(above)])


def _volume(front: FloatArray) -> float:
    """The hypervolume of a front above the origin."""
    if not len(front):
        return 0.0
    if front.shape[1] == 1:
        return float(front.max())
    if front.shape[1] == 2:
        first, second = front[np.lexsort((-front[:, 1], -front[:, 0]))].T
        return float((first * np.diff(np.maximum.accumulate(second), prepend=0.0)).sum())
    front = front[np.argsort(-front[:, -1], kind="stable")]
    depths = front[:, -1] - np.append(front[1:, -1], 0.0)
    total = 0.0
    for last, depth in enumerate(depths.tolist()):
        if depth > 0:
            slices = front[: last + 1, :-1]
            total += depth * _volume(slices[non_dominated(slices)])
    return total


def _checked(points: FloatArray) -> FloatArray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not points.shape[1]:
        raise FrugalnasError(f"points have shape [n, objectives], not {list(points.shape)}")
    return points
