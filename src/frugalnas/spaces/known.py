"""Architectures that papers published, by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces.genotype import Genotype


@dataclass(frozen=True)
class KnownArchitecture:
    """A published architecture.

    Attributes:
        name: as papers write it.
        space: name of the space it belongs to.
        options: constructor options of the space that it needs, beyond the defaults.
        text: the architecture in the space's notation.
        source: where it was published.
        searchable: whether the space has it as a code; NASNet's and AmoebaNet's cells have more nodes, and are
            genotypes only.
    """

    name: str
    space: str
    text: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    searchable: bool = True

    @property
    def genotype(self) -> Genotype:
        """The cells, where it is made of two."""
        if self.space != "darts":
            raise FrugalnasError(f"{self.name} belongs to {self.space}, whose architectures are no genotypes")
        return Genotype.parse(self.text)


def known(name: str, space: str | None = None) -> KnownArchitecture:
    """The architecture of a name; case does not count, nor hyphens for underscores.

    Args:
        name: to look up.
        space: name of the only space to look in; None looks everywhere.

    Raises:
        FrugalnasError: where there is none of this name.
    """
    found = _BY_NAME.get(_plain(name))
    if found is None or space not in (None, found.space):
        choices = [each.name for each in KNOWN.values() if space in (None, each.space)]
        raise unknown_name("architecture" + (f" of {space}" if space else ""), name, choices)
    return found


def known_text(text: str, space: str) -> str:
    """What a name of an architecture of this space stands for; any other text as it is.

    Raises:
        FrugalnasError: where the text is a name, but none of this space.
    """
    word = text.strip()
    found = _BY_NAME.get(_plain(word))
    if found is not None and found.space == space:
        return found.text
    if found is not None:
        raise FrugalnasError(f"{found.name} is an architecture of {found.space}, not of {space}")
    names = [each.name for each in KNOWN.values() if each.space == space]
    if names and word[:1].isalpha() and word.replace("_", "").replace("-", "").isalnum():
        raise unknown_name(f"architecture of {space}", word, names)
    return text


_WORDS = {
    "none": "none",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "sep7": "sep_conv_7x7",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "conv7": "conv_7x1_1x7",
}
"""Short hand for the operations of cells."""


def _listed() -> Iterator[KnownArchitecture]:
    """What `known.json` lists: architectures with their notation, cells and Once-for-All's lists in short hand.

    A cell is written by its edges, an operation and the state it reads, such as `sep3 0`, separated by commas.
    """
    for entry in json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8")):
        if "normal" in entry:
            fields = {name: entry.pop(name) for name in list(entry) if name.startswith(("normal", "reduce"))}
            for cell in ("normal", "reduce"):
                edges = [edge.split() for edge in fields[cell].split(",")]
                fields[cell] = [(_WORDS[word], int(state)) for word, state in edges]
            entry["text"] = str(Genotype.from_fields(fields))
        elif "ks" in entry:
            entry["text"] = json.dumps({name: [int(digit) for digit in entry.pop(name)] for name in ("ks", "e", "d")})
        yield KnownArchitecture(**entry)


KNOWN: dict[str, KnownArchitecture] = {each.name: each for each in _listed()}
"""Every published architecture that is known here, by name."""

_ALIASES = {"DARTS": "DARTS_V2", "P-DARTS": "PDARTS", "PairNAS_C100": "PairNAS_CIFAR100", "RLNAS_IN": "RLNAS_IN_600M"}


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


_BY_NAME = {_plain(name): each for name, each in KNOWN.items()} | {
    _plain(alias): KNOWN[name] for alias, name in _ALIASES.items()
}
