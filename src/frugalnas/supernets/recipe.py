"""How a supernet is trained: the papers' settings as YAML files, and what a user changes in them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

from frugalnas.data.labels import LabelMode
from frugalnas.errors import FrugalnasError, at_least
from frugalnas.training import Recipe

_OF_NETWORKS = ("class_weights", "auxiliary", "drop_path", "dropout", "ema", "mixup", "cutmix", "teacher", "select")
"""Settings that a supernet has no use for."""


@dataclass(frozen=True)
class SupernetRecipe(Recipe):
    """Every setting of a supernet's training: those of `Recipe` that are not of single networks alone, and these.

    Attributes:
        paths: which path each step takes, a name in `frugalnas.supernets.PATHS`; None: the first of projected, cell and
            uniform that fits the space.
        labels: "true"; "random": drawn once for every image; "random-access": drawn each time an image is seen.
        classes: that random labels are drawn from; None: as many as the data have.
        decay_unsampled: whether weights off the path of a step decay and move on by their momentum, as in programs from
            before torch 2; else they stay as they are.
        base_epochs: epochs after which weights are kept to measure angles from; 0, the initial ones, are always kept.
        angle_base: the epoch whose weights an angle starts from where nobody says otherwise; it is kept too. None: after a
            quarter of all epochs, before which the weights leave their random start and tell less of the architectures.
        schedule_epochs: epochs that the learning rate's schedule is laid out for, where they are more than `epochs`.
        schedule_after: epochs of that schedule that are over when the first one begins, as where a run continues others. After its
            end the rate stays the least.
        growing_epochs: epochs before that schedule in which the supernet grows, as ABS's of DARTS does: from one normal cell and
            the reductions on, a cell is added after equally many epochs, each time with a schedule and momentum that begin anew.
            0: all cells are there from the start.
    """

    paths: str | None = None
    labels: LabelMode = "random"
    classes: int | None = None
    decay_unsampled: bool = False
    base_epochs: tuple[int, ...] = (0, 1)
    angle_base: int | None = 0
    schedule_epochs: int | None = None
    schedule_after: int = 0
    growing_epochs: int = 0

    package: ClassVar[str] = "frugalnas.supernets"

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = {each.name: each.default for each in fields(Recipe)}
        for name in _OF_NETWORKS:
            if getattr(self, name) != plain[name]:
                raise FrugalnasError(f"{name} is not for supernets; leave it out")
        if self.optimizer_options.get("fused") and self.optimizer_options.get("dampening"):
            raise FrugalnasError(
                "optimizer_options has fused and dampening: torch's fused step cannot begin with a weight whose first gradient "
                "comes late, as in supernets, unless its momentum is undamped; leave one of them out"
            )
        at_least(0, angle_base=self.angle_base, schedule_after=self.schedule_after, growing_epochs=self.growing_epochs)
        if any(epoch < 0 for epoch in self.base_epochs):
            raise FrugalnasError(f"base_epochs are {list(self.base_epochs)}; none may be below 0")
        if self.schedule_epochs is None and self.schedule_after:
            raise FrugalnasError(
                f"schedule_after is {self.schedule_after}, but of no schedule; say of how many epochs with schedule_epochs"
            )
        if self.epochs is not None and self.growing_epochs >= max(1, self.epochs):
            raise FrugalnasError(
                f"growing_epochs is {self.growing_epochs}, but there are {self.epochs} epochs; lower it, or set it to 0"
            )
        grown = (self.epochs or 0) - self.growing_epochs
        if self.schedule_epochs is not None and not self.schedule_after and self.schedule_epochs < grown:
            raise FrugalnasError(
                f"schedule_epochs is {self.schedule_epochs}, fewer than the {grown} epochs; raise it, or set it to null"
            )

    def settled(self, images: int, devices: int = 1) -> Self:
        """This recipe with nothing left open, for so many training images; see `Recipe.settled`."""
        settled = super().settled(images, devices)
        assert settled.epochs is not None
        base = settled.angle_base
        return replace(settled, angle_base=max(1, settled.epochs // 4) if base is None else base)

    def extended(self, epochs: int, lr: float, after: int) -> Self:
        """See `Recipe.extended`; the weights that a finished training ended with stay, and angles are measured from them too."""
        kept = (*self.base_epochs, after) if after == self.epochs else self.base_epochs
        growing = self.growing_epochs if after < self.growing_epochs else 0
        anew = replace(self, schedule_epochs=None, schedule_after=0, base_epochs=kept, growing_epochs=growing)
        return super(SupernetRecipe, anew).extended(epochs, lr, after)

    @property
    def schedule_over(self) -> int:
        """How much of the schedule is over in the end; `schedule_after` of a run that continues it."""
        assert self.epochs is not None
        return self.schedule_after + self.epochs - self.growing_epochs

    def until_addition(self, additions: int) -> Self:
        """What each of so many cells is preceded by while the supernet grows: a training of its own.

        Raises:
            FrugalnasError: where `growing_epochs` cannot be shared out, or the schedule has no room in so few epochs.
        """
        if not additions or self.growing_epochs % additions:
            few = f"take a multiple of {additions}, or 0" if additions else "set it to 0"
            raise FrugalnasError(
                f"growing_epochs is {self.growing_epochs}, but this supernet has {additions} cells that can be added; {few}"
            )
        alone = replace(self, growing_epochs=0, schedule_epochs=None, schedule_after=0)
        return alone.extended(self.growing_epochs // additions, self.lr, 0)

    @property
    def labels_said(self) -> str:
        """Where the labels come from, for people."""
        said = {"true": "true", "random": "random, one for every image", "random-access": "random, anew in every epoch"}
        return f"{said[self.labels]} ({self.classes} classes)"

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Epochs after which weights are kept to measure angles from, 0 first."""
        return tuple(sorted({0, self.angle_base or 0, *self.base_epochs}))

    def check_base(self, base: int, epoch: int, trained: str) -> None:
        """Refuse an angle after `epoch` that starts from weights that are not kept, or not before it."""
        usable = [kept for kept in self.kept_epochs if kept < epoch]
        if base not in usable:
            raise FrugalnasError(
                f"{trained} measures the angle after epoch {epoch} from epoch {' or '.join(map(str, usable))}, not {base}; "
                f"a training keeps other weights where its setting base_epochs is [0,{base}]"
            )
