"""NAS-Bench-101: enumeration, keys, codes, distances, and one WeakNAS run of 1,000 queries on one core.

The run answers from the table of mean test accuracies, an oracle study, which has to be imported first:

    frugalnas table import nasbench101.parquet
    python benchmarks/nasbench101.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

import frugalnas as fn
from frugalnas.spaces.distances import edit_distances, packed


def timed(what: str, call: Callable[[], object]) -> object:
    started = time.perf_counter()
    result = call()
    print(f"{what}: {time.perf_counter() - started:.3f} s", flush=True)
    return result


def search(queries: int) -> None:
    table = fn.open_table("nasbench101-test")
    space = fn.NASBench101()
    space.enumerate()  # cached
    strategy = fn.WeakNAS(space, seed=0)
    evaluator = fn.TableEvaluator(space, table=table, objective="oracle-test")
    started, cpu = time.perf_counter(), time.process_time()
    result = fn.search(strategy, evaluator, queries)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"one WeakNAS run of {queries:,} queries: {time.perf_counter() - started:.1f} s, "
        f"{time.process_time() - cpu:.1f} CPU s, peak memory {peak:.0f} MB, "
        f"rank {1 + int((evaluator.labels > result.best.value).sum())} of {len(table):,}"
    )


def main() -> None:
    if sys.argv[1:2] == ["search"]:
        search(int(sys.argv[2]))
        return
    program = "import frugalnas as fn; s = fn.NASBench101(); s.enumerate()"
    with tempfile.TemporaryDirectory() as empty:
        fresh = {**os.environ, "FRUGALNAS_CACHE": empty}
        for what in ("enumerate from nothing, a process of its own", "the same from the cache"):
            timed(what, lambda: subprocess.run([sys.executable, "-c", program], env=fresh, check=True))
    space = fn.NASBench101()
    cells = space.enumerate()
    rng = np.random.default_rng(0)
    random = fn.NASBench101(sampler="random-bits").sample(100_000, rng)
    timed("canonical keys of 100,000 random codes", lambda: space.network_ids(random))
    codes = timed("position-aware path codes of all 423,624 cells", lambda: space.features(cells, "position-path"))
    bits = packed(np.asarray(codes))
    first, second = rng.integers(len(cells), size=(2, 2_000_000))
    left, right = bits[first], bits[second]
    timed("2,000,000 edit distances", lambda: edit_distances(left, right))
    timed("parameters of all cells", lambda: space.count("params", cells))
    timed("function features of all cells", lambda: space.encode(cells))
    for queries in (200, 1_000):
        subprocess.run([sys.executable, __file__, "search", str(queries)], check=True)


if __name__ == "__main__":
    main()
