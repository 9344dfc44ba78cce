"""Training a small network on some labels, and its answers in blocks; the only file here that needs torch at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.predictors.neural import Neural

EPSILON = 1e-8


class Inputs(Protocol):
    """What a network reads of some architectures; `GraphTensors` is one."""

    def __len__(self) -> int:
        """How many architectures."""
        ...

    def take(self, rows: Any) -> Any:
        """Those of the architectures in `rows`, indices or a slice."""
        ...


class Features:
    """Feature vectors as inputs, shape [n, ...]."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Tensor | slice) -> Features:
        """The vectors in `rows`."""
        return Features(self.rows[rows])


def features_of(rows: NDArray[Any]) -> Features:
    """Feature vectors or tokens as inputs."""
    return Features(torch.from_numpy(np.ascontiguousarray(rows)))


class Network(nn.Module):
    """A network with an output for each architecture; child classes override `forward`, and `loss` where it is another.

    `forward` maps inputs of n architectures to shape [n, outputs]; the first output is the value.
    """

    objective: str = "mse"

    def loss(self, inputs: Any, targets: Tensor) -> Tensor:
        """What a step makes smaller, for targets of shape [n]."""
        return loss_of(self.objective, self(inputs)[:, 0], targets)

    def answers(self, inputs: Any, block: int) -> Tensor:
        """Outputs of the trained network, shape [n, outputs]."""
        parts = [self(inputs.take(slice(at, at + block))) for at in range(0, len(inputs), block)]
        return torch.cat(parts) if parts else torch.zeros(0, 1)

    def groups(self, options: Neural) -> list[dict[str, Any]]:
        """Adam's groups of parameters; those that need a learning rate of their own say so under `lr`."""
        return decayed(self, options)


def decayed(module: nn.Module, options: Neural, lr: float | None = None) -> list[dict[str, Any]]:
    """Weights, which decay, and biases, which do not, as groups for Adam."""
    lr = options.lr if lr is None else lr
    named = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    weights = [each for name, each in named if "bias" not in name.rpartition(".")[2]]
    biases = [each for name, each in named if "bias" in name.rpartition(".")[2]]
    groups = [
        {"params": weights, "lr": lr, "weight_decay": options.weight_decay},
        {"params": biases, "lr": lr * options.bias_rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"] and lr > 0]


def train(network: Network, inputs: Inputs, targets: NDArray[np.float32], options: Neural) -> Network:
    """The network after all epochs, in evaluation mode; the options are those of its predictor.

    Raises:
        FrugalnasError: where training diverges.
    """
    wanted = torch.from_numpy(np.ascontiguousarray(targets))
    adam = Adam(network.groups(options), options.betas, options.clip)
    batches = math.ceil(len(wanted) / options.batch)
    steps = options.epochs * batches
    network.train()
    step = 0
    for _ in range(options.epochs):
        for rows in torch.tensor_split(torch.randperm(len(wanted)), batches):
            part = inputs if batches == 1 else inputs.take(rows)
            loss = network.loss(part, wanted if batches == 1 else wanted[rows])
            adam.step(loss, 0.5 * (1.0 + math.cos(math.pi * step / max(steps - 1, 1))))
            step += 1
    if not math.isfinite(float(loss.detach())):
        raise FrugalnasError(
            f"training the predictor diverged at learning rate {options.lr:g}; choose a smaller one (lr)"
        )
    return network.eval()


class Adam:
    """Adam (Kingma and Ba, 2015) on all parameters as one vector.

    A step of a network this small costs as much as its number of operations; torch's own Adam, fused or not, spends more
    time on the lists of parameters than the network on its sums. Learning rates and decays differ by element.

    Args:
        groups: parameters with their learning rate and weight decay.
        betas: decay of the means of the gradient and of its square.
        clip: the norm that gradients are scaled down to; 0 leaves them.
    """

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float], clip: float = 0.0) -> None:
        self.parameters = [each for group in groups for each in group["params"]]
        sizes = [each.numel() for each in self.parameters]
        self.values = torch.cat([each.detach().reshape(-1) for each in self.parameters])
        for each, view in zip(self.parameters, torch.split(self.values, sizes), strict=True):
            each.data = view.view_as(each)
        counts = [sum(each.numel() for each in group["params"]) for group in groups]
        self.rates, self.decays = (
            torch.cat([torch.full((n,), group[key]) for n, group in zip(counts, groups, strict=True)])
            for key in ("lr", "weight_decay")
        )
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.betas, self.clip = betas, clip
        self.steps = 0

    def step(self, loss: Tensor, remaining: float) -> None:
        """Move the parameters against the gradient of `loss`, at `remaining` of their learning rates."""
        gradient = torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, self.parameters)])
        if self.clip:
            gradient *= (self.clip / (gradient.norm() + 1e-6)).clamp(max=1.0)
        gradient.addcmul_(self.decays, self.values)
        self.steps += 1
        one, two = self.betas
        self.first.lerp_(gradient, 1 - one)
        self.second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
        spread = self.second.sqrt().div_(math.sqrt(1 - two**self.steps)).add_(EPSILON)
        self.values.addcdiv_(self.first * self.rates, spread, value=-remaining / (1 - one**self.steps))


def outputs(network: Network, inputs: Inputs, block: int) -> NDArray[np.float64]:
    """Outputs of a trained network, shape [n, outputs], `block` architectures at a time."""
    with torch.inference_mode():
        return network.answers(inputs, block).numpy().astype(np.float64)


@contextmanager
def seeded(stream: np.random.SeedSequence) -> Iterator[None]:
    """The generator that torch draws from on the CPU, seeded within and as it was before afterwards."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(int(stream.generate_state(1, np.uint64)[0] >> 1))
        yield


def loss_of(objective: str, answers: Tensor, targets: Tensor) -> Tensor:
    """A loss by name, for answers and targets of shape [n].

    Args:
        objective: mse, the squared error; mae, the absolute error; mape, the absolute error in units of the target; or
            rank, the logistic loss of the differences of all pairs whose targets differ.
        answers: of the network.
        targets: what they should be, or how they should be ordered.
    """
    if objective == "mse":
        return functional.mse_loss(answers, targets)
    if objective == "mae":
        return functional.l1_loss(answers, targets)
    if objective == "mape":
        return ((answers - targets).abs() / targets.abs().clamp_min(1e-6)).mean()
    better = (targets[:, None] > targets).to(answers.dtype)
    losses = functional.softplus(answers - answers[:, None])
    return (better * losses).sum() / better.sum().clamp_min(1.0)
