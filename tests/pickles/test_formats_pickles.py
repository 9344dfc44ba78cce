"""Pickles of plain data come out as pickle.loads would have them, from official records to torch.save's two formats."""

from __future__ import annotations

import bz2
import importlib
import io
import math
import pickle
import pickletools
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.pickles import Opaque, read_pickle, read_torch

PROTOCOLS = range(6)

with pytest.MonkeyPatch.context() as patch:  # pickle as it is where nothing is written in C
    patch.setitem(sys.modules, "_pickle", None)
    patch.delitem(sys.modules, "pickle")
    PURE = importlib.import_module("pickle")


def read(content: bytes, **options: Any) -> Any:
    return read_pickle(io.BytesIO(content), name="file", **options)


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit and the type; NaN equals NaN, an OrderedDict has become a dict."""
    if isinstance(b, dict):
        return type(a) is dict and len(a) == len(b) and all(map(same, a, b)) and all(map(same, a.values(), b.values()))
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, (np.ndarray, np.generic)):
        layout = (a.shape, a.dtype, a.flags.f_contiguous) == (b.shape, b.dtype, b.flags.f_contiguous)
        return type(a) is type(b) and layout and a.tobytes() == b.tobytes()
    return type(a) is type(b) and (a == b or (isinstance(b, float) and math.isnan(a) and math.isnan(b)))


texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
numbers = st.one_of(st.integers(), st.floats(), st.integers(-(2**300), 2**300), st.integers(2**8000, 2**8100))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.binary(max_size=300))
small = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), texts)
cells = st.tuples(st.tuples(st.tuples(small, small)), st.tuples(small))
keys = st.one_of(small, st.tuples(small, small), cells, st.binary(max_size=9))
dtypes = st.sampled_from(["b1", "i1", "<u2", ">i4", "<i8", "<f2", "<f4", ">f8", "<f8", "<c8", "S3", "<U2", ">U2"])


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(dtypes))
    shape = draw(st.lists(st.integers(0, 4), max_size=3).map(tuple))
    values = np.array(draw(st.lists(st.integers(0, 1), min_size=1, max_size=5)))
    array = np.resize(values, shape).astype(dtype)
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    return array[()] if draw(st.booleans()) and array.ndim == 0 else array


data = st.recursive(
    scalars | arrays(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(keys, inner, max_size=5),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.sets(keys, max_size=4),
        st.frozensets(keys, max_size=4),
        inner.map(lambda shared: [shared, shared, (shared,)]),
    ),
    max_leaves=25,
)


@given(data, st.sampled_from(PROTOCOLS))
def test_plain_data_comes_out_as_it_went_in(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert same(read(content), pickle.loads(content))


@given(data, st.sampled_from(PROTOCOLS[:5]))  # with protocol 5 it trips over its own assertion
def test_python_s_own_pickler_and_its_optimiser_are_read_too(value: Any, protocol: int) -> None:
    file = io.BytesIO()
    PURE.Pickler(file, protocol).dump(value)
    assert same(read(file.getvalue()), pickle.loads(file.getvalue()))
    assert same(read(pickletools.optimize(file.getvalue())), pickle.loads(file.getvalue()))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_strings_cross_blocks(protocol: int) -> None:
    value = ["x" * 1_000_000, b"y" * 700_000, "\N{SNOWMAN}" * 300_000, *["z" * n for n in (254, 255, 256, 257, 65_536)]]
    value *= 2
    assert read(pickle.dumps(value, protocol)) == value


class Drop:
    """A stream that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self.stream = io.BytesIO(content)
        self.size = size

    def read(self, length: int) -> bytes:
        return self.stream.read(min(length, self.size))


@pytest.mark.typical("0-1", "1-7", "2-511", "3-513", "4-*", "5-*")
@pytest.mark.parametrize("size", [1, 7, 511, 513])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_may_give_few_bytes_at_a_time(protocol: int, size: int) -> None:
    value = {f"x-valid@{epoch}": [epoch / 3, epoch, "s" * epoch, 10**epoch] for epoch in range(300)}
    assert read_pickle(Drop(pickle.dumps(value, protocol), size), name="drops") == value  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_objects_stay_shared(protocol: int) -> None:
    inner = [np.arange(3.0)]
    first, second, array = read(pickle.dumps([inner, inner, inner[0]], protocol))
    assert first is second
    assert array is first[0]


@pytest.mark.typical("5")
@pytest.mark.parametrize(
    "protocol",
    [protocol if protocol >= 4 else pytest.param(protocol, marks=pytest.mark.slow) for protocol in PROTOCOLS],
)
def test_what_was_said_long_ago_can_be_come_back_to(protocol: int) -> None:
    texts = [f"text {index % 30_000}" + "." * (index % 3) for index in range(60_000)]
    inner = [[index] for index in range(20_000)]
    content = pickle.dumps([texts, inner, texts[::-1], inner[::-7], texts[::997], inner[7000:9000]], protocol)
    found = read(content)
    assert found == pickle.loads(content)
    assert all(one is other for one, other in zip(found[1][7000:9000], found[5], strict=True))


