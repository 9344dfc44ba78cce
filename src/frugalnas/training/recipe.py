"""How a network is trained: the published settings as YAML files, and what a user changes in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from typing_extensions import Self

from frugalnas.errors import FrugalnasError
from frugalnas.recipe_files import Settings

RecipeT = TypeVar("RecipeT", bound="Recipe")


@dataclass(frozen=True)
class Recipe(Settings):
    """Every setting of a training; a YAML file is these by name.

    Example:
        >>> Recipe.load("cifar", {"epochs": "30", "augmentation.cutout": 8}).epochs
        30

    Attributes:
        name: of the recipe.
        source: where its values come from.
        epochs: passes over the training images; None: as many as show `images_seen` images, between 8 and 200.
        images_seen: training images shown in all, where `epochs` is None.
        batch_size: images per optimiser step, over all devices; fewer where there are fewer training images.
        optimizer: timm's name: "momentum" is plain SGD with momentum, "sgd" Nesterov's, "rmsproptf", "adamw", "lamb", ...
        optimizer_options: further arguments of that optimiser, such as {"eps": 0.001}.
        lr: learning rate at the top of the schedule, for `batch_size` images a step.
        momentum: of the optimiser, where it has one.
        weight_decay: of the tensors that `decayed` names.
        decayed: "all"; "matrices": tensors of two dimensions or more, so neither biases nor normalisation; "kernels": tensors
            of four dimensions only, which spares linear layers too.
        schedule: "cosine" to `min_lr`; "linear" to `min_lr`; "linear-tail": linear to 0 in all epochs but the last five,
            then a fifth of that slope (the ImageNet trainings of P-DARTS, RelativeNAS, RLNAS and ABS); "exponential": times
            `decay_rate` an epoch; "constant".
        per_step: whether the schedule moves with every step; else with every epoch.
        min_lr: where the schedule ends.
        decay_rate: of the exponential schedule.
        warmup_epochs: in which the rate climbs from `warmup_lr`, linearly; the schedule runs on beneath. At most half of
            all epochs.
        warmup_lr: where it starts; None: at the first of its equal rises. "linear-tail" has a warm-up of its own.
        label_smoothing: share of the target spread over all classes.
        class_weights: whether classes weigh in the loss by the inverse of their frequency.
        auxiliary: kind of auxiliary head ("darts", "pdarts") where the network may have one; None builds none.
        auxiliary_weight: of its loss.
        drop_path: probability of dropping a path.
        drop_path_ramp: whether it grows linearly from 0 over the epochs.
        dropout: before the classifier.
        clip_norm: largest norm of the gradient; None leaves it as it is.
        clip_value: largest absolute value in the gradient; None leaves it as it is.
        ema: decay of an exponential moving average of the weights, which is then what is evaluated and kept.
        ema_warmup: whether that decay starts small, for short trainings.
        mixup: alpha of mixup.
        cutmix: alpha of CutMix.
        teacher: a model's folder, or `package.module:function` that makes a module, to distil from.
        teacher_weight: of the distillation loss; the labels' loss has the rest.
        teacher_temperature: of the distillation's softmax.
        accumulate: parts that a batch is computed in, one after the other, where memory does not suffice for the whole; no part
            has fewer than two images, which batch norms need. The gradient is the whole batch's.
        select: which weights are kept: "last", or "best" by validation accuracy (the later of equals).
        normalisation: of images, as `frugalnas.data.Images.open` takes it: "measured", "imagenet", "unit" or "bgr255".
        augmentation: of training images, as `frugalnas.data.Augmentation` takes it; with a "base", the name of a published
            one or "suggested" for what suits the data, the rest changes that.
    """

    name: str = "custom"
    source: str = ""
    epochs: int | None = None
    images_seen: int = 17_500
    batch_size: int = 128
    optimizer: str = "momentum"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    decayed: Literal["all", "matrices", "kernels"] = "all"
    schedule: Literal["cosine", "linear", "linear-tail", "exponential", "constant"] = "cosine"
    per_step: bool = False
    min_lr: float = 0.0
    decay_rate: float = 0.97
    warmup_epochs: int = 0
    warmup_lr: float | None = None
    label_smoothing: float = 0.0
    class_weights: bool = False
    auxiliary: str | None = None
    auxiliary_weight: float = 0.4
    drop_path: float = 0.0
    drop_path_ramp: bool = True
    dropout: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    ema: float | None = None
    ema_warmup: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0
    teacher: str | None = None
    teacher_weight: float = 0.5
    teacher_temperature: float = 1.0
    accumulate: int = 1
    select: Literal["last", "best"] = "last"
    normalisation: str = "measured"
    augmentation: Mapping[str, Any] = field(default_factory=lambda: {"base": "suggested"})

    package: ClassVar[str] = "frugalnas.training"
    inherited: ClassVar[Mapping[str, Mapping[str, Any]]] = {"augmentation": {"base": "suggested"}}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "epochs": (1, 1e6),
        "images_seen": (1, 1e12),
        "batch_size": (2, 1e6),
        "accumulate": (1, 1e4),
        "lr": (0, 1e3),
        "momentum": (0, 1),
        "weight_decay": (0, 10),
        "min_lr": (0, 1e3),
        "decay_rate": (0, 1),
        "warmup_epochs": (0, 1e6),
        "warmup_lr": (0, 1e3),
        "label_smoothing": (0, 0.99),
        "auxiliary_weight": (0, 10),
        "drop_path": (0, 0.99),
        "dropout": (0, 0.99),
        "clip_norm": (1e-9, 1e9),
        "clip_value": (1e-9, 1e9),
        "ema": (0, 1),
        "mixup": (0, 100),
        "cutmix": (0, 100),
        "teacher_weight": (0, 1),
        "teacher_temperature": (1e-3, 1e3),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_norm is not None and self.clip_value is not None:
            raise FrugalnasError("clip_norm and clip_value are both set; set one of them to null")
        if self.schedule == "linear-tail" and self.epochs is not None and self.epochs <= TAIL_EPOCHS:
            raise FrugalnasError(
                f"schedule linear-tail takes more than {TAIL_EPOCHS} epochs; set epochs higher, or schedule=linear"
            )
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise FrugalnasError(f"mixup and cutmix need an even batch_size, not {self.batch_size}")
        if (self.mixup or self.cutmix) and self.class_weights:
            raise FrugalnasError("mixup and cutmix mix classes: take `class_weights`=false")

    def settled(self, images: int, devices: int = 1) -> Self:
        """This recipe with nothing left open, for so many training images.

        Raises:
            FrugalnasError: where there are too few images for a batch on every device.
        """
        batch_size = min(self.batch_size, images)
        batch_size -= batch_size % (2 * devices if self.mixup or self.cutmix else devices)
        if batch_size < 2 * devices:
            raise FrugalnasError(
                f"{images} training images in batches of {self.batch_size} leave fewer than two for each of {devices} "
                f"devices; give more images, a larger batch_size, or fewer devices"
            )
        epochs = self.epochs
        if epochs is None:
            epochs = min(max(round(self.images_seen / images), _FEWEST_EPOCHS), _MOST_EPOCHS)
        warmup = min(self.warmup_epochs, epochs // 2)
        return dataclasses.replace(self, epochs=epochs, batch_size=batch_size, warmup_epochs=warmup)

    def extended(self, epochs: int, lr: float, after: int) -> Self:
        """This settled recipe for so many epochs in all, with a schedule that starts anew at a rate after some of them.

        Weights that have been trained need no warm-up.
        """
        warmup = 0 if after else min(self.warmup_epochs, epochs // 2)
        return dataclasses.replace(self, epochs=epochs, lr=lr, warmup_epochs=warmup)


TAIL_EPOCHS = 5
"""Of the schedule "linear-tail"."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 8, 200
