"""Scores of a supernet's run: by name, and as what answers a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from frugalnas.documents import options_of, record
from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings, a, surroundings, told
from frugalnas.runs.folder import RunFolder
from frugalnas.scores import Angle, Score, angle_table, rule_for
from frugalnas.searches.scoring import (
    IMAGES,
    ScoredEvaluator,
    check_held_out,
    combined_or_one,
    counted_or_zero_cost,
    first_images,
    score_parts,
)
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.trust import opening

if TYPE_CHECKING:
    from frugalnas.data.image_data import Part
    from frugalnas.searches.scoring import Batches
    from frugalnas.trainings.supernet import SupernetResult


@dataclass(frozen=True)
class Looking:
    """How networks are looked at, where a score does so.

    Attributes:
        recalibrate: whether batch norms are recalibrated for each path before its accuracy is measured.
        images: held-out images for an accuracy, and as many training images for the recalibration.
        seed: of reference samples, the choice of images, and initial weights of zero-cost scores.
        device: where: "cpu", "cuda", ...
    """

    recalibrate: bool = True
    images: int = IMAGES
    seed: int = 0
    device: str = "cpu"

    def to_json(self) -> dict[str, Any]:
        """Plain data, by the names of the arguments."""
        return asdict(self)


@opening
def open_score(
    run_dir: Path | str,
    name: str = "angle",
    *,
    space: SearchSpace | None = None,
    rule: str | None = None,
    base: int | None = None,
    epoch: int | None = None,
    reference: int | None = None,
    looking: Looking = Looking(),
    trust: bool = False,
) -> Score:
    """A score of the supernet that a run trained.

    Args:
        run_dir: the run's folder, or that of a method whose first stage it is.
        name: "angle", "accuracy", "params", "macs", another quantity that the space counts, "gradnorm", "synflow",
            "naswot"; or several joined by `+`, which are added as ranks within a reference sample.
        space: whose codes are scored: the supernet's, or one with the same genes under limits or of other sizes, which
            parameters, multiply-adds and the zero-cost scores then refer to. None: the supernet's.
        rule: which weights an angle counts (`frugalnas.scores.RULES`); None: "default".
        base: the epoch whose weights an angle starts from; None: what the run's recipe says.
        epoch: after which epoch of training; None: the last one.
        reference: architectures in the sample within which joined scores are ranked; None: 200, or of scores that are
            fast all that can be listed, at most 10,000.
        looking: how networks are looked at.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        FrugalnasError: for an unknown name, a run that is no supernet, a space that it is not for, or weights that it
            does not have.

    Example:
        >>> score = open_score("runs/supernet", "angle+accuracy")  # doctest: +SKIP
        >>> score(score.space.sample(5, np.random.default_rng(0)))  # doctest: +SKIP
    """
    from frugalnas.trainings.supernet import load_supernet

    result = load_supernet(supernet_folder(run_dir))
    space = _fitting(result, space)
    names = score_parts(name, space, rule, looking.images)
    if looking.seed < 0:
        raise FrugalnasError(f"seed {looking.seed}: seeds are 0 or more")
    opened = _Opened(result, space, rule, base, epoch, looking)
    return combined_or_one([opened.score(part) for part in names], space, reference, looking.seed)


class ScoreEvaluator(ScoredEvaluator):
    """Answers a search with a score of a trained supernet.

    What was left open (epoch, base, rule) is settled when the evaluator is made, so that a search that goes on later is answered
    as before, whatever the supernet's run has done meanwhile.

    Args:
        space: that is searched: the supernet's, or one with the same genes under limits or of other sizes.
        supernet: folder of its run.
        name: of the score; see `open_score`, also for what follows.
        rule: which weights an angle counts.
        base: the epoch whose weights an angle starts from.
        epoch: after which epoch of the supernet's training.
        reference: architectures within which joined scores are ranked.
        looking: how networks are looked at: a `Looking`, or its fields by name.
        initial: SHA-256 of the supernet's initial weights; None: whatever they are.

    Raises:
        FrugalnasError: as `open_score`, and for another supernet than the search began with.
    """

    named_by = "name"
    flat: ClassVar[Mapping[str, tuple[str, str, Any]]] = {
        name: ("looking", name, hint) for name, hint in options_of(Looking).items()
    }

    def __init__(
        self,
        space: SearchSpace,
        *,
        supernet: str,
        name: str = "angle",
        rule: str | None = None,
        base: int | None = None,
        epoch: int | None = None,
        reference: int | None = None,
        looking: Looking | Mapping[str, Any] = Looking(),
        initial: str | None = None,
    ) -> None:
        from frugalnas.trainings.supernet import load_supernet

        if initial is not None and not Path(supernet).exists():
            raise RunFolderError(
                f"{supernet}, the supernet that the search began with, is not there; put it back, or write where it is "
                "into the search's config.yaml"
            )
        folder = supernet_folder(supernet)
        run = load_supernet(folder)
        if initial not in (None, run.initial):
            raise RunFolderError(
                f"{folder} is another supernet than the search began with (initial weights {run.initial[:12]}..., not "
                f"{str(initial)[:12]}...); put that one back, or start another search"
            )
        self.space = space
        self.supernet = str(folder.resolve())
        self.name = name
        self.epoch = len(run.epochs) if epoch is None else epoch
        with_angle = "angle" in [part.strip() for part in name.split("+")]
        self.rule = (rule or "default") if with_angle else rule
        self.base = angle_base(run, self.epoch) if base is None and with_angle else base
        self.reference = reference
        self.looking = record(Looking, looking, "evaluator.looking")
        self.initial = run.initial
        scored = open_score(
            folder,
            name,
            space=space,
            rule=self.rule,
            base=self.base,
            epoch=self.epoch,
            reference=reference,
            looking=self.looking,
        )
        self._answer_with(scored, name)

    def _scores(self, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        try:
            return super()._scores(codes)
        except (OSError, RunFolderError) as error:
            raise surroundings(error) or Surroundings(
                f"the supernet {self.supernet} can no longer be read ({told(error)}); put it back, then go on"
            ) from error


@dataclass(frozen=True)
class _Opened:
    """A supernet's run, from which scores are made by name; what they share is read once."""

    run: SupernetResult
    space: SearchSpace
    rule: str | None
    base: int | None
    epoch: int | None
    looking: Looking

    def score(self, name: str) -> Score:
        """One score."""
        if name == "angle":
            return self._angle()
        if name == "accuracy":
            return self._accuracy()
        return counted_or_zero_cost(name, self.space, self._seen, self.looking.seed, self.looking.device)

    def _angle(self) -> Angle:
        from frugalnas.networks import weightless
        from frugalnas.supernets import supernet_of

        with weightless():
            supernet = supernet_of(self.run.space)
        rule = rule_for(self.run.space, self.rule)
        base = angle_base(self.run, self.epoch) if self.base is None else self.base
        return Angle(self.space, angle_table(supernet, self.run.triples(self.epoch, base), rule))

    def _accuracy(self) -> Score:
        from frugalnas.scores.accuracy import SupernetAccuracy
        from frugalnas.trainings.supernet import supernet_data

        data = supernet_data(self.run.run_dir)
        check_held_out(data, str(self.run.run_dir))
        assert data.val is not None
        seen, device = self.looking.images, self.looking.device
        calibration = [images for images, _ in self._batches(data.train, seen)] if self.looking.recalibrate else None
        score = SupernetAccuracy(self.run.supernet(self._kept(), device), self._batches(data.val, seen), calibration)
        score.space = self.space
        return score

    def _kept(self) -> int | None:
        """The epoch whose weights are read; those of the last one are in a checkpoint as long as the run goes on."""
        last = self.epoch == len(self.run.epochs) and not self.run.finished
        return None if last else self.epoch

    def _seen(self, count: int) -> Batches:
        """The supernet's own training images, for scores of untrained networks."""
        from frugalnas.trainings.supernet import supernet_data

        data = supernet_data(self.run.run_dir)
        sized = getattr(self.space, "input_size", data.input_size)
        if sized != data.input_size:
            raise FrugalnasError(
                f"the supernet's images have {data.input_size} pixels, but networks of {sized} are counted; leave "
                "input_size as it is"
            )
        return self._batches(data.train, count)

    def _batches(self, part: Part, count: int) -> Batches:
        size = self.run.recipe.batch_size
        workers = int(RunFolder(self.run.run_dir).config["data"].get("workers", 0))
        seed, device = self.looking.seed, self.looking.device
        return first_images(part, count, seed=seed, device=device, batch_size=size, workers=workers)


