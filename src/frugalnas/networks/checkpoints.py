"""Published checkpoints become networks with a card: those of RelativeNAS, ABS, RLNAS, SSNENAS and their like.

Files are read as tensors and plain values only; nothing that they hold is run.

Layouts:
    DARTS, P-DARTS, RelativeNAS, ABS's and RLNAS's cells, SSNENAS: the names are ours, behind the `module.` of (Distributed)
        DataParallel; the auxiliary head is kept, with or without its last batch norm.
    Mobile networks of ABS, RLNAS, ProxylessNAS, Once-for-All and others: their names differ, but a chain of layers has one
        order, so that tensors are matched one by one, and each must be of the same kind and shape.
    Around the tensors: a bare state dict, or a dict with the keys "state_dict", "epoch", "optimizer" and so on. The counters
        that thop leaves in ABS's networks are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.networks.checkpoint_files import read_checkpoint
from frugalnas.networks.counting import count_network
from frugalnas.networks.darts import AUXILIARY_HEADS, reduction_layers
from frugalnas.networks.layered import LayerSkeleton
from frugalnas.networks.models import ModelCard, build_from_card, described, load_tensors, without_wrappers
from frugalnas.networks.operations import operation
from frugalnas.networks.skeleton import build, skeleton_of
from frugalnas.networks.weightless import weightless
from frugalnas.registry import SPACES, constructor_options
from frugalnas.spaces import KNOWN, Codes, KnownArchitecture, SearchSpace

Match = Literal["auto", "names", "order"]

_PASSED_OVER = ("total_ops", "total_params")
"""Counters that thop adds to every module."""

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest
fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon
ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""


@dataclass(frozen=True)
class _Data:
    """What a published network was trained on."""

    size: int
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    names: tuple[str, ...] = ()
    channels: str = "RGB"

    def preprocessing(self, input_size: int) -> dict[str, Any]:
        """As `data.preprocess` takes it; photos are resized to 8/7 of the input size first, as all of the papers do."""
        resize = input_size if self.size == 32 else round(input_size * 8 / 7)
        return {
            "input_size": input_size,
            "resize": resize,
            "interpolation": "bilinear",
            "mean": list(self.mean),
            "std": list(self.std),
            "channels": self.channels,
        }


TRAINED_ON = {
    "cifar10": _Data(
        32, 10, (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768), tuple(_CIFAR10.split())
    ),
    "cifar100": _Data(32, 100, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), tuple(_CIFAR100.split())),
    "imagenet": _Data(224, 1000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "imagenet-abs": _Data(224, 1000, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), channels="BGR"),
    "imagenet-rlnas": _Data(224, 1000, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""How published networks saw their images: DARTS's and RelativeNAS's CIFAR and ImageNet; ABS's ImageNet, blue first and
0 to 255; and the ImageNet of RLNAS's DARTS networks, 0 to 1."""


@dataclass(frozen=True)
class ImportedWeights:
    """A published network.

    Attributes:
        network: in eval mode, with the card as its attribute `card`.
        card: as `save_model` takes it; its provenance names the file.
        notes: what was assumed, added or passed over, for people.
    """

    network: nn.Module
    card: ModelCard
    notes: tuple[str, ...] = ()


def import_weights(
    file: str | Path,
    space: SearchSpace | None = None,
    code: Codes | None = None,
    *,
    trained_on: str | None = None,
    classes: Sequence[str] | None = None,
    match: Match = "auto",
    key: str | None = None,
) -> ImportedWeights:
    """The network in a published checkpoint.

    What the tensors tell about the network's size is taken from them: width, number of cells, macro-structure and classes
    of a DARTS network, the classes of the others.

    Args:
        file: `.pt`, `.pth`, `.pth.tar` or `.safetensors`.
        space: that the architecture belongs to; without it the tensors must fit exactly one known architecture.
        code: the architecture, shape [genes]; the order of a node's two edges counts, since their names have it.
        trained_on: one of `TRAINED_ON`, for preprocessing and the names of the classes. By default that is CIFAR-10 or
            CIFAR-100 for networks of CIFAR's macro-structure and 10 or 100 classes, and nothing is said for others.
        classes: their names, in the order of the logits; those of `trained_on` by default.
        match: "names", "order" (each tensor with the next of the same kind and shape) or "auto": by order in chains of
            layers where the names are not ours, by names otherwise.
        key: where the tensors are in the file, for a file with several sets.

    Raises:
        FrugalnasError: where the file cannot be read without running what is in it, holds no weights, or those of another
            network; the first tensors that differ are named.

    Example:
        >>> space = fn.DARTS()                                                                # doctest: +SKIP
        >>> imported = import_weights("cifar10_model.pt", space, space.parse("RelativeNAS"))  # doctest: +SKIP
        >>> save_model("relativenas", imported.network, imported.card)                        # doctest: +SKIP
    """
    if match not in ("auto", "names", "order"):
        raise unknown_name("way to match tensors", match, ("auto", "names", "order"))
    notes: list[str] = []
    tensors = _cleaned(read_checkpoint(file, key), notes)
    if space is None or code is None:
        space, code = _recognised(tensors, str(file), notes)
    space = _resized(space, tensors, notes)
    card = ModelCard(space=described(space), architecture=space.format(code))
    network, card = _filled(card, space, tensors, match, str(file), notes)
    card = _with_data(card, space, trained_on, classes, notes)
    counts = count_network(network, card.input_size)
    card = replace(
        card,
        counts={"params": counts.params, "macs": counts.macs},
        provenance={"imported": Path(file).name, "notes": notes},
    )
    network.card = card  # type: ignore[assignment]  # torch's stubs know only tensors and modules
    return ImportedWeights(network.eval(), card, tuple(notes))


