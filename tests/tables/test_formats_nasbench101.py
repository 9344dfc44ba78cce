"""NAS-Bench-101's files: read number by number as written, or refused with the place and the reason."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.errors import FrugalnasError
from frugalnas.spaces.cells101 import graph_hashes
from frugalnas.spaces.nasbench101 import NASBench101
from frugalnas.tables.formats.nasbench101 import read_columns, read_tfrecord
from frugalnas.tables.store import Contents, Table, write_table

# -- the format, written by hand from its specification ----------------------------------------------------------------


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, bit by bit for each byte's table entry."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CASTAGNOLI[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def castagnoli(entry: int) -> int:
    for _ in range(8):
        entry = entry >> 1 ^ (0x82F63B78 if entry & 1 else 0)
    return entry


CASTAGNOLI = [castagnoli(entry) for entry in range(256)]


def masked(data: bytes) -> bytes:
    value = crc32c(data)
    rotated = (value >> 15 | value << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(value: int) -> bytes:
    value, low = value >> 7, value & 0x7F
    return bytes([low | 0x80]) + varint(value) if value else bytes([low])


def field(number: int, value: float | int | bytes) -> bytes:
    """A protobuf field: a double, a varint or bytes, as the type of the value says."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def evaluation(epoch: float, seconds: float, train: float, validation: float, test: float) -> bytes:
    return b"".join(field(n + 1, float(v)) for n, v in enumerate((epoch, seconds, train, validation, test)))


def metrics(
    epochs: int, validation: float, test: float, train: float = 0.99, seconds: float = 1000.5, params: int = 8_555_530
) -> bytes:
    steps = (
        evaluation(0, 0, 0.1, 0.1, 0.1),
        evaluation(epochs / 2, seconds / 2, 0.5, 0.4, 0.3),
        evaluation(epochs, seconds, train, validation, test),
    )
    return b"".join(field(1, step) for step in steps) + field(2, params) + field(3, seconds * 1.25)


def record(cell: Mapping[str, Any], epochs: int, message: bytes) -> bytes:
    listed = [cell["hash"], epochs, cell["adjacency"], cell["operations"], base64.b64encode(message).decode()]
    return json.dumps(listed).encode()


CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"


def cell(fingerprint: str, adjacency: str, *operations: str) -> dict[str, str]:
    return {
        "hash": fingerprint,
        "adjacency": adjacency.replace(" ", ""),
        "operations": ",".join(["input", *operations, "output"]),
    }


# Cells of the benchmark with the hashes that it published for them.
SEVEN = cell(
    "00005c142e6f48ac74fdcf73e3439874",
    "0100110 0010000 0001001 0000010 0000010 0000001 0000000",
    *(CONV3, POOL, CONV3, CONV3, CONV1),
)
SIX = cell(
    "00040b38293651f17fb665401c671bbb",
    "010110 001001 000100 000011 000001 000000",
    *(CONV3, CONV3, POOL, CONV3),
)
FIVE = cell("001ea832563f8d635ef7d0af25926274", "01111 00111 00010 00001 00000", POOL, CONV3, CONV3)
THREE = cell("09fc2d10bdd6225e167a6f81a22a3f06", "011 001 000", CONV1)
TWO = cell("043721b9c7fe8c5fad811d47d83132ec", "01 00")
CELLS = [SEVEN, SIX, FIVE, THREE, TWO]
PARAMS = [8_555_530, 3_984_576, 6_843_402, 2_793_866, 882_570]

# One repeat: cell, epochs, validation, test. The repeats of a cell need not stand together.
TRAININGS = [
    (place, epochs, 0.9 - place / 64 + repeat / 256, 0.875 - place / 64 + repeat / 128)
    for repeat in range(3)
    for epochs in (108, 12)
    for place in range(len(CELLS))
    if epochs == 108 or place > 2
]


def training(place: int, epochs: int, validation: float, test: float, **other: Any) -> bytes:
    return record(CELLS[place], epochs, metrics(epochs, validation, test, **{"params": PARAMS[place], **other}))


GOOD = [training(*each) for each in TRAININGS]


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def read(folder: Path, records: Iterable[bytes]) -> list[Contents]:
    path = folder / "cells.tfrecord"
    path.write_bytes(b"".join(framed(each) for each in records))
    return read_tfrecord(path, silent)


