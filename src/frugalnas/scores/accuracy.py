"""How well an architecture does with the weights of a trained supernet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from frugalnas.errors import FrugalnasError
from frugalnas.scores.cached import CachedScore
from frugalnas.spaces import Codes
from frugalnas.supernets import Supernet
from frugalnas.supernets.calibration import recalibrate


class SupernetAccuracy(CachedScore):
    """Top-1 accuracy, in percent, of a path of a supernet on images that it was not trained on.

    The running statistics of a supernet's batch norms are those of all paths mixed, and fit none of them: in ABS's data
    accuracy with them ranks NAS-Bench-201 by chance (tau 0.04), recalibrated ones with 0.54. So each path gets its own from
    `calibration` before it is measured; the supernet is left as it was.

    Args:
        supernet: trained, on the device of the images.
        batches: held-out (images, labels), float [n, 3, height, width] and int64 [n].
        calibration: batches of training images; a few thousand images in all will do, and batches of one are left out.
            None keeps the statistics of the training.

    Raises:
        FrugalnasError: where a held-out image has no label, or there are no images.

    Example:
        >>> import frugalnas as fn, numpy as np, torch
        >>> from frugalnas.supernets import supernet_of
        >>> supernet = supernet_of(fn.NASBench201(width=4, cells=1))
        >>> images, labels = torch.randn(8, 3, 32, 32), torch.arange(8)
        >>> score = SupernetAccuracy(supernet, [(images, labels)], calibration=[images])
        >>> score(supernet.space.sample(3, np.random.default_rng(0))).shape
        (3,)
    """

    name = "accuracy"

    def __init__(
        self, supernet: Supernet, batches: Sequence[tuple[Tensor, Tensor]], calibration: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__(supernet.space)
        self.images = sum(len(labels) for _, labels in batches)
        if not self.images:
            raise FrugalnasError("accuracy needs held-out images; none were given")
        if any(bool((labels < 0).any()) for _, labels in batches):
            raise FrugalnasError("accuracy needs labelled images; the angle ranks architectures without labels")
        if calibration is not None:  # one image, where it is down to one pixel, has no variance
            calibration = [images for images in calibration if len(images) > 1]
            if not calibration:
                raise FrugalnasError(
                    "recalibration needs images, two a batch at least; give some, or None to keep the training's statistics"
                )
        self.supernet = supernet
        self.batches = batches
        self.calibration = calibration

    def of(self, code: Codes) -> float:
        """The accuracy of one path, shape [genes], in percent."""
        with _left_as_it_was(self.supernet), torch.no_grad():
            if self.calibration is not None:
                recalibrate(self.supernet, code, self.calibration)
            self.supernet.eval()
            right = [(self.supernet(images, code).argmax(1) == labels).sum() for images, labels in self.batches]
            return 100.0 * float(torch.stack(right).sum()) / self.images


@contextmanager
def _left_as_it_was(supernet: Supernet) -> Iterator[None]:
    """Keep the mode and all buffers, running statistics among them, of a supernet."""
    training = supernet.training
    kept = [(buffer, buffer.clone()) for buffer in supernet.buffers()]
    try:
        yield
    finally:
        supernet.train(training)
        for buffer, before in kept:
            buffer.copy_(before)
