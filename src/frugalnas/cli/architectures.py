"""The architecture that a command is about, however it is named, and the sizes of its network."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.cli.options import convert, settings_of, within_operators
from frugalnas.cli.parsing import option
from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, quoted, unknown_name
from frugalnas.registry import SPACES, constructor_options
from frugalnas.spaces import KNOWN, Codes, Genotype, OnceForAll, SearchSpace, known
from frugalnas.spaces.sizes import sizes_of
from frugalnas.trust import reading

if TYPE_CHECKING:
    from torch import nn

SIZES = {
    "width": ("width",),
    "layers": ("layers", "cells"),
    "input": ("input_size",),
    "classes": ("classes",),
    "macro": ("macro",),
}
"""Options of the command line, and what the constructors of spaces call them."""
NOTHING_GIVEN = "an architecture is needed: a known name, a string, a JSON file or a run's folder"


@dataclass(frozen=True)
class Architecture:
    """One architecture, with the space that carries the sizes of its network.

    Attributes:
        name: what to call it: its known name, else where it comes from, else its notation.
        space: that it belongs to.
        genotype: of cells that no code of the space has (NASNet's and AmoebaNet's have five nodes); else None.
        why: what keeps it from being a code, where there is a genotype.
        own: the code, None where there is a genotype.
    """

    name: str
    space: SearchSpace
    own: Codes | None
    genotype: Genotype | None = None
    why: str = ""

    @property
    def code(self) -> Codes:
        """Its genes.

        Raises:
            FrugalnasError: where the space has no code for it.
        """
        if self.own is None:
            raise FrugalnasError(
                f"{self.name} can be counted and drawn, but has no code in {self.space.name}: {self.why}"
            )
        return self.own

    @property
    def text(self) -> str:
        """It in the field's notation."""
        return str(self.genotype) if self.own is None else self.space.format(self.own)

    @property
    def called(self) -> str:
        """A word for it: its name, where that is not its notation, else its space's."""
        return self.name if self.name != self.text else self.space.name

    @property
    def pixels(self) -> int:
        """The side of the images that its network takes."""
        space: Any = self.space
        return int(space.input_size)

    @property
    def sizes(self) -> str:
        """The sizes of its network, for people."""
        return sizes_of(self.space)

    def build(self) -> nn.Module:
        """Its network without weights, on torch's meta device."""
        from frugalnas.networks import build, weightless
        from frugalnas.networks.darts import DARTSSkeleton

        with weightless():
            if self.genotype is None:
                return build(self.space, self.code)
            return DARTSSkeleton(self.space).of_genotype(self.genotype)


def add_architecture(parser: argparse.ArgumentParser, macro: str = "cifar") -> None:
    """Add the argument that names an architecture, and the options that say what its network is.

    Args:
        parser: of the command.
        macro: what the command builds cells of darts into where nobody says it.
    """
    option(
        parser,
        "architecture ARCH",
        "a known name (frugalnas list --architectures), an architecture string, a JSON file (genotype.json, "
        "architecture.json), or the folder of a search, a training or a model",
    )
    option(
        parser,
        "--id N",
        "where ARCH is the folder of a search: its Nth query in place of the best (frugalnas runs rank)",
        int,
    )
    add_sizes(parser, macro)


