"""How the gallery finds the pictures that a command wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst


class Pictures:
    """What scripts of the gallery left in their folder: each block shows the pictures that are new.

    Args:
        folder: of the scripts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shown: set[Path] = set()

    def __repr__(self) -> str:  # sphinx-gallery keeps it as part of the configuration
        return "pictures that a command wrote"

    def __call__(self, block: Any, variables: Mapping[str, Any], gallery: Mapping[str, Any], **_: Any) -> str:
        """The pictures of a block, as reStructuredText."""
        copies = []
        for picture in sorted(self.folder.rglob("*.png")):
            if picture not in self.shown:
                self.shown.add(picture)
                copies.append(next(variables["image_path_iterator"]))
                shutil.copyfile(picture, copies[-1])
        return str(figure_rst(copies, gallery["src_dir"]))
