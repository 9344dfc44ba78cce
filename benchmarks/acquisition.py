"""Cost of a WeakNAS run with expected improvement against uniform sampling, same predictor and members; and the scores alone.

python benchmarks/acquisition.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import statistics
import time
from typing import Any

import numpy as np

import frugalnas as fn
from frugalnas.strategies.acquisition import log_expected_improvement

PREDICTORS: dict[str, Any] = {
    "gaussian-process": lambda: fn.GaussianProcess(),
    "mlp, 5 members": lambda: fn.MLP(members=5),
    "forest, 200 trees": lambda: fn.Forest(),
}
REPEATS = 5


def run(table: fn.Table, make: Any, acquisition: Any, seed: int) -> float:
    strategy = fn.WeakNAS(table.space, seed=seed, predictor=make(), acquisition=acquisition)
    evaluator = fn.TableEvaluator(table=table)
    started = time.process_time()
    fn.search(strategy, evaluator, 200)
    return time.process_time() - started


def main() -> None:
    table = fn.open_table("nasbench201/cifar10")
    for name, make in PREDICTORS.items():
        ratios = [run(table, make, "ei", seed) / run(table, make, "uniform", seed) for seed in range(REPEATS)]
        print(
            f"{name:20} EI / uniform: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=423_624), rng.uniform(0.1, 1, size=423_624)
    started = time.process_time()
    log_expected_improvement(mean, std, 3.0)
    print(f"log EI of 423,624 architectures: {time.process_time() - started:.3f} CPU s")


if __name__ == "__main__":
    main()