def stored(contents: Contents, folder: Path) -> Table:
    return write_table(folder, contents)


def columns(contents: Contents) -> dict[str, np.ndarray]:
    return {column.role: column.values for column in contents.columns}


def test_the_checksum_of_these_tests_is_the_published_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283


# -- what a good file gives --------------------------------------------------------------------------------------------


def test_every_number_comes_back_where_it_belongs(tmp_path: Path) -> None:
    tables = read(tmp_path, GOOD)
    assert [table.name for table in tables] == ["nasbench101", "nasbench101-12epochs"]
    for table, epochs in zip(tables, (108, 12), strict=True):
        written = stored(table, tmp_path / str(epochs))
        runs = [each for each in TRAININGS if each[1] == epochs]
        assert len(written) == len(runs) // 3
        rows = {fingerprint.decode(): row for row, fingerprint in enumerate(graph_hashes(written.codes))}
        for place in {each[0] for each in runs}:
            row = rows[CELLS[place]["hash"]]
            for role, number in (("validation", 2), ("test", 3)):
                expected = [100 * each[number] for each in runs if each[0] == place]
                assert written.column(role)[row].tolist() == pytest.approx(expected, abs=1e-12)
            assert written.column("params")[row].tolist() == [PARAMS[place]]
        assert (written.column("train") == 99.0).all()
        assert (written.column("training_seconds") == 1000.5).all()


def test_tables_say_what_they_hold_and_where_it_comes_from(tmp_path: Path) -> None:
    long, short = read(tmp_path, GOOD)
    content = (tmp_path / "cells.tfrecord").read_bytes()
    assert long.licence == "Apache-2.0"
    assert long.source == {
        "file": "cells.tfrecord",
        "bytes": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "records": str(len(GOOD)),
        "cells": "5 of the benchmark's 423624",
    }
    assert short.source["cells"] == "2 of the benchmark's 423624"
    for table, epochs in ((long, 108), (short, 12)):
        described = {column.role: column for column in table.columns}
        assert {role for role, column in described.items() if column.epochs == epochs} == {
            *("validation", "test", "train", "training_seconds")
        }
        assert "held out" in described["validation"].split
        assert "test" in described["test"].split


@pytest.mark.parametrize(
    ("epochs", "name"), [(4, "nasbench101-4epochs"), (36, "nasbench101-36epochs"), (108, "nasbench101")]
)
def test_a_budget_is_a_table(tmp_path: Path, epochs: int, name: str) -> None:
    (table,) = read(tmp_path, [training(4, epochs, 0.5, 0.5)] * 3)
    assert table.name == name


