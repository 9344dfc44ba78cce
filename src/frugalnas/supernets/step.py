"""One optimiser step on a supernet: a batch through one path, or through a few that add their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from frugalnas.supernets.paths import PathSampler
from frugalnas.supernets.recipe import SupernetRecipe
from frugalnas.training import Objective, Position, WeightStep


class SupernetStep(WeightStep):
    """A step for `fit`: draws the paths that its position says, and trains the weights on them.

    Weights that no path has used yet stay as they are. Those that only earlier paths used stay too, unless the recipe has
    `decay_unsampled`: then decay and momentum move them in every step, as in the programs of the papers' time, whose
    gradients were zero and not absent.

    The step must be among the states that `fit` keeps, so that a resumed training knows which weights were used before.

    Args:
        fabric: that set up network and optimiser.
        network: the supernet as Fabric wrapped it.
        optimizer: as Fabric wrapped it.
        schedule: of the learning rate.
        recipe: clipping, accumulation, and what becomes of weights that a step does not use.
        objective: the loss.
        paths: of each step; the gradients of several are added, and loss and accuracy are their means.
        memory_format: of the images.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Scheduler,
        recipe: SupernetRecipe,
        objective: Objective,
        paths: PathSampler,
        *,
        memory_format: torch.memory_format = torch.preserve_format,
    ) -> None:
        super().__init__(fabric, network, optimizer, schedule, recipe, objective, memory_format=memory_format)
        self.paths = paths
        self.decay_unsampled = recipe.decay_unsampled

    # -- as a state that `fit` keeps -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Which weights have been used."""
        return {"used": torch.tensor([weight.grad is not None for weight in self.bare.parameters()])}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take them up again."""
        for weight, used in zip(self.bare.parameters(), state_dict["used"].tolist(), strict=True):
            weight.grad = torch.zeros_like(weight) if used else None

    # -- gradients ---------------------------------------------------------------------------------------------------

    def _reset_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=not self.decay_unsampled)

    def _gradients(
        self, images: Tensor, targets: Tensor, labels: Tensor, whole: Tensor, position: Position
    ) -> tuple[Tensor, Tensor]:
        paths = self.paths(position.done)
        losses, rights = [], []
        for self._path in paths:
            loss, right = super()._gradients(images, targets, labels, whole, position)
            losses.append(loss)
            rights.append(right)
        return torch.stack(losses).mean(), torch.stack(rights).float().mean()

    def _outputs(self, images: Tensor) -> Any:
        return self.network(images, self._path)
