"""What each opcode of a pickle does to the machine, as far as plain data needs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from frugalnas.pickles.objects import (
    ADMITTED,
    Opaque,
    Unfit,
    build,
    check_acyclic,
    check_key,
    reduce,
)

if TYPE_CHECKING:
    from frugalnas.pickles.machine import Machine

__all__ = ["HANDLERS", "REFUSED", "binunicode"]

_LONGEST_INTEGER = 1024
"""Bytes; whoever shows a number in a message can show one of these: Python prints no more than 4,300 digits."""
_LONGEST_NUMBER_LINE = 2600
"""Characters."""
_ESCAPED = re.compile(r"\\(?:x[0-9a-fA-F]{2}|.|$)")
_ESCAPES = {"\\\\": "\\", "\\'": "'", '\\"': '"', "\\n": "\n", "\\r": "\r", "\\t": "\t"}


def binunicode(machine: Machine) -> None:
    """Push a string of any length."""
    take = machine.source.take
    machine.stack.append(take(_UINT4.unpack(take(4))[0]).decode("utf-8", "surrogatepass"))


def _binunicode8(machine: Machine) -> None:
    take = machine.source.take
    machine.stack.append(take(_UINT8.unpack(take(8))[0]).decode("utf-8", "surrogatepass"))


def _string(machine: Machine) -> None:
    line = machine.source.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Unfit("holds a string without quotes")
    machine.stack.append(_ESCAPED.sub(_unescaped, line[1:-1].decode("ascii")))


def _unescaped(escape: re.Match[str]) -> str:
    """What Python 2's repr wrote so; further escapes it does not write."""
    text = escape[0]
    if text[1:2] == "x" and len(text) == 4 and int(text[2:], 16) < 128:
        return chr(int(text[2:], 16))
    if text not in _ESCAPES:
        raise Unfit(f"holds a string with the escape {text!r}")
    return _ESCAPES[text]


def _short_string(machine: Machine) -> None:
    take = machine.source.take
    machine.stack.append(take(take(1)[0]).decode("ascii"))


def _binstring(machine: Machine) -> None:
    machine.stack.append(machine.source.take(_UINT4.unpack(machine.source.take(4))[0]).decode("ascii"))


def _integer(machine: Machine, size: Struct) -> None:
    length = size.unpack(machine.source.take(size.size))[0]
    if length > _LONGEST_INTEGER:
        raise Unfit(f"holds an integer of {length} bytes, where {_LONGEST_INTEGER} are plenty")
    machine.stack.append(int.from_bytes(machine.source.take(length), "little", signed=True))


def _int_line(machine: Machine) -> None:
    line = machine.source.line(_LONGEST_NUMBER_LINE)
    machine.stack.append(line == b"01" if line in (b"00", b"01") else int(line, 10))


def _long_line(machine: Machine) -> None:
    machine.stack.append(int(machine.source.line(_LONGEST_NUMBER_LINE).removesuffix(b"L"), 10))


def _fixed(size: Struct) -> Callable[[Machine], None]:
    def push(machine: Machine) -> None:
        machine.stack.append(size.unpack(machine.source.take(size.size))[0])

    return push


def _content(size: Struct, kind: Callable[[bytes], object]) -> Callable[[Machine], None]:
    def push(machine: Machine) -> None:
        take = machine.source.take
        machine.stack.append(kind(take(size.unpack(take(size.size))[0])))

    return push


