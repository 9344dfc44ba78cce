"""The optimiser and the learning rate of a recipe: timm's, and one rule of the ImageNet trainings that timm lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import create_optimizer_v2, list_optimizers  # type: ignore[attr-defined]
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, StepLRScheduler  # type: ignore[attr-defined]
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.utils.hooks import RemovableHandle

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.training.recipe import TAIL_EPOCHS, Recipe

_LEAST_DIMENSIONS = {"all": 0, "matrices": 2, "kernels": 4}


def optimizer_for(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over a network's weights, in a group that decays and one that does not.

    Raises:
        FrugalnasError: where timm has no such optimiser, or it does not take one of the options.
    """
    known = [str(name) for name in list_optimizers()]
    if recipe.optimizer not in known:
        raise unknown_name("optimizer", recipe.optimizer, known)
    groups = decay_groups(network.named_parameters(), recipe.weight_decay, _LEAST_DIMENSIONS[recipe.decayed])
    try:
        # With weight_decay as None timm leaves the groups' own.
        optimizer = create_optimizer_v2(
            groups, opt=recipe.optimizer, lr=recipe.lr, momentum=recipe.momentum, **recipe.optimizer_options
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise FrugalnasError(
            f"optimizer {recipe.optimizer} does not take optimizer_options {dict(recipe.optimizer_options)}: {error}"
        ) from None
    if isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["fused"] and not optimizer.defaults["dampening"]:
        handle = optimizer.register_step_pre_hook(lambda *_: _start_momentum(optimizer, handle))
    return optimizer


def _start_momentum(optimizer: torch.optim.SGD, handle: RemovableHandle) -> None:
    """Zeros as the momentum of every weight, for fused SGD, which knows no weight whose first gradient comes later.

    A first momentum is the gradient itself, which it becomes from zeros too, where nothing dampens it.
    """
    for group in optimizer.param_groups:
        for weight in group["params"] if group["momentum"] else ():
            if optimizer.state[weight].get("momentum_buffer") is None:
                optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    handle.remove()


def decay_groups(
    named: Iterable[tuple[str, nn.Parameter]], weight_decay: float, least_dimensions: int
) -> list[dict[str, Any]]:
    """Parameter groups: what has at least so many dimensions decays, the rest does not; empty groups are left out."""
    parameters = [parameter for _, parameter in named if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.ndim >= least_dimensions]
    spared = [parameter for parameter in parameters if parameter.ndim < least_dimensions]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def schedule_for(recipe: Recipe, optimizer: torch.optim.Optimizer, steps_per_epoch: int) -> Scheduler:
    """The recipe's schedule as timm's: `step(epoch)` and `step_update(steps done)` set the rate, both in closed form."""
    assert recipe.epochs is not None
    unit = steps_per_epoch if recipe.per_step else 1
    total, warmup = recipe.epochs * unit, recipe.warmup_epochs * unit
    if recipe.schedule == "linear-tail":
        return LinearTail(optimizer, recipe.epochs, recipe.warmup_epochs)
    start = recipe.warmup_lr
    if start is None:
        start = recipe.lr / warmup if warmup else 0.0
    common: dict[str, Any] = {
        "warmup_t": warmup,
        "warmup_lr_init": start,
        "warmup_prefix": False,
        "t_in_epochs": not recipe.per_step,
    }
    if recipe.schedule in ("cosine", "linear") and total > 1:
        kind: Any = CosineLRScheduler if recipe.schedule == "cosine" else PolyLRScheduler
        power = {"power": 1.0} if recipe.schedule == "linear" else {}
        return kind(optimizer, t_initial=total, lr_min=recipe.min_lr, **power, **common)
    rate = recipe.decay_rate if recipe.schedule == "exponential" else 1.0
    return StepLRScheduler(optimizer, decay_t=unit, decay_rate=rate, **common)


class LinearTail(Scheduler):
    """Linear to 0 in all epochs but the last five, then a fifth of that slope; at first rising by steps to the full rate.

    P-DARTS's rule, which RelativeNAS, RLNAS and ABS took over: lr (E - 5 - e) / (E - 5) while more than five epochs are
    left, then lr (E - e) / (5 (E - 5)); in the first `warmup` epochs lr (e + 1) / warmup instead.

    Args:
        optimizer: whose rate it sets.
        epochs: E, more than five.
        warmup: epochs.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, warmup: int = 0) -> None:
        super().__init__(optimizer, "lr", t_in_epochs=True)
        self.epochs = epochs
        self.warmup = warmup

    def factor(self, epoch: int) -> float:
        """Share of the full rate in an epoch, from 0."""
        slope = self.epochs - TAIL_EPOCHS
        if epoch < self.warmup:
            return (epoch + 1) / self.warmup
        if self.epochs - epoch > TAIL_EPOCHS:
            return (slope - epoch) / slope
        return (self.epochs - epoch) / (slope * TAIL_EPOCHS)

    def _get_lr(self, t: int) -> list[float]:
        return [value * self.factor(t) for value in self.base_values]
