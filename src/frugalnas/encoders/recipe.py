"""How an encoder is pre-trained: the papers' settings and ours as YAML files, and what a user changes in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from typing_extensions import Self

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.recipe_files import Settings

TASKS = ("ss-ccl", "ss-rl")
"""Central contrastive learning, and regression of the graph edit distance of pairs."""


@dataclass(frozen=True)
class PretrainingRecipe(Settings):
    """Every setting of an encoder's pre-training; a YAML file is these by name.

    Attributes:
        name: of the recipe.
        source: where its values come from.
        task: "ss-ccl" or "ss-rl".
        epochs: passes over the architectures.
        pool: architectures drawn from a space that cannot be listed; a space that can is taken whole.
        share: of them that is used, drawn by the seed.
        batch: architectures compared with each other (ss-ccl), or pairs (ss-rl), per step, over all devices; at most as
            many as there are.
        width: of the encoder, as `GINEncoder` takes it; so are `layers`, `directions` and `activation`.
        lr: learning rate of Adam at the top of a cosine that ends at 0.
        beta1: of Adam.
        beta2: of Adam.
        weight_decay: of Adam, which adds it to the gradient.
        bias_lr: times lr is the learning rate of biases; where it is not 1, they have no weight decay.
        per_step: whether the cosine moves with every step; else with every epoch.
        anchors: of a batch, ss-ccl.
        anchors_per_step: None takes a batch's anchors together, on one encoding of it. A number takes a step, and
            encodes the batch again, for so many of them, as the paper's program does.
        hidden: width of the map to the compared vectors, ss-ccl.
        dimension: of these.
        temperature: see `CentralContrast`; so are `regularisation`, `margin`, `anchor_is_positive` and `min_negatives`.
        pairs: in an epoch of ss-rl; None: as many as architectures.
        near: share of the pairs whose second architecture is the first after one to `edits` edits, ss-rl; the rest are two
            architectures drawn independently.
        edits: of these.
        scale: what the edit distance is divided by before exp(-distance) is the target of ss-rl: "vertices" of a graph,
            as in the paper, or "mean", the mean distance of two architectures drawn independently. "raw" has the distance
            itself as the target, and an output that may be any number: what the paper compares with. Its program puts raw
            distances under a sigmoid, which cannot tell any beyond 1.
    """

    name: str = "custom"
    source: str = ""
    task: Literal["ss-ccl", "ss-rl"] = "ss-ccl"
    epochs: int = 100
    pool: int = 50_000
    share: float = 1.0
    batch: int = 4_000
    width: int = 32
    layers: int = 3
    directions: Literal["in", "both"] = "in"
    activation: Literal["relu", "celu"] = "relu"
    lr: float = 0.005
    beta1: float = 0.0
    beta2: float = 0.9
    weight_decay: float = 1e-4
    bias_lr: float = 1.0
    per_step: bool = True
    anchors: int = 1_000
    anchors_per_step: int | None = None
    hidden: int = 32
    dimension: int = 8
    temperature: float = 0.07
    regularisation: float = 0.5
    margin: int = 1
    anchor_is_positive: bool = True
    min_negatives: int | None = None
    pairs: int | None = None
    near: float = 0.0
    edits: int = 4
    scale: Literal["vertices", "mean", "raw"] = "vertices"

    package: ClassVar[str] = "frugalnas.encoders"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "epochs": (1, 1e6),
        "pool": (2, 1e9),
        "share": (1e-6, 1),
        "batch": (2, 1e7),
        "width": (1, 1e5),
        "layers": (1, 100),
        "lr": (0, 1e3),
        "beta1": (0, 0.999999),
        "beta2": (0, 0.999999),
        "weight_decay": (0, 10),
        "bias_lr": (0, 100),
        "anchors": (1, 1e7),
        "anchors_per_step": (1, 1e7),
        "hidden": (1, 1e5),
        "dimension": (2, 1e5),
        # Temperatures below would put the least similarities out of a float's range.
        "temperature": (0.02, 100),
        "regularisation": (0, 1e3),
        "margin": (0, 1e4),
        "min_negatives": (1, 1e7),
        "pairs": (2, 1e9),
        "near": (0, 1),
        "edits": (1, 100),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchors > self.batch and self.task == "ss-ccl":
            raise FrugalnasError(f"anchors is {self.anchors}, more than the {self.batch} of a batch; lower it")
        _check_negatives(self.min_negatives, self.batch)

    @classmethod
    def load(
        cls,
        recipe: str | Path | Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        *,
        task: str | None = None,
        space: str | None = None,
    ) -> Self:
        """A recipe with some of its settings replaced; see `Settings.load`.

        Args:
            recipe: as there; "default" and "paper" mean those of task and space.
            settings: as there.
            task: that the recipe must be of; None takes any.
            space: name of the space, for "default" and "paper".

        Example:
            >>> PretrainingRecipe.load("paper", {"epochs": 10}, task="ss-ccl", space="nasbench101").batch
            40000
        """
        if task is not None and task not in TASKS:
            raise unknown_name("task of pre-training", task, TASKS)
        if recipe in ("default", "paper"):
            recipe = _name_for(str(recipe), task or TASKS[0], space)
        loaded = super().load(recipe, settings)
        if task is not None and loaded.task != task:
            raise FrugalnasError(f"the recipe {loaded.name} is of {loaded.task}, not of {task}; choose another recipe")
        return loaded

    def settled(self, architectures: int, devices: int = 1) -> PretrainingRecipe:
        """This recipe for so many architectures (its share already taken): no batch is larger than they are.

        Raises:
            FrugalnasError: where they are too few for a batch on every device.
        """
        pairs = architectures if self.pairs is None else self.pairs
        batch = min(self.batch, architectures if self.task == "ss-ccl" else pairs)
        batch -= batch % devices
        if batch < 2 * devices:
            raise FrugalnasError(
                f"too few for a step on {devices} device(s): {architectures:,} architectures, batch {self.batch:,}, and each "
                f"device needs two; raise share, pool, pairs or batch, or lower devices"
            )
        _check_negatives(self.min_negatives, batch)
        anchors = min(self.anchors, batch)
        if self.task == "ss-ccl" and min(anchors, self.anchors_per_step or anchors) < devices:
            raise FrugalnasError(
                f"each of {devices} devices needs an anchor in each step; raise anchors, or lower devices"
            )
        return dataclasses.replace(self, batch=batch, anchors=anchors, pairs=pairs)

    @property
    def encoder(self) -> dict[str, Any]:
        """The encoder's options."""
        names = ("width", "layers", "directions", "activation")
        return {name: getattr(self, name) for name in names}


def _check_negatives(least: int | None, batch: int) -> None:
    """Refuses more negatives than a batch without an anchor can have."""
    if least is not None and least >= batch:
        raise FrugalnasError(
            f"min_negatives is {least}, and an anchor has fewer in a batch of {batch}; lower it, or set it to null"
        )


def _name_for(kind: str, task: str, space: str | None) -> str:
    """The name of a task's default or paper's recipe, that of the space where it has its own."""
    known = PretrainingRecipe.sources()
    general = f"{task.replace('-', '')}-{kind}"
    for name in (f"{general}-{space}", general):
        if name in known:
            return name
    theirs = [name for name in known if name.startswith(general)]
    raise FrugalnasError(f"the paper of {task} says nothing of {space}; choose default or one of {', '.join(theirs)}")
