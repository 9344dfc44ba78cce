"""One optimiser step on the weights of a network, as a recipe has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.training.fit import Position
from frugalnas.training.objective import Objective
from frugalnas.training.recipe import Recipe

LEAST = 2
"""Images that pass through a network at a time: of one that is down to a single pixel, batch norms have no variance."""


class WeightStep:
    """A step for `fit`: forward, backward, clip, optimise, average.

    The gradient is that of the whole batch, however many parts and devices compute it; batch norms alone see their part only.
    No part has fewer than two images, and a batch of which fewer could be read is left out.

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

    Attributes:
        begun: epochs before the first one of the schedule.
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
        self.begun = 0
        self._epoch = -1

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return self.optimizer.param_groups[0]["lr"]

    def __call__(self, batch: tuple[Tensor, Tensor], position: Position) -> Mapping[str, Tensor]:
        """Sums over the batch: "images", "loss" and "accuracy" (100 for each image that was right)."""
        if position.epoch != self._epoch:
            self._begin(position)
        self.schedule.step_update(position.done - self.begun * position.steps_per_epoch)
        images, labels = batch
        alone = self.fabric.world_size == 1
        if len(images) < LEAST:  # the batch's other files could not be read
            if alone:
                nothing = torch.zeros((), device=images.device)
                return {"images": nothing, "loss": nothing, "accuracy": nothing}
            # The other devices wait for this one's gradients, which are zeros.
            images, labels = images.new_zeros(LEAST, *images.shape[1:]), labels[:0]
            targets = labels
        else:
            images, targets = self.objective.prepare(images, labels)
            labels = labels[: len(images)]
        images = images.contiguous(memory_format=self.memory_format)
        whole = self.objective.weight(targets)
        if not alone:  # gradients become their mean over the devices
            whole = cast(Tensor, self.fabric.all_reduce(whole, reduce_op="mean")).clamp(
                min=torch.finfo(whole.dtype).tiny
            )
        self._reset_gradients()
        loss, right = self._gradients(images, targets, labels, whole, position)
        self._clip()
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.bare, step=position.done + 1)
        count = torch.full_like(loss, len(labels))
        return {"images": count, "loss": loss * count, "accuracy": right * 100.0}

    @property
    def bare(self) -> nn.Module:
        """The network without wrappers."""
        module = getattr(self.network, "module", self.network)
        assert isinstance(module, nn.Module)
        return module

    def _begin(self, position: Position) -> None:
        self._epoch = position.epoch
        self.network.train()
        self.schedule.step(position.epoch - self.begun)
        if self.set_drop_path is not None:
            share = position.epoch / position.epochs if self.recipe.drop_path_ramp else 1.0
            self.set_drop_path(self.recipe.drop_path * share)

    def _reset_gradients(self) -> None:
        self.optimizer.zero_grad()

    def _gradients(
        self, images: Tensor, targets: Tensor, labels: Tensor, whole: Tensor, position: Position
    ) -> tuple[Tensor, Tensor]:
        """The loss, and how many images were right; the gradients are in place."""
        loss, right = torch.zeros((), device=images.device), torch.zeros((), device=images.device)
        if not len(labels):
            outputs = self._outputs(images)
            self.fabric.backward(
                0.0 * sum(part.sum() for part in (outputs if isinstance(outputs, tuple) else (outputs,)))
            )
            return loss, right
        parts = max(1, min(self.recipe.accumulate, len(images) // LEAST))
        chunks = list(zip(*(each.tensor_split(parts) for each in (images, targets, labels)), strict=True))
        for place, (some, wanted, given) in enumerate(chunks, 1):
            with self.fabric.no_backward_sync(self.network, enabled=place < parts):  # type: ignore[arg-type]
                outputs = self._outputs(some)
                its_loss = self.objective.loss(outputs, wanted, some, whole)
                self.fabric.backward(its_loss)
            logits = outputs[0] if isinstance(outputs, tuple) else outputs
            loss, right = loss + its_loss.detach(), right + (logits.detach().argmax(1) == given).sum()
        return loss, right

    def _outputs(self, images: Tensor) -> Any:
        """Logits, or a pair of them with the auxiliary head's."""
        return self.network(images)

    def _clip(self) -> None:
        norm, value = self.recipe.clip_norm, self.recipe.clip_value
        if norm is None and value is None:
            return
        self.fabric.clip_gradients(
            self.network, self.optimizer, max_norm=norm, clip_val=value, error_if_nonfinite=False
        )
