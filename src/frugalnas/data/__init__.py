"""What do we train on? Images, read from where they are, split once, and brought to the device in batches.

- `Images`: a named data set (`DATASETS`) or a path, and how it is read; `open` makes `ImageData` of it: classes, parts,
  statistics, notes for the user.
- `opened`: whatever says which images, open; `reopened`: those that a run described.
- `located`: the path or name under which a run finds its data again.
- `pack_lmdb`: a folder of images becomes one LMDB, which returns as `Packed`.
- `ImageData`, `Part`: what there is; `preprocess` makes a network's input of any picture as training did.
- `SplitSpec`, `Split`, `SPLITS`: which images train, validate and test; stored with a run.
- `Augmentation`, `PUBLISHED`: random changes to training images as plain settings, and those of the papers.
- `mirrored_is_no_loss`: whether training images may be mirrored, where nothing says so.
- `Loader`: batches that depend on seed, epoch and step alone.
- `RandomLabels`: labels drawn in place of the images' own.
- `CorruptImage`: a picture that cannot be decoded.
"""

from frugalnas.data.augmentation import PUBLISHED, Augmentation
from frugalnas.data.finding import DATASETS, located, pack_lmdb
from frugalnas.data.image_data import ImageData, Part
from frugalnas.data.images import Images, opened, reopened
from frugalnas.data.labels import RandomLabels
from frugalnas.data.loading import Loader
from frugalnas.data.mirroring import mirrored_is_no_loss
from frugalnas.data.packed import Packed
from frugalnas.data.preprocessing import CorruptImage, normalise, preprocess
from frugalnas.data.splits import SPLITS, Split, SplitSpec

__all__ = [
    "DATASETS",
    "PUBLISHED",
    "SPLITS",
    "Augmentation",
    "CorruptImage",
    "ImageData",
    "Images",
    "Loader",
    "Packed",
    "Part",
    "RandomLabels",
    "Split",
    "SplitSpec",
    "located",
    "mirrored_is_no_loss",
    "normalise",
    "opened",
    "pack_lmdb",
    "preprocess",
    "reopened",
]
