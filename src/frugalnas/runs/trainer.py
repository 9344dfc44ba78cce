"""One training under way, new or resumed: everything comes from its folder, and everything goes back there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.data import ImageData, Loader
from frugalnas.errors import FrugalnasError
from frugalnas.networks.operations import set_drop_path
from frugalnas.networks.saving import ModelCard, described, save_model, tensors_of
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.folder import RunFolder, write_atomically
from frugalnas.runs.preparing import (
    INITIAL,
    build_network,
    build_options,
    evaluation_loader,
    load_teacher,
    open_described,
    training_loader,
    what_to_lower,
)
from frugalnas.runs.watching import TimeLeft, TrainingCallback
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.training import (
    Checkpoints,
    EvaluationResult,
    Objective,
    Position,
    WeightStep,
    compiled,
    evaluate,
    fit,
    load_recipe,
    optimizer_for,
    read_tensors,
    schedule_for,
    watching_memory,
    write_tensors,
)

__all__ = ["Trainer", "run_training"]

SAVE_EVERY_S = 60.0


class Book:
    """What a training remembers beside weights: the epochs' records, and which epoch was the best."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.best = 0

    def add(self, record: dict[str, Any]) -> bool:
        """Whether the epoch is the best so far by validation accuracy; the later of equals is."""
        del self.records[record["epoch"] - 1 :]
        self.records.append(record)
        accuracy = record["val_accuracy"]
        before = self.records[self.best - 1]["val_accuracy"] if self.best else None
        if accuracy is None or (before is not None and accuracy < before):
            return False
        self.best = record["epoch"]
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"records": self.records, "best": self.best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take them up again."""
        self.records, self.best = list(state_dict["records"]), state_dict["best"]


class Trainer:
    """One training under way in one process.

    Args:
        fabric: launched.
        folder: the run's.
        callbacks: are told what happens, in the first process.
        data: already opened; None opens it.
    """

    def __init__(
        self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[TrainingCallback], data: ImageData | None = None
    ) -> None:
        config = folder.config
        self.fabric = fabric
        self.folder = folder
        self.first = fabric.global_rank == 0
        self.callbacks = list(callbacks) if self.first else []
        self.recipe = load_recipe(config["recipe"])
        self.space: SearchSpace = build_space(config["space"])
        self.code: Codes = self.space.parse(config["architecture"])
        self.seed = int(config["seed"])
        self.data = data or open_described(folder)
        self.flags: Mapping[str, Any] = config["device"]
        self.book = Book()
        self._set_up()

    def _set_up(self) -> None:
        recipe, fabric = self.recipe, self.fabric
        bare = build_network(self.space, self.code, recipe, self.seed)
        tensors, _ = read_tensors(self.folder.path / INITIAL)
        bare.load_state_dict(tensors)
        channels_last = bool(self.flags["channels_last"])
        if channels_last:
            bare.to(memory_format=torch.channels_last)
        optimizer = optimizer_for(recipe, bare)
        module = compiled(bare) if self.flags["compile"] else bare
        network, wrapped = fabric.setup(module, optimizer)
        self.bare, self.optimizer = bare, optimizer
        workers = int(self.folder.config["data"]["workers"])
        self.train_loader = training_loader(self.data, recipe, self.seed, fabric, workers)
        self.val_loader = evaluation_loader(self.data.val, recipe, fabric, workers)
        average = None
        if recipe.ema is not None:
            average = ModelEmaV3(bare, decay=recipe.ema, use_warmup=recipe.ema_warmup)
        self.average = average
        self.step = WeightStep(
            fabric,
            network,
            wrapped,
            schedule_for(recipe, optimizer, len(self.train_loader)),
            recipe,
            self._objective(),
            average=average,
            set_drop_path=(lambda rate: set_drop_path(bare, rate)) if recipe.drop_path else None,
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        self.state: dict[str, Any] = {"network": bare, "optimizer": _Optimizer(optimizer, bare), "book": self.book}
        if average is not None:
            self.state["average"] = average.module
        if self.flags["precision"] == "16":
            self.state["precision"] = fabric.strategy.precision  # its gradient scaler
        identity = {
            "architecture": self.folder.config["architecture"],
            "recipe": recipe.to_json(),
            "seed": self.seed,
            "initial weights": self.folder.config.get("initial"),
        }
        self.checkpoints = Checkpoints(self.folder.path / "checkpoints", identity)

    def _objective(self) -> Objective:
        device = self.fabric.device
        weights = None
        if self.recipe.class_weights:
            weights = torch.from_numpy(self.data.class_weights()).to(device)
        teacher = None if self.recipe.teacher is None else load_teacher(self.recipe.teacher).to(device)
        return Objective(self.recipe, len(self.data.classes), class_weights=weights, teacher=teacher)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, keep the selected weights, and test them once."""
        assert self.recipe.epochs is not None
        path = self.folder.path
        if not (path / "test.json").exists():
            self._fit(self.recipe.epochs)
            self._finish()

    def _fit(self, epochs: int) -> None:
        found = self.checkpoints.latest()
        if found is not None:
            self._mend_journal(found.state["book"]["records"])
        done = 0 if found is None else found.step
        self._watch = TimeLeft(len(self.train_loader), epochs, done, self._evaluation_steps())
        self._writer = self._tensorboard(done)
        for callback in self.callbacks:
            callback.on_start(epochs * len(self.train_loader), done, tuple(self.folder.config.get("notes", ())))
        try:
            fit(
                self.step,
                self.state,
                self.train_loader.epoch,
                epochs=epochs,
                steps_per_epoch=len(self.train_loader),
                seed=self.seed,
                checkpoints=self.checkpoints,
                save_every=SAVE_EVERY_S,
                on_epoch=self._on_epoch,
                on_step=self._on_step,
                writes=self.first,
                stream=self.fabric.global_rank,
            )
        finally:
            if self._writer is not None:
                self._writer.close()

    def _on_step(self, position: Position) -> None:
        left = self._watch.step(position.done + 1)
        for callback in self.callbacks:
            callback.on_step(position.done + 1, left)

    def _on_epoch(self, epoch: int, means: dict[str, float]) -> None:
        means = {name: self._mean(value) for name, value in means.items()}
        if not all(abs(value) < float("inf") for value in means.values()):
            raise FrugalnasError(
                f"the training loss of epoch {epoch + 1} is {means['loss']}: the training has diverged; lower lr (now "
                f"{self.recipe.lr:g}), set clip_norm, or take precision bf16 or 32"
            )
        val = self._evaluate(self.val_loader, "val")
        record: dict[str, Any] = {
            "epoch": epoch + 1,
            "lr": self.step.lr,
            "train_loss": means["loss"],
            "train_accuracy": means["accuracy"],
            "val_loss": None if val is None else val.loss,
            "val_accuracy": None if val is None else val.top1,
        }
        before, best = self.book.best, self.book.add(record)
        if not self.first:
            return
        if best and self.recipe.select == "best":
            self._keep_best(record["epoch"], before)
        if sum(1 for _ in self.folder.lines()) < record["epoch"]:
            self.folder.append(record)
            self.folder.append({"epoch": record["epoch"], "seconds": self._watch.lap()}, "timing.jsonl")
        self._draw(record)
        for callback in self.callbacks:
            callback.on_epoch(record)

    def _mean(self, value: float) -> float:
        if self.fabric.world_size == 1:
            return value
        own = torch.tensor(value, device=self.fabric.device)
        return float(cast(Tensor, self.fabric.all_reduce(own, reduce_op="mean")))

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

    def _evaluation_steps(self) -> float:
        """What the validation after an epoch takes, in training steps: a forward pass is about a third of one."""
        return 0.0 if self.val_loader is None else len(self.val_loader) / 3

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

    def _mend_journal(self, records: list[dict[str, Any]]) -> None:
        """Write the lines that a crash of the machine took from the journal, which the checkpoint has too."""
        if self.first:
            for record in records[sum(1 for _ in self.folder.lines()) :]:
                self.folder.append(record)

    def _tensorboard(self, done: int) -> Any:
        if not self.first:
            return None
        from torch.utils.tensorboard import SummaryWriter

        epoch = done // len(self.train_loader) + 1
        return SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=epoch)

    def _draw(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if name != "epoch" and value is not None:
                kind = name if name == "lr" else "/".join(reversed(name.split("_")))
                self._writer.add_scalar(kind, value, record["epoch"])
        self._writer.flush()

    def _finish(self) -> None:
        """Put the selected weights into the network, write the model, and look at the test images once."""
        self.fabric.barrier()  # the first process may still be writing the best weights
        selected = len(self.book.records)
        if self.recipe.select == "best" and self.book.best:
            selected = self.book.best
            tensors, _ = read_tensors(self._best(selected))
            self.trained.load_state_dict(tensors)
        if self.first:
            save_model(self.folder.path / "model", self.trained, self._card(selected))
        result = self._evaluate(
            evaluation_loader(self.data.test, self.recipe, self.fabric, int(self.folder.config["data"]["workers"])),
            "test",
        )
        if self.first:
            test = None if result is None else result.to_json()
            record = {"selected": selected, "test": test}
            write_atomically(self.folder.path / "test.json", json.dumps(record))
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


def run_training(
    fabric: Fabric, path: Path, callbacks: Sequence[TrainingCallback], data: ImageData | None = None
) -> None:
    """Carry the training in a folder to its end, in each of the fabric's processes."""
    folder = RunFolder(path)
    with watching_memory(what_to_lower(load_recipe(folder.config["recipe"]))):
        try:
            Trainer(fabric, folder, callbacks, data).run()
        finally:
            folder.close()
