"""What a pickle may name: plain containers, NumPy's numbers and arrays, and torch's things, whose data stays unread.

Each entry of `ADMITTED` is a function of our own; nothing that a file names is ever looked up, imported or called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np


class Unfit(Exception):
    """Why something in a pickle is refused; the machine adds the file and the byte."""


class Opaque:
    """In the place of a tensor, a storage, a parameter or another of torch's things: its data was not read.

    Args:
        kind: what stood there, for people.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.kind}, not read>"


class Named(Opaque):
    """One of `ADMITTED`, between its name in the pickle and its use."""

    __slots__ = ("make",)

    def __init__(self, kind: str, make: Callable[..., object]) -> None:
        super().__init__(kind)
        self.make = make


def reduce(what: object, arguments: object) -> object:
    """What calling `what` with `arguments` stands for.

    Raises:
        Unfit: where `what` is not admitted, or its arguments are not those that it takes in a pickle of plain data.
    """
    if type(what) is not Named:
        raise Unfit(f"calls {_kind(what)}, which is no function")
    if type(arguments) is not tuple:
        raise Unfit(f"calls {what.kind} with {_kind(arguments)} for its arguments")
    try:
        return what.make(*arguments)
    except TypeError:
        raise Unfit(f"calls {what.kind} with arguments that it does not take") from None
    except (ValueError, LookupError, OverflowError) as error:
        raise Unfit(f"calls {what.kind} with arguments that it does not take ({error})") from None


def build(target: object, state: Any) -> None:
    """Give `target` its state: the byte order of a dtype, the numbers of an array; torch's state is dropped.

    Raises:
        Unfit: for any other object or state.
    """
    if isinstance(target, Opaque) and type(target) is not Named:
        return
    if type(target) is dict:  # a state_dict's OrderedDict has its versions as an attribute
        if type(state) is not dict or set(state) != {"_metadata"}:
            raise Unfit("sets attributes of a dict")
    elif isinstance(target, np.dtype):
        _build_dtype(target, state)
    elif type(target) is np.ndarray:
        _build_array(target, state)
    else:
        raise Unfit(f"sets the state of {_kind(target)}")


def check_key(key: object, deep: int = 3) -> None:
    """Return where `key` may be a dict's key or in a set: a scalar, or a tuple of few scalars or such tuples.

    WeakNAS keys its cells by a matrix, rows in a tuple, beside a tuple of operations: tuples three deep are enough.

    Hashing a deep tuple recurses in C, and integers beyond 64 bits can be chosen to collide.

    Raises:
        Unfit: for other keys.
    """
    if type(key) is tuple and deep and len(key) <= _LONGEST_KEY:
        for part in key:
            check_key(part, deep - 1)
    elif type(key) is int:
        if not -(1 << 63) <= key < 1 << 64:
            raise Unfit("has an integer of more than 64 bits for a key")
    elif type(key) not in _KEYS and not isinstance(key, np.generic):
        raise Unfit(f"has {_kind(key)} for a key")


def checked_keys(keys: list[Any]) -> list[Any]:
    """The same keys, each of which `check_key` lets pass."""
    for key in keys:
        check_key(key)
    return keys


def check_acyclic(root: object) -> None:
    """Return where no container holds itself; nothing here recurses, however deep the data is.

    Raises:
        Unfit: where one does, as whatever walks over the data would not end.
    """
    inside: set[int] = set()
    finished: set[int] = set()
    pending: list[Any] = [root]
    while pending:
        value = pending[-1]
        if id(value) in inside or id(value) in finished:  # its parts, which came after it, are finished
            inside.discard(id(value))
            finished.add(id(pending.pop()))
            continue
        inside.add(id(value))
        parts = value.values() if type(value) is dict else value if type(value) in (list, tuple) else ()
        for part in parts:
            if type(part) in (list, tuple, dict) and id(part) not in finished:
                if id(part) in inside:
                    raise Unfit("holds a container that contains itself")
                pending.append(part)


def _kind(value: object) -> str:
    if isinstance(value, Opaque):
        return value.kind
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeio" else f"a {name}"


def _opaque(name: str) -> Callable[..., object]:
    return lambda *arguments: Opaque(name)


def _mapping() -> dict[Any, Any]:
    """An ordered dict, or one with a default, which would make what is never made."""
    return {}


def _set(members: Any) -> set[Any]:
    if type(members) is not list:
        raise Unfit(f"makes a set of {_kind(members)}")
    return set(checked_keys(members))


