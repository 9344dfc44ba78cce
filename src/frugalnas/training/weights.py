"""One optimiser step on the weights of a network, as a recipe has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.training.fit import Position
from frugalnas.training.objective import Objective
from frugalnas.training.recipe import Recipe

__all__ = ["WeightStep"]


class WeightStep:
    """A step for `fit`: forward, backward, clip, optimise, average.

    Args:
        fabric: that set up network and optimiser.
        network: as Fabric wrapped it.
        optimizer: as Fabric wrapped it.
        schedule: of the learning rate.
        recipe: clipping, drop-path and accumulation.
        objective: the loss.
        average: of the weights, updated after every step.
        set_drop_path: told the probability at the start of each epoch, where the recipe drops paths.
        memory_format: of the images.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Scheduler,
        recipe: Recipe,
        objective: Objective,
        *,
        average: ModelEmaV3 | None = None,
        set_drop_path: Callable[[float], None] | None = None,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> None:
        self.fabric = fabric
        self.network = network
        self.optimizer = optimizer
        self.schedule = schedule
        self.recipe = recipe
        self.objective = objective
        self.average = average
        self.set_drop_path = set_drop_path
        self.memory_format = memory_format
        self._epoch = -1

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def __call__(self, batch: tuple[Tensor, Tensor], position: Position) -> Mapping[str, Tensor]:
        """Sums over the batch: "images", "loss" and "accuracy" (100 for each image that was right)."""
        if position.epoch != self._epoch:
            self._begin(position)
        self.schedule.step_update(position.done)
        images, labels = batch
        if not len(images):  # none of the batch's files could be read
            nothing = torch.zeros((), device=images.device)
            return {"images": nothing, "loss": nothing, "accuracy": nothing}
        images, targets = self.objective.prepare(images, labels)
        labels = labels[: len(images)]
        images = images.contiguous(memory_format=self.memory_format)
        self._reset_gradients()
        loss, right = self._gradients(images, targets, labels, position)
        self._clip()
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.bare, step=position.done + 1)
        count = torch.full_like(loss, len(images))
        return {"images": count, "loss": loss * len(images), "accuracy": right * 100.0}

    @property
    def bare(self) -> nn.Module:
        """The network without wrappers."""
        module = getattr(self.network, "module", self.network)
        assert isinstance(module, nn.Module)
        return module

    def _begin(self, position: Position) -> None:
        self._epoch = position.epoch
        self.network.train()
        self.schedule.step(position.epoch)
        if self.set_drop_path is not None:
            share = position.epoch / position.epochs if self.recipe.drop_path_ramp else 1.0
            self.set_drop_path(self.recipe.drop_path * share)

    def _reset_gradients(self) -> None:
        self.optimizer.zero_grad()

    def _gradients(self, images: Tensor, targets: Tensor, labels: Tensor, position: Position) -> tuple[Tensor, Tensor]:
        """Mean loss, and how many images were right; the gradients are in place."""
        parts = self.recipe.accumulate
        if parts == 1:
            return self._backward(images, targets, labels, 1.0)
        loss, right = torch.zeros((), device=images.device), torch.zeros((), device=images.device)
        chunks = list(zip(images.chunk(parts), targets.chunk(parts), labels.chunk(parts), strict=True))
        for place, (some, wanted, given) in enumerate(chunks, 1):
            share = len(some) / len(images)
            with self.fabric.no_backward_sync(self.network, enabled=place < len(chunks)):  # type: ignore[arg-type]
                its_loss, its_right = self._backward(some, wanted, given, share)
            loss, right = loss + its_loss * share, right + its_right
        return loss, right

    def _backward(self, images: Tensor, targets: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        outputs = self._outputs(images)
        loss = self.objective.loss(outputs, targets, images)
        self.fabric.backward(loss if share == 1.0 else loss * share)
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def _outputs(self, images: Tensor) -> Any:
        """Logits, or a pair of them with the auxiliary head's."""
        return self.network(images)

    def _clip(self) -> None:
        norm, value = self.recipe.clip_norm, self.recipe.clip_value
        if norm is None and value is None:
            return
        self.fabric.clip_gradients(
            self.network,
            self.optimizer,
            max_norm=norm,
            clip_val=value,
            error_if_nonfinite=False,
        )
