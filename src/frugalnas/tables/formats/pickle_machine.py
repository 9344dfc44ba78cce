"""The stack machine that pickles are programs for, as much of it as plain data needs."""

from __future__ import annotations

import codecs
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.tables.formats.pickle_objects import ADMITTED, Opaque, Unfit, build, check_acyclic, check_key, reduce

__all__ = ["Machine", "OnItem", "Source"]

OnItem = Callable[[dict[Any, Any], Any, Any], None]

_BLOCK = 1 << 18
_PAD = 1024
"""Zeros behind the last byte: no opcode is 0, so whoever reads into them is told that the file ends early."""
_REACH = 512
"""Bytes that the fast opcodes read at most, without looking whether they are there."""
_LONGEST_INTEGER = 4096
_LONGEST_NUMBER_LINE = 5000
_LONGEST_LINE = 1 << 24
_LONGEST = 1 << 30
_STRINGS_KEPT = 1 << 16
_GAPS = 4096
_MISSING = object()
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, length: int, /) -> bytes:
        """At most so many of the next bytes; none at the end."""


class Source:
    """The bytes of a stream, by blocks; several pickles may follow one another in it.

    Args:
        stream: read to its end at most, never sought in.
        name: the file, for messages.
    """

    def __init__(self, stream: Readable, name: str) -> None:
        self.stream = stream
        self.name = name
        self.block = b""
        self.at = 0
        self.low = 0
        """From here on in the block, more has to be read first."""
        self.before = 0
        """Bytes before the block."""
        self.ended = False
        self.fill(0)

    def fill(self, at: int) -> None:
        """Drop what lies before `at` in the block and read on."""
        if self.ended:
            return
        pieces = [self.block[at:]]
        fresh = 0
        while fresh <= _REACH and not self.ended:
            piece = self._read(_BLOCK)
            fresh += len(piece)
            self.ended = not piece
            pieces.append(piece or bytes(_PAD))
        self.block = b"".join(pieces)
        self.before += at
        self.at = 0
        self.low = len(self.block) + 1 if self.ended else len(self.block) - _REACH

    def take(self, length: int) -> bytes:
        """The next so many bytes; memory is only used for bytes that are there."""
        if length > _LONGEST:
            raise Unfit(f"claims a length of {length} bytes, where {_LONGEST} are plenty")
        end = self.at + length
        if end <= self._end():
            content = self.block[self.at : end]
            self.at = end
            return content
        pieces = [self.block[self.at : self._end()]]
        missing = length - len(pieces[0])
        start = self.before + self.at
        while missing and not self.ended:
            piece = self._read(min(missing, _BLOCK))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        if missing:
            raise Unfit(f"claims a length of {length} bytes, and the file ends {missing} bytes before")
        self.block, self.at, self.before = b"", 0, start + length
        self.fill(0)
        return b"".join(pieces)

    def line(self, longest: int = _LONGEST_LINE) -> bytes:
        """The next bytes up to a line's end, which is taken too."""
        searched = self.at
        while (found := self.block.find(b"\n", searched, self._end())) < 0:
            read = self._end() - self.at
            if self.ended or read > longest:
                raise Unfit(f"holds a line that does not end within {read} bytes")
            self.fill(self.at)
            searched = read
        content = self.block[self.at : found]
        if len(content) > longest:
            raise Unfit(f"holds a line of {len(content)} bytes")
        self.at = found + 1
        return content

    def _end(self) -> int:
        return len(self.block) - _PAD if self.ended else len(self.block)

    def _read(self, length: int) -> bytes:
        try:
            return self.stream.read(length)
        except _DAMAGE as error:
            place = self.before + len(self.block)
            raise FrugalnasError(f"{self.name}: byte {place}: the file cannot be read on ({error})") from None


