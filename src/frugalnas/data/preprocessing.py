"""One image as a network takes it: the same steps for evaluation, prediction and every export."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from frugalnas.errors import FrugalnasError, unknown_name

__all__ = ["CorruptImage", "decode", "fit_square", "identify", "normalise", "preprocess", "to_rgb", "to_tensor"]

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class CorruptImage(FrugalnasError):
    """An image that cannot be decoded."""


def preprocess(image: Image.Image | NDArray[np.generic] | str | Path, preprocessing: Mapping[str, Any]) -> torch.Tensor:
    """The float32 tensor [3, s, s] that a trained network takes for an image.

    Args:
        image: a picture, a file, or an array [height, width(, channels)] of 0..255 or, where it is of floats, 0..1.
        preprocessing: as `ImageData.preprocessing` has it: `input_size` s, `resize` (of the short side, before the
            centre s x s is cut out), `interpolation`, `mean` and `std` by channel in units of 0..1, and `channels`, "RGB" or
            "BGR".

    Raises:
        CorruptImage: for a file that is no image, or a damaged one.
    """
    if isinstance(image, (str, Path)):
        path = Path(image)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptImage(f"{path}: cannot be read ({error.strerror or error})") from None
        picture = decode(content, str(path))
    elif isinstance(image, Image.Image):
        picture = to_rgb(image)
    else:
        picture = to_rgb(Image.fromarray(_bytes(np.asarray(image))))
    missing = {"input_size", "mean", "std"} - preprocessing.keys()
    if missing:
        raise FrugalnasError(f"preprocessing lacks {', '.join(sorted(missing))}; take it from ImageData.preprocessing")
    size = int(preprocessing["input_size"])
    interpolation = str(preprocessing.get("interpolation", "bilinear"))
    square = fit_square(picture, size, int(preprocessing.get("resize") or size), interpolation)
    return normalise(to_tensor(square)[None], preprocessing)[0]


def normalise(images: torch.Tensor, preprocessing: Mapping[str, Any]) -> torch.Tensor:
    """The batch of uint8 images [n, 3, s, s] as float32: (value / 255 - mean) / std, channels in the wanted order."""
    if preprocessing.get("channels", "RGB") == "BGR":
        images = images.flip(1)
    mean = torch.tensor(preprocessing["mean"], dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing["std"], dtype=torch.float32, device=images.device).view(1, -1, 1, 1)
    return images.float().sub_(mean * 255.0).mul_(1.0 / (std * 255.0))


def decode(content: bytes, name: str) -> Image.Image:
    """The picture in an encoded file, upright and in RGB.

    Raises:
        CorruptImage: `{name}: {reason}`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return to_rgb(image)
    except UnidentifiedImageError:
        reason = "not an image that can be read" if content else "an empty file"
    except Image.DecompressionBombError:
        reason = "more than 178 million pixels"
    except Exception as error:  # a damaged file makes decoders fail in any way
        reason = str(error) or type(error).__name__
    raise CorruptImage(f"{name}: {reason}")


def identify(content: bytes, name: str) -> tuple[int, int]:
    """Width and height of the picture in an encoded file, from its header; the pixels are not read.

    Raises:
        CorruptImage: `{name}: {reason}`.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except Exception as error:
        reason = "not an image that can be read" if isinstance(error, UnidentifiedImageError) else str(error)
        raise CorruptImage(f"{name}: {reason}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as a camera held it, in RGB; what is transparent becomes white, grey is repeated."""
    if image.mode == "RGB" and not image.getexif().get(0x0112):
        image.load()
        return image
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return image.convert("RGB")


def fit_square(image: Image.Image, size: int, resize: int, interpolation: str = "bilinear") -> Image.Image:
    """The centre `size` x `size` of the picture after its short side was resized to `resize` pixels."""
    if interpolation not in RESAMPLING:
        raise unknown_name("interpolation", interpolation, RESAMPLING)
    width, height = image.size
    short = min(width, height)
    if short != resize:
        width, height = max(resize, round(width * resize / short)), max(resize, round(height * resize / short))
        image = image.resize((width, height), RESAMPLING[interpolation])
    if (width, height) == (size, size):
        return image
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def to_tensor(image: Image.Image) -> torch.Tensor:
    """The picture as uint8 [3, height, width]."""
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).contiguous()


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise FrugalnasError(f"an array of shape {array.shape} is no image; give [height, width] or [height, width, 3]")
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        if array.min() < 0 or array.max() > 1:
            raise FrugalnasError("an image of floats lies between 0 and 1; give uint8 for 0..255")
        return np.rint(array * 255).astype(np.uint8)
    if array.min() < 0 or array.max() > 255:
        raise FrugalnasError("an image of integers lies between 0 and 255")
    return array.astype(np.uint8)