def _encode(text: Any, encoding: Any) -> bytes:
    """How protocols 0 to 2 write bytes."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Unfit("calls _codecs.encode for something other than Latin-1 text")
    return text.encode("latin-1")


def _dtype(code: Any, *_: object) -> np.dtype[Any]:
    if type(code) is not str or not _PLAIN.fullmatch(code):
        raise Unfit(f"asks for an array or number of dtype {code!r:.40}; booleans, numbers and fixed strings are read")
    # A copy, as the byte order is set afterwards, in place.
    return np.dtype(code, copy=True)


def _build_dtype(dtype: np.dtype[Any], state: Any) -> None:
    if type(state) is not tuple or len(state) != 8 or state[0] != 3 or state[1] not in ("<", ">", "|", "="):
        raise Unfit("sets a dtype to a state that is not a byte order")
    order = state[1]
    size, alignment, flags = (dtype.itemsize, dtype.alignment, dtype.flags) if dtype.kind in "SU" else (-1, -1, 0)
    if any(part is not None for part in state[2:5]) or state[5] not in (-1, size):
        raise Unfit("sets a dtype's fields or size")
    dtype.__setstate__((3, order, None, None, None, size, alignment, flags))  # type: ignore[attr-defined]


def _scalar(dtype: Any, content: Any) -> object:
    if not isinstance(dtype, np.dtype) or type(content) is not bytes or len(content) != dtype.itemsize:
        raise Unfit("holds a NumPy number whose bytes do not fit its dtype")
    return _checked(np.frombuffer(content, dtype))[0]


def _reconstruct(kind: object, shape: object, code: object) -> np.ndarray[Any, Any]:
    """An array whose state follows."""
    if kind is not ADMITTED["numpy.ndarray"] or shape != (0,) or code != b"b":
        raise Unfit("makes an array of something other than numpy.ndarray")
    return np.ndarray((0,), "b")


def _build_array(array: np.ndarray[Any, Any], state: Any) -> None:
    if type(state) is not tuple or len(state) != 5 or array.shape != (0,) or array.dtype.char != "b":
        raise Unfit("sets the state of an array twice, or to something that is no array's")
    version, shape, dtype, fortran, content = state
    if version != 1 or type(fortran) is not bool:
        raise Unfit("holds an array of an unknown version")
    _check_array(shape, dtype, content)
    _checked(np.frombuffer(content, dtype))
    array.__setstate__((1, shape, dtype, fortran, content))  # type: ignore[arg-type]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """How protocol 5 writes arrays."""
    if order not in ("C", "F"):
        raise Unfit("holds an array that is neither in C nor in Fortran order")
    _check_array(shape, dtype, content)
    return _checked(np.frombuffer(content, dtype)).reshape(shape, order=order)


def _check_array(shape: Any, dtype: Any, content: Any) -> None:
    """Sizes are compared as Python integers, before NumPy sees them."""
    if not isinstance(dtype, np.dtype) or type(content) not in (bytes, bytearray) or type(shape) is not tuple:
        raise Unfit("holds an array that is not made of a shape, a dtype and bytes")
    if len(shape) > _MOST_AXES or any(type(axis) is not int or axis < 0 for axis in shape):
        raise Unfit("holds an array with an impossible shape")
    if prod(shape) * dtype.itemsize != len(content) or prod(axis or 1 for axis in shape) > max(len(content), _EMPTY):
        raise Unfit(f"holds an array of {len(content)} bytes whose shape and dtype ask for another number")


def _checked(flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same array: bytes that its dtype gives no meaning to would fail later, where nobody expects it."""
    if flat.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise Unfit("holds a boolean that is neither 0 nor 1")
    if (
        flat.dtype.kind == "U"
        and flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder)).max(initial=0) > 0x10FFFF
    ):
        raise Unfit("holds a character that Unicode does not have")
    return flat


_MOST_AXES = 16
_EMPTY = 1 << 16
"""Elements that an array may claim along its other axes where one of them is 0."""
_LONGEST_KEY = 8
_KEYS = frozenset({str, float, bool, bytes, type(None)})
_PLAIN = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,5}")

_MAKERS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda factory=None: _mapping(),
    "__builtin__.bytes": lambda: b"",
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    **{f"{room}.set": _set for room in ("builtins", "__builtin__")},
    **{f"{room}.frozenset": lambda members: frozenset(_set(members)) for room in ("builtins", "__builtin__")},
    **{f"{room}.multiarray.scalar": _scalar for room in ("numpy.core", "numpy._core")},
    **{f"{room}.multiarray._reconstruct": _reconstruct for room in ("numpy.core", "numpy._core")},
    **{f"{room}.numeric._frombuffer": _from_buffer for room in ("numpy.core", "numpy._core")},
}
_STORAGES = (
    *("BFloat16", "Bool", "Byte", "Char", "ComplexDouble", "ComplexFloat", "Double"),
    *("Float", "Half", "Int", "Long", "Short", "Typed", "Untyped"),
)
_ARGUMENTS = ("builtins.list", "__builtin__.list", "numpy.ndarray")
"""What is handed to others, and not called."""
_DTYPES = (
    *("bfloat16", "bool", "complex128", "complex64", "float16", "float32", "float64"),
    *("int16", "int32", "int64", "int8", "uint8"),
)
_TORCH = (
    *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"),
    *("torch.Size", "torch.device"),
    *(f"{room}.{kind}Storage" for kind in _STORAGES for room in ("torch", "torch.cuda", "torch.storage")),
)

ADMITTED: dict[str, Opaque] = {
    **{name: Named(name, make) for name, make in _MAKERS.items()},
    **{name: Named(name, _opaque(name)) for name in _TORCH},
    **{name: Opaque(name) for name in (*_ARGUMENTS, *(f"torch.{kind}" for kind in _DTYPES))},
}
"""By full name, all that a pickle may ask for."""
