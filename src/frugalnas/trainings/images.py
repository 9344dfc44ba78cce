"""A training on images under way: the network's step, its batches and its curves are set up from the run's folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from frugalnas.amounts import plural
from frugalnas.data import Augmentation, ImageData, Loader, Part, RandomLabels, Split, reopened
from frugalnas.errors import RunFolderError
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Proposal, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.spaces import SearchSpace
from frugalnas.tensors import write_tensors
from frugalnas.training import (
    Compute,
    Objective,
    Recipe,
    WeightStep,
    compiled,
    optimizer_for,
    schedule_for,
)
from frugalnas.trainings.restart import identity_of
from frugalnas.trainings.session import Session

StepT = TypeVar("StepT", bound=WeightStep)


class ImageSession(Session):
    """One training of a network or a supernet in one process; see `Session`.

    Child classes say what is trained (`network`), and how (`made`).

    Args:
        fabric: launched.
        folder: the run's.
        callbacks: are told what happens, in the first process.
        data: already open; None opens them.
    """

    recipe_class: ClassVar[type[Recipe]] = Recipe
    step: WeightStep

    def __init__(
        self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[Callback], data: ImageData | None = None
    ) -> None:
        super().__init__(fabric, folder, callbacks)
        self.recipe = self.recipe_class.load(folder.config["recipe"])
        assert self.recipe.epochs is not None
        self.epochs, self.lr = self.recipe.epochs, self.recipe.lr
        self.space: SearchSpace = build_space(folder.config["space"])
        self.data = data or open_described(folder)
        self.compute = Compute(**folder.config["device"])
        self.bare = self.network()
        self.train_loader = self._training_loader()
        self.steps_per_epoch = len(self.train_loader)
        self.batches = self.train_loader.epoch
        self.step, optimizer = self.made()
        self.step.begun = self.begun
        self.identity = identity_of(folder, self.recipe_class)
        self.state = {"network": self.bare, "optimizer": _Optimizer(optimizer, self.bare), "book": self.book}
        if self.compute.precision == "16":
            self.state["precision"] = fabric.strategy.precision  # its gradient scaler
        self._writer: Any = None

    # -- what child classes say --------------------------------------------------------------------------------------

    @abstractmethod
    def network(self) -> nn.Module:
        """What is trained, with the weights that it starts from."""

    @abstractmethod
    def made(self) -> tuple[WeightStep, torch.optim.Optimizer]:
        """How: the step of `bare`, and its optimiser."""

    def labels(self) -> RandomLabels | None:
        """Those that are drawn in place of the images' own; None takes the own ones."""
        return None

    @property
    def begun(self) -> int:
        """Epochs before the first one of the learning rate's schedule."""
        begun: int = (0, *self.folder.config.get("restarts", ()))[-1]
        return begun

    @property
    def scheduled(self) -> Recipe:
        """The recipe whose epochs the learning rate's schedule goes by."""
        return replace(self.recipe, epochs=self.epochs - self.begun)

    # -- as a session ------------------------------------------------------------------------------------------------

    @classmethod
    def to_lower(cls, folder: RunFolder) -> str:
        """See `Session.to_lower`."""
        recipe = cls.recipe_class.load(folder.config["recipe"])
        return (
            f"batch_size (now {recipe.batch_size}; lr in proportion), the network's width or the input size, raise "
            f"accumulate (now {recipe.accumulate}), or take precision bf16"
        )

    def about(self) -> list[tuple[str, str]]:
        """See `Session.about`: images and recipe."""
        recipe = self.recipe
        return [
            ("images", ", ".join(f"{len(part):,} {name}" for name, part in self.data.parts.items())),
            (
                "recipe",
                f"{recipe.name}: {plural(self.epochs, 'epoch')}, batches of {recipe.batch_size}, lr {recipe.lr:g}",
            ),
        ]

    def draw(self, record: Mapping[str, Any]) -> None:
        """Add the record to TensorBoard's curves."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=record["epoch"])
        for name, value in record.items():
            if name != "epoch" and value is not None:
                kind = name if name == "lr" else "/".join(reversed(name.split("_")))
                self._writer.add_scalar(kind, value, record["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._writer is not None:
            self._writer.close()

    def _training_loader(self) -> Loader:
        """Batches to train on, with labels of the images' own or drawn ones; this process's share of them."""
        return Loader(
            self.data.train,
            batch_size=self.recipe.batch_size,
            augmentation=Augmentation.of(self.recipe.augmentation),
            seed=self.seed,
            device=self.fabric.device,
            workers=self.data.workers,
            drop_last=True,
            share=self.share,
            labels=self.labels(),
        )

    def evaluation_loader(self, part: Part | None) -> Loader | None:
        """Batches to evaluate on, this process's share of them; None where there is no such part."""
        if part is None or not len(part):
            return None
        return Loader(
            part,
            batch_size=self.recipe.batch_size,
            device=self.fabric.device,
            workers=self.data.workers,
            share=self.share,
        )

    @property
    def share(self) -> tuple[int, int]:
        """Which of the devices' shares of a batch this process has, and how many there are."""
        return self.fabric.global_rank, self.compute.devices


def proposed_on_images(
    kind: RunKind, data: ImageData, config: Mapping[str, Any], weights: Mapping[str, Mapping[str, Tensor]]
) -> Proposal:
    """A training on images that could begin, with weights by the names of their files; the split is written beside them."""

    def fill(draft: Path) -> None:
        (draft / "split.json").write_text(data.split.to_json(), encoding="utf-8")
        for name, tensors in weights.items():
            (draft / name).parent.mkdir(exist_ok=True)
            write_tensors(draft / name, tensors, {})

    return Proposal(kind, {**config, "data": data.kept}, fill, {"data": data}, config["notes"])


def set_up(
    step: type[StepT],
    fabric: Fabric,
    compute: Compute,
    recipe: Recipe,
    network: nn.Module,
    objective: Objective,
    steps_per_epoch: int,
    *,
    scheduled: Recipe | None = None,
    **options: Any,
) -> tuple[StepT, torch.optim.Optimizer]:
    """The step that trains a network, laid out and wrapped by the fabric, and its bare optimiser.

    Args:
        step: its class.
        fabric: launched.
        compute: memory layout, and whether it is compiled.
        recipe: settled.
        network: with its first weights.
        objective: the loss.
        steps_per_epoch: of the schedule of the learning rate.
        scheduled: the recipe whose epochs the schedule goes by; None is `recipe`.
        **options: further arguments of the step.
    """
    if compute.channels_last:
        network.to(memory_format=torch.channels_last)
    optimizer = optimizer_for(recipe, network)
    wrapped, wrapped_optimizer = fabric.setup(compiled(network) if compute.compile else network, optimizer)
    schedule = schedule_for(scheduled or recipe, optimizer, steps_per_epoch)
    layout = compute.memory_format
    made = step(fabric, wrapped, wrapped_optimizer, schedule, recipe, objective, memory_format=layout, **options)
    return made, optimizer


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


class _Optimizer:
    """An optimiser whose state has the memory format of the weights after a checkpoint is taken up, too."""

    def __init__(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        self.optimizer = optimizer
        self.network = network

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up; tensors of a weight's shape are laid out as the weight is."""
        self.optimizer.load_state_dict(state_dict)
        for weight, state in self.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                    state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