def test_codes_are_the_cells_that_the_file_spells(tmp_path: Path) -> None:
    (table, _) = read(tmp_path, GOOD)
    seven = table.codes[[fingerprint.decode() for fingerprint in graph_hashes(table.codes)].index(SEVEN["hash"])]
    adjacency = np.array([*map(int, SEVEN["adjacency"])]).reshape(7, 7)
    for target in range(7):
        for source in range(target):
            assert seven[source + target * (target - 1) // 2] == adjacency[source, target]
    assert seven[21:].tolist() == [0, 2, 0, 0, 1]


def test_progress_ends_with_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.tfrecord"
    path.write_bytes(b"".join(framed(each) for each in GOOD))
    told: list[tuple[int, int]] = []
    read_tfrecord(path, lambda done, total: told.append((done, total)))
    assert told[-1] == (path.stat().st_size, path.stat().st_size)


# -- protobuf as others may write it -----------------------------------------------------------------------------------

UNKNOWN = [field(9, 77), field(400, 1.5), field(17, b"new in this version"), varint(12 << 3 | 5) + b"four"]


def test_unknown_fields_and_another_order_are_read_over(tmp_path: Path) -> None:
    odd = field(5, 0.75) + UNKNOWN[0] + field(3, 0.5) + field(6, b"gs://model.ckpt") + UNKNOWN[3]
    odd += field(4, 0.625) + UNKNOWN[1] + field(2, 12.5) + field(1, 108.0) + UNKNOWN[2]
    early = field(1, evaluation(0, 0, 0, 0, 0)), field(1, evaluation(54, 6, 0.4, 0.4, 0.4))
    message = UNKNOWN[2] + field(3, 99.0) + early[0] + UNKNOWN[1] + field(2, PARAMS[4]) + early[1] + field(1, odd)
    (table,) = read(tmp_path, [record(TWO, 108, message + UNKNOWN[0])] * 3)
    means = {role: values.mean() for role, values in columns(table).items()}
    expected = {"validation": 62.5, "test": 75.0, "train": 50.0, "training_seconds": 12.5, "params": PARAMS[4]}
    assert means == expected


def test_the_last_of_a_repeated_field_counts_and_an_unset_epoch_is_zero(tmp_path: Path) -> None:
    early = field(1, field(3, 0.1)) * 2
    final = field(1, evaluation(108, 7, 0.5, 0.5, 0.25) + field(5, 0.75))
    (table,) = read(tmp_path, [record(TWO, 108, early + final + field(2, 1) + field(2, PARAMS[4]))] * 3)
    assert (columns(table)["test"] == 75.0).all()
    assert columns(table)["params"].tolist() == [[PARAMS[4]]]


def test_base64_may_be_broken_into_lines(tmp_path: Path) -> None:
    listed = json.loads(GOOD[4])
    listed[4] = base64.encodebytes(base64.b64decode(listed[4])).decode()
    assert listed[4].count("\n") > 1
    assert len(read(tmp_path, [json.dumps(listed).encode()] * 3)) == 1


# -- what is refused ---------------------------------------------------------------------------------------------------


def refusal(folder: Path, records: Iterable[bytes]) -> str:
    with pytest.raises(FrugalnasError) as refused:
        read(folder, records)
    assert "cells.tfrecord" in str(refused.value)
    return str(refused.value)


def refused_bytes(folder: Path, content: bytes) -> str:
    path = folder / "cells.tfrecord"
    path.write_bytes(content)
    with pytest.raises(FrugalnasError) as refused:
        read_tfrecord(path, silent)
    assert "cells.tfrecord" in str(refused.value)
    return str(refused.value)


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    assert "empty" in refused_bytes(tmp_path, b"")
    with pytest.raises(FrugalnasError, match=r"nowhere\.tfrecord"):
        read_tfrecord(tmp_path / "nowhere.tfrecord", silent)
    with pytest.raises(FrugalnasError, match="cannot read"):
        read_tfrecord(tmp_path, silent)


def test_damaged_framing_is_refused_with_the_byte_where_the_record_starts(tmp_path: Path) -> None:
    first, second = framed(GOOD[0]), framed(GOOD[1])
    at = f"byte {len(first)} "
    for content, why in (
        (first + second[:5], "ends within its header, after 5 of 12 bytes"),
        (first + second[:12], "ends after 0 of"),
        (first + second[:-1], "ends after"),
        (first + second[:8] + bytes([second[8] ^ 1]) + second[9:], "length that its checksum contradicts"),
        (first + bytes([second[0] ^ 1]) + second[1:], "length that its checksum contradicts"),
        (first + second[:40] + bytes([second[40] ^ 1]) + second[41:], "data that its checksum contradicts"),
        (first + second[:-1] + bytes([second[-1] ^ 1]), "data that its checksum contradicts"),
    ):
        said = refused_bytes(tmp_path, content)
        assert at in said
        assert why in said


@pytest.mark.parametrize("length", [2**21, 2**40, 2**63, 2**64 - 1])
def test_an_absurd_length_is_refused_before_anything_is_read(tmp_path: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    assert f"length of {length}" in refused_bytes(tmp_path, head + masked(head) + b"x" * 100)


def changed(place: int, value: object) -> bytes:
    """The record of the cell of seven vertices with one element of the list replaced."""
    listed = json.loads(GOOD[0])
    listed[place] = value
    return json.dumps(listed).encode()


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1" + b"0" * 5_000 + b"]", "not"),
        (b"{}", "not a list"),
        (b'"abcde"', "not a list"),
        (b"[]", "not a list"),
        (json.dumps(json.loads(GOOD[0])[:4]).encode(), "not a list"),
        (json.dumps([*json.loads(GOOD[0]), 1]).encode(), "not a list"),
        (json.dumps(dict.fromkeys(json.loads(GOOD[0]))).encode(), "not a list"),
        (changed(0, None), "not a list"),
        (changed(0, [1]), "not a list"),
        (changed(1, 108.0), "not a list"),
        (changed(1, True), "not a list"),
        (changed(4, {}), "not a list"),
        (changed(0, "00005c14"), "32 hexadecimal digits"),
        (changed(0, "\u0660" * 32), "32 hexadecimal digits"),
        (changed(1, 200), "200 epochs"),
        (changed(2, ""), "0 characters"),
        (changed(2, "0"), "1 characters"),
        (changed(2, SEVEN["adjacency"][:-1]), "48 characters"),
        (changed(2, "0" * 64), "64 characters"),
        (changed(2, "2" + SEVEN["adjacency"][1:]), "other characters than 0 and 1"),
        (changed(2, SEVEN["adjacency"][:9] + "\u0661" + SEVEN["adjacency"][10:]), "other characters than 0 and 1"),
        (changed(2, "1" + SEVEN["adjacency"][1:]), "not upper triangular"),
        (changed(2, SEVEN["adjacency"][:-2] + "10"), "not upper triangular"),
        (changed(2, "0111110 0011110 0000001 0000001 0000001 0000001 0000000".replace(" ", "")), "13 edges"),
        (changed(2, "0" * 49), "no path from input to output"),
        (changed(2, SIX["adjacency"]), "names 7 operations for 6 vertices"),
        (changed(3, SIX["operations"]), "names 6 operations for 7 vertices"),
        (changed(3, SEVEN["operations"].replace(POOL, "conv5x5")), "unknown operation 'conv5x5'"),
        (changed(3, SEVEN["operations"].replace("input,", f"{POOL},")), "start with input"),
        (changed(3, SEVEN["operations"].replace(",output", f",{POOL}")), "end with output"),
        (changed(3, SEVEN["operations"].replace(POOL, "output")), "unknown operation 'output'"),
        (changed(3, ""), "start with input"),
        (changed(4, "ab!d"), "not base64"),
        (changed(4, "abcde"), "not base64"),
        (changed(4, "\u00e9\u00e9\u00e9\u00e9"), "not base64"),
        (changed(4, ""), "0 evaluations"),
    ],
)  # fmt: skip
def test_a_record_that_is_not_the_benchmarks_is_refused(tmp_path: Path, payload: bytes, why: str) -> None:
    said = refusal(tmp_path, [GOOD[1], payload])
    assert why in said
    assert f"byte {len(framed(GOOD[1]))} " in said


