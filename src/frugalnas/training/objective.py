"""The loss of a recipe: labels, smoothed or mixed, an auxiliary head, and a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from timm.data import Mixup  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.training.recipe import Recipe


class Objective:
    """Mean loss of a batch, from its images, its labels and what a network answers.

    Args:
        recipe: says which terms there are.
        classes: how many.
        class_weights: of each class, shape [classes], where the recipe wants them.
        teacher: answers logits for images; where the recipe names one.
    """

    def __init__(
        self,
        recipe: Recipe,
        classes: int,
        *,
        class_weights: Tensor | None = None,
        teacher: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.recipe = recipe
        self.class_weights = class_weights
        self.teacher = teacher
        self._mix: Mixup | None = None
        if recipe.mixup or recipe.cutmix:
            self._mix = Mixup(  # type: ignore[no-untyped-call]
                mixup_alpha=recipe.mixup,
                cutmix_alpha=recipe.cutmix,
                label_smoothing=recipe.label_smoothing,
                num_classes=classes,
            )

    def prepare(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images and targets to train on: mixed with each other where the recipe says so (timm's Mixup)."""
        if self._mix is None:
            return images, labels
        even = len(images) - len(images) % 2
        return self._mix(images[:even], labels[:even])

    def weight(self, targets: Tensor) -> Tensor:
        """What the labels' loss and the teacher's are divided by: the sum of the labels' weights, and their number, shape [2]."""
        count = torch.full((), float(len(targets)), device=targets.device)
        if self.class_weights is None:
            return torch.stack([count, count])
        weights = self.class_weights[targets].sum()
        return torch.stack([weights, count.to(weights.dtype)])

    def loss(
        self, outputs: Tensor | tuple[Tensor, Tensor], targets: Tensor, images: Tensor, whole: Tensor | None = None
    ) -> Tensor:
        """The loss to descend, a scalar.

        Args:
            outputs: logits, or logits and the auxiliary head's, shape [n, classes].
            targets: classes [n], or probabilities [n, classes] where images were mixed.
            images: what the network saw, for the teacher.
            whole: `weight` of the batch that these images are a part of: the losses of its parts add up to the loss of all.
                None: they are all of it.
        """
        whole = self.weight(targets) if whole is None else whole
        logits, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, None)
        loss = self._labels(logits, targets) / whole[0]
        if self.teacher is not None:
            weight = self.recipe.teacher_weight
            loss = (1 - weight) * loss + weight * self._distillation(logits, images) / whole[1]
        if auxiliary is not None:
            loss = loss + self.recipe.auxiliary_weight * self._labels(auxiliary, targets) / whole[0]
        return loss

    def _labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        # Mixed targets are smoothed already.
        smoothing = self.recipe.label_smoothing if targets.ndim == 1 else 0.0
        return F.cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=smoothing, reduction="sum")

    def _distillation(self, logits: Tensor, images: Tensor) -> Tensor:
        """Sum of divergences from the teacher's softened answers, times the squared temperature (Hinton et al., 2015)."""
        assert self.teacher is not None
        temperature = self.recipe.teacher_temperature
        with torch.no_grad():
            wanted = self.teacher(images)
        if wanted.shape != logits.shape:
            raise FrugalnasError(
                f"the teacher answers {list(wanted.shape[1:])} values for an image and the network "
                f"{list(logits.shape[1:])}; take a teacher with the same classes"
            )
        softened = F.log_softmax(logits / temperature, 1), F.log_softmax(wanted.float() / temperature, 1)
        return F.kl_div(*softened, reduction="sum", log_target=True) * temperature**2


def frozen(teacher: nn.Module, device: torch.device) -> nn.Module:
    """A teacher that only answers, on a device."""
    return teacher.eval().requires_grad_(False).to(device)