@pytest.mark.slow
def test_an_old_memo_entry_may_be_replaced() -> None:
    many = b"".join(b"Nr" + index.to_bytes(4, "little") for index in range(150_000))
    again = b"K\x07r" + (5000).to_bytes(4, "little")
    ends = b"".join(b"j" + index.to_bytes(4, "little") for index in (4999, 5000, 149_999))
    found = read(b"(" + many + again + b"X" + (2**19).to_bytes(4, "little") + b"x" * 2**19 + ends + b"t.")
    assert found[-3:] == (None, 7, None)


def test_python_2_s_strings_and_first_memo_entries_are_read() -> None:
    assert read(b"(lp1\nS'it\\'s'\np2\naU\x03abcaT\x02\x00\x00\x00deag2\na.") == ["it's", "abc", "de", "it's"]
    text = "quotes ' and \", \\ \n \r \t \x00 \x1b \x7f"
    assert read(b"S" + repr(text).encode() + b"\n.") == text


@pytest.mark.parametrize("index", ["000000", "000011", "000284", "meta"])
def test_official_records_are_what_pickle_makes_of_them(shared_data: Path, index: str) -> None:
    path = shared_data / "nats-tss-v1_0-3ffb9-simple" / f"{index}.pickle.pbz2"
    with bz2.open(path) as file:
        found = read_pickle(file, name=path.name)
    with bz2.open(path) as file:
        assert same(found, pickle.load(file))


def test_items_are_told_in_order_and_may_be_replaced() -> None:
    told = []

    def on_item(container: dict[Any, Any], key: Any, value: Any) -> None:
        told.append((key, type(value)))
        if isinstance(value, dict):
            container[key] = len(value)
            value.clear()

    content = pickle.dumps({"a": {"b": 1, (1, 2): 2.0}, "c": {}}, 4)
    assert read(content, on_item=on_item) == {"a": 2, "c": 0}
    assert told == [("b", int), ((1, 2), float), ("a", dict), ("c", dict)]


@pytest.mark.parametrize("error", [ValueError("mine"), IndexError("mine"), FrugalnasError("mine"), KeyError("mine")])
def test_what_on_item_raises_passes_unchanged(error: Exception) -> None:
    def on_item(container: dict[Any, Any], key: Any, value: Any) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        read(pickle.dumps({"a": 1}), on_item=on_item)
    assert caught.value is error


READER = """
import sys
from pathlib import Path
from frugalnas.pickles import read_pickle

def peak():
    # VmHWM, since ru_maxrss begins at what the parent process had.
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

def empty(container, key, value):
    if isinstance(value, dict) and key in ("losses", "results"):
        value.clear()

before = peak()
with open(sys.argv[1], "rb") as file:
    if sys.argv[2] == "ours":
        found = read_pickle(file, name="file", on_item=empty)
    else:
        import pickle
        found = pickle.load(file)
print(len(found), peak() - before)
"""


@pytest.mark.slow
def test_memory_stays_small_where_results_are_taken_out_of_a_huge_file(
    tmp_path: Path, python: Callable[..., Any]
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is read from /proc")
    path = tmp_path / "huge.pickle"
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, 4)
        pickler.dump({index: _record(index) for index in range(300)})
    peaks = {}
    for who in ("ours", "pickle"):
        outcome = python("-c", READER, path, who).end()
        assert outcome.code == 0, outcome.err
        count, peak = outcome.out.split()
        assert int(count) == 300
        peaks[who] = float(peak)
    assert peaks["ours"] < 0.1 * 300 < peaks["pickle"] / 4


def _record(index: int) -> dict[str, Any]:
    """The shape of an official record: strings that are equal from record to record, yet not the same objects."""
    losses = {f"{part}-valid@{epoch}": epoch / (index + 1) for epoch in range(200) for part in "abcdefghij"}
    return {"results": losses, "losses": {epoch: epoch / (index + 3) for epoch in range(2000)}}