def supernet_folder(run_dir: Path | str) -> Path:
    """The folder of a supernet's run: the folder itself, or that of a method's stage.

    Raises:
        RunFolderError: where there is no supernet.
    """
    path = Path(run_dir)
    folder = RunFolder(path)
    for place in (path, *(config.parent for config in sorted((path / "stages").glob("*/config.yaml")))):
        if RunFolder(place).kind.name == "supernet":
            return place
    if folder.kind.staged:
        raise RunFolderError(f"{path} has trained no supernet yet; continue it with: frugalnas resume {path}")
    raise RunFolderError(
        f"{path} is {a(folder.kind.name)}, not a supernet; train one with: frugalnas supernet train (frugalnas runs list "
        "shows which there are)"
    )


def angle_base(run: SupernetResult, epoch: int | None) -> int:
    """The epoch that an angle starts from where nobody says it."""
    epoch = len(run.epochs) if epoch is None else epoch
    return run.default_base if run.default_base < epoch else 0


def _fitting(run: SupernetResult, space: SearchSpace | None) -> SearchSpace:
    """The space that is scored, after a check that it is one of this supernet's genes and choices."""
    if space is None:
        return run.space
    own = run.space
    if space.name != own.name or space.allowed.shape != own.allowed.shape:
        raise FrugalnasError(
            f"{run.run_dir} is a supernet of {own.name}, but {space.name} is scored; leave `space` out, or take a supernet "
            f"of {space.name}"
        )
    if (space.allowed & ~own.allowed).any():
        raise FrugalnasError(
            f"{run.run_dir} is a supernet of a restricted {own.name}, which lacks choices of the space that is scored; "
            "restrict that one too"
        )
    return space