def final(*numbers: float) -> bytes:
    return field(1, evaluation(0, 0, 0, 0, 0)) * 2 + field(1, evaluation(*numbers)) + field(2, 7)


WHOLE = metrics(108, 0.9, 0.9)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (field(2, 7), "0 evaluations"),
        (field(1, evaluation(0, 0, 0, 0, 0)) * 2 + field(2, 7), "2 evaluations"),
        (field(1, evaluation(0, 0, 0, 0, 0)) * 4 + field(2, 7), "4 evaluations"),
        (final(108, 1, 0.5, 1.5, 0.5), "not all of them between 0 and 1"),
        (final(108, 1, 0.5, 0.5, 92.5), "not all of them between 0 and 1"),
        (final(108, 1, -0.5, 0.5, 0.5), "not all of them between 0 and 1"),
        (final(108, 1, 0.5, math.nan, 0.5), "not all of them between 0 and 1"),
        (final(108, 1, 0.5, math.inf, 0.5), "not all of them between 0 and 1"),
        (field(1, field(1, 108.0)) * 3 + field(2, 7), "nan"),
        (final(108, -1, 0.5, 0.5, 0.5), "-1.0 seconds"),
        (final(108, math.nan, 0.5, 0.5, 0.5), "nan seconds"),
        (final(108, math.inf, 0.5, 0.5, 0.5), "inf seconds"),
        (
            field(1, evaluation(108, 1, 0, 0, 0)) + field(1, evaluation(54, 1, 0, 0, 0)) * 2 + field(2, 7),
            "out of order",
        ),
        (WHOLE.replace(field(2, 8_555_530), b""), "parameters"),
        (WHOLE.replace(field(2, 8_555_530), field(2, 0)), "parameters"),
        (WHOLE.replace(field(2, 8_555_530), field(2, 2**64 - 5)), "parameters"),
        (WHOLE.replace(field(2, 8_555_530), field(2, 1.0)), "wire type 1, not 0"),
        (WHOLE + field(1, 3), "wire type 0, not 2"),
        (WHOLE + varint(2 << 3 | 5) + b"four", "wire type 5, not 0"),
        (WHOLE + varint(8 << 3 | 3), "wire type 3"),
        (WHOLE + varint(8 << 3 | 7), "wire type 7"),
        (WHOLE + field(0, 3), "number 0"),
        (WHOLE[:-1], "ends within field 3"),
        (WHOLE + varint(12 << 3 | 5) + b"two", "ends within field 12"),
        (WHOLE + varint(17 << 3 | 2) + varint(50) + b"short", "ends within field 17"),
        (WHOLE + varint(17 << 3 | 2), "does not end in time"),
        (WHOLE + b"\x80", "does not end in time"),
        (WHOLE + varint(9 << 3) + b"\xff" * 12, "does not end in time"),
        (WHOLE + varint(9 << 3) + b"\xff" * 9 + b"\x7f", "does not end in time"),
        (field(1, b"\x09") + WHOLE, "ends within field 1"),
    ],
)
def test_damaged_metrics_are_refused(tmp_path: Path, message: bytes, why: str) -> None:
    said = refusal(tmp_path, [GOOD[1], record(SEVEN, 108, message)])
    assert why in said
    assert f"byte {len(framed(GOOD[1]))} " in said


