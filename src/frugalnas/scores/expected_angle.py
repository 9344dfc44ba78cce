"""The expected angle of architectures of which the moments of three sums are known, to second order."""

from __future__ import annotations

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.scores.angle import AngleTable, cosine_of
from frugalnas.scores.moments import Floats, Moments
from frugalnas.spaces import Codes


def expected_angles(table: AngleTable, moments: Moments) -> Floats:
    """The expected angle of the architectures with each value of each gene, in radians, shape [genes, values], NaN for none.

    E[f(x)] is f(mu) + tr(H S) / 2 for the mean mu and the covariance S of x, up to third moments; H is the Hessian of the angle
    at mu.

    Raises:
        FrugalnasError: where the weights have not turned, so that the angle has no derivatives.
    """
    there = moments.share > 0
    angle, _, hessian = _expansion(table, moments.mean[there])
    scores = np.full(there.shape, np.nan)
    scores[there] = angle + 0.5 * np.einsum("nij,nij->n", hessian, moments.covariance[there])
    return scores


def left_out(table: AngleTable, moments: Moments, codes: Codes) -> float:
    """What second order leaves out of the expected angles, in radians: its root mean square over the choices of a sample.

    Each code's angle is compared with what the expansion about the mean of each of its choices makes of it. That differs much
    less than angles do, so few codes tell more than a mean of their angles would; the noise of the sample is in the number.

    Args:
        table: of the angles.
        moments: of the space.
        codes: drawn uniformly from it, shape [n, genes].
    """
    sums, angles = table.sums(codes) - table.fixed, table.angles(codes)
    squares = 0.0
    for gene, values in enumerate(codes.T):
        angle, gradient, hessian = _expansion(table, moments.mean[gene, values])
        apart = sums - moments.mean[gene, values]
        expanded = (
            angle + np.einsum("ni,ni->n", gradient, apart) + 0.5 * np.einsum("ni,nij,nj->n", apart, hessian, apart)
        )
        number = np.bincount(values)
        rest = np.bincount(values, angles - expanded) / np.maximum(number, 1)
        squares += float(number @ rest**2)
    return float(np.sqrt(squares / codes.size))


def _expansion(table: AngleTable, sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Angle, gradient and Hessian at rows of sums that choices add to the fixed parts, shapes [n], [n, 3], [n, 3, 3]."""
    dot, before, after = (sums + table.fixed).T
    cosine = cosine_of(dot, before, after)
    sine = 1 - cosine**2
    if not ((before > 0) & (after > 0) & (sine > 0)).all():
        raise FrugalnasError(
            "the weights that count have not turned, or have no length: there is no expected angle; take a later epoch"
        )
    unit = 1 / np.sqrt(before * after)
    gradient = np.stack([unit, -cosine / (2 * before), -cosine / (2 * after)], axis=1)
    hessian = np.zeros((len(sums), 3, 3))
    hessian[:, 0, 1] = hessian[:, 1, 0] = -unit / (2 * before)
    hessian[:, 0, 2] = hessian[:, 2, 0] = -unit / (2 * after)
    hessian[:, 1, 1], hessian[:, 2, 2] = 3 * cosine / (4 * before**2), 3 * cosine / (4 * after**2)
    hessian[:, 1, 2] = hessian[:, 2, 1] = cosine / (4 * before * after)
    slope, bend = -(sine**-0.5), -cosine * sine**-1.5
    outer = gradient[:, :, None] * gradient[:, None, :]
    return (
        np.arccos(cosine),
        slope[:, None] * gradient,
        slope[:, None, None] * hessian + bend[:, None, None] * outer,
    )
