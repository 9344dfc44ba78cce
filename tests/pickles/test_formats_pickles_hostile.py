"""Pickles that were made or damaged to do harm are refused by file, byte and reason, and nothing of them is executed."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.pickles import Opaque, read_pickle


def read(content: bytes, **options: Any) -> Any:
    return read_pickle(io.BytesIO(content), name="file", **options)


def refused(content: bytes, reason: str) -> None:
    with pytest.raises(FrugalnasError, match=rf"^file: byte \d+: .*{reason}"):
        read(content)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


ASKS = {
    "GLOBAL": (b"cos\nsystem\n(S'touch canary'\ntR.", r"asks for os\.system"),
    "STACK_GLOBAL": (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x0ctouch canary\x85R.", r"asks for os\.system"),
    "posix": (b"cposix\nsystem\n(S'touch canary'\ntR.", r"asks for posix\.system"),
    "INST": (b"(S'touch canary'\nios\nsystem\n.", "INST"),
    "OBJ": (b"(cnumpy\ndtype\nS'touch canary'\no.", "OBJ"),
    "eval": (b'cbuiltins\neval\n(S\'open("canary", "w")\'\ntR.', r"asks for builtins\.eval"),
    "getattr": (b"c__builtin__\ngetattr\n.", r"asks for __builtin__\.getattr"),
    "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.", r"asks for numpy\.dtype\.__new__"),
    "dotted module": (b"\x80\x04\x8c\x17collections.OrderedDict\x8c\x01x\x93.", "asks for"),
    "attribute of dict": (b"\x80\x04\x8c\x0bcollections\x8c\x1dOrderedDict.__init_subclass__\x93.", "asks for"),
    "copyreg": (b"ccopyreg\n_reconstructor\n.", r"asks for copyreg\._reconstructor"),
    "partial": (b"cfunctools\npartial\n(cos\nsystem\ntR.", r"asks for functools\.partial"),
    "control characters": (b"\x80\x04\x8c\x03\x1b[2\x8c\x01\n\x93.", r"asks for '\\x1b\[2"),
    "no text": (b"\x80\x04K\x01\x8c\x01x\x93.", "no text"),
    "load": (b"cnumpy\nload\n(S'canary'\ntR.", r"asks for numpy\.load"),
    "torch.load": (b"ctorch\nload\n(S'canary'\ntR.", r"asks for torch\.load"),
    "NEWOBJ": (b"\x80\x02cbuiltins\nobject\n)\x81.", r"asks for builtins\.object"),
    "NEWOBJ_EX": (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "extension 2": (b"\x80\x02\x83\x01\x01.", "EXT2"),
    "extension 4": (b"\x80\x02\x84\x01\x01\x01\x01.", "EXT4"),
    "buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "read-only buffer": (b"\x80\x05N\x98.", "READONLY_BUFFER"),
    "protocol": (b"\x80\x06N.", "protocol 6"),
    "no opcode": (b"\xffN.", "no opcode 0xff"),
    "call of text": (b"(S'os.system'\n(S'touch canary'\ntR.", "no function"),
    "call of a dict": (b"})R.", "no function"),
    "arguments": (b"ccollections\nOrderedDict\n]R.", "for its arguments"),
    "OrderedDict of items": (b"ccollections\nOrderedDict\n(]tR.", "with arguments"),
    "state of a dict": (b"ccollections\nOrderedDict\n)R}(S'__class__'\nNub.", "sets attributes"),
    "state of a dict, twice": (
        b"ccollections\nOrderedDict\n)RN}(S'_metadata'\n}u\x86b.",
        "sets the state|sets attributes",
    ),
    "state of a function": (b"cnumpy\ndtype\n}b.", "sets the state of numpy.dtype"),
    "state of a list": (b"]}b.", "sets the state of a list"),
    "encode": (b"c_codecs\nencode\n(S'x'\nS'idna'\ntR.", "other than Latin-1"),
    "object dtype": (b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR.", "dtype 'O8'"),
    "structured dtype": (b"cnumpy\ndtype\n(S'f8,O'\nI00\nI01\ntR.", "dtype 'f8,O'"),
    "void dtype": (b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR.", "dtype 'V8'"),
    "huge dtype": (b"cnumpy\ndtype\n(S'S999999999999'\nI00\nI01\ntR.", "dtype 'S9"),
    "dtype of a list": (b"cnumpy\ndtype\n(](S'a'\nS'O'\ntaI00\nI01\ntR.", "dtype"),
    "ndarray": (b"cnumpy\nndarray\n((I1000000000\nttR.", r"calls numpy\.ndarray"),
    "tensor class": (b"ctorch\nTensor\n.", r"asks for torch\.Tensor"),
}


@pytest.mark.parametrize("case", ASKS)
def test_whatever_plain_data_does_not_need_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(*ASKS[case])
    assert not list(tmp_path.iterdir())


def test_the_place_in_a_refusal_is_the_opcode_s() -> None:
    with pytest.raises(FrugalnasError, match=r"^file: byte 300006: asks for os\.system"):
        read(b"\x80\x04" + b"N0" * 150_002 + b"cos\nsystem\n.")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        Calls(print, "canary"),
        np.array([{}, None], object),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.datetime64("2020-01-01"),
        np.longdouble(1),
        np.ma.masked_array([1], [True]),
        complex(1, 2),
        range(3),
        print,
        Path("canary"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_that_are_not_plain_are_refused(value: Any, protocol: int, capsys: pytest.CaptureFixture[str]) -> None:
    refused(pickle.dumps(["first", value], protocol), "")
    assert capsys.readouterr().out == ""


def test_persistent_ids_stand_for_what_is_not_read() -> None:
    assert isinstance(read(b"Pos.system\n."), Opaque)
    assert isinstance(read(b"(S'storage'\nctorch\nFloatStorage\nS'../../etc/passwd'\ntQ."), Opaque)
    refused(b"Pos.system\n(tR.", "no function")


DAMAGED = {
    "empty": (b"", "ends before"),
    "no STOP": (b"\x80\x04N", "ends before"),
    "STOP alone": (b".", "stops with 0 objects"),
    "two objects": (b"NN.", "stops with 2 objects"),
    "an open mark": (b"(N.", "1 marks"),
    "underflow": (b"\x85.", "more from the stack"),
    "underflow of DUP": (b"2.", "more from the stack"),
    "underflow of MEMOIZE": (b"\x80\x04\x94.", "more from the stack"),
    "underflow below a mark": (b"N(\x85t.", "more from the stack"),
    "no mark": (b"Nt.", "mark"),
    "POP": (b"0.", "mark"),
    "memo": (b"h\x05.", "memo|more from"),
    "memo, text": (b"g-1\n.", "memo"),
    "memo, long": (b"j\xff\xff\xff\x7f.", "memo"),
    "memo index 2**31": (b"Nr\x00\x00\x00\x80.", "memo"),
    "memo index of 20 digits": (b"Np99999999999999999999\n.", "memo|line"),
    "memo index below 0": (b"Np-1\n.", "memo"),
    "a gap in the memo": (b"Nq\x05h\x03.", "entry 3 of its memo"),
    "APPEND to a dict": (b"}Na.", "appends to a dict"),
    "APPENDS to None": (b"N(Ne.", "appends to a NoneType"),
    "SETITEM of a list": (b"]NNs.", "item into a list"),
    "SETITEMS, odd": (b"}(Nu.", "without a value"),
    "ADDITEMS to a list": (b"](N\x90.", "members to a list"),
    "a list for a key": (b"}]Ns.", "list for a key"),
    "an array for a key": (b"}(])tNs.", "key"),
    "tuples four deep for a key": (b"})\x85\x85\x85Ns.", "a tuple for a key"),
    "a huge integer for a key": (b"}\x8a\x09" + b"\x7f" * 9 + b"Ns.", "64 bits for a key"),
    "a dict in a set": (b"\x8f(}\x90.", "dict for a key"),
    "length 2**60": (b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"abc.", "claims a length"),
    "bytes of 2**60": (b"\x80\x04\x8e" + (2**60).to_bytes(8, "little") + b"abc.", "claims a length"),
    "bytearray of 2**29": (b"\x80\x05\x96" + (2**29).to_bytes(8, "little") + b"abc.", "claims a length"),
    "text of 2**29": (b"X" + (2**29).to_bytes(4, "little") + b"abc.", "claims a length"),
    "short text": (b"\x80\x04\x8c\x10abc.", "ends before"),
    "short float": (b"G\x00\x00.", "ends before"),
    "LONG4 of 2**31": (b"\x8b\x00\x00\x00\x80.", "integer of"),
    "LONG4 of 1025": (b"\x8b\x01\x04\x00\x00" + bytes(1025) + b".", "integer of"),
    "LONG4 of 2**20": (b"\x8b\x00\x00\x10\x00" + bytes(2**20) + b".", "integer of"),
    "LONG of many digits": (b"L" + b"9" * 10**6 + b"L\n.", "line"),
    "INT of letters": (b"Iabc\n.", "invalid literal"),
    "FLOAT of letters": (b"Fabc\n.", "could not convert"),
    "a line without end": (b"V" + b"a" * 100, "does not end"),
    "text that is no UTF-8": (b"\x80\x04\x8c\x02\xff\xff.", "utf-8"),
    "long text that is no UTF-8": (b"X\x00\x10\x00\x00" + b"\xff" * 4096 + b".", "utf-8"),
    "a string without quotes": (b"Sabc\n.", "quotes"),
    "an unknown escape": (b"S'a\\q'\n.", "escape"),
    "a list in itself": (b"]\x94h\x00a.", "contains itself"),
    "a dict in itself, further down": (b"}\x94K\x01](h\x00\x85e\x73.", "contains itself"),
    "a boolean of 7": (pickle.dumps(np.bool_(True)).replace(b"C\x01\x01", b"C\x01\x07"), "neither 0 nor 1"),
    "half a number": (
        pickle.dumps(np.float64(1)).replace(b"\x86", b"0C\x01\x00\x86"),
        "bytes do not fit|does not take",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_refused(case: str) -> None:
    refused(*DAMAGED[case])


@pytest.mark.parametrize(
    "shape", [(2**40,), (4, 2**62), (-1, -3), (3.0,), (True,), (2**62, 2**62, 0), (1,) * 40 + (3,)]
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_an_array_s_shape_must_fit_its_bytes(shape: tuple[Any, ...], protocol: int) -> None:
    whole = np.arange(3, dtype=np.int8)
    content = pickle.dumps(Reshaped(whole, shape), protocol)
    refused(content, "array")


class Reshaped:
    """Pickles as NumPy pickles an array, with a shape that is not the array's."""

    def __init__(self, array: Any, shape: tuple[Any, ...]) -> None:
        self.array = array
        self.shape = shape

    def __reduce_ex__(self, protocol: int) -> Any:
        if protocol == 5:
            function, (_, dtype, _, order) = self.array.__reduce_ex__(5)
            return function, (self.array.tobytes(), dtype, self.shape, order)
        function, arguments, (version, _, dtype, fortran, content) = self.array.__reduce_ex__(protocol)
        return function, arguments, (version, self.shape, dtype, fortran, content)


