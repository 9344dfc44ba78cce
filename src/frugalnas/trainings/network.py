"""Train a network from scratch: its session, what it comes to, and the run that holds it.

Everything here is in a run's folder: `train` writes down what is to be done and then does what resuming does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from timm.utils import ModelEmaV3  # type: ignore[attr-defined]
from torch import Tensor, nn

from frugalnas.data import ImageData, Images, Loader
from frugalnas.documents import read_json
from frugalnas.errors import Diverged, FrugalnasError, RunFolderError
from frugalnas.files import write_atomically
from frugalnas.networks import build
from frugalnas.networks.counting import count_network
from frugalnas.networks.models import ModelCard, described, save_model, tensors_of
from frugalnas.networks.operations import set_drop_path
from frugalnas.runs.descriptions import describe_space
from frugalnas.runs.folder import RunFolder, fresh
from frugalnas.runs.kinds import Proposal, load_run
from frugalnas.runs.progress import Callback
from frugalnas.spaces import Architecture, Codes
from frugalnas.spaces.sizes import cost_rows
from frugalnas.strict_json import to_json
from frugalnas.tensors import digest
from frugalnas.training import (
    Compute,
    EvaluationResult,
    Objective,
    Recipe,
    WeightStep,
    evaluate,
    isolated,
    read_tensors,
    watching_memory,
    write_tensors,
)
from frugalnas.trainings.images import ImageSession, proposed_on_images, set_up
from frugalnas.trainings.kinds import TrainingKind
from frugalnas.trainings.result import Trained, facts_of
from frugalnas.trainings.session import Book
from frugalnas.trainings.subject import fit_network, subject
from frugalnas.trainings.teacher import load_teacher
from frugalnas.trainings.weights import initial_weights, too_large, warm_start
from frugalnas.trust import give

INITIAL = "checkpoints/initial.safetensors"
"""The weights that a training began with: written once, never again."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Trained):
    """What the training of a network has come to.

    Records of epochs also have "val_loss" and "val_accuracy", None without validation images.

    Attributes:
        code: the architecture, shape [genes].
        architecture: its text, or the known name it was asked for by.
        test: on the test images, once, at the end; None before that, and where there are none or they were not asked for.
        selected: the epoch whose weights are the result; 0 before the first one.
        params: without auxiliary head.
        macs: multiply-adds of one image.
    """

    code: Codes
    architecture: str
    test: EvaluationResult | None
    selected: int
    params: int
    macs: int

    @property
    def model(self) -> Path:
        """The folder of the finished model, which `load` and `frugalnas export` read."""
        return self.run_dir / "model"

    def to_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "run": str(self.run_dir),
            "architecture": self.space.format(self.code),
            "name": self.architecture,
            "space": self.space.name,
            "code": [int(value) for value in self.code],
            **{name: getattr(self, name) for name in ("params", "macs", "finished", "diverged")},
            "epochs": len(self.epochs),
            **{name: getattr(self, name) for name in ("total_epochs", "selected", "seconds")},
            "last": self.epochs[-1] if self.epochs else {},
            "test": None if self.test is None else self.test.to_json(),
            "notes": list(self.notes),
        }


