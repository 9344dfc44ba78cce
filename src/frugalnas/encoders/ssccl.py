"""SS-CCL: architectures near each other in graph edit distance are drawn together around their centre, others pushed away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors
from frugalnas.errors import FrugalnasError

BLOCK = 2**21
"""Anchors times architectures looked at together: their distances and similarities stay near a processor's cache."""

Summed = Callable[[Tensor], Tensor]
"""Adds a tensor up over the processes that share a batch."""


class ContrastLoss(NamedTuple):
    """What one batch came to.

    Attributes:
        loss: a scalar to call `backward` on; of several processes' the sum is the batch's.
        rows: pairs of an anchor and one of its positives, over all processes.
        hits: how many of these positives are nearer to the centre than every negative is.
    """

    loss: Tensor
    rows: Tensor
    hits: Tensor


@dataclass(frozen=True)
class CentralContrast:
    """The central contrastive loss of SSNENAS (Wei et al., arXiv 2011.00186, section 3.3), in matrix form.

    For each anchor the positives are the architectures of the batch at the least edit distance from it, and itself;
    their normalised mean is the centre. Each positive is to be told from the negatives, all architectures at
    greater distances, by its similarity to the centre: the cross-entropy of similarities over the temperature. Centres are
    pushed apart by their mean similarity.

    The paper's program differs: with its margin of 0 positives are negatives too, and an anchor is among its own positives
    only where another architecture of the batch has the same code. `margin=0, anchor_is_positive=False` does that.

    The loss and its gradient with respect to the embeddings are found together, block by block of anchors: one matrix
    product for distances, one for similarities, one exponential for each, two products back. The similarities
    of unit vectors are at most 1, so that no exponential needs the greatest one first.

    Args:
        temperature: similarities are divided by.
        regularisation: weight of the centres' mean similarity; the loss has half of it times this.
        margin: how much farther than the positives a negative must be at least. 1 is the paper's "not at the least distance".
        anchor_is_positive: whether an anchor is always among its own positives.
        min_negatives: only so many negatives count, the first of the batch, and anchors that have fewer are passed
            over, as in the program. None takes all.
    """

    temperature: float = 0.07
    regularisation: float = 0.5
    margin: int = 1
    anchor_is_positive: bool = True
    min_negatives: int | None = None

    def __call__(
        self, embeddings: Tensor, codes: Tensor, anchors: Tensor, summed: Summed = lambda tensor: tensor
    ) -> ContrastLoss:
        """The loss of a batch.

        Args:
            embeddings: unit vectors, shape [n, d].
            codes: zeros and ones whose differences are the edit distance, shape [n, bits].
            anchors: rows of the batch, distinct, shape [m]; of several processes each has some.
            summed: adds up over these processes.

        Raises:
            FrugalnasError: where no anchor has enough negatives.
        """
        return ContrastLoss(*_Contrast.apply(embeddings, codes, anchors, self, summed))


