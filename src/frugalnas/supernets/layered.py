"""Supernets of layer-wise spaces: a chain in which every layer has all its choices (Single Path One-Shot, FairNAS)."""

from __future__ import annotations

from itertools import groupby

from torch import Tensor, nn
from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.networks import LayerSkeleton, Place, skeleton_of
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.supernets.base import Choice, Supernet


class ChoiceBlock(nn.ModuleDict):
    """All choices of one layer, by their values, of which a forward pass takes one.

    Args:
        skeleton: makes the blocks; a value that builds nothing hands its input on.
        place: of the layer.

    Attributes:
        place: the same.
        operations: the name of each value's block.
        chosen: the value whose block is taken.
    """

    def __init__(self, skeleton: LayerSkeleton, place: Place) -> None:
        super().__init__()
        self.place = place
        self.operations: dict[int, str] = {}
        for value in map(int, skeleton.space.allowed[place.gene].nonzero()[0]):
            name = skeleton.name_of(place, value)
            self.operations[value] = name or "identity"
            self[str(value)] = nn.Identity() if name is None else skeleton.block(place, value)
        self.chosen = min(self.operations)

    def forward(self, features: Tensor) -> Tensor:
        """What the chosen block makes of the features."""
        return self[str(self.chosen)](features)


class LayeredSupernet(Supernet):
    """The networks of a layer-wise space, every layer with all its choices; for any space with a `LayerSkeleton`.

    Names of parameters, normalisations and initial weights are those that the skeleton gives a single network.

    Args:
        space: its restrictions leave blocks out.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        skeleton = skeleton_of(space)
        if not isinstance(skeleton, LayerSkeleton):
            raise FrugalnasError(
                f"the skeleton of {space.name} is a {type(skeleton).__name__}; {type(self).__name__} takes LayerSkeletons"
            )
        stages = [
            [ChoiceBlock(skeleton, place) for place in stage]
            for _, stage in groupby(skeleton.places, lambda place: place.stage)
        ]
        network = skeleton.network(stages)
        for name, module in network.named_children():
            self.add_module(name, module)
        # Not as modules of this one: the names of parameters are those of the network's own modules.
        self._network = (network,)
        self._layers = tuple((name, layer) for name, layer in self.named_modules() if isinstance(layer, ChoiceBlock))

    def train(self, mode: bool = True) -> Self:
        """As of any module."""
        self._network[0].train(mode)
        return super().train(mode)

    def forward(self, images: Tensor, codes: Codes) -> Tensor:
        """Logits, shape [n, classes]; see `Supernet.forward`."""
        (code,) = self.rows(codes)
        for _, layer in self._layers:
            layer.chosen = code[layer.place.gene]
        return self._network[0](images)

    def choices(self) -> tuple[Choice, ...]:
        """Every block of every layer; see `Supernet.choices`."""
        return tuple(
            Choice(
                f"{name}.{value}",
                ((layer.place.gene, value),),
                0,
                operation,
                layer.place.inputs,
                layer.place.outputs,
                layer.place.stride,
            )
            for name, layer in self._layers
            for value, operation in layer.operations.items()
        )

    def path_modules(self, codes: Codes) -> list[nn.Module]:
        """The block of every layer; see `Supernet.path_modules`."""
        (code,) = self.rows(codes)
        return [layer[str(code[layer.place.gene])] for _, layer in self._layers]


class ShuffleNetSupernet(LayeredSupernet):
    """Single Path One-Shot's supernet, whose batch norms have no weights."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.affine = False
                module.weight = module.bias = None  # type: ignore[assignment]
