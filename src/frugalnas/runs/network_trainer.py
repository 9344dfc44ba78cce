"""The training of one network under way: validated after every epoch, tested once at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.data import ImageData, Loader
from frugalnas.errors import Diverged
from frugalnas.files import write_atomically
from frugalnas.networks.operations import set_drop_path
from frugalnas.networks.saving import ModelCard, described, save_model, tensors_of
from frugalnas.runs.carrying import first_recipe
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.preparing import (
    build_network,
    build_options,
    evaluation_loader,
    initial_weights,
    load_teacher,
    training_loader,
    what_to_lower,
)
from frugalnas.runs.trainer import Book, Trainer
from frugalnas.runs.watching import TrainingCallback
from frugalnas.strict_json import to_json
from frugalnas.training import (
    EvaluationResult,
    Objective,
    Recipe,
    WeightStep,
    evaluate,
    load_recipe,
    read_tensors,
    watching_memory,
    write_tensors,
)

__all__ = ["NetworkTrainer", "network_identity", "run_training"]


def network_identity(folder: RunFolder) -> dict[str, Any]:
    """What a checkpoint must agree with to be one of this run's."""
    return {
        "architecture": folder.config["architecture"],
        "recipe": first_recipe(folder, Recipe),
        "seed": int(folder.config["seed"]),
        "initial weights": folder.config.get("initial"),
    }


class _Best(Book):
    """The epochs' records, and which epoch was the best."""

    def __init__(self) -> None:
        super().__init__()
        self.best = 0

    def add(self, record: dict[str, Any]) -> None:
        """Note a record; an epoch is the best by validation accuracy, the later of equals."""
        super().add(record)
        accuracy = record["val_accuracy"]
        before = self.records[self.best - 1]["val_accuracy"] if self.best else None
        if accuracy is not None and (before is None or accuracy >= before):
            self.best = record["epoch"]

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**super().state_dict(), "best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take them up again."""
        super().load_state_dict(state_dict)
        self.best = state_dict["best"]