def test_a_hash_belongs_to_one_cell(tmp_path: Path) -> None:
    for place, value in (
        (2, FIVE["adjacency"][:1] + "0" + FIVE["adjacency"][2:]),
        (3, f"input,{POOL},{CONV3},{POOL},output"),
    ):
        listed = json.loads(training(2, 108, 0.5, 0.5))
        listed[place] = value
        assert "another cell" in refusal(tmp_path, [training(2, 108, 0.5, 0.5), json.dumps(listed).encode()])


def test_repeats_agree_in_their_parameters(tmp_path: Path) -> None:
    said = refusal(tmp_path, [GOOD[4], GOOD[4], training(4, 108, 0.5, 0.5, params=882_571)])
    assert "882571 parameters" in said
    assert "882570" in said
    across = [*[training(4, 108, 0.5, 0.5)] * 3, *[training(4, 4, 0.5, 0.5, params=1)] * 3]
    assert "1 parameters" in refusal(tmp_path, across)


@pytest.mark.parametrize("left", [1, 2, 4, 6])
def test_other_than_three_repeats_are_counted_and_refused(tmp_path: Path, left: int) -> None:
    said = refusal(tmp_path, [*[GOOD[4]] * left, *[training(0, 108, 0.5, 0.5)] * 3])
    assert f"1 of 2 cells do not have 3 repeats of 108 epochs, first {TWO['hash']} with {left}" in said


def test_repeats_are_counted_for_each_budget(tmp_path: Path) -> None:
    assert "3 repeats of 4 epochs" in refusal(tmp_path, [*GOOD, training(3, 4, 0.5, 0.5)])


def test_hashes_that_are_not_those_of_their_cells_are_counted_and_refused(tmp_path: Path) -> None:
    swapped = [SEVEN, {**SIX, "hash": FIVE["hash"]}, {**FIVE, "hash": SIX["hash"]}]
    said = refusal(tmp_path, [record(each, 108, metrics(108, 0.5, 0.5)) for each in swapped] * 3)
    assert f"2 of 3 cells do not have the graph hash that the file gives them, first {FIVE['hash']}" in said
    assert f"whose cell has {SIX['hash']}" in said


# -- whatever is done to a file ----------------------------------------------------------------------------------------

CONTENT = b"".join(framed(each) for each in GOOD)
RECORD_STARTS = {sum(len(framed(each)) for each in GOOD[:count]) for count in range(len(GOOD))}


