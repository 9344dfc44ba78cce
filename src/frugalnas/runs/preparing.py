"""What a training is about, checked and written down before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

import frugalnas
from frugalnas.data import (
    Augmentation,
    ImageData,
    Images,
    Loader,
    Part,
    RandomLabels,
    Split,
    mirrored_is_no_loss,
    opened,
    reopened,
)
from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.networks import build
from frugalnas.networks.checkpoints import import_weights
from frugalnas.networks.counting import count_network
from frugalnas.networks.saving import first_of, load, tensors_of
from frugalnas.registry import import_own
from frugalnas.runs.descriptions import describe_space
from frugalnas.runs.folder import RunFolder
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.tensors import digest, read_tensors, write_tensors
from frugalnas.training import Compute, Recipe, RecipeT, isolated, load_recipe, watching_memory
from frugalnas.trust import allow

__all__ = [
    "INITIAL",
    "Prepared",
    "build_network",
    "build_options",
    "check_compile",
    "counts_of",
    "describe",
    "evaluation_loader",
    "fill",
    "initial_weights",
    "load_teacher",
    "open_described",
    "prepare",
    "settled_for",
    "too_large",
    "training_loader",
    "warm_start",
    "what_to_lower",
]

BEARABLE = 10_000
"""Parameters for each training image above which a network from scratch is warned of."""
INITIAL = "checkpoints/initial.safetensors"
"""The weights that a training began with: written once, never again."""


@dataclass
class Prepared:
    """What a training is about, checked and with nothing left open."""

    architecture: Architecture
    recipe: Recipe
    data: ImageData
    notes: list[str] = field(default_factory=list)

    @property
    def space(self) -> SearchSpace:
        """With the sizes that the data ask for."""
        return self.architecture.space

    @property
    def code(self) -> Codes:
        """Shape [genes]."""
        return self.architecture.code


def prepare(
    architecture: Architecture,
    data: Images | ImageData | str | Path,
    recipe: str | Path,
    settings: Mapping[str, Any] | None,
    devices: int,
) -> Prepared:
    """A training's recipe, data and space fitted to each other; the arguments are those of `train`.

    Raises:
        FrugalnasError: where they do not fit.
    """
    wanted = load_recipe(recipe, settings)
    if wanted.teacher is not None and _is_import_path(wanted.teacher):
        allow("teacher", {"name": wanted.teacher})
    found = opened(data, wanted.normalisation)
    if len(found.classes) < 2 or not found.labelled:
        raise FrugalnasError(
            f"{found.name} has {len(found.classes)} classes; training needs two at least, one folder of images for each"
        )
    if wanted.teacher is not None and Path(wanted.teacher).expanduser().exists():
        wanted = replace(wanted, teacher=str(Path(wanted.teacher).expanduser().resolve()))
    wanted, decided = settled_for(wanted, found, devices)
    space = architecture.space.with_options(classes=len(found.classes), input_size=found.input_size)
    wanted, left_out = _fitting(space, architecture.code, wanted, settings or {})
    sized = replace(architecture, space=space)
    return Prepared(sized, wanted, found, [*found.notes, *decided, *left_out])


def settled_for(recipe: RecipeT, data: ImageData, devices: int) -> tuple[RecipeT, list[str]]:
    """A recipe with nothing left open that depends on the data, and what was decided about these."""
    settled = recipe.settled(len(data.train), devices)
    augmentation, notes = _augmentation(settled.augmentation, data)
    return replace(settled, augmentation=augmentation.to_dict()), notes


def _augmentation(settings: Mapping[str, Any], data: ImageData) -> tuple[Augmentation, list[str]]:
    """A recipe's augmentation, with its base filled in, and a note on what was decided."""
    own, notes = dict(settings), list[str]()
    base = own.pop("base", None)
    if base is None:
        return Augmentation.of(own), notes
    start = data.suggested if base == "suggested" else Augmentation.of(str(base))
    if base == "suggested" and data.mirrored is None and "flip" not in own:
        own["flip"], note = mirrored_is_no_loss(data)
        notes.append(note)
    return Augmentation.of({**start.to_dict(), **own}), notes