def train(
    architecture: Architecture,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    weights: Path | str | None = None,
    test: bool = True,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """The result of training one architecture.

    Args:
        architecture: its space's sizes are kept, but for the classes and the input size, which the data decide.
        data: a name ("digits", "cifar10", ...), a path, or more about how they are read; those already open are taken as
            they are.
        recipe: a name (`Recipe.sources()` lists them) or a YAML file.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30, "augmentation.cutout": 8}; text is read as YAML.
        compute: where, and how exactly.
        seed: of weights, order and augmentation; a split has its own.
        weights: start from these: a run's folder, a model's folder, a safetensors file or a published checkpoint; a
            classifier for other classes starts anew.
        test: whether the test images are looked at, once, at the end; a network that is only to be compared with others
            has no business with them.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.
    """
    fresh(run_dir)
    how: dict[str, Any] = {"settings": settings, "compute": compute, "seed": seed, "weights": weights, "test": test}
    proposal = proposed_training(architecture, data, recipe, **how)
    result: TrainingResult = proposal.start(run_dir=run_dir, callbacks=callbacks)
    return result


def proposed_training(
    architecture: Architecture,
    data: Images | ImageData | str | Path = "digits",
    recipe: str | Path = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    weights: Path | str | None = None,
    test: bool = True,
) -> Proposal:
    """What `train` with the same arguments would begin."""
    compute = compute.here()
    give(settings)
    fit = partial(fit_network, architecture, settings or {})
    fitted = subject(Recipe, fit, data, recipe, settings, compute.devices)
    check_compile(fitted.recipe, compute)
    sized = Architecture(fitted.space, architecture.code)
    network = build_network(sized, fitted.recipe, seed)
    notes = too_large(network, fitted.data) if weights is None else warm_start(network, Path(weights), sized)
    config = {
        "space": describe_space(fitted.space),
        "architecture": sized.text,
        "name": architecture.name or sized.text,
        "counts": counts_of(network, fitted.data.input_size),
        "recipe": fitted.recipe.to_json(),
        "seed": seed,
        "device": compute.to_json(),
        "weights": None if weights is None else str(weights),
        "initial": digest(tensors_of(network)),
        "notes": [*fitted.notes, *notes],
        **({} if test else {"test": False}),
    }
    begun = {INITIAL: tensors_of(network)}
    return proposed_on_images(TrainingKind(), fitted.data, config, begun)


def load_training(run_dir: Path | str, *, trust: bool = False) -> TrainingResult:
    """What a training has come to so far, from its folder alone; nothing is computed."""
    result: TrainingResult = load_run(run_dir, "training", trust=trust)
    return result


def read_training(folder: RunFolder) -> TrainingResult:
    """See `load_training`."""
    config, facts = folder.config, facts_of(folder)
    test, selected, final = None, len(facts["epochs"]), folder.path / "test.json"
    try:
        if facts["finished"]:
            said = read_json(final.read_text(encoding="utf-8"), "test.json")
            test = None if said["test"] is None else EvaluationResult.from_json(said["test"])
            selected = said["selected"]
    except (ValueError, KeyError, TypeError):
        raise RunFolderError(f"{final} is damaged; remove it and resume to test again") from None
    return TrainingResult(
        **facts,
        code=facts["space"].parse(config["architecture"]),
        architecture=config["name"],
        test=test,
        selected=selected,
        params=int(config["counts"]["params"]),
        macs=int(config["counts"]["macs"]),
    )


def build_network(architecture: Architecture, recipe: Recipe, seed: int) -> nn.Module:
    """The network as it is before training, a function of the seed."""
    with isolated(seed), watching_memory("the network's width"):
        return build(architecture.space, architecture.code, **_build_options(recipe))


def counts_of(network: nn.Module, input_size: int) -> dict[str, float]:
    """Counts: "params" without auxiliary head, and "macs" of one image."""
    counts = count_network(network, input_size)
    return {"params": counts.params, "macs": counts.macs}


def check_compile(recipe: Recipe, compute: Compute) -> None:
    """Refuse what would compile a network again and again."""
    if compute.compile and recipe.drop_path and recipe.drop_path_ramp:
        raise FrugalnasError(
            "with a drop-path probability that grows, `compile` would compile the network anew in every epoch; take "
            "`drop_path_ramp`=false or `drop_path`=0, or leave `compile` out"
        )


def _build_options(recipe: Recipe) -> dict[str, Any]:
    """What `networks.build` is told besides space and code."""
    return {"auxiliary": recipe.auxiliary, "drop_path": recipe.drop_path, "dropout": recipe.dropout}


# -- under way -----------------------------------------------------------------------------------------------------------


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


class NetworkSession(ImageSession):
    """One training of one network in one process: validated after every epoch, tested once at the end."""

    book: _Best

    def __init__(
        self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[Callback], data: ImageData | None = None
    ) -> None:
        super().__init__(fabric, folder, callbacks, data)
        if self.average is not None:
            self.state["average"] = self.average.module
        self.val_loader = self.evaluation_loader(self.data.val)
        # A forward pass is about a third of a training step.
        self.pause = 0.0 if self.val_loader is None else len(self.val_loader) / 3

    def records(self) -> Book:
        """The epochs' records, and which epoch was the best."""
        return _Best()

    def about(self) -> list[tuple[str, str]]:
        """See `Session.about`: the architecture and what it costs."""
        config = self.folder.config
        return [("architecture", config["name"]), *cost_rows(self.space, **config["counts"]), *super().about()]

    def network(self) -> nn.Module:
        """The network with the weights that the run began with."""
        code = self.space.parse(self.folder.config["architecture"])
        bare = build_network(Architecture(self.space, code), self.recipe, self.seed)
        bare.load_state_dict(initial_weights(self.folder, INITIAL))
        return bare

    def made(self) -> tuple[WeightStep, torch.optim.Optimizer]:
        """Its step, with an average of the weights where the recipe takes one."""
        recipe, bare, device = self.recipe, self.bare, self.fabric.device
        weights = torch.from_numpy(self.data.class_weights()).to(device) if recipe.class_weights else None
        teacher = None if recipe.teacher is None else load_teacher(recipe.teacher).to(device)
        step, optimizer = set_up(
            WeightStep,
            self.fabric,
            self.compute,
            recipe,
            bare,
            Objective(recipe, len(self.data.classes), class_weights=weights, teacher=teacher),
            self.steps_per_epoch,
            scheduled=self.scheduled,
            set_drop_path=(lambda rate: set_drop_path(bare, rate)) if recipe.drop_path else None,
        )
        average = None if recipe.ema is None else ModelEmaV3(bare, decay=recipe.ema, use_warmup=recipe.ema_warmup)
        self.average = step.average = average
        return step, optimizer

    def measured(self, epoch: int) -> dict[str, Any]:
        """Loss and accuracy of the validation images, None where there are none."""
        val = self._evaluate(self.val_loader, "val")
        return {"val_loss": None if val is None else val.loss, "val_accuracy": None if val is None else val.top1}

    def keep(self, record: dict[str, Any]) -> None:
        """Note the record, and write the weights where they are the best so far."""
        before = self.book.best
        super().keep(record)
        if self.first and self.recipe.select == "best" and self.book.best == record["epoch"]:
            self._keep_best(record["epoch"], before)

    def _evaluate(self, batches: Loader | None, part: str) -> EvaluationResult | None:
        if batches is None:
            return None
        network = self.bare if self.average is None else self.average.module
        return evaluate(
            _Answering(self.fabric, network, self.compute.memory_format),
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

    def finish(self) -> None:
        """Put the selected weights into the network, write the model, and look at the test images once, if they count."""
        self.fabric.barrier()  # the first process may still be writing the best weights
        selected = len(self.book.records)
        if self.recipe.select == "best" and self.book.best:
            selected = self.book.best
            tensors, _ = read_tensors(self._best(selected))
            self.trained.load_state_dict(tensors)
        part = self.data.test if self.folder.config.get("test", True) else None
        result = self._evaluate(self.evaluation_loader(part), "test")
        if result is not None and not math.isfinite(result.loss):
            raise Diverged(f"the test_loss is {result.loss}{self.mend()}")
        if self.first:
            save_model(self.folder.path / "model", self.trained, self._card(selected))
            test = None if result is None else result.to_json()
            record = {"selected": selected, "test": test}
            write_atomically(self.folder.path / "test.json", to_json(record))

    def _card(self, selected: int) -> ModelCard:
        config = self.folder.config
        return ModelCard(
            space=described(self.space),
            architecture=config["architecture"],
            build=_build_options(self.recipe),
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