@given(st.integers(0, 8 * len(CONTENT) - 1))
@settings(max_examples=3 * settings().max_examples)
def test_no_flipped_bit_goes_unnoticed(tmp_path: Path, bit: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[bit // 8] ^= 1 << bit % 8
    refused_bytes(tmp_path, bytes(damaged))


@given(st.integers(1, len(CONTENT) - 1))
def test_no_truncation_goes_unnoticed(tmp_path: Path, length: int) -> None:
    # A cut between two records leaves cells without all of their repeats.
    said = refused_bytes(tmp_path, CONTENT[:length])
    assert ("do not have 3 repeats" in said) == (length in RECORD_STARTS)


def read_or_refuse(folder: Path, records: list[bytes]) -> None:
    try:
        tables = read(folder, records)
    except FrugalnasError:
        return
    space = NASBench101()
    for table in tables:
        assert space.valid(table.codes).all()
        for role, values in columns(table).items():
            assert values.shape == (len(table.codes), 1 if role == "params" else 3)
            assert np.isfinite(values).all()
            assert (values >= 0).all()
            if role in ("validation", "test", "train"):
                assert (values <= 100).all()


edits = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from("rid")), min_size=1, max_size=4)


def edited(data: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    """Bytes replaced, inserted or deleted."""
    content = bytearray(data)
    for at, byte, how in changes:
        place = at % (len(content) + 1)
        content[place : place + (how != "i")] = b"" if how == "d" else bytes([byte])
    return bytes(content)


@pytest.mark.slow
@given(edits)
@settings(max_examples=3 * settings().max_examples)
def test_json_damaged_before_it_was_framed_is_refused_or_well_formed(
    tmp_path: Path, changes: list[tuple[int, int, str]]
) -> None:
    read_or_refuse(tmp_path, [edited(GOOD[4], changes)] * 3)


@pytest.mark.slow
@given(edits)
@settings(max_examples=3 * settings().max_examples)
def test_metrics_damaged_before_they_were_encoded_are_refused_or_well_formed(
    tmp_path: Path, changes: list[tuple[int, int, str]]
) -> None:
    read_or_refuse(tmp_path, [record(TWO, 108, edited(WHOLE, changes))] * 3)


@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_metrics_or_file_are_refused(tmp_path: Path, content: bytes) -> None:
    refused_bytes(tmp_path, content)
    refusal(tmp_path, [record(TWO, 108, content)] * 3)


# -- the Parquet layout ------------------------------------------------------------------------------------------------


def bits(adjacency: str) -> int:
    vertices = math.isqrt(len(adjacency))
    return sum(
        int(adjacency[source * vertices + target]) << source + target * (target - 1) // 2
        for target in range(vertices)
        for source in range(target)
    )


def frame() -> dict[str, list[Any]]:
    digits = {CONV3: "0", CONV1: "1", POOL: "2"}
    return {
        "hash": [each["hash"] for each in CELLS],
        "num_vertices": [each["operations"].count(",") + 1 for each in CELLS],
        "adj_bits": [bits(each["adjacency"]) for each in CELLS],
        "ops": ["".join(digits[name] for name in each["operations"].split(",")[1:-1]) for each in CELLS],
        "params": list(PARAMS),
        "test108_mean": [0.875, 0.75, 0.625, 0.5, 0.25],
        "val108": [0.9, None, None, None, None],
    }


def read_frame(folder: Path, columns: Mapping[str, Any]) -> list[Contents]:
    path = folder / "cells.parquet"
    pq.write_table(pa.table(columns), path)
    return read_columns(path, silent)


def test_columns_make_a_table_of_test_accuracies_without_validation(tmp_path: Path) -> None:
    (contents,) = read_frame(tmp_path, frame())
    assert contents.name == "nasbench101-test"
    table = stored(contents, tmp_path / "table")
    assert set(table.columns) == {"test", "params"}
    rows = [[fingerprint.decode() for fingerprint in graph_hashes(table.codes)].index(each["hash"]) for each in CELLS]
    assert table.column("test")[rows].tolist() == [[87.5], [75.0], [62.5], [50.0], [25.0]]
    assert table.column("params")[rows, 0].tolist() == PARAMS
    described = table.manifest["columns"]["test"]
    assert "mean of 3" in described["split"]
    assert described["epochs"] == 108
    assert table.manifest["source"]["cells"] == "5 of the benchmark's 423624"


def broken(column: str, value: object, row: int = 1) -> dict[str, list[Any]]:
    columns = frame()
    columns[column][row] = value
    return columns


def swapped() -> dict[str, list[Any]]:
    columns = frame()
    columns["hash"][:2] = columns["hash"][1::-1]
    return columns


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({name: values for name, values in frame().items() if name != "adj_bits"}, "adj_bits is missing"),
        ({**frame(), "ops": [1, 2, 3, 4, 5]}, "ops holds int64"),
        ({**frame(), "params": [1.5] * 5}, "params holds double"),
        ({name: values[:0] for name, values in frame().items()}, "no rows|holds null"),
        (broken("test108_mean", None), "1 values of test108_mean are missing"),
        (broken("test108_mean", math.nan), "1 values of test108_mean are out of range, first nan in row 1"),
        (broken("test108_mean", 92.5), "first 92.5 in row 1"),
        (broken("params", 0), "1 values of params are out of range"),
        (broken("num_vertices", 8), "2 to 7 vertices"),
        (broken("num_vertices", 1), "2 to 7 vertices"),
        (broken("num_vertices", 5), "cells with 5 vertices"),
        (broken("adj_bits", -1), "adj_bits of cells with 6 vertices"),
        (broken("adj_bits", 2**15), "adj_bits of cells with 6 vertices"),
        (broken("adj_bits", 0), "no path from input to output"),
        (broken("adj_bits", 2**15 - 1), "more than 9 edges"),
        (broken("ops", "00"), "4 digits"),
        (broken("ops", "0023"), "4 digits"),
        (broken("ops", "0011"), "1 of 5 cells do not have the graph hash"),
        (broken("hash", SEVEN["hash"]), "1 of 5 rows repeat the hash"),
        (swapped(), "2 of 5 cells do not have the graph hash"),
    ],
)
def test_columns_that_are_not_the_benchmarks_are_refused(tmp_path: Path, columns: dict[str, Any], why: str) -> None:
    with pytest.raises(FrugalnasError, match=why) as refused:
        read_frame(tmp_path, columns)
    assert "cells.parquet" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"hash,ops\n1,2\n", b"PAR1" + bytes(200) + b"PAR1"])
