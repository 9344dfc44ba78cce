"""Networks that are one chain of blocks, a gene for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks.operations import refuse_small_input
from frugalnas.networks.skeleton import Block, Skeleton
from frugalnas.spaces import Codes, SearchSpace


@dataclass(frozen=True)
class Stage:
    """Layers of one resolution; the first of them brings channels and resolution there.

    Attributes:
        channels: that all its layers put out.
        layers: how many there are.
        stride: of the first layer.
    """

    channels: int
    layers: int
    stride: int


@dataclass(frozen=True)
class Place:
    """Where one layer of a chain stands.

    Attributes:
        gene: the gene that decides it.
        stage: the stage it belongs to, counted from 0.
        inputs: channels that come in.
        outputs: channels that go out.
        size: height and width of what comes in.
        stride: of the layer.
    """

    gene: int
    stage: int
    inputs: int
    outputs: int
    size: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether a layer may be left out here: what goes out has the shape of what comes in."""
        return self.stride == 1 and self.inputs == self.outputs

    def __str__(self) -> str:
        return f"{self.inputs}x{self.size}x{self.size} to {self.outputs} stride {self.stride}"


def places(stages: Sequence[Stage], inputs: int, size: int) -> list[Place]:
    """Every layer's place, in order.

    Args:
        stages: what follows the stem.
        inputs: channels that the stem puts out.
        size: height and width that the stem puts out.
    """
    found: list[Place] = []
    for index, stage in enumerate(stages):
        for layer in range(stage.layers):
            stride = stage.stride if layer == 0 else 1
            found.append(Place(len(found), index, inputs, stage.channels, size, stride))
            inputs, size = stage.channels, -(-size // stride)
    return found


class LayerNetwork(nn.Module):
    """Stem, stages of blocks, head, global average pooling, classifier.

    Args:
        stem: takes the images.
        stages: the blocks of each stage.
        head: follows the last stage.
        classifier: takes the pooled features, shape [n, features].
        mix: between pooling and classifier, on features of shape [n, channels, 1, 1].
        dropout: before the classifier.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[Sequence[nn.Module]],
        head: nn.Module,
        classifier: nn.Linear,
        *,
        mix: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
        self.head = head
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Identity() if mix is None else mix
        self.dropout = nn.Dropout(dropout)
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape [n, classes], of images [n, 3, height, width]."""
        features = self.head(self.stages(self.stem(images)))
        return self.classifier(self.dropout(self.mix(self.pool(features)).flatten(1)))


class LayerSkeleton(Skeleton):
    """The macro-structure of a layer-wise space: a chain with one block for each gene.

    Child classes set `places` in their constructor and are required to override `name_of`, `block` and `network`.

    Args:
        space: has `input_size` and `classes`.

    Attributes:
        places: where each gene's block stands.

    Raises:
        FrugalnasError: where the space does not have them.
    """

    places: Sequence[Place]
    supernet = "layered"

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        for size in ("input_size", "classes"):
            if not hasattr(space, size):
                raise FrugalnasError(
                    f"{space.name} has no {size}, which its networks need; give the space that attribute"
                )
        self.input_size: int = space.input_size  # type: ignore[attr-defined]
        self.classes: int = space.classes  # type: ignore[attr-defined]

    @abstractmethod
    def name_of(self, place: Place, value: int) -> str | None:
        """What a gene's value builds at its place, in a word or two; None where it builds nothing.

        Equal names at equal places (`str(place)`) are equal blocks.
        """

    @abstractmethod
    def block(self, place: Place, value: int, *, drop_path: float = 0.0) -> nn.Module:
        """The block that has this name."""

    @abstractmethod
    def network(self, stages: Sequence[Sequence[nn.Module]], *, dropout: float = 0.0) -> nn.Module:
        """The whole network around the blocks of each stage, with its initial weights."""

    def build(
        self, code: Codes, *, auxiliary: str | None = None, drop_path: float = 0.0, dropout: float = 0.0
    ) -> nn.Module:
        """The network of one architecture, see `Skeleton.build`; layers that build nothing are left out."""
        self.refuse(auxiliary)
        make = partial(self.block, drop_path=drop_path)
        return self.network(self.stages_of([int(value) for value in code], make), dropout=dropout)

    def stages_of(self, values: Sequence[int], make: Callable[[Place, int], nn.Module]) -> list[list[nn.Module]]:
        """The blocks that values, one for each gene, build in each stage."""
        return [
            [make(place, values[place.gene]) for place in stage if self.name_of(place, values[place.gene]) is not None]
            for _, stage in groupby(self.places, lambda place: place.stage)
        ]

    def blocks(self) -> Iterator[Block]:
        """Every block at every place; a value that builds nothing there has none, and costs nothing."""
        for place in self.places:
            for value in range(self.space.allowed.shape[1]):
                name = self.name_of(place, value)
                if name is not None:
                    shape = (place.inputs, place.size, place.size)
                    yield Block(place.gene, value, f"{name} {place}", partial(self.block, place, value), shape)

    def require_size(self, halvings: int) -> None:
        """Raise where the images are too small to be halved this many times."""
        refuse_small_input(self.space.name, self.input_size, halvings)
