"""Images that come as arrays: scikit-learn's digits, and .npz files."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from frugalnas.data.depth import range_of, scaled, white_of
from frugalnas.data.sources import PARTS, ArrayImages, Found, ImageSource, IntArray, part_of
from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.limits import within

_WORDS = {
    "images": ("x", "image", "images", "img", "imgs", "data"),
    "labels": ("y", "label", "labels", "target", "targets"),
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
    train_labels and so on: uint8, floats from 0 to 1, or integers of more bits, of shape [n, height, width(, channels)] or
    [n, channels, height, width]; a file with images alone has no labels, and `classes` may name them.
    """
    arrays = _read(path)
    found: dict[str, dict[str, str]] = {"images": {}, "labels": {}}  # by part, names of arrays
    left = []
    for name in arrays:
        words = re.split(r"[^a-z0-9]+", name.lower().strip("_"))
        what = next((what for what, words_of in _WORDS.items() if set(words) & set(words_of)), None)
        part = next((part for part in map(part_of, words) if part), "train")
        if what is None or part in found[what]:
            left += [] if name == "classes" else [name]
        else:
            found[what][part] = name
    if "train" not in found["images"]:
        raise FrugalnasError(
            f"{path}: has {', '.join(arrays) or 'nothing'}; give arrays images and labels, or x_train and y_train"
        )
    notes = [f"{path}: arrays not taken: {', '.join(left)}"] if left else []
    shaped = {part: _shaped(path, name, arrays[name]) for part, name in found["images"].items()}
    deep = [
        range_of(array, f"{path}: {found['images'][part]}") for part, array in shaped.items() if array.dtype != np.uint8
    ]
    white = white_of(deep) if deep else None
    parts: dict[str, ImageSource] = {}
    for part in sorted(shaped, key=PARTS.index):
        array = shaped[part]
        pixels = array if array.dtype == np.uint8 else scaled(array, white)
        colours = np.ascontiguousarray(np.repeat(pixels, 3, axis=1) if pixels.shape[1] == 1 else pixels)
        key = found["labels"].get(part)
        labels = None if key is None else _labels(path, key, arrays[key], len(array))
        parts[part] = ArrayImages(torch.from_numpy(colours), labels, f"{path.name}, {part} image")
    with_labels = {name for name, source in parts.items() if source.labels is not None}
    if "train" not in with_labels:
        notes += [f"{path}: {name} not taken: the training images have no labels" for name in parts if name != "train"]
        notes.append("images without labels")
        return Found(path.stem, (), {"train": parts["train"]}, "npz", notes, white=white)
    if with_labels != parts.keys():
        raise FrugalnasError(f"{path}: {', '.join(sorted(parts.keys() - with_labels))} images without labels")
    count = 1 + max(int(source.labels.max()) for source in parts.values() if source.labels is not None and len(source))
    classes = tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else tuple(map(str, range(count)))
    if len(classes) < count:
        raise FrugalnasError(f"{path}: label {count - 1}, but only {len(classes)} classes have names")
    return Found(path.stem, classes, parts, "npz", notes, white=white)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file, none of which is larger than the file says and the limit allows."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    first = np.lib.format.read_magic(stream) == (1, 0)
                    header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                    shape, _, kind = header(stream)
                size = math.prod(shape) * kind.itemsize
                within("array-bytes", size, f"{path}: {entry.filename}")
                if size > entry.file_size:
                    raise FrugalnasError(f"{path}: {entry.filename} is shorter than it says; write the file again")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FrugalnasError:
        raise
    except Exception as error:  # a damaged archive can raise nearly anything
        if lacking := surroundings(error):
            raise lacking from None
        raise FrugalnasError(f"{path}: not an .npz file of plain arrays that can be read ({error})") from None


def _shaped(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array as [n, 1 or 3, height, width]."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.size:
        raise FrugalnasError(
            f"{path}: {name} has shape {array.shape}; images have [n, height, width], [n, height, width, 1 or 3] or "
            f"[n, 1 or 3, height, width]"
        )
    return array


def _labels(path: Path, name: str, array: NDArray[Any], count: int) -> IntArray:
    labels = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise FrugalnasError(
            f"{path}: {name} must hold {count} class numbers from 0; it has {array.dtype} {array.shape}"
        )
    return labels.astype(np.int64)
