"""One image as a network takes it: the same steps for evaluation, prediction and every export."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from frugalnas.data.depth import is_deep, scaled
from frugalnas.errors import FrugalnasError, Surroundings, one_of, surroundings
from frugalnas.limits import most, within

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Pillow refuses twice as many, before it takes memory: our limit, which can be raised, in place of its own.
Image.MAX_IMAGE_PIXELS = int(most("image-pixels")) // 2


class CorruptImage(FrugalnasError):
    """An image that cannot be decoded."""


def preprocess(image: Image.Image | NDArray[np.generic] | str | Path, preprocessing: Mapping[str, Any]) -> torch.Tensor:
    """The float32 tensor [3, s, s] that a trained network takes for an image.

    Args:
        image: a picture, a file, or an array [height, width(, channels)] of 0..255 or, where it is of floats, 0..1.
        preprocessing: as `ImageData.preprocessing` has it: `input_size` s, `resize` (of the short side, before the
            centre s x s is cut out), `interpolation`, `mean` and `std` by channel in units of 0..1, `channels`, "RGB" or
            "BGR", and `white`, the value that is white in images of more than 8 bits.

    Raises:
        CorruptImage: for a file that is no image, or a damaged one.
    """
    white = preprocessing.get("white")
    if isinstance(image, (str, Path)):
        picture = decode(read_file(Path(image)), str(image), white)
    elif isinstance(image, Image.Image):
        picture = to_rgb(image, white)
    else:
        picture = to_rgb(Image.fromarray(_bytes(np.asarray(image), white)))
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


def read_file(path: Path) -> bytes:
    """The bytes of an image's file.

    Raises:
        CorruptImage: where there is none that can be read; pipes and devices are not opened.
        Surroundings: where the machine is at fault.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CorruptImage(f"{path}: not a file")
        within("array-bytes", status.st_size, str(path))
        return path.read_bytes()
    except OSError as error:
        if not isinstance(error, PermissionError) and (lacking := surroundings(error)):
            raise lacking from None
        raise CorruptImage(f"{path}: cannot be read ({error.strerror or error})") from None


@contextmanager
def open_image(content: bytes, name: str) -> Iterator[Image.Image]:
    """The picture in an encoded file, of which only the header was read; it is small enough to be decoded.

    Raises:
        CorruptImage: `{name}: {reason}`, for whatever goes wrong with it inside the block too.
        Surroundings: where the machine is at fault.
    """
    try:
        # Pillow tries WebP after all others, which takes longer than to decode a small image.
        webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
        with Image.open(io.BytesIO(content), formats=["WEBP"] if webp else None) as image:
            within("image-pixels", image.width * image.height, "it")
            yield image
        return
    except Surroundings:
        raise
    except UnidentifiedImageError:
        reason = "not an image that can be read" if content else "an empty file"
    except Image.DecompressionBombError as error:
        reason = f"{str(error).partition(',')[0]} (set FRUGALNAS_LIMIT_IMAGE_PIXELS to raise it)"
    except Exception as error:  # a damaged file makes decoders fail in any way
        if lacking := surroundings(error):
            raise lacking from None
        reason = str(error) or type(error).__name__
    raise CorruptImage(f"{name}: {reason}")


def decode(content: bytes, name: str, white: float | None = None) -> Image.Image:
    """The picture in an encoded file, upright and in RGB.

    Args:
        content: of the file.
        name: of the image, for errors.
        white: see `to_rgb`.

    Raises:
        CorruptImage: `{name}: {reason}`.
        Surroundings: where the machine is at fault.
    """
    with open_image(content, name) as image:
        return to_rgb(image, white)


def identify(content: bytes, name: str) -> tuple[int, int, bool]:
    """Width and height of the picture in an encoded file, and whether it has more than 8 bits a value, from its header.

    Raises:
        CorruptImage: `{name}: {reason}`.
    """
    with open_image(content, name) as image:
        return (*image.size, is_deep(image))


def to_rgb(image: Image.Image, white: float | None = None) -> Image.Image:
    """The picture as a camera held it, in RGB; what is transparent becomes white, grey is repeated.

    Args:
        image: any picture.
        white: the value that is white where values have more than 8 bits; None takes 1 for floats from 0 to 1, 65,535 for
            integers, and 255 for other floats and for integers of 32 bits that are all below 256.

    Raises:
        FrugalnasError: where values lie outside 0..white.
    """
    if image.mode == "RGB" and not image.getexif().get(0x0112):
        image.load()
        return image
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return Image.fromarray(scaled(np.asarray(image), white)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return image.convert("RGB")


def fit_square(image: Image.Image, size: int, resize: int, interpolation: str = "bilinear") -> Image.Image:
    """The centre `size` x `size` of the picture after its short side was resized to `resize` pixels."""
    one_of("interpolation", interpolation, RESAMPLING)
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


def _bytes(array: NDArray[np.generic], white: float | None) -> NDArray[np.uint8]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise FrugalnasError(f"an array of shape {array.shape} is no image; give [height, width] or [height, width, 3]")
    if array.dtype == np.uint8:
        return array.view(np.uint8)
    return scaled(array, white or (1 if array.dtype.kind in "fb" else 255))