def _cleaned(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    named = without_wrappers(tensors)
    kept = {name: tensor for name, tensor in named.items() if name.rpartition(".")[2] not in _PASSED_OVER}
    if len(kept) < len(named):
        notes.append(f"{len(named) - len(kept)} counters of thop were passed over")
    return kept


# -- which network -----------------------------------------------------------------------------------------------------


def recognise(file: str | Path, *, key: str | None = None) -> tuple[str, ...]:
    """The names of the known architectures whose networks have just the tensors that a checkpoint holds.

    Which inputs a cell's operations read, and operations without weights, do not show in tensors, so that there may be
    several.
    """
    return tuple(known.name for known in _fitting(_cleaned(read_checkpoint(file, key), [])))


def _recognised(tensors: Mapping[str, Tensor], source: str, notes: list[str]) -> tuple[SearchSpace, Codes]:
    fitting = _fitting(tensors)
    if len(fitting) != 1:
        which = (
            ("it fits " + " and ".join(known.name for known in fitting)) if fitting else "it is none of the known ones"
        )
        raise FrugalnasError(f"{source} does not say which architecture it is of, and {which}; name the architecture")
    notes.append(f"taken for {fitting[0].name}, the only known architecture with these tensors")
    space: SearchSpace = SPACES.create({"name": fitting[0].space, "options": fitting[0].options})
    return space, space.parse(fitting[0].text)


def _fitting(tensors: Mapping[str, Tensor]) -> list[KnownArchitecture]:
    cells = any(name.startswith("cells.") for name in tensors)
    fits = _fits_cells if cells else _fits_chain
    return [
        known
        for known in KNOWN.values()
        if known.searchable and (known.space == "darts") == cells and fits(known, tensors)
    ]


def _fits_cells(known: KnownArchitecture, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the first normal and the first reduction cell have the tensors of a genotype's operations."""
    sizes = _sizes(tensors, darts=True)
    reductions = reduction_layers(sizes["layers"])
    normal = next((layer for layer in range(sizes["layers"]) if layer not in reductions), None)
    for layer, edges in ((normal, known.genotype.normal), (min(reductions), known.genotype.reduce)):
        if layer is None:
            continue
        prefix = f"cells.{layer}._ops."
        found = {name.removeprefix(prefix): tensor.shape for name, tensor in tensors.items() if name.startswith(prefix)}
        channels = len(tensors.get(f"cells.{layer}.preprocess1.op.1.weight", ()))
        with weightless():
            operations = [
                operation(name, channels, 2 if layer in reductions and state < 2 else 1) for name, state in edges
            ]
        own = nn.ModuleList(operations).state_dict()
        if {name: tensor.shape for name, tensor in own.items() if not _is_counter(name)} != {
            name: shape for name, shape in found.items() if not _is_counter(name)
        }:
            return False
    return True


def _fits_chain(known: KnownArchitecture, tensors: Mapping[str, Tensor]) -> bool:
    space: SearchSpace = SPACES.create({"name": known.space, "options": known.options})
    if not isinstance(skeleton_of(space), LayerSkeleton):
        return False
    try:
        space = _resized(space, tensors, [])
        with weightless():
            own = build(space, space.parse(known.text)).state_dict()
        _by_order(own, tensors, "", "")
    except FrugalnasError:
        return False
    return True


# -- the network -------------------------------------------------------------------------------------------------------


def _resized(space: SearchSpace, tensors: Mapping[str, Tensor], notes: list[str]) -> SearchSpace:
    """The space without limits, at the size that the tensors have."""
    known = constructor_options(type(space))
    sizes = {name: value for name, value in _sizes(tensors, darts="macro" in known).items() if name in known}
    description = SPACES.describe(space)
    options = description["options"]
    changed = {name: value for name, value in sizes.items() if options.get(name) != value}
    if "macro" in changed:
        changed["input_size"] = 224 if changed["macro"] == "imagenet" else 32
    if changed:
        notes.append("from the tensors: " + ", ".join(f"{name} {value}" for name, value in changed.items()))
    return SPACES.create({**description, "options": {**options, **changed}})


def _sizes(tensors: Mapping[str, Tensor], darts: bool) -> dict[str, Any]:
    """What the tensors say about the network, by the names of the space's options."""
    main = {name: tensor for name, tensor in tensors.items() if not name.startswith("auxiliary")}
    matrices = [tensor for tensor in main.values() if tensor.ndim == 2]
    sizes: dict[str, Any] = {"classes": len(matrices[-1])} if matrices else {}
    if not darts:
        return sizes
    if "classifier.weight" in main:
        sizes["classes"] = len(main["classifier.weight"])
    if (stem := main.get("stem.0.weight")) is not None:
        sizes.update(macro="cifar", width=len(stem) // 3)
    elif (stem := main.get("stem1.1.weight")) is not None:
        sizes.update(macro="imagenet", width=len(stem))
    cells = [int(found[1]) for name in main if (found := re.match(r"cells\.(\d+)\.", name))]
    return sizes | ({"layers": max(cells) + 1} if cells else {})


def _filled(
    card: ModelCard, space: SearchSpace, tensors: Mapping[str, Tensor], match: Match, source: str, notes: list[str]
) -> tuple[nn.Module, ModelCard]:
    """The network with the tensors in it, and the card with the kind of its auxiliary head."""
    heads = AUXILIARY_HEADS if any(name.startswith("auxiliary_head.") for name in tensors) else (None,)
    for head in heads:
        card = replace(card, build={"auxiliary": head})
        network = build_from_card(card)
        wanted = network.state_dict()
        counters = {name: tensor for name, tensor in wanted.items() if _is_counter(name)}
        # PyTorch before 0.4.1 did not write these; they play no part in any answer.
        named = dict(tensors) if counters.keys() & tensors.keys() else {**counters, **tensors}
        chain = isinstance(skeleton_of(space), LayerSkeleton)
        if match == "order" or (match == "auto" and chain and wanted.keys() != named.keys()):
            named = _by_order(wanted, tensors, source, card.architecture)
            notes.append("the names of the tensors differ; they were matched by the order of the layers")
        fits = wanted.keys() == named.keys() and all(wanted[name].shape == named[name].shape for name in wanted)
        if fits or head == heads[-1]:
            break
    load_tensors(network, named, source=source, architecture=card.architecture)
    return network, card


def _by_order(
    wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str, architecture: str
) -> dict[str, Tensor]:
    """The tensors under our names, each in the place of the next one; batch counters may be missing."""
    places = [name for name in wanted if not _is_counter(name)]
    found = [name for name in tensors if not _is_counter(name)]
    for place, name in zip(places, found, strict=False):
        if _kind(place) != _kind(name) or wanted[place].shape != tensors[name].shape:
            raise FrugalnasError(
                f"the weights in {source} are not of {architecture}: {name} {list(tensors[name].shape)} comes where {place} "
                f"{list(wanted[place].shape)} should"
            )
    if len(places) != len(found):
        raise FrugalnasError(
            f"the weights in {source} are not of {architecture}: they are {len(found)} tensors instead of {len(places)}"
        )
    counters = {name: tensor for name, tensor in wanted.items() if _is_counter(name)}
    return {**counters, **{place: tensors[name] for place, name in zip(places, found, strict=True)}}


def _is_counter(name: str) -> bool:
    """Whether a tensor counts the batches that a batch normalisation has seen."""
    return name.endswith("num_batches_tracked")


def _kind(name: str) -> str:
    """The last word of a name: "weight", "bias", "running_mean" or "running_var"."""
    return name.rpartition(".")[2]


# -- the card ----------------------------------------------------------------------------------------------------------


def _with_data(
    card: ModelCard, space: SearchSpace, trained_on: str | None, classes: Sequence[str] | None, notes: list[str]
) -> ModelCard:
    """The card with preprocessing and the names of the classes."""
    count = int(space.classes)  # type: ignore[attr-defined]
    if trained_on is None and getattr(space, "macro", None) == "cifar" and count in (10, 100):
        trained_on = f"cifar{count}"
        notes.append(f"taken to be trained on {trained_on}; where it was not, say what it was trained on (trained_on)")
    preprocessing: dict[str, Any] = {}
    names = list(classes) if classes is not None else [str(number) for number in range(count)]
    if trained_on is None:
        known = ", ".join(TRAINED_ON)
        notes.append(
            f"how it saw its images is not known; to predict with it say what it was trained on (trained_on: {known})"
        )
    else:
        if trained_on not in TRAINED_ON:
            raise unknown_name("data set", trained_on, TRAINED_ON)
        data = TRAINED_ON[trained_on]
        if data.classes != count:
            raise FrugalnasError(f"{trained_on} has {data.classes} classes, and this network has {count}")
        preprocessing = data.preprocessing(int(space.input_size))  # type: ignore[attr-defined]
        if classes is None and data.names:
            names = list(data.names)
    if len(names) != count:
        raise FrugalnasError(f"{len(names)} names were given for the {count} classes of this network")
    return replace(card, classes=tuple(names), preprocessing=preprocessing)