class NetworkTrainer(Trainer):
    """One training of one network under way in one process; see `Trainer`."""

    book: _Best

    def _set_up(self) -> None:
        self.code = self.space.parse(self.folder.config["architecture"])
        self.average: ModelEmaV3 | None = None
        super()._set_up()
        if self.average is not None:
            self.state["average"] = self.average.module
        self.val_loader = evaluation_loader(self.data, self.data.val, self.recipe, self.fabric)

    def _book(self) -> Book:
        return _Best()

    def _network(self) -> nn.Module:
        bare = build_network(self.space, self.code, self.recipe, self.seed)
        bare.load_state_dict(initial_weights(self.folder))
        return bare

    def _batches(self) -> Loader:
        return training_loader(self.data, self.recipe, self.seed, self.fabric)

    def _step(self, network: nn.Module, optimizer: torch.optim.Optimizer, schedule: Scheduler) -> WeightStep:
        recipe, bare = self.recipe, self.bare
        if recipe.ema is not None:
            self.average = ModelEmaV3(bare, decay=recipe.ema, use_warmup=recipe.ema_warmup)
        return WeightStep(
            self.fabric,
            network,
            optimizer,
            schedule,
            recipe,
            self._objective(),
            average=self.average,
            set_drop_path=(lambda rate: set_drop_path(bare, rate)) if recipe.drop_path else None,
            memory_format=self.compute.memory_format,
        )

    def _identity(self) -> dict[str, Any]:
        return network_identity(self.folder)

    def _objective(self) -> Objective:
        device = self.fabric.device
        weights = None
        if self.recipe.class_weights:
            weights = torch.from_numpy(self.data.class_weights()).to(device)
        teacher = None if self.recipe.teacher is None else load_teacher(self.recipe.teacher).to(device)
        return Objective(self.recipe, len(self.data.classes), class_weights=weights, teacher=teacher)

    def _finished(self) -> bool:
        return (self.folder.path / "test.json").exists()

    def _measured(self, epoch: int) -> dict[str, Any]:
        val = self._evaluate(self.val_loader, "val")
        return {"val_loss": None if val is None else val.loss, "val_accuracy": None if val is None else val.top1}

    def _keep(self, record: dict[str, Any]) -> None:
        before = self.book.best
        super()._keep(record)
        if self.first and self.recipe.select == "best" and self.book.best == record["epoch"]:
            self._keep_best(record["epoch"], before)

    def _pause(self) -> float:
        # A forward pass is about a third of a training step.
        return 0.0 if self.val_loader is None else len(self.val_loader) / 3

    def _evaluate(self, batches: Loader | None, part: str) -> EvaluationResult | None:
        if batches is None:
            return None
        network = self.bare if self.average is None else self.average.module
        return evaluate(
            _Answering(self.fabric, network, self.step.memory_format),
            batches.epoch(0),
            self.data.classes,
            part,
            total=self._total,
        )

    def _total(self, counts: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return counts
        return cast(Tensor, self.fabric.all_reduce(counts, reduce_op="sum"))

    # -- what is written ---------------------------------------------------------------------------------------------

    @property
    def trained(self) -> nn.Module:
        """The network whose weights are the result: the average where the recipe takes one."""
        return self.bare if self.average is None else self.average.module

    def _keep_best(self, epoch: int, before: int) -> None:
        """Write the best weights; those of the epoch that was the best before stay, as the last checkpoint names them."""
        kept = [self._best(epoch), self._best(before)]
        kept[0].parent.mkdir(exist_ok=True)
        write_tensors(kept[0], tensors_of(self.trained), {"epoch": str(epoch)})
        for old in kept[0].parent.glob("best-*.safetensors"):
            if old not in kept:
                old.unlink(missing_ok=True)

    def _best(self, epoch: int) -> Path:
        return self.folder.path / "checkpoints" / f"best-{epoch:06d}.safetensors"

    def _finish(self) -> None:
        """Put the selected weights into the network, write the model, and look at the test images once, if they count."""
        self.fabric.barrier()  # the first process may still be writing the best weights
        selected = len(self.book.records)
        if self.recipe.select == "best" and self.book.best:
            selected = self.book.best
            tensors, _ = read_tensors(self._best(selected))
            self.trained.load_state_dict(tensors)
        part = self.data.test if self.folder.config.get("test", True) else None
        result = self._evaluate(evaluation_loader(self.data, part, self.recipe, self.fabric), "test")
        if result is not None and not math.isfinite(result.loss):
            raise Diverged(f"the test_loss is {result.loss}{self._mend()}")
        if self.first:
            save_model(self.folder.path / "model", self.trained, self._card(selected))
            test = None if result is None else result.to_json()
            record = {"selected": selected, "test": test}
            write_atomically(self.folder.path / "test.json", to_json(record))
        self.fabric.barrier()

    def _card(self, selected: int) -> ModelCard:
        config = self.folder.config
        return ModelCard(
            space=described(self.space),
            architecture=config["architecture"],
            build=build_options(self.recipe),
            classes=self.data.classes,
            preprocessing=dict(self.data.preprocessing),
            counts=dict(config["counts"]),
            provenance={
                "run": str(self.folder.path),
                "name": config["name"],
                "data": config["data"]["spec"],
                "fingerprint": config["data"]["fingerprint"],
                "recipe": self.recipe.to_json(),
                "seed": self.seed,
                "epoch": selected,
            },
        )


class _Answering(nn.Module):
    """A network in the fabric's precision and memory format."""

    def __init__(self, fabric: Fabric, network: nn.Module, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.fabric = fabric
        self.network = network
        self.memory_format = memory_format

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape [n, classes]."""
        with self.fabric.autocast():
            logits: Tensor = self.network(images.contiguous(memory_format=self.memory_format))
        return logits


def run_training(
    fabric: Fabric, path: Path, callbacks: Sequence[TrainingCallback], data: ImageData | None = None
) -> None:
    """Carry the training in a folder to its end, in each of the fabric's processes."""
    folder = RunFolder(path)
    with watching_memory(what_to_lower(load_recipe(folder.config["recipe"]))):
        try:
            NetworkTrainer(fabric, folder, callbacks, data).run()
        finally:
            folder.close()
