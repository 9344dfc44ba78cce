"""Trainings as kinds of runs: of a network, of a supernet, of an encoder. Nothing here imports torch before it is carried out."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from frugalnas.documents import Whole
from frugalnas.errors import Diverged
from frugalnas.runs.descriptions import build_space
from frugalnas.runs.fields import PART
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Plan, Proposal, Row, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.spaces import Architecture
from frugalnas.trainings.result import epochs_of
from frugalnas.trust import import_object

_DEVICE = {"device": str, "devices": int, "precision": str}
_ON_IMAGES = {
    "space": PART,
    "data": {"spec": str, "fingerprint": str, "workers?": int, "input_size?": int | None, "root?": str | None},
    "recipe": {"epochs": int, "batch_size": int, "name": str},
    "seed": Whole(),
    "device": _DEVICE,
    "notes?": list[str],
}
_EPOCH = {"epoch": int, "train_loss": float | None, "train_accuracy?": float | None, "angle?": float | None}


def weights_file(epoch: int) -> str:
    """Where a supernet's run keeps the weights after an epoch; epoch 0 has the initial ones, written once and never again."""
    return f"weights/epoch-{epoch:06d}.safetensors"


class SessionKind(RunKind):
    """What trainings have in common: devices that they are carried out on, a line an epoch, and what may change.

    Attributes:
        session: import path of the class that carries one out.
        reads: import path of the function that reads a result from a folder.
        recipe: import path of the class of recipe.
        unused: whether some weights have no gradient in a step.
        again: what to do about a training that diverged; {run} is its folder.
    """

    line: ClassVar[Mapping[str, Any]] = _EPOCH
    changes: ClassVar[tuple[str, ...]] = ("device", "epochs", "lr")
    instead: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("queries", "seconds"), "it has none; `epochs` has it go on for longer"
    )
    session: ClassVar[str]
    reads: ClassVar[str]
    recipe: ClassVar[str] = "frugalnas.training:Recipe"
    doing = "training"
    leaves = ("checkpoints/step-*",)
    unused: ClassVar[bool] = False
    again: ClassVar[str] = "frugalnas resume {run} --lr X goes on from there at another rate"

    @abstractmethod
    def last(self, folder: RunFolder) -> Path:
        """The file that is there when nothing is left to do."""

    def finished(self, folder: RunFolder) -> bool:
        """Whether nothing is left to do."""
        return self.last(folder).exists()

    def load(self, folder: RunFolder) -> Any:
        """The result so far, from the folder alone."""
        return import_object(self.reads)(folder)

    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> None:
        """Carry a training to its end on its devices; several open their own images."""
        from frugalnas.training import Compute, launched
        from frugalnas.trainings.session import run_session

        with folder.held():
            if not self.finished(folder):
                compute = Compute(**folder.config["device"])
                handed = {} if compute.devices > 1 else handed
                fabric, session = compute.fabric(unused=self.unused), import_object(self.session)
                launched(fabric, run_session, session, folder.path, callbacks, handed)

    def plan(self, proposal: Proposal) -> Plan:
        """What a training would do, from a few of its steps."""
        from frugalnas.trainings.plan import planned

        return planned(proposal, import_object(self.session), self.unused)

    def change(self, folder: RunFolder, device: str | None = None, **schedule: Any) -> None:
        """Go on on another device, to other epochs or at another learning rate; what diverged does not go on unchanged."""
        if device is not None or schedule:
            from frugalnas.trainings.restart import moved, restated

            if device is not None:
                moved(folder, device)
            if schedule:
                recipe = import_object(self.recipe)
                restated(folder, recipe, schedule.get("epochs"), schedule.get("lr"), self.last(folder))
            return
        diverged = epochs_of(folder)[1]
        if diverged is not None:  # with nothing changed it would come again
            raise Diverged(f"{diverged}; {self.again.format(run=folder.path)}")

    def row(self, folder: RunFolder) -> Row:
        """What it is about, how many epochs are done, and how good it has become."""
        epochs, diverged = epochs_of(folder)
        on, best = self.facts(folder, epochs)
        done = f"{len(epochs)} of {folder.config['recipe']['epochs']} epochs{', diverged' if diverged else ''}"
        return Row(on, done, best)

    @abstractmethod
    def facts(self, folder: RunFolder, epochs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """What a run is about, and how good it has become in these epochs; "" where there are none."""


class TrainingKind(SessionKind):
    """The training of a network from scratch."""

    name = "training"
    config: ClassVar[Mapping[str, Any]] = {
        **_ON_IMAGES,
        "architecture": str,
        "name": str,
        "counts": {"params": float, "macs": float},
        "weights?": str | None,
        "test?": bool,
    }
    line: ClassVar[Mapping[str, Any]] = {**_EPOCH, "val_loss?": float | None, "val_accuracy?": float | None}
    report = "frugalnas.report.training:training_page"
    no_network = "one has it at its end: frugalnas resume {run} continues it"
    session = "frugalnas.trainings.network:NetworkSession"
    reads = "frugalnas.trainings.network:read_training"

    def last(self, folder: RunFolder) -> Path:
        """See `SessionKind.last`."""
        return folder.path / "test.json"

    def architecture(self, folder: RunFolder, query: int | None = None) -> Architecture:
        """What was trained, with the sizes of its network."""
        if query is not None:
            return super().architecture(folder, query)
        space = build_space(folder.config["space"])
        return Architecture(space, space.parse(folder.config["architecture"]), str(folder.config["name"]))

    def facts(self, folder: RunFolder, epochs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """The images, and the test accuracy, or so far the best on the validation images."""
        validation = [record["val_accuracy"] for record in epochs if record.get("val_accuracy") is not None]
        best = f"{max(validation):.2f} % val" if validation else ""
        with suppress(OSError, ValueError, KeyError, TypeError):
            test = json.loads(self.last(folder).read_text(encoding="utf-8"))["test"]
            best = f"{test['top1']:.2f} % test"
        return Path(folder.config["data"]["spec"]).name, best


class SupernetKind(SessionKind):
    """The training of a supernet, on one path at a time."""

    name = "supernet"
    config: ClassVar[Mapping[str, Any]] = {**_ON_IMAGES, "initial": str}
    report = "frugalnas.report.training:supernet_page"
    no_network = "rank its architectures with frugalnas score {run}, then train one"
    session = "frugalnas.trainings.supernet:SupernetSession"
    reads = "frugalnas.trainings.supernet:read_supernet"
    recipe = "frugalnas.supernets:SupernetRecipe"
    unused = True

    def last(self, folder: RunFolder) -> Path:
        """See `SessionKind.last`."""
        return folder.path / weights_file(folder.config["recipe"]["epochs"])

    def facts(self, folder: RunFolder, epochs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """Space and images, and in place of a best value how far the weights have turned."""
        on = f"{folder.config['space']['name']}, {Path(folder.config['data']['spec']).name}"
        return on, f"{epochs[-1]['angle']:.3f} rad" if epochs else ""


class PretrainingKind(SessionKind):
    """The pre-training of an encoder on architectures alone."""

    name = "pretraining"
    config: ClassVar[Mapping[str, Any]] = {
        "space": PART,
        "task": str,
        "recipe": {"epochs": int, "name": str},
        "seed": Whole(),
        "device": str | Mapping[str, Any],
    }
    changes: ClassVar[tuple[str, ...]] = ("device",)
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("epochs", "lr"), "it keeps its recipe; start another one for more"),
        **dict.fromkeys(("queries", "seconds"), "it has none, and it keeps its epochs; start another one for more"),
    }
    report = "frugalnas.report.training:pretraining_page"
    session = "frugalnas.trainings.encoder:EncoderSession"
    reads = "frugalnas.trainings.encoder:read_pretraining"
    again = "pre-train anew at a lower rate"

    def last(self, folder: RunFolder) -> Path:
        """See `SessionKind.last`."""
        return folder.path / "card.json"

    def facts(self, folder: RunFolder, epochs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """The space, and in place of a best value the accuracy at the task itself."""
        config = folder.config
        best = f"{epochs[-1]['train_accuracy']:.2f} % of {config['task']}" if epochs else ""
        return config["space"]["name"], best
