"""What people call the parts of a data set."""

from __future__ import annotations

import re

__all__ = ["PARTS", "part_of"]

PARTS = ("train", "val", "test")

_SPELLINGS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "devel", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_BY_SPELLING = {spelling: part for part, spellings in _SPELLINGS.items() for spelling in spellings}
_AROUND = re.compile(r"(data|dataset|set|split|part|folder|images?|imgs?|pictures|photos|samples)*")


def part_of(name: str) -> str | None:
    """The part, "train", "val" or "test", that a folder, file or array is named after; None for other names.

    Case, separators, digits and words such as "set" or "images" do not count: Training, test_set, VAL-images, train2017.
    """
    letters = re.sub(r"[\W\d_]+", "", name.lower())
    around = _AROUND.match(letters)
    letters = letters[around.end() :] if around and letters not in _BY_SPELLING else letters
    for spelling, part in _BY_SPELLING.items():
        if letters.startswith(spelling) and _AROUND.fullmatch(letters, len(spelling)):
            return part
    return None