@pytest.mark.slow
def test_a_hundred_thousand_nested_containers_are_read_and_dropped() -> None:
    depth = 100_000
    for opening, closing in ((b"]", b"a"), (b"", b"\x85"), (b"}K\x01", b"s")):
        found = read(opening * depth + b"N" + closing * depth + b".")
        for _ in range(depth):
            (found,) = found.values() if isinstance(found, dict) else found
        assert found is None
        read(opening * depth + b"N" + closing * depth + b".")
    refused(b"(" * depth + b".", "marks")
    refused(b"}" + b")" + b"\x85" * depth + b"Ns.", "key")


def test_few_bytes_do_not_become_many() -> None:
    text = b"X\x00\x00\x10\x00" + b"a" * 2**20
    again = b"c_codecs\nencode\nq\x00" + text + b"S'latin1'\n\x86q\x010(h\x00h\x01R" + b"h\x00h\x01R" * 1000
    refused(again + b"t.", "many times more data")


BASES: list[bytes] = [
    pickle.dumps(value, protocol)
    for protocol in range(6)
    for value in (
        {"a": [1, 2.5, None, True, "x" * 300, b"y", 2**70], (1, "b"): {3: (4,), "s": {1, 2}}},
        [np.arange(6.0).reshape(2, 3), np.float32(1.5), np.array(["ab", "c"]), np.bool_(True)],
    )
]