class _Contrast(torch.autograd.Function):
    """`CentralContrast` with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, codes: Tensor, anchors: Tensor, settings: CentralContrast, summed: Summed
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch = _Batch(embeddings.detach(), codes, settings)
        size = max(1, BLOCK // len(codes))
        for start in range(0, len(anchors), size):
            batch.add(anchors[start : start + size])
        loss, rows, hits, gradient = batch.close(summed)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(rows, hits)
        return loss, rows, hits

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None, None, None


class _Batch:
    """The loss of a batch so far, and its gradients with respect to embeddings and centres, neither divided by the rows."""

    def __init__(self, embeddings: Tensor, codes: Tensor, settings: CentralContrast) -> None:
        self.embeddings = embeddings.requires_grad_()
        self.settings = settings
        ones = codes.to(embeddings.dtype)
        counts = ones.sum(dim=1, keepdim=True)
        # |a - b| = |a| + (|b| - 2 a.b): the bracket is one matrix product, and |a| does not move the order.
        self.left = torch.cat([-2 * ones, torch.ones_like(counts)], dim=1)
        self.right = torch.cat([ones, counts], dim=1).t()
        self.gradient = torch.zeros_like(embeddings)
        # Apple's GPUs have no doubles.
        self.exact = torch.float32 if codes.device.type == "mps" else torch.float64
        self.loss = torch.zeros((), dtype=self.exact, device=codes.device)
        self.rows = torch.zeros((), dtype=torch.int64, device=codes.device)
        self.hits = torch.zeros((), dtype=torch.int64, device=codes.device)
        self.centres: list[Tensor] = []
        self.centre_gradients: list[Tensor] = []

    def add(self, anchors: Tensor) -> None:
        """Add the rows of some anchors."""
        place, positive, negatives = self._neighbours(anchors)
        with torch.enable_grad():
            members = self.embeddings.index_select(0, positive)
            sums = members.new_zeros(len(negatives.rows), members.shape[1])
            centres = functional.normalize(sums.index_add(0, place, members), dim=1)
        self._contrast(centres.detach(), members.detach(), place, positive, negatives)
        self.centres.append(centres)

    def _neighbours(self, anchors: Tensor) -> tuple[Tensor, Tensor, _Negatives]:
        """The positives as (anchor's place in the block, row of the batch), and which rows are negatives."""
        settings = self.settings
        distances = self.left.index_select(0, anchors) @ self.right
        block = torch.arange(len(anchors), device=anchors.device)
        itself = distances[block, anchors]
        distances[block, anchors] = torch.inf
        nearest = distances.amin(dim=1, keepdim=True)
        near = distances == nearest
        paper = settings.margin == 1 and settings.min_negatives is None
        mask = None
        if not paper:
            distances[block, anchors] = itself
            mask = distances >= nearest + settings.margin
        near[block, anchors] = settings.anchor_is_positive | (nearest[:, 0] == itself)
        rows = block
        if settings.min_negatives is not None:
            assert mask is not None
            order = mask.cumsum(dim=1, dtype=torch.int32)
            mask &= order <= settings.min_negatives
            rows = torch.nonzero(order[:, -1] >= settings.min_negatives)[:, 0]
            near, mask = near[rows], mask[rows]
        place, positive = near.nonzero(as_tuple=True)
        return place, positive, _Negatives(rows, anchors[rows], mask)

    def _contrast(
        self, centres: Tensor, members: Tensor, place: Tensor, positive: Tensor, negatives: _Negatives
    ) -> None:
        """Add loss and gradients of every row of a block."""
        scale = 1 / self.settings.temperature
        weights = (centres * scale @ self.embeddings.detach().t()).sub_(scale).exp_()
        if negatives.mask is None:
            weights[place, positive] = 0
            weights[torch.arange(len(centres), device=centres.device), negatives.anchors] = 0
        else:
            weights *= negatives.mask
        total = weights.sum(dim=1, keepdim=True)
        usable = total[:, 0] > 0  # an anchor as near to every other architecture has no negatives
        similar = (members * centres.index_select(0, place)).sum(dim=1).mul_(scale).sub_(scale)
        against = total[:, 0].log().index_select(0, place)
        share = torch.sigmoid(against - similar)
        self.loss += functional.softplus(against - similar).sum(dtype=self.exact)
        counted = usable.index_select(0, place)
        self.rows += counted.sum()
        self.hits += (similar.exp() > weights.amax(dim=1).index_select(0, place)).logical_and(counted).sum()
        share = share * scale
        pushed = torch.zeros_like(total[:, 0]).index_add_(0, place, share)[:, None] / total.clamp(min=1e-38)
        self.gradient.addmm_(weights.t(), centres * pushed)
        self.gradient.index_add_(0, positive, centres.index_select(0, place) * -share[:, None])
        towards = (weights @ self.embeddings.detach()) * pushed
        self.centre_gradients.append(towards.index_add_(0, place, members * -share[:, None]))

    def close(self, summed: Summed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss, rows, hits, and the gradient of the loss with respect to the embeddings."""
        rows, hits = summed(self.rows), summed(self.hits)
        if int(rows) == 0:
            raise FrugalnasError(
                "no anchor of the batch has enough negatives; lower min_negatives, or take a larger batch"
            )
        with torch.enable_grad():
            centres = torch.cat(self.centres)
        values = centres.detach()
        count = summed(values.new_tensor(len(values)))
        total = summed(values.sum(dim=0))
        # Half the mean over all entries of the centres' similarities, those of centres to themselves taken as 0.
        weight = self.settings.regularisation / (2 * count * count)
        similarity = weight * ((values @ total) - (values * values).sum(dim=1)).sum(dtype=self.exact)
        gradients = torch.cat(self.centre_gradients) / rows + 2 * weight * (total - values)
        (through,) = torch.autograd.grad(centres, self.embeddings, gradients)
        loss = self.loss / rows + similarity
        return loss.to(self.embeddings.dtype), rows, hits, self.gradient / rows + through


@dataclass(frozen=True)
class _Negatives:
    """Which anchors of a block count, shape [kept], their rows of the batch, and a mask [kept, n] of their negatives.

    Without a mask the negatives are all but the positives and the anchor.
    """

    rows: Tensor
    anchors: Tensor
    mask: Tensor | None


class ContrastiveEncoder(nn.Module):
    """The encoder of SS-CCL: a GIN, and two linear maps to the unit vectors that are compared.

    Args:
        encoder: is what is kept in the end.
        hidden: width between the two maps.
        dimension: of the vectors.
    """

    def __init__(self, encoder: GINEncoder, hidden: int = 32, dimension: int = 8) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Sequential(nn.Linear(encoder.width, hidden), nn.ReLU(), nn.Linear(hidden, dimension))

    def forward(self, graphs: GraphTensors) -> Tensor:
        """Unit vectors, shape [n, dimension]."""
        return functional.normalize(self.projection(self.encoder(graphs)), dim=1)
