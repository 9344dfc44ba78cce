"""How well a network does on labelled images: loss, top-1 and top-5 accuracy, and which classes it confuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError


@dataclass(frozen=True)
class EvaluationResult:
    """How well a network does on one part of the data.

    Attributes:
        part: "train", "val" or "test".
        loss: mean cross-entropy.
        top5: percentage of images whose class is among the five largest logits; 100 with five classes or fewer.
        classes: their names.
        confusion: images of class i that were taken for class j, shape [classes, classes].
    """

    part: str
    loss: float
    top5: float
    classes: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @property
    def images(self) -> int:
        """How many."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Percentage of images whose class has the largest logit."""
        return float(100.0 * np.trace(self.confusion) / self.images)

    @property
    def per_class(self) -> npt.NDArray[np.float64]:
        """Percentage right of each class, shape [classes]; nan where it has no image."""
        images = self.confusion.sum(1)
        right = 100.0 * np.diag(self.confusion)
        return np.divide(right, images, out=np.full(len(images), np.nan), where=images > 0)

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without an image."""
        return tuple(name for name, images in zip(self.classes, self.confusion.sum(1), strict=True) if not images)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `test.json` has it."""
        return {
            "part": self.part,
            "images": self.images,
            "loss": self.loss,
            "top1": self.top1,
            "top5": self.top5,
            "classes": list(self.classes),
            "per_class": [None if np.isnan(value) else float(value) for value in self.per_class],
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> EvaluationResult:
        """What `to_json` wrote."""
        confusion = np.array(record["confusion"], np.int64)
        return cls(record["part"], record["loss"], record["top5"], tuple(record["classes"]), confusion)


@torch.no_grad()
def evaluate(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: tuple[str, ...],
    part: str,
    *,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> EvaluationResult:
    """How well a network does on batches of images and labels; it is in eval mode meanwhile.

    Args:
        network: answers logits [n, classes].
        batches: (images, labels) on the network's device.
        classes: names of the classes.
        part: what to call the images.
        total: the sum over all processes of a tensor, where several share the images.

    Raises:
        FrugalnasError: where an image has no label, or there is no image.
    """
    training = network.training
    network.eval()
    device = next(network.parameters()).device
    size = len(classes)
    # Loss and top-5 in front of the flattened confusion matrix: one tensor to sum over processes, one to fetch.
    exact = torch.float32 if device.type == "mps" else torch.float64
    counts = torch.zeros(2 + size * size, dtype=exact, device=device)
    try:
        for images, labels in batches:
            if not len(images):
                continue
            logits = network(images).float()
            losses = F.cross_entropy(logits, labels, reduction="sum", ignore_index=-1)
            best = logits.topk(min(5, size), 1).indices
            counts[0] += losses
            counts[1] += (best == labels[:, None]).sum()
            # Without a label an image falls beyond the matrix, and is missed below.
            pairs = torch.where(labels < 0, size * size, labels * size + best[:, 0])
            counts[2:] += torch.bincount(pairs, minlength=size * size)[: size * size]
    finally:
        network.train(training)
    counts = total(counts)
    loss, top5, *rest = counts.cpu().tolist()
    confusion = np.array(rest, np.int64).reshape(size, size)
    images_seen = int(confusion.sum())
    if not images_seen:
        raise FrugalnasError(f"the {part} part has no labelled image to evaluate on; give folders of classes")
    return EvaluationResult(part, loss / images_seen, 100.0 * top5 / images_seen, classes, confusion)
