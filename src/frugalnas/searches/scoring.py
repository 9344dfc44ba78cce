"""Scores of a supernet's run: by name, and as what answers a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, RunFolderError, Surroundings, surroundings, told, unknown_name
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.folder import RunFolder
from frugalnas.scores import Angle, Score, angle_table, rule_for
from frugalnas.scores.combined import Combined, combine
from frugalnas.scores.counts import Counted
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.trust import opening

if TYPE_CHECKING:
    from torch import Tensor

    from frugalnas.data import ImageData
    from frugalnas.data.images import Part
    from frugalnas.trainings.supernet import SupernetResult

    Batches: TypeAlias = list[tuple[Tensor, Tensor]]


class ZeroCostScore(NamedTuple):
    """What figures call it, its class in `frugalnas.scores.zero_cost`, training images it looks at, and whether at labels."""

    title: str
    made_by: str
    images: int = 0
    labels: bool = False


ZERO_COST = {
    "gradnorm": ZeroCostScore("gradient norm", "GradientNorm", images=64, labels=True),
    "synflow": ZeroCostScore("SynFlow, log", "SynFlow"),
    "naswot": ZeroCostScore("NASWOT", "NASWOT", images=128),
}
"""Zero-cost scores by name: whatever stands here can be ranked and searched by."""
SCORES = {
    "angle": "angle, rad",
    "accuracy": "supernet accuracy, %",
    "params": "parameters",
    "macs": "multiply-adds",
    **{name: score.title for name, score in ZERO_COST.items()},
}
"""Scores by name, and what figures call them. Any of them may be joined by `+`."""

UNTRAINED = ("params", "macs", *ZERO_COST)
"""Scores of networks that nobody has trained."""

FAST = ("angle", "params", "macs")
"""Scores that take microseconds an architecture."""

IMAGES = 1_000
"""Held-out images that an accuracy is measured on, and training images that batch norms are recalibrated with."""
REFERENCE = {True: 10_000, False: 200}
"""Architectures among which scores are ranked before they are added: of fast ones, and of others."""


@opening
def open_score(
    run_dir: Path | str,
    name: str = "angle",
    *,
    space: SearchSpace | None = None,
    rule: str | None = None,
    base: int | None = None,
    epoch: int | None = None,
    recalibrate: bool = True,
    images: int = IMAGES,
    reference: int | None = None,
    seed: int = 0,
    device: str = "cpu",
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
        recalibrate: whether batch norms are recalibrated for each path before its accuracy is measured.
        images: held-out images for an accuracy, and as many training images for the recalibration.
        reference: architectures in the sample within which joined scores are ranked; None: 200, or of scores that are
            fast all that can be listed, at most 10,000.
        seed: of the reference sample, the choice of images, and initial weights of zero-cost scores.
        device: where networks are looked at: "cpu", "cuda", ...
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
    names = score_parts(name, space, rule, images)
    if seed < 0:
        raise FrugalnasError(f"seed {seed}: seeds are 0 or more")
    opened = _Opened(result, space, rule, base, epoch, recalibrate, images, seed, device)
    return combined_or_one([opened.score(part) for part in names], space, reference, seed)


def combined_or_one(scores: Sequence[Score], space: SearchSpace, reference: int | None, seed: int) -> Score:
    """The one score, or several as one, ranked within a reference sample of the space."""
    if len(scores) == 1:
        return scores[0]
    return combine(scores, _reference(space, all(fast(score.name) for score in scores), reference, seed))


def score_parts(name: str, space: SearchSpace, rule: str | None = None, images: int = IMAGES) -> list[str]:
    """The names that a score's is joined from, made sure to be scores of this space; the arguments are `open_score`'s.

    Raises:
        FrugalnasError: as `open_score`, as far as that is known before a supernet is trained.
    """
    names = [part.strip() for part in str(name).split("+")]
    for part in names:
        if part not in SCORES and part not in space.quantities:
            raise unknown_name(
                "score", part, list(dict.fromkeys([*SCORES, *space.quantities])), ", or several joined by +"
            )
    if len(set(names)) < len(names):
        raise FrugalnasError(f"`score` {name} names one twice; name each once")
    if "angle" in names:
        rule_for(space, rule)
    if not isinstance(images, int) or images < 1:
        raise FrugalnasError(f"`images` {images}: an accuracy needs at least one image")
    return names


def check_held_out(data: ImageData, trained: str) -> None:
    """Refuse to measure a supernet's accuracy where no labelled images were held out of its training."""
    if data.val is None or not len(data.val) or not data.labelled:
        missing = "labels" if not data.labelled else "images held out of training (`split` of its training decides)"
        raise FrugalnasError(
            f"{trained} has no {missing}, on which an accuracy is measured; rank by `score` angle, which needs none"
        )


def fast(name: str) -> bool:
    """Whether a score, or each of a sum, takes microseconds an architecture, so that whole spaces can be scored."""
    return all(part.strip() not in SCORES or part.strip() in FAST for part in name.split("+"))


def score_title(name: str) -> str:
    """What figures call a score, with its unit."""
    return SCORES.get(name, f"mean rank of {' and '.join(name.split('+'))}" if "+" in name else name)


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
        f"{path} is a {folder.kind.name}, not a supernet; train one with: frugalnas supernet train (frugalnas runs list "
        "shows which there are)"
    )


