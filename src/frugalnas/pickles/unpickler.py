"""Python's own unpickler, as much of it as plain data needs, with bounds on all that a file can ask for.

It is the one that is written in Python. The one in C remembers every object to the end, which takes tens of gigabytes for an
official file of 160 million strings, takes memory for any index of its memo and any length that a file claims, recurses without
end over nested keys, and cannot say at which byte it failed.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.pickles.memo import MISSING, Memo
from frugalnas.pickles.objects import ADMITTED, Opaque, Unfit, build, check_acyclic, check_key, checked_keys, reduce
from frugalnas.pickles.source import LONGEST_LINE, Source

OnItem = Callable[[dict[Any, Any], Any, Any], None]

_DOUBLE, _UINT4, _UINT8 = struct.Struct(">d"), struct.Struct("<I"), struct.Struct("<Q")
_LONGEST_INTEGER = 1024
"""Bytes; whoever shows a number in a message can show one of these: Python prints no more than 4,300 digits."""
_STRINGS_KEPT = 1 << 16
_SLACK = 1 << 20
_EXPECTED = (
    Unfit,
    pickle.UnpicklingError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    struct.error,
    MemoryError,
)
_ESCAPED = re.compile(r"\\(?:x[0-9a-fA-F]{2}|.|$)")
_ESCAPES = {"\\\\": "\\", "\\'": "'", '\\"': '"', "\\n": "\n", "\\r": "\r", "\\t": "\t"}


class PlainUnpickler(pickle._Unpickler):
    """Reads one pickle of plain data from a source.

    What it may name are the keys of `ADMITTED`, what it may do are `_OPCODES`. Those that make up most of a file run in `load`
    itself; Python's handlers do the others, where their bounds are not checked here.

    Args:
        source: positioned at the pickle; afterwards, behind it.
        on_item: called with a dict, a key and a value whenever an item was put into the dict.
    """

    append: Callable[[Any], None]
    load_binunicode: Callable[[], None]

    def __init__(self, source: Source, on_item: OnItem | None = None) -> None:
        super().__init__(source)
        self.source: Source = source
        self.read, self.readline = source.read, source.readline
        self.on_item = on_item
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.append = self.stack.append
        self.memo = Memo()
        self.made = 0
        self.raised: Exception | None = None
        self.done = False

    def load(self) -> Any:
        """The object that the pickle holds.

        Raises:
            FrugalnasError: for what is damaged or not plain data, with the file and the byte of the opcode.
        """
        source, strings = self.source, dict[bytes, str]()
        memo, packed = self.memo.entries, 0
        stack = self.stack
        push, memoize = stack.append, memo.append
        double, unsigned = _DOUBLE.unpack_from, _UINT4.unpack_from
        block, at, low, before = source.block, source.at, source.low, source.before
        start = at
        try:
            while True:
                if at >= low:
                    source.fill(at)
                    self.memo.pack()
                    packed = self.memo.packed
                    block, at, low, before = source.block, source.at, source.low, source.before
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
                            self.load_binunicode()
                            block, at, low, before = source.block, source.at, source.low, source.before
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
                    elif op == 0x72 and unsigned(block, at + 1)[0] == len(memo) + packed:  # LONG_BINPUT
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
                    if value is MISSING:
                        raise Unfit(f"asks for entry {block[at + 1]} of its memo, which is not there")
                    push(value)
                    at += 2
                else:
                    source.at = at + 1
                    handler = _HANDLERS.get(op)
                    if handler is None:
                        raise Unfit(_refusal(op, source.ended and at >= source.end()))
                    handler(self)
                    if self.done:
                        return stack[-1]
                    stack = self.stack
                    push = stack.append
                    block, at, low, before = source.block, source.at, source.low, source.before
        except _EXPECTED as error:
            if error is self.raised or isinstance(error, FrugalnasError):
                raise
            reason = "takes more from the stack or the memo than there is" if isinstance(error, IndexError) else error
            raise FrugalnasError(f"{source.name}: byte {before + start}: {reason}") from None

    def charge(self, size: int) -> None:
        """Count bytes that were made from others: a short file must not multiply what it remembers."""
        self.made += size
        if self.made > _SLACK + 2 * (self.source.before + self.source.at):
            raise Unfit("makes many times more data than it holds")

    # -- what it may name ----------------------------------------------------------------------------------------------

    def find_class(self, module: str, name: str) -> Opaque:
        """What stands for a name in a pickle; nothing is looked up or imported."""
        full = f"{module}.{name}"
        if full not in ADMITTED:
            shown = full if full.isprintable() else ascii(full)
            raise Unfit(f"asks for {shown:.200}, which a table of numbers does not need")
        return ADMITTED[full]

    def persistent_load(self, pid: Any) -> Opaque:
        """What stands for data elsewhere in a file of torch."""
        return Opaque("a storage")

    def _load_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(name) is not str:
            raise Unfit("asks for something whose name is no text")
        self.append(self.find_class(module, name))

    def _load_reduce(self) -> None:
        arguments, what = self.stack.pop(), self.stack.pop()
        made = reduce(what, arguments)
        if isinstance(made, (bytes, set, frozenset)):
            self.charge(len(made))
        self.append(made)

    _load_newobj = _load_reduce

    def _load_build(self) -> None:
        state = self.stack.pop()
        build(self.stack[-1], state)
        if isinstance(self.stack[-1], np.ndarray):
            self.charge(self.stack[-1].nbytes)

    # -- containers ----------------------------------------------------------------------------------------------------

    def pop_mark(self) -> list[Any]:
        """What lies above the last mark; both are taken off."""
        if not self.metastack:
            raise Unfit("asks for a mark that was not set")
        items = self.stack
        self.stack = self.metastack.pop()
        self.append = self.stack.append
        return items

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def _set_items(self, items: list[Any]) -> None:
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

    def _load_append(self) -> None:
        self._extend([self.stack.pop()])

    def _load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Unfit(f"appends to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def _load_additems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise Unfit(f"adds members to a {type(target).__name__}")
        target.update(checked_keys(items))

    def _load_frozenset(self) -> None:
        items = self.pop_mark()  # which changes where `append` appends
        self.append(frozenset(checked_keys(items)))

    # -- numbers and texts ---------------------------------------------------------------------------------------------

    def _load_long4(self) -> None:
        length = _UINT4.unpack(self.read(4))[0]
        if length > _LONGEST_INTEGER:
            raise Unfit(f"holds an integer of {length} bytes, where {_LONGEST_INTEGER} are plenty")
        self.append(int.from_bytes(self.read(length), "little", signed=True))

    def _load_bytearray8(self) -> None:
        self.append(bytearray(self.read(_UINT8.unpack(self.read(8))[0])))

    def _load_unicode(self) -> None:
        self.append(str(self.readline(LONGEST_LINE)[:-1], "raw-unicode-escape"))

    def _load_string(self) -> None:
        line = self.readline(LONGEST_LINE).strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise Unfit("holds a string without quotes")
        self.append(_ESCAPED.sub(_unescaped, line[1:-1].decode("ascii")))

    # -- the pickle and its memo ---------------------------------------------------------------------------------------

    def _load_proto(self) -> None:
        if (version := self.read(1)[0]) > 5:
            raise Unfit(f"is of protocol {version}; 5 is the last that is known")

    def _load_frame(self) -> None:
        self.read(8)

    def _load_put(self) -> None:
        self.memo[int(self.readline(20))] = self.stack[-1]

    def _load_stop(self) -> None:
        if len(self.stack) != 1 or self.metastack:
            raise Unfit(f"stops with {len(self.stack)} objects on the stack and {len(self.metastack)} marks")
        check_acyclic(self.stack[0])
        self.done = True


def _unescaped(escape: re.Match[str]) -> str:
    """What Python 2's repr wrote so; further escapes it does not write."""
    text = escape[0]
    if text[1:2] == "x" and len(text) == 4 and int(text[2:], 16) < 128:
        return chr(int(text[2:], 16))
    if text not in _ESCAPES:
        raise Unfit(f"holds a string with the escape {text!r}")
    return _ESCAPES[text]


def _refusal(op: int, ended: bool) -> str:
    if ended:
        return "the file ends before the pickle does"
    known = next((name for name in _REFUSED if getattr(pickle, name)[0] == op), None)
    return f"uses the opcode {known}, which plain data does not need" if known else f"has no opcode {op:#04x}"


_REFUSED = ("INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX", "NEXT_BUFFER", "READONLY_BUFFER")
"""Opcodes that would import, call, or take data from elsewhere."""
_OPCODES = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT"),
    *("UNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET"),
    *("PUT", "BINPUT", "LONG_BINPUT", "GET", "LONG_BINGET"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "PERSID", "BINPERSID"),
)
"""All others that are admitted, beside those in `PlainUnpickler.load`."""
_HANDLERS: dict[int, Callable[[PlainUnpickler], None]] = {
    op: getattr(PlainUnpickler, f"_{name}", None) or getattr(PlainUnpickler, name)
    for op, name in ((op, method.__name__) for op, method in pickle._Unpickler.dispatch.items())
    if op in {getattr(pickle, admitted)[0] for admitted in _OPCODES}
}
"""By opcode: the method that Python's unpickler has for it, or the one with `_` before its name."""
