"""Whether images may be mirrored in training, where nothing says so: a short check on training images."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.cache import cached_array
from frugalnas.data.image_data import ImageData
from frugalnas.data.preprocessing import CorruptImage

FEWEST = 200
"""Training images without which nothing can be told."""
_MOST = 1500
_SIDE = 16  # pixels
_FOLDS = 3
_RIDGES = (0.01, 0.1, 1.0)  # in units of the features' mean variance


def mirrored_is_no_loss(data: ImageData) -> tuple[bool, str]:
    """Whether to mirror the training images of a data set, and a sentence that says why.

    A linear classifier (ridge regression on 16 x 16 pixels) learns from some training images, with their mirrored copies
    and without, and is tested on other training images. Where the copies cost it accuracy, as with digits, letters and signs,
    where left and right mean something, or where it learns nothing anyway, images are not mirrored. Measured in
    `benchmarks/mirroring.py`; cached, since every candidate of a search asks it again.
    """
    if not data.labelled or len(data.classes) < 2:
        return _said(False, "they have no labels to check it with")
    if len(data.train) < FEWEST:
        return _said(False, f"{len(data.train)} training images are too few to check whether that harms")
    part = hashlib.sha256(data.train.indices.tobytes()).hexdigest()[:16]
    key = f"mirroring-1-{data.fingerprint}-{part}-{data.input_size}"
    plain, mirrored, chance, images = cached_array(key, lambda: measured(data)).tolist()
    if plain <= chance:
        return _said(False, "a linear classifier learns too little from them to check whether that harms")
    shares = f"{mirrored:.1f} % with mirrored copies and {plain:.1f} % without"
    return _said(mirrored >= plain, f"of {images:.0f} training images a linear classifier told {shares}")


def _said(mirror: bool, why: str) -> tuple[bool, str]:
    other = "`augmentation.flip`=0" if mirror else "`augmentation.flip`=0.5"
    return (mirror, f"images are {'' if mirror else 'not '}mirrored in training: {why} ({other} changes it)")


def measured(data: ImageData) -> NDArray[np.float64]:
    """Percentages right without and with mirrored copies and what chance reaches at most, and the number of images."""
    rng = np.random.default_rng(0x3117)
    pixels, kept = [], []
    for index in rng.permutation(len(data.train))[:_MOST].tolist():
        try:
            image = data.train.read([index]).float()
            small = torch.nn.functional.interpolate(image, (_SIDE, _SIDE), mode="bilinear", antialias=True)
            pixels.append(small / 127.5 - 1)  # around 0
            kept.append(index)
        except CorruptImage:
            continue  # noted where it is read in earnest
    images = torch.cat(pixels).numpy()
    assert data.train.labels is not None
    labels = data.train.labels[kept]
    targets = np.eye(len(data.classes))[labels]
    right = np.zeros((2, len(_RIDGES)))
    folds = np.arange(len(labels)) % _FOLDS
    for fold in range(_FOLDS):
        learnt, held = images[folds != fold], images[folds == fold].reshape((folds == fold).sum(), -1)
        for copies, taught in enumerate((learnt, np.concatenate([learnt, learnt[..., ::-1]]))):
            wanted = np.concatenate([targets[folds != fold]] * (1 + copies))
            guesses = _guesses(taught.reshape(len(taught), -1), wanted, held)
            right[copies] += (guesses == labels[folds == fold]).sum(axis=1)
    share = np.bincount(labels).max() / len(labels)
    chance = share + 2 * np.sqrt(share * (1 - share) / len(labels))
    plain, mirrored = 100 * right.max(axis=1) / len(labels)
    return np.array([plain, mirrored, 100 * chance, len(labels)])


def _guesses(taught: NDArray[np.float32], wanted: NDArray[np.float64], held: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classes of the held images, [ridges, n], by least squares on those that are taught."""
    from sklearn.linear_model import Ridge  # takes long to import

    unit = len(taught) * float(taught.var(axis=0).mean())
    found = [Ridge(ridge * unit).fit(taught, wanted).predict(held) for ridge in _RIDGES]
    return np.argmax(np.stack(found), axis=2)
