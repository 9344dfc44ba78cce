"""What all supernets share: every choice at every place, and a forward pass that takes one of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks import skeleton_of
from frugalnas.registry import SUPERNETS
from frugalnas.spaces import Codes, SearchSpace


@dataclass(frozen=True)
class Choice:
    """One choice at one place of a supernet.

    Attributes:
        prefix: of its parameters' names ("cells.3.edges.2.3"); choices without parameters have one too.
        genes: the (gene, value) pairs that use it; both inputs of a DARTS node use the same edges.
        draw: the cell it is in, as `Supernet.draws` counts them.
        operation: what it does, in the field's words ("nor_conv_3x3", "sep_conv_5x5", "mb3_k7"); "identity" where a layer
            is left out.
        inputs: channels that come in.
        channels: that go out.
        stride: 1 or 2.
    """

    prefix: str
    genes: tuple[tuple[int, int], ...]
    draw: int
    operation: str
    inputs: int
    channels: int
    stride: int


class Supernet(nn.Module, ABC):
    """One network that holds every choice of a space, of which a forward pass uses one path.

    The choices of a restricted space are those that it allows. Child classes are required to override `forward`,
    `choices` and `path_modules`. Parameters under no choice's prefix belong to every architecture.

    Args:
        space: whose choices; it carries the sizes too.

    Attributes:
        space: the same.
        draws: how many cells may each have a code of their own in one step; 1 where the network is one chain.
        added: how many of its `additions` a forward pass uses; None: all.
    """

    draws: int = 1
    added: int | None = None

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    @property
    def additions(self) -> Sequence[nn.Module]:
        """Cells that a network can do without and that may be added one by one, in this order; none where it is not built so."""
        return ()

    @abstractmethod
    def forward(self, images: Tensor, codes: Codes) -> Tensor:
        """Logits, shape [n, classes], of images [n, 3, height, width].

        Args:
            images: a batch.
            codes: the path: one code, shape [genes], or one for each cell, shape [draws, genes].
        """

    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """Every choice at every place, in the order in which a path comes by."""

    @abstractmethod
    def path_modules(self, codes: Codes) -> list[nn.Module]:
        """The choices that a path uses, in that order; those that nothing reaches or nothing follows are left out.

        Args:
            codes: shape [genes] or [draws, genes].
        """

    def rows(self, codes: Codes) -> list[tuple[int, ...]]:
        """The code of each cell, as plain numbers; `draws` of them.

        Raises:
            FrugalnasError: where there are not so many.
        """
        codes = np.asarray(codes)
        if codes.shape not in ((self.space.genes,), (1, self.space.genes), (self.draws, self.space.genes)):
            raise FrugalnasError(
                f"a path of {self.space.name} has shape [{self.space.genes}] or [{self.draws}, {self.space.genes}], not "
                f"{list(codes.shape)}"
            )
        rows = [tuple(row) for row in codes.reshape(-1, self.space.genes).tolist()]
        return rows * self.draws if len(rows) == 1 else rows


def supernet_of(space: SearchSpace) -> Supernet:
    """The supernet of a space, randomly initialised from torch's generator.

    Within `weightless` it has all names and shapes, and costs a fraction.

    Raises:
        FrugalnasError: where the space's skeleton has none.

    Example:
        >>> import frugalnas as fn, numpy as np, torch
        >>> space = fn.NASBench201(width=4, cells=1)
        >>> supernet = supernet_of(space)
        >>> supernet(torch.zeros(2, 3, 32, 32), space.sample(supernet.draws, np.random.default_rng(0))).shape
        torch.Size([2, 10])
    """
    skeleton = skeleton_of(space)
    if not skeleton.supernet:
        raise FrugalnasError(
            f"{space.name} has no supernet: {type(skeleton).__name__} names none in its attribute supernet; take "
            f"nasbench201, darts, a layer-wise space, or name your own there"
        )
    return SUPERNETS.create(skeleton.supernet, space, given=True)  # a class says it, no file
