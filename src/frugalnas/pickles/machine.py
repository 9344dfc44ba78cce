"""The stack machine that pickles are programs for, as much of it as plain data needs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from frugalnas.errors import FrugalnasError
from frugalnas.pickles.memo import MISSING, Memo
from frugalnas.pickles.objects import Unfit, check_key
from frugalnas.pickles.opcodes import HANDLERS, REFUSED, binunicode
from frugalnas.pickles.source import Source

__all__ = ["Machine", "OnItem"]

OnItem = Callable[[dict[Any, Any], Any, Any], None]

_DOUBLE, _UINT4 = struct.Struct(">d"), struct.Struct("<I")
_STRINGS_KEPT = 1 << 16
_SLACK = 1 << 20
_EXPECTED = (Unfit, LookupError, ValueError, TypeError, ArithmeticError, struct.error, MemoryError)


class Machine:
    """Reads one pickle of plain data from a source.

    Args:
        source: positioned at the pickle; afterwards, behind it.
        on_item: called with a dict, a key and a value whenever an item was put into the dict.
    """

    def __init__(self, source: Source, on_item: OnItem | None = None) -> None:
        self.source: Source = source
        self.on_item = on_item
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo = Memo()
        self.made = 0
        self.raised: Exception | None = None
        self.done = False

    def run(self) -> Any:
        """The object that the pickle holds.

        Raises:
            FrugalnasError: for what is damaged or not plain data, with the file and the byte of the opcode.
        """
        source, strings = self.source, dict[bytes, str]()
        memo, packed = self.memo.entries, 0
        stack = self.stack
        push, memoize = stack.append, memo.append
        double, unsigned = _DOUBLE.unpack_from, _UINT4.unpack_from
        block, at, low = source.block, source.at, source.low
        start = at
        try:
            while True:
                if at >= low:
                    source.fill(at)
                    self.memo.pack()
                    packed = self.memo.packed
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
                            self._handle(binunicode, source.before + start)
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
                    handler = HANDLERS.get(op)
                    if handler is None:
                        raise Unfit(_refusal(op, source.ended and at >= source.end()))
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
        reason = "takes more from the stack or the memo than there is" if isinstance(error, IndexError) else str(error)
        return FrugalnasError(f"{self.source.name}: byte {place}: {reason}")

    def put(self, index: int) -> None:
        """Remember what lies on top of the stack."""
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        """Push what was remembered."""
        self.stack.append(self.memo[index])

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


def _refusal(op: int, ended: bool) -> str:
    if ended:
        return "the file ends before the pickle does"
    known = REFUSED.get(op)
    return f"uses the opcode {known}, which plain data does not need" if known else f"has no opcode {op:#04x}"