def _constant(make: Callable[[], object]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(make())


def _put_at(size: Struct) -> Callable[[Machine], None]:
    return lambda machine: machine.put(size.unpack(machine.source.take(size.size))[0])


def _get_at(size: Struct) -> Callable[[Machine], None]:
    return lambda machine: machine.get(size.unpack(machine.source.take(size.size))[0])


def _last(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(machine.last(count))


def _from_mark(make: Callable[[list[Any]], object]) -> Callable[[Machine], None]:
    def push(machine: Machine) -> None:
        items = machine.from_mark()
        machine.stack.append(make(items))

    return push


def _checked_frozenset(items: list[Any]) -> frozenset[Any]:
    for item in items:
        check_key(item)
    return frozenset(items)


def _proto(machine: Machine) -> None:
    if (version := machine.source.take(1)[0]) > 5:
        raise Unfit(f"is of protocol {version}; 5 is the last that is known")


def _stop(machine: Machine) -> None:
    if len(machine.stack) != 1 or machine.marked:
        raise Unfit(f"stops with {len(machine.stack)} objects on the stack and {len(machine.marked)} marks")
    check_acyclic(machine.stack[0])
    machine.done = True


def _mark(machine: Machine) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.from_mark()


def _pop_mark(machine: Machine) -> None:
    machine.from_mark()


def _frame(machine: Machine) -> None:
    machine.source.take(8)


def _dict(machine: Machine) -> None:
    items = machine.from_mark()
    machine.stack.append({})
    machine.set_items(items)


def _set_item(machine: Machine) -> None:
    machine.set_items(list(machine.last(2)))


def _set_items(machine: Machine) -> None:
    machine.set_items(machine.from_mark())


def _add_items(machine: Machine) -> None:
    items = machine.from_mark()
    target = machine.stack[-1]
    if type(target) is not set:
        raise Unfit(f"adds members to a {type(target).__name__}")
    for item in items:
        check_key(item)
    target.update(items)


def _global(machine: Machine) -> None:
    module, name = (machine.source.line(_LONGEST_NUMBER_LINE).decode("utf-8") for _ in range(2))
    _admit(machine, module, name)


def _stack_global(machine: Machine) -> None:
    module, name = machine.last(2)
    if type(module) is not str or type(name) is not str:
        raise Unfit("asks for something whose name is no text")
    _admit(machine, module, name)


def _admit(machine: Machine, module: str, name: str) -> None:
    full = f"{module}.{name}"
    if full not in ADMITTED:
        shown = full if full.isprintable() else ascii(full)
        raise Unfit(f"asks for {shown:.200}, which a table of numbers does not need")
    machine.stack.append(ADMITTED[full])


def _reduce(machine: Machine) -> None:
    what, arguments = machine.last(2)
    made = reduce(what, arguments)
    if isinstance(made, (bytes, set, frozenset)):
        machine.charge(len(made))
    machine.stack.append(made)


def _build(machine: Machine) -> None:
    (state,) = machine.last(1)
    target = machine.stack[-1]
    build(target, state)
    if isinstance(target, np.ndarray):
        machine.charge(target.nbytes)


def _persistent(machine: Machine) -> None:
    machine.last(1)
    machine.stack.append(Opaque("a storage"))


def _persistent_line(machine: Machine) -> None:
    machine.source.line(_LONGEST_NUMBER_LINE)
    machine.stack.append(Opaque("a storage"))


_UINT1, _UINT2, _UINT4, _UINT8, _INT4 = (Struct(code) for code in ("<B", "<H", "<I", "<Q", "<i"))

REFUSED = {
    0x69: "INST",
    0x6F: "OBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}
"""Opcodes that would import, call, or take data from elsewhere."""

_OPCODES: dict[str, tuple[int, Callable[[Machine], None]]] = {
    "PROTO": (0x80, _proto),
    "FRAME": (0x95, _frame),
    "STOP": (0x2E, _stop),
    "MARK": (0x28, _mark),
    "POP": (0x30, _pop),
    "POP_MARK": (0x31, _pop_mark),
    "DUP": (0x32, lambda machine: machine.stack.append(machine.stack[-1])),
    "NONE": (0x4E, _constant(lambda: None)),
    "NEWTRUE": (0x88, _constant(lambda: True)),
    "NEWFALSE": (0x89, _constant(lambda: False)),
    "INT": (0x49, _int_line),
    "BININT": (0x4A, _fixed(_INT4)),
    "BININT2": (0x4D, _fixed(_UINT2)),
    "LONG": (0x4C, _long_line),
    "LONG1": (0x8A, lambda machine: _integer(machine, _UINT1)),
    "LONG4": (0x8B, lambda machine: _integer(machine, _UINT4)),
    "FLOAT": (0x46, lambda machine: machine.stack.append(float(machine.source.line(_LONGEST_NUMBER_LINE)))),
    "UNICODE": (0x56, lambda machine: machine.stack.append(str(machine.source.line(), "raw-unicode-escape"))),
    "BINUNICODE8": (0x8D, _binunicode8),
    "STRING": (0x53, _string),
    "BINSTRING": (0x54, _binstring),
    "SHORT_BINSTRING": (0x55, _short_string),
    "SHORT_BINBYTES": (0x43, _content(_UINT1, bytes)),
    "BINBYTES": (0x42, _content(_UINT4, bytes)),
    "BINBYTES8": (0x8E, _content(_UINT8, bytes)),
    "BYTEARRAY8": (0x96, _content(_UINT8, bytearray)),
    "EMPTY_TUPLE": (0x29, _constant(tuple)),
    "TUPLE": (0x74, _from_mark(tuple)),
    "TUPLE1": (0x85, _last(1)),
    "TUPLE2": (0x86, _last(2)),
    "TUPLE3": (0x87, _last(3)),
    "EMPTY_LIST": (0x5D, _constant(list)),
    "LIST": (0x6C, _from_mark(list)),
    "APPEND": (0x61, lambda machine: machine.extend(list(machine.last(1)))),
    "APPENDS": (0x65, lambda machine: machine.extend(machine.from_mark())),
    "EMPTY_DICT": (0x7D, _constant(dict)),
    "DICT": (0x64, _dict),
    "SETITEM": (0x73, _set_item),
    "SETITEMS": (0x75, _set_items),
    "EMPTY_SET": (0x8F, _constant(set)),
    "ADDITEMS": (0x90, _add_items),
    "FROZENSET": (0x91, _from_mark(_checked_frozenset)),
    "PUT": (0x70, lambda machine: machine.put(int(machine.source.line(20), 10))),
    "BINPUT": (0x71, _put_at(_UINT1)),
    "LONG_BINPUT": (0x72, _put_at(_UINT4)),
    "GET": (0x67, lambda machine: machine.get(int(machine.source.line(20), 10))),
    "LONG_BINGET": (0x6A, _get_at(_UINT4)),
    "GLOBAL": (0x63, _global),
    "STACK_GLOBAL": (0x93, _stack_global),
    "REDUCE": (0x52, _reduce),
    "NEWOBJ": (0x81, _reduce),
    "BUILD": (0x62, _build),
    "PERSID": (0x50, _persistent_line),
    "BINPERSID": (0x51, _persistent),
}
"""Every opcode that is admitted beside the fast ones: SHORT_BINUNICODE, BINUNICODE, BININT1, BINFLOAT, MEMOIZE, BINGET."""

HANDLERS = dict(_OPCODES.values())
"""By opcode."""