def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cells.parquet"
    path.write_bytes(content)
    with pytest.raises(FrugalnasError, match="cannot read"):
        read_columns(path, silent)


@given(edits)
def test_a_damaged_parquet_file_is_refused_or_well_formed(tmp_path: Path, changes: list[tuple[int, int, str]]) -> None:
    read_frame(tmp_path, frame())
    path = tmp_path / "cells.parquet"
    path.write_bytes(edited(path.read_bytes(), changes))
    try:
        (contents,) = read_columns(path, silent)
    except FrugalnasError:
        return
    assert NASBench101().valid(contents.codes).all()
    assert (columns(contents)["test"] <= 100).all()


@pytest.mark.slow
def test_the_whole_benchmark_is_read_from_columns(shared_data: Path, tmp_path: Path) -> None:
    (contents,) = read_columns(shared_data / "nasbench101.parquet", silent)
    table = stored(contents, tmp_path / "table")
    assert len(table) == 423_624
    assert table.manifest["source"]["cells"] == "all 423624"
    test = table.labels("test")
    best = int(np.argmax(test))
    assert test[best] == pytest.approx(94.3176, abs=1e-4)
    original = pq.read_table(shared_data / "nasbench101.parquet", columns=["hash", "test108_mean", "params"])
    given_values = dict(zip(original["hash"].to_pylist(), original["test108_mean"].to_pylist(), strict=True))
    for row in np.random.default_rng(0).integers(len(table), size=50):
        fingerprint = graph_hashes(table.codes[row : row + 1])[0].decode()
        assert test[row] == pytest.approx(100 * given_values[fingerprint])
    assert (table.column("params")[:, 0] == NASBench101().count("params", table.codes)).all()
