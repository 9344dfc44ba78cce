"""The folders and image files below a folder, each once, however they are linked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from frugalnas.errors import FrugalnasError, Surroundings, surroundings

__all__ = ["SUFFIXES", "Tree", "readable_name"]

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
            self.notes.append(f"{top}: {others} file{'s' * (others > 1)} of other kinds left alone")
        self.links_left = ""
        if self._again:
            more = f"; and {len(self._again) - _NAMED} more" if len(self._again) > _NAMED else ""
            named = "; ".join(self._again[:_NAMED])
            self.links_left = f"links to what is there anyway are not followed: {named}{more}"
            self.notes.append(self.links_left)

    def below(self, folder: Path) -> list[Path]:
        """The image files anywhere below a folder, those of each folder together, in sorted order."""
        return [file for inner in self._all_below(folder) for file in self.files[inner]]

    def _all_below(self, folder: Path) -> Iterator[Path]:
        waiting = [folder]
        while waiting:
            inner = waiting.pop()
            yield inner
            waiting += reversed(self.folders[inner])

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
                raise surroundings(error) or _unlisted(folder, error) from None
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


def _unlisted(folder: Path, error: OSError) -> FrugalnasError:
    if isinstance(error, FileNotFoundError):
        return Surroundings(f"{folder} is no longer there; put it back")
    return FrugalnasError(f"{folder}: cannot be listed ({error.strerror or error})")


def readable_name(name: str, folder: Path) -> str:
    """A file's name, which has to be UTF-8: labels, splits and reports are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FrugalnasError(
            f"{folder}: the name {os.fsencode(name)!r} in it is not UTF-8; rename it, or all of them with convmv -t utf8"
        ) from None
    return name
