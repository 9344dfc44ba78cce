"""Reading a file like NAS-Bench-101's own: seconds and peak memory (Linux), in a process of its own.

The file is synthetic: real cells and framing, made-up accuracies. Three repeats of 108 epochs for each cell are what
`nasbench_only108.tfrecord` holds; `--budgets 4,12,36,108` makes it as large as `nasbench_full.tfrecord`.

    python benchmarks/import_nasbench101.py [--cells nasbench101.parquet] [--count 423624] [--budgets 108]
"""

from __future__ import annotations

import argparse
import base64
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow.parquet as pq

from frugalnas.spaces import NASBench101
from frugalnas.spaces.cells101 import SOURCE, TARGET, graph_hashes, live_parts

NAMES = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
READER = """
import sys, time
from frugalnas.tables.formats.nasbench101 import read_tfrecord

def peak():  # getrusage would count what the parent had used before it started this process
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

before, wall, cpu = peak(), time.perf_counter(), time.process_time()
tables = read_tfrecord(sys.argv[1], lambda done, total: None)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(", ".join(f"{table.name} of {len(table.codes)} cells" for table in tables))
print(f"{wall:.1f} s, {cpu:.1f} CPU s, peak RSS {peak():.0f} MiB, of which {before:.0f} MiB by importing frugalnas")
"""


def cells_of_columns(path: Path) -> list[tuple[str, str, str]]:
    """Hash, adjacency and operations as the benchmark writes them."""
    listed = []
    rows = pq.read_table(path, columns=["hash", "num_vertices", "adj_bits", "ops"]).to_pydict()
    for fingerprint, vertices, bits, operations in zip(*rows.values(), strict=True):
        edges = {(x, y) for y in range(vertices) for x in range(y) if bits >> x + y * (y - 1) // 2 & 1}
        listed.append((fingerprint, *spelled(range(vertices), edges, [int(digit) for digit in operations])))
    return listed


def cells_of_space() -> list[tuple[str, str, str]]:
    codes = NASBench101().enumerate()
    edges, vertices = live_parts(codes)
    listed = []
    for fingerprint, joined, live, code in zip(graph_hashes(codes), edges, vertices, codes, strict=True):
        there = set(zip(SOURCE[joined].tolist(), TARGET[joined].tolist(), strict=True))
        places = np.flatnonzero(live).tolist()
        listed.append((fingerprint.decode(), *spelled(places, there, [code[20 + place] for place in places[1:-1]])))
    return listed


def spelled(places, edges, operations) -> tuple[str, str]:
    adjacency = "".join(str(int((x, y) in edges)) for x in places for y in places)
    return adjacency, ",".join(["input", *(NAMES[operation] for operation in operations), "output"])


def write(path: Path, cells: list[tuple[str, str, str]], budgets: list[int]) -> None:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for repeat in range(3):
            accuracies = rng.uniform(0.8, 0.95, size=(len(cells), len(budgets), 3))
            for place, (fingerprint, adjacency, operations) in enumerate(cells):
                for budget, accuracy in zip(budgets, accuracies[place].tolist(), strict=True):
                    steps = (
                        (0.0, 0.0, 0.1, 0.1, 0.1),
                        (budget / 2, 500.0, *accuracy),
                        (budget, 1e3 + repeat, *accuracy),
                    )
                    metrics = b"".join(b"\x0a\x2d" + evaluation(step) for step in steps)
                    metrics += b"\x10" + varint(100_000 + place) + b"\x19" + struct.pack("<d", 1e3)
                    encoded = base64.b64encode(metrics).decode()
                    data = json.dumps([fingerprint, budget, adjacency, operations, encoded]).encode()
                    length = struct.pack("<Q", len(data))
                    file.write(length + masked(length) + data + masked(data))


def evaluation(step: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack("<Bd", tag, value) for tag, value in zip((9, 17, 25, 33, 41), step, strict=True))


def varint(value: int) -> bytes:
    value, low = value >> 7, value & 0x7F
    return bytes([low | 0x80]) + varint(value) if value else bytes([low])


def masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=Path, help="Parquet file of the cells; without it they are enumerated")
    parser.add_argument("--count", type=int, help="of cells, the first ones; all without it")
    parser.add_argument("--budgets", default="108", help="epochs, comma-separated")
    options = parser.parse_args()
    cells = cells_of_columns(options.cells) if options.cells else cells_of_space()
    graph_hashes(NASBench101().enumerate()[:1])  # so that the time of making these once is not counted
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nasbench.tfrecord"
        started = time.perf_counter()
        write(path, cells[: options.count], [int(epochs) for epochs in options.budgets.split(",")])
        print(f"{path.stat().st_size / 1e9:.2f} GB written in {time.perf_counter() - started:.0f} s", flush=True)
        subprocess.run([sys.executable, "-c", READER, str(path)], check=True)


if __name__ == "__main__":
    main()
