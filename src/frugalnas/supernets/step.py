"""One optimiser step on a supernet: a batch through one path, or through a few that add their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from frugalnas.supernets.base import Supernet
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

    Attributes:
        growing: the schedule that begins anew for each cell that is added, while the supernet grows.
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
        self.growing_epochs = recipe.growing_epochs
        self.growing: Scheduler | None = None

    # -- as a state that `fit` keeps -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Which weights have been used."""
        return {"used": torch.tensor([weight.grad is not None for weight in self.bare.parameters()])}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take them up again."""
        for weight, used in zip(self.bare.parameters(), state_dict["used"].tolist(), strict=True):
            weight.grad = torch.zeros_like(weight) if used else None

    # -- growing -----------------------------------------------------------------------------------------------------

    def _begin(self, position: Position) -> None:
        if self.growing is not None:
            self._grow(self.growing, position)
        super()._begin(position)

    def _grow(self, growing: Scheduler, position: Position) -> None:
        """Add a cell where it is time to; rate and momentum begin anew then, and with the whole supernet once more."""
        if self._epoch < 0:
            self._whole = self.schedule, self.begun
        supernet = cast(Supernet, self.bare)
        each = self.growing_epochs // len(supernet.additions)
        supernet.added = min(position.epoch, self.growing_epochs) // each
        self.schedule, self.begun = (
            (growing, supernet.added * each) if position.epoch < self.growing_epochs else self._whole
        )
        if position.step == 0 and position.epoch == supernet.added * each:
            for state in self.schedule.optimizer.state.values():
                for value in state.values():
                    if isinstance(value, Tensor):
                        value.zero_()

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
