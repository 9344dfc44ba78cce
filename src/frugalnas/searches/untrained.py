"""Scores of networks that nobody has trained: what a space, random weights and a few images tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.scores import Score
from frugalnas.searches.scoring import (
    UNTRAINED,
    ZERO_COST,
    ScoredEvaluator,
    combined_or_one,
    counted_or_zero_cost,
    first_images,
    score_parts,
)
from frugalnas.spaces import SearchSpace

if TYPE_CHECKING:
    from frugalnas.data import ImageData
    from frugalnas.searches.scoring import Batches


def open_untrained(
    space: SearchSpace,
    name: str = "synflow",
    *,
    data: ImageData | str | Path | None = None,
    root: str | Path | None = None,
    reference: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Score:
    """A score of the networks that a space builds, before any training; no supernet is needed.

    Args:
        space: whose codes are scored, at its own sizes.
        name: "synflow", "naswot", "gradnorm", "params", "macs", another quantity that the space counts; or several joined by
            `+`, which are added as ranks within a reference sample.
        data: images for naswot and gradnorm, which look at 128 and 64 of those for training, in the networks' size.
        root: where the files of named data are.
        reference: architectures in that sample; None: 200, or of what is only counted 10,000.
        seed: of weights, the choice of images, and the sample.
        device: where networks are looked at: "cpu", "cuda", ...

    Raises:
        FrugalnasError: for an unknown score or one of a trained supernet, and where images are needed and not given.

    Example:
        >>> from frugalnas.spaces import NASBench201
        >>> space = NASBench201(width=4, cells=1)
        >>> score = open_untrained(space, "params")
        >>> score(space.enumerate()[-1:]).tolist() == space.count("params", space.enumerate()[-1:]).tolist()
        True
    """
    names = score_parts(name, space)
    trained = [part for part in names if part not in UNTRAINED and part not in space.quantities]
    if trained:
        raise FrugalnasError(
            f"{trained[0]} is that of a trained supernet; give the folder of one (frugalnas supernet train), or take one of "
            f"{', '.join(UNTRAINED)}"
        )
    seen = [part for part in names if part in ZERO_COST and ZERO_COST[part].images]
    images = _images(space, seen[0], data, root) if seen else None

    def batches(count: int) -> Batches:
        assert images is not None
        return first_images(images.train, count, seed=seed, device=device)

    scores = [counted_or_zero_cost(part, space, batches, seed, device) for part in names]
    return combined_or_one(scores, space, reference, seed)


def _images(space: SearchSpace, name: str, data: ImageData | str | Path | None, root: str | Path | None) -> ImageData:
    """The images that a score looks at, in the size of the networks."""
    from frugalnas.data import ImageData, Images

    if data is None:
        raise FrugalnasError(f"{name} looks at images; say at which: `data`, such as digits")
    if not isinstance(data, ImageData):
        return Images(data, root=root, input_size=getattr(space, "input_size", None)).open()
    sized = getattr(space, "input_size", data.input_size)
    if sized != data.input_size:
        raise FrugalnasError(
            f"{data.name} was opened at {data.input_size} pixels, networks of {space.name} have {sized}: open it with "
            f"`input_size`={sized}"
        )
    return data


class UntrainedEvaluator(ScoredEvaluator):
    """Answers a search with a score of the networks before any training.

    Args:
        space: that is searched; it has to build networks.
        score: synflow, naswot, gradnorm, or several joined by +; see `open_untrained`, also for what follows.
        data: images for naswot and gradnorm: digits, cifar10, or a folder or file of your own.
        root: where the files of named data are.
        max_corrupt: unreadable images to skip.
        reference: architectures within which joined scores are ranked.
        seed: of weights, images and that sample.
        device: where networks are looked at.
        fingerprint: that of the data that a search began with; None: whatever they are.
    """

    named_by = "score"

    def __init__(
        self,
        space: SearchSpace,
        *,
        score: str = "synflow",
        data: str | None = None,
        root: str | None = None,
        max_corrupt: int = 0,
        reference: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        fingerprint: str | None = None,
    ) -> None:
        from frugalnas.data import Images, located

        self.space = space
        self.score = score
        self.data = None if data is None else located(data)
        self.root = None if root is None else str(Path(root).expanduser().resolve())
        self.reference = reference
        self.seed = seed
        self.device = device
        self.max_corrupt = max_corrupt
        opened = None
        if self.data is not None:
            size = getattr(space, "input_size", None)
            opened = Images(self.data, root=self.root, input_size=size, max_corrupt=max_corrupt).open()
            if fingerprint not in (None, opened.fingerprint):
                raise RunFolderError(
                    f"the data at {self.data} have changed since the search began; put back what was there, or start "
                    "another search"
                )
        self.fingerprint = None if opened is None else opened.fingerprint
        scored = open_untrained(space, score, data=opened, reference=reference, seed=seed, device=device)
        self._answer_with(scored, score)