def add_sizes(parser: argparse.ArgumentParser, macro: str = "cifar") -> None:
    """Add the options that say which space is meant and how large its networks are."""
    group = parser.add_argument_group("space and sizes of the network")
    option(group, "--space NAME", "space of the architecture, where its name does not say it")
    option(group, "--width W", "channels, or the multiple of them in a space of layers")
    option(group, "--layers N", "cells of the network (in nasbench101 and 201: cells of a stage)")
    option(group, "--input --input-size PIXELS", "side of the square images")
    option(group, "--classes N", "classes of the classifier")
    option(group, "--macro {cifar,imagenet}", f"of darts: what surrounds the cells [{macro}]")


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add the option for further options of a space."""
    option(parser, "--set space.NAME=VALUE", "a further option of the space", list)


def find_architecture(
    parsed: argparse.Namespace, settings: Mapping[str, str] | None = None, macro: str | None = None
) -> Architecture:
    """The architecture that a command line names, at the sizes that its options and settings say.

    Args:
        parsed: has what `add_architecture` adds.
        settings: further options of the space; None: those of `add_set`.
        macro: what surrounds cells of darts, where neither options and settings nor a run's folder say it.

    Raises:
        FrugalnasError: saying what would have been understood.
    """
    text = parsed.architecture.strip()
    if not text:
        raise FrugalnasError(NOTHING_GIVEN)
    found = (
        _in_path(text, parsed.space, getattr(parsed, "id", None))
        or _known(text, parsed.space)
        or _read(text, parsed.space, "")
    )
    if found.own is not None and parsed.space and found.space.name != SPACES.create(parsed.space).name:
        raise FrugalnasError(
            f"{found.name} is an architecture of {found.space.name}, not of {parsed.space}; leave --space out"
        )
    changes = _changes(found.space, parsed, settings)
    run = os.path.isdir(os.path.expanduser(text))  # a genotype is too long a name for pathlib
    if macro is not None and hasattr(found.space, "macro") and not run:
        changes.setdefault("macro", macro)
    if not changes:
        return found
    space = found.space.with_options(**changes)
    if found.own is not None and not space.valid(found.own[None])[0]:
        space.parse(found.space.format(found.own))  # says what is wrong
        raise FrugalnasError(f"{found.name} is not an architecture of {space!r}")
    return Architecture(found.name, space, found.own, found.genotype, found.why)


def refuse_outside(found: Architecture, parsed: argparse.Namespace) -> None:
    """Refuse an architecture with an operator that `--operators` does not leave.

    Raises:
        FrugalnasError: naming the first one; for cells that no code has; for a file that does not fit.
    """
    if parsed.operators is None:
        return
    allowed = within_operators(found.space, parsed).allowed
    there = allowed[np.arange(len(allowed)), found.code]
    if not there.all():
        gene = int(np.argmin(there))
        operator = found.space.value_name(gene, int(found.code[gene]))
        raise FrugalnasError(
            f"{found.name} has {operator} at {found.space.gene_name(gene)}, which {parsed.operators} does not leave; choose an "
            "architecture of what is left (frugalnas search --operators), or leave `operators` out"
        )


def sized_space(parsed: argparse.Namespace, settings: Mapping[str, str] | None = None) -> SearchSpace:
    """The space that `--space` names, at the sizes that the other options say; settings are as for `find_architecture`."""
    if not parsed.space:
        raise FrugalnasError(f"which space? Add --space, one of: {', '.join(SPACES.targets)}")
    space: SearchSpace = SPACES.create(parsed.space)
    changes = _changes(space, parsed, settings)
    return space.with_options(**changes) if changes else space


def slug(name: str) -> str:
    """A name that can be part of a folder's name."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return plain if 0 < len(plain) <= 40 else "architecture"


def _changes(space: SearchSpace, parsed: argparse.Namespace, settings: Mapping[str, str] | None) -> dict[str, Any]:
    """Constructor options of a space that the command line sets."""
    if settings is None:
        settings = settings_of(getattr(parsed, "set", ()), ("space",)).get("space", {})
    constructor = type(space)
    known = constructor_options(constructor)
    changes = {}
    for flag, options in SIZES.items():
        text = getattr(parsed, flag, None)
        if text is None:
            continue
        option = next((option for option in options if option in known), None)
        if option is None:
            raise FrugalnasError(
                f"--{flag} {text}: networks of {space.name} have no such size; it has {', '.join(known)}"
            )
        changes[option] = convert(constructor, option, text, f"--{flag}")
    for option, text in settings.items():
        changes[option] = convert(constructor, option, text, f"space.{option}")
    return changes


# -- where an architecture comes from ----------------------------------------------------------------------------------


def _in_path(text: str, space: str | None, number: int | None) -> Architecture | None:
    """The architecture in a file or folder, None where `text` is neither.

    Args:
        text: what the command line says.
        space: that it names.
        number: of a query of a search; None takes the best.
    """
    path = Path(text).expanduser()
    content = None
    try:
        folder = path.is_dir()
        if path.is_file():
            content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FrugalnasError(f"{path} is no text; give the JSON file or the folder that has the architecture") from None
    except (OSError, ValueError):  # too long for a path, or with characters that none has
        folder = False
    if number is not None:
        return _of_run(path, number)
    if folder:
        return _in_folder(path)
    if content is None:
        if path.suffix in (".json", ".yaml", ".txt") or re.fullmatch(r"(\.{0,2}/|runs/)[\w./-]+", text):
            raise FrugalnasError(f"there is no file or folder {text}")
        return None
    return _in_file(path, content, space)


