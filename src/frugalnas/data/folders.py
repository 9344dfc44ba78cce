"""Folders of image files: one folder per class, split into parts or not, or flat and without labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from frugalnas.data.sources import FileImages, Found, ImageSource
from frugalnas.errors import FrugalnasError

__all__ = ["SUFFIXES", "class_folders", "find_folder", "image_files"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
PART_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def find_folder(folder: Path) -> Found:
    """The images in a folder of class folders, of parts (train, val, test) with class folders, or of images alone."""
    inside = class_folders(folder)
    named = {path.name.lower(): path for path in inside}
    if "train" in named and any(class_folders(named["train"])):
        return _parts(folder, {PART_FOLDERS[name]: path for name, path in named.items() if name in PART_FOLDERS})
    if inside:
        classes = tuple(path.name for path in inside)
        notes: list[str] = []
        return Found(folder.name, _checked(folder, classes), {"train": _part(folder, classes, notes)}, "folder", notes)
    notes = []
    files = image_files(folder, notes)
    if not files:
        raise FrugalnasError(
            f"{folder}: no images in it; put some there ({', '.join(SUFFIXES[:5])}, ...), into one folder per class where they "
            f"have labels"
        )
    notes.append(f"{len(files)} images without labels")
    return Found(folder.name, (), {"train": FileImages(files, None, folder)}, "flat folder", notes)


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted by name, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise FrugalnasError(f"{folder}: cannot be listed ({error.strerror or error})") from None


def image_files(folder: Path, notes: list[str]) -> list[Path]:
    """The image files anywhere below a folder, sorted; how many files were left for another suffix becomes a note."""
    found, others = [], 0
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.append(Path(parent, name))
            else:
                others += not name.startswith(".")
    if others:
        notes.append(f"{folder}: {others} file{'s' if others > 1 else ''} of other kinds left alone")
    return found


def _parts(folder: Path, parts: dict[str, Path]) -> Found:
    notes: list[str] = []
    classes = tuple(path.name for path in class_folders(parts["train"]))
    sources: dict[str, ImageSource] = {}
    for name, path in parts.items():
        here = {inner.name for inner in class_folders(path)}
        unknown = sorted(here - set(classes))
        if unknown:
            raise FrugalnasError(f"{path}: class folder {unknown[0]!r} is not among those of {parts['train']}")
        sources[name] = _part(path, tuple(name for name in classes if name in here), notes, classes)
    return Found(folder.name, _checked(parts["train"], classes), sources, "folder", notes)


def _part(folder: Path, here: tuple[str, ...], notes: list[str], classes: tuple[str, ...] | None = None) -> FileImages:
    classes = classes or here
    files: list[Path] = []
    labels: list[int] = []
    for name in here:
        of_class = image_files(folder / name, notes)
        if not of_class:
            raise FrugalnasError(f"{folder / name}: a class folder without images; remove it or put images into it")
        files += of_class
        labels += [classes.index(name)] * len(of_class)
    if not files:
        raise FrugalnasError(f"{folder}: no images in it; put them into one folder per class")
    return FileImages(files, np.asarray(labels, dtype=np.int64), folder)


def _checked(folder: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) < 2:
        raise FrugalnasError(
            f"{folder}: only one class folder, {classes[0]!r}; training needs at least two classes, a folder for each"
        )
    return classes
