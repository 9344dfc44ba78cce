"""What is left of a space, in a file: JSON that a person reads, or the pickled lists of ABS's programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from frugalnas.documents import misfit, read_json
from frugalnas.errors import FrugalnasError, quoted
from frugalnas.files import write_atomically
from frugalnas.limits import within
from frugalnas.pickles import read_pickle, read_torch
from frugalnas.registry import SPACES
from frugalnas.shrinking.shrinking import Shrinking
from frugalnas.spaces import DARTS, Operators, SearchSpace
from frugalnas.spaces.darts import NONE
from frugalnas.spaces.operators import WAYS
from frugalnas.strict_json import to_json
from frugalnas.trust import opening

FORMAT, VERSION = "frugalnas-operators", 1
PLACE: dict[str, Any] = {"place": str, "operators": [{"name": str, "id": int}]}
FIELDS: dict[str, Any] = {"format": str, "version": int, "space": str, "by": str, "places": [PLACE]}

Space = TypeVar("Space", bound=SearchSpace)


def write_operators(path: Path | str, left: SearchSpace | Shrinking) -> None:
    """Write what is left of a space: the operators of each place by name and number, and how it came about.

    Args:
        path: of the JSON file.
        left: a space, whose limits on quantities are noted, and not applied where the file is read; or a shrinking.
    """
    space = left.space if isinstance(left, Shrinking) else left
    operators = _joined(space)
    lists = operators.lists(operators.left(space.allowed))
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "space": space.name,
        "description": space.described(),
        "architectures": str(space.size),
        "scored_within": space.limits.get("where"),
        "by": operators.by,
        "places": [
            {
                "place": name,
                "operators": [
                    {"name": operators.names[number], "id": int(operators.ids[number])} for number in numbers
                ],
            }
            for name, numbers in zip(operators.places, lists, strict=True)
        ],
    }
    if isinstance(left, Shrinking):
        data["shrinking"] = left.to_json()
    write_atomically(Path(path), to_json(data, indent=1) + "\n")


def read_operators(path: Path | str, space: Space) -> Space:
    """The space with the operators of a file, and what limits it has itself.

    Args:
        path: of JSON that `write_operators` wrote, or of a pickle of ABS's programs: the numbers of the operators of each layer or
            edge, -1 for the identity. ABS's lists for DARTS are for both cells, and `none` in them stands for an edge that is not
            used, as most are.
        space: the whole one, or a smaller one.

    Raises:
        FrugalnasError: for a file of another space, an unknown operator, a place without one.
    """
    path = Path(path)
    data = _content(path)
    if isinstance(data, dict):
        version = data.get("version")
        if data.get("format") == FORMAT and isinstance(version, int) and version > VERSION:
            raise FrugalnasError(f"{path} has version {version}, written by a newer frugalnas; update frugalnas")
        wrong = _wrong(data)
        if wrong:
            raise FrugalnasError(f"{path} is no file of operators: {wrong}; frugalnas shrink writes one")
        operators = space.operators(data["by"])
        its, wanted = [place["place"] for place in data["places"]], list(operators.places)
        if data["space"] != space.name or its != wanted:
            lacking = ", ".join(place for place in wanted if place not in its) or "their order"
            raise _other(path, data["space"] if data["space"] != space.name else f"a space without {lacking}", space)
        chosen = [
            [_operator(path, operators, place, each["name"], each["id"]) for each in entry["operators"]]
            for place, entry in enumerate(data["places"])
        ]
    else:
        operators, chosen = _of_lists(path, data, space)
    left = np.zeros(len(operators.names), np.bool_)
    left[[number for numbers in chosen for number in numbers]] = True
    mask = operators.allowed(left) & space.allowed
    if not mask.any(axis=1).all():
        place = space.gene_name(int(np.argmin(mask.any(axis=1))))
        raise FrugalnasError(f"{path} leaves no operator at {place} of {space.name}; list one there at least")
    return space.restrict(mask)


@opening
def read_shrinking(path: Path | str, space: SearchSpace | None = None, *, trust: bool = False) -> Shrinking:
    """How the operators of a file came about.

    Args:
        path: of JSON that `write_operators` wrote for a shrinking.
        space: the whole space; None: the one that the file describes.
        trust: whether import paths in its description may be followed (see `frugalnas.trust`).
    """
    data = _content(Path(path))
    if not isinstance(data, dict) or "shrinking" not in data:
        raise FrugalnasError(f"{path} does not say how its operators came about, only which are left")
    if space is None:
        space = cast(SearchSpace, SPACES.create(data.get("description", {})))
    read_operators(path, space)
    return Shrinking.from_json(data["shrinking"], space, str(path))


def _joined(space: SearchSpace) -> Operators:
    """The operators of a space, joined as far as what is left of it can be said by them."""
    for by in ("shared", "place"):
        operators = space.operators(by)
        if np.array_equal(operators.allowed(operators.left(space.allowed)), space.allowed):
            return operators
    return space.operators("gene")


def _content(path: Path) -> Any:
    try:
        within("json-bytes", path.stat().st_size, str(path))
        content = path.read_bytes()
    except OSError as error:
        raise FrugalnasError(
            f"{path}: cannot be read ({error.strerror or error}); frugalnas shrink writes such files"
        ) from None
    if content.lstrip()[:1] == b"{":
        return read_json(content, str(path))
    if content[:4] == b"PK\x03\x04":
        return read_torch(path)
    try:
        with path.open("rb") as file:
            return read_pickle(file, name=str(path))
    except FrugalnasError as error:
        raise FrugalnasError(f"{path} is no file of operators: as a pickle {_without(path, error)}") from None


def _without(path: Path, error: FrugalnasError) -> str:
    return str(error).removeprefix(f"{path}, ").removeprefix(f"{path}: ")


def _wrong(data: dict[str, Any]) -> str:
    wrong = misfit(data, FIELDS)
    if not wrong and (data["format"], data["by"] in WAYS) != (FORMAT, True):
        wrong = f"its format is {data['format']!r:.40}"
    return wrong


def _of_lists(path: Path, data: Any, space: SearchSpace) -> tuple[Operators, list[list[int]]]:
    """The operators of a reference program's lists, and their numbers for each place."""
    if not isinstance(data, (list, tuple)) or not all(isinstance(entry, (list, tuple)) for entry in data):
        raise FrugalnasError(
            f"{path} has no list of operators for each layer or edge; frugalnas shrink writes a file that has"
        )
    for by in ("shared", "place", "gene"):
        operators = space.operators(by)
        if len(operators.places) == len(data):
            break
    else:
        raise _other(path, f"{len(data)} layers or edges", space)
    unused = (NONE, "none") if isinstance(space, DARTS) and operators.by != "gene" else ()
    return operators, [
        [_operator(path, operators, place, each) for each in entry if each not in unused]
        for place, entry in enumerate(data)
    ]


def _operator(path: Path, operators: Operators, place: int, given: object, id: int | None = None) -> int:
    """The number of the operator of this name, or id, at a place; what has both is to have those of one operator."""
    there: Sequence[int] = np.flatnonzero(operators.place == place).tolist()
    for number in there:
        whole = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        if given == operators.names[number] or (whole and given == operators.ids[number]):
            if id in (None, operators.ids[number]):
                return number
            raise FrugalnasError(
                f"{path} has the operator {quoted(str(given))} at {operators.places[place]} with id {id}, but its id is "
                f"{operators.ids[number]}; correct either"
            )
    offered = ", ".join(f"{operators.ids[number]} ({operators.names[number]})" for number in there)
    raise FrugalnasError(
        f"{path} has the operator {quoted(str(given))} at {operators.places[place]}, where {offered} may be; choose the "
        "space that it was made for"
    )


def _other(path: Path, its: str, space: SearchSpace) -> FrugalnasError:
    return FrugalnasError(
        f"{path} is of {its}, not of {space.name} with its {len(space.operators().places)} places; choose the space "
        "that it was made for"
    )
