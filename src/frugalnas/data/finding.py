"""Where images are: named data sets and paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from frugalnas.cache import cache_folder
from frugalnas.data.arrays import find_digits, find_npz
from frugalnas.data.folders import find_folder
from frugalnas.data.official import IMAGENET_STATISTICS, find_cifar, find_downsampled
from frugalnas.data.packed import Packed, find_packed, find_relativenas, pack_found
from frugalnas.data.parquet import find_parquet, parquet_folder
from frugalnas.data.sources import ArrayImages, Found
from frugalnas.errors import FrugalnasError, Surroundings, unknown_name

DATASETS: dict[str, str] = {
    "digits": "scikit-learn's 1,797 handwritten digits, 8 x 8; always there",
    "cifar10": "60,000 photos of 10 classes, 32 x 32; `root`=FOLDER, or `download`=True",
    "cifar100": "60,000 photos of 100 classes, 32 x 32; `root`=FOLDER, or `download`=True",
    "imagenet": "folders train and val of 1,000 class folders, or an LMDB of them; `root`",
    "imagenet16-120": "ImageNet at 16 x 16, first 120 classes (also -150, -200, or all 1,000: imagenet16); `root`",
}
"""The data sets that have a name, with a line on each."""


def find(spec: str | Path, root: Path | None, download: bool) -> Found:
    """What a name in `DATASETS` or a path leads to; see `Images`."""
    name = str(spec).lower()
    if name == "digits":
        found = find_digits()
        if Path(spec).exists():
            found.notes.append(f"{spec} is scikit-learn's; your {spec} here is ./{spec}")
        return found
    if name in ("cifar10", "cifar100", "cifar-10", "cifar-100"):
        # What was downloaded without a root lies in the cache.
        kept = cache_folder() / "data"
        return find_cifar(name.replace("-", ""), root or (kept if download or kept.is_dir() else None), download)
    if name == "imagenet":
        return _imagenet(root)
    path = Path(spec).expanduser()
    if not path.is_absolute() and not path.exists() and root is not None:
        path = root / path
    if not path.exists() and name.startswith("imagenet"):
        return find_downsampled(name, root)
    found = _find_path(path, str(spec))
    found.location = path.resolve()
    return found


def located(spec: str | Path) -> str:
    """Data as a run writes them down, to be found from any folder: the full path of what is there, else the name."""
    path = Path(spec).expanduser()
    return str(path.resolve()) if path.exists() and str(spec) != "digits" else str(spec)


def pack_lmdb(
    folder: str | Path,
    destination: str | Path,
    *,
    max_corrupt: int = 0,
    check: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Write the images of a folder into a new LMDB, which `Images` reads in place: what the command `data pack` does.

    The files are stored byte for byte with their labels, the sorted class names, a checksum each, and the parts train, val
    and test where the folder has them. Nothing is left behind where it fails.

    Args:
        folder: of class folders, of parts, of images, of Parquet files, or with RelativeNAS's LMDBs.
        destination: a folder that does not exist yet.
        max_corrupt: unreadable images that are left out before it is an error.
        check: decode every image; otherwise only its header is read.
        progress: told (images done, images in all) now and then.

    Raises:
        FrugalnasError: where there is nothing to pack, or it cannot be written.
    """
    source = Path(folder).expanduser()
    found = _find_path(source, str(folder), packing=True)
    if any(isinstance(part, ArrayImages) for part in found.parts.values()):
        raise FrugalnasError(f"{source}: holds arrays, which are in memory anyway; pack folders of image files")
    return pack_found(found, Path(destination).expanduser(), max_corrupt=max_corrupt, check=check, progress=progress)


def _find_path(path: Path, spec: str, packing: bool = False) -> Found:
    if path.suffix.lower() == ".npz" and path.is_file():
        return find_npz(path)
    if path.is_file() and _is_path(spec):
        raise FrugalnasError(
            f"{path} is a file of another kind; give a folder of class folders, of Parquet files, an LMDB or an .npz file"
        )
    if not path.is_dir():
        hint = ", or give a folder of class folders, of Parquet files, an LMDB or an .npz file"
        raise (
            Surroundings(f"{path} is not there; {hint[5:]}")
            if _is_path(spec)
            else unknown_name("data", spec, DATASETS, hint)
        )
    path = path.resolve()
    if (found := find_packed(path) or find_relativenas(path)) is not None:
        return found
    parquet = parquet_folder(path)
    if parquet is not None:
        return find_parquet(parquet, path.name, in_place=packing)
    if next(path.glob("*.parquet"), None) is not None:
        return find_parquet(path)  # says which names it needs
    return find_folder(path)


def _is_path(spec: str) -> bool:
    return "/" in spec or "\\" in spec or spec.startswith((".", "~"))


def _imagenet(root: Path | None) -> Found:
    """ImageNet below `root`; its public validation images are the test set."""
    if root is None:
        raise FrugalnasError("imagenet needs `root`, the folder with train and val, or with its LMDB")
    found = _find_path(root, f"./{root}")
    if "val" in found.parts and "test" not in found.parts:
        found.parts["test"] = found.parts.pop("val")
        found.notes.append("ImageNet's public validation images are the test set; validation is held out of training")
    found.name, found.input_size, found.statistics, found.mirrored = "imagenet", 224, IMAGENET_STATISTICS, True
    return found