@pytest.fixture(params=["zip", "older"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Path]:
    torch = pytest.importorskip("torch")

    def write(value: Any) -> Path:
        path = tmp_path / "file.pth"
        torch.save(value, path, _use_new_zipfile_serialization=request.param == "zip")
        return path

    return write


def test_files_of_torch_are_read_without_their_tensors(save: Callable[[Any], Path]) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    value = {
        "meta_archs": ["a", "b"],
        "weights": layer.state_dict(),
        "bias": layer.bias,
        "about": [torch.float32, torch.device("cpu"), torch.Size([1]), torch.zeros(2, dtype=torch.int64)],
        "accuracy": {0: np.float64(91.5), 1: np.arange(4.0)},
        "evaluated": {1, 2},
    }
    counts: list[int] = []
    found = read_torch(save(value), on_bytes=counts.append)
    assert list(found) == list(value)
    assert list(found["weights"]) == ["weight", "bias"]
    opaque = [*found["weights"].values(), found["bias"], *found["about"]]
    assert all(isinstance(thing, Opaque) for thing in opaque)
    assert same([found["accuracy"][0], found["accuracy"][1]], [np.float64(91.5), np.arange(4.0)])
    assert found["evaluated"] == {1, 2}
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_files_of_torch_tell_their_items(save: Callable[[Any], Path]) -> None:
    told: list[Any] = []
    read_torch(save({"a": {"b": 1}}), on_item=lambda container, key, value: told.append(key))
    assert told[-2:] == ["b", "a"]


def test_torch_files_that_ask_for_more_are_refused(save: Callable[[Any], Path]) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(FrugalnasError, match=r"file\.pth.*byte \d+: asks for torch\.nn\.modules\.linear\.Linear"):
        read_torch(save({"net": torch.nn.Linear(1, 1)}))


def test_a_torch_file_cut_anywhere_is_refused(save: Callable[[Any], Path]) -> None:
    path = save({"numbers": list(range(50)), "text": "abc"})
    content = path.read_bytes()
    needed = len(content) if content[:2] == b"PK" else content.index(b".", content.index(b"abc")) + 1
    for length in range(0, needed, 7):
        path.write_bytes(content[:length])
        with pytest.raises(FrugalnasError, match=r"file\.pth"):
            read_torch(path)


def _archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_archives_that_torch_does_not_write_are_refused(tmp_path: Path) -> None:
    plain = pickle.dumps({"a": 1}, 2)
    path = tmp_path / "archive.pth"
    assert read_torch(_archive(path, {"archive/data.pkl": plain, "archive/version": b"3"})) == {"a": 1}
    refused: list[tuple[dict[str, bytes], int, str]] = [
        ({"archive/version": b"3"}, zipfile.ZIP_STORED, "0 members data.pkl"),
        ({"a/data.pkl": plain, "b/data.pkl": plain}, zipfile.ZIP_STORED, "2 members data.pkl"),
        ({"archive/data.pkl": pickle.dumps("0" * 10**7, 2)}, zipfile.ZIP_DEFLATED, "compressed"),
        ({"archive/data.pkl": plain[:-1]}, zipfile.ZIP_STORED, r"data\.pkl: byte \d+: the file ends"),
    ]
    for members, compression, reason in refused:
        with pytest.raises(FrugalnasError, match=reason):
            read_torch(_archive(path, members, compression))


def test_an_archive_s_claimed_sizes_are_not_believed(tmp_path: Path) -> None:
    path = _archive(tmp_path / "archive.pth", {"archive/data.pkl": pickle.dumps(["x" * 100], 2)})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    struct.pack_into("<II", content, directory + 20, 0xFFFFFFF0, 0xFFFFFFF0)
    start = content.index(b"X\x64\x00\x00\x00")
    struct.pack_into("<I", content, start + 1, 0x7FFFFFF0)
    path.write_bytes(content)
    with pytest.raises(FrugalnasError, match=r"archive\.pth"):
        read_torch(path)


@pytest.mark.typical("zip")
@given(hits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_damaged_torch_file_is_refused_or_plain_data(
    save: Callable[[Any], Path], hits: list[tuple[int, int]]
) -> None:
    path = save({"numbers": [1.5, 2], "text": "abc"})
    content = bytearray(path.read_bytes())
    for place, flip in hits:
        content[place % len(content)] ^= flip
    path.write_bytes(content)
    try:
        found = read_torch(path)
    except FrugalnasError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert isinstance(found, (dict, list, tuple, str, bytes, int, float, set, Opaque, type(None)))


def test_a_flipped_bit_in_an_archive_s_numbers_is_noticed(tmp_path: Path) -> None:
    path = _archive(tmp_path / "archive.pth", {"archive/data.pkl": pickle.dumps([0.5, "x" * 10**6], 2)})
    content = path.read_bytes()
    place = content.index(b"G?\xe0")
    path.write_bytes(content[: place + 2] + b"\xe1" + content[place + 3 :])
    with pytest.raises(FrugalnasError, match=r"archive\.pth: archive/data\.pkl: .*CRC"):
        read_torch(path)


def test_other_files_are_no_torch_files(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    for content in (b"", b"PK\x03\x04", pickle.dumps({"a": 1}), b"\x93NUMPY", pickle.dumps([b"PK\x03\x04"])):
        path.write_bytes(content)
        with pytest.raises(FrugalnasError, match=r"other\.pth"):
            read_torch(path)
    with pytest.raises(FrugalnasError, match=r"missing\.pth"):
        read_torch(tmp_path / "missing.pth")
