"""Folders of image files, each once however it is linked: a folder per class, in parts or not, or flat and without labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from frugalnas.amounts import plural
from frugalnas.data.sources import FileImages, Found, ImageSource, part_of
from frugalnas.errors import FrugalnasError, Surroundings, surroundings

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
    return plural(count, "image")


SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
_NAMED = 5  # links that are named, of many


class Tree:
    """What lies below a folder: hidden names are left out, and nothing is opened.

    A symbolic link is followed where it leads out of the folder, and only once to each place: a link to a folder or image
    that is in the tree anyway would give the same image twice, often with two labels. Pipes, devices and sockets are no
    images.

    Attributes:
        top: the folder.
        folders: of every folder those in it, sorted.
        files: of every folder the image files in it, sorted.
        others: of every folder the names of other things in it.
        notes: what was left out, and why.
        links_left: the note on links that were not followed; empty where there are none.

    Raises:
        FrugalnasError: where a folder cannot be listed, or a name is not UTF-8.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.folders: dict[Path, list[Path]] = {}
        self.files: dict[Path, list[Path]] = {}
        self.others: dict[Path, list[str]] = {}
        self.notes: list[str] = []
        self._real: dict[str, Path] = {}  # by real path: under which path it is in the tree
        self._links: list[Path] = []  # to folders
        self._linked_files: list[Path] = []
        self._again: list[str] = []
        self._walk(top, os.path.realpath(top))
        while self._links:  # what is really there came first
            self._follow(self._links.pop(0))
        for link in self._linked_files:
            self._take(link)
        for kept in (*self.folders.values(), *self.files.values()):
            kept.sort()
        others = sum(map(len, self.others.values()))
        if others:
            self.notes.append(f"{top}: {plural(others, 'file')} of other kinds left alone")
        self.links_left = ""
        if self._again:
            more = f"; and {len(self._again) - _NAMED} more" if len(self._again) > _NAMED else ""
            named = "; ".join(self._again[:_NAMED])
            self.links_left = f"links to what is there anyway are not followed: {named}{more}"
            self.notes.append(self.links_left)

    def below(self, folder: Path) -> list[Path]:
        """The image files anywhere below a folder, those of each folder together, in sorted order."""
        files, waiting = [], [folder]
        while waiting:
            inner = waiting.pop()
            files += self.files[inner]
            waiting += reversed(self.folders[inner])
        return files

    def _walk(self, top: Path, real_top: str) -> None:
        waiting = [(top, real_top)]
        while waiting:
            folder, real = waiting.pop()
            self._real[real] = folder
            self.folders[folder], self.files[folder], self.others[folder] = [], [], []
            try:
                with os.scandir(folder) as entries:
                    listed = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError as error:
                gone = isinstance(error, FileNotFoundError) and Surroundings(
                    f"{folder} is no longer there; put it back"
                )
                known = surroundings(error) or gone
                raise known or FrugalnasError(f"{folder}: cannot be listed ({error.strerror or error})") from None
            for entry in listed:
                path = folder / readable_name(entry.name, folder)
                image = entry.name.lower().endswith(SUFFIXES)
                if entry.is_dir():
                    inside = os.path.join(real, entry.name)
                    if entry.is_symlink():
                        self._links.append(path)
                    elif inside in self._real:
                        self._again.append(f"{path} is {self._real[inside]}")
                    else:
                        self.folders[folder].append(path)
                        waiting.append((path, inside))
                elif image and entry.is_symlink() and (entry.is_file() or not path.exists()):
                    self._linked_files.append(path)
                elif image and entry.is_file():
                    self.files[folder].append(path)
                else:
                    self.others[folder].append(entry.name)

    def _follow(self, link: Path) -> None:
        real = os.path.realpath(link)
        around = real if real.endswith(os.sep) else real + os.sep
        there = self._real.get(real) or (Path(real) if os.path.realpath(self.top).startswith(around) else None)
        if there is not None:
            self._again.append(f"{link} leads to {there}")
            return
        self.folders[link.parent].append(link)
        self._walk(link, real)

    def _take(self, link: Path) -> None:
        """An image behind a link, unless it is in the tree already; one that leads nowhere is an image that cannot be read."""
        real = os.path.realpath(link)
        home = self._real.get(os.path.dirname(real))
        name = os.path.basename(real)
        there = self._real.get(real)
        if home is not None and name.lower().endswith(SUFFIXES) and not name.startswith("."):
            there = home / name
        if there is not None and os.path.exists(real):
            self._again.append(f"{link} leads to {there}")
            return
        self._real[real] = link
        self.files[link.parent].append(link)


def readable_name(name: str, folder: Path) -> str:
    """A file's name, which has to be UTF-8: labels, splits and reports are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FrugalnasError(
            f"{folder}: the name {os.fsencode(name)!r} in it is not UTF-8; rename it, or all of them with convmv -t utf8"
        ) from None
    return name
