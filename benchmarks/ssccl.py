"""SS-CCL's loss and gradient for one anchor: the loop of SSNENAS's program, written again, against `CentralContrast`.

    python benchmarks/ssccl.py [--graphs 40000] [--loop 24] [--anchors 4000]

Both see the same batch of NAS-Bench-101's cells and the same embeddings, on one thread unless OMP_NUM_THREADS says otherwise.
The loop measures the edit distance of each anchor from all cells of the batch and builds its rows of similarities one
anchor after the other; it is timed on few anchors, since each takes as long as the next.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from frugalnas.encoders.ssccl import CentralContrast
from frugalnas.spaces import NASBench101


def loop(embeddings: Tensor, codes: Tensor, anchors: Tensor, settings: CentralContrast) -> Tensor:
    """The loss as the program finds it, one anchor after the other; autograd finds the gradient."""
    losses, centres = [], []
    for anchor in anchors.tolist():
        distances = (codes - codes[anchor]).abs().sum(dim=1)
        others = torch.arange(len(codes)) != anchor
        least = distances[others].min()
        positives = distances == least
        if settings.anchor_is_positive:
            positives[anchor] = True
        negatives = torch.nonzero(distances >= least + settings.margin)[:, 0]
        if len(negatives) < (settings.min_negatives or 1):
            continue
        negatives = negatives[: settings.min_negatives]
        centre = functional.normalize(embeddings[positives].mean(dim=0), dim=0)
        centres.append(centre)
        away = embeddings[negatives] @ centre
        for similar in embeddings[positives] @ centre:
            row = torch.cat([similar[None], away]) / settings.temperature
            losses.append(functional.cross_entropy(row[None], torch.zeros(1, dtype=torch.long)))
    stacked = torch.stack(centres)
    between = stacked @ stacked.t()
    between = between - torch.diag(torch.diag(between))
    return torch.stack(losses).mean() + settings.regularisation / 2 * between.mean()


def in_matrix_form(embeddings: Tensor, codes: Tensor, anchors: Tensor, settings: CentralContrast) -> Tensor:
    """The loss as the package finds it."""
    return settings(embeddings, codes, anchors).loss


def timed(
    find: Callable[..., Tensor], embeddings: Tensor, codes: Tensor, anchors: Tensor, settings: CentralContrast
) -> tuple[float, Tensor, Tensor]:
    """Seconds for each anchor, loss and gradient of one loss and its backward pass."""
    leaf = embeddings.clone().requires_grad_()
    begun = time.perf_counter()
    loss = find(leaf, codes, anchors, settings)
    loss.backward()
    assert leaf.grad is not None
    return (time.perf_counter() - begun) / len(anchors), loss.detach(), leaf.grad


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=int, default=40_000, help="cells in the batch [40000]")
    parser.add_argument("--loop", type=int, default=24, help="anchors of the loop [24]")
    parser.add_argument("--anchors", type=int, default=4_000, help="anchors of the matrix form [4000]")
    parsed = parser.parse_args()
    space, rng = NASBench101(), np.random.default_rng(0)
    cells = space.enumerate()[rng.choice(space.size, parsed.graphs, replace=False)]
    codes = torch.from_numpy(space.encode(cells, "position-path").astype(np.uint8))
    torch.manual_seed(0)
    embeddings = functional.normalize(torch.randn(parsed.graphs, 8), dim=1)
    anchors = torch.randperm(parsed.graphs)
    for name, settings in (
        ("paper", CentralContrast()),
        ("program", CentralContrast(margin=0, anchor_is_positive=False, min_negatives=parsed.graphs - 150)),
    ):
        few, many = anchors[: parsed.loop], anchors[: parsed.anchors]
        slow, slow_loss, slow_gradient = timed(loop, embeddings, codes.to(torch.int32), few, settings)
        _, loss, gradient = timed(in_matrix_form, embeddings, codes, few, settings)
        exact = [
            timed(find, embeddings.double(), codes.to(torch.int32), few, settings)[2] for find in (loop, in_matrix_form)
        ]
        fast = min(timed(in_matrix_form, embeddings, codes, many, settings)[0] for _ in range(2))
        print(
            f"{name}'s meaning, {parsed.graphs:,} cells: loop {1e3 * slow:.2f} ms an anchor, matrix form "
            f"{1e3 * fast:.3f} ms, ratio {slow / fast:.0f}; the loss differs by {float((loss - slow_loss).abs()):.1e}, "
            f"the gradient by at most {float((gradient - slow_gradient).abs().max()):.1e} (its largest entry is "
            f"{float(slow_gradient.abs().max()):.2f}), in doubles by {float((exact[1] - exact[0]).abs().max()):.1e}"
        )


if __name__ == "__main__":
    main()
