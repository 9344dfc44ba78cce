"""What an untrained network tells about its architecture: gradient norm, SynFlow, NASWOT.

The simplest scores without any training, as baselines (Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR
2021, compares them). Each looks at the standalone network, as initialised from one seed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - everyone's name for it
from torch import Tensor, nn

from frugalnas.data.batches import restoring_generators
from frugalnas.errors import FrugalnasError
from frugalnas.networks import skeleton_of
from frugalnas.scores.cached import CachedScore
from frugalnas.spaces import Codes, SearchSpace

NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish)
"""Modules that let positive inputs through and hold back negative ones."""


class ZeroCost(CachedScore):
    """A score of the network that an architecture builds, before any training.

    Child classes set `name` and are only required to override `measure`. All networks start from the same seed.

    Args:
        space: whose codes are scored, at its own sizes.
        seed: of the initial weights.
        device: where the networks are looked at.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(space)
        self.seed = seed
        self.device = torch.device(device)
        self._skeleton = skeleton_of(space)

    @abstractmethod
    def measure(self, network: nn.Module) -> float:
        """The score of a freshly initialised network on this score's device, which may be changed."""

    def of(self, code: Codes) -> float:
        """The score of one architecture, shape [genes]."""
        with restoring_generators() as seed:
            seed(self.seed)
            network = self._skeleton.build(code)
        value = self.measure(network.to(self.device))
        if not math.isfinite(value):
            raise FrugalnasError(
                f"{self.name} of {self.space.format(code)} is {value}: this network's numbers are too large; use another score"
            )
        return value


class _OfImages(ZeroCost):
    """One that looks at a batch of images.

    Args:
        space: whose codes are scored, at its own sizes.
        images: float, normalised, shape [n, 3, height, width].
        seed: of the initial weights.
        device: where the networks are looked at.
    """

    def __init__(
        self, space: SearchSpace, images: Tensor, *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(space, seed=seed, device=device)
        if len(images) < 2:
            raise FrugalnasError(f"{self.name} of {len(images)} image(s); give a batch of 2 or more, such as 64")
        self.images = images.to(self.device)


class GradientNorm(_OfImages):
    """The gradient of one batch: the sum over layers of the Euclidean norm of their weights' gradients.

    As in Abdelfattah et al.: convolutions and linear layers, cross-entropy, batch norms in training mode.

    Args:
        space: whose codes are scored, at its own sizes.
        images: float, normalised, shape [n, 3, height, width].
        labels: int64, shape [n]; None, or -1 for an image: drawn at random.
        seed: of the initial weights and the drawn labels.
        device: where the networks are looked at.
    """

    name = "gradnorm"

    def __init__(
        self,
        space: SearchSpace,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(space, images, seed=seed, device=device)
        given = torch.full((len(images),), -1) if labels is None else labels.cpu()
        if given.shape != (len(images),):
            raise FrugalnasError(f"{len(images)} images have labels of shape {list(given.shape)}; give one for each")
        self.labels = given

    def measure(self, network: nn.Module) -> float:
        """Of one batch, with true or drawn labels."""
        network.train()
        logits = network(self.images)
        classes = logits.shape[1]
        if int(self.labels.max()) >= classes:
            raise FrugalnasError(
                f"an image has label {int(self.labels.max())}, but networks of {self.space.name} have {classes} classes; "
                "set the space's classes"
            )
        drawn = torch.from_numpy(np.random.default_rng(self.seed).integers(classes, size=len(self.labels)))
        labels = torch.where(self.labels < 0, drawn, self.labels).to(self.device)
        weights = list(_weights(network))
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), weights, allow_unused=True)
        return float(sum(gradient.double().norm() for gradient in gradients if gradient is not None))


class SynFlow(ZeroCost):
    """How much signal the weights carry from input to output (Tanaka et al., NeurIPS 2020); no images are needed.

    The sum over all weights of |w| dR/d|w|, where R is the sum of the outputs for an image of ones and all parameters are
    replaced by their absolute values. As in Abdelfattah et al. batch norms are left out; so are activations, whose
    input is positive here: those that saturate (ReLU6) would stop the signal. The score is log(1 + that sum).

    Args:
        space: whose codes are scored, at its own sizes; it has `input_size`.
        seed: of the initial weights.
        device: where the networks are looked at; in float64, which Apple's lacks.
    """

    name = "synflow"

    def __init__(self, space: SearchSpace, *, seed: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(space, seed=seed, device=device)
        if not hasattr(space, "input_size"):
            raise FrugalnasError(f"{space.name} has no input_size, which SynFlow's image of ones needs; give it one")
        self.input_size: int = space.input_size

    def measure(self, network: nn.Module) -> float:
        """Of one image of ones, in float64."""
        network.eval().double()
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, (*NORMALISATIONS, *ACTIVATIONS)):
                    setattr(parent, name, nn.Identity())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        ones = torch.ones(1, 3, self.input_size, self.input_size, dtype=torch.float64, device=self.device)
        weights = list(_weights(network))
        gradients = torch.autograd.grad(network(ones).sum(), weights, allow_unused=True)
        flows = (
            (weight.detach() * gradient).sum()
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        )
        return math.log1p(float(sum(flows)))


class NASWOT(_OfImages):
    """How differently images activate the network (Mellor et al., "NAS Without Training", ICML 2021).

    Each image has a binary code: which units of all activations are positive. The kernel K[i, j] counts the units in
    which the codes of images i and j agree; the score is log det(K + I). Batch norms are in training mode. The identity,
    which the paper does not add, is one unit of its own for every image: the determinant of a network that cannot
    tell two images apart would be zero, and its logarithm no number.

    Args:
        space: whose codes are scored, at its own sizes.
        images: float, normalised, shape [n, 3, height, width]; the paper takes 128.
        seed: of the initial weights.
        device: where the networks are looked at.
    """

    name = "naswot"

    def measure(self, network: nn.Module) -> float:
        """Of one batch."""
        images = len(self.images)
        kernel = torch.zeros(images, images, device=self.device)
        activations = [module for module in network.modules() if isinstance(module, ACTIVATIONS)]
        if not activations:
            raise FrugalnasError(f"networks of {self.space.name} have no activation modules, of which NASWOT is made")

        def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            positive = (inputs[0] > 0).flatten(1).float()
            each = positive.sum(1)
            kernel.add_(positive.shape[1] - each[:, None] - each + 2 * positive @ positive.T)

        for module in activations:
            module.register_forward_pre_hook(add)
        with torch.no_grad():
            network.train()(self.images)
        return float(np.linalg.slogdet(kernel.cpu().double().numpy() + np.eye(images))[1])


def _weights(network: nn.Module) -> Iterator[Tensor]:
    """Weights of convolutions and linear layers."""
    for module in network.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            yield module.weight