class Machine:
    """Reads one pickle of plain data from a source.

    Args:
        source: positioned at the pickle; afterwards, behind it.
        on_item: called with a dict, a key and a value whenever an item was put into the dict.
    """

    def __init__(self, source: Source, on_item: OnItem | None = None) -> None:
        self.source = source
        self.on_item = on_item
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: list[Any] = []
        self.gaps = 0
        self.made = 0
        self.raised: Exception | None = None
        self.done = False

    def run(self) -> Any:
        """The object that the pickle holds.

        Raises:
            FrugalnasError: for what is damaged or not plain data, with the file and the byte of the opcode.
        """
        source, rare, strings, memo = self.source, _RARE, dict[bytes, str](), self.memo
        stack = self.stack
        push, memoize = stack.append, memo.append
        double, unsigned = _DOUBLE.unpack_from, _UINT4.unpack_from
        block, at, low = source.block, source.at, source.low
        start = at
        try:
            while True:
                if at >= low:
                    source.fill(at)
                    block, at, low = source.block, source.at, source.low
                start = at
                op = block[at]
                if op == 0x8C or op == 0x58:  # SHORT_BINUNICODE, BINUNICODE
                    if op == 0x8C:
                        begin = at + 2
                        at = begin + block[at + 1]
                    else:
                        begin = at + 5
                        at = begin + unsigned(block, start + 1)[0]
                        if at - begin > 255:
                            source.at = start + 1
                            self._handle(_binunicode, source.before + start)
                            block, at, low = source.block, source.at, source.low
                            continue
                    raw = block[begin:at]
                    text = strings.get(raw)
                    if text is None:
                        text = raw.decode("utf-8", "surrogatepass")
                        if len(strings) >= _STRINGS_KEPT:
                            strings.clear()
                        strings[raw] = text
                    push(text)
                    op = block[at]
                    if op == 0x94:  # MEMOIZE
                        memoize(text)
                        at += 1
                        op = block[at]
                    elif op == 0x72 and unsigned(block, at + 1)[0] == len(memo):  # LONG_BINPUT
                        memoize(text)
                        at += 5
                        op = block[at]
                    if op == 0x47:  # BINFLOAT
                        push(double(block, at + 1)[0])
                        at += 9
                elif op == 0x4B:  # BININT1
                    push(block[at + 1])
                    at += 2
                    if block[at] == 0x47:  # BINFLOAT
                        push(double(block, at + 1)[0])
                        at += 9
                elif op == 0x47:  # BINFLOAT
                    push(double(block, at + 1)[0])
                    at += 9
                elif op == 0x94:  # MEMOIZE
                    memoize(stack[-1])
                    at += 1
                elif op == 0x68:  # BINGET
                    value = memo[block[at + 1]]
                    if value is _MISSING:
                        raise Unfit(f"asks for entry {block[at + 1]} of its memo, which is not there")
                    push(value)
                    at += 2
                else:
                    source.at = at + 1
                    handler = rare.get(op)
                    if handler is None:
                        raise Unfit(_refusal(op, source.ended and at >= len(block) - _PAD))
                    self._handle(handler, source.before + start)
                    if self.done:
                        return stack[-1]
                    stack = self.stack
                    push = stack.append
                    block, at, low = source.block, source.at, source.low
        except FrugalnasError:
            raise
        except _EXPECTED as error:
            if error is self.raised:
                raise
            raise self._refused(source.before + start, error) from None

    def _handle(self, handler: Callable[[Machine], None], place: int) -> None:
        try:
            handler(self)
        except FrugalnasError:
            raise
        except _EXPECTED as error:
            if error is self.raised:
                raise
            raise self._refused(place, error) from None

    def _refused(self, place: int, error: Exception) -> FrugalnasError:
        reason = "takes more from the stack than there is" if isinstance(error, IndexError) else str(error)
        return FrugalnasError(f"{self.source.name}: byte {place}: {reason}")

    def put(self, index: int) -> None:
        """Remember what lies on top of the stack."""
        value, gap = self.stack[-1], index - len(self.memo)
        if gap < 0:
            if index < 0:
                raise Unfit(f"writes to entry {index} of its memo")
            self.memo[index] = value
            return
        self.gaps += gap
        if self.gaps > _GAPS:
            raise Unfit(f"writes to entry {index} of its memo, which has {len(self.memo)}")
        self.memo.extend([_MISSING] * gap)
        self.memo.append(value)

    def get(self, index: int) -> None:
        """Push what was remembered."""
        value = self.memo[index] if 0 <= index < len(self.memo) else _MISSING
        if value is _MISSING:
            raise Unfit(f"asks for entry {index} of its memo, which is not there")
        self.stack.append(value)

    def from_mark(self) -> list[Any]:
        """What lies above the last mark; both are taken off."""
        if not self.marked:
            raise Unfit("asks for a mark that was not set")
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        """What lies on top, taken off."""
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dict on top of the stack."""
        target = self.stack[-1]
        if type(target) is not dict:
            raise Unfit(f"puts an item into a {type(target).__name__}")
        if len(items) % 2:
            raise Unfit("has a key without a value")
        on_item = self.on_item
        pairs = iter(items)
        for key, value in zip(pairs, pairs, strict=True):
            if type(key) is not str:
                check_key(key)
            target[key] = value
            if on_item is not None:
                try:
                    on_item(target, key, value)
                except Exception as error:
                    self.raised = error
                    raise

    def extend(self, items: list[Any]) -> None:
        """Put items into the list on top of the stack."""
        if type(self.stack[-1]) is not list:
            raise Unfit(f"appends to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def charge(self, size: int) -> None:
        """Count bytes that were made from others: a short file must not multiply what it remembers."""
        self.made += size
        if self.made > _SLACK + 2 * (self.source.before + self.source.at):
            raise Unfit("makes many times more data than it holds")


def _binunicode(machine: Machine) -> None:
    take = machine.source.take
    machine.stack.append(take(_UINT4.unpack(take(4))[0]).decode("utf-8", "surrogatepass"))


def _binunicode8(machine: Machine) -> None:
    take = machine.source.take
    machine.stack.append(take(_UINT8.unpack(take(8))[0]).decode("utf-8", "surrogatepass"))


def _string(machine: Machine) -> None:
    line = machine.source.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Unfit("holds a string without quotes")
    machine.stack.append(codecs.escape_decode(line[1:-1])[0].decode("ascii"))


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


def _refusal(op: int, ended: bool) -> str:
    if ended:
        return "the file ends before the pickle does"
    known = _REFUSED.get(op)
    return f"uses the opcode {known}, which plain data does not need" if known else f"has no opcode {op:#04x}"


_DOUBLE, _UINT1, _UINT2, _UINT4, _UINT8, _INT4 = (Struct(code) for code in (">d", "<B", "<H", "<I", "<Q", "<i"))
_SLACK = 1 << 20
_EXPECTED = (Unfit, LookupError, ValueError, TypeError, ArithmeticError, struct.error, MemoryError)

_REFUSED = {
    0x69: "INST",
    0x6F: "OBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}

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

_RARE = dict(_OPCODES.values())
