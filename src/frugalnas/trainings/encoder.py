"""Pre-train the encoder of a space: its session, and the run that holds it.

Everything here is in a run's folder, which `frugalnas.encoders.load_encoder` takes once it is finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from frugalnas.amounts import plural
from frugalnas.encoders.pretraining import pretraining_for
from frugalnas.encoders.recipe import PretrainingRecipe
from frugalnas.errors import FrugalnasError, expect
from frugalnas.runs.descriptions import build_space, describe_space
from frugalnas.runs.folder import RunFolder, fresh
from frugalnas.runs.kinds import Proposal
from frugalnas.runs.progress import Callback
from frugalnas.spaces import SearchSpace
from frugalnas.training import Compute
from frugalnas.trainings.kinds import PretrainingKind
from frugalnas.trainings.result import Trained, facts_of
from frugalnas.trainings.session import Session


@dataclass(frozen=True, kw_only=True)
class PretrainingResult(Trained):
    """What the pre-training of an encoder has come to.

    The "train_accuracy" of an epoch is the share of positives nearer to their centre than every negative (ss-ccl), or of pairs
    whose distance was told to less than one edit (ss-rl).

    Attributes:
        recipe: as it was asked for; batches are smaller where the space is.
    """

    recipe: PretrainingRecipe

    def to_json(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "space": self.space.name,
            "task": self.recipe.task,
            "recipe": self.recipe.to_json(),
            **{name: getattr(self, name) for name in ("seed", "finished", "diverged", "epochs")},
            "total_epochs": self.recipe.epochs,
            "seconds": self.seconds,
        }


def pretrain(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    run_dir: Path | str,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
) -> PretrainingResult:
    """The result of pre-training an encoder on the architectures of a space; no accuracy is looked at.

    Args:
        space: may be restricted; a space that is too large to be listed is drawn from.
        task: "ss-ccl", central contrastive learning, or "ss-rl", regression of edit distances.
        recipe: "default", "paper", another name (`PretrainingRecipe.sources`), a YAML file, or what `PretrainingRecipe.to_json`
            gave.
        run_dir: a new folder.
        settings: recipe values to replace, such as {"epochs": 30}; text is read as YAML.
        compute: where; several devices encode their shares of every batch and take their shares of the anchors.
        seed: of weights, order, anchors and pairs.
        callbacks: are told what happens; with several devices they must be picklable.

    Raises:
        FrugalnasError: before anything is written, where something does not fit.

    Example:
        >>> import frugalnas as fn
        >>> result = pretrain(fn.NASBench201(), "ss-ccl", run_dir="runs/ccl201")  # doctest: +SKIP
        >>> encoder, card = load_encoder(result.run_dir, fn.NASBench201())  # doctest: +SKIP
    """
    fresh(run_dir)
    proposal = proposed_pretraining(space, task, recipe, settings=settings, compute=compute, seed=seed)
    result: PretrainingResult = proposal.start(run_dir=run_dir, callbacks=callbacks)
    return result


def proposed_pretraining(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    compute: Compute = Compute(),
    seed: int = 0,
) -> Proposal:
    """What `pretrain` with the same arguments would begin."""
    expect(space, SearchSpace, "search space", "one such as frugalnas.NASBench201()")
    chosen = PretrainingRecipe.load(recipe, settings, task=task, space=space.name)
    if compute.precision != "32" or compute.channels_last or compute.compile:
        raise FrugalnasError("encoders train in precision 32, in no layout of images, and uncompiled")
    compute = compute.here()
    if space.enumerable:
        chosen.settled(max(1, round(chosen.share * space.size)), compute.devices)
    if seed < 0:
        raise FrugalnasError(f"seed {seed}: seeds are 0 or more")
    config = {
        "space": describe_space(space),
        "task": chosen.task,
        "recipe": chosen.to_json(),
        "seed": seed,
        "device": compute.to_json(),
    }
    return Proposal(PretrainingKind(), config)


def read_pretraining(folder: RunFolder) -> PretrainingResult:
    """What a pre-training has come to so far, from its folder alone; nothing is computed."""
    return PretrainingResult(**facts_of(folder), recipe=PretrainingRecipe.load(folder.config["recipe"]))


class EncoderSession(Session):
    """One pre-training of an encoder in one process; see `Session`."""

    shared = False

    def __init__(self, fabric: Fabric, folder: RunFolder, callbacks: Sequence[Callback]) -> None:
        super().__init__(fabric, folder, callbacks)
        recipe, space = PretrainingRecipe.load(folder.config["recipe"]), build_space(folder.config["space"])
        self.step = self.pretraining = pretraining_for(fabric, space, recipe, self.seed)
        self.batches, self.steps_per_epoch = self.pretraining.batches, self.pretraining.steps_per_epoch
        self.epochs, self.lr = recipe.epochs, recipe.lr
        self.identity = self.pretraining.identity
        self.state = {**self.pretraining.state, "book": self.book}
        taken, note = self.pretraining.recipe.batch, f"{len(self.pretraining.codes):,} architectures of {space.name}"
        self.notes = (note if recipe.batch == taken else f"{note}; batches of {taken:,} instead of {recipe.batch:,}",)

    @classmethod
    def to_lower(cls, folder: RunFolder) -> str:
        """See `Session.to_lower`."""
        return f"batch (now {folder.config['recipe']['batch']:,})"

    def about(self) -> list[tuple[str, str]]:
        """See `Session.about`: the architectures, and what a step sees of them."""
        recipe = self.pretraining.recipe
        each = f"{recipe.anchors:,} anchors a batch" if recipe.task == "ss-ccl" else f"{recipe.pairs:,} pairs an epoch"
        return [
            ("architectures", f"{len(self.pretraining.codes):,} of {self.pretraining.space.name}"),
            ("recipe", f"{recipe.name}: {plural(recipe.epochs, 'epoch')}, batches of {recipe.batch:,}, {each}"),
        ]

    def mean(self, value: float) -> float:
        """Sums are those of all processes already."""
        return value

    def mend(self) -> str:
        """See `Session.mend`."""
        return self.pretraining.mend()

    def finish(self) -> None:
        """Write the encoder."""
        if self.first:
            self.pretraining.save(self.folder.path)
