"""What all networks of a space share, and what each choice builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from frugalnas.errors import FrugalnasError
from frugalnas.registry import SKELETONS
from frugalnas.spaces import Codes, SearchSpace


@dataclass(frozen=True)
class Block:
    """One choice at one place of a network.

    Attributes:
        gene: the gene that decides this place; several places may hang on one gene.
        value: the value of the gene that builds this block.
        key: what is built on which input, for people and latency tables, such as "sep_conv_3x3 36x32x32 stride 1";
            blocks with one key cost the same.
        make: builds the module.
        input_shape: of one image's features at this place, (channels, height, width).
    """

    gene: int
    value: int
    key: str
    make: Callable[[], nn.Module]
    input_shape: tuple[int, int, int]


class Skeleton(ABC):
    """The macro-structure of a space's networks: stem, stages, classifier, and which module each choice becomes.

    Child classes are only required to override `build`; those whose costs are the sum of a fixed part and one part per
    gene override `blocks` too, and get counts for whole populations, latency tables and exact sampling under a budget.

    Args:
        space: the space, which carries the sizes: width, input size, classes and what else its constructor takes.

    Attributes:
        supernet: what holds every choice: a name in `registry.SUPERNETS`, or the import path of a `supernets.Supernet`; empty
            where there is none.
    """

    supernet: str = ""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    @abstractmethod
    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one architecture, randomly initialised from torch's generator.

        It takes float images [n, 3, height, width] and returns logits [n, classes]; with an auxiliary head, and in
        training mode, a pair of logits.

        Args:
            code: shape [genes].
            auxiliary: the kind of auxiliary head; None builds none. Spaces without one refuse others.
            drop_path: probability of dropping a path for one image (see `set_drop_path`).
            dropout: before the classifier.
        """

    def refuse(self, auxiliary: str | None, drop_path: float = 0.0) -> None:
        """Raise where networks are asked for an auxiliary head, or for paths to drop, that they do not have."""
        if auxiliary is not None:
            raise FrugalnasError(
                f"networks of {self.space.name} have no auxiliary head; leave out auxiliary={auxiliary!r}"
            )
        if drop_path:
            raise FrugalnasError(
                f"networks of {self.space.name} have no path that could be dropped; take `drop_path`=0, not {drop_path:g}"
            )

    def blocks(self) -> Iterator[Block]:
        """Every choice at every place, where costs are additive over the genes of a canonical code."""
        raise FrugalnasError(
            f"what a block of {self.space.name} costs depends on the whole cell: it has no table by block"
        )


def skeleton_of(space: SearchSpace) -> Skeleton:
    """The skeleton that a space names.

    Raises:
        FrugalnasError: where the space names none.
    """
    if not space.skeleton:
        raise FrugalnasError(
            f"{space.name} does not say how its networks are built; set its attribute skeleton to the import path of a Skeleton"
        )
    return SKELETONS.create(space.skeleton, space, given=True)  # the space's class says it, no file


def build(
    space: SearchSpace, code: Codes | str, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
) -> nn.Module:
    """The network of one architecture of a space, randomly initialised; see `Skeleton.build`. A text is parsed.

    Example:
        >>> import frugalnas as fn, numpy as np, torch
        >>> space = fn.NASBench201(classes=10)
        >>> network = build(space, space.sample(1, np.random.default_rng(0))[0])
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if isinstance(space, type):
        raise FrugalnasError(
            f"{space.__name__} is a class; give a space of it, frugalnas.build({space.__name__}(), ...)"
        )
    code = space.as_codes(code)
    if not space.valid(code[None]).all():
        raise FrugalnasError(f"{code.tolist()} is not an architecture of {space!r}")
    return skeleton_of(space).build(code, auxiliary=auxiliary, drop_path=drop_path, dropout=dropout)