def _in_file(path: Path, content: str, space: str | None) -> Architecture:
    try:
        plain = read_json(content, str(path))
    except ValueError:
        plain = None
    if isinstance(plain, dict) and isinstance(plain.get("architecture"), str):
        described = plain.get("space")
        if isinstance(described, dict):
            made: SearchSpace = SPACES.create(described)
            code = made.parse(plain["architecture"])
            return Architecture(made.format(code), made, code)
        content = plain["architecture"]
    elif isinstance(plain, str):
        content = plain
    try:
        return _read(content.strip(), space, path.stem)
    except FrugalnasError as error:
        raise FrugalnasError(f"{path}: {error}") from None


def _in_folder(path: Path) -> Architecture:
    """What a model has, or a run of any kind that has one."""
    if (path / "config.yaml").is_file():
        return _of_run(path)
    for card in (path / "architecture.json", path / "model" / "architecture.json"):
        if card.is_file():
            return _in_file(card, card.read_text(encoding="utf-8"), None)
    raise FrugalnasError(f"{path} is neither a run nor a model; give the folder of a search, a training or a model")


def _of_run(path: Path, query: int | None = None) -> Architecture:
    """What a run found or trained, or a search asked for in one of its queries, evaluated or failed."""
    from frugalnas.runs import RunFolder

    if query is not None and not (path / "config.yaml").is_file():
        raise FrugalnasError(f"--id {query} is a query of a search, but {path} is no folder of one; leave --id out")
    folder = RunFolder(path)
    with reading(path):
        found = folder.kind.architecture(folder, query)
    return Architecture(found.name or str(path), found.space, found.code)


def _known(text: str, space: str | None) -> Architecture | None:
    """A known architecture, None where none is called so."""
    try:
        found = known(text, space)
    except FrugalnasError:
        return None
    made: SearchSpace = SPACES.create({"name": found.space, "options": found.options})
    if found.searchable:
        return Architecture(found.name, made, made.parse(found.text))
    why = "its cells have another number of nodes, or other operations, than the space's"
    return Architecture(found.name, made, None, found.genotype, why)


def _read(text: str, space: str | None, name: str) -> Architecture:
    """The architecture that a text is, in the space named or in the only one that reads it."""
    if not text:
        raise FrugalnasError(NOTHING_GIVEN)
    if space is not None:
        return _read_in(text, space, name)
    found = []
    for candidate in SPACES.targets:
        try:
            found.append(_read_in(text, candidate, name))
        except FrugalnasError:
            continue
    if len(found) == 1:
        return found[0]
    if found:
        spaces = [each.space.name for each in found]
        raise FrugalnasError(
            f"{quoted(text, 60)} can be read in {' and '.join(spaces)}; add --space {spaces[0]}, or another"
        )
    likely = _likely_space(text)
    if likely is not None:
        _read_in(text, likely, name)  # raises what is wrong
    if re.fullmatch(r"[A-Za-z][\w.+-]*", text):
        raise unknown_name(
            "architecture", text, KNOWN, ", or give an architecture string, a JSON file or a run's folder"
        )
    raise FrugalnasError(
        f"no space reads {quoted(text, 60)}; add --space NAME to see why, one of: {', '.join(SPACES.targets)}"
    )


def _read_in(text: str, space: str, name: str) -> Architecture:
    made: SearchSpace = SPACES.create(space)
    try:
        if isinstance(made, OnceForAll) and (size := made.size_in(text)) is not None:
            made = made.with_options(input_size=size)
        code = made.parse(text)
    except FrugalnasError as error:
        if made.name != "darts":
            raise
        try:
            genotype = Genotype.parse(text)
        except FrugalnasError:
            raise error from None
        return Architecture(name or "the genotype", made, None, genotype, str(error))
    return Architecture(name or made.format(code), made, code)


def _likely_space(text: str) -> str | None:
    """The space in whose notation a text that none reads seems to be written."""
    for pattern, space in (
        (r"\s*Genotype|\s*\[\s*\[|.*normal", "darts"),
        (r".*~\d", "nasbench201"),
        (r".*\bks\b", "once-for-all"),
        (r".*\bconv\dx\d", "nasbench101"),
    ):
        if re.match(pattern, text, re.DOTALL):
            return space
    return None
