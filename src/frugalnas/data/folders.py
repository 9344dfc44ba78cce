"""Folders of image files: one folder per class, split into parts or not, or flat and without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from frugalnas.data.names import part_of
from frugalnas.data.sources import FileImages, Found, ImageSource
from frugalnas.data.tree import SUFFIXES, Tree
from frugalnas.errors import FrugalnasError

__all__ = ["find_folder"]

_TABLES = (".csv", ".tsv", ".json", ".txt", ".xlsx")


def find_folder(folder: Path) -> Found:
    """The images in a folder of class folders, of parts (train, val, test) with class folders, or of images alone.

    Folders with images that are neither are named in the notes.
    """
    tree = Tree(folder)
    inside = tree.folders[folder]
    named = [(part, path) for path in inside if (part := part_of(path.name)) is not None]
    train = next((path for part, path in named if part == "train"), None)
    if train is not None and (tree.folders[train] or len(named) == len(inside) > 1):
        parts: dict[str, Path] = {}
        for part, path in named:
            if parts.setdefault(part, path) != path:
                raise FrugalnasError(
                    f"{parts[part]} and {path} are both {part} images, by their names; move one of them away"
                )
        return _parts(tree, parts) if tree.folders[train] else _unlabelled(tree, train)
    if not inside:
        return _unlabelled(tree, folder)
    _refuse_alike(tree, inside)
    classes = tuple(path.name for path in inside)
    return _labelled(tree, folder, classes, {"train": _part(tree, folder, classes, classes)})


def _labelled(tree: Tree, classes_in: Path, classes: tuple[str, ...], sources: dict[str, ImageSource]) -> Found:
    if len(classes) < 2:
        inner = classes_in / classes[0]
        way_out = (
            f"give {inner}, if its folders are the classes"
            if len(tree.folders[inner]) > 1
            else "training needs at least two classes, a folder for each"
        )
        raise FrugalnasError(f"{classes_in}: only one class folder, {classes[0]!r}; {way_out}")
    return Found(tree.top.name, classes, sources, "folder", tree.notes)


def _unlabelled(tree: Tree, folder: Path) -> Found:
    files = tree.below(folder)
    if not files:
        raise FrugalnasError(
            f"{folder}: no images in it; put some there ({', '.join(SUFFIXES[:5])}, ...), into one folder per class where they "
            f"have labels"
        )
    tree.notes.append(f"{len(files)} images without labels")
    tables = [name for name in tree.others[folder] if name.lower().endswith(_TABLES)]
    if tables:
        tree.notes.append(
            f"{folder / tables[0]} is not read: put the images into one folder per class to give them labels"
        )
    if folder != tree.top:
        _not_taken(tree, [path for path in tree.folders[tree.top] if path != folder])
    return Found(tree.top.name, (), {"train": FileImages(files, None, folder)}, "flat folder", tree.notes)


def _parts(tree: Tree, parts: dict[str, Path]) -> Found:
    train = parts["train"]
    classes = tuple(path.name for path in tree.folders[train])
    sources: dict[str, ImageSource] = {}
    left = [path for path in tree.folders[tree.top] if path not in parts.values()]
    for name, path in parts.items():
        here = tuple(inner.name for inner in tree.folders[path])
        unknown = sorted(set(here) - set(classes))
        if unknown:
            raise FrugalnasError(
                f"{path}: class folder {unknown[0]!r} is not among those of {train}; rename it, or move {path.name} away"
            )
        if here:
            sources[name] = _part(tree, path, here, classes)
        else:
            left.append(path)
    _not_taken(tree, left)
    return _labelled(tree, train, classes, sources)


def _part(tree: Tree, folder: Path, here: tuple[str, ...], classes: tuple[str, ...]) -> FileImages:
    files: list[Path] = []
    labels: list[int] = []
    number = {name: position for position, name in enumerate(classes)}
    for name in here:
        of_class = tree.below(folder / name)
        if not of_class:
            links = f" ({tree.links_left})" if tree.links_left else ""
            raise FrugalnasError(
                f"{folder / name}: a class folder without images{links}; remove it or put images into it"
            )
        files += of_class
        labels += [number[name]] * len(of_class)
    if tree.files[folder]:
        tree.notes.append(f"{folder}: {_images(len(tree.files[folder]))} beside the class folders not taken")
    return FileImages(files, np.asarray(labels, dtype=np.int64), folder)


def _not_taken(tree: Tree, left: list[Path]) -> None:
    """A note on each folder with images that no part has, and on images beside the parts."""
    counts = {path: len(tree.below(path)) for path in left} | {tree.top: len(tree.files[tree.top])}
    tree.notes += [
        f"{path}: {_images(count)} in no part's class folders, not taken" for path, count in counts.items() if count
    ]


def _refuse_alike(tree: Tree, inside: list[Path]) -> None:
    """Refuse classes of which one holds all folders of another: they are parts of one data set, under other names."""
    seen: list[tuple[set[str], Path]] = []
    for path in inside:
        held = path
        while len(tree.folders[held]) == 1 and not tree.files[held]:  # as archives do that hold a folder of their name
            (held,) = tree.folders[held]
        names = {inner.name for inner in tree.folders[held]}
        for others, other in seen if len(names) > 1 else ():
            both = sorted(names & others)
            if len(both) == min(len(names), len(others)):
                raise FrugalnasError(
                    f"{other} and {path} hold the same folders ({', '.join(both[:3])}{', ...' * (len(both) > 3)}), so "
                    f"they seem to be parts, not classes; name parts train, val and test, or put the images of a class into "
                    f"one folder"
                )
        if len(names) > 1:
            seen.append((names, path))


def _images(count: int) -> str:
    return f"{count} image{'s' * (count > 1)}"
