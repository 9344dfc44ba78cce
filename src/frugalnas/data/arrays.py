"""Images that come as arrays: scikit-learn's digits, and .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.data.sources import ArrayImages, Found, ImageSource, IntArray
from frugalnas.errors import FrugalnasError

__all__ = ["find_digits", "find_npz"]

_PARTS = {
    "train": (
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
        ("images", "labels"),
        ("x", "y"),
        ("data", "labels"),
    ),
    "val": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def find_digits() -> Found:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels, which come with it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    pixels = torch.from_numpy(np.repeat(grey[:, None], 3, axis=1))
    source = ArrayImages(pixels, digits.target.astype(np.int64), "digit")
    return Found("digits", tuple("0123456789"), {"train": source}, "digits", input_size=8, mirrored=False)


def find_npz(path: Path) -> Found:
    """The images of an .npz file.

    It holds images and labels, or x_train, y_train, x_val, y_val, x_test, y_test, or the same as train_images,
    train_labels and so on: uint8, or floats from 0 to 1, of shape [n, height, width(, channels)] or [n, channels, height,
    width]; a file with images alone has no labels, and `classes` may name them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive can raise nearly anything
        raise FrugalnasError(f"{path}: not an .npz file of plain arrays that can be read ({error})") from None
    parts: dict[str, ImageSource] = {}
    for part, names in _PARTS.items():
        pair = next((pair for pair in names if pair[0] in arrays), None)
        if pair is not None:
            images = _images(path, pair[0], arrays[pair[0]])
            labels = _labels(path, pair[1], arrays[pair[1]], len(images)) if pair[1] in arrays else None
            parts[part] = ArrayImages(images, labels, f"{path.name}, {part} image")
    if "train" not in parts:
        raise FrugalnasError(
            f"{path}: has {', '.join(arrays) or 'nothing'}; give arrays images and labels, or x_train and y_train"
        )
    with_labels = {name for name, source in parts.items() if source.labels is not None}
    if "train" not in with_labels:
        return Found(path.stem, (), {"train": parts["train"]}, "npz", ["images without labels"])
    if with_labels != parts.keys():
        raise FrugalnasError(f"{path}: {', '.join(sorted(parts.keys() - with_labels))} images without labels")
    count = 1 + max(int(source.labels.max()) for source in parts.values() if source.labels is not None and len(source))
    classes = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else tuple(map(str, range(count)))
    if len(classes) < count:
        raise FrugalnasError(f"{path}: label {count - 1}, but only {len(classes)} classes have names")
    return Found(path.stem, classes, parts, "npz")


def _images(path: Path, name: str, array: NDArray[Any]) -> torch.Tensor:
    """uint8 [n, 3, height, width]."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not len(array):
        raise FrugalnasError(
            f"{path}: {name} has shape {array.shape}; images have [n, height, width], [n, height, width, 1 or 3] or "
            f"[n, 1 or 3, height, width]"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise FrugalnasError(f"{path}: {name} holds floats outside 0..1; store uint8, or floats from 0 to 1")
        array = np.rint(array * 255)
    elif array.dtype != np.uint8 and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255):
        raise FrugalnasError(f"{path}: {name} is of {array.dtype} beyond 0..255; store uint8")
    pixels = array.astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(np.repeat(pixels, 3, axis=1) if pixels.shape[1] == 1 else pixels))


def _labels(path: Path, name: str, array: NDArray[Any], count: int) -> IntArray:
    labels = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise FrugalnasError(
            f"{path}: {name} must hold {count} class numbers from 0; it has {array.dtype} {array.shape}"
        )
    return labels.astype(np.int64)