def _refused_or_plain(content: bytes) -> bool:
    try:
        found = read(content)
    except FrugalnasError as error:
        return str(error).startswith("file: byte ")
    return _plain(found)


def _plain(value: Any) -> bool:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending.extend(part)
        elif type(part) is np.ndarray:
            assert part.dtype.kind in "biufcSU"
            repr(part)
        elif not isinstance(part, (str, bytes, bytearray, int, float, type(None), np.generic, np.dtype, Opaque)):
            return False
    return True


@given(st.sampled_from(BASES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), st.data())
def test_damaged_pickles_are_refused_or_plain_data(content: bytes, hits: list[tuple[int, int]], data: Any) -> None:
    damaged = bytearray(content)
    for place, byte in hits:
        damaged[place % len(damaged)] = byte
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    assert _refused_or_plain(bytes(damaged))


@given(
    st.lists(st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes]) | st.binary(max_size=3))
)
def test_any_sequence_of_opcodes_is_refused_or_plain_data(parts: list[bytes]) -> None:
    assert _refused_or_plain(b"".join(parts) + b".")


FUZZ = """
import io, random, sys
from pathlib import Path
from frugalnas.errors import FrugalnasError
from frugalnas.pickles import read_pickle

def peak():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

before, rng = peak(), random.Random(0)
bases = [bytes.fromhex(line) for line in Path(sys.argv[1]).read_text().split()]
for trial in range(6000):
    content = bytearray(rng.choice(bases))
    for _ in range(rng.randint(1, 3)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    try:
        read_pickle(io.BytesIO(bytes(content)), name="file")
    except FrugalnasError:
        pass
print(peak() - before)
"""


def test_damage_does_not_cost_memory(tmp_path: Path, python: Callable[..., Any]) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is read from /proc")
    path = tmp_path / "bases"
    path.write_text("\n".join(base.hex() for base in BASES))
    outcome = python("-c", FUZZ, path).end()
    assert outcome.code == 0, outcome.err
    assert float(outcome.out) < 100