class ScoredEvaluator(Evaluator):
    """What answers a search with a score: metrics of an evaluation are the parts of a sum, parameters and multiply-adds.

    Child classes set `space` and hand their score to `_answer_with`.

    Attributes:
        scored: the score.
    """

    vectorised = True
    space: SearchSpace

    def _answer_with(self, scored: Score, name: str) -> None:
        self.scored = scored
        parts = [part.name for part in scored.scores] if isinstance(scored, Combined) else []
        self._counted = [count for count in ("params", "macs") if count in self.space.quantities and count not in parts]
        self.measures = (*parts, *self._counted)
        if fast(name) and self.space.enumerable:
            self.optimum = float(scored(self.space.enumerate()).max())

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        """The score of each row."""
        values, metrics = self._scores(trials.codes)
        for name in self._counted:
            metrics[name] = np.asarray(self.space.count(name, trials.codes), np.float64)
        return Evaluations(values, metrics)

    def _scores(self, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        return scored_with_parts(self.scored, codes)


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
        recalibrate: whether batch norms are recalibrated for each path before its accuracy is measured.
        images: held-out images for an accuracy.
        reference: architectures within which joined scores are ranked.
        seed: of samples and initial weights.
        device: where networks are looked at.
        initial: SHA-256 of the supernet's initial weights; None: whatever they are.

    Raises:
        FrugalnasError: as `open_score`, and for another supernet than the search began with.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        supernet: str,
        name: str = "angle",
        rule: str | None = None,
        base: int | None = None,
        epoch: int | None = None,
        recalibrate: bool = True,
        images: int = IMAGES,
        reference: int | None = None,
        seed: int = 0,
        device: str = "cpu",
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
        self.recalibrate = recalibrate
        self.images = images
        self.reference = reference
        self.seed = seed
        self.device = device
        self.initial = run.initial
        scored = open_score(
            folder,
            name,
            space=space,
            rule=self.rule,
            base=self.base,
            epoch=self.epoch,
            recalibrate=recalibrate,
            images=images,
            reference=reference,
            seed=seed,
            device=device,
        )
        self._answer_with(scored, name)

    def _scores(self, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        try:
            return super()._scores(codes)
        except (OSError, RunFolderError) as error:
            raise surroundings(error) or Surroundings(
                f"the supernet {self.supernet} can no longer be read ({told(error)}); put it back, then go on"
            ) from error

    def __reduce__(self) -> tuple[object, ...]:
        # Other processes open the run themselves instead of receiving its weights.
        options = ("supernet", "name", "rule", "base", "epoch", "recalibrate", "images", "reference", "seed", "device")
        return _reopen, (self.space, {name: getattr(self, name) for name in (*options, "initial")})


def _reopen(space: SearchSpace, options: Mapping[str, Any]) -> ScoreEvaluator:
    return ScoreEvaluator(space, **options)


def scored_with_parts(score: Score, codes: Codes) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The score of each row, and where it is a sum those of its parts in their own units, shapes [n]."""
    if not isinstance(score, Combined):
        return np.asarray(score(codes), np.float64), {}
    parts = score.parts(codes)
    return np.asarray(score.rank(parts), np.float64), {
        name: np.asarray(values, np.float64) for name, values in parts.items()
    }


@dataclass(frozen=True)
class _Opened:
    """A supernet's run, from which scores are made by name; what they share is read once."""

    run: SupernetResult
    space: SearchSpace
    rule: str | None
    base: int | None
    epoch: int | None
    recalibrate: bool
    images: int
    seed: int
    device: str

    def score(self, name: str) -> Score:
        """One score."""
        if name == "angle":
            return self._angle()
        if name == "accuracy":
            return self._accuracy()
        return counted_or_zero_cost(name, self.space, self._seen, self.seed, self.device)

    def _angle(self) -> Angle:
        import torch

        from frugalnas.supernets import supernet_of

        with torch.device("meta"):
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
        calibration = [images for images, _ in self._batches(data.train, self.images)] if self.recalibrate else None
        score = SupernetAccuracy(
            self.run.supernet(self._kept(), self.device), self._batches(data.val, self.images), calibration
        )
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
        return first_images(part, count, seed=self.seed, device=self.device, batch_size=size, workers=workers)


def counted_or_zero_cost(
    name: str, space: SearchSpace, batches: Callable[[int], Batches], seed: int, device: str
) -> Score:
    """A score that no weight of a supernet counts in; `batches` gives as many training images as it looks at."""
    if name in space.quantities or name in ("params", "macs"):
        return Counted(space, name)
    import torch

    from frugalnas.scores import zero_cost

    known = ZERO_COST[name]
    seen = zip(*batches(known.images), strict=True) if known.images else ()
    shown = [torch.cat(tensors) for tensors in seen][: 1 + known.labels]
    made: Score = getattr(zero_cost, known.made_by)(space, *shown, seed=seed, device=device)
    return made


def first_images(part: Part, count: int, *, seed: int, device: str, batch_size: int = 128, workers: int = 0) -> Batches:
    """As many images of a part as are wanted, or all, in an order of this seed and without changes to them."""
    from frugalnas.data import Loader

    batches: Batches = []
    order = Loader(part, batch_size=min(batch_size, count), seed=seed, device=device, shuffle=True, workers=workers)
    for images, labels in order.epoch(0):
        left = count - sum(len(known) for _, known in batches)
        batches.append((images[:left], labels[:left]))
        if left <= len(labels):
            break
    return batches


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


def _reference(space: SearchSpace, quick: bool, size: int | None, seed: int) -> Codes:
    """The sample within which joined scores are ranked."""
    if space.enumerable and (space.size <= (REFERENCE[quick] if size is None else size) or (quick and size is None)):
        codes = space.enumerate()
        if len(codes) <= 2**16:
            return codes
    return space.sample(REFERENCE[quick] if size is None else size, np.random.default_rng(seed))
