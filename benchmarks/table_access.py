"""Opening a cached table, one lookup by code, a batch by row, and the cost of `import frugalnas`.

python benchmarks/table_access.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import numpy as np

import frugalnas as fn


def main() -> None:
    fn.open_table()
    opened = []
    for _ in range(20):
        started = time.perf_counter()
        table = fn.open_table()
        opened.append(time.perf_counter() - started)
    print(f"open a cached table, checksums included: median {1e3 * statistics.median(opened):.1f} ms")
    code = table.codes[7_777]
    started = time.perf_counter()
    for _ in range(20_000):
        table.lookup(code)
    print(f"one lookup by code: {(time.perf_counter() - started) / 20_000 * 1e6:.1f} us")
    codes = table.codes[np.random.default_rng(0).integers(len(table), size=10_000)]
    labels = table.labels()
    started = time.perf_counter()
    for _ in range(100):
        labels[table.rows(codes)]
    print(f"a batch of 10,000 by code: {(time.perf_counter() - started) / 1e6 * 1e6:.3f} us each")
    print(
        f"import frugalnas: {import_ms('frugalnas'):.1f} ms; import numpy: {import_ms('numpy'):.1f} ms (medians of 15 processes)"
    )
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import frugalnas, sys; print([m for m in ('torch', 'sklearn', 'scipy', 'numpy') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"loaded by import frugalnas, of torch, sklearn, scipy, numpy: {loaded.stdout.strip()}")


def import_ms(module: str) -> float:
    program = f"import time; t = time.perf_counter(); import {module}; print(1e3 * (time.perf_counter() - t))"
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(15)
    ]
    return statistics.median(float(run.stdout) for run in runs)


if __name__ == "__main__":
    main()
