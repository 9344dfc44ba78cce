"""Genotypes: cells of the DARTS family as its papers and programs write them."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, quoted

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operations of the DARTS space, in its order."""

OPERATIONS = (*PRIMITIVES, "sep_conv_7x7", "conv_7x1_1x7")
"""What a genotype may be made of: those of DARTS, and two more that NASNet and AmoebaNet have."""

Edges: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell of any number of nodes, each the sum of two operations.

    States are numbered: 0 is the output of the cell before the last, 1 of the last cell, 2 and on the cell's own nodes.

    Attributes:
        normal: operation and the state it reads, two of them for each node in order.
        normal_concat: the states that are joined to the cell's output.
        reduce: the same of the reduction cell.
        reduce_concat: the same of the reduction cell.
    """

    normal: Edges
    normal_concat: tuple[int, ...]
    reduce: Edges
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for cell, edges, concat in (
            ("normal", self.normal, self.normal_concat),
            ("reduction", self.reduce, self.reduce_concat),
        ):
            if not edges or len(edges) % 2:
                raise FrugalnasError(
                    f"the {cell} cell has {len(edges)} operations; a cell has two for each of its nodes"
                )
            for place, (operation, state) in enumerate(edges):
                node = 2 + place // 2
                if operation not in OPERATIONS:
                    raise FrugalnasError(
                        f"node {node} of the {cell} cell has the operation {operation!r}; choose one of "
                        f"{', '.join(OPERATIONS)}"
                    )
                if not 0 <= state < node:
                    raise FrugalnasError(
                        f"node {node} of the {cell} cell reads state {state}; it can read 0 to {node - 1}"
                    )
            nodes = 2 + len(edges) // 2
            if not concat or len(set(concat)) < len(concat) or not set(concat) <= set(range(nodes)):
                raise FrugalnasError(
                    f"the {cell} cell joins the states {list(concat)}; choose distinct ones from 0 to {nodes - 1}"
                )

    @classmethod
    def parse(cls, text: str) -> Genotype:
        """The genotype in `text`, which is read and never run.

        Either what Python prints, `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...],
        reduce_concat=range(2, 6))`, or JSON, `{"normal": [["sep_conv_3x3", 0], ...], "reduce": [...]}`, in which the
        states that are joined may be left out where all nodes are.
        """
        stripped = text.strip()
        if not stripped.startswith(("{", "Genotype")):
            raise FrugalnasError(
                f"{quoted(text)} is no genotype; write Genotype(normal=[('sep_conv_3x3', 0), ...], ...)"
            )
        try:
            fields = read_json(stripped, "the genotype") if stripped.startswith("{") else _arguments(stripped)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", None) or str(error) or type(error).__name__
            raise FrugalnasError(f"cannot read the genotype {quoted(text)}: {reason}") from None
        return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Genotype:
        """The genotype of plain lists, as JSON and YAML hold them."""
        for field in fields:
            if field not in _PARTS:
                raise FrugalnasError(f"a genotype has no {field!r}; it has {', '.join(_PARTS)}")
        for field in ("normal", "reduce"):
            if field not in fields:
                raise FrugalnasError(f"the genotype lacks {field!r}: two (operation, state) pairs for each node")
        cells = [_edges(fields[field], field) for field in ("normal", "reduce")]
        concats = [
            _states(fields.get(f"{field}_concat", range(2, 2 + len(edges) // 2)), f"{field}_concat")
            for field, edges in zip(("normal", "reduce"), cells, strict=True)
        ]
        return cls(cells[0], concats[0], cells[1], concats[1])

    def to_json(self) -> dict[str, object]:
        """Plain lists, from which `from_fields` makes the genotype again."""
        return {
            "normal": [list(edge) for edge in self.normal],
            "normal_concat": list(self.normal_concat),
            "reduce": [list(edge) for edge in self.reduce],
            "reduce_concat": list(self.reduce_concat),
        }

    def __str__(self) -> str:
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={_range(self.normal_concat)}, "
            f"reduce={list(self.reduce)}, reduce_concat={_range(self.reduce_concat)})"
        )


_PARTS = ("normal", "normal_concat", "reduce", "reduce_concat")


def _arguments(text: str) -> dict[str, object]:
    """The arguments of `Genotype(...)`, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python thinks of the user's backslashes
        call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype":
        raise ValueError("write one Genotype(...) and nothing else")
    if len(call.args) > len(_PARTS):
        raise ValueError(f"a genotype has four parts: {', '.join(_PARTS)}")
    fields = {name: _literal(value) for name, value in zip(_PARTS, call.args, strict=False)}
    for keyword in call.keywords:
        fields[str(keyword.arg)] = _literal(keyword.value)
    return fields


def _literal(node: ast.expr) -> object:
    """A literal, or the numbers of `range(a, b)`, also as `list(range(a, b))`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in ("list", "tuple") and len(node.args) == 1:
            return _literal(node.args[0])
        if node.func.id == "range" and 1 <= len(node.args) <= 2:
            bounds = [ast.literal_eval(bound) for bound in node.args]
            if all(type(bound) is int and 0 <= bound < 100 for bound in bounds):
                return list(range(*bounds))
        raise ValueError("only range(first, last + 1) may be called in it")
    return ast.literal_eval(node)


def _edges(value: object, field: str) -> Edges:
    pairs = []
    for pair in value if isinstance(value, (list, tuple)) else ():
        if not isinstance(pair, (list, tuple)) or [type(part) for part in pair] != [str, int]:
            raise FrugalnasError(f"{field!r} of the genotype has {pair!r}; write pairs such as ('sep_conv_3x3', 0)")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def _states(value: object, field: str) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or not all(type(state) is int for state in value):
        raise FrugalnasError(f"{field!r} of the genotype is {value!r}; write the joined states, such as [2, 3, 4, 5]")
    return tuple(value)


def _range(states: tuple[int, ...]) -> str:
    """As the DARTS programs print it: a range where it is one."""
    whole = range(states[0], states[0] + len(states))
    return f"range({whole.start}, {whole.stop})" if states == tuple(whole) else str(list(states))