def _fitting(space: SearchSpace, code: Codes, recipe: Recipe, settings: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe without what the networks of this space do not have, and a note on each thing left out.

    What the user set himself is not left out but refused.
    """
    notes = []
    for name, nothing in (("auxiliary", None), ("drop_path", 0.0)):
        if not getattr(recipe, name) or name in settings:
            continue
        others: dict[str, Any] = {"auxiliary": None, "drop_path": 0.0, name: getattr(recipe, name)}
        try:
            with torch.device("meta"):
                build(space, code, **others)
        except FrugalnasError as error:
            left_out: dict[str, Any] = {name: nothing}
            recipe = replace(recipe, **left_out)
            notes.append(f"{name} of recipe {recipe.name} left out: {error}")
    return recipe, notes


def check_compile(recipe: Recipe, compile: bool) -> None:
    """Refuse what would compile a network again and again."""
    if compile and recipe.drop_path and recipe.drop_path_ramp:
        raise FrugalnasError(
            "with a drop-path probability that grows, --compile would compile the network anew in every epoch; set "
            "drop_path_ramp=false, or drop_path=0, or leave --compile out"
        )


def describe(
    prepared: Prepared,
    network: nn.Module,
    seed: int,
    compute: Compute,
    weights: Path | str | None,
    test: bool = True,
) -> dict[str, Any]:
    """What config.yaml says of a training."""
    data = prepared.data
    text = prepared.space.format(prepared.code)
    return {
        "frugalnas": frugalnas.__version__,
        "kind": "training",
        "space": describe_space(prepared.space),
        "architecture": text,
        "name": prepared.architecture.name or text,
        "counts": counts_of(network, data.input_size),
        "data": {**data.description, "workers": data.workers, "fingerprint": data.fingerprint},
        "recipe": prepared.recipe.to_json(),
        "seed": seed,
        "device": compute.to_json(),
        "weights": None if weights is None else str(weights),
        "initial": digest(tensors_of(network)),
        "notes": list(prepared.notes),
        **({} if test else {"test": False}),
    }


def fill(draft: Path, data: ImageData, network: nn.Module, initial: str = INITIAL) -> None:
    """Write what a run must have from the beginning: the split and the weights that it starts from."""
    (draft / "split.json").write_text(data.split.to_json(), encoding="utf-8")
    (draft / initial).parent.mkdir()
    write_tensors(draft / initial, tensors_of(network), {})


def initial_weights(folder: RunFolder, name: str = INITIAL) -> dict[str, Tensor]:
    """The weights that a run began with.

    Raises:
        FrugalnasError: where they are not there, or no longer what they were.
    """
    path = folder.path / name
    mend = "put it back, or train again in another folder"
    tensors, _ = read_tensors(path, mend)
    wanted = folder.config.get("initial")
    if wanted is not None and digest(tensors) != wanted:
        raise RunFolderError(
            f"{path} does not hold the weights that the run began with (sha256 {wanted[:12]}...); {mend}"
        )
    return tensors


def too_large(network: nn.Module, data: ImageData) -> list[str]:
    """A note where a network has far more parameters than the training images can bear; nothing else."""
    params = sum(parameter.numel() for parameter in network.parameters())
    if params <= BEARABLE * len(data.train):
        return []
    return [
        f"{params / 1e6:.1f} M parameters for {len(data.train)} training images: it will learn them by heart; a smaller "
        f"network (--width, --layers), more images, or trained weights to start from (--weights) would do better"
    ]


def warm_start(network: nn.Module, source: Path, space: SearchSpace, code: Codes) -> list[str]:
    """Put saved weights into a network; what was not taken, for the user.

    A classifier for another number of classes, and auxiliary heads that one side lacks, stay as they are.
    """
    if source.is_dir():
        saved = tensors_of(load(source))
    elif source.is_file():
        saved = tensors_of(import_weights(source, space, code).network)
    else:
        raise FrugalnasError(
            f"there are no weights at {source}; give a run's folder, a model's folder or a file of weights"
        )
    own = network.state_dict()
    taken: dict[str, Tensor] = {}
    anew, differing = [], []
    for name, tensor in own.items():
        if name in saved and saved[name].shape == tensor.shape:
            taken[name] = saved[name]
        elif "auxiliary" in name or (name in saved and _other_classes(tensor, saved[name], network)):
            anew.append(name)
        else:
            there = f"has shape {list(saved[name].shape)}" if name in saved else "is missing"
            differing.append(f"{name} {there} instead of {list(tensor.shape)}")
    differing += [f"{name} has no place" for name in saved if name not in own and "auxiliary" not in name]
    if differing:
        raise FrugalnasError(f"the weights in {source} are of another architecture: {first_of(differing)}")
    network.load_state_dict(taken, strict=False)
    notes = [f"weights from {source}"]
    return [*notes, f"starting anew: {', '.join(anew)}"] if anew else notes


def _other_classes(own: Tensor, saved: Tensor, network: nn.Module) -> bool:
    """Whether two tensors differ in the number of classes only."""
    *_, last = network.state_dict().values()
    return own.shape[1:] == saved.shape[1:] and own.ndim in (1, 2, 4) and own.shape[0] == last.shape[0]


def open_described(folder: RunFolder) -> ImageData:
    """The data of a run, with its split.

    Raises:
        RunFolderError: where the data are no longer what the run began with.
    """
    described: dict[str, Any] = dict(folder.config["data"])
    fingerprint = described.pop("fingerprint")
    file = folder.kept("split.json")
    try:
        split = Split.from_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):  # of an older run: others notice by its digest
        raise RunFolderError(f"{file} is gone or damaged; put it back, or start another run") from None
    data = reopened(described, split, described.pop("workers", 0))
    if data.fingerprint != fingerprint:
        raise RunFolderError(
            f"the data at {described['spec']} have changed since {folder.path} began; put back what was there, or start "
            f"another run"
        )
    return data


def what_to_lower(recipe: Recipe) -> str:
    """The settings that make a training need less memory, for `watching_memory`."""
    return (
        f"batch_size (now {recipe.batch_size}; lr in proportion), the network's width or the input size, raise accumulate "
        f"(now {recipe.accumulate}), or take precision bf16"
    )


def build_options(recipe: Recipe) -> dict[str, Any]:
    """What `networks.build` is told besides space and code."""
    return {"auxiliary": recipe.auxiliary, "drop_path": recipe.drop_path, "dropout": recipe.dropout}


def build_network(space: SearchSpace, code: Codes, recipe: Recipe, seed: int) -> nn.Module:
    """The network as it is before training, a function of the seed."""
    with isolated(seed), watching_memory("the network's width"):
        return build(space, code, **build_options(recipe))


def load_teacher(source: str) -> nn.Module:
    """The network to distil from: a model's folder, or `package.module:function` that makes one."""
    teacher = import_own("teacher", source)() if _is_import_path(source) else load(source)
    if not isinstance(teacher, nn.Module):
        raise FrugalnasError(f"the teacher {source} is a {type(teacher).__name__}, not a torch module")
    return teacher.eval().requires_grad_(False)


def _is_import_path(teacher: str) -> bool:
    return ":" in teacher and not Path(teacher).exists()


def training_loader(
    data: ImageData, recipe: Recipe, seed: int, fabric: Fabric, labels: RandomLabels | None = None
) -> Loader:
    """Batches to train on, with labels of the images' own or drawn ones; this process's share of them."""
    return Loader(
        data.train,
        batch_size=recipe.batch_size,
        augmentation=Augmentation.of(recipe.augmentation),
        seed=seed,
        device=fabric.device,
        workers=data.workers,
        drop_last=True,
        share=(fabric.global_rank, fabric.world_size),
        labels=labels,
    )


def evaluation_loader(data: ImageData, part: Part | None, recipe: Recipe, fabric: Fabric) -> Loader | None:
    """Batches to evaluate on, this process's share of them; None where there is no such part."""
    if part is None or not len(part):
        return None
    return Loader(
        part,
        batch_size=recipe.batch_size,
        device=fabric.device,
        workers=data.workers,
        share=(fabric.global_rank, fabric.world_size),
    )


def counts_of(network: nn.Module, input_size: int) -> dict[str, float]:
    """Counts: "params" without auxiliary head, and "macs" of one image."""
    counts = count_network(network, input_size)
    return {"params": counts.params, "macs": counts.macs}
